//! Which mistakes has a reading of one file found so far, and where do they stand?

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::nearest::{all_of, nearest, one_of};
use super::problem::{Place, Problem};
use super::text::Lines;

/// What the pattern of a list of tables ends in.
pub(super) const LIST: &str = "[]";

/// Collects the mistakes of one file. A section of the file is known by its *pattern*: its key path with `NAME` for
/// names that the user chooses (`lake.tables.NAME`; the top level is the empty text).
pub(super) struct Report<'a> {
    file: &'a str,
    lines: Lines<'a>,
    log: RefCell<Log>,
}

type Known = BTreeMap<String, Vec<&'static str>>;

#[derive(Default)]
struct Log {
    /// With the byte they stand at.
    problems: Vec<(usize, Problem)>,
    missing: Vec<Missing>,
    unknown: Vec<Unknown>,
    /// The keys of each section, by its pattern.
    known: Known,
    /// Where the value of each key path stands.
    spans: HashMap<String, Range<usize>>,
}

/// A key that has to be there and is not.
struct Missing {
    section: String,
    path: String,
    key: &'static str,
    header: Range<usize>,
    expected: String,
}

/// A key that nobody asked for.
pub(super) struct Unknown {
    /// The path of the section it stands in.
    pub(super) section: String,
    /// The pattern of that section.
    pub(super) pattern: String,
    /// The path of the key.
    pub(super) path: String,
    /// The key.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) span: Range<usize>,
    /// Whether its value is a table.
    pub(super) is_table: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, lines: Lines::new(text), log: RefCell::default() }
    }

    /// What stands at these bytes of the file.
    pub(super) fn source(&self, span: &Range<usize>) -> &'a str {
        self.lines.source(span)
    }

    /// A mistake at these bytes.
    pub(super) fn problem(
        &self,
        span: Range<usize>,
        path: &str,
        found: impl Into<String>,
        expected: Option<String>,
        cure: Option<String>,
    ) {
        let problem = self.make(span.clone(), path, found.into(), expected, cure);
        self.log.borrow_mut().problems.push((span.start, problem));
    }

    /// A mistake in the value of a key path that has been read; in its nearest ancestor if the path is only implied.
    pub(super) fn problem_at(
        &self,
        path: &str,
        found: impl Into<String>,
        expected: Option<String>,
        cure: Option<String>,
    ) {
        let span = {
            let spans = &self.log.borrow().spans;
            let ancestors = std::iter::successors(Some(path), |path| path.rfind(['.', '[']).map(|at| &path[..at]));
            ancestors.filter_map(|path| spans.get(path)).next().cloned()
        };
        self.problem(span.unwrap_or(0..0), path, found, expected, cure);
    }

    /// Where these bytes of the file stand.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        self.lines.place(span)
    }

    /// Whether the value at `path`, or a part of it, has a mistake.
    pub(super) fn is_wrong(&self, path: &str) -> bool {
        let below =
            |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.log.borrow().problems.iter().any(|(_, problem)| below(&problem.key))
    }

    /// Remembers where the value of a key path stands.
    pub(super) fn read(&self, path: &str, span: Range<usize>) {
        self.log.borrow_mut().spans.insert(path.to_owned(), span);
    }

    /// Remembers that sections of this pattern have this key.
    pub(super) fn known(&self, pattern: &str, key: &'static str) {
        let known = &mut self.log.borrow_mut().known;
        let keys = known.entry(pattern.to_owned()).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    pub(super) fn missing(&self, section: &str, path: &str, key: &'static str, header: Range<usize>, expected: &str) {
        let (section, path, expected) = (section.to_owned(), path.to_owned(), expected.to_owned());
        self.log.borrow_mut().missing.push(Missing { section, path, key, header, expected });
    }

    pub(super) fn unknown(&self, unknown: Unknown) {
        self.log.borrow_mut().unknown.push(unknown);
    }

    /// All keys that have a value, as paths (`lake.tables.NAME.keys`).
    #[cfg(test)]
    pub(super) fn known_keys(&self) -> std::collections::BTreeSet<String> {
        let known = &self.log.borrow().known;
        let path = |pattern: &str, key: &str| {
            format!("{}.{key}", pattern.replace(LIST, "")).trim_start_matches('.').to_owned()
        };
        let paths = known.iter().flat_map(|(pattern, keys)| keys.iter().map(move |key| path(pattern, key)));
        let is_table = |path: &String| {
            known.keys().any(|pattern| format!("{}.", pattern.replace(LIST, "")).starts_with(&format!("{path}.")))
        };
        paths.filter(|path| !is_table(path)).collect()
    }

    /// All mistakes in the order of the file.
    pub(super) fn finish(self) -> Vec<Problem> {
        let log = self.log.take();
        let mut problems = log.problems;
        // A missing key that was misspelt is one mistake, not two.
        let meant = |missing: &Missing| {
            log.unknown
                .iter()
                .any(|unknown| unknown.section == missing.section && nearest(&unknown.key, [missing.key]).is_some())
        };
        for missing in log.missing.iter().filter(|missing| !meant(missing)) {
            let problem = self.make(
                missing.header.clone(),
                &missing.path,
                "missing".to_owned(),
                Some(missing.expected.clone()),
                None,
            );
            problems.push((missing.header.start, problem));
        }
        for unknown in &log.unknown {
            let cure = cure_of(unknown, &log.known);
            let problem = self.make(unknown.span.clone(), &unknown.path, "unknown key".to_owned(), None, Some(cure));
            problems.push((unknown.span.start, problem));
        }
        problems.sort_by_key(|(at, _)| *at);
        problems.into_iter().map(|(_, problem)| problem).collect()
    }

    fn make(
        &self,
        span: Range<usize>,
        path: &str,
        found: String,
        expected: Option<String>,
        cure: Option<String>,
    ) -> Problem {
        let place = Some(self.lines.place(span));
        Problem { file: self.file.to_owned(), place, key: path.to_owned(), found, expected, cure }
    }
}

/// As it stands in the file.
fn header(pattern: &str) -> String {
    match pattern.strip_suffix(LIST) {
        Some(list) => format!("[[{list}]]"),
        None => format!("[{pattern}]"),
    }
}

/// What somebody meant who wrote this key: one that is known here, one that belongs elsewhere, or what there is.
fn cure_of(unknown: &Unknown, known: &Known) -> String {
    let key = unknown.key.as_str();
    let elsewhere: Vec<&str> =
        known.iter().filter(|(_, keys)| keys.contains(&key)).map(|(pattern, _)| pattern.as_str()).collect();
    if elsewhere.contains(&"") {
        return format!("`{key}` belongs at the top of the file, before the first `[table]`");
    }
    if !elsewhere.is_empty() {
        let tables: Vec<String> = elsewhere.iter().map(|pattern| header(pattern)).collect();
        return format!("it is a key of {}", one_of(tables.iter().map(String::as_str)));
    }
    let here: &[&'static str] = known.get(&unknown.pattern).map_or(&[], Vec::as_slice);
    if let Some(meant) = nearest(key, here.iter().copied()) {
        return format!("did you mean `{meant}`?");
    }
    if let (true, Some(parent), Some((above, name))) =
        (unknown.is_table, unknown.pattern.strip_suffix(".NAME"), unknown.section.rsplit_once('.'))
    {
        debug_assert!(!parent.is_empty());
        return format!("a name with a dot stands in quotes: `[{above}.\"{name}.{key}\"]`");
    }
    format!("the keys here are {}", all_of(here.iter().copied()))
}

//! How is a table of a TOML file taken apart so that each key is one line, and none is overlooked?
//!
//! A [`Section`] hands out values by key and kind; whatever is wrong with them goes to the [`Report`]. Whoever reads
//! a section does so inside a closure; behind it, every key that nobody asked for is a mistake. A section that is not
//! in the file is read as an empty one, so that all keys are always known and defaults are written once.

use std::cell::RefCell;
use std::ops::Range;

use toml_edit::{Item, Key, TableLike, Value};

use super::field::Field;
use super::kind::Kind;
use super::report::{LIST, Report, Unknown};
use super::text::key_name;

/// One table of the file, or one that is not there.
pub(super) struct Section<'a> {
    report: &'a Report<'a>,
    table: Option<&'a dyn TableLike>,
    path: String,
    pattern: String,
    header: Range<usize>,
    asked: RefCell<Vec<String>>,
}

impl<'a> Section<'a> {
    /// Reads the top level of a file.
    pub(super) fn root<T>(report: &'a Report<'a>, table: &'a dyn TableLike, read: impl FnOnce(&Self) -> T) -> T {
        let (path, pattern) = (String::new(), String::new());
        Self { report, table: Some(table), path, pattern, header: 0..0, asked: RefCell::default() }.finish(read)
    }

    /// The value of a key; `None` if there is none or it is wrong.
    pub(super) fn optional<T>(&self, key: &'static str, kind: &Kind<T>) -> Option<T> {
        self.report.known(&self.pattern, key);
        kind.read(&self.field(key)?)
    }

    /// The value of a key, or `default` if there is none (or it is wrong, which fails the reading anyway).
    pub(super) fn or<T>(&self, key: &'static str, kind: &Kind<T>, default: T) -> T {
        self.optional(key, kind).unwrap_or(default)
    }

    /// The value of a key that has to be there.
    pub(super) fn required<T>(&self, key: &'static str, kind: &Kind<T>) -> Option<T> {
        self.need(key, kind.expected());
        self.optional(key, kind)
    }

    /// A table that has to be there.
    pub(super) fn required_section<T>(&self, key: &'static str, read: impl FnOnce(&Section<'a>) -> T) -> Option<T> {
        self.need(key, &format!("a table `[{}]`", self.path_of(key)));
        let there = self.get(key).is_some();
        let value = self.section(key, read);
        there.then_some(value)
    }

    /// A table, read as an empty one if it is not there.
    pub(super) fn section<T>(&self, key: &'static str, read: impl FnOnce(&Section<'a>) -> T) -> T {
        self.report.known(&self.pattern, key);
        let (path, pattern) = (self.path_of(key), self.pattern_of(key));
        self.child(self.table_of(key), path, pattern, self.span_of_header(key)).finish(read)
    }

    /// All tables in a table whose keys are names, with these names.
    pub(super) fn named_sections<T>(&self, key: &'static str, read: impl Fn(&Section<'a>) -> T) -> Vec<(String, T)> {
        self.report.known(&self.pattern, key);
        let pattern = format!("{}.NAME", self.pattern_of(key));
        self.child(None, String::new(), pattern.clone(), 0..0).finish(&read);
        let outer = self.child(self.table_of(key), self.path_of(key), String::new(), 0..0);
        let names = outer.table.into_iter().flat_map(|table| table.iter().map(|(name, _)| name));
        let inner = |name: &'a str| {
            let (path, header) = (outer.path_of(name), outer.span_of_header(name));
            self.report.read(&path, header.clone());
            let section = self.child(outer.table_of(name), path, pattern.clone(), header);
            (name.to_owned(), section.finish(&read))
        };
        names.map(inner).collect()
    }

    /// All values of a table whose keys are names, in the order of the file.
    pub(super) fn named_values<T>(&self, key: &'static str, kind: &Kind<T>) -> Vec<(String, T)> {
        self.report.known(&self.pattern, key);
        let outer = self.child(self.table_of(key), self.path_of(key), String::new(), 0..0);
        let names = outer.table.into_iter().flat_map(|table| table.iter().map(|(name, _)| name));
        names.filter_map(|name| Some((name.to_owned(), kind.read(&outer.field(name)?)?))).collect()
    }

    /// All tables of a list of tables (`[[key]]`, or a list of inline tables), each with its path.
    pub(super) fn list_of_sections<T>(&self, key: &'static str, read: impl Fn(&Section<'a>) -> T) -> Vec<(String, T)> {
        self.report.known(&self.pattern, key);
        self.ask(key);
        let pattern = format!("{}{LIST}", self.pattern_of(key));
        self.child(None, String::new(), pattern.clone(), 0..0).finish(&read);
        let each = |(number, (table, header)): (usize, (Option<&'a dyn TableLike>, Range<usize>))| {
            let path = format!("{}[{number}]", self.path_of(key));
            self.report.read(&path, header.clone());
            let Some(table) = table else {
                let found = "not a table".to_owned();
                self.report.problem(header, &path, found, Some(format!("a table `[[{key}]]`")), None);
                return None;
            };
            Some((path.clone(), self.child(Some(table), path, pattern.clone(), header).finish(&read)))
        };
        self.tables_of(key).into_iter().enumerate().filter_map(each).collect()
    }

    /// The tables of a list, with where their headers stand; `None` for what is no table.
    fn tables_of(&self, key: &'static str) -> Vec<(Option<&'a dyn TableLike>, Range<usize>)> {
        match self.get(key).map(|(_, item)| item) {
            None => Vec::new(),
            Some(Item::ArrayOfTables(tables)) => {
                tables.iter().map(|table| (Some(table as &dyn TableLike), table.span().unwrap_or_default())).collect()
            }
            Some(Item::Value(Value::Array(list))) => list
                .iter()
                .map(|value| (value.as_inline_table().map(|table| table as _), value.span().unwrap_or_default()))
                .collect(),
            Some(_) => {
                if let Some(field) = self.field(key) {
                    field
                        .wrong_type(&format!("tables `[[{key}]]`"), Some("write the header in double brackets".into()));
                }
                Vec::new()
            }
        }
    }

    /// What stands under a key, of whatever form, with its path and place.
    pub(super) fn item(&self, key: &'static str) -> Option<(&'a Item, String, Range<usize>)> {
        self.report.known(&self.pattern, key);
        self.ask(key);
        let (name, item) = self.get(key)?;
        let header = || item.as_table().is_some().then(|| self.span_of_header(key));
        let value = item.as_value().and_then(Value::span);
        let span = value.or_else(header).or_else(|| name.span()).unwrap_or_default();
        let path = self.path_of(key);
        self.report.read(&path, span.clone());
        Some((item, path, span))
    }

    /// A key that must not be there.
    pub(super) fn refuse(&self, key: &'static str, found: &str, cure: &str) {
        self.ask(key);
        if let Some((name, _)) = self.get(key) {
            let span = name.span().unwrap_or_default();
            self.report.problem(span, &self.path_of(key), found, None, Some(cure.to_owned()));
        }
    }

    fn finish<T>(self, read: impl FnOnce(&Self) -> T) -> T {
        let value = read(&self);
        let asked = self.asked.take();
        for (name, item) in self.table.into_iter().flat_map(|table| table.iter()) {
            if asked.iter().any(|asked| asked == name) {
                continue;
            }
            self.report.unknown(Unknown {
                section: self.path.clone(),
                pattern: self.pattern.clone(),
                path: self.path_of(name),
                key: name.to_owned(),
                span: self.key(name).and_then(Key::span).unwrap_or_default(),
                is_table: item.is_table(),
            });
        }
        value
    }

    fn need(&self, key: &'static str, expected: &str) {
        if self.table.is_some() && self.get(key).is_none() {
            self.report.missing(&self.path, &self.path_of(key), key, self.header.clone(), expected);
        }
    }

    fn child(
        &self,
        table: Option<&'a dyn TableLike>,
        path: String,
        pattern: String,
        header: Range<usize>,
    ) -> Section<'a> {
        Section { report: self.report, table, path, pattern, header, asked: RefCell::default() }
    }

    fn get(&self, key: &str) -> Option<(&'a Key, &'a Item)> {
        self.table?.get_key_value(key).filter(|(_, item)| !item.is_none())
    }

    fn key(&self, key: &str) -> Option<&'a Key> {
        self.get(key).map(|(key, _)| key)
    }

    fn field(&self, key: &str) -> Option<Field<'a>> {
        self.ask(key);
        let (name, item) = self.get(key)?;
        let value = item.as_value();
        let span = value.and_then(Value::span).or_else(|| name.span()).unwrap_or_default();
        let path = self.path_of(key);
        self.report.read(&path, span.clone());
        Some(Field::new(self.report, value, item.type_name(), path, span))
    }

    /// The table under `key`; anything else there is a mistake.
    fn table_of(&self, key: &str) -> Option<&'a dyn TableLike> {
        self.ask(key);
        let (_, item) = self.get(key)?;
        let table = item.as_table_like();
        if table.is_none() {
            let path = self.path_of(key);
            self.field(key)?.wrong_type(&format!("a table `[{path}]`"), None);
        }
        table
    }

    /// Where the header of the table under `key` stands: `[lake]`, or the key of an inline or implied one.
    fn span_of_header(&self, key: &str) -> Range<usize> {
        let Some((name, item)) = self.get(key) else {
            return 0..0;
        };
        let header = item.as_table().filter(|table| !table.is_implicit() && !table.is_dotted());
        header.and_then(|table| table.span()).or_else(|| name.span()).unwrap_or_default()
    }

    fn ask(&self, key: &str) {
        self.asked.borrow_mut().push(key.to_owned());
    }

    /// The path of a key.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, &key_name(key))
    }

    fn pattern_of(&self, key: &str) -> String {
        join(&self.pattern, key)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

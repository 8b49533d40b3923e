//! What does a pattern's text say? Read as a stream: an object that comes twice is merged, of an array that comes twice
//! the last counts.

use std::collections::BTreeMap;

use super::Extensions;
use super::compile::{IDENTITY, identity_member};
use super::error::{Fault, PatternError};
use super::matcher::Matcher;
use crate::decode::json::{Cursor, Elements, MAX_DEPTH, Malformed, Members, Text};

/// How many fields a pattern may have. Lambda's 4,096 characters have room for seven hundred.
const MAX_FIELDS: usize = 1000;

/// How many ways `$or` branches may combine in. EventBridge, whose engine this is, draws the same line.
const MAX_RULES: usize = 1000;

/// Names that may not be fields inside of `$or`: there the engine takes them for misplaced operators.
const RESERVED_IN_OR: [&str; 22] = [
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
];

/// One filter pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// All arrays of matchers.
    pub(super) fields: Vec<Field>,
    /// What `$or` comes to: one of these has to match. Each names the fields that have to, in the order of their paths.
    pub(super) rules: Vec<Vec<usize>>,
}

/// A path and what its values have to be.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// The steps joined with `.`.
    pub(super) path: String,
    pub(super) matchers: Vec<Matcher>,
}

impl Pattern {
    /// Reads a pattern of Lambda's language.
    ///
    /// # Errors
    /// The first mistake: where it is, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Self::parse_with(text, Extensions::default())
    }

    /// Reads a pattern that may use extensions.
    ///
    /// # Errors
    /// As [`Pattern::parse`].
    pub fn parse_with(text: &str, extensions: Extensions) -> Result<Self, PatternError> {
        let mut parser =
            Parser { cursor: Cursor::new(text), path: Vec::new(), depth: 0, fields: Vec::new(), extensions };
        parser.pattern().map_err(|fault| fault.within(text, &parser.path))
    }
}

/// One way for a pattern to match: which field's array counts at each path.
type Rule = BTreeMap<String, usize>;

pub(super) struct Parser<'a> {
    pub(super) cursor: Cursor<'a>,
    /// The steps to the field that is being read.
    pub(super) path: Vec<String>,
    pub(super) extensions: Extensions,
    /// How many objects are open, those of `$or` included.
    depth: usize,
    fields: Vec<Field>,
}

impl<'a> Parser<'a> {
    fn pattern(&mut self) -> Result<Pattern, Fault> {
        if self.cursor.peek() != Some(b'{') {
            return Err(self.fault("a pattern is an object", "write it as `{\"field\": [\"value\"]}`"));
        }
        let mut rules = vec![Rule::new()];
        self.object(&mut rules, false)?;
        self.cursor.end()?;
        let in_order = |rule: Rule| {
            let mut fields: Vec<_> = rule.into_iter().collect();
            // The engine's order, in which an absent field sees what those before it have chosen.
            fields.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            fields.into_iter().map(|(_, field)| field).collect()
        };
        let rules = rules.into_iter().map(in_order).collect();
        Ok(Pattern { fields: std::mem::take(&mut self.fields), rules })
    }

    /// Reads an object's fields into all of `rules`.
    fn object(&mut self, rules: &mut Vec<Rule>, inside_or: bool) -> Result<(), Fault> {
        if self.depth >= MAX_DEPTH {
            return Err(self.fault("it is nested too deeply", format!("use fewer than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let start = self.place();
        let mut members = Members::open(&mut self.cursor)?;
        let mut empty = true;
        while members.has_next(&mut self.cursor)? {
            empty = false;
            let at = self.place();
            let name = self.name()?;
            if name == "$or" {
                self.branches(rules)?;
                continue;
            }
            let reserved = inside_or && is_reserved(&name);
            self.path.push(name);
            if reserved {
                let cure = "inside of `$or` write fields, and operators in the arrays of these: `{\"field\": [{\"prefix\": \"x\"}]}`";
                return Err(Fault::new(at, "an operator's name stands where a field is expected", cure));
            }
            match self.cursor.peek() {
                Some(b'{') => self.object(rules, inside_or)?,
                Some(b'[') => self.field(rules)?,
                _ => {
                    return Err(
                        self.fault("a field's value is an array or an object", "put the value into `[` and `]`")
                    );
                }
            }
            self.path.pop();
        }
        if empty {
            return Err(Fault::new(start, "the object is empty", "write a field into it, or leave it out"));
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array of matchers. It takes the place of an earlier one at the same path.
    fn field(&mut self, rules: &mut [Rule]) -> Result<(), Fault> {
        let start = self.place();
        if self.fields.len() >= MAX_FIELDS {
            return Err(self.fault("the pattern has too many fields", format!("use at most {MAX_FIELDS}")));
        }
        let mut matchers = Vec::new();
        let mut elements = Elements::open(&mut self.cursor)?;
        while elements.next(&mut self.cursor)? {
            matchers.push(self.matcher()?);
        }
        if matchers.is_empty() {
            return Err(Fault::new(start, "the array is empty", "write at least one value into it"));
        }
        let path = in_lambdas_spelling(self.path.join("."));
        for rule in rules {
            rule.insert(path.clone(), self.fields.len());
        }
        self.fields.push(Field { path, matchers });
        Ok(())
    }

    /// Reads what follows `$or`: each rule so far goes on with each branch.
    fn branches(&mut self, rules: &mut Vec<Rule>) -> Result<(), Fault> {
        const CURE: &str = "write `\"$or\": [{...}, {...}]`";
        let start = self.place();
        if self.cursor.peek() != Some(b'[') {
            return Err(self.fault("`$or` takes an array of objects", CURE));
        }
        let before = std::mem::take(rules);
        let mut count = 0;
        let mut elements = Elements::open(&mut self.cursor)?;
        while elements.next(&mut self.cursor)? {
            if self.cursor.peek() != Some(b'{') {
                return Err(self.fault("`$or` takes an array of objects", CURE));
            }
            let mut branch = before.clone();
            self.object(&mut branch, true)?;
            rules.append(&mut branch);
            count += 1;
            if rules.len() > MAX_RULES {
                let cure = format!("use fewer branches: those of all `$or`s multiply, to at most {MAX_RULES}");
                return Err(Fault::new(start, "the branches of `$or` combine in too many ways", cure));
            }
        }
        if count < 2 {
            return Err(Fault::new(start, "`$or` needs at least two branches", CURE));
        }
        Ok(())
    }

    /// Takes a member's name and its colon.
    pub(super) fn name(&mut self) -> Result<String, Fault> {
        let at = self.place();
        let name = Members::name(&mut self.cursor)?;
        unicode(at, name)
    }

    /// Takes a string.
    pub(super) fn string(&mut self) -> Result<String, Fault> {
        let at = self.place();
        let text = self.cursor.string()?;
        unicode(at, text)
    }

    /// Where the next token stands.
    pub(super) fn place(&mut self) -> usize {
        self.cursor.peek();
        self.cursor.offset()
    }

    /// A mistake at the next token.
    pub(super) fn fault(&mut self, what: impl Into<String>, cure: impl Into<String>) -> Fault {
        match self.cursor.peek() {
            Some(_) => Fault::new(self.cursor.offset(), what, cure),
            None => Malformed { at: self.cursor.offset(), what: "it ends too early" }.into(),
        }
    }
}

fn unicode(at: usize, text: Text<'_>) -> Result<String, Fault> {
    let decoded = text.decode().map(|text| text.into_owned());
    decoded.ok_or_else(|| Fault::new(at, "the string is no Unicode text", "write `\\u` surrogates in pairs"))
}

/// The members of `userIdentity` as Lambda spells them.
fn in_lambdas_spelling(path: String) -> String {
    let Some(member) = path.strip_prefix(IDENTITY).and_then(|rest| rest.strip_prefix('.')) else { return path };
    let (first, rest) = member.split_at(member.find('.').unwrap_or(member.len()));
    format!("{IDENTITY}.{}{rest}", identity_member(first))
}

fn is_reserved(name: &str) -> bool {
    RESERVED_IN_OR.contains(&name) || matches!(name, "ip-address-in-range" | "ip-address-not-in-range")
}

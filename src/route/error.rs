//! What is wrong with a pattern, where, and what is the cure?

use std::fmt;

use crate::decode::json::Malformed;

/// A mistake in a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// The field it is in, its steps joined with `.`; empty at the top.
    pub path: String,
    /// The offset of the mistake in the text, in bytes.
    pub offset: usize,
    /// Its line, from 1.
    pub line: usize,
    /// Its character in the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub cure: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, what, cure, .. } = self;
        write!(f, "line {line}, column {column}")?;
        if !path.is_empty() {
            write!(f, ", in `{}`", path.escape_debug())?;
        }
        write!(f, ": {what}; {cure}")
    }
}

impl std::error::Error for PatternError {}

/// A mistake in one of several patterns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {number}: {error}")]
pub struct FilterError {
    /// Which pattern, from 1.
    pub number: usize,
    /// Its mistake.
    #[source]
    pub error: PatternError,
}

/// A mistake before anybody has said in which field.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: String,
    pub(super) cure: String,
}

impl Fault {
    pub(super) fn new(at: usize, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { at, what: what.into(), cure: cure.into() }
    }

    /// Says in which field of which text it is.
    pub(super) fn within(self, text: &str, path: &[String]) -> PatternError {
        let before = &text[..text.floor_char_boundary(self.at)];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        PatternError {
            path: path.join("."),
            offset: self.at,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            what: self.what,
            cure: self.cure,
        }
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::new(malformed.at, format!("it is not JSON: {}", malformed.what), "write the pattern as a JSON object")
    }
}

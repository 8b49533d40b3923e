//! An object or array that stands in a text, to be walked by somebody else.

use super::{Cursor, Marks};

/// A part of a text: where it stands, and the marks of the whole if somebody has made them.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The whole up to the end of this part.
    text: &'a str,
    start: usize,
    marks: Option<&'a Marks>,
}

impl<'a> Part<'a> {
    pub(super) fn new(text: &'a str, start: usize, marks: Option<&'a Marks>) -> Self {
        Self { text, start, marks }
    }

    /// As it stands in the text.
    pub fn text(&self) -> &'a str {
        &self.text[self.start..]
    }

    /// At its beginning. What the cursor finds is at offsets of the whole.
    #[inline]
    pub fn cursor(&self) -> Cursor<'a> {
        Cursor { text: self.text, at: self.start, marks: self.marks }
    }
}

impl<'a> From<&'a str> for Part<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, start: 0, marks: None }
    }
}

impl PartialEq for Part<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Part<'_> {}

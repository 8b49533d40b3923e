//! A text along its marks: where does what stands at an offset end?

use super::{Cursor, Marks, Part, StringEnd, Text, check_escapes};

/// A text and its marks, for who takes what is of the usual form: no white space, few escapes. It has no place of its own;
/// every question names an offset. `None` is never an error: the careful walk of a [`super::Cursor`] decides.
#[derive(Debug, Clone, Copy)]
pub struct Track<'a> {
    text: &'a str,
    marks: &'a Marks,
}

impl<'a> Track<'a> {
    pub(super) fn new(text: &'a str, marks: &'a Marks) -> Self {
        Self { text, marks }
    }

    /// For the careful walk, at an offset.
    pub(in crate::decode) fn cursor(&self, at: usize) -> Cursor<'a> {
        Cursor { text: self.text, at, marks: Some(self.marks) }
    }

    /// All of it.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// What stands between two offsets.
    #[inline]
    pub fn between(&self, from: usize, to: usize) -> &'a str {
        &self.text[from..to]
    }

    /// Whether this byte stands at an offset.
    #[inline]
    pub fn is(&self, at: usize, byte: u8) -> bool {
        self.bytes().get(at) == Some(&byte)
    }

    /// So many bytes at an offset.
    #[inline]
    pub fn chunk<const N: usize>(&self, at: usize) -> Option<&'a [u8; N]> {
        self.bytes().get(at..)?.first_chunk()
    }

    /// The closing quote of the string whose inside begins at `from`.
    #[inline]
    pub fn string_end(&self, from: usize) -> Option<StringEnd> {
        self.marks.string_end(from).filter(|end| end.at < self.text.len())
    }

    /// The same, of a string without escapes.
    #[inline]
    pub fn plain_end(&self, from: usize) -> Option<usize> {
        self.string_end(from).filter(|end| !end.escaped).map(|end| end.at)
    }

    /// The same, of a string whose escapes are JSON's.
    #[inline]
    pub fn sound_end(&self, from: usize) -> Option<usize> {
        let end = self.string_end(from)?;
        let sound = !end.escaped || check_escapes(&self.bytes()[..end.at], from, self.marks).is_ok();
        sound.then_some(end.at)
    }

    /// The string whose inside begins at `from`, and the offset behind its closing quote.
    #[inline]
    pub(in crate::decode) fn string(&self, from: usize) -> Option<(Text<'a>, usize)> {
        let end = self.string_end(from)?;
        let sound = !end.escaped || check_escapes(&self.bytes()[..end.at], from, self.marks).is_ok();
        sound.then(|| (Text { raw: &self.text[from..end.at], escaped: end.escaped }, end.at + 1))
    }

    /// The object or array at an offset, its inside not checked, and the offset behind it.
    #[inline]
    pub(in crate::decode) fn extent(&self, from: usize) -> Option<(Part<'a>, usize)> {
        let end = self.marks.extent(from).filter(|&end| end <= self.text.len())?;
        Some((Part::new(&self.text[..end], from, Some(self.marks)), end))
    }
}

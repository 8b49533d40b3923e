//! A text along its marks: where does what stands at an offset end?

use super::{Cursor, Input, Marks, Part, StringEnd, Text, check_escapes};

/// A text and its marks, for who takes what is of the usual form: no white space, few escapes. It has no place of its own;
/// every question names an offset. `None` is never an error: the careful walk of a [`super::Cursor`] decides.
#[derive(Debug)]
pub struct Track<'a, T: Input + ?Sized = str> {
    text: &'a T,
    marks: &'a Marks,
}

impl<T: Input + ?Sized> Clone for Track<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Input + ?Sized> Copy for Track<'_, T> {}

impl<'a> Track<'a> {
    /// For the careful walk, at an offset.
    pub(in crate::decode) fn cursor(&self, at: usize) -> Cursor<'a> {
        Cursor { text: self.text, at, marks: Some(self.marks) }
    }

    /// What stands between two offsets.
    #[inline]
    pub fn between(&self, from: usize, to: usize) -> &'a str {
        &self.text[from..to]
    }

    /// The closing quote of the string whose inside begins at `from`, if its escapes are JSON's.
    #[inline(always)]
    pub fn sound_end(&self, from: usize) -> Option<usize> {
        let end = self.string_end(from)?;
        (!end.escaped || self.is_sound(from, end.at)).then_some(end.at)
    }

    #[inline(never)]
    fn is_sound(&self, from: usize, end: usize) -> bool {
        check_escapes(&self.bytes()[..end], from, self.marks).is_ok()
    }

    /// The string whose inside begins at `from`, and the offset behind its closing quote.
    #[inline]
    pub(in crate::decode) fn string(&self, from: usize) -> Option<(Text<'a>, usize)> {
        let end = self.string_end(from)?;
        let sound = !end.escaped || self.is_sound(from, end.at);
        sound.then(|| (Text { raw: &self.text[from..end.at], escaped: end.escaped }, end.at + 1))
    }

    /// The object or array at an offset, its inside not checked, and the offset behind it.
    #[inline]
    pub(in crate::decode) fn extent(&self, from: usize) -> Option<(Part<'a>, usize)> {
        let end = self.marks.extent(from).filter(|&end| end <= self.text.len())?;
        Some((Part::new(&self.text[..end], from, Some(self.marks)), end))
    }
}

impl<'a, T: Input + ?Sized> Track<'a, T> {
    pub(super) fn new(text: &'a T, marks: &'a Marks) -> Self {
        Self { text, marks }
    }

    /// All of it.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
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
    #[inline(always)]
    pub fn string_end(&self, from: usize) -> Option<StringEnd> {
        let stop = self.marks.stop(from)?;
        if self.is(stop, b'"') { Some(StringEnd { at: stop, escaped: false }) } else { self.escaped_end(stop) }
    }

    /// The same, of a string without escapes.
    #[inline(always)]
    pub fn plain_end(&self, from: usize) -> Option<usize> {
        self.marks.stop(from).filter(|&stop| self.is(stop, b'"'))
    }

    /// The same, of a string whose first escape is known.
    #[inline(never)]
    fn escaped_end(&self, backslash: usize) -> Option<StringEnd> {
        let at = self.marks.quote(backslash).filter(|&at| at < self.bytes().len())?;
        Some(StringEnd { at, escaped: true })
    }

    /// Takes the object at an offset, and answers the offset behind it. `each` gets a name and where its value begins, and
    /// says where it ends.
    #[inline]
    pub fn members(&self, open: usize, mut each: impl FnMut(&'a [u8], usize) -> Option<usize>) -> Option<usize> {
        if !self.is(open, b'{') {
            return None;
        }
        let mut at = open + 1;
        loop {
            if !self.is(at, b'"') {
                return None;
            }
            let end = self.plain_end(at + 1)?;
            if !self.is(end + 1, b':') {
                return None;
            }
            let end = each(&self.bytes()[at + 1..end], end + 2)?;
            match self.bytes().get(end)? {
                b',' => at = end + 1,
                b'}' => return Some(end + 1),
                _ => return None,
            }
        }
    }

    /// Just behind the value at an offset, of which nothing else is looked at.
    #[inline]
    pub fn extent_of_value(&self, at: usize) -> Option<usize> {
        match self.bytes().get(at)? {
            b'"' => self.string_end(at + 1).map(|end| end.at + 1),
            b'{' | b'[' => self.marks.extent(at).filter(|&end| end <= self.bytes().len()),
            _ => {
                let is_scalar = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'+' | b'.' | b'E');
                let length = self.bytes()[at..].iter().take_while(|&byte| is_scalar(byte)).count();
                (length > 0).then_some(at + length)
            }
        }
    }
}

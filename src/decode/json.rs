//! Walks JSON token by token: the primitives every decoder of outside bytes here stands on.
//!
//! It accepts exactly the JSON grammar (RFC 8259) inside the parts it walks, allocates nothing, and bounds the depth.
//! What is only passed over, because somebody else walks it later or nobody wants it, is taken `_unchecked`: by its
//! brackets and quotes alone, which gives the exact extent of everything that a JSON parser accepts.
//!
//! A [`Cursor`] walks `str` where UTF-8 has been checked once for the whole input, and bytes where one record that is no
//! text must not cost the others.

mod block;
mod brackets;
mod input;
mod marks;
mod members;
mod part;
mod scan;
mod text;
mod track;

pub use input::Input;
pub use marks::{Marks, StringEnd};
pub use members::{Elements, Members};
pub use part::Part;
pub use text::Text;
pub use track::Track;

use brackets::Unclosed;
pub(in crate::decode) use scan::check_escapes;
use scan::{escape_length, next_special, quote_or_backslash};

/// The deepest nesting that is walked. DynamoDB allows 32 levels of `M`/`L`, which are at most 70 of JSON; serde_json
/// stops at the same depth.
pub const MAX_DEPTH: usize = 128;

/// The text is not what the walker expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Malformed {
    /// The offset in the walked text.
    pub at: usize,
    /// What was expected, or is wrong.
    pub what: &'static str,
}

/// A place in a JSON text.
#[derive(Debug)]
pub struct Cursor<'a, T: Input + ?Sized = str> {
    text: &'a T,
    at: usize,
    /// Where quotes and brackets are, if somebody has looked for them. Then there is no control character.
    marks: Option<&'a Marks>,
}

impl<T: Input + ?Sized> Clone for Cursor<'_, T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, marks: None }
    }
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`, whose marks these are.
    pub fn marked(text: &'a str, marks: &'a Marks) -> Self {
        Self { text, at: 0, marks: Some(marks) }
    }

    /// The text and its marks, if it has any, for a walk of another kind.
    #[inline]
    pub fn track(&self) -> Option<Track<'a>> {
        Some(Track::new(self.text, self.marks?))
    }

    /// Goes on from another place, which must be behind a token.
    #[inline]
    pub fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Takes any value, checks it fully and answers where it is.
    pub(in crate::decode) fn checked_part(&mut self) -> Result<Part<'a>, Malformed> {
        self.peek();
        let start = self.at;
        self.skip(0)?;
        Ok(self.part(start, self.at))
    }

    /// What stands between two offsets, to be walked by somebody else.
    #[inline]
    pub(in crate::decode) fn part(&self, from: usize, to: usize) -> Part<'a> {
        Part::new(&self.text[..to], from, self.marks)
    }
}

impl<'a> Cursor<'a, [u8]> {
    /// At the beginning of `bytes`, which may be anything.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Self { text: bytes, at: 0, marks: None }
    }
}

impl<'a, T: Input + ?Sized> Cursor<'a, T> {
    /// The offset from the beginning.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// What stands between two offsets.
    pub fn between(&self, from: usize, to: usize) -> &'a T {
        self.text.part(from, to)
    }

    /// An error at this place.
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Skips white space and answers the next byte without taking it.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Takes `wanted` if it comes next, behind white space.
    #[inline]
    pub fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Takes `wanted` or fails.
    #[inline]
    pub fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), Malformed> {
        if self.take(wanted) { Ok(()) } else { Err(self.malformed(what)) }
    }

    /// Fails unless only white space is left.
    pub fn end(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed("something follows the value")),
        }
    }

    /// Takes a string.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a, T>, Malformed> {
        self.expect(b'"', "expected a string")?;
        if let Some(marks) = self.marks {
            return self.marked_string(marks);
        }
        let bytes = self.bytes();
        let start = self.at;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = next_special(bytes, at);
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text { raw: self.between(start, at), escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    at += escape_length(&bytes[at..]).ok_or(Malformed { at, what: "invalid escape" })?;
                }
                Some(_) => return Err(Malformed { at, what: "control character in a string" }),
                None => return Err(Malformed { at: start, what: "string without an end" }),
            }
        }
    }

    /// What is left of a string, behind its opening quote.
    #[inline]
    fn marked_string(&mut self, marks: &Marks) -> Result<Text<'a, T>, Malformed> {
        let start = self.at;
        let bytes = self.bytes();
        let end = marks.string_end(start).filter(|end| end.at < bytes.len());
        let StringEnd { at: end, escaped } = end.ok_or(Malformed { at: start, what: "string without an end" })?;
        if escaped {
            check_escapes(&bytes[..end], start, marks)?;
        }
        self.at = end + 1;
        Ok(Text { raw: self.between(start, end), escaped })
    }

    /// Takes a string up to its closing quote. Its escapes and control characters are **not** checked.
    #[inline]
    pub fn string_unchecked(&mut self) -> Result<Text<'a, T>, Malformed> {
        self.expect(b'"', "expected a string")?;
        let bytes = self.bytes();
        let start = self.at;
        let mut at = start;
        let mut escaped = false;
        while let Some(special) = quote_or_backslash(bytes.get(at..).unwrap_or_default()) {
            at += special;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(Text { raw: self.between(start, at), escaped });
            }
            escaped = true;
            at += 2;
        }
        Err(Malformed { at: start, what: "string without an end" })
    }

    /// Takes a number and answers its text.
    pub fn number(&mut self) -> Result<&'a T, Malformed> {
        self.peek();
        let length = super::number::json_number_length(&self.bytes()[self.at..]);
        if length == 0 {
            return Err(self.malformed("expected a number"));
        }
        self.at += length;
        Ok(self.between(self.at - length, self.at))
    }

    /// Takes `true`, `false` or `null` if it comes next.
    pub fn literal(&mut self, word: &'static str) -> bool {
        self.peek();
        let found = self.bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Takes any value, checks it fully and answers its text.
    pub fn value(&mut self) -> Result<&'a T, Malformed> {
        self.peek();
        let start = self.at;
        self.skip(0)?;
        Ok(self.between(start, self.at))
    }

    fn skip(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth >= MAX_DEPTH {
            return Err(self.malformed("nested too deeply"));
        }
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => {
                let mut members = Members::open(self)?;
                while members.next(self)?.is_some() {
                    self.skip(depth + 1)?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut elements = Elements::open(self)?;
                while elements.next(self)? {
                    self.skip(depth + 1)?;
                }
                Ok(())
            }
            Some(b't') if self.literal("true") => Ok(()),
            Some(b'f') if self.literal("false") => Ok(()),
            Some(b'n') if self.literal("null") => Ok(()),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => Err(self.malformed("expected a value")),
        }
    }

    /// Takes an object by its brackets alone and answers its text. What is inside is **not** checked: for parts that
    /// are walked again anyway.
    pub fn object_unchecked(&mut self) -> Result<&'a T, Malformed> {
        if self.peek() != Some(b'{') {
            return Err(self.malformed("expected an object"));
        }
        self.brackets()
    }

    /// Takes any value by its brackets or quotes alone and answers its text. What is inside is **not** checked.
    pub fn value_unchecked(&mut self) -> Result<&'a T, Malformed> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{' | b'[') => return self.brackets(),
            Some(b'"') => drop(self.string_unchecked()?),
            _ => {
                let rest = &self.bytes()[start..];
                let is_scalar = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'+' | b'.' | b'E');
                self.at += rest.iter().take_while(|&b| is_scalar(b)).count();
                if self.at == start {
                    return Err(self.malformed("expected a value"));
                }
            }
        }
        Ok(self.between(start, self.at))
    }

    /// From an opening bracket to behind its partner.
    fn brackets(&mut self) -> Result<&'a T, Malformed> {
        let start = self.at;
        if let Some(end) = self.marks.and_then(|marks| marks.extent(start)).filter(|&end| end <= self.bytes().len()) {
            self.at = end;
            return Ok(self.between(start, end));
        }
        match brackets::extent(&self.bytes()[start..]) {
            Ok(length) => {
                self.at += length;
                Ok(self.between(start, self.at))
            }
            Err(Unclosed::End) => Err(self.malformed("object or array without an end")),
            Err(Unclosed::TooDeep) => Err(self.malformed("nested too deeply")),
        }
    }
}

#[cfg(test)]
mod tests;

//! How to step through JSON bytes without building anything.
//!
//! [`Walk`] knows where it stands and what may come next; the caller says what it expects. Values nobody asks for are
//! skipped by their brackets and quotes alone: what lies inside them is not checked here, but their extent is exact
//! for every text a JSON parser accepts.

use std::borrow::Cow;
use std::ops::Range;

use super::json_brackets::{self, Unclosed};

/// The bytes are not the JSON that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub(super) struct NotJson {
    /// Where it went wrong.
    pub(super) at: usize,
    /// What should have been there.
    pub(super) expected: &'static str,
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A JSON string as it was written, quotes included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    quoted: &'a [u8],
    escaped: bool,
    at: usize,
}

impl<'a> Walk<'a> {
    /// Starts at the first byte.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes lie behind.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next byte that is no white space; it is not consumed.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Enters an object; then call [`Self::member`] until it answers `None`.
    pub(super) fn object(&mut self) -> Result<(), NotJson> {
        self.expect(b'{', "an object")
    }

    /// Enters an array; then call [`Self::element`] until it answers `false`.
    pub(super) fn array(&mut self) -> Result<(), NotJson> {
        self.expect(b'[', "an array")
    }

    /// Steps to the value of the object's next member and answers its name; `None`: the object ended. `first` says
    /// whether no member was read yet.
    pub(super) fn member(&mut self, first: &mut bool) -> Result<Option<Text<'a>>, NotJson> {
        if !self.next_item(first, b'}', "`,` or `}`")? {
            return Ok(None);
        }
        let name = self.text()?;
        self.expect(b':', "`:`")?;
        Ok(Some(name))
    }

    /// Steps to the array's next element; `false`: the array ended.
    pub(super) fn element(&mut self, first: &mut bool) -> Result<bool, NotJson> {
        self.next_item(first, b']', "`,` or `]`")
    }

    /// Reads a string.
    pub(super) fn text(&mut self) -> Result<Text<'a>, NotJson> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a string"));
        }
        let start = self.at;
        let escaped = self.skip_string()?;
        Ok(Text { quoted: &self.bytes[start..self.at], escaped, at: start })
    }

    /// Reads a string or `null`.
    pub(super) fn text_or_null(&mut self) -> Result<Option<Text<'a>>, NotJson> {
        if self.peek() == Some(b'n') {
            let value = self.skip()?;
            return match &self.bytes[value.clone()] {
                b"null" => Ok(None),
                _ => Err(NotJson { at: value.start, expected: "a string or null" }),
            };
        }
        self.text().map(Some)
    }

    /// Steps over a value of any kind and answers where it lies.
    pub(super) fn skip(&mut self) -> Result<Range<usize>, NotJson> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{' | b'[') => self.skip_brackets()?,
            Some(b'"') => drop(self.skip_string()?),
            _ => self.skip_scalar()?,
        }
        Ok(start..self.at)
    }

    /// Checks that nothing but white space follows.
    pub(super) fn end(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong("the end")),
        }
    }

    fn next_item(&mut self, first: &mut bool, close: u8, expected: &'static str) -> Result<bool, NotJson> {
        let byte = self.peek();
        if byte == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        if std::mem::replace(first, false) {
            return Ok(true);
        }
        if byte != Some(b',') {
            return Err(self.wrong(expected));
        }
        self.at += 1;
        // `[1,]` is no JSON.
        if self.peek() == Some(close) { Err(self.wrong("another item")) } else { Ok(true) }
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), NotJson> {
        if self.peek() != Some(byte) {
            return Err(self.wrong(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// From an opening bracket to behind its partner.
    fn skip_brackets(&mut self) -> Result<(), NotJson> {
        match json_brackets::extent(&self.bytes[self.at..]) {
            Ok(length) => {
                self.at += length;
                Ok(())
            }
            Err(Unclosed::End) => Err(NotJson { at: self.bytes.len(), expected: "a closing bracket" }),
            Err(Unclosed::TooDeep) => Err(self.wrong("a value of at most 256 levels")),
        }
    }

    /// From an opening quote to behind its partner; answers whether there were escapes.
    fn skip_string(&mut self) -> Result<bool, NotJson> {
        let mut at = self.at + 1;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Some(special) = quote_or_backslash(rest) else {
                return Err(NotJson { at: self.bytes.len(), expected: "a closing quote" });
            };
            at += special;
            if self.bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(escaped);
            }
            escaped = true;
            at += 2;
        }
    }

    fn skip_scalar(&mut self) -> Result<(), NotJson> {
        let rest = &self.bytes[self.at..];
        let is_scalar = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'+' | b'.' | b'E');
        match rest.iter().take_while(|&b| is_scalar(b)).count() {
            0 => Err(self.wrong("a value")),
            length => {
                self.at += length;
                Ok(())
            }
        }
    }

    fn wrong(&self, expected: &'static str) -> NotJson {
        NotJson { at: self.at, expected }
    }
}

impl<'a> Text<'a> {
    /// Whether it spells `text`.
    pub(super) fn is(&self, text: &str) -> bool {
        if self.escaped { self.decode().is_ok_and(|own| own == text) } else { self.raw() == text.as_bytes() }
    }

    /// The text with its escapes resolved.
    pub(super) fn decode(&self) -> Result<Cow<'a, str>, NotJson> {
        let wrong = || NotJson { at: self.at, expected: "a valid string" };
        if self.escaped {
            return serde_json::from_slice(self.quoted).map(Cow::Owned).map_err(|_| wrong());
        }
        std::str::from_utf8(self.raw()).map(Cow::Borrowed).map_err(|_| wrong())
    }

    /// How many bytes lie between the quotes.
    pub(super) fn len(&self) -> usize {
        self.quoted.len() - 2
    }

    /// The bytes between the quotes when they hold no escape.
    pub(super) fn plain(&self) -> Option<&'a [u8]> {
        (!self.escaped).then(|| self.raw())
    }

    fn raw(&self) -> &'a [u8] {
        &self.quoted[1..self.quoted.len() - 1]
    }
}

/// The first quote or backslash. Eight bytes at a time: most strings are too short to pay for a search in larger steps.
#[inline]
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Marks the zero bytes; marks above the first one may be wrong.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let marks = zeros(word ^ (LOW * u64::from(b'"'))) | zeros(word ^ (LOW * u64::from(b'\\')));
        if marks != 0 {
            return Some(i * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let found = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\'))?;
    Some(words.len() * 8 + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(text: &str) -> Result<&str, NotJson> {
        Walk::new(text.as_bytes()).skip().map(|range| &text[range])
    }

    #[test]
    fn a_skipped_value_ends_where_it_ends() {
        for (text, value) in [
            (r#" {"a":"}]"} ,"#, r#"{"a":"}]"}"#),
            (r#"["\"",{}]]"#, r#"["\"",{}]"#),
            (r#""\\" "x""#, r#""\\""#),
            ("-1.5E+9]", "-1.5E+9"),
            ("null}", "null"),
        ] {
            assert_eq!(extent(text), Ok(value));
        }
        let long = format!(r#""{}\"{}"!"#, "x".repeat(40), "y".repeat(70));
        assert_eq!(extent(&long), Ok(&long[..long.len() - 1]));
    }

    #[test]
    fn what_does_not_close_is_refused() {
        for text in ["", "{", r#""abc"#, r#"""#, r#""a\"#, r#"{"a":[}"#, "?", r#""\"#] {
            assert!(extent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
        assert!(extent(&nested(256)).is_ok());
        assert!(extent(&nested(257)).is_err());
    }

    #[test]
    fn names_with_escapes_are_compared_by_what_they_spell() {
        let mut walk = Walk::new(br#"{"Re\u0063ords":1,"x":2}"#);
        let mut first = true;
        walk.object().unwrap();
        assert!(walk.member(&mut first).unwrap().unwrap().is("Records"));
        walk.skip().unwrap();
        assert!(!walk.member(&mut first).unwrap().unwrap().is("Records"));
        walk.skip().unwrap();
        assert!(walk.member(&mut first).unwrap().is_none());
        walk.end().unwrap();
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Walk::new(&bytes).skip();
            let _ = Walk::new(&bytes).text();
        }

        #[test]
        fn any_json_text_is_skipped_whole(text in r#"("([a-z\\]|\\u00e9|\\"){0,80}"|\[("[^"\\]{0,50}"|\{\}|,)*\])"#) {
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                prop_assert_eq!(extent(&text), Ok(text.as_str()));
            }
        }
    }
}

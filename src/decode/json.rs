//! Walks JSON text token by token: the primitives every decoder of outside bytes here stands on.
//!
//! It accepts exactly the JSON grammar (RFC 8259) inside the parts it walks, allocates nothing, and bounds the depth.
//! Text comes in as `str`, so that UTF-8 has been checked once for the whole input.

use std::borrow::Cow;

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

/// A string token: what stands between its quotes, escapes and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// The characters between the quotes as they stand in the input.
    pub raw: &'a str,
    /// Whether there is an escape among them.
    pub escaped: bool,
}

impl<'a> Text<'a> {
    /// The string it denotes, or `None` if it is no Unicode text (a lone surrogate).
    pub fn decode(&self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.raw));
        }
        let mut text = Vec::with_capacity(self.raw.len());
        self.decode_into(&mut text).then(|| String::from_utf8(text).ok().map(Cow::Owned)).flatten()
    }

    /// Appends the string it denotes to `out`. `false`, and `out` as it was, if it is no Unicode text.
    pub fn decode_into(&self, out: &mut Vec<u8>) -> bool {
        if !self.escaped {
            out.extend_from_slice(self.raw.as_bytes());
            return true;
        }
        let start = out.len();
        let done = unescape(self.raw.as_bytes(), out);
        if !done {
            out.truncate(start);
        }
        done
    }

    /// Whether it denotes `plain`, which needs no escapes.
    pub fn is(&self, plain: &str) -> bool {
        if self.escaped { self.decode().is_some_and(|text| text == plain) } else { self.raw == plain }
    }
}

/// The scanner has checked the form of every escape; what can still be wrong are surrogates.
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let mut at = 0;
    while let Some(skip) = memchr::memchr(b'\\', &raw[at..]) {
        out.extend_from_slice(&raw[at..at + skip]);
        at += skip + 2;
        match raw[at - 1] {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let Some((character, length)) = unicode_escape(&raw[at..]) else { return false };
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
            }
            other => out.push(other),
        }
    }
    out.extend_from_slice(&raw[at..]);
    true
}

/// Reads what follows `\u`: four digits, or a surrogate pair `XXXX\uXXXX`. Answers its length too.
fn unicode_escape(raw: &[u8]) -> Option<(char, usize)> {
    let unit =
        |at: usize| -> Option<u32> { u32::from_str_radix(std::str::from_utf8(raw.get(at..at + 4)?).ok()?, 16).ok() };
    let first = unit(0)?;
    if !(0xD800..0xE000).contains(&first) {
        return Some((char::from_u32(first)?, 4));
    }
    let second = (raw.get(4..6) == Some(b"\\u")).then(|| unit(6)).flatten()?;
    if first >= 0xDC00 || !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, 10))
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The offset from the beginning.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// What stands between two offsets.
    pub fn between(&self, from: usize, to: usize) -> &'a str {
        &self.text[from..to]
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
    pub fn string(&mut self) -> Result<Text<'a>, Malformed> {
        self.expect(b'"', "expected a string")?;
        let bytes = self.bytes();
        let start = self.at;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = next_special(bytes, at);
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text { raw: &self.text[start..at], escaped });
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

    /// Takes a number and answers its text.
    pub fn number(&mut self) -> Result<&'a str, Malformed> {
        self.peek();
        let length = super::number::json_number_length(&self.bytes()[self.at..]);
        if length == 0 {
            return Err(self.malformed("expected a number"));
        }
        self.at += length;
        Ok(&self.text[self.at - length..self.at])
    }

    /// Takes `true`, `false` or `null` if it comes next.
    pub fn literal(&mut self, word: &'static str) -> bool {
        self.peek();
        let found = self.bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Takes any value, checks it fully and answers its text.
    pub fn value(&mut self) -> Result<&'a str, Malformed> {
        self.peek();
        let start = self.at;
        self.skip(0)?;
        Ok(&self.text[start..self.at])
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

    /// Takes an object by its braces alone and answers its text. What is inside is **not** checked: for parts that
    /// are walked again anyway.
    pub fn object_unchecked(&mut self) -> Result<&'a str, Malformed> {
        if self.peek() != Some(b'{') {
            return Err(self.malformed("expected an object"));
        }
        let bytes = self.bytes();
        let start = self.at;
        let mut depth = 0usize;
        while let Some(skip) = memchr::memchr3(b'"', b'{', b'}', &bytes[self.at..]) {
            self.at += skip;
            match bytes[self.at] {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' => depth += 1,
                _ => depth -= 1,
            }
            self.at += 1;
            if depth == 0 {
                return Ok(&self.text[start..self.at]);
            }
        }
        Err(Malformed { at: start, what: "object without an end" })
    }
}

/// The members of an object, one after the other: take each value from the cursor before the next name.
#[derive(Debug)]
pub struct Members {
    first: bool,
}

impl Members {
    /// Takes the opening brace.
    #[inline]
    pub fn open(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        cursor.expect(b'{', "expected an object")?;
        Ok(Self { first: true })
    }

    /// Takes the next name and its colon, or the closing brace (`None`).
    #[inline]
    pub fn next<'a>(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<Text<'a>>, Malformed> {
        if cursor.take(b'}') {
            // `{"a":1,}`: the comma has been taken, so a brace may only come where a comma could.
            return Ok(None);
        }
        if !self.first {
            cursor.expect(b',', "expected `,` or `}`")?;
        }
        self.first = false;
        let name = cursor.string()?;
        cursor.expect(b':', "expected `:`")?;
        Ok(Some(name))
    }
}

/// The elements of an array, one after the other.
#[derive(Debug)]
pub struct Elements {
    first: bool,
}

impl Elements {
    /// Takes the opening bracket.
    #[inline]
    pub fn open(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        cursor.expect(b'[', "expected an array")?;
        Ok(Self { first: true })
    }

    /// Whether an element follows, which the caller takes; otherwise the closing bracket has been taken.
    #[inline]
    pub fn next(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Malformed> {
        if cursor.take(b']') {
            return Ok(false);
        }
        if !self.first {
            cursor.expect(b',', "expected `,` or `]`")?;
        }
        self.first = false;
        Ok(true)
    }
}

/// The offset of the next byte that ends the plain part of a string: a quote, a backslash or a control character.
/// Eight bytes at a time; the well-known "has a zero byte" trick.
#[inline]
fn next_special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if hits & HIGHS != 0 {
            // The lowest hit is exact; only bytes above a hit may be false ones.
            return at + ((hits & HIGHS).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
        at += 1;
    }
    at
}

/// The length of the escape that `bytes` starts with, if it is one of JSON's.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Result<&str, Malformed> {
        let mut cursor = Cursor::new(text);
        let value = cursor.value()?;
        cursor.end()?;
        Ok(value)
    }

    #[test]
    fn accepts_what_serde_json_accepts() {
        for text in [
            "{}",
            "[]",
            "[1,2]",
            r#"{"a":{"b":[true,false,null]}}"#,
            " [ 1 , \"x\" ] ",
            r#""\u00e9\"\\""#,
            "-0.5e+3",
            "[1,]",
            "{,}",
            r#"{"a":1,}"#,
            "01",
            "1.",
            ".5",
            "+1",
            "\"\t\"",
            r#""\x""#,
            "[",
            "{\"a\"}",
            "tru",
            "nul",
            "\"",
            "1 2",
            "",
            "[}",
            "{]",
            r#"{"a":1"b":2}"#,
            "[1 2]",
            "-",
            "1e",
            r#""\u12g4""#,
        ] {
            let expected = serde_json::from_str::<&serde_json::value::RawValue>(text);
            assert_eq!(whole(text).is_ok(), expected.is_ok(), "{text}: {:?}", whole(text));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(whole(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(whole(&nested(MAX_DEPTH + 1)).unwrap_err().what, "nested too deeply");
        assert!(whole(&nested(1_000_000)).is_err());
    }

    #[test]
    fn a_lone_surrogate_is_no_text() {
        let text = |raw| Text { raw, escaped: true };
        assert_eq!(text(r"\ud83d\ude00").decode().unwrap(), "😀");
        for raw in [r"\ud83d", r"\ud83dx", r"\ude00", r"\ud83d\u0041"] {
            assert_eq!(text(raw).decode(), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn strings_come_back(text in any::<String>(), before in "[a-z]{0,9}") {
            let json = format!("{}{}", serde_json::to_string(&before).unwrap(), serde_json::to_string(&text).unwrap());
            let mut cursor = Cursor::new(&json);
            prop_assert!(cursor.string().unwrap().is(&before));
            prop_assert_eq!(cursor.string().unwrap().decode().unwrap(), text);
        }

        #[test]
        fn never_panics_and_agrees_with_serde_json(text in r#"[\[\]{}",:\\ 0-9a-funtrls.eE+-]{0,24}"#) {
            let expected = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            prop_assert_eq!(whole(&text).is_ok(), expected.is_ok());
            let _ = Cursor::new(&text).object_unchecked();
        }
    }
}

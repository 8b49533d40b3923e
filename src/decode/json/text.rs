//! What does a JSON string denote?

use std::borrow::Cow;

use super::Input;

/// A string token: what stands between its quotes, escapes and all.
#[derive(Debug, PartialEq, Eq)]
pub struct Text<'a, T: Input + ?Sized = str> {
    /// The characters between the quotes as they stand in the input.
    pub raw: &'a T,
    /// Whether there is an escape among them.
    pub escaped: bool,
}

impl<T: Input + ?Sized> Clone for Text<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Input + ?Sized> Copy for Text<'_, T> {}

impl<'a, T: Input + ?Sized> Text<'a, T> {
    /// The string it denotes, or `None` if it is no Unicode text (a lone surrogate).
    pub fn decode(&self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return self.raw.as_text().map(Cow::Borrowed);
        }
        let mut text = Vec::with_capacity(self.raw.as_bytes().len());
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
        if self.escaped {
            self.decode().is_some_and(|text| text == plain)
        } else {
            self.raw.as_bytes() == plain.as_bytes()
        }
    }
}

/// Of a string that was checked only surrogates can be wrong, of another any escape.
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = raw;
    while let Some(&first) = rest.first() {
        if first != b'\\' {
            let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..plain]);
            rest = &rest[plain..];
            continue;
        }
        let Some(&escape) = rest.get(1) else { return false };
        rest = &rest[2..];
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let Some((character, length)) = unicode_escape(rest) else { return false };
                push(character, out);
                rest = &rest[length..];
            }
            other @ (b'"' | b'\\' | b'/') => out.push(other),
            _ => return false,
        }
    }
    true
}

/// Appends a character as UTF-8. The lengths are told apart so that each is copied without a call.
#[inline]
fn push(character: char, out: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    let length = character.encode_utf8(&mut buffer).len();
    let [a, b, c, _] = buffer;
    match length {
        1 => out.push(a),
        2 => out.extend_from_slice(&[a, b]),
        3 => out.extend_from_slice(&[a, b, c]),
        _ => out.extend_from_slice(&buffer),
    }
}

/// What a hexadecimal digit is worth; 255 is none.
const HEX: [u8; 256] = {
    let mut worth = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        worth[b"0123456789abcdef"[digit] as usize] = digit as u8;
        worth[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    worth
};

/// Reads what follows `\u`: four digits, or a surrogate pair `XXXX\uXXXX`. Answers its length too.
#[inline]
fn unicode_escape(raw: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let worth = raw.get(at..)?.first_chunk::<4>()?.map(|digit| HEX[usize::from(digit)]);
        let are_digits = worth.iter().all(|&digit| digit < 16);
        are_digits.then(|| worth.iter().fold(0, |number, &digit| number << 4 | u32::from(digit)))
    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_lone_surrogate_is_no_text() {
        let text = |raw| Text { raw, escaped: true };
        assert_eq!(text(r"\ud83d\ude00").decode().unwrap(), "😀");
        for raw in [r"\ud83d", r"\ud83dx", r"\ude00", r"\ud83d\u0041"] {
            assert_eq!(text(raw).decode(), None, "{raw}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_denote_nothing() {
        assert_eq!(Text { raw: &b"\xff"[..], escaped: false }.decode(), None);
        assert_eq!(Text { raw: &b"\xff\\n"[..], escaped: true }.decode(), None);
    }

    proptest! {
        #[test]
        fn strings_that_were_not_checked_denote_what_serde_json_says(raw in r#"([a-zé/]|\\["\\/bfnrtux0-9+]|\\u[0-9a-fA-F]{4}|\\ud8[0-9a-f]{2}){0,9}"#) {
            let expected = serde_json::from_str::<String>(&format!("\"{raw}\"")).ok();
            let text = Text { raw: raw.as_bytes(), escaped: raw.contains('\\') };
            prop_assert_eq!(text.decode().map(Cow::into_owned), expected);
        }
    }
}

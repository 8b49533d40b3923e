//! Does a text have the form of a wildcard? `*` stands for any characters or none; `\*` and `\\` for themselves.

use memchr::memmem;

/// What stands between the asterisks: one piece more than there are asterisks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wildcard(Vec<Vec<u8>>);

impl Wildcard {
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut pieces = vec![Vec::new()];
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let literal = match byte {
                b'*' if bytes.peek() == Some(&b'*') => return Err("has two `*` in a row"),
                b'*' => {
                    pieces.push(Vec::new());
                    continue;
                }
                b'\\' => bytes
                    .next_if(|escaped| matches!(escaped, b'*' | b'\\'))
                    .ok_or("has a backslash before something other than `*` or a backslash")?,
                other => other,
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(literal);
            }
        }
        Ok(Self(pieces))
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|only| only == text);
        };
        let inner = text.strip_prefix(first.as_slice()).and_then(|rest| rest.strip_suffix(last.as_slice()));
        let Some(mut rest) = inner else { return false };
        // The first place where a piece fits leaves most to the others.
        middle.iter().all(|piece| {
            let found = memmem::find(rest, piece);
            rest = &rest[found.map_or(0, |at| at + piece.len())..];
            found.is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_stands_for_anything() {
        for (wildcard, text, matches) in [
            ("photo.*", "photo.PNG", true),
            ("B*l*n", "Berlin", true),
            ("*", "", true),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*b*a", "aba", true),
            ("*a*", "bab", true),
            ("*ab*abc", "ababc", true),
            ("", "", true),
            ("", "x", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\\*", r"a\x", true),
        ] {
            assert_eq!(Wildcard::parse(wildcard).unwrap().matches(text.as_bytes()), matches, "{wildcard} {text}");
        }
        assert!([r"a\c", r"a\", "a**c"].into_iter().all(|wrong| Wildcard::parse(wrong).is_err()));
    }
}

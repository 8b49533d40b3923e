//! Where in a text is a byte, and how is text from outside shown without harm?

use std::ops::Range;

use super::problem::Place;

/// The lines of a file.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // A byte order mark is no character of the first line.
        let first = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(first).chain(breaks).collect() }
    }

    /// What stands at these bytes; nothing if they are none of the text.
    pub(super) fn source(&self, bytes: &Range<usize>) -> &'a str {
        self.text.get(bytes.clone()).unwrap_or_default()
    }

    /// The place of a range of bytes; of a range over several lines the part in the first. Offsets behind the end
    /// mean the end, those inside a character mean the character.
    pub(super) fn place(&self, bytes: Range<usize>) -> Place {
        let first = self.starts.first().copied().unwrap_or_default();
        let start = self.text.floor_char_boundary(bytes.start.max(first));
        let line = self.starts.partition_point(|line| *line <= start).max(1);
        let line_start = self.starts[line - 1];
        let line_end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        let content = self.text[line_start..line_end].strip_suffix('\r');
        let line_end = content.map_or(line_end, |content| line_start + content.len());
        let start = start.clamp(line_start, line_end);
        let end = self.text.ceil_char_boundary(bytes.end).clamp(start, line_end);
        Place {
            line,
            column: self.text[line_start..start].chars().count() + 1,
            length: self.text[start..end].chars().count().max(1),
        }
    }
}

/// How many characters of a value from outside a message shows.
const QUOTED_CHARS: usize = 80;

/// A value from outside for a message: in double quotes, cut when long, control and invisible characters escaped.
pub(super) fn quote(value: &str) -> String {
    let mut shown: String = value.chars().take(QUOTED_CHARS).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// A key as it is written in TOML, for a key path.
pub(super) fn key_name(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().count() <= QUOTED_CHARS && key.chars().all(bare) {
        key.to_owned()
    } else {
        quote(key)
    }
}

/// The same text, character for character, with those replaced that would play tricks on a terminal (controls other
/// than the tab, and marks that turn the direction of writing).
pub(super) fn printable(text: &str) -> String {
    let tricky = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if tricky(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_count_characters() {
        let text = "\u{feff}ä = 1\r\n\tb = \"🌙\" # x\n\n";
        let at = |needle: &str| {
            let start = text.find(needle).unwrap();
            let place = Lines::new(text).place(start..start + needle.len());
            (place.line, place.column, place.length)
        };
        assert_eq!(at("ä"), (1, 1, 1));
        assert_eq!(at("1"), (1, 5, 1));
        assert_eq!(at("\r\n\tb"), (1, 6, 1));
        assert_eq!(at("b"), (2, 2, 1));
        assert_eq!(at("\"🌙\""), (2, 6, 3));
        assert_eq!(at("# x"), (2, 10, 3));
        assert_eq!(Lines::new(text).place(900..901), Place { line: 4, column: 1, length: 1 });
        assert_eq!(Lines::new("").place(0..0), Place { line: 1, column: 1, length: 1 });
    }

    #[test]
    fn what_is_quoted_is_safe_to_print() {
        assert_eq!(quote("a\u{1b}[0m\"\u{202e}"), r#""a\u{1b}[0m\"\u{202e}""#);
        assert_eq!(quote(&"x".repeat(200)).chars().count(), QUOTED_CHARS + 3);
        assert_eq!(key_name("Reply"), "Reply");
        assert_eq!(key_name("my.table"), "\"my.table\"");
        assert_eq!(key_name(""), "\"\"");
    }

    const ODD_TEXT: &str = "[a\u{feff}ä🌙\r\n\t]{0,30}";

    proptest! {
        #[test]
        fn every_range_has_a_place_inside_the_text(text in ODD_TEXT, start in 0usize..80, end in 0usize..80) {
            let place = Lines::new(&text).place(start..end);
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let line = text.split('\n').nth(place.line - 1);
            prop_assert!(line.is_some_and(|line| place.column <= line.chars().count() + 1));
        }
    }
}

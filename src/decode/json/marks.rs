//! Where are the quotes, backslashes and brackets of a record? Found once, for everybody who walks it.
//!
//! A walk byte by byte mispredicts at the end of almost every string, which costs more than the rest. Here a record is
//! looked through 64 bytes at a time; then the end of a string, or of an object, is a matter of counting bits.

use super::block::{Block, Strings};

/// The deepest nesting of brackets that is followed. What is deeper is left to the careful walk, which knows the limit.
const MAX_DEPTH: i32 = 60;

/// The marks of one text. The memory serves many texts, one after the other.
#[derive(Debug, Default)]
pub struct Marks {
    words: Vec<Word>,
    /// There is no backslash at all.
    plain: bool,
    /// How deep the text behind the last word is nested.
    depth: i32,
}

/// The marks of 64 bytes.
#[derive(Debug, Clone, Copy)]
struct Word {
    /// Quotes that are not escaped.
    quotes: u64,
    backslashes: u64,
    /// Opening brackets outside of strings.
    opens: u64,
    closes: u64,
    /// How deep the brackets before these bytes nest.
    depth: i32,
    closed: i32,
}

impl Marks {
    /// Marks `text`. `false` if there is a control character in it, for which these marks are not made.
    pub fn read(&mut self, text: &[u8]) -> bool {
        self.words.clear();
        self.plain = true;
        self.depth = 0;
        let mut strings = Strings::default();
        let (blocks, rest) = text.as_chunks::<64>();
        let usable = blocks.iter().all(|block| self.add(&Block::new(block), &mut strings));
        usable && (rest.is_empty() || self.add(&Block::padded(rest), &mut strings))
    }

    #[inline]
    fn add(&mut self, block: &Block, strings: &mut Strings) -> bool {
        let backslashes = block.equal(b'\\');
        let (quotes, inside) = strings.next(block, backslashes);
        self.plain &= backslashes == 0;
        // `{` and `[`, `}` and `]` differ in one bit.
        let (opens, closes) = (block.folded(0x20, b'{') & !inside, block.folded(0x20, b'}') & !inside);
        let (opened, closed) = (opens.count_ones() as i32, closes.count_ones() as i32);
        self.words.push(Word { quotes, backslashes, opens, closes, depth: self.depth, closed });
        self.depth += opened - closed;
        block.at_most(0x1f) == 0
    }

    /// The first quote that is not escaped, at this offset or behind it.
    #[inline]
    pub(in crate::decode) fn quote(&self, at: usize) -> Option<usize> {
        self.first(at, |word| word.quotes)
    }

    /// The first backslash at this offset or behind it.
    #[inline]
    pub(super) fn backslash(&self, at: usize) -> Option<usize> {
        if self.plain { None } else { self.first(at, |word| word.backslashes) }
    }

    /// Whether there is a backslash between two offsets.
    #[inline]
    pub(in crate::decode) fn is_escaped(&self, from: usize, to: usize) -> bool {
        // The next one may be far away.
        let words = self.words.get(from / 64..to / 64 + 1).unwrap_or_default();
        !self.plain && words.iter().any(|word| word.backslashes != 0) && self.backslash(from).is_some_and(|at| at < to)
    }

    #[inline]
    fn first(&self, at: usize, marks: impl Fn(&Word) -> u64) -> Option<usize> {
        let (mut word, bit) = (at / 64, at % 64);
        let mut bits = marks(self.words.get(word)?) >> bit << bit;
        while bits == 0 {
            word += 1;
            bits = marks(self.words.get(word)?);
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// Just behind the partner of the opening bracket at this offset. Brackets are counted; that they pair up is for
    /// those to check who read what is inside. `None`: there is no end, or it is nested too deeply.
    #[inline]
    pub(in crate::decode) fn extent(&self, at: usize) -> Option<usize> {
        let before = (1_u64 << (at % 64)) - 1;
        let first = self.words.get(at / 64)?;
        let opened = |word: &Word| (word.opens & before).count_ones() as i32;
        let closed = |word: &Word| (word.closes & before).count_ones() as i32;
        let outside = first.depth + opened(first) - closed(first);
        if let Some(end) = close(first.opens & !before, first.closes & !before, 0) {
            return Some(at / 64 * 64 + end);
        }
        for (number, word) in self.words.iter().enumerate().skip(at / 64 + 1) {
            let depth = word.depth - outside;
            if depth > MAX_DEPTH {
                return None;
            }
            // Where fewer brackets close than are open, the end is not.
            if word.closed >= depth
                && let Some(end) = close(word.opens, word.closes, depth)
            {
                return Some(number * 64 + end);
            }
        }
        None
    }
}

/// Where the depth reaches zero within a word, just behind it.
#[inline]
fn close(mut opens: u64, mut closes: u64, mut depth: i32) -> Option<usize> {
    while closes != 0 {
        let at = closes.trailing_zeros();
        while opens != 0 && opens.trailing_zeros() < at {
            depth += 1;
            opens &= opens - 1;
        }
        depth -= 1;
        if depth <= 0 {
            return Some(at as usize + 1);
        }
        closes &= closes - 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::json::brackets;
    use proptest::prelude::*;

    fn marks(text: &str) -> Marks {
        let mut marks = Marks::default();
        assert!(marks.read(text.as_bytes()));
        marks
    }

    #[test]
    fn control_characters_are_not_for_marks() {
        for at in [0, 1, 63, 64, 100, 127, 128] {
            let mut text = "x".repeat(129).into_bytes();
            assert!(Marks::default().read(&text));
            text[at] = 0x1f;
            assert!(!Marks::default().read(&text), "{at}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(marks(&nested(60)).extent(0), Some(120));
        assert_eq!(marks(&nested(200)).extent(0), None);
    }

    proptest! {
        #[test]
        fn quotes_are_those_that_are_not_escaped(text in r#"([a-z]{0,40}|"|\\{1,4}|é){0,40}"#) {
            let (mut escaped, mut expected) = (false, Vec::new());
            for (at, byte) in text.bytes().enumerate() {
                let hidden = std::mem::take(&mut escaped);
                match byte {
                    b'\\' => escaped = !hidden,
                    b'"' if !hidden => expected.push(at),
                    _ => {}
                }
            }
            let marks = marks(&text);
            let mut found = Vec::new();
            let mut at = 0;
            while let Some(quote) = marks.quote(at) {
                found.push(quote);
                at = quote + 1;
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(marks.backslash(0), text.find('\\'));
        }

        #[test]
        fn extents_are_those_of_the_bytes(
            before in r#"([a-z]{0,9}|"[a-z{}]{0,9}"){0,30}"#, inside in r#"([a-z]{0,9}|"([a-z}]|\\\\|\\"){0,9}"|\{|\}|\[|\]){0,60}"#,
        ) {
            let text = format!("{before}{{{inside}}}}}");
            let found = marks(&text).extent(before.len());
            let expected = brackets::extent(&text.as_bytes()[before.len()..]).ok().map(|length| before.len() + length);
            prop_assert_eq!(found, expected);
        }
    }
}

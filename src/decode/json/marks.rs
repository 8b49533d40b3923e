//! Where are the quotes, backslashes and brackets of a record? Found once, for everybody who walks it.
//!
//! A walk byte by byte mispredicts at the end of almost every string, which costs more than the rest. Here a record is
//! looked through 64 bytes at a time; then the end of a string, or of an object, is a matter of counting bits.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch};

use super::block::{Block, Strings};

/// The deepest nesting of brackets that is followed. What is deeper is left to the careful walk, which knows the limit.
const MAX_DEPTH: i32 = 60;

/// The marks of one text: a word, or what else there is, for 64 bytes. The first byte's bit is the lowest. The memory
/// serves many texts, one after the other.
#[derive(Debug, Default)]
pub struct Marks {
    /// Quotes that are not escaped.
    quotes: Vec<u64>,
    /// These and all backslashes: where the plain part of a string ends.
    stops: Vec<u64>,
    brackets: Vec<Brackets>,
}

/// The brackets among 64 bytes, outside of strings. Most come in pairs, one directly behind the other, as around a scalar.
/// Such a pair changes nothing for what is around it, so the others are kept apart.
#[derive(Debug, Default, Clone, Copy)]
struct Brackets {
    all: u64,
    /// Opening brackets, the one before which is an opening one.
    inner: u64,
    /// Closing brackets, the one before which is a closing one.
    outer: u64,
    /// How deep the brackets before these bytes nest, without the last one if it opens: it may be one of a pair.
    depth: i32,
}

/// Where a string ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StringEnd {
    /// The offset of the closing quote.
    pub at: usize,
    /// Whether there is a backslash before it.
    pub escaped: bool,
}

impl Marks {
    /// Marks `text`. `false` if there is a control character in it, for which these marks are not made.
    pub fn read(&mut self, text: &[u8]) -> bool {
        dispatch!(Level::new(), simd => self.read_with(simd, text))
    }

    #[inline(always)]
    fn read_with<S: Simd>(&mut self, simd: S, text: &[u8]) -> bool {
        let (blocks, rest) = text.as_chunks::<64>();
        let words = blocks.len() + usize::from(!rest.is_empty());
        self.quotes.resize(words, 0);
        self.stops.resize(words, 0);
        self.brackets.resize(words, Brackets::default());
        let all = self.quotes.iter_mut().zip(&mut self.stops).zip(&mut self.brackets);
        let mut scan = Scan::new(simd);
        let mut blocks = blocks.iter();
        for ((quotes, stops), brackets) in all {
            let block = blocks.next().map_or_else(|| Block::padded(simd, rest), |block| Block::new(simd, block));
            (*quotes, *stops, *brackets) = scan.next(&block);
        }
        scan.least.at_most(0x1f) == 0
    }

    /// Where the string ends whose inside begins at this offset.
    #[inline]
    pub fn string_end(&self, from: usize) -> Option<StringEnd> {
        let stop = first(&self.stops, from)?;
        if self.quotes.get(stop / 64)? >> (stop % 64) & 1 == 1 {
            return Some(StringEnd { at: stop, escaped: false });
        }
        Some(StringEnd { at: first(&self.quotes, stop)?, escaped: true })
    }

    /// The first quote or backslash at this offset or behind it.
    #[inline]
    pub(super) fn stop(&self, at: usize) -> Option<usize> {
        first(&self.stops, at)
    }

    /// Just behind the partner of the opening bracket at this offset. Brackets are counted; that they pair up is for
    /// those to check who read what is inside. `None`: there is no end, or it is nested too deeply.
    pub(in crate::decode) fn extent(&self, at: usize) -> Option<usize> {
        let (mut number, mut behind) = (at / 64, u64::MAX << (at % 64) << 1);
        let mut word = self.brackets.get(number)?;
        while word.all & behind == 0 {
            number += 1;
            behind = u64::MAX;
            word = self.brackets.get(number)?;
        }
        let next = word.all & behind;
        let next = next & next.wrapping_neg();
        let place = next.trailing_zeros() as usize;
        if word.inner & next == 0 {
            return Some(number * 64 + place + 1);
        }
        // There is something inside, and with the next bracket it has begun: from here on only `inner` and `outer` count.
        let behind = u64::MAX << place << 1;
        if let Some(end) = close(word.inner & behind, word.outer & behind, 1) {
            return Some(number * 64 + end);
        }
        let before = !behind;
        let outside =
            word.depth + (word.inner & before).count_ones() as i32 - (word.outer & before).count_ones() as i32 - 1;
        for (number, word) in self.brackets.iter().enumerate().skip(number + 1) {
            let depth = word.depth - outside;
            if depth > MAX_DEPTH {
                return None;
            }
            if word.outer != 0
                && let Some(end) = close(word.inner, word.outer, depth)
            {
                return Some(number * 64 + end);
            }
        }
        None
    }
}

/// What one block of a text hands on to the next.
struct Scan<S: Simd> {
    /// Of all bytes at one place in their block, the least.
    least: Block<S>,
    strings: Strings,
    depth: i32,
    /// 1: the last bracket was an opening one.
    opened: u64,
}

impl<S: Simd> Scan<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        Self { least: Block::padded(simd, &[]), strings: Strings::default(), depth: 0, opened: 0 }
    }

    /// The quotes, stops and brackets of the next block.
    #[inline(always)]
    fn next(&mut self, block: &Block<S>) -> (u64, u64, Brackets) {
        self.least.keep_least(block);
        let backslashes = block.equal(b'\\');
        let (quotes, inside) = self.strings.next(block, backslashes);
        // `{` and `[`, `}` and `]` differ in one bit.
        let (opens, closes) = (block.folded(0x20, b'{') & !inside, block.folded(0x20, b'}') & !inside);
        (quotes, quotes | backslashes, self.brackets(opens, closes))
    }

    #[inline(always)]
    fn brackets(&mut self, opens: u64, closes: u64) -> Brackets {
        let all = opens | closes;
        // A carry runs from behind each opening bracket up to the next bracket, and stays there.
        let (sum, overflow) = (!all).overflowing_add(opens << 1 | self.opened);
        self.opened = opens >> 63 | u64::from(overflow);
        let (inner, outer) = (opens & sum, closes & !sum);
        let depth = self.depth;
        if inner | outer != 0 {
            self.depth += inner.count_ones() as i32 - outer.count_ones() as i32;
        }
        Brackets { all, inner, outer, depth }
    }
}

/// The first mark at this offset or behind it.
#[inline]
fn first(marks: &[u64], at: usize) -> Option<usize> {
    let mut word = at / 64;
    let bits = marks.get(word)? >> (at % 64);
    if bits != 0 {
        return Some(at + bits.trailing_zeros() as usize);
    }
    loop {
        word += 1;
        let bits = *marks.get(word)?;
        if bits != 0 {
            return Some(word * 64 + bits.trailing_zeros() as usize);
        }
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
            while let Some(end) = marks.string_end(at) {
                prop_assert_eq!(end.escaped, text[at..end.at].contains('\\'));
                found.push(end.at);
                at = end.at + 1;
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(marks.stop(0), text.find(['"', '\\']));
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

//! Where are the quotes, backslashes and brackets of a record? Found once, for everybody who walks it.
//!
//! A walk byte by byte mispredicts at the end of almost every string, which costs more than the rest. Here a record is
//! looked through 64 bytes at a time; then the end of a string, or of an object, is a matter of counting bits.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch};

use super::Track;
use super::block::{Block, Strings};

/// The deepest nesting of brackets that is followed. What is deeper is left to the careful walk, which knows the limit.
const MAX_DEPTH: i32 = 60;

/// The marks of one text. The memory serves many texts, one after the other.
#[derive(Debug, Default)]
pub struct Marks {
    /// Quotes that are not escaped.
    quotes: Bits,
    /// These and all backslashes: where the plain part of a string ends.
    stops: Bits,
    /// For 64 bytes each.
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

    /// Marks bytes of which nothing is known, for who looks at them from outside; `None` as [`Self::read`] says.
    pub fn track<'a>(&'a mut self, bytes: &'a [u8]) -> Option<Track<'a, [u8]>> {
        self.read(bytes).then(|| Track::new(bytes, self))
    }

    #[inline(always)]
    fn read_with<S: Simd>(&mut self, simd: S, text: &[u8]) -> bool {
        let (blocks, rest) = text.as_chunks::<64>();
        let words = blocks.len() + usize::from(!rest.is_empty());
        self.brackets.resize(words, Brackets::default());
        let all = self.quotes.words(words).iter_mut().zip(self.stops.words(words)).zip(&mut self.brackets);
        let mut scan = Scan::new(simd);
        let mut blocks = blocks.iter();
        for ((quotes, stops), brackets) in all {
            let block = blocks.next().map_or_else(|| Block::padded(simd, rest), |block| Block::new(simd, block));
            let found = scan.next(&block);
            (*quotes, *stops, *brackets) = (found.0.to_le_bytes(), found.1.to_le_bytes(), found.2);
        }
        scan.least.at_most(0x1f) == 0
    }

    /// Where the string ends whose inside begins at this offset.
    #[inline]
    pub fn string_end(&self, from: usize) -> Option<StringEnd> {
        let stop = self.stops.first(from)?;
        let at = self.quotes.first(stop)?;
        Some(StringEnd { at, escaped: at > stop })
    }

    /// The first quote that is not escaped, or backslash, at this offset or behind it.
    #[inline(always)]
    pub(super) fn stop(&self, at: usize) -> Option<usize> {
        self.stops.first(at)
    }

    /// The first quote that is not escaped, at this offset or behind it.
    #[inline]
    pub(super) fn quote(&self, at: usize) -> Option<usize> {
        self.quotes.first(at)
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

/// A bit for each byte of a text, that of the first byte the lowest.
///
/// They are kept as bytes: eight of them can be looked at from any of them on, and a word that begins near a place shows
/// what lies behind it more often than one that is a multiple of 64 bytes away from the text's beginning.
#[derive(Debug, Default)]
struct Bits(Vec<u8>);

impl Bits {
    /// So many words to be written. Behind them there are no marks.
    #[inline(always)]
    fn words(&mut self, words: usize) -> &mut [[u8; 8]] {
        self.0.resize((words + 1) * 8, 0);
        let (marked, behind) = self.0.split_at_mut(words * 8);
        behind.fill(0);
        marked.as_chunks_mut().0
    }

    /// The first mark at this offset or behind it.
    #[inline(always)]
    fn first(&self, at: usize) -> Option<usize> {
        let near = u64::from_le_bytes(*self.0.get(at / 8..)?.first_chunk()?) >> (at % 8);
        if near != 0 { Some(at + near.trailing_zeros() as usize) } else { self.far(at / 8 + 8) }
    }

    /// The first mark in this byte or behind it.
    #[inline(never)]
    fn far(&self, mut byte: usize) -> Option<usize> {
        loop {
            let rest = self.0.get(byte..)?;
            let Some(eight) = rest.first_chunk() else {
                let near = rest.iter().position(|&bits| bits != 0)?;
                return Some((byte + near) * 8 + rest[near].trailing_zeros() as usize);
            };
            let word = u64::from_le_bytes(*eight);
            if word != 0 {
                return Some(byte * 8 + word.trailing_zeros() as usize);
            }
            byte += 8;
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

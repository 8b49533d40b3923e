//! Where does an object or array end? 64 bytes at a time, without a branch per string.
//!
//! A walk byte by byte mispredicts at the end of almost every string, which costs more than the rest. Here each block
//! becomes bit masks (one bit per byte): quotes that are not escaped, from them what lies in strings, and the brackets
//! outside of them. Only a block in which the depth may reach zero is looked at bit by bit.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch};

use super::block::{Block, Strings};

/// How deep brackets may nest. DynamoDB allows 32 levels of lists and maps, two brackets each.
pub(super) const MAX_DEPTH: u32 = 256;

/// Why no end was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unclosed {
    /// The bytes ended.
    End,
    /// Brackets nest deeper than [`MAX_DEPTH`].
    TooDeep,
}

/// The length of the object or array at the start of `bytes`. Its first byte must be an opening bracket. Brackets are
/// counted; that they pair up is for those to check who read what is inside.
pub(super) fn extent(bytes: &[u8]) -> Result<usize, Unclosed> {
    dispatch!(Level::new(), simd => extent_with(simd, bytes))
}

#[inline(always)]
fn extent_with<S: Simd>(simd: S, bytes: &[u8]) -> Result<usize, Unclosed> {
    let mut scan = Scan { strings: Strings::default(), depth: 0, plain: false };
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut i = 0;
    while let Some(block) = blocks.get(i) {
        if let Some(end) = scan.block(&Block::new(simd, block))? {
            return Ok(i * 64 + end);
        }
        i += 1;
        if scan.plain {
            // A long string: whatever is in it, only its end counts.
            let from = &bytes[i * 64..];
            i += memchr::memchr2(b'"', b'\\', from).unwrap_or(from.len()) / 64;
        }
    }
    match scan.block(&Block::padded(simd, rest))? {
        Some(end) => Ok(blocks.len() * 64 + end),
        None => Err(Unclosed::End),
    }
}

/// What one block hands on to the next.
struct Scan {
    strings: Strings,
    depth: u32,
    /// The block lay in a string and had neither quote nor backslash.
    plain: bool,
}

impl Scan {
    /// Reads a block; answers where the outermost bracket closed, just behind it.
    #[inline(always)]
    fn block<S: Simd>(&mut self, block: &Block<S>) -> Result<Option<usize>, Unclosed> {
        let backslashes = block.equal(b'\\');
        let (began_inside, began_escaped) = (self.strings.inside, self.strings.escaped);
        let (quotes, in_string) = self.strings.next(block, backslashes);
        self.plain = quotes | backslashes | began_escaped == 0 && began_inside != 0;
        // `{` and `[`, `}` and `]` differ in one bit.
        let mut opens = block.folded(0x20, b'{') & !in_string;
        let mut closes = block.folded(0x20, b'}') & !in_string;
        let (opened, closed) = (opens.count_ones(), closes.count_ones());
        if self.depth > closed && self.depth + opened <= MAX_DEPTH {
            self.depth = self.depth + opened - closed;
            return Ok(None);
        }
        while opens | closes != 0 {
            let at = (opens | closes).trailing_zeros();
            if opens & (1 << at) != 0 {
                opens &= opens - 1;
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(Unclosed::TooDeep);
                }
            } else {
                closes &= closes - 1;
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return Ok(Some(at as usize + 1));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same byte by byte: the definition of right. (A backslash outside of strings, which no JSON has, hides a
    /// quote only.)
    fn by_bytes(bytes: &[u8]) -> Result<usize, Unclosed> {
        let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
        for (i, &byte) in bytes.iter().enumerate() {
            let hidden = std::mem::take(&mut escaped);
            match byte {
                b'\\' => escaped = !hidden,
                b'"' => in_string ^= !hidden,
                _ if in_string => {}
                b'{' | b'[' if depth == MAX_DEPTH => return Err(Unclosed::TooDeep),
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 1 => return Ok(i + 1),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        Err(Unclosed::End)
    }

    #[test]
    fn depth_is_bounded_within_and_across_blocks() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(extent(nested(256).as_bytes()), Ok(512));
        assert_eq!(extent(nested(257).as_bytes()), Err(Unclosed::TooDeep));
        assert_eq!(extent(&[b'['; 100]), Err(Unclosed::End));
    }

    proptest! {
        #[test]
        fn blocks_agree_with_bytes(text in r#"\{([a-z é]{0,9}|"|\\{1,5}|\{|\}|\[|\]|""){0,90}"#) {
            prop_assert_eq!(extent(text.as_bytes()), by_bytes(text.as_bytes()));
        }

        #[test]
        fn strings_and_runs_of_backslashes_at_every_place(
            before in 0_usize..130, run in 0_usize..70, after in "[\"\\\\}]{0,70}",
        ) {
            let text = format!("{{\"{}{}{after}\"}}}}", "x".repeat(before), "\\".repeat(run));
            prop_assert_eq!(extent(text.as_bytes()), by_bytes(text.as_bytes()));
        }

        #[test]
        fn long_strings_are_passed_over(
            before in 0_usize..70, long in 60_usize..400, tail in r#"(\\{0,3}"|[x\]]{0,70}){0,4}"#, again in 0_usize..300,
        ) {
            let text = format!("[{}\"{}{tail}{}\"]]", " ".repeat(before), "}".repeat(long), "y".repeat(again));
            prop_assert_eq!(extent(text.as_bytes()), by_bytes(text.as_bytes()));
        }

        #[test]
        fn arbitrary_bytes_agree(mut bytes: Vec<u8>) {
            bytes.insert(0, b'{');
            prop_assert_eq!(extent(&bytes), by_bytes(&bytes));
        }
    }
}

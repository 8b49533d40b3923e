//! Which of 64 bytes are quotes, backslashes, brackets? One bit per byte, the first byte's lowest.
//!
//! Sixteen bytes are compared at once, which every 64-bit machine can do; `wide` knows how, without `unsafe` here.

use wide::u8x16;

/// 64 bytes.
pub(super) struct Block([u8x16; 4]);

impl Block {
    #[inline]
    pub(super) fn new(bytes: &[u8; 64]) -> Self {
        let (parts, _) = bytes.as_chunks::<16>();
        Self([u8x16::from(parts[0]), u8x16::from(parts[1]), u8x16::from(parts[2]), u8x16::from(parts[3])])
    }

    /// The last bytes of a text, filled up with spaces.
    #[inline]
    pub(super) fn padded(rest: &[u8]) -> Self {
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        Self::new(&last)
    }

    /// Which bytes are this one.
    #[inline]
    pub(super) fn equal(&self, byte: u8) -> u64 {
        let wanted = u8x16::splat(byte);
        self.mask(|part| part.simd_eq(wanted))
    }

    /// Which bytes are this one with the bits of `fold` set.
    #[inline]
    pub(super) fn folded(&self, fold: u8, byte: u8) -> u64 {
        let (fold, wanted) = (u8x16::splat(fold), u8x16::splat(byte));
        self.mask(|part| (part | fold).simd_eq(wanted))
    }

    /// Which bytes are at most this one.
    #[inline]
    pub(super) fn at_most(&self, byte: u8) -> u64 {
        let limit = u8x16::splat(byte);
        self.mask(|part| part.min(limit).simd_eq(part))
    }

    #[inline]
    fn mask(&self, of: impl Fn(u8x16) -> u8x16) -> u64 {
        let bits = |part: u8x16| u64::from(of(part).to_bitmask() as u16);
        bits(self.0[0]) | bits(self.0[1]) << 16 | bits(self.0[2]) << 32 | bits(self.0[3]) << 48
    }
}

/// What one block hands on to the next about quotes and escapes.
#[derive(Default)]
pub(super) struct Strings {
    /// All ones: the next block starts inside a string.
    pub(super) inside: u64,
    /// 1: the next block's first byte is escaped.
    pub(super) escaped: u64,
}

impl Strings {
    /// The quotes that are not escaped, and what lies in strings (opening quotes included, closing ones not).
    #[inline]
    pub(super) fn next(&mut self, block: &Block, backslashes: u64) -> (u64, u64) {
        let quotes = block.equal(b'"') & !self.escapes(backslashes);
        let inside = prefix_xor(quotes) ^ self.inside;
        self.inside = if inside >> 63 == 1 { u64::MAX } else { 0 };
        (quotes, inside)
    }

    /// The bytes with a backslash before them that is not itself escaped. The arithmetic is simdjson's (Langdale and
    /// Lemire, "Parsing Gigabytes of JSON per Second", 2019).
    #[inline]
    fn escapes(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let backslashes = backslashes & !self.escaped;
        let follows = backslashes << 1 | self.escaped;
        // Runs of backslashes that start at an odd place: adding carries through a run to the byte behind it.
        let odd_starts = backslashes & !EVEN & !follows;
        let (even_runs, overflow) = odd_starts.overflowing_add(backslashes);
        self.escaped = u64::from(overflow);
        (EVEN ^ (even_runs << 1)) & follows
    }
}

/// Bit i: whether the bits 0 to i are odd in number. Of quotes: from an opening one to before its closing one.
#[inline]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

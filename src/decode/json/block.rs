//! Which of 64 bytes are quotes, backslashes, brackets? One bit per byte, the first byte's lowest.
//!
//! As many bytes are compared at once as the processor can, which is asked when the program runs; `fearless_simd` knows
//! how, without `unsafe` here.

use fearless_simd::prelude::*;
use fearless_simd::u8x64;

/// 64 bytes.
pub(super) struct Block<S: Simd>(S, u8x64<S>);

// Functions that work on blocks must be inlined always: only then are they compiled for the processor at hand.
impl<S: Simd> Block<S> {
    #[inline(always)]
    pub(super) fn new(simd: S, bytes: &[u8; 64]) -> Self {
        Self(simd, u8x64::from_slice(simd, bytes))
    }

    /// The last bytes of a text, filled up with spaces.
    #[inline(always)]
    pub(super) fn padded(simd: S, rest: &[u8]) -> Self {
        let mut last = [b' '; 64];
        last[..rest.len()].copy_from_slice(rest);
        Self::new(simd, &last)
    }

    /// Which bytes are this one.
    #[inline(always)]
    pub(super) fn equal(&self, byte: u8) -> u64 {
        self.1.simd_eq(u8x64::splat(self.0, byte)).to_bitmask()
    }

    /// Which bytes are this one with the bits of `fold` set.
    #[inline(always)]
    pub(super) fn folded(&self, fold: u8, byte: u8) -> u64 {
        (self.1 | u8x64::splat(self.0, fold)).simd_eq(u8x64::splat(self.0, byte)).to_bitmask()
    }

    /// Which bytes are at most this one.
    #[inline(always)]
    pub(super) fn at_most(&self, byte: u8) -> u64 {
        self.1.min(u8x64::splat(self.0, byte)).simd_eq(self.1).to_bitmask()
    }

    /// Each byte becomes the lesser of the two at its place.
    #[inline(always)]
    pub(super) fn keep_least(&mut self, other: &Self) {
        self.1 = self.1.min(other.1);
    }
}

/// What one block hands on to the next about quotes and escapes.
#[derive(Debug, Default)]
pub(super) struct Strings {
    /// All ones: the next block starts inside a string.
    pub(super) inside: u64,
    /// 1: the next block's first byte is escaped.
    pub(super) escaped: u64,
}

impl Strings {
    /// The quotes that are not escaped, and what lies in strings (opening quotes included, closing ones not).
    #[inline(always)]
    pub(super) fn next<S: Simd>(&mut self, block: &Block<S>, backslashes: u64) -> (u64, u64) {
        let quotes = block.equal(b'"') & !self.escapes(backslashes);
        let inside = prefix_xor(quotes) ^ self.inside;
        self.inside = if inside >> 63 == 1 { u64::MAX } else { 0 };
        (quotes, inside)
    }

    /// The bytes with a backslash before them that is not itself escaped. The arithmetic is simdjson's (Langdale and
    /// Lemire, "Parsing Gigabytes of JSON per Second", 2019).
    #[inline(always)]
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
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

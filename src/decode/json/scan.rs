//! Where does the plain part of a string end?

use super::{Malformed, Marks};

/// The offset of the next byte that ends the plain part of a string: a quote, a backslash or a control character.
/// Eight bytes at a time; the well-known "has a zero byte" trick.
#[inline]
pub(super) fn next_special(bytes: &[u8], mut at: usize) -> usize {
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
pub(super) fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => bytes.get(2..6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// The first quote or backslash. Eight bytes at a time at first: most strings are too short to pay for a search in larger
/// steps.
#[inline]
pub(super) fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Marks the zero bytes; marks above the first one may be wrong.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    let words = &words[..words.len().min(8)];
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let marks = zeros(word ^ (LOW * u64::from(b'"'))) | zeros(word ^ (LOW * u64::from(b'\\')));
        if marks != 0 {
            return Some(i * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let behind = words.len() * 8;
    Some(behind + memchr::memchr2(b'"', b'\\', &bytes[behind..])?)
}

/// Checks the escapes between `start` and the end of `bytes`, which is the closing quote.
pub(in crate::decode) fn check_escapes(bytes: &[u8], start: usize, marks: &Marks) -> Result<(), Malformed> {
    let mut at = start;
    while let Some(escape) = marks.stop(at).filter(|&escape| escape < bytes.len()) {
        // An escaped quote is no stop, but a backslash behind it may be.
        at = escape + escape_length(&bytes[escape..]).ok_or(Malformed { at: escape, what: "invalid escape" })?;
    }
    Ok(())
}

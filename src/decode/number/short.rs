//! Short numbers, which most are, eight digits at a time.

/// The powers of ten that a `u64` holds.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < 20 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// What [`super::decimal`] says of the text between two offsets of `bytes`, if it is short: eight characters and a sign.
/// `None`: it is not, or it does not fit; [`super::decimal`] decides.
#[inline(always)]
pub fn short_decimal(bytes: &[u8], from: usize, to: usize, precision: u8, scale: i8) -> Option<i128> {
    let negative = bytes.get(from)? == &b'-';
    let from = from + usize::from(negative);
    let length = to.checked_sub(from)?;
    if length == 0 || length > 8 {
        return None;
    }
    // The last character in the highest byte, zeros before the first.
    let word = u64::from_le_bytes(*bytes.get(from..)?.first_chunk::<8>()?);
    let unused = 64 - 8 * length as u32;
    let word = word << unused | if unused == 0 { 0 } else { all(b'0') >> (64 - unused) };
    let first = bytes[from];
    let (word, decimals) = without_point(word)?;
    let whole = length - decimals - usize::from(decimals > 0);
    // `0` and `0.5` begin with a zero, nothing else does; and `-0` is none.
    let starts = if first == b'0' { whole == 1 && !(negative && decimals == 0) } else { whole > 0 };
    let ends = decimals == 0 || word >> 56 != u64::from(b'0');
    let scale = usize::try_from(scale).ok()?;
    if !starts || !ends || decimals > scale || whole + scale > usize::from(precision) {
        return None;
    }
    let value = digits(word)?;
    let power = *POWERS.get(scale - decimals)?;
    let value = (u128::from(value) * u128::from(power)) as i128;
    Some(if negative { -value } else { value })
}

/// Whether one to eight digits stand between two offsets of `bytes`, the first of which is no zero unless it is alone.
/// `false` says nothing of what is longer, or of the last few bytes.
#[inline(always)]
pub(super) fn is_short_whole(bytes: &[u8], from: usize, to: usize) -> bool {
    let length = to - from;
    let Some(chunk) = bytes.get(from..).and_then(|behind| behind.first_chunk::<8>()) else { return false };
    if length == 0 || length > 8 || (chunk[0] == b'0' && length > 1) {
        return false;
    }
    are_digits(
        u64::from_le_bytes(*chunk) << (64 - 8 * length as u32)
            | all(b'0') & u64::MAX.checked_shr(8 * length as u32).unwrap_or(0),
    )
}

/// Takes the point out, and says how many digits stand behind it; 0 if there is none, `None` if it is the last.
#[inline(always)]
fn without_point(word: u64) -> Option<(u64, usize)> {
    let points = word ^ all(b'.');
    // Marks zero bytes; marks above the lowest may be wrong, but then there is a byte that is no digit.
    let points = points.wrapping_sub(all(1)) & !points & all(0x80);
    if points == 0 {
        return Some((word, 0));
    }
    let place = points.trailing_zeros() / 8;
    if place == 7 {
        return None;
    }
    let behind = u64::MAX << (8 * place) << 8;
    let before = !(u64::MAX << (8 * place));
    // What stands before it moves up by one.
    Some((word & behind | (word & before) << 8 | u64::from(b'0'), 7 - place as usize))
}

/// Whether all eight bytes are digits.
#[inline(always)]
fn are_digits(word: u64) -> bool {
    (word.wrapping_add(all(0x46)) | word.wrapping_sub(all(b'0'))) & all(0x80) == 0
}

/// Eight digits as one number; the arithmetic is Lemire's ("Number Parsing at a Gigabyte per Second", 2021).
#[inline(always)]
fn digits(word: u64) -> Option<u64> {
    if !are_digits(word) {
        return None;
    }
    let word = word.wrapping_sub(all(b'0'));
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some(low.wrapping_add(high) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::number::{decimal, is_json_number, is_json_number_between};
    use proptest::prelude::*;

    fn short(text: &str, precision: u8, scale: i8) -> Option<i128> {
        let padded = format!("x{text}\"behind it");
        short_decimal(padded.as_bytes(), 1, 1 + text.len(), precision, scale)
    }

    #[test]
    fn every_short_number_is_known() {
        for text in ["0", "7", "-7", "12345678", "-12345678", "0.5", "-0.25", "1234.567", "-99999.01"] {
            assert_eq!(short(text, 38, 9), decimal(text, 38, 9), "{text}");
            assert!(short(text, 38, 9).is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_number_inside_a_text_is_the_number_alone(text in r"-?([0-9]{0,9}|[0-9]{0,5}\.[0-9]{0,5}|[-0-9.+e:/ é]{0,9})") {
            for behind in ["", "\"behind it"] {
                let padded = format!("7{text}{behind}");
                let found = is_json_number_between(padded.as_bytes(), 1, 1 + text.len());
                prop_assert_eq!(found, is_json_number(&text), "{}", padded);
            }
        }

        #[test]
        fn what_it_says_is_what_the_careful_one_says(
            text in r"-?([0-9]{0,9}|[0-9]{0,5}\.[0-9]{0,5}|[-0-9.+e:/ é]{0,9})", precision in 1_u8..39, scale in 0_i8..20,
        ) {
            let careful = decimal(&text, precision, scale);
            let short = short(&text, precision, scale);
            prop_assert!(short.is_none() || short == careful, "{:?} {:?}", short, careful);
        }
    }
}

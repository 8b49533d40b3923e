//! How do two decimal numbers of any size compare? By their text, exactly.

use std::cmp::Ordering;

/// A decimal number: a view of its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal<'a> {
    sign: i8,
    /// Its digits without zeros at either end; a point may be among them.
    digits: &'a [u8],
    /// Where its first digit stands: 1 for ones, 2 for tens, 0 for tenths.
    top: i64,
}

impl<'a> Decimal<'a> {
    /// `-12.50`, `1e3`: what DynamoDB writes, and JSON. `None` if it is no number, or has an exponent beyond 32 bits.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let plain = !mantissa.is_empty() && mantissa != ".";
        if !plain || !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let digits = mantissa.trim_matches(['0', '.']);
        if digits.is_empty() {
            return Some(Self { sign: 0, digits: b"", top: 0 });
        }
        let places = match whole.trim_start_matches('0').len() {
            0 => -((fraction.len() - fraction.trim_start_matches('0').len()) as i64),
            places => places as i64,
        };
        let sign = if negative { -1 } else { 1 };
        Some(Self { sign, digits: digits.as_bytes(), top: places + i64::from(exponent) })
    }

    pub(super) fn compare(&self, other: &Decimal<'_>) -> Ordering {
        let digits = |number: &[u8], other: &[u8]| {
            let significant = |byte: &&u8| **byte != b'.';
            number.iter().filter(significant).cmp(other.iter().filter(significant))
        };
        self.sign.cmp(&other.sign).then_with(|| {
            let size = self.top.cmp(&other.top).then_with(|| digits(self.digits, other.digits));
            if self.sign < 0 { size.reverse() } else { size }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compare(one: &str, other: &str) -> Ordering {
        Decimal::parse(one).unwrap().compare(&Decimal::parse(other).unwrap())
    }

    #[test]
    fn numbers_are_in_their_order() {
        let sorted = [
            "-1e126",
            "-10",
            "-9.99",
            "-1",
            "-0.1",
            "-1e-130",
            "0",
            "1E-130",
            "0.001",
            "0.01",
            "0.0101",
            "0.02",
            "0.1",
            "1",
            "1.00000000000000000000000000000000000001",
            "1.1",
            "9",
            "10",
            "99999999999999999999999999999999999998",
            "99999999999999999999999999999999999999",
            "1e38",
            "9e125",
        ];
        for (i, one) in sorted.iter().enumerate() {
            for (j, other) in sorted.iter().enumerate() {
                assert_eq!(compare(one, other), i.cmp(&j), "{one} {other}");
            }
        }
        for (one, other) in [("1", "1.0"), ("-0", "0.00"), ("100", "1e2"), ("0.05", "5E-2"), ("+7", "007"), ("1.", "1")]
        {
            assert_eq!(compare(one, other), Ordering::Equal, "{one} {other}");
        }
        for text in ["", "-", ".", "1e", "x", "1.2.3", "0x1", "1 ", "1e99999999999", "é", "NaN"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_integers(one: i64, other: i64, zeros in 0_usize..4) {
            let text = format!("{other}.{}", "0".repeat(zeros));
            prop_assert_eq!(compare(&one.to_string(), &text), one.cmp(&other));
        }

        #[test]
        fn scaled_numbers_compare_as_integers(one in -9999_i64..9999, other in -9999_i64..9999, down in 0_i32..9) {
            prop_assert_eq!(compare(&format!("{one}e-{down}"), &format!("{other}0E-{}", down + 1)), one.cmp(&other));
        }
    }
}

//! Which numbers a typed column holds exactly: the text that comes back out must be the text that went in.
//!
//! DynamoDB returns an `N` as a plain decimal without exponent or padding zeros, of up to 38 significant digits and 126
//! places on either side of the point. No fixed scale holds them all; what does not fit exactly stays text elsewhere.

mod short;

use std::borrow::Cow;

pub use short::short_decimal;

/// The unscaled value of `text` in a `decimal(precision, scale)` column, if the column holds it exactly and `text` is
/// the one plain form of that number.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let point = memchr::memchr(b'.', digits);
    let (whole, fraction) = match point {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &[][..]),
    };
    let scale = usize::try_from(scale).ok()?;
    let plain = match whole {
        [] => false,
        [b'0'] => !(negative && fraction.is_empty()),
        [b'0', ..] => false,
        _ => true,
    };
    let padded = point.is_some() && matches!(fraction, [] | [.., b'0']);
    let whole_digits = if whole == b"0" { 0 } else { whole.len() };
    if !plain || padded || fraction.len() > scale || whole_digits + scale > usize::from(precision) {
        return None;
    }
    let value = unscaled(whole, fraction)? * 10i128.pow((scale - fraction.len()) as u32);
    Some(if negative { -value } else { value })
}

/// All digits as one number; `None` if there is something else.
fn unscaled(whole: &[u8], fraction: &[u8]) -> Option<i128> {
    let digits = || whole.iter().chain(fraction).map(|byte| byte.wrapping_sub(b'0'));
    if whole.len() + fraction.len() <= 19 {
        let small = digits().try_fold(0_u64, |value, digit| (digit <= 9).then_some(value * 10 + u64::from(digit)))?;
        return Some(i128::from(small));
    }
    digits().try_fold(0_i128, |value, digit| (digit <= 9).then_some(value * 10 + i128::from(digit)))
}

/// The value of `text` in an `int64` column, under the same rule.
pub fn int64(text: &str) -> Option<i64> {
    decimal(text, 19, 0).and_then(|value| i64::try_from(value).ok())
}

/// The nearest double of `text`: the one declared loss. `None` if it is no number at all.
pub fn double(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The plain text of an unscaled decimal: the inverse of [`decimal`].
pub fn decimal_text(value: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let sign = if value < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// One text for all texts of a number: `1`, `1.0` and `10e-1` give `1e0`. What is no number stays as it is.
pub fn canonical(text: &str) -> Cow<'_, str> {
    let (sign, unsigned) = match text.as_bytes() {
        [b'-', ..] => ("-", &text[1..]),
        [b'+', ..] => ("", &text[1..]),
        _ => ("", text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit());
    let (true, Ok(exponent)) = (is_number, exponent.parse::<i32>()) else { return Cow::Borrowed(text) };
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Cow::Borrowed("0e0");
    }
    let dropped = digits.len() - digits.trim_end_matches('0').len();
    let exponent = i64::from(exponent) + dropped as i64 - fraction.len() as i64;
    Cow::Owned(format!("{sign}{significant}e{exponent}"))
}

/// How many bytes of a JSON number `bytes` starts with; 0 if with none.
pub fn json_number_length(bytes: &[u8]) -> usize {
    let digits_from = |at: usize| bytes[at.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let whole = match bytes.get(sign) {
        Some(b'0') => 1,
        Some(b'1'..=b'9') => digits_from(sign),
        _ => return 0,
    };
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') {
        match digits_from(end + 1) {
            0 => return 0,
            fraction => end += 1 + fraction,
        }
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        match digits_from(end + 1 + signed) {
            0 => return 0,
            exponent => end += 1 + signed + exponent,
        }
    }
    end
}

/// Whether `text` is a JSON number from end to end.
pub fn is_json_number(text: &str) -> bool {
    !text.is_empty() && json_number_length(text.as_bytes()) == text.len()
}

/// The same of the text between two offsets of `bytes`; short whole numbers, which most are, take no walk.
#[inline]
pub fn is_json_number_between(bytes: &[u8], from: usize, to: usize) -> bool {
    short::is_short_whole(bytes, from, to) || (from < to && json_number_length(&bytes[from..to]) == to - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_numbers_have_one_canonical_text() {
        for (one, other) in [("1", "1.0"), ("10e-1", "+1"), ("0.00", "-0"), ("120", "1.2E+2"), ("-0.050", "-5e-2")] {
            assert_eq!(canonical(one), canonical(other), "{one} {other}");
        }
        for (one, other) in [("1", "10"), ("1", "-1"), ("0.1", "1"), ("x", "y"), ("", "0"), ("1e", "1")] {
            assert_ne!(canonical(one), canonical(other), "{one} {other}");
        }
        assert_eq!(canonical("12345678901234567890123456789012345678"), "12345678901234567890123456789012345678e0");
    }

    #[test]
    fn only_the_plain_form_fits() {
        assert_eq!(decimal("19.99", 38, 9), Some(19_990_000_000));
        assert_eq!(decimal("-0.5", 38, 9), Some(-500_000_000));
        assert_eq!(decimal("0", 38, 9), Some(0));
        assert_eq!(
            decimal("99999999999999999999999999999", 38, 9),
            Some(99_999_999_999_999_999_999_999_999_999_000_000_000)
        );
        assert_eq!(decimal("99999999999999999999999999999999999999", 38, 0), Some(10i128.pow(38) - 1));
        for text in [
            "",
            "-",
            "-0",
            "-0.0",
            "0.0",
            "1.0",
            "1.",
            ".5",
            "01",
            "+1",
            "1e3",
            "1.2.3",
            "0.1234567891",
            "NaN",
            "100000000000000000000000000000",
            "1_0",
            " 1",
            "--1",
            "0.-1",
        ] {
            assert_eq!(decimal(text, 38, 9), None, "{text}");
        }
        assert_eq!(int64("9223372036854775807"), Some(i64::MAX));
        assert_eq!(int64("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(int64("9223372036854775808"), None);
        assert_eq!(decimal("12.5", 3, 1), Some(125));
        assert_eq!(decimal("123.5", 3, 1), None);
    }

    proptest! {
        #[test]
        fn what_fits_comes_back(text in r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{0,12})?", scale in 0i8..=38) {
            if let Some(value) = decimal(&text, 38, scale) {
                prop_assert_eq!(decimal_text(value, scale), text);
            }
        }

        #[test]
        fn every_decimal_fits_its_own_column(value in -10i128.pow(38) + 1..10i128.pow(38), scale in 0i8..=38) {
            prop_assert_eq!(decimal(&decimal_text(value, scale), 38, scale), Some(value));
        }

        #[test]
        fn json_numbers_are_serde_jsons(text in r"[-+0-9.eE]{0,10}") {
            // As raw text: a number beyond the range of doubles is JSON too.
            let known = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(is_json_number(&text), known);
        }
    }
}

//! Which number type holds all the numbers that were seen?

use crate::decode::number;
use crate::pipeline::spec::{ColumnType, Decimal};

/// Precisions that are offered: the least that holds everything, in steps, so that the next number has room too.
const PRECISIONS: [usize; 4] = [10, 18, 28, 38];

/// What is known of the numbers of one column.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    count: u64,
    whole_digits: usize,
    scale: usize,
    beyond_int64: bool,
    /// Some number has no exact decimal form of at most 38 digits.
    beyond_decimal: bool,
}

impl Numbers {
    /// Takes note of a number's text.
    pub(super) fn see(&mut self, text: &str) {
        self.count += 1;
        self.beyond_int64 |= number::int64(text).is_none();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let scale = i8::try_from(fraction.len()).ok().filter(|scale| *scale <= 38);
        self.beyond_decimal |= scale.and_then(|scale| number::decimal(text, 38, scale)).is_none();
        self.whole_digits = self.whole_digits.max(if whole == "0" { 0 } else { whole.len() });
        self.scale = self.scale.max(fraction.len());
    }

    /// The tightest type that holds all of them; `None` if there was no number.
    pub(super) fn tightest(&self) -> Option<ColumnType> {
        if self.count == 0 {
            return None;
        }
        if !self.beyond_int64 {
            return Some(ColumnType::Int64);
        }
        let decimal = PRECISIONS
            .into_iter()
            .find(|precision| *precision >= self.whole_digits + self.scale)
            .filter(|_| !self.beyond_decimal)
            .and_then(|precision| Decimal::new(precision as u8, self.scale as u8));
        Some(decimal.map_or(ColumnType::String, ColumnType::Decimal))
    }

    /// The tightest list of numbers that holds all of them.
    pub(super) fn tightest_list(&self) -> Option<ColumnType> {
        match self.tightest()? {
            // There are no lists of numbers as text.
            ColumnType::String => None,
            number => Some(ColumnType::list(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tightest(numbers: &[&str]) -> Option<String> {
        let mut seen = Numbers::default();
        for number in numbers {
            seen.see(number);
        }
        let found = seen.tightest().map(|kind| kind.to_string());
        for number in numbers {
            let fits = match seen.tightest() {
                Some(ColumnType::Int64) => number::int64(number).is_some(),
                Some(ColumnType::Decimal(digits)) => {
                    number::decimal(number, digits.precision(), digits.scale() as i8).is_some()
                }
                _ => true,
            };
            assert!(fits, "{number} does not fit {found:?}");
        }
        found
    }

    #[test]
    fn the_tightest_type_holds_everything_seen() {
        assert_eq!(tightest(&[]), None);
        assert_eq!(tightest(&["1", "-9223372036854775808"]).unwrap(), "int64");
        assert_eq!(tightest(&["9223372036854775808"]).unwrap(), "decimal(28,0)");
        assert_eq!(tightest(&["19.99", "-12345678", "0.5"]).unwrap(), "decimal(10,2)");
        assert_eq!(tightest(&["19.99", "123456789"]).unwrap(), "decimal(18,2)");
        assert_eq!(tightest(&["0.00000000000000000000000000000000000001"]).unwrap(), "decimal(38,38)");
        assert_eq!(tightest(&["1", "0.00000000000000000000000000000000000001"]).unwrap(), "string");
        for odd in ["1e5", "007", "1.0", "", "-", "1.5.5", &"9".repeat(200), &format!("0.{}", "1".repeat(300))] {
            assert_eq!(tightest(&["1", odd]).unwrap(), "string", "{odd}");
        }
    }
}

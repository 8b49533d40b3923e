//! Does a number lie where an operator wants it? As doubles, which is Lambda's way, or as decimals.

use std::cmp::Ordering;

use super::decimal::Decimal;
use crate::decode::number::canonical;

/// The double that `text` is, if it is just that number in its shortest form. The engine compares no others: numbers of
/// more digits, or beyond a double's range.
pub(super) fn double(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    // Fifteen digits come back from a double as they went in.
    let short = text.len() <= 15 && !text.contains(['e', 'E']);
    (short || canonical(&format!("{value:e}")) == canonical(text)).then_some(value)
}

/// One side of a range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound<N> {
    pub(super) at: N,
    /// Whether the number itself lies in the range.
    pub(super) included: bool,
}

/// A range of numbers, open on the sides that have no bound.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Range<N> {
    pub(super) from: Option<Bound<N>>,
    pub(super) to: Option<Bound<N>>,
}

impl<N> Range<N> {
    /// Whether the number that compares with the bounds in this way lies in it.
    fn holds(&self, compare: impl Fn(&N) -> Option<Ordering>) -> bool {
        let beyond = |bound: &Option<Bound<N>>, outside: Ordering| match bound {
            Some(Bound { at, included }) => match compare(at) {
                Some(Ordering::Equal) => !included,
                Some(order) => order == outside,
                None => true,
            },
            None => false,
        };
        !beyond(&self.from, Ordering::Less) && !beyond(&self.to, Ordering::Greater)
    }
}

impl Range<f64> {
    pub(super) fn contains(&self, number: f64) -> bool {
        self.holds(|bound| number.partial_cmp(bound))
    }
}

impl Range<String> {
    /// The same for decimals of any size, given as text.
    pub(super) fn contains_decimal(&self, text: &str) -> bool {
        let number = Decimal::parse(text);
        number.is_some_and(|number| self.holds(|bound| Decimal::parse(bound).map(|bound| number.compare(&bound))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_double_is_exactly_is_compared() {
        for (text, value) in [
            ("46", Some(46.0)),
            ("3.0e2", Some(300.0)),
            ("0.1", Some(0.1)),
            ("-0", Some(0.0)),
            ("1795165200123456", Some(1_795_165_200_123_456.0)),
            ("1545084650.987", Some(1_545_084_650.987)),
            ("9007199254740993", None),
            ("0.1000000000000000055511151231257827", None),
            ("1e400", None),
            ("1e-400", None),
            ("1e99999999999", None),
            ("123456789012345678901234567890", None),
            ("1e23", Some(1e23)),
        ] {
            assert_eq!(double(text), value, "{text}");
        }
    }
}

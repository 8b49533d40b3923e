//! Where in a shard a record stands, and how two such places compare.

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayString;

use crate::bug::{self, Bug};

/// Kinesis documents sequence numbers as `0|([1-9]\d{0,128})`; DynamoDB Streams as 21 to 40 digits.
const MAX_DIGITS: usize = 129;

/// A sequence number of a DynamoDB Streams or Kinesis shard: a decimal number of up to 129 digits.
///
/// No machine integer holds it (56 digits are usual on Kinesis), and text order is wrong (`"100" < "99"`): it is kept
/// as its digits without leading zeros and compared by length, then text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SequenceNumber(ArrayString<MAX_DIGITS>);

/// The text is not a decimal number of 1 to 129 digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a sequence number: expected 1 to 129 decimal digits")]
pub struct NotASequenceNumber(String);

impl SequenceNumber {
    /// Reads the digits as the service sends them; leading zeros are dropped.
    pub fn parse(text: &str) -> Result<Self, NotASequenceNumber> {
        let refuse = || NotASequenceNumber(text.chars().take(140).collect());
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse());
        }
        let digits = text.trim_start_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        ArrayString::from(digits).map(Self).map_err(|_| refuse())
    }

    /// The ordinal of a record in a source that has no sequence numbers of its own (a recorded file).
    pub fn from_ordinal(ordinal: u64) -> Self {
        let mut digits = ArrayString::new();
        fmt::Write::write_fmt(&mut digits, format_args!("{ordinal}")).expect("20 digits fit 129");
        Self(digits)
    }

    /// The number as an ordinal, when it is one that [`Self::from_ordinal`] could have made.
    pub fn to_ordinal(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// The digits, without leading zeros: what the service wants back.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits behind their number, three digits wide (`025` + 25 digits): text whose plain `ORDER BY` is the
    /// numeric order. This is how the lake and the state table write positions.
    pub fn to_sortable(&self) -> String {
        format!("{:03}{}", self.0.len(), self.0)
    }

    /// Reads back what [`Self::to_sortable`] wrote.
    pub fn from_sortable(text: &str) -> Result<Self, NotASequenceNumber> {
        let digits = text.get(3..).ok_or_else(|| NotASequenceNumber(text.to_owned()))?;
        let number = Self::parse(digits)?;
        if number.to_sortable() == text { Ok(number) } else { Err(NotASequenceNumber(text.to_owned())) }
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        if bug::is_made(Bug::TextOrder) {
            return self.0.as_bytes().cmp(other.0.as_bytes());
        }
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.as_bytes().cmp(other.0.as_bytes()))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of one record in its shard: the sequence number, and inside a KPL aggregate the number of the user
/// record (KCL's `subSequenceNumber`), otherwise 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The sequence number of the stream record.
    pub sequence: SequenceNumber,
    /// The user record inside an aggregate, from 0.
    pub sub: u32,
}

impl Position {
    /// A record that is not part of an aggregate.
    pub fn new(sequence: SequenceNumber) -> Self {
        Self { sequence, sub: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sub {
            0 => write!(f, "{}", self.sequence),
            sub => write!(f, "{}:{sub}", self.sequence),
        }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a shard inside its stream (for a recorded file: the file's name).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// Takes the id as the service names it.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as the service names it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::parse(text).unwrap()
    }

    #[test]
    fn a_longer_number_is_larger_whatever_its_digits() {
        assert!(number("100") > number("99"));
        assert!(number("340282366920938463463374607431768211456") > number("99999999999999999999999999999999999999"));
        assert_eq!(number("000000000042"), number("42"));
        assert_eq!(number("0000"), number("0"));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for text in ["", "-1", "1.5", "SHARD_END", "12a", &"9".repeat(130)] {
            assert!(SequenceNumber::parse(text).is_err(), "{text}");
        }
        assert!(SequenceNumber::from_sortable("00212").is_ok());
        for text in ["", "01", "00112", "002012"] {
            assert!(SequenceNumber::from_sortable(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_order_of_the_sortable_form_is_numeric_order(a in "[1-9][0-9]{0,128}", b in "[1-9][0-9]{0,128}") {
            let (a, b) = (number(&a), number(&b));
            prop_assert_eq!(a.cmp(&b), a.to_sortable().cmp(&b.to_sortable()));
            prop_assert_eq!(SequenceNumber::from_sortable(&a.to_sortable()).unwrap(), a);
        }

        #[test]
        fn small_numbers_compare_as_integers(a: u64, b: u64) {
            prop_assert_eq!(SequenceNumber::from_ordinal(a).cmp(&SequenceNumber::from_ordinal(b)), a.cmp(&b));
            prop_assert_eq!(SequenceNumber::from_ordinal(a).to_ordinal(), Some(a));
        }
    }
}

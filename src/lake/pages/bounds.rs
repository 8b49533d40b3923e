//! What are the least and the greatest value of a page and of a column, and how does a footer say so?

use std::cmp::Ordering;

use parquet::basic::Type;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescriptor;

/// Longer texts and bytes are cut: a bound need not be a value.
const LONGEST: usize = 64;

/// The least and the greatest value, as Parquet writes them plain, without a length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) least: Vec<u8>,
    pub(super) greatest: Vec<u8>,
}

/// How a column's values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lake) enum Order {
    /// Byte by byte: texts, bytes, booleans.
    Bytes {
        text: bool,
    },
    /// Big-endian whole numbers with a sign, of one length: decimals.
    BigEndian,
    /// Little-endian numbers.
    Int32,
    Int64,
    Double,
}

impl Order {
    pub(super) fn compare(self, one: &[u8], other: &[u8]) -> Ordering {
        let long = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
        let int = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| i32::from_le_bytes(*bytes));
        let double = |bytes: &[u8]| f64::from_bits(long(bytes) as u64);
        match self {
            Self::Bytes { .. } => one.cmp(other),
            Self::BigEndian => {
                let sign = |bytes: &[u8]| bytes.first().map_or(0, |byte| *byte as i8);
                sign(one).cmp(&sign(other)).then_with(|| one.cmp(other))
            }
            Self::Int32 => int(one).cmp(&int(other)),
            Self::Int64 => long(one).cmp(&long(other)),
            Self::Double => double(one).total_cmp(&double(other)),
        }
    }
}

impl Bounds {
    /// Those of a page without a value.
    pub(super) fn none() -> Self {
        Self { least: Vec::new(), greatest: Vec::new() }
    }

    /// Widens them by those of a further page.
    pub(super) fn widen(&mut self, other: &Self, order: Order) {
        if order.compare(&other.least, &self.least) == Ordering::Less {
            self.least.clone_from(&other.least);
        }
        if order.compare(&other.greatest, &self.greatest) == Ordering::Greater {
            self.greatest.clone_from(&other.greatest);
        }
    }

    /// The same, no longer than a footer should have them. Bounds stay bounds.
    pub(super) fn cut(mut self, order: Order) -> Self {
        if let Order::Bytes { text } = order {
            if self.least.len() > LONGEST {
                self.least.truncate(end_before(&self.least, LONGEST, text));
            }
            if self.greatest.len() > LONGEST
                && let Some(above) = just_above(&self.greatest[..end_before(&self.greatest, LONGEST, text)], text)
            {
                self.greatest = above;
            }
        }
        self
    }
}

/// Where to cut so that text stays text.
fn end_before(bytes: &[u8], most: usize, text: bool) -> usize {
    let mut end = most;
    while text && end > 0 && bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    end
}

/// The least value of at most the same length that is above all that begin so; `None` if there is none.
fn just_above(begin: &[u8], text: bool) -> Option<Vec<u8>> {
    if text {
        let begin = std::str::from_utf8(begin).ok()?;
        return begin.char_indices().rev().find_map(|(at, last)| {
            let next = char::from_u32(u32::from(last) + 1).filter(|next| next.len_utf8() == last.len_utf8())?;
            Some(format!("{}{next}", &begin[..at]).into_bytes())
        });
    }
    let at = begin.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut above = begin[..=at].to_vec();
    above[at] += 1;
    Some(above)
}

/// A column's statistics: `bounds` are of all values and have not been cut.
pub(super) fn statistics(column: &ColumnDescriptor, order: Order, bounds: Option<&Bounds>, nulls: u64) -> Statistics {
    let cut = bounds.map(|bounds| bounds.clone().cut(order));
    let exact = |side: fn(&Bounds) -> &Vec<u8>| bounds.map(side) == cut.as_ref().map(side);
    let (exact_least, exact_greatest) = (exact(|bounds| &bounds.least), exact(|bounds| &bounds.greatest));
    let signed = column.sort_order().is_signed();
    macro_rules! of {
        ($read:expr) => {{
            let read = $read;
            let (least, greatest) = match &cut {
                Some(cut) => (Some(read(&cut.least)), Some(read(&cut.greatest))),
                None => (None, None),
            };
            ValueStatistics::new(least, greatest, None, Some(nulls), false)
                .with_min_is_exact(exact_least)
                .with_max_is_exact(exact_greatest)
                .with_backwards_compatible_min_max(signed)
        }};
    }
    let long = |bytes: &Vec<u8>| bytes.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    match column.physical_type() {
        Type::BOOLEAN => Statistics::Boolean(of!(|bytes: &Vec<u8>| bytes == &[1])),
        Type::INT32 => Statistics::Int32(of!(|bytes: &Vec<u8>| {
            bytes.first_chunk().map_or(0, |bytes| i32::from_le_bytes(*bytes))
        })),
        Type::INT64 => Statistics::Int64(of!(long)),
        // Numbers from JSON are never NaN.
        Type::DOUBLE => {
            Statistics::Double(of!(|bytes: &Vec<u8>| f64::from_bits(long(bytes) as u64)).with_nan_count(Some(0)))
        }
        Type::FIXED_LEN_BYTE_ARRAY => Statistics::FixedLenByteArray(of!(|bytes: &Vec<u8>| {
            FixedLenByteArray::from(ByteArray::from(bytes.clone()))
        })),
        _ => Statistics::ByteArray(of!(|bytes: &Vec<u8>| ByteArray::from(bytes.clone()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cut_bounds_are_bounds(least in "[ -~é🚚\u{7ff}\u{10ffff}]{0,90}", greatest in "[ -~é🚚\u{7ff}\u{10ffff}]{0,90}") {
            for text in [true, false] {
                let bounds = Bounds { least: least.clone().into_bytes(), greatest: greatest.clone().into_bytes() };
                let cut = bounds.clone().cut(Order::Bytes { text });
                prop_assert!(cut.least <= bounds.least && cut.least.len() <= LONGEST);
                prop_assert!(cut.greatest >= bounds.greatest);
                prop_assert!(!text || String::from_utf8(cut.least).is_ok() && String::from_utf8(cut.greatest).is_ok());
            }
        }

        #[test]
        fn decimals_compare_as_numbers(one: i128, other: i128) {
            let order = Order::BigEndian.compare(&one.to_be_bytes(), &other.to_be_bytes());
            prop_assert_eq!(order, one.cmp(&other));
        }
    }

    #[test]
    fn what_nothing_is_above_stays_whole() {
        let bounds = Bounds { least: vec![0xff; 70], greatest: vec![0xff; 70] };
        let cut = bounds.cut(Order::Bytes { text: false });
        assert_eq!((cut.least.len(), cut.greatest.len()), (64, 70));
    }
}

//! How do values of each type become the body of a page?

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, TimeUnit};
use parquet::basic::{Encoding, Type};
use parquet::schema::types::ColumnDescriptor;

use super::bounds::{Bounds, Order};
use super::dictionary::{Dictionary, Short};
use super::pack::{put_differences, put_keys, width_of};
use super::strings::Bytes;

/// The values of an arrow array, as their Parquet column wants them.
pub(super) enum Values<'a> {
    Bytes(Bytes<'a>),
    /// Decimals as big-endian bytes.
    Decimals(Decimals<'a>),
    /// Numbers in eight bytes, decimals of up to 18 digits among them.
    Longs(&'a [i64]),
    LongDecimals(LongDecimals<'a>),
    Ints(&'a [i32]),
    IntDecimals(IntDecimals<'a>),
    Doubles(&'a [f64]),
    Bools(&'a BooleanBuffer),
}

pub(super) struct Decimals<'a> {
    values: &'a [i128],
    /// Where the bytes begin that count.
    skipped: usize,
}

pub(super) struct LongDecimals<'a>(&'a [i128]);
pub(super) struct IntDecimals<'a>(&'a [i128]);

/// How values of a column compare; `None` if such columns are left to others.
pub(super) fn order(data_type: &DataType, column: &ColumnDescriptor) -> Option<Order> {
    Some(match (data_type, column.physical_type()) {
        (DataType::Utf8, Type::BYTE_ARRAY) => Order::Bytes { text: true },
        (DataType::Binary, Type::BYTE_ARRAY) | (DataType::Boolean, Type::BOOLEAN) => Order::Bytes { text: false },
        (DataType::Decimal128(..), Type::FIXED_LEN_BYTE_ARRAY) => Order::BigEndian,
        (DataType::Decimal128(..) | DataType::Int32, Type::INT32) => Order::Int32,
        (DataType::Decimal128(..) | DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, _), Type::INT64) => {
            Order::Int64
        }
        (DataType::Float64, Type::DOUBLE) => Order::Double,
        _ => return None,
    })
}

impl<'a> Values<'a> {
    /// `None` for arrays that [`order`] does not know.
    pub(super) fn of(array: &'a ArrayRef, column: &ColumnDescriptor) -> Option<Self> {
        Some(match (array.data_type(), column.physical_type()) {
            (DataType::Utf8, _) => {
                let array = array.as_string::<i32>();
                Self::Bytes(Bytes { offsets: array.value_offsets(), data: array.value_data() })
            }
            (DataType::Binary, _) => {
                let array = array.as_binary::<i32>();
                Self::Bytes(Bytes { offsets: array.value_offsets(), data: array.value_data() })
            }
            (DataType::Decimal128(..), physical) => {
                let values = &**array.as_primitive::<Decimal128Type>().values();
                match physical {
                    Type::INT32 => Self::IntDecimals(IntDecimals(values)),
                    Type::INT64 => Self::LongDecimals(LongDecimals(values)),
                    _ => Self::Decimals(Decimals {
                        values,
                        skipped: 16_usize.checked_sub(column.type_length() as usize)?,
                    }),
                }
            }
            (DataType::Int32, _) => Self::Ints(array.as_primitive::<Int32Type>().values()),
            (DataType::Int64, _) => Self::Longs(array.as_primitive::<Int64Type>().values()),
            (DataType::Timestamp(TimeUnit::Microsecond, _), _) => {
                Self::Longs(array.as_primitive::<TimestampMicrosecondType>().values())
            }
            (DataType::Float64, _) => Self::Doubles(array.as_primitive::<Float64Type>().values()),
            (DataType::Boolean, _) => Self::Bools(array.as_boolean().values()),
            _ => return None,
        })
    }

    /// The bytes of values before `row`, to see how many fit a page: those of variable length only.
    pub(super) fn offsets(&self) -> Option<&'a [i32]> {
        match self {
            Self::Bytes(bytes) => Some(bytes.offsets),
            _ => None,
        }
    }

    /// Appends those of `present` to a page's body. Without a dictionary they are encoded as `encoding` says, if they
    /// can be; answers how they were, and their bounds.
    pub(super) fn put(
        &self,
        present: &[u32],
        encoding: Encoding,
        dictionary: Option<&mut Dictionary>,
        keys: &mut Vec<u32>,
        out: &mut Vec<u8>,
    ) -> (Encoding, Option<Bounds>) {
        let Some(dictionary) = dictionary else { return self.put_each(present, encoding, out) };
        let bounds = match self {
            Self::Bytes(values) => put_known(values, present, dictionary, keys),
            Self::Decimals(values) => put_known(values, present, dictionary, keys),
            Self::Longs(values) => put_known(*values, present, dictionary, keys),
            Self::LongDecimals(values) => put_known(values, present, dictionary, keys),
            Self::Ints(values) => put_known(*values, present, dictionary, keys),
            Self::IntDecimals(values) => put_known(values, present, dictionary, keys),
            Self::Doubles(values) => put_known(*values, present, dictionary, keys),
            Self::Bools(_) => return self.put_each(present, encoding, out),
        };
        let width = width_of((dictionary.len() as u64).saturating_sub(1)).max(1);
        out.push(width as u8);
        put_keys(keys, width, out);
        (Encoding::RLE_DICTIONARY, bounds)
    }

    fn put_each(&self, present: &[u32], encoding: Encoding, out: &mut Vec<u8>) -> (Encoding, Option<Bounds>) {
        match self {
            Self::Bytes(values) => values.put(present, encoding, out),
            Self::Decimals(values) => (Encoding::PLAIN, put_plain(values, present, out)),
            Self::Longs(values) => put_numbers(*values, present, encoding, out),
            Self::LongDecimals(values) => put_numbers(values, present, encoding, out),
            Self::Ints(values) => put_numbers(*values, present, encoding, out),
            Self::IntDecimals(values) => put_numbers(values, present, encoding, out),
            Self::Doubles(values) => (Encoding::PLAIN, put_plain(*values, present, out)),
            Self::Bools(values) => (Encoding::PLAIN, put_bools(values, present, out)),
        }
    }
}

/// Values of one type.
pub(super) trait Source {
    type Item: Copy + PartialOrd;
    type Plain: AsRef<[u8]>;

    fn at(&self, row: u32) -> Self::Item;

    /// As Parquet writes it plain, without a length.
    fn plain(&self, item: Self::Item) -> Self::Plain;

    /// What a dictionary knows it by, if it is short.
    fn short(&self, row: u32) -> Option<Short>;
}

/// Whole numbers.
trait Whole: Source {
    /// Whether they are of 32 bits.
    const NARROW: bool;

    fn long(item: Self::Item) -> i64;
}

/// A decimal's big-endian bytes, of which the last ones count.
pub(super) struct BigEndian([u8; 16], usize);

impl AsRef<[u8]> for BigEndian {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.0[self.1..]
    }
}

impl Source for Decimals<'_> {
    type Item = i128;
    type Plain = BigEndian;

    #[inline]
    fn at(&self, row: u32) -> i128 {
        self.values[row as usize]
    }

    #[inline]
    fn plain(&self, item: i128) -> BigEndian {
        BigEndian(item.to_be_bytes(), self.skipped)
    }

    #[inline]
    fn short(&self, row: u32) -> Option<Short> {
        Some(Short::new(self.at(row) as u128, 16))
    }
}

macro_rules! numbers {
    ($source:ty, $item:ty, $self:ident, $row:ident, $at:expr) => {
        impl Source for $source {
            type Item = $item;
            type Plain = [u8; size_of::<$item>()];

            #[inline]
            fn at(&self, row: u32) -> $item {
                let ($self, $row) = (self, row as usize);
                $at
            }

            #[inline]
            fn plain(&self, item: $item) -> Self::Plain {
                item.to_le_bytes()
            }

            #[inline]
            fn short(&self, row: u32) -> Option<Short> {
                Some(Short::new(self.at(row) as u128, size_of::<$item>()))
            }
        }

        impl Whole for $source {
            const NARROW: bool = size_of::<$item>() == 4;

            #[inline]
            fn long(item: $item) -> i64 {
                item.into()
            }
        }
    };
}

numbers!([i64], i64, values, row, values[row]);
numbers!([i32], i32, values, row, values[row]);
numbers!(LongDecimals<'_>, i64, values, row, values.0[row] as i64);
numbers!(IntDecimals<'_>, i32, values, row, values.0[row] as i32);

/// A double by its place in IEEE 754's total order, in which -0 is below 0: the one that footers name.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Double(f64);

impl PartialOrd for Double {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.0.total_cmp(&other.0))
    }
}

impl Source for [f64] {
    type Item = Double;
    type Plain = [u8; 8];

    fn at(&self, row: u32) -> Double {
        Double(self[row as usize])
    }

    fn plain(&self, item: Double) -> [u8; 8] {
        item.0.to_le_bytes()
    }

    fn short(&self, row: u32) -> Option<Short> {
        Some(Short::new(u128::from(self[row as usize].to_bits()), 8))
    }
}

/// The least and the greatest value so far.
struct Extremes<T>(Option<(T, T)>);

impl<T: Copy + PartialOrd> Extremes<T> {
    #[inline]
    fn take(&mut self, item: T) {
        match &mut self.0 {
            Some((least, greatest)) => {
                if item < *least {
                    *least = item;
                } else if item > *greatest {
                    *greatest = item;
                }
            }
            none => *none = Some((item, item)),
        }
    }

    fn bounds<S: Source<Item = T> + ?Sized>(self, source: &S) -> Option<Bounds> {
        let bytes = |item| source.plain(item).as_ref().to_vec();
        self.0.map(|(least, greatest)| Bounds { least: bytes(least), greatest: bytes(greatest) })
    }
}

/// Finds the numbers that values have in a dictionary.
fn put_known<S: Source + ?Sized>(
    source: &S,
    present: &[u32],
    dictionary: &mut Dictionary,
    keys: &mut Vec<u32>,
) -> Option<Bounds> {
    keys.clear();
    dictionary.turn_page();
    let mut extremes = Extremes(None);
    keys.extend(present.iter().map(|&row| {
        let (key, is_first) = match source.short(row) {
            Some(short) => dictionary.short_key(short, || source.plain(source.at(row))),
            None => dictionary.key(source.plain(source.at(row)).as_ref()),
        };
        if is_first {
            extremes.take(source.at(row));
        }
        key
    }));
    extremes.bounds(source)
}

/// Values of a fixed length, one behind the other.
fn put_plain<S: Source + ?Sized>(source: &S, present: &[u32], out: &mut Vec<u8>) -> Option<Bounds> {
    let mut extremes = Extremes(None);
    for &row in present {
        let item = source.at(row);
        extremes.take(item);
        out.extend_from_slice(source.plain(item).as_ref());
    }
    extremes.bounds(source)
}

fn put_numbers<S: Whole + ?Sized>(
    source: &S,
    present: &[u32],
    encoding: Encoding,
    out: &mut Vec<u8>,
) -> (Encoding, Option<Bounds>) {
    if encoding != Encoding::DELTA_BINARY_PACKED {
        return (Encoding::PLAIN, put_plain(source, present, out));
    }
    let mut extremes = Extremes(None);
    present.iter().for_each(|&row| extremes.take(source.at(row)));
    put_differences(present.iter().map(|&row| S::long(source.at(row))), S::NARROW, out);
    (encoding, extremes.bounds(source))
}

fn put_bools(values: &BooleanBuffer, present: &[u32], out: &mut Vec<u8>) -> Option<Bounds> {
    let mut set = 0;
    for eight in present.chunks(8) {
        let bits = eight.iter().enumerate().map(|(at, &row)| u8::from(values.value(row as usize)) << at);
        let byte = bits.fold(0, |byte, bit| byte | bit);
        set += byte.count_ones() as usize;
        out.push(byte);
    }
    let bounds = || Bounds { least: vec![u8::from(set == present.len())], greatest: vec![u8::from(set > 0)] };
    (!present.is_empty()).then(bounds)
}

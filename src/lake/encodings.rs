//! How is each column of a file encoded? Judged by a sample of its first rows: a dictionary only where values repeat.
//!
//! A dictionary of values that are all different costs more than everything else about a column, and is thrown away in
//! the end. What gets none is encoded as Spark since 3.3, Athena 3 (Trino), DuckDB and pyarrow read it: delta encodings
//! of whole numbers and of bytes; anything else plain.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, BinaryType, ByteArrayType, Decimal128Type, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType, Utf8Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::ToByteSlice;
use arrow_schema::{DataType, TimeUnit};
use hashbrown::HashSet;
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::SchemaDescriptor;

/// One value of so many is looked at.
const SAMPLED_OF: usize = 16;
/// The fewest and the most values that are looked at, where there are so many.
const SAMPLE: (usize, usize) = (128, 1024);
/// With fewer values than this a dictionary's tables cost more than it saves.
const LEAST_FOR_DICTIONARY: usize = 8;

/// From this length on a text's own length in front of it is nothing, and there is nothing to gain but a copy to save.
const LONG: usize = 4096;

/// How a column is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Dictionary,
    /// Without a dictionary, each value as it is.
    Plain,
    /// Without a dictionary, as that encoding says.
    As(Encoding),
}

/// How the leaves of `columns` are encoded, in their order.
pub(super) fn choices(columns: &[ArrayRef]) -> Vec<Choice> {
    let mut leaves = Vec::new();
    columns.iter().for_each(|column| push_leaves(column, &mut leaves));
    leaves.into_iter().map(choice).collect()
}

/// Sets the encodings of `columns` for the writers of the `parquet` crate.
pub(super) fn set(
    mut properties: WriterPropertiesBuilder,
    choices: &[Choice],
    columns: &SchemaDescriptor,
) -> WriterPropertiesBuilder {
    for (choice, leaf) in choices.iter().zip(columns.columns()) {
        let path = leaf.path().clone();
        properties = match *choice {
            Choice::Dictionary => properties,
            Choice::Plain => properties.set_column_dictionary_enabled(path, false),
            Choice::As(encoding) => {
                properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding)
            }
        };
    }
    properties
}

/// The arrays of the Parquet leaves, in their order.
fn push_leaves<'a>(column: &'a ArrayRef, leaves: &mut Vec<&'a ArrayRef>) {
    match column.data_type() {
        DataType::List(_) => push_leaves(column.as_list::<i32>().values(), leaves),
        DataType::Struct(_) => column.as_struct().columns().iter().for_each(|field| push_leaves(field, leaves)),
        _ => leaves.push(column),
    }
}

fn choice(values: &ArrayRef) -> Choice {
    match values.data_type() {
        DataType::Utf8 => bytes::<Utf8Type>(values),
        DataType::Binary => bytes::<BinaryType>(values),
        DataType::Decimal128(..) => numbers::<Decimal128Type>(values, Choice::Plain),
        DataType::Float64 => numbers::<Float64Type>(values, Choice::Plain),
        DataType::Int64 => counters::<Int64Type>(values),
        DataType::Int32 => counters::<Int32Type>(values),
        // Times mostly come in their order: their differences take less than any dictionary's keys.
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            debug_assert!(values.as_primitive_opt::<TimestampMicrosecondType>().is_some());
            Choice::As(Encoding::DELTA_BINARY_PACKED)
        }
        // Parquet knows no dictionary of booleans.
        _ => Choice::Dictionary,
    }
}

fn counters<T: ArrowPrimitiveType>(values: &ArrayRef) -> Choice {
    let array = values.as_primitive::<T>();
    let first = array.values().first();
    let same = sampled(values).all(|row| array.values().get(row) == first);
    let delta = Choice::As(Encoding::DELTA_BINARY_PACKED);
    // No difference is ever as small as that of a value to itself.
    if same { delta } else { numbers::<T>(values, delta) }
}

fn numbers<T: ArrowPrimitiveType>(values: &ArrayRef, otherwise: Choice) -> Choice {
    let array = values.as_primitive::<T>();
    if repeats(values, |row| array.values()[row].to_byte_slice()) { Choice::Dictionary } else { otherwise }
}

fn bytes<T: ByteArrayType>(values: &ArrayRef) -> Choice
where
    T::Native: AsRef<[u8]>,
{
    let array = values.as_bytes::<T>();
    let value = |row: usize| -> &[u8] { array.value(row).as_ref() };
    if repeats(values, value) {
        return Choice::Dictionary;
    }
    let (mut pairs, mut length, mut shared) = (0, 0, 0);
    for row in sampled(values).filter(|&row| row > 0 && array.is_valid(row - 1)) {
        let (before, here) = (value(row - 1), value(row));
        pairs += 1;
        length += here.len();
        shared += before.iter().zip(here).take_while(|(a, b)| a == b).count();
    }
    if length > pairs * LONG {
        return Choice::Plain;
    }
    // Only ids that count up (sequence numbers, above all) share so much that naming what differs beats zstd.
    let counts_up = length > 0 && shared * 4 >= length * 3;
    Choice::As(if counts_up { Encoding::DELTA_BYTE_ARRAY } else { Encoding::DELTA_LENGTH_BYTE_ARRAY })
}

/// Whether values come again often enough for a dictionary: of those sampled at least every eighth. A sample of a
/// sixteenth has that if a value comes about four times in all.
fn repeats<'a>(values: &ArrayRef, value: impl Fn(usize) -> &'a [u8]) -> bool {
    let looked_at = sampled(values).count();
    if looked_at < LEAST_FOR_DICTIONARY {
        return false;
    }
    let mut different: HashSet<&[u8]> = HashSet::with_capacity(looked_at);
    different.extend(sampled(values).map(value));
    different.len() * 8 <= looked_at * 7
}

/// The rows to look at: spread evenly, those without a value left out.
fn sampled(values: &ArrayRef) -> impl Iterator<Item = usize> {
    let (rows, (least, most)) = (values.len(), SAMPLE);
    let step = rows / (rows / SAMPLED_OF).clamp(least, most);
    let nulls = values.nulls().cloned();
    (0..rows).step_by(step.max(1)).filter(move |&row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Decimal128Array, Int32Array, Int64Array, StringArray};
    use std::sync::Arc;

    fn text(value: impl Fn(usize) -> String) -> Choice {
        choice(&(Arc::new(StringArray::from_iter_values((0..20_000).map(value))) as ArrayRef))
    }

    #[test]
    fn a_dictionary_only_where_values_repeat() {
        assert_eq!(text(|_| "INSERT".to_owned()), Choice::Dictionary);
        let scattered = |row: usize| (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert_eq!(text(|row| format!("author {}", (scattered(row) >> 32) % 300)), Choice::Dictionary);
        let unique = text(|row| format!("{:016x}", scattered(row)));
        assert_eq!(unique, Choice::As(Encoding::DELTA_LENGTH_BYTE_ARRAY));
        assert_eq!(text(|row| format!("{row:048}")), Choice::As(Encoding::DELTA_BYTE_ARRAY));
        assert_eq!(text(|row| format!("{row}{}", "x".repeat(5000))), Choice::Plain);
        let decimals =
            |of: i128| choice(&(Arc::new(Decimal128Array::from_iter_values((0..20_000).map(|n| n % of))) as _));
        assert_eq!(decimals(100), Choice::Dictionary);
        assert_eq!(decimals(20_000), Choice::Plain);
    }

    #[test]
    fn few_values_or_none_need_no_dictionary() {
        let mostly_null = StringArray::from_iter((0..100_000).map(|row| (row == 0).then_some("x")));
        assert_ne!(choice(&(Arc::new(mostly_null) as _)), Choice::Dictionary);
        assert_eq!(choice(&(Arc::new(Int64Array::new_null(10)) as _)), Choice::As(Encoding::DELTA_BINARY_PACKED));
        assert_eq!(
            choice(&(Arc::new(Int32Array::from(vec![0; 10_000])) as _)),
            Choice::As(Encoding::DELTA_BINARY_PACKED)
        );
        assert_ne!(choice(&(Arc::new(StringArray::new_null(0)) as _)), Choice::Dictionary);
    }
}

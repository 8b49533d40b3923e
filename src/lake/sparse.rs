//! How are columns encoded that have a value in few rows? Where they have none they are all alike, so it is found out once.
//!
//! A table whose items have ever other attributes has hundreds of such columns, twice. What says "no value here" in Parquet,
//! the definition levels, depends on the old image alone, if the column is one of its fields; to work them out takes many
//! times as long as to encode them. So rows are taken in stretches, and in each the columns without a value, if they are
//! of one type, share what was worked out for the first of them.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, FieldRef, Fields};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowLeafColumn, compute_leaves};
use parquet::errors::ParquetError;

use super::parts::Writers;

/// In how many stretches the rows of a batch are taken, and how long one is at least.
const STRETCHES: usize = 16;
const SHORTEST: usize = 64;
/// A column with more values than this is like any other.
const FEW: usize = 4;

/// A column that is one leaf, in a struct or not, and who encodes it.
pub(super) struct Sparse<'a> {
    /// As a field of its own, or of a struct with no other field.
    field: FieldRef,
    values: ArrayRef,
    /// The struct's nulls.
    parent: Option<NullBuffer>,
    /// The rows that have a value.
    valid: Vec<usize>,
    writer: &'a mut ArrowColumnWriter,
}

impl<'a> Sparse<'a> {
    /// `field` is that of `values`, in the struct `of` with these nulls or in none. Gives the writers back if the column is
    /// not sparse, or not one leaf.
    pub(super) fn new(
        field: &FieldRef,
        values: &ArrayRef,
        of: Option<(&FieldRef, Option<&NullBuffer>)>,
        writers: Writers<'a>,
    ) -> Result<Self, Writers<'a>> {
        let Some(nulls) = values.nulls().filter(|nulls| is_sparse(nulls) && !values.data_type().is_nested()) else {
            return Err(writers);
        };
        let [writer] = <[_; 1]>::try_from(writers)?;
        let valid = nulls.valid_indices().collect();
        let (field, parent) = match of {
            None => (field.clone(), None),
            Some((outer, nulls)) => {
                let alone = DataType::Struct(Fields::from(vec![field.clone()]));
                (Arc::new(Field::new(outer.name(), alone, outer.is_nullable())), nulls.cloned())
            }
        };
        Ok(Self { field, values: values.clone(), parent, valid, writer })
    }

    /// Whether no row has a value.
    fn is_empty(&self, rows: &Range<usize>) -> bool {
        !self.valid.iter().any(|row| rows.contains(row))
    }

    /// What the writer is given for these rows.
    fn leaf(&self, rows: &Range<usize>) -> Result<ArrowLeafColumn, ParquetError> {
        let values = self.values.slice(rows.start, rows.len());
        let array: ArrayRef = match self.field.data_type() {
            DataType::Struct(fields) => {
                let parent = self.parent.as_ref().map(|nulls| nulls.slice(rows.start, rows.len()));
                Arc::new(StructArray::try_new(fields.clone(), vec![values], parent)?)
            }
            _ => values,
        };
        let leaf = compute_leaves(&self.field, &array)?.pop();
        leaf.ok_or_else(|| ParquetError::General(format!("no leaf at {}", self.field.name())))
    }
}

fn is_sparse(nulls: &NullBuffer) -> bool {
    nulls.len() > FEW * SHORTEST && nulls.len() - nulls.null_count() <= FEW
}

/// Encodes columns of one batch: all of them fields of one struct, or none of any.
pub(super) fn encode(columns: &mut [Sparse<'_>]) -> Result<(), ParquetError> {
    let rows = columns.first().map_or(0, |column| column.values.len());
    let length = rows.div_ceil(STRETCHES).max(SHORTEST);
    for start in (0..rows).step_by(length) {
        let stretch = start..rows.min(start + length);
        // The types are few.
        let mut shared: Vec<(DataType, ArrowLeafColumn)> = Vec::new();
        for column in &mut *columns {
            if !column.is_empty(&stretch) {
                column.writer.write(&column.leaf(&stretch)?)?;
                continue;
            }
            let data_type = column.field.data_type();
            let known = shared.iter().position(|(known, _)| is_alike(known, data_type));
            let known = match known {
                Some(known) => known,
                None => {
                    shared.push((data_type.clone(), column.leaf(&stretch)?));
                    shared.len() - 1
                }
            };
            column.writer.write(&shared[known].1)?;
        }
    }
    Ok(())
}

/// Whether types are the same but for the names in them.
fn is_alike(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::Struct(one), DataType::Struct(other)) => match (&one[..], &other[..]) {
            ([one], [other]) => one.data_type() == other.data_type() && one.is_nullable() == other.is_nullable(),
            _ => false,
        },
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use crate::change::{Position, SequenceNumber, ShardId};
    use crate::decode::envelope::Envelope;
    use crate::lake::file::FileWriter;
    use crate::lake::rows::{RowOrigin, Rows};
    use crate::lake::schema::{AttributeType, Column, TableRules, TableSchema};

    /// Columns with a value in the rows of these numbers: none, few or many.
    const ROWS_OF: [(&str, &str, &[usize]); 6] = [
        ("none", "string", &[]),
        ("nowhere", "decimal(38,9)", &[]),
        ("first", "string", &[0, 1]),
        ("last", "decimal(38,9)", &[699]),
        ("apart", "string", &[63, 64, 400, 500]),
        ("set", "list<string>", &[5]),
    ];

    fn schema() -> TableSchema {
        let column = |(name, storage, _): (&str, &str, &[usize])| {
            let storage = storage.parse().unwrap();
            let takes = AttributeType::inside(&storage);
            Column { attribute: name.into(), column: name.into(), takes, storage, key: false }
        };
        let always = ("always", "string", &[][..]);
        TableSchema::new("T".into(), 1, ROWS_OF.into_iter().chain([always]).map(column).collect())
    }

    fn batch(rows: usize) -> RecordBatch {
        let mut collected = Rows::new(RowOrigin::of(ShardId::new("s")), schema().into());
        for row in 0..rows {
            let mut image = format!(r#"{{"always":{{"S":"{row}"}}"#);
            for (name, storage, of) in ROWS_OF {
                if of.contains(&row) {
                    let value = match storage {
                        "string" => format!(r#"{{"S":"{row}"}}"#),
                        "list<string>" => r#"{"L":[{"S":"x"}]}"#.to_owned(),
                        _ => format!(r#"{{"N":"{row}"}}"#),
                    };
                    image += &format!(r#","{name}":{value}"#);
                }
            }
            image.push('}');
            let image = Some(image.as_str().into());
            // An old image in two rows of three, without a pattern that stretches share.
            let old_image = image.filter(|_| row * row % 3 != 0 || row == 699 || row == 0);
            let change = Envelope { event_name: "MODIFY".into(), new_image: image, old_image, ..Envelope::default() };
            let position = Position::new(SequenceNumber::from_ordinal(row as u64));
            assert_eq!(collected.add(position, &change, &TableRules::default()).unwrap().to_rest, 0);
        }
        collected.finish().unwrap()
    }

    #[test]
    fn rows_of_sparse_columns_come_back() {
        let batches = [batch(700), batch(3), batch(1000)];
        for threads in [1, 3] {
            let mut writer = FileWriter::new(&schema(), &TableRules::default(), &[]).unwrap();
            batches.iter().for_each(|batch| writer.write_on(threads, batch).unwrap());
            let file = writer.finish_on(threads).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(5000).build().unwrap();
            let read: Vec<_> = reader.map(Result::unwrap).collect();
            let [read] = &read[..] else { panic!("one batch") };
            let mut from = 0;
            for batch in &batches {
                let part = read.slice(from, batch.num_rows());
                assert_eq!(part.columns(), batch.columns());
                from += batch.num_rows();
            }
            assert_eq!(from, read.num_rows());
        }
    }
}

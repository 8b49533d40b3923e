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

//! In which parts is a batch encoded, each of which may have a thread of its own?

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, compute_leaves};
use parquet::errors::ParquetError;

use super::sparse::{self, Sparse};

/// A part of a batch, and who encodes its leaves.
pub(super) enum Part<'a> {
    /// A column, or some fields of a struct.
    Dense(FieldRef, ArrayRef, Writers<'a>),
    /// Columns that have a value in few rows.
    Sparse(Vec<Sparse<'a>>),
}

/// One for each leaf.
pub(super) type Writers<'a> = Vec<&'a mut ArrowColumnWriter>;

impl Part<'_> {
    /// Encodes it.
    pub(super) fn encode(self) -> Result<(), ParquetError> {
        match self {
            Self::Sparse(mut columns) => sparse::encode(&mut columns),
            Self::Dense(field, array, writers) => {
                let leaves = compute_leaves(&field, &array)?;
                leaves.iter().zip(writers).try_for_each(|(leaf, writer)| writer.write(leaf))
            }
        }
    }
}

/// The parts of a batch; for several threads, structs (the old image is half of all) as their fields.
pub(super) fn of<'a>(
    batch: &RecordBatch,
    writers: &'a mut [ArrowColumnWriter],
    threads: usize,
) -> Result<Vec<Part<'a>>, ArrowError> {
    let mut writers = writers.iter_mut();
    let (mut parts, mut few) = (Vec::new(), Vec::new());
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if let DataType::Struct(fields) = field.data_type() {
            let nulls = array.nulls();
            let (mut dense, mut few) = (Vec::new(), Vec::new());
            for (inner, values) in fields.iter().zip(array.as_struct().columns()) {
                let mine = writers.by_ref().take(leaves(inner.data_type())).collect();
                match Sparse::new(inner, values, Some((field, nulls)), mine) {
                    Ok(column) => few.push(column),
                    Err(mine) => dense.push((inner.clone(), values.clone(), mine)),
                }
            }
            parts.push(Part::Sparse(few));
            let at_once = if threads > 1 { 1 } else { dense.len().max(1) };
            let mut dense = dense.into_iter().peekable();
            while dense.peek().is_some() {
                parts.push(of_struct(field, nulls, dense.by_ref().take(at_once))?);
            }
            continue;
        }
        let mine = writers.by_ref().take(leaves(field.data_type())).collect();
        match Sparse::new(field, array, None, mine) {
            Ok(column) => few.push(column),
            Err(mine) => parts.push(Part::Dense(field.clone(), array.clone(), mine)),
        }
    }
    parts.push(Part::Sparse(few));
    Ok(parts)
}

/// Some fields of a struct.
fn of_struct<'a>(
    of: &FieldRef,
    nulls: Option<&NullBuffer>,
    some: impl Iterator<Item = (FieldRef, ArrayRef, Writers<'a>)>,
) -> Result<Part<'a>, ArrowError> {
    let (mut fields, mut arrays, mut writers) = (Vec::new(), Vec::new(), Vec::new());
    for (field, array, mine) in some {
        fields.push(field);
        arrays.push(array);
        writers.extend(mine);
    }
    let array = StructArray::try_new(Fields::from(fields), arrays, nulls.cloned())?;
    let field = Field::new(of.name(), array.data_type().clone(), of.is_nullable());
    Ok(Part::Dense(Arc::new(field), Arc::new(array), writers))
}

/// How many Parquet leaves a type has.
pub(super) fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(element) => leaves(element.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        _ => 1,
    }
}

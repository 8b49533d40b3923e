//! In which parts is a batch encoded, each of which may have a thread of its own?

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, compute_leaves};
use parquet::errors::ParquetError;

use super::pages::{Chunk, Leaf, Parent, Scratch};

/// Who encodes a leaf.
pub(super) enum Writer {
    /// We do.
    Ours(Box<Chunk>),
    /// The `parquet` crate does.
    Other(Box<ArrowColumnWriter>),
}

impl Writer {
    /// The bytes it takes in memory.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Ours(chunk) => chunk.memory(),
            Self::Other(writer) => writer.memory_size(),
        }
    }

    /// The bytes its column will have in the file, roughly.
    pub(super) fn encoded(&self) -> usize {
        match self {
            Self::Ours(chunk) => chunk.encoded(),
            Self::Other(writer) => writer.get_estimated_total_bytes(),
        }
    }
}

/// A column of a batch, or a part of one, and who encodes its leaves.
pub(super) enum Part<'a> {
    Ours(Leaf, &'a mut Chunk),
    Other(FieldRef, ArrayRef, Vec<&'a mut ArrowColumnWriter>),
}

impl Part<'_> {
    /// Encodes it.
    pub(super) fn encode(self, scratch: &mut Scratch) -> Result<(), ParquetError> {
        match self {
            Self::Ours(leaf, chunk) => chunk.write(&leaf, scratch),
            Self::Other(field, array, writers) => {
                let leaves = compute_leaves(&field, &array)?;
                leaves.iter().zip(writers).try_for_each(|(leaf, writer)| writer.write(leaf))
            }
        }
    }
}

/// The parts of a batch: structs (the old image is half of all) as their fields.
pub(super) fn of<'a>(batch: &RecordBatch, writers: &'a mut [Writer]) -> Result<Vec<Part<'a>>, ArrowError> {
    let mut writers = writers.iter_mut();
    let mut parts = Vec::with_capacity(writers.len());
    let top = Parent::new(None);
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let DataType::Struct(fields) = field.data_type() else {
            parts.push(part(field, array, &top, &mut writers, |array| Ok((field.clone(), array)))?);
            continue;
        };
        let parent = Parent::new(array.nulls().cloned());
        for (inner, values) in fields.iter().zip(array.as_struct().columns()) {
            let alone = |values| {
                let fields = Fields::from(vec![inner.clone()]);
                let array = StructArray::try_new(fields, vec![values], array.nulls().cloned())?;
                let field = Field::new(field.name(), array.data_type().clone(), field.is_nullable());
                Ok((Arc::new(field), Arc::new(array) as ArrayRef))
            };
            parts.push(part(inner, values, &parent, &mut writers, alone)?);
        }
    }
    Ok(parts)
}

/// A column or a field, with the next writers. `whole` makes of it what the `parquet` crate takes.
fn part<'a>(
    field: &Field,
    array: &ArrayRef,
    parent: &Arc<Parent>,
    writers: &mut std::slice::IterMut<'a, Writer>,
    whole: impl FnOnce(ArrayRef) -> Result<(FieldRef, ArrayRef), ArrowError>,
) -> Result<Part<'a>, ArrowError> {
    let mut others = Vec::new();
    for writer in writers.by_ref().take(leaves(field.data_type())) {
        match writer {
            Writer::Ours(chunk) => return Ok(Part::Ours(Leaf::new(array.clone(), parent.clone()), chunk)),
            Writer::Other(writer) => others.push(&mut **writer),
        }
    }
    let (field, array) = whole(array.clone())?;
    Ok(Part::Other(field, array, others))
}

/// How many Parquet leaves a type has.
pub(super) fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(element) => leaves(element.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        _ => 1,
    }
}

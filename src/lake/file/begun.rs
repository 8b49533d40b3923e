//! How do batches become the row groups of a file? Their columns are encoded side by side.

use std::sync::{Mutex, PoisonError};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions,
};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::file::writer::SerializedFileWriter;

use super::FileError;
use crate::lake::encodings::{self, Choice};
use crate::lake::pages::{self, Chunk, Order, Scratch};
use crate::lake::parts::{self, Part, Writer};
use crate::lake::side_by_side::side_by_side;
use crate::lake::sink::Sink;

/// The most rows of a row group.
const ROW_GROUP_ROWS: usize = 1_000_000;

/// What a compressor takes at most, and how much more than what it is given if that is little.
const COMPRESSOR: usize = 512 << 10;
const COMPRESSOR_OF_RAW: usize = 4;

/// A file that has rows: row groups that are complete, and the columns of the one that is not.
pub(super) struct Begun {
    pub(super) file: SerializedFileWriter<Sink>,
    /// How the columns are encoded, and which of them by ourselves: one for each leaf.
    choices: Vec<Choice>,
    ours: Vec<Option<Order>>,
    /// Makes writers for all other columns.
    others: ArrowRowGroupWriterFactory,
    /// One for each leaf; none between two row groups.
    columns: Vec<Writer>,
    /// What threads have encoded with, for the next ones.
    scratch: Mutex<Vec<Scratch>>,
    /// The rows and the raw bytes of the row group.
    rows: usize,
    raw: usize,
    /// The encoded bytes with which it ends.
    pub(super) group: usize,
}

impl Begun {
    /// `indexed`: the positions of columns that have Bloom filters, which the `parquet` crate makes.
    pub(super) fn new(
        schema: &SchemaRef,
        properties: WriterPropertiesBuilder,
        indexed: &[usize],
        first: &[ArrayRef],
        sink: Sink,
    ) -> Result<Self, FileError> {
        let leaves = ArrowSchemaConverter::new().convert(schema)?;
        let choices = encodings::choices(first);
        let ours = pages::ours(schema.fields(), &leaves, indexed);
        let properties = encodings::set(properties, &choices, &leaves).build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_parquet_schema(leaves);
        let writer = ArrowWriter::try_new_with_options(sink, schema.clone(), options)?;
        let (file, others) = writer.into_serialized_writer()?;
        let (columns, scratch) = (Vec::new(), Mutex::default());
        Ok(Self { file, choices, ours, others, columns, scratch, rows: 0, raw: 0, group: usize::MAX })
    }

    pub(super) fn add(&mut self, threads: usize, batch: &RecordBatch) -> Result<(), FileError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.rows + batch.num_rows() > ROW_GROUP_ROWS {
            self.close_group(threads)?;
        }
        if self.columns.is_empty() {
            self.columns = self.writers()?;
        }
        self.rows += batch.num_rows();
        self.raw += batch.get_array_memory_size();
        let parts = parts::of(batch, &mut self.columns)?;
        let scratch = &self.scratch;
        side_by_side(threads, parts, |part: Part<'_>| with_scratch(scratch, |scratch| part.encode(scratch)))?;
        if self.columns.iter().map(Writer::encoded).sum::<usize>() >= self.group {
            self.close_group(threads)?;
        }
        Ok(())
    }

    /// Writers for the columns of another row group.
    fn writers(&self) -> Result<Vec<Writer>, ParquetError> {
        let columns = self.file.schema_descr();
        let others = if self.ours.contains(&None) {
            let group = self.file.flushed_row_groups().len();
            self.others.create_column_writers(group)?.into_iter().map(Some).collect()
        } else {
            self.ours.iter().map(|_| None).collect::<Vec<_>>()
        };
        let one = |(at, (order, other)): (usize, (&Option<Order>, Option<ArrowColumnWriter>))| match (order, other) {
            (Some(order), _) => {
                let choice = self.choices.get(at).copied().unwrap_or(Choice::Plain);
                Ok(Writer::Ours(Box::new(Chunk::open(columns, at, *order, choice))))
            }
            (None, Some(other)) => Ok(Writer::Other(Box::new(other))),
            (None, None) => Err(ParquetError::General(format!("no writer for column {at}"))),
        };
        self.ours.iter().zip(others).enumerate().map(one).collect()
    }

    pub(super) fn close_group(&mut self, threads: usize) -> Result<(), FileError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let columns = std::mem::take(&mut self.columns);
        let mut chunks: Vec<Option<Finished>> = columns.iter().map(|_| None).collect();
        let tasks = columns.into_iter().zip(&mut chunks).collect();
        let scratch = &self.scratch;
        side_by_side(threads, tasks, |(column, chunk): (Writer, &mut Option<Finished>)| {
            *chunk = Some(match column {
                Writer::Ours(ours) => Finished::Ours(Box::new(with_scratch(scratch, |scratch| ours.finish(scratch))?)),
                Writer::Other(other) => Finished::Other(Box::new(other.close()?)),
            });
            Ok::<_, ParquetError>(())
        })?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks.into_iter().flatten() {
            match chunk {
                Finished::Ours(ours) => {
                    let (bytes, close) = *ours;
                    group.append_column(&bytes, close)?;
                }
                Finished::Other(other) => other.append_to_row_group(&mut group)?,
            }
        }
        group.close()?;
        // Or its end would wait in a buffer for the next one.
        self.file.flush().map_err(ParquetError::from)?;
        (self.rows, self.raw) = (0, 0);
        // Other files may have more use for what it takes.
        self.scratch = Mutex::default();
        Ok(())
    }

    pub(super) fn memory(&self) -> usize {
        let columns = self.columns.iter().map(Writer::memory).sum::<usize>();
        let scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        // Writers don't count their compressors, which grow with what they are given, up to a bound.
        let others = self.columns.iter().filter(|column| matches!(column, Writer::Other(_))).count();
        let compressors = ((scratch.len() + others) * COMPRESSOR).min(COMPRESSOR_OF_RAW * self.raw);
        columns + compressors + scratch.iter().map(Scratch::memory).sum::<usize>() + self.file.inner().memory()
    }

    pub(super) fn encoded(&self) -> usize {
        self.file.bytes_written() + self.columns.iter().map(Writer::encoded).sum::<usize>()
    }
}

/// A column of a row group that is complete.
enum Finished {
    Ours(Box<(Bytes, ColumnCloseResult)>),
    Other(Box<ArrowColumnChunk>),
}

/// Works with what another thread has left there, if there is any.
fn with_scratch<T>(
    left: &Mutex<Vec<Scratch>>,
    work: impl FnOnce(&mut Scratch) -> Result<T, ParquetError>,
) -> Result<T, ParquetError> {
    let left = || left.lock().unwrap_or_else(PoisonError::into_inner);
    let found = left().pop();
    let mut scratch = found.map_or_else(Scratch::new, Ok)?;
    let done = work(&mut scratch);
    left().push(scratch);
    done
}

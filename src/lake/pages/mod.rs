//! How do columns become Parquet pages? The usual ones by our own hand, everything else by the `parquet` crate's writers.
//!
//! Ours are scalars, and lists of scalars, at the top or in a struct there: nearly all that a lake has. A batch brings at
//! least one page for each column, so nothing waits from batch to batch but finished pages and dictionaries, and all
//! columns that one thread encodes share a compressor. Footers, headers and indexes are still written by the crate.

mod bounds;
mod chunk;
mod dictionary;
mod levels;
mod pack;
mod strings;
#[cfg(test)]
mod tests;
mod values;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Fields};
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::schema::types::SchemaDescriptor;
use zstd::bulk::Compressor;

pub(super) use self::bounds::Order;
pub(super) use self::chunk::Chunk;
use self::chunk::{Body, Counts};
use self::levels::{Levels, Rows};
use self::values::Values;
use super::encodings::Choice;
use super::parts::leaves;

/// The most rows of a page, a multiple of 64.
const PAGE_ROWS: usize = 20_480;
/// The most bytes of a page, if it has more than one row; of a list the most elements.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ELEMENTS: usize = 1 << 16;

/// What one thread encodes with.
pub(super) struct Scratch {
    compressor: LazyCompressor,
    body: Vec<u8>,
    compressed: Vec<u8>,
    present: Vec<u32>,
    keys: Vec<u32>,
    levels: Levels,
}

/// The rows of the struct that columns are fields of, or of no struct.
#[derive(Debug, Default)]
pub(super) struct Parent {
    nulls: Option<NullBuffer>,
    /// The pages of a field that has no value in any row.
    empty: OnceLock<Vec<(Counts, Body)>>,
}

/// One column of a batch.
pub(super) struct Leaf {
    array: ArrayRef,
    parent: Arc<Parent>,
}

/// How the columns of our hand compare, in the order of the leaves; `None` for all others.
pub(super) fn ours(fields: &Fields, columns: &SchemaDescriptor, others: &[usize]) -> Vec<Option<Order>> {
    let mut orders = Vec::with_capacity(columns.num_columns());
    for (at, field) in fields.iter().enumerate() {
        match field.data_type() {
            DataType::Struct(inner) => inner.iter().for_each(|field| push_orders(field, columns, &mut orders)),
            // Only scalars are among them.
            _ if others.contains(&at) => orders.push(None),
            _ => push_orders(field, columns, &mut orders),
        }
    }
    orders
}

fn push_orders(field: &Field, columns: &SchemaDescriptor, orders: &mut Vec<Option<Order>>) {
    let scalar = match field.data_type() {
        DataType::List(element) if !element.is_nullable() => element.data_type(),
        other => other,
    };
    match orders.len() {
        at if !scalar.is_nested() => orders.push(values::order(scalar, &columns.column(at))),
        at => orders.resize(at + leaves(field.data_type()), None),
    }
}

impl Chunk {
    /// For leaf number `at`.
    pub(super) fn open(columns: &SchemaDescriptor, at: usize, order: Order, choice: Choice) -> Self {
        let otherwise = match order {
            Order::Bytes { .. } => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            Order::Int32 | Order::Int64 => Encoding::DELTA_BINARY_PACKED,
            Order::BigEndian | Order::Double => Encoding::PLAIN,
        };
        let (encoding, with_dictionary) = match choice {
            Choice::Dictionary => (otherwise, true),
            Choice::Plain => (Encoding::PLAIN, false),
            Choice::As(encoding) => (encoding, false),
        };
        Self::new(columns.column(at), order, encoding, with_dictionary)
    }

    /// Appends the rows of a batch.
    pub(super) fn write(&mut self, leaf: &Leaf, scratch: &mut Scratch) -> Result<(), ParquetError> {
        let most = self.column.max_def_level() as u32;
        let rows = Rows { parent: leaf.parent.nulls.clone(), own: leaf.array.nulls().cloned(), most };
        if let DataType::List(_) = leaf.array.data_type() {
            let list = leaf.array.as_list::<i32>();
            return self.write_list(&rows, list.value_offsets(), list.values(), scratch);
        }
        let all = leaf.array.len();
        if most > 0 && rows.own.as_ref().is_some_and(|own| own.null_count() == all) {
            return self.write_empty(&rows, all, &leaf.parent, scratch);
        }
        let values = self.values(&leaf.array)?;
        for page in pages(all, values.offsets(), PAGE_BYTES) {
            scratch.clear();
            let Scratch { levels, present, body, .. } = &mut *scratch;
            rows.put(page.clone(), levels, present, body);
            self.write_page(&values, page.len(), page.len(), scratch)?;
        }
        Ok(())
    }

    fn write_list(
        &mut self,
        rows: &Rows,
        offsets: &[i32],
        elements: &ArrayRef,
        scratch: &mut Scratch,
    ) -> Result<(), ParquetError> {
        let values = self.values(elements)?;
        for page in pages(offsets.len() - 1, Some(offsets), PAGE_ELEMENTS) {
            scratch.clear();
            let Scratch { levels, present, body, .. } = &mut *scratch;
            let count = rows.put_list(page.clone(), offsets, levels, present, body);
            self.write_page(&values, page.len(), count, scratch)?;
        }
        Ok(())
    }

    /// Appends the page whose levels and rows are in `scratch`.
    fn write_page(
        &mut self,
        values: &Values<'_>,
        rows: usize,
        count: usize,
        scratch: &mut Scratch,
    ) -> Result<(), ParquetError> {
        let encoding = self.encoding;
        let Scratch { present, keys, body, .. } = &mut *scratch;
        let (encoding, bounds) = values.put(present, encoding, self.dictionary(), keys, body);
        let counts = Counts { rows, values: count, nulls: count - present.len() };
        self.push(scratch.compress()?, encoding, counts, bounds)
    }

    /// Appends rows without a value. What that takes is the same for all fields of a struct, whatever their type.
    fn write_empty(
        &mut self,
        rows: &Rows,
        count: usize,
        parent: &Parent,
        scratch: &mut Scratch,
    ) -> Result<(), ParquetError> {
        if parent.empty.get().is_none() {
            let mut empty = Vec::new();
            for page in pages(count, None, PAGE_BYTES) {
                scratch.clear();
                let counts = Counts { rows: page.len(), values: page.len(), nulls: page.len() };
                let Scratch { levels, present, body, .. } = &mut *scratch;
                rows.put(page, levels, present, body);
                empty.push((counts, scratch.compress()?));
            }
            // Another thread may have been faster, with the same.
            let _ = parent.empty.set(empty);
        }
        let mut empty = parent.empty.get().into_iter().flatten();
        empty.try_for_each(|(counts, body)| self.push(body.clone(), Encoding::PLAIN, *counts, None))
    }

    fn values<'a>(&self, array: &'a ArrayRef) -> Result<Values<'a>, ParquetError> {
        let unknown = || ParquetError::General(format!("{}: no column for {}", self.column.name(), array.data_type()));
        Values::of(array, &self.column).ok_or_else(unknown)
    }

    /// Completes it.
    pub(super) fn finish(self, scratch: &mut Scratch) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        self.close(&mut scratch.compressor)
    }
}

impl Leaf {
    pub(super) fn new(array: ArrayRef, parent: Arc<Parent>) -> Self {
        Self { array, parent }
    }
}

impl Parent {
    pub(super) fn new(nulls: Option<NullBuffer>) -> Arc<Self> {
        Arc::new(Self { nulls, empty: OnceLock::new() })
    }
}

impl Scratch {
    pub(super) fn new() -> Result<Self, ParquetError> {
        Ok(Self {
            compressor: LazyCompressor::default(),
            body: Vec::new(),
            compressed: Vec::new(),
            present: Vec::new(),
            keys: Vec::new(),
            levels: Levels::default(),
        })
    }

    fn clear(&mut self) {
        self.body.clear();
        self.present.clear();
    }

    fn compress(&mut self) -> Result<Body, ParquetError> {
        let Self { compressor, body, compressed, .. } = self;
        compressed.clear();
        compress(compressor, body, compressed)?;
        Ok(Body { bytes: Bytes::copy_from_slice(compressed), uncompressed: body.len() })
    }

    /// The bytes it takes in memory, but for its compressor.
    pub(super) fn memory(&self) -> usize {
        self.body.capacity() + self.compressed.capacity() + 4 * (self.present.capacity() + self.keys.capacity())
    }
}

/// A compressor, once there is something to compress: a small file may have nothing of the kind.
#[derive(Default)]
struct LazyCompressor(Option<Compressor<'static>>);

impl LazyCompressor {
    fn get(&mut self) -> std::io::Result<&mut Compressor<'static>> {
        match &mut self.0 {
            Some(compressor) => Ok(compressor),
            none => Ok(none.insert(Compressor::new(super::file::ZSTD_LEVEL)?)),
        }
    }
}

/// Up to so many bytes a body becomes a frame as it is: compressing it takes thousands of instructions, for a few bytes.
/// Where a table has many columns with few values, that is most of all work.
const STORED: u8 = 128;

/// Puts a zstd frame (RFC 8878) with this body into `out`, which is empty.
fn compress(compressor: &mut LazyCompressor, body: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    match u8::try_from(body.len()) {
        Ok(length) if length <= STORED => {
            // Magic number; a single segment whose size is one byte; one block, the last, raw.
            out.extend_from_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0x20, length]);
            out.extend_from_slice(&(u32::from(length) << 3 | 1).to_le_bytes()[..3]);
            out.extend_from_slice(body);
        }
        _ => {
            out.reserve(zstd::zstd_safe::compress_bound(body.len()));
            compressor.get()?.compress_to_buffer(body, out)?;
        }
    }
    Ok(())
}

/// Which rows go into which page, so that none has more than `most` of what `offsets` count, but for a single row.
fn pages(rows: usize, offsets: Option<&[i32]>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut end = rows.min(start + PAGE_ROWS);
        if let Some(offsets) = offsets.filter(|_| start < end) {
            let limit = offsets[start] as usize + most;
            let fit = offsets[start + 1..=end].partition_point(|&offset| offset as usize <= limit);
            end = start + fit.max(1);
        }
        let page = start..end;
        start = end;
        (!page.is_empty()).then_some(page)
    })
}

//! Collects rows of one table for one file until they are encoded: the lake's columns in their order.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_buffer::NullBufferBuilder;
use arrow_schema::ArrowError;

use super::columns::{ImageColumns, Misfits, NotAdded};
use super::schema::{TableRules, TableSchema};
use crate::change::{Position, ShardId};
use crate::decode::envelope::Envelope;

/// What all rows of a file have in common.
#[derive(Debug, Clone)]
pub struct RowOrigin {
    /// `_shard`.
    pub shard: ShardId,
    /// `_generation`: the backfill the rows belong to; 0 for those of a plain tail.
    pub generation: i64,
}

/// Rows that wait to be encoded.
#[derive(Debug)]
pub struct Rows {
    origin: RowOrigin,
    schema: Arc<TableSchema>,
    len: usize,
    op: StringBuilder,
    ttl: BooleanBuilder,
    changed_at: TimestampMicrosecondBuilder,
    sequence: StringBuilder,
    sub: Int32Builder,
    event_id: StringBuilder,
    new: ImageColumns,
    old: ImageColumns,
    has_old: NullBufferBuilder,
}

impl Rows {
    /// No rows yet.
    pub fn new(origin: RowOrigin, schema: Arc<TableSchema>) -> Self {
        Self {
            new: ImageColumns::new(&schema),
            old: ImageColumns::new(&schema),
            origin,
            schema,
            len: 0,
            op: StringBuilder::new(),
            ttl: BooleanBuilder::new(),
            changed_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            sequence: StringBuilder::new(),
            sub: Int32Builder::new(),
            event_id: StringBuilder::new(),
            has_old: NullBufferBuilder::new(0),
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The schema the rows are collected under.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The bytes the rows take, roughly.
    pub fn bytes(&self) -> usize {
        // The fixed columns: op, flags, time, position (about 45 bytes of text), event id.
        self.new.bytes() + self.old.bytes() + self.len * 140
    }

    /// Goes on under a later schema.
    pub fn grow(&mut self, schema: Arc<TableSchema>) {
        self.new.grow(&schema);
        self.old.grow(&schema);
        self.schema = schema;
    }

    /// Adds one change. On an error the rows are as they were.
    pub fn add(&mut self, position: Position, change: &Envelope<'_>, rules: &TableRules) -> Result<Misfits, NotAdded> {
        let row = self.len;
        let added = self.add_images(row, change, rules);
        if added.is_err() {
            self.new.take_back(row);
            self.old.take_back(row);
            return added;
        }
        self.has_old.append(change.old_image.is_some());
        self.op.append_value(&change.event_name);
        self.ttl.append_value(change.ttl);
        self.changed_at.append_option(change.changed_at);
        let digits = position.sequence.as_str();
        // A StringBuilder cannot fail to take text.
        let _ = write!(self.sequence, "{:03}{digits}", digits.len());
        self.sequence.append_value("");
        self.sub.append_value(position.sub as i32);
        match &change.event_id {
            Some(id) => self.event_id.append_value(id),
            None => self.event_id.append_value(format!("{}:{position}", self.origin.shard)),
        }
        self.len += 1;
        added
    }

    fn add_images(&mut self, row: usize, change: &Envelope<'_>, rules: &TableRules) -> Result<Misfits, NotAdded> {
        let mut misfits = Misfits::default();
        let images = [(&mut self.new, change.new_image.or(change.keys)), (&mut self.old, change.old_image)];
        for (columns, image) in images {
            if let Some(image) = image {
                let found = columns.add(row, image, &self.schema, rules)?;
                misfits.to_rest += found.to_rest;
                misfits.unknown += found.unknown;
            }
        }
        Ok(misfits)
    }

    /// All rows as one record batch; none are left.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.len);
        let shard = StringArray::from_iter_values(std::iter::repeat_n(self.origin.shard.as_str(), rows));
        let mut generation = Int64Builder::with_capacity(rows);
        generation.append_value_n(self.origin.generation, rows);
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.op.finish()),
            Arc::new(self.ttl.finish()),
            Arc::new(self.changed_at.finish()),
            Arc::new(shard),
            Arc::new(self.sequence.finish()),
            Arc::new(self.sub.finish()),
            Arc::new(generation.finish()),
            Arc::new(self.event_id.finish()),
        ];
        arrays.extend(self.new.finish(rows)?);
        let has_old = std::mem::replace(&mut self.has_old, NullBufferBuilder::new(0));
        arrays.push(self.old.finish_struct(&self.schema, rows, has_old)?);
        RecordBatch::try_new(self.schema.arrow(), arrays)
    }
}

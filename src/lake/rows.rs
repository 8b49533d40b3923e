//! Collects rows of one table for one file until they are encoded: the lake's columns in their order.

use std::mem::replace;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Int32Builder, Int64Builder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_buffer::NullBufferBuilder;
use arrow_schema::ArrowError;

use super::columns::{ImageColumns, Misfits, NotAdded, Variable};
use super::schema::{TableRules, TableSchema};
use crate::bug::{self, Bug};
use crate::change::{Position, ShardId};
use crate::decode::envelope::Envelope;

/// The width of the ordinals of a backfill's rows in `_sequence`: that of the largest `u64`.
const SNAPSHOT_DIGITS: usize = 20;

/// What all rows of a file have in common.
#[derive(Debug, Clone)]
pub struct RowOrigin {
    /// `_shard`.
    pub shard: ShardId,
    /// `_generation`: the backfill the rows belong to; 0 for those of a plain tail.
    pub generation: i64,
    /// Whether a backfill reads them: then `_sequence` sorts below that of every change of the tail.
    pub snapshot: bool,
}

impl RowOrigin {
    /// Of a shard without any backfill.
    pub fn of(shard: ShardId) -> Self {
        Self { shard, generation: 0, snapshot: false }
    }
}

/// Rows that wait to be encoded.
#[derive(Debug)]
pub struct Rows {
    origin: RowOrigin,
    schema: Arc<TableSchema>,
    len: usize,
    op: Variable,
    ttl: BooleanBuilder,
    changed_at: TimestampMicrosecondBuilder,
    sequence: Variable,
    sub: Int32Builder,
    event_id: Variable,
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
            op: Variable::default(),
            ttl: BooleanBuilder::new(),
            changed_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            sequence: Variable::default(),
            sub: Int32Builder::new(),
            event_id: Variable::default(),
            has_old: NullBufferBuilder::new(0),
        }
    }

    /// Hands over all rows, for another thread to finish, and goes on with room for as many.
    pub fn hand_over(&mut self) -> Self {
        let rows = std::mem::take(&mut self.len);
        Self {
            origin: self.origin.clone(),
            schema: self.schema.clone(),
            len: rows,
            op: self.op.hand_over(),
            ttl: replace(&mut self.ttl, BooleanBuilder::with_capacity(rows)),
            changed_at: replace(&mut self.changed_at, TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            sequence: self.sequence.hand_over(),
            sub: replace(&mut self.sub, Int32Builder::with_capacity(rows)),
            event_id: self.event_id.hand_over(),
            has_old: replace(&mut self.has_old, NullBufferBuilder::new(rows)),
            new: self.new.hand_over(),
            old: self.old.hand_over(),
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
        self.op.add(change.event_name.as_bytes());
        self.ttl.append_value(change.ttl);
        self.changed_at.append_option(change.changed_at);
        self.add_sequence(position.sequence.as_str().as_bytes());
        self.sub.append_value(position.sub as i32);
        match &change.event_id {
            Some(id) => self.event_id.add(id.as_bytes()),
            None => self.event_id.add(format!("{}:{position}", self.origin.shard).as_bytes()),
        }
        self.len += 1;
        added
    }

    /// The digits behind their number, as [`crate::change::SequenceNumber::to_sortable`] writes them.
    fn add_sequence(&mut self, digits: &[u8]) {
        let out = self.sequence.open(0);
        let count = digits.len();
        if self.origin.snapshot {
            // Of no length at all, which is below all others, and of one width: an ordinal has at most 20 digits.
            let digit = if bug::is_made(Bug::SnapshotAboveChanges) { b'9' } else { b'0' };
            out.extend(std::iter::repeat_n(digit, 3 + SNAPSHOT_DIGITS.saturating_sub(count)));
            out.extend_from_slice(digits);
            self.sequence.close();
            return;
        }
        out.extend([count / 100, count / 10 % 10, count % 10].map(|digit| b'0' + digit as u8));
        out.extend_from_slice(digits);
        self.sequence.close();
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
            self.op.finish_text(None)?,
            Arc::new(self.ttl.finish()),
            Arc::new(self.changed_at.finish()),
            Arc::new(shard),
            self.sequence.finish_text(None)?,
            Arc::new(self.sub.finish()),
            Arc::new(generation.finish()),
            self.event_id.finish_text(None)?,
        ];
        arrays.extend(self.new.finish(rows)?);
        let has_old = std::mem::replace(&mut self.has_old, NullBufferBuilder::new(0));
        arrays.push(self.old.finish_struct(&self.schema, rows, has_old)?);
        RecordBatch::try_new(self.schema.arrow(), arrays)
    }
}

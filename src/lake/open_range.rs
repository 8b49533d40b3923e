//! What a shard has collected since its last range: which file takes a change, and when rows are encoded.
//!
//! Encoding goes on in the background, of a few files at a time. What waits for it is bounded for the whole shard, however
//! many partitions are open.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::columns::Misfits;
use super::limits::Limits;
use super::open_file::{NewFile, Notes, OpenFile};
use super::placement::Placement;
use super::schema::TableRules;
use super::{Lake, LakeError};
use crate::change::{Position, Record, TableName};
use crate::clock::Clock;
use crate::decode::envelope::Envelope;

/// The most files of a shard of which a batch is being encoded. Further ones wait, and so does reading.
const AWAY_AT_MOST: usize = 2;

/// The most files of a shard whose row groups stay open from one batch to the next. An open row group has an encoder
/// and a compressor for each column, which is more than the bytes that come out.
const GROUPS_AT_MOST: usize = 4;

/// What has been collected since the last range.
#[derive(Default)]
pub(super) struct OpenRange {
    pub(super) files: Vec<OpenFile>,
    tables: Vec<Table>,
    /// The table of the last change: mostly that of the next as well.
    last_table: usize,
    pub(super) dead_letters: Vec<u8>,
    pub(super) undecodable: u64,
    /// Records, dead letters included.
    pub(super) records: usize,
    pub(super) first: Option<Position>,
    pub(super) first_at: Option<Instant>,
    pub(super) last_at: Option<Instant>,
    pub(super) unknown: u64,
    /// When the latest of the changes was made, µs since the epoch.
    pub(super) changed_until: Option<i64>,
    /// What the rows that wait to be encoded take, all files together.
    raw: usize,
    /// Files of which a batch may be away, the oldest first.
    away: VecDeque<usize>,
}

/// A table of which there are changes.
pub(super) struct Table {
    pub(super) name: TableName,
    /// Whether its changes belong into the lake.
    pub(super) taken: bool,
    pub(super) rules: Arc<TableRules>,
    pub(super) placement: Placement,
    /// The file of a folder that still takes rows.
    pub(super) files: hashbrown::HashMap<Box<str>, usize>,
}

impl OpenRange {
    /// The number of a table, for [`Self::table`].
    pub(super) fn table_of(&mut self, name: &str, lake: &Lake) -> usize {
        if self.tables.get(self.last_table).is_none_or(|table| *table.name != *name) {
            let known = self.tables.iter().position(|table| *table.name == *name);
            self.last_table = known.unwrap_or(self.tables.len());
            if known.is_none() {
                let (rules, files) = (lake.rules(name).clone(), hashbrown::HashMap::new());
                let placement = Placement::new(&rules.partition_by);
                self.tables.push(Table { name: name.into(), taken: lake.takes(name), rules, placement, files });
            }
        }
        self.last_table
    }

    pub(super) fn table(&mut self, number: usize) -> &mut Table {
        &mut self.tables[number]
    }

    /// Opens a file and answers its number.
    pub(super) fn open_file(&mut self, file: NewFile) -> usize {
        self.files.push(OpenFile::new(file));
        self.files.len() - 1
    }

    /// Counts a change that was added to a file.
    pub(super) fn count(&mut self, file: usize, record: &Record, change: &Envelope<'_>, misfits: Misfits) {
        self.records += 1;
        self.unknown += misfits.unknown;
        self.changed_until = change.changed_at.max(self.changed_until);
        let file = &mut self.files[file];
        self.raw -= file.raw();
        file.count(record, change, misfits.to_rest);
        self.raw += file.raw();
    }

    /// Whether rows have to be encoded after a change was added to `file`: of which file?
    pub(super) fn to_encode(&self, file: usize, limits: &Limits) -> Option<usize> {
        if self.files[file].raw() >= limits.batch {
            return Some(file);
        }
        let largest = || (0..self.files.len()).max_by_key(|&file| self.files[file].raw());
        (self.raw >= limits.raw).then(largest).flatten()
    }

    /// Begins to encode the rows of a file. Waits while too many are being encoded.
    pub(super) async fn encode(&mut self, file: usize, clock: &Clock, notes: Notes) -> Result<(), LakeError> {
        self.away.retain(|&other| other != file && self.files[other].is_away());
        while self.away.len() >= AWAY_AT_MOST
            && let Some(oldest) = self.away.pop_front()
        {
            self.files[oldest].settle().await?;
        }
        let groups = self.files.iter().filter(|file| file.has_begun()).count();
        self.raw -= self.files[file].raw();
        self.away.push_back(file);
        self.files[file].encode(clock, notes, groups >= GROUPS_AT_MOST).await
    }

    /// Takes back what has been encoded meanwhile, and measures what has come.
    pub(super) async fn look_after(&mut self) -> Result<(), LakeError> {
        for at in 0..self.away.len() {
            let file = &mut self.files[self.away[at]];
            if file.is_back() {
                file.settle().await?;
            }
        }
        self.files.iter_mut().for_each(OpenFile::measure);
        self.raw = self.files.iter().map(OpenFile::raw).sum();
        Ok(())
    }

    /// Waits until all that is being encoded is.
    pub(super) async fn settle(&mut self) -> Result<(), LakeError> {
        while let Some(file) = self.away.pop_front() {
            self.files[file].settle().await?;
        }
        Ok(())
    }

    /// The bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.dead_letters.len() + self.files.iter().map(OpenFile::memory).sum::<usize>()
    }

    /// The bytes its objects will have, roughly.
    pub(super) fn encoded(&self) -> usize {
        self.dead_letters.len() + self.files.iter().map(OpenFile::encoded).sum::<usize>()
    }

    /// Rows by table and operation.
    pub(super) fn operations(&self) -> HashMap<(TableName, String), u64> {
        let mut all = HashMap::new();
        for file in &self.files {
            for (operation, rows) in file.operations() {
                *all.entry((file.table.clone(), operation.to_owned())).or_default() += rows;
            }
        }
        all
    }

    /// Values that did not fit their column, by table.
    pub(super) fn to_rest(&self) -> HashMap<TableName, u64> {
        let mut all = HashMap::new();
        for file in self.files.iter().filter(|file| file.to_rest > 0) {
            *all.entry(file.table.clone()).or_default() += file.to_rest;
        }
        all
    }
}

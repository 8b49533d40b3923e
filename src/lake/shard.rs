//! One shard's place in the lake: collects rows, closes ranges, and completes what a killed process left open.
//!
//! ```text
//!            accept                     commit
//!  records ────────► rows ─► encoder ─┬────────► range object ─► files ─► dead letters ─► Committed
//!                                     └─ (while a range of a killed writer is being completed, its own object says
//!                                         which record goes to which file, and no new range is created)
//! ```

mod closing;
mod keeping;
mod membership;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::columns::{self, NotAdded};
use super::dead_letter;
use super::open_file::{NewFile, Notes};
use super::open_range::{OpenRange, Table};
use super::publish::Publisher;
use super::range::{Chain, Range};
use super::roll::Collected;
use super::rows::RowOrigin;
use super::schema::{NewAttributes, TableRules, TableSchema};
use super::{Lake, LakeError};
use crate::bug::{self, Bug};
use crate::change::{Position, Record, TableName};
use crate::decode::envelope::{self, Envelope};
use crate::decode::item;
use crate::decode::json::{Malformed, Marks};

/// The most files that one range may have. More partitions than that close the range.
const MAX_FILES: usize = 256;

/// A range that is durable, for the checkpoint and the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its number in the shard's chain.
    pub range: u64,
    /// Its last record.
    pub end: Position,
    /// Its files: table, rows, bytes.
    pub files: Vec<(TableName, u64, u64)>,
    /// Rows by table and operation.
    pub operations: HashMap<(TableName, String), u64>,
    /// Records that were no changes.
    pub undecodable: u64,
    /// Values that did not fit their column, by table.
    pub to_rest: HashMap<TableName, u64>,
    /// Values of none of the ten types.
    pub unknown: u64,
}

/// One shard's place in the lake.
pub struct LakeShard {
    place: Publisher,
    /// The table of all records, where the stream knows it.
    table: Option<TableName>,
    /// The number of the next range.
    next: u64,
    /// The last record before the open range: where the chain ends.
    start: Option<Position>,
    /// The last record that was accepted.
    last: Option<Position>,
    /// When the latest change before the open range was made, µs since the epoch, if its last range says.
    changed_until: Option<i64>,
    /// When the gap was found behind which the chain ends, µs since the epoch, if it ends with one.
    gap_at: Option<i64>,
    /// The range of a killed writer that has to be completed first.
    plan: Option<Range>,
    open: OpenRange,
    /// The records of the open range, where its source can't be read again.
    keeper: Option<keeping::Keeper>,
    /// Where records come in no order.
    membership: Option<membership::Membership>,
    /// Scratch space of the decoder.
    marks: Marks,
}

impl LakeShard {
    pub(super) async fn open(
        lake: Arc<Lake>,
        chain: Chain,
        table: Option<TableName>,
        hint: Option<u64>,
    ) -> Result<Self, LakeError> {
        let place = Publisher { lake, chain };
        let last = place.last_range(hint).await?;
        let mut shard = Self::behind(place, table, last).await?;
        shard.complete_from_kept().await?;
        Ok(shard)
    }

    /// Goes on behind a range, the last of its chain. If that is not complete it has to be completed first: it is the plan.
    async fn behind(place: Publisher, table: Option<TableName>, last: Option<Range>) -> Result<Self, LakeError> {
        let keeps = place.lake.backfill.as_ref().is_some_and(|backfill| backfill.keeps);
        let mut shard = Self {
            next: last.as_ref().map_or(0, |range| range.range + 1),
            start: last.as_ref().and_then(Range::end_of_order),
            last: last.as_ref().and_then(Range::end_of_order),
            changed_until: last.as_ref().and_then(|range| range.changed_until),
            gap_at: last.as_ref().and_then(|range| range.gap.as_ref()?.found_at_micros()),
            plan: None,
            place,
            table,
            open: OpenRange::default(),
            keeper: keeps.then(keeping::Keeper::default),
            membership: None,
            marks: Marks::default(),
        };
        if let Some(range) = last
            && !bug::is_made(Bug::OpenRangeLeft)
            && !shard.place.is_complete(&range).await?
        {
            tracing::info!(shard = %shard.place.chain.shard(), range = range.range, "completing a range that was left open");
            shard.next = range.range;
            shard.start = range.start();
            shard.last = range.start();
            shard.plan = Some(range);
        }
        Ok(shard)
    }

    /// The record behind which reading has to go on; `None`: from the shard's beginning.
    pub fn position(&self) -> Option<Position> {
        self.last
    }

    /// When the gap was found with which its chain ends: then it is known already that records behind its position are
    /// missing.
    pub fn gap_at(&self) -> Option<i64> {
        self.gap_at
    }

    /// Whether its chain has no range yet.
    pub fn is_new(&self) -> bool {
        self.next == 0
    }

    /// The last range that is durable, for the checkpoint.
    pub fn durable(&self) -> Option<(u64, Position)> {
        Some((self.next.checked_sub(1)?, self.start?))
    }

    /// Whether a range of a killed writer still has to be completed from the source.
    pub fn unfinished(&self) -> Option<&Range> {
        self.plan.as_ref()
    }

    /// Whether everything accepted is durable.
    pub fn is_clean(&self) -> bool {
        self.open.records == 0
    }

    /// The bytes that the collected rows take in memory.
    pub fn memory(&self) -> usize {
        self.open.memory() + self.keeper.as_ref().map_or(0, keeping::Keeper::memory)
    }

    /// When the open range has to be closed if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        let now = self.place.lake.clock.now();
        (self.plan.is_none() && !self.is_clean())
            .then(|| now + self.place.lake.settings.roll.wait(&self.collected(now)))
    }

    /// Whether the open range has reached a limit.
    pub fn is_due(&self) -> bool {
        let full = self.open.files.len() >= MAX_FILES;
        self.plan.is_none()
            && (full || self.place.lake.settings.roll.reached(&self.collected(self.place.lake.clock.now())))
    }

    fn collected(&self, now: Instant) -> Collected {
        let since = |at: Option<Instant>| at.map_or_else(Default::default, |at| now.saturating_duration_since(at));
        Collected {
            bytes: self.open.encoded(),
            rows: self.open.records,
            age: since(self.open.first_at),
            idle: since(self.open.last_at),
        }
    }

    /// Takes records in shard order; those it has already are passed over. Answers how many it took, which is fewer
    /// than given when a range became due or was completed in between: commit, then give the rest.
    pub async fn accept(&mut self, records: &[Record]) -> Result<usize, LakeError> {
        for (at, record) in records.iter().enumerate() {
            if self.last.is_some_and(|last| record.position <= last) {
                continue;
            }
            if self.plan.as_ref().is_some_and(|plan| Some(record.position) < plan.first()) {
                continue;
            }
            let behind_plan = self.plan.as_ref().is_some_and(|plan| Some(record.position) > plan.end());
            if behind_plan || self.is_full() {
                self.open.look_after().await?;
                return Ok(at);
            }
            let mut marks = std::mem::take(&mut self.marks);
            let added = self.add(record, &records[at..], &mut marks).await;
            self.marks = marks;
            added?;
            self.keep(record).await?;
            self.open.first.get_or_insert(record.position);
            self.last = Some(record.position);
        }
        self.open.look_after().await?;
        let now = self.place.lake.clock.now();
        if !self.is_clean() {
            self.open.first_at.get_or_insert(now);
            self.open.last_at = Some(now);
        }
        Ok(records.len())
    }

    /// The cheap part of [`Self::is_due`], asked for every record.
    fn is_full(&self) -> bool {
        self.plan.is_none()
            && (self.open.records >= self.place.lake.settings.roll.rows || self.open.files.len() >= MAX_FILES)
    }

    /// Whether all records of the range that is being completed are here, so that [`Self::commit`] can finish it.
    pub fn plan_is_reached(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| self.last >= plan.end())
    }

    async fn add(&mut self, record: &Record, ahead: &[Record], marks: &mut Marks) -> Result<(), LakeError> {
        let change = match envelope::read_marked(&record.payload, record.channel, marks) {
            Ok(change) => change,
            Err(not_a_change) => return self.bury(record, None, not_a_change.to_string()),
        };
        let known = record.table.as_deref().or(self.table.as_deref());
        let Some(name) = known.or(change.table.as_deref()) else {
            return self.bury(record, None, "it names no table".to_owned());
        };
        let table = self.open.table_of(name, &self.place.lake);
        if !self.open.table(table).taken {
            return Ok(());
        }
        let mut file = match self.file_for(table, &change, record.position).await? {
            Ok(file) => file,
            Err(broken) => return self.bury(record, Some(table), broken),
        };
        loop {
            let open = &mut self.open.files[file];
            match open.rows.add(record.position, &change, &open.rules) {
                Ok(misfits) => {
                    self.open.count(file, record, &change, misfits);
                    return self.encode_if_large(file).await;
                }
                Err(NotAdded::Broken(malformed)) => return self.bury(record, Some(table), malformed.to_string()),
                Err(NotAdded::NewAttribute) => file = self.grow(table, file, &change, ahead).await?,
            }
        }
    }

    /// The file that takes a change, opened if need be. The inner error says why the change is broken.
    async fn file_for(
        &mut self,
        table: usize,
        change: &Envelope<'_>,
        position: Position,
    ) -> Result<Result<usize, String>, LakeError> {
        let Table { name, rules, placement, files, .. } = self.open.table(table);
        let partition = match placement.folder(change) {
            Ok(folder) => folder,
            Err(malformed) => return Ok(Err(malformed.to_string())),
        };
        if let Some(plan) = &self.plan {
            let planned = plan.files.iter().position(|file| {
                *file.table == **name
                    && file.partition == partition
                    && (&file.end).try_into().is_ok_and(|end: Position| position <= end)
            });
            let Some(planned) = planned else {
                let why = format!("it has no file for record {position} of table {name} in `{partition}`");
                return Err(LakeError::Diverged { path: self.place.chain.range_path(plan.range), why });
            };
            self.open_planned_files().await?;
            return Ok(Ok(planned));
        }
        if let Some(&file) = files.get(partition) {
            return Ok(Ok(file));
        }
        let (name, rules, partition) = (name.clone(), rules.clone(), partition.to_owned());
        let schema = self.place.lake.registry.current(&name).await?;
        let origin = self.place.lake.origin(self.place.chain.shard(), &name).await?;
        let file = self.open_file(name, partition.clone(), rules, origin, schema);
        self.open.table(table).files.insert(partition.into(), file);
        Ok(Ok(file))
    }

    async fn open_planned_files(&mut self) -> Result<(), LakeError> {
        let Some(plan) = self.plan.as_ref().filter(|_| self.open.files.is_empty()) else { return Ok(()) };
        for file in plan.files.clone() {
            let table = TableName::from(file.table);
            // A pinned schema has every attribute that its rows need; what it lacks went to `_rest` then, too.
            let rules = Arc::new(TableRules { max_columns: 0, ..(**self.place.lake.rules(&table)).clone() });
            let schema = self.place.lake.registry.version(&table, file.schema).await?;
            let shard = self.place.chain.shard().clone();
            let snapshot = self.place.lake.backfill.is_some();
            let origin = RowOrigin { shard, generation: file.generation, snapshot };
            self.open_file(table, file.partition, rules, origin, schema);
        }
        Ok(())
    }

    /// Opens a file and answers its number, which is its part number as well.
    fn open_file(
        &mut self,
        table: TableName,
        partition: String,
        rules: Arc<TableRules>,
        origin: RowOrigin,
        schema: Arc<TableSchema>,
    ) -> usize {
        let (part, lake) = (self.open.files.len(), &self.place.lake);
        let planned = self.plan.as_ref().and_then(|plan| plan.files.get(part));
        let path = match planned {
            Some(planned) => planned.path.clone(),
            None => self.place.chain.file_path(&table, &partition, self.next, part),
        };
        // What a killed writer left is completed whole: it needs no second completion, whatever the store forgets. Ranges of
        // members are small, and their callers wait.
        let is_ahead = self.plan.is_none() && self.membership.is_none();
        let destination = if is_ahead { lake.uploads.of_file(&path) } else { None };
        let limits = lake.settings.limits;
        self.open.open_file(NewFile { table, partition, rules, origin, schema, path, destination, limits })
    }

    /// Grows the schema of a file by what the record at hand and those ahead bring, so that a batch of new attributes
    /// costs one version. A file whose encoder has begun can't take new columns: it is complete, and a further part
    /// goes on. Answers the file that takes the change.
    async fn grow(
        &mut self,
        number: usize,
        file: usize,
        change: &Envelope<'_>,
        ahead: &[Record],
    ) -> Result<usize, LakeError> {
        let open = &self.open.files[file];
        let (table, rules, current) = (open.table.clone(), open.rules.clone(), open.rows.schema().clone());
        debug_assert!(self.plan.is_none());
        let (mut found, mut marks) = (NewAttributes::default(), Marks::default());
        look_for_new(change, &current, &rules, &mut found);
        for record in ahead {
            if found.fill(&current, &rules) {
                break;
            }
            if let Ok(other) = envelope::read_marked(&record.payload, record.channel, &mut marks)
                && (record.table.is_some() || self.table.is_some() || other.table.as_deref() == Some(&*table))
            {
                look_for_new(&other, &current, &rules, &mut found);
            }
        }
        let naming = with_keys(&rules, &current, change);
        let schema = self.place.lake.registry.grow(&table, found.found(), &naming).await?;
        let open = &mut self.open.files[file];
        if !open.has_begun() {
            open.rows.grow(schema);
            return Ok(file);
        }
        let (partition, origin) = (open.partition.clone(), open.origin.clone());
        let part = self.open_file(table, partition.clone(), rules, origin, schema);
        self.open.table(number).files.insert(partition.into(), part);
        Ok(part)
    }

    async fn encode_if_large(&mut self, file: usize) -> Result<(), LakeError> {
        if let Some(file) = self.open.to_encode(file, &self.place.lake.settings.limits) {
            let notes = self.notes();
            self.open.encode(file, &self.place.lake.clock, notes).await?;
        }
        Ok(())
    }

    /// What the footer of every file of the open range says.
    fn notes(&self) -> Notes {
        vec![("watershed.shard", self.place.chain.shard().to_string()), ("watershed.range", self.next.to_string())]
    }

    fn bury(&mut self, record: &Record, table: Option<usize>, reason: String) -> Result<(), LakeError> {
        let position = record.position;
        let table = table.map(|table| self.open.table(table).name.clone());
        tracing::warn!(shard = %self.place.chain.shard(), %position, reason, "a record is no change; it goes to the dead letters");
        dead_letter::append(&mut self.open.dead_letters, self.place.chain.shard(), record, table.as_ref(), &reason);
        self.open.undecodable += 1;
        self.open.records += 1;
        Ok(())
    }
}

/// Where nobody has named a table's keys, its first change does.
pub(crate) fn with_keys(rules: &Arc<TableRules>, schema: &TableSchema, change: &Envelope<'_>) -> Arc<TableRules> {
    let mut keys = Vec::new();
    if let (true, 0, Some(image)) = (rules.keys.is_empty(), schema.version, change.keys) {
        // Broken keys name none; the change will be found broken where it is added.
        let _ = item::walk::<Malformed>(image, |name, _| {
            keys.extend(name.decode().map(|name| name.into_owned()));
            Ok(())
        });
    }
    if keys.is_empty() { rules.clone() } else { Arc::new(TableRules { keys, ..(**rules).clone() }) }
}

/// The attributes of a change that have no column and should get one.
pub(crate) fn look_for_new(change: &Envelope<'_>, schema: &TableSchema, rules: &TableRules, found: &mut NewAttributes) {
    // The keys are in both images; in their own order they come first where the table's keys are not known.
    for image in [change.keys, change.new_image, change.old_image].into_iter().flatten() {
        // A broken image brings nothing; its record will be found broken when its turn comes.
        let _ = columns::new_attributes(image, schema, rules, found);
    }
}

//! Which items went away unseen? What the lake has of before, and a generation with all items has not, was deleted when
//! nobody read: in a gap, or between two snapshots without a tail. Each gets a row that removes it.
//!
//! It is a stream like the other ones of a backfill. It does not give the same twice, since what is in the lake is left
//! out, so its records are kept like those of a scan.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use super::{BackfillError, Part};
use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber, ShardId, TableName};
use crate::lake::Lake;
use crate::lake::generation::Generation;
use crate::lake::latest::canonical;
use crate::lake::latest::states::{Order, States};
use crate::source::finite::{self, Parts};
use crate::source::{Pace, ReadFrom, RecordsPage, ShardIterator, ShardPage, StreamApi, StreamError, StreamIdentity};

/// How many removals a page has.
const PAGE: usize = 1_000;

/// Removals of one table.
pub(super) struct Removed {
    identity: StreamIdentity,
    shards: Parts<()>,
    /// How many are in the lake already.
    before: u64,
    /// The others, as lines of an incremental export.
    lines: Mutex<Lines>,
}

/// Lines of a temporary file.
struct Lines {
    file: BufReader<File>,
    /// How many have been read.
    read: u64,
}

/// Whether items may have gone from a table unseen before this generation.
pub(super) async fn may_be(lake: &Lake, generation: &Generation) -> Result<bool, BackfillError> {
    let Generation { table, generation: number, snapshot_only, .. } = generation;
    let generations = lake.generations();
    let mut unseen = *snapshot_only;
    for earlier in 1..*number {
        unseen |= generations.read(table, earlier).await?.is_some_and(|earlier| earlier.snapshot_only);
    }
    // A gap that is younger makes this generation invalid.
    unseen |= generations.gaps().await?.iter().any(|(of, _)| of.as_deref().is_none_or(|of| of == table));
    Ok(unseen && lake.has_older(&TableName::from(table.as_str()), *number).await?)
}

/// The items that a generation removes. It has all items as they were at `at`, and the tail has read to its tips.
pub(super) async fn find(
    lake: &Arc<Lake>,
    of: &Generation,
    at: i64,
    order: Order,
) -> Result<Option<Part>, BackfillError> {
    let Generation { table, generation, .. } = of;
    let name = TableName::from(table.as_str());
    let id = format!("backfill:{table}:{generation}:removed");
    let identity = StreamIdentity { id, table: Some(name.clone()), origin: None };
    let (prefix, mut before) = (format!("backfill-{generation}-removed"), 0);
    let shards = Parts::new(&prefix, [()]);
    // Completes what a killed process left, so that it is seen below.
    for shard in shards.list().await?.shards {
        let opened = lake.open_shard(&identity, &shard.id, None).await?;
        before = opened.position().and_then(|position| position.sequence.to_ordinal()).unwrap_or_default();
    }
    let (lines, items) = lines(lake, of, at, order).await?;
    if items == 0 {
        return Ok(None);
    }
    tracing::warn!(table, items, "the lake has items that were deleted unseen: they are removed from its latest state");
    let stream = Arc::new(Removed { identity, shards, before, lines: Mutex::new(lines) });
    Ok(Some(Part { generation: of.clone(), stream, scan: None, items, exact: false, all_at: None }))
}

/// The removals, and how many there are.
async fn lines(lake: &Lake, of: &Generation, at: i64, order: Order) -> Result<(Lines, u64), BackfillError> {
    let mut states = States::new(order).map_err(BackfillError::Temporary)?;
    let mut failed = Ok(());
    let add = |row: crate::lake::latest::Row| {
        let added = states.add(&canonical::key(&row.image, &of.keys), &row, "");
        failed = std::mem::replace(&mut failed, Ok(())).and(added);
    };
    lake.read_table(&TableName::from(of.table.as_str()), add).await?;
    failed.and_then(|()| write(states, of.generation, at)).map_err(BackfillError::Temporary)
}

fn write(states: States, generation: i64, at: i64) -> io::Result<(Lines, u64)> {
    let (mut file, mut items) = (BufWriter::new(tempfile::tempfile()?), 0);
    for part in states.parts() {
        let gone = part?.into_iter().filter(|(_, state)| state.image.is_some() && state.generation < generation);
        // In one order, whatever the process: a world of one seed gives the same bytes twice.
        let mut keys: Vec<String> = gone.map(|(key, _)| key).collect();
        keys.sort_unstable();
        for key in keys {
            writeln!(file, r#"{{"Metadata":{{"WriteTimestampMicros":{{"N":"{at}"}}}},"Keys":{key}}}"#)?;
            items += 1;
        }
    }
    let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok((Lines { file: BufReader::new(file), read: 0 }, items))
}

impl Lines {
    /// So many lines behind the first `behind`, or fewer at the end.
    fn page(&mut self, behind: u64, count: usize) -> io::Result<Vec<String>> {
        if behind < self.read {
            self.file.rewind()?;
            self.read = 0;
        }
        let mut found = Vec::new();
        while found.len() < count {
            let mut line = String::new();
            if self.file.read_line(&mut line)? == 0 {
                break;
            }
            self.read += 1;
            if self.read > behind {
                found.push(line);
            }
        }
        Ok(found)
    }
}

impl Removed {
    fn page(&self, at: u64) -> Result<RecordsPage, StreamError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lines.page(at.saturating_sub(self.before), PAGE);
        let found = found.map_err(|error| StreamError::Fatal(format!("a temporary file: {error}")))?;
        let record = |(line, ordinal): (String, u64)| Record {
            position: Position::new(SequenceNumber::from_ordinal(ordinal)),
            channel: Channel::NetChange(false),
            table: self.identity.table.clone(),
            payload: line.into(),
        };
        let records: Vec<_> = found.into_iter().zip(at + 1..).map(record).collect();
        let next = ShardIterator((at + records.len() as u64).to_string());
        let bytes = records.iter().map(|record| record.payload.len()).sum();
        Ok(if records.is_empty() { finite::end(next) } else { finite::page(records, next, bytes) })
    }
}

impl StreamApi for Removed {
    fn identity(&self) -> &StreamIdentity {
        &self.identity
    }

    fn list_shards<'a>(&'a self, _from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        self.shards.list()
    }

    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        let found = self.shards.get(shard).map(|()| match from {
            ReadFrom::After(sequence) => sequence.to_ordinal().unwrap_or(self.before),
            _ => self.before,
        });
        Box::pin(async move { Ok(ShardIterator(found?.to_string())) })
    }

    fn get_records<'a>(
        &'a self,
        _shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        let at = iterator.0.parse().map_err(|_| StreamError::Expired);
        Box::pin(async move { self.page(at?) })
    }

    fn pace(&self) -> Pace {
        finite::pace(PAGE * 256)
    }
}

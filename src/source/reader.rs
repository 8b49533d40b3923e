//! Reads one shard from a position to its end, whatever the service does in between.
//!
//! ```text
//!   no iterator ──► GetShardIterator ──► iterator ──► GetRecords ──► records, next iterator
//!        ▲                                              │
//!        ├── expired: behind the last delivered ────────┤── throttled, transient: wait with jitter, same iterator
//!        └── null iterator, but nothing proves the end ─┘── null iterator and proof: End
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::retention::may_be_trimmed;
use super::{ReadFrom, ShardIterator, StreamApi, StreamError};
use crate::bug::{self, Bug};
use crate::change::{Position, Record, ShardId};
use crate::clock::Clock;

/// The first wait after a fault; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait after a fault: a shard must not sleep through its retention.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often a shard of which nothing was delivered may answer "trimmed" before that is a gap.
const TRIMMED_AT_START: u32 = 5;

/// How often a shard's end must come without its last delivered record until that is a gap: early ends are rare, but a false
/// gap can stop a pipeline.
const ENDS_WITHOUT_LAST: u32 = 3;

/// What reading on brought.
#[derive(Debug)]
pub enum Read {
    /// A page; it may be empty.
    Page(Page),
    /// The shard is closed and drained, and that is proven.
    End,
}

/// A page of records that have not been delivered before.
#[derive(Debug)]
pub struct Page {
    /// In shard order.
    pub records: Vec<Record>,
    /// The size of the answer.
    pub bytes: usize,
    /// How far behind the newest record of the shard this page is, where the service tells.
    pub millis_behind: Option<i64>,
}

/// Why a shard can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Records behind the last delivered one are lost.
    #[error("{0}")]
    Gap(String),
    /// The stream or shard is not found: whether that is a gap the stream's list tells.
    #[error("{0}")]
    NotFound(String),
    /// Nothing a retry would mend.
    #[error("{0}")]
    Fatal(String),
}

/// Reads one shard.
pub struct ShardReader {
    api: Arc<dyn StreamApi>,
    clock: Clock,
    shard: ShardId,
    start: ReadFrom,
    last: Option<Position>,
    iterator: Option<ShardIterator>,
    /// The record that has to come again first after a resume, or records are missing.
    expected: Option<Position>,
    /// When it was last known that nothing is missing behind `last`, µs since the epoch.
    whole_at: Option<i64>,
    /// The records behind `last` are known to be lost: go on with the oldest there is.
    skipping: bool,
    /// The last answer had neither records nor an iterator.
    ending: bool,
    trimmed_at_start: u32,
    /// How often the end came, and the last delivered record did not.
    ends_without_last: u32,
    faults: u32,
    /// Calls that were answered with "too many", for the metrics.
    pub throttled: u64,
    /// Iterators that died of age, for the metrics.
    pub expired: u64,
}

impl ShardReader {
    /// Reads `shard` behind `last`, or from `start` if nothing of it has been delivered.
    pub fn new(api: Arc<dyn StreamApi>, clock: Clock, shard: ShardId, start: ReadFrom, last: Option<Position>) -> Self {
        Self {
            api,
            clock,
            shard,
            start,
            last,
            iterator: None,
            expected: None,
            whole_at: None,
            skipping: false,
            ending: false,
            trimmed_at_start: 0,
            ends_without_last: 0,
            faults: 0,
            throttled: 0,
            expired: 0,
        }
    }

    /// The last record that was delivered.
    pub fn position(&self) -> Option<Position> {
        self.last
    }

    /// Where the shard was begun, for as long as nothing of it has been delivered.
    pub fn start(&self) -> ReadFrom {
        self.start
    }

    /// Goes on behind a gap, with the oldest record there is.
    pub fn skip_gap(&mut self) {
        self.skipping = true;
        self.iterator = None;
    }

    /// The next page, waiting out faults. Cancel-safe: a page that was not returned is read again.
    pub async fn next(&mut self) -> Result<Read, ReadError> {
        loop {
            let Some(iterator) = self.iterator.clone() else {
                self.open_iterator().await?;
                continue;
            };
            let page = match self.api.get_records(&self.shard, &iterator).await {
                Ok(page) => page,
                Err(error) => {
                    self.weather(error).await?;
                    continue;
                }
            };
            self.faults = 0;
            // Without a next iterator the next call asks behind the last record and finds the empty end.
            self.iterator = page.next;
            let records = self.undelivered(page.records)?;
            if self.iterator.is_none() && records.is_empty() {
                // A malformed or early answer must not end a shard: a fresh iterator has to say the same, and the list
                // has to agree (KCL re-validates shard ends, too: awslabs/amazon-kinesis-client#624).
                if bug::is_made(Bug::EndWithoutProof) {
                    return Ok(Read::End);
                }
                if !std::mem::replace(&mut self.ending, true) {
                    continue;
                }
                if page.names_children || self.end_is_listed().await? {
                    match self.ends_behind_last()? {
                        true => return Ok(Read::End),
                        false => self.back_off("the shard ends, and its last record did not come again").await,
                    }
                    continue;
                }
                self.back_off("the service ended the shard, but its shard list does not").await;
                continue;
            }
            // An empty page in between says nothing: a fresh iterator points at the last record, which comes first.
            if let Some(record) = records.last() {
                self.ending = false;
                self.last = Some(record.position);
                self.skipping = false;
            }
            return Ok(Read::Page(Page { records, bytes: page.bytes, millis_behind: page.millis_behind }));
        }
    }

    async fn open_iterator(&mut self) -> Result<(), ReadError> {
        let from = self.read_from();
        match self.api.shard_iterator(&self.shard, from).await {
            Ok(iterator) => self.iterator = Some(iterator),
            Err(error) => return self.weather(error).await,
        }
        if self.last.is_none() && from == ReadFrom::Latest {
            // LATEST counts once: should this iterator be lost, what came in between must not be skipped.
            self.start = ReadFrom::Timestamp(self.clock.wall_micros());
        }
        Ok(())
    }

    /// Where a fresh iterator has to point: behind the last delivered record. Where records can be aggregates it is at
    /// that record, since the rest of it may not have been delivered; and that it comes again proves that nothing is
    /// missing (Kinesis moves an iterator that is too old silently to the oldest record).
    fn read_from(&mut self) -> ReadFrom {
        self.expected = None;
        match self.last {
            _ if self.skipping => ReadFrom::TrimHorizon,
            None => self.start,
            Some(_) if self.expired > 0 && bug::is_made(Bug::LatestAfterExpired) => ReadFrom::Latest,
            Some(last) if bug::is_made(Bug::RestOfAggregateDropped) => ReadFrom::After(last.sequence),
            Some(last) if self.api.pace().aggregates => {
                self.expected = Some(last);
                ReadFrom::At(last.sequence)
            }
            Some(last) => ReadFrom::After(last.sequence),
        }
    }

    fn undelivered(&mut self, mut records: Vec<Record>) -> Result<Vec<Record>, ReadError> {
        if let (Some(expected), Some(first)) = (self.expected, records.first()) {
            if first.position.sequence > expected.sequence {
                self.iterator = None;
                return Err(ReadError::Gap(format!(
                    "the record behind {expected} is no longer in shard {}: the oldest there is {}",
                    self.shard, first.position
                )));
            }
            self.expected = None;
        }
        if self.expected.is_none() {
            self.whole_at = Some(self.clock.wall_micros());
        }
        if let Some(last) = self.last {
            records.retain(|record| record.position > last);
        }
        Ok(records)
    }

    /// A shard that ends without its last delivered record coming again has lost that one, and perhaps others behind it;
    /// unless this reader has looked behind it so lately that nothing written since can have been trimmed. `false`: it has to
    /// be asked again.
    fn ends_behind_last(&mut self) -> Result<bool, ReadError> {
        let Some(expected) = self.expected.take() else { return Ok(true) };
        let now = self.clock.wall_micros();
        if self.whole_at.is_some_and(|at| !may_be_trimmed(at, now)) {
            return Ok(true);
        }
        self.iterator = None;
        self.ends_without_last += 1;
        if self.ends_without_last < ENDS_WITHOUT_LAST {
            return Ok(false);
        }
        let shard = &self.shard;
        Err(ReadError::Gap(format!(
            "the record behind {expected} is no longer in shard {shard}: nothing of it is left"
        )))
    }

    /// What a failed call means; returns when it makes sense to go on.
    async fn weather(&mut self, error: StreamError) -> Result<(), ReadError> {
        match error {
            StreamError::Expired => {
                self.iterator = None;
                self.expired += 1;
            }
            // The oldest record there is was asked for, and none has been delivered: no known record is missing, and a
            // fresh iterator asks for the oldest again. If the service insists, it is a gap.
            StreamError::Trimmed if self.last.is_none() && self.trimmed_at_start < TRIMMED_AT_START => {
                self.trimmed_at_start += 1;
                self.iterator = None;
                tracing::warn!(shard = %self.shard, "the oldest record was trimmed while it was asked for; asking again");
                self.back_off("trimmed at the beginning").await;
            }
            // This gap is known already; of what follows it, the oldest record was asked for.
            StreamError::Trimmed if self.skipping => {
                self.iterator = None;
                self.back_off("trimmed behind a gap").await;
            }
            StreamError::Trimmed => {
                let behind = self.last.map_or("at its beginning".to_owned(), |last| format!("behind {last}"));
                self.iterator = None;
                return Err(ReadError::Gap(format!("records of shard {} {behind} have been trimmed", self.shard)));
            }
            StreamError::Throttled(what) => {
                self.throttled += 1;
                self.back_off(&what).await;
            }
            StreamError::Transient(what) => self.back_off(&what).await,
            StreamError::NotFound(what) => return Err(ReadError::NotFound(what)),
            StreamError::Fatal(what) => return Err(ReadError::Fatal(what)),
        }
        Ok(())
    }

    async fn back_off(&mut self, why: &str) {
        self.faults += 1;
        let wait = FIRST_WAIT.saturating_mul(1 << self.faults.min(16).saturating_sub(1)).min(LONGEST_WAIT);
        let wait = self.clock.jittered(wait);
        tracing::debug!(shard = %self.shard, why, ?wait, "waiting before the next call");
        if self.faults.is_multiple_of(8) {
            tracing::warn!(shard = %self.shard, why, faults = self.faults, "the source keeps failing; still trying");
        }
        self.clock.sleep(wait).await;
    }

    /// Whether the shard list confirms that this shard takes no more records: it says so, or names a child, or the
    /// stream is switched off. That the shard is missing from the list proves nothing: lists are late and hide shards.
    async fn end_is_listed(&mut self) -> Result<bool, ReadError> {
        match super::list_all(&*self.api).await {
            Ok(list) => {
                let me = list.shards.iter().find(|shard| shard.id == self.shard);
                let has_child = list.shards.iter().any(|shard| shard.parents.contains(&self.shard));
                Ok(!list.enabled || has_child || me.is_some_and(|shard| shard.closed))
            }
            Err(StreamError::NotFound(_)) => Ok(true),
            Err(StreamError::Fatal(what)) => Err(ReadError::Fatal(what)),
            Err(_) => Ok(false),
        }
    }
}

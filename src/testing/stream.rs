//! A simulated stream: shards that rotate, split and merge while they are written, and a service that pages, throttles,
//! expires iterators, shows lists late and answers empty pages.
//!
//! What was written is kept, so that a test can compare the lake with it.

mod shards;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};

use shards::Shards;
pub use shards::{Shard, Written};

use super::tally;
use crate::BoxFuture;
use crate::change::{Channel, Record, SequenceNumber, ShardId, TableName};
use crate::clock::Clock;
use crate::source::{
    Pace, ReadFrom, RecordsPage, ShardInfo, ShardIterator, ShardPage, StreamApi, StreamError, StreamFinder,
    StreamIdentity,
};

/// How long an iterator lives: DynamoDB Streams' 15 minutes.
const ITERATOR_LIFE: Duration = Duration::from_secs(15 * 60);

/// So long a shard does not end early again: two ends in a row are its end.
const BETWEEN_EARLY_ENDS: Duration = Duration::from_mins(3);

/// How likely each fault is, per call, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamFaults {
    /// A call is throttled.
    pub throttled: f64,
    /// A call fails in passing, without effect.
    pub transient: f64,
    /// An iterator is dead before its time.
    pub expired: f64,
    /// A page is empty although there is more.
    pub empty: f64,
    /// A shard is left out of a list.
    pub hidden: f64,
    /// An answer has neither records nor an iterator although there is more: a premature end. Of one shard never twice within
    /// minutes, whoever asks.
    pub early_end: f64,
}

impl StreamFaults {
    /// A calm service.
    pub const NONE: Self =
        Self { throttled: 0.0, transient: 0.0, expired: 0.0, empty: 0.0, hidden: 0.0, early_end: 0.0 };

    /// A service on a bad day.
    pub const MANY: Self =
        Self { throttled: 0.05, transient: 0.05, expired: 0.05, empty: 0.2, hidden: 0.1, early_end: 0.02 };
}

/// A simulated stream. Clones are the same stream.
#[derive(Clone)]
pub struct SimulatedStream {
    identity: StreamIdentity,
    clock: Clock,
    world: Arc<Mutex<World>>,
}

struct World {
    random: StdRng,
    faults: StreamFaults,
    shards: Shards,
    page_records: usize,
    page_bytes: usize,
    list_page: usize,
    /// When each shard last ended early.
    ended_early: HashMap<ShardId, i64>,
    enabled: bool,
    kinesis: bool,
}

impl SimulatedStream {
    /// A stream with one open shard. `kinesis`: records are aggregates of up to three changes, and shards also merge.
    pub fn new(id: &str, seed: u64, clock: Clock, kinesis: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let shards = Shards::new(&mut random, kinesis, clock.wall_micros());
        let world = World {
            page_records: random.random_range(1..40),
            page_bytes: 1 << 20,
            list_page: random.random_range(1..5),
            ended_early: HashMap::new(),
            enabled: true,
            random,
            faults: StreamFaults::NONE,
            shards,
            kinesis,
        };
        let identity = StreamIdentity { id: id.to_owned(), table: None, origin: Some("simulated".to_owned()) };
        Self { identity, clock, world: Arc::new(Mutex::new(world)) }
    }

    /// The same, all of whose changes are of one table.
    pub fn of_table(mut self, table: &str) -> Self {
        self.identity.table = Some(TableName::from(table));
        self
    }

    /// The world, as it is at this moment.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.shards.age(self.clock.wall_micros());
        world
    }

    /// From now on calls fail like this.
    pub fn set_faults(&self, faults: StreamFaults) {
        self.world().faults = faults;
    }

    /// From now on records are trimmed when they are older than this, and shards are forgotten.
    pub fn keep_for(&self, kept: Duration) {
        self.world().shards.kept = Some(kept);
    }

    /// From now on no answer is expected to be larger than this.
    pub fn set_page_bytes(&self, bytes: usize) {
        self.world().page_bytes = bytes;
    }

    /// From now on records of two shards may have the same number.
    pub fn let_numbers_meet(&self) {
        self.world().shards.numbers_meet = true;
    }

    /// Writes changes, all of the item with this slot of the key space (0 to 15), as one record.
    pub fn write(&self, slot: u8, changes: Vec<Bytes>) {
        self.write_numbered(slot, |_| changes);
    }

    /// The same, for changes that say which number the service gave them.
    pub fn write_numbered(&self, slot: u8, changes: impl FnOnce(SequenceNumber) -> Vec<Bytes>) {
        let (mut world, now) = (self.world(), self.clock.wall_micros());
        let world = &mut *world;
        world.shards.write(&mut world.random, slot, now, changes);
    }

    /// Whether one record may hold several changes.
    pub fn aggregates(&self) -> bool {
        self.world().kinesis
    }

    /// Closes a random open shard and opens one child (a rotation) or two (a split); with `kinesis`, two neighbours may
    /// become one (a merge).
    pub fn reshard(&self) {
        let (mut world, now) = (self.world(), self.clock.wall_micros());
        let world = &mut *world;
        world.shards.reshard(&mut world.random, now);
    }

    /// Closes every open shard and opens a child for each.
    pub fn rotate(&self) {
        let now = self.clock.wall_micros();
        self.world().shards.rotate(now);
    }

    /// Switches the stream off: its shards are closed, and there will be no others.
    pub fn switch_off(&self) {
        let mut world = self.world();
        world.enabled = false;
        for shard in &mut world.shards.all {
            shard.closed = true;
        }
    }

    /// Trims everything that has been written so far.
    pub fn trim(&self) {
        for shard in &mut self.world().shards.all {
            shard.trimmed = shard.records.len();
        }
    }

    /// Forgets closed shards of which everything is trimmed.
    pub fn forget(&self) {
        self.world().shards.all.retain(|shard| !shard.closed || shard.trimmed < shard.records.len());
    }

    /// All shards as they were written.
    pub fn shards(&self) -> Vec<Shard> {
        self.world().shards.all.clone()
    }

    /// Looks at the shards without a copy.
    pub fn look<T>(&self, look: impl FnOnce(&[Shard]) -> T) -> T {
        look(&self.world().shards.all)
    }

    fn fault(&self, world: &mut World) -> Result<(), StreamError> {
        let faults = world.faults;
        if world.chance(faults.throttled) {
            return Err(StreamError::Throttled("simulated".to_owned()));
        }
        if world.chance(faults.transient) {
            return Err(StreamError::Transient("simulated".to_owned()));
        }
        Ok(())
    }

    fn list(&self, from: Option<&str>) -> Result<ShardPage, StreamError> {
        let mut world = self.world();
        self.fault(&mut world)?;
        let start = from.and_then(|from| from.parse().ok()).unwrap_or(0);
        let end = (start + world.list_page).min(world.shards.all.len());
        let (hidden, now) = (world.faults.hidden, self.clock.wall_micros());
        let mut shards = Vec::new();
        for at in start..end {
            let gone = world.shards.all[at].is_gone(now, world.shards.kept);
            if !gone && !world.chance(hidden) {
                let shard = &world.shards.all[at];
                let (id, parents, closed) = (shard.id.clone(), shard.parents.clone(), shard.closed);
                // An open parent with an open child: the list learns of a close late.
                let closed = closed && !world.chance(hidden);
                shards.push(ShardInfo { id, parents, closed });
            }
        }
        let next = (end < world.shards.all.len()).then(|| end.to_string());
        Ok(ShardPage { shards, next, enabled: world.enabled })
    }

    fn iterator(&self, id: &ShardId, from: ReadFrom) -> Result<ShardIterator, StreamError> {
        let mut world = self.world();
        self.fault(&mut world)?;
        let kinesis = world.kinesis;
        let shard = world.shard(id, self.clock.wall_micros())?;
        let at = match from {
            ReadFrom::TrimHorizon | ReadFrom::Timestamp(_) => shard.trimmed,
            ReadFrom::Latest => shard.records.len(),
            ReadFrom::At(sequence) => shard.records.partition_point(|record| record.position.sequence < sequence),
            ReadFrom::After(sequence) => shard.records.partition_point(|record| record.position.sequence <= sequence),
        };
        // Kinesis says nothing, and moves the iterator to the oldest record there is.
        let at = if kinesis { at.max(shard.trimmed) } else { at };
        if at < shard.trimmed {
            return Err(StreamError::Trimmed);
        }
        Ok(ShardIterator(format!("{at}/{}", self.clock.wall_micros())))
    }

    fn page(&self, id: &ShardId, iterator: &ShardIterator) -> Result<RecordsPage, StreamError> {
        let mut world = self.world();
        self.fault(&mut world)?;
        let (at, issued) = iterator.0.split_once('/').ok_or_else(|| StreamError::Fatal("garbled".to_owned()))?;
        let (at, issued): (usize, i64) = (at.parse().unwrap_or(0), issued.parse().unwrap_or(0));
        let age = self.clock.wall_micros() - issued;
        let faults = world.faults;
        if age > ITERATOR_LIFE.as_micros() as i64 || world.chance(faults.expired) {
            return Err(StreamError::Expired);
        }
        let (empty, early) = (world.chance(faults.empty), world.chance(faults.early_end));
        let limit = world.page_records;
        let kinesis = world.kinesis;
        let shard = world.shard(id, self.clock.wall_micros())?;
        if at < shard.trimmed {
            return Err(if kinesis { StreamError::Expired } else { StreamError::Trimmed });
        }
        let mut end = if empty { at } else { (at + limit).min(shard.records.len()) };
        // A record is delivered whole.
        while end > at && end < shard.records.len() && shard.records[end].position.sub > 0 {
            end += 1;
        }
        let records: Vec<Record> = shard.records[at..end]
            .iter()
            .map(|record| Record {
                position: record.position,
                channel: if kinesis { Channel::Kinesis } else { Channel::Streams },
                table: self.identity.table.clone(),
                payload: record.payload.clone(),
            })
            .collect();
        let drained = end == shard.records.len() && shard.closed && !empty;
        let behind = i64::from(end < shard.records.len()) * 1000;
        let now = self.clock.wall_micros();
        let lately = world.ended_early.get(id).is_some_and(|at| now - at < BETWEEN_EARLY_ENDS.as_micros() as i64);
        let early = early && records.is_empty() && !lately;
        if early {
            world.ended_early.insert(id.clone(), now);
        }
        let ended = drained || early;

        Ok(RecordsPage {
            bytes: records.iter().map(|record| record.payload.len()).sum(),
            records,
            next: (!ended).then(|| ShardIterator(format!("{end}/{}", self.clock.wall_micros()))),
            names_children: false,
            millis_behind: kinesis.then_some(behind),
        })
    }

    /// Answers take a moment, which lets other tasks in between.
    async fn answer<T>(&self, call: impl FnOnce() -> T) -> T {
        let delay = Duration::from_millis(self.world().random.random_range(1..80));
        self.clock.sleep(delay).await;
        call()
    }
}

impl World {
    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && tally::fault(self.random.random_bool(probability))
    }

    fn shard(&self, id: &ShardId, now: i64) -> Result<&Shard, StreamError> {
        let kept = self.shards.kept;
        let found = self.shards.all.iter().find(|shard| shard.id == *id && !shard.is_gone(now, kept));
        found.ok_or_else(|| StreamError::NotFound(id.to_string()))
    }
}

impl StreamApi for SimulatedStream {
    fn identity(&self) -> &StreamIdentity {
        &self.identity
    }

    fn list_shards<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        Box::pin(self.answer(move || self.list(from)))
    }

    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        Box::pin(self.answer(move || self.iterator(shard, from)))
    }

    fn get_records<'a>(
        &'a self,
        shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        Box::pin(self.answer(move || self.page(shard, iterator)))
    }

    fn pace(&self) -> Pace {
        Pace {
            busy: Duration::from_millis(200),
            idle: Duration::from_secs(1),
            discovery: Duration::from_secs(10),
            aggregates: self.aggregates(),
            page_bytes: self.world().page_bytes,
            finite: false,
        }
    }

    fn born(&self, shard: &ShardId) -> Option<i64> {
        // As the services are: a DynamoDB shard's id tells, a Kinesis shard's does not.
        let world = self.world();
        let found = world.shards.all.iter().find(|known| known.id == *shard);
        found.filter(|_| !world.kinesis).map(|shard| shard.born)
    }
}

impl StreamFinder for SimulatedStream {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn StreamApi>>, StreamError>> {
        let me: Arc<dyn StreamApi> = Arc::new(self.clone());
        Box::pin(async { Ok(vec![me]) })
    }
}

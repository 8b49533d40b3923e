//! A simulated stream: shards that rotate, split and merge while they are written, and a service that pages, throttles,
//! expires iterators, shows lists late and answers empty pages.
//!
//! What was written is kept, so that a test can compare the lake with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};

use super::tally;
use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber, ShardId};
use crate::clock::Clock;
use crate::source::{
    Pace, ReadFrom, RecordsPage, ShardInfo, ShardIterator, ShardPage, StreamApi, StreamError, StreamFinder,
    StreamIdentity,
};

/// How long an iterator lives: DynamoDB Streams' 15 minutes.
const ITERATOR_LIFE: Duration = Duration::from_secs(15 * 60);

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
    /// An answer has neither records nor an iterator although there is more: a premature end. Never twice in a row.
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
    shards: Vec<Shard>,
    /// How many shards there have been.
    made: usize,
    next_sequence: u128,
    page_records: usize,
    list_page: usize,
    ended_early: bool,
    enabled: bool,
    kinesis: bool,
}

/// A shard as it was written.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Its id.
    pub id: ShardId,
    /// Its parents.
    pub parents: Vec<ShardId>,
    /// Whether it takes no more records.
    pub closed: bool,
    /// Its records: position and payload.
    pub records: Vec<(Position, Bytes)>,
    /// Which sixteenths of the key space it takes.
    slots: Vec<u8>,
    /// The records before this one have been trimmed.
    trimmed: usize,
    /// When it was made, µs since the epoch.
    born: i64,
}

impl SimulatedStream {
    /// A stream with one open shard. `kinesis`: records are aggregates of up to three changes, and shards also merge.
    pub fn new(id: &str, seed: u64, clock: Clock, kinesis: bool) -> Self {
        let root = Shard {
            id: ShardId::new("shard-0000"),
            parents: Vec::new(),
            closed: false,
            records: Vec::new(),
            slots: (0..16).collect(),
            trimmed: 0,
            born: clock.wall_micros(),
        };
        let mut random = StdRng::seed_from_u64(seed);
        // Across a border of length, and around the largest u128, where naive numbers break.
        let next_sequence = if random.random_bool(0.5) { 10u128.pow(21) - 20_000 } else { u128::MAX - 100_000_000 };
        let world = World {
            page_records: random.random_range(1..40),
            list_page: random.random_range(1..5),
            ended_early: false,
            enabled: true,
            random,
            faults: StreamFaults::NONE,
            shards: vec![root],
            made: 1,
            next_sequence,
            kinesis,
        };
        let identity = StreamIdentity { id: id.to_owned(), table: None, origin: Some("simulated".to_owned()) };
        Self { identity, clock, world: Arc::new(Mutex::new(world)) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on calls fail like this.
    pub fn set_faults(&self, faults: StreamFaults) {
        self.world().faults = faults;
    }

    /// Writes changes, all of the item with this slot of the key space (0 to 15), as one record.
    pub fn write(&self, slot: u8, changes: Vec<Bytes>) {
        let mut world = self.world();
        world.next_sequence += world.random.random_range(1..1000u128);
        let digits = world.next_sequence.to_string();
        // Beyond any machine integer: a zero more is still in order, since all of one length have it.
        let sequence = SequenceNumber::parse(&format!("{digits}0")).unwrap_or(SequenceNumber::from_ordinal(0));
        if let Some(shard) = world.shards.iter_mut().find(|shard| !shard.closed && shard.slots.contains(&slot)) {
            for (sub, change) in changes.into_iter().enumerate() {
                shard.records.push((Position { sequence, sub: sub as u32 }, change));
            }
        }
    }

    /// Whether one record may hold several changes.
    pub fn aggregates(&self) -> bool {
        self.world().kinesis
    }

    /// Closes a random open shard and opens one child (a rotation) or two (a split); with `kinesis`, two neighbours may
    /// become one (a merge).
    pub fn reshard(&self) {
        let (mut world, born) = (self.world(), self.clock.wall_micros());
        let open: Vec<usize> = (0..world.shards.len()).filter(|&at| !world.shards[at].closed).collect();
        let chosen = open[world.random.random_range(0..open.len())];
        if world.kinesis && open.len() > 1 && world.random.random_bool(0.4) {
            let other = open.iter().copied().find(|&at| at != chosen).unwrap_or(chosen);
            let slots = [world.shards[chosen].slots.clone(), world.shards[other].slots.clone()].concat();
            world.close_into(&[chosen, other], vec![slots], born);
        } else if world.shards[chosen].slots.len() > 1 && world.random.random_bool(0.5) {
            let slots = world.shards[chosen].slots.clone();
            let (left, right) = slots.split_at(slots.len() / 2);
            world.close_into(&[chosen], vec![left.to_vec(), right.to_vec()], born);
        } else {
            let slots = world.shards[chosen].slots.clone();
            world.close_into(&[chosen], vec![slots], born);
        }
    }

    /// Closes every open shard and opens a child for each.
    pub fn rotate(&self) {
        let (mut world, born) = (self.world(), self.clock.wall_micros());
        for at in 0..world.shards.len() {
            if !world.shards[at].closed {
                let slots = world.shards[at].slots.clone();
                world.close_into(&[at], vec![slots], born);
            }
        }
    }

    /// Switches the stream off: its shards are closed, and there will be no others.
    pub fn switch_off(&self) {
        let mut world = self.world();
        world.enabled = false;
        for shard in &mut world.shards {
            shard.closed = true;
        }
    }

    /// Trims everything that has been written so far.
    pub fn trim(&self) {
        for shard in &mut self.world().shards {
            shard.trimmed = shard.records.len();
        }
    }

    /// Forgets closed shards of which everything is trimmed.
    pub fn forget(&self) {
        self.world().shards.retain(|shard| !shard.closed || shard.trimmed < shard.records.len());
    }

    /// All shards as they were written.
    pub fn shards(&self) -> Vec<Shard> {
        self.world().shards.clone()
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
        let end = (start + world.list_page).min(world.shards.len());
        let hidden = world.faults.hidden;
        let mut shards = Vec::new();
        for at in start..end {
            if !world.chance(hidden) {
                let shard = &world.shards[at];
                let (id, parents, closed) = (shard.id.clone(), shard.parents.clone(), shard.closed);
                // An open parent with an open child: the list learns of a close late.
                let closed = closed && !world.chance(hidden);
                shards.push(ShardInfo { id, parents, closed });
            }
        }
        let next = (end < world.shards.len()).then(|| end.to_string());
        Ok(ShardPage { shards, next, enabled: world.enabled })
    }

    fn iterator(&self, id: &ShardId, from: ReadFrom) -> Result<ShardIterator, StreamError> {
        let mut world = self.world();
        self.fault(&mut world)?;
        let shard = world.shard(id)?;
        let at = match from {
            ReadFrom::TrimHorizon | ReadFrom::Timestamp(_) => shard.trimmed,
            ReadFrom::Latest => shard.records.len(),
            ReadFrom::At(sequence) => shard.records.partition_point(|(position, _)| position.sequence < sequence),
            ReadFrom::After(sequence) => shard.records.partition_point(|(position, _)| position.sequence <= sequence),
        };
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
        let shard = world.shard(id)?;
        if at < shard.trimmed {
            return Err(StreamError::Trimmed);
        }
        let mut end = if empty { at } else { (at + limit).min(shard.records.len()) };
        // A record is delivered whole.
        while end > at && end < shard.records.len() && shard.records[end].0.sub > 0 {
            end += 1;
        }
        let records: Vec<Record> = shard.records[at..end]
            .iter()
            .map(|(position, payload)| Record {
                position: *position,
                channel: if kinesis { Channel::Kinesis } else { Channel::Streams },
                table: None,
                payload: payload.clone(),
            })
            .collect();
        let drained = end == shard.records.len() && shard.closed && !empty;
        let behind = i64::from(end < shard.records.len()) * 1000;
        let early = early && records.is_empty() && !world.ended_early;
        world.ended_early = early;
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

    fn shard(&self, id: &ShardId) -> Result<&Shard, StreamError> {
        self.shards.iter().find(|shard| shard.id == *id).ok_or_else(|| StreamError::NotFound(id.to_string()))
    }

    fn close_into(&mut self, parents: &[usize], children: Vec<Vec<u8>>, born: i64) {
        let ids: Vec<ShardId> = parents.iter().map(|&at| self.shards[at].id.clone()).collect();
        for &at in parents {
            self.shards[at].closed = true;
        }
        for slots in children {
            let id = ShardId::new(format!("shard-{:04}", self.made));
            self.made += 1;
            let parents = ids.clone();
            self.shards.push(Shard { id, parents, closed: false, records: Vec::new(), slots, trimmed: 0, born });
        }
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
            page_bytes: 1 << 20,
            finite: false,
        }
    }

    fn born(&self, shard: &ShardId) -> Option<i64> {
        // As the services are: a DynamoDB shard's id tells, a Kinesis shard's does not.
        let world = self.world();
        world.shard(shard).ok().filter(|_| !world.kinesis).map(|shard| shard.born)
    }
}

impl StreamFinder for SimulatedStream {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn StreamApi>>, StreamError>> {
        let me: Arc<dyn StreamApi> = Arc::new(self.clone());
        Box::pin(async { Ok(vec![me]) })
    }
}

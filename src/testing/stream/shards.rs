//! What is in a simulated stream: shards with their records, how they follow each other, and what of them has been trimmed.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::change::{Position, SequenceNumber, ShardId};

/// A record as it was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its place in the shard.
    pub position: Position,
    /// Its bytes.
    pub payload: Bytes,
    /// When it was written, µs since the epoch.
    pub at: i64,
    /// The slot of the key space that its item has.
    pub slot: u8,
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
    /// Its records.
    pub records: Vec<Written>,
    /// The records before this one have been trimmed.
    pub trimmed: usize,
    /// Which sixteenths of the key space it takes.
    pub(super) slots: Vec<u8>,
    /// When it was made, µs since the epoch.
    pub(super) born: i64,
    /// When it was closed.
    closed_at: i64,
    /// The highest number of its parents.
    above: Option<SequenceNumber>,
}

impl Shard {
    fn open(id: String, parents: Vec<ShardId>, slots: Vec<u8>, born: i64, above: Option<SequenceNumber>) -> Self {
        let (records, id) = (Vec::new(), ShardId::new(id));
        Self { id, parents, closed: false, records, trimmed: 0, slots, born, closed_at: 0, above }
    }

    /// The highest number that was given in it or before it.
    pub(super) fn highest(&self) -> Option<SequenceNumber> {
        self.records.last().map(|last| last.position.sequence).or(self.above)
    }

    /// Whether the service has forgotten it.
    pub(super) fn is_gone(&self, now: i64, kept: Option<Duration>) -> bool {
        let old = |kept: Duration| now - self.closed_at > kept.as_micros() as i64;
        self.closed && self.trimmed == self.records.len() && kept.is_some_and(old)
    }
}

/// All shards.
pub(super) struct Shards {
    pub(super) all: Vec<Shard>,
    /// How many there have been.
    made: usize,
    next_sequence: u128,
    /// How long records are kept; `None`: for ever.
    pub(super) kept: Option<Duration>,
    /// Whether records of two shards may have the same number, as those of DynamoDB may.
    pub(super) numbers_meet: bool,
    merges: bool,
}

impl Shards {
    /// One open shard. `merges`: shards also merge.
    pub(super) fn new(random: &mut StdRng, merges: bool, now: i64) -> Self {
        let root = Shard::open("shard-0000".to_owned(), Vec::new(), (0..16).collect(), now, None);
        // Across a border of length, and around the largest u128, where naive numbers break.
        let next_sequence = if random.random_bool(0.5) { 10u128.pow(21) - 20_000 } else { u128::MAX - 100_000_000 };
        Self { all: vec![root], made: 1, next_sequence, kept: None, numbers_meet: false, merges }
    }

    /// Writes changes of one item as one record.
    pub(super) fn write(
        &mut self,
        random: &mut StdRng,
        slot: u8,
        at: i64,
        changes: impl FnOnce(SequenceNumber) -> Vec<Bytes>,
    ) {
        let Some(place) = self.all.iter().position(|shard| !shard.closed && shard.slots.contains(&slot)) else {
            return;
        };
        let sequence = self.number_for(place, random);
        let shard = &mut self.all[place];
        for (sub, payload) in changes(sequence).into_iter().enumerate() {
            let position = Position { sequence, sub: sub as u32 };
            shard.records.push(Written { position, payload, at, slot });
        }
    }

    fn number_for(&mut self, place: usize, random: &mut StdRng) -> SequenceNumber {
        self.next_sequence += random.random_range(1..1000u128);
        if self.numbers_meet && random.random_bool(0.3) {
            let above = self.all[place].highest();
            let taken = self.all.iter().filter_map(|other| Some(other.records.last()?.position.sequence)).max();
            if let Some(taken) = taken.filter(|taken| Some(*taken) > above) {
                return taken;
            }
        }
        // Beyond any machine integer: a zero more is still in order, since all of one length have it.
        let digits = self.next_sequence.to_string();
        SequenceNumber::parse(&format!("{digits}0")).unwrap_or(SequenceNumber::from_ordinal(0))
    }

    /// Closes a random open shard and opens one child (a rotation) or two (a split); or two neighbours become one.
    pub(super) fn reshard(&mut self, random: &mut StdRng, now: i64) {
        let open: Vec<usize> = (0..self.all.len()).filter(|&at| !self.all[at].closed).collect();
        let chosen = open[random.random_range(0..open.len())];
        let slots = self.all[chosen].slots.clone();
        if self.merges && open.len() > 1 && random.random_bool(0.4) {
            let other = open.iter().copied().find(|&at| at != chosen).unwrap_or(chosen);
            let slots = [slots, self.all[other].slots.clone()].concat();
            self.close_into(&[chosen, other], vec![slots], now);
        } else if slots.len() > 1 && random.random_bool(0.5) {
            let (left, right) = slots.split_at(slots.len() / 2);
            self.close_into(&[chosen], vec![left.to_vec(), right.to_vec()], now);
        } else {
            self.close_into(&[chosen], vec![slots], now);
        }
    }

    /// Closes every open shard and opens a child for each.
    pub(super) fn rotate(&mut self, now: i64) {
        for at in 0..self.all.len() {
            if !self.all[at].closed {
                let slots = self.all[at].slots.clone();
                self.close_into(&[at], vec![slots], now);
            }
        }
    }

    fn close_into(&mut self, parents: &[usize], children: Vec<Vec<u8>>, now: i64) {
        let ids: Vec<ShardId> = parents.iter().map(|&at| self.all[at].id.clone()).collect();
        let above = parents.iter().filter_map(|&at| self.all[at].highest()).max();
        for &at in parents {
            (self.all[at].closed, self.all[at].closed_at) = (true, now);
        }
        for slots in children {
            let id = format!("shard-{:04}", self.made);
            self.made += 1;
            self.all.push(Shard::open(id, ids.clone(), slots, now, above));
        }
    }

    /// Trims what is older than the service keeps.
    pub(super) fn age(&mut self, now: i64) {
        let Some(kept) = self.kept else { return };
        let oldest = now - kept.as_micros() as i64;
        for shard in &mut self.all {
            let old = shard.records.partition_point(|record| record.at < oldest);
            shard.trimmed = shard.trimmed.max(old);
        }
    }
}

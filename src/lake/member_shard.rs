//! A chain whose ranges hold records in no order: batches that come again, in halves, late, or side by side.
//!
//! ```text
//!  records ─► missing: what no range of the chain holds ─► kept records ─► range n+1 ─► files
//!                ▲                                                            │
//!                └────────── another writer was faster: its members too ◄─────┘
//! ```
//!
//! Nothing is ever taken as present because a later record is. Which ranges can hold a record, the last one's index tells.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::members::{Member, Node, Wanted};
use super::publish::Publisher;
use super::range::{Chain, Range};
use super::shard::{Committed, LakeShard};
use super::{Lake, LakeError};
use crate::bug::{self, Bug};
use crate::change::{Record, TableName};

/// How many members of ranges are remembered, so that a batch that comes again need not be looked up.
const REMEMBER: usize = 50_000;

/// How long the writer of a range is given to create its files, before another one does.
const AT_IT: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];

/// What is done about a range that a killed writer left open, and whose kept records somebody has deleted.
#[derive(Debug, Clone, Copy, Default)]
pub struct IfLost<'a> {
    /// The records of an event that came again: if they have all of the range, they complete it.
    pub at_hand: &'a [Record],
    /// Whether the range is passed over otherwise, behind a gap marker.
    pub pass_over: bool,
}

/// One chain of members in the lake.
pub struct MemberShard {
    shard: LakeShard,
    seen: Seen,
    pass_over: bool,
}

/// The members of some ranges.
#[derive(Default)]
struct Seen {
    ranges: BTreeMap<u64, Arc<Range>>,
    members: usize,
}

impl Seen {
    fn remember(&mut self, range: Range) -> Arc<Range> {
        let count = |range: &Range| range.members.as_ref().map_or(0, |members| members.list.len() + 1);
        let range = Arc::new(range);
        self.members += count(&range);
        if let Some(known) = self.ranges.insert(range.range, range.clone()) {
            self.members -= count(&known);
        }
        while self.members > REMEMBER
            && let Some((_, oldest)) = self.ranges.pop_first()
        {
            self.members -= count(&oldest);
        }
        range
    }
}

/// How far a batch has come.
#[derive(Debug, Default)]
pub struct Landed {
    /// How many of its records, from the first on, are durable in the lake.
    pub durable: usize,
    /// The ranges that were written for it.
    pub committed: Vec<Committed>,
    /// How many ranges of other writers came in between.
    pub overtaken: u32,
}

impl MemberShard {
    /// Finds the end of a chain, and completes what a killed writer left there.
    pub(super) async fn open(
        lake: Arc<Lake>,
        chain: Chain,
        table: Option<TableName>,
        lost: IfLost<'_>,
    ) -> Result<Self, LakeError> {
        let place = Publisher { lake, chain };
        let last = place.find_last(None).await?;
        Self::behind(place, table, last, Seen::default(), lost).await
    }

    async fn behind(
        place: Publisher,
        table: Option<TableName>,
        last: Option<Range>,
        mut seen: Seen,
        lost: IfLost<'_>,
    ) -> Result<Self, LakeError> {
        if let Some(last) = &last {
            seen.remember(last.clone());
        }
        let shard = LakeShard::of_members(place, table, last, lost).await?;
        Ok(Self { shard, seen, pass_over: lost.pass_over })
    }

    /// Makes records durable, each once, whatever other writers of the chain do. They are taken in the order of their
    /// positions. What `landed` says is true at any time, also if this is dropped: then nothing may be asked of it any
    /// more, and the chain has to be opened again.
    ///
    /// From `until` on it is of no use: no range is begun that would hardly be durable then, and `landed` says how far it came.
    pub async fn land(
        &mut self,
        mut records: Vec<Record>,
        until: Option<Instant>,
        landed: &mut Landed,
    ) -> Result<(), LakeError> {
        records.sort_by_key(|record| record.position);
        loop {
            let missing = self.missing(&records).await?;
            landed.durable = missing.first().copied().unwrap_or(records.len());
            let rest: Vec<Record> = missing.iter().map(|&at| records[at].clone()).collect();
            match self.write(&rest, &missing, until, landed).await {
                Ok(at) => {
                    landed.durable = missing.get(at).copied().unwrap_or(records.len());
                    return Ok(());
                }
                Err(LakeError::Overtaken { .. }) => {
                    landed.overtaken += 1;
                    self.catch_up(&records).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The places of records that no range holds; of one that comes twice, the first.
    async fn missing(&mut self, records: &[Record]) -> Result<Vec<usize>, LakeError> {
        let members: Vec<Member> = records.iter().map(Member::of).collect();
        let mut wanted = Wanted::new(members.clone());
        let mut nodes: Vec<Node> = self.shard.index().to_vec();
        while let Some(node) = nodes.pop() {
            if wanted.is_empty() {
                break;
            }
            if wanted.may_be_in(&node) {
                // The last range of a node has the index of the others.
                let range = self.range(node.end() - 1).await?;
                let Some(held) = &range.members else { continue };
                wanted.take_away(&held.list);
                nodes.extend(held.before.iter().filter(|inner| inner.first >= node.first).cloned());
            }
        }
        let highest = self.shard.index().iter().filter_map(Node::highest).max();
        let passed = |member: &Member| bug::is_made(Bug::HighWaterMark) && Some(member.sequence) <= highest;
        let mut missing = Vec::new();
        let mut seen = HashSet::new();
        for (at, member) in members.iter().enumerate() {
            if wanted.contains(member) && !passed(member) && seen.insert(*member) {
                missing.push(at);
            }
        }
        Ok(missing)
    }

    async fn range(&mut self, n: u64) -> Result<Arc<Range>, LakeError> {
        if let Some(known) = self.seen.ranges.get(&n) {
            return Ok(known.clone());
        }
        let range = self.shard.place().read_range(n).await?;
        Ok(self.seen.remember(range))
    }

    /// Writes what is in no range, and answers how much of it. `places` says which of the batch's records these are.
    async fn write(
        &mut self,
        records: &[Record],
        places: &[usize],
        until: Option<Instant>,
        landed: &mut Landed,
    ) -> Result<usize, LakeError> {
        let (mut at, mut longest, clock) = (0, Duration::ZERO, self.shard.place().lake.clock.clone());
        while at < records.len() {
            let began = clock.now();
            if until.is_some_and(|until| began + longest > until) {
                break;
            }
            at += self.shard.accept(&records[at..]).await?;
            if let Some((committed, range)) = self.shard.commit_range().await? {
                self.seen.remember(range);
                landed.committed.push(committed);
            }
            landed.durable = places.get(at).copied().unwrap_or(landed.durable);
            longest = longest.max(clock.now().saturating_duration_since(began));
        }
        Ok(at)
    }

    /// Goes on behind the range of another writer.
    async fn catch_up(&mut self, at_hand: &[Record]) -> Result<(), LakeError> {
        let (place, table) = (self.shard.place(), self.shard.table());
        let last = place.find_last(self.shard.last_range()).await?;
        // Its writer is mostly alive and at it: whoever helped would do the same work for nothing.
        if let Some(last) = &last {
            let clock = &place.lake.clock;
            for wait in AT_IT {
                if place.is_complete(last).await? {
                    break;
                }
                clock.sleep(clock.jittered(wait)).await;
            }
        }
        let lost = IfLost { at_hand, pass_over: self.pass_over };
        *self = Self::behind(place.clone(), table, last, std::mem::take(&mut self.seen), lost).await?;
        Ok(())
    }
}

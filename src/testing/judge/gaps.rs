//! Is every record that is missing one that the service had trimmed, and does a marker say so?

use std::collections::HashMap;

use super::chains::Chains;
use crate::change::Position;
use crate::lake::range::Range;
use crate::testing::stream::Shard;

/// What is there and what is missing, shard by shard.
pub(super) struct Gaps<'a> {
    chains: &'a Chains,
    shards: &'a [Shard],
    kinesis: bool,
    found: HashMap<&'a str, Vec<bool>>,
}

impl<'a> Gaps<'a> {
    pub(super) fn new(chains: &'a Chains, shards: &'a [Shard], kinesis: bool) -> Self {
        Self { chains, shards, kinesis, found: HashMap::new() }
    }

    /// Notes whether a record, the next of its shard, was found.
    pub(super) fn note(&mut self, shard: &'a Shard, at: usize, found: bool) {
        let all = self.found.entry(shard.id.as_str()).or_default();
        debug_assert_eq!(all.len(), at);
        all.push(found);
    }

    /// How many are missing, all of them rightly.
    pub(super) fn judge(&self) -> Result<u64, String> {
        let mut missing = 0;
        for shard in self.shards {
            for at in (0..shard.records.len()).filter(|at| !self.is_found(shard, *at)) {
                let position = shard.records[at].position;
                if at >= shard.trimmed && !self.is_given_up(shard, at) {
                    return Err(format!("lost: {position} of {}", shard.id));
                }
                if !self.is_marked(shard, at) && !self.is_unknowable(shard, at) {
                    return Err(format!("lost in silence: {position} of {}, which was trimmed", shard.id));
                }
                missing += 1;
            }
        }
        if missing == 0 && self.chains.ranges().any(|range| range.gap.is_some()) && self.nothing_trimmed() {
            return Err("a gap is marked where nothing was trimmed".to_owned());
        }
        Ok(missing)
    }

    fn is_found(&self, shard: &Shard, at: usize) -> bool {
        self.found.get(shard.id.as_str()).is_some_and(|found| found.get(at) == Some(&true))
    }

    fn nothing_trimmed(&self) -> bool {
        self.shards.iter().all(|shard| shard.trimmed == 0)
    }

    /// A marker lies between the record and the last one before it that is there; or the record's range was given up.
    fn is_marked(&self, shard: &Shard, at: usize) -> bool {
        let Some((_, chain)) = self.chains.of_shard(shard.id.as_str()) else { return false };
        let position = Some(shard.records[at].position);
        let before: Option<Position> =
            (0..at).rev().find(|at| self.is_found(shard, *at)).map(|at| shard.records[at].position);
        let between = |marker: &Range| marker.start() >= before && marker.start() < position;
        chain.iter().filter(|range| range.gap.is_some()).any(between) || self.is_given_up(shard, at)
    }

    /// The record is of an open range that was given up, since some of its records were trimmed: the marker follows it.
    fn is_given_up(&self, shard: &Shard, at: usize) -> bool {
        let Some((folder, chain)) = self.chains.of_shard(shard.id.as_str()) else { return false };
        let position = Some(shard.records[at].position);
        let is_in = |range: &Range, position: Option<Position>| range.start() < position && position <= range.end();
        let trimmed = |range: &Range| shard.records[..shard.trimmed].iter().any(|old| is_in(range, Some(old.position)));
        let mut given_up = chain.iter().filter(|range| self.chains.is_given_up(folder, range));
        given_up.any(|range| is_in(range, position) && trimmed(range))
    }

    /// Cases in which nobody can know, all in the documentation. A shard that came and went unseen, and whose child
    /// did so too: the gap is marked in the first of its descendants that is known. The beginning of a shard of Kinesis,
    /// whose age nothing tells, so that it may simply be quiet; and the end of an open one, where the next record will tell.
    fn is_unknowable(&self, shard: &Shard, at: usize) -> bool {
        let first = !(0..at).any(|at| self.is_found(shard, at));
        let last = !(at..shard.records.len()).any(|at| self.is_found(shard, at));
        if self.kinesis && (first || (last && !shard.closed)) {
            return true;
        }
        let unknown = match self.chains.of_shard(shard.id.as_str()) {
            None => true,
            // A process was killed in the middle of its first range, and left no position.
            Some((_, chain)) => matches!(chain, [only] if only.gap.is_none()),
        };
        unknown && self.is_told_below(shard)
    }

    fn is_told_below(&self, shard: &Shard) -> bool {
        let mut children = self.shards.iter().filter(|child| child.parents.contains(&shard.id));
        children.any(|child| match self.chains.of_shard(child.id.as_str()) {
            Some((_, chain)) => chain.first().is_some_and(|first| first.gap.is_some()),
            None => self.is_told_below(child),
        })
    }
}

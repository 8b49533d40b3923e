//! Which shards may be read now: a pure function of the list of shards and of what is finished.
//!
//! A shard follows its parents (a split or rotation has one, a merge two). An item's changes may continue in the child,
//! so that a child is read only after all its parents are durably finished: that is what keeps the order per item.

use std::collections::{HashMap, HashSet};

use super::ShardInfo;
use crate::change::ShardId;
use crate::checkpoint::{Checkpoint, StartAt};

/// How often in a row a parent has to be missing from the list before its child counts as a root. Lists are no
/// consistent snapshots: a parent can be hidden for a moment.
pub const MISSING_BEFORE_ROOT: u32 = 2;

/// Where the pipeline says that reading starts when there is no state yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPolicy {
    /// With the oldest records there are.
    TrimHorizon,
    /// With what comes from now on.
    Latest,
    /// With records that are not older than this, µs since the epoch.
    Timestamp(i64),
}

/// Counts how often parents have been missing.
#[derive(Debug, Default)]
pub struct Lineage {
    missing: HashMap<ShardId, u32>,
}

impl Lineage {
    /// Takes note of a fresh list.
    pub fn observe(&mut self, listed: &[ShardInfo]) {
        let missing = missing_parents(listed);
        self.missing.retain(|parent, _| missing.contains(parent));
        for parent in missing {
            *self.missing.entry(parent.clone()).or_default() += 1;
        }
    }

    /// The shards that may be read, in the order of the list. `finished` is the durable truth; `begun` are shards that
    /// are being read or have a checkpoint: such a parent is never taken for gone.
    pub fn ready<'a>(
        &self,
        listed: &'a [ShardInfo],
        finished: &HashSet<ShardId>,
        begun: &HashSet<ShardId>,
    ) -> Vec<&'a ShardInfo> {
        let gone = |parent: &ShardId| {
            !begun.contains(parent) && self.missing.get(parent).is_some_and(|times| *times >= MISSING_BEFORE_ROOT)
        };
        let may_start = |shard: &&ShardInfo| {
            let mut parents = shard.parents.iter();
            !finished.contains(&shard.id) && parents.all(|parent| finished.contains(parent) || gone(parent))
        };
        listed.iter().filter(may_start).collect()
    }

    /// Whether some shard waits only for one more list without its parent, so that the next list should come soon.
    pub fn in_doubt(&self) -> bool {
        self.missing.values().any(|times| *times < MISSING_BEFORE_ROOT)
    }
}

fn missing_parents(listed: &[ShardInfo]) -> HashSet<&ShardId> {
    let known: HashSet<&ShardId> = listed.iter().map(|shard| &shard.id).collect();
    listed.iter().flat_map(|shard| &shard.parents).filter(|parent| !known.contains(parent)).collect()
}

/// The checkpoints that the first discovery of a stream writes, so that `start` is obeyed once and for all: shards that
/// come later begin at their first record, whatever the policy.
pub fn first_checkpoints(listed: &[ShardInfo], policy: StartPolicy, now_micros: i64) -> Vec<(ShardId, Checkpoint)> {
    let parents: HashSet<&ShardId> = listed.iter().flat_map(|shard| &shard.parents).collect();
    let checkpoint = |shard: &ShardInfo| match policy {
        StartPolicy::TrimHorizon => None,
        StartPolicy::Timestamp(micros) => Some(Checkpoint::Start(StartAt::Timestamp(micros))),
        // A shard with a child is closed, even if the list does not say so yet.
        StartPolicy::Latest if shard.closed || parents.contains(&shard.id) => Some(Checkpoint::ShardEnd),
        StartPolicy::Latest => Some(Checkpoint::Start(StartAt::Latest(now_micros))),
    };
    listed.iter().filter_map(|shard| Some((shard.id.clone(), checkpoint(shard)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str], closed: bool) -> ShardInfo {
        ShardInfo { id: ShardId::new(id), parents: parents.iter().map(|p| ShardId::new(*p)).collect(), closed }
    }

    fn set(ids: &[&str]) -> HashSet<ShardId> {
        ids.iter().map(|id| ShardId::new(*id)).collect()
    }

    fn ready(lineage: &mut Lineage, listed: &[ShardInfo], finished: &[&str], begun: &[&str]) -> Vec<String> {
        lineage.observe(listed);
        lineage.ready(listed, &set(finished), &set(begun)).iter().map(|shard| shard.id.to_string()).collect()
    }

    #[test]
    fn a_child_waits_for_all_its_parents() {
        let listed = [shard("a", &[], true), shard("b", &[], true), shard("c", &["a", "b"], false)];
        let mut lineage = Lineage::default();
        assert_eq!(ready(&mut lineage, &listed, &[], &[]), ["a", "b"]);
        assert_eq!(ready(&mut lineage, &listed, &["a"], &[]), ["b"]);
        assert_eq!(ready(&mut lineage, &listed, &["a", "b"], &[]), ["c"]);
    }

    #[test]
    fn an_open_parent_with_a_child_still_comes_first() {
        let listed = [shard("a", &[], false), shard("b", &["a"], false)];
        assert_eq!(ready(&mut Lineage::default(), &listed, &[], &[]), ["a"]);
    }

    #[test]
    fn a_parent_has_to_be_missing_twice_in_a_row() {
        let child = [shard("b", &["a"], false)];
        let both = [shard("a", &[], true), shard("b", &["a"], false)];
        let mut lineage = Lineage::default();
        assert!(ready(&mut lineage, &child, &[], &[]).is_empty());
        assert_eq!(ready(&mut lineage, &both, &[], &[]), ["a"]);
        assert!(ready(&mut lineage, &child, &[], &[]).is_empty());
        assert_eq!(ready(&mut lineage, &child, &[], &[]), ["b"]);
    }

    #[test]
    fn a_parent_that_is_being_read_is_never_gone() {
        let child = [shard("b", &["a"], false)];
        let mut lineage = Lineage::default();
        for _ in 0..5 {
            assert!(ready(&mut lineage, &child, &[], &["a"]).is_empty());
        }
        assert_eq!(ready(&mut lineage, &child, &["a"], &["a"]), ["b"]);
    }

    #[test]
    fn latest_applies_to_the_tips_of_the_first_discovery_alone() {
        let listed = [shard("a", &[], false), shard("b", &["a"], false), shard("c", &["a"], true)];
        let first = first_checkpoints(&listed, StartPolicy::Latest, 7);
        assert_eq!(first[0].1, Checkpoint::ShardEnd);
        assert_eq!(first[1].1, Checkpoint::Start(StartAt::Latest(7)));
        assert_eq!(first[2].1, Checkpoint::ShardEnd);
        assert!(first_checkpoints(&listed, StartPolicy::TrimHorizon, 7).is_empty());
    }
}

//! Which shards may be read now: a pure function of the list of shards and of what is finished.
//!
//! A shard follows its parents (a split or rotation has one, a merge two). An item's changes may continue in the child,
//! so that a child is read only after all its parents are durably finished: that is what keeps the order per item.

use std::collections::{BTreeSet, HashSet};

use super::ShardInfo;
use crate::change::ShardId;
use crate::checkpoint::{Checkpoint, StartAt};

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

/// The parents that the list does not have, and of which it is not known whether they are `gone` (trimmed for good) or
/// finished: their children wait until somebody has asked. Lists are no consistent snapshots; a parent that is only
/// missing from one proves nothing.
pub fn missing_parents<'a>(
    listed: &'a [ShardInfo],
    finished: &HashSet<ShardId>,
    gone: &HashSet<ShardId>,
) -> BTreeSet<&'a ShardId> {
    let known: HashSet<&ShardId> = listed.iter().map(|shard| &shard.id).collect();
    let waiting = listed.iter().filter(|shard| !finished.contains(&shard.id));
    let parents = waiting.flat_map(|shard| &shard.parents);
    parents.filter(|parent| !known.contains(parent) && !finished.contains(parent) && !gone.contains(parent)).collect()
}

/// The shards that may be read, in the order of the list: those whose parents are all durably `finished`, or `gone`.
pub fn ready<'a>(listed: &'a [ShardInfo], finished: &HashSet<ShardId>, gone: &HashSet<ShardId>) -> Vec<&'a ShardInfo> {
    let done = |parent: &ShardId| finished.contains(parent) || gone.contains(parent);
    listed.iter().filter(|shard| !finished.contains(&shard.id) && shard.parents.iter().all(done)).collect()
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

    fn ready_ids(listed: &[ShardInfo], finished: &[&str], gone: &[&str]) -> Vec<String> {
        ready(listed, &set(finished), &set(gone)).iter().map(|shard| shard.id.to_string()).collect()
    }

    #[test]
    fn a_child_waits_for_all_its_parents() {
        let listed = [shard("a", &[], true), shard("b", &[], true), shard("c", &["a", "b"], false)];
        assert_eq!(ready_ids(&listed, &[], &[]), ["a", "b"]);
        assert_eq!(ready_ids(&listed, &["a"], &[]), ["b"]);
        assert_eq!(ready_ids(&listed, &["a", "b"], &[]), ["c"]);
    }

    #[test]
    fn an_open_parent_with_a_child_still_comes_first() {
        let listed = [shard("a", &[], false), shard("b", &["a"], false)];
        assert_eq!(ready_ids(&listed, &[], &[]), ["a"]);
    }

    #[test]
    fn a_missing_parent_has_to_be_proven_gone() {
        let listed = [shard("b", &["a"], false), shard("c", &["b"], false)];
        assert!(ready_ids(&listed, &[], &[]).is_empty());
        assert_eq!(missing_parents(&listed, &set(&[]), &set(&[])), BTreeSet::from([&ShardId::new("a")]));
        assert_eq!(ready_ids(&listed, &[], &["a"]), ["b"]);
        assert!(missing_parents(&listed, &set(&[]), &set(&["a"])).is_empty());
        assert_eq!(ready_ids(&listed, &["a", "b"], &[]), ["c"]);
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

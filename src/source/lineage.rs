//! Which shards may be read now: a pure function of the list of shards and of what is finished.
//!
//! A shard follows its parents (a split or rotation has one, a merge two). An item's changes may continue in the child,
//! so that a child is read only after all its parents are durably finished: that is what keeps the order per item.

use std::collections::{BTreeSet, HashSet};

use super::ShardInfo;
use crate::bug::{self, Bug};
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
    let done =
        |parent: &ShardId| finished.contains(parent) || gone.contains(parent) || bug::is_made(Bug::ChildBeforeParent);
    listed.iter().filter(|shard| !finished.contains(&shard.id) && shard.parents.iter().all(done)).collect()
}

/// The checkpoints that the first discovery of a stream writes, one for each shard, so that `start` is obeyed once and
/// for all: shards that come later begin at their first record, whatever the policy. What was trimmed before that
/// moment is no gap.
///
/// `read` are the shards of which the lake has something: then this is not the first discovery, the state was lost, and
/// all records of these shards and of those that descend from them are due.
pub fn first_checkpoints(
    listed: &[ShardInfo],
    policy: StartPolicy,
    now_micros: i64,
    read: &HashSet<ShardId>,
) -> Vec<(ShardId, Checkpoint)> {
    let parents: HashSet<&ShardId> = listed.iter().flat_map(|shard| &shard.parents).collect();
    let due = with_descendants(listed, read);
    let checkpoint = |shard: &ShardInfo| match policy {
        _ if due.contains(&shard.id) => Checkpoint::Start(StartAt::TrimHorizon),
        StartPolicy::TrimHorizon => Checkpoint::Start(StartAt::TrimHorizon),
        StartPolicy::Timestamp(micros) => Checkpoint::Start(StartAt::Timestamp(micros)),
        // A shard with a child is closed, even if the list does not say so yet.
        StartPolicy::Latest if shard.closed || parents.contains(&shard.id) => Checkpoint::ShardEnd,
        StartPolicy::Latest => Checkpoint::Start(StartAt::Latest(now_micros)),
    };
    listed.iter().map(|shard| (shard.id.clone(), checkpoint(shard))).collect()
}

/// These shards, and all that descend from them. Lists are in no order.
fn with_descendants(listed: &[ShardInfo], shards: &HashSet<ShardId>) -> HashSet<ShardId> {
    let mut all = shards.clone();
    loop {
        let before = all.len();
        let children = listed.iter().filter(|shard| shard.parents.iter().any(|parent| all.contains(parent)));
        let children: Vec<ShardId> = children.map(|shard| shard.id.clone()).collect();
        all.extend(children);
        if all.len() == before {
            return all;
        }
    }
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
        let first = first_checkpoints(&listed, StartPolicy::Latest, 7, &set(&[]));
        assert_eq!(first[0].1, Checkpoint::ShardEnd);
        assert_eq!(first[1].1, Checkpoint::Start(StartAt::Latest(7)));
        assert_eq!(first[2].1, Checkpoint::ShardEnd);
        let whole = first_checkpoints(&listed, StartPolicy::TrimHorizon, 7, &set(&[]));
        assert!(whole.len() == 3 && whole.iter().all(|(_, first)| *first == Checkpoint::Start(StartAt::TrimHorizon)));
    }

    #[test]
    fn what_the_lake_has_is_gone_on_with_whatever_start_says() {
        // In no order: d is b's child, b and c are a's.
        let listed = [
            shard("d", &["b"], false),
            shard("a", &[], true),
            shard("c", &["a"], true),
            shard("b", &["a"], true),
            shard("e", &[], true),
        ];
        let first = first_checkpoints(&listed, StartPolicy::Latest, 7, &set(&["b", "gone"]));
        let at = |id: &str| &first.iter().find(|(shard, _)| shard.as_str() == id).unwrap().1;
        let (oldest, end) = (Checkpoint::Start(StartAt::TrimHorizon), Checkpoint::ShardEnd);
        assert_eq!(["a", "b", "c", "d", "e"].map(at), [&end, &oldest, &end, &oldest, &end]);
    }
}

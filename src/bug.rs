//! Mistakes that can be made on purpose, so that a test can show that the simulated world finds each of them. Outside of
//! this crate's own tests none can be made, and nothing of this is left in the program.

/// A mistake that a program like this has been known to make.
#[cfg_attr(not(test), allow(dead_code, reason = "only tests make them"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A checkpoint is saved before what it speaks of is in the lake.
    CheckpointBeforeCommit,
    /// A child shard is read before its parents are finished.
    ChildBeforeParent,
    /// A child shard is begun at its newest record.
    LatestForChildren,
    /// A shard that a list does not show is taken for gone.
    ListIsTruth,
    /// A shard ends with the first answer that has no next iterator.
    EndWithoutProof,
    /// Behind an iterator that has expired, reading goes on with the newest record.
    LatestAfterExpired,
    /// Behind a record of an aggregate, reading goes on with the next aggregate.
    RestOfAggregateDropped,
    /// Sequence numbers are compared as texts.
    TextOrder,
    /// A conflict (409) is taken for success.
    ConflictIsSuccess,
    /// That a name is taken (412) is taken for success.
    ExistsIsSuccess,
    /// The range that a killed process left open is taken for complete.
    OpenRangeLeft,
    /// A handler's position is that of the newest change that was handled, not of those without a gap.
    HighestAck,
    /// Behind a change of its item that failed, a change is taken for handled.
    LostBehindFailure,
    /// Of a batch that comes again, what lies before a record that is in the lake is taken for being there.
    HighWaterMark,
    /// A DynamoDB record is known again by its sequence number alone, though several shards share a chain.
    SequenceAlone,
}

#[cfg(test)]
thread_local! {
    static MADE: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// From now on this mistake is made in this thread, or none.
#[cfg(test)]
pub(crate) fn make(bug: Option<Bug>) {
    MADE.set(bug);
}

/// Whether this mistake is to be made now.
#[inline]
pub(crate) fn is_made(bug: Bug) -> bool {
    #[cfg(test)]
    return MADE.get() == Some(bug);
    #[cfg(not(test))]
    {
        let _ = bug;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan::{Faults, Plan};
    use crate::testing::world::run;

    /// In so many worlds each of them must be found.
    const WORLDS: u64 = 16;

    const ALL: [Bug; 13] = [
        Bug::CheckpointBeforeCommit,
        Bug::ChildBeforeParent,
        Bug::LatestForChildren,
        Bug::ListIsTruth,
        Bug::EndWithoutProof,
        Bug::LatestAfterExpired,
        Bug::RestOfAggregateDropped,
        Bug::TextOrder,
        Bug::ConflictIsSuccess,
        Bug::ExistsIsSuccess,
        Bug::OpenRangeLeft,
        Bug::HighestAck,
        Bug::LostBehindFailure,
    ];

    /// The first world in which a mistake is found, and what is said of it.
    fn found(bug: Bug) -> Option<(u64, String)> {
        (0..WORLDS).find_map(|seed| {
            let workers = 1 + (seed / 2 % 2) as u32;
            let plan = Plan { workers, kills: 8, faults: Faults::ALL, handlers: 1, ..Plan::calm(seed, seed % 2 == 1) };
            make(Some(bug));
            let ended = std::panic::catch_unwind(|| run(plan));
            make(None);
            match ended {
                Ok(Ok(_)) => None,
                Ok(Err(violation)) => Some((seed, violation)),
                Err(_) => Some((seed, "it panicked".to_owned())),
            }
        })
    }

    #[test]
    fn every_mistake_is_found() {
        for bug in ALL {
            let (seed, violation) = found(bug).unwrap_or_else(|| panic!("{bug:?} was not found in {WORLDS} worlds"));
            println!("{bug:?}: found in world {} of at most {WORLDS}: {violation:.200}", seed + 1);
        }
    }
}

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
    /// An object of which it is not known whether it was created is deleted, to be sure.
    DeleteOnUnknown,
    /// A batch of which a part is done: the answer names not the first record that is not, but the one behind it.
    AnswerNamesNext,
    /// The generation is not asked for after the last record of a range came.
    GenerationAskedEarly,
    /// A snapshot's rows rank above the changes of their generation.
    SnapshotAboveChanges,
    /// A backfill is called complete before the stream was read as far as the scan has seen the table.
    CompleteBeforeTips,
    /// Records that were trimmed are passed over without a marker.
    GapInSilence,
    /// A file that was uploaded ahead is completed before its range is created.
    UploadBeforeRange,
    /// An upload that nobody needs any more is left alone.
    UploadLeft,
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

    /// A world in which a mistake can be made.
    fn world(bug: Bug, seed: u64) -> Plan {
        let (kinesis, workers) = (seed % 2 == 1, 1 + (seed / 2 % 2) as u32);
        let plan = Plan { workers, kills: 8, faults: Faults::ALL, handlers: 1, ..Plan::calm(seed, kinesis) };
        match bug {
            Bug::HighWaterMark => Plan { function: true, workers: 3, ..plan },
            Bug::AnswerNamesNext => Plan { function: true, workers: 3, changes: 400, ..plan },
            Bug::SequenceAlone => Plan { function: true, workers: 3, kinesis: false, ..plan },
            Bug::GenerationAskedEarly | Bug::SnapshotAboveChanges | Bug::CompleteBeforeTips => {
                Plan { backfills: 2, workers: 2, ..plan }
            }
            Bug::GapInSilence => Plan { away: true, ..plan },
            Bug::UploadBeforeRange | Bug::UploadLeft => Plan { workers: 4, handlers: 0, ..plan },
            _ => plan,
        }
    }

    const ALL: [Bug; 23] = [
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
        Bug::HighWaterMark,
        Bug::SequenceAlone,
        Bug::DeleteOnUnknown,
        Bug::AnswerNamesNext,
        Bug::GenerationAskedEarly,
        Bug::SnapshotAboveChanges,
        Bug::CompleteBeforeTips,
        Bug::GapInSilence,
        Bug::UploadBeforeRange,
        Bug::UploadLeft,
    ];

    /// The first world in which a mistake is found, and what is said of it.
    fn found(bug: Bug) -> Option<(u64, String)> {
        (0..WORLDS).find_map(|seed| {
            make(Some(bug));
            let ended = std::panic::catch_unwind(|| run(world(bug, seed)));
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
        let mut missed = Vec::new();
        for bug in ALL {
            match found(bug) {
                Some((seed, violation)) => {
                    println!("{bug:?}: found in world {} of at most {WORLDS}: {violation:.200}", seed + 1);
                }
                None => missed.push(bug),
            }
        }
        assert!(missed.is_empty(), "not found in {WORLDS} worlds: {missed:?}");
    }

    /// What finds them finds nothing where there is nothing.
    #[test]
    fn the_same_worlds_are_right_without_them() {
        for bug in [Bug::HighestAck, Bug::SequenceAlone, Bug::GenerationAskedEarly, Bug::GapInSilence] {
            for seed in 0..WORLDS / 2 {
                let plan = world(bug, seed);
                run(plan).unwrap_or_else(|violation| panic!("{plan}: {violation}"));
            }
        }
    }
}

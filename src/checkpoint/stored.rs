//! How is a checkpoint written down? As the same five fields in a file and in a table row, named as KCL names them.
//!
//! `checkpoint` is KCL's word: the digits, or one of `SHARD_END`, `TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP`.
//! `position` is the same place as text whose plain order is the order of checkpoints, so that one comparison in a
//! condition or an `ORDER BY` tells which is further: `-start` < `<3-digit length><digits>:<10-digit sub>` < `end`
//! (`-` sorts before all digits, `e` behind them).

use crate::change::{Position, SequenceNumber};

use super::{Checkpoint, StartAt};

const START: &str = "-start";
const END: &str = "end";

/// A checkpoint as flat fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// KCL's word for it: digits or a sentinel.
    pub(crate) checkpoint: String,
    /// The record inside a KPL aggregate, otherwise 0.
    pub(crate) sub: u32,
    /// The place as sortable text.
    pub(crate) position: String,
    /// The time of a start that has one, µs since the epoch.
    pub(crate) start_time: Option<i64>,
    /// The hint at the lake's range.
    pub(crate) range: Option<u64>,
}

impl From<&Checkpoint> for Stored {
    fn from(checkpoint: &Checkpoint) -> Self {
        let (word, sub, start_time, range) = match checkpoint {
            Checkpoint::Start(StartAt::TrimHorizon) => ("TRIM_HORIZON".to_owned(), 0, None, None),
            Checkpoint::Start(StartAt::Latest(at)) => ("LATEST".to_owned(), 0, Some(*at), None),
            Checkpoint::Start(StartAt::Timestamp(at)) => ("AT_TIMESTAMP".to_owned(), 0, Some(*at), None),
            Checkpoint::At { position, range } => (position.sequence.to_string(), position.sub, None, *range),
            Checkpoint::ShardEnd => ("SHARD_END".to_owned(), 0, None, None),
        };
        Self { checkpoint: word, sub, position: sortable(checkpoint), start_time, range }
    }
}

impl Stored {
    /// The checkpoint, if the fields are what we would have written; otherwise what is wrong with them.
    pub(crate) fn to_checkpoint(&self) -> Result<Checkpoint, String> {
        let time = || self.start_time.ok_or_else(|| format!("{} without a start time", self.checkpoint));
        let checkpoint = match self.checkpoint.as_str() {
            "TRIM_HORIZON" => Checkpoint::Start(StartAt::TrimHorizon),
            "LATEST" => Checkpoint::Start(StartAt::Latest(time()?)),
            "AT_TIMESTAMP" => Checkpoint::Start(StartAt::Timestamp(time()?)),
            "SHARD_END" => Checkpoint::ShardEnd,
            digits => {
                let sequence = SequenceNumber::parse(digits).map_err(|error| error.to_string())?;
                Checkpoint::At { position: Position { sequence, sub: self.sub }, range: self.range }
            }
        };
        // Whatever the fields say twice has to agree, or somebody edited one half: which one is right is not ours
        // to guess.
        if Stored::from(&checkpoint) == *self { Ok(checkpoint) } else { Err("its fields contradict each other".into()) }
    }
}

/// The place of a checkpoint as text whose order is [`Checkpoint::is_behind`]'s.
pub(crate) fn sortable(checkpoint: &Checkpoint) -> String {
    match checkpoint {
        Checkpoint::Start(_) => START.to_owned(),
        Checkpoint::At { position, .. } => {
            format!("{}:{:010}", position.sequence.to_sortable(), position.sub)
        }
        Checkpoint::ShardEnd => END.to_owned(),
    }
}

/// What people read of a checkpoint in an error message.
pub(crate) fn for_people(checkpoint: &Checkpoint) -> String {
    match checkpoint {
        Checkpoint::Start(_) => "the start".to_owned(),
        Checkpoint::At { position, .. } => position.to_string(),
        Checkpoint::ShardEnd => "the shard's end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_checkpoint() -> impl Strategy<Value = Checkpoint> {
        let number = prop_oneof!["[1-9][0-9]{0,3}", "[1-9][0-9]{20,128}", Just("0".to_owned())];
        let sub = prop_oneof![Just(0), 0u32..20, any::<u32>()];
        prop_oneof![
            Just(Checkpoint::Start(StartAt::TrimHorizon)),
            any::<i64>().prop_map(|at| Checkpoint::Start(StartAt::Latest(at))),
            any::<i64>().prop_map(|at| Checkpoint::Start(StartAt::Timestamp(at))),
            (number, sub, any::<Option<u64>>()).prop_map(|(digits, sub, range)| Checkpoint::At {
                position: Position { sequence: SequenceNumber::parse(&digits).unwrap(), sub },
                range,
            }),
            Just(Checkpoint::ShardEnd),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(checkpoint in any_checkpoint()) {
            prop_assert_eq!(Stored::from(&checkpoint).to_checkpoint().unwrap(), checkpoint);
        }

        #[test]
        fn text_order_is_the_order_of_checkpoints(a in any_checkpoint(), b in any_checkpoint()) {
            prop_assert_eq!(a.is_behind(&b), sortable(&a) < sortable(&b));
        }
    }

    #[test]
    fn fields_that_contradict_each_other_are_refused() {
        let good = Stored::from(&Checkpoint::At {
            position: Position::new(SequenceNumber::parse("4711").unwrap()),
            range: Some(3),
        });
        assert!(good.to_checkpoint().is_ok());
        for broken in [
            Stored { position: "0044712:0000000000".into(), ..good.clone() },
            Stored { checkpoint: "4712".into(), ..good.clone() },
            Stored { checkpoint: "04711".into(), ..good.clone() },
            Stored { sub: 1, ..good.clone() },
            Stored { start_time: Some(1), ..good.clone() },
            Stored { checkpoint: "LATEST".into(), position: START.into(), ..good.clone() },
            Stored { checkpoint: "shard_end".into(), position: END.into(), ..good.clone() },
        ] {
            assert!(broken.to_checkpoint().is_err(), "{broken:?}");
        }
    }
}

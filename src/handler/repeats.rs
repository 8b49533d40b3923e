//! Which changes came before? Kinesis streams for DynamoDB may carry a change twice, or an older one behind a newer
//! one; a handler may ask that neither reaches it.
//!
//! What is known is in memory and bounded: after a restart, and behind many other changes, a repetition is delivered.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Change, ItemId};
use crate::change::{Position, ShardId};

/// The most changes, and items, that are remembered.
const REMEMBERED: usize = 100_000;

/// What is to be done with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It is new, as far as is known.
    New,
    /// A change of the same `eventID` and item came before.
    Repeat,
    /// A change of the same item came before that was made later.
    Stale,
}

/// What one handler has received of late, in all shards. Times are durations since any fixed moment.
#[derive(Debug, Default)]
pub struct Repeats {
    window: Option<Duration>,
    drop_stale: bool,
    seen: HashMap<(ItemId, String), (ShardId, Position)>,
    seen_order: VecDeque<(Duration, (ItemId, String))>,
    newest: HashMap<ItemId, (i64, ShardId, Position)>,
    newest_order: VecDeque<ItemId>,
}

impl Repeats {
    /// Recognises repetitions for so long, and stale changes if `drop_stale`.
    pub fn new(window: Option<Duration>, drop_stale: bool) -> Self {
        Self { window, drop_stale, ..Self::default() }
    }

    /// Looks at a change, and remembers it if it is new. A record that is read again, after an error, say, is the same
    /// record: where it stands tells.
    pub fn judge(&mut self, change: &Change, now: Duration) -> Judged {
        let place = (change.shard.clone(), change.record.position);
        if self.window.is_some() && self.is_repeat(change, &place, now) {
            return Judged::Repeat;
        }
        if self.drop_stale && self.is_stale(change, &place) {
            return Judged::Stale;
        }
        Judged::New
    }

    fn is_repeat(&mut self, change: &Change, place: &(ShardId, Position), now: Duration) -> bool {
        let window = self.window.unwrap_or_default();
        let is_over = |(at, _): &(Duration, _)| *at + window < now;
        while self.seen_order.len() > REMEMBERED || self.seen_order.front().is_some_and(is_over) {
            if let Some((_, id)) = self.seen_order.pop_front() {
                self.seen.remove(&id);
            }
        }
        let event = change.envelope().ok().and_then(|envelope| envelope.event_id.map(|id| id.into_owned()));
        let Some(event) = event else { return false };
        let id = (change.item, event);
        match self.seen.get(&id) {
            Some(first) => first != place,
            None => {
                self.seen.insert(id.clone(), place.clone());
                self.seen_order.push_back((now, id));
                false
            }
        }
    }

    fn is_stale(&mut self, change: &Change, place: &(ShardId, Position)) -> bool {
        let Some(at) = change.changed_at else { return false };
        match self.newest.get_mut(&change.item) {
            // What stands behind it in the shard does not make a record stale that is read again.
            Some((newest, shard, position)) if *newest > at => *shard != place.0 || *position < place.1,
            Some(newest) => {
                *newest = (at, place.0.clone(), place.1);
                false
            }
            None => {
                self.newest.insert(change.item, (at, place.0.clone(), place.1));
                self.newest_order.push_back(change.item);
                if self.newest_order.len() > REMEMBERED
                    && let Some(item) = self.newest_order.pop_front()
                {
                    self.newest.remove(&item);
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Channel, Record, SequenceNumber};

    fn change(shard: &str, number: u64, item: u8, event: &str, at: i64) -> Change {
        let payload = format!(
            r#"{{"eventID":"{event}","eventName":"MODIFY","dynamodb":{{"ApproximateCreationDateTime":{at},"Keys":{{"pk":{{"N":"{item}"}}}}}}}}"#
        );
        let record = Record {
            position: Position::new(SequenceNumber::from_ordinal(number)),
            channel: Channel::Kinesis,
            table: None,
            payload: payload.into(),
        };
        Change::read(record, "T".into(), "s".into(), ShardId::new(shard)).unwrap()
    }

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn a_repetition_is_recognised_for_a_while_and_a_record_read_again_is_none() {
        let mut repeats = Repeats::new(Some(Duration::from_secs(60)), false);
        assert_eq!(repeats.judge(&change("a", 1, 1, "e1", 10), NOW), Judged::New);
        assert_eq!(repeats.judge(&change("a", 2, 1, "e1", 10), NOW), Judged::Repeat);
        assert_eq!(repeats.judge(&change("b", 1, 1, "e1", 10), NOW), Judged::Repeat);
        assert_eq!(repeats.judge(&change("a", 1, 1, "e1", 10), NOW), Judged::New, "the same record");
        assert_eq!(repeats.judge(&change("a", 3, 2, "e1", 10), NOW), Judged::New, "another item");
        assert_eq!(repeats.judge(&change("a", 4, 1, "e1", 10), Duration::from_secs(61)), Judged::New, "long ago");
    }

    #[test]
    fn an_older_change_behind_a_newer_one_is_stale() {
        let mut repeats = Repeats::new(None, true);
        for (number, item, at, judged) in [
            (1, 1, 10, Judged::New),
            (2, 1, 12, Judged::New),
            (3, 1, 11, Judged::Stale),
            (4, 2, 11, Judged::New),
            (5, 1, 12, Judged::New),
            (1, 1, 10, Judged::New),
        ] {
            assert_eq!(repeats.judge(&change("a", number, item, &number.to_string(), at), NOW), judged, "{number}");
        }
        assert_eq!(repeats.judge(&change("b", 1, 1, "x", 11), NOW), Judged::Stale);
    }

    #[test]
    fn nothing_is_dropped_unless_it_is_asked_for() {
        let mut repeats = Repeats::default();
        for _ in 0..2 {
            assert_eq!(repeats.judge(&change("a", 1, 1, "e", 10), NOW), Judged::New);
            assert_eq!(repeats.judge(&change("a", 2, 1, "e", 5), NOW), Judged::New);
        }
    }
}

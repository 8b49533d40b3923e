//! How are dead letters sent again? One at a time, in the order of their changes; a letter that was taken is marked as
//! done, one that fails again holds back the later ones of its item.

use std::collections::HashSet;

use bytes::Bytes;

use super::dead_letter::{DeadLetter, StoredDeadLetters};
use super::{Delivery, Handler, HandlerError, ItemId, Outcome};
use crate::clock::Clock;

/// How often a letter is tried in one replay.
const ATTEMPTS: u32 = 3;

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Letters that were taken.
    pub sent: u64,
    /// Letters that failed again.
    pub failed: u64,
    /// Letters that were not tried, because an earlier one of their item failed.
    pub held_back: u64,
}

/// Sends those letters of a handler again whose path begins with `below` (all, if that is empty) and that are not done.
/// `tell` gets a line for people about each that failed.
///
/// # Errors
/// For people, if the letters can't be read, are none, or can't be marked. What was marked stays so.
pub async fn replay(
    letters: &StoredDeadLetters,
    handler: &dyn Handler,
    below: &str,
    clock: &Clock,
    mut tell: impl FnMut(&str),
) -> Result<Replayed, String> {
    let mut found = Vec::new();
    for path in letters.open_letters(below).await? {
        let letter = letters.read(&path).await?;
        let change = letter.change().map_err(|why| format!("{path}: {why}"))?;
        found.push((path, letter, change));
    }
    // Sequence numbers grow along a lineage, so that an item's letters come in order whatever its shard was called.
    found.sort_by(|(_, a, _), (_, b, _)| (&a.stream, &a.sequence, a.sub).cmp(&(&b.stream, &b.sequence, b.sub)));
    let (mut replayed, mut failed): (_, HashSet<ItemId>) = (Replayed::default(), HashSet::new());
    for (path, letter, change) in found {
        if failed.contains(&change.item) {
            replayed.held_back += 1;
            continue;
        }
        let item = change.item;
        match send(handler, Delivery { changes: vec![change], attempt: 1 }, clock).await {
            Ok(()) => {
                letters.mark_done(&path, clock).await?;
                replayed.sent += 1;
            }
            Err(why) => {
                tell(&format!("{path} failed again (given up before with: {}): {why}", letter.reason));
                failed.insert(item);
                replayed.failed += 1;
            }
        }
    }
    Ok(replayed)
}

async fn send(handler: &dyn Handler, mut delivery: Delivery, clock: &Clock) -> Result<(), String> {
    loop {
        let (why, again) = match handler.handle(&delivery).await {
            Ok(Outcome::Done) => return Ok(()),
            Ok(Outcome::Failed(failures)) => match failures.into_iter().next() {
                None => return Ok(()),
                Some(failure) => (failure.why, failure.verdict != super::Verdict::Refused),
            },
            Err(HandlerError::Refused(why)) => (why, false),
            Err(error) => (error.to_string(), true),
        };
        if !again || delivery.attempt >= ATTEMPTS {
            return Err(why);
        }
        clock.sleep(clock.jittered(std::time::Duration::from_secs(1 << delivery.attempt))).await;
        delivery.attempt += 1;
    }
}

/// The mark of a letter that was taken: an empty object beside it, since nothing in a lake is changed or deleted.
const DONE: &str = ".done";

impl StoredDeadLetters {
    /// The paths of the letters below `below` that are not done, sorted.
    pub async fn open_letters(&self, below: &str) -> Result<Vec<String>, String> {
        let paths: HashSet<String> = self.paths().await?.into_iter().collect();
        let is_open = |path: &&String| !path.ends_with(DONE) && !paths.contains(&format!("{path}{DONE}"));
        let mut open: Vec<String> =
            paths.iter().filter(|path| path.starts_with(below)).filter(is_open).cloned().collect();
        open.sort_unstable();
        Ok(open)
    }

    async fn read(&self, path: &str) -> Result<DeadLetter, String> {
        let bytes = self.get(path).await?.ok_or_else(|| format!("{path} is gone"))?;
        DeadLetter::parse(&bytes).map_err(|why| format!("{path}: {why}"))
    }

    async fn mark_done(&self, path: &str, clock: &Clock) -> Result<(), String> {
        let when = crate::lake::rfc3339(clock.wall_micros());
        self.put(&format!("{path}{DONE}"), Bytes::from(when)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::BoxFuture;
    use crate::change::{Channel, Position, Record, SequenceNumber, ShardId};
    use crate::handler::Change;
    use crate::handler::dead_letter::DeadLetters as _;
    use crate::testing::store::MemoryStore;

    fn change(shard: &str, number: u64, item: &str) -> Change {
        let payload =
            format!(r#"{{"eventName":"MODIFY","dynamodb":{{"Keys":{{"pk":{{"S":"{item}"}}}},"x":"{number}"}}}}"#);
        let record = Record {
            position: Position::new(SequenceNumber::from_ordinal(number)),
            channel: Channel::Streams,
            table: None,
            payload: payload.into(),
        };
        Change::read(record, "T".into(), "s".into(), ShardId::new(shard)).unwrap()
    }

    /// Refuses the item "bad" as long as it is told to.
    #[derive(Default)]
    struct Picky {
        refuses: Mutex<bool>,
        got: Mutex<Vec<u64>>,
    }

    impl Handler for Picky {
        fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
            Box::pin(async {
                let change = &delivery.changes[0];
                let bad = std::str::from_utf8(&change.record.payload).unwrap().contains("bad");
                if bad && *self.refuses.lock().unwrap() {
                    return Err(HandlerError::Failed("bad".into()));
                }
                self.got.lock().unwrap().push(change.record.position.sequence.to_ordinal().unwrap());
                Ok(Outcome::Done)
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn letters_are_sent_in_order_and_once() {
        let (store, clock) = (Arc::new(MemoryStore::new()), Clock::simulated(1, 0));
        let letters = StoredDeadLetters::new(store.clone(), clock.clone(), "handlers/h");
        for (shard, number, item) in
            [("b", 11, "good"), ("b", 10, "bad"), ("a", 9, "bad"), ("a", 2, "good"), ("a", 100, "good")]
        {
            let letter = DeadLetter::new("h", &change(shard, number, item), 3, "it failed", &clock);
            letters.bury(&letter).await.unwrap();
            letters.bury(&letter).await.unwrap();
        }
        assert_eq!(store.objects().len(), 5, "each once");
        let handler = Picky { refuses: Mutex::new(true), ..Picky::default() };
        let mut told = Vec::new();
        let replayed = replay(&letters, &handler, "", &clock, |line| told.push(line.to_owned())).await.unwrap();
        assert_eq!(replayed, Replayed { sent: 3, failed: 1, held_back: 1 });
        assert_eq!(*handler.got.lock().unwrap(), [2, 11, 100]);
        assert!(
            told.len() == 1 && told[0].ends_with("failed again (given up before with: it failed): bad"),
            "{told:?}"
        );
        *handler.refuses.lock().unwrap() = false;
        let replayed = replay(&letters, &handler, "", &clock, |_| {}).await.unwrap();
        assert_eq!(replayed, Replayed { sent: 2, ..Replayed::default() });
        assert_eq!(*handler.got.lock().unwrap(), [2, 11, 100, 9, 10]);
        assert_eq!(replay(&letters, &handler, "", &clock, |_| {}).await.unwrap(), Replayed::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_letter_gives_the_change_back_byte_for_byte() {
        let clock = Clock::simulated(1, 0);
        let change = change("a", 7, "x");
        let letter = DeadLetter::new("h", &change, 3, "why", &clock);
        let back = DeadLetter::parse(&letter.to_bytes()).unwrap().change().unwrap();
        assert_eq!((&back.record.payload, back.record.position), (&change.record.payload, change.record.position));
        assert_eq!((back.item, back.delivery_id("h")), (change.item, change.delivery_id("h")));
        for broken in [
            DeadLetter { payload_base64: "?".into(), ..letter.clone() },
            DeadLetter { channel: "post".into(), ..letter.clone() },
            DeadLetter { sequence: "7".into(), ..letter.clone() },
            DeadLetter { payload_base64: "e30=".into(), ..letter },
        ] {
            assert!(broken.change().is_err(), "{broken:?}");
        }
        assert!(DeadLetter::parse(b"{}").is_err());
    }
}

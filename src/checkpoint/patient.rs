//! How long does a pipeline put up with a state store that does not answer? It retries what may pass, more and more
//! slowly, and gives up after a quarter of an hour.
//!
//! While a save is retried its shard goes on: a checkpoint that lags costs a longer walk after a restart, nothing else.

use std::time::Duration;

use super::{Checkpoint, CheckpointKey, Saved, StateError, StateStore};
use crate::clock::Clock;

/// How long transient faults are borne before the call fails for good.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(15 * 60);
/// A call that has not answered by then is taken for lost and made again: saving is idempotent, so is loading.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Saves a checkpoint. [`StateError::Transient`] is retried until [`GIVE_UP_AFTER`] and then becomes
/// [`StateError::Fatal`]; the other errors are passed on at once.
pub async fn save_patiently(
    store: &dyn StateStore,
    clock: &Clock,
    key: &CheckpointKey,
    checkpoint: &Checkpoint,
) -> Result<(), StateError> {
    let what = format!("save the position of shard {} to the state in {}", key.shard, store.describe());
    patiently(clock, &what, || store.save(key, checkpoint)).await
}

/// Loads all checkpoints of a stream, as patient as [`save_patiently`].
pub async fn load_patiently(
    store: &dyn StateStore,
    clock: &Clock,
    stream: &str,
) -> Result<Vec<(CheckpointKey, Checkpoint)>, StateError> {
    let what = format!("load the positions of {stream} from the state in {}", store.describe());
    patiently(clock, &what, || store.load(stream)).await
}

/// Loads all checkpoints of all streams, as patient as [`save_patiently`].
pub async fn survey_patiently(store: &dyn StateStore, clock: &Clock) -> Result<Vec<Saved>, StateError> {
    let what = format!("load all positions from the state in {}", store.describe());
    patiently(clock, &what, || store.survey()).await
}

async fn patiently<T, F>(clock: &Clock, what: &str, call: impl Fn() -> F) -> Result<T, StateError>
where
    F: Future<Output = Result<T, StateError>>,
{
    let give_up = clock.now() + GIVE_UP_AFTER;
    let mut wait = FIRST_WAIT;
    loop {
        let call_ends = give_up.min(clock.now() + CALL_TIMEOUT);
        let why = match tokio::time::timeout_at(call_ends, call()).await {
            Ok(Err(StateError::Transient(why))) => why,
            Ok(answer) => return answer,
            Err(_) => "no answer in time".to_owned(),
        };
        let pause = clock.jittered(wait);
        if clock.now() + pause >= give_up {
            let minutes = GIVE_UP_AFTER.as_secs() / 60;
            return Err(StateError::Fatal(format!("could not {what} for {minutes} minutes: {why}")));
        }
        tracing::warn!(%why, "could not {what}; trying again");
        clock.sleep(pause).await;
        wait = LONGEST_WAIT.min(wait * 2);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::BoxFuture;
    use crate::change::{Position, SequenceNumber, ShardId};
    use crate::checkpoint::Saved;
    use crate::testing::state::{FaultyState, MemoryState, StateFaults};

    fn key() -> CheckpointKey {
        CheckpointKey { stream: "s".into(), shard: ShardId::new("a"), sink: "lake".into() }
    }

    fn at(number: u64) -> Checkpoint {
        Checkpoint::At { position: Position::new(SequenceNumber::from_ordinal(number)), range: None }
    }

    fn faulty(inner: &MemoryState, clock: &Clock, faults: StateFaults) -> FaultyState {
        FaultyState::new(Arc::new(inner.clone()), clock.clone(), faults, 7)
    }

    #[tokio::test(start_paused = true)]
    async fn faults_that_pass_are_borne() {
        let (memory, clock) = (MemoryState::new(), Clock::simulated(1, 0));
        let state = faulty(&memory, &clock, StateFaults { before: 0.5, after: 0.3, ..Default::default() });
        for number in 0..50 {
            save_patiently(&state, &clock, &key(), &at(number)).await.unwrap();
            assert_eq!(load_patiently(&state, &clock, "s").await.unwrap(), [(key(), at(number))]);
        }
        let back = save_patiently(&state, &clock, &key(), &at(3)).await;
        assert!(matches!(back, Err(StateError::Overtaken(_))), "{back:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_that_never_answers_is_given_up() {
        let (memory, clock) = (MemoryState::new(), Clock::simulated(1, 0));
        let started = clock.now();
        let state = faulty(&memory, &clock, StateFaults { before: 1.0, ..Default::default() });
        let error = save_patiently(&state, &clock, &key(), &at(1)).await.unwrap_err();
        assert!(matches!(&error, StateError::Fatal(text) if text.contains("for 15 minutes: injected")), "{error}");
        let waited = clock.now() - started;
        assert!(waited <= GIVE_UP_AFTER && waited > GIVE_UP_AFTER - 3 * LONGEST_WAIT, "{waited:?}");
    }

    /// Counts its calls and answers none of them.
    struct Hanging(AtomicUsize);

    impl StateStore for Hanging {
        fn load<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>> {
            Box::pin(std::future::pending())
        }
        fn survey(&self) -> BoxFuture<'_, Result<Vec<Saved>, StateError>> {
            Box::pin(std::future::pending())
        }
        fn save<'a>(&'a self, _: &'a CheckpointKey, _: &'a Checkpoint) -> BoxFuture<'a, Result<(), StateError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        }
        fn describe(&self) -> String {
            "nowhere".into()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_made_again() {
        let clock = Clock::simulated(1, 0);
        let (hanging, started) = (Hanging(AtomicUsize::new(0)), clock.now());
        let error = save_patiently(&hanging, &clock, &key(), &at(1)).await.unwrap_err();
        assert!(matches!(&error, StateError::Fatal(text) if text.contains("no answer in time")), "{error}");
        assert!(hanging.0.load(Ordering::Relaxed) > 5);
        assert!(clock.now() - started <= GIVE_UP_AFTER);
    }
}

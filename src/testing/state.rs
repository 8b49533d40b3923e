//! What must every state store do, and what does the engine meet when one fails? [`conformance`] is the first answer,
//! [`FaultyState`] the second.

mod conformance;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::tally;
use crate::BoxFuture;
use crate::checkpoint::{Checkpoint, CheckpointKey, Saved, StateError, StateStore};
use crate::clock::Clock;

pub use conformance::conformance;

type Checkpoints = BTreeMap<CheckpointKey, Checkpoint>;

/// Checkpoints in memory. Clones share them, so a test can "restart" on what its predecessor left.
#[derive(Debug, Clone, Default)]
pub struct MemoryState {
    checkpoints: Arc<Mutex<Checkpoints>>,
}

impl MemoryState {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that is stored now, of all streams.
    pub fn snapshot(&self) -> Vec<(CheckpointKey, Checkpoint)> {
        self.locked().iter().map(|(key, checkpoint)| (key.clone(), checkpoint.clone())).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Checkpoints> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryState {
    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>> {
        Box::pin(async move { Ok(self.snapshot().into_iter().filter(|(key, _)| key.stream == stream).collect()) })
    }

    fn survey(&self) -> BoxFuture<'_, Result<Vec<Saved>, StateError>> {
        let saved = |(key, checkpoint)| Saved { key, checkpoint, at: None };
        Box::pin(async move { Ok(self.snapshot().into_iter().map(saved).collect()) })
    }

    fn save<'a>(&'a self, key: &'a CheckpointKey, checkpoint: &'a Checkpoint) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let mut all = self.locked();
            match all.get(key) {
                Some(stored) if checkpoint.is_behind(stored) => {
                    Err(StateError::Overtaken(format!("{key:?}: {checkpoint:?} is behind {stored:?}")))
                }
                _ => {
                    all.insert(key.clone(), checkpoint.clone());
                    Ok(())
                }
            }
        })
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

/// How often a [`FaultyState`] fails, each between 0.0 (never) and 1.0 (always).
#[derive(Debug, Clone, Copy)]
pub struct StateFaults {
    /// A call is refused and has no effect.
    pub before: f64,
    /// A call has its effect, but the answer is lost.
    pub after: f64,
    /// A call takes its time, before or after its effect.
    pub delay: f64,
    /// The longest delay.
    pub longest_delay: Duration,
}

impl Default for StateFaults {
    /// Each fault now and then: often enough that a short test meets all of them.
    fn default() -> Self {
        Self { before: 0.15, after: 0.15, delay: 0.3, longest_delay: Duration::from_secs(20) }
    }
}

/// A state store that fails by a seed: the same seed and the same calls give the same faults.
pub struct FaultyState {
    inner: Arc<dyn StateStore>,
    clock: Clock,
    faults: StateFaults,
    random: Mutex<StdRng>,
}

/// What befalls one call.
struct Fate {
    refused: bool,
    answer_lost: bool,
    delay_before: Duration,
    delay_after: Duration,
}

impl FaultyState {
    /// Puts faults drawn from `seed` in front of `inner`; delays are slept on `clock`.
    pub fn new(inner: Arc<dyn StateStore>, clock: Clock, faults: StateFaults, seed: u64) -> Self {
        Self { inner, clock, faults, random: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    fn fate(&self) -> Fate {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        // Always the same number of draws, so that changing one probability does not shift the others' dice.
        let mut happens = |probability: f64| random.random::<f64>() < probability;
        let (refused, answer_lost) = (happens(self.faults.before), happens(self.faults.after));
        let (late_before, late_after) = (happens(self.faults.delay), happens(self.faults.delay));
        let mut delay = |late: bool| {
            let share = random.random::<f64>();
            if late { self.faults.longest_delay.mul_f64(share) } else { Duration::ZERO }
        };
        Fate { refused, answer_lost, delay_before: delay(late_before), delay_after: delay(late_after) }
    }

    async fn suffer<T>(&self, call: impl Future<Output = Result<T, StateError>>) -> Result<T, StateError> {
        let fate = self.fate();
        self.clock.sleep(fate.delay_before).await;
        if tally::fault(fate.refused) {
            return Err(StateError::Transient("injected: refused".to_owned()));
        }
        let answer = call.await;
        self.clock.sleep(fate.delay_after).await;
        match answer {
            Ok(_) if tally::fault(fate.answer_lost) => {
                Err(StateError::Transient("injected: the answer got lost".to_owned()))
            }
            answer => answer,
        }
    }
}

impl StateStore for FaultyState {
    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>> {
        Box::pin(self.suffer(self.inner.load(stream)))
    }

    fn survey(&self) -> BoxFuture<'_, Result<Vec<Saved>, StateError>> {
        Box::pin(self.suffer(self.inner.survey()))
    }

    fn save<'a>(&'a self, key: &'a CheckpointKey, checkpoint: &'a Checkpoint) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.suffer(self.inner.save(key, checkpoint)))
    }

    fn describe(&self) -> String {
        format!("{} with faults", self.inner.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Position, SequenceNumber, ShardId};

    #[tokio::test]
    async fn memory_conforms() {
        conformance(&MemoryState::new()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn faults_do_not_change_what_is_stored_in_the_end() {
        let clock = Clock::simulated(1, 0);
        for seed in 0..3 {
            let inner = Arc::new(MemoryState::new());
            conformance(&FaultyState::new(inner, clock.clone(), StateFaults::default(), seed)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_seed_gives_one_sequence_of_faults_and_all_kinds_come() {
        let run = async |seed| {
            let clock = Clock::simulated(1, 0);
            let memory = MemoryState::new();
            let faulty = FaultyState::new(Arc::new(memory.clone()), clock.clone(), StateFaults::default(), seed);
            let mut seen = Vec::new();
            for number in 0..60 {
                let shard = ShardId::new(number.to_string());
                let key = CheckpointKey { stream: "s".into(), shard, sink: "lake".into() };
                let position = Position::new(SequenceNumber::from_ordinal(number));
                let failed = faulty.save(&key, &Checkpoint::At { position, range: None }).await.is_err();
                let stored = memory.snapshot().iter().any(|(stored, _)| *stored == key);
                seen.push((failed, stored, clock.wall_micros()));
            }
            seen
        };
        let (first, again, other) = (run(5).await, run(5).await, run(6).await);
        assert_eq!(first, again);
        assert_ne!(first, other);
        for kind in [(false, true), (true, false), (true, true)] {
            assert!(first.iter().any(|(failed, stored, _)| (*failed, *stored) == kind), "{kind:?}");
        }
    }
}

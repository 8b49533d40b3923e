//! What must every state store do, and what does the engine meet when one fails? [`conformance`] is the first answer,
//! [`FaultyState`] the second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::BoxFuture;
use crate::change::{Position, SequenceNumber, ShardId};
use crate::checkpoint::{Checkpoint, CheckpointKey, StartAt, StateError, StateStore};
use crate::clock::Clock;

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
        self.locked()
            .iter()
            .map(|(key, checkpoint)| (key.clone(), checkpoint.clone()))
            .collect()
    }

    fn locked(&self) -> MutexGuard<'_, Checkpoints> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryState {
    fn load<'a>(
        &'a self,
        stream: &'a str,
    ) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>> {
        Box::pin(async move {
            Ok(self
                .snapshot()
                .into_iter()
                .filter(|(key, _)| key.stream == stream)
                .collect())
        })
    }

    fn save<'a>(
        &'a self,
        key: &'a CheckpointKey,
        checkpoint: &'a Checkpoint,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(async move {
            let mut all = self.locked();
            match all.get(key) {
                Some(stored) if checkpoint.is_behind(stored) => Err(StateError::Overtaken(format!(
                    "{key:?}: {checkpoint:?} is behind {stored:?}"
                ))),
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
        Self {
            before: 0.15,
            after: 0.15,
            delay: 0.3,
            longest_delay: Duration::from_secs(20),
        }
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
        Self {
            inner,
            clock,
            faults,
            random: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    fn fate(&self) -> Fate {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        // Always the same number of draws, so that changing one probability does not shift the others' dice.
        let mut happens = |probability: f64| random.random::<f64>() < probability;
        let (refused, answer_lost) = (happens(self.faults.before), happens(self.faults.after));
        let (late_before, late_after) = (happens(self.faults.delay), happens(self.faults.delay));
        let mut delay = |late: bool| {
            let share = random.random::<f64>();
            if late {
                self.faults.longest_delay.mul_f64(share)
            } else {
                Duration::ZERO
            }
        };
        Fate {
            refused,
            answer_lost,
            delay_before: delay(late_before),
            delay_after: delay(late_after),
        }
    }

    async fn suffer<T>(&self, call: impl Future<Output = Result<T, StateError>>) -> Result<T, StateError> {
        let fate = self.fate();
        self.clock.sleep(fate.delay_before).await;
        if fate.refused {
            return Err(StateError::Transient("injected: refused".to_owned()));
        }
        let answer = call.await;
        self.clock.sleep(fate.delay_after).await;
        match answer {
            Ok(_) if fate.answer_lost => {
                Err(StateError::Transient("injected: the answer got lost".to_owned()))
            }
            answer => answer,
        }
    }
}

impl StateStore for FaultyState {
    fn load<'a>(
        &'a self,
        stream: &'a str,
    ) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>> {
        Box::pin(self.suffer(self.inner.load(stream)))
    }

    fn save<'a>(
        &'a self,
        key: &'a CheckpointKey,
        checkpoint: &'a Checkpoint,
    ) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.suffer(self.inner.save(key, checkpoint)))
    }

    fn describe(&self) -> String {
        format!("{} with faults", self.inner.describe())
    }
}

/// Panics unless `store`, which must be empty, keeps the promises of [`StateStore`]. Transient errors are retried, as
/// the trait allows, so that it holds for a [`FaultyState`] too.
pub async fn conformance(store: &dyn StateStore) {
    assert!(!store.describe().is_empty(), "describe() says nothing");
    assert_eq!(
        load(store, "arn:aws:dynamodb:…/nothing-here").await,
        [],
        "an unknown stream has no checkpoints"
    );
    every_checkpoint_comes_back(store).await;
    none_goes_backward(store).await;
    keys_do_not_meet(store).await;
    many_shards_are_loaded_to_the_last(store).await;
}

/// One of each kind, in ascending order: for equals in rank, those of a kind stand in one inner list.
fn ladder() -> Vec<Vec<Checkpoint>> {
    let at = |digits: &str, sub: u32, range: Option<u64>| Checkpoint::At {
        position: Position {
            sequence: SequenceNumber::parse(digits).expect("digits"),
            sub,
        },
        range,
    };
    vec![
        vec![
            Checkpoint::Start(StartAt::TrimHorizon),
            Checkpoint::Start(StartAt::Latest(1_790_000_000_000_001)),
            Checkpoint::Start(StartAt::Timestamp(-1)),
        ],
        vec![at("0", 0, None), at("0", 0, Some(0))],
        vec![at("99", 0, Some(1))],
        // Text order would put this one first.
        vec![at("100", 0, Some(1))],
        vec![at("100", 1, Some(2))],
        vec![at("100", 2, None)],
        // And here it would put 10 before 2.
        vec![at("100", 10, Some(u64::MAX))],
        vec![at("100", u32::MAX, None)],
        vec![at(
            "49653934577403172270036403236523229901717376203382325750",
            0,
            Some(7),
        )],
        vec![at(&"9".repeat(129), u32::MAX, Some(8))],
        vec![Checkpoint::ShardEnd],
    ]
}

async fn every_checkpoint_comes_back(store: &dyn StateStore) {
    let mut expected = Vec::new();
    for (n, checkpoint) in ladder().into_iter().flatten().enumerate() {
        let key = key("round-trip", &format!("shard-{n:03}"), "lake");
        save(store, &key, &checkpoint).await.expect("a first checkpoint");
        expected.push((key, checkpoint));
    }
    assert_eq!(load(store, "round-trip").await, expected);
}

async fn none_goes_backward(store: &dyn StateStore) {
    for (old_rank, old) in flat_ladder() {
        for (new_rank, new) in flat_ladder() {
            let stream = format!("order-{old:?}-{new:?}");
            let key = key(&stream, "shard", "lake");
            save(store, &key, &old).await.expect("a first checkpoint");
            let (saved, expected) = (
                save(store, &key, &new).await,
                if new_rank < old_rank { &old } else { &new },
            );
            match saved {
                Ok(()) => assert!(new_rank >= old_rank, "{new:?} was saved over {old:?}"),
                Err(StateError::Overtaken(_)) => {
                    assert!(new_rank < old_rank, "{new:?} was refused over {old:?}")
                }
                Err(other) => panic!("{new:?} over {old:?}: {other}"),
            }
            assert_eq!(
                load(store, &stream).await,
                [(key, expected.clone())],
                "{new:?} over {old:?}"
            );
        }
    }
}

async fn keys_do_not_meet(store: &dyn StateStore) {
    // Names that a careless escaping, joining or file system would take for each other.
    let long = "l".repeat(300);
    let longer = format!("{long}-");
    let names = [
        "a", "b", "a/b", "a.b", "a%2Fb", "a%2fb", "%", "..", ".", "a b", "é", "e\u{301}", "a:b", "'", "-",
        &long, &longer,
    ];
    let mut number = 0;
    let mut expected: BTreeMap<String, Checkpoints> = BTreeMap::new();
    for stream in names {
        for (shard, sink) in [
            ("a", "b"),
            ("a.b", ""),
            ("a", "b.b"),
            ("a.b", "b"),
            ("a/b", "a"),
            (&long, &longer),
        ] {
            number += 1;
            let (key, checkpoint) = (key(stream, shard, sink), ordinal(number));
            save(store, &key, &checkpoint)
                .await
                .unwrap_or_else(|error| panic!("{key:?}: {error}"));
            expected
                .entry(stream.to_owned())
                .or_default()
                .insert(key, checkpoint);
        }
    }
    for stream in names {
        number += 1;
        let (key, checkpoint) = (key("names", stream, "lake"), ordinal(number));
        save(store, &key, &checkpoint)
            .await
            .unwrap_or_else(|error| panic!("{key:?}: {error}"));
        expected
            .entry("names".to_owned())
            .or_default()
            .insert(key, checkpoint);
    }
    for (stream, checkpoints) in expected {
        assert_eq!(
            load(store, &stream).await,
            Vec::from_iter(checkpoints),
            "stream {stream}"
        );
    }
}

async fn many_shards_are_loaded_to_the_last(store: &dyn StateStore) {
    let mut expected = Vec::new();
    for number in 0..150 {
        let key = key("many", &format!("shardId-{number:020}"), "lake");
        save(store, &key, &ordinal(number))
            .await
            .expect("a first checkpoint");
        expected.push((key, ordinal(number)));
    }
    assert_eq!(load(store, "many").await, expected);
}

fn flat_ladder() -> impl Iterator<Item = (usize, Checkpoint)> {
    ladder()
        .into_iter()
        .enumerate()
        .flat_map(|(rank, equals)| equals.into_iter().map(move |one| (rank, one)))
}

fn ordinal(number: u64) -> Checkpoint {
    Checkpoint::At {
        position: Position::new(SequenceNumber::from_ordinal(number)),
        range: Some(number),
    }
}

fn key(stream: &str, shard: &str, sink: &str) -> CheckpointKey {
    CheckpointKey {
        stream: stream.to_owned(),
        shard: ShardId::new(shard),
        sink: sink.to_owned(),
    }
}

async fn save(
    store: &dyn StateStore,
    key: &CheckpointKey,
    checkpoint: &Checkpoint,
) -> Result<(), StateError> {
    for _ in 0..100 {
        match store.save(key, checkpoint).await {
            Err(StateError::Transient(_)) => {}
            answer => return answer,
        }
    }
    panic!("{key:?} could not be saved in 100 attempts");
}

async fn load(store: &dyn StateStore, stream: &str) -> Vec<(CheckpointKey, Checkpoint)> {
    for _ in 0..100 {
        match store.load(stream).await {
            Ok(mut found) => {
                found.sort_by(|(a, _), (b, _)| a.cmp(b));
                return found;
            }
            Err(StateError::Transient(_)) => {}
            Err(error) => panic!("loading {stream}: {error}"),
        }
    }
    panic!("{stream} could not be loaded in 100 attempts");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_conforms() {
        conformance(&MemoryState::new()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn faults_do_not_change_what_is_stored_in_the_end() {
        let clock = Clock::simulated(1, 0);
        for seed in 0..3 {
            let inner = Arc::new(MemoryState::new());
            conformance(&FaultyState::new(
                inner,
                clock.clone(),
                StateFaults::default(),
                seed,
            ))
            .await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_seed_gives_one_sequence_of_faults_and_all_kinds_come() {
        let run = async |seed| {
            let clock = Clock::simulated(1, 0);
            let memory = MemoryState::new();
            let faulty = FaultyState::new(
                Arc::new(memory.clone()),
                clock.clone(),
                StateFaults::default(),
                seed,
            );
            let mut seen = Vec::new();
            for number in 0..60 {
                let key = key("s", &number.to_string(), "lake");
                let failed = faulty.save(&key, &ordinal(number)).await.is_err();
                let stored = memory.snapshot().iter().any(|(stored, _)| *stored == key);
                seen.push((failed, stored, clock.wall_micros()));
            }
            seen
        };
        let (first, again, other) = (run(5).await, run(5).await, run(6).await);
        assert_eq!(first, again);
        assert_ne!(first, other);
        for kind in [(false, true), (true, false), (true, true)] {
            assert!(
                first.iter().any(|(failed, stored, _)| (*failed, *stored) == kind),
                "{kind:?}"
            );
        }
    }
}

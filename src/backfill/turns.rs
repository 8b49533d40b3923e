//! Whose turn is it, the tail's or the snapshot's? A snapshot waits while the tail is far behind: a table keeps its items,
//! and its stream keeps a change for a day.
//!
//! How far the tail is behind is asked of its state and its source, so that it makes no difference whose tail it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::BoxFuture;
use crate::change::ShardId;
use crate::checkpoint::{Checkpoint, StartAt, StateStore};
use crate::clock::Clock;
use crate::engine::LAKE;
use crate::source::lag::{self, Lag, Place};
use crate::source::{Pace, ReadFrom, RecordsPage, ShardIterator, ShardPage, StreamApi, StreamError, StreamIdentity};

/// How far a tail may be behind where files are rolled often.
const LEAST_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How often the tail is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Decides. Pure.
#[derive(Debug)]
pub(super) struct Turns {
    limit: Duration,
    waits: bool,
}

impl Turns {
    /// `roll_age` is how long records rest in memory by intention.
    pub(super) fn new(roll_age: Duration) -> Self {
        Self { limit: LEAST_LIMIT.max(roll_age * 3), waits: false }
    }

    /// Whether the snapshot has to wait, now that the tail is so far behind. It goes on when the tail has caught up half of
    /// what is too much, not page by page at the limit.
    pub(super) fn look(&mut self, behind: Duration) -> bool {
        self.waits = behind > if self.waits { self.limit / 2 } else { self.limit };
        self.waits
    }
}

/// The tail, as one sees it from outside.
pub(super) struct Watch {
    pub(super) streams: Vec<Arc<dyn StreamApi>>,
    pub(super) state: Arc<dyn StateStore>,
    pub(super) clock: Clock,
}

impl Watch {
    /// Looks now and then, and tells the snapshot whether it may read. Never returns.
    pub(super) async fn take_turns(&self, mut turns: Turns, gate: &Gate) {
        loop {
            let behind = self.behind().await;
            let (waited, waits) = (gate.waits(), turns.look(behind));
            gate.let_wait(waits);
            if waits != waited {
                let (minutes, told) = (behind.as_secs() / 60, if waits { "waits for it" } else { "goes on" });
                tracing::info!(minutes, "the tail is so many minutes behind: the snapshot {told}");
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }

    /// How old the oldest change is that is not in the lake, as far as the source tells.
    async fn behind(&self) -> Duration {
        let mut places = Vec::new();
        for api in &self.streams {
            // Who can't be asked is no reason to wait: the next look comes soon.
            let stored = self.state.load(&api.identity().id).await.unwrap_or_default();
            let mut stored: Vec<_> = stored.into_iter().filter(|(key, _)| key.sink == LAKE).collect();
            stored.sort_by(|(one, _), (other, _)| one.shard.as_str().cmp(other.shard.as_str()));
            for (key, checkpoint) in stored {
                let behind = match checkpoint {
                    Checkpoint::At { position, .. } => Some(position),
                    Checkpoint::Start(StartAt::TrimHorizon) => None,
                    Checkpoint::Start(_) | Checkpoint::ShardEnd => continue,
                };
                places.push(Place { api: api.clone(), shard: key.shard, behind });
            }
        }
        let lags = lag::of(places, &self.clock).await;
        let ages = lags.into_iter().map(|lag| if let Lag::Behind(age) = lag { age } else { Duration::ZERO });
        ages.max().unwrap_or_default()
    }
}

/// What the snapshot is let through by: closed until the first look, and while it has to wait. Counts what comes through.
pub(super) struct Gate(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: AtomicBool,
    /// Whether it is closed because the tail is behind, and not only before the first look.
    waits: AtomicBool,
    /// Wakes who waits in the order in which they came.
    opened: Notify,
    items: AtomicU64,
    bytes: AtomicU64,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// A gate that nobody closes.
    pub(super) fn open() -> Self {
        let gate = Self::new();
        gate.let_wait(false);
        gate
    }

    fn let_wait(&self, waits: bool) {
        self.0.waits.store(waits, Ordering::Relaxed);
        self.0.open.store(!waits, Ordering::Release);
        if !waits {
            self.0.opened.notify_waiters();
        }
    }

    /// Whether the snapshot has to wait for the tail.
    pub(super) fn waits(&self) -> bool {
        self.0.waits.load(Ordering::Relaxed)
    }

    /// The items and bytes that have come through.
    pub(super) fn passed(&self) -> (u64, u64) {
        (self.0.items.load(Ordering::Relaxed), self.0.bytes.load(Ordering::Relaxed))
    }

    /// The stream, of which pages come only while the gate is open.
    pub(super) fn before(&self, inner: Arc<dyn StreamApi>) -> Arc<dyn StreamApi> {
        Arc::new(InTurn { inner, gate: self.0.clone() })
    }
}

impl Drop for Gate {
    /// A gate that is gone closes nothing any more.
    fn drop(&mut self) {
        self.let_wait(false);
    }
}

impl Shared {
    /// Waits until it is open.
    async fn pass(&self) {
        loop {
            let opened = self.opened.notified();
            if self.open.load(Ordering::Acquire) {
                return;
            }
            opened.await;
        }
    }
}

struct InTurn {
    inner: Arc<dyn StreamApi>,
    gate: Arc<Shared>,
}

impl StreamApi for InTurn {
    fn identity(&self) -> &StreamIdentity {
        self.inner.identity()
    }

    fn list_shards<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        self.inner.list_shards(from)
    }

    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        self.inner.shard_iterator(shard, from)
    }

    fn get_records<'a>(
        &'a self,
        shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        Box::pin(async move {
            self.gate.pass().await;
            let page = self.inner.get_records(shard, iterator).await?;
            self.gate.items.fetch_add(page.records.len() as u64, Ordering::Relaxed);
            self.gate.bytes.fetch_add(page.bytes as u64, Ordering::Relaxed);
            Ok(page)
        })
    }

    fn pace(&self) -> Pace {
        self.inner.pace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::positions::Positions;
    use crate::checkpoint::CheckpointKey;
    use crate::testing::stream::SimulatedStream;
    use bytes::Bytes;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_snapshot_waits_until_the_tail_has_caught_up_half() {
        let mut turns = Turns::new(MINUTE);
        let waits = [0, 4, 5, 6, 4, 3, 2, 4, 5, 9].map(|minutes| turns.look(minutes * MINUTE));
        assert_eq!(waits, [false, false, false, true, true, true, false, false, false, true]);
        // Who rolls once an hour is an hour behind by intention.
        assert!(!Turns::new(60 * MINUTE).look(179 * MINUTE));
    }

    /// A tail with one shard, and the records that it has yet to read.
    struct World {
        clock: Clock,
        tail: SimulatedStream,
        state: Arc<Positions>,
    }

    impl World {
        fn new() -> Self {
            let clock = Clock::simulated(1, 1_795_165_200_000_000);
            let tail = SimulatedStream::new("tail", 1, clock.clone(), true);
            Self { tail, clock, state: Arc::default() }
        }

        fn write(&self) {
            let millis = self.clock.wall_micros() / 1000;
            let change = format!(
                r#"{{"eventName":"INSERT","dynamodb":{{"ApproximateCreationDateTime":{millis},"Keys":{{}}}}}}"#
            );
            self.tail.write(0, vec![change.into()]);
        }

        /// The tail has all that was written.
        async fn catch_up(&self) {
            let shard = self.tail.shards().remove(0);
            let (position, stream) = (shard.records.last().unwrap().position, self.tail.identity().id.clone());
            let key = CheckpointKey { stream, shard: shard.id, sink: LAKE.to_owned() };
            self.state.save(&key, &Checkpoint::At { position, range: None }).await.unwrap();
        }

        fn watch(&self) -> Watch {
            let streams: Vec<Arc<dyn StreamApi>> = vec![Arc::new(self.tail.clone())];
            Watch { streams, state: self.state.clone(), clock: self.clock.clone() }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pages_come_only_while_the_tail_keeps_up() {
        let world = World::new();
        let snapshot = SimulatedStream::new("snapshot", 2, world.clock.clone(), true);
        (0..100).for_each(|_| snapshot.write(0, vec![Bytes::from_static(b"{}")]));
        let gate = Gate::new();
        let gated = gate.before(Arc::new(snapshot.clone()));
        let shard = snapshot.shards().remove(0).id;
        let page = async || {
            let iterator = gated.shard_iterator(&shard, ReadFrom::TrimHorizon).await.unwrap();
            tokio::select! {
                page = gated.get_records(&shard, &iterator) => page.is_ok(),
                () = world.clock.sleep(10 * MINUTE) => false,
            }
        };
        assert!(!page().await, "nobody has looked yet");
        let watch = world.watch();
        let test = async {
            world.write();
            world.catch_up().await;
            world.write();
            assert!(page().await, "nothing has waited for long");
            world.clock.sleep(6 * MINUTE).await;
            assert!(gate.waits() && !page().await, "a change has waited for minutes");
            world.catch_up().await;
            assert!(page().await && !gate.waits());
        };
        tokio::select! {
            () = watch.take_turns(Turns::new(MINUTE), &gate) => {}
            () = test => {}
        }
        assert!(gate.passed().0 > 0 && gate.passed().1 > 0);
        assert!(Gate::open().0.open.load(Ordering::Acquire));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_there_before_the_tail_began_counts() {
        let world = World::new();
        world.write();
        world.clock.sleep(20 * 60 * MINUTE).await;
        let shard = world.tail.shards().remove(0).id;
        let key = CheckpointKey { stream: world.tail.identity().id.clone(), shard, sink: LAKE.to_owned() };
        world.state.save(&key, &Checkpoint::Start(StartAt::TrimHorizon)).await.unwrap();
        assert!(world.watch().behind().await >= 20 * 60 * MINUTE);
        world.catch_up().await;
        assert_eq!(world.watch().behind().await, Duration::ZERO);
    }
}

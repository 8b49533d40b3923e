//! Who tails while a backfill reads: this process, or a daemon that holds the state? They find each other through the state.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::positions::Positions;
use super::turns::Watch;
use super::{BackfillError, Ground};
use crate::assembly::AssemblyError;
use crate::change::TableName;
use crate::checkpoint::patient::{load_patiently, survey_patiently};
use crate::checkpoint::{Checkpoint, StartAt, StateError, StateStore};
use crate::clock::Clock;
use crate::engine::{DISCOVERED, Engine, EngineError, Parts, Patience};
use crate::lake::Lake;
use crate::source::lineage::StartPolicy;
use crate::source::until_now::UntilNow;
use crate::source::{StreamApi, StreamError, StreamFinder, list_all};
use crate::telemetry::Metrics;
use crate::telemetry::health::Health;

/// How often the state is looked at until the tail has begun.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long after its first discovery a tail may still be getting an iterator at the newest record: longer than any
/// attempt of a call takes.
const LATEST_IS_OVER: Duration = Duration::from_secs(60);

/// The tail of a pipeline, beside a backfill.
pub(super) struct Tail {
    finder: Arc<dyn StreamFinder>,
    streams: Vec<Arc<dyn StreamApi>>,
    /// The state, if this process could take it; otherwise a daemon has it.
    own: Option<Arc<dyn StateStore>>,
    /// The state, to look at.
    state: Arc<dyn StateStore>,
    /// Whether the pipeline begins with what is newest.
    latest: bool,
    clock: Clock,
}

/// A tail at work.
pub(super) struct Running {
    engine: Option<JoinHandle<Result<(), EngineError>>>,
    stop: CancellationToken,
}

impl Tail {
    /// Takes the state if nobody has it.
    pub(super) async fn find(ground: &impl Ground) -> Result<Self, BackfillError> {
        let finder = ground.finder().await?;
        let streams = patiently(ground.clock(), || finder.streams()).await?;
        let own = match ground.state().await {
            Ok(state) => Some(state),
            Err(AssemblyError::State(StateError::Held(by))) => {
                tracing::info!(by, "another process tails; the backfill relies on it");
                None
            }
            Err(error) => return Err(error.into()),
        };
        let state = match &own {
            Some(own) => own.clone(),
            None => ground.state_to_look_at().await?,
        };
        let latest = ground.engine_settings(false).start == StartPolicy::Latest;
        Ok(Self { finder, streams, own, state, latest, clock: ground.clock().clone() })
    }

    /// Whether nothing of a table's stream has been read yet, so that a generation which begins now has all of it.
    pub(super) async fn is_fresh(&self, lake: &Lake, table: &TableName) -> Result<bool, BackfillError> {
        for stream in &self.streams {
            if stream.identity().table.as_ref().is_some_and(|of| of != table) {
                continue;
            }
            if self.discovered(&**stream).await?.is_some() {
                return Ok(false);
            }
            for shard in patiently(&self.clock, || list_all(&**stream)).await?.shards {
                if lake.has_read(stream.identity(), &shard.id).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn discovered(&self, stream: &dyn StreamApi) -> Result<Option<i64>, StateError> {
        let stored = load_patiently(&*self.state, &self.clock, &stream.identity().id).await?;
        Ok(stored.into_iter().find_map(|(key, at)| match at {
            Checkpoint::Start(StartAt::Latest(at)) if (key.shard.as_str(), &*key.sink) == DISCOVERED => Some(at),
            _ => None,
        }))
    }

    /// What shows how far it is behind.
    pub(super) fn watch(&self) -> Watch {
        Watch { streams: self.streams.clone(), state: self.state.clone(), clock: self.clock.clone() }
    }

    /// Starts the tail if it is ours, and waits until it has fixed where it begins.
    pub(super) async fn start(
        &self,
        ground: &impl Ground,
        lake: &Arc<Lake>,
        memory: usize,
        metrics: &Metrics,
    ) -> Result<Running, BackfillError> {
        let stop = CancellationToken::new();
        let engine = match &self.own {
            Some(state) => {
                let mut settings = ground.engine_settings(false);
                settings.memory = memory;
                // A stream that was never read is read whole: what `start` leaves out could be missing later.
                settings.start = StartPolicy::TrimHorizon;
                let engine = Engine::new(Parts {
                    finder: self.finder.clone(),
                    lake: ground.lake().await?,
                    handlers: ground.handlers().await?,
                    state: state.clone(),
                    clock: self.clock.clone(),
                    settings,
                    metrics: metrics.clone(),
                    health: Health::new(self.clock.now(), lake.roll_age()),
                });
                let stop = stop.clone();
                Some(tokio::spawn(async move { engine.run(stop).await }))
            }
            None => None,
        };
        let mut running = Running { engine, stop };
        tokio::select! {
            biased;
            begun = self.has_begun() => begun?,
            error = running.failed() => return Err(error),
        }
        Ok(running)
    }

    /// Waits until the first discovery of every stream is over, and no iterator at the newest record can come any more.
    async fn has_begun(&self) -> Result<(), BackfillError> {
        for (at, stream) in self.streams.iter().enumerate() {
            let origin = &stream.identity().origin;
            // Of the streams of one table the earlier ones may never be begun.
            if origin.is_some() && self.streams[at + 1..].iter().any(|later| later.identity().origin == *origin) {
                continue;
            }
            let mut told = false;
            let since = loop {
                if let Some(since) = self.discovered(&**stream).await? {
                    break since;
                }
                if !told {
                    tracing::info!(stream = stream.identity().id, "waiting for the tail to begin");
                    told = true;
                }
                self.clock.sleep(LOOK_EVERY).await;
            };
            // Also where the state is ours: one in a DynamoDB table a daemon may have as well, which began first.
            if self.latest {
                self.clock.sleep(beginning(since, self.clock.wall_micros())).await;
            }
        }
        Ok(())
    }

    /// Reads every shard up to now, into the lake: then all changes that were made before this began are there. A daemon
    /// that reads the same shards is overtaken now and then, which does no harm.
    pub(super) async fn read_until_now(
        &self,
        ground: &impl Ground,
        lake: &Arc<Lake>,
        memory: usize,
    ) -> Result<(), BackfillError> {
        let state: Arc<dyn StateStore> = match &self.own {
            Some(own) => own.clone(),
            None => Arc::new(Positions::of(survey_patiently(&*self.state, &self.clock).await?)),
        };
        let mut settings = ground.engine_settings(true);
        settings.memory = memory;
        let engine = Engine::new(Parts {
            finder: Arc::new(UntilNow::new(ground.finder().await?)),
            lake: ground.lake().await?,
            handlers: Vec::new(),
            state,
            clock: self.clock.clone(),
            settings,
            metrics: Metrics::new(),
            health: Health::new(self.clock.now(), lake.roll_age()),
        });
        engine.run(CancellationToken::new()).await.map_err(BackfillError::Tail)
    }
}

impl Running {
    /// Does `work` while the tail goes on, then drains the tail. A tail that fails ends both.
    pub(super) async fn beside<T>(
        mut self,
        work: impl Future<Output = Result<T, BackfillError>>,
    ) -> Result<T, BackfillError> {
        let done = tokio::select! {
            biased;
            done = work => done,
            error = self.failed() => Err(error),
        };
        self.stop.cancel();
        if let Some(engine) = self.engine.take() {
            joined(engine.await)?;
        }
        done
    }

    /// Waits for the tail to fail; for ever, if it is a daemon's.
    async fn failed(&mut self) -> BackfillError {
        let Some(engine) = &mut self.engine else { return std::future::pending().await };
        let ended = joined(engine.await);
        self.engine = None;
        let early = || EngineError::Source("it ended although nobody told it to".to_owned());
        ended.err().unwrap_or_else(|| BackfillError::Tail(early()))
    }
}

impl Drop for Running {
    /// Whoever drops a backfill kills it, its tail included.
    fn drop(&mut self) {
        if let Some(engine) = &self.engine {
            engine.abort();
        }
    }
}

/// How long after a first discovery at `since` a tail may still be getting its iterators, seen from `now`: µs since the epoch.
fn beginning(since: i64, now: i64) -> Duration {
    let over = LATEST_IS_OVER.as_micros() as i64;
    // Whatever clocks say of each other, no longer than that.
    let left = since.saturating_add(over).saturating_sub(now).clamp(0, over);
    Duration::from_micros(left.unsigned_abs())
}

/// Asks the source until it answers, as the engine does: what passes is no reason to give up.
async fn patiently<T, F>(clock: &Clock, ask: impl Fn() -> F) -> Result<T, StreamError>
where
    F: Future<Output = Result<T, StreamError>>,
{
    let mut patience = Patience::new(clock);
    loop {
        match ask().await {
            Err(StreamError::Throttled(why) | StreamError::Transient(why)) => patience.wait(&why).await,
            answer => return answer,
        }
    }
}

fn joined(ended: Result<Result<(), EngineError>, tokio::task::JoinError>) -> Result<(), BackfillError> {
    match ended {
        Ok(ended) => ended.map_err(BackfillError::Tail),
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels a task.
            Err(_) => Err(BackfillError::Stopped),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_that_began_just_now_is_waited_for_and_no_longer_than_a_minute() {
        let second = 1_000_000;
        assert_eq!(beginning(100 * second, 110 * second), Duration::from_secs(50));
        assert_eq!(beginning(100 * second, 161 * second), Duration::ZERO);
        // Its clock is ahead of ours.
        assert_eq!(beginning(500 * second, 100 * second), LATEST_IS_OVER);
        assert_eq!(beginning(i64::MAX, i64::MIN), LATEST_IS_OVER);
    }
}

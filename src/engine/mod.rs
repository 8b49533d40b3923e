//! The engine: reads all shards of a pipeline's streams into its sinks, in order, until it is stopped.
//!
//! ```text
//!   finder ─► streams ─► [stream] lineage ─► shards ─► [shard] reader ─► page ─► lake ─► commit ─► checkpoint
//!                             ▲                                                             │
//!                             └───────────────── finished, durably ◄────────────────────────┘
//! ```
//!
//! Each handler is a sink like the lake, with a lineage and positions of its own (`deliver.rs` is its shard):
//!
//! ```text
//!   [shard] the lake's pages, or its own ─► lanes ─► calls ─► position
//! ```
//!
//! The daemon, `--once` and the simulated world run this very code; only what is in [`Parts`] differs.

pub mod budget;
mod deliver;
mod feed;
pub mod handler;
#[cfg(test)]
mod handler_tests;
mod intake;
mod reading;
mod shard;
mod stream;
#[cfg(test)]
mod tests;
pub mod totals;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{StateError, StateStore};
use crate::clock::Clock;
use crate::lake::{Lake, LakeError};
use crate::source::lineage::StartPolicy;
use crate::source::{StreamApi, StreamError, StreamFinder};
use crate::telemetry::Metrics;
use crate::telemetry::health::Health;
use budget::Budget;
use feed::Feeds;
use handler::{HandlerParts, HandlerSink, Sink};
pub(crate) use stream::{DISCOVERED, LAKE, Patience, STREAMS};
use totals::Totals;

/// How many ranges of killed processes are completed at a time. Such a range can't be cut short to free memory, so that
/// they must not all be in memory at once.
const RECOVERIES: usize = 4;

/// What to do about records that are lost in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGap {
    /// Stop with an error.
    Fail,
    /// Mark the gap in the lake and go on behind it.
    Resume,
}

/// How the engine behaves.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Where reading starts when there is no state.
    pub start: StartPolicy,
    /// What to do about gaps.
    pub on_gap: OnGap,
    /// End when every shard's tip has been reached and all is durable.
    pub once: bool,
    /// The budget of all buffers, bytes.
    pub memory: usize,
}

/// Everything the engine works with. Nothing else reaches it.
pub struct Parts {
    /// The source.
    pub finder: Arc<dyn StreamFinder>,
    /// The lake.
    pub lake: Arc<Lake>,
    /// The handlers, each with a name of its own.
    pub handlers: Vec<HandlerParts>,
    /// The positions.
    pub state: Arc<dyn StateStore>,
    /// Time and randomness.
    pub clock: Clock,
    /// How to behave.
    pub settings: EngineSettings,
    /// Counts for `/metrics`.
    pub metrics: Metrics,
    /// Whether positions move.
    pub health: Health,
}

/// Why the engine ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The source refused.
    #[error("{0}")]
    Source(String),
    /// Records are lost, and the pipeline says to stop then.
    #[error(
        "{0}. These changes are lost to this pipeline. `on_gap = \"resume\"` in [source] marks the gap in the lake and goes on; \
         `watershed backfill` repairs it then"
    )]
    Gap(String),
    /// The lake refused.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The state refused.
    #[error(transparent)]
    State(#[from] StateError),
    /// A handler can't go on: its name, and why.
    #[error("handler {0}: {1}")]
    Handler(String, String),
}

/// What all tasks of the engine share.
struct Shared {
    lake: Arc<Lake>,
    state: Arc<dyn StateStore>,
    clock: Clock,
    settings: EngineSettings,
    budget: Budget,
    feeds: Feeds,
    recoveries: Arc<Semaphore>,
    totals: Arc<Totals>,
    metrics: Metrics,
    health: Health,
}

/// The parts of the memory budget that handlers get, if there are any: pages that wait for them, and changes on their
/// way. The rest is the lake's.
const FEEDS_SHARE: usize = 16;
const HANDLERS_SHARE: (usize, usize) = (3, 16);

/// A pipeline's engine.
pub struct Engine {
    finder: Arc<dyn StreamFinder>,
    handlers: Vec<Arc<HandlerSink>>,
    shared: Arc<Shared>,
}

impl Engine {
    /// An engine of these parts.
    pub fn new(parts: Parts) -> Self {
        let (memory, now) = (parts.settings.memory, parts.clock.now());
        let feeds = if parts.handlers.is_empty() { 0 } else { memory / FEEDS_SHARE };
        let each = memory / HANDLERS_SHARE.1 * HANDLERS_SHARE.0 / parts.handlers.len().max(1);
        let sinks = parts.handlers.into_iter().map(|parts| Arc::new(HandlerSink::new(parts, each, now)));
        let handlers: Vec<_> = sinks.collect();
        let shared = Shared {
            budget: Budget::new(memory - feeds - each * handlers.len()),
            feeds: Feeds::new(feeds),
            lake: parts.lake,
            state: parts.state,
            clock: parts.clock,
            settings: parts.settings,
            recoveries: Arc::new(Semaphore::new(RECOVERIES)),
            totals: Arc::default(),
            metrics: parts.metrics,
            health: parts.health,
        };
        shared.metrics.budget.with([]).set(shared.settings.memory as f64);
        Self { finder: parts.finder, handlers, shared: Arc::new(shared) }
    }

    /// What has become durable so far.
    pub fn totals(&self) -> Arc<Totals> {
        self.shared.totals.clone()
    }

    /// The budget of what is not a handler's.
    pub fn budget(&self) -> Budget {
        self.shared.budget.clone()
    }

    /// Runs until `stop` is cancelled, which drains; until everything is read (`once`, or a finite source); or until
    /// something fails, and then all other shards are drained first. Dropping the future is a kill.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), EngineError> {
        let stop = stop.child_token();
        let handlers = self.handlers.iter().map(|sink| Sink::Handler(sink.clone()));
        let mut sinks: JoinSet<(String, Result<(), EngineError>)> = JoinSet::new();
        for sink in [Sink::Lake].into_iter().chain(handlers) {
            let run = SinkRun { finder: self.finder.clone(), shared: self.shared.clone(), sink };
            let stop = stop.child_token();
            sinks.spawn(async move { (run.sink.key(), run.run(stop).await) });
        }
        let mut ended = Ok(());
        while let Some(done) = sinks.join_next().await {
            let result = finished(done).map(drop);
            if result.is_err() {
                stop.cancel();
            }
            ended = ended.and(result);
        }
        ended
    }
}

/// One sink and all streams it reads.
struct SinkRun {
    finder: Arc<dyn StreamFinder>,
    shared: Arc<Shared>,
    sink: Sink,
}

impl SinkRun {
    /// See [`Engine::run`].
    async fn run(&self, stop: CancellationToken) -> Result<(), EngineError> {
        let mut running: JoinSet<(String, Result<(), EngineError>)> = JoinSet::new();
        let mut streams = Streams::default();
        let ended = loop {
            match self.find(&stop).await {
                Ok(found) => streams.found(found),
                Err(error) => break Err(error),
            }
            for (api, newest) in streams.startable() {
                let (shared, sink) = (self.shared.clone(), self.sink.clone());
                let task = stream::run(shared, sink, api.clone(), newest, stop.child_token());
                running.spawn(async move { (api.identity().id.clone(), task.await) });
            }
            let bounded = self.shared.settings.once || streams.are_finite();
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(done) = running.join_next() => {
                    match finished(done) {
                        Ok(id) => streams.ended(&id),
                        Err(error) => break Err(error),
                    }
                    if bounded && running.is_empty() && streams.waiting.is_empty() {
                        break Ok(());
                    }
                }
                // A table's stream may be made anew at any time.
                () = self.shared.clock.sleep(streams.discovery()), if !bounded => {}
            }
        };
        stop.cancel();
        let mut drained = Ok(());
        while let Some(done) = running.join_next().await {
            drained = drained.and(finished(done).map(drop));
        }
        ended.and(drained)
    }

    async fn find(&self, stop: &CancellationToken) -> Result<Vec<Arc<dyn StreamApi>>, EngineError> {
        let mut patience = stream::Patience::new(&self.shared.clock);
        loop {
            let found = tokio::select! {
                biased;
                found = self.finder.streams() => found,
                () = stop.cancelled() => return Ok(Vec::new()),
            };
            match found {
                Ok(streams) => return Ok(streams),
                Err(StreamError::Throttled(why) | StreamError::Transient(why)) => {
                    tokio::select! {
                        biased;
                        () = patience.wait(&why) => {}
                        () = stop.cancelled() => return Ok(Vec::new()),
                    }
                }
                Err(error) => return Err(EngineError::Source(error.to_string())),
            }
        }
    }
}

/// The streams of a run: those of one origin are read one after the other.
#[derive(Default)]
struct Streams {
    known: HashMap<String, Arc<dyn StreamApi>>,
    /// Not begun yet, in the order of their making; with whether it is the newest of its origin.
    waiting: Vec<(Arc<dyn StreamApi>, bool)>,
    /// The origins of which a stream is being read.
    reading: HashSet<String>,
}

impl Streams {
    fn found(&mut self, streams: Vec<Arc<dyn StreamApi>>) {
        let origins: Vec<_> = streams.iter().map(|api| api.identity().origin.clone()).collect();
        for (at, api) in streams.into_iter().enumerate() {
            let id = &api.identity().id;
            if !self.known.contains_key(id) {
                let newest = origins[at].is_none() || !origins[at + 1..].contains(&origins[at]);
                self.known.insert(id.clone(), api.clone());
                self.waiting.push((api, newest));
            }
        }
    }

    /// Takes the streams that may be begun now.
    fn startable(&mut self) -> Vec<(Arc<dyn StreamApi>, bool)> {
        let mut startable = Vec::new();
        let reading = &mut self.reading;
        self.waiting.retain(|(api, newest)| {
            let free = reading.insert(origin_of(&**api));
            if free {
                startable.push((api.clone(), *newest));
            }
            !free
        });
        startable
    }

    fn ended(&mut self, id: &str) {
        if let Some(api) = self.known.get(id) {
            self.reading.remove(&origin_of(&**api));
        }
    }

    fn are_finite(&self) -> bool {
        self.known.values().all(|api| api.pace().finite)
    }

    fn discovery(&self) -> Duration {
        self.known.values().map(|api| api.pace().discovery).min().unwrap_or_default()
    }
}

fn origin_of(api: &dyn StreamApi) -> String {
    let identity = api.identity();
    identity.origin.as_ref().unwrap_or(&identity.id).clone()
}

type Joined = Result<(String, Result<(), EngineError>), tokio::task::JoinError>;

/// The id of what ended well. A panic in a task is a bug: it is passed on, not swallowed.
fn finished(done: Joined) -> Result<String, EngineError> {
    match done {
        Ok((id, result)) => result.map(|()| id),
        Err(join) => match join.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels a task.
            Err(_) => Ok(String::new()),
        },
    }
}

//! A handler as a sink of the engine: which changes it wants, how its lanes behave, and what all its shards share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::budget::Budget;
use crate::change::{Record, ShardId, TableName};
use crate::handler::circuit::Circuit;
use crate::handler::dead_letter::DeadLetters;
use crate::handler::lanes::LaneRules;
use crate::handler::repeats::{Judged, Repeats};
use crate::handler::{Change, Handler, HandlerError, Limits};

/// Whether a handler wants a record. Besides it gets the ARN of the stream, where there is one: Lambda adds it to events.
pub type Filter = Arc<dyn Fn(&Record, Option<&str>) -> bool + Send + Sync>;

/// A handler of a pipeline.
#[derive(Clone)]
pub struct HandlerParts {
    /// Its name: positions are kept under it.
    pub name: Arc<str>,
    /// What is called.
    pub handler: Arc<dyn Handler>,
    /// The tables whose changes it gets; `None`: of all.
    pub tables: Option<HashSet<TableName>>,
    /// Which of them; `None`: all.
    pub filter: Option<Filter>,
    /// How changes are put together, and how often they are tried. What the handler takes is asked of itself.
    pub rules: LaneRules,
    /// How old a change may be, by its own time, for another attempt.
    pub maximum_record_age: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// How long a change that comes twice is recognised (Kinesis); `None`: not at all.
    pub dedupe_window: Option<Duration>,
    /// Whether a change older than one of its item that came before is dropped (Kinesis).
    pub drop_stale: bool,
    /// Where changes go that it is given up with.
    pub dead_letters: Arc<dyn DeadLetters>,
}

impl HandlerParts {
    /// A handler with Lambda's words at the project's defaults: 100 changes a call, ten further attempts, bisecting.
    pub fn new(name: &str, handler: Arc<dyn Handler>, dead_letters: Arc<dyn DeadLetters>) -> Self {
        let rules = LaneRules {
            lanes: 1,
            batch_size: 100,
            batch_window: Duration::ZERO,
            attempts: 11,
            bisect: true,
            limits: Limits::default(),
        };
        Self {
            name: name.into(),
            handler,
            tables: None,
            filter: None,
            rules,
            maximum_record_age: Duration::from_secs(24 * 3600),
            timeout: Duration::from_secs(30),
            dedupe_window: None,
            drop_stale: false,
            dead_letters,
        }
    }
}

/// A handler at work.
pub(super) struct HandlerSink {
    pub(super) parts: HandlerParts,
    /// The memory of all its shards: its own, so that a slow handler takes none from others.
    pub(super) budget: Budget,
    circuit: Mutex<Circuit>,
    /// The circuit has closed.
    closed: Notify,
    began: Instant,
    repeats: Mutex<Repeats>,
    /// How long the oldest change of each shard has waited.
    lags: Mutex<HashMap<ShardId, Duration>>,
}

impl HandlerSink {
    pub(super) fn new(mut parts: HandlerParts, memory: usize, now: Instant) -> Self {
        parts.rules.limits = parts.handler.limits();
        let (circuit, closed) = (Mutex::default(), Notify::new());
        let repeats = Mutex::new(Repeats::new(parts.dedupe_window, parts.drop_stale));
        Self { parts, budget: Budget::new(memory), circuit, closed, began: now, repeats, lags: Mutex::default() }
    }

    /// A moment as the time of lanes and circuit.
    pub(super) fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// The moment of such a time.
    pub(super) fn instant(&self, time: Duration) -> Instant {
        self.began + time
    }

    pub(super) fn allows_call(&self, now: Duration) -> bool {
        self.circuit().allows(now)
    }

    pub(super) fn begins_call(&self, now: Duration) {
        self.circuit().begins(now);
    }

    /// When calls may be made again; `None`: now.
    pub(super) fn closed_until(&self) -> Option<Duration> {
        self.circuit().until()
    }

    /// Waits until the circuit closes.
    pub(super) async fn circuit_closes(&self) {
        self.closed.notified().await;
    }

    /// What the answer of a call means for the circuit. A call that timed out may be the change's fault, or the target's.
    pub(super) fn observe(&self, missed: Option<&HandlerError>, timed_out: bool, now: Duration) {
        let name = &*self.parts.name;
        let after = match missed {
            Some(HandlerError::Unavailable { after, .. }) => *after,
            Some(_) if timed_out => None,
            _ => {
                if self.circuit().answered() {
                    self.closed.notify_waiters();
                    tracing::info!(handler = name, "the target answers again; the circuit is closed");
                }
                return;
            }
        };
        if self.circuit().missed(now, after) {
            let why = missed.map(ToString::to_string).unwrap_or_default();
            tracing::error!(handler = name, why, "the target can't be reached; the circuit is open, changes wait");
        }
    }

    /// Whether a change came before; see [`Repeats`].
    pub(super) fn judge(&self, change: &Change, now: Duration) -> Judged {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner).judge(change, now)
    }

    /// Notes how long the oldest change of a shard has waited, and answers the longest of all shards.
    pub(super) fn lag(&self, shard: &ShardId, waits: Duration) -> Duration {
        let mut lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.is_zero() {
            lags.remove(shard);
        } else {
            lags.insert(shard.clone(), waits);
        }
        lags.values().max().copied().unwrap_or_default()
    }

    fn circuit(&self) -> std::sync::MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the handler wants a record of a table.
    pub(super) fn wants(&self, record: &Record, table: &str, stream_arn: Option<&str>) -> bool {
        let parts = &self.parts;
        parts.tables.as_ref().is_none_or(|tables| tables.contains(table))
            && parts.filter.as_ref().is_none_or(|filter| filter(record, stream_arn))
    }
}

/// A sink of a stream's shards. Each has positions and a lineage of its own.
#[derive(Clone)]
pub(super) enum Sink {
    Lake,
    Handler(Arc<HandlerSink>),
}

impl Sink {
    /// What its positions are kept under.
    pub(super) fn key(&self) -> String {
        self.named(super::LAKE, "handler")
    }

    /// What its mark of a complete first discovery is kept under.
    pub(super) fn discovered(&self) -> String {
        self.named(super::DISCOVERED.1, super::DISCOVERED.1)
    }

    /// What the streams that it has begun are kept under.
    pub(super) fn streams(&self) -> String {
        self.named(super::STREAMS, super::STREAMS)
    }

    fn named(&self, lake: &str, handler: &str) -> String {
        match self {
            Self::Lake => lake.to_owned(),
            Self::Handler(sink) => format!("{handler}:{}", sink.parts.name),
        }
    }

    pub(super) fn is_lake(&self) -> bool {
        matches!(self, Self::Lake)
    }
}

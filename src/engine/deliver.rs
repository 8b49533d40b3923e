//! One shard for one handler: records in, calls out, answers settled, and the position behind all that is resolved.
//!
//! ```text
//!  intake ─► wanted? ─► lanes ─► calls, side by side ─► settled ─┬─► resolved: the frontier moves, and is saved
//!                         ▲                                      ├─► again later
//!                         └──────────────────────────────────────┘   given up: dead letter, then resolved
//! ```

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::budget::Reservation;
use super::handler::HandlerSink;
use super::intake::{Intake, Taken};
use super::reading::Stopped;
use super::shard::{Ended, ShardTask};
use super::{EngineError, OnGap};
use crate::change::Record;
use crate::checkpoint::patient::{load_patiently, save_patiently};
use crate::checkpoint::{Checkpoint, StateError};
use crate::decode::envelope;
use crate::handler::dead_letter::DeadLetter;
use crate::handler::lanes::{GivenUp, Lanes};
use crate::handler::repeats::Judged;
use crate::handler::{Change, HandlerError, Outcome};
use crate::source::reader::{ReadError, ShardReader};
use crate::telemetry::health::Watched;

/// How often a position that moved is saved: what a restart delivers again at most, if deliveries are fast.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How often is looked for changes that have become too old.
const LOOK_FOR_OLD: Duration = Duration::from_secs(1);

/// The most of a handler's memory that one shard takes, as a divisor.
const SHARE: usize = 4;

/// The pause after the first failed attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The answer of a call, and how it was made.
struct Answered {
    call: u64,
    changes: usize,
    answer: Result<Outcome, HandlerError>,
    timed_out: bool,
    took: Duration,
}

struct Deliver {
    task: Arc<ShardTask>,
    sink: Arc<HandlerSink>,
    intake: Intake,
    lanes: Lanes,
    calls: JoinSet<Answered>,
    held: Reservation,
    watched: Watched,
    saved: Option<Checkpoint>,
    /// When the position was saved last.
    saved_at: Instant,
    looked_at: Instant,
}

/// Why the shard's records ended.
enum End {
    Shard,
    Tip,
}

pub(super) async fn run(task: ShardTask, sink: Arc<HandlerSink>) -> Result<Ended, EngineError> {
    let task = Arc::new(task);
    let ended = match Deliver::new(task.clone(), sink).follow().await {
        Err(EngineError::State(StateError::Overtaken(_))) => {
            let stored = load_patiently(&*task.shared.state, &task.shared.clock, &task.api.identity().id).await?;
            let own = task.key();
            let stored = stored.into_iter().find(|(key, _)| *key == own).map(|(_, checkpoint)| checkpoint);
            return Ok(Ended::Overtaken(stored));
        }
        other => other?,
    };
    Ok(ended)
}

impl Deliver {
    fn new(task: Arc<ShardTask>, sink: Arc<HandlerSink>) -> Self {
        let (shared, clock) = (&task.shared, &task.shared.clock);
        let now = clock.now();
        let watched = shared.health.watch(&format!("{} in {}", task.sink.key(), task.shard), now);
        let feed = shared.feeds.of(&task.api.identity().id, &task.shard);
        let position = match &task.checkpoint {
            Some(Checkpoint::At { position, .. }) => Some(*position),
            _ => None,
        };
        let start = task.start();
        Self {
            intake: Intake::new(task.clone(), feed, sink.budget.clone(), watched.clone(), start, position),
            lanes: Lanes::new(sink.parts.rules.clone()),
            calls: JoinSet::new(),
            held: sink.budget.holder(),
            watched,
            saved: task.checkpoint.clone(),
            saved_at: now,
            looked_at: now,
            task,
            sink,
        }
    }

    /// The central loop of a handler.
    async fn follow(mut self) -> Result<Ended, EngineError> {
        if let Some(what) = self.task.trimmed_beginning(self.intake.position().is_none()) {
            self.gap("trimmed", &what)?;
        }
        let stop = self.task.stop.clone();
        let mut end: Option<End> = None;
        loop {
            if let Some(end) = end.as_ref().filter(|_| self.lanes.is_empty()) {
                return self.ended(end).await;
            }
            self.call(end.is_some());
            let wake = self.wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.drain().await,
                Some(answered) = self.calls.join_next() => self.settle(answered).await?,
                taken = self.intake.next(), if end.is_none() && self.has_room() => {
                    end = self.take(taken)?;
                }
                () = self.sink.circuit_closes(), if self.sink.closed_until().is_some() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            self.look_for_old().await?;
            self.save_if_due().await?;
        }
    }

    /// Makes the calls that may be made now. At the end no batch waits to become full.
    fn call(&mut self, flush: bool) {
        loop {
            let time = self.time();
            if self.lanes.due().is_none_or(|due| due > time && !flush) || !self.sink.allows_call(time) {
                return;
            }
            let Some((call, delivery)) = self.lanes.next(time, flush) else { return };
            self.sink.begins_call(time);
            let (sink, clock) = (self.sink.clone(), self.task.shared.clock.clone());
            self.calls.spawn(async move {
                let began = clock.now();
                let answer = tokio::time::timeout(sink.parts.timeout, sink.parts.handler.handle(&delivery)).await;
                let timed_out = answer.is_err();
                let too_long = || HandlerError::Failed(format!("no answer within {:?}", sink.parts.timeout));
                let took = clock.now().saturating_duration_since(began);
                let answer = answer.unwrap_or_else(|_| Err(too_long()));
                Answered { call, changes: delivery.changes.len(), answer, timed_out, took }
            });
        }
    }

    /// What comes in: the changes that are wanted go to the lanes, positions of the others are passed over.
    fn take(&mut self, taken: Taken) -> Result<Option<End>, EngineError> {
        let (records, reservation) = match taken {
            Taken::Records(records, reservation) => (records, reservation),
            Taken::Stopped(stopped, reader) => return self.stopped(stopped, *reader),
        };
        for record in records {
            let position = record.position;
            match self.wanted(record) {
                Some(change) => self.push(change),
                None => self.lanes.skip(position),
            }
        }
        self.held.set(self.lanes.bytes());
        drop(reservation);
        Ok(None)
    }

    /// The change that a record is, if the handler wants it. What is no change is in the lake's dead letters.
    fn wanted(&self, record: Record) -> Option<Change> {
        let identity = self.task.api.identity();
        let known = record.table.clone().or_else(|| identity.table.clone());
        let table = match known {
            Some(table) => table,
            None => envelope::read(&record.payload, record.channel).ok()?.table?.as_ref().into(),
        };
        if !self.sink.wants(&record, &table, self.stream_arn()) {
            return None;
        }
        let change = Change::read(record, table, self.task.stream_id.clone(), self.task.shard.clone()).ok()?;
        let reason = match self.sink.judge(&change, self.time()) {
            Judged::New => return Some(change),
            Judged::Repeat => "repeat",
            Judged::Stale => "stale",
        };
        self.task.shared.metrics.dropped_changes.with([&self.sink.parts.name, reason]).inc();
        None
    }

    /// What Lambda would add to an event as `eventSourceARN`. A DynamoDB stream's identity is its ARN; a Kinesis stream's has
    /// its creation besides, so that there it is what it is a stream of.
    fn stream_arn(&self) -> Option<&str> {
        let identity = self.task.api.identity();
        let arn = if identity.id.contains(":dynamodb:") { Some(&identity.id) } else { identity.origin.as_ref() };
        arn.map(String::as_str).filter(|arn| arn.starts_with("arn:"))
    }

    fn push(&mut self, change: Change) {
        // Recorded changes are old by nature: they age from when they are read.
        let made = change.changed_at.filter(|_| !self.task.api.pace().finite);
        let age = made.map_or(0, |at| self.task.shared.clock.wall_micros().saturating_sub(at));
        let left = self.sink.parts.maximum_record_age.saturating_sub(Duration::from_micros(age.max(0).unsigned_abs()));
        let now = self.time();
        self.lanes.push(change, now, now + left);
    }

    fn stopped(&mut self, stopped: Stopped, reader: ShardReader) -> Result<Option<End>, EngineError> {
        match stopped {
            Stopped::End => Ok(Some(End::Shard)),
            Stopped::Tip => Ok(Some(End::Tip)),
            // Nobody asks it to.
            Stopped::Asked => Ok(None),
            Stopped::Failed(ReadError::Fatal(what)) => Err(EngineError::Source(what)),
            Stopped::Failed(ReadError::Gap(what)) => {
                self.gap("trimmed", &what)?;
                self.intake.skip_gap(reader);
                Ok(None)
            }
            Stopped::Failed(ReadError::NotFound(what)) => {
                if self.intake.position().is_some() || self.task.follows || self.task.lost {
                    self.gap("gone", &format!("shard {} is gone: {what}", self.task.shard))?;
                }
                Ok(Some(End::Shard))
            }
        }
    }

    async fn settle(&mut self, answered: Result<Answered, tokio::task::JoinError>) -> Result<(), EngineError> {
        let answered = match answered {
            Ok(answered) => answered,
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            // Only a runtime that shuts down cancels a call.
            Err(_) => return Ok(()),
        };
        let (sink, clock, time) = (self.sink.clone(), self.task.shared.clock.clone(), self.time());
        sink.observe(answered.answer.as_ref().err(), answered.timed_out, time);
        self.count(&answered);
        let pause = |attempts: u32| {
            let full = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
            clock.jittered(full)
        };
        let given_up = self.lanes.settle(answered.call, answered.answer, time, pause);
        self.bury(given_up).await?;
        self.held.set(self.lanes.bytes());
        self.watched.progress(clock.now(), !self.lanes.is_empty());
        Ok(())
    }

    async fn look_for_old(&mut self) -> Result<(), EngineError> {
        let now = self.task.shared.clock.now();
        if self.lanes.is_empty() || now < self.looked_at + LOOK_FOR_OLD {
            return Ok(());
        }
        self.looked_at = now;
        let old = self.lanes.expire(self.time());
        self.bury(old).await?;
        self.held.set(self.lanes.bytes());
        Ok(())
    }

    /// Writes down what was given up, and only then passes over it.
    async fn bury(&mut self, given_up: Vec<GivenUp>) -> Result<(), EngineError> {
        let name = self.sink.parts.name.clone();
        for dead in given_up {
            let letter = DeadLetter::new(&name, &dead.change, dead.attempts, &dead.why, &self.task.shared.clock);
            self.sink
                .parts
                .dead_letters
                .bury(&letter)
                .await
                .map_err(|why| EngineError::Handler(name.to_string(), why))?;
            self.lanes.buried(dead.entry);
            self.task.shared.metrics.dead_letters.with([&name]).inc();
            let (shard, position) = (&self.task.shard, dead.change.record.position);
            tracing::warn!(handler = &*name, %shard, %position, why = dead.why, "given up with a change; it is in the dead letters");
        }
        Ok(())
    }

    fn count(&self, answered: &Answered) {
        let (metrics, name) = (&self.task.shared.metrics, &*self.sink.parts.name);
        let failed = match &answered.answer {
            Ok(Outcome::Done) => 0,
            Ok(Outcome::Failed(failures)) => failures.len().min(answered.changes),
            Err(_) => answered.changes,
        };
        metrics.delivered.with([name]).inc_by((answered.changes - failed) as u64);
        metrics.delivery_failures.with([name]).inc_by(failed as u64);
        metrics.delivery.with([name]).observe(answered.took.as_secs_f64());
    }

    /// Whether more records may come in. A page that was read alone has its room already; one of the feed has to find some,
    /// also where the lanes are empty, or many shards would take a page each beyond the budget.
    fn has_room(&self) -> bool {
        let (budget, bytes) = (&self.sink.budget, self.lanes.bytes());
        let free = budget.used() < budget.limit();
        if bytes == 0 { free || self.intake.reads_alone() } else { free && bytes < budget.limit() / SHARE }
    }

    /// When there is something to do at the latest.
    fn wake(&self) -> Instant {
        let now = self.task.shared.clock.now();
        let (time, tick) = (self.time(), now + LOOK_FOR_OLD);
        // What is due already was tried: an open circuit stands in its way.
        let due = self.lanes.due().filter(|due| *due > time).map(|due| self.sink.instant(due));
        let probe = self.sink.closed_until().filter(|until| *until > time).map(|until| self.sink.instant(until));
        due.into_iter().chain(probe).fold(tick, Instant::min)
    }

    async fn save_if_due(&mut self) -> Result<(), EngineError> {
        if self.task.shared.clock.now() < self.saved_at + SAVE_EVERY {
            return Ok(());
        }
        let (metrics, name) = (&self.task.shared.metrics, &*self.sink.parts.name);
        let waits = self.lanes.waits_since().map_or(Duration::ZERO, |since| self.time().saturating_sub(since));
        metrics.delivery_lag.with([name]).set(self.sink.lag(&self.task.shard, waits).as_secs_f64());
        metrics.undelivered.with([name]).set(self.sink.budget.used() as f64);
        self.save_frontier().await
    }

    async fn save_frontier(&mut self) -> Result<(), EngineError> {
        self.saved_at = self.task.shared.clock.now();
        match self.lanes.frontier().map(|position| Checkpoint::At { position, range: None }) {
            Some(checkpoint) if self.saved.as_ref() != Some(&checkpoint) => self.save(checkpoint).await,
            _ => Ok(()),
        }
    }

    async fn save(&mut self, checkpoint: Checkpoint) -> Result<(), EngineError> {
        let shared = &self.task.shared;
        save_patiently(&*shared.state, &shared.clock, &self.task.key(), &checkpoint).await?;
        self.saved = Some(checkpoint);
        Ok(())
    }

    /// Everything of the shard is resolved.
    async fn ended(mut self, end: &End) -> Result<Ended, EngineError> {
        match end {
            End::Shard => {
                self.save(Checkpoint::ShardEnd).await?;
                self.watched.finished();
                Ok(Ended::Finished)
            }
            End::Tip => {
                self.save_frontier().await?;
                Ok(Ended::Tip(self.saved))
            }
        }
    }

    /// Waits for the answers of the calls under way; what has not been delivered is read again.
    async fn drain(mut self) -> Result<Ended, EngineError> {
        while let Some(answered) = self.calls.join_next().await {
            self.settle(answered).await?;
        }
        self.save_frontier().await?;
        Ok(Ended::Stopped)
    }

    /// Changes are lost to this handler. The lake may have them.
    fn gap(&mut self, reason: &str, what: &str) -> Result<(), EngineError> {
        let shared = &self.task.shared;
        let handler = &*self.sink.parts.name;
        shared.metrics.gaps.with([&self.task.stream_label(), reason]).inc();
        tracing::error!(handler, shard = %self.task.shard, reason, what, "changes are lost to a handler");
        match shared.settings.on_gap {
            OnGap::Fail => Err(EngineError::Gap(format!("handler {handler}: {what}"))),
            OnGap::Resume => Ok(()),
        }
    }

    fn time(&self) -> Duration {
        self.sink.time(self.task.shared.clock.now())
    }
}

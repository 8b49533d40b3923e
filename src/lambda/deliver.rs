//! One batch for one handler, within one invocation: the daemon's lanes, with everything resolved or reported at the end.
//!
//! No position is stored: the answer to the mapping is the position. So what is not resolved in time comes again, and with it
//! what was handled behind it: at least once, and in the order of each item.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::event::Batch;
use crate::change::{Position, Record, ShardId};
use crate::clock::Clock;
use crate::decode::envelope;
use crate::engine::handler::HandlerParts;
use crate::handler::dead_letter::DeadLetter;
use crate::handler::lanes::{GivenUp, Lanes};
use crate::handler::{Change, HandlerError, Outcome};

/// The pause after the first failed attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The shortest rest between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Whose changes they are.
pub(super) struct Origin<'a> {
    /// The stream's id.
    pub(super) stream: &'a str,
    /// The stream's ARN, for filters.
    pub(super) arn: &'a str,
    /// The shard.
    pub(super) shard: &'a ShardId,
}

/// How far a handler has come.
pub(super) struct Delivered {
    /// The last position of which, and before which, all is resolved; `None` with `all` unset: nothing is.
    pub(super) frontier: Option<Position>,
    /// Whether everything is resolved.
    pub(super) all: bool,
    /// Why not.
    pub(super) why: Option<String>,
}

struct Answered {
    call: u64,
    answer: Result<Outcome, HandlerError>,
    took: Duration,
}

struct Delivery<'a> {
    parts: &'a HandlerParts,
    clock: &'a Clock,
    lanes: Lanes,
    calls: JoinSet<Answered>,
    began: Instant,
    /// How long a call took at most: no call is begun that would not be over in time.
    longest: Duration,
    why: Option<String>,
}

/// Delivers a batch until everything is resolved, or until the time is over.
pub(super) async fn deliver(
    parts: &HandlerParts,
    batch: &Batch,
    origin: &Origin<'_>,
    until: Instant,
    clock: &Clock,
) -> Delivered {
    let mut rules = parts.rules.clone();
    rules.limits = parts.handler.limits();
    let (lanes, calls, began) = (Lanes::new(rules), JoinSet::new(), clock.now());
    let mut delivery = Delivery { parts, clock, lanes, calls, began, longest: Duration::ZERO, why: None };
    for record in batch.items.iter().flat_map(|item| &item.records) {
        delivery.take(record, origin);
    }
    // A dead letter may take as long as its store does: what is not down by then is not resolved.
    match tokio::time::timeout_at(until, delivery.follow(until)).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => delivery.why = Some(why),
        Err(_) => delivery.why = Some(format!("handler {}: the time of the invocation was over", parts.name)),
    }
    Delivered { frontier: delivery.lanes.frontier(), all: delivery.lanes.is_empty(), why: delivery.why }
}

impl Delivery<'_> {
    /// Changes that are wanted go to the lanes. What is no change is in the lake's dead letters.
    fn take(&mut self, record: &Record, origin: &Origin<'_>) {
        match self.wanted(record, origin) {
            Some(change) => {
                let age = change.changed_at.map_or(0, |at| self.clock.wall_micros().saturating_sub(at));
                let age = Duration::from_micros(age.max(0).unsigned_abs());
                let left = self.parts.maximum_record_age.saturating_sub(age);
                self.lanes.push(change, Duration::ZERO, left);
            }
            None => self.lanes.skip(record.position),
        }
    }

    fn wanted(&self, record: &Record, origin: &Origin<'_>) -> Option<Change> {
        let table = match &record.table {
            Some(table) => table.clone(),
            None => envelope::read(&record.payload, record.channel).ok()?.table?.as_ref().into(),
        };
        let parts = self.parts;
        let wants = parts.tables.as_ref().is_none_or(|tables| tables.contains(&table))
            && parts.filter.as_ref().is_none_or(|filter| filter(record, Some(origin.arn)));
        if !wants {
            return None;
        }
        Change::read(record.clone(), table, origin.stream.into(), origin.shard.clone()).ok()
    }

    async fn follow(&mut self, until: Instant) -> Result<(), String> {
        loop {
            let old = self.lanes.expire(self.time());
            self.bury(old).await?;
            let now = self.clock.now();
            if self.lanes.is_empty() || now >= until {
                return Ok(());
            }
            let in_time = now + self.longest < until;
            if in_time {
                self.call();
            } else if self.calls.is_empty() {
                return Ok(());
            }
            let due = self.lanes.due().filter(|_| in_time).map_or(until, |due| self.began + due);
            let wake = due.max(now + LOOK).min(until);
            tokio::select! {
                biased;
                Some(answered) = self.calls.join_next() => self.settle(answered).await?,
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Makes the calls that may be made now. A batch never waits to become full: nothing more is coming.
    fn call(&mut self) {
        while let Some((call, delivery)) = self.lanes.next(self.time(), true) {
            let (handler, timeout, clock) = (self.parts.handler.clone(), self.parts.timeout, self.clock.clone());
            self.calls.spawn(async move {
                let began = clock.now();
                let answer = tokio::time::timeout(timeout, handler.handle(&delivery)).await;
                let answer =
                    answer.unwrap_or_else(|_| Err(HandlerError::Failed(format!("no answer within {timeout:?}"))));
                Answered { call, answer, took: clock.now().saturating_duration_since(began) }
            });
        }
    }

    async fn settle(&mut self, answered: Result<Answered, tokio::task::JoinError>) -> Result<(), String> {
        // A handler that panics has not handled anything, and nobody knows what it did.
        let answered = answered.map_err(|join| format!("handler {}: {join}", self.parts.name))?;
        self.longest = self.longest.max(answered.took);
        match &answered.answer {
            Err(error) => self.why = Some(format!("handler {}: {error}", self.parts.name)),
            Ok(Outcome::Failed(failures)) => {
                let first = failures.first().map(|failure| format!("handler {}: {}", self.parts.name, failure.why));
                self.why = first.or(self.why.take());
            }
            Ok(Outcome::Done) => {}
        }
        let clock = self.clock.clone();
        let pause = |attempts: u32| {
            clock.jittered(FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST_PAUSE))
        };
        let given_up = self.lanes.settle(answered.call, answered.answer, self.time(), pause);
        self.bury(given_up).await
    }

    /// Writes down what was given up, and only then passes over it.
    async fn bury(&mut self, given_up: Vec<GivenUp>) -> Result<(), String> {
        let name = &*self.parts.name;
        for dead in given_up {
            let letter = DeadLetter::new(name, &dead.change, dead.attempts, &dead.why, self.clock);
            self.parts.dead_letters.bury(&letter).await.map_err(|why| format!("handler {name}: {why}"))?;
            self.lanes.buried(dead.entry);
            let (shard, position) = (&dead.change.shard, dead.change.record.position);
            tracing::warn!(handler = name, %shard, %position, why = dead.why, "given up with a change; it is in the dead letters");
        }
        Ok(())
    }

    fn time(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.began)
    }
}

//! A handler that fails in every way a target can, writes down what it has handled, and the judge of that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use serde_json::Value;

use super::stream::{Shard, Written};
use super::tally;
use crate::BoxFuture;
use crate::clock::Clock;
use crate::handler::dead_letter::DeadLetter;
use crate::handler::{Change, Delivery, Failure, Handler, HandlerError, Outcome, Verdict};

/// What a handler has handled, in the order of time. Clones are the same journal.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<Handled>>>);

/// A change that was handled: whose, and its `eventID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// The item's keys as they stand in the change.
    pub item: String,
    /// The change's `eventID`.
    pub event: String,
}

impl Journal {
    fn add(&self, change: &Change) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(handled(&change.record.payload));
    }

    /// What was handled so far.
    pub fn entries(&self) -> Vec<Handled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn handled(payload: &[u8]) -> Handled {
    let change: Value = serde_json::from_slice(payload).unwrap_or_default();
    let event = change["eventID"].as_str().unwrap_or_default().to_owned();
    Handled { item: format!("{} {}", change["tableName"], change["dynamodb"]["Keys"]), event }
}

/// How likely each fault is, per call, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HandlerFaults {
    /// The target can't be reached.
    pub unavailable: f64,
    /// The call fails as a whole, perhaps after it has handled some.
    pub failed: f64,
    /// Some changes of the call fail.
    pub partly: f64,
    /// The call never answers.
    pub hangs: f64,
    /// The longest a call takes.
    pub longest: Duration,
}

impl HandlerFaults {
    /// A target that is well.
    pub const NONE: Self =
        Self { unavailable: 0.0, failed: 0.0, partly: 0.0, hangs: 0.0, longest: Duration::from_millis(50) };

    /// A target on a bad day.
    pub const MANY: Self =
        Self { unavailable: 0.05, failed: 0.05, partly: 0.1, hangs: 0.01, longest: Duration::from_millis(500) };
}

/// A target in the simulated world.
pub struct SimulatedHandler {
    journal: Journal,
    clock: Clock,
    random: Mutex<StdRng>,
    faults: HandlerFaults,
    /// Changes whose bytes contain this always fail.
    poison: Option<String>,
}

impl SimulatedHandler {
    /// Writes into `journal`.
    pub fn new(journal: Journal, clock: Clock, seed: u64, faults: HandlerFaults, poison: Option<String>) -> Self {
        Self { journal, clock, random: Mutex::new(StdRng::seed_from_u64(seed)), faults, poison }
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn chance(&self, probability: f64) -> bool {
        probability > 0.0 && tally::fault(self.draw(|random| random.random_bool(probability)))
    }

    fn is_poison(&self, change: &Change) -> bool {
        let bytes = String::from_utf8_lossy(&change.record.payload);
        self.poison.as_ref().is_some_and(|poison| bytes.contains(poison))
    }

    async fn call(&self, delivery: &Delivery) -> Result<Outcome, HandlerError> {
        let longest = self.faults.longest.as_millis() as u64;
        self.clock.sleep(Duration::from_millis(self.draw(|random| random.random_range(1..=longest)))).await;
        if self.chance(self.faults.hangs) {
            self.clock.sleep(Duration::from_secs(24 * 3600)).await;
        }
        if self.chance(self.faults.unavailable) {
            return Err(HandlerError::Unavailable { why: "simulated".to_owned(), after: None });
        }
        let partly = self.chance(self.faults.partly);
        let breaks_at =
            self.chance(self.faults.failed).then(|| self.draw(|r| r.random_range(0..delivery.changes.len())));
        let mut failures: Vec<Failure> = Vec::new();
        let mut failed = BTreeSet::new();
        for (index, change) in delivery.changes.iter().enumerate() {
            if breaks_at == Some(index) || (self.is_poison(change) && !partly) {
                return Err(HandlerError::Failed("simulated".to_owned()));
            }
            let verdict = match () {
                () if failed.contains(&change.item) => Verdict::Unhandled,
                () if self.is_poison(change) || (partly && self.chance(0.3)) => Verdict::Retry,
                () => {
                    self.journal.add(change);
                    continue;
                }
            };
            failed.insert(change.item);
            failures.push(Failure { index, why: "simulated".to_owned(), verdict });
        }
        Ok(if failures.is_empty() { Outcome::Done } else { Outcome::Failed(failures) })
    }
}

impl Handler for SimulatedHandler {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(self.call(delivery))
    }
}

/// What a handler got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Changes that were handled at least once.
    pub handled: u64,
    /// Times that a change was handled again.
    pub repeats: u64,
    /// Changes in the dead letters.
    pub given_up: u64,
    /// Changes that were trimmed before anybody read them.
    pub trimmed: u64,
}

/// Every change that was not trimmed was handled, or is in the dead letters with its bytes; of each item, none was handled before all earlier
/// ones were handled or given up.
pub fn judge(
    journal: &[Handled],
    objects: &BTreeMap<String, Bytes>,
    folder: &str,
    shards: &[Shard],
) -> Result<Deliveries, String> {
    let mut dead = BTreeMap::new();
    for (path, bytes) in objects.iter().filter(|(path, _)| path.starts_with(folder)) {
        let letter = DeadLetter::parse(bytes).map_err(|why| format!("{path}: {why}"))?;
        let change = letter.change().map_err(|why| format!("{path}: {why}"))?;
        dead.insert(handled(&change.record.payload).event, change.record.payload);
    }
    let mut written: Vec<(&Written, bool)> = Vec::new();
    for shard in shards {
        written.extend(shard.records.iter().enumerate().map(|(at, record)| (record, at < shard.trimmed)));
    }
    written.sort_by_key(|(record, _)| record.position);
    let mut items: HashMap<String, Vec<String>> = HashMap::new();
    let mut report = Deliveries::default();
    let first: HashMap<&str, usize> =
        journal.iter().enumerate().rev().map(|(at, handled)| (handled.event.as_str(), at)).collect();
    for (Written { payload, .. }, trimmed) in written {
        if payload.first() != Some(&b'{') {
            continue;
        }
        let Handled { item, event } = handled(payload);
        match (first.get(event.as_str()), dead.get(&event)) {
            (None, None) if trimmed => report.trimmed += 1,
            (None, None) => return Err(format!("change {event} of {item} was never handled")),
            (None, Some(bytes)) if bytes != payload => {
                return Err(format!("the dead letter of {event} is other bytes"));
            }
            (None, Some(_)) => report.given_up += 1,
            (Some(_), _) => report.handled += 1,
        }
        items.entry(item).or_default().push(event);
    }
    for (item, events) in &items {
        // When a change was given up nothing tells; what comes again afterwards may be handled at any time.
        let live = events.iter().filter(|event| !dead.contains_key(*event));
        let order: Vec<usize> = live.filter_map(|event| first.get(event.as_str()).copied()).collect();
        if !order.is_sorted() {
            return Err(format!("changes of {item} were handled out of order: {events:?} at {order:?}"));
        }
    }
    report.repeats = journal.len() as u64 - first.len() as u64;
    Ok(report)
}

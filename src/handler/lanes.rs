//! Which changes of a shard does a handler get next, and what follows from its answers? A state machine without I/O.
//!
//! Changes are entries, numbered as they come. An item is *busy* while a change of it is on its way, waits for another
//! attempt, or for its dead letter; its later changes wait behind it, and those of all other items go on. So one change
//! that always fails holds up nothing but its own item, and that only until it is given up. The position moves over
//! entries that are resolved without a gap.
//!
//! The words are Lambda's: batch size and window, bisecting, attempts, record age, parallelization factor.

mod batch;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::{Change, Delivery, HandlerError, ItemId, Limits, Outcome, Verdict};
use crate::bug::{self, Bug};
use crate::change::Position;
use batch::Unit;

/// What an entry takes in memory besides its record.
const ENTRY: usize = 512;

/// How changes are put together and how often they are tried.
#[derive(Debug, Clone)]
pub struct LaneRules {
    /// Calls at a time (`parallelization_factor`).
    pub lanes: usize,
    /// The most changes of a call (`batch_size`).
    pub batch_size: usize,
    /// How long a batch may wait to become full (`batch_window`).
    pub batch_window: Duration,
    /// The most calls with one change, at least 1 (`maximum_retry_attempts` + 1).
    pub attempts: u32,
    /// Whether a batch that failed as a whole is halved (`bisect_batch_on_error`).
    pub bisect: bool,
    /// What the target takes.
    pub limits: Limits,
}

/// A change that no further attempt is made with. It is held until [`Lanes::buried`] is called.
#[derive(Debug, Clone)]
pub struct GivenUp {
    /// Its number, for [`Lanes::buried`].
    pub entry: u64,
    /// The change.
    pub change: Change,
    /// How often the handler was called with it.
    pub attempts: u32,
    /// Why, for people.
    pub why: String,
}

/// The changes of one shard on their way to one handler. Times are durations since any fixed moment.
pub struct Lanes {
    rules: LaneRules,
    entries: VecDeque<Entry>,
    /// The number of the first of `entries`.
    first: u64,
    /// Entries that nothing stands in the way of, as far as is known.
    ready: BTreeSet<u64>,
    busy: HashMap<ItemId, Busy>,
    /// Units that wait for their next attempt.
    parked: Vec<Unit>,
    in_flight: HashMap<u64, Unit>,
    calls: u64,
    /// The last position of which all is resolved.
    frontier: Option<Position>,
    bytes: usize,
}

struct Entry {
    position: Position,
    /// `None` once it is resolved.
    change: Option<Change>,
    /// When it came.
    arrived: Duration,
    /// When it is too old for another attempt.
    expires: Duration,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready,
    /// Behind a busy item.
    Waiting,
    Parked,
    InFlight,
    /// Given up, its dead letter not yet durable.
    Burying,
    Resolved,
}

/// An item of which something is under way.
#[derive(Default)]
struct Busy {
    /// How many entries of it are in units or being buried.
    holds: usize,
    waiting: BTreeSet<u64>,
}

impl Lanes {
    /// Nothing on its way yet.
    pub fn new(rules: LaneRules) -> Self {
        Self {
            rules,
            entries: VecDeque::new(),
            first: 0,
            ready: BTreeSet::new(),
            busy: HashMap::new(),
            parked: Vec::new(),
            in_flight: HashMap::new(),
            calls: 0,
            frontier: None,
            bytes: 0,
        }
    }

    /// Takes a change behind all others. From `expires` on no attempt is begun with it.
    pub fn push(&mut self, change: Change, now: Duration, expires: Duration) {
        self.bytes += cost(&change);
        self.ready.insert(self.first + self.entries.len() as u64);
        let position = change.record.position;
        self.entries.push_back(Entry { position, change: Some(change), arrived: now, expires, place: Place::Ready });
    }

    /// Takes a position of which the handler wants nothing.
    pub fn skip(&mut self, position: Position) {
        match self.entries.back_mut() {
            None => self.frontier = Some(position),
            Some(last) if last.place == Place::Resolved => last.position = position,
            Some(_) => {
                let (arrived, expires) = (Duration::ZERO, Duration::MAX);
                self.entries.push_back(Entry { position, change: None, arrived, expires, place: Place::Resolved });
            }
        }
    }

    /// The last position of which, and before which, everything is resolved: what a restart may go on behind.
    pub fn frontier(&self) -> Option<Position> {
        self.frontier
    }

    /// What its changes take in memory, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest change came that is not resolved.
    pub fn waits_since(&self) -> Option<Duration> {
        self.entries.front().map(|first| first.arrived)
    }

    /// Whether everything is resolved.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When [`Self::next`] will have something that it has not now, if nothing else happens.
    pub fn due(&self) -> Option<Duration> {
        if self.in_flight.len() >= self.rules.lanes {
            return None;
        }
        let window = self.ready.first().map(|&first| self.entry(first).arrived + self.rules.batch_window);
        self.parked.iter().map(|unit| unit.due).chain(window).min()
    }

    /// The next call, if one is due and a lane is free. With `flush` no batch waits to become full.
    pub fn next(&mut self, now: Duration, flush: bool) -> Option<(u64, Delivery)> {
        if self.in_flight.len() >= self.rules.lanes {
            return None;
        }
        let unit = self.unparked(now).or_else(|| self.fresh(now, flush))?;
        let changes = unit.entries.iter().filter_map(|&at| self.entry(at).change.clone()).collect();
        let delivery = Delivery { changes, attempt: unit.attempts + 1 };
        self.place(&unit.entries, Place::InFlight);
        self.calls += 1;
        self.in_flight.insert(self.calls, unit);
        Some((self.calls, delivery))
    }

    /// What follows from the answer of a call. `pause` says how long to wait after so many attempts.
    pub fn settle(
        &mut self,
        call: u64,
        answer: Result<Outcome, HandlerError>,
        now: Duration,
        mut pause: impl FnMut(u32) -> Duration,
    ) -> Vec<GivenUp> {
        let Some(mut unit) = self.in_flight.remove(&call) else { return Vec::new() };
        match answer {
            Ok(Outcome::Done) => {
                unit.entries.iter().for_each(|&entry| self.resolve(entry));
                Vec::new()
            }
            Ok(Outcome::Failed(failures)) => self.partly_failed(&unit, &failures, now, pause),
            Err(HandlerError::Unavailable { after, .. }) => {
                unit.due = now + after.unwrap_or_else(|| pause(unit.attempts + 1));
                self.park(unit);
                Vec::new()
            }
            Err(HandlerError::Failed(why)) => self.failed(unit, &why, true, now, pause),
            Err(HandlerError::Refused(why)) => self.failed(unit, &why, false, now, pause),
        }
    }

    /// Gives up what is too old and not under way.
    pub fn expire(&mut self, now: Duration) -> Vec<GivenUp> {
        let open = |entry: &Entry| matches!(entry.place, Place::Ready | Place::Waiting | Place::Parked);
        let old = self.entries.iter().enumerate().filter(|(_, entry)| open(entry) && entry.expires <= now);
        let old: Vec<u64> = old.map(|(at, _)| self.first + at as u64).collect();
        old.into_iter().filter_map(|at| self.give_up_waiting(at)).collect()
    }

    /// The dead letter of an entry is durable.
    pub fn buried(&mut self, entry: u64) {
        self.resolve(entry);
    }

    fn give_up_waiting(&mut self, at: u64) -> Option<GivenUp> {
        let item = self.item(at)?;
        let mut attempts = 0;
        match self.entry(at).place {
            Place::Ready => {
                self.ready.remove(&at);
                self.busy.entry(item).or_default().holds += 1;
            }
            Place::Waiting => {
                let busy = self.busy.entry(item).or_default();
                busy.waiting.remove(&at);
                busy.holds += 1;
            }
            _ => {
                for unit in self.parked.iter_mut().filter(|unit| unit.entries.contains(&at)) {
                    unit.entries.retain(|&entry| entry != at);
                    attempts = unit.attempts;
                }
                self.parked.retain(|unit| !unit.entries.is_empty());
            }
        }
        self.give_up(at, attempts, "it was older than maximum_record_age before it was handled")
    }

    fn give_up(&mut self, at: u64, attempts: u32, why: &str) -> Option<GivenUp> {
        self.place(&[at], Place::Burying);
        let change = self.entry(at).change.clone()?;
        Some(GivenUp { entry: at, change, attempts, why: why.to_owned() })
    }

    /// The changes of one call, some of which failed.
    fn partly_failed(
        &mut self,
        unit: &Unit,
        failures: &[super::Failure],
        now: Duration,
        mut pause: impl FnMut(u32) -> Duration,
    ) -> Vec<GivenUp> {
        // Somebody has to be it, or the same call would come again and again.
        let nobody = failures.iter().all(|failure| failure.verdict == Verdict::Unhandled);
        let mut failed: BTreeSet<ItemId> = BTreeSet::new();
        let mut given_up = Vec::new();
        for (index, &at) in unit.entries.iter().enumerate() {
            let Some(item) = self.item(at) else { continue };
            let failure = failures.iter().position(|failure| failure.index == index);
            if failed.contains(&item) && bug::is_made(Bug::LostBehindFailure) {
                self.resolve(at);
                continue;
            }
            if failed.contains(&item) {
                // Behind a change of the same item that failed: it may have been handled, and is handled again.
                self.wait_again(at, item);
                continue;
            }
            let Some(place) = failure else {
                self.resolve(at);
                continue;
            };
            failed.insert(item);
            let (why, attempts) = (&failures[place].why, unit.attempts + 1);
            match failures[place].verdict {
                Verdict::Unhandled if !(nobody && place == 0) => self.wait_again(at, item),
                Verdict::Refused => given_up.extend(self.give_up(at, attempts, why)),
                _ if attempts >= self.rules.attempts => given_up.extend(self.give_up(at, attempts, why)),
                _ => self.park(Unit { entries: vec![at], attempts, due: now + pause(attempts), alone: false }),
            }
        }
        given_up
    }

    /// A call that failed as a whole: halved, tried again, or given up.
    fn failed(
        &mut self,
        mut unit: Unit,
        why: &str,
        retry: bool,
        now: Duration,
        mut pause: impl FnMut(u32) -> Duration,
    ) -> Vec<GivenUp> {
        unit.alone = true;
        if unit.entries.len() > 1 && self.rules.bisect {
            self.bisect(unit, now);
            return Vec::new();
        }
        unit.attempts += 1;
        if retry && unit.attempts < self.rules.attempts {
            unit.due = now + pause(unit.attempts);
            self.park(unit);
            return Vec::new();
        }
        unit.entries.iter().filter_map(|&at| self.give_up(at, unit.attempts, why)).collect()
    }

    fn park(&mut self, unit: Unit) {
        self.place(&unit.entries, Place::Parked);
        self.parked.push(unit);
    }

    /// Lets an entry of a unit wait behind its item, as one of which nothing is known.
    fn wait_again(&mut self, at: u64, item: ItemId) {
        self.place(&[at], Place::Waiting);
        self.busy.entry(item).or_default().waiting.insert(at);
        self.release(item);
    }

    fn resolve(&mut self, at: u64) {
        let Some(item) = self.item(at) else { return };
        let entry = &mut self.entries[(at - self.first) as usize];
        self.bytes -= entry.change.take().as_ref().map_or(0, cost);
        entry.place = Place::Resolved;
        if bug::is_made(Bug::HighestAck) {
            self.frontier = Some(entry.position).max(self.frontier);
        }
        self.release(item);
        while self.entries.front().is_some_and(|first| first.place == Place::Resolved) {
            self.frontier = self.entries.pop_front().map(|first| first.position);
            self.first += 1;
        }
    }

    /// One entry of `item` less is under way. After the last, those that waited are ready.
    fn release(&mut self, item: ItemId) {
        let Some(busy) = self.busy.get_mut(&item) else { return };
        busy.holds -= 1;
        if busy.holds == 0 {
            let waiting: Vec<u64> = self.busy.remove(&item).into_iter().flat_map(|busy| busy.waiting).collect();
            self.place(&waiting, Place::Ready);
            self.ready.extend(waiting);
        }
    }

    fn entry(&self, at: u64) -> &Entry {
        &self.entries[(at - self.first) as usize]
    }

    fn item(&self, at: u64) -> Option<ItemId> {
        self.entry(at).change.as_ref().map(|change| change.item)
    }

    fn place(&mut self, entries: &[u64], place: Place) {
        for &at in entries {
            self.entries[(at - self.first) as usize].place = place;
        }
    }
}

fn cost(change: &Change) -> usize {
    change.record.payload.len() + ENTRY
}

//! Is the pipeline healthy? It is while positions move as long as the source does: a process that is up, but stands
//! still, is not.
//!
//! Every reader of a shard and every discovery of shards is *watched*: it says when the source answered, when there
//! was something to make durable and when something became durable. [`Health::verdict`] judges that by one limit:
//!
//! - something has been there to make durable, and nothing became durable, for longer than the limit: unhealthy;
//! - the source has not answered for longer than the limit: unhealthy (nobody knows whether it moves);
//! - a shard that waits for its parents makes no calls and is not asked for any: its parents are judged.
//!
//! Times are given, never taken: all of this is a pure function of what was told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// The limit where rolls are quick.
const LEAST_LIMIT: Duration = Duration::from_secs(5 * 60);
/// More reasons than this help nobody: a thousand shards of one dead source have one.
const MOST_REASONS: usize = 20;

/// What is known about a pipeline's health. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    limit: Duration,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    /// Whether anything was ever watched: when all shards are finished, that is no fault.
    began: bool,
    watched: BTreeMap<String, Subject>,
}

/// One watched thing.
#[derive(Debug, Clone)]
struct Subject {
    last_answer: Instant,
    /// Since when there is something to make durable without anything having become durable.
    pending_since: Option<Instant>,
    waiting: Option<String>,
}

/// The answer, as `/healthz` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether all is well.
    pub healthy: bool,
    /// How many watched things are at work.
    pub active: usize,
    /// How many wait, for their parents.
    pub waiting: usize,
    /// How long standing still is borne.
    pub limit_seconds: u64,
    /// What is wrong, at most 20 of it.
    pub reasons: Vec<String>,
}

/// The hand of one watched thing, which tells how it does.
#[derive(Clone, Debug)]
pub struct Watched {
    name: Arc<str>,
    shared: Arc<Mutex<Shared>>,
}

impl Health {
    /// Starts at `now`. `roll_age` is the longest time records rest in memory by intention: the limit is three times
    /// that, but at least five minutes.
    pub fn new(now: Instant, roll_age: Duration) -> Self {
        let shared = Shared { started: now, began: false, watched: BTreeMap::new() };
        Self { limit: LEAST_LIMIT.max(roll_age * 3), shared: Arc::new(Mutex::new(shared)) }
    }

    /// Begins to watch something: a shard's reader, a stream's discovery. `name` says to people what it is. If a
    /// thing of that name is watched already, it is taken over as it is: failing and beginning anew, again and again,
    /// is no progress.
    pub fn watch(&self, name: &str, now: Instant) -> Watched {
        let mut shared = locked(&self.shared);
        shared.began = true;
        let fresh = Subject { last_answer: now, pending_since: None, waiting: None };
        shared.watched.entry(name.to_owned()).or_insert(fresh);
        Watched { name: name.into(), shared: Arc::clone(&self.shared) }
    }

    /// Judges what is known at `now`.
    pub fn verdict(&self, now: Instant) -> Verdict {
        let shared = locked(&self.shared);
        let mut reasons: Vec<String> = shared
            .watched
            .iter()
            .filter_map(|(name, subject)| subject.fault(now, self.limit).map(|fault| format!("{name}: {fault}")))
            .collect();
        if !shared.began && over(now, shared.started, self.limit).is_some() {
            reasons.push("nothing is being read yet".to_owned());
        }
        let more = reasons.len().saturating_sub(MOST_REASONS);
        if more > 0 {
            reasons.truncate(MOST_REASONS - 1);
            reasons.push(format!("and {} more", more + 1));
        }
        let waiting = shared.watched.values().filter(|subject| subject.waiting.is_some()).count();
        Verdict {
            healthy: reasons.is_empty(),
            active: shared.watched.len() - waiting,
            waiting,
            limit_seconds: self.limit.as_secs(),
            reasons,
        }
    }
}

impl Verdict {
    /// As JSON, in one line.
    pub fn to_json(&self) -> String {
        // Strings and numbers: there is nothing in it that JSON could not hold.
        serde_json::to_string(self).unwrap_or_else(|_| "{\"healthy\":false}".to_owned())
    }
}

impl Watched {
    /// The source answered a call, whatever it said.
    pub fn answered(&self, at: Instant) {
        self.update(|subject| {
            subject.last_answer = at;
            subject.waiting = None;
        });
    }

    /// The source answered, and there is something to make durable: it delivered records, or says that there are more
    /// than we have.
    pub fn source_moved(&self, at: Instant) {
        self.update(|subject| {
            subject.last_answer = at;
            subject.waiting = None;
            subject.pending_since.get_or_insert(at);
        });
    }

    /// A position became durable, or was found to need nothing (the tip is reached and all is durable). `more`:
    /// whether there still is something delivered that is not durable.
    pub fn progress(&self, at: Instant, more: bool) {
        self.update(|subject| subject.pending_since = more.then_some(at));
    }

    /// It makes no calls for now, and rightly so: `reason` says what it waits for. The next answer ends it.
    pub fn waiting(&self, reason: &str) {
        self.update(|subject| subject.waiting = Some(reason.to_owned()));
    }

    /// It is done for good and no longer watched. A hand that is only dropped leaves its thing under watch.
    pub fn finished(self) {
        locked(&self.shared).watched.remove(&*self.name);
    }

    fn update(&self, change: impl FnOnce(&mut Subject)) {
        if let Some(subject) = locked(&self.shared).watched.get_mut(&*self.name) {
            change(subject);
        }
    }
}

impl Subject {
    fn fault(&self, now: Instant, limit: Duration) -> Option<String> {
        let waiting = self.waiting.as_ref().map(|reason| format!(" (waiting: {reason})")).unwrap_or_default();
        if let Some(still) = self.pending_since.and_then(|since| over(now, since, limit)) {
            return Some(format!("records are there, but none became durable for {still} s{waiting}"));
        }
        if self.waiting.is_some() {
            return None;
        }
        over(now, self.last_answer, limit).map(|silent| format!("the source has not answered for {silent} s"))
    }
}

/// The seconds from `since` to `now`, if they are over the limit.
fn over(now: Instant, since: Instant, limit: Duration) -> Option<u64> {
    let passed = now.saturating_duration_since(since);
    (passed > limit).then_some(passed.as_secs())
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

//! What one reader of a shard reads, the shard's other sinks get too: pages of the lake's reader, kept for the handlers
//! that are near enough.
//!
//! Reading a shard twice costs calls that services hardly allow (DynamoDB Streams: two readers a shard), so that a
//! handler listens here as long as it keeps up. Pages it did not take in time are gone; then it reads by itself, from
//! its own position, until it is near enough again. So a slow handler holds up nobody, and nobody holds it up.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::change::{Position, Record, ShardId};
use crate::source::ReadFrom;
use crate::source::reader::Page;

/// The feeds of all shards. Together they keep at most `limit` bytes of pages.
pub(super) struct Feeds {
    feeds: Mutex<HashMap<(String, ShardId), Weak<Feed>>>,
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Feeds {
    pub(super) fn new(limit: usize) -> Self {
        Self { feeds: Mutex::default(), used: Arc::default(), limit }
    }

    /// The feed of a shard.
    pub(super) fn of(&self, stream: &str, shard: &ShardId) -> Arc<Feed> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (stream.to_owned(), shard.clone());
        if let Some(feed) = feeds.get(&key).and_then(Weak::upgrade) {
            return feed;
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let feed = Arc::new(Feed {
            state: Mutex::default(),
            changed: Notify::new(),
            used: self.used.clone(),
            limit: self.limit,
        });
        feeds.insert(key, Arc::downgrade(&feed));
        feed
    }
}

/// The pages of one shard that some listener has not taken yet.
pub(super) struct Feed {
    state: Mutex<State>,
    changed: Notify,
    used: Arc<AtomicUsize>,
    limit: usize,
}

#[derive(Default)]
struct State {
    pages: VecDeque<FeedPage>,
    /// The number of the first of `pages`.
    first: u64,
    /// The number of the next page of each listener.
    listeners: HashMap<u64, u64>,
    ids: u64,
    /// When the reader last had an answer; `None`: nobody reads.
    contact: Option<Instant>,
    /// Behind which record the reader is.
    at: Option<Place>,
}

/// A place between two records of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing has been read since reading began here.
    Start(ReadFrom),
    /// Right behind this record.
    Behind(Position),
}

impl Place {
    /// Behind the last record, or at the start if there was none.
    pub(super) fn new(start: ReadFrom, last: Option<Position>) -> Self {
        last.map_or(Self::Start(start), Self::Behind)
    }
}

/// A page as it was read.
#[derive(Debug, Clone)]
pub(super) struct FeedPage {
    /// Where it begins.
    pub(super) from: Place,
    /// At least one.
    pub(super) records: Arc<[Record]>,
    bytes: usize,
}

/// What a listener finds.
#[derive(Debug)]
pub(super) enum Heard {
    /// The next page.
    Page(FeedPage),
    /// Nothing new. When the reader last had an answer, and where it is.
    Nothing { contact: Option<Instant>, at: Option<Place> },
    /// Pages were dropped before they were taken.
    Lost,
}

impl Feed {
    /// Shows a page, which begins at `from`, to those who listen.
    pub(super) fn publish(&self, from: Place, page: &Page, now: Instant) {
        let mut state = self.state();
        state.contact = Some(now);
        state.at = Some(page.records.last().map_or(from, |record| Place::Behind(record.position)));
        if !page.records.is_empty() && !state.listeners.is_empty() {
            self.used.fetch_add(page.bytes, Ordering::Relaxed);
            state.pages.push_back(FeedPage { from, records: page.records.as_slice().into(), bytes: page.bytes });
            while self.used.load(Ordering::Relaxed) > self.limit && !state.pages.is_empty() {
                self.drop_first(&mut state);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The reader has stopped.
    pub(super) fn ended(&self) {
        self.state().contact = None;
        self.changed.notify_waiters();
    }

    fn drop_first(&self, state: &mut State) {
        if let Some(page) = state.pages.pop_front() {
            self.used.fetch_sub(page.bytes, Ordering::Relaxed);
            state.first += 1;
        }
    }

    fn drop_taken(&self, state: &mut State) {
        let wanted = state.listeners.values().min().copied().unwrap_or(u64::MAX);
        while state.first < wanted && !state.pages.is_empty() {
            self.drop_first(state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let left: usize = self.state().pages.iter().map(|page| page.bytes).sum();
        self.used.fetch_sub(left, Ordering::Relaxed);
    }
}

/// Hears the pages that are published from now on.
pub(super) struct Listener {
    feed: Arc<Feed>,
    id: u64,
}

impl Listener {
    pub(super) fn new(feed: Arc<Feed>) -> Self {
        let mut state = feed.state();
        let (id, next) = (state.ids, state.first + state.pages.len() as u64);
        state.ids += 1;
        state.listeners.insert(id, next);
        drop(state);
        Self { feed, id }
    }

    /// Takes the next page, if there is one.
    pub(super) fn hear(&self) -> Heard {
        let mut state = self.feed.state();
        let Some(&next) = state.listeners.get(&self.id) else { return Heard::Lost };
        let Some(at) = next.checked_sub(state.first) else {
            let newest = state.first + state.pages.len() as u64;
            state.listeners.insert(self.id, newest);
            return Heard::Lost;
        };
        let Some(page) = state.pages.get(at as usize).cloned() else {
            return Heard::Nothing { contact: state.contact, at: state.at };
        };
        state.listeners.insert(self.id, next + 1);
        self.feed.drop_taken(&mut state);
        Heard::Page(page)
    }

    /// Waits until something was published, also an empty page. What happens between [`Self::hear`] and this call may
    /// be missed: wait with a time limit.
    pub(super) async fn changed(&self) {
        self.feed.changed.notified().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.feed.state();
        state.listeners.remove(&self.id);
        self.feed.drop_taken(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Channel, SequenceNumber};

    fn page(number: u64) -> Page {
        let record = Record {
            position: Position::new(SequenceNumber::from_ordinal(number)),
            channel: Channel::Streams,
            table: None,
            payload: "{}".into(),
        };
        Page { records: vec![record], bytes: 10, millis_behind: None }
    }

    fn heard(listener: &Listener) -> Option<u64> {
        match listener.hear() {
            Heard::Page(page) => page.records[0].position.sequence.to_ordinal(),
            Heard::Nothing { .. } => None,
            Heard::Lost => Some(u64::MAX),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn listeners_get_every_page_once_and_what_all_have_taken_is_dropped() {
        let feeds = Feeds::new(1000);
        let feed = feeds.of("s", &ShardId::new("a"));
        let publish = |number| {
            feed.publish(Place::Start(ReadFrom::TrimHorizon), &page(number), crate::clock::Clock::simulated(1, 0).now())
        };
        publish(0);
        assert_eq!(feeds.used.load(Ordering::Relaxed), 0, "nobody listens");
        let (one, other) = (Listener::new(feed.clone()), Listener::new(feeds.of("s", &ShardId::new("a"))));
        (1..4).for_each(publish);
        assert_eq!((heard(&one), heard(&one), heard(&other)), (Some(1), Some(2), Some(1)));
        assert_eq!(feeds.used.load(Ordering::Relaxed), 20);
        drop(other);
        assert_eq!((heard(&one), heard(&one)), (Some(3), None));
        assert_eq!(feeds.used.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_too_slow_loses_the_oldest_pages_and_nobody_else_does() {
        let feeds = Feeds::new(30);
        let feed = feeds.of("s", &ShardId::new("a"));
        let (slow, fast) = (Listener::new(feed.clone()), Listener::new(feed.clone()));
        for number in 0..10 {
            feed.publish(
                Place::Start(ReadFrom::TrimHorizon),
                &page(number),
                crate::clock::Clock::simulated(1, 0).now(),
            );
            assert_eq!(heard(&fast), Some(number));
        }
        assert_eq!(heard(&slow), Some(u64::MAX));
        assert_eq!(heard(&slow), None, "it begins again with what comes now");
        drop((slow, fast, feed));
        assert_eq!(feeds.used.load(Ordering::Relaxed), 0);
    }
}

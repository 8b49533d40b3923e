//! Where does a handler's next page come from? From the shard's feed as long as it keeps up with the lake's reader;
//! otherwise from a reader of its own, behind its own position, until it has caught up.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::budget::{Budget, Reservation};
use super::feed::{Feed, FeedPage, Heard, Listener, Place};
use super::reading::{Delivery, Reading, Stopped};
use super::shard::ShardTask;
use crate::change::{Position, Record};
use crate::source::ReadFrom;
use crate::source::reader::ShardReader;
use crate::telemetry::health::Watched;

/// How long beyond three of its usual pauses the lake's reader may be silent before a handler reads by itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// A shard's records for one handler, each once and in order.
pub(super) struct Intake {
    task: Arc<ShardTask>,
    budget: Budget,
    stream: String,
    watched: Watched,
    start: ReadFrom,
    /// The last record that was taken.
    position: Option<Position>,
    listener: Listener,
    /// A page of the feed that comes later than what is read on its own.
    ahead: Option<FeedPage>,
    own: Option<Own>,
}

/// A reader of its own, at work.
struct Own {
    pages: mpsc::Receiver<Delivery>,
    reading: JoinSet<(ShardReader, Stopped)>,
}

/// What the intake brings.
pub(super) enum Taken {
    /// Records that were not taken before, and what holds their memory until they are in the lanes.
    Records(Vec<Record>, Option<Reservation>),
    /// Reading stopped. After a gap it goes on with [`Intake::skip_gap`].
    Stopped(Stopped, Box<ShardReader>),
}

impl Intake {
    pub(super) fn new(
        task: Arc<ShardTask>,
        feed: Arc<Feed>,
        budget: Budget,
        watched: Watched,
        start: ReadFrom,
        position: Option<Position>,
    ) -> Self {
        let stream = task.stream_label();
        let listener = Listener::new(feed);
        Self { task, budget, stream, watched, start, position, listener, ahead: None, own: None }
    }

    /// The last record that was taken.
    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }

    /// Whether a reader of its own is at work, whose pages count against the budget before they come.
    pub(super) fn reads_alone(&self) -> bool {
        self.own.is_some()
    }

    /// The next records. May be dropped and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Taken {
        loop {
            if let Some(own) = &mut self.own {
                let delivery = tokio::select! {
                    biased;
                    delivery = own.pages.recv() => delivery,
                    () = self.listener.changed() => {
                        self.join_feed();
                        continue;
                    }
                };
                let Some(delivery) = delivery else { return self.stopped().await };
                if let Some(taken) = self.take(&delivery.page.records, Some(delivery.reservation)) {
                    self.join_feed();
                    return taken;
                }
                continue;
            }
            match self.ahead.take().map_or_else(|| self.listener.hear(), Heard::Page) {
                Heard::Page(page) if self.continues(&page) => {
                    if let Some(taken) = self.take(&page.records, None) {
                        self.watched.source_moved(self.now());
                        return taken;
                    }
                }
                Heard::Nothing { contact, at } if self.is_near(contact, at) => {
                    self.watched.answered(self.now());
                    // A time-out is only another look.
                    let _ = tokio::time::timeout(self.patience(), self.listener.changed()).await;
                }
                _ => self.read_alone(None),
            }
        }
    }

    /// Goes on behind a gap.
    pub(super) fn skip_gap(&mut self, mut reader: ShardReader) {
        reader.skip_gap();
        self.read_alone(Some(reader));
    }

    fn take(&mut self, records: &[Record], reservation: Option<Reservation>) -> Option<Taken> {
        let fresh: Vec<Record> =
            records.iter().filter(|record| self.position.is_none_or(|last| record.position > last)).cloned().collect();
        self.position = fresh.last().map(|record| record.position).or(self.position);
        (!fresh.is_empty()).then_some(Taken::Records(fresh, reservation))
    }

    /// Whether nothing is missing between what was taken and a page.
    fn continues(&self, page: &FeedPage) -> bool {
        let Some(position) = self.position else { return self.is_start(page.from) };
        let first = page.records.first().map(|record| record.position);
        matches!(page.from, Place::Behind(last) if last <= position) || first.is_some_and(|first| first <= position)
    }

    /// Whether the feed is alive, and everything it showed was taken.
    fn is_near(&self, contact: Option<Instant>, at: Option<Place>) -> bool {
        let alive = contact.is_some_and(|contact| self.now().saturating_duration_since(contact) < self.patience());
        alive
            && match (at, self.position) {
                (Some(Place::Behind(last)), Some(position)) => last <= position,
                (Some(place), None) => self.is_start(place),
                _ => false,
            }
    }

    /// Whether a place is where this intake begins. Two that begin with "latest" do so at two moments.
    fn is_start(&self, place: Place) -> bool {
        self.start != ReadFrom::Latest && place == Place::Start(self.start)
    }

    /// Stops reading alone if the feed goes on where it has come to.
    fn join_feed(&mut self) {
        loop {
            match self.ahead.take().map_or_else(|| self.listener.hear(), Heard::Page) {
                Heard::Page(page) if page.records.last().map(|record| record.position) <= self.position => {}
                Heard::Page(page) => {
                    if self.continues(&page) {
                        self.own = None;
                    }
                    self.ahead = Some(page);
                    return;
                }
                Heard::Nothing { contact, at } => {
                    if self.is_near(contact, at) {
                        self.own = None;
                    }
                    return;
                }
                Heard::Lost => return,
            }
        }
    }

    fn read_alone(&mut self, reader: Option<ShardReader>) {
        let task = &self.task;
        let reader = reader.unwrap_or_else(|| {
            let (api, clock) = (task.api.clone(), task.shared.clock.clone());
            ShardReader::new(api, clock, task.shard.clone(), self.start, self.position)
        });
        let side = Reading {
            shared: task.shared.clone(),
            budget: self.budget.clone(),
            pace: task.api.pace(),
            stream: self.stream.clone(),
            watched: self.watched.clone(),
            recovering: Arc::new(AtomicBool::new(false)),
            ends: task.ends,
            stop: CancellationToken::new(),
            feed: None,
        };
        let (send, pages) = mpsc::channel(1);
        let mut reading = JoinSet::new();
        reading.spawn(side.run(reader, send));
        self.own = Some(Own { pages, reading });
    }

    /// The end of the reader of its own.
    async fn stopped(&mut self) -> Taken {
        let Some(own) = &mut self.own else { return std::future::pending().await };
        match own.reading.join_next().await {
            Some(Ok((reader, stopped))) => {
                self.own = None;
                Taken::Stopped(stopped, Box::new(reader))
            }
            Some(Err(join)) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            // Only a runtime that shuts down cancels the reader; then nobody waits for an answer.
            _ => std::future::pending().await,
        }
    }

    fn patience(&self) -> Duration {
        self.task.api.pace().idle * 3 + PATIENCE
    }

    fn now(&self) -> Instant {
        self.task.shared.clock.now()
    }
}

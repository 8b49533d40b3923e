//! The reading side of a shard: asks for the next page while the one before is worked on, as long as there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::budget::{Budget, Reservation};
use super::feed::{Feed, Place};
use crate::source::Pace;
use crate::source::reader::{Page, Read, ReadError, ShardReader};
use crate::telemetry::health::Watched;

/// Empty pages in a row after which a shard counts as read to its tip, where the service does not say how far behind
/// one is. DynamoDB Streams answers empty pages inside a shard too, but not many in a row.
const EMPTY_PAGES_AT_TIP: u32 = 4;

/// The least memory reserved for a page.
const LEAST_PAGE: usize = 64 << 10;

/// Why the reader of a shard stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    End,
    Tip,
    Asked,
    Failed(ReadError),
}

/// A page on its way to a sink, and the memory it takes.
pub(super) struct Delivery {
    pub(super) page: Page,
    pub(super) reservation: Reservation,
}

/// One page ahead of a sink.
pub(super) struct Reading {
    pub(super) shared: Arc<Shared>,
    /// What pages take their room from.
    pub(super) budget: Budget,
    pub(super) pace: Pace,
    /// The stream's name in metrics.
    pub(super) stream: String,
    pub(super) watched: Watched,
    /// Whether the sink completes a range, and must not wait for room.
    pub(super) recovering: Arc<AtomicBool>,
    /// Whether the list says that the shard ends: then its tip is not enough.
    pub(super) ends: bool,
    pub(super) stop: CancellationToken,
    /// Where the pages are shown to the shard's other sinks.
    pub(super) feed: Option<Arc<Feed>>,
}

impl Reading {
    pub(super) async fn run(self, mut reader: ShardReader, pages: mpsc::Sender<Delivery>) -> (ShardReader, Stopped) {
        let stopped = self.read(&mut reader, pages).await;
        if let Some(feed) = &self.feed {
            feed.ended();
        }
        (reader, stopped)
    }

    async fn read(&self, reader: &mut ShardReader, pages: mpsc::Sender<Delivery>) -> Stopped {
        let mut page_bytes = self.pace.page_bytes;
        let mut empty_pages = 0;
        loop {
            let reservation = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Stopped::Asked,
                reservation = self.reserve(page_bytes) => reservation,
            };
            let from = Place::new(reader.start(), reader.position());
            let read = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Stopped::Asked,
                read = reader.next() => read,
            };
            let page = match read {
                Ok(Read::Page(page)) => page,
                Ok(Read::End) => return Stopped::End,
                Err(error) => return Stopped::Failed(error),
            };
            page_bytes = (page.bytes + page.bytes / 2).max(LEAST_PAGE);
            empty_pages = if page.records.is_empty() { empty_pages + 1 } else { 0 };
            self.observe(reader, &page);
            if let Some(feed) = &self.feed {
                feed.publish(from, &page, self.shared.clock.now());
            }
            // Some servers always say that they are 0 behind: only an empty page proves it.
            let nothing_left = |behind: i64| behind == 0 && page.records.is_empty();
            let at_tip = page.millis_behind.map_or(empty_pages >= EMPTY_PAGES_AT_TIP, nothing_left);
            let pause = if page.records.is_empty() { self.pace.idle } else { self.pace.busy };
            if !page.records.is_empty() {
                let mut reservation = reservation;
                reservation.set(page.bytes);
                if pages.send(Delivery { page, reservation }).await.is_err() {
                    return Stopped::Asked;
                }
            }
            if at_tip && !self.ends && (self.shared.settings.once || self.pace.finite) {
                return Stopped::Tip;
            }
            self.pause(pause).await;
        }
    }

    /// Room for a page. A shard that completes a range does not wait: until it has, it can't give room back either.
    async fn reserve(&self, bytes: usize) -> Reservation {
        let budget = &self.budget;
        if self.recovering.load(Ordering::Relaxed) { budget.beyond() } else { budget.reserve(bytes).await }
    }

    async fn pause(&self, pause: Duration) {
        if !pause.is_zero() {
            tokio::select! {
                biased;
                () = self.shared.clock.sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    fn observe(&self, reader: &mut ShardReader, page: &Page) {
        let metrics = &self.shared.metrics;
        let now = self.shared.clock.now();
        if page.records.is_empty() {
            self.watched.answered(now)
        } else {
            self.watched.source_moved(now)
        }
        metrics.records_read.with([&self.stream]).inc_by(page.records.len() as u64);
        metrics.read_bytes.with([]).inc_by(page.bytes as u64);
        metrics.get_records_calls.with([]).inc();
        metrics.throttled.with([]).inc_by(std::mem::take(&mut reader.throttled));
        metrics.expired_iterators.with([]).inc_by(std::mem::take(&mut reader.expired));
        metrics.buffered.with([]).set(self.shared.budget.used() as f64);
        if let Some(behind) = page.millis_behind {
            metrics.lag.with([&self.stream]).set(behind as f64 / 1000.0);
        }
    }
}

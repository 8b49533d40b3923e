//! How is the live table read? Several segments side by side, whose items come as digests, in no order.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::parts::digest;
use crate::change::{Record, ShardId};
use crate::clock::Clock;
use crate::commands::CommandError;
use crate::lake::latest::canonical;
use crate::source::ReadFrom;
use crate::source::reader::{Read, ReadError, ShardReader};
use crate::source::scan::ScanStream;

/// A table that is read.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) scan: Arc<ScanStream>,
    pub(super) clock: Clock,
    /// The names of its key attributes.
    pub(super) keys: Arc<[String]>,
}

/// An item of it.
pub(super) struct Item {
    /// Its key, DynamoDB JSON.
    pub(super) key: String,
    /// That of its image.
    pub(super) digest: String,
}

type Page = Result<Vec<Item>, CommandError>;

/// What is read, page by page.
pub(super) struct Pages {
    arriving: mpsc::Receiver<Page>,
    /// Whoever drops the pages stops the reading.
    _reading: JoinSet<()>,
}

impl Pages {
    /// The next page of any segment; `None`: all have been read.
    pub(super) async fn next(&mut self) -> Option<Page> {
        self.arriving.recv().await
    }
}

impl Table {
    /// Reads segments, at most `at_once` at a time, and begins with the first ones.
    pub(super) fn read(self, segments: Vec<ShardId>, at_once: usize) -> Pages {
        let left = Arc::new(Mutex::new(segments.into_iter()));
        // One page that waits: the others are in their readers, one for each.
        let (pages, arriving) = mpsc::channel(1);
        let mut reading = JoinSet::new();
        for _ in 0..at_once {
            let (table, left, pages) = (self.clone(), left.clone(), pages.clone());
            reading.spawn(async move {
                let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some(segment) = next() {
                    if let Err(error) = table.read_segment(segment, &pages).await {
                        // Nobody listens any more: enough has been read.
                        let _ = pages.send(Err(error)).await;
                        return;
                    }
                }
            });
        }
        Pages { arriving, _reading: reading }
    }

    async fn read_segment(&self, segment: ShardId, pages: &mpsc::Sender<Page>) -> Result<(), CommandError> {
        let mut reader = ShardReader::new(self.scan.clone(), self.clock.clone(), segment, ReadFrom::TrimHorizon, None);
        loop {
            let page = match reader.next().await {
                Ok(Read::Page(page)) => page,
                Ok(Read::End) => return Ok(()),
                Err(ReadError::Fatal(why) | ReadError::Gap(why) | ReadError::NotFound(why)) => {
                    return Err(CommandError::Source(why));
                }
            };
            if page.records.is_empty() && page.millis_behind == Some(0) {
                return Ok(());
            }
            let (records, keys) = (page.records, self.keys.clone());
            let items = self.clock.offload(move || records.iter().map(|record| item(record, &keys)).collect()).await;
            if pages.send(items).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn item(record: &Record, keys: &[String]) -> Result<Item, CommandError> {
    let item: Value = serde_json::from_slice(&record.payload)
        .map_err(|error| CommandError::Source(format!("an item of the scan is no JSON: {error}")))?;
    Ok(Item { key: canonical::key(&item, keys), digest: digest(&canonical::text(&item)) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::BoxFuture;
    use crate::commands::verify::FromTheBeginning;
    use crate::source::scan::{ScanOf, TablePages};
    use crate::source::{StreamError, StreamIdentity, list_all};

    /// Two pages of two items in each segment; each takes a second.
    struct Slow {
        clock: Clock,
        now: AtomicUsize,
        most: AtomicUsize,
        /// The segment that is not there.
        broken: Option<i32>,
    }

    impl TablePages for Slow {
        fn page<'a>(
            &'a self,
            _of: &'a ScanOf,
            segment: i32,
            behind: Option<&'a str>,
            _limit: Option<i32>,
        ) -> BoxFuture<'a, Result<Bytes, StreamError>> {
            Box::pin(async move {
                self.most.fetch_max(self.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                self.clock.sleep(Duration::from_secs(1)).await;
                self.now.fetch_sub(1, Ordering::Relaxed);
                if self.broken == Some(segment) {
                    return Err(StreamError::Fatal("the table is gone".to_owned()));
                }
                let (page, more) = match behind {
                    None => (0, r#","LastEvaluatedKey":{"Id":{"S":"1"}}"#),
                    Some(_) => (1, ""),
                };
                let item = |at| format!(r#"{{"Id":{{"S":"{segment}-{page}-{at}"}}}}"#);
                Ok(format!(r#"{{"Items":[{},{}]{more}}}"#, item(0), item(1)).into())
            })
        }
    }

    /// The keys that are read of 20 segments, and how many pages were asked for at a time.
    async fn read(broken: Option<i32>, at_once: usize) -> (Result<Vec<String>, CommandError>, usize) {
        let clock = Clock::simulated(1, 1_795_165_200_000_000);
        let slow = Arc::new(Slow { clock: clock.clone(), now: AtomicUsize::new(0), most: AtomicUsize::new(0), broken });
        let identity = StreamIdentity { id: "verify:T".into(), table: Some("T".into()), origin: None };
        let of = ScanOf { table: "T".into(), segments: 20, began_at: 0, read_units: None };
        let scan = ScanStream::new(slow.clone(), identity, of, "verify", Arc::new(FromTheBeginning), clock.clone());
        let shards = list_all(&*scan).await.unwrap().shards.into_iter().map(|shard| shard.id).collect();
        let table = Table { scan, clock, keys: ["Id".to_owned()].into() };
        let mut pages = table.read(shards, at_once);
        let mut keys = Vec::new();
        let found = loop {
            match pages.next().await {
                Some(Ok(page)) => keys.extend(page.into_iter().map(|item| item.key)),
                Some(Err(error)) => break Err(error),
                None => break Ok(keys),
            }
        };
        (found, slow.most.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_segments_are_read_side_by_side_and_every_item_comes_once() {
        for at_once in [1, 3, 16] {
            let (keys, most) = read(None, at_once).await;
            let mut keys = keys.unwrap();
            keys.sort();
            keys.dedup();
            assert_eq!((keys.len(), most), (80, at_once));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_segment_that_can_not_be_read_is_told() {
        assert!(read(Some(13), 4).await.0.unwrap_err().to_string().contains("the table is gone"));
    }
}

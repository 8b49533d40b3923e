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

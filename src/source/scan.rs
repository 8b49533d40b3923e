//! A table as a stream like any other: each segment of its scan is a shard, each item a record.
//!
//! Reads are strongly consistent: an item is as it is when it is read, never as it was before the scan began. A scan does
//! not give the same twice; what it gave is kept in the lake before the range that has it (`lake/kept.rs`), and the scan
//! goes on behind the last item of the chain.

pub(crate) mod page;
mod units;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Pace, ReadFrom, RecordsPage, ShardId, ShardInfo, ShardIterator, ShardPage, StreamApi, StreamError, StreamIdentity,
};
use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber};
use crate::clock::Clock;
use units::Bucket;
pub use wire::WireTable;

/// The most that an answer takes: 1 MB as DynamoDB counts it, and more as JSON.
const PAGE_BYTES: usize = 2 << 20;

/// Where the chain of a segment ends.
pub trait LastKeys: Send + Sync + 'static {
    /// The key of the last item of a segment that is in the lake, as DynamoDB JSON.
    fn last_key<'a>(&'a self, shard: &'a ShardId) -> BoxFuture<'a, Result<Option<String>, StreamError>>;
}

/// A table that can be scanned: what is asked of the service.
pub trait TablePages: Send + Sync + 'static {
    /// One answer to `Scan`, consistent, as the service wrote it. `behind`: the key behind which it begins, as DynamoDB JSON.
    fn page<'a>(
        &'a self,
        of: &'a ScanOf,
        segment: i32,
        behind: Option<&'a str>,
        limit: Option<i32>,
    ) -> BoxFuture<'a, Result<Bytes, StreamError>>;
}

/// What a scan is of.
#[derive(Debug, Clone)]
pub struct ScanOf {
    /// The table's name or ARN.
    pub table: String,
    /// Into how many segments it is divided.
    pub segments: u32,
    /// When it began, µs since the epoch.
    pub began_at: i64,
    /// The most read units a second.
    pub read_units: Option<u32>,
}

/// A scan of one table.
pub struct ScanStream {
    table: Arc<dyn TablePages>,
    identity: StreamIdentity,
    of: ScanOf,
    segments: HashMap<ShardId, i32>,
    last_keys: Arc<dyn LastKeys>,
    bucket: Mutex<Bucket>,
    clock: Clock,
    began: Instant,
}

/// Where a scan goes on: how many items came before, and the key of the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    ordinal: u64,
    /// `None` at the beginning.
    key: Option<String>,
    ended: bool,
}

impl ScanStream {
    /// A scan whose segments are called `<prefix>-<segment>`.
    pub fn new(
        table: Arc<dyn TablePages>,
        identity: StreamIdentity,
        of: ScanOf,
        prefix: &str,
        last_keys: Arc<dyn LastKeys>,
        clock: Clock,
    ) -> Arc<Self> {
        let segments = (0..of.segments as i32).map(|at| (ShardId::new(format!("{prefix}-{at:04}")), at)).collect();
        let bucket = Mutex::new(Bucket::new(of.read_units.map(f64::from)));
        let began = clock.now();
        Arc::new(Self { table, identity, of, segments, last_keys, bucket, clock, began })
    }

    /// The read units that this process has spent.
    pub fn spent(&self) -> f64 {
        self.bucket().spent()
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the budget has room for a page.
    async fn take(&self) -> f64 {
        loop {
            let taken = self.bucket().take(self.clock.now().saturating_duration_since(self.began));
            match taken {
                Ok(taken) => return taken,
                Err(wait) => self.clock.sleep(wait).await,
            }
        }
    }

    async fn page(&self, segment: i32, place: Place) -> Result<RecordsPage, StreamError> {
        if place.ended {
            return Ok(RecordsPage {
                records: Vec::new(),
                next: Some(place.iterator()),
                names_children: false,
                millis_behind: Some(0),
                bytes: 0,
            });
        }
        let taken = self.take().await;
        let limit = self.bucket().limit(self.of.segments);
        let body = match self.table.page(&self.of, segment, place.key.as_deref(), limit).await {
            Ok(body) => body,
            Err(error) => {
                self.bucket().give_back(taken);
                return Err(error);
            }
        };
        let page = page::cut(&body)
            .map_err(|error| StreamError::Transient(format!("dynamodb:Scan on {}: {error}", self.of.table)))?;
        self.bucket().paid(taken, page.units, page.items.len());
        let mut ordinal = place.ordinal;
        let record = |payload| {
            ordinal += 1;
            Record {
                position: Position::new(SequenceNumber::from_ordinal(ordinal)),
                channel: Channel::Snapshot(self.of.began_at),
                table: self.identity.table.clone(),
                payload,
            }
        };
        let records = page.items.into_iter().map(record).collect();
        let ended = page.last_key.is_none();
        let next = Place { ordinal, key: page.last_key, ended };
        Ok(RecordsPage {
            records,
            next: Some(next.iterator()),
            names_children: false,
            millis_behind: Some(1),
            bytes: body.len(),
        })
    }
}

impl Place {
    fn iterator(&self) -> ShardIterator {
        let Self { ordinal, key, ended } = self;
        ShardIterator(match key {
            _ if *ended => format!("{ordinal} end"),
            Some(key) => format!("{ordinal} {key}"),
            None => format!("{ordinal} "),
        })
    }

    fn parse(iterator: &str) -> Option<Self> {
        let (ordinal, key) = iterator.split_once(' ')?;
        let ordinal = ordinal.parse().ok()?;
        let key = Some(key).filter(|key| !key.is_empty() && *key != "end").map(str::to_owned);
        Some(Self { ordinal, key, ended: iterator.ends_with(" end") })
    }
}

impl StreamApi for ScanStream {
    fn identity(&self) -> &StreamIdentity {
        &self.identity
    }

    fn list_shards<'a>(&'a self, _from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        let mut shards: Vec<_> = self.segments.keys().cloned().collect();
        shards.sort();
        let shards = shards.into_iter().map(|id| ShardInfo { id, parents: Vec::new(), closed: false }).collect();
        Box::pin(async { Ok(ShardPage { shards, next: None, enabled: true }) })
    }

    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        Box::pin(async move {
            let ordinal = match from {
                ReadFrom::After(sequence) => sequence.to_ordinal().unwrap_or(0),
                _ => 0,
            };
            let key = if ordinal > 0 { self.last_keys.last_key(shard).await? } else { None };
            if ordinal > 0 && key.is_none() {
                let why = format!("the lake does not say behind which item segment {shard} goes on");
                return Err(StreamError::Fatal(why));
            }
            Ok(Place { ordinal, key, ended: false }.iterator())
        })
    }

    fn get_records<'a>(
        &'a self,
        shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        Box::pin(async move {
            let segment = self.segments.get(shard).copied();
            let segment = segment.ok_or_else(|| StreamError::NotFound(format!("there is no segment {shard}")))?;
            self.page(segment, Place::parse(&iterator.0).ok_or(StreamError::Expired)?).await
        })
    }

    fn pace(&self) -> Pace {
        Pace {
            busy: Duration::ZERO,
            idle: Duration::from_millis(10),
            discovery: Duration::from_secs(10),
            aggregates: false,
            page_bytes: PAGE_BYTES,
            finite: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_its_iterator() {
        for key in [None, Some(r#"{"Id":{"S":"a b end"}}"#.to_owned())] {
            let place = Place { ordinal: 7, key, ended: false };
            assert_eq!(Place::parse(&place.iterator().0), Some(place));
        }
        let end = Place { ordinal: 7, key: None, ended: true };
        assert_eq!(Place::parse(&end.iterator().0), Some(end));
        assert_eq!(Place::parse("x"), None);
    }
}

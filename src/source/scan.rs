//! A table as a stream like any other: each segment of its scan is a shard, each item a record.
//!
//! Reads are strongly consistent: an item is as it is when it is read, never as it was before the scan began. A scan does
//! not give the same twice; what it gave is kept in the lake before the range that has it (`lake/kept.rs`), and the scan
//! goes on behind the last item of the chain.

pub(crate) mod page;
mod units;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

use super::finite::{self, Parts};
use super::{Pace, ReadFrom, RecordsPage, ShardId, ShardIterator, ShardPage, StreamApi, StreamError, StreamIdentity};
use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber};
use crate::clock::Clock;
use units::Bucket;
pub use wire::WireTable;

/// The most that an answer takes: 1 MB as DynamoDB counts it, and more as JSON.
const PAGE_BYTES: usize = 2 << 20;

/// A segment for each 2 GB, and a few on small tables, which have few partitions.
pub fn default_segments(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(2 << 30)).unwrap_or(u32::MAX).clamp(4, 64)
}

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
    segments: Parts<i32>,
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
        let segments = Parts::new(prefix, 0..of.segments as i32);
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
            return Ok(finite::end(place.iterator()));
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
        Ok(finite::page(records, next.iterator(), body.len()))
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
        self.segments.list()
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
            let segment = *self.segments.get(shard)?;
            self.page(segment, Place::parse(&iterator.0).ok_or(StreamError::Expired)?).await
        })
    }

    fn pace(&self) -> Pace {
        finite::pace(PAGE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ReadFrom;
    use crate::source::reader::{Read, ShardReader};
    use crate::source::wire_tests::{aws, ok, refusal, serve};

    /// The lake has nothing of the scan yet.
    struct Nothing;

    impl LastKeys for Nothing {
        fn last_key<'a>(&'a self, _shard: &'a ShardId) -> BoxFuture<'a, Result<Option<String>, StreamError>> {
            Box::pin(async { Ok(None) })
        }
    }

    #[tokio::test]
    async fn a_throttled_scan_goes_on_behind_the_same_item() {
        let page = |id: &str, more: &str| {
            ok(&format!(r#"{{"Items":[{{"Id":{{"S":"{id}"}}}}],"ConsumedCapacity":{{"CapacityUnits":2.5}}{more}}}"#))
        };
        let throttled = || refusal(400, "ProvisionedThroughputExceededException");
        let server = serve(vec![
            page("a", r#","LastEvaluatedKey":{"Id":{"S":"a"}}"#),
            throttled(),
            throttled(),
            throttled(),
            page("b", ""),
        ])
        .await;
        let identity = StreamIdentity { id: "backfill:T:1".into(), table: Some("T".into()), origin: None };
        let of = ScanOf { table: "T".into(), segments: 1, began_at: 7, read_units: Some(100) };
        let clock = Clock::system();
        let client = aws(&server.url).dynamodb().clone();
        let scan =
            ScanStream::new(Arc::new(WireTable(client)), identity, of, "backfill-1", Arc::new(Nothing), clock.clone());
        let shard = ShardId::new("backfill-1-0000");
        let mut reader = ShardReader::new(scan.clone(), clock, shard, ReadFrom::TrimHorizon, None);
        let mut items = Vec::new();
        while items.len() < 2 {
            let Ok(Read::Page(page)) = reader.next().await else { panic!("a page") };
            items.extend(page.records.into_iter().map(|record| record.payload));
        }
        assert_eq!(items, [r#"{"Id":{"S":"a"}}"#, r#"{"Id":{"S":"b"}}"#]);
        // The client asks once more by itself.
        assert!(reader.throttled > 0 && scan.spent() == 5.0, "{} {}", reader.throttled, scan.spent());
        let requests = server.requests.lock().unwrap();
        let begun: Vec<_> =
            requests.iter().map(|(_, request)| request["ExclusiveStartKey"]["Id"]["S"].clone()).collect();
        assert!(begun[0].is_null() && begun[1..].iter().all(|key| key == "a"), "{begun:?}");
    }

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

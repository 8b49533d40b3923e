//! Where changes come from: the three wire calls every shard source boils down to, as a seam.
//!
//! DynamoDB Streams, Kinesis and recorded files implement [`StreamApi`]; so does the simulated world. Everything
//! above it (lineage, reading, order, recovery) is one engine.

mod aws;
mod dynamodb_streams;
mod dynamodb_tables;
pub mod export;
pub mod file;
pub(crate) mod finite;
mod kinesis;
pub(crate) mod kinesis_page;
#[cfg(test)]
mod kinesis_tests;
pub(crate) mod kpl;
pub mod lag;
pub mod lineage;
mod raw_page;
pub mod reader;
#[cfg(test)]
mod reader_tests;
pub mod retention;
pub mod scan;
pub(crate) mod streams_page;
pub mod until_now;
pub mod unwrap;
pub(crate) mod wire_error;
#[cfg(test)]
mod wire_tests;

pub use aws::{ATTEMPT_TIMEOUT, Aws, AwsError, CONNECT_TIMEOUT, S3_ATTEMPT_TIMEOUT};
pub use dynamodb_streams::{DynamoDbStream, STREAMS_PACE};
pub use dynamodb_tables::{DynamoDbFinder, KeyAttribute, KeyKind, ReadCapacity, TableFacts};
pub use finite::Ready;
pub use kinesis::{KINESIS_PACE, KinesisFinder, KinesisStream};
pub use kpl::{UserRecord, deaggregate};

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::BoxFuture;
use crate::change::{Record, SequenceNumber, ShardId, TableName};

/// What names a stream for good: positions, ranges and files of the lake are kept under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamIdentity {
    /// Unique among all streams that ever existed: a DynamoDB stream's ARN (it carries the creation label), a Kinesis
    /// stream's ARN and creation time, a recorded file's path. A stream that is deleted and made anew, or switched
    /// off and on, has another identity.
    pub id: String,
    /// The table all its changes belong to, where the source knows it; `None`: each change names its table.
    pub table: Option<TableName>,
    /// What this is a stream *of*, which outlives it: a DynamoDB table's ARN, a Kinesis stream's ARN. A later stream of
    /// the same origin means that changes in between went unrecorded. `None`: nothing can come after it.
    pub origin: Option<String>,
}

/// One shard as the service lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// Its id.
    pub id: ShardId,
    /// Its parents: none, one (split, rotation) or two (Kinesis merge). A parent may be missing from the list.
    pub parents: Vec<ShardId>,
    /// Whether the service says that it takes no more records (it has an `EndingSequenceNumber`).
    pub closed: bool,
}

/// One page of a shard list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardPage {
    /// The shards of this page. Pages are no consistent snapshot.
    pub shards: Vec<ShardInfo>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<String>,
    /// Whether the stream still takes records. `false`: it was switched off; its open shards will get no more.
    pub enabled: bool,
}

/// Where reading of a shard begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// The oldest record the service still has.
    TrimHorizon,
    /// Behind the newest record of this moment.
    Latest,
    /// The first record that is not older than this, µs since the epoch.
    Timestamp(i64),
    /// At this record, it included. Used to go on inside a KPL aggregate.
    At(SequenceNumber),
    /// Right behind this record.
    After(SequenceNumber),
}

/// A shard iterator: the service's opaque pointer to the next page. It dies of age (15 minutes on DynamoDB Streams,
/// 5 on Kinesis).
#[derive(Clone, PartialEq, Eq)]
pub struct ShardIterator(pub String);

impl fmt::Debug for ShardIterator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShardIterator(..)")
    }
}

/// One page of records.
#[derive(Debug, Clone)]
pub struct RecordsPage {
    /// The records, in shard order; may be empty anywhere in a shard. KPL aggregates are already taken apart.
    pub records: Vec<Record>,
    /// The iterator of the next page; `None`: the service says that the shard is closed and drained.
    pub next: Option<ShardIterator>,
    /// Whether the service names children of this shard in the answer, which proves its end (Kinesis).
    pub names_children: bool,
    /// How far the newest record of the shard is ahead, ms (Kinesis, recorded files); `None` where the service does
    /// not tell.
    pub millis_behind: Option<i64>,
    /// The size of the answer in bytes.
    pub bytes: usize,
}

/// Why a call to a stream failed, by what the engine has to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The iterator was too old: get another one, behind the last delivered record.
    #[error("the shard iterator expired")]
    Expired,
    /// The record asked for is older than what the service keeps: data is lost; `on_gap` decides.
    #[error("the records asked for have been trimmed by the service")]
    Trimmed,
    /// Too many calls: back off.
    #[error("throttled: {0}")]
    Throttled(String),
    /// The stream or shard is not there (any more). Whether that is a gap the caller finds out by listing.
    #[error("not found: {0}")]
    NotFound(String),
    /// A fault that passes: try again.
    #[error("{0}")]
    Transient(String),
    /// Nothing a retry would mend: credentials, permissions, a refused request. The text says the cure.
    #[error("{0}")]
    Fatal(String),
}

/// The wire calls of one stream.
pub trait StreamApi: Send + Sync + 'static {
    /// Which stream this is.
    fn identity(&self) -> &StreamIdentity;

    /// One page of the shard list, the first without `from`, then with the `next` of the page before.
    fn list_shards<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>>;

    /// An iterator that points into `shard`.
    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>>;

    /// The next page of `shard`, of which `iterator` came.
    fn get_records<'a>(
        &'a self,
        shard: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>>;

    /// How the wire may be used.
    fn pace(&self) -> Pace;

    /// When `shard` was made, µs since the epoch, where its id tells.
    fn born(&self, _shard: &ShardId) -> Option<i64> {
        None
    }
}

/// How often and how much a stream may be asked: the service's published budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The least time between two `GetRecords` on one shard while records keep coming.
    pub busy: std::time::Duration,
    /// The time between two `GetRecords` on one shard that had nothing new.
    pub idle: std::time::Duration,
    /// The time between two looks at the shard list.
    pub discovery: std::time::Duration,
    /// Whether one record of the service can hold several changes (KPL aggregates on Kinesis).
    pub aggregates: bool,
    /// The most bytes one answer is expected to take in memory.
    pub page_bytes: usize,
    /// Whether the source is finite and stands still (recorded files): `run` then ends at its tip.
    pub finite: bool,
}

/// Finds the streams of a pipeline's source, and finds them again when a table's stream was made anew.
pub trait StreamFinder: Send + Sync + 'static {
    /// All streams that have to be read now. Of one origin there may be several, the oldest first: those made earlier
    /// and switched off, which can still be read for a day.
    fn streams(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn StreamApi>>, StreamError>>;
}

/// A whole shard list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardList {
    /// Every shard once, in the order of the list.
    pub shards: Vec<ShardInfo>,
    /// Whether the stream still takes records.
    pub enabled: bool,
}

/// Follows the pages of a stream's shard list to the end. Pages are no snapshot: a shard that stands on two pages is
/// taken as the later page has it.
pub async fn list_all(api: &dyn StreamApi) -> Result<ShardList, StreamError> {
    let mut list = ShardList { shards: Vec::new(), enabled: true };
    let mut cursors = HashSet::new();
    let mut from: Option<String> = None;
    loop {
        let page = api.list_shards(from.as_deref()).await?;
        list.enabled = page.enabled;
        for shard in page.shards {
            match list.shards.iter_mut().find(|known| known.id == shard.id) {
                Some(known) => *known = shard,
                None => list.shards.push(shard),
            }
        }
        let Some(next) = page.next else { return Ok(list) };
        if !cursors.insert(next.clone()) {
            return Err(StreamError::Transient(format!("the shard list goes in circles at `{next}`")));
        }
        from = Some(next);
    }
}

/// Whether the service no longer has a shard that is missing from its list. "Not found" is the proof that nothing of it
/// can come any more; an iterator proves that the list is incomplete; a fault that passes proves nothing.
pub async fn is_gone(api: &dyn StreamApi, shard: &ShardId) -> Result<bool, StreamError> {
    match api.shard_iterator(shard, ReadFrom::TrimHorizon).await {
        Err(StreamError::NotFound(_) | StreamError::Trimmed) => Ok(true),
        Err(error @ StreamError::Fatal(_)) => Err(error),
        Ok(_) | Err(_) => Ok(false),
    }
}

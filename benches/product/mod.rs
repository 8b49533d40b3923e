//! How do the benches reach the product's hot path? Through what it makes public, with as little around it as can be.

#![allow(dead_code, unused_imports, reason = "each bench uses a part of this")]
#![allow(unreachable_pub, reason = "a bench has no outside; `pub` says what this offers to it")]

mod canned;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use watershed::change::{Channel, Position, Record, SequenceNumber, ShardId};
use watershed::clock::Clock;
use watershed::decode::envelope;
use watershed::decode::json::Marks;
use watershed::lake::columns;
use watershed::lake::limits::Limits;
use watershed::lake::roll::RollLimits;
use watershed::lake::rows::{RowOrigin, Rows};
use watershed::lake::schema::{NewAttributes, TableRules, TableSchema};
use watershed::lake::shard::LakeShard;
use watershed::lake::{Lake, LakeSettings};
use watershed::pipeline::spec;
use watershed::source::StreamIdentity;
use watershed::testing::store::MemoryStore;

pub use canned::{kinesis_stream, sdk_streams_client, streams_stream};

use crate::workload::{Change, Workload, kinesis_record};

/// What a pipeline file without a word about the table says, but for its keys.
pub fn rules(workload: Workload) -> TableRules {
    TableRules {
        keys: workload.keys().iter().map(|key| (*key).to_owned()).collect(),
        partition_by: vec!["day".to_owned()],
        max_columns: spec::DEFAULT_MAX_COLUMNS as usize,
        ..TableRules::default()
    }
}

/// The changes as Kinesis records, in one buffer like those of a page.
pub fn records(changes: &[Change]) -> Vec<Record> {
    let (mut buffer, mut ends) = (Vec::new(), Vec::new());
    for change in changes {
        kinesis_record(change, &mut buffer);
        ends.push((change.ordinal, buffer.len()));
    }
    let buffer = Bytes::from(buffer);
    let mut start = 0;
    let record = |(ordinal, end)| {
        let payload = buffer.slice(start..end);
        start = end;
        let position = Position::new(SequenceNumber::from_ordinal(ordinal));
        Record { position, channel: Channel::Kinesis, table: None, payload }
    };
    ends.into_iter().map(record).collect()
}

/// The bytes of all records together.
pub fn bytes_of(records: &[Record]) -> usize {
    records.iter().map(|record| record.payload.len()).sum()
}

/// The schema after all these records.
pub fn learned(records: &[Record], table: &str, rules: &TableRules) -> Arc<TableSchema> {
    let mut schema = TableSchema::empty(table);
    for record in records {
        let change = envelope::read(&record.payload, record.channel).expect("a change");
        let mut found = NewAttributes::default();
        for image in [change.keys, change.new_image, change.old_image].into_iter().flatten() {
            columns::new_attributes(image, &schema, rules, &mut found).expect("an image");
        }
        if !found.found().is_empty() {
            schema = schema.grown(found.found(), rules).unwrap_or(schema);
        }
    }
    Arc::new(schema)
}

/// No rows yet, under a schema.
pub fn rows(schema: &Arc<TableSchema>) -> Rows {
    Rows::new(RowOrigin::of(ShardId::new("shardId-000000000000")), schema.clone())
}

/// From the bytes of records into columns.
pub fn decode<'a>(rows: &mut Rows, records: impl IntoIterator<Item = &'a Record>, rules: &TableRules) {
    let mut marks = Marks::default();
    for record in records {
        let change = envelope::read_marked(&record.payload, record.channel, &mut marks).expect("a change");
        rows.add(record.position, &change, rules).expect("a row");
    }
}

/// A lake in memory, with a shard that takes records and closes ranges as `watershed run` does by default.
pub struct InMemory {
    store: MemoryStore,
    shard: LakeShard,
}

impl InMemory {
    /// An empty lake.
    pub async fn open(rules: TableRules) -> Self {
        let roll = RollLimits {
            bytes: spec::DEFAULT_ROLL_BYTES as usize,
            rows: spec::DEFAULT_ROLL_ROWS as usize,
            age: Duration::from_secs(3600),
            idle: Duration::from_secs(3600),
        };
        let settings = LakeSettings {
            pipeline: "bench".to_owned(),
            roll,
            tables: std::collections::HashMap::new(),
            default_rules: Arc::new(rules),
            only: None,
            limits: Limits::default(),
        };
        let store = MemoryStore::new();
        let lake = Lake::open(Arc::new(store.clone()), Clock::system(), settings).await.expect("a lake");
        let identity = StreamIdentity { id: "bench".to_owned(), table: None, origin: None };
        let shard = lake.open_shard(&identity, &ShardId::new("shardId-000000000000"), None).await.expect("a shard");
        Self { store, shard }
    }

    /// The data files so far.
    pub fn files(&self) -> Vec<Bytes> {
        let objects = self.store.objects().into_iter();
        objects.filter(|(path, _)| path.ends_with(".parquet")).map(|(_, body)| body).collect()
    }

    /// Makes all records durable and answers the bytes of the files.
    pub async fn land(&mut self, records: &[Record]) -> u64 {
        let mut written = 0;
        // A page's worth at a time.
        for page in records.chunks(1000) {
            let mut left = page;
            while !left.is_empty() {
                let taken = self.shard.accept(left).await.expect("accepted");
                left = &left[taken..];
                if self.shard.is_due() {
                    written += self.commit().await;
                }
            }
        }
        written + self.commit().await
    }

    async fn commit(&mut self) -> u64 {
        let committed = self.shard.commit().await.expect("a commit");
        let committed = committed.map_or_else(Vec::new, |committed| {
            assert_eq!(committed.undecodable, 0, "all records are changes");
            committed.files
        });
        committed.iter().map(|(_, _, bytes)| bytes).sum()
    }
}

/// A runtime for one thread.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

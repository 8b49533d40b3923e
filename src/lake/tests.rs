//! Holds the lake to its promises on one shard: no value changes on its way, whatever the images and however ranges
//! are cut; and what a killed writer left open is completed to the same rows.

mod background;
mod generations;
mod kept;
mod lost;
mod members;
mod nested;
mod uploads;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::limits::Limits;
use super::range::Range;
use super::roll::RollLimits;
use super::schema::{Column, TableRules, TableSchema};
use super::store::ObjectStore;
use super::{Lake, LakeError, LakeSettings};
use crate::change::{Channel, Position, Record, SequenceNumber, ShardId};
use crate::clock::Clock;
use crate::source::StreamIdentity;
use crate::testing::rebuild::{self, Row};
use crate::testing::store::MemoryStore;

const NO_HURRY: RollLimits =
    RollLimits { bytes: 1 << 30, rows: 1 << 30, age: Duration::from_secs(3600), idle: Duration::from_secs(3600) };

fn stream() -> StreamIdentity {
    StreamIdentity { id: "stream".to_owned(), table: Some("T".into()), origin: None }
}

async fn open(store: &Arc<MemoryStore>, rules: TableRules) -> Arc<Lake> {
    let settings = LakeSettings {
        pipeline: "test".to_owned(),
        roll: NO_HURRY,
        tables: HashMap::new(),
        default_rules: Arc::new(rules),
        only: None,
        limits: Limits::default(),
    };
    let store: Arc<dyn ObjectStore> = store.clone();
    Lake::open(store, Clock::system(), settings).await.unwrap()
}

fn rules(max_columns: usize) -> TableRules {
    TableRules { max_columns, ..TableRules::default() }
}

fn record(ordinal: u64, change: &Value) -> Record {
    Record {
        position: Position::new(SequenceNumber::from_ordinal(ordinal)),
        channel: Channel::Streams,
        table: None,
        payload: Bytes::from(change.to_string()),
    }
}

fn modify(new: &Value, old: &Value) -> Value {
    json!({"eventName": "MODIFY", "eventID": "e", "dynamodb":
        {"Keys": {}, "NewImage": new, "OldImage": old, "ApproximateCreationDateTime": 1_795_165_200}})
}

/// All rows in the store, in shard order.
fn all_rows(store: &MemoryStore) -> Vec<Row> {
    let objects = store.objects();
    let mut rows = Vec::new();
    for (_, range) in objects.iter().filter(|(path, _)| path.starts_with("_watershed/ranges/")) {
        for file in Range::parse(range).unwrap().files {
            let path = format!("_watershed/schema/T/{:06}.json", file.schema);
            let columns: Vec<Column> = match objects.get(&path) {
                Some(bytes) => {
                    let mut stored: Value = serde_json::from_slice(bytes).unwrap();
                    serde_json::from_value(stored["columns"].take()).unwrap()
                }
                None => Vec::new(),
            };
            rows.extend(rebuild::rows(&objects[&file.path], &TableSchema::new("T".into(), file.schema, columns)));
        }
    }
    rows.sort_by(|a, b| (&a.sequence, a.sub).cmp(&(&b.sequence, b.sub)));
    rows
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        r"-?[1-9][0-9]{0,37}",
        r"-?(0|[1-9][0-9]{0,28})\.[0-9]{0,8}[1-9]",
        r"-?0\.0{0,120}[1-9]",
        Just("0".to_owned()),
        // Not canonical, yet some emulators send them.
        Just("1.50E+10".to_owned()),
        Just("007".to_owned()),
        Just("1.10".to_owned()),
        Just("-0".to_owned()),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..7);
    let base64 = move || bytes().prop_map(|bytes| base64_simd::STANDARD.encode_to_string(bytes));
    prop_oneof![
        any::<String>().prop_map(|text| json!({"S": text})),
        number().prop_map(|number| json!({"N": number})),
        base64().prop_map(|bytes| json!({"B": bytes})),
        Just(json!({"B": "AB=="})),
        any::<bool>().prop_map(|value| json!({"BOOL": value})),
        Just(json!({"NULL": true})),
        proptest::collection::vec(any::<String>(), 1..3).prop_map(|set| json!({"SS": set})),
        proptest::collection::vec(number(), 1..3).prop_map(|set| json!({"NS": set})),
        proptest::collection::vec(base64(), 1..3).prop_map(|set| json!({"BS": set})),
        Just(json!({"SS": [1]})),
        Just(json!({"FUTURE": {"x": [1, null]}})),
        Just(json!(null)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        let names = prop_oneof!["[a-c]", "SS|NS|BS|B|S|M", any::<String>()];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|list| json!({"L": list})),
            proptest::collection::vec((names, inner), 0..4)
                .prop_map(|members| json!({"M": members.into_iter().collect::<Map<_, _>>()})),
        ]
    })
}

fn image() -> impl Strategy<Value = Value> {
    // Few names, so that types clash; some that are the lake's own, or differ in case alone.
    let names = prop_oneof!["[a-d]", "[A-B]", "_op|_rest|_old|day|a b|é|\u{0}|\"", any::<String>()];
    proptest::collection::vec((names, value()), 0..8)
        .prop_map(|attributes| Value::Object(attributes.into_iter().collect::<Map<_, _>>()))
}

/// Lands a change for each pair of images, new and old, and rebuilds them from the lake.
fn comes_back(images: &[(Value, Value)], rules: TableRules) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = Arc::new(MemoryStore::new());
    runtime.block_on(async {
        let lake = open(&store, rules).await;
        let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
        let records: Vec<_> =
            images.iter().enumerate().map(|(at, (new, old))| record(at as u64 + 1, &modify(new, old))).collect();
        // Two calls and two ranges: schemas grow in between.
        let half = records.len() / 2;
        shard.accept(&records[..half]).await.unwrap();
        shard.commit().await.unwrap();
        shard.accept(&records[half..]).await.unwrap();
        shard.commit().await.unwrap();
    });
    let rows = all_rows(&store);
    prop_assert_eq!(rows.len(), images.len());
    for (row, (new, old)) in rows.iter().zip(images) {
        prop_assert_eq!(&row.new, new);
        prop_assert_eq!(row.old.as_ref(), Some(old));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_image_comes_back(images in proptest::collection::vec((image(), image()), 1..12), columns in 1usize..12) {
        comes_back(&images, rules(columns))?;
    }
}

#[tokio::test]
async fn an_open_range_is_completed_to_the_same_rows() {
    let whole = Arc::new(MemoryStore::new());
    let images: Vec<Value> = (0..40).map(|n| json!({format!("a{}", n % 7): {"N": n.to_string()}})).collect();
    let records: Vec<_> = images.iter().enumerate().map(|(at, new)| record(at as u64 + 1, &modify(new, new))).collect();
    let lake = open(&whole, rules(5)).await;
    let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    shard.accept(&records[..30]).await.unwrap();
    shard.commit().await.unwrap();
    let expected = all_rows(&whole);

    // The same lake, killed after the range and before its file.
    let torn = Arc::new(MemoryStore::new());
    for (path, body) in whole.objects().into_iter().filter(|(path, _)| !path.ends_with(".parquet")) {
        torn.create(&path, body).await.unwrap();
    }
    let lake = open(&torn, rules(5)).await;
    let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    assert!(shard.unfinished().is_some() && shard.position().is_none());
    let taken = shard.accept(&records).await.unwrap();
    assert!((taken, shard.plan_is_reached()) == (30, true));
    shard.commit().await.unwrap();
    assert_eq!(all_rows(&torn), expected);
    shard.accept(&records[taken..]).await.unwrap();
    shard.commit().await.unwrap();
    assert_eq!(all_rows(&torn).len(), 40);
}

#[tokio::test]
async fn a_source_that_tells_another_story_is_refused() {
    let store = Arc::new(MemoryStore::new());
    let records: Vec<_> = (1..=5).map(|n| record(n, &modify(&json!({"a": {"S": "x"}}), &json!({})))).collect();
    let lake = open(&store, rules(5)).await;
    let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    shard.accept(&records).await.unwrap();
    shard.commit().await.unwrap();
    let torn = Arc::new(MemoryStore::new());
    for (path, body) in store.objects().into_iter().filter(|(path, _)| !path.ends_with(".parquet")) {
        torn.create(&path, body).await.unwrap();
    }
    let lake = open(&torn, rules(5)).await;
    let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    let fewer: Vec<_> = records.iter().filter(|r| r.position.sequence.to_ordinal() != Some(3)).cloned().collect();
    shard.accept(&fewer).await.unwrap();
    assert!(matches!(shard.commit().await, Err(LakeError::Diverged { .. })));
}

#[tokio::test]
async fn broken_records_cost_only_themselves() {
    let store = Arc::new(MemoryStore::new());
    let lake = open(&store, rules(5)).await;
    let mut shard = lake.open_shard(&stream(), &ShardId::new("s"), None).await.unwrap();
    let good = modify(&json!({"a": {"S": "x"}}), &json!({"a": {"S": "w"}}));
    let mut records: Vec<_> = (1..=6).map(|n| record(n, &good)).collect();
    records[1].payload = Bytes::from_static(b"\xff\xfe");
    records[2].payload =
        Bytes::from_static(br#"{"eventName":"MODIFY","dynamodb":{"NewImage":{"a":{"S":"y"},"a":{"S":"z"}}}}"#);
    records[3].payload = Bytes::from_static(br#"{"eventName":"MODIFY","dynamodb":{"NewImage":{"a":{"S":"y"},"b":}}}"#);
    records[4].payload = Bytes::from_static(b"[]");
    shard.accept(&records).await.unwrap();
    let committed = shard.commit().await.unwrap().unwrap();
    assert_eq!(committed.undecodable, 4);
    let rows = all_rows(&store);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.new == json!({"a": {"S": "x"}}) && row.old == Some(json!({"a": {"S": "w"}}))));
}

#[tokio::test]
async fn a_lake_has_one_owner() {
    let store = Arc::new(MemoryStore::new());
    open(&store, rules(5)).await;
    let settings = LakeSettings {
        pipeline: "other".to_owned(),
        roll: NO_HURRY,
        tables: HashMap::new(),
        default_rules: Arc::new(rules(5)),
        only: None,
        limits: Limits::default(),
    };
    let refused = Lake::open(store, Clock::system(), settings).await.err().unwrap().to_string();
    assert!(refused.contains("belongs to pipeline `test`, not to `other`"), "{refused}");
}

#[tokio::test]
async fn tables_that_are_not_asked_for_stay_out() {
    let store = Arc::new(MemoryStore::new());
    let settings = LakeSettings {
        pipeline: "test".to_owned(),
        roll: NO_HURRY,
        tables: HashMap::new(),
        default_rules: Arc::new(rules(5)),
        only: Some(["Wanted".into()].into()),
        limits: Limits::default(),
    };
    let lake = Lake::open(store.clone(), Clock::system(), settings).await.unwrap();
    let kinesis = StreamIdentity { id: "stream".to_owned(), table: None, origin: None };
    let mut shard = lake.open_shard(&kinesis, &ShardId::new("s"), None).await.unwrap();
    let change = |table: &str| {
        let mut change = modify(&json!({"a": {"S": table}}), &json!({}));
        change["tableName"] = json!(table);
        change
    };
    let records = [record(1, &change("Other")), record(2, &change("Wanted")), record(3, &change("Other"))];
    shard.accept(&records).await.unwrap();
    let committed = shard.commit().await.unwrap().unwrap();
    assert_eq!(committed.files.iter().map(|(table, rows, _)| (&**table, *rows)).collect::<Vec<_>>(), [("Wanted", 1)]);
    // What was passed over is behind us, too.
    assert_eq!(committed.end, records[2].position);
}

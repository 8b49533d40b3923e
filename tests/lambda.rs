//! The real binary as a Lambda function: what every test of it needs, and what a table's stream and a Kinesis stream hold.

mod events;
mod figures;
mod servers;
mod storm;

use std::collections::HashMap;
use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};

use crate::handlers::at;
use crate::harness::lambda::Said;
use crate::harness::mapping::{TIMEOUT, Waiting, event};
use crate::harness::recorded::Recording;
use crate::harness::tools;

const STREAM: &str = "arn:aws:dynamodb:us-east-1:111122223333:table/Orders/stream/2026-11-20T08:15:30.123";
const KINESIS: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders-cdc";

/// A pipeline behind a table's stream.
fn of_table(lake: &str) -> String {
    pipeline("type = \"dynamodb-streams\"\ntables = [\"Orders\"]", lake)
}

/// A pipeline behind a Kinesis stream.
fn of_kinesis(lake: &str) -> String {
    pipeline("type = \"kinesis\"\nstream = \"orders-cdc\"", lake)
}

fn pipeline(source: &str, lake: &str) -> String {
    format!("name = \"orders\"\n\n[source]\n{source}\n\n[lake]\npath = \"{lake}\"\nroll = {{ rows = 150 }}\n")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(tools().repository(&format!("tests/fixtures/{name}"))).unwrap()
}

fn done() -> Said {
    Said::Answer(json!({"batchItemFailures": []}))
}

// -- what streams hold ---------------------------------------------------------------------------------------------------

const SHARDS: u64 = 3;
const ITEMS: u64 = 1000;

/// Changes of some items, in turn: what a stream's shards hold, and the history for the judge.
struct Written {
    shards: Vec<Vec<Waiting>>,
    history: String,
}

fn recording(changes: u64) -> Recording {
    let mut recording = Recording::default();
    for number in 0..changes {
        let (item, version) = (number % ITEMS, number / ITEMS);
        let mut attributes = json!({"Version": {"N": version.to_string()}});
        attributes[format!("a{}", number % 13)] = json!({"S": format!("value {number}")});
        recording.put("Orders", &format!("item-{item}"), attributes);
    }
    recording
}

/// The changes as a table's stream has them.
fn table(changes: u64) -> Written {
    let (recording, created) = (recording(changes), at());
    let mut shards = vec![Vec::new(); SHARDS as usize];
    for (number, line) in recording.lines.iter().enumerate() {
        let mut change: Value = serde_json::from_str(line).unwrap();
        change["dynamodb"]["ApproximateCreationDateTime"] = json!(created);
        for name in ["tableName", "recordFormat"] {
            change.as_object_mut().unwrap().remove(name);
        }
        let shard = number as u64 % ITEMS % SHARDS;
        let key = change["dynamodb"]["Keys"]["Id"]["S"].as_str().unwrap().to_owned();
        shards[shard as usize].push(of_stream(shard, number as u64, key, change));
    }
    Written { shards, history: recording.history() }
}

/// The `number`th record of a shard of the table's stream.
fn of_stream(shard: u64, number: u64, key: String, mut change: Value) -> Waiting {
    let identifier = format!("{}00000000{number:016}", 10_000 + shard);
    change["eventID"] = json!(format!("{shard:08x}{number:024x}"));
    change["eventSource"] = json!("aws:dynamodb");
    change["eventSourceARN"] = json!(STREAM);
    change["awsRegion"] = json!("us-east-1");
    change["dynamodb"]["SequenceNumber"] = json!(identifier);
    Waiting { text: change.to_string(), identifier, key, age: Duration::ZERO }
}

/// The changes as a Kinesis stream has them. Those of some items share a partition key, and what comes of one in a row may
/// be an aggregate.
fn kinesis(changes: u64) -> Written {
    const KEYS: u64 = 24;
    let (recording, created) = (recording(changes), at());
    let mut shards = vec![Vec::new(); SHARDS as usize];
    let mut waiting: HashMap<u64, Vec<Vec<u8>>> = HashMap::new();
    let mut flush = |key: u64, data: Vec<Vec<u8>>| {
        let records: &mut Vec<Waiting> = &mut shards[(key % SHARDS) as usize];
        records.push(of_shard(key % SHARDS, records.len() as u64, &format!("key-{key}"), data, created));
    };
    for (number, line) in recording.lines.iter().enumerate() {
        let mut change: Value = serde_json::from_str(line).unwrap();
        change["dynamodb"]["ApproximateCreationDateTime"] = json!(created * 1000);
        let key = number as u64 % ITEMS % KEYS;
        let open = waiting.entry(key).or_default();
        open.push(change.to_string().into_bytes());
        if open.len() > number % 5 {
            flush(key, std::mem::take(open));
        }
    }
    waiting.into_iter().filter(|(_, open)| !open.is_empty()).for_each(|(key, open)| flush(key, open));
    Written { shards, history: recording.history() }
}

/// The `number`th record of a shard of the Kinesis stream: a change, or an aggregate of several.
fn of_shard(shard: u64, number: u64, key: &str, mut data: Vec<Vec<u8>>, at: u64) -> Waiting {
    let identifier = format!("4965393457740317227003640323652322{shard:04}{number:018}");
    let data = if data.len() == 1 { data.remove(0) } else { aggregate(key, data) };
    let record = json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": key, "sequenceNumber": identifier,
            "data": base64_simd::STANDARD.encode_to_string(data), "approximateArrivalTimestamp": at as f64 + 0.25,
        },
        "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": format!("shardId-{shard:012}:{identifier}"),
        "eventName": "aws:kinesis:record", "invokeIdentityArn": "arn:aws:iam::111122223333:role/orders",
        "awsRegion": "us-east-1", "eventSourceARN": KINESIS,
    });
    Waiting { text: record.to_string(), identifier, key: key.to_owned(), age: Duration::ZERO }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Aggregate {
    #[prost(string, repeated, tag = "1")]
    partition_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<UserRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UserRecord {
    #[prost(uint64, required, tag = "1")]
    partition_key: u64,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
}

/// As the Kinesis Producer Library writes it.
fn aggregate(key: &str, data: Vec<Vec<u8>>) -> Vec<u8> {
    use md5::Digest as _;
    let records = data.into_iter().map(|data| UserRecord { partition_key: 0, data }).collect();
    let message = Aggregate { partition_keys: vec![key.to_owned()], records }.encode_to_vec();
    [&[0xF3, 0x89, 0x9A, 0xC2][..], &message, &md5::Md5::digest(&message)].concat()
}

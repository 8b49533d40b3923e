//! Writes to a table while something else reads it: fills it, then puts, deletes and recreates its items at random.

use std::collections::BTreeSet;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::{http, now, rest};

/// How many connections write side by side.
const WRITERS: u64 = 4;

/// What a call takes at most.
const BATCH: u64 = 25;

/// A connection to a JSON service of AWS that stays open. Every access key is as good as another to the test's servers.
pub struct Service {
    /// What the names of its operations begin with.
    prefix: &'static str,
    from: BufReader<TcpStream>,
}

impl Service {
    fn connect(port: u16, prefix: &'static str) -> Self {
        Self { prefix, from: BufReader::new(http::connect(port).unwrap()) }
    }

    pub fn dynamodb(port: u16) -> Self {
        Self::connect(port, "DynamoDB_20120810")
    }

    pub fn streams(port: u16) -> Self {
        Self::connect(port, "DynamoDBStreams_20120810")
    }

    pub fn kinesis(port: u16) -> Self {
        Self::connect(port, "Kinesis_20131202")
    }

    /// What an operation answers; panics where it refuses.
    pub fn call(&mut self, operation: &str, arguments: &Value) -> Value {
        let body = arguments.to_string();
        let (prefix, length) = (self.prefix, body.len());
        let version = if prefix.starts_with("Kinesis") { "1.1" } else { "1.0" };
        let head = format!(
            "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-amz-json-{version}\r\n\
             x-amz-target: {prefix}.{operation}\r\nx-amz-date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0\r\n\
             content-length: {length}\r\n\r\n"
        );
        self.from.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        let answer = http::read_response(&mut self.from, false).unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status(), 200, "{operation}: {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// Makes a table with the key `Id` and a stream.
    pub fn create_table(&mut self, table: &str, view: &str) {
        let arguments = json!({
            "TableName": table,
            "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": view},
        });
        self.call("CreateTable", &arguments);
    }

    fn write(&mut self, table: &str, requests: Vec<Value>) {
        let mut left = json!({ table: requests });
        while left.as_object().is_some_and(|left| !left.is_empty()) {
            left = self.call("BatchWriteItem", &json!({ "RequestItems": left }))["UnprocessedItems"].take();
        }
    }

    /// All items of a table, as DynamoDB JSON.
    pub fn items(&mut self, table: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut arguments = json!({"TableName": table, "ConsistentRead": true});
        loop {
            let page = self.call("Scan", &arguments);
            items.extend(page["Items"].as_array().unwrap().iter().cloned());
            match page.get("LastEvaluatedKey") {
                Some(key) => arguments["ExclusiveStartKey"] = key.clone(),
                None => return items,
            }
        }
    }
}

/// Invents items. No two of one writer are the same.
struct Items {
    random: StdRng,
    version: u64,
}

impl Items {
    fn put(&mut self, key: &str) -> Value {
        let random = &mut self.random;
        self.version += 1;
        let text = "x".repeat(random.random_range(0..300));
        let mut item = json!({"Id": {"S": key}, "Version": {"N": self.version.to_string()}, "Text": {"S": text}});
        // When it is written, as this machine's files tell their times: `lake_lag.py` looks at both.
        item["At"] = json!({"N": jiff::Timestamp::now().as_millisecond().to_string()});
        if random.random_bool(0.5) {
            item["Tags"] = json!({"SS": ["a", format!("t{}", random.random_range(0..5))]});
        }
        if random.random_bool(0.3) {
            item["Deep"] = json!({"M": {"n": {"N": "1.5"}, "b": {"B": "AAE="}, "z": {"NULL": true}}});
        }
        if random.random_bool(0.02) {
            item[format!("Rare{}", random.random_range(0..20))] = json!({"BOOL": true});
        }
        json!({"PutRequest": {"Item": item}})
    }

    fn put_or_delete(&mut self, key: &str, puts: f64) -> Value {
        if self.random.random_bool(puts) {
            self.put(key)
        } else {
            json!({"DeleteRequest": {"Key": {"Id": {"S": key}}}})
        }
    }
}

/// Fills a table that was made with `items` items.
pub fn load(port: u16, table: &str, items: u64) {
    let fill = |writer| {
        let table = table.to_owned();
        std::thread::spawn(move || {
            let mut made = Items { random: StdRng::seed_from_u64(writer), version: writer << 40 };
            let mut database = Service::dynamodb(port);
            for first in (0..items).step_by(BATCH as usize).filter(|first| first / BATCH % WRITERS == writer) {
                let batch = first..items.min(first + BATCH);
                database.write(&table, batch.map(|at| made.put(&format!("item-{at}"))).collect());
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(fill).collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

/// Writers at work.
pub struct Churn {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<()>>,
    since: Instant,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    written: AtomicU64,
}

impl Churn {
    /// Changes items of a table that had `items`, `rate` a second if the server can do so many.
    pub fn start(port: u16, table: &str, items: u64, rate: u64, seed: u64) -> Self {
        let (shared, since) = (Arc::<Shared>::default(), now());
        let writers = (0..WRITERS).map(|writer| {
            let (shared, table) = (shared.clone(), table.to_owned());
            let random = StdRng::seed_from_u64(seed * WRITERS + writer);
            let made = Items { random, version: (seed * WRITERS + writer + 100) << 40 };
            std::thread::spawn(move || churn(port, &table, items, rate as f64 / WRITERS as f64, made, &shared))
        });
        Self { writers: writers.collect(), shared, since }
    }

    /// How much they have written so far, and how much of it a second.
    pub fn so_far(&self) -> (u64, u64) {
        let written = self.shared.written.load(Ordering::Relaxed);
        (written, (written as f64 / self.since.elapsed().as_secs_f64()) as u64)
    }

    /// Stops them; answers how much they wrote, and how much of it a second.
    pub fn finish(mut self) -> (u64, u64) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for writer in std::mem::take(&mut self.writers) {
            writer.join().unwrap();
        }
        self.so_far()
    }
}

fn churn(port: u16, table: &str, items: u64, rate: f64, mut made: Items, shared: &Shared) {
    let mut database = Service::dynamodb(port);
    let (since, mut written) = (now(), 0);
    while written < 50 || !shared.stop.load(Ordering::Relaxed) {
        let random = &mut made.random;
        let keys: BTreeSet<_> =
            (0..BATCH).map(|_| format!("item-{}", random.random_range(0..items + items / 10 + 1))).collect();
        // In one second: an item is changed twice, deleted, or deleted and made again.
        let twice: Vec<_> = keys.iter().filter(|_| random.random_bool(0.3)).cloned().collect();
        database.write(table, keys.iter().map(|key| made.put_or_delete(key, 0.7)).collect());
        if !twice.is_empty() {
            database.write(table, twice.iter().map(|key| made.put_or_delete(key, 0.6)).collect());
        }
        let batch = (keys.len() + twice.len()) as u64;
        written += batch;
        shared.written.fetch_add(batch, Ordering::Relaxed);
        let ahead = written as f64 / rate - since.elapsed().as_secs_f64();
        if ahead > 0.0 {
            rest(Duration::from_secs_f64(ahead));
        }
    }
}

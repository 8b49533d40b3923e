//! A long history: 250 shards over three pages of DescribeStream, children listed before their parents, and sequence numbers
//! that grow longer and beyond any machine integer.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::http::Message;
use crate::harness::lake::walk;
use crate::harness::recorded::Recording;
use crate::harness::{Work, count_lines, judge, show};

const FAMILIES: usize = 25;
const GENERATIONS: usize = 10;
const RECORDS: usize = 3;
const STREAM: &str = "arn:aws:dynamodb:us-east-1:111122223333:table/Items/stream/2026-11-20T08:15:30.123";

const PIPELINE: &str = r#"
name = "history"

[source]
type = "dynamodb-streams"
tables = ["arn:aws:dynamodb:us-east-1:111122223333:table/Items/stream/2026-11-20T08:15:30.123"]
poll = "200ms"
discovery = "1s"

[lake]
path = "lake"
"#;

/// The `n`th sequence number of a family. Some are around 10^21, where a DynamoDB number gets its 22nd digit; some around
/// 10^39, beyond 2^128.
fn sequence(family: usize, n: usize) -> String {
    let digits = if family.is_multiple_of(2) { 21 } else { 39 };
    let number = 900 + 7 * n;
    if number < 1000 { "9".repeat(digits - 3) + &number.to_string() } else { format!("1{:0>digits$}", number - 1000) }
}

fn shard_id(family: usize, generation: usize) -> String {
    // Older than the first of them.
    format!("shardId-{:020}-{family:08x}", 1_795_161_600_000 + generation * 1000)
}

/// A DynamoDB stream of canned pages.
#[derive(Default)]
struct Canned {
    shards: Vec<Value>,
    records: HashMap<String, Vec<Value>>,
    parents: HashMap<String, String>,
    seen: Mutex<Seen>,
}

/// What was asked for.
#[derive(Default)]
struct Seen {
    pages: HashSet<Option<String>>,
    ended: HashSet<String>,
    too_early: Vec<String>,
}

impl Canned {
    fn new(recording: &mut Recording) -> Self {
        let mut canned = Self::default();
        for generation in 0..GENERATIONS {
            for family in 0..FAMILIES {
                canned.add(family, generation, recording);
            }
        }
        // Children first, so that most parents are on a later page.
        canned.shards.reverse();
        canned
    }

    fn add(&mut self, family: usize, generation: usize, recording: &mut Recording) {
        let id = shard_id(family, generation);
        let number = |n: usize| sequence(family, generation * RECORDS + n);
        for n in 0..RECORDS {
            recording.put("Items", &format!("family {family}"), json!({ "Version": { "N": number(n) } }));
            let mut record: Value = serde_json::from_str(recording.lines.last().unwrap()).unwrap();
            record["dynamodb"]["SequenceNumber"] = json!(number(n));
            record["dynamodb"]["ApproximateCreationDateTime"] = json!(1_795_165_200);
            self.records.entry(id.clone()).or_default().push(record);
        }
        let mut range = json!({ "StartingSequenceNumber": number(0) });
        if generation + 1 < GENERATIONS {
            range["EndingSequenceNumber"] = json!(number(RECORDS - 1));
        }
        let mut shard = json!({ "ShardId": id, "SequenceNumberRange": range });
        // The oldest have parents, too, but these are gone.
        let parent = generation.checked_sub(1).map_or(format!("{id}-parent"), |before| shard_id(family, before));
        shard["ParentShardId"] = json!(parent);
        self.parents.insert(id, parent);
        self.shards.push(shard);
    }

    fn answer(&self, operation: &str, request: &Value) -> (u16, Value) {
        let text = |name: &str| request[name].as_str().map(str::to_owned);
        match operation {
            "DescribeTable" => (
                200,
                json!({ "Table": {
                    "TableName": "Items", "TableStatus": "ACTIVE", "LatestStreamArn": STREAM,
                    "KeySchema": [{ "AttributeName": "Id", "KeyType": "HASH" }],
                    "AttributeDefinitions": [{ "AttributeName": "Id", "AttributeType": "S" }],
                    "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" },
                }}),
            ),
            "DescribeStream" => (200, self.describe(text("ExclusiveStartShardId"))),
            "GetShardIterator" => self.iterator(&text("ShardId").unwrap(), request),
            "GetRecords" => (200, self.page(&text("ShardIterator").unwrap())),
            other => (400, json!({ "__type": "ValidationException", "message": format!("{other} is not canned") })),
        }
    }

    fn describe(&self, from: Option<String>) -> Value {
        let is_from = |shard: &Value| shard["ShardId"].as_str() == from.as_deref();
        let start = self.shards.iter().position(is_from).map_or(0, |at| at + 1);
        let page = &self.shards[start..(start + 100).min(self.shards.len())];
        self.seen.lock().unwrap().pages.insert(from);
        let mut stream = json!({ "StreamArn": STREAM, "StreamStatus": "ENABLED", "Shards": page });
        if start + page.len() < self.shards.len() {
            stream["LastEvaluatedShardId"] = page.last().unwrap()["ShardId"].clone();
        }
        json!({ "StreamDescription": stream })
    }

    fn iterator(&self, shard: &str, request: &Value) -> (u16, Value) {
        let Some(records) = self.records.get(shard) else {
            return (400, json!({ "__type": "ResourceNotFoundException", "message": "no such shard" }));
        };
        let mut seen = self.seen.lock().unwrap();
        let parent = &self.parents[shard];
        if self.records.contains_key(parent) && !seen.ended.contains(parent) {
            seen.too_early.push(shard.to_owned());
        }
        let behind = |number: &str| records.iter().position(|r| r["dynamodb"]["SequenceNumber"] == number).unwrap() + 1;
        let at = request["SequenceNumber"].as_str().map_or(0, behind);
        (200, json!({ "ShardIterator": format!("{shard}|{at}") }))
    }

    /// Two records a page; an empty one at each shard's beginning.
    fn page(&self, iterator: &str) -> Value {
        let (shard, at) = iterator.split_once('|').unwrap();
        let (records, generations) = (&self.records[shard], GENERATIONS - 1);
        let is_open = shard.starts_with(&format!("shardId-{:020}", 1_795_161_600_000 + generations * 1000));
        if at == "0" {
            return json!({ "Records": [], "NextShardIterator": format!("{shard}|00") });
        }
        let at: usize = at.parse().unwrap();
        let end = (at + 2).min(records.len());
        let mut page = json!({ "Records": records[at..end] });
        if end < records.len() || is_open {
            page["NextShardIterator"] = json!(format!("{shard}|{end}"));
        } else {
            self.seen.lock().unwrap().ended.insert(shard.to_owned());
        }
        page
    }

    fn serve(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut from = BufReader::new(connection.try_clone()?);
        let Some(mut request) = Message::read_head(&mut from)? else { return Ok(()) };
        request.read_body(&mut from, false)?;
        let operation = request.header("x-amz-target").and_then(|target| target.split('.').next_back()).unwrap_or("");
        let (status, body) = self.answer(operation, &serde_json::from_slice(&request.body)?);
        let answer = Message::response(&format!("{status} X"), &body.to_string());
        connection.write_all(&answer.head(answer.body.len()))?;
        connection.write_all(&answer.body)
    }
}

/// Serves from threads that end with the process.
fn start(canned: Arc<Canned>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let canned = canned.clone();
            // A connection that breaks is the other side's end.
            std::thread::spawn(move || drop(canned.serve(connection)));
        }
    });
    endpoint
}

#[test]
fn two_hundred_and_fifty_shards_over_three_pages() {
    let mut recording = Recording::default();
    let canned = Arc::new(Canned::new(&mut recording));
    assert_eq!(canned.shards.len(), 250);
    let endpoint = start(canned.clone());
    let work = Work::new()
        .set("AWS_ENDPOINT_URL_DYNAMODB", endpoint.clone())
        .set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", endpoint);
    work.write("p.toml", PIPELINE);
    let history = work.write("history.ndjson", recording.history());

    work.run(&["run", "p.toml", "--once"]).expect(0);
    let verdict = judge(&work.path("lake"), &history, &[]);
    assert_eq!(verdict.count("rows"), count_lines(&history) as u64);
    let chains = walk(&work.path("lake"));
    assert_eq!((chains.chains, chains.gaps), (250, 0), "{chains:?}");
    let seen = canned.seen.lock().unwrap();
    assert_eq!(seen.pages.len(), 3);
    assert!(seen.too_early.is_empty(), "read before their parents were: {:?}", seen.too_early);
    drop(seen);
    let nothing = work.run(&["run", "p.toml", "--once"]).expect(0);
    assert!(nothing.stdout.contains("Nothing new"), "{}", nothing.stdout);
    show(&format!("250 shards over three pages: {}", verdict.0));
}

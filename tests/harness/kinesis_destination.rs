//! DynamoDB's Kinesis destination: takes what a table's stream has to a Kinesis stream, in the form that DynamoDB gives it
//! there, not in order and not only once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::churn::Service;
use super::rest;

/// A destination that is at work.
pub struct Destination {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Destination {
    /// From a table's stream, whose shards must not roll over meanwhile, into a Kinesis stream, which is made.
    pub fn start(dynamodb: u16, table: &str, kinesis: u16, stream: &str) -> Self {
        let mut to = Service::kinesis(kinesis);
        to.call("CreateStream", &json!({"StreamName": stream, "ShardCount": 2}));
        let active = |to: &mut Service| {
            let about = to.call("DescribeStreamSummary", &json!({"StreamName": stream}));
            about["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"
        };
        super::wait_for("the Kinesis stream", super::LIMIT, || active(&mut to).then_some(()));
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, table, stream) = (stop.clone(), table.to_owned(), stream.to_owned());
        let task = std::thread::spawn(move || {
            let mut carrier = Carrier::new(dynamodb, &table, to, stream);
            loop {
                let last = stopped.load(Ordering::Relaxed);
                let carried = carrier.carry();
                if carried == 0 && last {
                    return carrier.carried;
                }
                rest(Duration::from_millis(20));
            }
        });
        Self { stop, task }
    }

    /// Carries what is left, and answers how many records that made in all.
    pub fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.join().unwrap()
    }
}

struct Carrier {
    from: Service,
    to: Service,
    stream: String,
    table: String,
    /// The iterators of all shards.
    iterators: HashMap<String, String>,
    random: StdRng,
    /// When the last change was made, µs since the epoch.
    time: i64,
    carried: u64,
}

impl Carrier {
    fn new(dynamodb: u16, table: &str, to: Service, stream: String) -> Self {
        let mut tables = Service::dynamodb(dynamodb);
        let about = tables.call("DescribeTable", &json!({"TableName": table}));
        let arn = about["Table"]["LatestStreamArn"].clone();
        let mut from = Service::streams(dynamodb);
        let shards = from.call("DescribeStream", &json!({"StreamArn": arn}))["StreamDescription"]["Shards"].clone();
        let mut iterators = HashMap::new();
        for shard in shards.as_array().unwrap() {
            let id = shard["ShardId"].as_str().unwrap();
            let place = json!({"StreamArn": arn, "ShardId": id, "ShardIteratorType": "TRIM_HORIZON"});
            let iterator = from.call("GetShardIterator", &place)["ShardIterator"].as_str().unwrap().to_owned();
            iterators.insert(id.to_owned(), iterator);
        }
        let random = StdRng::seed_from_u64(1);
        Self { from, to, stream, table: table.to_owned(), iterators, random, time: 0, carried: 0 }
    }

    /// Carries one page of each shard.
    fn carry(&mut self) -> usize {
        let mut entries = Vec::new();
        for iterator in self.iterators.values_mut() {
            let page = self.from.call("GetRecords", &json!({"ShardIterator": iterator, "Limit": 400}));
            *iterator = page["NextShardIterator"].as_str().expect("no shard ends").to_owned();
            for record in page["Records"].as_array().unwrap() {
                self.time = (self.time + 1).max(jiff::Timestamp::now().as_microsecond());
                entries.push(entry(&self.table, record, self.time));
            }
        }
        let found = entries.len();
        // "At least once", and in no order; but never seconds late.
        let again: Vec<_> = entries.iter().filter(|_| self.random.random_bool(0.02)).cloned().collect();
        entries.extend(again);
        entries.shuffle(&mut self.random);
        for batch in entries.chunks(400) {
            let answer = self.to.call("PutRecords", &json!({"StreamName": self.stream, "Records": batch}));
            assert_eq!(answer["FailedRecordCount"], 0, "{answer}");
            self.carried += batch.len() as u64;
        }
        found
    }
}

/// A change as DynamoDB puts it into a Kinesis stream.
fn entry(table: &str, record: &Value, time: i64) -> Value {
    let change = &record["dynamodb"];
    let mut inner = json!({
        "ApproximateCreationDateTime": time, "ApproximateCreationDateTimePrecision": "MICROSECOND",
        "Keys": change["Keys"], "SizeBytes": 1,
    });
    for image in ["NewImage", "OldImage"] {
        if let Some(image_of) = change.get(image) {
            inner[image] = image_of.clone();
        }
    }
    let payload = json!({
        "awsRegion": "us-east-1", "eventID": record["eventID"], "eventName": record["eventName"], "userIdentity": null,
        "recordFormat": "application/json", "tableName": table, "dynamodb": inner, "eventSource": "aws:dynamodb",
    });
    let key = change["Keys"]["Id"]["S"].clone();
    json!({"PartitionKey": key, "Data": base64_simd::STANDARD.encode_to_string(payload.to_string())})
}

//! DynamoDB Local with what it lacks: exports to S3, and throttling. Everything else is passed on to it.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::churn::Service;
use super::exports::{full_with_id, upload};
use super::http::{self, Message};
use super::listener::Listener;

/// What stands in front of a DynamoDB Local.
pub struct Front {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    dynamodb: u16,
    /// Where exports go.
    s3: u16,
    /// How many of a thousand scans are refused as too many.
    throttled: AtomicU64,
    calls: Mutex<BTreeMap<String, u64>>,
    /// By the tokens of their requests.
    exports: Mutex<BTreeMap<String, Export>>,
}

/// An export that was asked for.
#[derive(Clone)]
struct Export {
    arn: String,
    completed: bool,
}

impl Front {
    /// In front of the DynamoDB Local of one port; its exports land in the S3 of another.
    pub fn start(dynamodb: u16, s3: u16) -> Self {
        let shared = Arc::new(Shared {
            dynamodb,
            s3,
            throttled: AtomicU64::new(0),
            calls: Mutex::default(),
            exports: Mutex::default(),
        });
        let serving = shared.clone();
        Self { listener: Listener::start(move |connection| serving.serve(connection)), shared }
    }

    pub fn endpoint(&self) -> String {
        self.listener.endpoint()
    }

    /// From now on so many of a thousand scans are refused.
    pub fn throttle(&self, per_mille: u64) {
        self.shared.throttled.store(per_mille, Ordering::Relaxed);
    }

    /// How often an operation was called.
    pub fn calls(&self, operation: &str) -> u64 {
        self.shared.calls.lock().unwrap().get(operation).copied().unwrap_or_default()
    }

    /// How many exports were made or are being made.
    pub fn exports(&self) -> usize {
        self.shared.exports.lock().unwrap().len()
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, connection: TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut client = connection.try_clone()?;
        let mut from = BufReader::new(connection);
        // One request a connection, as the answer's head says.
        let Some(mut request) = Message::read_head(&mut from)? else { return Ok(()) };
        request.read_body(&mut from, false)?;
        let answer = self.answer(&request)?;
        client.write_all(&answer.head(answer.body.len()))?;
        client.write_all(&answer.body)
    }

    fn answer(self: &Arc<Self>, request: &Message) -> io::Result<Message> {
        let operation = request.header("x-amz-target").and_then(|target| target.split_once('.'));
        let operation = operation.map_or("", |(_, operation)| operation).to_owned();
        let calls = {
            let mut calls = self.calls.lock().unwrap();
            let calls = calls.entry(operation.clone()).or_default();
            *calls += 1;
            *calls
        };
        let arguments = || serde_json::from_slice::<Value>(&request.body).unwrap();
        Ok(match operation.as_str() {
            // Evenly, whatever the rate.
            "Scan" if calls * 7919 % 1000 < self.throttled.load(Ordering::Relaxed) => json_answer(
                "400 Bad Request",
                &json!({"__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "message": "too much"}),
            ),
            "DescribeContinuousBackups" => json_answer(
                "200 OK",
                &json!({"ContinuousBackupsDescription": {
                    "ContinuousBackupsStatus": "ENABLED",
                    "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"},
                }}),
            ),
            "ExportTableToPointInTime" => self.export(&arguments()),
            "DescribeExport" => {
                let arn = arguments()["ExportArn"].as_str().unwrap().to_owned();
                let exports = self.exports.lock().unwrap();
                description(exports.values().find(|export| export.arn == arn).unwrap())
            }
            _ => http::exchange(self.dynamodb, request)?,
        })
    }

    /// The export of a token, which is made if there is none.
    fn export(self: &Arc<Self>, arguments: &Value) -> Message {
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let (token, table) = (text("ClientToken"), text("TableArn"));
        let mut exports = self.exports.lock().unwrap();
        let number = exports.len();
        let export = exports.entry(token.clone()).or_insert_with(|| {
            let id = format!("0179516880062{number}-0badcafe");
            let (made, bucket, prefix) = (self.clone(), text("S3Bucket"), text("S3Prefix"));
            let time = jiff::Timestamp::now().to_string();
            let (table, of) = (table.rsplit('/').next().unwrap().to_owned(), id.clone());
            std::thread::spawn(move || made.make(&token, &table, &of, &time, (&bucket, &prefix)));
            Export { arn: format!("{}/export/{id}", text("TableArn")), completed: false }
        });
        description(export)
    }

    /// Exports a table. It takes seconds, and what it finds of each item is of some moment in them.
    fn make(&self, token: &str, table: &str, id: &str, time: &str, (bucket, prefix): (&str, &str)) {
        super::rest(std::time::Duration::from_secs(2));
        let items = Service::dynamodb(self.dynamodb).items(table);
        let root = tempfile::tempdir().unwrap();
        full_with_id(root.path(), id, time, 3, items.into_iter());
        upload(root.path(), self.s3, bucket, prefix);
        super::rest(std::time::Duration::from_secs(2));
        self.exports.lock().unwrap().get_mut(token).unwrap().completed = true;
    }
}

fn description(export: &Export) -> Message {
    let status = if export.completed { "COMPLETED" } else { "IN_PROGRESS" };
    json_answer("200 OK", &json!({"ExportDescription": {"ExportArn": export.arn, "ExportStatus": status}}))
}

fn json_answer(status: &str, body: &Value) -> Message {
    let headers = vec![("content-type".to_owned(), "application/x-amz-json-1.0".to_owned())];
    Message { start: format!("HTTP/1.1 {status}"), headers, body: body.to_string().into_bytes() }
}

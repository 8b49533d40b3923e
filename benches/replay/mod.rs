//! What does a server answer that replays canned pages: every shard has the same ones, then nothing more?
//!
//! HTTP/1.1 with connections that stay open, a thread for each. An iterator is `SHARD:PAGE`, `SHARD:last` or `SHARD:end`.

#![allow(unreachable_pub, reason = "a bench has no outside; `pub` says what this offers to it")]

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::workload::{self, Change, Workload};

const STREAM: &str = "arn:aws:dynamodb:eu-central-1:111122223333:table/Reply/stream/2026-11-20T08:15:30.123";
const KINESIS: &str = "arn:aws:kinesis:eu-central-1:111122223333:stream/changes";

/// Which API is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Streams,
    Kinesis,
}

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Kinesis => "kinesis",
        }
    }

    /// The lines of a pipeline file that read it.
    pub fn described(self) -> String {
        match self {
            Self::Streams => format!("type = \"dynamodb-streams\"\ntables = [\"{STREAM}\"]"),
            Self::Kinesis => format!("type = \"kinesis\"\nstream = \"{KINESIS}\""),
        }
    }
}

/// The server. It goes on until the process ends.
pub struct Replay {
    port: u16,
    canned: Arc<Canned>,
}

struct Canned {
    service: Service,
    shards: usize,
    /// Each without its last brace, behind which the next iterator comes.
    pages: Vec<Vec<u8>>,
    /// The last record again, for a reader that makes sure of a shard's end.
    last: Vec<u8>,
    sent: AtomicU64,
}

impl Replay {
    pub fn start(service: Service, shards: usize, pages: usize, records: usize) -> Self {
        let page = |changes: &[Change]| {
            let mut page = match service {
                Service::Streams => workload::streams_page(changes, None),
                Service::Kinesis => workload::kinesis_page(changes, None),
            };
            page.truncate(page.len() - 1);
            page
        };
        let changes: Vec<Change> = Workload::Reply.changes(1).take(pages * records).collect();
        let pages = changes.chunks(records).map(page).collect();
        let last = page(&changes[changes.len() - 1..]);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let canned = Arc::new(Canned { service, shards, pages, last, sent: AtomicU64::new(0) });
        let answering = canned.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let canned = answering.clone();
                // A client that hangs up ends its thread.
                std::thread::spawn(move || canned.serve(&connection));
            }
        });
        Self { port, canned }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The bytes of all answers so far.
    pub fn bytes_sent(&self) -> u64 {
        self.canned.sent.load(Ordering::Relaxed)
    }
}

impl Canned {
    fn serve(&self, mut connection: &TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut requests = BufReader::new(connection);
        loop {
            let (mut target, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if requests.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                let Some((name, value)) = line.split_once(':') else { continue };
                if name.eq_ignore_ascii_case("x-amz-target") {
                    target = value.rsplit('.').next().unwrap_or_default().to_owned();
                } else if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
            }
            let mut body = vec![0; length];
            requests.read_exact(&mut body)?;
            let request: serde_json::Value = serde_json::from_slice(&body)?;
            let (page, rest) = self.answer(&target, &request);
            let length = page.len() + rest.len();
            self.sent.fetch_add(length as u64, Ordering::Relaxed);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\r\n"
            );
            connection.write_all(head.as_bytes())?;
            connection.write_all(page)?;
            connection.write_all(rest.as_bytes())?;
        }
    }

    /// An answer in two parts: a canned page, if there is one, and the rest.
    fn answer(&self, operation: &str, request: &serde_json::Value) -> (&[u8], String) {
        let rest = match operation {
            "GetRecords" => return self.page(request["ShardIterator"].as_str().unwrap_or_default()),
            "GetShardIterator" => {
                let shard = request["ShardId"].as_str().unwrap_or_default();
                // Nothing but the end is ever asked for again: behind the last record, or at it.
                let page = match request["ShardIteratorType"].as_str() {
                    Some("AFTER_SEQUENCE_NUMBER") => "end",
                    Some("AT_SEQUENCE_NUMBER") => "last",
                    _ => "0",
                };
                format!(r#"{{"ShardIterator":"{shard}:{page}"}}"#)
            }
            "DescribeStream" => format!(
                r#"{{"StreamDescription":{{"StreamArn":"{STREAM}","StreamStatus":"ENABLED","StreamViewType":"NEW_AND_OLD_IMAGES","TableName":"Reply","Shards":[{}]}}}}"#,
                self.shards(r#""StartingSequenceNumber":"1""#)
            ),
            "DescribeStreamSummary" => format!(
                r#"{{"StreamDescriptionSummary":{{"StreamName":"changes","StreamARN":"{KINESIS}","StreamStatus":"ACTIVE","RetentionPeriodHours":24,"StreamCreationTimestamp":1795100000.0,"EnhancedMonitoring":[],"OpenShardCount":{}}}}}"#,
                self.shards
            ),
            "ListShards" => format!(r#"{{"Shards":[{}]}}"#, self.shards(r#""StartingSequenceNumber":"1""#)),
            other => panic!("the daemon asked for {other:?}"),
        };
        (&[], rest)
    }

    fn page(&self, iterator: &str) -> (&[u8], String) {
        let (shard, page) = iterator.rsplit_once(':').unwrap_or_default();
        let goes_on = |page: &dyn std::fmt::Display| format!(r#","NextShardIterator":"{shard}:{page}"}}"#);
        if page == "last" {
            return (&self.last, goes_on(&"end"));
        }
        let page: usize = page.parse().unwrap_or(self.pages.len());
        match self.pages.get(page) {
            Some(body) => (body, goes_on(&(page + 1))),
            // The tip: the shards stay open, since ended ones would have children.
            None if self.service == Service::Kinesis => (br#"{"Records":[],"MillisBehindLatest":0"#, goes_on(&"end")),
            None => (br#"{"Records":[]"#, goes_on(&"end")),
        }
    }

    fn shards(&self, range: &str) -> String {
        let hash = r#""HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}"#;
        let shard = |at| {
            format!(r#"{{"ShardId":"shardId-0000001795100000000-{at:08}","SequenceNumberRange":{{{range}}},{hash}}}"#)
        };
        (0..self.shards).map(shard).collect::<Vec<_>>().join(",")
    }
}

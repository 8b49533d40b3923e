//! Stands between the binary and S3 (or all of a local AWS), writes down what is asked, and does what networks and S3 do on
//! bad days.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::http::{self, Message};
use super::listener::Listener;

/// What can go wrong with a PutObject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 409 ConditionalRequestConflict; nothing happened.
    Conflict,
    /// The object landed, and the answer is 412 PreconditionFailed, as after the SDK's own retry.
    ExistsAfterSuccess,
    /// 503 SlowDown; nothing happened.
    SlowDown,
    /// The object landed, and the connection broke before the answer.
    AnswerLost,
    /// Half of the object was sent, then the connection broke.
    Truncated,
    /// A byte of the object changed on its way.
    Damaged,
}

pub const FAULTS: [Fault; 6] =
    [Fault::Conflict, Fault::ExistsAfterSuccess, Fault::SlowDown, Fault::AnswerLost, Fault::Truncated, Fault::Damaged];

/// A proxy in front of one S3 server.
pub struct Proxy {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: u16,
    /// How many of a thousand PutObjects go wrong.
    rate: AtomicU64,
    random: Mutex<StdRng>,
    /// All requests are answered 503.
    outage: AtomicBool,
    /// Those are that get data files of exports.
    exports_away: AtomicBool,
    /// Uploads hang until this ends, and all others go through.
    blocked: AtomicBool,
    closed: AtomicBool,
    /// Chains that were looked at: a process that does so is about to read.
    chains_opened: AtomicU64,
    injected: Mutex<BTreeMap<Fault, u64>>,
    refused: AtomicU64,
    requests: Mutex<BTreeMap<String, u64>>,
    actions: Mutex<BTreeSet<String>>,
}

impl Proxy {
    /// Faults are drawn from `seed`, once a rate is set.
    pub fn start(upstream: u16, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            upstream,
            rate: AtomicU64::new(0),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            outage: AtomicBool::new(false),
            exports_away: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            chains_opened: AtomicU64::new(0),
            injected: Mutex::default(),
            refused: AtomicU64::new(0),
            requests: Mutex::default(),
            actions: Mutex::default(),
        });
        let serving = shared.clone();
        Self { listener: Listener::start(move |connection| serving.serve(connection)), shared }
    }

    pub fn endpoint(&self) -> String {
        self.listener.endpoint()
    }

    /// From now on so many of a thousand PutObjects go wrong.
    pub fn fail(&self, per_mille: u64) {
        self.shared.rate.store(per_mille, Ordering::Relaxed);
    }

    /// Answers everything with 503 from now on, or no longer.
    pub fn outage(&self, on: bool) {
        self.shared.outage.store(on, Ordering::Relaxed);
    }

    /// Answers whoever asks for a data file of an export with 503 from now on, or no longer.
    pub fn exports_away(&self, on: bool) {
        self.shared.exports_away.store(on, Ordering::Relaxed);
    }

    /// Lets uploads hang from now on, or no longer.
    pub fn block(&self, on: bool) {
        self.shared.blocked.store(on, Ordering::Relaxed);
    }

    /// How often a process has looked for the end of a chain.
    pub fn chains_opened(&self) -> u64 {
        self.shared.chains_opened.load(Ordering::Relaxed)
    }

    /// How often each fault was done.
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        self.shared.injected.lock().unwrap().clone()
    }

    /// How many requests of each method there were.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// What has been done since this was last asked, as IAM calls it.
    pub fn take_actions(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.shared.actions.lock().unwrap())
    }

    /// How many requests an outage has refused.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.blocked.store(false, Ordering::Relaxed);
    }
}

impl Shared {
    fn serve(&self, connection: TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut client = connection.try_clone()?;
        let mut from = BufReader::new(connection);
        // One request a connection, as the answer's head says.
        let Some(mut request) = Message::read_head(&mut from)? else { return Ok(()) };
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.read_body(&mut from, false)?;
        let Some(answer) = self.answer(&request)? else { return client.shutdown(Shutdown::Both) };
        let length = match answer.header("content-length") {
            Some(length) if request.target().0 == "HEAD" => length.parse().unwrap_or_default(),
            _ => answer.body.len(),
        };
        client.write_all(&answer.head(length))?;
        client.write_all(&answer.body)
    }

    /// The answer; `None`: the connection breaks.
    fn answer(&self, request: &Message) -> io::Result<Option<Message>> {
        let (method, target) = request.target();
        *self.requests.lock().unwrap().entry(method.to_owned()).or_default() += 1;
        self.actions.lock().unwrap().insert(action(request));
        if target.contains("list-type=2") && target.contains("ranges") {
            self.chains_opened.fetch_add(1, Ordering::Relaxed);
        }
        let of_export = method == "GET" && target.contains(".json.gz");
        if self.outage.load(Ordering::Relaxed) || of_export && self.exports_away.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(error("503 Slow Down", "SlowDown", "Please reduce your request rate.")));
        }
        while method == "PUT" && self.blocked.load(Ordering::Relaxed) && !self.closed.load(Ordering::Relaxed) {
            super::rest(std::time::Duration::from_millis(20));
        }
        let fault = if method == "PUT" { self.draw() } else { None };
        match fault {
            None => http::exchange(self.upstream, request).map(Some),
            Some(Fault::Conflict) => {
                let message = "The conditional request cannot succeed due to a conflicting operation.";
                Ok(Some(error("409 Conflict", "ConditionalRequestConflict", message)))
            }
            Some(Fault::SlowDown) => Ok(Some(error("503 Slow Down", "SlowDown", "Please reduce your request rate."))),
            Some(Fault::ExistsAfterSuccess) => {
                let answer = http::exchange(self.upstream, request)?;
                let message = "At least one of the pre-conditions you specified did not hold";
                let landed = answer.status() == 200;
                Ok(Some(if landed { error("412 Precondition Failed", "PreconditionFailed", message) } else { answer }))
            }
            Some(Fault::AnswerLost) => http::exchange(self.upstream, request).map(|_| None),
            Some(Fault::Truncated) => {
                let mut upstream = http::connect(self.upstream)?;
                upstream.write_all(&request.head(request.body.len()))?;
                upstream.write_all(&request.body[..request.body.len() / 2])?;
                upstream.shutdown(Shutdown::Both)?;
                Ok(None)
            }
            Some(Fault::Damaged) => {
                let mut damaged = request.clone();
                let middle = damaged.body.len() / 2;
                damaged.body.get_mut(middle).into_iter().for_each(|byte| *byte ^= 0x20);
                http::exchange(self.upstream, &damaged).map(Some)
            }
        }
    }

    fn draw(&self) -> Option<Fault> {
        let mut random = self.random.lock().unwrap();
        if random.random_range(0..1000) >= self.rate.load(Ordering::Relaxed) {
            return None;
        }
        let fault = FAULTS[random.random_range(0..FAULTS.len())];
        *self.injected.lock().unwrap().entry(fault).or_default() += 1;
        Some(fault)
    }
}

/// The permission that a request needs.
fn action(request: &Message) -> String {
    if let Some((service, operation)) = request.header("x-amz-target").and_then(|target| target.split_once('.')) {
        let service = ["dynamodb", "kinesis", "sqs"].into_iter().find(|name| service.to_lowercase().contains(name));
        return format!("{}:{operation}", service.unwrap_or("?"));
    }
    match request.target() {
        ("GET", target) if target.contains("list-type=2") => "s3:ListBucket",
        ("GET" | "HEAD", _) => "s3:GetObject",
        ("PUT" | "POST", _) => "s3:PutObject",
        ("DELETE", target) if target.contains("uploadId") => "s3:AbortMultipartUpload",
        _ => "s3:?",
    }
    .to_owned()
}

fn error(status: &str, code: &str, message: &str) -> Message {
    let body = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"#
    );
    Message::response(status, &body)
}

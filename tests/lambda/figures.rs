//! What does a function cost: size, cold start, time and memory of a full batch, and money?
//!
//! `cargo test --release --test it lambda::figures -- --nocapture` tells the figures of a release;
//! `WATERSHED_BINARY=target/lambda/watershed/bootstrap` those of a package.

use std::time::Duration;

use super::{TIMEOUT, done, event, of_table, table};
use crate::harness::lambda::Environment;
use crate::harness::proxy::Proxy;
use crate::harness::servers::MiniStack;
use crate::harness::{Work, binary, now, show, wait_for};

/// List prices of us-east-1 in dollars, as AWS's pricing pages have them (Lambda, S3, Data Firehose). Each in the first tier,
/// without free tiers.
mod price {
    /// A GB-second on arm64.
    pub const LAMBDA_GB_SECOND: f64 = 0.000_013_333_4;
    /// A request to Lambda.
    pub const LAMBDA_REQUEST: f64 = 0.20 / 1e6;
    /// An object that is created in S3.
    pub const S3_PUT: f64 = 0.005 / 1e3;
    /// Any other request to S3.
    pub const S3_GET: f64 = 0.0004 / 1e3;
    /// A GB that Firehose takes; each record counts as a multiple of 5 KB.
    pub const FIREHOSE_GB: f64 = 0.029;
    /// The same, to turn it into Parquet.
    pub const FIREHOSE_PARQUET_GB: f64 = 0.018;
}

/// The memory of a function, and what it gets of a processor with it: one whole with 1,769 MB.
const MEMORY_MB: f64 = 1024.0;
const PROCESSOR_MB: f64 = 1769.0;

/// What a request to S3 takes from Lambda. Not measured here; all of an invocation's wait for each other.
const S3_SECONDS: f64 = 0.03;

/// What some invocations took.
struct Took {
    invocations: usize,
    records: usize,
    bytes: usize,
    wall: Duration,
    processor: f64,
    puts: u64,
    others: u64,
}

impl Took {
    /// Dollars for a million changes: of Lambda, and of S3.
    fn dollars(&self) -> (f64, f64) {
        let waits = (self.puts + self.others) as f64 * S3_SECONDS;
        let seconds = self.processor * PROCESSOR_MB / MEMORY_MB + waits;
        let lambda =
            seconds * MEMORY_MB / 1024.0 * price::LAMBDA_GB_SECOND + self.invocations as f64 * price::LAMBDA_REQUEST;
        let s3 = self.puts as f64 * price::S3_PUT + self.others as f64 * price::S3_GET;
        let millions = self.records as f64 / 1e6;
        (lambda / millions, s3 / millions)
    }

    fn show(&self, what: &str) {
        let of = |total: f64| total / self.invocations as f64;
        let (lambda, s3) = self.dollars();
        show(&format!(
            "lambda: {what}: {} records, {} bytes: {:.3} s, {:.3} s of a processor, {:.1} PUTs and {:.1} other requests to S3; \
             dollars a million: Lambda {lambda:.4} + S3 {s3:.4} = {:.4}",
            self.records / self.invocations,
            self.bytes / self.invocations,
            of(self.wall.as_secs_f64()),
            of(self.processor),
            of(self.puts as f64),
            of(self.others as f64),
            lambda + s3
        ));
    }
}

/// Seconds of a processor that a process has had.
fn processor(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

fn invoke(environment: &Environment, s3: &Proxy, events: &[Vec<u8>], records: usize) -> Took {
    let requests = || {
        let all = s3.requests();
        (all.get("PUT").copied().unwrap_or_default(), all.values().sum::<u64>())
    };
    let (since, before, (puts, all)) = (now(), processor(environment.running.id()), requests());
    for event in events {
        assert_eq!(environment.invoke(event, TIMEOUT * 3, TIMEOUT * 5), Some(done()), "{}", environment.running.log());
    }
    let (puts_now, all_now) = requests();
    Took {
        invocations: events.len(),
        records,
        bytes: events.iter().map(Vec::len).sum(),
        wall: since.elapsed(),
        processor: processor(environment.running.id()) - before,
        puts: puts_now - puts,
        others: all_now - all - (puts_now - puts),
    }
}

fn cold_start(work: &Work) -> Duration {
    let environment = Environment::start(work, "orders.toml");
    let took = wait_for("the first poll", TIMEOUT, || environment.first_poll());
    environment.kill();
    took
}

/// The median of five.
fn cold_starts(work: &Work) -> Duration {
    let mut all: Vec<Duration> = (0..5).map(|_| cold_start(work)).collect();
    all.sort();
    all[2]
}

#[test]
fn figures_of_size_cold_start_batches_and_cost() {
    let size = std::fs::metadata(binary()).unwrap().len();
    show(&format!("lambda: binary {size} bytes, {} bytes in a package", packed()));

    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let proxy = Proxy::start(s3.port, 1);
    let work = Work::new().set("AWS_ENDPOINT_URL_S3", proxy.endpoint());
    work.write("orders.toml", of_table("lake"));
    let in_folder = cold_starts(&work);
    work.write("orders.toml", of_table("s3://lake-bucket/lake").replace("rows = 150", "rows = 100_000"));
    // The first one makes the lake.
    cold_start(&work);
    let requests = || proxy.requests().values().sum::<u64>();
    let before = requests();
    let in_s3 = cold_starts(&work);
    let each = (requests() - before) / 5;
    show(&format!(
        "lambda: start to first poll {in_folder:?} with a lake in a folder, {in_s3:?} in S3, with {each} requests to it"
    ));

    let mut records = table(36_300).shards.remove(0);
    let small: Vec<_> = records.split_off(10_000).chunks(100).take(20).map(event).collect();
    let full = [event(&records)];
    let environment = Environment::start(&work, "orders.toml");
    let first = invoke(&environment, &proxy, &full, records.len());
    first.show("a full batch");
    invoke(&environment, &proxy, &full, records.len()).show("the same again");
    let few = invoke(&environment, &proxy, &small, 2_000);
    few.show("a small batch");
    let status = std::fs::read_to_string(format!("/proc/{}/status", environment.running.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    show(&format!("lambda: peak memory {peak}"));
    environment.kill();
    // What is billed is a multiple of 5 KB.
    let per_record = (first.bytes as f64 / first.records as f64 / 5120.0).ceil() * 5120.0;
    let gigabytes = per_record * 1e6 / f64::from(1 << 30);
    let firehose = gigabytes * (price::FIREHOSE_GB + price::FIREHOSE_PARQUET_GB);
    show(&format!("lambda: Firehose, {gigabytes:.2} GB into Parquet: {firehose:.4} dollars a million"));
    // Kept records, a range and a file each time.
    assert!(first.puts >= 3 && few.puts >= 20 * 3, "{} and {} objects", first.puts, few.puts);
}

/// What the binary takes in a package, as `zip` packs it. One built for tests is of no interest.
fn packed() -> u64 {
    if cfg!(debug_assertions) && std::env::var_os("WATERSHED_BINARY").is_none() {
        return 0;
    }
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::copy(&mut std::fs::File::open(binary()).unwrap(), &mut packed).unwrap();
    packed.finish().unwrap().len() as u64
}

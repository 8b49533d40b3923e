//! The mapping in a storm: whatever is killed, times out, fails, comes again or side by side, nothing is lost and nothing
//! is twice in the lake; handlers get each change at least once, and those of an item in order.

use std::collections::HashSet;
use std::time::Duration;

use super::{TIMEOUT, Written, done, event, kinesis, of_kinesis, of_table, table};
use crate::handlers::{Endpoint, Manners, judge as judge_deliveries};
use crate::harness::lake::{Place, walk};
use crate::harness::lambda::Environment;
use crate::harness::mapping::{Counts, Mapping, storm};
use crate::harness::proxy::Proxy;
use crate::harness::servers::MiniStack;
use crate::harness::{Work, judge, now, show, tools};

/// Settings that `check --lambda` calls safe; the tests change some.
const SAFE: Mapping = Mapping {
    batch_size: 250,
    parallelization_factor: 1,
    bisect: true,
    maximum_retry_attempts: None,
    maximum_record_age: None,
};

const CHANGES: u64 = 50_000;

/// Sends all of a source through a storm into S3 and to a webhook, both of which fail now and then, and judges what came.
fn survive(name: &str, written: &Written, pipeline: fn(&str) -> String, mapping: Mapping, seed: u64) {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let proxy = Proxy::start(s3.port, seed);
    proxy.fail(20);
    let endpoint = Endpoint::start(Manners { fails: 10, hangs: 0 }, None);
    let work = Work::new()
        .set("AWS_ENDPOINT_URL_S3", proxy.endpoint())
        .set("HOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let hook = format!(
        "\n[[handlers]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"http://127.0.0.1:{}/hook\"\n\
         secret = \"env:HOOK_SECRET\"\nallow_private = true\nparallelization_factor = 10\n",
        endpoint.port
    );
    work.write("orders.toml", pipeline("s3://lake-bucket/some/prefix") + &hook);
    let history = work.write("history.ndjson", &written.history);
    let since = now();
    let counts = storm(&work, "orders.toml", &written.shards, mapping, seed);
    let took = since.elapsed();
    proxy.fail(0);
    finish(&work, written);
    let folder = Place::s3(s3.port, "lake-bucket", "some/prefix").fetch(&work.path("fetched"));
    let chains = walk(&folder);
    let repeats = judge_deliveries(&endpoint.state().taken.clone(), CHANGES as u32);
    let verdict = judge(&folder, &history, &[]);
    show(&format!(
        "lambda {name}: {counts}; {chains:?}; faults {:?}; lost={} twice={} reordered={}; {repeats} delivered again; {took:?}",
        proxy.injected(),
        verdict.count("lost"),
        verdict.count("twice"),
        verdict.count("reordered"),
    ));
    assert!(counts.kills >= 20 && counts.zombies >= 5 && counts.given_up.is_empty(), "{counts}");
    assert_eq!(counts.bisected > 0, mapping.bisect, "{counts}");
}

/// What a killed process left is completed by the next one: of each shard a batch that is in the lake comes once more.
fn finish(work: &Work, written: &Written) {
    let last = Environment::start(work, "orders.toml");
    for shard in &written.shards {
        assert_eq!(
            last.invoke(&event(&shard[shard.len() - 5..]), TIMEOUT, TIMEOUT),
            Some(done()),
            "{}",
            last.running.log()
        );
    }
    last.kill();
}

#[test]
fn kills_time_outs_and_failures_lose_nothing_and_repeat_nothing_of_a_table() {
    let mapping = Mapping { parallelization_factor: 2, ..SAFE };
    survive("of a table", &table(CHANGES), of_table, mapping, 1);
}

#[test]
fn kills_time_outs_and_failures_lose_nothing_and_repeat_nothing_of_a_kinesis_stream() {
    // Of an aggregate the whole record comes again. Batches are tried again whole, three lanes share each shard's chain.
    let mapping = Mapping { batch_size: 60, parallelization_factor: 3, bisect: false, ..SAFE };
    survive("of a Kinesis stream", &kinesis(CHANGES), of_kinesis, mapping, 2);
}

// -- what a mapping gives up with ----------------------------------------------------------------------------------------

const FEW: u64 = 3_000;

/// The numbers of all records in the lake, checked to be there once.
fn in_lake(work: &Work) -> HashSet<String> {
    let query = format!(
        "SELECT _sequence, _sub FROM read_parquet('{}/Orders/*/*.parquet', union_by_name = true)",
        work.text("lake")
    );
    let rows = tools().run("query.py", &[&query]);
    let rows: Vec<(String, String)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row[0].as_str().unwrap()[3..].to_owned(), row[1].to_string()))
        .collect();
    assert_eq!(rows.iter().collect::<HashSet<_>>().len(), rows.len(), "twice");
    rows.into_iter().map(|(sequence, _)| sequence).collect()
}

/// What is missing in the lake is what was given up. It is in the on-failure bucket, whole: sent to the function again it
/// lands, and then nothing is missing, and nothing is there twice.
fn only_what_was_given_up_is_missing(work: &Work, written: &Written, counts: &Counts) -> usize {
    finish(work, written);
    let there = in_lake(work);
    let given_up: HashSet<&str> =
        counts.given_up.iter().flat_map(|given| &given.records).map(|record| &*record.identifier).collect();
    let missing: Vec<_> =
        written.shards.iter().flatten().filter(|record| !there.contains(&record.identifier)).collect();
    let lost: Vec<_> = missing.iter().filter(|record| !given_up.contains(&*record.identifier)).collect();
    assert!(lost.is_empty(), "{} lost, such as {}", lost.len(), lost[0].identifier);
    let environment = Environment::start(work, "orders.toml");
    for given in &counts.given_up {
        let said = environment.invoke(&event(&given.records), TIMEOUT, TIMEOUT);
        assert_eq!(said, Some(done()), "{}", environment.running.log());
    }
    environment.kill();
    let history = work.write("history.ndjson", &written.history);
    judge(&work.path("lake"), &history, &[]);
    show(&format!("lambda: {counts}; {} of these not in the lake, until they were sent again", missing.len()));
    missing.len()
}

#[test]
fn what_a_mapping_gives_up_with_after_some_attempts_is_all_that_is_missing() {
    let work = Work::new();
    work.write("orders.toml", of_table("lake"));
    let written = table(FEW);
    let attempts = Some(1);
    let mapping =
        Mapping { batch_size: 40, parallelization_factor: 2, bisect: false, maximum_retry_attempts: attempts, ..SAFE };
    let counts = storm(&work, "orders.toml", &written.shards, mapping, 7);
    assert!(counts.given_up.iter().all(|given| given.condition == "RetryAttemptsExhausted"));
    only_what_was_given_up_is_missing(&work, &written, &counts);
}

#[test]
fn what_grows_too_old_is_all_that_is_missing() {
    const MAXIMUM: Duration = Duration::from_secs(3600);
    let work = Work::new();
    work.write("orders.toml", of_kinesis("lake"));
    let mut written = kinesis(FEW);
    // A tenth of each shard is too old from the beginning, as after an outage. Those behind it have fewer seconds left than
    // there are invocations before them, even if none fails: one of two lanes sends 20 records in each.
    for shard in &mut written.shards {
        let count = shard.len();
        for (at, record) in shard.iter_mut().enumerate() {
            record.age = match at * 10 / count {
                0 => MAXIMUM + Duration::from_secs(60),
                1..5 => MAXIMUM - Duration::from_secs(at as u64 / 100),
                _ => Duration::from_secs(5),
            };
        }
    }
    let mapping = Mapping { batch_size: 20, parallelization_factor: 2, maximum_record_age: Some(MAXIMUM), ..SAFE };
    let counts = storm(&work, "orders.toml", &written.shards, mapping, 8);
    assert!(counts.given_up.iter().all(|given| given.condition == "RecordAgeExceeded"));
    let old = written.shards.iter().flatten().filter(|record| record.age > MAXIMUM).count();
    let missing = only_what_was_given_up_is_missing(&work, &written, &counts);
    // What was never sent can't be there; and some grew too old while their batches were tried again.
    let given_up: usize = counts.given_up.iter().map(|given| given.records.len()).sum();
    assert!(
        old > 50 && missing >= old && given_up > old,
        "{missing} missing, {given_up} given up, {old} too old at first"
    );
}

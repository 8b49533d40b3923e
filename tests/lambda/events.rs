//! Events one by one: recorded ones, the largest, those that are none, and what a function answers near its deadline and
//! when a handler refuses.

use std::time::Duration;

use serde_json::{Value, json};

use super::{TIMEOUT, done, event, fixture, of_kinesis, of_stream, of_table, table};
use crate::handlers::{Endpoint, Manners};
use crate::harness::lake::{Place, walk};
use crate::harness::lambda::{Environment, Said};
use crate::harness::proxy::Proxy;
use crate::harness::servers::MiniStack;
use crate::harness::{Work, files_below, tools, wait_for};

#[test]
fn recorded_events_land_once_however_often_they_come() {
    let work = Work::new();
    work.write("orders.toml", of_table("lake"));
    work.write("kinesis.toml", of_kinesis("lake-kinesis"));
    let rows = |lake: &str| -> u64 {
        let ranges = files_below(&work.path(&format!("{lake}/_watershed/ranges")));
        let read = |path: &String| std::fs::read(work.path(&format!("{lake}/_watershed/ranges/{path}"))).unwrap();
        let range = |(path, _): &(String, u64)| serde_json::from_slice::<Value>(&read(path)).unwrap();
        ranges.iter().map(|found| range(found)["rows"].as_u64().unwrap()).sum()
    };
    for (pipeline, lake, events, expected) in [
        ("orders.toml", "lake", vec![("lambda_dynamodb_event.json", done())], 7),
        (
            "kinesis.toml",
            "lake-kinesis",
            vec![
                ("lambda_kinesis_event.json", done()),
                (
                    "lambda_kinesis_time_window_event.json",
                    Said::Answer(json!({"batchItemFailures": [], "state": {"ORDER#2001": 3}})),
                ),
            ],
            3,
        ),
    ] {
        for life in 0..2 {
            let environment = Environment::start(&work, pipeline);
            for _ in 0..2 {
                for (name, expected) in &events {
                    let said = environment.invoke(&fixture(name), TIMEOUT, TIMEOUT);
                    assert_eq!(said.as_ref(), Some(expected), "{name} in life {life}: {}", environment.running.log());
                }
            }
            environment.kill();
        }
        assert_eq!(rows(lake), expected, "{lake}");
    }
    // The aggregate's three records and two others are no changes.
    let letters: usize = files_below(&work.path("lake-kinesis/_watershed/dead-letters")).len();
    assert_eq!(letters, 1);
}

#[test]
fn what_is_no_batch_of_the_pipelines_stream_is_refused_with_what_it_is() {
    let work = Work::new();
    work.write("orders.toml", of_table("lake"));
    let environment = Environment::start(&work, "orders.toml");
    let refused = |event: &[u8]| match environment.invoke(event, TIMEOUT, TIMEOUT) {
        Some(Said::Error(why)) => why,
        other => panic!("{other:?}: {}", environment.running.log()),
    };
    assert!(refused(b"{}").contains("this is an empty event, and no batch of a DynamoDB stream"));
    assert!(refused(br#"{"key1":"value1"}"#).contains("the console's test event"));
    assert!(refused(br#"{"Records":[{"eventSource":"aws:sqs"}]}"#).contains("an event of `aws:sqs`"));
    assert!(refused(b"").contains("deserialize"), "the runtime's own answer");
    assert!(refused(b"{\"Records\":[").contains("deserialize"));
    assert!(
        refused(&fixture("lambda_kinesis_event.json")).contains("the pipeline's source is dynamodb-streams Orders")
    );
    let other =
        String::from_utf8(fixture("lambda_dynamodb_event.json")).unwrap().replace("table/Orders/", "table/Others/");
    assert!(refused(other.as_bytes()).contains("table/Others/"));
    // It still serves, also the largest event there is.
    assert_eq!(environment.invoke(br#"{"Records":[]}"#, TIMEOUT, TIMEOUT), Some(done()));
    let image = |n: u64| json!({"Id": {"S": n.to_string()}, "Blob": {"S": "x".repeat(100 << 10)}});
    let change = |n: u64| json!({"Keys": {"Id": {"S": n.to_string()}}, "NewImage": image(n)});
    let change = |n: u64| json!({"eventName": "INSERT", "dynamodb": change(n)});
    let large: Vec<_> = (0..60).map(|n| of_stream(0, n, n.to_string(), change(n))).collect();
    let large = event(&large);
    assert!(large.len() > 6_000_000);
    assert_eq!(environment.invoke(&large, TIMEOUT, TIMEOUT), Some(done()), "{}", environment.running.log());
    environment.kill();
}

#[test]
fn it_says_what_a_function_lacks() {
    let work = Work::new();
    let said = work.run(&["lambda"]).expect(2);
    assert!(said.stderr.contains("AWS_LAMBDA_RUNTIME_API is missing"), "{}", said.stderr);
    let mut variables = vec![("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9"), ("AWS_LAMBDA_FUNCTION_NAME", "f")];
    variables.extend([("AWS_LAMBDA_FUNCTION_VERSION", "1"), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")]);
    let said = work.spawn_with(&[], &variables).wait().expect(2);
    assert!(said.stderr.contains("WATERSHED_PIPELINE is missing"), "{}", said.stderr);
    for (name, odd) in [("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9/x"), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much")] {
        let said = work.spawn_with(&[], &[&variables[..], &[(name, odd)]].concat()).wait().expect(2);
        assert!(said.stderr.contains(&format!("{name} is {odd:?}, and Lambda sets")), "{}", said.stderr);
    }
    variables.push(("WATERSHED_PIPELINE", "s3://bucket"));
    let said = work.spawn_with(&[], &variables).wait().expect(2);
    assert!(said.stderr.contains("names no object: s3://BUCKET/KEY"), "{}", said.stderr);
    variables.push(("WATERSHED_PIPELINE", "file.toml"));
    work.write("file.toml", "name = \"f\"\n[source]\ntype = \"file\"\npath = \"x\"\n[lake]\npath = \"lake\"\n");
    let said = work.spawn_with(&[], &variables).wait().expect(2);
    assert!(said.stderr.contains("gets its changes from a mapping"), "{}", said.stderr);
    work.write("file.toml", of_table("lake"));
    variables.push(("LAMBDA_TASK_ROOT", "/var/task"));
    let said = work.spawn_with(&[], &variables).wait().expect(2);
    assert!(said.stderr.contains("is lost with its environment"), "{}", said.stderr);
}

#[test]
fn near_its_deadline_it_reports_what_is_left() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let proxy = Proxy::start(s3.port, 5);
    let work = Work::new().set("AWS_ENDPOINT_URL_S3", proxy.endpoint());
    work.write("orders.toml", of_table("s3://lake-bucket/p"));
    let environment = Environment::start(&work, "orders.toml");
    let shards = table(600).shards;
    wait_for("the first poll", TIMEOUT, || (environment.polls() > 0).then_some(()));
    // The store is away: an answer comes before the deadline all the same.
    proxy.outage(true);
    let said = environment.invoke(&event(&shards[0]), Duration::from_secs(4), TIMEOUT);
    let Some(Said::Error(why)) = said else { panic!("{said:?}: {}", environment.running.log()) };
    assert!(why.contains("the time of the invocation was over"), "{why}");
    proxy.outage(false);
    assert_eq!(environment.invoke(&event(&shards[0]), TIMEOUT, TIMEOUT), Some(done()));
    environment.kill();
}

#[test]
fn a_change_that_a_handler_does_not_take_is_the_first_that_comes_again_or_a_dead_letter() {
    let endpoint = Endpoint::start(Manners { fails: 0, hangs: 0 }, Some("item-7"));
    let work = Work::new().set("HOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let hook = |attempts: u32| {
        format!(
            "{}\n[[handlers]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"http://127.0.0.1:{}/hook\"\n\
             secret = \"env:HOOK_SECRET\"\nallow_private = true\nmaximum_retry_attempts = {attempts}\n",
            of_table("lake"),
            endpoint.port
        )
    };
    work.write("patient.toml", hook(1000));
    work.write("hasty.toml", hook(1));
    let shards = table(300).shards;
    let batch = &shards[1];
    let refused = batch.iter().find(|record| record.key == "item-7").unwrap();
    let environment = Environment::start(&work, "patient.toml");
    let said = environment.invoke(&event(batch), Duration::from_secs(30), TIMEOUT);
    let first = &refused.identifier;
    assert_eq!(said, Some(Said::Answer(json!({"batchItemFailures": [{"itemIdentifier": first}]}))));
    environment.kill();
    // All others have been delivered, and all are in the lake.
    assert_eq!(endpoint.state().taken.len(), batch.len() - 1);
    let environment = Environment::start(&work, "hasty.toml");
    assert_eq!(environment.invoke(&event(batch), TIMEOUT, TIMEOUT), Some(done()), "{}", environment.running.log());
    environment.kill();
    assert_eq!(files_below(&work.path("lake/_watershed/handlers/hook/dead-letters")).len(), 1);
    let select = format!(
        "SELECT count(*), count(DISTINCT Id) FROM read_parquet('{}/Orders/*/*.parquet', union_by_name = true)",
        work.text("lake")
    );
    let all = batch.len().to_string();
    assert_eq!(tools().run("query.py", &[&select]), json!([[all, all]]));
}

/// Of a batch that is too much for the time there is, what is in the lake stays there, and the rest comes again.
#[test]
fn what_was_done_in_time_is_reported_as_done() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let proxy = Proxy::start(s3.port, 5);
    let work = Work::new().set("AWS_ENDPOINT_URL_S3", proxy.endpoint());
    work.write("orders.toml", of_table("s3://lake-bucket/p").replace("rows = 150", "rows = 5"));
    let environment = Environment::start(&work, "orders.toml");
    wait_for("the first poll", TIMEOUT, || environment.first_poll());
    let batch = &table(3000).shards[0];
    let said = std::thread::scope(|scope| {
        // Two hundred ranges are to come, of three objects each. After some of them nothing can be stored any more.
        scope.spawn(|| {
            wait_for("some ranges", TIMEOUT, || (proxy.requests().get("PUT") > Some(&30)).then_some(()));
            proxy.block(true);
        });
        environment.invoke(&event(batch), Duration::from_secs(10), TIMEOUT)
    });
    proxy.block(false);
    let Some(Said::Answer(answer)) = said else { panic!("{said:?}: {}", environment.running.log()) };
    let first = answer["batchItemFailures"][0]["itemIdentifier"].as_str().expect("not all is done");
    let done_of_it = batch.iter().position(|record| record.identifier == first).unwrap();
    assert!(done_of_it >= 5 && done_of_it % 5 == 0, "{done_of_it}");
    assert_eq!(environment.invoke(&event(&batch[done_of_it..]), TIMEOUT, TIMEOUT), Some(done()));
    environment.kill();
    let folder = Place::s3(s3.port, "lake-bucket", "p").fetch(&work.path("fetched"));
    assert_eq!(walk(&folder).rows, batch.len() as u64);
}

/// Somebody's lifecycle rule was too quick: it deleted the kept records of a range that a killed process had begun.
#[test]
fn a_range_whose_kept_records_are_gone_is_completed_by_its_batch_or_passed_over() {
    let work = Work::new();
    work.write("stop.toml", of_table("lake"));
    work.write("resume.toml", of_table("lake").replace("[source]", "[source]\non_gap = \"resume\""));
    let shard = table(300).shards.remove(0);
    let (batch, next) = shard.split_at(40);
    let invoke = |pipeline: &str, records| {
        let environment = Environment::start(&work, pipeline);
        let said = environment.invoke(&event(records), TIMEOUT, TIMEOUT);
        let log = environment.kill().stderr;
        said.unwrap_or_else(|| panic!("no answer: {log}"))
    };
    let tear = || {
        for (path, _) in files_below(&work.path("lake")) {
            if path.ends_with(".parquet") || path.starts_with("_watershed/records/") {
                std::fs::remove_file(work.path("lake").join(path)).unwrap();
            }
        }
    };
    assert_eq!(invoke("stop.toml", batch), done());
    let whole = files_below(&work.path("lake"));
    tear();
    let Said::Error(why) = invoke("stop.toml", next) else { panic!("a range is not complete") };
    assert!(why.contains("give it back") && why.contains("on_gap = \"resume\""), "{why}");
    // The same batch again, and everything but the kept records is there again.
    assert_eq!(invoke("stop.toml", batch), done());
    let kept = |(path, _): &(String, u64)| !path.starts_with("_watershed/records/");
    assert_eq!(files_below(&work.path("lake")), whole.into_iter().filter(kept).collect::<Vec<_>>());
    tear();
    assert_eq!(invoke("resume.toml", next), done());
    assert_eq!(files_below(&work.path("lake/_watershed/gaps")).len(), 1);
    let rows = files_below(&work.path("lake/Orders")).len();
    assert!(rows > 0, "what came behind the gap has landed");
}

//! The real binary as a Lambda function: a runtime that speaks the real API, and a model of the mapping that batches, tries
//! again, bisects, takes partial answers, sends side by side, gives up, times out and kills.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::handlers::{Endpoint, Manners, at, judge as judge_deliveries};
use crate::harness::lake::{Place, walk};
use crate::harness::lambda::{Environment, Said};
use crate::harness::proxy::Proxy;
use crate::harness::queues::call;
use crate::harness::recorded::Recording;
use crate::harness::servers::MiniStack;
use crate::harness::{Work, files_below, judge, now, show, tools, wait_for};

const STREAM: &str = "arn:aws:dynamodb:us-east-1:111122223333:table/Orders/stream/2026-11-20T08:15:30.123";

const PIPELINE: &str = r#"
name = "orders"

[source]
type = "dynamodb-streams"
tables = ["Orders"]

[lake]
path = "LAKE"
roll = { rows = 150 }
"#;

const TIMEOUT: Duration = Duration::from_secs(300);

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(tools().repository(&format!("tests/fixtures/{name}"))).unwrap()
}

fn event(records: &[Value]) -> Vec<u8> {
    json!({ "Records": records }).to_string().into_bytes()
}

fn done() -> Said {
    Said::Answer(json!({"batchItemFailures": []}))
}

// -- events, one by one --------------------------------------------------------------------------------------------------

#[test]
fn recorded_events_land_once_however_often_they_come() {
    let work = Work::new();
    work.write("orders.toml", PIPELINE.replace("LAKE", "lake"));
    let kinesis = "[source]\ntype = \"kinesis\"\nstream = \"orders-cdc\"";
    let text = PIPELINE
        .replace("LAKE", "lake-kinesis")
        .replace("[source]\ntype = \"dynamodb-streams\"\ntables = [\"Orders\"]", kinesis);
    work.write("kinesis.toml", text);
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
    work.write("orders.toml", PIPELINE.replace("LAKE", "lake"));
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
    let large: Vec<Value> = (0..60).map(|n| change(0, n, 1, &json!({"Blob": {"S": "x".repeat(100 << 10)}}))).collect();
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
    variables.push(("WATERSHED_PIPELINE", "file.toml"));
    work.write("file.toml", "name = \"f\"\n[source]\ntype = \"file\"\npath = \"x\"\n[lake]\npath = \"lake\"\n");
    let said = work.spawn_with(&[], &variables).wait().expect(2);
    assert!(said.stderr.contains("gets its changes from a mapping"), "{}", said.stderr);
    work.write("file.toml", PIPELINE.replace("LAKE", "lake"));
    variables.push(("LAMBDA_TASK_ROOT", "/var/task"));
    let said = work.spawn_with(&[], &variables).wait().expect(2);
    assert!(said.stderr.contains("is lost with its environment"), "{}", said.stderr);
}

// -- the mapping, in a storm ---------------------------------------------------------------------------------------------

/// A record of the stream of table Orders: the `number`th of a shard.
fn change(shard: u64, number: u64, at: u64, attributes: &Value) -> Value {
    let mut image = attributes.clone();
    image["Id"] = json!({"S": format!("{shard}-{number}")});
    wrapped(
        shard,
        number,
        json!({"eventName": "INSERT", "dynamodb": {
            "ApproximateCreationDateTime": at, "Keys": {"Id": image["Id"]}, "NewImage": image, "SizeBytes": 1,
        }}),
    )
}

fn wrapped(shard: u64, number: u64, mut change: Value) -> Value {
    change["eventID"] = json!(format!("{shard:08x}{number:024x}"));
    change["eventSource"] = json!("aws:dynamodb");
    change["eventSourceARN"] = json!(STREAM);
    change["awsRegion"] = json!("us-east-1");
    change["dynamodb"]["SequenceNumber"] = json!(sequence(shard, number));
    change
}

fn sequence(shard: u64, number: u64) -> String {
    format!("{}00000000{number:016}", 10_000 + shard)
}

/// How a mapping behaves.
#[derive(Clone, Copy)]
struct Mapping {
    batch_size: usize,
    bisect: bool,
    maximum_retry_attempts: u32,
}

/// What happened.
#[derive(Debug, Default)]
struct Counts {
    invocations: u64,
    kills: u64,
    zombies: u64,
    time_outs: u64,
    errors: BTreeMap<String, u64>,
    partial: u64,
    /// Sequence numbers of records that went to the on-failure destination.
    discarded: HashSet<String>,
}

/// One lane of the mapping: one shard, or with a parallelization factor some of its items.
struct Lane<'a> {
    work: &'a Work,
    mapping: Mapping,
    random: StdRng,
    environment: Option<Environment>,
    /// Environments that Lambda has given up with, and that go on for a while.
    zombies: Vec<Environment>,
    counts: &'a Mutex<Counts>,
}

impl Lane<'_> {
    /// Sends all records of the lane, in batches.
    fn drive(&mut self, records: &[Value]) {
        for batch in records.chunks(self.mapping.batch_size) {
            let mut parts = VecDeque::from([(batch.to_vec(), self.mapping.maximum_retry_attempts)]);
            while let Some((part, attempts)) = parts.pop_front() {
                let left = match self.invoke(&part) {
                    Some(Said::Answer(answer)) => {
                        let failures = answer["batchItemFailures"].as_array().expect("a list").clone();
                        let Some(first) = failures.first() else { continue };
                        self.counts.lock().unwrap().partial += 1;
                        let at = |record: &Value| record["dynamodb"]["SequenceNumber"] == first["itemIdentifier"];
                        // An identifier that is not in the batch fails all of it.
                        part.iter().position(at).unwrap_or(0)
                    }
                    Some(Said::Error(why)) => {
                        let kind = why.split(": ").nth(1).unwrap_or(&why).chars().take(60).collect();
                        *self.counts.lock().unwrap().errors.entry(kind).or_default() += 1;
                        0
                    }
                    None => 0,
                };
                let rest = part[left..].to_vec();
                if attempts == 0 {
                    let numbers = rest.iter().map(|r| r["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned());
                    self.counts.lock().unwrap().discarded.extend(numbers);
                } else if self.mapping.bisect && left == 0 && rest.len() > 1 && self.random.random_bool(0.5) {
                    let half = rest.len() / 2;
                    parts.push_front((rest[half..].to_vec(), attempts));
                    parts.push_front((rest[..half].to_vec(), attempts));
                } else {
                    parts.push_front((rest, attempts - 1));
                }
            }
        }
        self.environment.take().map(Environment::kill);
        self.zombies.drain(..).for_each(|zombie| drop(zombie.kill()));
    }

    /// One invocation; `None` if nobody knows what became of it.
    fn invoke(&mut self, records: &[Value]) -> Option<Said> {
        let environment = self.environment.take().unwrap_or_else(|| Environment::start(self.work, "orders.toml"));
        let fate = self.random.random_range(0..100);
        let moment = Duration::from_millis(self.random.random_range(1..2500));
        let (timeout, patience) = match fate {
            0..20 => (TIMEOUT, moment),
            20..30 => (moment, moment),
            _ => (TIMEOUT, TIMEOUT * 2),
        };
        let said = environment.invoke(&event(records), timeout, patience);
        let mut counts = self.counts.lock().unwrap();
        counts.invocations += 1;
        match (&said, fate) {
            // The answer comes too late for Lambda: what was done comes again.
            (Some(_), 30..33) => {
                counts.zombies += 1;
                self.environment = Some(environment);
                return None;
            }
            (Some(_), 33..40) => {
                counts.kills += 1;
                drop(counts);
                environment.kill();
            }
            (Some(_), _) => self.environment = Some(environment),
            (None, 0..10) => {
                counts.zombies += 1;
                drop(counts);
                self.zombies.push(environment);
                if self.zombies.len() > 2 {
                    self.zombies.remove(0).kill();
                }
            }
            (None, _) => {
                assert!(fate < 30, "no answer within twice the timeout: {}", environment.running.log());
                if fate < 20 {
                    counts.kills += 1
                } else {
                    counts.time_outs += 1
                }
                drop(counts);
                environment.kill();
            }
        }
        said
    }
}

const SHARDS: u64 = 3;
const FACTOR: u64 = 2;
const ITEMS: u64 = 1000;

/// Everything the storm writes: what the shards hold, and the history for the judge.
fn written(changes: u64) -> (Vec<Vec<Value>>, String) {
    let mut recording = Recording::default();
    for number in 0..changes {
        let (item, version) = (number % ITEMS, number / ITEMS);
        let mut attributes = json!({"Version": {"N": version.to_string()}});
        attributes[format!("a{}", number % 13)] = json!({"S": format!("value {number}")});
        recording.put("Orders", &format!("item-{item}"), attributes);
    }
    let (mut shards, created) = (vec![Vec::new(); SHARDS as usize], at());
    for (number, line) in recording.lines.iter().enumerate() {
        let mut change: Value = serde_json::from_str(line).unwrap();
        change["dynamodb"]["ApproximateCreationDateTime"] = json!(created);
        for name in ["tableName", "recordFormat"] {
            change.as_object_mut().unwrap().remove(name);
        }
        let shard = number as u64 % ITEMS % SHARDS;
        shards[shard as usize].push(wrapped(shard, number as u64, change));
    }
    (shards, recording.history())
}

/// Drives all lanes side by side, and answers what happened.
fn storm(work: &Work, shards: &[Vec<Value>], mapping: Mapping, seed: u64) -> Counts {
    let counts = Mutex::new(Counts::default());
    std::thread::scope(|scope| {
        for (shard, records) in shards.iter().enumerate() {
            for lane in 0..FACTOR {
                let item = |record: &Value| {
                    let id = record["dynamodb"]["Keys"]["Id"]["S"].as_str().unwrap();
                    id.bytes().map(u64::from).sum::<u64>() % FACTOR
                };
                let records: Vec<Value> = records.iter().filter(|record| item(record) == lane).cloned().collect();
                let (counts, random) = (&counts, StdRng::seed_from_u64(seed + shard as u64 * 10 + lane));
                scope.spawn(move || {
                    let (environment, zombies) = (None, Vec::new());
                    Lane { work, mapping, random, environment, zombies, counts }.drive(&records);
                });
            }
        }
    });
    counts.into_inner().unwrap()
}

#[test]
fn kills_time_outs_and_failures_lose_nothing_and_repeat_nothing() {
    const CHANGES: u64 = 50_000;
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let proxy = Proxy::start(s3.port, 5);
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
    work.write("orders.toml", PIPELINE.replace("LAKE", "s3://lake-bucket/some/prefix") + &hook);
    let (shards, history) = written(CHANGES);
    let history = work.write("history.ndjson", history);
    let since = now();
    let mapping = Mapping { batch_size: 250, bisect: true, maximum_retry_attempts: u32::MAX };
    let counts = storm(&work, &shards, mapping, 1);
    let took = since.elapsed();
    // What a killed process left is completed by the next one.
    proxy.fail(0);
    let last = Environment::start(&work, "orders.toml");
    assert_eq!(last.invoke(&event(&shards[0][..5]), TIMEOUT, TIMEOUT), Some(done()), "{}", last.running.log());
    last.kill();

    let folder = Place::s3(s3.port, "lake-bucket", "some/prefix").fetch(&work.path("fetched"));
    let chains = walk(&folder);
    let repeats = judge_deliveries(&endpoint.state().taken.clone(), CHANGES as u32);
    show(&format!(
        "lambda: {counts:?}; {chains:?}; faults {:?}; {repeats} delivered again; {took:?}",
        proxy.injected()
    ));
    judge(&folder, &history, &[]);
    assert!(counts.kills >= 20 && counts.zombies >= 5 && counts.discarded.is_empty(), "{counts:?}");
}

#[test]
fn what_a_mapping_gives_up_with_is_all_that_is_missing() {
    const CHANGES: u64 = 3_000;
    let work = Work::new();
    work.write("orders.toml", PIPELINE.replace("LAKE", "lake"));
    let (shards, _) = written(CHANGES);
    let mapping = Mapping { batch_size: 40, bisect: false, maximum_retry_attempts: 1 };
    let counts = storm(&work, &shards, mapping, 7);
    let last = Environment::start(&work, "orders.toml");
    assert_eq!(last.invoke(&event(&shards[0][..5]), TIMEOUT, TIMEOUT), Some(done()));
    last.kill();
    let query =
        format!("SELECT _sequence FROM read_parquet('{}/Orders/*/*.parquet', union_by_name = true)", work.text("lake"));
    let rows = tools().run("query.py", &[&query]);
    let rows: Vec<String> =
        rows.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()[3..].to_owned()).collect();
    let distinct: HashSet<&String> = rows.iter().collect();
    assert_eq!(distinct.len(), rows.len(), "twice");
    let expected = shards.iter().flatten().map(|record| record["dynamodb"]["SequenceNumber"].as_str().unwrap());
    let missing: Vec<&str> = expected.filter(|sequence| !rows.iter().any(|row| row == sequence)).collect();
    assert!(missing.iter().all(|sequence| counts.discarded.contains(*sequence)), "lost: {missing:?}");
    show(&format!("lambda: {} discarded, {} of these not in the lake", counts.discarded.len(), missing.len()));
}

#[test]
fn near_its_deadline_it_reports_what_is_left() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let proxy = Proxy::start(s3.port, 5);
    let work = Work::new().set("AWS_ENDPOINT_URL_S3", proxy.endpoint());
    work.write("orders.toml", PIPELINE.replace("LAKE", "s3://lake-bucket/p"));
    let environment = Environment::start(&work, "orders.toml");
    let (shards, _) = written(600);
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
            PIPELINE.replace("LAKE", "lake"),
            endpoint.port
        )
    };
    work.write("patient.toml", hook(1000));
    work.write("hasty.toml", hook(1));
    let (shards, _) = written(300);
    let batch = &shards[1];
    let refused = batch.iter().find(|record| record["dynamodb"]["Keys"]["Id"]["S"] == "item-7").unwrap();
    let environment = Environment::start(&work, "patient.toml");
    let said = environment.invoke(&event(batch), Duration::from_secs(30), TIMEOUT);
    let first = &refused["dynamodb"]["SequenceNumber"];
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

/// What a cold start and a full batch take; `cargo test --release --test it lambda::figures` tells those of a release.
#[test]
fn figures_of_a_cold_start_and_a_full_batch() {
    let work = Work::new();
    work.write("orders.toml", PIPELINE.replace("LAKE", "lake").replace("rows = 150", "rows = 100_000"));
    let (shards, _) = written(30_000);
    let batch = event(&shards[0]);
    let since = now();
    let environment = Environment::start(&work, "orders.toml");
    wait_for("the first poll", TIMEOUT, || (environment.polls() > 0).then_some(()));
    let (cold, since) = (since.elapsed(), now());
    assert_eq!(environment.invoke(&batch, TIMEOUT * 5, TIMEOUT * 5), Some(done()), "{}", environment.running.log());
    let (full, since) = (since.elapsed(), now());
    assert_eq!(environment.invoke(&batch, TIMEOUT * 5, TIMEOUT * 5), Some(done()));
    let again = since.elapsed();
    let status = std::fs::read_to_string(format!("/proc/{}/status", environment.running.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    let (records, bytes) = (shards[0].len(), batch.len());
    let size = std::fs::metadata(crate::harness::binary()).unwrap().len();
    show(&format!(
        "lambda: binary {size} bytes; start to first poll {cold:?}; {records} records, {bytes} bytes: {full:?}, again {again:?}; peak memory {peak}"
    ));
    environment.kill();
}

// -- real mappings -------------------------------------------------------------------------------------------------------

/// A local server that runs the binary behind mappings of its own: of a table's stream, and of a Kinesis stream.
#[test]
fn a_servers_own_mappings_land_rows_in_its_bucket() {
    let server = MiniStack::start().with_bucket("lake-bucket");
    let endpoint = server.endpoint();
    let table = json!({
        "TableName": "Orders", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    });
    let made = call(&endpoint, "dynamodb", "create_table", &table);
    let stream = made["TableDescription"]["LatestStreamArn"].as_str().unwrap().to_owned();
    call(&endpoint, "kinesis", "create_stream", &json!({"StreamName": "orders-cdc", "ShardCount": 1}));
    let described = json!({"StreamName": "orders-cdc"});
    let kinesis = call(&endpoint, "kinesis", "describe_stream_summary", &described);
    let kinesis = kinesis["StreamDescriptionSummary"]["StreamARN"].as_str().unwrap().to_owned();

    let work = Work::new().set("AWS_ENDPOINT_URL", endpoint.clone());
    work.write("orders.toml", PIPELINE.replace("LAKE", "s3://lake-bucket/table"));
    let source = "type = \"dynamodb-streams\"\ntables = [\"Orders\"]";
    let text = PIPELINE.replace("LAKE", "s3://lake-bucket/kinesis");
    work.write("kinesis.toml", text.replace(source, "type = \"kinesis\"\nstream = \"orders-cdc\""));
    for (function, arn) in [("orders", &stream), ("kinesis", &kinesis)] {
        let variables = json!({
            "WATERSHED_PIPELINE": work.text(&format!("{function}.toml")), "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        });
        let binary = crate::harness::binary().to_str().unwrap();
        tools().run("bootstrap_function.py", &[&endpoint, function, binary, &variables.to_string()]);
        let mapping = json!({
            "FunctionName": function, "EventSourceArn": arn, "StartingPosition": "TRIM_HORIZON", "BatchSize": 100,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        });
        call(&endpoint, "lambda", "create_event_source_mapping", &mapping);
    }
    // What the mapping lacks is said.
    let said = work.run(&["check", "--lambda", "orders"]).expect(2);
    assert!(said.stdout.contains("it has no on-failure destination"), "{}", said.stdout);
    assert!(!said.stdout.contains("ReportBatchItemFailures is off"), "{}", said.stdout);

    for round in 0..3 {
        let put =
            |n: u64| json!({"PutRequest": {"Item": {"Id": {"S": format!("{round}/{n}")}, "N": {"N": n.to_string()}}}});
        let items: Vec<Value> = (0..25).map(put).collect();
        call(&endpoint, "dynamodb", "batch_write_item", &json!({"RequestItems": {"Orders": items}}));
        let record = |n: u64| {
            let line = crate::harness::recorded::record(
                "Orders",
                "INSERT",
                json!({
                    "ApproximateCreationDateTime": 1_795_165_200_000_u64, "Keys": {"Id": {"S": format!("{round}/{n}")}},
                    "NewImage": {"Id": {"S": format!("{round}/{n}")}}, "SizeBytes": 1,
                }),
            );
            json!({"Data": line, "PartitionKey": n.to_string()})
        };
        let records: Vec<Value> = (0..25).map(record).collect();
        call(&endpoint, "kinesis", "put_records", &json!({"StreamName": "orders-cdc", "Records": records}));
    }
    for lake in ["table", "kinesis"] {
        let count = wait_for("75 rows", TIMEOUT * 5, || {
            let into = tempfile::tempdir().unwrap();
            let folder = Place::s3(server.port, "lake-bucket", lake).fetch(into.path());
            let files = files_below(&folder);
            if !files.iter().any(|(path, _)| path.ends_with(".parquet")) {
                return None;
            }
            let select = format!(
                "SELECT count(*), count(DISTINCT Id) FROM read_parquet('{}/Orders/*/*.parquet', union_by_name = true)",
                folder.display()
            );
            let rows = tools().run("query.py", &[&select]);
            (rows[0][0].as_str().unwrap().parse::<u64>().unwrap() >= 75).then(|| rows[0].clone())
        });
        assert_eq!(count, json!(["75", "75"]), "{lake}");
    }
}

//! The handlers of each kind against servers that share no line with them: MiniStack for SQS, SNS, EventBridge and Lambda,
//! DynamoDB Local for replicas, the reference library of Standard Webhooks for signatures.

use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use watershed::change::{Channel, Position, Record, SequenceNumber, ShardId};
use watershed::clock::Clock;
use watershed::decode::envelope;
use watershed::handler::kinds::{self, Deps};
use watershed::handler::{Change, Delivery, Failure, Handler, HandlerError, ItemId, Outcome, Verdict};
use watershed::source::Aws;
use watershed::testing::store::MemoryStore;

use crate::harness::queues::{body, call, messages, new_queue};
use crate::harness::servers::{DynamoDbLocal, MiniStack, free_port};
use crate::harness::{LIMIT, http, tools, wait_for};

const STREAM: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/Reply/stream/2026-11-20T08:15:30.123";

/// As a process with these settings in its environment would have it.
fn aws(endpoint: &str) -> Arc<Aws> {
    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_s3::config::Credentials;
    let loading = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load();
    let config = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(loading));
    Arc::new(Aws::from_config(&config))
}

/// The handler that these keys describe, and the store beside it.
fn handler(endpoint: &str, keys: &str) -> (Arc<dyn Handler>, MemoryStore) {
    let text = format!(
        "name = 'p'\nlake.path = 'lake'\nsource = {{ type = 'file', path = 'in' }}\n[[handlers]]\nname = 'h'\ntables = ['Reply']\n{keys}"
    );
    let pipeline = watershed::pipeline::read("x.toml", &text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let store = MemoryStore::new();
    let (clock, out) = (Clock::system(), Arc::new(Mutex::new(Vec::new())));
    let deps = Deps { store: Arc::new(store.clone()), clock, aws: Some(aws(endpoint)), out };
    (kinds::build(&pipeline.handlers[0], &deps).unwrap(), store)
}

fn change_of(event: &str, number: u64, id: &str, images: &str) -> Change {
    let payload = format!(
        r#"{{"eventID":"e{number}","eventName":"{event}","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1",
        "dynamodb":{{"ApproximateCreationDateTime":1795165200,"Keys":{{"Id":{{"S":"{id}"}}}}{images},"SequenceNumber":"{number}"}}}}"#
    );
    let payload = Bytes::from(payload);
    let read = envelope::read(&payload, Channel::Streams).unwrap();
    let (item, changed_at) = (ItemId::of("Reply", &read), read.changed_at);
    let position = Position { sequence: SequenceNumber::from_ordinal(number), sub: 0 };
    let table: Arc<str> = "Reply".into();
    let record = Record { position, channel: Channel::Streams, table: Some(table.clone()), payload };
    Change { record, table, stream: STREAM.into(), shard: ShardId::new("shardId-1"), item, changed_at }
}

/// An insertion of an item with this status.
fn insert(number: u64, id: &str, status: &str) -> Change {
    let image = format!(r#","NewImage":{{"Id":{{"S":"{id}"}},"status":{{"S":"{status}"}},"n":{{"N":"1.50"}}}}"#);
    change_of("INSERT", number, id, &image)
}

fn delivery(changes: Vec<Change>) -> Delivery {
    Delivery { changes, attempt: 1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_get_each_change_once_and_large_ones_by_reference() {
    let server = MiniStack::start();
    let endpoint = server.endpoint();
    let queue = new_queue(&endpoint, "replies");
    let (sqs, store) = handler(&endpoint, &format!("type = 'sqs'\nqueue = '{queue}'"));
    assert!(!sqs.limits().several_of_one_item && sqs.limits().changes == 10);
    // U+FFFF is no character that a queue takes as it is.
    let changes = vec![insert(1, "a", "ok"), insert(2, "b", &"x".repeat(300_000)), insert(3, "c", "\u{ffff}")];
    assert_eq!(sqs.handle(&delivery(changes.clone())).await, Ok(Outcome::Done));
    let mut got: Vec<Value> = messages(&endpoint, &queue, 3).iter().map(body).collect();
    got.sort_by_key(|message| message["id"].as_str().map(|id| changes.iter().position(|c| c.delivery_id("h") == id)));
    assert_eq!(got[0]["new"], json!({"Id": {"S": "a"}, "status": {"S": "ok"}, "n": {"N": "1.50"}}));
    let reference = got[1]["reference"].as_str().unwrap();
    let kept = store.objects();
    let (path, payload) = kept.iter().next().unwrap();
    assert!(kept.len() == 1 && reference.ends_with(path), "{reference} {path}");
    assert_eq!(got[1]["bytes"], json!(payload.len()));
    assert_eq!(got[2]["new"]["status"]["S"], json!("\u{ffff}"));

    let (nowhere, _) = handler(&endpoint, &format!("type = 'sqs'\nqueue = '{queue}-not-there'"));
    let error = nowhere.handle(&delivery(changes[..1].to_vec())).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Failed(why) if why.contains("NonExistent")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifo_queue_keeps_the_order_of_items_and_drops_repetitions() {
    let server = MiniStack::start();
    let endpoint = server.endpoint();
    let queue = new_queue(&endpoint, "replies.fifo");
    let (sqs, _) = handler(&endpoint, &format!("type = 'sqs'\nqueue = '{queue}'\nformat = 'debezium'"));
    let changes: Vec<Change> = (0..4).map(|number| insert(number, "a", &number.to_string())).collect();
    for change in &changes {
        for _ in 0..2 {
            assert_eq!(sqs.handle(&delivery(vec![change.clone()])).await, Ok(Outcome::Done));
        }
    }
    let got = messages(&endpoint, &queue, 4);
    for (number, (message, change)) in got.iter().zip(&changes).enumerate() {
        assert_eq!(body(message)["after"]["status"], json!(number.to_string()));
        assert_eq!(message["Attributes"]["MessageGroupId"], json!(change.item.to_string()));
        assert_eq!(message["Attributes"]["MessageDeduplicationId"], json!(change.delivery_id("h")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_passes_changes_on_with_attributes_to_filter_by() {
    let server = MiniStack::start();
    let endpoint = server.endpoint();
    let queue = new_queue(&endpoint, "subscriber");
    let topic =
        call(&endpoint, "sns", "create_topic", &json!({ "Name": "replies" }))["TopicArn"].as_str().unwrap().to_owned();
    let subscription = json!({
        "TopicArn": topic, "Protocol": "sqs", "Endpoint": "arn:aws:sqs:us-east-1:000000000000:subscriber",
        "Attributes": { "RawMessageDelivery": "true", "FilterPolicy": "{\"op\":[\"REMOVE\"]}" },
    });
    call(&endpoint, "sns", "subscribe", &subscription);
    let (sns, _) = handler(&endpoint, &format!("type = 'sns'\ntopic = '{topic}'"));
    let removal = change_of("REMOVE", 2, "b", r#","OldImage":{"Id":{"S":"b"}}"#);
    assert_eq!(sns.handle(&delivery(vec![insert(1, "a", "ok"), removal.clone()])).await, Ok(Outcome::Done));
    let got = messages(&endpoint, &queue, 1);
    assert_eq!(body(&got[0])["id"], json!(removal.delivery_id("h")));
    assert_eq!(body(&got[0])["old"], json!({"Id": {"S": "b"}}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_gets_events_that_rules_can_match() {
    let server = MiniStack::start();
    let endpoint = server.endpoint();
    let queue = new_queue(&endpoint, "events");
    let pattern =
        r#"{"source":["watershed.p"],"detail-type":["Reply.inserted"],"detail":{"new":{"status":{"S":["ok"]}}}}"#;
    call(&endpoint, "events", "put_rule", &json!({ "Name": "r", "EventPattern": pattern }));
    let target = json!({ "Rule": "r", "Targets": [{ "Id": "1", "Arn": "arn:aws:sqs:us-east-1:000000000000:events" }] });
    call(&endpoint, "events", "put_targets", &target);
    let (bus, _) = handler(&endpoint, "type = 'eventbridge'");
    let changes = vec![insert(1, "a", "ok"), insert(2, "b", "other"), change_of("REMOVE", 3, "c", "")];
    assert_eq!(bus.handle(&delivery(changes.clone())).await, Ok(Outcome::Done));
    let got = messages(&endpoint, &queue, 1);
    let event = body(&got[0]);
    assert_eq!(event["detail"]["id"], json!(changes[0].delivery_id("h")));
    assert_eq!(event["resources"], json!(["arn:aws:dynamodb:us-east-1:000000000000:table/Reply"]));
    let (none, _) = handler(&endpoint, "type = 'eventbridge'\ntemplate = '[1]'");
    let outcome = none.handle(&delivery(changes[..1].to_vec())).await;
    assert!(matches!(outcome, Ok(Outcome::Failed(failures)) if failures[0].verdict == Verdict::Refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_functions_answer_means_what_it_means_to_lambda() {
    let server = MiniStack::start();
    let endpoint = server.endpoint();
    let code = tools().repository("tests/tools/fails_what_it_is_told.py");
    tools().run("lambda_function.py", &[&endpoint, "on-reply", code.to_str().unwrap()]);
    let (lambda, _) = handler(&endpoint, "type = 'lambda'\nfunction = 'on-reply'");
    let with = |statuses: &[&str]| {
        let changes = statuses.iter().enumerate().map(|(n, status)| insert(n as u64 + 1, &format!("i{n}"), status));
        delivery(changes.collect())
    };
    assert_eq!(lambda.handle(&with(&["ok", "ok", "ok"])).await, Ok(Outcome::Done));
    let outcome = lambda.handle(&with(&["ok", "bad", "ok", "bad"])).await;
    let Ok(Outcome::Failed(failures)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        failures.iter().map(|Failure { index, verdict, .. }| (*index, *verdict)).collect::<Vec<_>>(),
        [(1, Verdict::Retry), (2, Verdict::Unhandled), (3, Verdict::Unhandled)]
    );
    let error = lambda.handle(&with(&["ok", "odd"])).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Failed(_)), "{error:?}");
    let error = lambda.handle(&with(&["raise"])).await.unwrap_err();
    let HandlerError::Failed(why) = &error else { panic!("{error:?}") };
    assert!(why.starts_with("the function failed (Unhandled") && !why.contains("secret"), "{why}");
    // It takes its time, longer than the SDK waits for a connection that has stalled; but not longer than it may.
    assert_eq!(lambda.handle(&with(&["slow"])).await, Ok(Outcome::Done));
    let (hasty, _) = handler(&endpoint, "type = 'lambda'\nfunction = 'on-reply'\ntimeout = '2s'");
    let error = hasty.handle(&with(&["slow"])).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Failed(why) if why.contains("in time")), "{error:?}");
    let (deaf, _) = handler(&endpoint, "type = 'lambda'\nfunction = 'on-reply'\nreport_batch_item_failures = false");
    assert_eq!(deaf.handle(&with(&["bad"])).await, Ok(Outcome::Done));
    let (nowhere, _) = handler(&endpoint, "type = 'lambda'\nfunction = 'not-there'");
    let error = nowhere.handle(&with(&["ok"])).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Failed(why) if why.contains("NotFound")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_library_takes_our_signatures() {
    let (secret, port) = ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", free_port());
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    std::fs::write(&old, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
    std::fs::write(&new, secret).unwrap();
    let receiver = tools().start("verify_webhooks.py", &[&port.to_string(), secret, "3"]);
    let keys = |secret: &str| {
        format!("type = 'webhook'\nurl = 'http://127.0.0.1:{port}/hook'\nallow_private = true\nsecret = {secret}")
    };
    wait_for("the receiver", LIMIT, || http::connect(port).ok());
    let (old, new) = (old.display(), new.display());
    let (both, _) = handler("http://127.0.0.1:1", &keys(&format!("['file:{old}', 'file:{new}']")));
    let (changed, wrong) = (insert(1, "ä🌙", "ok"), insert(2, "b", "ok"));
    for _ in 0..2 {
        assert_eq!(both.handle(&delivery(vec![changed.clone()])).await, Ok(Outcome::Done));
    }
    let (only_old, _) = handler("http://127.0.0.1:1", &keys(&format!("'file:{old}'")));
    let error = only_old.handle(&delivery(vec![wrong])).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Unavailable { why, .. } if why.contains("signature")), "{error:?}");
    let got = receiver.finish();
    for message in &got.as_array().unwrap()[..2] {
        assert_eq!(message["id"], json!(changed.delivery_id("h")));
        assert_eq!(message["content"]["new"]["Id"], json!({"S": "ä🌙"}));
    }
    assert_eq!(got[2]["content"], Value::Null);
}

/// Where the inner half of the next test finds its port and key.
const INNER: &str = "WATERSHED_TEST_HTTPS";

/// The root certificates of a process come from its environment, so the half that calls is a process of its own.
#[test]
fn a_webhook_is_called_over_tls_if_its_certificate_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, key) = (folder.path().join("pem"), folder.path().join("key"));
    let mut openssl = std::process::Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=watershed test",
        "-keyout",
    ]);
    openssl.arg(&key).arg("-out").arg(&pem);
    openssl.args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = openssl.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (secret, port) = ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", free_port());
    let place = folder.path().join("secret");
    std::fs::write(&place, secret).unwrap();
    let tls = format!("{}:{}", pem.display(), key.display());
    let receiver = tools().start("verify_webhooks.py", &[&port.to_string(), secret, "1", &tls]);
    wait_for("the receiver", LIMIT, || http::connect(port).ok());
    let call = |known: bool| {
        let mut inner = std::process::Command::new(std::env::current_exe().unwrap());
        inner.args(["--exact", "handler_kinds::the_half_that_calls", "--ignored", "--nocapture"]);
        inner.env(INNER, format!("{port} {}", place.display()));
        if known {
            inner.env("SSL_CERT_FILE", &pem);
        }
        let output = inner.output().unwrap();
        (output.status.success(), format!("{output:?}"))
    };
    let (done, said) = call(false);
    assert!(!done && said.contains("Unavailable") && said.contains("invalid peer certificate"), "{said}");
    let (done, said) = call(true);
    assert!(done, "{said}");
    assert_eq!(receiver.finish()[0]["content"]["new"]["Id"], json!({"S": "a"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the inner half of another test"]
async fn the_half_that_calls() {
    let told = std::env::var(INNER).unwrap();
    let (port, place) = told.split_once(' ').unwrap();
    let keys =
        format!("type = 'webhook'\nurl = 'https://localhost:{port}/'\nallow_private = true\nsecret = 'file:{place}'");
    let (webhook, _) = handler("http://127.0.0.1:1", &keys);
    assert_eq!(webhook.handle(&delivery(vec![insert(1, "a", "ok")])).await, Ok(Outcome::Done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_the_same_item_for_item() {
    let server = DynamoDbLocal::start();
    let endpoint = server.endpoint();
    let table = json!({
        "TableName": "Replica", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "S"}],
    });
    call(&endpoint, "dynamodb", "create_table", &table);
    let items = || {
        let mut items: Vec<Value> = call(&endpoint, "dynamodb", "scan", &json!({ "TableName": "Replica" }))["Items"]
            .as_array()
            .unwrap()
            .clone();
        items.sort_by_key(|item| item["Id"]["S"].to_string());
        items
    };
    let (replica, _) = handler(&endpoint, "type = 'dynamodb'\ntable = 'Replica'");
    let full = r#","NewImage":{"Id":{"S":"a"},"n":{"N":"0.10000000000000000000000000000000000001"},"ss":{"SS":["x"]},"m":{"M":{"l":{"L":[{"BOOL":true},{"NULL":true}]}}}}"#;
    let mut changes = vec![
        insert(1, "a", "first"),
        insert(2, "b", "gone"),
        change_of("MODIFY", 3, "a", full),
        change_of("REMOVE", 4, "b", ""),
    ];
    changes.extend((5..40).map(|number| insert(number, &format!("c{number}"), "x")));
    // Again and again: the same.
    for _ in 0..2 {
        assert_eq!(replica.handle(&delivery(changes.clone())).await, Ok(Outcome::Done));
    }
    let found = items();
    assert_eq!(found.len(), 36);
    let expected = json!({"Id": {"S": "a"}, "n": {"N": "0.10000000000000000000000000000000000001"}, "ss": {"SS": ["x"]}, "m": {"M": {"l": {"L": [{"BOOL": true}, {"NULL": true}]}}}});
    assert_eq!(found[0], expected);

    // Keys only: there is nothing to write. A key of another type is refused by the table, and its own fault alone.
    let bad = change_of("INSERT", 50, "z", r#","NewImage":{"Id":{"N":"1"}}"#);
    let outcome = replica.handle(&delivery(vec![change_of("INSERT", 51, "y", ""), bad, insert(52, "last", "x")])).await;
    let Ok(Outcome::Failed(failures)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        failures.iter().map(|failure| (failure.index, failure.verdict)).collect::<Vec<_>>(),
        [(0, Verdict::Refused), (1, Verdict::Refused)]
    );
    assert!(failures[0].why.contains("NEW_IMAGE"), "{failures:?}");
    assert_eq!(items().len(), 37);

    // What we write and delete is marked.
    let (looped, _) = handler(&endpoint, "type = 'dynamodb'\ntable = 'Replica'\nloop_attribute = '_from'");
    assert_eq!(looped.handle(&delivery(vec![insert(60, "m", "x")])).await, Ok(Outcome::Done));
    let marked = items().into_iter().find(|item| item["Id"]["S"] == "m").unwrap();
    assert_eq!(marked["_from"]["S"], json!(format!("watershed:{}", insert(60, "m", "x").delivery_id("h"))));
    let ours = change_of("INSERT", 61, "skipped", r#","NewImage":{"Id":{"S":"skipped"},"_from":{"S":"watershed:x"}}"#);
    let gone = [change_of("REMOVE", 62, "m", ""), change_of("REMOVE", 63, "never-there", "")];
    let all = [vec![ours], gone.to_vec()].concat();
    assert_eq!(looped.handle(&delivery(all)).await, Ok(Outcome::Done));
    assert_eq!(items().len(), 37);

    let (nowhere, _) = handler(&endpoint, "type = 'dynamodb'\ntable = 'NotThere'");
    let error = nowhere.handle(&delivery(vec![insert(70, "a", "x")])).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Failed(why) if why.contains("NotFound")), "{error:?}");
}

/// STS and DynamoDB, as far as a replica with a role needs them: who asked for what, with whose key and in which region.
fn account_with_roles() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let Ok(Some(mut request)) = http::Message::read_head(&mut reader) else { continue };
            request.read_body(&mut reader, false).unwrap();
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let signed = request.header("authorization").and_then(|value| value.split("Credential=").nth(1)).unwrap();
            let scope: Vec<&str> = signed.split(['/', ',']).collect();
            let operation = request.header("x-amz-target").map_or(body, str::to_owned);
            seen.lock().unwrap().push(format!("{} {} {operation}", scope[0], scope[2]));
            let answer = if operation.contains("AssumeRole") { ASSUMED } else { "{}" };
            let answer = http::Message::response("200 OK", answer);
            connection.write_all(&answer.head(answer.body.len())).unwrap();
            connection.write_all(&answer.body).unwrap();
        }
    });
    (endpoint, asked)
}

const ASSUMED: &str = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIAOFTHEROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2126-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_in_another_account_and_region_is_written_under_its_role() {
    let (endpoint, asked) = account_with_roles();
    let role = "arn:aws:iam::222233334444:role/replica";
    let keys = format!("type = 'dynamodb'\ntable = 'Replica'\nregion = 'eu-central-1'\nrole = '{role}'");
    let (replica, _) = handler(&endpoint, &keys);
    for number in 0..3 {
        assert_eq!(replica.handle(&delivery(vec![insert(number, "a", "x")])).await, Ok(Outcome::Done));
    }
    let asked = asked.lock().unwrap().clone();
    let (assumed, written) = asked.split_first().unwrap();
    assert!(assumed.starts_with("test ") && assumed.contains("Action=AssumeRole"), "{assumed}");
    assert!(assumed.contains("role%2Freplica") && assumed.contains("RoleSessionName=watershed"), "{assumed}");
    assert_eq!(written, ["ASIAOFTHEROLE eu-central-1 DynamoDB_20120810.PutItem"; 3]);
}

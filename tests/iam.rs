//! `watershed iam`: what the real binary asks of AWS in each mode is in the policy, and what the policy has besides is
//! known by name.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::exports::{self, Invented};
use crate::harness::lambda::Environment;
use crate::harness::proxy::Proxy;
use crate::harness::queues::call;
use crate::harness::servers::{DynamoDbLocal, MiniStack};
use crate::harness::{LIMIT, Work, files_below, http};

const ITEMS: u64 = 40;

fn pipeline(name: &str, source: &str) -> String {
    format!(
        "name = \"{name}\"\nstate = \"dynamodb:positions\"\n[source]\n{source}\n[lake]\npath = \"s3://lake-bucket/{name}\"\n"
    )
}

/// A table with a stream, and one for the state.
fn tables() -> DynamoDbLocal {
    let server = DynamoDbLocal::start();
    let endpoint = server.endpoint();
    for (table, key) in [("Items", "Id"), ("positions", "leaseKey")] {
        let made = json!({
            "TableName": table, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        });
        call(&endpoint, "dynamodb", "create_table", &made);
    }
    let put = |n: u64| json!({"PutRequest": {"Item": {"Id": {"S": n.to_string()}}}});
    let items: Vec<Value> = (0..20).map(put).collect();
    call(&endpoint, "dynamodb", "batch_write_item", &json!({"RequestItems": {"Items": items}}));
    server
}

/// A Kinesis stream, and an export in S3.
fn server(work: &Work) -> MiniStack {
    let server = MiniStack::start().with_bucket("lake-bucket").with_bucket("exports");
    let endpoint = server.endpoint();
    call(&endpoint, "kinesis", "create_stream", &json!({"StreamName": "cdc", "ShardCount": 1}));
    let change = json!({"eventName": "INSERT", "tableName": "Items", "dynamodb": {
        "ApproximateCreationDateTime": 1_795_165_200_000_u64, "Keys": {"Id": {"S": "1"}}, "NewImage": {"Id": {"S": "1"}}}});
    let record = json!({"StreamName": "cdc", "PartitionKey": "1", "Data": change.to_string()});
    call(&endpoint, "kinesis", "put_record", &record);
    let items = Invented { items: ITEMS, seed: 1 };
    exports::full(&work.path("exported"), "2026-11-20T09:00:00Z", 2, items.before());
    for (path, _) in files_below(&work.path("exported")) {
        let body = std::fs::read(work.path("exported").join(&path)).unwrap();
        let stored = http::call(server.port, "PUT", &http::escaped(&format!("/exports/{path}")), &body).unwrap();
        assert_eq!(stored.status(), 200);
    }
    server
}

/// The actions that a policy allows.
fn allowed(work: &Work, arguments: &[&str]) -> BTreeSet<String> {
    let printed = work.run(&[&["iam"], arguments].concat()).expect(0).stdout;
    let policy: Value = serde_json::from_str(&printed).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|statement| statement["Action"].as_array().unwrap().clone());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_mode_does_what_its_policy_allows_and_hardly_less() {
    let work = Work::new();
    let (server, tables) = (server(&work), tables());
    let (proxy, of_tables) = (Proxy::start(server.port, 1), Proxy::start(tables.port, 1));
    let work = work
        .set("AWS_ENDPOINT_URL", proxy.endpoint())
        .set("AWS_ENDPOINT_URL_DYNAMODB", of_tables.endpoint())
        .set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", of_tables.endpoint());
    let table = "type = \"dynamodb-streams\"\ntables = [\"Items\"]";
    for (name, source) in [("daemon", table), ("scan", table), ("export", table), ("function", table)] {
        work.write(&format!("{name}.toml"), pipeline(name, source));
    }
    work.write("kinesis.toml", pipeline("kinesis", "type = \"kinesis\"\nstream = \"cdc\""));
    let export = "s3://exports/AWSDynamoDB/01795168800622-0badcafe";
    // What is only done when something goes wrong: an upload that is not finished, a position of which it is not known
    // whether it was saved.
    let seldom = ["dynamodb:GetItem", "s3:AbortMultipartUpload"];
    // What a mapping and Lambda itself do for a function.
    let mapping = [
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    ];
    let cases: [(&[&str], &[&str]); 5] = [
        (&["run", "daemon.toml", "--once"], &["daemon.toml", "--mode", "daemon"]),
        (&["run", "kinesis.toml", "--once"], &["kinesis.toml", "--mode", "daemon"]),
        (&["backfill", "scan.toml"], &["scan.toml", "--mode", "backfill"]),
        (
            &["backfill", "export.toml", "--snapshot-only", "--export", export],
            &["export.toml", "--mode", "backfill", "--snapshot-only", "--export", export],
        ),
        (&[], &["function.toml", "--mode", "lambda"]),
    ];
    for (command, policy) in cases {
        let _before = (proxy.take_actions(), of_tables.take_actions());
        if command.is_empty() {
            let event = std::fs::read(crate::harness::tools().repository("tests/fixtures/lambda_dynamodb_event.json"));
            let event = String::from_utf8(event.unwrap()).unwrap().replace("table/Orders/", "table/Items/");
            let environment = Environment::start(&work, policy[0]);
            assert!(environment.invoke(event.as_bytes(), LIMIT, LIMIT).is_some(), "{}", environment.running.log());
            environment.kill();
        } else {
            work.run(command).expect(0);
        }
        let done = &proxy.take_actions() | &of_tables.take_actions();
        let allowed = allowed(&work, policy);
        assert!(done.is_subset(&allowed), "{command:?} did {done:?}, and {policy:?} allows {allowed:?}");
        let spare: Vec<_> = allowed.difference(&done).filter(|action| !seldom.contains(&action.as_str())).collect();
        let expected: &[&str] = if command.is_empty() { &mapping } else { &[] };
        assert_eq!(spare, expected, "{policy:?} allows what {command:?} did not do");
    }
}

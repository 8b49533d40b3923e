//! A table's replica ends equal to it, after random writes over rotating shards, with the process killed again and again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use watershed::decode::number::canonical;

use crate::harness::servers::DynamoDbLocal;
use crate::harness::{Tool, Work, count_lines, files_below, rest, show, tools};

const KILLS: u32 = 15;
const TABLES: [&str; 4] = ["ProductCatalog", "Forum", "Thread", "Reply"];

const PIPELINE: &str = r#"
name = "replicas"

[source]
type = "dynamodb-streams"
tables = ["ProductCatalog", "Forum", "Thread", "Reply"]
poll = "200ms"
discovery = "1s"

[lake]
path = "lake"
roll = { age = "1s" }
"#;

fn call(endpoint: &str, operation: &str, arguments: &Value) -> Value {
    tools().run("aws.py", &[endpoint, "dynamodb", operation, &arguments.to_string()])
}

/// All items of a table, in an order of their own; sets have none, and DynamoDB Local keeps numbers as they were spelt where the
/// service answers their one plain form.
fn items(endpoint: &str, table: &str) -> Vec<String> {
    let found = call(endpoint, "scan", &json!({ "TableName": table, "ConsistentRead": true }));
    assert!(found.get("LastEvaluatedKey").is_none(), "{table} has more than a page");
    let mut items: Vec<String> =
        found["Items"].as_array().unwrap().iter().map(|item| sorted(item).to_string()).collect();
    items.sort();
    items
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let is_set = |name: &str| ["SS", "NS", "BS"].contains(&name);
            let one = |(name, inner): (&String, &Value)| match inner {
                Value::Array(set) if is_set(name) => {
                    let text = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
                    let spelt = |one: &Value| if name == "NS" { canonical(&text(one)).into_owned() } else { text(one) };
                    let mut set: Vec<String> = set.iter().map(spelt).collect();
                    set.sort();
                    (name.clone(), json!(set))
                }
                Value::String(number) if name == "N" => (name.clone(), json!(canonical(number))),
                other => (name.clone(), sorted(other)),
            };
            Value::Object(members.iter().map(one).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[test]
fn replicas_end_equal_to_their_tables_whatever_is_killed() {
    let server = DynamoDbLocal::start();
    let endpoint = server.endpoint();
    let work =
        Work::new().set("AWS_ENDPOINT_URL_DYNAMODB", &endpoint).set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", &endpoint);
    let (history, rollover) = (work.path("history.ndjson"), server.rollover_url());
    let writer = DynamoDbLocal::writer(&endpoint, &history);
    tools().run("write_dynamodb.py", &[&writer[..], &["--writes", "20", "--seed", "1"]].concat());
    let mut pipeline = PIPELINE.to_owned();
    for table in TABLES {
        let described = call(&endpoint, "describe_table", &json!({ "TableName": table }))["Table"].clone();
        let keys = described["KeySchema"].clone();
        let is_key = |attribute: &&Value| {
            keys.as_array().unwrap().iter().any(|key| key["AttributeName"] == attribute["AttributeName"])
        };
        let attributes: Vec<&Value> =
            described["AttributeDefinitions"].as_array().unwrap().iter().filter(is_key).collect();
        let name = format!("{table}Replica");
        let replica = json!({
            "TableName": name, "BillingMode": "PAY_PER_REQUEST", "KeySchema": keys, "AttributeDefinitions": attributes,
        });
        call(&endpoint, "create_table", &replica);
        pipeline += &format!(
            "[[handlers]]\nname = '{table}'\ntype = 'dynamodb'\ntables = ['{table}']\ntable = '{name}'\nparallelization_factor = 4\n"
        );
    }
    work.write("replicas.toml", pipeline);

    let (mut random, mut kills, mut seed, mut writing) = (StdRng::seed_from_u64(3), 0, 1, None::<Tool>);
    while kills < KILLS {
        if !writing.as_mut().is_some_and(Tool::is_running) {
            writing.take().map(Tool::finish);
            seed += 1;
            let seed = seed.to_string();
            let load = ["--seconds", "15", "--seed", &seed, "--rollover-url", &rollover, "--rollovers", "2"];
            writing = Some(tools().start("write_dynamodb.py", &[&writer[..], &load].concat()));
        }
        let mut daemon = work.spawn(&["run", "replicas.toml"]);
        rest(Duration::from_millis(random.random_range(300..3000)));
        assert!(daemon.is_running(), "it ended by itself: {}", daemon.log());
        daemon.kill();
        kills += 1;
    }
    writing.map(Tool::finish);
    work.run(&["run", "replicas.toml", "--once"]).expect(0);
    let letters = files_below(&work.path("lake/_watershed/handlers"));
    assert!(letters.is_empty(), "{letters:?}");
    let mut compared = 0;
    for table in TABLES {
        let (source, replica) = (items(&endpoint, table), items(&endpoint, &format!("{table}Replica")));
        let only = |these: &[String], others: &[String]| -> Vec<String> {
            these.iter().filter(|item| !others.contains(item)).cloned().collect()
        };
        let (missing, extra) = (only(&source, &replica), only(&replica, &source));
        assert!(missing.is_empty() && extra.is_empty(), "{table}: missing {missing:#?}\nextra {extra:#?}");
        compared += source.len();
    }
    let changes = count_lines(&history);
    assert!(compared > 20 && changes > 200, "{compared} items after {changes} changes prove little");
    show(&format!("replicas: changes={changes} kills={KILLS} items={compared}, all equal"));
}

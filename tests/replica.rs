//! A table's replica ends equal to it, after random writes over rotating shards, with the process killed again and again;
//! and two tables can be replicas of each other.

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

/// Two handlers, each way one.
const BOTH_WAYS: &str = r#"
name = "both-ways"
source = { type = "dynamodb-streams", tables = ["Here", "There"], poll = "200ms", discovery = "1s" }
lake = { path = "lake" }

[[handlers]]
name = "there"
type = "dynamodb"
tables = ["Here"]
table = "There"
loop_attribute = "_by"

[[handlers]]
name = "here"
type = "dynamodb"
tables = ["There"]
table = "Here"
loop_attribute = "_by"
"#;

#[test]
fn two_tables_are_replicas_of_each_other_and_nothing_goes_round() {
    let server = DynamoDbLocal::start();
    let endpoint = server.endpoint();
    let work =
        Work::new().set("AWS_ENDPOINT_URL_DYNAMODB", &endpoint).set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", &endpoint);
    work.write("both.toml", BOTH_WAYS);
    for table in ["Here", "There"] {
        let made = json!({
            "TableName": table, "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{ "AttributeName": "Id", "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": "Id", "AttributeType": "S" }],
            "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" },
        });
        call(&endpoint, "create_table", &made);
    }
    let write = |operations: Vec<Value>| {
        call(&endpoint, "transact_write_items", &json!({ "TransactItems": operations }));
    };
    let put = |table: &str, id: String| json!({ "Put": { "TableName": table, "Item": { "Id": { "S": id }, "Text": { "S": format!("put in {table}") } } } });
    // An update leaves the mark of a replicated item as it was.
    let update = |table: &str, id: String| {
        json!({ "Update": {
            "TableName": table, "Key": { "Id": { "S": id } }, "UpdateExpression": "SET Likes = :n",
            "ExpressionAttributeValues": { ":n": { "N": "7" } },
        } })
    };
    let delete = |table: &str, id: String| json!({ "Delete": { "TableName": table, "Key": { "Id": { "S": id } } } });
    // What was written in the first run comes back in the second, and is known there.
    let settle = || {
        for _ in 0..2 {
            work.run(&["run", "both.toml", "--once"]).expect(0);
        }
        let [here, there] = ["Here", "There"].map(|table| {
            let without_mark = |item: String| {
                let mut item: Value = serde_json::from_str(&item).unwrap();
                item.as_object_mut().unwrap().remove("_by");
                item.to_string()
            };
            items(&endpoint, table).into_iter().map(without_mark).collect::<Vec<_>>()
        });
        assert_eq!(here, there);
        here
    };

    for table in ["Here", "There"] {
        write((0..15).map(|n| put(table, format!("{table} {n}"))).collect());
    }
    assert_eq!(settle().len(), 30);
    for (table, other) in [("Here", "There"), ("There", "Here")] {
        let updated = (0..5).map(|n| update(table, format!("{other} {n}")));
        let deleted = (5..10).map(|n| delete(table, format!("{other} {n}")));
        let made_anew = (10..12).map(|n| put(table, format!("{other} {n}")));
        write(updated.chain(deleted).chain(made_anew).collect());
    }
    let found = settle();
    assert_eq!(found.len(), 20);
    assert_eq!(found.iter().filter(|item| item.contains("Likes")).count(), 10, "{found:#?}");
    // Deleted items may be made again, on either side.
    write((5..8).map(|n| put("There", format!("There {n}"))).collect());
    assert_eq!(settle().len(), 23);

    let files = files_below(&work.path("lake/Here"));
    work.run(&["run", "both.toml", "--once"]).expect(0);
    assert_eq!(files_below(&work.path("lake/Here")), files, "no write came back as a change that was written again");
    let letters = files_below(&work.path("lake/_watershed/handlers"));
    assert!(letters.is_empty(), "{letters:?}");
}

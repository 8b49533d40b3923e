//! Declared lists and structs, read back by DuckDB and pyarrow.

use serde_json::{Value, json};

use crate::harness::recorded::Recording;
use crate::harness::{Work, judge, tools};

const PIPELINE: &str = r#"
name = "nested"
source = { type = "file", path = "changes.ndjson" }
lake.path = "lake"
lake.partition_by = []
[lake.tables.Order]
keys = ["Id"]
indexes = ["Zone"]
[lake.tables.Order.columns]
Authors = "list<string>"
Lines = "list<struct<Sku: string, Qty: int64, Prices: list<decimal(10,2)>>>"
Meta = "struct<Lang: string, Score: decimal(5,2), `First name`: string, Tags: list<string>, Extra: json, At: struct<On: bool, Blob: binary, Rough: double>>"
Tags = "list<string>"
"#;

/// One item's attributes, of which every fifth has something in it that its column does not hold.
fn attributes(n: u64) -> Value {
    let spoilt = |odd: Value, fits: Value| if n % 5 == 4 { odd } else { fits };
    let line = |k: u64| {
        let price = spoilt(json!({"N": "1.999"}), json!({"N": format!("{k}.99")}));
        json!({"M": {"Sku": {"S": format!("sku {k}")}, "Qty": {"N": k.to_string()}, "Prices": {"L": [{"N": "0"}, price]}}})
    };
    let mut meta = json!({
        "Lang": {"S": "de"},
        "Score": spoilt(json!({"NULL": true}), json!({"N": "9.5"})),
        "First name": {"S": "Zoë \u{1f600}"},
        "Tags": {"L": [{"S": ""}, {"S": "x"}]},
        "Extra": {"M": {"big": {"N": "12345678901234567890123456789012345678"}, "set": {"SS": ["q"]}}},
        "At": {"M": {"On": {"BOOL": true}, "Blob": {"B": "AAE="}, "Rough": {"N": "0.1000000000000000000001"}}},
    });
    if n.is_multiple_of(3) {
        for member in ["Lang", "Tags", "At"] {
            meta.as_object_mut().unwrap().remove(member);
        }
    }
    json!({
        "Zone": {"S": format!("zone {}", n % 4)},
        "Authors": {"L": [{"S": "b"}, spoilt(json!({"N": "1"}), json!({"S": "a"}))]},
        "Lines": {"L": (0..n % 3).map(line).collect::<Vec<_>>()},
        "Meta": if n % 7 == 6 { json!({"M": {}}) } else { json!({ "M": meta }) },
        "Tags": spoilt(json!({"L": [{"S": "x"}]}), json!({"SS": ["x", "y"]})),
    })
}

#[test]
fn two_readers_find_every_value_of_declared_columns() {
    let mut recording = Recording::default();
    for n in 0..60 {
        recording.put("Order", &format!("item {}", n % 23), attributes(n));
    }
    recording.put("Order", "without", json!({ "Zone": {"S": "zone 9"} }));
    recording.remove("Order", "item 3");
    let work = Work::new();
    work.write("changes.ndjson", recording.recorded());
    let history = work.write("history.ndjson", recording.history());
    work.write("nested.toml", PIPELINE);
    work.run(&["run", "nested.toml"]).expect(0);
    let verdict = judge(&work.path("lake"), &history, &[]);
    assert_eq!(verdict.count("rows"), recording.lines.len() as u64);

    // And SQL reaches into them.
    let sql = format!(
        "SELECT Meta.At.Rough, Meta.\"First name\", len(Authors), Lines[2].Prices[2], count(*), \
         count(*) FILTER (_rest LIKE '%\"Meta\"%') FROM read_parquet('{}/Order/**/*.parquet') \
         WHERE Meta.Score = 9.50 AND len(Lines) = 2 AND Meta.Lang IS NOT NULL GROUP BY ALL",
        work.text("lake")
    );
    let rows = tools().run("query.py", &[&sql]);
    assert_eq!(rows, json!([["0.1", "Zoë \u{1f600}", "2", "1.99", "14", "0"]]));
    let printed = work.run(&["schema", "nested.toml"]).expect(0).stdout;
    for line in PIPELINE.lines().filter(|line| line.contains('<')) {
        let (name, storage) = line.split_once(" = ").unwrap();
        let found = printed.lines().find(|printed| printed.starts_with(name) && printed.contains(storage));
        assert!(found.is_some_and(|found| found.contains("to _rest")), "{line} is not in\n{printed}");
    }
}

//! Changes that try: nothing leaves the lake's prefix, and every value comes back.

use serde_json::{Map, Value, json};

use crate::harness::lake::{Place, walk};
use crate::harness::recorded::{Recording, View, record};
use crate::harness::servers::MiniStack;
use crate::harness::{Work, files_below, judge, tools};

fn pipeline(lake: &str, partition_by: &str) -> String {
    format!(
        "name = \"p\"\n[source]\ntype = \"file\"\npath = \"changes.ndjson\"\n[lake]\npath = \"{lake}\"\n\
         partition_by = {partition_by}\n"
    )
}

/// Runs a pipeline over recorded changes into a folder, and compares.
#[track_caller]
fn into_folder(recording: &Recording, partition_by: &str, view: View) -> Work {
    let work = Work::new();
    work.write("changes.ndjson", recording.recorded());
    let history = work.write("history.ndjson", recording.history());
    work.write("p.toml", pipeline("lake", partition_by));
    work.run(&["run", "p.toml"]).expect(0);
    let verdict = judge(&work.path("lake"), &history, &["--view", view.name()]);
    assert_eq!(verdict.count("rows"), recording.lines.len() as u64);
    assert_eq!(walk(&work.path("lake")).dead_letters, 0);
    work
}

/// Values that would like to be somewhere else.
fn hostile_values() -> Vec<String> {
    let fixed = [
        "../../x",
        "a=b",
        "%2F",
        "",
        "😀",
        "nul\0nul",
        "..",
        ".",
        "/",
        "/etc/passwd",
        "a/b",
        "\\..\\x",
        "%2e%2e%2f",
        "~",
        "a\nb",
        " ",
        "x ",
        "__HIVE_DEFAULT_PARTITION__",
        "null",
        "_watershed",
        "Zoë",
        "e\u{301}",
        "*?[x]",
        "'\"`$(x)",
        "a\u{202e}b",
        "\u{feff}",
        "CON",
        "%",
        "a+b c",
    ];
    let mut values: Vec<String> = fixed.map(str::to_owned).to_vec();
    values.extend(["x".repeat(2048), "/..".repeat(683), "😀".repeat(512)]);
    // These two differ in their last character only.
    values.push("x".repeat(2047) + "y");
    values
}

fn hostile_recording() -> Recording {
    let mut recording = Recording::default();
    for (n, value) in hostile_values().iter().enumerate() {
        let id = format!("item {n}");
        recording.put("T", &id, json!({ "Category": { "S": value }, "Sub": { "N": n.to_string() } }));
        recording.put("T", &id, json!({ "Category": { "S": value }, "Sub": { "S": value } }));
        if n % 3 == 0 {
            recording.remove("T", &id);
        }
    }
    recording.put("T", "without", json!({}));
    recording.put("T", "null", json!({ "Category": { "NULL": true } }));
    recording.put("T", "binary", json!({ "Category": { "B": "Li4vLi4veA==" } }));
    recording.put("T", "map", json!({ "Category": { "M": { "../x": { "S": "../x" } } } }));
    recording
}

#[test]
fn hostile_partition_values_stay_below_a_folder() {
    let recording = hostile_recording();
    let work = into_folder(&recording, r#"["Category", "Sub"]"#, View::NewAndOld);
    // Nothing anywhere but in the lake and the state.
    let outside: Vec<_> = files_below(&work.path(""))
        .into_iter()
        .filter(|(path, _)| !["lake/T/", "lake/_watershed/", "state/p/"].iter().any(|root| path.starts_with(root)))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(outside, ["changes.ndjson", "history.ndjson", "p.toml"]);
    let beside = files_below(&work.path("..")).into_iter().find(|(path, _)| !path.starts_with("work/"));
    assert_eq!(beside, None);
    // DuckDB takes the folders for what they are, and finds each long value by its own.
    let sql = format!(
        "SELECT count(*), count(DISTINCT filename) FROM read_parquet('{}/T/**/*.parquet', filename = true, \
         union_by_name = true, hive_partitioning = true)",
        work.text("lake")
    );
    let rows = tools().run("query.py", &[&sql]);
    assert_eq!(rows[0][0], recording.lines.len().to_string());
}

#[test]
fn hostile_partition_values_stay_below_a_prefix() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let work = Work::new().set("AWS_ENDPOINT_URL_S3", s3.endpoint());
    let recording = hostile_recording();
    work.write("changes.ndjson", recording.recorded());
    let history = work.write("history.ndjson", recording.history());
    work.write("p.toml", pipeline("s3://lake-bucket/deep/prefix", r#"["Category", "Sub"]"#));
    work.run(&["run", "p.toml"]).expect(0);

    let listing = json!({ "Bucket": "lake-bucket" }).to_string();
    let listed = tools().run("aws.py", &[&s3.endpoint(), "s3", "list_objects_v2", &listing]);
    let keys: Vec<_> =
        listed["Contents"].as_array().unwrap().iter().map(|object| object["Key"].as_str().unwrap()).collect();
    let outside = |key: &&&str| {
        !["deep/prefix/T/", "deep/prefix/_watershed/"].iter().any(|root| key.starts_with(root))
            || key.split('/').any(|segment| matches!(segment, "" | "." | ".."))
    };
    assert_eq!(keys.iter().filter(outside).collect::<Vec<_>>(), [&""; 0]);
    let folder = Place::s3(s3.port, "lake-bucket", "deep/prefix").fetch(&work.path("fetched"));
    let verdict = judge(&folder, &history, &[]);
    assert_eq!(verdict.count("rows"), recording.lines.len() as u64);
}

#[test]
fn hostile_table_names_stay_below_the_lake() {
    let mut recording = Recording::default();
    let tables = ["../../escape", "/etc/x", "_watershed", ".hidden", "..", "a=b", "nul\0nul", "", "T", "t"];
    for (n, table) in tables.iter().enumerate() {
        recording.put(table, &n.to_string(), json!({ "A": { "S": *table } }));
    }
    let work = Work::new();
    work.write("changes.ndjson", recording.recorded());
    work.write("p.toml", pipeline("lake", "[]"));
    work.run(&["run", "p.toml"]).expect(0);
    let chains = walk(&work.path("lake"));
    assert_eq!(chains.rows + chains.dead_letters, tables.len() as u64, "{chains:?}");
    let outside =
        files_below(&work.path("")).into_iter().filter(|(path, _)| !path.starts_with("lake/")).map(|(path, _)| path);
    let outside: Vec<_> = outside.filter(|path| !path.starts_with("state/")).collect();
    assert_eq!(outside, ["changes.ndjson", "p.toml"]);
}

#[test]
fn ten_thousand_attribute_names() {
    let mut recording = Recording::default();
    let wide = |seed: usize| {
        let attribute = |n: usize| (format!("attribute {n:05}"), json!({ "N": (n * seed).to_string() }));
        Value::Object((0..10_000).map(attribute).collect::<Map<_, _>>())
    };
    recording.put("T", "wide", wide(1));
    recording.put("T", "wide", wide(2));
    for n in 0..200 {
        let names: Map<_, _> = (0..50).map(|k| (format!("n {n} {k}"), json!({ "S": format!("{n} {k}") }))).collect();
        recording.put("T", &format!("narrow {n}"), Value::Object(names));
    }
    recording.remove("T", "wide");
    into_folder(&recording, "[]", View::NewAndOld);
}

#[test]
fn the_largest_item_and_the_deepest() {
    let mut recording = Recording::default();
    recording.put("T", "large", json!({ "Body": { "S": "a\u{1f600}\"".repeat(58_000) } }));
    recording.put("T", "large", json!({ "Body": { "B": "AAEC".repeat(100_000) } }));
    let mut deep = json!({ "N": "99999999999999999999999999999999999999" });
    for level in 0..31 {
        deep = if level % 2 == 0 { json!({ "M": { "d": deep } }) } else { json!({ "L": [deep] }) };
    }
    recording.put("T", "deep", json!({ "Deep": deep }));
    recording.put("T", "deep", json!({ "Deep": { "L": [deep.clone(), deep] } }));
    into_folder(&recording, r#"["day"]"#, View::NewAndOld);
}

#[test]
fn every_view_of_a_stream() {
    for view in [View::NewAndOld, View::New, View::Old, View::Keys] {
        let mut recording = Recording::of(view);
        for n in 0..40 {
            let id = format!("item {}", n % 6);
            if n % 11 == 10 {
                recording.remove("T", &id);
            } else {
                recording.put("T", &id, json!({ "N": { "N": n.to_string() }, "S": { "S": "x" }, "L": { "L": [] } }));
            }
        }
        into_folder(&recording, r#"["day"]"#, view);
    }
}

/// What DynamoDB does not have today is kept as it came.
#[test]
fn types_and_events_of_the_future() {
    let work = Work::new();
    let change = |id: &str, image: Value| json!({ "ApproximateCreationDateTime": 1_795_165_200_000_u64, "Keys": { "Id": { "S": id } }, "NewImage": image });
    let lines = [
        record(
            "T",
            "INSERT",
            change("1", json!({ "Id": { "S": "1" }, "When": { "DATE": "2030-01-01" }, "A": { "S": "x" } })),
        ),
        record("T", "UPSERT", change("2", json!({ "Id": { "S": "2" }, "A": { "S": "y" } }))),
        record("T", "INSERT", change("3", json!({ "Id": { "S": "3" }, "A": { "S": "z" } }))),
        "{\"no\":\"change\"}".to_owned(),
        record("T", "INSERT", change("4", json!({ "Id": { "S": "4" }, "A": { "S": "z", "N": "1" } }))),
        record("T", "INSERT", change("5", json!({ "Id": { "S": "5" }, "A": { "S": "w" } }))),
    ];
    work.write("changes.ndjson", lines.join("\n"));
    work.write("p.toml", pipeline("lake", "[]"));
    let ended = work.run(&["run", "p.toml"]).expect(0);
    let sql = format!(
        "SELECT \"Id\", _op, \"A\", _rest FROM read_parquet('{}/T/*.parquet', union_by_name = true) ORDER BY \"Id\"",
        work.text("lake")
    );
    let rows = tools().run("query.py", &[&sql]);
    let chains = walk(&work.path("lake"));
    assert_eq!(chains.rows + chains.dead_letters, 6, "each record is in the lake or a dead letter: {chains:?}");
    assert!(ended.stdout.contains("UPSERT") && ended.stdout.contains("dead-letters"), "{}", ended.stdout);
    let rows: Vec<_> = rows.as_array().unwrap().iter().map(Value::to_string).collect();
    let future = rows.iter().find(|row| row.starts_with("[\"1\"")).expect("the row of item 1");
    assert!(future.contains("DATE") && future.contains("2030-01-01"), "{future}");
    assert!(rows.iter().any(|row| row.starts_with(r#"["2","UPSERT","y""#)), "{rows:#?}");
    assert!(rows.iter().any(|row| row.starts_with(r#"["5","INSERT","w""#)), "{rows:#?}");
}

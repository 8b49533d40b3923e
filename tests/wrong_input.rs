//! Whatever is wrong is said in one line with its cure, and nothing is lost by it.

use std::fs;

use serde_json::json;

use crate::harness::lake::walk;
use crate::harness::recorded::Recording;
use crate::harness::servers::{DynamoDbLocal, MiniStack};
use crate::harness::{Ended, LIMIT, Work, count_lines, files_below, judge, tools, wait_for};

/// Exactly one line of error, and it has all these words.
#[track_caller]
fn says(ended: &Ended, words: &[&str]) {
    let errors = ended.errors();
    assert_eq!(errors.len(), 1, "one clear line: {}", ended.stderr);
    for word in words {
        assert!(errors[0].contains(word), "no `{word}` in: {}", errors[0]);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// A pipeline over recorded changes.
fn from_file(name: &str, lake: &str) -> String {
    format!(
        "name = \"{name}\"\n[source]\ntype = \"file\"\npath = \"changes.ndjson\"\n[lake]\npath = \"{lake}\"\n\
         [lake.tables.Items]\nkeys = [\"Id\"]\n"
    )
}

/// `count` changes of a few items.
fn changes(count: usize) -> Recording {
    let mut recording = Recording::default();
    for n in 0..count {
        recording.put("Items", &format!("item {}", n % 7), json!({ "N": { "N": n.to_string() } }));
    }
    recording
}

fn over_table(table: &str) -> String {
    format!(
        "name = \"guide\"\n[source]\ntype = \"dynamodb-streams\"\ntables = [\"{table}\"]\npoll = \"200ms\"\n\
         discovery = \"1s\"\n[lake]\npath = \"lake\"\nroll = {{ age = \"200ms\" }}\n"
    )
}

#[test]
fn tables_that_are_not_there_or_have_no_stream_and_a_second_process() {
    let server = DynamoDbLocal::start();
    let work = Work::new()
        .set("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint())
        .set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", server.endpoint());
    work.write("guide.toml", over_table("Forum"));
    says(&work.run(&["run", "guide.toml", "--once"]).expect(1), &["Forum", "AWS_REGION"]);

    let table = json!({
        "TableName": "Plain",
        "KeySchema": [{ "AttributeName": "Id", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "Id", "AttributeType": "S" }],
        "BillingMode": "PAY_PER_REQUEST",
    });
    tools().run("aws.py", &[&server.endpoint(), "dynamodb", "create_table", &table.to_string()]);
    work.write("plain.toml", over_table("Plain"));
    says(&work.run(&["run", "plain.toml", "--once"]).expect(1), &["Plain", "no stream", "update-table"]);

    // The table comes, and the same pipeline works; while it runs, nobody else may.
    let (endpoint, history) = (server.endpoint(), work.path("history.ndjson"));
    let writer = DynamoDbLocal::writer(&endpoint, &history);
    tools().run("write_dynamodb.py", &[&writer[..], &["--tables", "Forum", "--writes", "30"]].concat());
    let daemon = work.spawn(&["run", "guide.toml"]);
    wait_for("rows", LIMIT, || work.path("lake/Forum").exists().then_some(()));
    let second = work.run(&["run", "guide.toml", "--once"]).expect(1);
    says(&second, &["state/guide", &format!("process {}", daemon.id())]);
    tools().run("write_dynamodb.py", &[&writer[..], &["--tables", "Forum", "--writes", "30", "--seed", "2"]].concat());
    daemon.terminate().expect(0);
    work.run(&["run", "guide.toml", "--once"]).expect(0);
    let verdict = judge(&work.path("lake"), &history, &[]);
    assert_eq!(verdict.count("rows"), count_lines(&history) as u64);
}

#[test]
fn no_credentials_and_no_region() {
    let work = Work::new().unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY");
    work.write("guide.toml", over_table("Forum"));
    says(&work.run(&["run", "guide.toml"]).expect(1), &["no AWS credentials", "AWS_PROFILE"]);
    let work = Work::new().unset("AWS_REGION");
    work.write("guide.toml", over_table("Forum"));
    says(&work.run(&["run", "guide.toml"]).expect(1), &["region", "AWS_REGION"]);
    assert_eq!(files_below(&work.path("lake")), []);
}

#[test]
fn wrong_pipeline_files() {
    let work = Work::new();
    work.write("wrong.toml", from_file("p", "lake").replace("[lake]", "[lake]\npartition_bi = [\"day\"]\nroll = 7"));
    for command in [&["run", "wrong.toml", "--once"][..], &["check", "wrong.toml"]] {
        let ended = work.run(command).expect(2);
        let said = ended.stdout + &ended.stderr;
        for word in ["wrong.toml:6:1", "partition_bi", "partition_by", "wrong.toml:7:8"] {
            assert!(said.contains(word), "no `{word}` in:\n{said}");
        }
    }
    let missing = work.run(&["run", "nowhere.toml"]).expect(2);
    assert!(missing.stderr.contains("nowhere.toml"), "{}", missing.stderr);
    work.run(&["runn", "wrong.toml"]).expect(2);
    assert_eq!(files_below(&work.path("")).len(), 1, "a wrong file leaves nothing behind");

    // The right pipeline, but nothing where the changes should be.
    work.write("p.toml", from_file("p", "lake"));
    says(&work.run(&["run", "p.toml"]).expect(1), &["changes.ndjson"]);
}

#[test]
fn a_lake_of_another_pipeline_is_left_alone() {
    let work = Work::new();
    work.write("changes.ndjson", changes(10).recorded());
    work.write("mine.toml", from_file("mine", "lake"));
    work.write("other.toml", from_file("other", "lake"));
    work.run(&["run", "mine.toml"]).expect(0);
    let files = files_below(&work.path("lake"));
    says(&work.run(&["run", "other.toml"]).expect(1), &["`mine`", "`other`", "lake.path"]);
    assert_eq!(files_below(&work.path("lake")), files);
}

#[test]
fn a_corrupt_line_in_the_middle_costs_nothing_before_it_and_nothing_after_it_is_mended() {
    let work = Work::new();
    let recording = changes(200);
    let history = work.write("history.ndjson", recording.history());
    let mut broken = recording.lines.clone();
    broken[120] = broken[120][..broken[120].len() / 2].to_owned();
    work.write("changes.ndjson", broken.join("\n") + "\n");
    work.write("p.toml", from_file("p", "lake"));

    for _ in 0..2 {
        let ended = work.run(&["run", "p.toml"]).expect(1);
        says(&ended, &["changes.ndjson:121:", "safe", "mend or remove it"]);
        assert_eq!(walk(&work.path("lake")).rows, 120, "all before the line is in the lake");
        judge(&work.path("lake"), &history, &["--allow-partial"]);
    }
    work.write("changes.ndjson", recording.recorded());
    work.run(&["run", "p.toml"]).expect(0);
    assert_eq!(judge(&work.path("lake"), &history, &[]).count("rows"), 200);
}

#[test]
fn a_lake_that_cannot_be_written_and_a_disk_that_fills_up() {
    let work = Work::new();
    let recording = changes(300);
    let history = work.write("history.ndjson", recording.history());
    work.write("changes.ndjson", recording.recorded());
    work.write("a-file", "");
    work.write("p.toml", from_file("p", "a-file/lake"));
    says(&work.run(&["run", "p.toml"]).expect(1), &["a-file"]);
    work.write("p.toml", from_file("p", "/proc/lake"));
    says(&work.run(&["run", "p.toml"]).expect(1), &["/proc/lake"]);

    // No file may grow beyond 4 KiB, the next best thing to a disk that is full in the middle of a range.
    work.write("p.toml", from_file("p", "lake"));
    let full = work.run_with_file_limit(8, &["run", "p.toml"]).expect(1);
    says(&full, &["lake"]);
    assert!(fs::exists(work.path("lake/_watershed/lake.json")).unwrap());
    work.run(&["run", "p.toml"]).expect(0);
    assert_eq!(judge(&work.path("lake"), &history, &[]).count("rows"), 300);
    assert_eq!(walk(&work.path("lake")).rows, 300);
}

#[test]
fn a_bucket_that_is_not_there() {
    let s3 = MiniStack::start();
    let work = Work::new().set("AWS_ENDPOINT_URL_S3", s3.endpoint());
    work.write("changes.ndjson", changes(10).recorded());
    work.write("p.toml", from_file("p", "s3://lake-bucket/lake"));
    says(&work.run(&["run", "p.toml"]).expect(1), &["lake-bucket", "no such bucket", "create it"]);
    let s3 = s3.with_bucket("lake-bucket");
    work.run(&["run", "p.toml"]).expect(0);
    drop(s3);
}

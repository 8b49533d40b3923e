//! The pipeline files of the repository are right, and `pipelines/README.md` explains exactly the keys there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::pipeline::kind::format_bytes;
use crate::pipeline::load;
use crate::pipeline::read::known_keys;
use crate::pipeline::spec::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")
}

/// The rows of the tables of keys: key → type, default, meaning, example.
fn explained() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let mut keys = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 4) {
        let cells: Vec<String> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let key = cells[0].trim_matches('`').to_owned();
        assert!(keys.insert(key, cells[1..].to_vec()).is_none(), "explained twice: {line}");
    }
    keys
}

#[test]
fn every_pipeline_file_is_right() {
    let files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    assert!(files.len() >= 3);
    for file in files {
        let pipeline = load(&file).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert_eq!(Some(pipeline.name.as_str()), file.file_stem().and_then(|stem| stem.to_str()), "named as its file");
    }
}

#[test]
fn the_readme_explains_every_key_once_and_no_other() {
    let explained: Vec<String> = explained().into_keys().collect();
    let known: Vec<String> = known_keys().into_iter().collect();
    assert_eq!(explained, known);
}

#[test]
fn the_readme_tells_the_defaults() {
    let explained = explained();
    // In seconds: humantime calls 60s "1m".
    let duration = |duration: std::time::Duration| format!("`\"{}s\"`", duration.as_secs());
    let bytes = |bytes| format!("`\"{}\"`", format_bytes(bytes));
    let defaults = [
        ("name", "required".to_owned()),
        ("state", format!("`\"folder:{DEFAULT_STATE_FOLDER}/<name>\"`")),
        ("memory", bytes(DEFAULT_MEMORY)),
        ("shutdown_grace", duration(DEFAULT_SHUTDOWN_GRACE)),
        ("listen", "none".to_owned()),
        ("source.type", "required".to_owned()),
        ("source.start", "`\"trim-horizon\"`".to_owned()),
        ("source.on_gap", "`\"fail\"`".to_owned()),
        ("source.poll", duration(DEFAULT_POLL)),
        ("source.discovery", duration(DEFAULT_DISCOVERY)),
        ("lake.path", "required".to_owned()),
        ("lake.partition_by", "`[\"day\"]`".to_owned()),
        ("lake.max_columns", format!("`{DEFAULT_MAX_COLUMNS}`")),
        ("lake.roll.bytes", bytes(DEFAULT_ROLL_BYTES)),
        ("lake.roll.rows", format!("`{DEFAULT_ROLL_ROWS}`")),
        ("lake.roll.age", duration(DEFAULT_ROLL_AGE)),
        ("lake.roll.idle", "the `age`".to_owned()),
        ("handlers.name", "required".to_owned()),
        ("handlers.filter_extensions", "`false`".to_owned()),
        ("handlers.batch_size", format!("`{DEFAULT_BATCH_SIZE}`; `{DEFAULT_WEBHOOK_BATCH_SIZE}` for webhook")),
        ("handlers.batch_window", duration(DEFAULT_BATCH_WINDOW)),
        ("handlers.maximum_retry_attempts", format!("`{DEFAULT_MAXIMUM_RETRY_ATTEMPTS}`")),
        ("handlers.maximum_record_age", format!("`\"{}h\"`", DEFAULT_MAXIMUM_RECORD_AGE.as_secs() / 3600)),
        ("handlers.bisect_batch_on_error", format!("`{DEFAULT_BISECT_BATCH_ON_ERROR}`")),
        ("handlers.report_batch_item_failures", format!("`{DEFAULT_REPORT_BATCH_ITEM_FAILURES}`")),
        ("handlers.parallelization_factor", format!("`{DEFAULT_PARALLELIZATION_FACTOR}`")),
        ("handlers.drop_stale", "`false`".to_owned()),
        ("handlers.timeout", duration(DEFAULT_TIMEOUT)),
        ("handlers.allow_private", "`false`".to_owned()),
        ("handlers.bus", format!("`\"{DEFAULT_BUS}\"`")),
    ];
    for (key, default) in defaults {
        assert_eq!(explained[key][1], default, "{key}");
    }
}

/// A handler that has `key = value`.
fn with_handler(key: &str, value: &str) -> String {
    let owner = match key {
        "type" => value.trim_matches('"'),
        "url" | "secret" | "allow_private" => "webhook",
        "function" => "lambda",
        "queue" => "sqs",
        "topic" => "sns",
        "bus" | "source" | "detail_type" => "eventbridge",
        "table" | "region" | "role" | "loop_attribute" => "dynamodb",
        "command" => "exec",
        _ => "log",
    };
    let type_of_it = format!("\"{owner}\"");
    let mut keys = vec![("name", "\"x\""), ("type", type_of_it.as_str())];
    keys.extend(match owner {
        "webhook" => vec![("url", "\"https://example.com\""), ("secret", "\"env:SECRET\"")],
        "dynamodb" => vec![("table", "\"Replica\""), ("tables", "[\"NAME\"]")],
        _ => vec![],
    });
    keys.retain(|(other, _)| *other != key);
    keys.push((key, value));
    let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let source = "type = \"kinesis\"\nstream = \"x\"\n";
    format!("name = \"x\"\nlake.path = \"lake\"\n[source]\n{source}[[handlers]]\n{}", keys.concat())
}

/// Puts `key = value` where it belongs.
fn with(key: &str, value: &str) -> String {
    if let Some(key) = key.strip_prefix("handlers.") {
        return with_handler(key, value);
    }
    let of = match key {
        "source.stream" => "kinesis",
        "source.path" => "file",
        _ if value.contains("kinesis") => "kinesis",
        _ => "dynamodb-streams",
    };
    let needed = match of {
        "kinesis" => [("source.type", "\"kinesis\""), ("source.stream", "\"x\"")],
        "file" => [("source.type", "\"file\""), ("source.path", "\"x\"")],
        _ => [("source.type", "\"dynamodb-streams\""), ("source.tables", "[\"NAME\"]")],
    };
    let needed = needed.into_iter().chain([("name", "\"x\""), ("lake.path", "\"lake\"")]);
    let rest: Vec<String> =
        needed.filter(|(other, _)| *other != key).map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("{key} = {value}\n{}", rest.concat())
}

#[test]
fn the_examples_of_the_readme_are_right() {
    for (key, cells) in explained() {
        // In a table a `|` is written `\|`.
        let text = with(&key, &cells[3].trim_matches('`').replace("\\|", "|"));
        super::right(&text);
    }
}

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
    ];
    for (key, default) in defaults {
        assert_eq!(explained[key][1], default, "{key}");
    }
}

/// Puts `key = value` where it belongs.
fn with(key: &str, value: &str) -> String {
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
        let text = with(&key, cells[3].trim_matches('`'));
        super::right(&text);
    }
}

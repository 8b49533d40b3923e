//! How is a sample printed, so that the pipeline reader takes it back?
//!
//! What it would refuse (a key of a type that no key has, a name that no table has) stands there as a comment.

use std::fmt::Write as _;

use super::sample::{Sample, TableSample};
use crate::commands::text::clipped;
use crate::pipeline::spec::{ColumnType, LakeTable, Pipeline};
use crate::telemetry::log::is_harmful;

/// The widest a name gets before comments are no longer aligned.
const ALIGNED: usize = 40;

/// A line of `[lake.tables.X.columns]`.
struct Line {
    name: String,
    storage: ColumnType,
    note: String,
    /// Why the pipeline reader would not take it.
    refused: Option<&'static str>,
}

/// The sections `[lake.tables.X]` of all tables, by name.
pub(super) fn toml(pipeline: &Pipeline, sample: &Sample) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let source = clipped(&pipeline.source.origin.to_string(), 200);
    _ = writeln!(out, "# Inferred from {} of {source}", count(sample.changes(), "change"));
    if sample.was_cut {
        _ = writeln!(out, "# (there are more)");
    }
    if sample.no_changes > 0 {
        _ = writeln!(out, "# {} in the sample no change: see the dead letters", are(sample.no_changes, "record"));
    }
    let declared = &pipeline.lake.tables;
    let mut names: Vec<&str> = sample.tables.keys().map(|name| &**name).collect();
    names.extend(declared.keys().map(String::as_str));
    names.extend(pipeline.source.origin.tables().unwrap_or_default());
    names.sort_unstable();
    names.dedup();
    for name in names {
        let none = LakeTable::default();
        let said = declared.get(name).unwrap_or(&none);
        let section = section(name, said, sample.tables.get(name), pipeline.lake.max_columns);
        let possible = (3..=255).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        out.push('\n');
        if possible {
            out.push_str(&section);
        } else {
            section.lines().for_each(|line| _ = writeln!(out, "# {line}"));
        }
    }
    out
}

fn section(name: &str, said: &LakeTable, seen: Option<&TableSample>, max_columns: u64) -> String {
    let mut out = String::new();
    let key = key(name);
    _ = writeln!(out, "# {}", count(seen.map_or(0, |table| table.changes), "change"));
    _ = writeln!(out, "[lake.tables.{key}]");
    let keys = seen.map_or(&said.keys, |table| &table.keys);
    if can_be_keys(keys) {
        let guessed = seen.is_some_and(|table| table.keys_are_guessed) && keys.len() > 1;
        let note = if guessed { "  # in the order of the first change: put the partition key first" } else { "" };
        _ = writeln!(out, "keys = {}{note}", list(keys.iter().map(String::as_str)));
    }
    if !said.indexes.is_empty() {
        _ = writeln!(out, "indexes = {}", list(said.indexes.iter().map(String::as_str)));
    }
    if let Some(levels) = &said.partition_by {
        let levels: Vec<String> = levels.iter().map(ToString::to_string).collect();
        _ = writeln!(out, "partition_by = {}", list(levels.iter().map(String::as_str)));
    }
    let lines = lines(said, seen, keys, max_columns);
    if !lines.is_empty() {
        _ = writeln!(out, "\n[lake.tables.{key}.columns]");
    }
    let width = |text: &str| text.chars().count();
    let widest = |width: &dyn Fn(&Line) -> usize| lines.iter().map(width).max().unwrap_or(0).min(ALIGNED);
    let (name_width, type_width) =
        (widest(&|line| width(&line.name)), widest(&|line| line.storage.to_string().len() + 2));
    for line in &lines {
        let (off, why) = line.refused.map_or(("", String::new()), |why| ("# ", format!("; {why}")));
        let storage = string(&line.storage.to_string());
        _ = writeln!(out, "{off}{:<name_width$} = {storage:<type_width$}  # {}{why}", line.name, line.note);
    }
    if let Some(values) = seen.map(|table| table.without_column).filter(|values| *values > 0) {
        _ = writeln!(out, "# {} of attributes that get no column", are_in_rest(values));
    }
    out
}

/// The columns in the order of the keys, then of their names; behind them what is declared but was not seen.
fn lines(said: &LakeTable, seen: Option<&TableSample>, keys: &[String], max_columns: u64) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    if let Some(table) = seen {
        let mut columns: Vec<_> = table.schema.columns.iter().zip(&table.columns).collect();
        let rank = |name: &String| keys.iter().position(|key| key == name).unwrap_or(usize::MAX);
        columns.sort_by_key(|(column, _)| (rank(&column.attribute), &column.attribute));
        for (column, stats) in columns {
            let mut note = count(stats.values, "value");
            if stats.misfits > 0 {
                let go = if stats.misfits == 1 { "goes" } else { "go" };
                _ = write!(note, ", {} {go} to _rest", stats.misfits);
            }
            if let Some(better) = stats.better(column, table.declared(&column.attribute).is_some()) {
                _ = write!(note, "; all numbers fit {}", string(&better.to_string()));
            }
            known.push(&column.attribute);
            lines.push((&column.attribute, &column.storage, note));
        }
    }
    for (attribute, storage) in &said.columns {
        if !known.contains(&attribute.as_str()) {
            lines.push((attribute, storage, "not seen".to_owned()));
        }
    }
    let many = |at: usize| (at as u64 >= max_columns).then_some("beyond `max_columns`");
    let line = |(at, (attribute, storage, note)): (usize, (&String, &ColumnType, String))| {
        let refused = refused(attribute, storage, keys).or_else(|| many(at));
        Line { name: key(attribute), storage: storage.clone(), note, refused }
    };
    lines.into_iter().enumerate().map(line).collect()
}

fn refused(attribute: &str, storage: &ColumnType, keys: &[String]) -> Option<&'static str> {
    if attribute.is_empty() {
        return Some("no attribute has an empty name");
    }
    let key_type =
        matches!(storage, ColumnType::String | ColumnType::Int64 | ColumnType::Decimal(_) | ColumnType::Binary);
    (keys.iter().any(|key| key == attribute) && !key_type).then_some("no key has this type")
}

fn can_be_keys(keys: &[String]) -> bool {
    (1..=2).contains(&keys.len())
        && keys.iter().all(|key| (1..=255).contains(&key.len()))
        && keys.first() != keys.get(1)
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn are(number: u64, what: &str) -> String {
    format!("{} {}", count(number, what), if number == 1 { "is" } else { "are" })
}

fn are_in_rest(values: u64) -> String {
    format!("in _rest: {}", count(values, "value"))
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.map(string).collect::<Vec<_>>().join(", "))
}

/// A key of TOML: bare where it can be.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { name.to_owned() } else { string(name) }
}

/// A basic string of TOML. Characters that would steer a terminal are written as escapes too.
fn string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_harmful(c) => _ = write!(out, "\\U{:08X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::change::{Channel, Position, Record, SequenceNumber};
    use crate::commands::change;
    use crate::lake::LakeSettings;
    use crate::lake::roll::RollLimits;
    use crate::lake::schema::TableRules;
    use crate::pipeline;
    use crate::source::StreamIdentity;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// What is printed for changes of these tables, keys and new images.
    fn printed(changes: &[(&str, &str, &str)], max_columns: u64) -> String {
        let head = format!(
            "name = 'a'\nsource = {{ type = 'file', path = 'in' }}\nlake.path = 'lake'\nlake.max_columns = {max_columns}\n"
        );
        let pipeline = pipeline::read("a.toml", &head).unwrap();
        let roll = RollLimits { bytes: 1, rows: 1, age: Default::default(), idle: Default::default() };
        let default_rules = Arc::new(TableRules { max_columns: max_columns as usize, ..TableRules::default() });
        let mut sample = Sample::new(LakeSettings {
            pipeline: "a".into(),
            roll,
            tables: HashMap::new(),
            default_rules,
            only: None,
            limits: crate::lake::limits::Limits::default(),
        });
        for (table, keys, new) in changes {
            let record = Record {
                position: Position::new(SequenceNumber::from_ordinal(1)),
                channel: Channel::Recorded,
                table: Some((*table).into()),
                payload: Bytes::from(format!(
                    r#"{{"eventName":"INSERT","dynamodb":{{"Keys":{keys},"NewImage":{new}}}}}"#
                )),
            };
            let stream = StreamIdentity { id: "s".into(), table: None, origin: None };
            sample.add(&change::read(&record, &stream).unwrap());
        }
        let text = toml(&pipeline, &sample);
        if let Err(problems) = pipeline::read("a.toml", &format!("{head}{text}")) {
            panic!("{problems:?} in\n{text}");
        }
        text
    }

    #[test]
    fn each_column_says_what_was_seen() {
        let text = printed(
            &[
                (
                    "Reply",
                    r#"{"When":{"S":"x"},"Id":{"N":"1"}}"#,
                    r#"{"Id":{"N":"1"},"When":{"S":"x"},"b c":{"N":"0.5"}}"#,
                ),
                (
                    "Reply",
                    r#"{"When":{"S":"x"},"Id":{"N":"1"}}"#,
                    r#"{"Id":{"N":"1"},"When":{"S":"x"},"b c":{"S":"?"}}"#,
                ),
                ("Reply", "{}", r#"{"a":{"NS":["1","2"]},"X":{"NULL":true}}"#),
            ],
            10,
        );
        let expected = r#"# Inferred from 3 changes of file in

# 3 changes
[lake.tables.Reply]
keys = ["When", "Id"]  # in the order of the first change: put the partition key first

[lake.tables.Reply.columns]
When  = "string"               # 2 values
Id    = "decimal(38,9)"        # 2 values; all numbers fit "int64"
a     = "list<decimal(38,9)>"  # 1 value; all numbers fit "list<int64>"
"b c" = "decimal(38,9)"        # 2 values, 1 goes to _rest; all numbers fit "decimal(10,1)"
# in _rest: 1 value of attributes that get no column
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn what_the_reader_would_refuse_is_a_comment() {
        let text = printed(
            &[
                ("x y\u{7f}", "{}", r#"{"a":{"S":"x"}}"#),
                ("Reply", r#"{"k":{"BOOL":true}}"#, r#"{"k":{"BOOL":true},"":{"S":"x"},"a":{"S":"1"},"b":{"S":"1"}}"#),
            ],
            3,
        );
        for line in [
            "# [lake.tables.\"x y\\U0000007F\"]",
            "# k  = \"bool\"    # 1 value; no key has this type",
            "# \"\" = \"string\"  # 1 value; no attribute has an empty name",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    proptest! {
        #[test]
        fn any_names_are_read_back(names in proptest::collection::btree_set(any::<String>(), 1..6), quote: bool) {
            let image: serde_json::Map<String, serde_json::Value> =
                names.iter().map(|name| (name.clone(), serde_json::json!({"S": "x"}))).collect();
            let image = serde_json::Value::from(image).to_string();
            let text = printed(&[("Reply", "{}", &image), (if quote { "a.b" } else { "Other" }, &image, &image)], 500);
            prop_assert!(text.chars().all(|c| c == '\n' || !is_harmful(c)));
        }
    }
}

//! How is the section `[source]` read?

use std::path::PathBuf;
use std::sync::Arc;

use toml_edit::Value;

use super::field::Refusal;
use super::kind::{Kind, anything, choice, duration, list, one_or_list};
use super::names::{stream_ref, table_name, table_ref};
use super::nearest::nearest;
use super::places::local_path;
use super::section::Section;
use super::spec::*;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    DynamoDbStreams,
    Kinesis,
    File,
}

const TYPES: [(&str, Type); 3] =
    [("dynamodb-streams", Type::DynamoDbStreams), ("kinesis", Type::Kinesis), ("file", Type::File)];

/// Reads the section `[source]`.
pub(super) fn source(source: &Section<'_>) -> Option<Source> {
    let of = source.required("type", &choice(TYPES));
    let origin = match of {
        Some(Type::DynamoDbStreams) => {
            foreign(source, Type::DynamoDbStreams, &[("stream", Type::Kinesis), ("path", Type::File)]);
            source.required("tables", &tables()).map(|tables| Origin::DynamoDbStreams { tables })
        }
        Some(Type::Kinesis) => {
            foreign(source, Type::Kinesis, &[("path", Type::File)]);
            let tables = source.optional("tables", &table_filter());
            source.required("stream", &stream()).map(|stream| Origin::Kinesis { stream, tables })
        }
        Some(Type::File) => {
            foreign(source, Type::File, &[("tables", Type::DynamoDbStreams), ("stream", Type::Kinesis)]);
            source.required("path", &recorded()).map(|paths| Origin::File { paths })
        }
        // Which keys belong here depends on the type, so none is found wrong.
        None => {
            source.optional("tables", &anything());
            source.optional("stream", &anything());
            source.optional("path", &anything());
            None
        }
    };
    let start = source.or("start", &start(), Start::default());
    let on_gap = source.or("on_gap", &choice([("fail", OnGap::Fail), ("resume", OnGap::Resume)]), OnGap::default());
    let poll = source.or("poll", &duration(MIN_POLL..=MAX_POLL, "1s"), DEFAULT_POLL);
    let discovery = source.or("discovery", &duration(MIN_DISCOVERY..=MAX_DISCOVERY, "10s"), DEFAULT_DISCOVERY);
    Some(Source { origin: origin?, start, on_gap, poll, discovery })
}

/// Keys that belong to other types.
fn foreign(source: &Section<'_>, of: Type, keys: &[(&'static str, Type)]) {
    let word = |of: Type| TYPES.iter().find(|(_, other)| *other == of).map_or("", |(word, _)| word);
    for (key, owner) in keys {
        let found = format!("does not belong to `type = \"{}\"`", word(of));
        source.refuse(key, &found, &format!("it is a key of `type = \"{}\"`; take it out", word(*owner)));
    }
}

fn tables() -> Kind<Vec<TableRef>> {
    let table = Kind::text("a table's name or ARN, or a stream's ARN", table_ref);
    list("one or more table names, table ARNs or stream ARNs", 1..=usize::MAX, table, |table| table.table().to_string())
}

fn table_filter() -> Kind<Vec<Arc<str>>> {
    let table = Kind::text("a table's name: 3 to 255 letters, digits, `_`, `.` and `-`", table_name);
    list("one or more table names", 1..=usize::MAX, table, |table| table.to_string())
}

fn stream() -> Kind<StreamRef> {
    Kind::text("the name or ARN of a Kinesis stream", stream_ref)
}

fn recorded() -> Kind<Vec<PathBuf>> {
    let path = || Kind::text("the path of a file or folder", local_path);
    let paths = list("one or more paths", 1..=usize::MAX, path(), |path| path.display().to_string());
    one_or_list("the path of a file or folder of recorded changes, or a list of them", path(), paths)
}

fn start() -> Kind<Start> {
    let expected = "\"trim-horizon\", \"latest\" or a time such as \"2026-11-20T08:15:30Z\"";
    Kind::value(expected, |value| match value {
        Value::Datetime(time) => Some(start_at(&time.value().to_string())),
        Value::String(text) => Some(match text.value().as_str() {
            "trim-horizon" => Ok(Start::TrimHorizon),
            "latest" => Ok(Start::Latest),
            text => start_at(text),
        }),
        _ => None,
    })
}

fn start_at(text: &str) -> Result<Start, Refusal> {
    text.parse().map(Start::Timestamp).map_err(|_| {
        let refusal = Refusal::not(text);
        if text.parse::<jiff::civil::DateTime>().is_ok() {
            return refusal.cure("a time needs its offset: `Z` for UTC, or for example `+02:00`");
        }
        let word = nearest(text, ["trim-horizon", "latest"]);
        Refusal { cure: word.map(|word| format!("did you mean \"{word}\"?")), ..refusal }
    })
}

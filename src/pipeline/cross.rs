//! Do the parts of a pipeline file fit each other?
//!
//! Looks at whatever parts could be read, so that these mistakes are named together with all others.

use super::nearest::{all_of, nearest};
use super::places::is_inside;
use super::report::Report;
use super::spec::{ColumnType, Lake, LakePath, Origin, Source, Start, StatePlace};
use super::text::{key_name, quote};

/// Reports what does not fit.
pub(super) fn check(report: &Report<'_>, state: Option<&StatePlace>, source: Option<&Source>, lake: Option<&Lake>) {
    if let (Some(source), Some(lake)) = (source, lake) {
        tables_are_read(report, source, lake);
    }
    if let Some(source) = source {
        source_is_outside(report, source, state, lake);
        files_start_at_their_beginning(report, source);
    }
    if let Some(lake) = lake {
        columns_fit_keys(report, lake);
        indexes_have_an_order(report, lake);
        columns_fit_in(report, lake);
    }
}

/// What is said about a table that never comes is a slip of the pen.
fn tables_are_read(report: &Report<'_>, source: &Source, lake: &Lake) {
    let Some(read) = source.origin.tables().filter(|_| !report.is_wrong("source.tables")) else {
        return;
    };
    for name in lake.tables.keys().filter(|name| !read.contains(&name.as_str())) {
        let guess = nearest(name, read.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
        let cure = guess.unwrap_or_else(|| format!("the source reads {}", list_of(&read)));
        let path = format!("lake.tables.{}", key_name(name));
        report.problem_at(&path, "the source does not read this table", None, Some(cure));
    }
}

/// Many names are not worth a long line.
fn list_of(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    match names.len() {
        0..=SHOWN => all_of(names.iter().copied()),
        many => format!("{many} other tables"),
    }
}

/// The recorded changes must not be mixed up with what is written.
fn source_is_outside(report: &Report<'_>, source: &Source, state: Option<&StatePlace>, lake: Option<&Lake>) {
    let Origin::File { paths } = &source.origin else {
        return;
    };
    let lake = lake.and_then(|lake| match &lake.path {
        LakePath::Folder(folder) => Some((folder, "the lake's folder")),
        LakePath::S3 { .. } => None,
    });
    let state = state.and_then(|state| match state {
        StatePlace::Folder(folder) => Some((folder, "the state's folder")),
        StatePlace::DynamoDb(_) => None,
    });
    for (number, path) in paths.iter().enumerate() {
        for (folder, what) in [lake, state].into_iter().flatten() {
            if is_inside(path, folder) {
                let found = format!("lies in {what} {}", quote(&folder.display().to_string()));
                let cure = Some("keep what is read apart from what is written".to_owned());
                report.problem_at(&format!("source.path[{number}]"), found, None, cure);
            }
        }
    }
}

/// A recorded file is read whole.
fn files_start_at_their_beginning(report: &Report<'_>, source: &Source) {
    if matches!(source.origin, Origin::File { .. }) && source.start != Start::default() {
        let cure = Some("leave `start` out; what is not wanted can be left out of `path`".to_owned());
        report.problem_at("source.start", "recorded changes are read from their beginning", None, cure);
    }
}

/// A key is a string, number or binary, and has to keep every digit to tell items apart.
fn columns_fit_keys(report: &Report<'_>, lake: &Lake) {
    for (name, table) in &lake.tables {
        for (attribute, column) in table.columns.iter().filter(|(attribute, _)| table.keys.contains(attribute)) {
            let why = match column {
                ColumnType::String | ColumnType::Int64 | ColumnType::Decimal(_) | ColumnType::Binary => {
                    continue;
                }
                ColumnType::Double => "would round a key, and two items could become one",
                ColumnType::Bool | ColumnType::Json | ColumnType::List(_) | ColumnType::Struct(_) => {
                    "is no type a key can have"
                }
            };
            let path = format!("lake.tables.{}.columns.{}", key_name(name), key_name(attribute));
            let expected = "`string`, `int64`, `decimal(p,s)` or `binary` for a key";
            report.problem_at(&path, format!("`{column}` {why}"), Some(expected.to_owned()), None);
        }
    }
}

/// Files are sorted by indexes, and their Bloom filters ask for one value.
fn indexes_have_an_order(report: &Report<'_>, lake: &Lake) {
    for (name, table) in &lake.tables {
        for (number, attribute) in table.indexes.iter().enumerate() {
            let what = match table.column(attribute) {
                Some(ColumnType::List(_)) => "list",
                Some(ColumnType::Struct(_)) => "struct",
                _ => continue,
            };
            let path = format!("lake.tables.{}.indexes[{number}]", key_name(name));
            let found = format!("`{}` is declared as a {what}, which has no order to sort by", key_name(attribute));
            report.problem_at(&path, found, None, Some("take it out of `indexes`".to_owned()));
        }
    }
}

/// A column that is declared has to get its place.
fn columns_fit_in(report: &Report<'_>, lake: &Lake) {
    for (name, table) in &lake.tables {
        let count = table.columns.len();
        if count as u64 > lake.max_columns {
            let found = format!("{count} columns are declared");
            let expected = format!("at most {} (`lake.max_columns`)", lake.max_columns);
            report.problem_at(&format!("lake.tables.{}.columns", key_name(name)), found, Some(expected), None);
        }
    }
}

//! Do the handlers of a pipeline file fit its source and its lake?

use super::nearest::{all_of, nearest};
use super::places::is_inside;
use super::report::Report;
use super::spec::{Handler, Lake, LakePath, OnFailure, Origin, Source, Target};

/// Reports what does not fit; each handler comes with its path.
pub(super) fn check(report: &Report<'_>, source: Option<&Source>, lake: Option<&Lake>, handlers: &[(String, Handler)]) {
    for (path, handler) in handlers {
        if let Some(source) = source {
            tables_are_read(report, source, path, handler);
            repetitions_are_of_kinesis(report, source, path, handler);
            a_replica_is_of_one_table(report, source, path, handler);
        }
        if let Some(lake) = lake {
            dead_letters_are_outside(report, lake, path, handler);
        }
    }
}

/// A table that never comes is a slip of the pen.
fn tables_are_read(report: &Report<'_>, source: &Source, path: &str, handler: &Handler) {
    let Some(read) = source.origin.tables().filter(|_| !report.is_wrong("source.tables")) else { return };
    for (number, name) in handler.tables.iter().flatten().enumerate() {
        if !read.contains(&&**name) {
            let guess = nearest(name, read.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
            let cure = guess.unwrap_or_else(|| format!("the source reads {}", all_of(read.iter().copied().take(10))));
            let path = format!("{path}.tables[{number}]");
            report.problem_at(&path, "the source does not read this table", None, Some(cure));
        }
    }
}

/// A DynamoDB stream has each change once and in order; a file is read once.
fn repetitions_are_of_kinesis(report: &Report<'_>, source: &Source, path: &str, handler: &Handler) {
    if matches!(source.origin, Origin::Kinesis { .. }) {
        return;
    }
    let keys = [("dedupe_window", handler.dedupe_window.is_some()), ("drop_stale", handler.drop_stale)];
    for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set) {
        let found =
            format!("this source has each change once and in order (`type = \"{}\"`)", source.origin.type_name());
        report.problem_at(&format!("{path}.{key}"), found, None, Some("take it out: it is for `kinesis`".to_owned()));
    }
}

/// Items of two tables in one would overwrite each other, and a table that is its own replica would never rest.
fn a_replica_is_of_one_table(report: &Report<'_>, source: &Source, path: &str, handler: &Handler) {
    let Target::DynamoDb { table: target, region, role, .. } = &handler.target else { return };
    let named: Option<Vec<&str>> = match &handler.tables {
        Some(tables) => Some(tables.iter().map(|table| &**table).collect()),
        None => source.origin.tables(),
    };
    let found = match named.as_deref() {
        Some([one]) => {
            let same = *one == target && region.is_none() && role.is_none();
            if same && !matches!(source.origin, Origin::File { .. }) {
                let cure = "name another table, or the `region` or `role` of the replica";
                report.problem_at(
                    &format!("{path}.table"),
                    "the table would be its own replica",
                    None,
                    Some(cure.into()),
                );
            }
            return;
        }
        Some(many) => format!("changes of {} tables would come into one", many.len()),
        None => "changes of any number of tables would come into one".to_owned(),
    };
    let cure = "name one table in `tables`, and write a handler for each";
    report.problem_at(&format!("{path}.type"), found, None, Some(cure.to_owned()));
}

/// What could not be delivered must not be mixed up with the lake's own files.
fn dead_letters_are_outside(report: &Report<'_>, lake: &Lake, path: &str, handler: &Handler) {
    let inside = match (&handler.on_failure, &lake.path) {
        (OnFailure::Folder(folder), LakePath::Folder(lake)) => is_inside(folder, lake),
        (OnFailure::S3 { bucket, prefix }, LakePath::S3 { bucket: lake, prefix: of_lake }) => {
            let below = prefix.strip_prefix(of_lake.as_str());
            bucket == lake && below.is_some_and(|rest| of_lake.is_empty() || rest.is_empty() || rest.starts_with('/'))
        }
        _ => false,
    };
    if inside {
        let cure = "leave it out: dead letters have their place in the lake";
        report.problem_at(&format!("{path}.on_failure"), "lies in the lake", None, Some(cure.to_owned()));
    }
}

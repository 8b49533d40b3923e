//! How are the sections `[[handlers]]` read?

use std::ops::Range;
use std::path::Path;

use toml_edit::{Item, Value};

use super::kind::{Kind, choice, duration, list, truth, whole_number};
use super::names::{pipeline_name, table_name};
use super::read_target::{self, Type};
use super::report::Report;
use super::section::Section;
use super::spec::*;
use super::targets::{Written, on_failure, written};
use super::text::{printable, quote};
use super::toml_json::json_of_table;
use crate::handler::payload::Template;
use crate::route;

/// Reads a file that the pipeline file names; else says why it can't be read.
pub(super) type Open<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// Reads all handlers, each with its path. `pipeline` is the pipeline's name, if it has one.
pub(super) fn handlers(
    root: &Section<'_>,
    report: &Report<'_>,
    open: Open<'_>,
    pipeline: Option<&str>,
) -> Vec<(String, Handler)> {
    let read = root.list_of_sections("handlers", |section| handler(section, report, open, pipeline));
    let read: Vec<_> = read.into_iter().filter_map(|(path, handler)| Some((path, handler?))).collect();
    for (number, (path, handler)) in read.iter().enumerate() {
        if read[..number].iter().any(|(_, earlier)| earlier.name == handler.name) {
            let found = format!("another handler has the name {}", quote(&handler.name));
            let cure = "positions are kept under it: give each its own";
            report.problem_at(&format!("{path}.name"), found, None, Some(cure.to_owned()));
        }
    }
    read
}

fn handler(section: &Section<'_>, report: &Report<'_>, open: Open<'_>, pipeline: Option<&str>) -> Option<Handler> {
    let name = section.required("name", &name());
    let of = section.required("type", &choice(read_target::TYPES));
    let target = read_target::target(section, report, of, pipeline);
    let payload = payload(section, report, open, of);
    let default_size = if of == Some(Type::Webhook) { DEFAULT_WEBHOOK_BATCH_SIZE } else { DEFAULT_BATCH_SIZE };
    let number = |key, range, default| section.or(key, &whole_number(range), default);
    let time = |key, range, example, default| section.or(key, &duration(range, example), default);
    let age = MIN_MAXIMUM_RECORD_AGE..=MAX_MAXIMUM_RECORD_AGE;
    let dedupe = duration(MIN_DEDUPE_WINDOW..=MAX_DEDUPE_WINDOW, "15m");
    // All keys are read before anything is given up, so that all mistakes are found.
    let (tables, filter) = (section.optional("tables", &tables()), patterns(section, report, open));
    let read = Handler {
        name: name.clone().unwrap_or_default(),
        target: target.clone().unwrap_or(Target::Log),
        tables,
        filter,
        filter_extensions: section.or("filter_extensions", &truth(), false),
        payload,
        batch_size: number("batch_size", 1..=MAX_BATCH_SIZE, default_size) as usize,
        batch_window: time("batch_window", DEFAULT_BATCH_WINDOW..=MAX_BATCH_WINDOW, "5s", DEFAULT_BATCH_WINDOW),
        maximum_retry_attempts: number(
            "maximum_retry_attempts",
            0..=MAX_MAXIMUM_RETRY_ATTEMPTS,
            DEFAULT_MAXIMUM_RETRY_ATTEMPTS,
        ) as u32,
        maximum_record_age: time("maximum_record_age", age, "6h", DEFAULT_MAXIMUM_RECORD_AGE),
        bisect_batch_on_error: section.or("bisect_batch_on_error", &truth(), DEFAULT_BISECT_BATCH_ON_ERROR),
        report_batch_item_failures: section.or(
            "report_batch_item_failures",
            &truth(),
            DEFAULT_REPORT_BATCH_ITEM_FAILURES,
        ),
        parallelization_factor: number(
            "parallelization_factor",
            1..=MAX_PARALLELIZATION_FACTOR,
            DEFAULT_PARALLELIZATION_FACTOR,
        ) as usize,
        on_failure: section.or("on_failure", &failures(), OnFailure::Lake),
        dedupe_window: section.optional("dedupe_window", &dedupe),
        drop_stale: section.or("drop_stale", &truth(), false),
        timeout: time("timeout", MIN_TIMEOUT..=MAX_TIMEOUT, "30s", DEFAULT_TIMEOUT),
    };
    patterns_are_patterns(report, &read);
    (name.is_some() && target.is_some()).then_some(read)
}

fn name() -> Kind<String> {
    let expected = "a name such as \"new-replies\": letters, digits, `_`, `.` and `-`, at most 128, \
        the first a letter or digit";
    Kind::text(expected, |text| match pipeline_name(text)?.as_str() {
        "lake" => Err(super::field::Refusal::not(text).cure("the lake itself has this name")),
        name => Ok(name.to_owned()),
    })
}

fn tables() -> Kind<Vec<std::sync::Arc<str>>> {
    let table = Kind::text("a table's name: 3 to 255 letters, digits, `_`, `.` and `-`", table_name);
    list("one or more table names", 1..=usize::MAX, table, |table| table.to_string())
}

fn failures() -> Kind<OnFailure> {
    Kind::text("a folder, \"s3://BUCKET/PREFIX\", or the URL of an SQS queue", on_failure)
}

/// `format` or `template`; neither for a replica, which is written in DynamoDB's own words.
fn payload(section: &Section<'_>, report: &Report<'_>, open: Open<'_>, of: Option<Type>) -> Payload {
    let formats = choice([("change", Payload::Change), ("lambda", Payload::Lambda), ("debezium", Payload::Debezium)]);
    if of == Some(Type::DynamoDb) {
        for key in ["format", "template"] {
            section.refuse(key, "a replica has no format", "take it out: items are written as they are");
        }
        return Payload::Change;
    }
    let format = section.optional("format", &formats);
    let template = section.optional("template", &Kind::text("a template, or \"file:PATH\"", written));
    let path = section.path_of("template");
    if format.is_some() && template.is_some() {
        report.problem_at(&path, "there is a `format` too", None, Some("keep one of the two".to_owned()));
    }
    if let Some(template) = template.and_then(|template| resolve(report, open, &path, template)) {
        if let Err(why) = Template::compile(&template) {
            report.problem_at(&path, why.to_string(), None, None);
        }
        return Payload::Template(template);
    }
    format.unwrap_or(if of == Some(Type::Lambda) { Payload::Lambda } else { Payload::Change })
}

/// The text, wherever it stands.
fn resolve(report: &Report<'_>, open: Open<'_>, path: &str, written: Written) -> Option<String> {
    match written {
        Written::Here(text) => Some(text),
        Written::File(file) => match open(&file) {
            Ok(text) => Some(text),
            Err(why) => {
                let found = format!("{} {why}", quote(&file.display().to_string()));
                let cure = "paths are relative to the working directory".to_owned();
                report.problem_at(path, found, None, Some(cure));
                None
            }
        },
    }
}

/// Lambda refuses a wrong pattern when the mapping is made; so do we.
fn patterns_are_patterns(report: &Report<'_>, handler: &Handler) {
    let extensions = route::Extensions { typed_numbers: handler.filter_extensions };
    for pattern in &handler.filter {
        if let Err(error) = route::Pattern::parse_with(&pattern.json, extensions) {
            let what = error.what.replace("typed_numbers", "filter_extensions");
            let found = format!("the pattern is wrong in `{}`: {what}", printable(&error.path));
            let cure = error.cure.replace("typed_numbers", "filter_extensions");
            report.problem_at(&pattern.key, found, None, Some(cure));
        }
    }
}

/// `filter`: a pattern, or a list of them. A pattern is a table, a text of JSON, or a file with that.
fn patterns(section: &Section<'_>, report: &Report<'_>, open: Open<'_>) -> Vec<FilterText> {
    let Some((item, path, span)) = section.item("filter") else { return Vec::new() };
    let numbered = |number: usize| format!("{path}[{number}]");
    let one = |path: String, item: Pattern<'_>, span: Range<usize>| pattern(report, open, path, item, span);
    match item {
        Item::Table(table) => one(path, Pattern::Table(table), span).into_iter().collect(),
        Item::ArrayOfTables(tables) => tables
            .iter()
            .enumerate()
            .filter_map(|(number, table)| {
                one(numbered(number), Pattern::Table(table), table.span().unwrap_or(span.clone()))
            })
            .collect(),
        Item::Value(Value::Array(list)) => {
            if list.is_empty() {
                let cure = "leave `filter` out if every change is wanted".to_owned();
                report.problem_at(&path, "the list is empty", Some(EXPECTED.to_owned()), Some(cure));
            }
            let each = |(number, value): (usize, &Value)| {
                let path = numbered(number);
                let span = value.span().unwrap_or(span.clone());
                report.read(&path, span.clone());
                one(path, Pattern::of(value), span)
            };
            list.iter().enumerate().filter_map(each).collect()
        }
        Item::Value(value) => one(path, Pattern::of(value), span).into_iter().collect(),
        Item::None => Vec::new(),
    }
}

const EXPECTED: &str = "a table, a text with a pattern's JSON, \"file:PATH\", or a list of these";

enum Pattern<'a> {
    Table(&'a dyn toml_edit::TableLike),
    Text(&'a str),
    Other(&'static str),
}

impl<'a> Pattern<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::InlineTable(table) => Self::Table(table),
            Value::String(text) => Self::Text(text.value()),
            other => Self::Other(other.type_name()),
        }
    }
}

fn pattern(
    report: &Report<'_>,
    open: Open<'_>,
    path: String,
    pattern: Pattern<'_>,
    span: Range<usize>,
) -> Option<FilterText> {
    let refuse = |span: &Range<usize>, found: String, expected: Option<&str>, cure: Option<&str>| {
        report.problem(span.clone(), &path, found, expected.map(str::to_owned), cure.map(str::to_owned));
        None
    };
    let json = match pattern {
        Pattern::Table(table) => match json_of_table(table) {
            Ok(json) => json,
            Err(why) => return refuse(&why.span.unwrap_or(span), why.found.to_owned(), None, Some(why.cure)),
        },
        Pattern::Text(text) => match written(text) {
            Ok(text) => resolve(report, open, &path, text)?,
            Err(why) => return refuse(&span, why.found, Some(EXPECTED), None),
        },
        Pattern::Other(what) => return refuse(&span, format!("found a value of type {what}"), Some(EXPECTED), None),
    };
    match serde_json::from_str::<serde::de::IgnoredAny>(&json) {
        Err(why) => refuse(&span, format!("the pattern is not JSON: {why}"), None, None),
        Ok(_) if !json.trim_start().starts_with('{') => refuse(
            &span,
            "the pattern is no JSON object".to_owned(),
            Some("a pattern such as {\"eventName\":[\"INSERT\"]}"),
            None,
        ),
        Ok(_) => Some(FilterText { json, place: report.place(span), key: path }),
    }
}

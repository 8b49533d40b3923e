//! How does the text of a pipeline file become a [`Pipeline`], or the list of all its mistakes?

use std::net::SocketAddr;

use toml_edit::Document;

use super::cross;
use super::cross_handlers;
use super::field::Refusal;
use super::kind::{Kind, byte_size, duration};
use super::load::text_of_reference;
use super::names::pipeline_name;
use super::places::state_place;
use super::problem::Problem;
use super::read_handlers::{Open, handlers};
use super::read_lake::lake;
use super::read_source::source;
use super::report::Report;
use super::section::Section;
use super::spec::*;
use super::text::printable;

/// Reads the text of a pipeline file. `path` is only named in problems, which are all there are, in the order of the
/// file; after a syntax error nothing else can be told. Files that it names (`file:PATH` of a filter or template) are read.
pub fn read(path: &str, text: &str) -> Result<Pipeline, Vec<Problem>> {
    let report = Report::new(path, text);
    let pipeline = match Document::parse(text) {
        Ok(document) => Section::root(&report, document.as_table(), |root| pipeline(root, &report, &text_of_reference)),
        Err(error) => {
            syntax_error(&report, text, &error);
            None
        }
    };
    let problems = report.finish();
    match pipeline {
        Some(pipeline) if problems.is_empty() => Ok(pipeline),
        _ => Err(problems),
    }
}

/// All keys there are, with `NAME` for the names users choose.
#[cfg(test)]
pub(super) fn known_keys() -> std::collections::BTreeSet<String> {
    let (report, document) = (Report::new("", ""), toml_edit::Table::new());
    Section::root(&report, &document, |root| pipeline(root, &report, &text_of_reference));
    report.known_keys()
}

fn syntax_error(report: &Report<'_>, text: &str, error: &toml_edit::TomlError) {
    let span = error.span().unwrap_or(text.len()..text.len());
    if error.message().starts_with("duplicate key") {
        let key = text.get(span.clone()).unwrap_or_default();
        let found = format!("duplicate key `{}`", printable(key));
        report.problem(
            span,
            "",
            found,
            None,
            Some("a key stands only once in a table, and a table once in a file".into()),
        );
    } else {
        report.problem(span, "", format!("not TOML: {}", error.message()), None, None);
    }
}

fn pipeline(root: &Section<'_>, report: &Report<'_>, open: Open<'_>) -> Option<Pipeline> {
    let name = root.required("name", &name());
    let state = root.optional("state", &state());
    let memory = root.or("memory", &byte_size(MIN_MEMORY..=MAX_MEMORY, "512 MiB"), DEFAULT_MEMORY);
    let grace = duration(MIN_SHUTDOWN_GRACE..=MAX_SHUTDOWN_GRACE, "25s");
    let shutdown_grace = root.or("shutdown_grace", &grace, DEFAULT_SHUTDOWN_GRACE);
    let listen = root.optional("listen", &loopback_address());
    let source = root.required_section("source", source).flatten();
    let lake = root.required_section("lake", |section| lake(section, report)).flatten();
    let handlers = handlers(root, report, open, name.as_deref());

    let state = state.or_else(|| state_place(&format!("{DEFAULT_STATE_FOLDER}/{}", name.as_ref()?)).ok());
    cross::check(report, state.as_ref(), source.as_ref(), lake.as_ref());
    cross_handlers::check(report, source.as_ref(), lake.as_ref(), &handlers);
    let handlers = handlers.into_iter().map(|(_, handler)| handler).collect();
    Some(Pipeline {
        name: name?,
        state: state?,
        memory,
        shutdown_grace,
        listen,
        source: source?,
        lake: lake?,
        handlers,
    })
}

fn name() -> Kind<String> {
    let expected = "a name such as \"forum\": letters, digits, `_`, `.` and `-`, at most 128, \
        the first a letter or digit";
    Kind::text(expected, pipeline_name)
}

fn state() -> Kind<StatePlace> {
    Kind::text("a folder such as \"folder:state/forum\", or \"dynamodb:TABLE\"", state_place)
}

fn loopback_address() -> Kind<SocketAddr> {
    Kind::text("a loopback address and port such as \"127.0.0.1:9090\"", |text| {
        let Ok(address) = text.parse::<SocketAddr>() else {
            let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or_default();
            let guess = port.parse::<u16>().map(|port| format!("did you mean \"127.0.0.1:{port}\"?")).ok();
            return Err(Refusal { cure: guess, ..Refusal::not(text) });
        };
        if address.ip().is_loopback() {
            return Ok(address);
        }
        let why = "metrics and health are served without encryption or password: \
            listen on this machine only and put a proxy in front";
        Err(Refusal::not(text).cure(why))
    })
}

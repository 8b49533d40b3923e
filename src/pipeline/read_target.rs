//! How is it read where a handler's changes go to: its type, and the keys of that type?

use toml_edit::Value;

use super::field::Refusal;
use super::kind::{Kind, anything, list, one_or_list, truth};
use super::report::Report;
use super::section::Section;
use super::spec::*;
use super::targets;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Webhook,
    Lambda,
    Sqs,
    Sns,
    EventBridge,
    DynamoDb,
    Exec,
    Log,
}

pub(super) const TYPES: [(&str, Type); 8] = [
    ("webhook", Type::Webhook),
    ("lambda", Type::Lambda),
    ("sqs", Type::Sqs),
    ("sns", Type::Sns),
    ("eventbridge", Type::EventBridge),
    ("dynamodb", Type::DynamoDb),
    ("exec", Type::Exec),
    ("log", Type::Log),
];

/// The keys that belong to one type only.
const KEYS: [(&str, Type); 14] = [
    ("url", Type::Webhook),
    ("secret", Type::Webhook),
    ("allow_private", Type::Webhook),
    ("function", Type::Lambda),
    ("queue", Type::Sqs),
    ("topic", Type::Sns),
    ("bus", Type::EventBridge),
    ("source", Type::EventBridge),
    ("detail_type", Type::EventBridge),
    ("table", Type::DynamoDb),
    ("region", Type::DynamoDb),
    ("role", Type::DynamoDb),
    ("loop_attribute", Type::DynamoDb),
    ("command", Type::Exec),
];

fn word(of: Type) -> &'static str {
    TYPES.iter().find(|(_, other)| *other == of).map_or("", |(word, _)| word)
}

/// The types that this build leaves out, and the feature that brings them.
fn missing_feature(of: Type) -> Option<&'static str> {
    let (built, feature) = match of {
        Type::Lambda => (cfg!(feature = "handler-lambda"), "handler-lambda"),
        Type::Sqs => (cfg!(feature = "handler-sqs"), "handler-sqs"),
        Type::Sns => (cfg!(feature = "handler-sns"), "handler-sns"),
        Type::EventBridge => (cfg!(feature = "handler-eventbridge"), "handler-eventbridge"),
        Type::Webhook | Type::DynamoDb | Type::Exec | Type::Log => (true, ""),
    };
    (!built).then_some(feature)
}

/// Reads the keys of `of`, and refuses those of other types. Of an unknown type no key is found wrong.
pub(super) fn target(
    section: &Section<'_>,
    report: &Report<'_>,
    of: Option<Type>,
    pipeline: Option<&str>,
) -> Option<Target> {
    let Some(of) = of else {
        for (key, _) in KEYS {
            section.optional(key, &anything());
        }
        return None;
    };
    if let Some(feature) = missing_feature(of) {
        let cure = format!("build watershed with `--features {feature}`");
        let found = format!("this build has no `{}` handlers", word(of));
        report.problem_at(&section.path_of("type"), found, None, Some(cure));
    }
    for (key, owner) in KEYS.into_iter().filter(|(_, owner)| *owner != of) {
        let found = format!("does not belong to `type = \"{}\"`", word(of));
        section.refuse(key, &found, &format!("it is a key of `type = \"{}\"`; take it out", word(owner)));
    }
    let text = |key, expected: &str, read: fn(&str) -> Result<String, Refusal>| {
        section.required(key, &Kind::text(expected, read))
    };
    match of {
        Type::Webhook => webhook(section),
        Type::Lambda => {
            Some(Target::Lambda { function: text("function", "a function's name or ARN", targets::function)? })
        }
        Type::Sqs => Some(Target::Sqs { queue: text("queue", QUEUE, targets::queue)? }),
        Type::Sns => Some(Target::Sns { topic: text("topic", "a topic's ARN", targets::topic)? }),
        Type::EventBridge => Some(event_bridge(section, pipeline)),
        Type::DynamoDb => dynamodb(section),
        Type::Exec => Some(Target::Exec { command: section.required("command", &command())? }),
        Type::Log => Some(Target::Log),
    }
}

const QUEUE: &str = "a queue's URL such as \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\"";

fn webhook(section: &Section<'_>) -> Option<Target> {
    let allow_private = section.or("allow_private", &truth(), false);
    let url =
        Kind::text("a URL such as \"https://example.com/hook\"", move |text| targets::webhook_url(text, allow_private));
    let (url, secrets) = (section.required("url", &url), section.required("secret", &secrets()));
    Some(Target::Webhook { url: url?, secrets: secrets?, allow_private })
}

fn secrets() -> Kind<Vec<SecretRef>> {
    let one = || Kind::text("\"env:NAME\" or \"file:PATH\"", targets::secret_ref);
    let many = list("one or more references to secrets", 1..=8, one(), SecretRef::to_string);
    one_or_list("\"env:NAME\", \"file:PATH\", or a list of these", one(), many)
}

fn event_bridge(section: &Section<'_>, pipeline: Option<&str>) -> Target {
    let source = Kind::text("an event source such as \"shop.orders\"", targets::event_source);
    let detail_type = Kind::text("a text of 1 to 128 bytes", targets::detail_type);
    Target::EventBridge {
        bus: section.or("bus", &Kind::text("a bus's name or ARN", targets::bus), DEFAULT_BUS.to_owned()),
        source: section.or("source", &source, format!("watershed.{}", pipeline.unwrap_or_default())),
        detail_type: section.optional("detail_type", &detail_type),
    }
}

fn dynamodb(section: &Section<'_>) -> Option<Target> {
    let table = section.required("table", &Kind::text("a table's name or ARN", targets::replica));
    let region = section.optional("region", &Kind::text("a region such as \"eu-central-1\"", targets::region));
    let role = Kind::text("a role's ARN such as \"arn:aws:iam::ACCOUNT:role/NAME\"", targets::role);
    let role = section.optional("role", &role);
    let mark = Kind::text("an attribute's name", targets::loop_attribute);
    let loop_attribute = section.optional("loop_attribute", &mark);
    Some(Target::DynamoDb { table: table?, region, role, loop_attribute })
}

fn command() -> Kind<Vec<String>> {
    Kind::value("a list of a program and its arguments: [\"python3\", \"handler.py\"]", |value| {
        let words: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
        words.map(targets::command)
    })
}

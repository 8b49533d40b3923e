//! `watershed iam`: what is the least that a pipeline may do? A pure function of its file and of the way it runs.
//!
//! Resources are as narrow as the file says: where it gives a name and no ARN, region and account are `*`.

use serde::Serialize;
use serde_json::Value;

use crate::pipeline::spec::{self, LakePath, OnFailure, Origin, Pipeline, StatePlace, StreamRef, TableRef, Target};

/// How a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// `watershed run`
    Daemon,
    /// As a Lambda function behind event source mappings
    Lambda,
    /// `watershed backfill`: what the daemon needs, and to read the tables
    Backfill,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: Vec<&'static str>,
    resource: Vec<String>,
}

impl Statement {
    fn allow(sid: &'static str, action: &[&'static str], resource: impl IntoIterator<Item = String>) -> Self {
        let mut resource: Vec<String> = resource.into_iter().collect();
        resource.sort_unstable();
        resource.dedup();
        Self { sid, effect: "Allow", action: action.to_vec(), resource }
    }
}

/// The policy, as JSON.
pub fn policy(pipeline: &Pipeline, mode: Mode) -> Value {
    let mut statement = source(&pipeline.source.origin, mode);
    if let (StatePlace::DynamoDb(table), Mode::Daemon | Mode::Backfill) = (&pipeline.state, mode) {
        let actions = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:Scan"];
        statement.push(Statement::allow("State", &actions, [table_arn(table)]));
    }
    let mut places: Vec<(&str, &str)> = Vec::new();
    if let LakePath::S3 { bucket, prefix } = &pipeline.lake.path {
        places.push((bucket, prefix));
    }
    for handler in &pipeline.handlers {
        if let OnFailure::S3 { bucket, prefix } = &handler.on_failure {
            places.push((bucket, prefix));
        }
    }
    statement.extend(objects(&places));
    statement.extend(handlers(&pipeline.handlers));
    statement.retain(|statement| !statement.resource.is_empty());
    let policy = Policy { version: "2012-10-17", statement };
    // A struct of strings always serialises.
    serde_json::to_value(policy).unwrap_or_default()
}

fn source(origin: &Origin, mode: Mode) -> Vec<Statement> {
    let mut statements = match origin {
        Origin::File { .. } => return Vec::new(),
        Origin::DynamoDbStreams { tables } => {
            let read = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"];
            let mut statements = vec![
                Statement::allow("ReadStream", &read, tables.iter().map(stream_of)),
                Statement::allow("FindStream", &["dynamodb:ListStreams"], ["*".to_owned()]),
            ];
            let ask: &[&str] = match mode {
                Mode::Lambda => &[],
                Mode::Daemon => &["dynamodb:DescribeTable"],
                Mode::Backfill => &["dynamodb:DescribeTable", "dynamodb:Scan"],
            };
            if !ask.is_empty() {
                let tables = tables.iter().filter_map(TableRef::table_id).map(table_arn);
                statements.push(Statement::allow("AskTable", ask, tables));
            }
            statements
        }
        Origin::Kinesis { stream, tables } => {
            let mut actions = vec!["kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator"];
            actions.push("kinesis:ListShards");
            if mode == Mode::Lambda {
                // What a mapping itself asks for.
                actions.insert(0, "kinesis:DescribeStream");
            }
            let mut statements = vec![Statement::allow("ReadStream", &actions, [kinesis_arn(stream)])];
            if mode == Mode::Backfill {
                let tables = tables.iter().flatten().map(|table| table_arn(table));
                statements.push(Statement::allow("AskTable", &["dynamodb:DescribeTable", "dynamodb:Scan"], tables));
            }
            statements
        }
    };
    if mode == Mode::Lambda {
        let logs = ["arn:aws:logs:*:*:log-group:/aws/lambda/*".to_owned()];
        statements.push(Statement::allow("Log", &["logs:CreateLogStream", "logs:PutLogEvents"], logs));
    }
    statements
}

fn objects(places: &[(&str, &str)]) -> Vec<Statement> {
    let below = |(bucket, prefix): &(&str, &str)| match prefix.is_empty() {
        true => format!("arn:aws:s3:::{bucket}/*"),
        false => format!("arn:aws:s3:::{bucket}/{prefix}/*"),
    };
    let write = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"];
    // Also so that what is not there is told as that, and not as forbidden.
    let list = places.iter().map(|(bucket, _)| format!("arn:aws:s3:::{bucket}"));
    vec![
        Statement::allow("WriteObjects", &write, places.iter().map(below)),
        Statement::allow("ListObjects", &["s3:ListBucket"], list),
    ]
}

fn handlers(handlers: &[spec::Handler]) -> Vec<Statement> {
    let arns = |pick: &dyn Fn(&spec::Handler) -> Option<String>| handlers.iter().filter_map(pick).collect::<Vec<_>>();
    let functions = arns(&|handler| match &handler.target {
        Target::Lambda { function } => Some(named("lambda", "function:", function)),
        _ => None,
    });
    let mut queues = arns(&|handler| match &handler.target {
        Target::Sqs { queue } => Some(queue_arn(queue)),
        _ => None,
    });
    queues.extend(arns(&|handler| match &handler.on_failure {
        OnFailure::Sqs(queue) => Some(queue_arn(queue)),
        _ => None,
    }));
    let topics = arns(&|handler| match &handler.target {
        Target::Sns { topic } => Some(topic.clone()),
        _ => None,
    });
    let buses = arns(&|handler| match &handler.target {
        Target::EventBridge { bus, .. } => Some(named("events", "event-bus/", bus)),
        _ => None,
    });
    let replicas = |looped: bool| {
        arns(&|handler| match &handler.target {
            Target::DynamoDb { table, role: None, loop_attribute, .. } if loop_attribute.is_some() == looped => {
                Some(table_arn(table))
            }
            _ => None,
        })
    };
    let roles = arns(&|handler| match &handler.target {
        Target::DynamoDb { role, .. } => role.clone(),
        _ => None,
    });
    let (put, delete) = ("dynamodb:PutItem", "dynamodb:DeleteItem");
    vec![
        Statement::allow("CallFunctions", &["lambda:InvokeFunction"], functions),
        Statement::allow("SendMessages", &["sqs:SendMessage"], queues),
        Statement::allow("PublishToTopics", &["sns:Publish"], topics),
        Statement::allow("PutEvents", &["events:PutEvents"], buses),
        Statement::allow("WriteReplicas", &[delete, put], replicas(false)),
        Statement::allow("WriteMarkedReplicas", &[delete, put, "dynamodb:UpdateItem"], replicas(true)),
        Statement::allow("TakeRoles", &["sts:AssumeRole"], roles),
    ]
}

fn named(service: &str, kind: &str, name: &str) -> String {
    if name.starts_with("arn:") { name.to_owned() } else { format!("arn:aws:{service}:*:*:{kind}{name}") }
}

fn table_arn(table: &str) -> String {
    named("dynamodb", "table/", table)
}

fn stream_of(table: &TableRef) -> String {
    match (table.stream_arn(), table.table_id()) {
        (Some(stream), _) => stream.to_owned(),
        (None, id) => format!("{}/stream/*", table_arn(id.unwrap_or(table.table()))),
    }
}

fn kinesis_arn(stream: &StreamRef) -> String {
    stream.arn().map_or_else(|| named("kinesis", "stream/", stream.name()), str::to_owned)
}

/// `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`; of a local server only the name is known.
fn queue_arn(url: &str) -> String {
    let mut parts = url.rsplit('/');
    let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("*"));
    let region = url.strip_prefix("https://sqs.").and_then(|rest| rest.split_once(".amazonaws.com"));
    let region = region.map_or("*", |(region, _)| region);
    let account = if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) { account } else { "*" };
    format!("arn:aws:sqs:{region}:{account}:{name}")
}

#[cfg(test)]
mod tests;

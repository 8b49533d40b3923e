//! `watershed iam`: what is the least that a pipeline may do? A pure function of its file and of the way it runs.
//!
//! Resources are as narrow as the file says: where it gives a name and no ARN, region and account are `*`.

use serde::Serialize;
use serde_json::Value;

use crate::pipeline::spec::{self, LakePath, OnFailure, Origin, Pipeline, StatePlace, StreamRef, TableRef, Target};
use crate::source::export::{Place, Target as NewExport};

/// How a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// `watershed run`
    Daemon,
    /// As a Lambda function behind event source mappings
    Lambda,
    /// `watershed backfill`: to read the tables or the exports, and for its tail what the daemon needs
    Backfill,
}

/// What a policy is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// How the pipeline runs.
    pub mode: Mode,
    /// Of a backfill: the exports that it lands instead of scanning.
    pub exports: Vec<String>,
    /// Of a backfill: whether no tail belongs to it.
    pub snapshot_only: bool,
}

impl From<Mode> for Use {
    fn from(mode: Mode) -> Self {
        Self { mode, exports: Vec::new(), snapshot_only: false }
    }
}

impl Use {
    /// Whether streams are read, positions stored and handlers called.
    fn tails(&self) -> bool {
        !self.snapshot_only
    }

    fn scans(&self) -> bool {
        self.mode == Mode::Backfill && self.exports.is_empty()
    }

    /// Whether DynamoDB is to make an export.
    fn has_exports_made(&self) -> bool {
        self.exports.iter().any(|uri| NewExport::is_new(uri))
    }
}

/// Why there is no such policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoPolicy {
    /// A function has no files to read.
    #[error(
        "the source is of type `file`, and a function gets its changes from a mapping: name the table or the stream of \
         the mapping in [source]"
    )]
    NoMapping,
    /// Only a backfill lands exports, and can do without a tail.
    #[error("--export and --snapshot-only belong to --mode backfill")]
    NotOfMode,
    /// It names no export.
    #[error(
        "{0} names no export in S3: give s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT-ID, new:s3://BUCKET/PREFIX, or a folder of \
         this machine"
    )]
    NoExport(String),
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
///
/// # Errors
/// If the pipeline does not run so.
pub fn policy(pipeline: &Pipeline, used: &Use) -> Result<Value, NoPolicy> {
    if used.mode != Mode::Backfill && (used.snapshot_only || !used.exports.is_empty()) {
        return Err(NoPolicy::NotOfMode);
    }
    if let (Origin::File { .. }, Mode::Lambda) = (&pipeline.source.origin, used.mode) {
        return Err(NoPolicy::NoMapping);
    }
    let mut statement = source(&pipeline.source.origin, used);
    let asked = tables(pipeline, used);
    if used.has_exports_made() {
        statement.extend(exports_made(&asked.resource));
    }
    statement.push(asked);
    statement.extend(exports(&used.exports)?);
    if let (StatePlace::DynamoDb(table), Mode::Daemon | Mode::Backfill, true) =
        (&pipeline.state, used.mode, used.tails())
    {
        let actions = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:Scan"];
        statement.push(Statement::allow("State", &actions, [table_arn(table)]));
    }
    if used.mode == Mode::Lambda {
        let logs = ["arn:aws:logs:*:*:log-group:/aws/lambda/*".to_owned()];
        statement.push(Statement::allow("Log", &["logs:CreateLogStream", "logs:PutLogEvents"], logs));
    }
    let called: &[spec::Handler] = if used.tails() { &pipeline.handlers } else { &[] };
    let mut places: Vec<(&str, &str)> = Vec::new();
    if let LakePath::S3 { bucket, prefix } = &pipeline.lake.path {
        places.push((bucket, prefix));
    }
    for handler in called {
        if let OnFailure::S3 { bucket, prefix } = &handler.on_failure {
            places.push((bucket, prefix));
        }
    }
    statement.extend(objects(&places));
    statement.extend(handlers(called));
    statement.retain(|statement| !statement.resource.is_empty());
    let policy = Policy { version: "2012-10-17", statement };
    // A struct of strings always serialises.
    Ok(serde_json::to_value(policy).unwrap_or_default())
}

/// To read the streams.
fn source(origin: &Origin, used: &Use) -> Vec<Statement> {
    if !used.tails() {
        return Vec::new();
    }
    match origin {
        Origin::File { .. } => Vec::new(),
        Origin::DynamoDbStreams { tables } => {
            let read = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"];
            vec![
                Statement::allow("ReadStream", &read, tables.iter().map(stream_of)),
                Statement::allow("FindStream", &["dynamodb:ListStreams"], ["*".to_owned()]),
            ]
        }
        Origin::Kinesis { stream, .. } => {
            let mut actions = vec!["kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator"];
            actions.push("kinesis:ListShards");
            if used.mode == Mode::Lambda {
                // What a mapping itself asks for.
                actions.insert(0, "kinesis:DescribeStream");
            }
            vec![Statement::allow("ReadStream", &actions, [kinesis_arn(stream)])]
        }
    }
}

/// To ask tables for their keys and streams, and to scan them.
fn tables(pipeline: &Pipeline, used: &Use) -> Statement {
    let ask: &[&str] =
        if used.scans() { &["dynamodb:DescribeTable", "dynamodb:Scan"] } else { &["dynamodb:DescribeTable"] };
    let looks = used.scans() || used.has_exports_made();
    // Who only lands an export asks for nothing but keys.
    let asked = |table: &TableRef| {
        let declared = pipeline.lake.tables.get(&**table.table()).is_some_and(|own| !own.keys.is_empty());
        used.tails() || looks || !declared
    };
    let of_source: Vec<String> = match &pipeline.source.origin {
        _ if used.mode == Mode::Lambda => Vec::new(),
        Origin::DynamoDbStreams { tables } => {
            tables.iter().filter(|table| asked(table)).filter_map(TableRef::table_id).map(table_arn).collect()
        }
        // Of these no table is asked unless it is scanned or exported.
        _ if !looks => Vec::new(),
        Origin::Kinesis { tables: Some(tables), .. } => tables.iter().map(|table| table_arn(table)).collect(),
        Origin::Kinesis { tables: None, .. } | Origin::File { .. } => {
            pipeline.lake.tables.keys().map(|table| table_arn(table)).collect()
        }
    };
    Statement::allow("AskTable", ask, of_source)
}

/// To have exports of tables made, and to see how far they are.
fn exports_made(tables: &[String]) -> [Statement; 2] {
    let make = ["dynamodb:DescribeContinuousBackups", "dynamodb:ExportTableToPointInTime"];
    let exports = tables.iter().map(|table| format!("{table}/export/*"));
    [
        Statement::allow("MakeExports", &make, tables.iter().cloned()),
        Statement::allow("WatchExports", &["dynamodb:DescribeExport"], exports),
    ]
}

/// To read exports in S3, and for those that are yet to be made what DynamoDB does there in our name. A full one has its
/// files in its own folder, incremental ones in one beside theirs.
fn exports(uris: &[String]) -> Result<[Statement; 2], NoPolicy> {
    let (mut read, mut written) = (Vec::new(), Vec::new());
    for uri in uris {
        let nothing = || NoPolicy::NoExport(uri.clone());
        if NewExport::is_new(uri) {
            let NewExport { bucket, prefix } = NewExport::parse(uri).map_err(|_| nothing())?;
            let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            written.push(format!("arn:aws:s3:::{bucket}/{folder}AWSDynamoDB/*"));
        } else if let Some(place) = Place::in_s3(uri) {
            let (bucket, prefix) = place.map_err(|()| nothing())?;
            read.push(format!("arn:aws:s3:::{bucket}/{prefix}/*"));
            if let Some((root, _)) = prefix.rsplit_once('/') {
                read.push(format!("arn:aws:s3:::{bucket}/{root}/data/*"));
            }
        }
    }
    read.extend(written.iter().cloned());
    let write = ["s3:AbortMultipartUpload", "s3:PutObject", "s3:PutObjectAcl"];
    Ok([Statement::allow("ReadExports", &["s3:GetObject"], read), Statement::allow("WriteExports", &write, written)])
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

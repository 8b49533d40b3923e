//! What does a pipeline file say about one handler (`[[handlers]]`)?

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::problem::Place;

/// The largest [`Handler::batch_size`].
pub const MAX_BATCH_SIZE: u64 = 10_000;
/// How many changes a call brings at most.
pub const DEFAULT_BATCH_SIZE: u64 = 100;
/// How many changes a call of a webhook brings at most: one, so that a body is a change and not a list.
pub const DEFAULT_WEBHOOK_BATCH_SIZE: u64 = 1;
/// The longest [`Handler::batch_window`]: 5 minutes.
pub const MAX_BATCH_WINDOW: Duration = Duration::from_secs(300);
/// How long a batch that is not full waits for more: not at all.
pub const DEFAULT_BATCH_WINDOW: Duration = Duration::ZERO;
/// How often a change is tried again.
pub const DEFAULT_MAXIMUM_RETRY_ATTEMPTS: u64 = 10;
/// The largest [`Handler::maximum_retry_attempts`].
pub const MAX_MAXIMUM_RETRY_ATTEMPTS: u64 = 10_000;
/// How old a change may become before it is given up: 1 day, as long as DynamoDB Streams keeps it. With less, a pipeline
/// that was down for a while would give up what it missed.
pub const DEFAULT_MAXIMUM_RECORD_AGE: Duration = Duration::from_secs(86_400);
/// The shortest [`Handler::maximum_record_age`]: 1 minute.
pub const MIN_MAXIMUM_RECORD_AGE: Duration = Duration::from_secs(60);
/// The longest [`Handler::maximum_record_age`]: 7 days.
pub const MAX_MAXIMUM_RECORD_AGE: Duration = Duration::from_secs(7 * 86_400);
/// Whether a batch that failed is halved.
pub const DEFAULT_BISECT_BATCH_ON_ERROR: bool = true;
/// Whether an answer may name the changes that failed.
pub const DEFAULT_REPORT_BATCH_ITEM_FAILURES: bool = true;
/// How many calls one shard has under way at most.
pub const DEFAULT_PARALLELIZATION_FACTOR: u64 = 1;
/// The largest [`Handler::parallelization_factor`].
pub const MAX_PARALLELIZATION_FACTOR: u64 = 10;
/// The shortest [`Handler::dedupe_window`]: 1 s.
pub const MIN_DEDUPE_WINDOW: Duration = Duration::from_secs(1);
/// The longest [`Handler::dedupe_window`]: 1 day.
pub const MAX_DEDUPE_WINDOW: Duration = Duration::from_secs(86_400);
/// How long one call may take: 30 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// The shortest [`Handler::timeout`]: 1 s.
pub const MIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest [`Handler::timeout`]: 15 minutes, the longest run of a Lambda function.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(900);
/// The bus of [`Target::EventBridge`]: the account's own.
pub const DEFAULT_BUS: &str = "default";

/// One handler: which changes it gets, how they are written, where they go, and what happens to those it can't take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handler {
    /// Its name, unique in the file; written as a pipeline's.
    pub name: String,
    /// Where changes go to.
    pub target: Target,
    /// Only changes of these tables; `None`: of all.
    pub tables: Option<Vec<Arc<str>>>,
    /// Only changes that one of these patterns takes; empty: all.
    pub filter: Vec<FilterText>,
    /// Whether patterns may compare numbers (`N`) as numbers.
    pub filter_extensions: bool,
    /// How a change is written. Says nothing for [`Target::DynamoDb`].
    pub payload: Payload,
    /// How many changes a call brings at most.
    pub batch_size: usize,
    /// How long a batch that is not full waits for more; default [`DEFAULT_BATCH_WINDOW`].
    pub batch_window: Duration,
    /// How often a change is tried again; default [`DEFAULT_MAXIMUM_RETRY_ATTEMPTS`].
    pub maximum_retry_attempts: u32,
    /// How old a change may become before it is given up; default [`DEFAULT_MAXIMUM_RECORD_AGE`].
    pub maximum_record_age: Duration,
    /// Whether a batch that failed is halved; default [`DEFAULT_BISECT_BATCH_ON_ERROR`].
    pub bisect_batch_on_error: bool,
    /// Whether an answer may name the changes that failed; default [`DEFAULT_REPORT_BATCH_ITEM_FAILURES`].
    pub report_batch_item_failures: bool,
    /// How many calls one shard has under way at most; default [`DEFAULT_PARALLELIZATION_FACTOR`].
    pub parallelization_factor: usize,
    /// Where changes go that are given up.
    pub on_failure: OnFailure,
    /// How long a change that comes a second time is recognised (Kinesis); `None`: not at all.
    pub dedupe_window: Option<Duration>,
    /// Whether changes older than one of the same item that was delivered are dropped (Kinesis).
    pub drop_stale: bool,
    /// How long one call may take; default [`DEFAULT_TIMEOUT`].
    pub timeout: Duration,
}

/// Where a handler's changes go to (`type` and its own keys).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An HTTP endpoint, called with Standard Webhooks signatures.
    Webhook {
        /// Its address, `https` or that of a loopback host.
        url: String,
        /// What calls are signed with: one signature for each.
        secrets: Vec<SecretRef>,
        /// Whether the address may be one of a private network.
        allow_private: bool,
    },
    /// A Lambda function, called for its answer.
    Lambda {
        /// Its name or ARN.
        function: String,
    },
    /// An SQS queue; FIFO if its name ends in `.fifo`.
    Sqs {
        /// Its URL.
        queue: String,
    },
    /// An SNS topic; FIFO if its name ends in `.fifo`.
    Sns {
        /// Its ARN.
        topic: String,
    },
    /// An EventBridge bus.
    EventBridge {
        /// Its name or ARN; default [`DEFAULT_BUS`].
        bus: String,
        /// The events' `Source`; default: `watershed.` and the pipeline's name.
        source: String,
        /// The events' `DetailType`; default: the table, a dot, and `inserted`, `modified` or `removed`.
        detail_type: Option<String>,
    },
    /// Another DynamoDB table, kept the same.
    DynamoDb {
        /// Its name or ARN.
        table: String,
        /// Its region; default: that of the AWS configuration.
        region: Option<String>,
        /// The ARN of the role that may write it; default: our own.
        role: Option<String>,
        /// The attribute that marks what we have written, so that it is not replicated back.
        loop_attribute: Option<String>,
    },
    /// A child process.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// The standard output.
    Log,
}

impl Target {
    /// What the file calls it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Lambda { .. } => "lambda",
            Self::Sqs { .. } => "sqs",
            Self::Sns { .. } => "sns",
            Self::EventBridge { .. } => "eventbridge",
            Self::DynamoDb { .. } => "dynamodb",
            Self::Exec { .. } => "exec",
            Self::Log => "log",
        }
    }
}

/// Where a secret is kept. The secret itself never stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// In this environment variable.
    Env(String),
    /// In this file, without the line break at its end.
    File(PathBuf),
}

/// As it stands in the file.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// One pattern of a handler's filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterText {
    /// The pattern's JSON: an object.
    pub json: String,
    /// The key it stands under (`handlers[0].filter[1]`).
    pub key: String,
    /// Where in the pipeline file it stands, for messages.
    pub place: Place,
}

/// How a change is written (`format`, or `template`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// As a JSON object of our own.
    Change,
    /// As the record Lambda's event source mappings deliver.
    Lambda,
    /// As Debezium writes changes.
    Debezium,
    /// By the template with this text.
    Template(String),
}

/// Where changes go that are given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnFailure {
    /// Into the lake, beside its other dead letters.
    Lake,
    /// Into this folder.
    Folder(PathBuf),
    /// Into S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all names start with; empty, or without a slash at either end.
        prefix: String,
    },
    /// To the SQS queue with this URL.
    Sqs(String),
}

//! What does a pipeline file say, once it is known to be right?
//!
//! Plain data without any I/O. `pipelines/README.md` explains the same keys to users; every default is a constant
//! here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use super::column_type::{
    ColumnType, Decimal, MAX_DECIMAL_PRECISION, MAX_TYPE_DEPTH, NotAColumnType, SCALAR_TYPES, StructField,
};
pub use super::names::{MAX_NAME_CHARS, StreamRef, TableRef};
pub use super::places::{LakePath, MAX_PREFIX_BYTES, StatePlace};
pub use super::spec_handler::*;

/// The folder below which a pipeline keeps its state unless it says otherwise: `state/<name>`.
pub const DEFAULT_STATE_FOLDER: &str = "state";
/// The budget of all buffers, in bytes: 512 MiB.
pub const DEFAULT_MEMORY: u64 = 512 << 20;
/// The least budget of all buffers, in bytes: 64 MiB, a few pages of records and one open file.
pub const MIN_MEMORY: u64 = 64 << 20;
/// The largest budget of all buffers, in bytes: 1 TiB.
pub const MAX_MEMORY: u64 = 1 << 40;
/// How long a shutdown may take: 25 s, less than the 30 s that Kubernetes and ECS wait before they kill.
pub const DEFAULT_SHUTDOWN_GRACE: Duration = Duration::from_secs(25);
/// The shortest shutdown: 1 s.
pub const MIN_SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// The longest shutdown: 10 minutes.
pub const MAX_SHUTDOWN_GRACE: Duration = Duration::from_secs(600);

/// How long to wait before a shard that had nothing new is asked again: 1 s.
pub const DEFAULT_POLL: Duration = Duration::from_secs(1);
/// The shortest [`Source::poll`]: 200 ms, the five reads per second and shard that Kinesis allows.
pub const MIN_POLL: Duration = Duration::from_millis(200);
/// The longest [`Source::poll`]: 60 s, well below the 5 minutes an iterator lives.
pub const MAX_POLL: Duration = Duration::from_secs(60);
/// How often the list of shards is read: every 10 s.
pub const DEFAULT_DISCOVERY: Duration = Duration::from_secs(10);
/// The shortest [`Source::discovery`]: 1 s.
pub const MIN_DISCOVERY: Duration = Duration::from_secs(1);
/// The longest [`Source::discovery`]: 10 minutes.
pub const MAX_DISCOVERY: Duration = Duration::from_secs(600);

/// A file is closed when it has this many bytes: 128 MiB.
pub const DEFAULT_ROLL_BYTES: u64 = 128 << 20;
/// The least [`Roll::bytes`]: 4 KiB.
pub const MIN_ROLL_BYTES: u64 = 4 << 10;
/// The largest [`Roll::bytes`]: 5 GiB, the most S3 takes in one put.
pub const MAX_ROLL_BYTES: u64 = 5 << 30;
/// A file is closed when it has this many rows.
pub const DEFAULT_ROLL_ROWS: u64 = 1_000_000;
/// The largest [`Roll::rows`].
pub const MAX_ROLL_ROWS: u64 = 1_000_000_000;
/// A file is closed when its first row has waited this long: 60 s.
pub const DEFAULT_ROLL_AGE: Duration = Duration::from_secs(60);
/// The shortest [`Roll::age`] and [`Roll::idle`]: 100 ms.
pub const MIN_ROLL_AGE: Duration = Duration::from_millis(100);
/// The longest [`Roll::age`] and [`Roll::idle`]: 12 hours, half of what DynamoDB Streams keeps.
pub const MAX_ROLL_AGE: Duration = Duration::from_secs(12 * 3600);
/// How many columns a table gets before further attributes go to `_rest`.
pub const DEFAULT_MAX_COLUMNS: u64 = 500;
/// The largest [`Lake::max_columns`].
pub const MAX_MAX_COLUMNS: u64 = 2_000;

/// A whole pipeline file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name: 1 to 128 letters, digits, `_`, `.` and `-`, the first a letter or digit.
    pub name: String,
    /// Where checkpoints are kept; default: the folder `state/<name>`.
    pub state: StatePlace,
    /// The budget of all buffers, in bytes; default [`DEFAULT_MEMORY`].
    pub memory: u64,
    /// How long a shutdown may take; default [`DEFAULT_SHUTDOWN_GRACE`].
    pub shutdown_grace: Duration,
    /// Where metrics and health are served, a loopback address; default: nowhere.
    pub listen: Option<SocketAddr>,
    /// Where changes come from.
    pub source: Source,
    /// Where they go to.
    pub lake: Lake,
    /// Who is called with them, in the order of the file; default: nobody.
    pub handlers: Vec<Handler>,
}

/// Where changes come from (`[source]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The service or file.
    pub origin: Origin,
    /// Where shards are started that were there at the first discovery; default [`Start::TrimHorizon`].
    pub start: Start,
    /// What to do when records are gone before they were read; default [`OnGap::Fail`].
    pub on_gap: OnGap,
    /// The wait before an idle shard is asked again; default [`DEFAULT_POLL`].
    pub poll: Duration,
    /// The time between two looks at the list of shards; default [`DEFAULT_DISCOVERY`].
    pub discovery: Duration,
}

/// The service or file that changes come from, `type` in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// DynamoDB Streams.
    DynamoDbStreams {
        /// The tables, at least one, no two of the same name.
        tables: Vec<TableRef>,
    },
    /// A Kinesis stream that DynamoDB writes its changes to.
    Kinesis {
        /// The stream.
        stream: StreamRef,
        /// Only changes of these tables; `None`: of all.
        tables: Option<Vec<Arc<str>>>,
    },
    /// Recorded changes.
    File {
        /// Files and folders of files, at least one.
        paths: Vec<PathBuf>,
    },
}

impl Origin {
    /// What the file calls it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::DynamoDbStreams { .. } => "dynamodb-streams",
            Self::Kinesis { .. } => "kinesis",
            Self::File { .. } => "file",
        }
    }

    /// The names of the tables whose changes can come; `None` if any table's can.
    pub fn tables(&self) -> Option<Vec<&str>> {
        match self {
            Self::DynamoDbStreams { tables } => Some(tables.iter().map(|table| &**table.table()).collect()),
            Self::Kinesis { tables, .. } => Some(tables.as_ref()?.iter().map(|table| &**table).collect()),
            Self::File { .. } => None,
        }
    }
}

/// For people: `kinesis forum-changes`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = match self {
            Self::DynamoDbStreams { tables } => tables.iter().map(|table| table.table().to_string()).collect(),
            Self::Kinesis { stream, .. } => vec![stream.name().to_owned()],
            Self::File { paths } => paths.iter().map(|path| path.display().to_string()).collect(),
        };
        write!(f, "{} {}", self.type_name(), names.join(", "))
    }
}

/// Where reading of a shard starts that was there at the first discovery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// The oldest record there is.
    #[default]
    TrimHorizon,
    /// What comes after the first discovery.
    Latest,
    /// The first record that is not older.
    Timestamp(jiff::Timestamp),
}

/// What to do when records are gone before they were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnGap {
    /// Stop.
    #[default]
    Fail,
    /// Mark the gap and go on behind it.
    Resume,
}

/// Where changes go to (`[lake]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lake {
    /// Where it is.
    pub path: LakePath,
    /// The folders of a table's files, outermost first; default [`default_partition_by`].
    pub partition_by: Vec<Partition>,
    /// When files are closed.
    pub roll: Roll,
    /// How many columns a table gets before further attributes go to `_rest`; default [`DEFAULT_MAX_COLUMNS`].
    pub max_columns: u64,
    /// What is said about single tables.
    pub tables: BTreeMap<String, LakeTable>,
}

impl Lake {
    /// The partitions of one table: its own, or those of the lake.
    pub fn partition_by(&self, table: &str) -> &[Partition] {
        self.tables.get(table).and_then(|table| table.partition_by.as_deref()).unwrap_or(&self.partition_by)
    }
}

/// The partitions of a lake that says nothing else: one folder per day.
pub fn default_partition_by() -> Vec<Partition> {
    vec![Partition::Day]
}

/// One level of a table's folders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Partition {
    /// The year of the change, UTC.
    Year,
    /// The month of the change, UTC.
    Month,
    /// The day of the change, UTC.
    Day,
    /// The hour of the change, UTC.
    Hour,
    /// The value of an attribute.
    Attribute(String),
}

/// As it stands in the file.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Attribute(name) => name,
        })
    }
}

/// When a file is closed: at whichever comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// Its size in bytes; default [`DEFAULT_ROLL_BYTES`].
    pub bytes: u64,
    /// Its number of rows; default [`DEFAULT_ROLL_ROWS`].
    pub rows: u64,
    /// How long its first row has waited; default [`DEFAULT_ROLL_AGE`].
    pub age: Duration,
    /// How long no row has come, at most `age`; default: only `age` counts.
    pub idle: Option<Duration>,
}

/// What is said about one table (`[lake.tables.NAME]`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LakeTable {
    /// The key attributes, partition key first: one or two. Empty: the table is asked.
    pub keys: Vec<String>,
    /// Attributes that get Bloom filters and sort order.
    pub indexes: Vec<String>,
    /// The declared columns, in the order of the file. All others are inferred.
    pub columns: Vec<(String, ColumnType)>,
    /// The folders of this table's files; `None`: those of the lake.
    pub partition_by: Option<Vec<Partition>>,
}

impl LakeTable {
    /// The declared type of an attribute.
    pub fn column(&self, attribute: &str) -> Option<&ColumnType> {
        self.columns.iter().find(|(name, _)| name == attribute).map(|(_, column)| column)
    }
}

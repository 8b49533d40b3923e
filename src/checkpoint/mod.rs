//! How far each sink has come in each shard, and where that is kept.
//!
//! A checkpoint is written after what it speaks of is durable; it may lag behind the lake, never lead it.

pub mod dynamodb;
pub mod folder;
mod names;
pub mod patient;
mod stored;

use crate::BoxFuture;
use crate::change::{Position, ShardId};
use serde::{Deserialize, Serialize};

/// How far one sink has come in one shard. A shard without a checkpoint is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkpoint {
    /// The shard was there at the first discovery; nothing of it is durable yet. Reading starts where the pipeline
    /// said then, whatever it says now.
    Start(StartAt),
    /// Everything up to and including this record is durable.
    At {
        /// The last durable record.
        position: Position,
        /// The number of the lake's range that ends there (a hint where to look first); `None` for other sinks.
        range: Option<u64>,
    },
    /// The shard's last record is durable and the service said that there will be no more (KCL: `SHARD_END`).
    ShardEnd,
}

/// Where reading of a shard starts that was there at the first discovery (KCL: initial position in stream).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartAt {
    /// The oldest record the service still has.
    TrimHorizon,
    /// Records that came after the first discovery, which was at this time, µs since the epoch.
    Latest(i64),
    /// Records that are not older than this, µs since the epoch.
    Timestamp(i64),
}

/// What a checkpoint belongs to, inside a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointKey {
    /// The id of the stream ([`crate::source::StreamIdentity::id`]).
    pub stream: String,
    /// The shard.
    pub shard: ShardId,
    /// The sink's name (`lake`, or a handler's).
    pub sink: String,
}

/// A checkpoint and when it was saved, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// What it belongs to.
    pub key: CheckpointKey,
    /// How far that has come.
    pub checkpoint: Checkpoint,
    /// When it was saved, µs since the epoch, where the store knows.
    pub at: Option<i64>,
}

/// Why a state store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It may or may not have happened: try again, saving is idempotent.
    #[error("{0}")]
    Transient(String),
    /// What is stored lies further ahead than what should be saved: another process runs this pipeline.
    #[error("another process has moved this position further ({0}); is the pipeline running twice?")]
    Overtaken(String),
    /// Another process has the state for itself; the text says which.
    #[error("{0}")]
    Held(String),
    /// Nothing a retry would mend; the text says the cure.
    #[error("{0}")]
    Fatal(String),
}

/// Keeps checkpoints.
pub trait StateStore: Send + Sync + 'static {
    /// All checkpoints of one stream.
    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>>;

    /// All checkpoints of all streams of the pipeline, ordered by their keys: for people who look.
    fn survey(&self) -> BoxFuture<'_, Result<Vec<Saved>, StateError>>;

    /// Saves one checkpoint, durably before it answers. A checkpoint never moves backward: one that would is
    /// [`StateError::Overtaken`]; saving the same one again is no error.
    fn save<'a>(&'a self, key: &'a CheckpointKey, checkpoint: &'a Checkpoint) -> BoxFuture<'a, Result<(), StateError>>;

    /// Where the state is, for people.
    fn describe(&self) -> String;
}

impl Checkpoint {
    /// Whether saving `self` over `stored` would move backward. Order: start < at < end.
    pub fn is_behind(&self, stored: &Checkpoint) -> bool {
        match (self, stored) {
            (Checkpoint::Start(_), Checkpoint::Start(_)) => false,
            (Checkpoint::Start(_), _) => true,
            (Checkpoint::At { .. }, Checkpoint::Start(_)) => false,
            (Checkpoint::At { position: new, .. }, Checkpoint::At { position: old, .. }) => new < old,
            (Checkpoint::At { .. }, Checkpoint::ShardEnd) => true,
            (Checkpoint::ShardEnd, _) => false,
        }
    }
}

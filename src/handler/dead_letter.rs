//! What is kept of a change that a handler was given up with: its bytes, where it stands, how often it was tried and
//! why it failed. One object for each, under a name that only depends on the change, so that it is kept once.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Change;
use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber, ShardId};
use crate::clock::Clock;
use crate::lake::store::{ObjectStore, StoreError};
use crate::lake::{rfc3339, settle};

/// A change that a handler was given up with, as it is written down. Everything `watershed replay` needs is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The handler's name.
    pub handler: String,
    /// The table.
    pub table: String,
    /// The stream's id.
    pub stream: String,
    /// The shard.
    pub shard: String,
    /// The sequence number, its length in front.
    pub sequence: String,
    /// The place inside an aggregate.
    pub sub: u32,
    /// `streams`, `kinesis` or `recorded`: which unit its time has.
    pub channel: String,
    /// How often the handler was called with it.
    pub attempts: u32,
    /// The last error.
    pub reason: String,
    /// When it was given up, RFC 3339.
    pub given_up_at: String,
    /// The command that sends it again.
    pub replay: String,
    /// The change's JSON as it came, in base64.
    pub payload_base64: String,
}

/// Why a dead letter can't be read.
#[derive(Debug, thiserror::Error)]
#[error("this is no dead letter of a handler: {0}")]
pub struct NotADeadLetter(String);

impl DeadLetter {
    /// Of a change, now.
    pub fn new(handler: &str, change: &Change, attempts: u32, reason: &str, clock: &Clock) -> Self {
        let record = &change.record;
        let letter = Self {
            handler: handler.to_owned(),
            table: change.table.to_string(),
            stream: change.stream.to_string(),
            shard: change.shard.to_string(),
            sequence: record.position.sequence.to_sortable(),
            sub: record.position.sub,
            channel: channel_name(record.channel).to_owned(),
            attempts,
            reason: reason.to_owned(),
            given_up_at: rfc3339(clock.wall_micros()),
            replay: String::new(),
            payload_base64: base64_simd::STANDARD.encode_to_string(&record.payload),
        };
        Self { replay: format!("watershed replay PIPELINE.toml {handler}/{}", letter.path()), ..letter }
    }

    /// From its JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotADeadLetter> {
        serde_json::from_slice(bytes).map_err(|error| NotADeadLetter(error.to_string()))
    }

    /// Its JSON.
    pub fn to_bytes(&self) -> Bytes {
        // A struct of strings and numbers always serialises.
        serde_json::to_vec_pretty(self).unwrap_or_default().into()
    }

    /// The change again, to be handled.
    pub fn change(&self) -> Result<Change, NotADeadLetter> {
        let refuse = |what: &str| NotADeadLetter(what.to_owned());
        let channel = [Channel::Streams, Channel::Kinesis, Channel::Recorded];
        let channel = channel.into_iter().find(|channel| channel_name(*channel) == self.channel);
        let sequence = SequenceNumber::from_sortable(&self.sequence).map_err(|error| refuse(&error.to_string()))?;
        let payload = base64_simd::STANDARD.decode_to_vec(&self.payload_base64);
        let record = Record {
            position: Position { sequence, sub: self.sub },
            channel: channel.ok_or_else(|| refuse("its channel is unknown"))?,
            table: Some(self.table.as_str().into()),
            payload: payload.map_err(|_| refuse("its payload is no base64"))?.into(),
        };
        let (stream, shard) = (self.stream.as_str().into(), ShardId::new(self.shard.as_str()));
        Change::read(record, self.table.as_str().into(), stream, shard).map_err(|error| refuse(&error.to_string()))
    }

    /// Where it is kept below a handler's folder: by stream and shard, then by position, so that names sort in the order
    /// of the changes.
    pub fn path(&self) -> String {
        let digest = Sha256::digest(format!("{}:{}", self.stream, self.shard));
        let chain: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{chain}/{}-{:010}.json", self.sequence, self.sub)
    }
}

fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Streams => "streams",
        Channel::Kinesis => "kinesis",
        Channel::Recorded => "recorded",
        // Handlers never see these: a backfill goes into the lake alone.
        Channel::Snapshot(_) => "snapshot",
        Channel::NetChange(_) => "net-change",
    }
}

/// Where dead letters go.
pub trait DeadLetters: Send + Sync + 'static {
    /// Keeps one, durably before it answers. The same one again is no error.
    ///
    /// # Errors
    /// For people, when no retry would mend it: the handler then stops, and its position stays before the change.
    fn bury<'a>(&'a self, letter: &'a DeadLetter) -> BoxFuture<'a, Result<(), String>>;

    /// Where that is, for people.
    fn describe(&self) -> String;
}

/// Dead letters as objects of a store, each below `folder`.
pub struct StoredDeadLetters {
    store: Arc<dyn ObjectStore>,
    clock: Clock,
    folder: String,
}

impl StoredDeadLetters {
    /// In the folder of `store` with that path.
    pub fn new(store: Arc<dyn ObjectStore>, clock: Clock, folder: impl Into<String>) -> Self {
        Self { store, clock, folder: folder.into() }
    }

    /// The paths of all objects, below the folder.
    pub(super) async fn paths(&self) -> Result<Vec<String>, String> {
        let listed =
            settle::list(&*self.store, &self.clock, &self.folder, None).await.map_err(|why| self.failed(why))?;
        let below = |path: String| path.strip_prefix(&self.folder)?.strip_prefix('/').map(str::to_owned);
        Ok(listed.into_iter().filter_map(|object| below(object.path)).collect())
    }

    /// One of them.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Bytes>, String> {
        let path = format!("{}/{path}", self.folder);
        settle::read(&*self.store, &self.clock, &path).await.map_err(|why| self.failed(why))
    }

    /// Creates one; one that is there already stays.
    pub(super) async fn put(&self, path: &str, body: Bytes) -> Result<(), String> {
        let path = format!("{}/{path}", self.folder);
        let kept = settle::settle(&*self.store, &self.clock, &path, body, |_| true).await;
        kept.map(drop).map_err(|why| self.failed(why))
    }

    fn failed(&self, why: StoreError) -> String {
        format!("dead letters in {}: {why}", self.describe())
    }
}

impl DeadLetters for StoredDeadLetters {
    fn bury<'a>(&'a self, letter: &'a DeadLetter) -> BoxFuture<'a, Result<(), String>> {
        // Whoever was there first kept the same change.
        Box::pin(async move { self.put(&letter.path(), letter.to_bytes()).await })
    }

    fn describe(&self) -> String {
        format!("{}/{}", self.store.describe(), self.folder)
    }
}

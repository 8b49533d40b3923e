//! The lake: typed Parquet files, and the chain of ranges that makes them exactly once.
//!
//! A shard's rows collect in [`shard::LakeShard`] until [`roll`] says that it is time; then a [`range`] object is
//! created, then its files, and only then is the position a checkpoint. [`schema`] and [`registry`] say which column
//! holds what, [`columns`] and [`rows`] build them, [`mod@file`] encodes them, [`placement`] finds their folder, [`settle`]
//! knows what an unanswered request means.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::change::{ShardId, TableName};
use crate::clock::Clock;
use crate::source::StreamIdentity;

#[cfg(any(test, feature = "testing"))]
pub(crate) mod agree;
#[cfg(test)]
mod agree_tests;
pub mod columns;
mod dead_letter;
mod encodings;
pub mod file;
pub mod generation;
pub(crate) mod kept;
pub mod latest;
pub mod limits;
pub mod member_shard;
pub(crate) mod members;
mod open_file;
mod open_range;
mod pages;
pub mod partition;
mod parts;
pub mod placement;
mod publish;
pub mod range;
#[cfg(test)]
mod range_model;
pub mod registry;
pub mod roll;
pub mod rows;
pub mod schema;
pub mod settle;
pub mod shard;
mod side_by_side;
mod sink;
pub mod store;
#[cfg(test)]
mod tests;
mod upload_ahead;

use generation::Generations;
use limits::Limits;
use member_shard::{IfLost, MemberShard};
use publish::Publisher;
use range::Chain;
use registry::Registry;
use roll::RollLimits;
use rows::RowOrigin;
use schema::TableRules;
use settle::Settled;
use shard::LakeShard;
use store::{ObjectStore, StoreError};
use upload_ahead::UploadsAhead;

/// The object that says whose lake this is.
const IDENTITY_PATH: &str = "_watershed/lake.json";

/// Why the lake can't go on.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The store refused for good, or did not answer for too long.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another writer has written the range that this one wanted to: read the chain again and go on from its end.
    #[error("another writer wrote range {range} of shard {shard}")]
    Overtaken {
        /// The shard.
        shard: ShardId,
        /// The range both wanted.
        range: u64,
    },
    /// The store has lost an upload, whose bytes are not kept: open the shard again, and its range is read again from the
    /// source.
    #[error("the store has lost the upload of {path}: {why}")]
    UploadLost {
        /// The data file it was to be.
        path: String,
        /// What the store says.
        why: String,
    },
    /// The source does not give again what a range says it gave.
    #[error("range {path} can't be completed from the source: {why}")]
    Diverged {
        /// The range.
        path: String,
        /// What differs.
        why: String,
    },
    /// A range is not complete, its source can't be read again, and its kept records are gone.
    #[error(
        "{path} keeps the records of range {range} of shard {shard}, whose files are not all there yet, and it is not \
         there any more. {cure}; a rule that deletes kept records must leave them for longer than a pipeline may stand still"
    )]
    KeptLost {
        /// The object.
        path: String,
        /// The shard.
        shard: String,
        /// The range.
        range: u64,
        /// What can be done.
        cure: &'static str,
    },
    /// An object of the lake is not what it should be.
    #[error("{path} in the lake is damaged: {why}")]
    Corrupt {
        /// The object.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The state is ahead of the lake, or speaks of another one.
    #[error("{0}")]
    State(String),
    /// The lake belongs to another pipeline.
    #[error(
        "the lake at {lake} belongs to pipeline `{owner}`, not to `{me}`: give this pipeline a `lake.path` of its own"
    )]
    Foreign {
        /// Where it is.
        lake: String,
        /// Whose it is.
        owner: String,
        /// Who asks.
        me: String,
    },
    /// There is none to look at.
    #[error("there is no lake at {0}: `watershed run` and `watershed backfill` make one")]
    Missing(String),
    /// A file could not be made.
    #[error(transparent)]
    File(#[from] file::FileError),
}

impl LakeError {
    pub(crate) fn corrupt(path: &str, why: &str) -> Self {
        Self::Corrupt { path: path.to_owned(), why: why.to_owned() }
    }
}

/// What the pipeline file says about the lake.
#[derive(Debug, Clone)]
pub struct LakeSettings {
    /// The pipeline's name.
    pub pipeline: String,
    /// When a shard's rows become a range.
    pub roll: RollLimits,
    /// The rules of tables that have their own.
    pub tables: HashMap<TableName, Arc<TableRules>>,
    /// The rules of all others.
    pub default_rules: Arc<TableRules>,
    /// The tables that belong into the lake; `None`: all that the source has.
    pub only: Option<HashSet<TableName>>,
    /// How much is done at a time.
    pub limits: Limits,
}

/// A backfill's way into the lake.
struct Backfill {
    generations: HashMap<TableName, i64>,
    /// Whether its source can't be read again: a scan's.
    keeps: bool,
}

/// What a chain has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// Rows.
    pub rows: u64,
    /// Records that could not be decoded.
    pub undecodable: u64,
    /// Ranges.
    pub ranges: u64,
}

/// An open lake.
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    clock: Clock,
    settings: LakeSettings,
    registry: Arc<Registry>,
    generations: Arc<Generations>,
    /// Whether this is a backfill's way into the lake, and of which generations: then its rows are of these, whatever
    /// begins meanwhile.
    backfill: Option<Backfill>,
    uploads: Arc<UploadsAhead>,
    /// Signs this process's ranges, so that it knows them again.
    writer: String,
}

#[derive(Serialize, Deserialize)]
struct Identity {
    format: u32,
    pipeline: String,
    created_at: String,
    writer: String,
}

/// Whether a lake's identity says that it is this pipeline's.
fn is_ours(identity: &[u8], store: &dyn ObjectStore, settings: &LakeSettings) -> Result<(), LakeError> {
    let found: Identity =
        serde_json::from_slice(identity).map_err(|error| LakeError::corrupt(IDENTITY_PATH, &error.to_string()))?;
    if found.pipeline == settings.pipeline {
        return Ok(());
    }
    Err(LakeError::Foreign { lake: store.describe(), owner: found.pipeline, me: settings.pipeline.clone() })
}

impl Lake {
    /// Opens the lake in `store`, or founds it.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        clock: Clock,
        settings: LakeSettings,
    ) -> Result<Arc<Self>, LakeError> {
        let writer = clock.token();
        let identity = Identity {
            format: 1,
            pipeline: settings.pipeline.clone(),
            created_at: rfc3339(clock.wall_micros()),
            writer: writer.clone(),
        };
        let body = serde_json::to_vec_pretty(&identity).unwrap_or_default();
        let owned = |found: &bytes::Bytes| {
            serde_json::from_slice::<Identity>(found).is_ok_and(|found| found.pipeline == identity.pipeline)
        };
        if let Settled::Theirs(found) = settle::settle(&*store, &clock, IDENTITY_PATH, body.into(), owned).await? {
            is_ours(&found, &*store, &settings)?;
        }
        Ok(Self::of(store, clock, settings, writer))
    }

    /// Opens the lake in `store` only to look at it: nothing is written, and there must be one.
    pub async fn look_at(
        store: Arc<dyn ObjectStore>,
        clock: Clock,
        settings: LakeSettings,
    ) -> Result<Arc<Self>, LakeError> {
        let identity = settle::read(&*store, &clock, IDENTITY_PATH).await?;
        is_ours(&identity.ok_or_else(|| LakeError::Missing(store.describe()))?, &*store, &settings)?;
        let writer = clock.token();
        Ok(Self::of(store, clock, settings, writer))
    }

    fn of(store: Arc<dyn ObjectStore>, clock: Clock, settings: LakeSettings, writer: String) -> Arc<Self> {
        let registry = Arc::new(Registry::new(store.clone(), clock.clone(), writer.clone()));
        let generations = Arc::new(Generations::new(store.clone(), clock.clone(), writer.clone()));
        let uploads = Arc::new(UploadsAhead::new(store.clone(), clock.clone(), settings.limits.part));
        Arc::new(Self { store, clock, settings, registry, generations, backfill: None, uploads, writer })
    }

    /// The same lake for the rows of a backfill, which are of `generations`, by table. With `keeps` its source can't be read
    /// again.
    pub fn for_backfill(&self, generations: HashMap<TableName, i64>, keeps: bool) -> Arc<Self> {
        Arc::new(Self {
            store: self.store.clone(),
            clock: self.clock.clone(),
            settings: self.settings.clone(),
            registry: self.registry.clone(),
            generations: self.generations.clone(),
            backfill: Some(Backfill { generations, keeps }),
            uploads: self.uploads.clone(),
            writer: self.writer.clone(),
        })
    }

    /// The generations of its tables.
    pub fn generations(&self) -> &Generations {
        &self.generations
    }

    /// Whether a backfill began since files of these generations were opened. Asked after the last record of a range came:
    /// so whatever is in a range of an older generation was read before the new one began.
    async fn has_begun_another(&self, generations: BTreeSet<(TableName, i64)>) -> Result<bool, LakeError> {
        if self.backfill.is_none() {
            for (table, generation) in generations {
                if self.generations.now(&table).await? != generation {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// What the rows of a table have in common that are written now.
    async fn origin(&self, shard: &ShardId, table: &TableName) -> Result<RowOrigin, LakeError> {
        let (generation, snapshot) = match &self.backfill {
            Some(backfill) => (backfill.generations.get(table).copied().unwrap_or_default(), true),
            None => (self.generations.known(table).await?, false),
        };
        Ok(RowOrigin { shard: shard.clone(), generation, snapshot })
    }

    /// Opens one shard's place in the lake: walks its chain from the hint (the number of a range known to be durable)
    /// to its end.
    pub async fn open_shard(
        self: &Arc<Self>,
        stream: &StreamIdentity,
        shard: &ShardId,
        hint: Option<u64>,
    ) -> Result<LakeShard, LakeError> {
        LakeShard::open(self.clone(), Chain::new(stream, shard), stream.table.clone(), hint).await
    }

    /// Opens a chain whose records come in no order: each is in the lake once, however often and in whatever company it
    /// comes.
    pub async fn open_members(
        self: &Arc<Self>,
        stream: &StreamIdentity,
        shard: &ShardId,
        lost: IfLost<'_>,
    ) -> Result<MemberShard, LakeError> {
        MemberShard::open(self.clone(), Chain::new(stream, shard), stream.table.clone(), lost).await
    }

    /// Whether the chain of a shard has a range: then this pipeline has read of it, whatever the state says.
    pub async fn has_read(&self, stream: &StreamIdentity, shard: &ShardId) -> Result<bool, LakeError> {
        let folder = Chain::new(stream, shard).folder();
        Ok(!settle::list(&*self.store, &self.clock, &folder, None).await?.is_empty())
    }

    /// The last range of a chain that has any.
    pub async fn last_range(
        self: &Arc<Self>,
        stream: &StreamIdentity,
        shard: &ShardId,
    ) -> Result<Option<range::Range>, LakeError> {
        Publisher { lake: self.clone(), chain: Chain::new(stream, shard) }.last_range(None).await
    }

    /// What a chain has.
    pub async fn landed(&self, stream: &StreamIdentity, shard: &ShardId) -> Result<Landed, LakeError> {
        let folder = Chain::new(stream, shard).folder();
        let mut landed = Landed::default();
        for object in settle::list(&*self.store, &self.clock, &folder, None).await? {
            let bytes = settle::read(&*self.store, &self.clock, &object.path).await?.unwrap_or_default();
            let range = range::Range::parse(&bytes).map_err(|why| LakeError::corrupt(&object.path, &why))?;
            landed.rows += range.rows;
            landed.undecodable += range.dead_letters.map_or(0, |dead| dead.records);
            landed.ranges += 1;
        }
        Ok(landed)
    }

    /// How long a shard's first row waits at most.
    pub fn roll_age(&self) -> std::time::Duration {
        self.settings.roll.age
    }

    /// The rules of a table.
    pub fn rules(&self, table: &str) -> &Arc<TableRules> {
        self.settings.tables.get(table).unwrap_or(&self.settings.default_rules)
    }

    /// Whether changes of a table belong into the lake.
    fn takes(&self, table: &str) -> bool {
        self.settings.only.as_ref().is_none_or(|only| only.contains(table))
    }

    /// Where the lake is, for people.
    pub fn describe(&self) -> String {
        self.store.describe()
    }
}

/// RFC 3339 with milliseconds, for people.
pub(crate) fn rfc3339(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map(|time| format!("{time:.3}")).unwrap_or_default()
}

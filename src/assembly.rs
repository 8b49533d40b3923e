//! Puts a pipeline together from its file: which source, lake and state are behind the seams of the engine.

mod handlers;

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::TableName;
use crate::checkpoint::dynamodb::DynamoDbState;
use crate::checkpoint::folder::{FolderState, holder_note};
use crate::checkpoint::{StateError, StateStore};
use crate::clock::Clock;
use crate::engine::{EngineSettings, OnGap};
use crate::lake::latest::states::Order;
use crate::lake::limits::Limits;
use crate::lake::roll::RollLimits;
use crate::lake::schema::TableRules;
use crate::lake::store::{FolderStore, ObjectStore, S3Store, StoreError, probe};
use crate::lake::{Lake, LakeError, LakeSettings};
use crate::pipeline::spec::{self, LakePath, Origin, Pipeline, StatePlace};
use crate::source::export::{self, Export, ExportError, Made, Place, Target};
use crate::source::file::FileFinder;
use crate::source::lineage::StartPolicy;
use crate::source::scan::{LastKeys, ScanOf, ScanStream, WireTable};
use crate::source::{
    Aws, AwsError, DynamoDbFinder, KINESIS_PACE, KinesisFinder, Pace, STREAMS_PACE, StreamError, StreamFinder,
    StreamIdentity, TableFacts,
};

/// Why a pipeline can't be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// AWS can't be reached at all.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The source refuses.
    #[error("source: {0}")]
    Source(#[from] StreamError),
    /// The lake's store refuses.
    #[error("lake: {0}")]
    Store(#[from] StoreError),
    /// The lake refuses.
    #[error("lake: {0}")]
    Lake(#[from] LakeError),
    /// The state refuses.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// An export can't be landed.
    #[error("export: {0}")]
    Export(#[from] ExportError),
    /// A handler can't be made: its name, and why.
    #[error("handler {0}: {1}")]
    Handler(String, String),
}

/// Builds the parts of one pipeline. AWS clients are made when a part needs them, and not before.
pub struct Assembly<'a> {
    pipeline: &'a Pipeline,
    clock: Clock,
    aws: tokio::sync::OnceCell<Arc<Aws>>,
    store: tokio::sync::OnceCell<Arc<dyn ObjectStore>>,
}

impl<'a> Assembly<'a> {
    /// For the pipeline of a file.
    pub fn new(pipeline: &'a Pipeline, clock: Clock) -> Self {
        Self { pipeline, clock, aws: tokio::sync::OnceCell::new(), store: tokio::sync::OnceCell::new() }
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The exports that are to be landed, oldest first, with sound manifests. AWS is only needed for those in S3.
    pub async fn exports(&self, uris: &[String]) -> Result<Vec<Export>, AssemblyError> {
        let mut places = Vec::new();
        for uri in uris {
            let aws = if Place::is_s3(uri) { Some(self.aws().await?.clone()) } else { None };
            places.push(Place::parse(uri, aws.as_deref())?);
        }
        Ok(export::open(places).await?)
    }

    /// Has DynamoDB make an export of a table; see [`export::make`].
    pub async fn new_export(&self, table: &TableFacts, to: &Target, purpose: &str) -> Result<Made, AssemblyError> {
        Ok(export::make(self.aws().await?.dynamodb(), table, to, purpose, &self.clock).await?)
    }

    /// Whether DynamoDB can make an export of a table.
    pub async fn can_be_exported(&self, table: &TableFacts) -> Result<(), AssemblyError> {
        Ok(export::can_be_made(self.aws().await?.dynamodb(), table).await?)
    }

    async fn aws(&self) -> Result<&Arc<Aws>, AwsError> {
        self.aws.get_or_try_init(async || Ok(Arc::new(Aws::load().await?))).await
    }

    /// The streams of the source.
    pub async fn finder(&self) -> Result<Arc<dyn StreamFinder>, AssemblyError> {
        let source = &self.pipeline.source;
        let pace = |pace: Pace| Pace { idle: source.poll, discovery: source.discovery, ..pace };
        Ok(match &source.origin {
            Origin::File { paths } => Arc::new(FileFinder::new(paths.clone(), self.clock.clone())),
            Origin::DynamoDbStreams { tables } => {
                let tables = tables.iter().map(ToString::to_string).collect();
                Arc::new(DynamoDbFinder::new(self.aws().await?, tables).with_pace(pace(STREAMS_PACE)))
            }
            Origin::Kinesis { stream, .. } => {
                let streams = vec![stream.to_string()];
                Arc::new(KinesisFinder::new(self.aws().await?, streams).with_pace(pace(KINESIS_PACE)))
            }
        })
    }

    /// The lake's store; it has been proven to create exclusively.
    pub async fn store(&self) -> Result<Arc<dyn ObjectStore>, AssemblyError> {
        self.store.get_or_try_init(|| self.open_store()).await.cloned()
    }

    async fn open_store(&self) -> Result<Arc<dyn ObjectStore>, AssemblyError> {
        let store = self.unproven_store().await?;
        probe(&*store, &self.clock).await?;
        Ok(store)
    }

    async fn unproven_store(&self) -> Result<Arc<dyn ObjectStore>, AssemblyError> {
        Ok(match &self.pipeline.lake.path {
            LakePath::Folder(folder) => Arc::new(FolderStore::open(folder, &self.clock).await?),
            LakePath::S3 { bucket, prefix } => Arc::new(S3Store::new(self.aws().await?.s3().clone(), bucket, prefix)),
        })
    }

    /// The lake, opened.
    pub async fn lake(&self) -> Result<Arc<Lake>, AssemblyError> {
        let store = self.store().await?;
        let settings = self.lake_settings().await?;
        Ok(Lake::open(store, self.clock.clone(), settings).await?)
    }

    /// The lake, opened, without asking any table: their keys come with their first changes.
    pub async fn lake_of_events(&self) -> Result<Arc<Lake>, AssemblyError> {
        let store = self.store().await?;
        let settings = self.settings(self.named_tables(), false).await?;
        Ok(Lake::open(store, self.clock.clone(), settings).await?)
    }

    /// The lake, opened for tables alone whose keys are known, or that can be asked: no other table is.
    pub async fn lake_for(&self, tables: &[(TableName, Vec<String>)]) -> Result<Arc<Lake>, AssemblyError> {
        let store = self.store().await?;
        let known = tables.iter().map(|(table, keys)| (&**table, keys.clone())).collect();
        let settings = self.settings(known, true).await?;
        Ok(Lake::open(store, self.clock.clone(), settings).await?)
    }

    /// The lake, only to look at, for tables whose keys are known. Nothing is written, and no folder made.
    pub async fn lake_to_look_at(&self, tables: &[(TableName, Vec<String>)]) -> Result<Arc<Lake>, AssemblyError> {
        if let LakePath::Folder(folder) = &self.pipeline.lake.path
            && !folder.join("_watershed").is_dir()
        {
            return Err(LakeError::Missing(folder.display().to_string()).into());
        }
        let known = tables.iter().map(|(table, keys)| (&**table, keys.clone())).collect();
        let (store, settings) = (self.unproven_store().await?, self.settings(known, true).await?);
        Ok(Lake::look_at(store, self.clock.clone(), settings).await?)
    }

    /// The tables whose items a backfill reads, each with what it is called to the service.
    pub fn tables(&self) -> Vec<(TableName, String)> {
        let lake = || self.pipeline.lake.tables.keys().map(|table| (table.as_str().into(), table.clone())).collect();
        match &self.pipeline.source.origin {
            Origin::DynamoDbStreams { tables } => {
                let of = |table: &spec::TableRef| (table.table().clone(), table.to_string());
                tables.iter().map(of).collect()
            }
            Origin::Kinesis { tables: Some(tables), .. } => {
                tables.iter().map(|table| (table.clone(), table.to_string())).collect()
            }
            Origin::Kinesis { tables: None, .. } | Origin::File { .. } => lake(),
        }
    }

    /// By what the changes of an item are ordered. Kinesis keeps no order of those that DynamoDB puts there: their own time
    /// is the best there is.
    pub fn order(&self) -> Order {
        if matches!(self.pipeline.source.origin, Origin::Kinesis { .. }) { Order::Time } else { Order::Sequence }
    }

    /// What a table says of itself.
    pub async fn table_facts(&self, table: &str) -> Result<TableFacts, AssemblyError> {
        Ok(DynamoDbFinder::new(self.aws().await?, Vec::new()).describe_table(table).await?)
    }

    /// A scan of a table.
    pub async fn scan(
        &self,
        identity: StreamIdentity,
        of: ScanOf,
        prefix: &str,
        last_keys: Arc<dyn LastKeys>,
    ) -> Result<Arc<ScanStream>, AssemblyError> {
        let table = Arc::new(WireTable(self.aws().await?.dynamodb().clone()));
        Ok(ScanStream::new(table, identity, of, prefix, last_keys, self.clock.clone()))
    }

    /// What the pipeline file says about the lake, and the keys of tables that can be asked.
    pub async fn lake_settings(&self) -> Result<LakeSettings, AssemblyError> {
        self.settings(self.named_tables(), true).await
    }

    /// The tables that the pipeline file names, without their keys.
    fn named_tables(&self) -> Vec<(&str, Vec<String>)> {
        let mut names: Vec<&str> = self.pipeline.source.origin.tables().unwrap_or_default();
        names.extend(self.pipeline.lake.tables.keys().map(String::as_str));
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| (name, Vec::new())).collect()
    }

    /// The settings for tables with the keys that are known of them; those of others are asked for, or come with their
    /// first changes.
    async fn settings(&self, named: Vec<(&str, Vec<String>)>, ask: bool) -> Result<LakeSettings, AssemblyError> {
        let lake = &self.pipeline.lake;
        let mut tables = HashMap::new();
        for (name, known) in named {
            let mut rules = table_rules(lake, name);
            if rules.keys.is_empty() {
                rules.keys = if known.is_empty() && ask { self.keys_of(name).await? } else { known };
            }
            tables.insert(name.into(), Arc::new(rules));
        }
        Ok(LakeSettings {
            pipeline: self.pipeline.name.clone(),
            roll: RollLimits {
                bytes: lake.roll.bytes as usize,
                rows: lake.roll.rows as usize,
                age: lake.roll.age,
                idle: lake.roll.idle.unwrap_or(lake.roll.age),
            },
            tables,
            default_rules: Arc::new(table_rules(lake, "")),
            limits: Limits::default(),
            only: match &self.pipeline.source.origin {
                // A Kinesis stream may carry more tables than the pipeline wants.
                Origin::Kinesis { tables: Some(tables), .. } => Some(tables.iter().cloned().collect()),
                _ => None,
            },
        })
    }

    /// The key of a table that can be asked; others tell theirs with their first change.
    async fn keys_of(&self, table: &str) -> Result<Vec<String>, AssemblyError> {
        let Origin::DynamoDbStreams { tables } = &self.pipeline.source.origin else { return Ok(Vec::new()) };
        let Some(reference) = tables.iter().find(|reference| **reference.table() == *table) else {
            return Ok(Vec::new());
        };
        let finder = DynamoDbFinder::new(self.aws().await?, Vec::new());
        let facts = finder.describe_table(reference.table_id().unwrap_or(table)).await?;
        Ok(facts.keys.into_iter().map(|key| key.name).collect())
    }

    /// The state. A folder is locked by it, so that one process at a time runs the pipeline.
    pub async fn state(&self) -> Result<Arc<dyn StateStore>, AssemblyError> {
        Ok(match &self.pipeline.state {
            StatePlace::Folder(folder) => Arc::new(FolderState::open(folder, &holder_note(&self.clock))?),
            StatePlace::DynamoDb(table) => {
                let client = self.aws().await?.dynamodb().clone();
                Arc::new(DynamoDbState::open(client, table, &self.pipeline.name, self.clock.clone()).await?)
            }
        })
    }

    /// The state, only to look at: another process may be running the pipeline.
    pub async fn state_to_look_at(&self) -> Result<Arc<dyn StateStore>, AssemblyError> {
        Ok(match &self.pipeline.state {
            StatePlace::Folder(folder) => Arc::new(FolderState::open_read_only(folder)),
            StatePlace::DynamoDb(table) => {
                let client = self.aws().await?.dynamodb().clone();
                Arc::new(DynamoDbState::open_read_only(client, table, &self.pipeline.name, self.clock.clone()))
            }
        })
    }

    /// How the engine behaves.
    pub fn engine_settings(&self, once: bool) -> EngineSettings {
        let source = &self.pipeline.source;
        EngineSettings {
            start: match source.start {
                spec::Start::TrimHorizon => StartPolicy::TrimHorizon,
                spec::Start::Latest => StartPolicy::Latest,
                spec::Start::Timestamp(time) => StartPolicy::Timestamp(time.as_microsecond()),
            },
            on_gap: match source.on_gap {
                spec::OnGap::Fail => OnGap::Fail,
                spec::OnGap::Resume => OnGap::Resume,
            },
            once,
            memory: self.pipeline.memory as usize,
        }
    }
}

/// The text of a pipeline file that is an object in S3.
pub async fn pipeline_in_s3(bucket: &str, key: &str) -> Result<String, AssemblyError> {
    let aws = Aws::load().await?;
    let store = S3Store::new(aws.s3().clone(), bucket, "");
    let refuse = |what: &str| StoreError::Fatal(format!("the pipeline file s3://{bucket}/{key} {what}"));
    let found = store.get(key).await?.ok_or_else(|| refuse("is not there"))?;
    Ok(String::from_utf8(found.into()).map_err(|_| refuse("is not UTF-8"))?)
}

fn table_rules(lake: &spec::Lake, table: &str) -> TableRules {
    let own = lake.tables.get(table);
    TableRules {
        keys: own.map(|own| own.keys.clone()).unwrap_or_default(),
        declared: own.map(|own| own.columns.clone()).unwrap_or_default(),
        indexes: own.map(|own| own.indexes.clone()).unwrap_or_default(),
        partition_by: lake.partition_by(table).iter().map(ToString::to_string).collect(),
        max_columns: lake.max_columns as usize,
    }
}

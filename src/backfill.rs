//! `watershed backfill`: a table that exists already gets into the lake, while it is being written.
//!
//! ```text
//!   begin a generation ─► tail (its own, or a daemon's) ──────────────────────────► read to every tip ─► complete
//!                                └─► once it has begun: scan or export ─► SNAPSHOT rows ─┘
//! ```
//!
//! Why lake and table agree afterwards is proved in `ARCHITECTURE.md`.

mod estimate;
mod exports;
mod generation;
mod ground;
mod positions;
mod progress;
mod removed;
mod report;
mod snapshot;
mod tail;
mod turns;

use std::io::Write;
use std::sync::Arc;

use crate::assembly::{Assembly, AssemblyError};
use crate::bug::{self, Bug};
use crate::change::TableName;
use crate::checkpoint::StateError;
use crate::clock::Clock;
use crate::engine::EngineError;
use crate::lake::generation::{Exports, Generation, Method};
use crate::lake::{Lake, LakeError};
use crate::pipeline::spec::{Origin, Pipeline};
use crate::signal::told_to_stop;
use crate::source::export::{ExportError, Target};
use crate::source::scan::{ScanOf, ScanStream, default_segments};
use crate::source::{StreamApi, StreamError, StreamIdentity, TableFacts};
use crate::telemetry::Metrics;
pub(crate) use ground::Ground;
use snapshot::{InLake, Snapshot};
use tail::Tail;

/// What the command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Exports to land instead of scanning, oldest first.
    pub exports: Vec<String>,
    /// Whether exports of which something was left out are landed, too.
    pub allow_partial: bool,
    /// Whether no tail belongs to it.
    pub snapshot_only: bool,
    /// How many segments or lanes; `None`: a default, or what the generation has that is gone on with.
    pub segments: Option<u32>,
    /// The most read units a second.
    pub read_units: Option<u32>,
    /// Whether only to tell what it would cost.
    pub dry_run: bool,
}

/// Why a backfill is not complete.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The pipeline could not be put together.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// The snapshot stopped, and goes on with the next start.
    #[error("{0}. What is in the lake stays; start the backfill again to go on there")]
    Snapshot(EngineError),
    /// The tail stopped.
    #[error("the tail stopped: {0}")]
    Tail(EngineError),
    /// The lake refuses.
    #[error("lake: {0}")]
    Lake(#[from] LakeError),
    /// The state refuses.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// The source refuses.
    #[error("source: {0}")]
    Source(#[from] StreamError),
    /// An export can't be landed.
    #[error("export: {0}")]
    Export(#[from] ExportError),
    /// What is asked for can't be done so; the text says the cure.
    #[error("{0}")]
    Refused(String),
    /// What is too large for memory can't be kept on this machine.
    #[error("a temporary file (TMPDIR): {0}")]
    Temporary(std::io::Error),
    /// It was told to stop.
    #[error("stopped before it was complete. Start the backfill again to go on there")]
    Stopped,
    /// What it did can't be told.
    #[error("can't write the output: {0}")]
    Output(#[from] std::io::Error),
}

/// A table that is backfilled.
struct Part {
    generation: Generation,
    stream: Arc<dyn StreamApi>,
    /// The same, if it is a scan.
    scan: Option<Arc<ScanStream>>,
    /// The items it is expected to have; exactly so many for an export.
    items: u64,
    exact: bool,
    /// Since when all items of the table are in it, if they are: µs since the epoch.
    all_at: Option<i64>,
}

/// Backfills the tables of a pipeline, and tells on `out` what became of it.
pub async fn run(pipeline: &Pipeline, wanted: &Wanted, out: &mut (dyn Write + Send)) -> Result<(), BackfillError> {
    let clock = Clock::system();
    let assembly = Assembly::new(pipeline, clock);
    tokio::select! {
        done = run_on(&assembly, pipeline, wanted, out) => done,
        // What has not become durable is read again.
        () = told_to_stop() => Err(BackfillError::Stopped),
    }
}

/// The same on other ground than the one that a pipeline file describes, until it is dropped: a simulated world.
pub(crate) async fn run_on<G: Ground>(
    ground: &G,
    pipeline: &Pipeline,
    wanted: &Wanted,
    out: &mut (dyn Write + Send),
) -> Result<(), BackfillError> {
    let clock = ground.clock().clone();
    Backfill { pipeline, ground, wanted, clock }.run(out).await
}

struct Backfill<'a, G> {
    pipeline: &'a Pipeline,
    ground: &'a G,
    wanted: &'a Wanted,
    clock: Clock,
}

impl<G: Ground> Backfill<'_, G> {
    async fn run(&self, out: &mut (dyn Write + Send)) -> Result<(), BackfillError> {
        if matches!(self.pipeline.source.origin, Origin::File { .. }) && !self.wanted.snapshot_only {
            let why = "recorded files have no table to follow: land an export of it with --snapshot-only";
            return Err(BackfillError::Refused(why.to_owned()));
        }
        match &*self.wanted.exports {
            [] => self.scan(out).await,
            [new] if Target::is_new(new) => self.new_exports(&Target::parse(new)?, out).await,
            all if all.iter().any(|uri| Target::is_new(uri)) => {
                let why = "a new export is made of all of a table: give it alone, once";
                Err(BackfillError::Refused(why.to_owned()))
            }
            _ => self.export(out).await,
        }
    }

    /// All tables, as they are called and as they are; each can be followed.
    async fn tables(&self) -> Result<Vec<(String, TableFacts)>, BackfillError> {
        let tables = self.ground.tables();
        if tables.is_empty() {
            let why = "no table is named that could be scanned: name them in [source] tables, or as [lake.tables.NAME]";
            return Err(BackfillError::Refused(why.to_owned()));
        }
        let mut found = Vec::new();
        for (_, called) in tables {
            let facts = self.ground.table_facts(&called).await?;
            if !self.wanted.snapshot_only {
                self.can_be_followed(&called, &facts)?;
            }
            found.push((called, facts));
        }
        Ok(found)
    }

    /// The lake, which knows the keys of these tables.
    async fn lake_of(&self, tables: &[(String, TableFacts)]) -> Result<Arc<Lake>, BackfillError> {
        let of_lake: Vec<_> = tables.iter().map(|(_, facts)| (facts.name.clone(), keys(facts))).collect();
        Ok(self.ground.lake_for(&of_lake).await?)
    }

    async fn scan(&self, out: &mut (dyn Write + Send)) -> Result<(), BackfillError> {
        let found = self.tables().await?;
        if self.wanted.dry_run {
            return Ok(report::scans(&found, self.wanted, out)?);
        }
        let tail = self.tail().await?;
        let lake = self.lake_of(&found).await?;
        let mut parts = Vec::new();
        for (called, facts) in &found {
            let fresh = is_fresh(tail.as_ref(), &lake, &facts.name).await?;
            let segments = self.wanted.segments.unwrap_or_else(|| default_segments(facts.bytes));
            let wanted = (Method::Scan { segments }, fresh, keys(facts));
            let generation = self.generation(&lake, &facts.name, wanted, None).await?;
            parts.push(self.scan_part(&lake, generation, called, facts.items).await?);
        }
        self.land(&lake, std::future::ready(Ok(parts)), tail, out).await
    }

    async fn tail(&self) -> Result<Option<Tail>, BackfillError> {
        Ok(if self.wanted.snapshot_only { None } else { Some(Tail::find(self.ground).await?) })
    }

    /// Whether the stream of a table carries what the latest state of its items needs.
    fn can_be_followed(&self, table: &str, facts: &TableFacts) -> Result<(), BackfillError> {
        if !matches!(self.pipeline.source.origin, Origin::DynamoDbStreams { .. }) {
            return Ok(());
        }
        let cure = "make one with StreamViewType=NEW_AND_OLD_IMAGES, or land the table as it is with --snapshot-only";
        match facts.view_type.as_deref() {
            Some("NEW_IMAGE" | "NEW_AND_OLD_IMAGES") => Ok(()),
            Some(view) => Err(BackfillError::Refused(format!(
                "the stream of table {table} is of type {view} and has no new images, so that the lake could not follow the \
                 table: {cure}"
            ))),
            None => Err(BackfillError::Refused(format!("the stream of table {table} is switched off: {cure}"))),
        }
    }

    async fn scan_part(
        &self,
        lake: &Arc<Lake>,
        generation: Generation,
        called: &str,
        items: u64,
    ) -> Result<Part, BackfillError> {
        let segments = match &generation.method {
            Method::Scan { segments } => *segments,
            Method::Export => default_segments(0),
        };
        let (identity, prefix) = names(&generation);
        let last_keys = Arc::new(InLake { lake: lake.clone(), identity: identity.clone() });
        let (began_at, read_units) = (generation.began_at, self.wanted.read_units);
        let of = ScanOf { table: called.to_owned(), segments, began_at, read_units };
        let scan = self.ground.scan(identity, of, &prefix, last_keys).await?;
        let all_at = Some(began_at);
        Ok(Part { generation, stream: scan.clone(), scan: Some(scan), items, exact: false, all_at })
    }

    async fn generation(
        &self,
        lake: &Lake,
        table: &TableName,
        (method, fresh, keys): (Method, bool, Vec<String>),
        exports: Option<&Exports>,
    ) -> Result<Generation, BackfillError> {
        if keys.is_empty() {
            return Err(BackfillError::Refused(format!(
                "the keys of table {table} are not known: write `keys = [\"PARTITION-KEY\", \"SORT-KEY\"]` below \
                 [lake.tables.{table}] in the pipeline file"
            )));
        }
        let wanted = Generation {
            format: 1,
            table: table.to_string(),
            generation: 0,
            method,
            snapshot_only: self.wanted.snapshot_only,
            fresh,
            keys,
            began_at: 0,
            created_at: String::new(),
            writer: String::new(),
        };
        generation::resume_or_begin(lake, wanted, exports, self.wanted.segments.is_some()).await
    }

    /// Lands the snapshots beside a tail, and completes their generations. The tail goes on while they are made.
    async fn land(
        &self,
        lake: &Arc<Lake>,
        parts: impl Future<Output = Result<Vec<Part>, BackfillError>> + Send,
        tail: Option<Tail>,
        out: &mut (dyn Write + Send),
    ) -> Result<(), BackfillError> {
        let metrics = Metrics::new();
        // Half of the memory is the tail's. What else it needs, it gets by turns.
        let memory = self.pipeline.memory as usize / if tail.is_some() { 2 } else { 1 };
        let running = match &tail {
            Some(tail) => Some(tail.start(self.ground, lake, memory, &metrics).await?),
            None => None,
        };
        let snapshot = |parts: &[Part], keeps: bool, tail: Option<&Tail>| {
            let number = |part: &Part| (part.generation.table.as_str().into(), part.generation.generation);
            let lake = lake.for_backfill(parts.iter().map(number).collect(), keeps);
            let (clock, metrics, tail) = (self.clock.clone(), metrics.clone(), tail.map(Tail::watch));
            Snapshot { lake, clock, memory, metrics, tail }
        };
        let landed = async {
            let parts = parts.await?;
            let keeps = parts.iter().any(|part| part.scan.is_some());
            let landed = snapshot(&parts, keeps, tail.as_ref()).land(&parts).await?;
            Ok((parts, landed))
        };
        let (parts, landed) = match running {
            Some(running) => running.beside(landed).await?,
            None => landed.await?,
        };
        if let Some(tail) = tail.as_ref().filter(|_| !bug::is_made(Bug::CompleteBeforeTips)) {
            tail.read_until_now(self.ground, lake, memory).await?;
        }
        for (part, landed) in parts.iter().zip(&landed) {
            self.is_whole(lake, part, landed).await?;
        }
        self.remove(&snapshot(&parts, true, None), &parts).await?;
        for (part, landed) in parts.iter().zip(&landed) {
            self.is_whole(lake, part, landed).await?;
            lake.generations().complete(&part.generation, landed.rows).await?;
        }
        Ok(report::landed(self.pipeline, &parts, &landed, out)?)
    }

    /// Removes from the lake's latest state what was deleted unseen.
    async fn remove(&self, snapshot: &Snapshot, parts: &[Part]) -> Result<(), BackfillError> {
        let mut gone = Vec::new();
        for part in parts {
            if let Some(at) = part.all_at
                && removed::may_be(&snapshot.lake, &part.generation).await?
            {
                gone.extend(removed::find(&snapshot.lake, &part.generation, at, self.ground.order()).await?);
            }
        }
        if !gone.is_empty() {
            snapshot.land(&gone).await?;
        }
        Ok(())
    }

    /// Whether nothing of a generation is missing.
    async fn is_whole(&self, lake: &Lake, part: &Part, landed: &crate::lake::Landed) -> Result<(), BackfillError> {
        let Generation { table, generation, snapshot_only, .. } = &part.generation;
        if landed.undecodable > 0 {
            return Err(BackfillError::Refused(format!(
                "{} of the items of table {table} could not be decoded; they are in _watershed/dead-letters of the lake, \
                 and generation {generation} can't be complete without them",
                landed.undecodable
            )));
        }
        if part.exact && landed.rows != part.items {
            return Err(BackfillError::Refused(format!(
                "the export of table {table} has {} items, and the lake {} of them: the export's files were exchanged",
                part.items, landed.rows
            )));
        }
        if !snapshot_only && !lake.generations().gaps_since(table, *generation).await?.is_empty() {
            return Err(BackfillError::Refused(format!(
                "changes of table {table} were lost while generation {generation} was under way, so that it can't be \
                 complete. Start the backfill again: it begins another one"
            )));
        }
        Ok(())
    }
}

/// The names of a table's key attributes.
fn keys(facts: &TableFacts) -> Vec<String> {
    facts.keys.iter().map(|key| key.name.clone()).collect()
}

/// Whether there is a tail, and nothing of its stream has been read.
async fn is_fresh(tail: Option<&Tail>, lake: &Lake, table: &TableName) -> Result<bool, BackfillError> {
    match tail {
        Some(tail) => tail.is_fresh(lake, table).await,
        None => Ok(false),
    }
}

/// The cores of this machine.
fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().try_into().unwrap_or(u32::MAX))
}

/// As many lanes as there are cores, up to eight.
fn default_lanes() -> u32 {
    cores().min(8)
}

/// What names a generation's stream, and what its shards' names begin with.
fn names(generation: &Generation) -> (StreamIdentity, String) {
    let Generation { table, generation, .. } = generation;
    let id = format!("backfill:{table}:{generation}");
    (StreamIdentity { id, table: Some(table.as_str().into()), origin: None }, format!("backfill-{generation}"))
}

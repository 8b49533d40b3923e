//! Which generation of a table is it, and since when? A backfill begins one with a conditional put; every writer of the
//! tail asks for it as the last thing before it creates a range.
//!
//! That order is what the proof of `ARCHITECTURE.md` needs: all records of a range that says an older generation had been
//! read before the new one began.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::range::{Gap, Range};
use super::settle::{self, Settled};
use super::store::ObjectStore;
use super::{LakeError, partition, rfc3339};
use crate::change::TableName;
use crate::clock::Clock;

/// The folder of all generations.
const FOLDER: &str = "_watershed/generations";

/// The folder that names every gap marker of all chains.
pub(super) const GAPS: &str = "_watershed/gaps";

/// How a backfill gets a table's items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Method {
    /// It scans the table.
    Scan {
        /// Into how many segments the table is divided.
        segments: u32,
    },
    /// It reads exports, full or incremental. Which, is said once they are known to belong into it ([`Exports`]).
    Export,
}

/// The object that says which exports a generation is read from: mostly they are taken after it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exports {
    /// Their ARNs, in the order of their times.
    pub exports: Vec<String>,
    /// How many chains take their files.
    pub lanes: u32,
}

/// The object that begins a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The version of this format: 1.
    pub format: u32,
    /// The table.
    pub table: String,
    /// Its number, from 1. Rows of a tail without any backfill are of generation 0.
    pub generation: i64,
    /// How its items are got.
    #[serde(flatten)]
    pub method: Method,
    /// Whether no tail belongs to it: then the lake has the table as it was, and nothing promises that it follows.
    pub snapshot_only: bool,
    /// Whether nothing of the table's stream had been read when it began, so that it has all that the stream has.
    pub fresh: bool,
    /// The table's key attributes, partition key first.
    pub keys: Vec<String>,
    /// When it began, µs since the epoch: `_changed_at` of items that are scanned.
    pub began_at: i64,
    /// The same, RFC 3339. For people.
    pub created_at: String,
    /// Which writer began it.
    pub writer: String,
}

/// The object that completes a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// The rows its snapshot has.
    pub rows: u64,
    /// When it was complete, RFC 3339. For people.
    pub completed_at: String,
}

/// The generations of all tables of a lake.
pub struct Generations {
    store: Arc<dyn ObjectStore>,
    clock: Clock,
    writer: String,
    known: Mutex<HashMap<TableName, i64>>,
}

impl Generations {
    pub(super) fn new(store: Arc<dyn ObjectStore>, clock: Clock, writer: String) -> Self {
        Self { store, clock, writer, known: Mutex::default() }
    }

    /// The generation of a table as far as it is known here.
    pub(super) async fn known(&self, table: &TableName) -> Result<i64, LakeError> {
        let known = self.lock().get(table).copied();
        match known {
            Some(known) => Ok(known),
            None => self.now(table).await,
        }
    }

    /// The generation of a table at this moment: one that was complete in the store when this was called is seen.
    pub async fn now(&self, table: &TableName) -> Result<i64, LakeError> {
        let mut generation = self.lock().get(table).copied().unwrap_or_default();
        while settle::size(&*self.store, &self.clock, &path_of(table, generation + 1)).await?.is_some() {
            generation += 1;
        }
        let mut known = self.lock();
        let entry = known.entry(table.clone()).or_default();
        *entry = generation.max(*entry);
        Ok(*entry)
    }

    /// The object of a generation.
    pub async fn read(&self, table: &str, generation: i64) -> Result<Option<Generation>, LakeError> {
        self.read_as(&path_of(table, generation)).await
    }

    /// When a generation was completed, if it was.
    pub async fn completed(&self, table: &str, generation: i64) -> Result<Option<Completed>, LakeError> {
        self.read_as(&done_path_of(table, generation)).await
    }

    /// Begins the generation behind the current one. From when this answers on, all tails write it.
    pub async fn begin(&self, mut wanted: Generation) -> Result<Generation, LakeError> {
        let table = TableName::from(&*wanted.table);
        wanted.writer = self.writer.clone();
        loop {
            wanted.generation = self.now(&table).await? + 1;
            wanted.began_at = self.clock.wall_micros();
            wanted.created_at = rfc3339(wanted.began_at);
            let path = path_of(&table, wanted.generation);
            let mine = |found: &Bytes| serde_json::from_slice::<Generation>(found).is_ok_and(|found| found == wanted);
            match settle::settle(&*self.store, &self.clock, &path, to_bytes(&wanted), mine).await? {
                Settled::Mine => {
                    self.now(&table).await?;
                    return Ok(wanted);
                }
                // Two backfills began at once; the later is the next generation.
                Settled::Theirs(_) => {}
            }
        }
    }

    /// The exports of a generation, if they have been chosen.
    pub async fn exports(&self, table: &str, generation: i64) -> Result<Option<Exports>, LakeError> {
        self.read_as(&exports_path_of(table, generation)).await
    }

    /// Chooses the exports of a generation, once; answers what was chosen.
    pub async fn choose(&self, generation: &Generation, wanted: &Exports) -> Result<Exports, LakeError> {
        let path = exports_path_of(&generation.table, generation.generation);
        let same = |found: &Bytes| serde_json::from_slice::<Exports>(found).is_ok_and(|found| found == *wanted);
        match settle::settle(&*self.store, &self.clock, &path, to_bytes(wanted), same).await? {
            Settled::Mine => Ok(wanted.clone()),
            Settled::Theirs(found) => {
                serde_json::from_slice(&found).map_err(|error| LakeError::corrupt(&path, &error.to_string()))
            }
        }
    }

    /// Says that a generation is complete. Saying it again is no error.
    pub async fn complete(&self, generation: &Generation, rows: u64) -> Result<(), LakeError> {
        let completed = Completed { rows, completed_at: rfc3339(self.clock.wall_micros()) };
        let path = done_path_of(&generation.table, generation.generation);
        let readable = |found: &Bytes| serde_json::from_slice::<Completed>(found).is_ok();
        match settle::settle(&*self.store, &self.clock, &path, to_bytes(&completed), readable).await? {
            Settled::Mine => Ok(()),
            Settled::Theirs(_) => Err(LakeError::corrupt(&path, "it is no generation's end")),
        }
    }

    /// The generations of all tables at this moment, for a gap that is found now.
    pub(super) async fn all(&self) -> Result<BTreeMap<String, i64>, LakeError> {
        let mut all: BTreeMap<String, i64> = BTreeMap::new();
        for object in settle::list(&*self.store, &self.clock, FOLDER, None).await? {
            let begins = !object.path.ends_with(".done.json") && !object.path.ends_with(".exports.json");
            if begins && let Some(Generation { table, generation, .. }) = self.read_as(&object.path).await? {
                let latest = all.entry(table).or_default();
                *latest = generation.max(*latest);
            }
        }
        Ok(all)
    }

    /// The gaps of all chains since `generation` of `table` began: one that may have been found before counts as well.
    pub async fn gaps_since(&self, table: &str, generation: i64) -> Result<Vec<Gap>, LakeError> {
        let mut gaps = self.gaps().await?;
        gaps.retain(|(of, gap)| {
            of.as_deref().is_none_or(|of| of == table)
                && gap.generations.get(table).is_some_and(|known| *known >= generation)
        });
        Ok(gaps.into_iter().map(|(_, gap)| gap).collect())
    }

    /// All gaps, with their table where its stream names one.
    pub async fn gaps(&self) -> Result<Vec<(Option<String>, Gap)>, LakeError> {
        let mut gaps = Vec::new();
        for object in settle::list(&*self.store, &self.clock, GAPS, None).await? {
            let Some(bytes) = settle::read(&*self.store, &self.clock, &object.path).await? else { continue };
            let range = Range::parse(&bytes).map_err(|why| LakeError::corrupt(&object.path, &why))?;
            gaps.extend(range.gap.map(|gap| (gap.table.clone(), gap)));
        }
        Ok(gaps)
    }

    async fn read_as<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Option<T>, LakeError> {
        let Some(bytes) = settle::read(&*self.store, &self.clock, path).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| LakeError::corrupt(path, &error.to_string()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TableName, i64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_bytes(object: &impl Serialize) -> Bytes {
    // Structs of strings and numbers always serialise.
    let mut json = serde_json::to_vec_pretty(object).unwrap_or_default();
    json.push(b'\n');
    json.into()
}

fn path_of(table: &str, generation: i64) -> String {
    format!("{FOLDER}/{}/{generation:06}.json", partition::name_segment(table))
}

fn done_path_of(table: &str, generation: i64) -> String {
    format!("{FOLDER}/{}/{generation:06}.done.json", partition::name_segment(table))
}

fn exports_path_of(table: &str, generation: i64) -> String {
    format!("{FOLDER}/{}/{generation:06}.exports.json", partition::name_segment(table))
}

//! What a correct lake is: one definition, for every simulation and for the lakes of real processes.
//!
//! ```text
//!  whole(objects)       chains without gap or overlap, every file there with the rows its range says, nothing else   any lake
//!  positions(..)        no checkpoint is ahead of the lake                                                           any time
//!  lake(..)             whole, and each change once, unchanged; a gap where records were trimmed, and nowhere else   a world
//!  latest(..)           the latest state of the lake is that of the table                                            a backfill
//!  handler::judge(..)   each change handled or given up, those of an item in order                                   a handler
//! ```

mod chains;
mod gaps;
mod latest;
mod positions;
mod rows;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::rebuild::Row;
use super::stream::Shard;
use super::world::Report;
use chains::Chains;
use gaps::Gaps;
use rows::{Key, Rows};

pub use latest::latest;
pub use positions::positions;
pub use rows::Files;

/// All objects of a lake, by path.
pub type Objects = BTreeMap<String, Bytes>;

/// What the judge of a world has to go by.
pub struct Evidence<'a> {
    /// The lake.
    pub objects: &'a Objects,
    /// The paths of its objects, in the order in which they were created.
    pub order: &'a [String],
    /// What was written.
    pub shards: &'a [Shard],
    /// Whether the stream is Kinesis.
    pub kinesis: bool,
    /// The shard's name under which a function lands all shards of a DynamoDB stream.
    pub one_chain: Option<&'a str>,
    /// What has been read of it.
    pub files: Files,
}

/// What a lake has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whole {
    /// Rows.
    pub rows: u64,
    /// Records among the dead letters.
    pub dead_letters: u64,
    /// Ranges, markers included.
    pub ranges: u64,
    /// Gap markers.
    pub gaps: u64,
}

/// A lake is whole: every range follows the one before it, every object of a range is there and holds what the range says,
/// no record is in it twice, and nothing else lies in it. No process may be at work.
pub fn whole(objects: &Objects) -> Result<Whole, String> {
    let chains = Chains::read(objects)?;
    let rows = Rows::read(objects, &chains, &Files::default())?;
    rows::no_strays(objects, &chains)?;
    Ok(sum(&chains, &rows))
}

fn sum(chains: &Chains, rows: &Rows) -> Whole {
    Whole {
        rows: rows.tail.values().map(|rows| rows.len() as u64).sum::<u64>() + rows.snapshots.len() as u64,
        dead_letters: rows.dead.len() as u64,
        ranges: chains.ranges().count() as u64,
        gaps: chains.ranges().filter(|range| range.gap.is_some()).count() as u64,
    }
}

/// The lake of a world is whole and holds every change of every shard exactly once, unchanged; where a record is missing it
/// was trimmed, and a marker says so; a child was begun after its parents were finished.
pub fn lake(evidence: &Evidence<'_>) -> Result<Report, String> {
    let Evidence { objects, shards, .. } = evidence;
    let chains = Chains::parse(objects)?;
    // Of a shard that is gone nobody may know that its first range was left open; what is missing then, `Gaps` judges.
    let was_trimmed = |shard: &str| shards.iter().any(|known| known.id.as_str() == shard && known.trimmed > 0);
    chains.are_complete(objects, was_trimmed)?;
    let mut rows = Rows::read(objects, &chains, &evidence.files)?;
    rows::no_strays(objects, &chains)?;
    let whole = sum(&chains, &rows);
    let mut report = Report { shards: shards.len() as u64, digest: digest(objects), ..Report::default() };
    (report.ranges, report.gaps) = (whole.ranges, whole.gaps);
    report.snapshots = rows.snapshots.len() as u64;
    let made = evidence.order.iter().enumerate().map(|(at, path)| (path.as_str(), at)).collect();
    let mut gaps = Gaps::new(&chains, shards, evidence.kinesis);
    for shard in *shards {
        let chain = evidence.one_chain.unwrap_or(shard.id.as_str());
        for (at, record) in shard.records.iter().enumerate() {
            let key = (chain.to_owned(), record.position.sequence.to_sortable(), record.position.sub as i32);
            let found = match serde_json::from_slice::<Value>(&record.payload) {
                Ok(change) => {
                    let found = take(&mut rows, &key, &change, evidence.one_chain.is_some())?;
                    report.rows += u64::from(found);
                    found
                }
                Err(_) => {
                    let found = rows.dead.remove(&key);
                    report.dead_letters += u64::from(found);
                    found
                }
            };
            gaps.note(shard, at, found);
        }
        if evidence.one_chain.is_none() {
            parents_first(shard, &chains, &made)?;
        }
    }
    report.trimmed = gaps.judge()?;
    match (rows.tail.values().flatten().next(), rows.dead.iter().next()) {
        (None, None) => Ok(report),
        (row, letter) => Err(format!("rows that nobody wrote, or twice: {row:?} {letter:?}")),
    }
}

/// Takes the row of a change away, if there is one, and holds it against the change. Where chains are `shared` by shards, a
/// row may be another shard's: DynamoDB's numbers are unique within a shard.
fn take(rows: &mut Rows, key: &Key, change: &Value, shared: bool) -> Result<bool, String> {
    let Some(found) = rows.tail.get_mut(key).filter(|rows| !rows.is_empty()) else { return Ok(false) };
    match found.iter().position(|row| same(row, change).is_ok()) {
        Some(at) => drop(found.swap_remove(at)),
        None if shared => return Ok(false),
        None => {
            let what = same(&found[0], change).err().unwrap_or_default();
            return Err(format!("{what} of {key:?} changed: {:?} from {change}", found[0]));
        }
    }
    Ok(true)
}

fn same(row: &Row, change: &Value) -> Result<(), &'static str> {
    let dynamodb = &change["dynamodb"];
    let new = dynamodb.get("NewImage").unwrap_or(&dynamodb["Keys"]);
    match () {
        () if change["eventName"] != row.op.as_str() => Err("the operation"),
        () if *new != row.new => Err("the new image"),
        () if dynamodb.get("OldImage") != row.old.as_ref() => Err("the old image"),
        () => Ok(()),
    }
}

/// A child's first range was created after its parents' last.
fn parents_first(shard: &Shard, chains: &Chains, made: &HashMap<&str, usize>) -> Result<(), String> {
    let Some((folder, _)) = chains.of_shard(shard.id.as_str()) else { return Ok(()) };
    let when = |folder: &str, n: usize| made.get(format!("{folder}/{n:020}.json").as_str()).copied();
    let first = when(folder, 0);
    for parent in &shard.parents {
        let Some((folder, ranges)) = chains.of_shard(parent.as_str()) else { continue };
        // A gap may be marked by several that find it at the same time.
        let last = ranges.iter().rposition(|range| range.gap.is_none()).and_then(|last| when(folder, last));
        if last > first {
            return Err(format!("{} was begun before its parent {parent} was finished", shard.id));
        }
    }
    Ok(())
}

/// Ranges carry the token and time of their writer, which come from the seed, too.
fn digest(objects: &Objects) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in objects {
        hash.update(path.as_bytes());
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

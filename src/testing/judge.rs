//! What a correct lake is: one definition, for every simulation.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::rebuild::{self, Row};
use super::stream::Shard;
use super::world::Report;
use crate::change::Position;
use crate::checkpoint::{Checkpoint, CheckpointKey};
use crate::lake::range::{Chain, Range};
use crate::lake::schema::{Column, TableSchema};
use crate::source::StreamIdentity;

type Objects = BTreeMap<String, Bytes>;

/// No checkpoint speaks of a range that is not in the lake, or of a position behind its range's end.
pub fn checkpoints_behind_lake(
    state: &[(CheckpointKey, Checkpoint)],
    objects: &Objects,
    stream: &str,
) -> Result<(), String> {
    let stream = StreamIdentity { id: stream.to_owned(), table: None, origin: None };
    for (key, checkpoint) in state {
        let Checkpoint::At { position, range: Some(n) } = checkpoint else { continue };
        let path = Chain::new(&stream, &key.shard).range_path(*n);
        let found = objects.get(&path).ok_or_else(|| format!("checkpoint of {} is ahead: no {path}", key.shard))?;
        let range = Range::parse(found)?;
        if range.end() != Some(*position) {
            return Err(format!("checkpoint {position} of {} is not the end of range {n}", key.shard));
        }
        for file in &range.files {
            objects.get(&file.path).ok_or_else(|| format!("checkpoint of {} is ahead of {}", key.shard, file.path))?;
        }
    }
    Ok(())
}

/// The lake holds every change of every shard exactly once, unchanged; every range follows the one before; a child was
/// begun after its parents were finished; and nothing else lies in the lake.
pub fn lake(objects: &Objects, shards: &[Shard]) -> Result<Report, String> {
    let ranges = chains(objects)?;
    let mut rows = all_rows(objects, &ranges)?;
    let mut dead = dead_letters(objects, &ranges)?;
    let mut report = Report { shards: shards.len() as u64, digest: digest(objects), ..Report::default() };
    report.ranges = ranges.values().map(|chain| chain.len() as u64).sum();
    for shard in shards {
        for (position, payload) in &shard.records {
            let key = (shard.id.to_string(), position.sequence.to_sortable(), position.sub as i32);
            match serde_json::from_slice::<Value>(payload) {
                Ok(change) => {
                    let row = rows.remove(&key).ok_or_else(|| format!("lost: {key:?}"))?;
                    same(&row, &change).map_err(|what| format!("{what} of {key:?} changed: {row:?} from {change}"))?;
                    report.rows += 1;
                }
                Err(_) => {
                    if !dead.remove(&key) {
                        return Err(format!("lost: no dead letter for {key:?}"));
                    }
                    report.dead_letters += 1;
                }
            }
        }
        parents_first(shard, &ranges)?;
    }
    match (rows.keys().next(), dead.iter().next()) {
        (None, None) => Ok(report),
        (row, letter) => Err(format!("rows that nobody wrote: {row:?} {letter:?}")),
    }
}

/// The ranges of every shard, checked to be a chain without gaps.
fn chains(objects: &Objects) -> Result<HashMap<String, Vec<Range>>, String> {
    let mut chains: HashMap<String, Vec<Range>> = HashMap::new();
    for (path, bytes) in objects.range("_watershed/ranges/".to_owned().."_watershed/ranges0".to_owned()) {
        let range = Range::parse(bytes).map_err(|why| format!("{path}: {why}"))?;
        let chain = chains.entry(range.shard.clone()).or_default();
        let end_before = chain.last().and_then(Range::end);
        if range.range != chain.len() as u64 || range.start() != end_before || range.end() <= range.start() {
            return Err(format!("{path} does not follow the range before it"));
        }
        chain.push(range);
    }
    Ok(chains)
}

type RowKey = (String, String, i32);

fn all_rows(objects: &Objects, ranges: &HashMap<String, Vec<Range>>) -> Result<BTreeMap<RowKey, Row>, String> {
    let mut rows = BTreeMap::new();
    let mut known = BTreeSet::new();
    for range in ranges.values().flatten() {
        let within = |position: &str, sub: i32| {
            let sequence = crate::change::SequenceNumber::from_sortable(position).ok();
            let position = sequence.map(|sequence| Position { sequence, sub: sub as u32 });
            position > range.start() && position <= range.end()
        };
        for file in &range.files {
            known.insert(file.path.clone());
            let body = objects.get(&file.path).ok_or_else(|| format!("{} is missing", file.path))?;
            let found = rebuild::rows(body, &schema(objects, &file.table, file.schema)?);
            if found.len() as u64 != file.rows {
                return Err(format!("{} has {} rows, its range says {}", file.path, found.len(), file.rows));
            }
            for row in found {
                if !within(&row.sequence, row.sub) {
                    return Err(format!("{} has a row outside its range: {row:?}", file.path));
                }
                let key = (row.shard.clone(), row.sequence.clone(), row.sub);
                if let Some(twice) = rows.insert(key, row) {
                    return Err(format!("twice: {twice:?}"));
                }
            }
        }
    }
    let stray = objects.keys().find(|path| path.ends_with(".parquet") && !known.contains(*path));
    stray.map_or(Ok(rows), |path| Err(format!("{path} belongs to no range")))
}

fn schema(objects: &Objects, table: &str, version: u32) -> Result<TableSchema, String> {
    let path = format!("_watershed/schema/{table}/{version:06}.json");
    let bytes = objects.get(&path).ok_or_else(|| format!("{path} is missing"))?;
    let mut stored: Value = serde_json::from_slice(bytes).map_err(|error| format!("{path}: {error}"))?;
    let columns: Vec<Column> = serde_json::from_value(stored["columns"].take()).map_err(|error| error.to_string())?;
    Ok(TableSchema::new(table.to_owned(), version, columns))
}

fn dead_letters(objects: &Objects, ranges: &HashMap<String, Vec<Range>>) -> Result<BTreeSet<RowKey>, String> {
    let mut dead = BTreeSet::new();
    for letters in ranges.values().flatten().filter_map(|range| range.dead_letters.as_ref()) {
        let body = objects.get(&letters.path).ok_or_else(|| format!("{} is missing", letters.path))?;
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let letter: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
            let sub = letter["sub"].as_i64().unwrap_or_default() as i32;
            if !dead.insert((text("stream_shard"), text("sequence"), sub)) {
                return Err(format!("a dead letter twice: {letter}"));
            }
        }
    }
    Ok(dead)
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

/// A child's first range was written after its parents' last.
fn parents_first(shard: &Shard, ranges: &HashMap<String, Vec<Range>>) -> Result<(), String> {
    let Some(first) = ranges.get(shard.id.as_str()).and_then(|chain| chain.first()) else { return Ok(()) };
    for parent in &shard.parents {
        let last = ranges.get(parent.as_str()).and_then(|chain| chain.last());
        if last.is_some_and(|last| last.created_at > first.created_at) {
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

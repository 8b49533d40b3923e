//! Which rows and dead letters does a lake have, and does anything else lie in it?

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use bytes::Bytes;
use serde_json::Value;

use super::Objects;
use super::chains::Chains;
use crate::change::{Position, SequenceNumber};
use crate::lake::partition;
use crate::lake::range::{Range, RangeFile};
use crate::lake::schema::{Column, TableSchema};
use crate::testing::rebuild::{self, Row};

/// Shard, sequence number in its sortable form, place inside an aggregate.
pub(super) type Key = (String, String, i32);

/// Files that have been read. They never change.
#[derive(Default)]
pub struct Files {
    rows: RefCell<HashMap<String, Rc<[Row]>>>,
}

impl Files {
    fn rows(&self, objects: &Objects, file: &RangeFile, body: &Bytes) -> Result<Rc<[Row]>, String> {
        if let Some(rows) = self.rows.borrow().get(&file.path) {
            return Ok(rows.clone());
        }
        let rows: Rc<[Row]> = rebuild::rows(body, &schema(objects, &file.table, file.schema)?).into();
        self.rows.borrow_mut().insert(file.path.clone(), rows.clone());
        Ok(rows)
    }
}

/// The rows of a lake.
#[derive(Default)]
pub(super) struct Rows {
    /// Those of changes. Of a function's chain several may have one key.
    pub(super) tail: BTreeMap<Key, Vec<Row>>,
    /// Those of backfills, each with its table.
    pub(super) snapshots: Vec<(String, Row)>,
    /// The keys of records that are no changes.
    pub(super) dead: BTreeSet<Key>,
}

impl Rows {
    pub(super) fn read(objects: &Objects, chains: &Chains, files: &Files) -> Result<Self, String> {
        let mut rows = Self::default();
        for range in chains.ranges() {
            for file in &range.files {
                rows.take_file(objects, range, file, files)?;
            }
            rows.take_dead_letters(objects, range)?;
        }
        Ok(rows)
    }

    fn take_file(&mut self, objects: &Objects, range: &Range, file: &RangeFile, files: &Files) -> Result<(), String> {
        // That it has to be there is the chain's to say.
        let Some(body) = objects.get(&file.path) else { return Ok(()) };
        let found = files.rows(objects, file, body)?;
        if found.len() as u64 != file.rows {
            return Err(format!("{} has {} rows, its range says {}", file.path, found.len(), file.rows));
        }
        for row in found.iter().cloned() {
            // A backfill's: an item, or the removal of one that went unseen. Their numbers have no length in front.
            let backfilled = row.sequence.starts_with("000");
            if !backfilled && !is_within(range, &row.sequence, row.sub) {
                return Err(format!("{} has a row outside its range: {row:?}", file.path));
            }
            if row.generation != file.generation {
                return Err(format!("{} is of generation {}, and has {row:?}", file.path, file.generation));
            }
            if backfilled {
                self.snapshots.push((file.table.clone(), row));
                continue;
            }
            let of_key = self.tail.entry((row.shard.clone(), row.sequence.clone(), row.sub)).or_default();
            if range.members.is_none() && !of_key.is_empty() {
                return Err(format!("twice: {row:?}"));
            }
            of_key.push(row);
        }
        Ok(())
    }

    fn take_dead_letters(&mut self, objects: &Objects, range: &Range) -> Result<(), String> {
        let Some(body) = range.dead_letters.as_ref().and_then(|letters| objects.get(&letters.path)) else {
            return Ok(());
        };
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let letter: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
            let sub = letter["sub"].as_i64().unwrap_or_default() as i32;
            if !self.dead.insert((text("stream_shard"), text("sequence"), sub)) {
                return Err(format!("a dead letter twice: {letter}"));
            }
        }
        Ok(())
    }
}

fn is_within(range: &Range, sequence: &str, sub: i32) -> bool {
    let sequence = SequenceNumber::from_sortable(sequence).ok();
    let position = sequence.map(|sequence| Position { sequence, sub: sub as u32 });
    position > range.start() && position <= range.end()
}

fn schema(objects: &Objects, table: &str, version: u32) -> Result<TableSchema, String> {
    if version == 0 {
        return Ok(TableSchema::new(table.to_owned(), version, Vec::new()));
    }
    let path = format!("_watershed/schema/{}/{version:06}.json", partition::name_segment(table));
    let bytes = objects.get(&path).ok_or_else(|| format!("{path} is missing"))?;
    let mut stored: Value = serde_json::from_slice(bytes).map_err(|error| format!("{path}: {error}"))?;
    let columns: Vec<Column> = serde_json::from_value(stored["columns"].take()).map_err(|error| error.to_string())?;
    Ok(TableSchema::new(table.to_owned(), version, columns))
}

/// Nothing lies in the lake that no range names and that is none of its own books: no file of an attempt that failed, no
/// part of an upload.
pub(super) fn no_strays(objects: &Objects, chains: &Chains) -> Result<(), String> {
    let mut named = HashSet::new();
    for range in chains.ranges() {
        named.extend(range.files.iter().map(|file| file.path.as_str()));
        named.extend(range.dead_letters.iter().map(|dead| dead.path.as_str()));
    }
    // Kept records may be those of an attempt that became no range; a gap may have been named and marked by another.
    let books = ["ranges", "schema", "records", "generations", "gaps", "handlers"];
    let is_book = |path: &str| {
        let inside = path.strip_prefix("_watershed/");
        inside.is_some_and(|inside| {
            matches!(inside, "lake.json" | "probe")
                || inside.split_once('/').is_some_and(|(book, _)| books.contains(&book))
        })
    };
    let stray = objects.keys().find(|path| !named.contains(path.as_str()) && !is_book(path));
    stray.map_or(Ok(()), |path| Err(format!("{path} belongs to no range")))
}

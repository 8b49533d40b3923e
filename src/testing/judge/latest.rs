//! Is the latest state of the lake that of the table? What a backfill promises, from the moment on at which it says so.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::chains::Chains;
use super::rows::{Files, Rows};
use super::{Evidence, Objects};
use crate::lake::generation::Generation;
use crate::testing::rebuild::Row;
use crate::testing::tables::Tables;

/// The row that says of each item what it is like, by table and key.
type Latest = BTreeMap<(&'static str, String), Row>;

/// In the end the latest state of the lake is that of the tables; and when a generation was called complete, it was that of
/// all items to which nothing happened since the scan. A generation has each item once at most, as it once was or as removed.
pub fn latest(evidence: &Evidence<'_>, tables: &Tables) -> Result<(), String> {
    snapshots(evidence.objects, tables, &evidence.files)?;
    for (at, path) in evidence.order.iter().enumerate().filter(|(_, path)| path.ends_with(".done.json")) {
        when_complete(evidence, tables, at, path)?;
    }
    let found = latest_rows(evidence.objects, tables, &evidence.files)?;
    for table in tables.names() {
        let items = tables.items(table).into_iter().map(|(key, image)| (key, Some(image))).collect();
        agree(&found, table, &items).map_err(|why| format!("in the end {why}"))?;
        let more = found.iter().find(|((of, key), row)| *of == table && row.op != "REMOVE" && !items.contains_key(key));
        if let Some(((_, key), row)) = more {
            return Err(format!("item {key} is no more, and the lake says {row:?}"));
        }
    }
    Ok(())
}

/// The moment at which a generation was called complete.
fn when_complete(evidence: &Evidence<'_>, tables: &Tables, at: usize, path: &str) -> Result<(), String> {
    let begins = path.replace(".done.json", ".json");
    let begun = evidence.objects.get(&begins).ok_or_else(|| format!("{path} without {begins}"))?;
    let Generation { table, generation, .. } = serde_json::from_slice(begun).map_err(|error| error.to_string())?;
    let objects: Objects = evidence.order[..at]
        .iter()
        .filter_map(|path| Some((path.clone(), evidence.objects.get(path)?.clone())))
        .collect();
    let found = latest_rows(&objects, tables, &evidence.files)?;
    // What came before the snapshot's last range came before the stream was read to its tips.
    let of_snapshot = Chains::parse(&objects)?;
    let of_snapshot = of_snapshot.folder_of(&format!("backfill:{table}:{generation}"));
    let read = evidence.order[..at].iter().rposition(|path| of_snapshot.iter().any(|folder| path.starts_with(folder)));
    let items = tables.known_at(&table, read.unwrap_or_default(), at);
    agree(&found, &table, &items).map_err(|why| format!("when generation {generation} of {table} was complete, {why}"))
}

/// Whether the rows say of the items what they are; `None`: removed.
fn agree(found: &Latest, table: &str, items: &BTreeMap<String, Option<Value>>) -> Result<(), String> {
    let of_table: BTreeMap<&str, &Row> =
        found.iter().filter(|((of, _), _)| *of == table).map(|((_, key), row)| (key.as_str(), row)).collect();
    for (key, image) in items {
        match (of_table.get(key.as_str()), image) {
            (Some(row), Some(image)) if row.op != "REMOVE" && row.new == *image => {}
            (Some(row), None) if row.op == "REMOVE" => {}
            (None, None) => {}
            (row, image) => return Err(format!("{key} was {image:?}, and the lake says {row:?}")),
        }
    }
    Ok(())
}

/// The latest row of each item.
fn latest_rows(objects: &Objects, tables: &Tables, files: &Files) -> Result<Latest, String> {
    let rows = Rows::read(objects, &Chains::parse(objects)?, files)?;
    let mut latest = Latest::new();
    let rank = |row: &Row| (row.generation, row.sequence.clone(), row.sub);
    for row in rows.tail.into_values().flatten().chain(rows.snapshots.into_iter().map(|(_, row)| row)) {
        let key = key_of(&row.new);
        let table = if tables.is_in_second(&key) { "Table1" } else { "Table0" };
        match latest.get(&(table, key.clone())) {
            Some(known) if rank(known) >= rank(&row) => {}
            _ => drop(latest.insert((table, key), row)),
        }
    }
    Ok(latest)
}

/// Every row of a snapshot is an item as it once was, and there once.
fn snapshots(objects: &Objects, tables: &Tables, files: &Files) -> Result<(), String> {
    let rows = Rows::read(objects, &Chains::parse(objects)?, files)?;
    let mut once = HashSet::new();
    for (table, row) in &rows.snapshots {
        let key = key_of(&row.new);
        if row.op == "SNAPSHOT" && !tables.had(&key, &row.new) {
            return Err(format!("a snapshot of {table} has an item as it never was: {row:?}"));
        }
        if !once.insert((table, row.generation, key)) {
            return Err(format!("twice in one snapshot of {table}: {row:?}"));
        }
    }
    Ok(())
}

fn key_of(image: &Value) -> String {
    image["Id"]["S"].as_str().unwrap_or_default().to_owned()
}

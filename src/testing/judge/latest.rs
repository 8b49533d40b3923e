//! Is the latest state of the lake that of the table? What a backfill promises.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::Objects;
use super::chains::Chains;
use super::rows::Rows;
use crate::testing::rebuild::Row;
use crate::testing::tables::Tables;

/// Every item's row of the highest generation, sequence number and place says what the item is; items that are not in the
/// table are removed there, or never were; a generation has each item once at most, as it once was.
pub fn latest(objects: &Objects, tables: &Tables) -> Result<(), String> {
    let rows = Rows::read(objects, &Chains::read(objects)?)?;
    let mut once = HashSet::new();
    let mut all: BTreeMap<(&str, String), &Row> = BTreeMap::new();
    let of_table = |row: &Row| if tables.is_in_second(&key_of(&row.new)) { "Table1" } else { "Table0" };
    for (table, row) in &rows.snapshots {
        let key = key_of(&row.new);
        if !tables.had(&key, &row.new) {
            return Err(format!("a snapshot of {table} has an item as it never was: {row:?}"));
        }
        if !once.insert((table, row.generation, key)) {
            return Err(format!("twice in one snapshot of {table}: {row:?}"));
        }
    }
    for row in rows.tail.values().flatten().chain(rows.snapshots.iter().map(|(_, row)| row)) {
        let rank = |row: &Row| (row.generation, row.sequence.clone(), row.sub);
        let best = all.entry((of_table(row), key_of(&row.new))).or_insert(row);
        if rank(row) > rank(best) {
            *best = row;
        }
    }
    for table in tables.names() {
        let mut items = tables.items(table);
        for ((_, key), row) in all.iter().filter(|((of, _), _)| *of == table) {
            match items.remove(key) {
                Some(image) if row.op != "REMOVE" && row.new == image => {}
                None if row.op == "REMOVE" => {}
                image => return Err(format!("the latest state of {key} is {row:?}, and the item is {image:?}")),
            }
        }
        if let Some((key, image)) = items.first_key_value() {
            return Err(format!("lost: the lake has nothing of item {key} of {table}: {image}"));
        }
    }
    Ok(())
}

fn key_of(image: &Value) -> String {
    image["Id"]["S"].as_str().unwrap_or_default().to_owned()
}

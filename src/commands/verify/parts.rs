//! Where do a table and its lake differ? Compared part by part, so that memory is bounded.

use std::collections::BTreeSet;
use std::io;

use sha2::{Digest as _, Sha256};

use crate::lake::latest::Row;
use crate::lake::latest::states::{Dealt, Order, States};

/// The most differences that are named.
const NAMED: usize = 1_000;

/// An item that is not the same in table and lake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    /// Its key, DynamoDB JSON.
    pub(super) key: String,
    /// What differs.
    pub(super) what: &'static str,
}

/// What differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// How many items do.
    pub(super) count: u64,
    /// The first of them by their keys: the same, whatever came first when they were read.
    pub(super) named: BTreeSet<Difference>,
}

impl Told {
    fn add(&mut self, key: &str, what: &'static str) {
        self.count += 1;
        let last = if self.named.len() < NAMED { None } else { self.named.last() };
        if last.is_none_or(|last| *key < *last.key) {
            self.named.insert(Difference { key: key.to_owned(), what });
        }
        if self.named.len() > NAMED {
            self.named.pop_last();
        }
    }
}

/// What was read of both sides.
pub(super) struct Parts {
    table: Dealt,
    lake: States,
}

impl Parts {
    pub(super) fn new(order: Order) -> io::Result<Self> {
        Ok(Self { table: Dealt::new()?, lake: States::new(order)? })
    }

    /// An item of the table, and the digest of its image.
    pub(super) fn add_item(&mut self, key: &str, digest: &str) -> io::Result<()> {
        // JSON has no tab and no line's end but escaped.
        self.table.add(key, format_args!("{digest}"))
    }

    /// A row of the lake, and the digest of its image.
    pub(super) fn add_row(&mut self, key: &str, row: &Row, digest: &str) -> io::Result<()> {
        self.lake.add(key, row, digest)
    }

    /// Looks for differences. Unless all of the table was read (`whole`), what only the lake has is none.
    pub(super) fn compare(self, whole: bool) -> io::Result<Told> {
        let mut told = Told::default();
        for (table, lake) in self.table.parts().zip(self.lake.parts()) {
            let mut latest = lake?;
            for line in table? {
                let line = line?;
                let Some((key, digest)) = line.split_once('\t') else { continue };
                match latest.remove(key).and_then(|state| state.image) {
                    Some(found) if found == digest => {}
                    Some(_) => told.add(key, "it differs in the lake"),
                    None => told.add(key, "the lake does not have it"),
                }
            }
            let extra = latest.into_iter().filter(|(_, state)| whole && state.image.is_some());
            extra.for_each(|(key, _)| told.add(&key, "only the lake has it"));
        }
        Ok(told)
    }
}

/// What stands for an image.
pub(super) fn digest(image: &str) -> String {
    Sha256::digest(image).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn parts(items: &[(&str, &str)], rows: &[(&str, &str, Option<&str>)]) -> Parts {
        let mut parts = Parts::new(Order::Sequence).unwrap();
        items.iter().for_each(|(key, image)| parts.add_item(key, image).unwrap());
        for (key, sequence, image) in rows {
            let op = if image.is_some() { "MODIFY" } else { "REMOVE" };
            let (sequence, op) = (format!("001{sequence}"), op.to_owned());
            let row = Row { generation: 0, sequence, sub: 0, changed_at: None, op, image: Value::Null };
            parts.add_row(key, &row, image.unwrap_or_default()).unwrap();
        }
        parts
    }

    fn compare(parts: Parts, whole: bool) -> Vec<(String, &'static str)> {
        let Told { count, named } = parts.compare(whole).unwrap();
        assert_eq!(count, named.len() as u64);
        named.into_iter().map(|Difference { key, what }| (key, what)).collect()
    }

    #[test]
    fn of_many_differences_the_first_are_named_whatever_came_first() {
        let mut keys: Vec<_> = (0..3 * NAMED).map(|at| format!("{at:05}")).collect();
        let mut told = Vec::new();
        for _ in 0..2 {
            keys.reverse();
            let items: Vec<_> = keys.iter().map(|key| (key.as_str(), "1")).collect();
            told.push(parts(&items, &[]).compare(true).unwrap());
        }
        assert_eq!(told[0], told[1]);
        assert_eq!((told[0].count, told[0].named.len()), (3 * NAMED as u64, NAMED));
        assert_eq!(told[0].named.last().unwrap().key, format!("{:05}", NAMED - 1));
    }

    #[test]
    fn the_highest_rank_of_each_key_counts() {
        let rows = [("a", "2", Some("new")), ("a", "1", Some("old")), ("b", "1", Some("x")), ("b", "2", None)];
        assert!(compare(parts(&[("a", "new")], &rows), true).is_empty());
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let items = [("changed", "1"), ("missing", "1"), ("removed", "1")];
        let rows = [("changed", "1", Some("2")), ("removed", "1", None), ("extra", "1", Some("1"))];
        let missing = "the lake does not have it";
        let mut expected = vec![("changed".to_owned(), "it differs in the lake"), ("missing".to_owned(), missing)];
        expected.push(("removed".to_owned(), missing));
        assert_eq!(compare(parts(&items, &rows), false), expected);
        expected.insert(1, ("extra".to_owned(), "only the lake has it"));
        assert_eq!(compare(parts(&items, &rows), true), expected);
    }
}

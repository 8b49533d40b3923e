//! Where do a table and its lake differ? Compared part by part, so that memory is bounded.

use std::io;

use sha2::{Digest as _, Sha256};

use crate::lake::latest::Row;
use crate::lake::latest::states::{Dealt, Order, States};

/// An item that is not the same in table and lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// Its key, DynamoDB JSON.
    pub(super) key: String,
    /// What differs.
    pub(super) what: &'static str,
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

    /// An item of the table.
    pub(super) fn add_item(&mut self, key: &str, image: &str) -> io::Result<()> {
        // JSON has no tab and no line's end but escaped.
        self.table.add(key, format_args!("{}", digest(image)))
    }

    /// A row of the lake.
    pub(super) fn add_row(&mut self, key: &str, row: &Row, image: &str) -> io::Result<()> {
        self.lake.add(key, row, &digest(image))
    }

    /// Counts the differences and gives each to `each`. Unless all of the table was read (`whole`), what only the lake has
    /// is no difference.
    pub(super) fn compare(self, whole: bool, mut each: impl FnMut(Difference)) -> io::Result<u64> {
        let mut count = 0;
        let mut differs = |key: String, what| {
            count += 1;
            each(Difference { key, what });
        };
        for (table, lake) in self.table.parts().zip(self.lake.parts()) {
            let mut latest = lake?;
            for line in table? {
                let line = line?;
                let Some((key, digest)) = line.split_once('\t') else { continue };
                match latest.remove(key).and_then(|state| state.image) {
                    Some(found) if found == digest => {}
                    Some(_) => differs(key.to_owned(), "it differs in the lake"),
                    None => differs(key.to_owned(), "the lake does not have it"),
                }
            }
            let extra = latest.into_iter().filter(|(_, state)| whole && state.image.is_some());
            extra.for_each(|(key, _)| differs(key, "only the lake has it"));
        }
        Ok(count)
    }
}

fn digest(image: &str) -> String {
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
        let mut found = Vec::new();
        let count = parts.compare(whole, |difference| found.push((difference.key, difference.what))).unwrap();
        assert_eq!(count, found.len() as u64);
        found.sort();
        found
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

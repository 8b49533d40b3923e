//! Two large sets of items are compared in parts that fit into memory: each key has its part, each part a temporary file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};

use sha2::{Digest as _, Sha256};

/// How many parts: a table of a hundred million items has 1.6 million in each.
const PARTS: usize = 64;

/// Instead of an image's digest: there is none.
const REMOVED: &str = "-";

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
    table: Vec<BufWriter<File>>,
    lake: Vec<BufWriter<File>>,
}

impl Parts {
    pub(super) fn new() -> io::Result<Self> {
        let file = || Ok(BufWriter::with_capacity(4 << 10, tempfile::tempfile()?));
        let files = || (0..PARTS).map(|_| file()).collect::<io::Result<Vec<_>>>();
        Ok(Self { table: files()?, lake: files()? })
    }

    /// An item of the table.
    pub(super) fn add_item(&mut self, key: &str, image: &str) -> io::Result<()> {
        // JSON has no tab and no line's end but escaped.
        writeln!(self.table[part_of(key)], "{key}\t{}", digest(image))
    }

    /// A row of the lake; `image` is `None` if it removes the item.
    pub(super) fn add_row(&mut self, key: &str, rank: &str, image: Option<&str>) -> io::Result<()> {
        let digest = image.map_or_else(|| REMOVED.to_owned(), digest);
        writeln!(self.lake[part_of(key)], "{key}\t{rank}\t{digest}")
    }

    /// Counts the differences and gives each to `each`. Unless all of the table was read (`whole`), what only the lake has
    /// is no difference.
    pub(super) fn compare(self, whole: bool, mut each: impl FnMut(Difference)) -> io::Result<u64> {
        let mut count = 0;
        let mut differs = |key: String, what| {
            count += 1;
            each(Difference { key, what });
        };
        for (table, lake) in self.table.into_iter().zip(self.lake) {
            let mut latest = latest(lake)?;
            for line in lines(table)? {
                let line = line?;
                let Some((key, digest)) = line.split_once('\t') else { continue };
                match latest.remove(key) {
                    Some((_, found)) if found == digest => {}
                    Some((_, found)) if found != REMOVED => differs(key.to_owned(), "it differs in the lake"),
                    _ => differs(key.to_owned(), "the lake does not have it"),
                }
            }
            let extra = latest.into_iter().filter(|(_, (_, digest))| whole && digest != REMOVED);
            extra.for_each(|(key, _)| differs(key, "only the lake has it"));
        }
        Ok(count)
    }
}

/// The row of each key that ranks highest, with the digest of its image.
fn latest(rows: BufWriter<File>) -> io::Result<HashMap<String, (String, String)>> {
    let mut latest: HashMap<String, (String, String)> = HashMap::new();
    for line in lines(rows)? {
        let line = line?;
        let mut fields = line.split('\t').map(str::to_owned);
        let (Some(key), Some(rank), Some(digest)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let known = latest.entry(key).or_default();
        if rank >= known.0 {
            *known = (rank, digest);
        }
    }
    Ok(latest)
}

fn lines(file: BufWriter<File>) -> io::Result<io::Lines<BufReader<File>>> {
    let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(BufReader::new(file).lines())
}

fn part_of(key: &str) -> usize {
    usize::from(Sha256::digest(key)[0]) % PARTS
}

fn digest(image: &str) -> String {
    Sha256::digest(image).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(items: &[(&str, &str)], rows: &[(&str, &str, Option<&str>)]) -> Parts {
        let mut parts = Parts::new().unwrap();
        items.iter().for_each(|(key, image)| parts.add_item(key, image).unwrap());
        rows.iter().for_each(|(key, rank, image)| parts.add_row(key, rank, *image).unwrap());
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

//! Which row of each item counts? A table's rows are dealt out by their keys to temporary files, part by part of which is
//! then looked at: so memory is bounded, whatever the table's size.
//!
//! Changes rank among changes, and rows of backfills among such. Of the highest of both the one of the later generation
//! counts, and the change if they are of one. Where sequence numbers order an item's changes that is the order of
//! (`_generation`, `_sequence`, `_sub`); where times do (Kinesis), a late change may be of a later generation than the one
//! that came after it was made.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};

use sha2::{Digest as _, Sha256};

use super::Row;

/// How many parts: a table of a hundred million items has 1.6 million in each.
const PARTS: usize = 64;

/// Instead of an image's digest: there is none.
const REMOVED: &str = "-";

/// By what changes of an item are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Their sequence numbers.
    Sequence,
    /// Their times.
    Time,
}

/// Lines of text, dealt out by their keys.
pub struct Dealt(Vec<BufWriter<File>>);

impl Dealt {
    /// Without any line.
    pub fn new() -> io::Result<Self> {
        let file = || Ok(BufWriter::with_capacity(4 << 10, tempfile::tempfile()?));
        Ok(Self((0..PARTS).map(|_| file()).collect::<io::Result<_>>()?))
    }

    /// A line of an item, without tabs and ends of lines in what it is made of.
    pub fn add(&mut self, key: &str, line: std::fmt::Arguments<'_>) -> io::Result<()> {
        let part = usize::from(Sha256::digest(key)[0]) % PARTS;
        writeln!(self.0[part], "{key}\t{line}")
    }

    /// The parts, one after the other.
    pub fn parts(self) -> impl Iterator<Item = io::Result<io::Lines<BufReader<File>>>> {
        self.0.into_iter().map(|file| {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            Ok(BufReader::new(file).lines())
        })
    }
}

/// The rows of a table.
pub struct States {
    rows: Dealt,
    order: Order,
}

/// What the row says that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Its generation.
    pub generation: i64,
    /// What was given for its image; `None` if it removes the item.
    pub image: Option<String>,
}

/// The highest of the rows of an item: among its changes, and among those of backfills.
type Highest = [Option<(String, State)>; 2];

impl States {
    /// Without any row.
    pub fn new(order: Order) -> io::Result<Self> {
        Ok(Self { rows: Dealt::new()?, order })
    }

    /// A row of the item with this key, and something for its image.
    pub fn add(&mut self, key: &str, row: &Row, image: &str) -> io::Result<()> {
        let Row { generation, sequence, sub, changed_at, .. } = row;
        let backfilled = sequence.starts_with("000");
        let first = match self.order {
            Order::Time if !backfilled => changed_at.unwrap_or_default(),
            _ => *generation,
        };
        let image = if row.op == "REMOVE" { REMOVED } else { image };
        let kind = u8::from(backfilled);
        self.rows.add(key, format_args!("{kind}\t{first:020} {sequence} {sub:010}\t{generation}\t{image}"))
    }

    /// What counts of each item of a part, part by part.
    pub fn parts(self) -> impl Iterator<Item = io::Result<HashMap<String, State>>> {
        self.rows.parts().map(|lines| {
            let mut items: HashMap<String, Highest> = HashMap::new();
            for line in lines? {
                let line = line?;
                let Some((key, kind, rank, state)) = parse(&line) else { continue };
                let highest = &mut items.entry(key.to_owned()).or_default()[kind];
                if highest.as_ref().is_none_or(|(known, _)| rank >= known.as_str()) {
                    *highest = Some((rank.to_owned(), state));
                }
            }
            Ok(items.into_iter().filter_map(|(key, highest)| Some((key, counts(highest)?))).collect())
        })
    }
}

fn parse(line: &str) -> Option<(&str, usize, &str, State)> {
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    let (key, kind, rank, generation, image) = (next()?, next()?, next()?, next()?, next()?);
    let image = (image != REMOVED).then(|| image.to_owned());
    Some((key, usize::from(kind == "1"), rank, State { generation: generation.parse().ok()?, image }))
}

fn counts([change, backfilled]: Highest) -> Option<State> {
    let (change, backfilled) = (change.map(|(_, state)| state), backfilled.map(|(_, state)| state));
    match (change, backfilled) {
        (Some(change), Some(backfilled)) if change.generation < backfilled.generation => Some(backfilled),
        (change, backfilled) => change.or(backfilled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(generation: i64, sequence: &str, changed_at: i64, op: &str) -> Row {
        let (sequence, op) = (sequence.to_owned(), op.to_owned());
        Row { generation, sequence, sub: 0, changed_at: Some(changed_at), op, image: json!({}) }
    }

    fn latest(order: Order, rows: &[(Row, &str)]) -> Option<State> {
        let mut states = States::new(order).unwrap();
        rows.iter().for_each(|(row, image)| states.add("key", row, image).unwrap());
        let parts: Vec<_> = states.parts().map(Result::unwrap).collect();
        let mut all = parts.into_iter().flatten();
        let found = all.next().map(|(key, state)| {
            assert_eq!(key, "key");
            state
        });
        assert!(all.next().is_none());
        found
    }

    fn image(order: Order, rows: &[(Row, &str)]) -> String {
        latest(order, rows).unwrap().image.unwrap_or_default()
    }

    #[test]
    fn a_snapshot_ranks_below_the_changes_of_its_generation_and_above_older_ones() {
        let snapshot = (row(1, "0001", 50, "SNAPSHOT"), "snapshot");
        for order in [Order::Sequence, Order::Time] {
            let older = (row(0, "00215", 10, "MODIFY"), "older");
            let newer = (row(1, "00216", 40, "MODIFY"), "newer");
            assert_eq!(image(order, &[snapshot.clone(), older.clone()]), "snapshot");
            assert_eq!(image(order, &[newer.clone(), snapshot.clone(), older]), "newer");
            let removed = (row(1, "00217", 60, "REMOVE"), "keys");
            assert_eq!(latest(order, &[newer, removed]).unwrap(), State { generation: 1, image: None });
        }
        assert_eq!(latest(Order::Sequence, &[]), None);
    }

    #[test]
    fn a_change_that_came_late_does_not_outrank_a_newer_one_where_times_count() {
        // Made before, and in the stream behind the beginning of the generation.
        let (late, newest) = ((row(1, "00219", 10, "MODIFY"), "late"), (row(0, "00218", 20, "MODIFY"), "newest"));
        assert_eq!(image(Order::Time, &[late.clone(), newest.clone()]), "newest");
        // What was scanned after the newest was made has it.
        let snapshot = (row(1, "0001", 5, "SNAPSHOT"), "snapshot");
        assert_eq!(image(Order::Time, &[late, newest, snapshot]), "snapshot");
    }
}

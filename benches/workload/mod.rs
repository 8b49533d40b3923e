//! Which changes are the benches fed with? Seeded, so that every run and every machine sees the same bytes.
//!
//! `items` makes the items of each workload, `shapes` writes changes the way each channel carries them.

#![allow(dead_code, unused_imports, reason = "each bench uses a part of this")]
#![allow(unreachable_pub, reason = "a bench has no outside; `pub` says what this offers to it")]

mod items;
mod shapes;
mod text;

pub use shapes::{kinesis_page, kinesis_record, lambda_event, streams_page, streams_record};

use items::Item;
use text::Random;

/// What stands in a table and what its changes look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Replies in a forum: 16 attributes of nearly every type, 1.18 KB a change. The one that limits are quoted for.
    Reply,
    /// 200 attributes.
    Wide,
    /// Three attributes.
    Tiny,
    /// Items of 100 KB.
    Large,
    /// Nothing but maps and lists, four deep.
    Nested,
    /// Every item has attributes of other names.
    Schemaless,
    /// Texts and names beyond ASCII, half of them escaped.
    Unicode,
}

impl Workload {
    /// All of them, the main one first.
    pub const ALL: [Self; 7] =
        [Self::Reply, Self::Wide, Self::Tiny, Self::Large, Self::Nested, Self::Schemaless, Self::Unicode];

    /// Its name in the tables of figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Wide => "wide",
            Self::Tiny => "tiny",
            Self::Large => "large",
            Self::Nested => "nested",
            Self::Schemaless => "schemaless",
            Self::Unicode => "unicode",
        }
    }

    /// The table its changes come from.
    pub fn table(self) -> &'static str {
        match self {
            Self::Reply => "Reply",
            Self::Wide => "Wide",
            Self::Tiny => "Tiny",
            Self::Large => "Large",
            Self::Nested => "Nested",
            Self::Schemaless => "Schemaless",
            Self::Unicode => "Unicode",
        }
    }

    /// The table's key.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Reply => &["Id", "ReplyDateTime"],
            _ => &["Id"],
        }
    }

    /// Its changes, without end. The same seed gives the same changes.
    pub fn changes(self, seed: u64) -> Changes {
        Changes { workload: self, random: Random::new(seed), made: 0, micros: FIRST_CHANGE }
    }

    /// As many of its changes as Kinesis records of about `bytes` bytes take.
    pub fn of_size(self, seed: u64, bytes: usize) -> Vec<Change> {
        let (mut all, mut so_far, mut record) = (Vec::new(), 0, Vec::new());
        for change in self.changes(seed) {
            record.clear();
            kinesis_record(&change, &mut record);
            so_far += record.len();
            all.push(change);
            if so_far >= bytes {
                break;
            }
        }
        all
    }
}

/// 2026-11-20T00:00:00Z in microseconds. Ten million changes at 4 ms each are all of that day.
const FIRST_CHANGE: i64 = 1_795_132_800_000_000;

/// One change of one item. Images are DynamoDB JSON.
#[derive(Debug, Clone)]
pub struct Change {
    /// The table.
    pub table: &'static str,
    /// Its number, from 1.
    pub ordinal: u64,
    /// INSERT, MODIFY or REMOVE.
    pub event: &'static str,
    /// 128 bits of chance.
    pub id: [u64; 2],
    /// When, µs since the epoch.
    pub micros: i64,
    /// The key attributes.
    pub keys: String,
    /// The item after the change.
    pub new_image: Option<String>,
    /// The item before the change.
    pub old_image: Option<String>,
}

/// The changes of a workload.
#[derive(Debug)]
pub struct Changes {
    workload: Workload,
    random: Random,
    made: u64,
    micros: i64,
}

impl Iterator for Changes {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        self.made += 1;
        self.micros += self.random.below(8_000) as i64;
        let random = &mut self.random;
        let item = Item::new(self.workload, self.made, self.micros, random);
        let keys = item.keys_json(self.workload.keys());
        // 30 % INSERT, 60 % MODIFY with both images, 10 % REMOVE.
        let (event, new_image, old_image) = match random.below(10) {
            0..3 => ("INSERT", Some(item.json(random)), None),
            3..9 => {
                let changed = item.changed(self.workload, random);
                ("MODIFY", Some(changed.json(random)), Some(item.json(random)))
            }
            _ => ("REMOVE", None, Some(item.json(random))),
        };
        Some(Change {
            table: self.workload.table(),
            ordinal: self.made,
            event,
            id: [random.next(), random.next()],
            micros: self.micros,
            keys,
            new_image,
            old_image,
        })
    }
}

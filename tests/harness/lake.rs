//! Looks into a lake and into the state, and holds them against each other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use watershed::change::{Position, ShardId};
use watershed::lake::range::{Chain, Range};
use watershed::source::StreamIdentity;

use super::{http, tools};

/// Where a lake is, as the tests see it: past the proxy, past the crate's own stores.
#[derive(Debug, Clone)]
pub enum Place {
    Folder(PathBuf),
    S3 { port: u16, bucket: String, prefix: String },
}

impl Place {
    pub fn s3(port: u16, bucket: &str, prefix: &str) -> Self {
        Self::S3 { port, bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    fn request(&self, method: &str, path: &str) -> Option<Vec<u8>> {
        match self {
            Self::Folder(folder) => fs::read(folder.join(path)).ok(),
            Self::S3 { port, bucket, prefix } => {
                let target = http::escaped(&format!("/{bucket}/{prefix}/{path}"));
                let answer = http::call(*port, method, &target, b"").unwrap();
                match answer.status() {
                    200 => Some(answer.body),
                    404 => None,
                    status => panic!("{method} {target}: {status}"),
                }
            }
        }
    }

    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.request("GET", path)
    }

    pub fn has(&self, path: &str) -> bool {
        self.request("HEAD", path).is_some()
    }

    /// Copies the lake into a folder, unless it is in one.
    pub fn fetch(&self, into: &Path) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.clone(),
            Self::S3 { port, bucket, prefix } => {
                let (address, endpoint) = (format!("s3://{bucket}/{prefix}"), format!("http://127.0.0.1:{port}"));
                tools().run("fetch_lake.py", &[&address, &endpoint, into.to_str().unwrap()]);
                into.to_owned()
            }
        }
    }
}

/// Looks for checkpoints that lead the lake: of which the range they speak of, one of its files, or one of the ranges
/// before is not in the lake, or ends elsewhere. Remembers what it has seen, since nothing goes away in a lake.
#[derive(Debug, Default)]
pub struct Leads {
    seen: HashSet<(String, u64)>,
    /// Checkpoints that were looked at.
    pub checkpoints: u64,
}

impl Leads {
    /// Every checkpoint in the state folder that leads the lake, in words.
    pub fn find(&mut self, lake: &Place, state: &Path) -> Vec<String> {
        let mut leads = Vec::new();
        for (path, _) in super::files_below(state).into_iter().filter(|(path, _)| path.ends_with(".json")) {
            let stored: Value = serde_json::from_slice(&fs::read(state.join(&path)).unwrap()).expect(&path);
            let text = |name: &str| stored[name].as_str().unwrap_or_else(|| panic!("{path} has no {name}"));
            if text("sink") != "lake" {
                continue;
            }
            self.checkpoints += 1;
            let stream = StreamIdentity { id: text("stream").to_owned(), table: None, origin: None };
            let chain = Chain::new(&stream, &ShardId::new(text("shard")));
            let found = match text("checkpoint") {
                "TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP" => Ok(()),
                "SHARD_END" => self.whole_chain(lake, &chain).map(drop),
                _ => self.position(lake, &chain, &stored),
            };
            leads.extend(found.err().map(|why| format!("{path}: {why}; it says {stored}")));
        }
        leads
    }

    /// A checkpoint at a position: the range that it names ends there.
    fn position(&mut self, lake: &Place, chain: &Chain, stored: &Value) -> Result<(), String> {
        let number = stored["range"].as_u64().ok_or("it names no range")?;
        let range = read_range(lake, chain, number)?.ok_or_else(|| format!("there is no range {number}"))?;
        let sub = stored["checkpointSubSequenceNumber"].as_u64().unwrap_or_default();
        let ends = range.end().map(|end: Position| (end.sequence.to_string(), u64::from(end.sub)));
        let says = (stored["checkpoint"].as_str().unwrap_or_default().to_owned(), sub);
        if ends.as_ref() != Some(&says) {
            return Err(format!("range {number} ends at {ends:?}"));
        }
        for before in (0..=number).rev() {
            if !self.seen.insert((chain.folder(), before)) {
                break;
            }
            let range = read_range(lake, chain, before)?.ok_or_else(|| format!("there is no range {before}"))?;
            complete(lake, &range)?;
        }
        Ok(())
    }

    /// A checkpoint at the shard's end: every range there is is complete.
    fn whole_chain(&mut self, lake: &Place, chain: &Chain) -> Result<u64, String> {
        // No range has this number.
        if !self.seen.insert((chain.folder(), u64::MAX)) {
            return Ok(0);
        }
        let mut number = 0;
        while let Some(range) = read_range(lake, chain, number)? {
            if self.seen.insert((chain.folder(), number)) {
                complete(lake, &range)?;
            }
            number += 1;
        }
        Ok(number)
    }
}

fn read_range(lake: &Place, chain: &Chain, number: u64) -> Result<Option<Range>, String> {
    lake.get(&chain.range_path(number)).map(|bytes| Range::parse(&bytes)).transpose()
}

fn complete(lake: &Place, range: &Range) -> Result<(), String> {
    let dead = range.dead_letters.iter().map(|dead| &dead.path);
    match range.files.iter().map(|file| &file.path).chain(dead).find(|path| !lake.has(path)) {
        Some(path) => Err(format!("{path} of range {} is not there", range.range)),
        None => Ok(()),
    }
}

/// What a whole lake holds.
#[derive(Debug, Default)]
pub struct Chains {
    pub chains: usize,
    pub ranges: u64,
    pub rows: u64,
    pub files: usize,
    pub dead_letters: u64,
    pub gaps: u64,
}

/// Walks all chains of a lake in a folder: each range starts where the one before ends, all their files are there and no
/// other, and nothing lies outside the tables and `_watershed`.
#[track_caller]
pub fn walk(lake: &Path) -> Chains {
    let mut of_chain: BTreeMap<String, Vec<Range>> = BTreeMap::new();
    let mut there: HashMap<String, u64> = super::files_below(lake).into_iter().collect();
    let paths: Vec<String> = there.keys().filter(|path| path.starts_with("_watershed/ranges/")).cloned().collect();
    for path in paths {
        let range = Range::parse(&fs::read(lake.join(&path)).unwrap()).unwrap_or_else(|why| panic!("{path}: {why}"));
        let (folder, name) = path.rsplit_once('/').unwrap();
        assert_eq!(name, format!("{:020}.json", range.range), "{path} is another range than its name says");
        of_chain.entry(folder.to_owned()).or_default().push(range);
    }
    let mut total = Chains { chains: of_chain.len(), ..Chains::default() };
    for (chain, mut ranges) in of_chain {
        ranges.sort_by_key(|range| range.range);
        let mut end = None;
        for (number, range) in ranges.iter().enumerate() {
            assert_eq!(range.range, number as u64, "{chain} misses a range");
            // A range that lists its members starts nowhere.
            let before = end.filter(|_| range.members.is_none());
            assert_eq!(range.start(), before, "range {number} of {chain} does not start where the one before ends");
            assert!(range.end() >= range.start(), "range {number} of {chain} runs backward");
            end = range.end();
            for file in &range.files {
                let size = there.remove(&file.path);
                assert!(size.is_some_and(|size| size > 0), "{} of range {number} of {chain} is not there", file.path);
                total.files += 1;
            }
            if let Some(dead) = &range.dead_letters {
                assert_eq!(super::count_lines(&lake.join(&dead.path)) as u64, dead.records, "{}", dead.path);
                total.dead_letters += dead.records;
            }
            total.ranges += 1;
            total.rows += range.rows;
            total.gaps += u64::from(range.gap.is_some());
        }
    }
    let strays: Vec<_> = there.keys().filter(|path| !path.starts_with("_watershed/")).collect();
    assert!(strays.is_empty(), "files that no range names: {strays:?}");
    total
}

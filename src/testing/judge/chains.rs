//! Is each chain one: its ranges in a row, without gap or overlap, each object of them there?

use std::collections::{BTreeMap, BTreeSet};

use super::Objects;
use crate::lake::partition;
use crate::lake::range::Range;

/// All chains of a lake.
pub(super) struct Chains {
    /// The ranges of each, by its folder.
    all: BTreeMap<String, Vec<Range>>,
}

impl Chains {
    /// The chains of a lake in which nobody is at work.
    pub(super) fn read(objects: &Objects) -> Result<Self, String> {
        let chains = Self::parse(objects)?;
        chains.are_complete(objects, |_| false)?;
        Ok(chains)
    }

    /// The chains of a lake at any time: the last range of each may lack objects.
    pub(super) fn parse(objects: &Objects) -> Result<Self, String> {
        let mut all: BTreeMap<String, Vec<Range>> = BTreeMap::new();
        for (path, bytes) in objects.range("_watershed/ranges/".to_owned().."_watershed/ranges0".to_owned()) {
            let range = Range::parse(bytes).map_err(|why| format!("{path}: {why}"))?;
            let (folder, name) = path.rsplit_once('/').ok_or_else(|| format!("{path} is in no chain"))?;
            let chain = all.entry(folder.to_owned()).or_default();
            if range.range != chain.len() as u64 || name != format!("{:020}.json", range.range) {
                return Err(format!("{path} is not number {} of its chain", chain.len()));
            }
            follows(chain.last(), &range).map_err(|why| format!("{path}: {why}"))?;
            chain.push(range);
        }
        let chains = Self { all };
        chains.members_once()?;
        Ok(chains)
    }

    /// All ranges, chain by chain.
    pub(super) fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.all.values().flatten()
    }

    /// The chain of a shard of the world's stream, with its folder.
    pub(super) fn of_shard(&self, shard: &str) -> Option<(&str, &[Range])> {
        let found = self.all.iter().find(|(_, chain)| chain.first().is_some_and(|first| first.shard == shard));
        found.map(|(folder, chain)| (folder.as_str(), chain.as_slice()))
    }

    /// The folders of a stream's chains.
    pub(super) fn folder_of(&self, stream: &str) -> Vec<&str> {
        let of_stream = self.all.iter().filter(|(_, chain)| chain.first().is_some_and(|first| first.stream == stream));
        of_stream.map(|(folder, _)| folder.as_str()).collect()
    }

    /// The range behind one, in its chain.
    pub(super) fn next<'a>(&'a self, folder: &str, range: &Range) -> Option<&'a Range> {
        self.all.get(folder)?.get(range.range as usize + 1)
    }

    /// Whether what is missing of a range will stay missing: its records were lost before it was complete.
    pub(super) fn is_given_up(&self, folder: &str, range: &Range) -> bool {
        self.next(folder, range).is_some_and(|next| next.gap.is_some())
    }

    /// No record is a member of two ranges of a chain.
    fn members_once(&self) -> Result<(), String> {
        for (folder, chain) in &self.all {
            let mut known = BTreeSet::new();
            for members in chain.iter().filter_map(|range| range.members.as_ref()) {
                for member in &members.list {
                    if !known.insert(member) {
                        return Err(format!("twice in {folder}: {member:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Every object that a range names is there, but for what was given up. `may_lack`: shards whose only range may be open.
    pub(super) fn are_complete(&self, objects: &Objects, may_lack: impl Fn(&str) -> bool) -> Result<(), String> {
        for (folder, range) in
            self.all.iter().flat_map(|(folder, chain)| chain.iter().map(move |range| (folder, range)))
        {
            let files = range.files.iter().map(|file| &file.path);
            let mut all = files.chain(range.dead_letters.iter().map(|dead| &dead.path));
            let missing = all.find(|path| !objects.contains_key(*path));
            let given_up = self.is_given_up(folder, range) || is_of_a_generation_given_up(objects, range);
            let only = self.all[folder].len() == 1 && may_lack(&range.shard);
            if let Some(missing) = missing.filter(|_| !given_up && !only) {
                return Err(format!("{missing} is missing, of range {} of {folder}", range.range));
            }
        }
        Ok(())
    }
}

/// Whether a range begins where the one before it ended.
fn follows(before: Option<&Range>, range: &Range) -> Result<(), String> {
    if let Some(members) = &range.members {
        let known = members.before.last().map_or(0, |node| node.end());
        return match known == range.range && range.start.is_none() {
            true => Ok(()),
            false => Err(format!("its index knows {known} ranges")),
        };
    }
    if range.start() != before.and_then(Range::end) {
        return Err("it does not begin where the range before it ends".to_owned());
    }
    match range.gap.is_some() {
        true if range.end() != range.start() || range.rows > 0 => Err("a gap marker that holds something".to_owned()),
        false if range.end() <= range.start() => Err("it holds nothing".to_owned()),
        _ => Ok(()),
    }
}

/// Whether a range is of a backfill that never became complete: behind a gap another generation is begun, and nobody counts
/// on this one.
fn is_of_a_generation_given_up(objects: &Objects, range: &Range) -> bool {
    let Some((table, generation)) = range.stream.strip_prefix("backfill:").and_then(|of| of.rsplit_once(':')) else {
        return false;
    };
    let done = format!("_watershed/generations/{}/{generation:0>6}.done.json", partition::name_segment(table));
    !objects.contains_key(&done)
}

//! `watershed verify`: does the lake's latest state agree with the live table? Names the keys of which it does not.
//!
//! Both sides are dealt out to temporary files by their keys, and compared part by part: so memory is bounded, whatever
//! the table's size.

mod parts;
mod table;

use std::io::Write;
use std::sync::Arc;

use indicatif::HumanCount;

use super::{CommandError, unless_closed};
use crate::BoxFuture;
use crate::assembly::Assembly;
use crate::change::{ShardId, TableName};
use crate::clock::Clock;
use crate::lake::latest::canonical;
use crate::pipeline::Pipeline;
use crate::source::scan::{self, LastKeys, ScanOf};
use crate::source::{StreamError, StreamIdentity, TableFacts, list_all};
use parts::{Difference, Parts, Told, digest};
use table::{Item, Table};

/// The most segments of a whole table that are read side by side.
const AT_ONCE: usize = 16;

/// What is to be compared, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Comparison {
    /// About how many items; `None`: all.
    pub sample: Option<u64>,
    /// In how many segments a whole table is read; `None`: as many as a backfill would take.
    pub segments: Option<u32>,
    /// The most read units a second.
    pub read_units: Option<u32>,
}

/// Compares all tables of a pipeline, or a sample of each, and writes what differs to `out`.
pub async fn verify(
    pipeline: &Pipeline,
    Comparison { sample, segments, read_units }: Comparison,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let clock = Clock::system();
    let assembly = Assembly::new(pipeline, clock.clone());
    let tables = assembly.tables();
    if tables.is_empty() {
        let why = "no table is named that could be compared: name them in [source] tables, or as [lake.tables.NAME]";
        return Err(CommandError::Source(why.to_owned()));
    }
    let mut differences = 0;
    for (_, called) in tables {
        let facts = assembly.table_facts(&called).await?;
        let segments = match sample {
            // So many that one of them has about the items of the sample.
            Some(sample) => (facts.items / sample.max(1)).clamp(1, 1_000) as u32,
            None => segments.unwrap_or_else(|| scan::default_segments(facts.bytes)),
        };
        let of = ScanOf { table: called, segments, began_at: 0, read_units };
        let verify = Verify { assembly: &assembly, facts, of, sample, clock: clock.clone() };
        let found = verify.run(out).await;
        differences += found?;
    }
    match differences {
        0 => Ok(()),
        count => Err(CommandError::Source(format!(
            "{} items differ between table and lake. While the table is written, changes on their way differ: look again \
             when the tail has caught up (`watershed positions`)",
            HumanCount(count)
        ))),
    }
}

struct Verify<'a> {
    assembly: &'a Assembly<'a>,
    facts: TableFacts,
    of: ScanOf,
    sample: Option<u64>,
    clock: Clock,
}

impl Verify<'_> {
    async fn run(&self, out: &mut dyn Write) -> Result<u64, CommandError> {
        let table = &self.facts.name;
        let keys: Vec<String> = self.facts.keys.iter().map(|key| key.name.clone()).collect();
        let lake = self.assembly.lake_to_look_at(&[(table.clone(), keys.clone())]).await?;
        let mut parts = Parts::new(self.assembly.order())?;
        let items = self.read_table(table, &keys, &mut parts).await?;
        let mut failed = Ok(());
        let read = lake.read_table(table, |row| {
            let key = canonical::key(&row.image, &keys);
            let added = parts.add_row(&key, &row, &digest(&canonical::text(&row.image)));
            failed = std::mem::replace(&mut failed, Ok(())).and(added);
        });
        read.await.map_err(|error| CommandError::Source(format!("lake: {error}")))?;
        failed?;
        let whole = self.sample.is_none();
        let told = parts.compare(whole)?;
        unless_closed(self.tell(items, &told, out))?;
        Ok(told.count)
    }

    fn tell(&self, items: u64, told: &Told, out: &mut dyn Write) -> Result<(), CommandError> {
        let (table, count) = (&self.facts.name, told.count);
        for Difference { key, what } in &told.named {
            writeln!(out, "{table} {key}: {what}")?;
        }
        let left = count - told.named.len() as u64;
        if left > 0 {
            writeln!(out, "and {} more", HumanCount(left))?;
        }
        let items = HumanCount(items);
        match count {
            0 => writeln!(out, "Table {table}: {items} items compared, no differences")?,
            count => writeln!(out, "Table {table}: {items} items compared, {} differ", HumanCount(count))?,
        }
        Ok(out.flush()?)
    }

    async fn read_table(&self, table: &TableName, keys: &[String], parts: &mut Parts) -> Result<u64, CommandError> {
        let identity = StreamIdentity { id: format!("verify:{table}"), table: Some(table.clone()), origin: None };
        let scan = self.assembly.scan(identity, self.of.clone(), "verify", Arc::new(FromTheBeginning)).await?;
        let mut shards = list_all(&*scan).await.map_err(source)?.shards;
        if self.sample.is_some() {
            // Which one is left to chance; further ones only if it has too few.
            let first = usize::from_str_radix(&self.clock.token(), 16).unwrap_or_default() % shards.len().max(1);
            shards.rotate_left(first);
        }
        let at_once = if self.sample.is_some() { 1 } else { AT_ONCE };
        let table = Table { scan, clock: self.clock.clone(), keys: keys.into() };
        let mut pages = table.read(shards.into_iter().map(|shard| shard.id).collect(), at_once);
        let mut items = 0;
        while let Some(page) = pages.next().await {
            for Item { key, digest } in page? {
                if self.sample == Some(items) {
                    return Ok(items);
                }
                parts.add_item(&key, &digest)?;
                items += 1;
            }
        }
        Ok(items)
    }
}

fn source(error: StreamError) -> CommandError {
    CommandError::Source(error.to_string())
}

/// A scan that is never gone on with.
struct FromTheBeginning;

impl LastKeys for FromTheBeginning {
    fn last_key<'a>(&'a self, _shard: &'a ShardId) -> BoxFuture<'a, Result<Option<String>, StreamError>> {
        Box::pin(async { Ok(None) })
    }
}

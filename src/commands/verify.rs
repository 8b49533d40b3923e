//! `watershed verify`: does the lake's latest state agree with the live table? Names the keys of which it does not.
//!
//! Both sides are dealt out to temporary files by their keys, and compared part by part: so memory is bounded, whatever
//! the table's size.

mod parts;

use std::io::Write;
use std::sync::Arc;

use serde_json::Value;

use super::{CommandError, unless_closed};
use crate::BoxFuture;
use crate::assembly::Assembly;
use crate::change::{ShardId, TableName};
use crate::clock::Clock;
use crate::lake::latest::canonical;
use crate::pipeline::Pipeline;
use crate::source::reader::{Read, ReadError, ShardReader};
use crate::source::scan::{LastKeys, ScanOf, ScanStream};
use crate::source::{ReadFrom, StreamError, StreamIdentity, TableFacts, list_all};
use parts::{Difference, Parts};

/// How many segments a whole table is read in: one after the other.
const SEGMENTS: u32 = 1;

/// The most differences that are named.
const NAMED: usize = 1_000;

/// Compares all tables of a pipeline, or about `sample` items of each, and writes what differs to `out`.
pub async fn verify(
    pipeline: &Pipeline,
    sample: Option<u64>,
    read_units: Option<u32>,
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
        let of = ScanOf { table: called, segments: segments(&facts, sample), began_at: 0, read_units };
        let verify = Verify { assembly: &assembly, facts, of, sample, clock: clock.clone() };
        let found = verify.run(out).await;
        differences += found?;
    }
    match differences {
        0 => Ok(()),
        count => Err(CommandError::Source(format!(
            "{count} items differ between table and lake. While the table is written, changes on their way differ: look again \
             when the tail has caught up (`watershed positions`)"
        ))),
    }
}

/// So many segments that one of them has about the items of the sample.
fn segments(facts: &TableFacts, sample: Option<u64>) -> u32 {
    sample.map_or(SEGMENTS, |sample| (facts.items / sample.max(1)).clamp(1, 1_000) as u32)
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
        let lake = self.assembly.lake_for(&[(table.clone(), keys.clone())]).await?;
        let mut parts = Parts::new(self.assembly.order())?;
        let items = self.read_table(table, &keys, &mut parts).await?;
        let mut failed = Ok(());
        let read = lake.read_table(table, |row| {
            let key = canonical::key(&row.image, &keys);
            let added = parts.add_row(&key, &row, &canonical::text(&row.image));
            failed = std::mem::replace(&mut failed, Ok(())).and(added);
        });
        read.await.map_err(|error| CommandError::Source(format!("lake: {error}")))?;
        failed?;
        let mut named = Vec::new();
        let whole = self.sample.is_none();
        let count = parts.compare(whole, |difference| {
            if named.len() < NAMED {
                named.push(difference);
            }
        })?;
        unless_closed(self.tell(items, count, &named, out))?;
        Ok(count)
    }

    fn tell(&self, items: u64, count: u64, named: &[Difference], out: &mut dyn Write) -> Result<(), CommandError> {
        let table = &self.facts.name;
        for Difference { key, what } in named {
            writeln!(out, "{table} {key}: {what}")?;
        }
        let left = count - named.len() as u64;
        if left > 0 {
            writeln!(out, "and {left} more")?;
        }
        match count {
            0 => writeln!(out, "Table {table}: {items} items compared, no differences")?,
            count => writeln!(out, "Table {table}: {items} items compared, {count} differ")?,
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
        let mut items = 0;
        for shard in shards {
            if self.sample.is_some_and(|sample| items >= sample) {
                break;
            }
            items += self.read_segment(&scan, shard.id, keys, parts, items).await?;
        }
        Ok(items)
    }

    async fn read_segment(
        &self,
        scan: &Arc<ScanStream>,
        shard: ShardId,
        keys: &[String],
        parts: &mut Parts,
        before: u64,
    ) -> Result<u64, CommandError> {
        let mut reader = ShardReader::new(scan.clone(), self.clock.clone(), shard, ReadFrom::TrimHorizon, None);
        let mut items = 0;
        loop {
            let page = match reader.next().await {
                Ok(Read::Page(page)) => page,
                Ok(Read::End) => return Ok(items),
                Err(ReadError::Fatal(why) | ReadError::Gap(why) | ReadError::NotFound(why)) => {
                    return Err(CommandError::Source(why));
                }
            };
            if page.records.is_empty() && page.millis_behind == Some(0) {
                return Ok(items);
            }
            for record in page.records {
                if self.sample.is_some_and(|sample| before + items >= sample) {
                    return Ok(items);
                }
                let item: Value = serde_json::from_slice(&record.payload)
                    .map_err(|error| CommandError::Source(format!("an item of the scan is no JSON: {error}")))?;
                parts.add_item(&canonical::key(&item, keys), &canonical::text(&item))?;
                items += 1;
            }
        }
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

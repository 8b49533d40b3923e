//! What does a backfill tell: before it reads anything, and in the end?

use std::io::Write;

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration};

use super::{Part, Wanted};
use crate::lake::{Landed, rfc3339};
use crate::pipeline::spec::Pipeline;
use crate::source::TableFacts;
use crate::source::export::{Export, Target, Window};

/// `--dry-run` of exports.
pub(super) fn exports(exports: &[Export], out: &mut dyn Write) -> std::io::Result<()> {
    for Export { place, manifest } in exports {
        let window = match manifest.window {
            Window::Full(at) => format!("all items as of {}", rfc3339(at)),
            Window::Incremental { from, to, .. } => format!("what changed from {} to {}", rfc3339(from), rfc3339(to)),
        };
        writeln!(out, "{place}: table {}, {window}", manifest.table)?;
        writeln!(
            out,
            "  {} items in {} files, {} as billed, no read units",
            HumanCount(manifest.items),
            manifest.files.len(),
            HumanBytes(manifest.billed_bytes),
        )?;
    }
    out.flush()
}

/// `--dry-run` of exports that DynamoDB would make.
pub(super) fn new_exports(
    tables: &[(String, TableFacts)],
    Target { bucket, prefix }: &Target,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    for (_, TableFacts { name, items, bytes, .. }) in tables {
        let (items, size) = (HumanCount(*items), HumanBytes(*bytes));
        writeln!(
            out,
            "Table {name}: about {items} items (DynamoDB counts them every six hours), no read units; an export of {size} to \
             s3://{bucket}/{prefix}, which DynamoDB bills by size"
        )?;
    }
    out.flush()
}

/// What 4 KB of a table cost to read consistently: one read unit.
const UNIT_BYTES: u64 = 4096;

/// `--dry-run` of scans.
pub(super) fn scans(tables: &[(String, TableFacts)], wanted: &Wanted, out: &mut dyn Write) -> std::io::Result<()> {
    for (_, TableFacts { name, items, bytes, read_capacity, .. }) in tables {
        let units = bytes.div_ceil(UNIT_BYTES);
        let (items, size, cost) = (HumanCount(*items), HumanBytes(*bytes), HumanCount(units));
        let time = |rate: u32| HumanDuration(Duration::from_secs(units.div_ceil(u64::from(rate))));
        write!(
            out,
            "Table {name}: about {items} items, {size} (DynamoDB counts them every six hours), {cost} read units"
        )?;
        match (wanted.read_units, *read_capacity) {
            (Some(rate), _) => writeln!(out, ", {} at {rate} a second", time(rate))?,
            (None, Some(rate)) => writeln!(
                out,
                ", {} at the {rate} a second that the table has: --read-units leaves some of them to others",
                time(rate)
            )?,
            (None, None) => writeln!(out, ", as fast as the table allows: --read-units bounds it")?,
        }
    }
    out.flush()
}

/// What is in the lake in the end.
pub(super) fn landed(
    pipeline: &Pipeline,
    parts: &[Part],
    landed: &[Landed],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    for (Part { generation, scan, .. }, landed) in parts.iter().zip(landed) {
        writeln!(
            out,
            "Table {}: generation {} is complete, {} items in {} ranges, in {}",
            generation.table,
            generation.generation,
            HumanCount(landed.rows),
            HumanCount(landed.ranges),
            pipeline.lake.path,
        )?;
        if let Some(scan) = scan {
            writeln!(out, "  {} read units were spent by this run", HumanCount(scan.spent().ceil() as u64))?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_tells_items_size_cost_and_time() {
        let facts = |read_capacity| TableFacts {
            name: "Reply".into(),
            arn: String::new(),
            keys: Vec::new(),
            stream: None,
            items: 2_000_000,
            bytes: 4 << 30,
            read_capacity,
            view_type: None,
        };
        let told = |capacity, read_units| {
            let (mut out, wanted) = (Vec::new(), Wanted { read_units, ..Wanted::default() });
            scans(&[("Reply".to_owned(), facts(capacity))], &wanted, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let all =
            "Table Reply: about 2,000,000 items, 4.00 GiB (DynamoDB counts them every six hours), 1,048,576 read units";
        assert_eq!(told(None, None), format!("{all}, as fast as the table allows: --read-units bounds it\n"));
        assert_eq!(told(Some(100), Some(1_000)), format!("{all}, 17 minutes at 1000 a second\n"));
        assert!(told(Some(100), None).starts_with(&format!("{all}, 3 hours at the 100 a second that the table has")));
    }
}

//! What does a backfill tell: before it reads anything, and in the end?

use std::io::Write;

use indicatif::{HumanBytes, HumanCount};

use super::{Part, Wanted, cores, default_lanes, estimate};
use crate::lake::{Landed, rfc3339};
use crate::pipeline::spec::Pipeline;
use crate::source::TableFacts;
use crate::source::export::{Export, Target, Window};
use crate::source::scan::default_segments;

/// `--dry-run` of exports.
pub(super) fn exports(exports: &[Export], wanted: &Wanted, out: &mut dyn Write) -> std::io::Result<()> {
    for Export { place, manifest } in exports {
        let window = match manifest.window {
            Window::Full(at) => format!("all items as of {}", rfc3339(at)),
            Window::Incremental { from, to, .. } => format!("what changed from {} to {}", rfc3339(from), rfc3339(to)),
        };
        writeln!(out, "{place}: table {}, {window}", manifest.table)?;
        let files = manifest.files.len();
        let lanes = lanes(wanted).min(files.try_into().unwrap_or(u32::MAX));
        writeln!(
            out,
            "  {} items in {files} files, {} as billed, no read units, {}",
            HumanCount(manifest.items),
            HumanBytes(manifest.billed_bytes),
            estimate::landing(manifest.items, manifest.billed_bytes, lanes, cores()),
        )?;
    }
    out.flush()
}

/// `--dry-run` of exports that DynamoDB would make.
pub(super) fn new_exports(
    tables: &[(String, TableFacts)],
    Target { bucket, prefix }: &Target,
    wanted: &Wanted,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    for (_, TableFacts { name, items, bytes, .. }) in tables {
        let time = estimate::landing(*items, *bytes, lanes(wanted), cores());
        let (items, size) = (HumanCount(*items), HumanBytes(*bytes));
        writeln!(
            out,
            "Table {name}: about {items} items (DynamoDB counts them every six hours), no read units; an export of {size} to \
             s3://{bucket}/{prefix}, which DynamoDB bills by size, and does not say how long it will take to make; then {time}"
        )?;
    }
    out.flush()
}

/// `--dry-run` of scans.
pub(super) fn scans(tables: &[(String, TableFacts)], wanted: &Wanted, out: &mut dyn Write) -> std::io::Result<()> {
    for (_, facts @ TableFacts { name, items, bytes, .. }) in tables {
        let units = estimate::units(*bytes);
        let (items, size, cost) = (HumanCount(*items), HumanBytes(*bytes), HumanCount(units));
        let segments = wanted.segments.unwrap_or_else(|| default_segments(*bytes));
        let time = estimate::scan(facts, wanted.read_units, segments);
        writeln!(
            out,
            "Table {name}: about {items} items, {size} (DynamoDB counts them every six hours), {cost} read units, {time}"
        )?;
    }
    out.flush()
}

/// In how many lanes export files are read, if there are so many.
fn lanes(wanted: &Wanted) -> u32 {
    wanted.segments.unwrap_or_else(default_lanes)
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

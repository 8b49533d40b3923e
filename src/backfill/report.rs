//! What does a backfill tell: before it reads anything, and in the end?

use std::io::Write;

use indicatif::{HumanBytes, HumanCount};

use super::Part;
use crate::lake::{Landed, rfc3339};
use crate::pipeline::spec::Pipeline;
use crate::source::export::{Export, Window};

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

/// What is in the lake in the end.
pub(super) fn landed(
    pipeline: &Pipeline,
    parts: &[Part],
    landed: &[Landed],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    for (Part { generation, .. }, landed) in parts.iter().zip(landed) {
        writeln!(
            out,
            "Table {}: generation {} is complete, {} items in {} ranges, in {}",
            generation.table,
            generation.generation,
            HumanCount(landed.rows),
            HumanCount(landed.ranges),
            pipeline.lake.path,
        )?;
    }
    out.flush()
}

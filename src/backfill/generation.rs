//! Is a generation gone on with, or another one begun? And does an export belong into it?

use super::BackfillError;
use crate::clock::Clock;
use crate::lake::generation::{Exports, Generation, Method};
use crate::lake::{Lake, rfc3339};
use crate::source::export::{Export, Window};

/// How much later than the beginning of a generation an export must have been taken: its edge is fuzzy by about a minute
/// either way, and clocks differ.
const EDGE_MICROS: i64 = 120_000_000;

/// What DynamoDB Streams keeps, less what a beginning takes.
const KEPT_MICROS: i64 = (24 * 60 - 15) * 60_000_000;

/// The latest generation of the table if it is under way and of the same kind; otherwise a new one.
pub(super) async fn resume_or_begin(
    lake: &Lake,
    wanted: Generation,
    exports: Option<&Exports>,
    number_given: bool,
) -> Result<Generation, BackfillError> {
    let generations = lake.generations();
    let table = wanted.table.as_str();
    let now = generations.now(&table.into()).await?;
    if let Some(latest) = generations.read(table, now).await?
        && generations.completed(table, now).await?.is_none()
        && is_same(&latest, &wanted, number_given)
        && is_for(generations.exports(table, now).await?.as_ref(), exports, number_given)
    {
        if generations.gaps_since(table, now).await?.is_empty() {
            tracing::info!(table, generation = now, "going on with a backfill that was left");
            return Ok(latest);
        }
        tracing::warn!(table, generation = now, "changes were lost since this generation began: beginning another");
    }
    let begun = generations.begin(wanted).await?;
    tracing::info!(table = begun.table, generation = begun.generation, "a backfill begins");
    Ok(begun)
}

/// Whether a generation under way is what is wanted: another way to divide the table is another scan.
fn is_same(latest: &Generation, wanted: &Generation, number_given: bool) -> bool {
    let method = match (&latest.method, &wanted.method) {
        (Method::Scan { segments: one }, Method::Scan { segments: other }) => !number_given || one == other,
        (Method::Export, Method::Export) => true,
        _ => false,
    };
    method && latest.snapshot_only == wanted.snapshot_only && latest.keys == wanted.keys
}

/// Whether the exports that were chosen for a generation, if any were, are those that are wanted.
fn is_for(chosen: Option<&Exports>, wanted: Option<&Exports>, number_given: bool) -> bool {
    match (chosen, wanted) {
        (Some(chosen), Some(wanted)) => {
            chosen.exports == wanted.exports && (!number_given || chosen.lanes == wanted.lanes)
        }
        _ => true,
    }
}

/// When an export may be taken at the earliest, so that it can't miss a change that the tail has of an older generation.
pub(super) fn due(generation: &Generation) -> i64 {
    generation.began_at + EDGE_MICROS
}

/// Whether every change that an export does not have is in the lake with this generation, or will be.
pub(super) async fn covers(
    lake: &Lake,
    generation: &Generation,
    exports: &[Export],
    clock: &Clock,
) -> Result<(), BackfillError> {
    let Generation { table, generation: number, began_at, fresh, .. } = generation;
    let Some(last) = exports.last() else { return Ok(()) };
    let (taken, what) = match last.manifest.window {
        Window::Full(at) => (at, "was taken at"),
        Window::Incremental { to, .. } => (to, "ends at"),
    };
    let due = due(generation);
    // Where nothing had been read before, all that the stream still has is of this generation.
    let reaches_back = *fresh && clock.wall_micros() - taken < KEPT_MICROS;
    if taken < due && !reaches_back {
        return Err(BackfillError::Refused(format!(
            "the export at {} {what} {}, but generation {number} of table {table} begins at {}: changes in between would be \
             hidden by it. Take an export of {} or later, and start the backfill again with it; the tail may go on meanwhile",
            last.place,
            rfc3339(taken),
            rfc3339(*began_at),
            rfc3339(due)
        )));
    }
    match exports.first().map(|export| (export, export.manifest.window)) {
        Some((export, Window::Incremental { from, .. })) => reaches_gaps(lake, generation, export, from).await,
        _ => Ok(()),
    }
}

/// An incremental export says nothing of what did not change in its window: all that it is landed on must be there.
async fn reaches_gaps(lake: &Lake, generation: &Generation, export: &Export, from: i64) -> Result<(), BackfillError> {
    let table = &generation.table;
    let complete = complete_before(lake, table, generation.generation).await?;
    let Some(complete) = complete else {
        return Err(BackfillError::Refused(format!(
            "the export at {} has only what changed in a window, and no backfill of table {table} has been complete: land a \
             full export or a scan first",
            export.place
        )));
    };
    for (of, gap) in lake.generations().gaps().await? {
        let concerns = of.as_deref().is_none_or(|of| of == table);
        let later = gap.generations.get(table).copied().unwrap_or_default() >= complete;
        let repaired = gap.generations.get(table).copied().unwrap_or_default() >= generation.generation;
        if !concerns || !later || repaired {
            continue;
        }
        let since = gap.since.as_deref().and_then(|since| since.parse::<jiff::Timestamp>().ok());
        let Some(since) = since else {
            return Err(BackfillError::Refused(format!(
                "the lake does not know when the gap found at {} begins: land a full export or a scan",
                gap.found_at
            )));
        };
        if from > since.as_microsecond() {
            return Err(BackfillError::Refused(format!(
                "the export at {} begins at {}, but changes are missing since {}: begin with an export of that time",
                export.place,
                rfc3339(from),
                rfc3339(since.as_microsecond())
            )));
        }
    }
    Ok(())
}

/// The last generation before `before` that was complete and is followed by a tail.
async fn complete_before(lake: &Lake, table: &str, before: i64) -> Result<Option<i64>, BackfillError> {
    for number in (1..before).rev() {
        if lake.generations().completed(table, number).await?.is_some() {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

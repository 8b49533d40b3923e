//! How are positions shown to people? A table, its columns aligned over all streams.

use std::fmt::Write as _;
use std::time::Duration;

use super::view::{Lag, Row, State, StreamView};
use crate::checkpoint::{Checkpoint, StartAt};
use crate::commands::text::clipped;
use crate::pipeline::Pipeline;

const HEADINGS: [&str; 7] = ["shard", "sink", "state", "position", "range", "saved", "lag"];

/// The longest name of a stream, shard or sink.
const NAME_CHARS: usize = 300;

/// The whole table; `now` is the wall time, µs since the epoch.
pub(super) fn table(pipeline: &Pipeline, streams: &[StreamView], now: i64) -> String {
    if streams.is_empty() {
        return format!("Nothing is known of the pipeline {} yet.\n", pipeline.name);
    }
    let cells: Vec<Vec<_>> = streams.iter().map(|view| view.rows.iter().map(|row| cells(row, now)).collect()).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in cells.iter().flatten() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for (view, rows) in streams.iter().zip(&cells) {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&clipped(&view.id, NAME_CHARS));
        // Writing to a String can't fail.
        view.note.iter().for_each(|note| _ = write!(out, "  ({note})"));
        out.push('\n');
        line(&mut out, &HEADINGS.map(str::to_owned), &widths);
        rows.iter().for_each(|row| line(&mut out, row, &widths));
    }
    out
}

fn line(out: &mut String, cells: &[String; 7], widths: &[usize; 7]) {
    let start = out.len();
    for (cell, width) in cells.iter().zip(widths) {
        _ = write!(out, "  {cell:<width$}");
    }
    out.truncate(start + out[start..].trim_end().len());
    out.push('\n');
}

fn cells(row: &Row, now: i64) -> [String; 7] {
    let none = || "-".to_owned();
    let range = match row.checkpoint {
        Some(Checkpoint::At { range: Some(range), .. }) => range.to_string(),
        _ => none(),
    };
    let state = match row.state {
        State::Waiting => "waiting for parents",
        State::NotBegun => "not begun",
        State::Reading => "reading",
        State::Finished => "finished",
        State::Gone => "gone from the source",
    };
    let lag = match row.lag {
        Lag::Unknown => none(),
        Lag::None => "none".to_owned(),
        Lag::Behind(age) => duration(age),
        Lag::More => "more to read".to_owned(),
    };
    let age = |at: i64| Duration::from_micros(now.saturating_sub(at).try_into().unwrap_or(0));
    let saved = row.saved_at.map_or_else(none, |at| format!("{} ago", duration(age(at))));
    let shard = clipped(row.shard.as_str(), NAME_CHARS);
    [shard, clipped(&row.sink, NAME_CHARS), state.to_owned(), position(row), range, saved, lag]
}

fn position(row: &Row) -> String {
    match &row.checkpoint {
        None => "-".to_owned(),
        Some(Checkpoint::Start(StartAt::TrimHorizon)) => "from the oldest".to_owned(),
        Some(Checkpoint::Start(StartAt::Latest(at) | StartAt::Timestamp(at))) => {
            let time = jiff::Timestamp::from_microsecond(*at).map(|time| format!("{time:.0}"));
            format!("from {}", time.unwrap_or_default())
        }
        Some(Checkpoint::At { position, .. }) => position.to_string(),
        Some(Checkpoint::ShardEnd) => "end".to_owned(),
    }
}

/// In the two largest units that count: `3h 20m`.
fn duration(duration: Duration) -> String {
    let whole = humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Position, SequenceNumber, ShardId};

    #[test]
    fn columns_are_aligned_over_all_streams() {
        let row = |shard: &str, state, checkpoint, lag| Row {
            shard: ShardId::new(shard),
            sink: "lake".into(),
            state,
            checkpoint,
            saved_at: Some(1_795_165_200_000_000 - 12_500_000),
            lag,
        };
        let position = Position { sequence: SequenceNumber::from_ordinal(4711), sub: 2 };
        let streams = [
            StreamView {
                id: "one\u{7f}".into(),
                note: None,
                rows: vec![
                    row("a", State::Reading, Some(Checkpoint::At { position, range: Some(7) }), Lag::None),
                    row("shard-ü", State::Finished, Some(Checkpoint::ShardEnd), Lag::Behind(Duration::from_secs(4000))),
                ],
            },
            StreamView {
                id: "two".into(),
                note: Some("off"),
                rows: vec![row(
                    "b",
                    State::Waiting,
                    Some(Checkpoint::Start(StartAt::Latest(1_795_165_200_000_000))),
                    Lag::Unknown,
                )],
            },
        ];
        let pipeline = crate::pipeline::load("pipelines/quickstart.toml".as_ref()).unwrap();
        let expected = "\
one\\u{7f}
  shard    sink  state                position                   range  saved    lag
  a        lake  reading              4711:2                     7      12s ago  none
  shard-ü  lake  finished             end                        -      12s ago  1h 6m

two  (off)
  shard    sink  state                position                   range  saved    lag
  b        lake  waiting for parents  from 2026-11-20T09:00:00Z  -      12s ago  -
";
        assert_eq!(table(&pipeline, &streams, 1_795_165_200_000_000), expected);
    }
}

//! How far is the backfill? A bar on a terminal, a log line now and then elsewhere. It tells what was read; what of it is
//! durable, the ranges tell.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressFinish, ProgressStyle};

use super::turns::Gate;
use crate::clock::Clock;

/// How often progress is told where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How often the bar moves.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// What a backfill will have landed in the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// All its items, roughly for a scan.
    pub(super) items: u64,
    /// Those that were in the lake before this process.
    pub(super) before: u64,
}

/// Shows what comes through `gate`. `units` tells the read units so far. Never returns.
pub(super) async fn show(gate: &Gate, expected: Expected, units: impl Fn() -> f64, clock: &Clock) {
    let started = clock.now();
    let elapsed = || clock.now().saturating_duration_since(started);
    if !std::io::stderr().is_terminal() {
        loop {
            clock.sleep(LOG_EVERY).await;
            let now = Progress::of(gate.passed(), expected, elapsed());
            let Progress { items, bytes, rate, left } = now;
            let left = left.map(|left| HumanDuration(left).to_string());
            let read_units = units();
            let waits = gate.waits().then_some("for the tail");
            tracing::info!(
                items,
                of = expected.items,
                bytes,
                a_second = rate,
                read_units,
                left,
                waits,
                "backfilled so far"
            );
        }
    }
    let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}");
    let bar = ProgressBar::new(expected.items).with_finish(ProgressFinish::AndClear);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    loop {
        let now = Progress::of(gate.passed(), expected, elapsed());
        bar.set_length(expected.items.max(now.items));
        bar.set_position(now.items);
        let left = match now.left {
            _ if gate.waits() => ", waiting for the tail to catch up".to_owned(),
            Some(left) => format!(", {} left", HumanDuration(left)),
            None => String::new(),
        };
        bar.set_message(format!(
            "{} of {} items ({}), {} a second, {} read units{left}",
            HumanCount(now.items),
            HumanCount(expected.items),
            HumanBytes(now.bytes),
            HumanCount(now.rate),
            HumanCount(units() as u64),
        ));
        clock.sleep(DRAW_EVERY).await;
    }
}

/// Progress at a moment.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    items: u64,
    bytes: u64,
    /// Items a second, of this process.
    rate: u64,
    left: Option<Duration>,
}

impl Progress {
    fn of((here, bytes): (u64, u64), expected: Expected, elapsed: Duration) -> Self {
        let items = expected.before + here;
        let rate = here as f64 / elapsed.as_secs_f64().max(0.001);
        let left = (rate >= 1.0).then(|| expected.items.saturating_sub(items) as f64 / rate);
        let left = left.map(|seconds| Duration::from_secs(seconds as u64));
        Self { items, bytes, rate: rate as u64, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_what_this_process_needs() {
        let expected = Expected { items: 1_000, before: 500 };
        let progress = Progress::of((100, 7), expected, Duration::from_secs(10));
        let left = Some(Duration::from_secs(40));
        assert_eq!(progress, Progress { items: 600, bytes: 7, rate: 10, left });
        assert_eq!(Progress::of((0, 0), expected, Duration::from_secs(10)).left, None);
    }
}

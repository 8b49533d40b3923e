//! How is a world told? Line by line on stderr, with the world's time: what every process does to the outside, what comes
//! back, and what the engine says of it.

use std::cell::RefCell;
use std::fmt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::clock::Clock;

thread_local! {
    static CLOCK: RefCell<Option<(Clock, i64)>> = const { RefCell::new(None) };
}

/// From now on, lines of this thread have the time since `beginning` of this clock.
pub(super) fn follow(clock: &Clock, beginning: i64) {
    CLOCK.set(Some((clock.clone(), beginning)));
}

/// Seconds since the world began.
struct WorldTime;

impl FormatTime for WorldTime {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        CLOCK.with_borrow(|clock| match clock {
            Some((clock, beginning)) => {
                let micros = clock.wall_micros() - beginning;
                write!(line, "{:>10}.{:03} s", micros / 1_000_000, micros / 1000 % 1000)
            }
            None => Ok(()),
        })
    }
}

/// Tells worlds from now on, as RUST_LOG says or in some detail. Answers whether nobody did before.
pub fn tell() -> bool {
    let chosen = std::env::var("RUST_LOG").unwrap_or_else(|_| "watershed=debug".to_owned());
    let filter = EnvFilter::try_new(chosen).unwrap_or_else(|_| EnvFilter::new("watershed=debug"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let lines = lines.with_ansi(false).with_target(false).with_timer(WorldTime);
    tracing::subscriber::set_global_default(lines.finish()).is_ok()
}

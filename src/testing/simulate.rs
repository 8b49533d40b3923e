//! Worlds without end: runs seed after seed on all cores until the time is up, and says what came of them in one line.
//!
//! ```text
//! cargo run --release --features testing --bin simulate -- --minutes 10
//! ```

use std::io::Write;
use std::ops::AddAssign;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use tokio::time::Instant;

use super::world::{Plan, Report, run};
use crate::clock::Clock;

/// How often it is said how far it is.
const EVERY: Duration = Duration::from_secs(10);

/// Runs the engine in simulated worlds, with all faults on, and judges each.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
pub struct Options {
    /// Stops after so many minutes.
    #[arg(long, default_value_t = 1.0)]
    pub minutes: f64,
    /// The first seed; each further world has the next.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// Runs the world of this seed alone; with RUST_LOG=debug its trace comes along.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// The world of a seed: either service, two to eight workers, up to two handlers, all faults.
pub fn plan(seed: u64) -> Plan {
    let (workers, handlers) = (2 + (seed / 2 % 7) as u32, (seed % 3) as u32);
    Plan { seed, kinesis: seed % 2 == 1, workers, kills: 12, faults: true, handlers }
}

/// What came of all worlds so far.
#[derive(Debug, Default)]
struct Sum {
    worlds: u64,
    seconds: u64,
    faults: u64,
    rows: u64,
    violations: u64,
}

impl AddAssign<&Report> for Sum {
    fn add_assign(&mut self, report: &Report) {
        self.worlds += 1;
        self.seconds += report.seconds;
        self.faults += report.faults;
        self.rows += report.rows;
    }
}

impl Sum {
    /// The judge ends a world at its first violation, so that none of the others is ever more than zero by itself.
    fn line(&self) -> String {
        let Self { worlds, seconds, faults, rows, violations } = self;
        let hours = *seconds as f64 / 3600.0;
        let none = if *violations == 0 { "lost=0 twice=0 reordered=0 " } else { "" };
        format!("seeds={worlds} simulated_hours={hours:.0} faults={faults} rows={rows} {none}violations={violations}")
    }
}

/// Runs worlds and writes the result's line to `out`, violations and progress to `notes`. Answers whether there was no
/// violation.
///
/// # Errors
/// If something can't be written.
pub fn simulate(options: &Options, out: &mut dyn Write, notes: &mut (dyn Write + Send)) -> std::io::Result<bool> {
    let clock = Clock::system();
    let seeds = Seeds { next: AtomicU64::new(options.seed.unwrap_or(options.from)), last: options.seed };
    let until = clock.now() + Duration::from_secs_f64(options.minutes.max(0.0) * 60.0);
    let told = Mutex::new((Sum::default(), notes, clock.now()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(seed) = seeds.take(clock.now() < until) {
                    let ended = live(seed);
                    tell(&mut told.lock().unwrap_or_else(PoisonError::into_inner), seed, ended, clock.now());
                }
            });
        }
    });
    let (sum, ..) = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    writeln!(out, "{}", sum.line())?;
    Ok(sum.violations == 0)
}

struct Seeds {
    next: AtomicU64,
    last: Option<u64>,
}

impl Seeds {
    fn take(&self, is_time: bool) -> Option<u64> {
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        match self.last {
            Some(last) => (seed <= last).then_some(seed),
            None => is_time.then_some(seed),
        }
    }
}

fn live(seed: u64) -> Result<Report, String> {
    catch_unwind(|| run(plan(seed))).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn tell(
    (sum, notes, said): &mut (Sum, &mut (dyn Write + Send), Instant),
    seed: u64,
    ended: Result<Report, String>,
    now: Instant,
) {
    match ended {
        Ok(report) => *sum += &report,
        Err(violation) => {
            sum.worlds += 1;
            sum.violations += 1;
            // Nobody reads it? The line at the end counts it all the same.
            let _ = writeln!(
                notes,
                "seed {seed}: {violation}\n  {:?}\n  RUST_LOG=debug cargo run --release --features testing --bin simulate -- --seed {seed}",
                plan(seed)
            );
        }
    }
    if now.saturating_duration_since(*said) >= EVERY {
        *said = now;
        let _ = writeln!(notes, "{}", sum.line());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_worlds_come_out_right_and_the_line_says_so() {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let options = Options { minutes: 0.0, from: 0, seed: Some(3) };
        assert!(simulate(&options, &mut out, &mut notes).unwrap(), "{}", String::from_utf8_lossy(&notes));
        let line = String::from_utf8(out).unwrap();
        assert!(line.starts_with("seeds=1 simulated_hours=") && line.ends_with("violations=0\n"), "{line}");
        let mut sum = Sum::default();
        let mut notes: Vec<u8> = Vec::new();
        let now = Clock::system().now();
        let mut told: (Sum, &mut (dyn Write + Send), Instant) = (std::mem::take(&mut sum), &mut notes, now);
        tell(&mut told, 9, Err("lost: one".to_owned()), now);
        assert_eq!(told.0.line(), "seeds=1 simulated_hours=0 faults=0 rows=0 violations=1");
        assert!(String::from_utf8(notes).unwrap().starts_with("seed 9: lost: one\n"));
    }
}

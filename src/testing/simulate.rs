//! Worlds without end: runs seed after seed until the time is up, and says what came of them in one line.
//!
//! ```text
//! cargo run --release --features testing --bin simulate -- --minutes 10
//! cargo run --release --features testing --bin simulate -- --seed 4711 --shrink
//! ```

use std::io::Write;
use std::ops::AddAssign;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use tokio::time::Instant;

use super::plan::Plan;
use super::world::{Report, run};
use crate::clock::Clock;

/// How often it is said how far it is.
const EVERY: Duration = Duration::from_secs(10);

/// The command that lives through worlds.
const COMMAND: &str = "cargo run --release --features testing --bin simulate --";

/// Runs the engine in simulated worlds, with all faults on, and judges each.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
pub struct Options {
    /// Stops after so many minutes.
    #[arg(long, default_value_t = 1.0)]
    pub minutes: f64,
    /// Stops after so many worlds, however long that takes.
    #[arg(long, conflicts_with = "minutes")]
    pub worlds: Option<u64>,
    /// The first seed; each further world has the next.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// On so many threads; all cores if it is not said.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Runs the world of this seed alone, and tells what happens in it (RUST_LOG=trace: everything).
    #[arg(long)]
    pub seed: Option<u64>,
    /// Runs the world of this plan alone: what a violation is reported with.
    #[arg(long, conflicts_with = "seed")]
    pub world: Option<Plan>,
    /// If that world fails, looks for the smallest like it that does, and tells that one instead.
    #[arg(long)]
    pub shrink: bool,
}

impl Options {
    /// The one world that is asked for.
    pub fn one(&self) -> Option<Plan> {
        self.world.or(self.seed.map(Plan::of))
    }
}

/// What came of all worlds so far.
#[derive(Debug, Default)]
struct Sum {
    worlds: u64,
    seconds: u64,
    faults: u64,
    rows: u64,
    violations: u64,
    fullest: usize,
}

impl AddAssign<&Report> for Sum {
    fn add_assign(&mut self, report: &Report) {
        self.worlds += 1;
        self.seconds += report.seconds;
        self.faults += report.faults;
        self.rows += report.rows + report.snapshots;
        self.fullest = self.fullest.max(report.fullest);
    }
}

impl Sum {
    /// The judge ends a world at its first violation, so that none of the others is ever more than zero by itself.
    fn line(&self) -> String {
        let Self { worlds, seconds, faults, rows, violations, .. } = self;
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
    if let Some(plan) = options.one() {
        return one(plan, options.shrink, out, notes);
    }
    let clock = Clock::system();
    let until = clock.now() + Duration::from_secs_f64(options.minutes.max(0.0) * 60.0);
    let last = options.worlds.map(|worlds| options.from.saturating_add(worlds));
    let seeds = AtomicU64::new(options.from);
    let take = || {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        last.map_or_else(|| clock.now() < until, |last| seed < last).then_some(seed)
    };
    let told = Mutex::new((Sum::default(), notes, clock.now()));
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..options.threads.unwrap_or_else(cores).max(1) {
            scope.spawn(|| {
                while let Some(seed) = take() {
                    let plan = Plan::of(seed);
                    let ended = live(plan);
                    tell(&mut told.lock().unwrap_or_else(PoisonError::into_inner), plan, ended, clock.now());
                }
            });
        }
    });
    let (sum, ..) = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    writeln!(out, "{}", sum.line())?;
    Ok(sum.violations == 0)
}

/// What the command ends with: success only if there was no violation, and everything could be said.
pub fn exit_code(ended: &std::io::Result<bool>) -> ExitCode {
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Lives through one world, or through ever smaller ones as long as they fail.
fn one(plan: Plan, shrink: bool, out: &mut dyn Write, notes: &mut dyn Write) -> std::io::Result<bool> {
    let mut sum = Sum::default();
    writeln!(notes, "{plan}")?;
    match live(plan) {
        Ok(report) => {
            writeln!(notes, "{report:?}")?;
            sum += &report;
        }
        Err(violation) => {
            (sum.worlds, sum.violations) = (1, 1);
            writeln!(notes, "{violation}")?;
            if shrink {
                let (small, violation) = smallest(plan, violation, &mut |line| writeln!(notes, "{line}"))?;
                writeln!(notes, "{violation}\n  {COMMAND} --world {small}")?;
            }
        }
    }
    writeln!(out, "{}", sum.line())?;
    Ok(sum.violations == 0)
}

/// Leaves out whatever a world can fail without.
fn smallest(
    plan: Plan,
    violation: String,
    say: &mut dyn FnMut(String) -> std::io::Result<()>,
) -> std::io::Result<(Plan, String)> {
    let mut small = (plan, violation);
    'smaller: loop {
        for plan in small.0.smaller() {
            if let Err(violation) = live(plan) {
                say(format!("fails as well: {plan}"))?;
                small = (plan, violation);
                continue 'smaller;
            }
        }
        return Ok(small);
    }
}

fn live(plan: Plan) -> Result<Report, String> {
    catch_unwind(|| run(plan)).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn tell(
    (sum, notes, said): &mut (Sum, &mut (dyn Write + Send), Instant),
    plan: Plan,
    ended: Result<Report, String>,
    now: Instant,
) {
    match ended {
        Ok(report) => *sum += &report,
        Err(violation) => {
            sum.worlds += 1;
            sum.violations += 1;
            // Nobody reads it? The line at the end counts it all the same.
            let _ = writeln!(notes, "{violation}\n  {plan}\n  {COMMAND} --seed {} --shrink", plan.seed);
        }
    }
    if now.saturating_duration_since(*said) >= EVERY {
        *said = now;
        let _ = writeln!(notes, "{}; memory {} % full at most", sum.line(), sum.fullest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::parse_from([&["simulate"], arguments].concat())
    }

    fn said(options: &Options) -> (bool, String, String) {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let fine = simulate(options, &mut out, &mut notes).unwrap();
        (fine, String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap())
    }

    #[test]
    fn some_worlds_come_out_right_and_the_line_says_so() {
        let (fine, line, notes) = said(&options(&["--worlds", "4", "--from", "40", "--threads", "1"]));
        assert!(fine && exit_code(&Ok(fine)) == ExitCode::SUCCESS, "{notes}");
        assert!(line.starts_with("seeds=4 simulated_hours="), "{line}");
        assert!(line.ends_with(" lost=0 twice=0 reordered=0 violations=0\n"), "{line}");
    }

    #[test]
    fn a_world_that_fails_is_made_smaller_and_counted() {
        use crate::bug::{Bug, make};
        make(Some(Bug::OpenRangeLeft));
        let seed = (0..40).find(|seed| live(Plan::of(*seed)).is_err()).expect("a world that finds it");
        let (fine, line, notes) = said(&options(&["--seed", &seed.to_string(), "--shrink"]));
        let small: Plan = notes.trim_end().rsplit_once("--world ").expect("the smallest is told").1.parse().unwrap();
        let again = live(small);
        make(None);
        assert_eq!(exit_code(&Ok(fine)), ExitCode::FAILURE);
        assert!(!fine && line == "seeds=1 simulated_hours=0 faults=0 rows=0 violations=1\n", "{line}");
        assert!(again.is_err() && (small.changes < Plan::of(seed).changes || small.workers == 1), "{small}");
        assert!(live(small).is_ok(), "without the mistake nothing is wrong with it");
    }

    /// `WATERSHED_SEEDS=from..to cargo test --release --lib many_worlds -- --ignored --nocapture`: what `simulate` does.
    /// `WATERSHED_SIMULATE="--seed 7"` hands it the arguments themselves.
    #[test]
    #[ignore = "as long as one likes"]
    fn many_worlds() {
        if let Ok(arguments) = std::env::var("WATERSHED_SIMULATE") {
            let options = options(&arguments.split(' ').collect::<Vec<_>>());
            assert!(options.shrink || options.one().is_none() || crate::testing::trace::tell());
            assert!(simulate(&options, &mut std::io::stdout(), &mut std::io::stderr()).unwrap());
            return;
        }
        let seeds = std::env::var("WATERSHED_SEEDS").unwrap_or_else(|_| "0..1000".to_owned());
        let (from, to) = seeds.split_once("..").expect("WATERSHED_SEEDS=from..to");
        let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
        let options = options(&["--worlds", &(to - from).to_string(), "--from", &from.to_string(), "--threads", "1"]);
        let fine = simulate(&options, &mut std::io::stdout(), &mut std::io::stderr()).unwrap();
        assert!(fine);
    }
}

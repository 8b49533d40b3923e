//! How is the real binary run and measured: its CPU seconds, its wall time, the most memory it had?

#![allow(dead_code, unused_imports, reason = "each bench uses a part of this")]
#![allow(unreachable_pub, reason = "a bench has no outside; `pub` says what this offers to it")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::measure::wall_time;
use crate::workload::{self, Changes};

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// User time of all threads. Its resolution is 10 ms.
    pub user: Duration,
    /// System time of all threads.
    pub system: Duration,
    /// From start to exit.
    pub wall: Duration,
    /// The most memory that was resident, bytes.
    pub peak: u64,
}

/// Runs `watershed run --once` on a pipeline file to its end.
pub fn run(pipeline: &Path, environment: &[(&str, String)]) -> Took {
    run_command(&["run", "--once", pipeline.to_str().expect("a path of text")], environment)
}

/// Runs any command of the binary to its end.
pub fn run_command(arguments: &[&str], environment: &[(&str, String)]) -> Took {
    let (user, system) = of_children();
    let start = wall_time();
    let mut child = Command::new(env!("CARGO_BIN_EXE_watershed"))
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut peak = 0;
    let status = loop {
        peak = peak.max(resident_peak(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        rest(Duration::from_millis(2));
    };
    let wall = wall_time() - start;
    if !status.success() {
        let mut log = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().expect("a pipe"), &mut log).expect("text");
        panic!("the run failed: {log}");
    }
    let (user_after, system_after) = of_children();
    Took { user: user_after - user, system: system_after - system, wall, peak }
}

/// The rows that the lake's ranges say there are.
pub fn landed(lake: &Path) -> u64 {
    let mut rows = 0;
    for chain in fs::read_dir(lake.join("_watershed/ranges")).expect("a lake") {
        for range in fs::read_dir(chain.expect("a chain").path()).expect("a chain") {
            let range = fs::read(range.expect("a range").path()).expect("a range");
            let range: serde_json::Value = serde_json::from_slice(&range).expect("a range");
            rows += range["rows"].as_u64().expect("a number");
        }
    }
    rows
}

/// Writes `records` changes as lines of Kinesis records and answers the file's bytes.
pub fn record(file: &Path, changes: Changes, records: usize) -> u64 {
    let mut out = std::io::BufWriter::new(fs::File::create(file).expect("a file"));
    let (mut line, mut bytes) = (Vec::new(), 0);
    for change in changes.take(records) {
        line.clear();
        workload::kinesis_record(&change, &mut line);
        line.push(b'\n');
        bytes += line.len() as u64;
        out.write_all(&line).expect("written");
    }
    out.flush().expect("written");
    bytes
}

/// User and system time of all children that have ended.
fn of_children() -> (Duration, Duration) {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    // Behind the name in parentheses, whatever that holds; the numbers are proc(5)'s.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("ticks");
    (Duration::from_millis(ticks(16) * 10), Duration::from_millis(ticks(17) * 10))
}

fn resident_peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn rest(pause: Duration) {
    std::thread::sleep(pause);
}

//! What every test needs: the binary, the tools and servers around it, patience with a limit, and the judge.

pub mod churn;
pub mod exports;
pub mod front;
pub mod http;
pub mod kinesis_destination;
pub mod lake;
pub mod lambda;
pub mod listener;
pub mod mapping;
pub mod process;
pub mod proxy;
pub mod queues;
pub mod recorded;
pub mod servers;
pub mod tools;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

pub use self::process::{Ended, Guarded, Running, Work, binary};
pub use self::tools::{Tool, tools};

/// How long anything may take before a test gives up on it.
pub const LIMIT: Duration = Duration::from_secs(300);

// -- time ------------------------------------------------------------------------------------------------------------

/// The one clock of the tests: they watch real processes.
#[expect(clippy::disallowed_methods, reason = "real processes live in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Rests between two looks at something, or for as long as a script says.
#[expect(clippy::disallowed_methods, reason = "real processes live in real time")]
pub fn rest(time: Duration) {
    std::thread::sleep(time);
}

/// Looks until `look` finds something, at most for `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let since = now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < limit, "waited {limit:?} in vain for {what}");
        rest(Duration::from_millis(10));
    }
}

// -- what people should see ---------------------------------------------------------------------------------------------

/// Prints figures also where the test passes: libtest keeps back only what goes through `println!`.
pub fn show(figures: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to fail.
    let _ = writeln!(out, "{figures}").and_then(|()| out.flush());
}

// -- the judge -------------------------------------------------------------------------------------------------------

/// What `check_lake.py` found.
#[derive(Debug)]
pub struct Verdict(pub Value);

impl Verdict {
    pub fn count(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }
}

/// Compares a lake (a folder) with a history and panics, with the judge's examples, unless every fault is zero.
///
/// Before that the simulated worlds' own definition of a whole lake is held against it: chains without gap or overlap, every
/// file there with the rows its range says, no record twice, and nothing else.
#[track_caller]
pub fn judge(lake: &Path, history: &Path, more: &[&str]) -> Verdict {
    let read = |(path, _): (String, u64)| (path.clone(), fs::read(lake.join(path)).unwrap().into());
    // Temporary files, which a kill leaves in a folder, are no objects.
    let objects = files_below(lake).into_iter().filter(|(path, _)| !path.starts_with("_watershed/tmp/"));
    let objects = objects.map(read).collect();
    if let Err(violation) = watershed::testing::judge::whole(&objects) {
        panic!("the lake is not whole: {violation}");
    }
    let mut arguments = vec!["--lake", lake.to_str().unwrap(), "--history", history.to_str().unwrap()];
    arguments.extend(more);
    let (said, status, log) = tools().start("check_lake.py", &arguments).end();
    assert!(status.success(), "the lake is not the history: {said}\n{log}");
    Verdict(said)
}

/// The lines of a file.
pub fn count_lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |content| memchr::memchr_iter(b'\n', &content).count())
}

/// Every file below a folder, as paths relative to it with their sizes, sorted.
pub fn files_below(folder: &Path) -> Vec<(String, u64)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, u64)>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // What a running program takes away between the two calls was there a moment ago only.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                walk(&path, root, found);
            } else {
                found.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), metadata.len()));
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// Copies a file's whole content; used where a test wants to look at a server's log.
pub fn content(file: &File) -> String {
    std::io::read_to_string(file).unwrap_or_default()
}

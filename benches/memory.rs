//! How does peak memory grow with the number of shards?
//!
//! ```text
//! cargo bench --bench memory [-- SHARDS...]     1 100 1000 unless said otherwise
//! ```
//!
//! Each shard is a recorded file; all together have about 200 MB, three times the budget.

mod daemon;
mod measure;
mod workload;

use std::fs;

use workload::Workload;

/// All changes together.
const CHANGES: usize = 170_000;

/// The pipeline's `memory`, MiB: less than the changes take.
const BUDGET: u64 = 64;

fn main() {
    let shards: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let shards = if shards.is_empty() { vec![1, 100, 1000] } else { shards };
    println!(" shards  budget MiB    MB  peak MiB  beyond budget MiB  wall s");
    for &shards in &shards {
        one(shards, BUDGET);
    }
}

fn one(shards: usize, budget: u64) {
    let work = tempfile::tempdir().expect("a folder");
    let recorded = work.path().join("recorded");
    fs::create_dir(&recorded).expect("a folder");
    let mut bytes = 0;
    for shard in 0..shards {
        let changes = Workload::Reply.changes(shard as u64);
        bytes += daemon::record(&recorded.join(format!("{shard:05}.ndjson")), changes, CHANGES / shards);
    }
    let pipeline = work.path().join("pipeline.toml");
    let folder = work.path().display();
    let described = format!(
        "name = \"bench\"\nstate = \"folder:{folder}/state\"\nmemory = \"{budget} MiB\"\n[source]\ntype = \"file\"\n\
         path = \"{folder}/recorded\"\n[lake]\npath = \"{folder}/lake\"\n[lake.tables.Reply]\n\
         keys = [\"Id\", \"ReplyDateTime\"]\n"
    );
    fs::write(&pipeline, described).expect("written");
    let took = daemon::run(&pipeline, &[]);
    assert_eq!(
        daemon::landed(&work.path().join("lake")),
        (CHANGES / shards * shards) as u64,
        "all is in the lake, once"
    );
    let peak = took.peak >> 20;
    println!(
        "{shards:>7}  {budget:>10}  {:>4.0}  {peak:>8}  {:>17}  {:>6.1}",
        bytes as f64 / 1e6,
        peak as i64 - budget as i64,
        took.wall.as_secs_f64()
    );
}

//! Is the engine around the hot path a bottleneck: how fast is `watershed run` of a recorded file into a folder?
//!
//! ```text
//! cargo bench --bench run_file [-- RECORDS...]     10000 100000 430000 (500 MB) unless said otherwise
//! ```
//!
//! The last column is the share of what `bytes_to_parquet` does with the same changes in this process.

mod daemon;
mod measure;
mod product;
mod workload;

use std::fs;
use std::path::Path;

use workload::Workload;

/// What the hot path alone is measured with.
const ALONE: usize = 48 << 20;

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10_000, 100_000, 430_000] } else { sizes };
    let (alone, alone_wall) = hot_path();
    println!("bytes to Parquet in memory: {alone:.0} MB/s per core, {alone_wall:.0} MB/s wall\n");
    println!(
        "  records  files    MB  user s   sys s  wall s  MB/s core  MB/s wall  records/s  peak MB  of hot path, core / wall"
    );
    for &records in &sizes {
        one(records, 1, alone, alone_wall);
    }
    // A shard per file: what a second core brings.
    if let Some(&records) = sizes.last() {
        one(records, 2, alone, alone_wall);
    }
}

fn hot_path() -> (f64, f64) {
    let records = product::records(&Workload::Reply.of_size(1, ALONE));
    let megabytes = product::bytes_of(&records) as f64 / 1e6;
    let best = (0..3).map(|_| {
        let (cpu, wall) = (measure::cpu_time(), measure::wall_time());
        let rules = product::rules(Workload::Reply);
        product::runtime().block_on(async { product::InMemory::open(rules).await.land(&records).await });
        (measure::cpu_time() - cpu, measure::wall_time() - wall)
    });
    let (cpu, wall) = best.min().expect("three attempts");
    (megabytes / cpu.as_secs_f64(), megabytes / wall.as_secs_f64())
}

fn one(records: usize, files: usize, alone: f64, alone_wall: f64) {
    let work = tempfile::tempdir().expect("a folder");
    let recorded = work.path().join("recorded");
    fs::create_dir(&recorded).expect("a folder");
    let mut bytes = 0;
    for file in 0..files {
        let path = recorded.join(format!("{file:04}.ndjson"));
        bytes += daemon::record(&path, Workload::Reply.changes(file as u64 + 1), records / files);
    }
    let pipeline = work.path().join("pipeline.toml");
    fs::write(&pipeline, described(work.path())).expect("written");
    let took = daemon::run(&pipeline, &[]);
    assert_eq!(daemon::landed(&work.path().join("lake")), (records / files * files) as u64, "all is in the lake, once");
    let (megabytes, user, wall) = (bytes as f64 / 1e6, took.user.as_secs_f64(), took.wall.as_secs_f64());
    println!(
        "{records:>9}  {files:>5}  {megabytes:>4.0}  {user:>6.2}  {:>6.2}  {wall:>6.2}  {:>9.0}  {:>9.0}  {:>9.0}  {:>7.0}  {:>3.0} % / {:>3.0} %",
        took.system.as_secs_f64(),
        megabytes / user,
        megabytes / wall,
        records as f64 / wall,
        took.peak as f64 / 1e6,
        100.0 * megabytes / user / alone,
        100.0 * megabytes / wall / alone_wall,
    );
}

fn described(work: &Path) -> String {
    let work = work.display();
    format!(
        "name = \"bench\"\nstate = \"folder:{work}/state\"\n[source]\ntype = \"file\"\npath = \"{work}/recorded\"\n\
         [lake]\npath = \"{work}/lake\"\n[lake.tables.Reply]\nkeys = [\"Id\", \"ReplyDateTime\"]\n"
    )
}

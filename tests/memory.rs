//! Peak memory stays under the pipeline's `memory` plus a fixed base, with 500 shards, and with S3 that hangs.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::lake::{Place, walk};
use crate::harness::proxy::Proxy;
use crate::harness::recorded::Recording;
use crate::harness::servers::MiniStack;
use crate::harness::{LIMIT, Running, Work, now, rest, show, wait_for};

const SHARDS: usize = 500;
const CHANGES: usize = 160;
const BUDGET: u64 = 64 << 20;

/// What the process needs besides its buffers: code, threads, the SDK, 500 tasks, what encoding takes for a moment.
const BASE: u64 = 160 << 20;

fn pipeline(lake: &str) -> String {
    format!(
        "name = \"p\"\nmemory = \"64 MiB\"\n[source]\ntype = \"file\"\npath = \"recorded\"\n[lake]\npath = \"{lake}\"\n\
         [lake.tables.Items]\nkeys = [\"Id\"]\n"
    )
}

/// The most memory the process ever had, bytes.
fn peak(process: &Running) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Watches a process to its end.
fn watch(mut process: Running) -> u64 {
    let mut highest = 0;
    while process.is_running() {
        highest = highest.max(peak(&process).unwrap_or_default());
        rest(Duration::from_millis(5));
    }
    process.wait().expect(0);
    highest
}

#[test]
fn five_hundred_shards_and_an_s3_that_hangs() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let proxy = Proxy::start(s3.port, 1);
    let work = Work::new().set("AWS_ENDPOINT_URL_S3", proxy.endpoint());
    let mut recording = Recording::default();
    for n in 0..CHANGES {
        // Text that does not compress.
        let body: String =
            (0..60_u64).map(|k| format!("{:016x}", (n as u64 * 61 + k).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        recording.put("Items", &format!("item {n}"), json!({ "Body": { "S": body } }));
    }
    let content = recording.recorded();
    // One small file: what the process takes for itself.
    work.write("recorded/0000.ndjson", &recording.lines[0]);
    work.write("base.toml", pipeline("s3://lake-bucket/base"));
    let base = watch(work.spawn(&["run", "base.toml"]));

    for n in 0..SHARDS {
        // The first line tells the files apart: a file is known by how it begins.
        work.write(&format!("recorded/{n:04}.ndjson"), content.replacen("item 0", &format!("shard {n}"), 1));
    }
    work.write("p.toml", pipeline("s3://lake-bucket/lake"));
    let since = now();
    let mut process = work.spawn(&["run", "p.toml"]);
    wait_for("the first shards", LIMIT, || (proxy.chains_opened() > 20).then_some(()));
    proxy.block(true);
    // Until memory has stood still for a while: everything is full, and waits.
    let (mut highest, mut since_rise) = (0, now());
    while since_rise.elapsed() < Duration::from_secs(6) && since.elapsed() < Duration::from_secs(60) {
        assert!(process.is_running(), "{}", process.log());
        let now_at = peak(&process).unwrap_or_default();
        if now_at > highest + (1 << 20) {
            (highest, since_rise) = (now_at, now());
        }
        rest(Duration::from_millis(50));
    }
    proxy.block(false);
    let at_the_end = watch(process);
    show(&format!(
        "memory: budget {} MiB, {SHARDS} shards with {} MiB of changes; base {} MiB, blocked {} MiB, peak {} MiB; {:.0} s",
        BUDGET >> 20,
        (SHARDS * content.len()) >> 20,
        base >> 20,
        highest >> 20,
        at_the_end >> 20,
        since.elapsed().as_secs_f64()
    ));
    let folder = Place::s3(s3.port, "lake-bucket", "lake").fetch(&work.path("fetched"));
    assert_eq!(walk(&folder).rows, (SHARDS * CHANGES) as u64);
    assert!(at_the_end < BUDGET + BASE, "peak {} MiB", at_the_end >> 20);
}

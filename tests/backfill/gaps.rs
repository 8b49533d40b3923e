//! Twenty-five hours without a reader: what the stream has trimmed is reported, and the lake repaired.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::{LIVE, Live, killed};
use crate::harness::exports::incremental;
use crate::harness::{files_below, rest};

/// A table whose lake was complete once, and whose stream nobody read for 25 hours.
struct Missed {
    live: Live,
    /// The items before.
    before: BTreeMap<String, Value>,
}

fn by_id(items: Vec<Value>) -> BTreeMap<String, Value> {
    items.into_iter().map(|item| (item["Id"]["S"].as_str().unwrap().to_owned(), item)).collect()
}

impl Missed {
    fn new(live: Live) -> Self {
        let goes_on = LIVE.replace("ROWS", "20").replace("poll =", "on_gap = \"resume\"\npoll =");
        live.work.write("goes-on.toml", goes_on);
        let before = by_id(live.items());
        Self::write(&live, 5);
        // A shard takes records for some hours only.
        live.server.roll_over();
        live.server.age(25);
        Self::write(&live, 6);
        Self { live, before }
    }

    fn write(live: &Live, seed: u64) {
        let churn = live.churn(1000, seed);
        rest(Duration::from_millis(700));
        assert_ne!(churn.finish().0, 0);
    }

    /// What changed, and what is gone.
    fn changes(&self) -> Vec<(Value, Option<Value>)> {
        let after = by_id(self.live.items());
        let key = |id: &String| json!({"Id": {"S": id}});
        let gone: Vec<_> = self.before.keys().filter(|id| !after.contains_key(*id)).collect();
        assert!(!gone.is_empty(), "items are deleted that nobody will hear of");
        let changed = after.iter().filter(|(id, item)| self.before.get(*id) != Some(item));
        let changed = changed.map(|(id, item)| (key(id), Some(item.clone())));
        changed.chain(gone.into_iter().map(|id| (key(id), None))).collect()
    }
}

#[test]
fn a_gap_is_reported_and_repaired_from_an_incremental_export() {
    let live = Live::start(400);
    live.backfill("live.toml", 0, 1);
    let missed = Missed::new(live);
    let (live, work) = (&missed.live, &missed.live.work);
    let refused = work.run(&["run", "live.toml", "--once"]).expect(1);
    assert!(refused.errors()[0].contains("changes are lost"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "", "nothing that looks like success");
    work.run(&["run", "goes-on.toml", "--once"]).expect(0);
    let verified = work.run(&["verify", "live.toml"]).expect(1);
    assert!(verified.stdout.contains("Items {\"Id\":{\"S\":\"item-"), "{}", verified.stdout);

    // The marker names the window to export.
    let gaps = files_below(&work.path("lake/_watershed/gaps"));
    let marker = fs::read(work.path("lake/_watershed/gaps").join(&gaps[0].0)).unwrap();
    let marker: Value = serde_json::from_slice(&marker).unwrap();
    let since = marker["gap"]["since"].as_str().unwrap();
    let changes = missed.changes();
    let folder = work.path("exports");
    let export = |name: &str, window: [&str; 2]| {
        let own = incremental(&folder.join(name), window, 2, changes.iter().cloned());
        work.run(&["backfill", "goes-on.toml", "--export", own.to_str().unwrap()])
    };
    // Too early an end, too late a beginning: the generation waits for the right one.
    let early = export("early", ["2019-12-31T00:00:00Z", "2020-01-01T00:00:00Z"]).expect(1);
    assert!(early.stderr.contains("but generation 2 of table Items begins at"), "{}", early.stderr);
    let late = export("late", ["2090-01-02T00:00:00Z", "2100-01-01T00:00:00Z"]).expect(1);
    assert!(late.stderr.contains(&format!("but changes are missing since {since}")), "{}", late.stderr);
    let right = export("right", [since, "2100-01-01T00:00:00Z"]).expect(0);
    assert!(right.stdout.contains("generation 2 is complete"), "{}", right.stdout);
    live.verifies("live.toml");
    let sampled = work.run(&["verify", "live.toml", "--sample", "50"]).expect(0).stdout;
    assert!(sampled.contains("Table Items: 50 items compared, no differences"), "{sampled}");
    live.agrees();
}

#[test]
fn another_scan_repairs_a_gap_too_and_brings_nothing_back_that_was_deleted_in_it() {
    let live = Live::start(400);
    live.backfill("live.toml", 0, 1);
    let missed = Missed::new(live);
    assert!(!missed.changes().is_empty());
    let (live, work) = (&missed.live, &missed.live.work);
    work.run(&["run", "goes-on.toml", "--once"]).expect(0);
    let said = killed(work, &["backfill", "goes-on.toml"], 1, 1, |path| path.starts_with("backfill-2"));
    assert!(said.contains("generation 2 is complete"), "{said}");
    live.verifies("live.toml");
    let verdict = live.agrees();
    assert_eq!(verdict["generation"], 2);
}

#[test]
fn a_gap_while_a_generation_is_under_way_makes_the_next_start_begin_another() {
    let live = Live::start(400);
    let arguments = ["backfill", "goes-on.toml", "--segments", "2", "--read-units", "5"];
    live.work.write("goes-on.toml", LIVE.replace("ROWS", "20").replace("poll =", "on_gap = \"resume\"\npoll ="));
    let running = live.work.spawn(&arguments);
    let ranges = live.work.path("lake/_watershed/ranges");
    let landed = |what: &str| files_below(&ranges).iter().any(|(path, _)| path.starts_with(what));
    // Both the tail and the scan have something in the lake.
    crate::harness::wait_for("ranges", crate::harness::LIMIT, || {
        (ranges.exists() && landed("backfill-1") && landed("shardId")).then_some(())
    });
    running.kill();
    let missed = Missed::new(live);
    let work = &missed.live.work;
    // The tail finds the gap now, in the middle of the generation.
    let ended = work.run(&["backfill", "goes-on.toml", "--segments", "2"]).expect(1);
    assert!(ended.errors()[0].contains("Start the backfill again: it begins another one"), "{}", ended.stderr);
    let said = work.run(&["backfill", "goes-on.toml", "--segments", "2"]).expect(0);
    assert!(said.stdout.contains("generation 2 is complete"), "{}", said.stdout);
    missed.live.verifies("goes-on.toml");
    missed.live.agrees();
}

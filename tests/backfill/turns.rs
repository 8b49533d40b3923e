//! A scan is not alone: it waits for a tail that is far behind, and for a table that has no read units left.

use super::{Live, Rows, ended};
use crate::harness::{LIMIT, wait_for};

#[test]
fn a_scan_waits_until_a_tail_that_is_far_behind_has_caught_up() {
    let items = 4_000;
    let (live, front) = Live::start_behind_front(items, 0);
    // An hour of changes that nobody has read.
    live.server.age(1);
    let mut running = live.work.spawn(&["backfill", "live.toml", "--segments", "4"]);
    wait_for("the first page of the scan", LIMIT, || {
        assert!(running.is_running(), "{}", running.log());
        (front.calls("Scan") > 0).then_some(())
    });
    let (lake, mut rows) = (live.work.path("lake"), Rows::default());
    assert_eq!(rows.of(&lake, "shardId-"), items, "all of the hour was in the lake before");
    let log = running.log();
    let told = |what: &str| log.find(what).unwrap_or_else(|| panic!("{what} is missing in {log}"));
    assert!(told("minutes behind: the snapshot waits for it") < told("minutes behind: the snapshot goes on"));
    assert!(log.contains("for the tail"), "{log}");
    assert!(ended(running).expect(0).stdout.contains("generation 1 is complete, 4,000 items"));
    live.verifies("live.toml");
}

#[test]
fn a_scan_that_is_throttled_says_so_and_lands_every_item_once() {
    let (live, front) = Live::start_behind_front(600, 0);
    front.throttle(400);
    let running = live.work.spawn(&["backfill", "live.toml", "--segments", "3", "--read-units", "20"]);
    let over = ended(running).expect(0);
    assert!(over.stdout.contains("generation 1 is complete, 600 items"), "{}", over.stdout);
    assert!(over.errors().is_empty(), "{}", over.stderr);
    front.throttle(0);
    live.verifies("live.toml");
    // All of them, for a while: it waits, says for what, and goes on where it was.
    front.throttle(1_000);
    let mut running = live.work.spawn(&["backfill", "live.toml", "--segments", "3"]);
    wait_for("a warning", LIMIT, || {
        assert!(running.is_running(), "{}", running.log());
        running.log().contains("The table has no read units left at the moment").then_some(())
    });
    front.throttle(0);
    assert!(ended(running).expect(0).stdout.contains("generation 2 is complete, 600 items"));
}

//! Tables of DynamoDB Local that are written while they are scanned.

use std::time::Duration;

use serde_json::json;

use super::{LIVE, Live, check, killed, number};
use crate::harness::churn::Service;
use crate::harness::exports::{full, record};
use crate::harness::lake::walk;
use crate::harness::{LIMIT, now, rest, show, tools, wait_for};

#[test]
fn killed_under_writes_the_lake_ends_equal_to_the_table_and_so_does_a_second_backfill() {
    let (items, kills) = (number("WATERSHED_BACKFILL_ITEMS", 2_000), number("WATERSHED_BACKFILL_KILLS", 4));
    let rate = number("WATERSHED_BACKFILL_RATE", 200);
    let live = Live::start(items);
    for generation in 1..=2 {
        let churn = live.churn(rate, generation);
        let (since, at) = (now(), jiff::Timestamp::now().as_millisecond().to_string());
        let said = match generation {
            1 => live.backfill("live.toml", kills, 1),
            _ => live.backfill_killed_half_way("live.toml", 2),
        };
        assert!(said.contains(&format!("Table Items: generation {generation} is complete")), "{said}");
        let (took, (written, reached)) = (since.elapsed(), churn.so_far());
        live.server.roll_over();
        churn.finish();
        live.catch_up("live.toml");
        let verdict = live.agrees();
        assert_eq!(verdict["generation"], generation);
        walk(&live.work.path("lake"));
        let lags = tools().run("lake_lag.py", &["--lake", &live.work.text("lake"), "--table", "Items", "--since", &at]);
        show(&format!(
            "backfill {generation} of {items} items in {took:?}, {written} writes beside it, {reached} a second: {verdict}\n\
             seconds from a write to its durable row: {lags}"
        ));
        // A day passes. What the tail has read is no longer in the stream, and nothing is missing.
        live.server.roll_over();
        live.catch_up("live.toml");
        live.server.age(25);
        live.catch_up("live.toml");
    }
    let since = now();
    live.verifies("live.toml");
    show(&format!("verify of {items} items took {:?}", since.elapsed()));
}

#[test]
fn a_daemon_that_tails_is_the_tail_of_a_backfill() {
    let live = Live::start(800);
    let mut daemon = live.work.spawn(&["run", "live.toml"]);
    wait_for("the daemon's first range", LIMIT, || live.work.path("lake/_watershed/ranges").exists().then_some(()));
    let churn = live.churn(100, 1);
    let said = live.backfill("live.toml", 1, 7);
    assert!(said.contains("generation 1 is complete, "), "{said}");
    assert!(daemon.is_running(), "{}", daemon.log());
    churn.finish();
    daemon.terminate().expect(0);
    live.catch_up("live.toml");
    show(&format!("beside a daemon: {}", live.agrees()));
}

#[test]
fn a_scan_and_an_export_of_the_same_data_give_the_same_latest_state() {
    let live = Live::start(600);
    let recorded = live.work.path("items.ndjson");
    record(live.items().into_iter(), &recorded);
    let now = jiff::Timestamp::now().to_string();
    let export = full(&live.work.path("exports"), &now, 3, live.items().into_iter());
    live.work.write(
        "exported.toml",
        LIVE.replace("ROWS", "50").replace("\"lake\"", "\"exported\"").replace("\"live\"", "\"exported\""),
    );
    // With their tails: nothing of the stream had been read, so that an export of the last day will do.
    live.work.run(&["backfill", "live.toml", "--segments", "3"]).expect(0);
    live.work.run(&["backfill", "exported.toml", "--export", export.to_str().unwrap()]).expect(0);
    let states = ["lake", "exported"].map(|lake| {
        let verdict = check(&live.work.path(lake), "Items", &["--items", recorded.to_str().unwrap()]);
        assert_eq!((&verdict["items"], &verdict["generation"]), (&600.into(), &1.into()), "{lake}");
        // Column by column, all values as text; where a row lies, and when it was read, is another matter.
        let files = live.work.text(&format!("{lake}/Items/**/*.parquet"));
        let ranked = format!(
            "SELECT *, row_number() OVER (PARTITION BY Id ORDER BY _generation DESC, _sequence DESC, _sub DESC) AS age \
             FROM read_parquet('{files}', union_by_name = true)"
        );
        let latest = format!(
            "SELECT Id, Version, Text, Tags, Deep, _rest FROM ({ranked}) WHERE age = 1 AND _op <> 'REMOVE' ORDER BY Id"
        );
        tools().run("query.py", &[&latest])
    });
    assert_eq!(states[0].as_array().unwrap().len(), 600);
    assert!(states[0] == states[1]);
    live.verifies("exported.toml");
}

#[test]
fn what_can_not_be_backfilled_is_told() {
    let live = Live::start(30);
    let fails = |arguments: &[&str], expected: &str| {
        let ended = live.work.run(arguments).expect(1);
        assert!(ended.errors().iter().any(|line| line.contains(expected)), "{expected}: {}", ended.stderr);
        assert_eq!(ended.errors().len(), 1, "{}", ended.stderr);
    };
    let told = live.work.run(&["backfill", "live.toml", "--dry-run", "--read-units", "5"]).expect(0).stdout;
    assert!(told.contains("Table Items: about 30 items"), "{told}");
    assert!(told.contains("at the 5 a second that --read-units allows"), "{told}");
    let told = live.work.run(&["backfill", "live.toml", "--dry-run"]).expect(0).stdout;
    assert!(told.contains("about a second at the 12,000 a second that any on-demand table gives"), "{told}");
    fails(&["verify", "live.toml"], "there is no lake at lake: `watershed run` and `watershed backfill` make one");
    assert!(!live.work.path("lake").exists() && !live.work.path("state").exists());
    live.work.write("other.toml", LIVE.replace("ROWS", "10").replace("\"Items\"", "\"Nowhere\""));
    fails(&["backfill", "other.toml"], "there is no table Nowhere");
    Service::dynamodb(live.server.port).create_table("KeysOnly", "KEYS_ONLY");
    live.work.write("keys.toml", LIVE.replace("ROWS", "10").replace("Items", "KeysOnly"));
    fails(&["backfill", "keys.toml"], "is of type KEYS_ONLY and has no new images");
    // An export that was taken before the tail began says nothing of what came in between.
    live.catch_up("live.toml");
    let items = (0..10).map(|at| json!({"Id": {"S": format!("item-{at}")}}));
    let export = full(&live.work.path("exports"), "2026-11-20T10:00:00.622Z", 1, items);
    fails(&["backfill", "live.toml", "--export", export.to_str().unwrap()], "changes in between would be hidden by it");
}

#[test]
fn a_table_that_is_deleted_meanwhile_is_told_and_what_is_in_the_lake_stays() {
    let live = Live::start(2_000);
    let arguments = ["backfill", "live.toml", "--segments", "2", "--read-units", "20"];
    let mut running = live.work.spawn(&arguments);
    let ranges = live.work.path("lake/_watershed/ranges");
    let scanned = || crate::harness::files_below(&ranges).iter().any(|(path, _)| path.starts_with("backfill-"));
    wait_for("a range of the scan", LIMIT, || (ranges.exists() && scanned()).then_some(()));
    assert!(running.is_running());
    Service::dynamodb(live.server.port).call("DeleteTable", &json!({"TableName": "Items"}));
    let ended = running.wait().expect(1);
    assert_eq!(ended.errors().len(), 1, "{}", ended.stderr);
    let told = ended.errors()[0];
    assert!(told.contains("table Items"), "{told}");
    assert!(told.contains("is not there any more") || told.contains("there is no table"), "{told}");
    let before = walk(&live.work.path("lake"));
    live.work.run(&arguments).expect(1);
    assert_eq!(walk(&live.work.path("lake")).ranges, before.ranges);
}

#[test]
fn progress_tells_items_bytes_read_units_rate_and_time_left() {
    let live = Live::start(3_000);
    let arguments = ["backfill", "live.toml", "--segments", "2", "--read-units", "5"];
    let mut running = live.work.spawn(&arguments);
    wait_for("a line of progress", LIMIT, || {
        assert!(running.is_running(), "{}", running.log());
        running.log().contains("backfilled so far").then_some(())
    });
    rest(Duration::from_millis(100));
    let log = running.log();
    let line = log.lines().find(|line| line.contains("backfilled so far")).unwrap();
    for word in ["items=", "of=3000", "bytes=", "a_second=", "read_units="] {
        assert!(line.contains(word), "{word}: {line}");
    }
    running.kill();
    let said = killed(&live.work, &["backfill", "live.toml", "--segments", "2"], 0, 1, |_| true);
    assert!(said.contains("3,000 items") && said.contains("read units were spent"), "{said}");
}

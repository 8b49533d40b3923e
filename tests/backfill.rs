//! Tables that exist already get into the lake: from exports, and from DynamoDB Local while it is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::harness::exports::{captured, generated, lines_of};
use crate::harness::lake::walk;
use crate::harness::servers::DynamoDbLocal;
use crate::harness::{LIMIT, Work, now, rest, show, tools, wait_for};

/// A pipeline that knows its keys, so that an export needs no service at all.
const OFFLINE: &str = r#"
name = "offline"
[source]
type = "dynamodb-streams"
tables = ["ProductCatalog", "Items"]
[lake]
path = "lake"
partition_by = []
[lake.tables.ProductCatalog]
keys = ["Id"]
[lake.tables.Items]
keys = ["Id"]
"#;

/// No credentials, no region, no endpoint.
fn offline() -> Work {
    let work = Work::new().unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY").unset("AWS_REGION");
    work.write("offline.toml", OFFLINE);
    work
}

/// What the lake's latest state is, held against items or a live table.
#[track_caller]
fn check(lake: &Path, table: &str, of: [&str; 2]) -> Value {
    let lake = lake.to_str().unwrap();
    tools().run("check_latest.py", &[&["--lake", lake, "--table", table, "--keys", "Id"][..], &of].concat())
}

fn number(size: &str, default: u64) -> u64 {
    std::env::var(size).ok().map_or(default, |text| text.parse().unwrap())
}

#[test]
fn captured_exports_land_without_any_service() {
    let work = offline();
    let (full, changes) = (captured("export_full", &work.path("")), captured("export_incremental", &work.path("")));
    let export = |folder: &Path, more: &[&str]| {
        let folder = folder.to_str().unwrap().to_owned();
        work.run(&[&["backfill", "offline.toml", "--snapshot-only", "--export", &folder][..], more].concat())
    };
    let told = export(&full, &["--dry-run"]).expect(0).stdout;
    assert!(told.contains("8 items in 1 files") && !work.path("lake").exists(), "{told}");
    let told = export(&full, &[]).expect(0).stdout;
    assert!(told.contains("Table ProductCatalog: generation 1 is complete, 8 items"), "{told}");
    let key = |item: &Value| item["Id"].to_string();
    let mut items: BTreeMap<String, Value> =
        lines_of(&full).into_iter().map(|line| (key(&line["Item"]), line["Item"].clone())).collect();
    let record = |items: &BTreeMap<String, Value>| {
        let lines: Vec<String> = items.values().map(Value::to_string).collect();
        work.write("items.ndjson", lines.join("\n"));
        check(&work.path("lake"), "ProductCatalog", ["--items", work.path("items.ndjson").to_str().unwrap()])
    };
    assert_eq!(record(&items)["items"], 8);
    // What changed afterwards ranks above it, deletions too.
    export(&changes, &[]).expect(0);
    for line in lines_of(&changes) {
        match line.get("NewImage") {
            Some(new) => items.insert(key(&line["Keys"]), new.clone()),
            None => items.remove(&key(&line["Keys"])),
        };
    }
    let verdict = record(&items);
    assert_eq!((&verdict["rows"], &verdict["generation"]), (&16.into(), &2.into()));
    walk(&work.path("lake"));
}

#[test]
fn what_is_wrong_with_an_export_is_told() {
    let work = offline();
    let full = captured("export_full", &work.path(""));
    let text = |name: &str| fs::read_to_string(full.join(name)).unwrap();
    let (summary, files) = (text("manifest-summary.json"), text("manifest-files.json"));
    let folder = full.to_str().unwrap();
    let fails = |expected: &str| {
        let ended = work.run(&["backfill", "offline.toml", "--snapshot-only", "--export", folder]).expect(1);
        assert!(ended.errors().iter().any(|line| line.contains(expected)), "{expected}: {}", ended.stderr);
        assert_eq!(ended.errors().len(), 1, "{}", ended.stderr);
    };
    work.write(
        "offline.toml",
        OFFLINE.replace("\"ProductCatalog\", ", "").replace("[lake.tables.ProductCatalog]\nkeys = [\"Id\"]", ""),
    );
    fails("is of table ProductCatalog, and the pipeline has Items");
    work.write("offline.toml", OFFLINE);
    fs::write(full.join("manifest-summary.json"), summary.replace("\"itemCount\":8", "\"itemCount\":7")).unwrap();
    fails("manifest-summary.json is damaged: its MD5 is");
    fs::remove_file(full.join("manifest-summary.md5")).unwrap();
    fails("its files have 8 items, and manifest-summary.json says 7");
    let partial = summary.replace("\"outputFormat\"", "\"filterSpecification\":{},\"outputFormat\"");
    fs::write(full.join("manifest-summary.json"), partial).unwrap();
    fails("leaves out items or attributes");
    fs::write(full.join("manifest-summary.json"), &summary).unwrap();
    let data = full.join("data/5mrfg3b44e3vhnfickkozoym6a.json.gz");
    let sound = fs::read(&data).unwrap();
    fs::write(&data, &sound[..sound.len() - 1]).unwrap();
    fails("is damaged: its MD5 is");
    fs::remove_file(&data).unwrap();
    fails("which the manifest names, is not there");
    fs::write(&data, sound).unwrap();
    fs::write(full.join("manifest-files.json"), "{").unwrap();
    fails("manifest-files.json is damaged");
    fs::write(full.join("manifest-files.json"), files).unwrap();
    work.run(&["backfill", "offline.toml", "--snapshot-only", "--export", folder]).expect(0);
    let nowhere = work.run(&["backfill", "offline.toml", "--snapshot-only", "--export", "nowhere"]).expect(1);
    assert!(nowhere.stderr.contains("there is no manifest-summary.json in nowhere"), "{}", nowhere.stderr);
}

#[test]
fn a_killed_export_goes_on_where_it_was() {
    let work = offline();
    let items = number("WATERSHED_EXPORT_ITEMS", 20_000);
    let recorded = work.path("items.ndjson");
    let export = generated(&work.path("exports"), items, 7, &recorded);
    // Many ranges, so that kills fall between them.
    work.write("offline.toml", OFFLINE.replace("[lake]\n", &format!("[lake]\nroll = {{ rows = {} }}\n", items / 40)));
    let arguments =
        ["backfill", "offline.toml", "--snapshot-only", "--segments", "3", "--export", export.to_str().unwrap()];
    let mut random = StdRng::seed_from_u64(3);
    let (mut kills, since) = (0, now());
    let ended = loop {
        let mut running = work.spawn(&arguments);
        let ranges = || crate::harness::files_below(&work.path("lake/_watershed/ranges")).len();
        let until = if work.path("lake/_watershed/ranges").exists() { ranges() } else { 0 } + random.random_range(1..9);
        while running.is_running() && (!work.path("lake/_watershed/ranges").exists() || ranges() < until) {
            rest(Duration::from_millis(1));
        }
        if kills < 8 && running.is_running() {
            kills += 1;
            running.kill();
        } else {
            break running.wait().expect(0);
        }
    };
    assert!(ended.stdout.contains("generation 1 is complete"), "{}", ended.stdout);
    let verdict = check(&work.path("lake"), "Items", ["--items", recorded.to_str().unwrap()]);
    assert_eq!(verdict["rows"], items);
    walk(&work.path("lake"));
    show(&format!("export of {items} items, {kills} kills, {:?}: {verdict}", since.elapsed()));
}

/// A table in DynamoDB Local, as the churn writes it.
const LIVE: &str = r#"
name = "live"
[source]
type = "dynamodb-streams"
tables = ["Items"]
poll = "200ms"
discovery = "1s"
[lake]
path = "lake"
partition_by = []
roll = { age = "1s", rows = ROWS }
"#;

struct Live {
    server: DynamoDbLocal,
    work: Work,
    items: u64,
}

impl Live {
    fn start(items: u64) -> Self {
        let server = DynamoDbLocal::start();
        let work = Work::new()
            .set("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint())
            .set("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", server.endpoint());
        work.write("live.toml", LIVE.replace("ROWS", &(items / 30).to_string()));
        let live = Self { server, work, items };
        live.churn(&[]).finish();
        live
    }

    fn churn(&self, more: &[&str]) -> crate::harness::Tool {
        let (endpoint, items) = (self.server.endpoint(), self.items.to_string());
        tools()
            .start("churn.py", &[&["--endpoint", &endpoint, "--table", "Items", "--load", &items][..], more].concat())
    }

    /// Backfills while `kills` kills come, and answers what was said in the end.
    fn backfill(&self, kills: u64, seed: u64) -> String {
        let mut random = StdRng::seed_from_u64(seed);
        let mut left = kills;
        loop {
            // So slow that kills come before the end.
            let units = (self.items / 80).max(20).to_string();
            let mut running = self.work.spawn(&["backfill", "live.toml", "--segments", "3", "--read-units", &units]);
            let lake = self.work.path("lake/_watershed/ranges");
            let chains = || if lake.exists() { crate::harness::files_below(&lake) } else { Vec::new() };
            let scanned = || chains().iter().filter(|(path, _)| path.starts_with("backfill-")).count();
            let until = scanned() + random.random_range(0..3);
            while running.is_running() && left > 0 && scanned() < until {
                rest(Duration::from_millis(5));
            }
            if left > 0 && running.is_running() {
                left -= 1;
                rest(Duration::from_millis(random.random_range(0..200)));
                running.kill();
                continue;
            }
            wait_for("the backfill", Duration::from_secs(1_200), || (!running.is_running()).then_some(()));
            return running.wait().expect(0).stdout;
        }
    }

    /// The items of the table, by their ids, as DynamoDB JSON.
    fn dump(&self) -> BTreeMap<String, Value> {
        let dumped = tools().run("dump_table.py", &[&self.server.endpoint(), "Items"]);
        let items = dumped["items"].as_array().unwrap().iter();
        items.map(|item| (item["Id"]["S"].as_str().unwrap().to_owned(), item.clone())).collect()
    }

    #[track_caller]
    fn agrees(&self) -> Value {
        check(&self.work.path("lake"), "Items", ["--endpoint", &self.server.endpoint()])
    }
}

#[test]
fn killed_under_writes_the_lake_ends_equal_to_the_table_and_so_does_a_second_backfill() {
    let (items, kills) = (number("WATERSHED_BACKFILL_ITEMS", 2_000), number("WATERSHED_BACKFILL_KILLS", 4));
    let rate = number("WATERSHED_BACKFILL_RATE", 200).to_string();
    let live = Live::start(items);
    let since = now();
    for generation in 1..=2 {
        let stop = live.work.path(&format!("stop-{generation}"));
        let seed = generation.to_string();
        let churn = live.churn(&["--rate", &rate, "--seed", &seed, "--stop", stop.to_str().unwrap()]);
        let said = live.backfill(if generation == 1 { kills } else { 1 }, generation);
        assert!(said.contains(&format!("Table Items: generation {generation} is complete")), "{said}");
        live.server.roll_over();
        fs::write(&stop, "").unwrap();
        let written = churn.finish();
        live.work.run(&["run", "live.toml", "--once"]).expect(0);
        let verdict = live.agrees();
        assert_eq!(verdict["generation"], generation);
        walk(&live.work.path("lake"));
        show(&format!(
            "backfill {generation} of {items} items, {kills} kills, {:?}: {written} {verdict}",
            since.elapsed()
        ));
    }
    let verified = live.work.run(&["verify", "live.toml"]).expect(0).stdout;
    assert!(verified.contains("no differences"), "{verified}");
}

#[test]
fn a_daemon_that_tails_is_the_tail_of_a_backfill() {
    let live = Live::start(800);
    let mut daemon = live.work.spawn(&["run", "live.toml"]);
    wait_for("the daemon's first range", LIMIT, || live.work.path("lake/_watershed/ranges").exists().then_some(()));
    let stop = live.work.path("stop");
    let churn = live.churn(&["--rate", "100", "--stop", stop.to_str().unwrap()]);
    let said = live.backfill(1, 7);
    assert!(said.contains("generation 1 is complete, "), "{said}");
    assert!(daemon.is_running(), "{}", daemon.log());
    fs::write(&stop, "").unwrap();
    churn.finish();
    daemon.terminate().expect(0);
    live.work.run(&["run", "live.toml", "--once"]).expect(0);
    show(&format!("beside a daemon: {}", live.agrees()));
}

#[test]
fn a_gap_is_repaired_from_an_incremental_export() {
    let live = Live::start(400);
    live.backfill(0, 1);
    let stop = live.work.path("stop");
    fs::write(&stop, "").unwrap();
    // Something that nobody reads in time.
    let before = live.dump();
    let write = |seed: &str| {
        fs::remove_file(&stop).unwrap();
        let churn = live.churn(&["--rate", "1000", "--seed", seed, "--stop", stop.to_str().unwrap()]);
        rest(Duration::from_millis(700));
        fs::write(&stop, "").unwrap();
        assert_ne!(churn.finish()["written"], 0);
    };
    write("5");
    let (endpoint, lake) = (live.server.endpoint(), live.work.text("lake"));
    let lost = ["--endpoint", &endpoint, "--lake", &lake, "--table", "Items"];
    assert_ne!(tools().run("lose_changes.py", &lost)["lost"], 0);
    write("6");
    live.work.run(&["run", "live.toml", "--once"]).expect(0);
    let verified = live.work.run(&["verify", "live.toml"]).expect(1);
    assert!(verified.stdout.contains("Items {\"Id\":{\"S\":\"item-"), "{}", verified.stdout);

    let after = live.dump();
    let key = |id: &String| serde_json::json!({"Id": {"S": id}});
    let gone = before.keys().filter(|id| !after.contains_key(*id)).map(|id| (key(id), None));
    let changed = after.iter().filter(|(id, item)| before.get(*id) != Some(item));
    let changes: Vec<_> = changed.map(|(id, item)| (key(id), Some(item.clone()))).chain(gone).collect();
    let folder = live.work.path("exports");
    let export = |name: &str, window: [&str; 2]| {
        let own = crate::harness::exports::incremental(&folder.join(name), window, &changes);
        live.work.run(&["backfill", "live.toml", "--export", own.to_str().unwrap()])
    };
    // Too early an end, too late a beginning: the generation waits for the right one.
    let early = export("early", ["2019-12-31T00:00:00Z", "2020-01-01T00:00:00Z"]).expect(1);
    assert!(early.stderr.contains("but generation 2 of table Items begins at"), "{}", early.stderr);
    let late = export("late", ["2020-01-02T00:00:00Z", "2100-01-01T00:00:00Z"]).expect(1);
    assert!(late.stderr.contains("but changes are missing since 2020-01-01T00:00:00Z"), "{}", late.stderr);
    let right = export("right", ["2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"]).expect(0);
    assert!(right.stdout.contains("generation 2 is complete"), "{}", right.stdout);
    let verified = live.work.run(&["verify", "live.toml"]).expect(0).stdout;
    assert!(verified.contains("no differences"), "{verified}");
    let sampled = live.work.run(&["verify", "live.toml", "--sample", "50"]).expect(0).stdout;
    assert!(sampled.contains("Table Items: 50 items compared, no differences"), "{sampled}");
    live.agrees();
}

#[test]
fn what_can_not_be_backfilled_is_told() {
    let live = Live::start(30);
    let fails = |arguments: &[&str], expected: &str| {
        let ended = live.work.run(arguments).expect(1);
        assert!(ended.errors().iter().any(|line| line.contains(expected)), "{expected}: {}", ended.stderr);
    };
    let told = live.work.run(&["backfill", "live.toml", "--dry-run", "--read-units", "5"]).expect(0).stdout;
    assert!(told.contains("Table Items: about 30 items") && told.contains("at 5 a second"), "{told}");
    assert!(!live.work.path("lake").exists() && !live.work.path("state").exists());
    live.work.write("other.toml", LIVE.replace("ROWS", "10").replace("\"Items\"", "\"Nowhere\""));
    fails(&["backfill", "other.toml"], "there is no table Nowhere");
    let endpoint = live.server.endpoint();
    let table = ["--endpoint", &endpoint, "--table", "KeysOnly", "--load", "5", "--view", "KEYS_ONLY"];
    tools().run("churn.py", &table);
    live.work.write("keys.toml", LIVE.replace("ROWS", "10").replace("Items", "KeysOnly"));
    fails(&["backfill", "keys.toml"], "is of type KEYS_ONLY and has no new images");
    // An export that was taken before the tail began says nothing of what came in between.
    live.work.run(&["run", "live.toml", "--once"]).expect(0);
    let recorded = live.work.path("items.ndjson");
    let export = generated(&live.work.path("exports"), 10, 1, &recorded);
    fails(&["backfill", "live.toml", "--export", export.to_str().unwrap()], "changes in between would be hidden by it");
}

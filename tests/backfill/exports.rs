//! Exports in a folder: captured ones and invented ones, of any size, killed, damaged, full and incremental.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{check, killed, number};
use crate::harness::exports::{Invented, captured, full, incremental, lines_of, record};
use crate::harness::lake::walk;
use crate::harness::{Work, now, show};

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

#[test]
fn captured_exports_land_without_any_service() {
    let work = offline();
    let (full, changes) = (captured("export_full", &work.path("")), captured("export_incremental", &work.path("")));
    let export = |folder: &Path, more: &[&str]| {
        let folder = folder.to_str().unwrap().to_owned();
        work.run(&[&["backfill", "offline.toml", "--snapshot-only", "--export", &folder][..], more].concat())
    };
    let told = export(&full, &["--dry-run"]).expect(0).stdout;
    assert!(told.contains("8 items in 1 files") && told.contains("about a second to land it"), "{told}");
    assert!(!work.path("lake").exists());
    let told = export(&full, &[]).expect(0).stdout;
    assert!(told.contains("Table ProductCatalog: generation 1 is complete, 8 items"), "{told}");
    let key = |item: &Value| item["Id"].to_string();
    let mut items: BTreeMap<String, Value> =
        lines_of(&full).into_iter().map(|line| (key(&line["Item"]), line["Item"].clone())).collect();
    let record = |items: &BTreeMap<String, Value>| {
        let lines: Vec<String> = items.values().map(Value::to_string).collect();
        work.write("items.ndjson", lines.join("\n"));
        check(&work.path("lake"), "ProductCatalog", &["--items", &work.text("items.ndjson")])
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
    work.write("offline.toml", OFFLINE.replace("[lake.tables.ProductCatalog]\nkeys = [\"Id\"]\n", ""));
    fails("no service is needed: `keys = [\"PARTITION-KEY\", \"SORT-KEY\"]` below [lake.tables.ProductCatalog]");
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
    let files = "name = \"files\"\n[source]\ntype = \"file\"\npath = \"recorded\"\n[lake]\npath = \"lake\"\n[lake.tables.Items]\n";
    work.write("files.toml", files);
    let no_table = work.run(&["backfill", "files.toml"]).expect(1);
    assert!(no_table.errors()[0].contains("recorded files have no table to follow"), "{}", no_table.stderr);
}

#[test]
fn killed_exports_full_and_incremental_land_every_item_once() {
    let work = offline();
    let items = number("WATERSHED_EXPORT_ITEMS", 20_000);
    let kills = number("WATERSHED_EXPORT_KILLS", 6);
    let invented = Invented { items, seed: 7 };
    // Many ranges, so that kills fall between them.
    let rows = items / 40;
    work.write("offline.toml", OFFLINE.replace("[lake]\n", &format!("[lake]\nroll = {{ rows = {rows} }}\n")));
    let root = work.path("exports");
    let folders = [
        full(&root, "2026-11-20T10:00:00.622Z", 7, invented.before()),
        incremental(&root, ["2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z"], 5, invented.changes()),
    ];
    let recorded = work.path("items.ndjson");
    for (export, generation) in folders.iter().zip(1..) {
        let since = now();
        let export = export.to_str().unwrap();
        let arguments = ["backfill", "offline.toml", "--snapshot-only", "--segments", "3", "--export", export];
        let chains = format!("backfill-{generation}-");
        let said = killed(&work, &arguments, kills, generation, |path| path.starts_with(&chains));
        assert!(said.contains(&format!("generation {generation} is complete")), "{said}");
        let took = since.elapsed();
        match generation {
            1 => record(invented.before(), &recorded),
            _ => record(invented.after(), &recorded),
        }
        let verdict = check(&work.path("lake"), "Items", &["--items", recorded.to_str().unwrap()]);
        assert_eq!(verdict["generation"], generation);
        let rows = if generation == 1 { items } else { items + invented.changes().count() as u64 };
        assert_eq!(verdict["rows"], rows);
        walk(&work.path("lake"));
        show(&format!("export {generation} of {items} items, {kills} kills, {took:?}: {verdict}"));
    }
}

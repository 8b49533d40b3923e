//! Exports in S3: as DynamoDB leaves them there, and with all that can be wrong with them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use watershed::source::export::manifest::md5_base64;

use super::check;
use crate::harness::exports::{Invented, full, incremental, record, upload};
use crate::harness::lake::walk;
use crate::harness::proxy::Proxy;
use crate::harness::servers::MiniStack;
use crate::harness::{LIMIT, Work, files_below, http, queues, wait_for};

const PIPELINE: &str = r#"
name = "exported"
[source]
type = "dynamodb-streams"
tables = ["Items"]
[lake]
path = "lake"
partition_by = []
roll = { rows = 100 }
[lake.tables.Items]
keys = ["Id"]
"#;

const BUCKET: &str = "exports-bucket";

struct Bucket {
    s3: MiniStack,
    work: Work,
}

impl Bucket {
    fn new() -> Self {
        let s3 = MiniStack::start().with_bucket(BUCKET);
        let work = Work::new().set("AWS_ENDPOINT_URL_S3", s3.endpoint());
        work.write("exported.toml", PIPELINE);
        Self { s3, work }
    }

    fn put(&self, key: &str, body: &[u8]) {
        let answer = http::call(self.s3.port, "PUT", &http::escaped(&format!("/{BUCKET}/{key}")), body).unwrap();
        assert_eq!(answer.status(), 200, "{key}");
    }

    fn delete(&self, key: &str) {
        let answer = http::call(self.s3.port, "DELETE", &http::escaped(&format!("/{BUCKET}/{key}")), b"").unwrap();
        assert_eq!(answer.status() / 100, 2, "{key}");
    }

    /// Lays down an export as if it were the one with this id.
    fn upload_as(&self, export: &Path, id: &str) {
        let (own, root) = (export.file_name().unwrap().to_str().unwrap(), export.parent().unwrap().parent().unwrap());
        for (path, _) in files_below(root).into_iter().filter(|(path, _)| !path.ends_with(".md5")) {
            let body = fs::read(root.join(&path)).unwrap();
            let text = String::from_utf8(body.clone()).map(|text| text.replace(own, id).into_bytes());
            self.put(&format!("of/items/{}", path.replace(own, id)), &text.unwrap_or(body));
        }
    }

    fn backfill(&self, uri: &str) -> crate::harness::Ended {
        self.work.run(&["backfill", "exported.toml", "--snapshot-only", "--segments", "1", "--export", uri])
    }

    /// One error, which says this.
    #[track_caller]
    fn fails(&self, uri: &str, expected: &str) {
        let ended = self.backfill(uri).expect(1);
        assert!(ended.errors().iter().any(|line| line.contains(expected)), "{expected}: {}", ended.stderr);
        assert_eq!(ended.errors().len(), 1, "{}", ended.stderr);
    }

    #[track_caller]
    fn has(&self, items: impl Iterator<Item = Value>) -> Value {
        let recorded = self.work.path("items.ndjson");
        record(items, &recorded);
        walk(&self.work.path("lake"));
        check(&self.work.path("lake"), "Items", &["--items", recorded.to_str().unwrap()])
    }
}

/// The end of an export's address, and the keys of its data files in the order in which they are read.
fn layout(export: &Path) -> (String, Vec<String>) {
    let files = fs::read_to_string(export.join("manifest-files.json")).unwrap();
    let key = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["dataFileS3Key"].as_str().unwrap().to_owned()
    };
    let id = export.file_name().unwrap().to_str().unwrap();
    (format!("AWSDynamoDB/{id}"), files.lines().map(key).collect())
}

#[test]
fn full_and_incremental_exports_in_s3_land() {
    let bucket = Bucket::new();
    let invented = Invented { items: 1_500, seed: 3 };
    let root = bucket.work.path("exports");
    let one = full(&root, "2026-11-20T10:00:00.622Z", 4, invented.before());
    let other = incremental(&root, ["2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z"], 3, invented.changes());
    upload(&root, bucket.s3.port, BUCKET, "some/prefix");
    let uri = |export: &Path| format!("s3://{BUCKET}/some/prefix/{}", layout(export).0);
    let told = bucket.work.run(&["backfill", "exported.toml", "--export", &uri(&one), "--dry-run"]).expect(0).stdout;
    assert!(told.contains("1,500 items in 4 files") && told.contains("no read units"), "{told}");
    // The manifest itself is an address, too.
    let said = bucket.backfill(&format!("{}/manifest-summary.json", uri(&one))).expect(0).stdout;
    assert!(said.contains("generation 1 is complete, 1,500 items"), "{said}");
    bucket.has(invented.before());
    bucket.backfill(&uri(&other)).expect(0);
    assert_eq!(bucket.has(invented.after())["generation"], 2);
}

#[test]
fn what_is_wrong_in_s3_is_told_and_the_backfill_goes_on_where_it_was() {
    let bucket = Bucket::new();
    let invented = Invented { items: 900, seed: 4 };
    let root = bucket.work.path("exports");
    let export = full(&root, "2026-11-20T10:00:00.622Z", 3, invented.before());
    let (own, keys) = layout(&export);
    let uri = format!("s3://{BUCKET}/{own}");
    let name = |key: &str| format!("s3://{BUCKET}/{key}");
    bucket.fails(&uri, "there is no manifest-summary.json in");
    bucket.fails("s3://no-such-bucket-of-ours/x", "NoSuchBucket");
    bucket.fails("s3://bucket-alone", "names no export");
    for (path, _) in files_below(&root) {
        bucket.put(&path, &fs::read(root.join(&path)).unwrap());
    }
    let text = |name: &str| fs::read_to_string(export.join(name)).unwrap();
    let (files, last) = (text("manifest-files.json"), fs::read(root.join(&keys[2])).unwrap());

    bucket.put(&format!("{own}/manifest-files.json"), files.replace(".gz", ".zip").as_bytes());
    bucket.fails(&uri, "manifest-files.json is damaged: its MD5 is");
    bucket.delete(&format!("{own}/manifest-files.json"));
    bucket.fails(&uri, "there is no manifest-files.json in");
    bucket.put(&format!("{own}/manifest-files.json"), files.as_bytes());
    assert!(!bucket.work.path("lake/_watershed/ranges").exists());

    // From here on two files of three are sound, and land.
    bucket.delete(&keys[2]);
    bucket.fails(&uri, &format!("{}, which the manifest names, is not there: copy the export again", name(&keys[2])));
    let landed = walk(&bucket.work.path("lake")).ranges;
    assert!(landed > 0);
    bucket.put(&keys[2], &last[..last.len() / 2]);
    bucket.fails(&uri, &format!("{} is damaged: its MD5 is", name(&keys[2])));
    // Sound by its checksum, and yet no gzip.
    let half = &last[..last.len() / 2];
    let lying = files.replace(&md5_base64(&last), &md5_base64(half));
    let manifest = |text: &str| {
        bucket.put(&format!("{own}/manifest-files.json"), text.as_bytes());
        bucket.put(&format!("{own}/manifest-files.md5"), md5_base64(text.as_bytes()).as_bytes());
    };
    manifest(&lying);
    bucket.fails(&uri, "is damaged: it does not gunzip");
    manifest(&files);
    bucket.put(&keys[2], &last);
    let said = bucket.backfill(&uri).expect(0).stdout;
    assert!(said.contains("generation 1 is complete, 900 items"), "{said}");
    let verdict = bucket.has(invented.before());
    assert_eq!((&verdict["rows"], &verdict["generation"]), (&900.into(), &1.into()));
}

#[test]
fn an_export_whose_bucket_is_away_for_a_while_lands_when_it_is_back() {
    let mut bucket = Bucket::new();
    let proxy = Proxy::start(bucket.s3.port, 1);
    bucket.work = bucket.work.set("AWS_ENDPOINT_URL_S3", proxy.endpoint());
    let invented = Invented { items: 300, seed: 6 };
    let root = bucket.work.path("exports");
    let export = full(&root, "2026-11-20T10:00:00.622Z", 2, invented.before());
    upload(&root, bucket.s3.port, BUCKET, "of");
    proxy.exports_away(true);
    let uri = format!("s3://{BUCKET}/of/{}", layout(&export).0);
    let mut running = bucket.work.spawn(&["backfill", "exported.toml", "--snapshot-only", "--export", &uri]);
    // The client asks three times by itself.
    wait_for("refusals", LIMIT, || {
        assert!(running.is_running(), "{}", running.log());
        (proxy.refused() > 6).then_some(())
    });
    proxy.exports_away(false);
    let said = running.wait().expect(0).stdout;
    assert!(said.contains("generation 1 is complete, 300 items"), "{said}");
    bucket.has(invented.before());
}

#[test]
fn an_export_is_made_by_dynamodb_where_it_can_be() {
    let mut bucket = Bucket::new();
    bucket.work = bucket.work.set("AWS_ENDPOINT_URL_DYNAMODB", bucket.s3.endpoint());
    let endpoint = bucket.s3.endpoint();
    let call = |operation: &str, arguments: Value| queues::call(&endpoint, "dynamodb", operation, &arguments);
    let table = json!({
        "TableName": "Items", "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "S"}], "BillingMode": "PAY_PER_REQUEST",
    });
    call("create_table", table);
    let uri = format!("new:s3://{BUCKET}/of/items");
    bucket.fails(&uri, "table Items has no point-in-time recovery");
    let recovery = json!({"PointInTimeRecoveryEnabled": true});
    call("update_continuous_backups", json!({"TableName": "Items", "PointInTimeRecoverySpecification": recovery}));
    bucket.fails("new:items", "give new:s3://BUCKET/PREFIX");
    let arguments = ["backfill", "exported.toml", "--snapshot-only", "--export", &uri];
    let told = bucket.work.run(&[&arguments[..], &["--dry-run"]].concat()).expect(0).stdout;
    assert!(told.contains("Table Items") && told.contains("no read units"), "{told}");
    assert!(!bucket.work.path("lake").exists());
    // The server makes exports without files: the test writes them.
    let invented = Invented { items: 300, seed: 5 };
    let made = full(&bucket.work.path("exports"), "2026-11-20T10:00:00.622Z", 2, invented.before());
    let export = || call("list_exports", json!({}))["ExportSummaries"][0]["ExportArn"].as_str().map(str::to_owned);
    let running = bucket.work.spawn(&arguments);
    let arn = wait_for("the export", LIMIT, export);
    let id = arn.rsplit('/').next().unwrap().to_owned();
    bucket.upload_as(&made, &id);
    // Killed while it waits, it goes on with the same export.
    running.kill();
    let said = bucket.work.run(&arguments).expect(0).stdout;
    assert!(said.contains("generation 1 is complete, 300 items"), "{said}");
    bucket.has(invented.before());
    assert_eq!(call("list_exports", json!({}))["ExportSummaries"].as_array().unwrap().len(), 1);
}

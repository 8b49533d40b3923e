//! Large files: on their way to the lake while they are still being encoded, seen by nobody before they are whole.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::lake::Place;
use crate::harness::recorded::Recording;
use crate::harness::servers::MiniStack;
use crate::harness::{Work, files_below, http, judge, rest, show};

/// The size of a part.
const PART: u64 = 8 << 20;

const PIPELINE: &str = r#"
name = "p"
[source]
type = "file"
path = "recorded"
[lake]
path = "LAKE"
[lake.tables.Items]
keys = ["Id"]
"#;

/// Changes whose file takes some four parts: text of which three quarters stay when it is compressed.
fn record(work: &Work, lake: &str) {
    let mut recording = Recording::default();
    let mut state = 1_u64;
    for n in 0..160 {
        let bytes: Vec<u8> = (0..225_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        let body = base64_simd::STANDARD.encode_to_string(bytes);
        recording.put("Items", &format!("item {n}"), json!({ "Body": { "S": body } }));
    }
    work.write("recorded/0000.ndjson", recording.recorded());
    work.write("history.ndjson", recording.history.join("\n") + "\n");
    work.write("p.toml", PIPELINE.replace("LAKE", lake));
}

/// The lake has all rows, in one large file.
fn check(work: &Work, lake: &std::path::Path) {
    let files: Vec<_> = files_below(lake).into_iter().filter(|(path, _)| path.ends_with(".parquet")).collect();
    let [(path, size)] = &files[..] else { panic!("{files:?}") };
    assert!(*size > 3 * PART, "{path} has {size} bytes");
    judge(lake, &work.path("history.ndjson"), &[]);
    show(&format!("upload: {path} of {} MiB began before its range", size >> 20));
}

/// What S3 says to `GET /lake-bucket?QUERY`.
fn listed(s3: &MiniStack, query: &str) -> String {
    let answer = http::call(s3.port, "GET", &format!("/lake-bucket?{query}"), b"").unwrap();
    assert_eq!(answer.status(), 200);
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn in_s3_it_is_on_its_way_before_its_range_is_there() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let work = Work::new().set("AWS_ENDPOINT_URL_S3", s3.endpoint());
    record(&work, "s3://lake-bucket/lake");

    let mut process = work.spawn(&["run", "p.toml"]);
    let mut seen_before = 0;
    while process.is_running() {
        let uploads = listed(&s3, "uploads").matches("<UploadId>").count();
        // Asked for after the uploads: what is not there now was not there then.
        let ranges = listed(&s3, "list-type=2&prefix=lake/_watershed/ranges/").matches("<Key>").count();
        if ranges == 0 {
            seen_before = seen_before.max(uploads);
        }
        rest(Duration::from_millis(20));
    }
    process.wait().expect(0);
    assert_eq!(seen_before, 1, "no upload was seen before the range");
    assert!(!listed(&s3, "uploads").contains("<UploadId>"), "an upload was left behind");
    let lake = Place::s3(s3.port, "lake-bucket", "lake").fetch(&work.path("fetched"));
    check(&work, &lake);
    fs::remove_dir_all(&lake).unwrap();
}

#[test]
fn in_a_folder_it_is_on_its_way_too_and_a_kill_meanwhile_leaves_nothing_of_it() {
    let work = Work::new();
    record(&work, "lake");
    let lake = work.path("lake");
    let has_part = || files_below(&lake.join("_watershed/tmp")).iter().any(|&(_, size)| size >= PART);
    let ranges = || files_below(&lake.join("_watershed/ranges")).len();

    let mut process = work.spawn(&["run", "p.toml"]);
    while !has_part() {
        assert!(process.is_running(), "it ended before a part was seen: {}", process.log());
        rest(Duration::from_millis(1));
    }
    process.kill_now();
    assert_eq!(ranges(), 0, "it was killed after its range was there");
    assert!(has_part());

    work.run(&["run", "p.toml"]).expect(0);
    check(&work, &lake);
    // What the killed one has left is swept away in a day.
    assert_eq!(files_below(&lake.join("_watershed/tmp")).len(), 1);
}

//! The S3 store against a real wire server: the suite that every store has to pass, large objects, and racing writers.

use std::fs;

use bytes::Bytes;
use serde_json::json;
use watershed::clock::Clock;
use watershed::lake::store::{ObjectStore as _, S3Store, StoreError, probe};
use watershed::source::Aws;
use watershed::testing::store::conformance;

use crate::harness::lake::Place;
use crate::harness::recorded::Recording;
use crate::harness::servers::MiniStack;
use crate::harness::{Work, http, judge, rest, show};

fn store(s3: &MiniStack, prefix: &str) -> S3Store {
    use aws_config::{BehaviorVersion, Region, SdkConfig};
    use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .endpoint_url(s3.endpoint())
        .http_client(http)
        .build();
    S3Store::new(Aws::from_config(&config).s3().clone(), "lake-bucket", prefix)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ministack_conforms() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let store = store(&s3, "some/prefix");
    probe(&store, &Clock::system()).await.unwrap();
    let empty = self::store(&s3, "another/prefix");
    conformance(&empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_is_created_once_in_parts() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let store = store(&s3, "");
    let body: Bytes = (0..40_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    store.create("T/large.parquet", body.clone()).await.unwrap();
    assert_eq!(store.size("T/large.parquet").await.unwrap(), Some(body.len() as u64));
    assert!(store.get("T/large.parquet").await.unwrap() == Some(body.clone()));
    let again = store.create("T/large.parquet", body.slice(..20 << 20)).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    assert_eq!(store.size("T/large.parquet").await.unwrap(), Some(body.len() as u64));
}

const PIPELINE: &str = r#"
name = "p"
[source]
type = "file"
path = "recorded"
[lake]
path = "s3://lake-bucket/lake"
[lake.tables.Items]
keys = ["Id"]
"#;

/// What S3 says to `GET /lake-bucket?QUERY`.
fn listed(s3: &MiniStack, query: &str) -> String {
    let answer = http::call(s3.port, "GET", &format!("/lake-bucket?{query}"), b"").unwrap();
    assert_eq!(answer.status(), 200);
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn a_large_file_is_on_its_way_before_its_range_is_there() {
    let s3 = MiniStack::start().with_bucket("lake-bucket");
    let work = Work::new().set("AWS_ENDPOINT_URL_S3", s3.endpoint());
    let mut recording = Recording::default();
    let mut state = 1_u64;
    for n in 0..160 {
        // Text of which three quarters stay when it is compressed.
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
    work.write("p.toml", PIPELINE);

    let mut process = work.spawn(&["run", "p.toml"]);
    let mut seen_before = 0;
    while process.is_running() {
        let uploads = listed(&s3, "uploads").matches("<UploadId>").count();
        // Asked for after the uploads: what is not there now was not there then.
        let ranges = listed(&s3, "list-type=2&prefix=lake/_watershed/ranges/").matches("<Key>").count();
        if ranges == 0 {
            seen_before = seen_before.max(uploads);
        }
        rest(std::time::Duration::from_millis(20));
    }
    process.wait().expect(0);
    assert_eq!(seen_before, 1, "no upload was seen before the range");
    assert!(!listed(&s3, "uploads").contains("<UploadId>"), "an upload was left behind");
    let lake = Place::s3(s3.port, "lake-bucket", "lake").fetch(&work.path("fetched"));
    let files: Vec<_> =
        crate::harness::files_below(&lake).into_iter().filter(|(path, _)| path.ends_with(".parquet")).collect();
    let [(path, size)] = &files[..] else { panic!("{files:?}") };
    assert!(*size > 24 << 20, "{path} has {size} bytes");
    judge(&lake, &work.path("history.ndjson"), &[]);
    show(&format!("upload: {path} of {} MiB began before its range", size >> 20));
    fs::remove_dir_all(&lake).unwrap();
}

//! The S3 store against a real wire server: the suite that every store has to pass, large objects, and racing writers.

use bytes::Bytes;
use watershed::clock::Clock;
use watershed::lake::store::{ObjectStore as _, S3Store, StoreError, probe};
use watershed::source::Aws;
use watershed::testing::store::conformance;

use crate::harness::servers::MiniStack;

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

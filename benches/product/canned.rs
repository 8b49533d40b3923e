//! How do the SDK's clients get answers that were made beforehand? Everything of the SDK runs but the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use watershed::source::{Aws, DynamoDbStream, KinesisStream};

const STREAM: &str = "arn:aws:dynamodb:eu-central-1:111122223333:table/Reply/stream/2026-11-20T08:15:30.123";

const SUMMARY: &str = r#"{"StreamDescriptionSummary":{"StreamName":"changes","StreamARN":
    "arn:aws:kinesis:eu-central-1:111122223333:stream/changes","StreamStatus":"ACTIVE","RetentionPeriodHours":24,
    "StreamCreationTimestamp":1795100000.0,"EnhancedMonitoring":[],"OpenShardCount":1}}"#;

/// Answers `GetRecords` with each of the pages in turn, again and again.
#[derive(Debug, Clone)]
struct Canned {
    pages: Arc<Vec<Bytes>>,
    next: Arc<AtomicUsize>,
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = if target.ends_with(".GetRecords") {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            SdkBody::from(self.pages[at % self.pages.len()].clone())
        } else {
            SdkBody::from(SUMMARY)
        };
        let mut response = HttpResponse::new(200_u16.try_into().expect("a status"), body);
        response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn aws(pages: &[Bytes]) -> Aws {
    let connector =
        SharedHttpConnector::new(Canned { pages: Arc::new(pages.to_vec()), next: Arc::new(AtomicUsize::new(0)) });
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "bench");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("eu-central-1"))
        .endpoint_url("http://127.0.0.1:1")
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Aws::from_config(&config)
}

/// The product's reader of a DynamoDB stream whose answers are these pages.
pub fn streams_stream(pages: &[Bytes]) -> DynamoDbStream {
    DynamoDbStream::new(aws(pages).streams().clone(), STREAM, "Reply".into())
}

/// The SDK's own client, which parses these pages itself.
pub fn sdk_streams_client(pages: &[Bytes]) -> aws_sdk_dynamodbstreams::Client {
    aws(pages).streams().clone()
}

/// The product's reader of a Kinesis stream whose answers are these pages.
pub async fn kinesis_stream(pages: &[Bytes]) -> KinesisStream {
    KinesisStream::open(aws(pages).kinesis().clone(), "changes").await.expect("a stream")
}

//! The requests we send and what we make of each answer, without a server. The conformance suite runs against real
//! ones in `tests/`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
#[expect(deprecated, reason = "the new path is in a crate that we do not name")]
use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
use aws_config::provider_config::ProviderConfig;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, ProvideCredentials, Region};
use aws_sdk_s3::error::ConnectorError;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};

use super::*;

/// So that large objects are small here.
const SMALL_PART: usize = 1_000;

/// Status and body; `None`: the connection broke.
type Answer = Option<(u16, String)>;

/// An HTTP client that notes each request and gives the next answer of its script.
#[derive(Debug, Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<HttpRequest>>>,
}

impl HttpConnector for Scripted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.requests.lock().unwrap().push(request);
        HttpConnectorFuture::ready(match self.answers.lock().unwrap().pop_front().expect("another answer") {
            Some((status, body)) => {
                let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
                response.headers_mut().insert("etag", "\"tag\"");
                Ok(response)
            }
            None => Err(ConnectorError::io("connection reset".into())),
        })
    }
}

impl Scripted {
    fn new<'a>(answers: impl IntoIterator<Item = Option<(u16, &'a str)>>) -> Self {
        let answers = answers.into_iter().map(|answer| answer.map(|(status, body)| (status, body.to_owned())));
        Self { answers: Arc::new(Mutex::new(answers.collect())), ..Self::default() }
    }

    fn store(&self) -> S3Store {
        self.store_with(RetryConfig::disabled(), Credentials::new("key", "secret", None, None, "test"))
    }

    fn store_with(&self, retries: RetryConfig, credentials: impl ProvideCredentials + 'static) -> S3Store {
        let connector = self.clone();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .credentials_provider(credentials)
            .retry_config(retries)
            .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone())));
        let store = S3Store::new(Client::from_conf(config.build()), "bucket", "/lake/");
        S3Store { multipart_above: SMALL_PART, ..store }
    }

    /// Each request as `METHOD path?query`, without the SDK's own `x-id`.
    fn lines(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let line = |request: &HttpRequest| {
            let uri = request.uri().split_once(".com").map_or(request.uri(), |(_, path)| path);
            let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
            let query: Vec<_> =
                query.split('&').filter(|pair| !pair.starts_with("x-id=") && !pair.is_empty()).collect();
            format!("{} {path}?{}", request.method(), query.join("&")).trim_end_matches('?').to_owned()
        };
        requests.iter().map(line).collect()
    }

    fn header(&self, request: usize, name: &str) -> Option<String> {
        self.requests.lock().unwrap()[request].headers().get(name).map(str::to_owned)
    }
}

fn credentials() -> Credentials {
    Credentials::new("key", "secret", None, None, "test")
}

fn error(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as the test says</Message></Error>")
}

#[tokio::test]
async fn a_small_object_is_one_conditional_checked_put() {
    let s3 = Scripted::new([Some((200, ""))]);
    s3.store().create("k=a%2Fb/é +.json", Bytes::from_static(b"123456789")).await.unwrap();
    assert_eq!(s3.lines(), ["PUT /lake/k%3Da%252Fb/%C3%A9%20%2B.json"], "encoded once");
    assert_eq!(s3.header(0, "if-none-match").as_deref(), Some("*"));
    assert_eq!(s3.header(0, "x-amz-checksum-crc32").as_deref(), Some("y/Q5Jg=="), "the CRC-32 of 123456789");
}

#[tokio::test]
async fn every_answer_of_a_create_has_its_meaning() {
    for (status, code, meaning) in [
        (412, "PreconditionFailed", "exists"),
        (409, "ConditionalRequestConflict", "unsettled"),
        (409, "OperationAborted", "unsettled"),
        (503, "SlowDown", "unsettled"),
        (503, "ServiceUnavailable", "unsettled"),
        (500, "InternalError", "unsettled"),
        (502, "", "unsettled"),
        (429, "TooManyRequests", "unsettled"),
        (400, "RequestTimeout", "unsettled"),
        (400, "BadDigest", "unsettled"),
        (403, "AccessDenied", "allow s3:PutObject"),
        (403, "", "allow s3:PutObject"),
        (403, "InvalidAccessKeyId", "does not know these credentials"),
        (403, "SignatureDoesNotMatch", "does not know these credentials"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "ExpiredToken", "expired"),
        (404, "NoSuchBucket", "no such bucket"),
        (301, "PermanentRedirect", "another region"),
        (400, "AuthorizationHeaderMalformed", "another region"),
        (400, "KeyTooLongError", "1,024 bytes"),
        (501, "NotImplemented", "conditional writes are needed"),
        (507, "InsufficientStorage", "full"),
        (404, "", "S3 service"),
        (400, "InvalidArgument", "refuses"),
    ] {
        let body = if code.is_empty() { "<html>".to_owned() } else { error(code) };
        let s3 = Scripted::new([Some((status, body.as_str()))]);
        let answer = s3.store().create("range", Bytes::new()).await.unwrap_err();
        let (found, text) = match &answer {
            StoreError::Exists(path) => ("exists", path),
            StoreError::Unsettled(text) => ("unsettled", text),
            StoreError::Gone(text) => ("gone", text),
            StoreError::Fatal(text) => (if text.contains(meaning) { meaning } else { "fatal" }, text),
        };
        assert_eq!(found, meaning, "{status} {code}: {answer:?}");
        assert!(meaning == "exists" || text.contains("PutObject of `range` in bucket bucket"), "{text}");
    }
    let answer = Scripted::new([None]).store().create("range", Bytes::new()).await;
    assert!(matches!(&answer, Err(StoreError::Unsettled(text)) if text.contains("connection reset")), "{answer:?}");
}

#[tokio::test]
#[expect(deprecated, reason = "the new path is in a crate that we do not name")]
async fn without_credentials_it_does_not_wait() {
    let no_files = ProfileFiles::builder().with_contents(ProfileFileKind::Credentials, "").build();
    let offline = Scripted::default();
    let offline = http_client_fn(move |_, _| SharedHttpConnector::new(offline.clone()));
    let nobody = ProfileFileCredentialsProvider::builder()
        .configure(&ProviderConfig::empty().with_http_client(offline))
        .profile_files(no_files)
        .build();
    let nobody = CredentialsProviderChain::first_try("Profile", nobody);
    let store = Scripted::new([]).store_with(RetryConfig::disabled(), nobody);
    let answer = store.create("range", Bytes::new()).await;
    assert!(matches!(&answer, Err(StoreError::Fatal(text)) if text.contains("AWS_PROFILE")), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn the_sdks_own_retry_ends_in_exists() {
    let refused = error("PreconditionFailed");
    let s3 = Scripted::new([None, Some((412, refused.as_str()))]);
    let answer = s3.store_with(RetryConfig::adaptive(), credentials()).create("range", Bytes::new()).await;
    assert!(matches!(answer, Err(StoreError::Exists(_))), "{answer:?}");
    assert_eq!(s3.lines().len(), 2);
}

#[tokio::test]
async fn what_is_absent_is_none_and_nothing_else_is() {
    let (no_key, no_bucket, denied) = (error("NoSuchKey"), error("NoSuchBucket"), error("AccessDenied"));
    let s3 = Scripted::new([Some((404, no_key.as_str())), Some((404, ""))]);
    assert_eq!(s3.store().get("x").await.unwrap(), None);
    assert_eq!(s3.store().size("x").await.unwrap(), None);
    assert_eq!(s3.lines(), ["GET /lake/x", "HEAD /lake/x"]);
    for (status, body) in [(404, &no_bucket), (404, &"<html>".to_owned()), (403, &denied)] {
        let answer = Scripted::new([Some((status, body.as_str()))]).store().get("x").await;
        assert!(matches!(answer, Err(StoreError::Fatal(_))), "{answer:?}");
    }
    let answer = Scripted::new([Some((403, ""))]).store().size("x").await;
    assert!(matches!(&answer, Err(StoreError::Fatal(text)) if text.contains("s3:ListBucket")), "{answer:?}");
    let answer = Scripted::new([Some((503, ""))]).store().size("x").await;
    assert!(matches!(answer, Err(StoreError::Unsettled(_))), "{answer:?}");
}

const CREATED: &str = "<InitiateMultipartUploadResult><UploadId>up</UploadId></InitiateMultipartUploadResult>";

async fn upload(completion: Option<(u16, &str)>) -> (Scripted, Result<(), StoreError>) {
    let s3 = Scripted::new([Some((200, CREATED)), Some((200, "")), Some((200, "")), completion, Some((204, ""))]);
    let answer = s3.store().create("large", vec![7; SMALL_PART + 1].into()).await;
    (s3, answer)
}

#[tokio::test]
async fn a_large_object_is_completed_conditionally() {
    let (s3, answer) = upload(Some((200, "<CompleteMultipartUploadResult/>"))).await;
    answer.unwrap();
    let lines = s3.lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[0], "POST /lake/large?uploads");
    assert_eq!(lines[1], "PUT /lake/large?partNumber=1&uploadId=up");
    assert_eq!(lines[3], "POST /lake/large?uploadId=up");
    assert_eq!(s3.header(0, "x-amz-checksum-algorithm").as_deref(), Some("CRC32"));
    assert!(s3.header(1, "x-amz-checksum-crc32").is_some());
    assert_eq!(s3.header(3, "if-none-match").as_deref(), Some("*"));
}

#[tokio::test]
async fn an_upload_is_aborted_when_it_is_over_and_left_alone_when_nobody_knows() {
    let code = |code| error(code);
    for (status, body, meaning, aborts) in [
        (412, code("PreconditionFailed"), "exists", true),
        (409, code("ConditionalRequestConflict"), "unsettled", true),
        (403, code("AccessDenied"), "fatal", true),
        (503, code("SlowDown"), "unsettled", false),
        // S3 begins its answer before it knows the outcome.
        (200, code("InternalError"), "unsettled", false),
        (404, code("NoSuchUpload"), "unsettled", false),
    ] {
        let (s3, answer) = upload(Some((status, &body))).await;
        let found = match answer.unwrap_err() {
            StoreError::Exists(_) => "exists",
            StoreError::Unsettled(_) => "unsettled",
            StoreError::Gone(_) => "gone",
            StoreError::Fatal(_) => "fatal",
        };
        assert_eq!((found, s3.lines().len() == 5), (meaning, aborts), "{status} {body}");
        assert!(!aborts || s3.lines()[4] == "DELETE /lake/large?uploadId=up");
    }
    let (s3, answer) = upload(None).await;
    assert!(matches!(answer, Err(StoreError::Unsettled(_))));
    assert_eq!(s3.lines().len(), 4);
}

#[tokio::test]
async fn a_part_that_fails_aborts_the_upload() {
    let slow = error("SlowDown");
    let s3 = Scripted::new([Some((200, CREATED)), Some((503, &slow)), Some((503, &slow)), Some((204, ""))]);
    let answer = s3.store().create("large", vec![7; SMALL_PART + 1].into()).await;
    assert!(matches!(answer, Err(StoreError::Unsettled(_))), "{answer:?}");
    assert_eq!(s3.lines().last().unwrap(), "DELETE /lake/large?uploadId=up");
}

#[tokio::test]
async fn an_upload_that_s3_has_forgotten_or_wants_again_is_gone() {
    let (forgotten, conflict) = (error("NoSuchUpload"), error("ConditionalRequestConflict"));
    let s3 = Scripted::new([
        Some((200, CREATED)),
        Some((503, "")),
        Some((200, "")),
        Some((404, forgotten.as_str())),
        Some((409, conflict.as_str())),
        Some((404, forgotten.as_str())),
        Some((404, forgotten.as_str())),
    ]);
    let upload = s3.store().begin("file").await.unwrap();
    let part = || upload.part(7, Bytes::from_static(b"1"));
    assert!(matches!(part().await, Err(StoreError::Unsettled(_))));
    part().await.unwrap();
    assert!(matches!(part().await, Err(StoreError::Gone(_))));
    for _ in 0..2 {
        let answer = upload.complete().await;
        assert!(matches!(answer, Err(StoreError::Gone(_))), "{answer:?}");
    }
    upload.abort().await;
    let part = "PUT /lake/file?partNumber=7&uploadId=up";
    let complete = "POST /lake/file?uploadId=up";
    let expected = ["POST /lake/file?uploads", part, part, part, complete, complete, "DELETE /lake/file?uploadId=up"];
    let mut lines = s3.lines();
    for line in &mut lines {
        *line = line.replace("uploadId=up&partNumber=7", "partNumber=7&uploadId=up").replace("?uploads=", "?uploads");
    }
    assert_eq!(lines, expected);
    assert_eq!(s3.header(4, "if-none-match").as_deref(), Some("*"));
}

fn page(keys: &[&str], next: Option<&str>) -> String {
    let contents: String =
        keys.iter().map(|key| format!("<Contents><Key>{key}</Key><Size>3</Size></Contents>")).collect();
    let next = next.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    format!(
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>{contents}{}</ListBucketResult>",
        next.is_some(),
        next.unwrap_or_default()
    )
}

#[tokio::test]
async fn a_listing_follows_its_pages_and_decodes_its_keys() {
    // Out of order and before `after`: a directory bucket's.
    let pages = [page(&["lake/t/b+c%2Bd", "lake/t/"], Some("2")), page(&["lake/t/%C3%A9%2525", "lake/t/a"], None)];
    let s3 = Scripted::new(pages.iter().map(|page| Some((200, page.as_str()))));
    let found = s3.store().list("t", Some("t/a")).await.unwrap();
    let paths: Vec<_> = found.iter().map(|listed| listed.path.as_str()).collect();
    assert_eq!(paths, ["t/b c+d", "t/é%25"]);
    let query = "list-type=2&encoding-type=url&prefix=lake%2Ft%2F&start-after=lake%2Ft%2Fa";
    let mut pairs: Vec<Vec<String>> = Vec::new();
    for line in s3.lines() {
        let mut of: Vec<_> = line.split_once('?').unwrap().1.split('&').map(str::to_owned).collect();
        of.sort_unstable();
        pairs.push(of);
    }
    let mut expected: Vec<_> = query.split('&').map(str::to_owned).collect();
    expected.sort_unstable();
    assert_eq!(pairs[0], expected);
    assert!(pairs[1].contains(&"continuation-token=2".to_owned()));
}

#[tokio::test]
async fn a_listing_that_goes_in_circles_is_found_out() {
    let pages = [page(&["lake/a"], Some("1")), page(&["lake/b"], Some("2")), page(&["lake/c"], Some("1"))];
    for (pages, expected) in [
        (&pages[..], "the same page again"),
        (&[page(&["elsewhere/a"], None)], "not asked for"),
        (&["<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>".to_owned()], "no way to the next"),
    ] {
        let s3 = Scripted::new(pages.iter().map(|page| Some((200, page.as_str()))));
        let answer = s3.store().list("", None).await;
        assert!(matches!(&answer, Err(StoreError::Fatal(text)) if text.contains(expected)), "{answer:?}");
    }
}

//! Do the AWS sources say and hear the right thing on the wire? Against a server that answers what each test scripts.

use std::sync::{Arc, Mutex};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::change::{SequenceNumber, ShardId};

use super::aws::http_client;
use super::*;

const STREAM: &str = "arn:aws:dynamodb:eu-central-1:111122223333:table/Orders/stream/2026-11-20T08:15:30.123";
const STREAMS_PAGE: &str = include_str!("../../tests/fixtures/streams_getrecords_page.json");
const KINESIS_PAGE: &str = include_str!("../../tests/fixtures/kinesis_getrecords_page.json");

/// One scripted answer.
#[derive(Clone)]
pub(super) struct Answer {
    status: u16,
    body: String,
    /// Whether the connection breaks in the middle of the body.
    breaks: bool,
}

pub(super) fn ok(body: &str) -> Answer {
    Answer { status: 200, body: body.to_owned(), breaks: false }
}

pub(super) fn refusal(status: u16, code: &str) -> Answer {
    let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"scripted"}}"#);
    Answer { status, body, breaks: false }
}

/// The server's address and the requests it got: target and body.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) requests: Arc<Mutex<Vec<(String, serde_json::Value)>>>,
}

/// Gives the answers one after the other, and the last one for good.
pub(super) async fn serve(answers: Vec<Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    tokio::spawn(async move {
        let mut answers = answers.into_iter().peekable();
        while let Ok((connection, _)) = listener.accept().await {
            let answer = answers.next().unwrap();
            if answers.peek().is_none() {
                answers = vec![answer.clone(), answer.clone()].into_iter().peekable();
                answers.next();
            }
            let request = exchange(connection, &answer).await;
            seen.lock().unwrap().push(request);
        }
    });
    Server { url, requests }
}

/// Reads one request, answers it and hangs up.
async fn exchange(mut connection: TcpStream, answer: &Answer) -> (String, serde_json::Value) {
    let mut request = Vec::new();
    let (head, body) = loop {
        assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0, "the client hung up");
        let text = String::from_utf8(request.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        if body.len() == length.parse::<usize>().unwrap() {
            break (head, body.to_owned());
        }
    };
    let Answer { status, body: text, breaks } = answer;
    let length = text.len();
    let head_back = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    connection.write_all(head_back.as_bytes()).await.unwrap();
    let sent = if *breaks { length / 2 } else { length };
    connection.write_all(&text.as_bytes()[..sent]).await.unwrap();
    connection.shutdown().await.ok();
    let target = head.lines().find_map(|line| line.strip_prefix("x-amz-target: ")).unwrap_or_default();
    let target = target.rsplit('.').next().unwrap_or_default();
    (target.to_owned(), serde_json::from_str(&body).unwrap_or_default())
}

fn configuration(url: &str) -> SdkConfig {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("eu-central-1"))
        .endpoint_url(url)
        .http_client(http_client())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

pub(super) fn aws(url: &str) -> Aws {
    Aws::from_config(&configuration(url))
}

fn stream(aws: &Aws) -> DynamoDbStream {
    DynamoDbStream::new(aws.streams().clone(), STREAM, "Orders".into())
}

async fn page(answers: Vec<Answer>) -> Result<RecordsPage, StreamError> {
    let server = serve(answers).await;
    let stream = stream(&aws(&server.url));
    stream.get_records(&ShardId::new("s"), &ShardIterator("i".into())).await
}

#[tokio::test]
async fn a_raw_streams_page_holds_what_the_sdk_parses() {
    let server = serve(vec![ok(STREAMS_PAGE)]).await;
    let aws = aws(&server.url);
    let raw = stream(&aws).get_records(&ShardId::new("s"), &ShardIterator("i".into())).await.unwrap();
    let parsed = aws.streams().get_records().shard_iterator("i").send().await.unwrap();

    assert_eq!(raw.bytes, STREAMS_PAGE.len());
    assert_eq!(raw.next.map(|next| next.0), parsed.next_shard_iterator);
    let parsed = parsed.records.unwrap();
    assert_eq!(raw.records.len(), parsed.len());
    for (raw, parsed) in raw.records.iter().zip(parsed) {
        let own: serde_json::Value = serde_json::from_slice(&raw.payload).unwrap();
        assert_eq!(own["eventID"].as_str(), parsed.event_id.as_deref());
        let sequence = parsed.dynamodb.unwrap().sequence_number.unwrap();
        assert_eq!(raw.position.to_string(), sequence);
        assert_eq!(raw.table.as_deref(), Some("Orders"));
    }
    let (target, body) = server.requests.lock().unwrap()[0].clone();
    assert_eq!((target.as_str(), body["Limit"].as_i64()), ("getrecords", Some(1000)));
}

#[tokio::test]
async fn errors_keep_their_meaning_behind_the_raw_hook() {
    for (answer, wanted) in [
        (refusal(400, "ExpiredIteratorException"), "Expired"),
        (refusal(400, "TrimmedDataAccessException"), "Trimmed"),
        (refusal(400, "LimitExceededException"), "Throttled"),
        (refusal(400, "ResourceNotFoundException"), "NotFound"),
        (refusal(500, "InternalServerError"), "Transient"),
        (refusal(400, "AccessDeniedException"), "Fatal"),
        (ok("<html>"), "Transient"),
        (ok("{}"), "Transient"),
    ] {
        let error = format!("{:?}", page(vec![answer]).await.unwrap_err());
        assert!(error.starts_with(wanted), "{wanted}: {error}");
    }
}

#[tokio::test]
async fn a_page_that_broke_off_is_asked_for_again() {
    let broken = Answer { breaks: true, ..ok(STREAMS_PAGE) };
    assert_eq!(page(vec![broken.clone(), ok(STREAMS_PAGE)]).await.unwrap().records.len(), 10);
    // What the second attempt is refused with must not be taken for a page.
    let error = page(vec![broken, refusal(400, "ExpiredIteratorException")]).await.unwrap_err();
    assert!(matches!(error, StreamError::Transient(_)), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_transient_and_no_credentials_are_fatal() {
    let nobody = aws("http://127.0.0.1:1");
    let error = stream(&nobody).list_shards(None).await.unwrap_err();
    assert!(matches!(error, StreamError::Transient(_)), "{error:?}");

    // Nobody has a profile of this name: the provider gives no credentials.
    let machine = ProviderConfig::without_region().with_http_client(http_client());
    let none = ProfileFileCredentialsProvider::builder().configure(&machine).profile_name("no such profile");
    let none = none.build();
    let mut configuration = configuration("http://127.0.0.1:1").to_builder();
    configuration.set_credentials_provider(Some(SharedCredentialsProvider::new(none)));
    let error = stream(&Aws::from_config(&configuration.build())).list_shards(None).await.unwrap_err();
    assert!(matches!(&error, StreamError::Fatal(text) if text.contains("AWS_PROFILE")), "{error:?}");
}

#[tokio::test]
async fn the_shard_list_is_paged_and_a_cycle_is_noticed() {
    let list = include_str!("../../tests/fixtures/streams_describe_stream.json");
    let mut paged: serde_json::Value = serde_json::from_str(list).unwrap();
    paged["StreamDescription"]["LastEvaluatedShardId"] = "shardId-00000001795161600007-77aa88bb".into();
    paged["StreamDescription"]["StreamStatus"] = "DISABLED".into();
    let server = serve(vec![ok(list), ok(&paged.to_string())]).await;
    let stream = stream(&aws(&server.url));

    let page = stream.list_shards(None).await.unwrap();
    assert_eq!((page.shards.len(), page.next, page.enabled), (3, None, true));
    assert_eq!(page.shards.iter().map(|shard| shard.closed).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(page.shards[1].parents, [page.shards[0].id.clone()]);

    let page = stream.list_shards(Some("shardId-00000001795147200000-1a2b3c4d")).await.unwrap();
    assert!(!page.enabled);
    let next = page.next.unwrap();
    let error = stream.list_shards(Some(&next)).await.unwrap_err();
    assert!(matches!(&error, StreamError::Transient(text) if text.contains(&next)), "{error:?}");
    assert_eq!(server.requests.lock().unwrap()[1].1["ExclusiveStartShardId"], "shardId-00000001795147200000-1a2b3c4d");
}

#[tokio::test]
async fn every_start_is_asked_for_as_the_service_names_it() {
    let server = serve(vec![ok(r#"{"ShardIterator":"i"}"#)]).await;
    let stream = stream(&aws(&server.url));
    let number = SequenceNumber::parse("42").unwrap();
    for from in [
        ReadFrom::TrimHorizon,
        ReadFrom::Latest,
        ReadFrom::Timestamp(1_791_316_726_480_999),
        ReadFrom::At(number),
        ReadFrom::After(number),
    ] {
        stream.shard_iterator(&ShardId::new("s"), from).await.unwrap();
    }
    let requests = server.requests.lock().unwrap();
    let types: Vec<_> = requests.iter().map(|(_, body)| body["ShardIteratorType"].as_str().unwrap()).collect();
    assert_eq!(types, ["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]);
    assert_eq!(requests[2].1["Timestamp"].as_f64(), Some(1_791_316_726.48));
    assert_eq!(requests[4].1["SequenceNumber"], "000000000000000000042");
}

#[tokio::test]
async fn a_table_without_a_stream_and_a_missing_table_say_their_cure() {
    let finder = async |answer| {
        let server = serve(vec![answer]).await;
        DynamoDbFinder::new(&aws(&server.url), vec!["Orders".into()]).streams().await.map(|streams| streams.len())
    };
    let table = r#""TableName":"Orders","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
        "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}]"#;
    let error = finder(ok(&format!(r#"{{"Table":{{{table}}}}}"#))).await.unwrap_err();
    assert!(matches!(&error, StreamError::Fatal(text) if text.contains("--stream-specification")), "{error:?}");
    let error = finder(refusal(400, "ResourceNotFoundException")).await.unwrap_err();
    assert!(matches!(&error, StreamError::Fatal(text) if text.contains("eu-central-1")), "{error:?}");
    let off = format!(r#"{{"Table":{{{table},"LatestStreamArn":"{STREAM}"}}}}"#);
    assert_eq!(finder(ok(&off)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_kinesis_stream_is_opened_and_its_pages_are_taken_apart() {
    let arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/orders";
    let summary = |strategy| {
        ok(&format!(
            r#"{{"StreamDescriptionSummary":{{"StreamName":"orders","StreamARN":"{arn}","StreamStatus":"ACTIVE",
            "RetentionPeriodHours":24,"StreamCreationTimestamp":1795165200.5,"EnhancedMonitoring":[],
            "OpenShardCount":1{strategy}}}}}"#
        ))
    };
    let auto = serve(vec![summary(r#","RecordDistributionStrategy":"AUTO""#)]).await;
    let refused = KinesisStream::open(aws(&auto.url).kinesis().clone(), "orders").await.unwrap_err();
    assert!(matches!(&refused, StreamError::Fatal(text) if text.contains("USER_PARTITION_KEY")), "{refused:?}");

    let server = serve(vec![summary(""), ok(KINESIS_PAGE)]).await;
    let stream = KinesisStream::open(aws(&server.url).kinesis().clone(), "orders").await.unwrap();
    assert_eq!(stream.identity().id, format!("{arn}@1795165200"));
    let page = stream.get_records(&ShardId::new("s"), &ShardIterator("i".into())).await.unwrap();
    assert_eq!((page.records.len(), page.next, page.names_children), (6, None, true));
    assert_eq!((page.millis_behind, page.bytes), (Some(0), KINESIS_PAGE.len()));
}

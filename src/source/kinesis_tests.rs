//! Does a Kinesis stream read as one, across a split and a merge? Against ferrokinesis, an in-process server.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use ferrokinesis::create_app;
use ferrokinesis::store::StoreOptions;

use crate::change::{SequenceNumber, ShardId};

use super::wire_tests::aws;
use super::*;

const NAME: &str = "changes";

async fn server() -> Client {
    let quick = StoreOptions {
        create_stream_ms: 1,
        update_stream_ms: 1,
        iterator_ttl_seconds: 1,
        aws_account_id: "111122223333".into(),
        aws_region: "eu-central-1".into(),
        ..StoreOptions::default()
    };
    let (app, _) = create_app(quick);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let client = aws(&url).kinesis().clone();
    client.create_stream().stream_name(NAME).shard_count(1).send().await.unwrap();
    active(&client).await;
    client
}

async fn active(client: &Client) {
    for _ in 0..200 {
        let summary = client.describe_stream_summary().stream_name(NAME).send().await.unwrap();
        let status = summary.stream_description_summary.unwrap().stream_status;
        if status.as_str() == "ACTIVE" {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the stream does not become active");
}

async fn put(client: &Client, from: u32, to: u32) {
    for n in from..to {
        let data = Blob::new(format!("{{\"n\":{n}}}"));
        client.put_record().stream_name(NAME).partition_key(n.to_string()).data(data).send().await.unwrap();
    }
}

/// All of a shard up to its end or its tip, one page at a time.
async fn drain(stream: &KinesisStream, shard: &ShardId, from: ReadFrom) -> (Vec<Record>, bool) {
    let mut records = Vec::new();
    let mut iterator = stream.shard_iterator(shard, from).await.unwrap();
    loop {
        let page = stream.get_records(shard, &iterator).await.unwrap();
        let tip = page.records.is_empty();
        records.extend(page.records);
        match page.next {
            Some(next) if !tip => iterator = next,
            next => return (records, next.is_none()),
        }
    }
}

#[tokio::test]
async fn a_stream_reads_as_one_across_a_split_and_a_merge() {
    let client = server().await;
    put(&client, 0, 20).await;
    let halves = "170141183460469231731687303715884105728";
    let split = client.split_shard().stream_name(NAME).shard_to_split("shardId-000000000000");
    split.new_starting_hash_key(halves).send().await.unwrap();
    active(&client).await;
    put(&client, 20, 40).await;
    let merge = client.merge_shards().stream_name(NAME).shard_to_merge("shardId-000000000001");
    merge.adjacent_shard_to_merge("shardId-000000000002").send().await.unwrap();
    active(&client).await;
    put(&client, 40, 60).await;

    let stream = KinesisStream::open(client.clone(), NAME).await.unwrap();
    assert!(stream.identity().id.starts_with("arn:aws:kinesis:eu-central-1:111122223333:stream/changes@"));
    let page = stream.list_shards(None).await.unwrap();
    assert_eq!((page.next, page.enabled), (None, true));
    let parents: Vec<_> = page.shards.iter().map(|shard| (shard.parents.len(), shard.closed)).collect();
    assert_eq!(parents, [(0, true), (1, true), (1, true), (2, false)]);

    let mut read = Vec::new();
    for shard in &page.shards {
        let (records, ended) = drain(&stream, &shard.id, ReadFrom::TrimHorizon).await;
        assert_eq!(ended, shard.closed);
        assert!(records.is_sorted_by_key(|record| record.position));
        read.extend(records.into_iter().map(|record| String::from_utf8(record.payload.to_vec()).unwrap()));
    }
    read.sort_by_key(|text| (text.len(), text.clone()));
    assert_eq!(read, (0..60).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn reading_goes_on_at_and_behind_a_record_and_by_time() {
    let client = server().await;
    put(&client, 0, 5).await;
    let stream = KinesisStream::open(client.clone(), NAME).await.unwrap();
    let shard = ShardId::new("shardId-000000000000");
    let (all, ended) = drain(&stream, &shard, ReadFrom::TrimHorizon).await;
    assert!(!ended);
    let third = all[2].position.sequence;
    let first = async |from| drain(&stream, &shard, from).await.0.first().map(|record| record.position.sequence);
    assert_eq!(first(ReadFrom::At(third)).await, Some(third));
    assert_eq!(first(ReadFrom::After(third)).await, Some(all[3].position.sequence));
    assert_eq!(first(ReadFrom::Timestamp(0)).await, Some(all[0].position.sequence));
    assert_eq!(first(ReadFrom::Latest).await, None);

    let to_come = stream.shard_iterator(&shard, ReadFrom::Timestamp(4_000_000_000_000_000)).await.unwrap_err();
    assert!(matches!(to_come, StreamError::Transient(_)), "{to_come:?}");
    let foreign = ReadFrom::After(SequenceNumber::parse("1").unwrap());
    assert!(matches!(stream.shard_iterator(&shard, foreign).await.unwrap_err(), StreamError::Fatal(_)));
    let missing = stream.shard_iterator(&ShardId::new("shardId-000000000009"), ReadFrom::Latest).await;
    assert!(matches!(missing.unwrap_err(), StreamError::NotFound(_)));
}

#[tokio::test]
async fn an_iterator_that_grew_old_is_expired_and_a_missing_stream_is_fatal() {
    let client = server().await;
    let stream = KinesisStream::open(client.clone(), NAME).await.unwrap();
    let shard = ShardId::new("shardId-000000000000");
    let iterator = stream.shard_iterator(&shard, ReadFrom::Latest).await.unwrap();
    crate::clock::Clock::system().sleep(Duration::from_millis(2100)).await;
    let old = stream.get_records(&shard, &iterator).await.unwrap_err();
    assert!(matches!(old, StreamError::Expired), "{old:?}");
    let missing = KinesisStream::open(client, "no-such-stream").await.unwrap_err();
    assert!(matches!(&missing, StreamError::Fatal(text) if text.contains("no-such-stream")), "{missing:?}");
}

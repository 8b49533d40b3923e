//! Every shape of event, the recorded ones first.

use super::*;
use crate::decode::envelope;

fn of(text: &str) -> Result<Batch, NotABatch> {
    read(&Bytes::from(text.to_owned()))
}

fn refused(text: &str) -> String {
    of(text).err().unwrap().to_string()
}

#[test]
fn a_dynamodb_event() {
    let batch = of(include_str!("../../../tests/fixtures/lambda_dynamodb_event.json")).unwrap();
    assert!(batch.arn.as_deref().unwrap().starts_with("arn:aws:dynamodb:"));
    assert_eq!((batch.items.len(), batch.table().as_deref(), &batch.shard), (7, Some("Orders"), &None));
    assert_eq!(batch.window, None);
    for item in &batch.items {
        let [record] = &item.records[..] else { panic!("one change each") };
        assert_eq!(record.position.sequence.as_str(), item.identifier);
        let change = envelope::read(&record.payload, record.channel).unwrap();
        // Seconds, not milliseconds.
        assert_eq!(change.changed_at.unwrap() / 1_000_000_000_000, 1795, "{change:?}");
    }
}

#[test]
fn a_kinesis_event_with_an_aggregate() {
    let batch = of(include_str!("../../../tests/fixtures/lambda_kinesis_event.json")).unwrap();
    assert_eq!(batch.shard.as_ref().map(ShardId::as_str), Some("shardId-000000000003"));
    assert_eq!((batch.items.len(), batch.table(), &batch.window), (6, None, &None));
    let counts: Vec<_> = batch.items.iter().map(|item| item.records.len()).collect();
    assert_eq!(counts, [1, 1, 1, 3, 1, 1]);
    assert_eq!(&batch.items[3].records[2].payload[..], b"{\"n\":3}");
    assert_eq!(batch.items[3].records[2].position.sub, 2);
    assert_eq!(&batch.items[5].records[0].payload[..], b"Hello, plain text");
    let first = envelope::read(&batch.items[0].records[0].payload, Channel::Kinesis).unwrap();
    assert_eq!(first.changed_at, Some(1_795_165_200_123_456));
}

#[test]
fn a_tumbling_window_is_tolerated_and_its_state_comes_back() {
    let batch = of(include_str!("../../../tests/fixtures/lambda_kinesis_time_window_event.json")).unwrap();
    assert_eq!(batch.items.len(), 1);
    let state: serde_json::Value = serde_json::from_str(&batch.window.unwrap()).unwrap();
    assert_eq!(state, serde_json::json!({"ORDER#2001": 3}));
    let last = r#"{"Records":[],"window":{"start":"a","end":"b"},"eventSourceARN":"arn:aws:kinesis:eu:1:stream/s","isFinalInvokeForWindow":true}"#;
    let last = of(last).unwrap();
    assert_eq!((last.items.len(), last.window.as_deref()), (0, Some("{}")));
    assert_eq!(last.arn.as_deref(), Some("arn:aws:kinesis:eu:1:stream/s"));
}

#[test]
fn other_events_are_refused_with_what_they_look_like() {
    let cases = [
        ("{}", "an empty event"),
        ("[]", "a JSON value that is no object"),
        ("null", "a JSON value that is no object"),
        (r#"{"key1":"value1","key2":"value2"}"#, "the console's test event"),
        (r#"{"version":"0","detail-type":"x","source":"y"}"#, "an EventBridge event"),
        (r#"{"requestContext":{},"rawPath":"/"}"#, "an HTTP request"),
        (r#"{"requestContext":{},"DDBStreamBatchInfo":{},"payload":"{}"}"#, "its `payload`"),
        (r#"{"awslogs":{"data":""}}"#, "an event of CloudWatch Logs"),
        (r#"{"Records":{},"a\nb":1}"#, r"an event with the members `Records`, `a\\nb`"),
        (r#"{"Records":[{"eventSource":"aws:sqs","body":"x"}]}"#, "an event of `aws:sqs`"),
        (r#"{"Records":[{"EventSource":"aws:sns","Sns":{}}]}"#, "an event of `aws:sns`"),
        (r#"{"Records":[{"eventSource":"aws:s3"}]}"#, "an event of `aws:s3`"),
        (r#"{"Records":[7]}"#, "record 0 of the event is no object"),
        (r#"{"Records":[{}]}"#, "record 0 of the event names no eventSource"),
        (r#"{"Records":[{"eventSource":"aws:dynamodb"}]}"#, "names no eventSourceARN"),
        ("", "not JSON"),
        (r#"{"Records":["#, "not JSON"),
        (r#"{"Records":[]} x"#, "not JSON"),
    ];
    for (event, expected) in cases {
        let said = refused(event);
        assert!(said.contains(expected), "{event}: {said}");
    }
}

#[test]
fn a_batch_is_of_one_shard_and_its_records_have_places() {
    let record = |arn: &str, shard: &str, sequence: &str| {
        format!(
            r#"{{"eventSource":"aws:kinesis","eventSourceARN":"{arn}","eventID":"{shard}:1","kinesis":{{"sequenceNumber":{sequence},"data":"e30="}}}}"#
        )
    };
    let batch = |records: &[String]| of(&format!(r#"{{"Records":[{}]}}"#, records.join(",")));
    let good = record("arn:s", "shard-1", r#""12""#);
    assert_eq!(batch(&[good.clone(), record("arn:s", "shard-1", r#""13""#)]).unwrap().items.len(), 2);
    for (other, expected) in [
        (record("arn:t", "shard-1", r#""13""#), "another stream"),
        (record("arn:s", "shard-2", r#""13""#), "another shard"),
        (record("arn:s", "", r#""13""#), "no shard in its eventID"),
        (record("arn:s", "shard-1", "13"), "no sequence number"),
        (record("arn:s", "shard-1", r#""1x""#), "`1x` is not a sequence number"),
        (record("s", "shard-1", r#""13""#), "no eventSourceARN"),
    ] {
        let said = batch(&[good.clone(), other]).err().unwrap().to_string();
        assert!(said.contains("record 1") && said.contains(expected), "{said}");
    }
    // No base64: the record is kept whole, to become a dead letter.
    let odd = good.replace("e30=", "***");
    let kept = batch(&[odd]).unwrap();
    assert!(kept.items[0].records[0].payload.starts_with(b"{\"eventSource\""));
}

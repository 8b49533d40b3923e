//! How does each channel write a change? The forms, members and order that AWS sends.
//!
//! Lines of a DynamoDB export are missing: the product does not read them yet.

use std::io::Write as _;

use super::Change;

/// What writing to a `Vec` can't fail to do.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { write!($out, $($text)*).expect("a Vec takes everything") };
}

fn dynamodb(change: &Change, time: impl std::fmt::Display, last: &str, out: &mut Vec<u8>) {
    put!(out, r#""dynamodb":{{"ApproximateCreationDateTime":{time},"Keys":{}"#, change.keys);
    let mut size = change.keys.len();
    for (name, image) in [("NewImage", &change.new_image), ("OldImage", &change.old_image)] {
        if let Some(image) = image {
            put!(out, r#","{name}":{image}"#);
            size += image.len();
        }
    }
    put!(out, r#","SizeBytes":{}{last}}}"#, size / 2);
}

/// A record of Kinesis Data Streams for DynamoDB, before base64.
pub fn kinesis_record(change: &Change, out: &mut Vec<u8>) {
    let [high, low] = change.id;
    put!(
        out,
        r#"{{"awsRegion":"eu-central-1","eventID":"{:08x}-{:04x}-{:04x}-{:04x}-{:012x}","eventName":"{}","userIdentity":null,"recordFormat":"application/json","tableName":"{}","#,
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff,
        change.event,
        change.table,
    );
    dynamodb(change, change.micros, r#","ApproximateCreationDateTimePrecision":"MICROSECOND""#, out);
    put!(out, r#","eventSource":"aws:dynamodb"}}"#);
}

/// The sequence number of a change in a DynamoDB stream.
pub fn sequence(ordinal: u64) -> String {
    format!("{}{:017}", 14_054, ordinal * 37)
}

/// An element of `Records` of a DynamoDB Streams `GetRecords` answer.
pub fn streams_record(change: &Change, out: &mut Vec<u8>) {
    stream_record(change, "", out);
}

fn stream_record(change: &Change, arn: &str, out: &mut Vec<u8>) {
    let [high, low] = change.id;
    put!(
        out,
        r#"{{"eventID":"{high:016x}{low:016x}","eventName":"{}","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-central-1","#,
        change.event
    );
    let last = format!(r#","SequenceNumber":"{}","StreamViewType":"NEW_AND_OLD_IMAGES""#, sequence(change.ordinal));
    dynamodb(change, format_args!("{}.0", change.micros / 1_000_000), &last, out);
    put!(out, "{arn}}}");
}

fn joined(changes: &[Change], out: &mut Vec<u8>, write: impl Fn(&Change, &mut Vec<u8>)) {
    for (at, change) in changes.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(change, out);
    }
}

/// A DynamoDB Streams `GetRecords` answer; without `next` its shard has ended.
pub fn streams_page(changes: &[Change], next: Option<&str>) -> Vec<u8> {
    let mut out = br#"{"Records":["#.to_vec();
    joined(changes, &mut out, streams_record);
    match next {
        Some(next) => put!(out, r#"],"NextShardIterator":"{next}"}}"#),
        None => put!(out, "]}}"),
    }
    out
}

/// What Lambda hands to a function for changes of a DynamoDB stream.
pub fn lambda_event(changes: &[Change]) -> Vec<u8> {
    let mut out = br#"{"Records":["#.to_vec();
    joined(changes, &mut out, |change, out| {
        let table = change.table;
        let arn = format!(
            r#","eventSourceARN":"arn:aws:dynamodb:eu-central-1:111122223333:table/{table}/stream/2026-11-20T08:15:30.123""#
        );
        stream_record(change, &arn, out);
    });
    out.extend_from_slice(b"]}");
    out
}

/// A Kinesis `GetRecords` answer; without `next` its shard has ended.
pub fn kinesis_page(changes: &[Change], next: Option<&str>) -> Vec<u8> {
    let mut out = br#"{"Records":["#.to_vec();
    joined(changes, &mut out, |change, out| {
        let mut data = Vec::new();
        kinesis_record(change, &mut data);
        put!(
            out,
            r#"{{"SequenceNumber":"496539345774031722700364032365232299{:020}","ApproximateArrivalTimestamp":{}.{:03},"Data":"{}","PartitionKey":"{:016X}{:016X}","EncryptionType":"KMS"}}"#,
            change.ordinal,
            change.micros / 1_000_000,
            change.micros / 1_000 % 1_000,
            base64_simd::STANDARD.encode_to_string(&data),
            change.id[1],
            change.id[0],
        );
    });
    put!(out, r#"],"MillisBehindLatest":60000"#);
    match next {
        Some(next) => put!(out, r#","NextShardIterator":"{next}"}}"#),
        None => put!(out, "}}"),
    }
    out
}

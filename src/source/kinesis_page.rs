//! How a raw Kinesis `GetRecords` answer is taken apart: one walk over the JSON, one base64 decoding per record.

use bytes::Bytes;

use crate::change::SequenceNumber;
use crate::decode::json::{Cursor, Elements, Malformed, Members, Text};

use super::streams_page::{BadPage, text, text_or_null};

/// What one answer holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KinesisPage {
    /// The records' data, decoded; aggregates are still whole. Data that is no base64 stays as it was written.
    pub(crate) records: Vec<(SequenceNumber, Bytes)>,
    /// `NextShardIterator`.
    pub(super) next: Option<String>,
    /// `MillisBehindLatest`.
    pub(super) millis_behind: Option<i64>,
    /// Whether `ChildShards` names any.
    pub(super) names_children: bool,
}

/// Takes one answer apart. The data of all records lies in one buffer, which each record shares.
pub(crate) fn read(page: &[u8]) -> Result<KinesisPage, BadPage> {
    let mut cursor = Cursor::of_bytes(page);
    let mut found = None;
    let mut next = None;
    let mut millis_behind = None;
    let mut names_children = false;
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next_unchecked(&mut cursor)? {
        if name.is("Records") {
            if found.replace(find_records(&mut cursor)?).is_some() {
                return Err(BadPage::RecordsTwice);
            }
        } else if name.is("NextShardIterator") {
            next = text_or_null(&mut cursor)?;
        } else if name.is("MillisBehindLatest") {
            let digits = std::str::from_utf8(cursor.value_unchecked()?).ok();
            millis_behind = digits.and_then(|digits| digits.parse().ok());
        } else if name.is("ChildShards") && cursor.peek() == Some(b'[') {
            names_children = has_elements(&mut cursor)?;
        } else {
            cursor.value_unchecked()?;
        }
    }
    cursor.end()?;
    let records = decode(found.ok_or(BadPage::NoRecords)?);
    Ok(KinesisPage { records, next, millis_behind, names_children })
}

type Found<'a> = Vec<(SequenceNumber, Text<'a, [u8]>)>;

fn find_records<'a>(cursor: &mut Cursor<'a, [u8]>) -> Result<Found<'a>, BadPage> {
    let mut records = Vec::new();
    let mut elements = Elements::open(cursor)?;
    while elements.next(cursor)? {
        let mut sequence = None;
        let mut data = None;
        let mut members = Members::open(cursor)?;
        while let Some(name) = members.next_unchecked(cursor)? {
            if name.is("SequenceNumber") {
                sequence = SequenceNumber::parse(&text(cursor)?).ok();
            } else if name.is("Data") {
                data = Some(cursor.string_unchecked()?);
            } else {
                cursor.value_unchecked()?;
            }
        }
        let sequence = sequence.ok_or(BadPage::NoSequenceNumber(records.len()))?;
        let data = data.ok_or(cursor.malformed("expected a record with `Data`"))?;
        records.push((sequence, data));
    }
    Ok(records)
}

fn has_elements(cursor: &mut Cursor<'_, [u8]>) -> Result<bool, Malformed> {
    let mut elements = Elements::open(cursor)?;
    let mut any = false;
    while elements.next(cursor)? {
        cursor.value_unchecked()?;
        any = true;
    }
    Ok(any)
}

fn decode(found: Found<'_>) -> Vec<(SequenceNumber, Bytes)> {
    let capacity = found.iter().map(|(_, data)| data.raw.len() / 4 * 3 + 3).sum();
    let mut buffer = Vec::with_capacity(capacity);
    let mut ends = Vec::with_capacity(found.len());
    for (sequence, data) in found {
        // Some servers write `\/`. What denotes no text stays as it was written.
        let unescaped = data.escaped.then(|| data.decode()).flatten();
        decode_one(unescaped.as_deref().map_or(data.raw, str::as_bytes), &mut buffer);
        ends.push((sequence, buffer.len()));
    }
    let buffer = Bytes::from(buffer);
    let mut start = 0;
    let slice = |(sequence, end)| {
        let data = buffer.slice(start..end);
        start = end;
        (sequence, data)
    };
    ends.into_iter().map(slice).collect()
}

fn decode_one(base64: &[u8], buffer: &mut Vec<u8>) {
    let start = buffer.len();
    if base64_simd::STANDARD.decode_append(base64, buffer).is_err() {
        // A record that cannot be decoded costs only itself: whoever reads it will see that it is no change.
        buffer.truncate(start);
        buffer.extend_from_slice(base64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn check(page: &Value, text: &[u8]) {
        let read = read(text).unwrap();
        let records = page["Records"].as_array().unwrap();
        assert_eq!(read.records.len(), records.len());
        for (found, record) in read.records.iter().zip(records) {
            assert_eq!(found.0.as_str(), record["SequenceNumber"].as_str().unwrap());
            assert_eq!(found.1, base64_simd::STANDARD.decode_to_vec(record["Data"].as_str().unwrap()).unwrap());
        }
        assert_eq!(read.next.as_deref(), page["NextShardIterator"].as_str());
        assert_eq!(read.millis_behind, page["MillisBehindLatest"].as_i64());
        assert_eq!(read.names_children, page["ChildShards"].as_array().is_some_and(|children| !children.is_empty()));
    }

    #[test]
    fn the_sample_page_ends_its_shard() {
        let text = include_bytes!("../../tests/fixtures/kinesis_getrecords_page.json");
        check(&serde_json::from_slice(text).unwrap(), text);
        let page = read(text).unwrap();
        assert_eq!((page.records.len(), page.next, page.names_children), (4, None, true));
        assert_eq!(page.records[3].1, &b"\xff\x00not json"[..]);
    }

    #[test]
    fn data_that_is_no_base64_stays_as_it_was_written() {
        let page = br#"{"Records":[{"SequenceNumber":"1","Data":"!"},{"SequenceNumber":"2","Data":"\/w=="}]}"#;
        let page = read(page).unwrap();
        assert_eq!(page.records[0].1, &b"!"[..]);
        assert_eq!(page.records[1].1, &b"\xff"[..]);
        assert_eq!((page.millis_behind, page.names_children), (None, false));
    }

    #[test]
    fn garbled_answers_are_no_shard_end() {
        assert_eq!(read(b"{}"), Err(BadPage::NoRecords));
        assert_eq!(read(br#"{"Records":[{"Data":""}]}"#), Err(BadPage::NoSequenceNumber(0)));
        for page in [&b"{\"Records\":[{\"SequenceNumber\":\"1\"}]}"[..], b"", b"[]", b"{\"Records\":[]"] {
            assert!(matches!(read(page), Err(BadPage::NotJson(_))));
        }
    }

    fn page() -> impl Strategy<Value = Value> {
        let record = ("[1-9][0-9]{0,60}", any::<Vec<u8>>(), proptest::option::of("[a-z\"]{0,9}"));
        let record = record.prop_map(|(sequence, data, key)| {
            let data = base64_simd::STANDARD.encode_to_string(data);
            json!({"SequenceNumber": sequence, "Data": data, "PartitionKey": key, "ApproximateArrivalTimestamp": 1.5})
        });
        let rest = (any::<Option<u32>>(), proptest::option::of("[a-z/+]{0,20}"), 0_usize..3);
        (proptest::collection::vec(record, 0..8), rest).prop_map(|(records, (behind, next, children))| {
            json!({
                "Records": records, "MillisBehindLatest": behind, "NextShardIterator": next,
                "ChildShards": vec![json!({"ShardId": "s", "ParentShards": ["p"]}); children],
            })
        })
    }

    proptest! {
        #[test]
        fn any_page_reads_as_serde_json_does(page in page(), pretty: bool) {
            let text = if pretty { serde_json::to_vec_pretty(&page) } else { serde_json::to_vec(&page) };
            check(&page, &text.unwrap());
        }

        #[test]
        fn a_damaged_page_never_panics(page in page(), at: prop::sample::Index, byte: u8) {
            let mut text = serde_json::to_vec(&page).unwrap();
            let at = at.index(text.len());
            text[at] = byte;
            let _ = read(&text);
        }
    }
}

//! How a raw DynamoDB Streams `GetRecords` answer is cut into records, without copying or decoding an image.
//!
//! The SDK's own parser builds a tree of every image (98 MB/s measured); all that is needed here is where each element
//! of `Records` lies, its `dynamodb.SequenceNumber`, and `NextShardIterator`.

use bytes::Bytes;

use crate::change::SequenceNumber;

use super::json_walk::{NotJson, Text, Walk};

/// What one answer holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StreamsPage {
    /// The records as the service wrote them, in its order.
    pub(super) records: Vec<(SequenceNumber, Bytes)>,
    /// `NextShardIterator`.
    pub(super) next: Option<String>,
}

/// The answer is not what `GetRecords` answers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadPage {
    #[error("the answer of GetRecords cannot be read: {0}")]
    NotJson(#[from] NotJson),
    /// Without this check a garbled answer would look like the end of the shard.
    #[error("the answer of GetRecords has no `Records`")]
    NoRecords,
    #[error("the answer of GetRecords has `Records` twice")]
    RecordsTwice,
    #[error("record {0} of the answer of GetRecords has no sequence number")]
    NoSequenceNumber(usize),
}

/// Cuts one answer up. Each record is a slice of `page`; inside a record nothing is checked but its extent, not even
/// that it is UTF-8: one bad record must cost only itself, and its decoder is the one to find out.
pub(super) fn cut(page: &Bytes) -> Result<StreamsPage, BadPage> {
    let mut walk = Walk::new(page);
    let mut records = None;
    let mut next = None;
    let mut first = true;
    walk.object()?;
    while let Some(name) = walk.member(&mut first)? {
        if name.is("Records") {
            if records.replace(cut_records(page, &mut walk)?).is_some() {
                return Err(BadPage::RecordsTwice);
            }
        } else if name.is("NextShardIterator") {
            next = own(walk.text_or_null()?)?;
        } else {
            walk.skip()?;
        }
    }
    walk.end()?;
    Ok(StreamsPage { records: records.ok_or(BadPage::NoRecords)?, next })
}

/// The text itself, for the few that outlive the page.
pub(super) fn own(text: Option<Text<'_>>) -> Result<Option<String>, NotJson> {
    text.map(|text| text.decode().map(|text| text.into_owned())).transpose()
}

fn cut_records(page: &Bytes, walk: &mut Walk<'_>) -> Result<Vec<(SequenceNumber, Bytes)>, BadPage> {
    let mut records = Vec::new();
    let mut first = true;
    walk.array()?;
    while walk.element(&mut first)? {
        walk.peek();
        let start = walk.position();
        let sequence = record(walk)?.ok_or(BadPage::NoSequenceNumber(records.len()))?;
        records.push((sequence, page.slice(start..walk.position())));
    }
    Ok(records)
}

/// Steps over one record and answers its sequence number.
fn record(walk: &mut Walk<'_>) -> Result<Option<SequenceNumber>, NotJson> {
    let mut sequence = None;
    let mut first = true;
    walk.object()?;
    while let Some(name) = walk.member(&mut first)? {
        if name.is("dynamodb") && walk.peek() == Some(b'{') {
            let mut first = true;
            walk.object()?;
            while let Some(name) = walk.member(&mut first)? {
                if name.is("SequenceNumber") && walk.peek() == Some(b'"') {
                    sequence = SequenceNumber::parse(&walk.text()?.decode()?).ok();
                } else {
                    walk.skip()?;
                }
            }
        } else {
            walk.skip()?;
        }
    }
    Ok(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    /// The same page by way of serde_json: the definition of right.
    fn by_serde(page: &[u8]) -> Option<StreamsPage> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Page<'a> {
            #[serde(borrow)]
            records: Vec<&'a RawValue>,
            next_shard_iterator: Option<String>,
        }
        let page: Page<'_> = serde_json::from_slice(page).ok()?;
        let cut = |record: &RawValue| {
            let value: Value = serde_json::from_str(record.get()).ok()?;
            let sequence = SequenceNumber::parse(value["dynamodb"]["SequenceNumber"].as_str()?).ok()?;
            Some((sequence, Bytes::copy_from_slice(record.get().as_bytes())))
        };
        let records = page.records.into_iter().map(cut).collect::<Option<_>>()?;
        Some(StreamsPage { records, next: page.next_shard_iterator })
    }

    fn check(page: &[u8]) {
        let cut = cut(&Bytes::copy_from_slice(page));
        assert_eq!(cut.as_ref().ok(), by_serde(page).as_ref(), "{}", String::from_utf8_lossy(page));
    }

    #[test]
    fn the_sample_page_is_cut_as_serde_json_does() {
        let page = include_bytes!("../../tests/fixtures/streams_getrecords_page.json");
        check(page);
        let page = cut(&Bytes::from_static(page)).unwrap();
        assert_eq!(page.records.len(), 10);
        assert!(page.next.is_some());
    }

    #[test]
    fn a_record_is_a_slice_of_the_page() {
        let page = Bytes::from_static(br#"{"Records":[{"dynamodb":{"SequenceNumber":"7"}}]}"#);
        let cut = cut(&page).unwrap();
        assert_eq!(cut.records[0].1.as_ptr(), page[12..].as_ptr());
        assert_eq!(cut.next, None);
    }

    #[test]
    fn garbled_answers_are_no_shard_end() {
        let refused = |page: &'static str| cut(&Bytes::from_static(page.as_bytes())).unwrap_err();
        assert_eq!(refused("{}"), BadPage::NoRecords);
        assert_eq!(refused(r#"{"Records":[],"Records":[]}"#), BadPage::RecordsTwice);
        for page in ["", "[]", r#"{"Records":null}"#, r#"{"Records":[]} x"#, r#"{"Records":[],}"#, "<html>"] {
            assert!(matches!(refused(page), BadPage::NotJson(_)), "{page}");
        }
        for page in [r#"{"Records":[{}]}"#, r#"{"Records":[{"dynamodb":{"SequenceNumber":"x"}}]}"#] {
            assert_eq!(refused(page), BadPage::NoSequenceNumber(0));
        }
    }

    #[test]
    fn a_record_that_is_no_utf8_does_not_cost_the_others() {
        let page = b"{\"Records\":[{\"a\":\"\xff\",\"dynamodb\":{\"SequenceNumber\":\"7\"}}]}";
        assert_eq!(cut(&Bytes::from_static(page)).unwrap().records.len(), 1);
    }

    /// A JSON value of some depth, with names and texts that need care.
    fn value() -> impl Strategy<Value = Value> {
        let text = r#"[a-z"\\{}\[\],:é🚚\n]{0,40}"#;
        let leaf = prop_oneof![text.prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(Value::Null)];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(text, inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    fn page() -> impl Strategy<Value = Vec<u8>> {
        let record = ("[1-9][0-9]{0,39}", value(), value(), any::<bool>()).prop_map(|(number, a, b, late)| {
            let mut dynamodb = json!({"Keys": a, "NewImage": b.clone()});
            // serde_json sorts names: `SequenceNumber` behind or before an image.
            dynamodb[if late { "AImage" } else { "ZImage" }] = b.clone();
            dynamodb["SequenceNumber"] = number.into();
            json!({"eventName": "INSERT", "SequenceNumber": "x", "dynamodb": dynamodb, "userIdentity": b})
        });
        let next = proptest::option::of("[a-zA-Z0-9|:/\"]{0,30}");
        (proptest::collection::vec(record, 0..6), next, value(), any::<bool>()).prop_map(
            |(records, next, other, pretty)| {
                let page = json!({"Records": records, "NextShardIterator": next, "Other": other});
                if pretty { serde_json::to_vec_pretty(&page) } else { serde_json::to_vec(&page) }.unwrap()
            },
        )
    }

    proptest! {
        #[test]
        fn any_page_is_cut_as_serde_json_does(page in page()) {
            check(&page);
        }

        #[test]
        fn a_damaged_page_is_refused_or_cut_as_serde_json_does(
            mut page in page(), at: prop::sample::Index, byte: u8, truncate: bool,
        ) {
            let at = at.index(page.len());
            if truncate { page.truncate(at) } else { page[at] = byte }
            // Where serde_json reads a page, so must the cut, and the same.
            if let Some(right) = by_serde(&page) {
                prop_assert_eq!(cut(&Bytes::from(page)), Ok(right));
            } else {
                let _ = cut(&Bytes::from(page));
            }
        }
    }
}

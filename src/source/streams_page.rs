//! How a raw DynamoDB Streams `GetRecords` answer is cut into records, without copying or decoding an image.
//!
//! The SDK's own parser builds a tree of every image (98 MB/s measured); all that is needed here is where each element
//! of `Records` lies, its `dynamodb.SequenceNumber`, and `NextShardIterator`.

use std::borrow::Cow;
use std::cell::RefCell;

use bytes::Bytes;

use crate::change::SequenceNumber;
use crate::decode::json::{Cursor, Elements, Malformed, Marks, Members, Track};

/// What one answer holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StreamsPage {
    /// The records as the service wrote them, in its order.
    pub(crate) records: Vec<(SequenceNumber, Bytes)>,
    /// `NextShardIterator`.
    pub(super) next: Option<String>,
}

/// The answer is not what `GetRecords` answers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPage {
    #[error("the answer of GetRecords cannot be read: {0}")]
    NotJson(#[from] Malformed),
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
pub(crate) fn cut(page: &Bytes) -> Result<StreamsPage, BadPage> {
    let along = MARKS.with_borrow_mut(|marks| cut_along(page, marks.track(page)?));
    along.map_or_else(|| cut_carefully(page), Ok)
}

thread_local! {
    /// Scratch space, which is as large as a page: at most 1 MB.
    static MARKS: RefCell<Marks> = RefCell::default();
}

/// Cuts up an answer that is written without white space, along its marks. `None`: the careful walk must decide.
fn cut_along(page: &Bytes, track: Track<'_, [u8]>) -> Option<StreamsPage> {
    let (mut records, mut next) = (None, None);
    let end = track.members(0, |name, at| match name {
        b"Records" if records.is_none() => {
            let (found, end) = records_along(page, track, at)?;
            records = Some(found);
            Some(end)
        }
        b"Records" => None,
        b"NextShardIterator" if track.chunk(at) == Some(b"null") => {
            next = None;
            Some(at + 4)
        }
        b"NextShardIterator" => {
            let (text, end) = text_along(track, at)?;
            next = Some(text.to_owned());
            Some(end)
        }
        _ => track.extent_of_value(at),
    });
    Some(StreamsPage { records: records.filter(|_| end == Some(page.len()))?, next })
}

type Found = (Vec<(SequenceNumber, Bytes)>, usize);

/// The array at an offset, and the offset behind it.
fn records_along(page: &Bytes, track: Track<'_, [u8]>, open: usize) -> Option<Found> {
    let mut records = Vec::new();
    if !track.is(open, b'[') {
        return None;
    }
    if track.is(open + 1, b']') {
        return Some((records, open + 2));
    }
    let mut at = open + 1;
    loop {
        let mut sequence = None;
        let end = track.members(at, |name, at| {
            if name != b"dynamodb" {
                return track.extent_of_value(at);
            }
            track.members(at, |name, at| {
                if name != b"SequenceNumber" {
                    return track.extent_of_value(at);
                }
                let (text, end) = text_along(track, at)?;
                sequence = Some(SequenceNumber::parse(text).ok()?);
                Some(end)
            })
        })?;
        records.push((sequence?, page.slice(at..end)));
        match track.bytes().get(end)? {
            b',' => at = end + 1,
            b']' => return Some((records, end + 1)),
            _ => return None,
        }
    }
}

/// The string without escapes at an offset, and the offset behind it.
fn text_along<'a>(track: Track<'a, [u8]>, at: usize) -> Option<(&'a str, usize)> {
    let end = track.is(at, b'"').then(|| track.plain_end(at + 1))??;
    Some((std::str::from_utf8(&track.bytes()[at + 1..end]).ok()?, end + 1))
}

fn cut_carefully(page: &Bytes) -> Result<StreamsPage, BadPage> {
    let mut cursor = Cursor::of_bytes(page);
    let mut records = None;
    let mut next = None;
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next_unchecked(&mut cursor)? {
        if name.is("Records") {
            if records.replace(cut_records(page, &mut cursor)?).is_some() {
                return Err(BadPage::RecordsTwice);
            }
        } else if name.is("NextShardIterator") {
            next = text_or_null(&mut cursor)?;
        } else {
            cursor.value_unchecked()?;
        }
    }
    cursor.end()?;
    Ok(StreamsPage { records: records.ok_or(BadPage::NoRecords)?, next })
}

/// The text itself, for the few that outlive the page.
pub(super) fn text_or_null(cursor: &mut Cursor<'_, [u8]>) -> Result<Option<String>, Malformed> {
    if cursor.literal("null") { Ok(None) } else { text(cursor).map(|text| Some(text.into_owned())) }
}

/// A string whose content counts.
pub(super) fn text<'a>(cursor: &mut Cursor<'a, [u8]>) -> Result<Cow<'a, str>, Malformed> {
    cursor.peek();
    let at = cursor.offset();
    cursor.string()?.decode().ok_or(Malformed { at, what: "expected a string that is text" })
}

fn cut_records(page: &Bytes, cursor: &mut Cursor<'_, [u8]>) -> Result<Vec<(SequenceNumber, Bytes)>, BadPage> {
    let mut records = Vec::new();
    let mut elements = Elements::open(cursor)?;
    while elements.next(cursor)? {
        cursor.peek();
        let start = cursor.offset();
        let sequence = record(cursor)?.ok_or(BadPage::NoSequenceNumber(records.len()))?;
        records.push((sequence, page.slice(start..cursor.offset())));
    }
    Ok(records)
}

/// Steps over one record and answers its sequence number.
fn record(cursor: &mut Cursor<'_, [u8]>) -> Result<Option<SequenceNumber>, Malformed> {
    let mut sequence = None;
    let mut members = Members::open(cursor)?;
    while let Some(name) = members.next_unchecked(cursor)? {
        if name.is("dynamodb") && cursor.peek() == Some(b'{') {
            let mut members = Members::open(cursor)?;
            while let Some(name) = members.next_unchecked(cursor)? {
                if name.is("SequenceNumber") && cursor.peek() == Some(b'"') {
                    sequence = SequenceNumber::parse(&text(cursor)?).ok();
                } else {
                    cursor.value_unchecked()?;
                }
            }
        } else {
            cursor.value_unchecked()?;
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
        let page = Bytes::copy_from_slice(page);
        let along = Marks::default().track(&page).and_then(|track| cut_along(&page, track));
        assert!(along.is_none() || along == cut_carefully(&page).ok(), "{}", String::from_utf8_lossy(&page));
        let cut = cut(&page);
        assert_eq!(cut.as_ref().ok(), by_serde(&page).as_ref(), "{}", String::from_utf8_lossy(&page));
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
            let bytes = Bytes::from(page.clone());
            let along = Marks::default().track(&bytes).and_then(|track| cut_along(&bytes, track));
            prop_assert!(along.is_none() || along == cut_carefully(&bytes).ok());
            // Where serde_json reads a page, so must the cut, and the same.
            if let Some(right) = by_serde(&page) {
                prop_assert_eq!(cut(&Bytes::from(page)), Ok(right));
            } else {
                let _ = cut(&Bytes::from(page));
            }
        }
    }
}

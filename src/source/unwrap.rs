//! Finds the changes in a document of any shape that carries them: a change itself, a Kinesis record, a `GetRecords`
//! page of either service, a Lambda event of either, or an array of these.

use bytes::Bytes;

use super::kpl;
use crate::change::TableName;
use crate::decode::json::{Cursor, Elements, Malformed, Marks, Members, Track};

/// One change found in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The change's JSON, or whatever else stood where one should be.
    pub payload: Bytes,
    /// The table, where what the change stood in names it.
    pub table: Option<TableName>,
}

/// All changes of the JSON document that `bytes` is. An element that is none of the known shapes is answered as it is:
/// it will turn out to be no change, and be kept as such. `marks` is scratch space.
///
/// A change that stands alone is looked at from outside only: who decodes it checks what is inside.
pub fn changes(bytes: &Bytes, marks: &mut Marks) -> Result<Vec<Found>, Malformed> {
    // A line's end would be a control character to its marks.
    let document = bytes.trim_ascii_end();
    let text = simdutf8::basic::from_utf8(document).map_err(|_| Malformed { at: 0, what: "it is not UTF-8 text" })?;
    let mut cursor = if marks.read(document) { Cursor::marked(text, marks) } else { Cursor::new(text) };
    if cursor.track().is_some_and(is_change) {
        return Ok(vec![Found { payload: bytes.slice(..document.len()), table: None }]);
    }
    let mut unwrap = Unwrap { bytes, found: Vec::new() };
    unwrap.document(&mut cursor, None, Check::Now)?;
    cursor.end()?;
    Ok(unwrap.found)
}

/// Whether all of a text is one change, written without white space.
fn is_change(track: Track<'_>) -> bool {
    let mut has_changed = false;
    let end = track.members(0, |name, at| {
        has_changed |= name == b"dynamodb" && track.is(at, b'{');
        track.extent_of_value(at)
    });
    has_changed && end == Some(track.bytes().len())
}

/// Whether what a cursor walks is known to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Now,
    Done,
}

impl Check {
    /// Takes any value.
    fn value<'a>(self, cursor: &mut Cursor<'a>) -> Result<&'a str, Malformed> {
        match self {
            Self::Now => cursor.value(),
            Self::Done => cursor.value_unchecked(),
        }
    }
}

/// A document, and what has been found in it.
struct Unwrap<'a> {
    bytes: &'a Bytes,
    found: Vec<Found>,
}

impl Unwrap<'_> {
    /// Takes an element or an array of elements.
    fn document(&mut self, cursor: &mut Cursor<'_>, table: Option<&TableName>, check: Check) -> Result<(), Malformed> {
        if cursor.peek() != Some(b'[') {
            return self.element(cursor, table, check);
        }
        let mut elements = Elements::open(cursor)?;
        while elements.next(cursor)? {
            self.element(cursor, table, check)?;
        }
        Ok(())
    }

    fn element(&mut self, cursor: &mut Cursor<'_>, table: Option<&TableName>, check: Check) -> Result<(), Malformed> {
        let is_object = cursor.peek() == Some(b'{');
        let start = cursor.offset();
        let shape = if is_object {
            Shape::take(cursor, check)?
        } else {
            check.value(cursor)?;
            Shape::Other
        };
        let whole = self.bytes.slice(start..cursor.offset());
        match shape {
            // By now its inside has been walked.
            Shape::Page { mut records, table: named } => {
                return self.document(&mut records, named.as_ref().or(table), Check::Done);
            }
            Shape::Kinesis { data } => {
                let Some(data) = data.and_then(|data| base64_simd::STANDARD.decode_to_vec(data).ok()) else {
                    self.found.push(Found { payload: whole, table: table.cloned() });
                    return Ok(());
                };
                let data = Bytes::from(data);
                let all = kpl::deaggregate(&data);
                let all = all.map_or_else(|| vec![data], |users| users.into_iter().map(|user| user.data).collect());
                self.found.extend(all.into_iter().map(|payload| Found { payload, table: table.cloned() }));
            }
            Shape::Other => self.found.push(Found { payload: whole, table: table.cloned() }),
        }
        Ok(())
    }
}

enum Shape<'a> {
    /// `{"Records":[…]}`, and a cursor at the array.
    Page { records: Cursor<'a>, table: Option<TableName> },
    /// `{"kinesis":{"data":…}}` or `{"Data":…,"SequenceNumber":…}`, with the base64 text if there is one.
    Kinesis { data: Option<&'a str> },
    /// A change, or something else.
    Other,
}

impl<'a> Shape<'a> {
    /// Takes an object.
    fn take(cursor: &mut Cursor<'a>, check: Check) -> Result<Self, Malformed> {
        let (mut records, mut table, mut kinesis, mut data) = (None, None, None, None);
        let (mut is_change, mut sequence) = (false, false);
        let mut members = Members::open(cursor)?;
        while let Some(name) = members.next(cursor)? {
            match (name.raw, cursor.peek()) {
                ("dynamodb", _) => is_change = true,
                ("Records", Some(b'[')) => records = Some(cursor.clone()),
                ("StreamArn", Some(b'"')) => {
                    table = table_of_arn(cursor.string()?.raw);
                    continue;
                }
                ("kinesis", Some(b'{')) => {
                    kinesis = Some(inner_data(cursor, check)?);
                    continue;
                }
                ("Data", Some(b'"')) => {
                    data = Some(cursor.string()?.raw);
                    continue;
                }
                ("SequenceNumber", _) => sequence = true,
                _ => {}
            }
            check.value(cursor)?;
        }
        Ok(match (records, kinesis, data) {
            _ if is_change => Self::Other,
            (Some(records), _, _) => Self::Page { records, table },
            (_, Some(data), _) => Self::Kinesis { data },
            (_, _, Some(data)) if sequence => Self::Kinesis { data: Some(data) },
            _ => Self::Other,
        })
    }
}

fn inner_data<'a>(cursor: &mut Cursor<'a>, check: Check) -> Result<Option<&'a str>, Malformed> {
    let mut members = Members::open(cursor)?;
    let mut data = None;
    while let Some(name) = members.next(cursor)? {
        match (name.raw, cursor.peek()) {
            ("data", Some(b'"')) => data = Some(cursor.string()?.raw),
            _ => drop(check.value(cursor)?),
        }
    }
    Ok(data)
}

fn table_of_arn(arn: &str) -> Option<TableName> {
    let (_, table) = arn.split_once(":table/")?;
    table.split('/').next().filter(|table| !table.is_empty()).map(TableName::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(document: &str) -> usize {
        changes(&Bytes::from(document.to_owned()), &mut Marks::default()).unwrap().len()
    }

    #[test]
    fn every_recorded_shape() {
        let change = r#"{"eventName":"INSERT","dynamodb":{"Keys":{}}}"#;
        assert_eq!(count(change), 1);
        assert_eq!(count(&format!("[{change},{change}]")), 2);
        assert_eq!(count(&format!(r#"{{"Records":[{change},{change},{change}],"NextShardIterator":null}}"#)), 3);
        assert_eq!(count(r#"{"Records":[]}"#), 0);
        assert_eq!(count(include_str!("../../tests/fixtures/streams_getrecords_page.json")), 10);
        assert_eq!(count(include_str!("../../tests/fixtures/lambda_dynamodb_event.json")), 7);
    }

    #[test]
    fn kinesis_records_are_taken_out_of_their_base64_and_aggregates() {
        let page = include_str!("../../tests/fixtures/kinesis_getrecords_page.json");
        let found = changes(&Bytes::from(page), &mut Marks::default()).unwrap();
        // A plain one, three of an aggregate, the broken aggregate whole, and one that is not JSON.
        assert_eq!(found.len(), 6);
        assert_eq!(&found[1].payload[..], b"{\"n\":1}");
        assert!(found[4].payload.starts_with(&[0xF3, 0x89, 0x9A, 0xC2]));
    }

    #[test]
    fn a_page_may_name_its_table() {
        let page = r#"{"Records":[{"eventName":"REMOVE","dynamodb":{}}],"StreamArn":"arn:aws:dynamodb:eu:1:table/Reply/stream/x"}"#;
        assert_eq!(changes(&Bytes::from(page), &mut Marks::default()).unwrap()[0].table.as_deref(), Some("Reply"));
    }

    #[test]
    fn what_is_not_json_is_told_where() {
        let error = changes(&Bytes::from_static(b"{\"a\":1,}"), &mut Marks::default()).unwrap_err();
        assert_eq!((error.at, error.what), (7, "expected a string"));
    }

    #[test]
    fn a_change_that_stands_alone_is_checked_by_who_decodes_it() {
        for (line, alone) in [
            (r#"{"eventName":"INSERT","dynamodb":{"NewImage":{"a":{"N":oops}}}}"#, true),
            (r#"{"eventName":oops,"dynamodb":{}}"#, true),
            (r#"{"eventName":"INSERT","dynamodb":{}"#, false),
            (r#"{"eventName":"INSERT","dynamodb":{}}}"#, false),
            (r#"{"eventName":oops}"#, false),
        ] {
            let found = changes(&Bytes::from(format!("{line}\r\n")), &mut Marks::default());
            let whole = vec![Found { payload: Bytes::from(line), table: None }];
            assert_eq!(found.ok(), alone.then_some(whole), "{line}");
        }
    }

    #[test]
    fn what_is_broken_deep_inside_is_told_where() {
        for (broken, at) in [
            (r#"[{"Records":[{"dynamodb":{"NewImage":{"a":{"N":oops}}}}]}]"#, 47),
            (r#"{"Records":[{"dynamodb":{}},{"kinesis":{"data":"e30=","x":01}}]}"#, 59),
        ] {
            let error = changes(&Bytes::from(broken), &mut Marks::default()).unwrap_err();
            assert_eq!(error.at, at, "{error}");
        }
    }
}

//! Finds the changes in a document of any shape that carries them: a change itself, a Kinesis record, a `GetRecords`
//! page of either service, a Lambda event of either, or an array of these.

use bytes::Bytes;

use super::kpl;
use crate::change::TableName;
use crate::decode::json::{Cursor, Elements, Malformed, Members};

/// One change found in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The change's JSON, or whatever else stood where one should be.
    pub payload: Bytes,
    /// The table, where what the change stood in names it.
    pub table: Option<TableName>,
}

/// All changes of the JSON document that `bytes` is. An element that is none of the known shapes is answered as it is:
/// it will turn out to be no change, and be kept as such.
pub fn changes(bytes: &Bytes) -> Result<Vec<Found>, Malformed> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Malformed { at: 0, what: "it is not UTF-8 text" })?;
    let mut cursor = Cursor::new(text);
    let mut found = Vec::new();
    document(bytes, &mut cursor, None, &mut found)?;
    cursor.end()?;
    Ok(found)
}

fn document<'a>(
    bytes: &Bytes,
    cursor: &mut Cursor<'a>,
    table: Option<&TableName>,
    found: &mut Vec<Found>,
) -> Result<(), Malformed> {
    match cursor.peek() {
        Some(b'[') => {
            let mut elements = Elements::open(cursor)?;
            while elements.next(cursor)? {
                element(bytes, cursor.value()?, table, found)?;
            }
            Ok(())
        }
        _ => element(bytes, cursor.value()?, table, found),
    }
}

fn element(bytes: &Bytes, text: &str, table: Option<&TableName>, found: &mut Vec<Found>) -> Result<(), Malformed> {
    match Shape::of(text)? {
        Shape::Page { records, table: named } => {
            document(bytes, &mut Cursor::new(records), named.as_ref().or(table), found)
        }
        Shape::Kinesis { data } => {
            let Some(data) = data.and_then(|data| base64_simd::STANDARD.decode_to_vec(data).ok()) else {
                found.push(Found { payload: bytes.slice_ref(text.as_bytes()), table: table.cloned() });
                return Ok(());
            };
            let data = Bytes::from(data);
            match kpl::deaggregate(&data) {
                Some(users) => {
                    found.extend(users.into_iter().map(|user| Found { payload: user.data, table: table.cloned() }));
                }
                None => found.push(Found { payload: data, table: table.cloned() }),
            }
            Ok(())
        }
        Shape::Other => {
            found.push(Found { payload: bytes.slice_ref(text.as_bytes()), table: table.cloned() });
            Ok(())
        }
    }
}

enum Shape<'a> {
    /// `{"Records":[…]}`.
    Page { records: &'a str, table: Option<TableName> },
    /// `{"kinesis":{"data":…}}` or `{"Data":…,"SequenceNumber":…}`, with the base64 text if there is one.
    Kinesis { data: Option<&'a str> },
    /// A change, or something else.
    Other,
}

impl<'a> Shape<'a> {
    fn of(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        if cursor.peek() != Some(b'{') {
            return Ok(Self::Other);
        }
        let (mut records, mut table, mut kinesis, mut data, mut sequence) = (None, None, None, None, false);
        let mut members = Members::open(&mut cursor)?;
        while let Some(name) = members.next(&mut cursor)? {
            match (name.raw, cursor.peek()) {
                ("dynamodb", _) => return Ok(Self::Other),
                ("Records", Some(b'[')) => records = Some(cursor.value()?),
                ("StreamArn", Some(b'"')) => table = table_of_arn(cursor.string()?.raw),
                ("kinesis", Some(b'{')) => kinesis = Some(inner_data(cursor.value()?)?),
                ("Data", Some(b'"')) => data = Some(cursor.string()?.raw),
                ("SequenceNumber", _) => {
                    sequence = true;
                    cursor.value()?;
                }
                _ => drop(cursor.value()?),
            }
        }
        Ok(match (records, kinesis, data) {
            (Some(records), _, _) => Self::Page { records, table },
            (_, Some(data), _) => Self::Kinesis { data },
            (_, _, Some(data)) if sequence => Self::Kinesis { data: Some(data) },
            _ => Self::Other,
        })
    }
}

fn inner_data(kinesis: &str) -> Result<Option<&str>, Malformed> {
    let mut cursor = Cursor::new(kinesis);
    let mut members = Members::open(&mut cursor)?;
    let mut data = None;
    while let Some(name) = members.next(&mut cursor)? {
        match (name.raw, cursor.peek()) {
            ("data", Some(b'"')) => data = Some(cursor.string()?.raw),
            _ => drop(cursor.value()?),
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
        changes(&Bytes::from(document.to_owned())).unwrap().len()
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
        let found = changes(&Bytes::from(page)).unwrap();
        // A plain one, three of an aggregate, the broken aggregate whole, and one that is not JSON.
        assert_eq!(found.len(), 6);
        assert_eq!(&found[1].payload[..], b"{\"n\":1}");
        assert!(found[4].payload.starts_with(&[0xF3, 0x89, 0x9A, 0xC2]));
    }

    #[test]
    fn a_page_may_name_its_table() {
        let page = r#"{"Records":[{"eventName":"REMOVE","dynamodb":{}}],"StreamArn":"arn:aws:dynamodb:eu:1:table/Reply/stream/x"}"#;
        assert_eq!(changes(&Bytes::from(page)).unwrap()[0].table.as_deref(), Some("Reply"));
    }

    #[test]
    fn what_is_not_json_is_told_where() {
        let error = changes(&Bytes::from_static(b"{\"a\":1,}")).unwrap_err();
        assert_eq!((error.at, error.what), (7, "expected a string"));
    }
}

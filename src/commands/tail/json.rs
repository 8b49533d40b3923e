//! One change as one line of JSON, for programs: its images are DynamoDB JSON as they came.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::change::{Record, ShardId};
use crate::commands::change::{Change, NoChange};

/// The line. Members that have no value are `null`; the last two are only there for what is no change.
#[derive(Serialize)]
struct Line<'a> {
    table: Option<&'a str>,
    op: Option<&'a str>,
    ttl: bool,
    changed_at: Option<String>,
    shard: &'a str,
    sequence: &'a str,
    sub: u32,
    event_id: Option<String>,
    keys: Option<Box<RawValue>>,
    new: Option<Box<RawValue>>,
    old: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// The line of one record, without its end.
pub(super) fn line(record: &Record, shard: &ShardId, read: &Result<Change<'_>, NoChange>) -> String {
    let mut line = Line {
        table: None,
        op: None,
        ttl: false,
        changed_at: None,
        shard: shard.as_str(),
        sequence: record.position.sequence.as_str(),
        sub: record.position.sub,
        event_id: None,
        keys: None,
        new: None,
        old: None,
        error: None,
        payload_base64: None,
    };
    match read {
        Ok(Change { table, envelope }) => {
            let id = envelope.event_id.as_deref().map(str::to_owned);
            line.table = Some(table);
            line.op = Some(&envelope.event_name);
            line.ttl = envelope.ttl;
            line.changed_at = envelope.changed_at.and_then(rfc3339);
            line.event_id = Some(id.unwrap_or_else(|| format!("{shard}:{}", record.position)));
            line.keys = image(envelope.keys.map(|part| part.text()));
            line.new = image(envelope.new_image.map(|part| part.text()));
            line.old = image(envelope.old_image.map(|part| part.text()));
        }
        Err(NoChange { table, why }) => {
            line.table = table.as_deref();
            line.error = Some(why);
            line.payload_base64 = Some(base64_simd::STANDARD.encode_to_string(&record.payload));
        }
    }
    // A struct of strings, numbers and JSON always serialises.
    serde_json::to_string(&line).unwrap_or_default()
}

fn rfc3339(micros: i64) -> Option<String> {
    Some(jiff::Timestamp::from_microsecond(micros).ok()?.to_string())
}

/// An image on one line: JSON has line breaks only between its tokens.
fn image(text: Option<&str>) -> Option<Box<RawValue>> {
    RawValue::from_string(text?.replace(['\n', '\r'], "")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Channel, Position, SequenceNumber};
    use crate::commands::change;
    use crate::source::StreamIdentity;
    use bytes::Bytes;

    fn line_of(payload: &'static [u8]) -> String {
        let position = Position { sequence: SequenceNumber::from_ordinal(7), sub: 2 };
        let payload = Bytes::from_static(payload);
        let record = Record { position, channel: Channel::Kinesis, table: None, payload };
        let stream = StreamIdentity { id: "s".into(), table: None, origin: None };
        line(&record, &ShardId::new("shard-1"), &change::read(&record, &stream))
    }

    #[test]
    fn images_stay_as_they_came_but_for_line_breaks() {
        let line = line_of(
            br#"{"eventName":"REMOVE","tableName":"T","dynamodb":{"ApproximateCreationDateTime":1795165200136,
            "Keys":{"Id" :
            {"N":"1.50"}},"OldImage":{"Id":{"S":"\u00e9\n"}}}}"#,
        );
        let expected = r#"{"table":"T","op":"REMOVE","ttl":false,"changed_at":"2026-11-20T09:00:00.136Z","shard":"shard-1","sequence":"7","sub":2,"event_id":"shard-1:7:2","keys":{"Id" :            {"N":"1.50"}},"new":null,"old":{"Id":{"S":"\u00e9\n"}}}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn what_is_no_change_comes_whole() {
        let expected = r#"{"table":null,"op":null,"ttl":false,"changed_at":null,"shard":"shard-1","sequence":"7","sub":2,"event_id":null,"keys":null,"new":null,"old":null,"error":"it is not UTF-8 text","payload_base64":"/w=="}"#;
        assert_eq!(line_of(b"\xff"), expected);
    }
}

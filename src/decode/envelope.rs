//! One pass over a change's bytes: what kind of change it is, of which table, when, and where its images lie.
//!
//! Member names and forms: DynamoDB Streams `Record`, Lambda's DynamoDB event record, and the Kinesis-for-DynamoDB
//! record differ in details; all are taken.

mod along;
mod exported;

use std::borrow::Cow;

use super::json::{Cursor, Malformed, Marks, Members, Part, Text};
use crate::change::Channel;

/// The parts of a change. Images are the text of a JSON object whose inside has not been checked yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `eventName`: INSERT, MODIFY, REMOVE, or whatever the future brings.
    pub event_name: Cow<'a, str>,
    /// `eventID`.
    pub event_id: Option<Cow<'a, str>>,
    /// `tableName`, or the table in `eventSourceARN`.
    pub table: Option<Cow<'a, str>>,
    /// `ApproximateCreationDateTime`, µs since the epoch.
    pub changed_at: Option<i64>,
    /// Whether DynamoDB's time-to-live deleted the item (`userIdentity` is the service).
    pub ttl: bool,
    /// `dynamodb.Keys`.
    pub keys: Option<Part<'a>>,
    /// `dynamodb.NewImage`.
    pub new_image: Option<Part<'a>>,
    /// `dynamodb.OldImage`.
    pub old_image: Option<Part<'a>>,
}

/// Why bytes are no change.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAChange {
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    NotUtf8,
    /// Not JSON, or not of the form of a change.
    #[error("it is not a change: {0}")]
    Malformed(#[from] Malformed),
    /// JSON without what makes a change.
    #[error("it is not a change: it has no {0}")]
    Missing(&'static str),
}

/// Reads the envelope of a change.
pub fn read(payload: &[u8], channel: Channel) -> Result<Envelope<'_>, NotAChange> {
    let cursor = Cursor::new(text(payload)?);
    match channel {
        Channel::Snapshot(_) | Channel::NetChange(_) => exported::read(cursor, channel),
        _ => walk(cursor, channel),
    }
}

/// The same, several times faster for what is larger than a few hundred bytes. `marks` is scratch space.
pub fn read_marked<'a>(payload: &'a [u8], channel: Channel, marks: &'a mut Marks) -> Result<Envelope<'a>, NotAChange> {
    let text = text(payload)?;
    let cursor = if marks.read(payload) { Cursor::marked(text, marks) } else { Cursor::new(text) };
    if matches!(channel, Channel::Snapshot(_) | Channel::NetChange(_)) {
        return exported::read(cursor, channel);
    }
    let usual = cursor.track().and_then(along::walk);
    match usual {
        Some(found) => found.envelope(channel),
        None => walk(cursor, channel),
    }
}

fn text(payload: &[u8]) -> Result<&str, NotAChange> {
    simdutf8::basic::from_utf8(payload).map_err(|_| NotAChange::NotUtf8)
}

fn walk(mut cursor: Cursor<'_>, channel: Channel) -> Result<Envelope<'_>, NotAChange> {
    let mut found = Found::default();
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next(&mut cursor)? {
        let envelope = &mut found.envelope;
        match name.raw {
            "eventName" => envelope.event_name = optional_text(&mut cursor)?.unwrap_or_default(),
            "eventID" => envelope.event_id = optional_text(&mut cursor)?,
            "tableName" => envelope.table = optional_text(&mut cursor)?.or(envelope.table.take()),
            "eventSourceARN" => {
                let arn = optional_text(&mut cursor)?;
                envelope.name_table(arn.as_deref());
            }
            "userIdentity" => envelope.ttl = is_time_to_live(&mut cursor)?,
            "dynamodb" => {
                found.dynamodb = true;
                read_dynamodb(&mut cursor, &mut found)?;
            }
            _ => drop(cursor.value()?),
        }
    }
    cursor.end()?;
    found.envelope(channel)
}

/// What a walk has found so far.
#[derive(Default)]
struct Found<'a> {
    envelope: Envelope<'a>,
    time: Time<'a>,
    dynamodb: bool,
}

impl<'a> Found<'a> {
    /// The envelope, if all is there that makes a change.
    fn envelope(mut self, channel: Channel) -> Result<Envelope<'a>, NotAChange> {
        if !self.dynamodb {
            return Err(NotAChange::Missing("member `dynamodb`"));
        }
        let envelope = &mut self.envelope;
        if envelope.event_name.is_empty() {
            return Err(NotAChange::Missing("member `eventName`"));
        }
        if envelope.keys.or(envelope.new_image).or(envelope.old_image).is_none() {
            return Err(NotAChange::Missing("`Keys` and no image"));
        }
        envelope.changed_at = self.time.micros(channel);
        Ok(self.envelope)
    }
}

impl Envelope<'_> {
    /// Takes the table from a stream's ARN if nothing else has named it.
    fn name_table(&mut self, arn: Option<&str>) {
        if self.table.is_none() {
            self.table = arn.and_then(table_of_arn).map(Cow::Owned);
        }
    }
}

fn read_dynamodb<'a>(cursor: &mut Cursor<'a>, found: &mut Found<'a>) -> Result<(), Malformed> {
    let Found { envelope, time, .. } = found;
    let mut members = Members::open(cursor)?;
    while let Some(name) = members.next(cursor)? {
        match name.raw {
            "Keys" => envelope.keys = optional_object(cursor)?,
            "NewImage" => envelope.new_image = optional_object(cursor)?,
            "OldImage" => envelope.old_image = optional_object(cursor)?,
            "ApproximateCreationDateTime" => time.value = number_or_text(cursor)?,
            "ApproximateCreationDateTimePrecision" => time.precision = number_or_text(cursor)?,
            _ => drop(cursor.value()?),
        }
    }
    Ok(())
}

/// Streams and SDKs write `Type`/`PrincipalId`, Lambda events `type`/`principalId`; Kinesis a null for "nobody".
fn is_time_to_live(cursor: &mut Cursor<'_>) -> Result<bool, Malformed> {
    if cursor.peek() != Some(b'{') {
        cursor.value()?;
        return Ok(false);
    }
    let (mut service, mut dynamodb) = (false, false);
    let mut members = Members::open(cursor)?;
    while let Some(name) = members.next(cursor)? {
        match name.raw {
            "Type" | "type" => service = text_if_any(cursor)?.is_some_and(|text| text.is("Service")),
            "PrincipalId" | "principalId" => {
                dynamodb = text_if_any(cursor)?.is_some_and(|text| text.is("dynamodb.amazonaws.com"));
            }
            _ => drop(cursor.value()?),
        }
    }
    Ok(service && dynamodb)
}

/// `arn:aws:dynamodb:<region>:<account>:table/<table>/stream/<label>`.
fn table_of_arn(arn: &str) -> Option<String> {
    let (_, table) = arn.split_once(":table/")?;
    table.split('/').next().filter(|table| !table.is_empty()).map(str::to_owned)
}

fn optional_object<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Part<'a>>, Malformed> {
    if cursor.literal("null") {
        return Ok(None);
    }
    let object = cursor.object_unchecked()?;
    Ok(Some(cursor.part(cursor.offset() - object.len(), cursor.offset())))
}

fn text_if_any<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Text<'a>>, Malformed> {
    if cursor.peek() == Some(b'"') { cursor.string().map(Some) } else { cursor.value().map(|_| None) }
}

fn optional_text<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, str>>, Malformed> {
    Ok(text_if_any(cursor)?.and_then(|text| text.decode()))
}

/// The text of a number, also where it is written as a string.
fn number_or_text<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a str>, Malformed> {
    match cursor.peek() {
        Some(b'"') => cursor.string().map(|text| Some(text.raw)),
        Some(b'-' | b'0'..=b'9') => cursor.number().map(Some),
        _ => cursor.value().map(|_| None),
    }
}

/// `ApproximateCreationDateTime` and its unit.
#[derive(Default)]
struct Time<'a> {
    value: Option<&'a str>,
    precision: Option<&'a str>,
}

impl Time<'_> {
    /// The unit is the channel's: seconds on Streams, milliseconds on Kinesis unless the record says microseconds (or
    /// has the digits of them). A recorded file may come from either: there the magnitude tells.
    fn micros(&self, channel: Channel) -> Option<i64> {
        let value = number(self.value?).filter(|value| value.is_finite())?;
        let per_unit = match (channel, self.precision) {
            (_, Some("MICROSECOND")) => 1.0,
            (_, Some("MILLISECOND")) => 1e3,
            (Channel::Streams, _) => 1e6,
            (Channel::Kinesis, _) if value.abs() < 1e14 => 1e3,
            (Channel::Kinesis, _) => 1.0,
            (Channel::Recorded, _) if value.abs() < 1e11 => 1e6,
            (Channel::Recorded, _) if value.abs() < 1e14 => 1e3,
            (Channel::Recorded | Channel::Snapshot(_) | Channel::NetChange(_), _) => 1.0,
        };
        let micros = (value * per_unit).round();
        (micros.abs() < 9e18).then_some(micros as i64)
    }
}

/// A number as a double. One of few digits, which is one exactly, takes no rounding.
fn number(text: &str) -> Option<f64> {
    let digits = text.bytes().try_fold(0_u64, |number, byte| {
        byte.is_ascii_digit().then(|| number.wrapping_mul(10) + u64::from(byte - b'0'))
    });
    match digits {
        Some(number) if (1..16).contains(&text.len()) => Some(number as f64),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_record() {
        let page = include_str!("../../tests/fixtures/streams_getrecords_page.json");
        let page: serde_json::Value = serde_json::from_str(page).unwrap();
        let record = page["Records"][0].to_string();
        let envelope = read(record.as_bytes(), Channel::Streams).unwrap();
        assert_eq!(envelope.event_name, "INSERT");
        assert_eq!(envelope.changed_at, Some(1_795_165_200_000_000));
        assert!(envelope.new_image.is_some() && envelope.old_image.is_none() && !envelope.ttl);
    }

    #[test]
    fn kinesis_records_in_both_units() {
        for line in include_str!("../../tests/fixtures/kds_records.ndjson").lines() {
            let envelope = read(line.as_bytes(), Channel::Kinesis).unwrap();
            let micros = envelope.changed_at.unwrap();
            assert!((1_795_000_000_000_000..1_796_000_000_000_000).contains(&micros), "{line}");
            assert_eq!(envelope.table.as_deref(), Some("Orders"));
        }
    }

    #[test]
    fn lambda_records_name_their_table_and_time_to_live() {
        let event: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/lambda_dynamodb_event.json")).unwrap();
        let records: Vec<String> = event["Records"].as_array().unwrap().iter().map(ToString::to_string).collect();
        let envelopes: Vec<_> = records.iter().map(|r| read(r.as_bytes(), Channel::Streams).unwrap()).collect();
        assert!(envelopes.iter().all(|envelope| envelope.table.as_deref() == Some("Orders")));
        assert!(envelopes.iter().any(|envelope| envelope.ttl));
    }

    #[test]
    fn times_of_every_form() {
        let at = |time: &str, channel| {
            let json =
                format!(r#"{{"eventName":"INSERT","dynamodb":{{"Keys":{{}},"ApproximateCreationDateTime":{time}}}}}"#);
            read(json.as_bytes(), channel).unwrap().changed_at
        };
        assert_eq!(at("1.4799006E9", Channel::Streams), Some(1_479_900_600_000_000));
        assert_eq!(at("\"1479900600\"", Channel::Streams), Some(1_479_900_600_000_000));
        assert_eq!(at("1795165200136", Channel::Kinesis), Some(1_795_165_200_136_000));
        assert_eq!(at("1795165200123456", Channel::Kinesis), Some(1_795_165_200_123_456));
        assert_eq!(at("1795165200123456", Channel::Recorded), Some(1_795_165_200_123_456));
        assert_eq!(at("1795165200", Channel::Recorded), Some(1_795_165_200_000_000));
        assert_eq!(at("null", Channel::Streams), None);
        assert_eq!(at("1e400", Channel::Streams), None);
    }

    #[test]
    fn what_is_no_change_says_why() {
        let why = |payload: &[u8]| read(payload, Channel::Recorded).unwrap_err().to_string();
        assert_eq!(why(b"\xff\x00"), "it is not UTF-8 text");
        assert_eq!(why(b"hello"), "it is not a change: expected an object at byte 0");
        assert_eq!(why(b"{\"n\":1}"), "it is not a change: it has no member `dynamodb`");
        assert_eq!(why(b"{\"dynamodb\":{}}"), "it is not a change: it has no member `eventName`");
        assert_eq!(
            why(b"{\"eventName\":\"INSERT\",\"dynamodb\":{}}"),
            "it is not a change: it has no `Keys` and no image"
        );
    }
}

//! One change on one line, for people: time, table, operation, keys, and what a MODIFY changed.

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use crate::change::{Record, ShardId};
use crate::commands::change::{Change, NoChange};
use crate::commands::text::{clip, clip_text, clip_value, clipped};
use crate::decode::envelope::Envelope;
use crate::decode::item::{self, Value};
use crate::decode::json::{Malformed, Part, Text};

/// The longest value of a key, in characters.
const KEY_CHARS: usize = 60;
/// The longest name of an attribute.
const NAME_CHARS: usize = 40;
/// The longest old or new value.
const VALUE_CHARS: usize = 32;
/// How much is shown of a record that is no change.
const PAYLOAD_CHARS: usize = 80;
/// How many changed attributes are named; of others, how many they are.
const CHANGED_NAMED: usize = 12;

/// The line of one record, without its end.
pub(super) fn line(record: &Record, shard: &ShardId, read: &Result<Change<'_>, NoChange>) -> String {
    match read {
        Ok(change) => change_line(change),
        Err(no_change) => no_change_line(record, shard, no_change),
    }
}

fn change_line(change: &Change<'_>) -> String {
    let envelope = &change.envelope;
    let ttl = if envelope.ttl { " ttl" } else { "" };
    let mut line = beginning(envelope.changed_at, &change.table, &format!("{}{ttl}", envelope.event_name));
    if let Some(keys) = envelope.keys.or(envelope.new_image).or(envelope.old_image) {
        each(keys, |name, value| {
            line.push(' ');
            clip_text(name, NAME_CHARS, &mut line);
            line.push('=');
            clip_value(&value, KEY_CHARS, &mut line);
        });
    }
    if envelope.event_name == "MODIFY" {
        changed(envelope, &mut line);
    }
    line
}

fn no_change_line(record: &Record, shard: &ShardId, no_change: &NoChange) -> String {
    let table = no_change.table.as_deref().unwrap_or("-");
    let mut line = beginning(None, table, "NO CHANGE");
    line.push(' ');
    clip(shard.as_str(), KEY_CHARS, &mut line);
    // Writing to a String can't fail.
    _ = write!(line, " {}: {}: ", record.position, clipped(&no_change.why, PAYLOAD_CHARS));
    clip(&String::from_utf8_lossy(&record.payload), PAYLOAD_CHARS, &mut line);
    line
}

fn beginning(changed_at: Option<i64>, table: &str, operation: &str) -> String {
    let time = changed_at.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let time = time.map_or_else(|| "-".to_owned(), |time| format!("{time:.3}"));
    format!("{time:<24}  {:<14}  {:<11}", clipped(table, 255), clipped(operation, NAME_CHARS))
}

/// The attributes that differ between the images, where the stream shows both.
fn changed(envelope: &Envelope<'_>, line: &mut String) {
    let (Some(old), Some(new)) = (envelope.old_image, envelope.new_image) else { return };
    let mut before: HashMap<&str, Value<'_>> = HashMap::new();
    each(old, |name, value| _ = before.insert(name.raw, value));
    let mut count = 0;
    each(new, |name, value| match before.remove(name.raw) {
        Some(old) if old.raw == value.raw => {}
        old => attribute(line, &mut count, name, old, Some(value)),
    });
    // In the order of the old image.
    each(old, |name, value| {
        if before.contains_key(name.raw) {
            attribute(line, &mut count, name, Some(value), None);
        }
    });
    if count > CHANGED_NAMED {
        _ = write!(line, ", {} more", count - CHANGED_NAMED);
    }
}

fn attribute(line: &mut String, count: &mut usize, name: Text<'_>, old: Option<Value<'_>>, new: Option<Value<'_>>) {
    *count += 1;
    if *count > CHANGED_NAMED {
        return;
    }
    line.push_str(if *count == 1 { "  | " } else { ", " });
    let sign = match (&old, &new) {
        (None, _) => "+",
        (_, None) => "-",
        _ => "",
    };
    line.push_str(sign);
    clip_text(name, NAME_CHARS, line);
    line.push_str(": ");
    if let Some(old) = &old {
        clip_value(old, VALUE_CHARS, line);
    }
    if let (Some(_), Some(_)) = (&old, &new) {
        line.push_str(" → ");
    }
    if let Some(new) = &new {
        clip_value(new, VALUE_CHARS, line);
    }
}

/// Calls `each` for the attributes of an image that has been walked before and is sound.
fn each<'a>(image: Part<'a>, mut each: impl FnMut(Text<'a>, Value<'a>)) {
    let walked = item::walk::<Malformed>(image, |name, value| {
        each(name, value);
        Ok(())
    });
    debug_assert!(walked.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Channel, Position, SequenceNumber};
    use crate::commands::change;
    use crate::source::StreamIdentity;
    use bytes::Bytes;

    fn line_of(payload: &str) -> String {
        let record = Record {
            position: Position::new(SequenceNumber::from_ordinal(7)),
            channel: Channel::Streams,
            table: Some("Thread".into()),
            payload: Bytes::from(payload.to_owned()),
        };
        let stream = StreamIdentity { id: "s".into(), table: None, origin: None };
        line(&record, &ShardId::new("shard-1"), &change::read(&record, &stream))
    }

    #[test]
    fn a_modify_tells_what_changed() {
        let line = line_of(
            r#"{"eventName":"MODIFY","dynamodb":{"ApproximateCreationDateTime":1795165200,
            "Keys":{"ForumName":{"S":"A\tB"},"Subject":{"N":"2"}},
            "OldImage":{"Same":{"S":"x"},"Views":{"N":"1"},"Gone":{"BOOL":true}},
            "NewImage":{"Views":{"N":"2"},"Same":{"S":"x"},"New":{"L":[{"N":"1"}]}}}}"#,
        );
        assert_eq!(
            line,
            "2026-11-20T09:00:00.000Z  Thread          MODIFY      ForumName=\"A\\tB\" Subject=2  | Views: 1 → 2, \
             +New: [1], -Gone: true"
        );
    }

    #[test]
    fn what_the_stream_does_not_show_is_not_guessed() {
        let line = line_of(r#"{"eventName":"MODIFY","dynamodb":{"Keys":{"Id":{"S":"x"}},"NewImage":{"A":{"S":"y"}}}}"#);
        assert_eq!(line, "-                         Thread          MODIFY      Id=\"x\"");
    }

    #[test]
    fn many_changes_are_counted() {
        let image: Vec<String> = (0..20).map(|n| format!(r#""a{n}":{{"N":"1"}}"#)).collect();
        let line = line_of(&format!(
            r#"{{"eventName":"MODIFY","dynamodb":{{"Keys":{{}},"OldImage":{{}},"NewImage":{{{}}}}}}}"#,
            image.join(",")
        ));
        assert!(line.ends_with("+a11: 1, 8 more"), "{line}");
    }

    #[test]
    fn a_broken_image_is_no_change() {
        let line = line_of(r#"{"eventName":"INSERT","dynamodb":{"Keys":{"Id":}}}"#);
        let told = "Thread          NO CHANGE   shard-1 7: expected a value at byte 47: {\"eventName\"";
        assert!(line.contains(told), "{line}");
    }
}

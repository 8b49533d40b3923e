//! How does the format `debezium` write a change: `before`, `after`, `source`, `op`?
//!
//! Rows are plain JSON: `S` a string, `N` a number with all its digits, `M` an object, `L` an array. JSON has no sets and no
//! bytes: those, and whatever has no plain form, keep their DynamoDB form (`{"SS":["q"]}`). A `REMOVE` without an old
//! image has the keys as `before`.

use crate::decode::item;
use crate::decode::json::{Malformed, Part};
use crate::decode::nested::plain_json;
use crate::handler::Change;

use super::{PayloadError, quoted};

/// Writes the change.
///
/// # Errors
/// An image that is not readable, or an event that Debezium has no letter for.
pub fn write(change: &Change, handler: &str) -> Result<String, PayloadError> {
    let envelope = change.envelope()?;
    let op = op(&envelope.event_name)?;
    let old = envelope.old_image.or(if op == 'd' { envelope.keys } else { None });
    let (before, after) = (row(old)?, row(envelope.new_image)?);
    let micros = envelope.changed_at;
    let millis = number(micros.map(|micros| micros.div_euclid(1000)));
    let position = change.record.position;
    // Debezium's `sequence` is a text with a JSON list.
    let sequence = format!("[{},{}]", quoted(change.shard.as_str()), quoted(&position.to_string()));
    let source = [
        ("version", quoted(env!("CARGO_PKG_VERSION"))),
        ("connector", quoted("watershed")),
        ("name", quoted(handler)),
        ("ts_ms", millis.clone()),
        ("ts_us", number(micros)),
        ("snapshot", quoted(if op == 'r' { "true" } else { "false" })),
        ("db", quoted("dynamodb")),
        ("sequence", quoted(&sequence)),
        ("table", quoted(&change.table)),
        ("id", quoted(&change.delivery_id(handler))),
        ("keys", row(envelope.keys)?),
        ("ttl", envelope.ttl.to_string()),
    ];
    let source: Vec<String> = source.into_iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
    let source = source.join(",");
    Ok(format!("{{\"before\":{before},\"after\":{after},\"source\":{{{source}}},\"op\":\"{op}\",\"ts_ms\":{millis}}}"))
}

fn op(event: &str) -> Result<char, PayloadError> {
    match event {
        "INSERT" => Ok('c'),
        "MODIFY" => Ok('u'),
        "REMOVE" => Ok('d'),
        "READ" => Ok('r'),
        _ => Err(PayloadError::NoWord("debezium")),
    }
}

fn number(value: Option<i64>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

/// An image as plain JSON.
fn row(image: Option<Part<'_>>) -> Result<String, PayloadError> {
    let Some(image) = image else { return Ok("null".to_owned()) };
    let mut out = b"{".to_vec();
    item::walk::<Malformed>(image, |name, value| {
        if out.len() > 1 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.raw.as_bytes());
        out.extend_from_slice(b"\":");
        if !plain_json(&value, &mut out)? {
            value.check()?;
            out.extend_from_slice(value.raw.as_bytes());
        }
        Ok(())
    })?;
    out.push(b'}');
    // Pieces of one text, joined with ASCII.
    let text = String::from_utf8(out).map_err(|_| Malformed { at: 0, what: "it is not UTF-8" })?;
    Ok(text.replace(['\n', '\r'], ""))
}

//! How does our own format, `change`, write a change?
//!
//! ```json
//! {"id":"…","table":"Reply","op":"MODIFY","ttl":false,"changed_at":"2026-11-20T09:00:00Z","shard":"shardId-…",
//!  "sequence":"…","sub":0,"keys":{"Id":{"S":"…"}},"new":{…},"old":{…}}
//! ```
//!
//! The members, their order and their types are promised; more may follow. Images are DynamoDB JSON, byte for byte as
//! they came but for line breaks between tokens.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{PayloadError, image, time};
use crate::handler::Change;

/// What has no value is `null`.
#[derive(Serialize)]
pub(super) struct Members<'a> {
    /// The delivery's id.
    id: String,
    table: &'a str,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    op: &'a str,
    /// Whether DynamoDB's time-to-live deleted the item.
    ttl: bool,
    changed_at: Option<String>,
    shard: &'a str,
    sequence: &'a str,
    /// Its place inside an aggregate of the Kinesis Producer Library; 0 elsewhere.
    sub: u32,
    keys: Option<Box<RawValue>>,
    new: Option<Box<RawValue>>,
    old: Option<Box<RawValue>>,
}

/// Writes the change.
///
/// # Errors
/// An image that is not JSON.
pub fn write(change: &Change, handler: &str) -> Result<String, PayloadError> {
    with_members(change, handler, |members| {
        // Strings, numbers and JSON always serialise.
        Ok(serde_json::to_string(members).unwrap_or_default())
    })
}

/// The members, for whoever writes them otherwise.
pub(super) fn with_members<T>(
    change: &Change,
    handler: &str,
    write: impl FnOnce(&Members<'_>) -> Result<T, PayloadError>,
) -> Result<T, PayloadError> {
    let envelope = change.envelope()?;
    write(&Members {
        id: change.delivery_id(handler),
        table: &change.table,
        op: &envelope.event_name,
        ttl: envelope.ttl,
        changed_at: time(envelope.changed_at),
        shard: change.shard.as_str(),
        sequence: change.record.position.sequence.as_str(),
        sub: change.record.position.sub,
        keys: image(envelope.keys)?,
        new: image(envelope.new_image)?,
        old: image(envelope.old_image)?,
    })
}

//! How a record that is no change is kept: one JSON object a line, with its original bytes and the reason.

use serde::Serialize;

use crate::change::{Record, ShardId, TableName};

#[derive(Serialize)]
struct DeadLetter<'a> {
    stream_shard: &'a str,
    sequence: String,
    sub: u32,
    table: Option<&'a str>,
    reason: &'a str,
    payload_base64: String,
}

/// Appends the dead letter of `record` to `lines`.
pub(super) fn append(lines: &mut Vec<u8>, shard: &ShardId, record: &Record, table: Option<&TableName>, reason: &str) {
    let letter = DeadLetter {
        stream_shard: shard.as_str(),
        sequence: record.position.sequence.to_sortable(),
        sub: record.position.sub,
        table: table.map(|table| &**table),
        reason,
        payload_base64: base64_simd::STANDARD.encode_to_string(&record.payload),
    };
    // A struct of strings and numbers always serialises.
    lines.extend(serde_json::to_vec(&letter).unwrap_or_default());
    lines.push(b'\n');
}

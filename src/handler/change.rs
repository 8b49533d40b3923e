//! What does a handler see of a change: where it stands, its bytes, and whose change it is.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::change::{Record, ShardId, TableName};
use crate::decode::envelope::{self, Envelope, NotAChange};
use crate::decode::item::{self, Kind};
use crate::decode::json::Malformed;
use crate::decode::number;

/// One change on its way to a handler. Cloning copies no payload.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its position and bytes.
    pub record: Record,
    /// Its table.
    pub table: TableName,
    /// The id of its stream ([`crate::source::StreamIdentity::id`]).
    pub stream: Arc<str>,
    /// Its shard.
    pub shard: ShardId,
    /// Whose change it is.
    pub item: ItemId,
    /// When the change was made, µs since the epoch, where the record says so.
    pub changed_at: Option<i64>,
}

impl Change {
    /// Reads whose change a record is.
    ///
    /// # Errors
    /// [`NotAChange`] if it is none.
    pub fn read(record: Record, table: TableName, stream: Arc<str>, shard: ShardId) -> Result<Self, NotAChange> {
        let envelope = envelope::read(&record.payload, record.channel)?;
        let (item, changed_at) = (ItemId::of(&table, &envelope), envelope.changed_at);
        Ok(Self { record, table, stream, shard, item, changed_at })
    }

    /// The parts of the change: event, time, keys and images. Parsed anew with each call.
    ///
    /// # Errors
    /// None for changes the engine delivers; it has parsed them before.
    pub fn envelope(&self) -> Result<Envelope<'_>, NotAChange> {
        envelope::read(&self.record.payload, self.record.channel)
    }

    /// What names this delivery of this change to `handler` for good: the same on every attempt and after every
    /// restart, so that a target can drop repetitions. 32 hexadecimal digits: SHA-256 of
    /// `stream:shard:sequence:sub:handler`, its first half.
    pub fn delivery_id(&self, handler: &str) -> String {
        let position = self.record.position;
        let parts = format!("{}:{}:{}:{}:{handler}", self.stream, self.shard, position.sequence.as_str(), position.sub);
        hex(&Sha256::digest(parts))
    }
}

/// Tells items apart: the first half of a SHA-256 over table and key, so that neither reaches logs through it. Two items
/// that met in it would wait for each other, nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId([u8; 16]);

impl ItemId {
    /// The item of `table` whose change this is, by its keys; numbers that are equal are one key (`1`, `1.0`). Changes
    /// without readable keys are taken for changes of one item.
    pub fn of(table: &str, change: &Envelope<'_>) -> Self {
        let mut keys: Vec<(String, String)> = Vec::with_capacity(2);
        if let Some(image) = change.keys {
            let walked = item::walk::<Malformed>(image, |name, value| {
                let text = match value.kind {
                    Kind::N(text) => text.decode().map(|text| format!("N{}", number::canonical(&text))),
                    Kind::S(text) => text.decode().map(|text| format!("S{text}")),
                    _ => Some(value.raw.to_owned()),
                };
                keys.push((name.decode().unwrap_or_default().into_owned(), text.unwrap_or_default()));
                Ok(())
            });
            if walked.is_err() {
                keys.clear();
            }
        }
        keys.sort_unstable();
        let mut hash = Sha256::new();
        for part in [table].into_iter().chain(keys.iter().flat_map(|(name, value)| [name.as_str(), value])) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Self(id)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Channel;

    fn item(table: &str, keys: &str) -> ItemId {
        let text = format!(r#"{{"eventName":"MODIFY","dynamodb":{{"Keys":{keys}}}}}"#);
        ItemId::of(table, &envelope::read(text.as_bytes(), Channel::Streams).unwrap())
    }

    #[test]
    fn items_are_told_apart_by_table_and_key() {
        let a = item("T", r#"{"pk":{"S":"a"},"sk":{"N":"1"}}"#);
        assert_eq!(a, item("T", r#"{ "sk":{"N":"1.0"}, "pk":{"S":"\u0061"} }"#));
        for other in
            [r#"{"pk":{"S":"a"},"sk":{"N":"2"}}"#, r#"{"pk":{"S":"a"},"sk":{"S":"1"}}"#, r#"{"pk":{"B":"YQ=="}}"#]
        {
            assert_ne!(a, item("T", other), "{other}");
        }
        assert_ne!(a, item("U", r#"{"pk":{"S":"a"},"sk":{"N":"1"}}"#));
        assert_eq!(item("T", r#"{"a":{"S":"xb"}}"#).to_string().len(), 32);
    }
}

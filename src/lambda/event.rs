//! What does an event of a stream's mapping hold? One walk over its bytes, and every change a slice of them.
//!
//! The published event types are not used: they read times on the wrong scale (seconds for milliseconds, and fractions for
//! nanoseconds). A change's bytes go to the decoder as they came.

use bytes::Bytes;

use crate::change::{Channel, Position, Record, SequenceNumber, ShardId, TableName};
use crate::decode::json::{Cursor, Elements, Malformed, Members};
use crate::source::deaggregate;

/// A batch of records of one shard.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The ARN of the stream, `eventSourceARN`; `None` if there is no record.
    pub arn: Option<String>,
    /// The shard, where the event names it (Kinesis).
    pub shard: Option<ShardId>,
    /// The records, in the order of the event.
    pub items: Vec<Item>,
    /// Whether the mapping has a tumbling window, and its state then (JSON): the answer has to give one back.
    pub window: Option<String>,
}

/// A record of the service: what an answer can name.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its sequence number as the event writes it.
    pub identifier: String,
    /// The changes it holds: one, or those of an aggregate.
    pub records: Vec<Record>,
}

/// Why an event is refused as a whole.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotABatch {
    /// Not JSON.
    #[error("the event is not JSON: {0}")]
    Malformed(#[from] Malformed),
    /// Another kind of event.
    #[error(
        "this is {0}, and no batch of a DynamoDB stream or a Kinesis stream. Let an event source mapping of the stream \
         invoke the function"
    )]
    Foreign(String),
    /// A record lacks what every record has.
    #[error("record {at} of the event {what}")]
    Broken {
        /// Its place in the event, from 0.
        at: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// Reads an event.
pub fn read(bytes: &Bytes) -> Result<Batch, NotABatch> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Malformed { at: 0, what: "it is not UTF-8 text" })?;
    let mut cursor = Cursor::new(text);
    let mut batch = Batch { arn: None, shard: None, items: Vec::new(), window: None };
    if cursor.peek() != Some(b'{') {
        cursor.value()?;
        cursor.end()?;
        return Err(NotABatch::Foreign("a JSON value that is no object".to_owned()));
    }
    let (mut names, mut records, mut state) = (Vec::new(), None, None);
    let (mut window, mut named) = (false, None);
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next(&mut cursor)? {
        let (value, kind) = (name.raw, cursor.peek());
        let raw = cursor.value()?;
        match (value, kind) {
            ("Records", Some(b'[')) => records = Some(raw),
            ("window", Some(b'{')) => window = true,
            ("state", Some(b'{')) => state = Some(raw),
            ("eventSourceARN", Some(b'"')) => named = plain(raw),
            _ => {}
        }
        names.push(value);
    }
    cursor.end()?;
    let Some(records) = records else { return Err(NotABatch::Foreign(looks_like(&names))) };
    let mut cursor = Cursor::new(records);
    let mut elements = Elements::open(&mut cursor)?;
    while elements.next(&mut cursor)? {
        let raw = cursor.value()?;
        let found = Fields::of(raw, batch.items.len())?;
        batch.push(bytes, raw, &found)?;
    }
    batch.window = window.then(|| state.unwrap_or("{}").to_owned());
    batch.arn = batch.arn.or(named);
    Ok(batch)
}

/// The members of a record that are looked at.
#[derive(Default)]
struct Fields<'a> {
    source: Option<String>,
    arn: Option<String>,
    event_id: Option<String>,
    sequence: Option<&'a str>,
    data: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn of(raw: &'a str, at: usize) -> Result<Self, NotABatch> {
        let mut found = Self::default();
        let mut cursor = Cursor::new(raw);
        if cursor.peek() != Some(b'{') {
            return Err(NotABatch::Broken { at, what: "is no object".to_owned() });
        }
        let mut members = Members::open(&mut cursor)?;
        while let Some(name) = members.next(&mut cursor)? {
            let kind = cursor.peek();
            let value = cursor.value()?;
            match (name.raw, kind) {
                ("eventSource" | "EventSource", Some(b'"')) => found.source = plain(value),
                ("eventSourceARN", Some(b'"')) => found.arn = plain(value),
                ("eventID", Some(b'"')) => found.event_id = plain(value),
                ("dynamodb", Some(b'{')) => found.inner(value, "SequenceNumber")?,
                ("kinesis", Some(b'{')) => found.inner(value, "sequenceNumber")?,
                _ => {}
            }
        }
        Ok(found)
    }

    fn inner(&mut self, raw: &'a str, sequence: &str) -> Result<(), NotABatch> {
        let mut cursor = Cursor::new(raw);
        let mut members = Members::open(&mut cursor)?;
        while let Some(name) = members.next(&mut cursor)? {
            let kind = cursor.peek();
            let value = cursor.value()?;
            match kind {
                Some(b'"') if name.raw == sequence => self.sequence = value.get(1..value.len() - 1),
                Some(b'"') if name.raw == "data" => self.data = value.get(1..value.len() - 1),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Batch {
    fn push(&mut self, bytes: &Bytes, raw: &str, found: &Fields<'_>) -> Result<(), NotABatch> {
        let at = self.items.len();
        let broken = |what: &str| NotABatch::Broken { at, what: what.to_owned() };
        let kinesis = match found.source.as_deref() {
            Some("aws:dynamodb") => false,
            Some("aws:kinesis") => true,
            Some(other) => return Err(NotABatch::Foreign(format!("an event of `{}`", other.escape_debug()))),
            None => return Err(broken("names no eventSource")),
        };
        let arn = found.arn.as_deref().filter(|arn| arn.starts_with("arn:"));
        let arn = arn.ok_or_else(|| broken("names no eventSourceARN"))?;
        if self.arn.get_or_insert_with(|| arn.to_owned()) != arn {
            return Err(broken("is of another stream than the first; an invocation has records of one shard"));
        }
        let sequence = found.sequence.ok_or_else(|| broken("has no sequence number"))?;
        let number = SequenceNumber::parse(sequence).map_err(|why| broken(&format!("can't be placed: {why}")))?;
        let records = if kinesis {
            self.name_shard(found, &broken)?;
            changes_of(bytes, raw, found, number)
        } else {
            let table = table_of(arn).ok_or_else(|| broken("names no table in its eventSourceARN"))?;
            let payload = bytes.slice_ref(raw.as_bytes());
            vec![Record { position: Position::new(number), channel: Channel::Streams, table: Some(table), payload }]
        };
        self.items.push(Item { identifier: sequence.to_owned(), records });
        Ok(())
    }

    fn name_shard(&mut self, found: &Fields<'_>, broken: &dyn Fn(&str) -> NotABatch) -> Result<(), NotABatch> {
        let id = found.event_id.as_deref().and_then(|id| id.split_once(':')).map(|(shard, _)| shard);
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| broken("names no shard in its eventID"))?;
        if self.shard.get_or_insert_with(|| ShardId::new(id)).as_str() != id {
            return Err(broken("is of another shard than the first; an invocation has records of one shard"));
        }
        Ok(())
    }

    /// The table whose stream it is; `None`: each change names its own.
    pub fn table(&self) -> Option<TableName> {
        self.arn.as_deref().and_then(table_of)
    }
}

/// The changes of a Kinesis record. What is not base64 is kept as the event has it: it will turn out to be no change.
fn changes_of(bytes: &Bytes, raw: &str, found: &Fields<'_>, sequence: SequenceNumber) -> Vec<Record> {
    let record = |sub: u32, payload: Bytes| Record {
        position: Position { sequence, sub },
        channel: Channel::Kinesis,
        table: None,
        payload,
    };
    let data = found.data.and_then(|data| base64_simd::STANDARD.decode_to_vec(data).ok()).map(Bytes::from);
    let Some(data) = data else { return vec![record(0, bytes.slice_ref(raw.as_bytes()))] };
    match deaggregate(&data) {
        Some(users) => (0..).zip(users).map(|(sub, user)| record(sub, user.data)).collect(),
        None => vec![record(0, data)],
    }
}

/// The text of a JSON string.
fn plain(raw: &str) -> Option<String> {
    Cursor::new(raw).string().ok()?.decode().map(|text| text.into_owned())
}

fn table_of(arn: &str) -> Option<TableName> {
    let (_, table) = arn.split_once(":table/")?;
    table.split('/').next().filter(|table| !table.is_empty()).map(TableName::from)
}

/// What an event without records is, by its members.
fn looks_like(names: &[&str]) -> String {
    let has = |name: &str| names.contains(&name);
    let kind = match () {
        () if names.is_empty() => "an empty event",
        () if has("detail-type") => "an EventBridge event",
        () if has("DDBStreamBatchInfo") || has("KinesisBatchInfo") => {
            "what a mapping has given up with (its `payload`, which a bucket as on-failure destination keeps, is the event)"
        }
        () if has("awslogs") => "an event of CloudWatch Logs",
        () if has("requestContext") || has("httpMethod") || has("rawPath") => "an HTTP request",
        () if has("records") => "an event of Kafka or Firehose",
        () if has("rmqMessagesByQueue") || has("messages") => "an event of a message broker",
        () if has("key1") => "the console's test event",
        () if has("batchItemFailures") => "the answer to a batch",
        () => {
            let known: Vec<_> = names.iter().take(5).map(|name| format!("`{}`", name.escape_debug())).collect();
            return format!("an event with the members {}", known.join(", "));
        }
    };
    kind.to_owned()
}

#[cfg(test)]
mod tests;

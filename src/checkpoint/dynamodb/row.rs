//! What does a row of the state table look like? KCL's names for what KCL knows, ours for the rest.
//!
//! | attribute | type | what |
//! |---|---|---|
//! | `leaseKey` | S | `<pipeline>/<stream>/<shard>/<sink>`, each escaped: the table's key |
//! | `checkpoint` | S | the sequence number, or `SHARD_END`, `TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP` |
//! | `checkpointSubSequenceNumber` | N | the record inside a KPL aggregate, otherwise 0 |
//! | `position` | S | the same place, sortable as text ([`crate::checkpoint`]'s order): what the condition compares |
//! | `startTime` | N | for `LATEST` and `AT_TIMESTAMP`: µs since the epoch |
//! | `range` | N | the lake's range that ends there, a hint |
//! | `pipeline`, `stream`, `shardId`, `sink` | S | the parts of the key, unescaped |
//! | `updatedAt` | N | when it was written, µs since the epoch; for people |

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::change::ShardId;
use crate::checkpoint::names::escape;
use crate::checkpoint::stored::Stored;
use crate::checkpoint::{Checkpoint, CheckpointKey};

/// A row as the SDK has it.
pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const LEASE_KEY: &str = "leaseKey";
pub(super) const PIPELINE: &str = "pipeline";
pub(super) const STREAM: &str = "stream";
const SHARD: &str = "shardId";
const SINK: &str = "sink";
const CHECKPOINT: &str = "checkpoint";
const SUB: &str = "checkpointSubSequenceNumber";
const POSITION: &str = "position";
const START_TIME: &str = "startTime";
const RANGE: &str = "range";
const UPDATED_AT: &str = "updatedAt";

/// A row, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: CheckpointKey,
    pub(super) checkpoint: Checkpoint,
    pub(super) updated_at: i64,
}

/// The parts of an `UpdateItem` that writes a row.
pub(super) struct Update {
    pub(super) expression: String,
    pub(super) condition: &'static str,
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

impl Row {
    /// The key of the row in the table.
    pub(super) fn table_key(&self, pipeline: &str) -> Item {
        HashMap::from([(LEASE_KEY.to_owned(), AttributeValue::S(lease_key(pipeline, &self.key)))])
    }

    /// Writes all our attributes and leaves others' alone; refused if the row is further or not one of ours.
    pub(super) fn update(&self, pipeline: &str) -> Update {
        let Stored { checkpoint, sub, position, start_time, range } = Stored::from(&self.checkpoint);
        let (text, number) = (AttributeValue::S, AttributeValue::N);
        let fields = [
            (PIPELINE, Some(text(pipeline.to_owned()))),
            (STREAM, Some(text(self.key.stream.clone()))),
            (SHARD, Some(text(self.key.shard.as_str().to_owned()))),
            (SINK, Some(text(self.key.sink.clone()))),
            (CHECKPOINT, Some(text(checkpoint))),
            (SUB, Some(number(sub.to_string()))),
            (POSITION, Some(text(position))),
            (START_TIME, start_time.map(|at| number(at.to_string()))),
            (RANGE, range.map(|range| number(range.to_string()))),
            (UPDATED_AT, Some(number(self.updated_at.to_string()))),
        ];
        let mut names = HashMap::from([(format!("#{LEASE_KEY}"), LEASE_KEY.to_owned())]);
        let (mut values, mut set, mut remove) = (HashMap::new(), Vec::new(), Vec::new());
        for (name, value) in fields {
            // Half of them are reserved words of the expression language, so all are written as `#name`.
            names.insert(format!("#{name}"), name.to_owned());
            match value {
                Some(value) => {
                    set.push(format!("#{name} = :{name}"));
                    values.insert(format!(":{name}"), value);
                }
                // What an earlier checkpoint left must not be read as part of this one.
                None => remove.push(format!("#{name}")),
            }
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !remove.is_empty() {
            expression.push_str(&format!(" REMOVE {}", remove.join(", ")));
        }
        let condition = "attribute_not_exists(#leaseKey) OR #position <= :position";
        Update { expression, condition, names, values }
    }

    /// Reads a row, or says which and what is wrong with it.
    pub(super) fn parse(item: &Item, pipeline: &str) -> Result<Self, String> {
        let lease_key = text(item, LEASE_KEY)?;
        let blame = |what: String| format!("the row with leaseKey `{lease_key}` is not one of watershed's: {what}");
        let row = Self::parse_fields(item).map_err(blame)?;
        if self::lease_key(pipeline, &row.key) != lease_key {
            return Err(blame("its key does not fit its other attributes".to_owned()));
        }
        Ok(row)
    }

    fn parse_fields(item: &Item) -> Result<Self, String> {
        let stored = Stored {
            checkpoint: text(item, CHECKPOINT)?.to_owned(),
            sub: number(item, SUB)?.ok_or_else(|| format!("`{SUB}` is missing"))?,
            position: text(item, POSITION)?.to_owned(),
            start_time: number(item, START_TIME)?,
            range: number(item, RANGE)?,
        };
        let key = CheckpointKey {
            stream: text(item, STREAM)?.to_owned(),
            shard: ShardId::new(text(item, SHARD)?),
            sink: text(item, SINK)?.to_owned(),
        };
        Ok(Self { key, checkpoint: stored.to_checkpoint()?, updated_at: number(item, UPDATED_AT)?.unwrap_or_default() })
    }
}

/// DynamoDB takes keys of up to 2048 bytes.
fn lease_key(pipeline: &str, key: &CheckpointKey) -> String {
    let (stream, shard) = (escape(&key.stream, 800), escape(key.shard.as_str(), 400));
    format!("{}/{stream}/{shard}/{}", escape(pipeline, 400), escape(&key.sink, 400))
}

fn text<'a>(item: &'a Item, name: &str) -> Result<&'a str, String> {
    match item.get(name) {
        Some(AttributeValue::S(text)) => Ok(text),
        Some(_) => Err(format!("`{name}` is not a string")),
        None => Err(format!("`{name}` is missing")),
    }
}

fn number<T: std::str::FromStr>(item: &Item, name: &str) -> Result<Option<T>, String> {
    match item.get(name) {
        None => Ok(None),
        Some(AttributeValue::N(digits)) => match digits.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("`{name}` is no whole number in range")),
        },
        Some(_) => Err(format!("`{name}` is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Position, SequenceNumber};
    use crate::checkpoint::StartAt;

    fn row(checkpoint: Checkpoint) -> Row {
        let stream = "arn:aws:dynamodb:us-east-1:1:table/Reply/stream/2026".to_owned();
        let key = CheckpointKey { stream, shard: ShardId::new("shardId-1"), sink: "lake".to_owned() };
        Row { key, checkpoint, updated_at: 42 }
    }

    /// What the update would leave in an empty table.
    fn as_item(row: &Row) -> Item {
        let update = row.update("forum");
        let set = update.values.into_iter().map(|(name, value)| (name.trim_start_matches(':').to_owned(), value));
        set.chain(row.table_key("forum")).collect()
    }

    #[test]
    fn what_an_update_writes_is_read_back() {
        let position = Position { sequence: SequenceNumber::parse("4711").unwrap(), sub: 3 };
        for checkpoint in [
            Checkpoint::Start(StartAt::TrimHorizon),
            Checkpoint::Start(StartAt::Latest(5)),
            Checkpoint::Start(StartAt::Timestamp(-5)),
            Checkpoint::At { position, range: None },
            Checkpoint::At { position, range: Some(u64::MAX) },
            Checkpoint::ShardEnd,
        ] {
            let row = row(checkpoint);
            assert_eq!(Row::parse(&as_item(&row), "forum").unwrap(), row);
        }
    }

    #[test]
    fn the_update_removes_what_the_checkpoint_does_not_have() {
        let update = row(Checkpoint::ShardEnd).update("forum");
        assert!(update.expression.ends_with(" REMOVE #startTime, #range"), "{}", update.expression);
        assert!(update.names.contains_key("#range") && !update.values.contains_key(":range"));
        let start = row(Checkpoint::Start(StartAt::Latest(5))).update("forum");
        assert!(start.expression.ends_with(" REMOVE #range"), "{}", start.expression);
    }

    #[test]
    fn a_row_that_is_not_ours_is_named() {
        let good = as_item(&row(Checkpoint::ShardEnd));
        let spoil = |name: &str, value: Option<AttributeValue>| {
            let mut item = good.clone();
            match value {
                Some(value) => item.insert(name.to_owned(), value),
                None => item.remove(name),
            };
            Row::parse(&item, "forum").unwrap_err()
        };
        for text in [
            spoil(POSITION, None),
            spoil(POSITION, Some(AttributeValue::N("1".into()))),
            spoil(SUB, Some(AttributeValue::N("1E3".into()))),
            spoil(CHECKPOINT, Some(AttributeValue::S("LATEST".into()))),
            spoil(SHARD, Some(AttributeValue::S("shardId-2".into()))),
            spoil(RANGE, Some(AttributeValue::N("1".into()))),
        ] {
            assert!(text.contains("leaseKey `forum/arn%3Aaws%3Adynamodb%3Aus-east-1%3A1%3Atable%2FReply"), "{text}");
        }
        assert!(Row::parse(&good, "other").is_err());
    }
}

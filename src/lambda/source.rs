//! Is a batch of the stream that the pipeline reads, and which chain of the lake is it of?

use crate::change::ShardId;
use crate::pipeline::spec::Origin;
use crate::source::StreamIdentity;

use super::event::Batch;

/// The shard's name of a DynamoDB stream's chain: its events do not say of which shard they are. No service calls a shard
/// so.
pub const SHARD: &str = "lambda";

/// The chain that a batch belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The stream.
    pub stream: StreamIdentity,
    /// The shard.
    pub shard: ShardId,
    /// The stream's ARN.
    pub arn: String,
}

/// Where a batch belongs.
///
/// # Errors
/// The pipeline does not read its stream: the text says what it reads.
pub fn place(origin: &Origin, batch: &Batch) -> Result<Place, String> {
    let arn = batch.arn.as_deref().unwrap_or_default();
    // With enhanced fan-out the consumer's ARN may stand there. The stream stays the same.
    let arn = arn.split_once("/consumer/").map_or(arn, |(stream, _)| stream);
    if !reads(origin, arn) {
        return Err(format!(
            "the batch is of {arn}, and the pipeline's source is {origin}: add it there, or remove the mapping"
        ));
    }
    let shard = batch.shard.clone().unwrap_or_else(|| ShardId::new(SHARD));
    let stream = StreamIdentity { id: arn.to_owned(), table: batch.table(), origin: None };
    Ok(Place { stream, shard, arn: arn.to_owned() })
}

fn reads(origin: &Origin, arn: &str) -> bool {
    match origin {
        Origin::DynamoDbStreams { tables } => tables.iter().any(|table| {
            let Some((owner, stream)) = arn.split_once("/stream/") else { return false };
            let named = owner.split_once(":table/").map(|(_, name)| name) == Some(&**table.table());
            let meant = table.table_id().filter(|id| id.starts_with("arn:")).is_none_or(|id| id == owner);
            named && meant && !stream.is_empty() && table.stream_arn().is_none_or(|only| only == arn)
        }),
        Origin::Kinesis { stream, .. } => match stream.arn() {
            Some(meant) => meant == arn,
            None => arn.split_once(":stream/").map(|(_, name)| name) == Some(stream.name()),
        },
        Origin::File { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(source: &str) -> Origin {
        let text = format!("name = \"p\"\n[source]\n{source}\n[lake]\npath = \"lake\"\n");
        crate::pipeline::read("p.toml", &text).unwrap().source.origin
    }

    fn batch(arn: &str, shard: Option<&str>) -> Batch {
        Batch { arn: Some(arn.to_owned()), shard: shard.map(ShardId::new), items: Vec::new(), window: None }
    }

    const STREAM: &str = "arn:aws:dynamodb:eu-central-1:111122223333:table/Orders/stream/2026-11-20T08:15:30.123";

    #[test]
    fn a_tables_stream_is_one_chain() {
        let named = origin("type = \"dynamodb-streams\"\ntables = [\"Orders\", \"Other\"]");
        let found = place(&named, &batch(STREAM, None)).unwrap();
        assert_eq!((found.stream.id.as_str(), found.stream.table.as_deref()), (STREAM, Some("Orders")));
        assert_eq!(found.shard.as_str(), SHARD);
        let other = STREAM.replace("Orders", "Others");
        let refused = place(&named, &batch(&other, None)).unwrap_err();
        assert!(refused.contains("table/Others/") && refused.contains("Orders, Other"), "{refused}");
        let by_arn =
            "type = \"dynamodb-streams\"\ntables = [\"arn:aws:dynamodb:eu-central-1:111122223333:table/Orders\"]";
        assert!(place(&origin(by_arn), &batch(STREAM, None)).is_ok());
        assert!(place(&origin(by_arn), &batch(&STREAM.replace("1111", "9999"), None)).is_err());
    }

    #[test]
    fn a_kinesis_shard_is_a_chain_whoever_reads_it() {
        let named = origin("type = \"kinesis\"\nstream = \"orders-cdc\"");
        let arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/orders-cdc";
        let plain = place(&named, &batch(arn, Some("shardId-000000000003"))).unwrap();
        assert_eq!(plain.shard.as_str(), "shardId-000000000003");
        let fan_out = batch(&format!("{arn}/consumer/c:1"), Some("shardId-000000000003"));
        assert_eq!(place(&named, &fan_out).unwrap(), plain);
        assert!(place(&named, &batch("arn:aws:kinesis:eu-central-1:111122223333:stream/orders", None)).is_err());
        assert!(place(&named, &batch(STREAM, None)).is_err());
    }
}

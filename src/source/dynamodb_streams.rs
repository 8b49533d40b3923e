//! One DynamoDB stream over the wire: `DescribeStream`, `GetShardIterator`, `GetRecords`.

use std::time::Duration;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::Config;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsOutput;
use aws_sdk_dynamodbstreams::primitives::DateTime;
use aws_sdk_dynamodbstreams::types::{Shard, ShardIteratorType, StreamStatus};

use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber, ShardId, TableName};

use super::aws::reader_retries;
use super::raw_page::RawPage;
use super::retention::dynamodb_shard_born;
use super::wire_error::{Call, start_by_time_error, stream_error};
use super::{
    Pace, ReadFrom, RecordsPage, ShardInfo, ShardIterator, ShardPage, StreamApi, StreamError, StreamIdentity,
    streams_page,
};

/// The most shards one `DescribeStream` names (the service's maximum).
const SHARDS_PER_PAGE: i32 = 100;
/// The most records one `GetRecords` answers (the service's maximum).
const RECORDS_PER_PAGE: i32 = 1000;

/// How a DynamoDB stream may be asked.
///
/// The service publishes no rate for `GetRecords`, only "at most two readers per shard"; Lambda polls four times a
/// second, the Kinesis adapter once.
pub const STREAMS_PACE: Pace = Pace {
    // A shard takes at most 1,000 writes (of 1 KB) a second: five pages of 1,000 records or 1 MB catch up several times
    // faster than a shard can grow, and a trickle of records costs no more than 18,000 calls an hour.
    busy: Duration::from_millis(200),
    idle: Duration::from_secs(1),
    // `DescribeStream` may be called ten times a second per account. A new shard is found this late at most.
    discovery: Duration::from_secs(10),
    // A page is 1 MB as the service counts: values without their JSON. Images of many short attributes take about four
    // times that as JSON.
    page_bytes: 4 << 20,
    finite: false,
    aggregates: false,
};

/// One stream of one table, from when it was switched on until it was switched off.
#[derive(Debug)]
pub struct DynamoDbStream {
    client: Client,
    identity: StreamIdentity,
    table: TableName,
    pace: Pace,
}

impl DynamoDbStream {
    /// The stream with this ARN, whose changes belong to `table`. Nothing is asked of the service yet.
    pub fn new(client: Client, arn: impl Into<String>, table: TableName) -> Self {
        let id: String = arn.into();
        let origin = id.split_once("/stream/").map(|(table, _)| table.to_owned());
        let identity = StreamIdentity { id, table: Some(table.clone()), origin };
        Self { client, identity, table, pace: STREAMS_PACE }
    }

    /// Another pace than [`STREAMS_PACE`] (local servers).
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    fn arn(&self) -> &str {
        &self.identity.id
    }

    async fn describe(&self, from: Option<&str>) -> Result<ShardPage, StreamError> {
        let call = Call { action: "dynamodb:DescribeStream", resource: self.arn() };
        let answer = self
            .client
            .describe_stream()
            .stream_arn(self.arn())
            .limit(SHARDS_PER_PAGE)
            .set_exclusive_start_shard_id(from.map(str::to_owned))
            .send()
            .await
            .map_err(|error| stream_error(&error, call))?;
        let stream =
            answer.stream_description.ok_or_else(|| StreamError::Transient(format!("{call}: the answer is empty")))?;
        let next = stream.last_evaluated_shard_id.filter(|id| !id.is_empty());
        if next.is_some() && next.as_deref() == from {
            let cursor = next.unwrap_or_default();
            return Err(StreamError::Transient(format!("{call}: the list goes in circles at {cursor}")));
        }
        let shards =
            stream.shards.unwrap_or_default().into_iter().map(|shard| {
                shard_info(shard).ok_or_else(|| StreamError::Transient(format!("{call}: a shard has no id")))
            });
        Ok(ShardPage {
            shards: shards.collect::<Result<_, _>>()?,
            next,
            enabled: matches!(stream.stream_status, Some(StreamStatus::Enabled | StreamStatus::Enabling)),
        })
    }

    async fn iterator(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, StreamError> {
        let call = Call { action: "dynamodb:GetShardIterator", resource: self.arn() };
        let request = self.client.get_shard_iterator().stream_arn(self.arn()).shard_id(shard.as_str());
        let request = match from {
            ReadFrom::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            ReadFrom::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            ReadFrom::Timestamp(micros) => {
                request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(to_millis(micros))
            }
            ReadFrom::At(sequence) => {
                request.shard_iterator_type(ShardIteratorType::AtSequenceNumber).sequence_number(to_digits(&sequence))
            }
            ReadFrom::After(sequence) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(to_digits(&sequence)),
        };
        let request = request.customize().config_override(Config::builder().retry_config(reader_retries()));
        let answer = request.send().await.map_err(|error| match from {
            ReadFrom::Timestamp(_) => start_by_time_error(&error, call),
            _ => stream_error(&error, call),
        })?;
        let iterator = answer.shard_iterator.filter(|iterator| !iterator.is_empty());
        iterator.map(ShardIterator).ok_or_else(|| StreamError::Transient(format!("{call}: no iterator came")))
    }

    async fn records(&self, iterator: &ShardIterator) -> Result<RecordsPage, StreamError> {
        let call = Call { action: "dynamodb:GetRecords", resource: self.arn() };
        let raw = RawPage::new(|| Ok(GetRecordsOutput::builder().build()));
        self.client
            .get_records()
            .shard_iterator(&iterator.0)
            .limit(RECORDS_PER_PAGE)
            .customize()
            .interceptor(raw.clone())
            .config_override(Config::builder().retry_config(reader_retries()))
            .send()
            .await
            .map_err(|error| stream_error(&error, call))?;
        let body = raw.take().ok_or_else(|| StreamError::Transient(format!("{call}: the answer is empty")))?;
        let page = streams_page::cut(&body).map_err(|error| StreamError::Transient(format!("{call}: {error}")))?;
        let record = |(sequence, payload)| Record {
            position: Position::new(sequence),
            channel: Channel::Streams,
            table: Some(self.table.clone()),
            payload,
        };
        Ok(RecordsPage {
            records: page.records.into_iter().map(record).collect(),
            next: page.next.map(ShardIterator),
            names_children: false,
            millis_behind: None,
            bytes: body.len(),
        })
    }
}

impl StreamApi for DynamoDbStream {
    fn identity(&self) -> &StreamIdentity {
        &self.identity
    }

    fn list_shards<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        Box::pin(self.describe(from))
    }

    fn shard_iterator<'a>(
        &'a self,
        shard: &'a ShardId,
        from: ReadFrom,
    ) -> BoxFuture<'a, Result<ShardIterator, StreamError>> {
        Box::pin(self.iterator(shard, from))
    }

    fn get_records<'a>(
        &'a self,
        _: &'a ShardId,
        iterator: &'a ShardIterator,
    ) -> BoxFuture<'a, Result<RecordsPage, StreamError>> {
        Box::pin(self.records(iterator))
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn born(&self, shard: &ShardId) -> Option<i64> {
        dynamodb_shard_born(shard)
    }
}

fn shard_info(shard: Shard) -> Option<ShardInfo> {
    Some(ShardInfo {
        id: ShardId::new(shard.shard_id.filter(|id| !id.is_empty())?),
        parents: shard.parent_shard_id.filter(|id| !id.is_empty()).map(ShardId::new).into_iter().collect(),
        closed: shard.sequence_number_range.is_some_and(|range| range.ending_sequence_number.is_some()),
    })
}

/// As the service wants it back: 21 digits at least. AWS's own numbers have them; those of DynamoDB Local have leading
/// zeros, which [`SequenceNumber`] dropped.
fn to_digits(sequence: &SequenceNumber) -> String {
    format!("{:0>21}", sequence.as_str())
}

/// The services know milliseconds: rounded down, so that no record at or after the time is left out.
pub(super) fn to_millis(micros: i64) -> DateTime {
    DateTime::from_millis(micros.div_euclid(1000))
}

//! One Kinesis stream over the wire: `ListShards`, `GetShardIterator`, `GetRecords`; and the streams of a pipeline.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Config;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::{RecordDistributionStrategy, Shard, ShardIteratorType, StreamDescriptionSummary};
use bytes::Bytes;

use crate::BoxFuture;
use crate::change::{Channel, Position, Record, SequenceNumber, ShardId};

use super::aws::{Aws, reader_retries};
use super::dynamodb_streams::to_millis;
use super::raw_page::RawPage;
use super::wire_error::{Call, start_by_time_error, stream_error};
use super::{
    Pace, ReadFrom, RecordsPage, ShardInfo, ShardIterator, ShardPage, StreamApi, StreamError, StreamFinder,
    StreamIdentity, kinesis_page, kpl,
};

/// The most records one `GetRecords` answers (the service's maximum).
const RECORDS_PER_PAGE: i32 = 10_000;

/// How a Kinesis stream may be asked.
pub const KINESIS_PACE: Pace = Pace {
    // Five `GetRecords` a second per shard, all its readers together.
    busy: Duration::from_millis(200),
    idle: Duration::from_secs(1),
    discovery: Duration::from_secs(10),
    // A full page is 10 MiB of data: 14 MiB of JSON, for a moment beside the decoded data.
    page_bytes: 24 << 20,
    finite: false,
    aggregates: true,
};

/// One Kinesis stream, from its creation to its deletion.
#[derive(Debug)]
pub struct KinesisStream {
    client: Client,
    identity: StreamIdentity,
    arn: String,
    name: String,
    pace: Pace,
}

impl KinesisStream {
    /// Asks the service for the stream with this name or ARN.
    pub async fn open(client: Client, stream: &str) -> Result<Self, StreamError> {
        let call = Call { action: "kinesis:DescribeStreamSummary", resource: stream };
        let request = client.describe_stream_summary();
        let request = match stream.starts_with("arn:") {
            true => request.stream_arn(stream),
            false => request.stream_name(stream),
        };
        let answer = request.send().await.map_err(|error| match stream_error(&error, call) {
            StreamError::NotFound(told) => StreamError::Fatal(format!(
                "there is no Kinesis stream {stream}. Check its name, AWS_REGION and AWS_PROFILE ({told})"
            )),
            error => error,
        })?;
        let summary = answer
            .stream_description_summary
            .ok_or_else(|| StreamError::Transient(format!("{call}: the answer is empty")))?;
        refuse_unordered(&summary)?;
        // A stream that is deleted and created again has the same ARN.
        let id = format!("{}@{}", summary.stream_arn, summary.stream_creation_timestamp.secs());
        let identity = StreamIdentity { id, table: None, origin: Some(summary.stream_arn.clone()) };
        Ok(Self { client, identity, arn: summary.stream_arn, name: summary.stream_name, pace: KINESIS_PACE })
    }

    /// Another pace than [`KINESIS_PACE`] (local servers).
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    async fn list(&self, from: Option<&str>) -> Result<ShardPage, StreamError> {
        let call = Call { action: "kinesis:ListShards", resource: &self.arn };
        let request = self.client.list_shards();
        // A token stands for the stream too; naming both is refused.
        let request = match from {
            Some(token) => request.next_token(token),
            // AWS prefers the ARN and takes both; some local servers know only the name.
            None => request.stream_arn(&self.arn).stream_name(&self.name),
        };
        let answer = request.send().await.map_err(|error| stream_error(&error, call))?;
        let next = answer.next_token.filter(|token| !token.is_empty());
        if next.is_some() && next.as_deref() == from {
            let cursor = next.unwrap_or_default();
            return Err(StreamError::Transient(format!("{call}: the list goes in circles at {cursor}")));
        }
        let shards = answer.shards.unwrap_or_default().into_iter().map(shard_info).collect();
        Ok(ShardPage { shards, next, enabled: true })
    }

    async fn iterator(&self, shard: &ShardId, from: ReadFrom) -> Result<ShardIterator, StreamError> {
        let call = Call { action: "kinesis:GetShardIterator", resource: &self.arn };
        let request =
            self.client.get_shard_iterator().stream_arn(&self.arn).stream_name(&self.name).shard_id(shard.as_str());
        let request = match from {
            ReadFrom::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            ReadFrom::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            ReadFrom::Timestamp(micros) => {
                request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(to_millis(micros))
            }
            ReadFrom::At(sequence) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
            ReadFrom::After(sequence) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
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
        let call = Call { action: "kinesis:GetRecords", resource: &self.arn };
        let raw = RawPage::new(|| Ok(GetRecordsOutput::builder().set_records(Some(Vec::new())).build()?));
        self.client
            .get_records()
            .stream_arn(&self.arn)
            .shard_iterator(&iterator.0)
            .limit(RECORDS_PER_PAGE)
            .customize()
            .interceptor(raw.clone())
            .config_override(Config::builder().retry_config(reader_retries()))
            .send()
            .await
            .map_err(|error| stream_error(&error, call))?;
        let body = raw.take().ok_or_else(|| StreamError::Transient(format!("{call}: the answer is empty")))?;
        let page = kinesis_page::read(&body).map_err(|error| StreamError::Transient(format!("{call}: {error}")))?;
        Ok(RecordsPage {
            records: page.records.into_iter().flat_map(|(sequence, data)| unpack(sequence, data)).collect(),
            next: page.next.map(ShardIterator),
            names_children: page.names_children,
            millis_behind: page.millis_behind,
            bytes: body.len(),
        })
    }
}

impl StreamApi for KinesisStream {
    fn identity(&self) -> &StreamIdentity {
        &self.identity
    }

    fn list_shards<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<ShardPage, StreamError>> {
        Box::pin(self.list(from))
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
}

/// Finds the Kinesis streams of a pipeline by name or ARN. A stream that was created anew is another one.
#[derive(Debug)]
pub struct KinesisFinder {
    client: Client,
    streams: Vec<String>,
    pace: Pace,
}

impl KinesisFinder {
    /// Looks after `streams`, names or ARNs.
    pub fn new(aws: &Aws, streams: Vec<String>) -> Self {
        Self { client: aws.kinesis().clone(), streams, pace: KINESIS_PACE }
    }

    /// The pace of the streams that are found from now on.
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}

impl StreamFinder for KinesisFinder {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn StreamApi>>, StreamError>> {
        Box::pin(async {
            let mut found: Vec<Arc<dyn StreamApi>> = Vec::with_capacity(self.streams.len());
            for stream in &self.streams {
                let stream = KinesisStream::open(self.client.clone(), stream).await?.with_pace(self.pace);
                // One stream named twice (by name and by ARN) is read once.
                if found.iter().all(|known| known.identity().id != stream.identity().id) {
                    found.push(Arc::new(stream));
                }
            }
            Ok(found)
        })
    }
}

/// With AUTO distribution the service spreads the records of one item over all shards: the order per item, which the
/// pipeline promises, is lost before anybody reads.
fn refuse_unordered(summary: &StreamDescriptionSummary) -> Result<(), StreamError> {
    match summary.record_distribution_strategy {
        Some(RecordDistributionStrategy::Auto) => Err(StreamError::Fatal(format!(
            "Kinesis stream {} distributes records by itself (RecordDistributionStrategy AUTO), so that the changes of \
             one item have no order. Set USER_PARTITION_KEY with UpdateStreamRecordDistributionStrategy",
            summary.stream_name
        ))),
        _ => Ok(()),
    }
}

fn shard_info(shard: Shard) -> ShardInfo {
    let parents = shard.parent_shard_id.into_iter().chain(shard.adjacent_parent_shard_id);
    ShardInfo {
        id: ShardId::new(shard.shard_id),
        parents: parents.filter(|id| !id.is_empty()).map(ShardId::new).collect(),
        closed: shard.sequence_number_range.is_some_and(|range| range.ending_sequence_number.is_some()),
    }
}

/// The records one Kinesis record stands for.
fn unpack(sequence: SequenceNumber, data: Bytes) -> Vec<Record> {
    let record =
        |sub, payload| Record { position: Position { sequence, sub }, channel: Channel::Kinesis, table: None, payload };
    match kpl::deaggregate(&data) {
        // The number of entries of an aggregate is bounded far below u32.
        Some(records) => (0..).zip(records).map(|(sub, user)| record(sub, user.data)).collect(),
        None => vec![record(0, data)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_page_is_unpacked() {
        let page = kinesis_page::read(include_bytes!("../../tests/fixtures/kinesis_getrecords_page.json")).unwrap();
        let records: Vec<_> = page.records.into_iter().flat_map(|(seq, data)| unpack(seq, data)).collect();
        let positions: Vec<_> = records.iter().map(|record| record.position.to_string()).collect();
        let at = |end: &str| format!("496539345774031722700364032365232299017173762033823252{end}");
        assert_eq!(positions, [at("50"), at("62"), at("62:1"), at("62:2"), at("75"), at("81")]);
        assert_eq!(records[3].payload, "{\"n\":3}");
        assert!(records[4].payload.starts_with(b"\xF3\x89\x9A\xC2"), "a broken aggregate stays whole");
        assert!(records.is_sorted_by_key(|record| record.position));
    }
}

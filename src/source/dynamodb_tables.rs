//! Which DynamoDB streams a pipeline's tables have, and what the tables' keys are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::operation::describe_table::DescribeTableOutput;
use aws_sdk_dynamodb::types::{KeyType, ScalarAttributeType, TableDescription};

use crate::BoxFuture;
use crate::change::TableName;

use super::aws::Aws;
use super::dynamodb_streams::{DynamoDbStream, STREAMS_PACE};
use super::wire_error::{Call, stream_error};
use super::{Pace, StreamApi, StreamError, StreamFinder};

/// Finds the current stream of each table. A table whose stream was made anew has another one at the next look.
#[derive(Debug)]
pub struct DynamoDbFinder {
    dynamodb: aws_sdk_dynamodb::Client,
    streams: aws_sdk_dynamodbstreams::Client,
    region: String,
    tables: Vec<String>,
    pace: Pace,
    /// Whether earlier streams have been looked for.
    looked: AtomicBool,
}

/// What `DescribeTable` says that concerns us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// The table's name.
    pub name: TableName,
    /// Its ARN.
    pub arn: String,
    /// Its key attributes: the partition key, then the sort key where there is one.
    pub keys: Vec<KeyAttribute>,
    /// The stream that is on, or the last one that was: a stream stays readable for 24 h after it was switched off.
    pub stream: Option<String>,
    /// How many items it has, as DynamoDB counted them some hours ago.
    pub items: u64,
    /// Their bytes, as DynamoDB counts them.
    pub bytes: u64,
    /// The read units a second that it has; `None`: it is paid by request, and as many as it can give.
    pub read_capacity: Option<ReadCapacity>,
    /// Which images the stream carries (`NEW_AND_OLD_IMAGES`); `None`: it is off.
    pub view_type: Option<String>,
}

/// How many read units a second a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadCapacity {
    /// It is provisioned with so many.
    Provisioned(u32),
    /// It is paid by request, and limited to so many.
    Limited(u32),
}

/// One key attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: KeyKind,
}

/// The types a key attribute can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `S`
    String,
    /// `N`
    Number,
    /// `B`
    Binary,
}

impl DynamoDbFinder {
    /// Looks after `tables`: names, table ARNs, or stream ARNs (which are taken as they are).
    pub fn new(aws: &Aws, tables: Vec<String>) -> Self {
        let (dynamodb, streams) = (aws.dynamodb().clone(), aws.streams().clone());
        Self {
            dynamodb,
            streams,
            region: aws.region().to_owned(),
            tables,
            pace: STREAMS_PACE,
            looked: AtomicBool::new(false),
        }
    }

    /// The pace of the streams that are found from now on.
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Asks for one table by name, table ARN or stream ARN.
    pub async fn describe_table(&self, table: &str) -> Result<TableFacts, StreamError> {
        let table = parse_stream_arn(table).map_or(table, |arn| arn.table_arn);
        let call = Call { action: "dynamodb:DescribeTable", resource: table };
        let answer = self.dynamodb.describe_table().table_name(table).send().await;
        let answer = answer.map_err(|error| match stream_error(&error, call) {
            StreamError::NotFound(_) => no_such_table(table, &self.region),
            error => error,
        })?;
        let DescribeTableOutput { table: Some(description), .. } = answer else {
            return Err(StreamError::Transient(format!("{call}: the answer is empty")));
        };
        facts(description).ok_or_else(|| StreamError::Transient(format!("{call}: the answer has no keys")))
    }

    /// The streams of one table: the current one, and at the first look those before it that can still be read.
    async fn streams_of(&self, table: &str, first_look: bool) -> Result<Vec<DynamoDbStream>, StreamError> {
        let stream =
            |arn: &str, table: TableName| DynamoDbStream::new(self.streams.clone(), arn, table).with_pace(self.pace);
        if let Some(arn) = parse_stream_arn(table) {
            return Ok(vec![stream(table, arn.table.into())]);
        }
        let facts = self.describe_table(table).await?;
        let latest = facts.stream.ok_or_else(|| never_enabled(&facts.name, &self.region))?;
        let mut arns = if first_look { self.earlier_streams(&facts.name, &latest).await? } else { Vec::new() };
        arns.push(latest);
        Ok(arns.iter().map(|arn| stream(arn, facts.name.clone())).collect())
    }

    /// Streams that were switched off stay readable for 24 hours. Their labels are the times of their making.
    async fn earlier_streams(&self, table: &str, latest: &str) -> Result<Vec<String>, StreamError> {
        let call = Call { action: "dynamodb:ListStreams", resource: table };
        let mut arns = BTreeSet::new();
        let mut cursors = BTreeSet::new();
        let mut from = None;
        loop {
            let request = self.streams.list_streams().table_name(table).set_exclusive_start_stream_arn(from.take());
            let answer = request.send().await.map_err(|error| stream_error(&error, call))?;
            let same_account = |arn: &String| {
                parse_stream_arn(arn).map(|arn| arn.table_arn) == parse_stream_arn(latest).map(|arn| arn.table_arn)
            };
            let found = answer.streams.unwrap_or_default().into_iter().filter_map(|stream| stream.stream_arn);
            arns.extend(found.filter(same_account).filter(|arn| arn != latest));
            match answer.last_evaluated_stream_arn {
                // A cursor that comes again would never end.
                Some(cursor) if cursors.insert(cursor.clone()) => from = Some(cursor),
                _ => return Ok(arns.into_iter().collect()),
            }
        }
    }
}

impl StreamFinder for DynamoDbFinder {
    fn streams(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn StreamApi>>, StreamError>> {
        Box::pin(async {
            // While we run, a stream that is switched off is being read already.
            let first_look = !self.looked.load(Ordering::Relaxed);
            let mut streams: Vec<Arc<dyn StreamApi>> = Vec::with_capacity(self.tables.len());
            for table in &self.tables {
                for stream in self.streams_of(table, first_look).await? {
                    // One table named twice (by name and by ARN) is read once.
                    if streams.iter().all(|known| known.identity().id != stream.identity().id) {
                        streams.push(Arc::new(stream));
                    }
                }
            }
            self.looked.store(true, Ordering::Relaxed);
            Ok(streams)
        })
    }
}

fn facts(table: TableDescription) -> Option<TableFacts> {
    let types = table.attribute_definitions.unwrap_or_default();
    let kind = |name: &str| {
        let definition = types.iter().find(|definition| definition.attribute_name == name)?;
        match definition.attribute_type {
            ScalarAttributeType::S => Some(KeyKind::String),
            ScalarAttributeType::N => Some(KeyKind::Number),
            ScalarAttributeType::B => Some(KeyKind::Binary),
            _ => None,
        }
    };
    let mut schema = table.key_schema.unwrap_or_default();
    schema.sort_by_key(|key| key.key_type != KeyType::Hash);
    let keys = schema.into_iter().map(|key| {
        let kind = kind(&key.attribute_name)?;
        Some(KeyAttribute { name: key.attribute_name, kind })
    });
    let keys: Vec<_> = keys.collect::<Option<_>>()?;
    let view_type = table
        .stream_specification
        .filter(|specification| specification.stream_enabled)
        .and_then(|specification| specification.stream_view_type)
        .map(|view_type| view_type.as_str().to_owned());
    let count = |count: Option<i64>| count.and_then(|count| count.try_into().ok()).unwrap_or_default();
    let (items, bytes) = (count(table.item_count), count(table.table_size_bytes));
    let name = table.table_name.filter(|_| !keys.is_empty())?;
    let stream = table.latest_stream_arn.filter(|arn| !arn.is_empty());
    let arn = table.table_arn.unwrap_or_default();
    let units = |units: Option<i64>| units.and_then(|units| u32::try_from(units).ok()).filter(|units| *units > 0);
    let provisioned = table.provisioned_throughput.and_then(|units| units.read_capacity_units);
    let limit = table.on_demand_throughput.and_then(|limits| limits.max_read_request_units);
    let provisioned = units(provisioned).map(ReadCapacity::Provisioned);
    let read_capacity = provisioned.or_else(|| units(limit).map(ReadCapacity::Limited));
    Some(TableFacts { name: name.into(), arn, keys, stream, items, bytes, read_capacity, view_type })
}

#[derive(Debug, PartialEq, Eq)]
struct StreamArn<'a> {
    table_arn: &'a str,
    table: &'a str,
}

/// `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL`
fn parse_stream_arn(arn: &str) -> Option<StreamArn<'_>> {
    let (table_arn, label) = arn.split_once("/stream/")?;
    let (head, table) = table_arn.split_once(":table/")?;
    (head.starts_with("arn:") && !table.is_empty() && !label.is_empty()).then_some(StreamArn { table_arn, table })
}

fn no_such_table(table: &str, region: &str) -> StreamError {
    StreamError::Fatal(format!(
        "there is no table {table} in region {region}. Check its name, AWS_REGION and AWS_PROFILE \
         (`aws dynamodb list-tables --region {region}`)"
    ))
}

fn never_enabled(table: &str, region: &str) -> StreamError {
    StreamError::Fatal(format!(
        "table {table} has no stream. Switch it on: `aws dynamodb update-table --region {region} --table-name {table} \
         --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, KeySchemaElement, OnDemandThroughput, ProvisionedThroughputDescription,
        StreamSpecification, StreamViewType,
    };

    fn key(name: &str, key_type: KeyType) -> KeySchemaElement {
        KeySchemaElement::builder().attribute_name(name).key_type(key_type).build().unwrap()
    }

    fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    }

    fn thread() -> aws_sdk_dynamodb::types::builders::TableDescriptionBuilder {
        TableDescription::builder()
            .table_name("Thread")
            .key_schema(key("Subject", KeyType::Range))
            .key_schema(key("ForumName", KeyType::Hash))
            .attribute_definitions(attribute("Views", ScalarAttributeType::B))
            .attribute_definitions(attribute("Subject", ScalarAttributeType::N))
            .attribute_definitions(attribute("ForumName", ScalarAttributeType::S))
    }

    #[test]
    fn the_partition_key_comes_first_whatever_the_answer_says() {
        let facts = facts(thread().build()).unwrap();
        let keys: Vec<_> = facts.keys.iter().map(|key| (key.name.as_str(), key.kind)).collect();
        assert_eq!(keys, [("ForumName", KeyKind::String), ("Subject", KeyKind::Number)]);
        assert_eq!((facts.stream, facts.view_type), (None, None));
    }

    #[test]
    fn a_table_is_provisioned_limited_or_neither() {
        let capacity = |provisioned, limit| {
            let units = ProvisionedThroughputDescription::builder().read_capacity_units(provisioned).build();
            let limits = OnDemandThroughput::builder().max_read_request_units(limit).build();
            facts(thread().provisioned_throughput(units).on_demand_throughput(limits).build()).unwrap().read_capacity
        };
        assert_eq!(capacity(5, -1), Some(ReadCapacity::Provisioned(5)));
        assert_eq!(capacity(0, 700), Some(ReadCapacity::Limited(700)));
        // -1 takes a limit away.
        assert_eq!(capacity(0, -1), None);
    }

    #[test]
    fn a_stream_that_was_switched_off_is_still_named() {
        let off = thread().latest_stream_arn("arn:old").build();
        let facts_off = facts(off).unwrap();
        assert_eq!((facts_off.stream.as_deref(), facts_off.view_type), (Some("arn:old"), None));

        let specification = StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build()
            .unwrap();
        let on = thread().latest_stream_arn("arn:new").stream_specification(specification).build();
        assert_eq!(facts(on).unwrap().view_type.as_deref(), Some("NEW_AND_OLD_IMAGES"));
    }

    #[test]
    fn a_stream_arn_names_its_table() {
        let arn = "arn:aws:dynamodb:eu-central-1:111122223333:table/Orders/stream/2026-11-20T08:15:30.123";
        assert_eq!(parse_stream_arn(arn).unwrap().table, "Orders");
        assert_eq!(parse_stream_arn(arn).unwrap().table_arn, "arn:aws:dynamodb:eu-central-1:111122223333:table/Orders");
        for other in ["Orders", "arn:aws:dynamodb:eu-central-1:111122223333:table/Orders", "a/stream/b"] {
            assert_eq!(parse_stream_arn(other), None);
        }
    }

    #[test]
    fn the_errors_say_the_cure() {
        assert!(no_such_table("Ordres", "eu-central-1").to_string().contains("eu-central-1"));
        assert!(never_enabled("Orders", "eu-central-1").to_string().contains("--table-name Orders"));
    }
}

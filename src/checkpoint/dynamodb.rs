//! How are checkpoints kept in a DynamoDB table? One row per pipeline, stream, shard and sink, laid out like KCL's
//! lease table, saved by one conditional update that never lets a position go back.
//!
//! The table's only key is KCL's `leaseKey`, so a stream's rows cannot be queried: loading scans the table, once at
//! the start. State tables are small, and many pipelines may share one.
//!
//! Permissions: `UpdateItem`, `GetItem`, `Scan`, `DescribeTable`; `CreateTable` only while there is no table.

mod errors;
mod row;
mod table;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use self::errors::state_error;
use self::row::{Item, Row};
use super::stored::for_people;
use super::{Checkpoint, CheckpointKey, Saved, StateError, StateStore};
use crate::BoxFuture;
use crate::clock::Clock;

/// Checkpoints in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbState {
    client: Client,
    table: String,
    pipeline: String,
    clock: Clock,
    read_only: bool,
}

impl DynamoDbState {
    /// Opens the table for the pipeline of that name. A table that does not exist is created (on-demand billing) and
    /// waited for; one whose key is not ours is [`StateError::Fatal`].
    pub async fn open(client: Client, table: &str, pipeline: &str, clock: Clock) -> Result<Self, StateError> {
        table::ensure(&client, table, &clock).await?;
        Ok(Self::over(client, table, pipeline, clock, false))
    }

    /// Opens the table to look at it only: nothing is created, and a table that is missing holds nothing.
    pub fn open_read_only(client: Client, table: &str, pipeline: &str, clock: Clock) -> Self {
        Self::over(client, table, pipeline, clock, true)
    }

    fn over(client: Client, table: &str, pipeline: &str, clock: Clock, read_only: bool) -> Self {
        Self { client, table: table.to_owned(), pipeline: pipeline.to_owned(), clock, read_only }
    }

    /// The pipeline's rows, of one stream or of all, ordered by their keys.
    async fn rows(&self, stream: Option<&str>) -> Result<Vec<Row>, StateError> {
        let mut found = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let scan = self
                .client
                .scan()
                .table_name(&self.table)
                // An old answer would only cost a longer walk, but a new one costs half a read unit more.
                .consistent_read(true)
                .expression_attribute_names("#pipeline", row::PIPELINE)
                .expression_attribute_values(":pipeline", AttributeValue::S(self.pipeline.clone()))
                .set_exclusive_start_key(from.clone());
            let scan = match stream {
                Some(stream) => scan
                    .filter_expression("#pipeline = :pipeline AND #stream = :stream")
                    .expression_attribute_names("#stream", row::STREAM)
                    .expression_attribute_values(":stream", AttributeValue::S(stream.to_owned())),
                None => scan.filter_expression("#pipeline = :pipeline"),
            };
            let page = match scan.send().await {
                Ok(page) => page,
                Err(error) if self.read_only && errors::is_missing_table(&error) => return Ok(found),
                Err(error) => return Err(state_error("read the state table", &self.table, &error)),
            };
            for item in page.items() {
                found.push(Row::parse(item, &self.pipeline).map_err(|what| self.bad_row(&what))?);
            }
            match page.last_evaluated_key {
                Some(key) if key.is_empty() => break,
                // A cursor that does not move would be followed for ever.
                Some(key) if from.as_ref() == Some(&key) => {
                    let text = format!("the state table {} repeats a page of its scan", self.table);
                    return Err(StateError::Transient(text));
                }
                Some(key) => from = Some(key),
                None => break,
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn save_one(&self, key: &CheckpointKey, checkpoint: &Checkpoint) -> Result<(), StateError> {
        if self.read_only {
            return Err(StateError::Fatal(format!("the state table {} is open for reading", self.table)));
        }
        let row = Row { key: key.clone(), checkpoint: checkpoint.clone(), updated_at: self.clock.wall_micros() };
        let update = row.update(&self.pipeline);
        let saved = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(row.table_key(&self.pipeline)))
            .update_expression(update.expression)
            .condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            // Tells at once what is stored instead.
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let error = match saved {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let Some(refused) = error.as_service_error().and_then(|e| match e {
            aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(refused) => {
                Some(refused)
            }
            _ => None,
        }) else {
            return Err(state_error("write the state table", &self.table, &error));
        };
        let stored = match refused.item() {
            Some(item) => Some(item.clone()),
            // An endpoint that does not know the parameter above.
            None => self.read_back(&row).await?,
        };
        Err(self.why_refused(&row, stored.as_ref()))
    }

    async fn read_back(&self, row: &Row) -> Result<Option<Item>, StateError> {
        let got = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(row.table_key(&self.pipeline)))
            .consistent_read(true)
            .send()
            .await;
        match got {
            Ok(got) => Ok(got.item),
            Err(error) => Err(state_error("read the state table", &self.table, &error)),
        }
    }

    fn why_refused(&self, ours: &Row, stored: Option<&Item>) -> StateError {
        let Some(stored) = stored else {
            // Refused because of a row that is gone now: somebody deletes state under us. The next attempt tells.
            return StateError::Transient(format!("a row of the state table {} vanished", self.table));
        };
        match Row::parse(stored, &self.pipeline) {
            Ok(stored) if ours.checkpoint.is_behind(&stored.checkpoint) => StateError::Overtaken(format!(
                "shard {} is at {}, not {}",
                ours.key.shard,
                for_people(&stored.checkpoint),
                for_people(&ours.checkpoint)
            )),
            // It went back between refusal and reading: as above.
            Ok(_) => StateError::Transient(format!("a row of the state table {} changed meanwhile", self.table)),
            Err(what) => self.bad_row(&what),
        }
    }

    fn bad_row(&self, what: &str) -> StateError {
        StateError::Fatal(format!(
            "the state table {}: {what}; delete that row: the lake's own chain of ranges is the truth, so the lake \
             stays exactly-once and the next start only walks that chain",
            self.table
        ))
    }
}

impl StateStore for DynamoDbState {
    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Vec<(CheckpointKey, Checkpoint)>, StateError>> {
        Box::pin(async move {
            let rows = self.rows(Some(stream)).await?;
            Ok(rows.into_iter().map(|row| (row.key, row.checkpoint)).collect())
        })
    }

    fn survey(&self) -> BoxFuture<'_, Result<Vec<Saved>, StateError>> {
        Box::pin(async {
            let saved = |row: Row| {
                let at = Some(row.updated_at).filter(|micros| *micros > 0);
                Saved { key: row.key, checkpoint: row.checkpoint, at }
            };
            Ok(self.rows(None).await?.into_iter().map(saved).collect())
        })
    }

    fn save<'a>(&'a self, key: &'a CheckpointKey, checkpoint: &'a Checkpoint) -> BoxFuture<'a, Result<(), StateError>> {
        Box::pin(self.save_one(key, checkpoint))
    }

    fn describe(&self) -> String {
        format!("DynamoDB table {}", self.table)
    }
}

#[cfg(test)]
mod live_tests;

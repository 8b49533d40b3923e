//! How are changes published to an SNS topic?
//!
//! A FIFO topic gets them with the item for a group and the delivery's id for deduplication. The attributes `id`, `table`
//! and `op` are there for the filter policies of subscriptions.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};

use super::Payloads;
use super::aws::{ATTEMPTS, config, fault};
use super::batches::{LIMITS, Sent, entry_failure, escaped, is_message, requests};
use super::payloads::outcome;
use crate::BoxFuture;
use crate::handler::payload::is_json;
use crate::handler::{Change, Delivery, Failure, Handler, HandlerError, Limits, Outcome};
use crate::pipeline::spec;
use crate::source::Aws;

const CALL: &str = "sns:Publish";

/// A handler of `type = "sns"`.
pub struct Sns {
    client: Client,
    topic: String,
    fifo: bool,
    payloads: Payloads,
}

impl Sns {
    /// For the topic with this ARN.
    pub fn new(aws: &Aws, handler: &spec::Handler, topic: &str, payloads: Payloads) -> Self {
        let client = Client::new(&config(aws, handler, ATTEMPTS, topic));
        Self { client, topic: topic.to_owned(), fifo: topic.ends_with(".fifo"), payloads }
    }

    async fn call(&self, delivery: &Delivery) -> Result<Outcome, HandlerError> {
        let fits = |payload: &str| if is_json(payload) { Ok(()) } else { is_message(payload) };
        let written = self.payloads.write(delivery, fits).await?;
        let mut sent = Sent::after(written.failures);
        for request in requests(written.payloads) {
            let places: Vec<usize> = request.iter().map(|(index, _)| *index).collect();
            let result = self.publish(delivery, &places, request).await;
            sent.add(&places, result)?;
        }
        Ok(outcome(sent.failures))
    }

    async fn publish(
        &self,
        delivery: &Delivery,
        places: &[usize],
        request: Vec<(usize, String)>,
    ) -> Result<Vec<Failure>, HandlerError> {
        let mut entries = Vec::with_capacity(request.len());
        for (number, (index, payload)) in request.into_iter().enumerate() {
            let entry = self.entry(number, &delivery.changes[index], payload);
            entries.push(entry.map_err(|_| HandlerError::Failed(format!("{CALL}: the request can't be made")))?);
        }
        let call = self.client.publish_batch().topic_arn(&self.topic).set_publish_batch_request_entries(Some(entries));
        let answer = call.send().await.map_err(|error| fault(CALL, &error))?;
        let failed = answer.failed().iter();
        Ok(failed.filter_map(|one| entry_failure(places, one.id(), CALL, one.code(), one.sender_fault())).collect())
    }

    fn entry(
        &self,
        number: usize,
        change: &Change,
        payload: String,
    ) -> Result<PublishBatchRequestEntry, aws_sdk_sns::error::BuildError> {
        let id = self.payloads.id(change);
        let op = change.envelope().map_or_else(|_| String::new(), |envelope| envelope.event_name.into_owned());
        let text = |value: &str| MessageAttributeValue::builder().data_type("String").string_value(value).build();
        let message = if is_json(&payload) { escaped(&payload) } else { payload };
        let mut entry = PublishBatchRequestEntry::builder()
            .id(number.to_string())
            .message(message)
            .message_attributes("id", text(&id)?)
            .message_attributes("table", text(&change.table)?);
        // An attribute has a value, and that is not empty.
        if is_message(&op).is_ok() {
            entry = entry.message_attributes("op", text(&op)?);
        }
        if self.fifo {
            entry = entry.message_group_id(change.item.to_string()).message_deduplication_id(id);
        }
        entry.build()
    }
}

impl Handler for Sns {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(self.call(delivery))
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}

//! How are changes sent to an SQS queue?
//!
//! A FIFO queue gets them with the item for a group, so that it keeps the order of each item, and with the delivery's id
//! for deduplication.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};

use super::Payloads;
use super::aws::{ATTEMPTS, config, fault};
use super::batches::{LIMITS, Sent, entry_failure, escaped, is_message, requests};
use super::payloads::outcome;
use crate::BoxFuture;
use crate::handler::payload::is_json;
use crate::handler::{Change, Delivery, Failure, Handler, HandlerError, Limits, Outcome};
use crate::pipeline::spec;
use crate::source::Aws;

const CALL: &str = "sqs:SendMessage";

/// A handler of `type = "sqs"`.
pub struct Sqs {
    client: Client,
    queue: String,
    fifo: bool,
    payloads: Payloads,
}

impl Sqs {
    /// For the queue with this URL.
    pub fn new(aws: &Aws, handler: &spec::Handler, queue: &str, payloads: Payloads) -> Self {
        let client = Client::new(&config(aws, handler, ATTEMPTS, queue));
        Self { client, queue: queue.to_owned(), fifo: queue.ends_with(".fifo"), payloads }
    }

    async fn call(&self, delivery: &Delivery) -> Result<Outcome, HandlerError> {
        let written = self.payloads.write(delivery, fits).await?;
        let mut sent = Sent::after(written.failures);
        for request in requests(written.payloads) {
            let places: Vec<usize> = request.iter().map(|(index, _)| *index).collect();
            let result = self.send(delivery, &places, request).await;
            sent.add(&places, result)?;
        }
        Ok(outcome(sent.failures))
    }

    async fn send(
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
        let call = self.client.send_message_batch().queue_url(&self.queue).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| fault(CALL, &error))?;
        let failed = answer.failed().iter();
        Ok(failed.filter_map(|one| entry_failure(places, one.id(), CALL, one.code(), one.sender_fault())).collect())
    }

    fn entry(
        &self,
        number: usize,
        change: &Change,
        payload: String,
    ) -> Result<SendMessageBatchRequestEntry, aws_sdk_sqs::error::BuildError> {
        let id = self.payloads.id(change);
        let text = |value: &str| MessageAttributeValue::builder().data_type("String").string_value(value).build();
        let body = if is_json(&payload) { escaped(&payload) } else { payload };
        let entry = SendMessageBatchRequestEntry::builder()
            .id(number.to_string())
            .message_body(body)
            .message_attributes("id", text(&id)?)
            .message_attributes("table", text(&change.table)?);
        let entry = if self.fifo {
            entry.message_group_id(change.item.to_string()).message_deduplication_id(id)
        } else {
            entry
        };
        entry.build()
    }
}

/// JSON fits once it is [`escaped`].
pub(super) fn fits(payload: &str) -> Result<(), &'static str> {
    if is_json(payload) { Ok(()) } else { is_message(payload) }
}

impl Handler for Sqs {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(self.call(delivery))
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}

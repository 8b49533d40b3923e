//! How do changes become events of an EventBridge bus?

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use super::Payloads;
use super::aws::{ATTEMPTS, config, fault, is_temporary};
use super::batches::{LIMITS, Sent, requests};
use super::payloads::{outcome, said};
use crate::BoxFuture;
use crate::handler::payload::is_json;
use crate::handler::{Change, Delivery, Failure, Handler, HandlerError, Limits, Outcome, Verdict};
use crate::pipeline::spec;
use crate::source::Aws;

const CALL: &str = "events:PutEvents";
/// The longest detail type, in characters.
const MAX_DETAIL_TYPE: usize = 128;

/// What the pipeline file says about the events.
pub struct Event<'a> {
    /// The bus.
    pub bus: &'a str,
    /// Their source.
    pub source: &'a str,
    /// Their detail type; `None`: by table and operation.
    pub detail_type: Option<&'a str>,
}

/// A handler of `type = "eventbridge"`.
pub struct EventBridge {
    client: Client,
    bus: String,
    source: String,
    detail_type: Option<String>,
    payloads: Payloads,
}

impl EventBridge {
    /// For the bus that `event` names.
    pub fn new(aws: &Aws, handler: &spec::Handler, event: &Event<'_>, payloads: Payloads) -> Self {
        let client = Client::new(&config(aws, handler, ATTEMPTS, event.bus));
        let (bus, source) = (event.bus.to_owned(), event.source.to_owned());
        Self { client, bus, source, detail_type: event.detail_type.map(str::to_owned), payloads }
    }

    async fn call(&self, delivery: &Delivery) -> Result<Outcome, HandlerError> {
        let written = self.payloads.write(delivery, is_detail).await?;
        let mut sent = Sent::after(written.failures);
        for request in requests(written.payloads) {
            let places: Vec<usize> = request.iter().map(|(index, _)| *index).collect();
            let entries = request.into_iter().map(|(index, detail)| self.entry(&delivery.changes[index], detail));
            let result = self.put(&places, entries.collect()).await;
            sent.add(&places, result)?;
        }
        Ok(outcome(sent.failures))
    }

    async fn put(&self, places: &[usize], entries: Vec<PutEventsRequestEntry>) -> Result<Vec<Failure>, HandlerError> {
        let call = self.client.put_events().set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| fault(CALL, &error))?;
        let failed = places.iter().zip(answer.entries()).filter_map(|(index, entry)| {
            let code = entry.error_code()?;
            Some(Failure {
                index: *index,
                why: format!("{CALL}: {}", said(code)),
                verdict: Verdict::of(is_temporary(code)),
            })
        });
        Ok(failed.collect())
    }

    fn entry(&self, change: &Change, detail: String) -> PutEventsRequestEntry {
        let detail_type = match &self.detail_type {
            Some(detail_type) => detail_type.clone(),
            None => detail_type(change),
        };
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(&self.source)
            .detail_type(detail_type)
            .detail(detail)
            .set_time(change.changed_at.map(|micros| DateTime::from_millis(micros.div_euclid(1000))));
        match change.stream.split_once("/stream/") {
            Some((table, _)) if table.starts_with("arn:") => entry.resources(table).build(),
            _ => entry.build(),
        }
    }
}

/// The detail of an event is an object.
fn is_detail(payload: &str) -> Result<(), &'static str> {
    let object = payload.trim_start().starts_with('{') && is_json(payload);
    if object { Ok(()) } else { Err("the template writes no JSON object, which an event's detail is") }
}

/// `Reply.inserted`: the table and what was done to it.
fn detail_type(change: &Change) -> String {
    let op = change.envelope().map_or_else(|_| String::new(), |envelope| envelope.event_name.into_owned());
    let done = match op.as_str() {
        "INSERT" => "inserted".to_owned(),
        "MODIFY" => "modified".to_owned(),
        "REMOVE" => "removed".to_owned(),
        other => other.to_lowercase().chars().filter(|c| !c.is_control()).take(32).collect(),
    };
    let table: String = change.table.chars().take(MAX_DETAIL_TYPE - 1 - done.chars().count()).collect();
    format!("{table}.{done}")
}

impl Handler for EventBridge {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(self.call(delivery))
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Channel;
    use crate::handler::payload::tests::{REPLY, change, change_of};

    #[test]
    fn a_detail_type_says_what_was_done_to_which_table() {
        assert_eq!(detail_type(&change(REPLY)), "Reply.modified");
        let long = change_of(REPLY, Channel::Streams, "s", &"T".repeat(255));
        assert_eq!(detail_type(&long), format!("{}.modified", "T".repeat(119)));
        assert!(is_detail(" {} ").is_ok() && is_detail("[]").is_err() && is_detail("{").is_err());
    }
}

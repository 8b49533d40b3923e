//! How is a Lambda function called with changes, and what does its answer mean?
//!
//! The event is `{"Records":[…]}`, the function is called for its answer, and `batchItemFailures` means what it means to
//! Lambda's event source mappings: the lowest place that is named and everything behind it has failed.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::primitives::Blob;
use serde_json::Value;

use super::Payloads;
use super::aws::{config, fault};
use super::payloads::{outcome, said};
use super::report::{self, Report};
use crate::BoxFuture;
use crate::handler::payload::{Format, is_json, lambda};
use crate::handler::{Delivery, Failure, Handler, HandlerError, Limits, Outcome, Verdict};
use crate::pipeline::spec;
use crate::source::Aws;

const CALL: &str = "lambda:InvokeFunction";
/// The largest event of a synchronous call: 6 MB.
const MAX_EVENT: usize = 6_000_000;
/// A payload that is larger becomes a reference.
pub const MAX_PAYLOAD: usize = MAX_EVENT - 1024;
/// The most bytes of records of a call: what formats add to each has room besides.
const MAX_RECORDS: usize = 4_000_000;

/// A handler of `type = "lambda"`.
pub struct Lambda {
    client: Client,
    function: String,
    payloads: Payloads,
    report_failures: bool,
}

impl Lambda {
    /// For the function of this name or ARN. The SDK makes each call once: a second one would run the function again.
    pub fn new(aws: &Aws, handler: &spec::Handler, function: &str, payloads: Payloads) -> Self {
        let client = Client::new(&config(aws, handler, 1, function));
        let report_failures = handler.report_batch_item_failures;
        Self { client, function: function.to_owned(), payloads, report_failures }
    }

    async fn call(&self, delivery: &Delivery) -> Result<Outcome, HandlerError> {
        let in_records = |payload: &str| match is_json(payload) {
            true => Ok(()),
            false => Err("the template writes no JSON, which an event is made of"),
        };
        let written = self.payloads.write(delivery, in_records).await?;
        if written.payloads.is_empty() {
            return Ok(outcome(written.failures));
        }
        let places: Vec<usize> = written.payloads.iter().map(|(index, _)| *index).collect();
        let records: Vec<&str> = written.payloads.iter().map(|(_, payload)| payload.as_str()).collect();
        let event = format!("{{\"Records\":[{}]}}", records.join(","));
        if event.len() > MAX_EVENT {
            return Err(HandlerError::Refused(format!("the event has {} bytes, more than Lambda takes", event.len())));
        }
        let answer = self.invoke(event).await?;
        let mut failures = written.failures;
        failures.extend(self.failures(delivery, &places, &answer)?);
        Ok(outcome(failures))
    }

    /// Calls the function; its answer, which is `null` where it has none that can be read.
    async fn invoke(&self, event: String) -> Result<Value, HandlerError> {
        let call = self.client.invoke().function_name(&self.function).payload(Blob::new(event));
        let answer = call.send().await.map_err(|error| match &error {
            // It may well be one of the changes that the function can't cope with.
            SdkError::TimeoutError(_) => {
                HandlerError::Failed(format!("{CALL}: the function did not answer in time (`timeout`)"))
            }
            _ => fault(CALL, &error),
        })?;
        let payload = answer.payload().map(|blob| blob.as_ref()).unwrap_or_default();
        let said_so: Value = serde_json::from_slice(payload).unwrap_or(Value::Null);
        if let Some(error) = answer.function_error() {
            // The error's message may have values of an item; its type is a name of the program.
            let of = said_so
                .get("errorType")
                .and_then(Value::as_str)
                .map_or_else(String::new, |of| format!(", {}", said(of)));
            return Err(HandlerError::Failed(format!("the function failed ({}{of})", said(error))));
        }
        Ok(said_so)
    }

    fn failures(&self, delivery: &Delivery, places: &[usize], answer: &Value) -> Result<Vec<Failure>, HandlerError> {
        if !self.report_failures {
            return Ok(Vec::new());
        }
        let mut names = Vec::with_capacity(places.len());
        for index in places {
            let change = &delivery.changes[*index];
            let sequence = match self.payloads.format() {
                Format::Lambda => lambda::identifier(change).unwrap_or_default(),
                _ => change.record.position.sequence.as_str().to_owned(),
            };
            names.push((sequence, self.payloads.id(change)));
        }
        let place = |named: &str| names.iter().position(|(sequence, id)| sequence == named || id == named);
        match report::read(answer, place) {
            Report::Done => Ok(Vec::new()),
            Report::Invalid => {
                let why = "the answer's `batchItemFailures` names something that was not in the event";
                Err(HandlerError::Failed(why.to_owned()))
            }
            Report::Failed(named) => {
                let lowest = named.first().copied().unwrap_or_default();
                let failure = |(number, index): (usize, &usize)| {
                    // Lambda's meaning: from the lowest on nothing counts as handled.
                    let (why, verdict) = match number == lowest {
                        true => ("the function says that it failed", Verdict::Retry),
                        false => ("it stands behind one of which the function says that it failed", Verdict::Unhandled),
                    };
                    Failure { index: *index, why: why.to_owned(), verdict }
                };
                Ok(places.iter().enumerate().skip(lowest).map(failure).collect())
            }
        }
    }
}

impl Handler for Lambda {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(self.call(delivery))
    }

    fn limits(&self) -> Limits {
        Limits { bytes: MAX_RECORDS, ..Limits::default() }
    }
}

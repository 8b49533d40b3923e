//! How do the changes of a call become payloads, and what of those that become none?

use std::sync::Arc;

use crate::handler::claim_check::claim_check;
use crate::handler::payload::Format;
use crate::handler::{Change, Delivery, Failure, HandlerError, Outcome, Verdict};
use crate::lake::store::ObjectStore;

/// Writes the payloads of one handler.
pub struct Payloads {
    handler: Arc<str>,
    format: Format,
    store: Arc<dyn ObjectStore>,
    most: usize,
}

/// The payloads of a call.
pub(super) struct Written {
    /// Those that could be written, with the places of their changes.
    pub(super) payloads: Vec<(usize, String)>,
    /// The changes of all others.
    pub(super) failures: Vec<Failure>,
}

impl Payloads {
    /// For the handler of this name. A payload of more than `most` bytes goes into the store, and a reference to it
    /// takes its place.
    pub fn new(handler: &str, format: Format, store: Arc<dyn ObjectStore>, most: usize) -> Self {
        Self { handler: handler.into(), format, store, most }
    }

    /// The handler's name.
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// The format.
    pub(super) fn format(&self) -> &Format {
        &self.format
    }

    /// What names the delivery of a change to this handler.
    pub(super) fn id(&self, change: &Change) -> String {
        change.delivery_id(&self.handler)
    }

    /// The payloads of a call. A change that can't be written is a failure of its own; `fits` says what else the target
    /// asks of a payload, in words.
    pub(super) async fn write(
        &self,
        delivery: &Delivery,
        fits: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Result<Written, HandlerError> {
        let mut written = Written { payloads: Vec::with_capacity(delivery.changes.len()), failures: Vec::new() };
        for (index, change) in delivery.changes.iter().enumerate() {
            let payload = self.format.write(change, &self.handler).map_err(|why| why.to_string());
            match payload.and_then(|payload| fits(&payload).map(|()| payload).map_err(str::to_owned)) {
                Ok(payload) if payload.len() > self.most => {
                    let reference = claim_check(&*self.store, &self.handler, change, payload).await?;
                    written.payloads.push((index, reference));
                }
                Ok(payload) => written.payloads.push((index, payload)),
                Err(why) => written.failures.push(Failure { index, why, verdict: Verdict::Refused }),
            }
        }
        Ok(written)
    }
}

/// What a call answers with these failures.
pub(super) fn outcome(mut failures: Vec<Failure>) -> Outcome {
    if failures.is_empty() {
        return Outcome::Done;
    }
    failures.sort_by_key(|failure| failure.index);
    failures.dedup_by_key(|failure| failure.index);
    Outcome::Failed(failures)
}

/// How many characters of what a target says are told on.
const SAID_CHARS: usize = 200;

/// What a target says, for a log: cut, and with everything escaped that plays tricks on a terminal.
pub(super) fn said(text: &str) -> String {
    let cut: String = text.chars().take(SAID_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", cut.escape_debug())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::handler::payload::tests::{REPLY, change};
    use crate::pipeline::spec::{self, OnFailure, Payload, Target};
    use crate::testing::store::MemoryStore;

    /// What a pipeline file says about a handler that it only names.
    pub(crate) fn handler(name: &str) -> spec::Handler {
        spec::Handler {
            name: name.to_owned(),
            target: Target::Log,
            tables: None,
            filter: Vec::new(),
            filter_extensions: false,
            payload: Payload::Change,
            batch_size: 100,
            batch_window: Duration::ZERO,
            maximum_retry_attempts: 10,
            maximum_record_age: Duration::from_secs(3600),
            bisect_batch_on_error: true,
            report_batch_item_failures: true,
            parallelization_factor: 1,
            on_failure: OnFailure::Lake,
            dedupe_window: None,
            drop_stale: false,
            timeout: Duration::from_secs(30),
        }
    }

    #[tokio::test]
    async fn large_payloads_become_references_and_bad_ones_failures() {
        let store = MemoryStore::new();
        let payloads = Payloads::new("h", Format::Change, Arc::new(store.clone()), 300);
        let small = change(r#"{"eventName":"REMOVE","dynamodb":{"Keys":{"Id":{"S":"b"}}}}"#);
        let delivery = Delivery { changes: vec![change(REPLY), change("{}"), small], attempt: 1 };
        let written = payloads.write(&delivery, |_| Ok(())).await.unwrap();
        assert!(
            written.payloads[0].1.starts_with("{\"reference\":") && written.payloads[0].0 == 0,
            "{:?}",
            written.payloads
        );
        assert!(written.payloads[1].1.contains("REMOVE") && written.payloads[1].0 == 2);
        assert_eq!(written.failures.len(), 1);
        assert!(written.failures[0].index == 1 && written.failures[0].verdict == Verdict::Refused);
        assert_eq!(store.objects().len(), 1);
    }

    #[test]
    fn what_others_say_is_safe_to_log() {
        assert_eq!(said("a\u{1b}[0m\n\u{202e}"), "a\\u{1b}[0m\\n\\u{202e}");
        assert_eq!(said(&"x".repeat(1000)).chars().count(), SAID_CHARS + 1);
    }
}

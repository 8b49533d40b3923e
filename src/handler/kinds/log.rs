//! How are changes written to the standard output, one a line?

use std::sync::PoisonError;

use super::payloads::outcome;
use super::{Out, Payloads};
use crate::BoxFuture;
use crate::clock::Clock;
use crate::handler::payload::on_one_line;
use crate::handler::{Delivery, Handler, HandlerError, Outcome};

/// A handler of `type = "log"`.
pub struct Log {
    payloads: Payloads,
    out: Out,
    clock: Clock,
}

impl Log {
    /// Writes to `out`, which others may write to as well: each call at once.
    pub fn new(payloads: Payloads, out: Out, clock: Clock) -> Self {
        Self { payloads, out, clock }
    }

    async fn write(&self, delivery: &Delivery) -> Result<Outcome, HandlerError> {
        let written = self.payloads.write(delivery, |_| Ok(())).await?;
        let lines: String = written.payloads.iter().map(|(_, payload)| on_one_line(payload) + "\n").collect();
        let out = self.out.clone();
        // A pipe that nobody empties must not hold up a thread of the runtime.
        let done = self.clock.offload(move || {
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(lines.as_bytes()).and_then(|()| out.flush())
        });
        done.await.map_err(|error| HandlerError::Unavailable { why: format!("the output: {error}"), after: None })?;
        Ok(outcome(written.failures))
    }
}

impl Handler for Log {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(self.write(delivery))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::handler::payload::tests::{REPLY, change};
    use crate::handler::payload::{Format, Template};
    use crate::handler::{Failure, Verdict};
    use crate::testing::store::MemoryStore;

    fn log(format: Format, out: Out) -> Log {
        Log::new(Payloads::new("h", format, Arc::new(MemoryStore::new()), usize::MAX), out, Clock::system())
    }

    #[tokio::test]
    async fn each_change_is_a_line_and_what_can_not_be_written_is_told() {
        let out = Arc::new(Mutex::new(Vec::new()));
        let template = Template::compile("{{ op }}\n\n{{ new.Id.S }}\n").unwrap();
        let log = log(Format::Template(Box::new(template)), out.clone());
        let removal = change(r#"{"eventName":"REMOVE","dynamodb":{"Keys":{"Id":{"S":"b"}}}}"#);
        let delivery = Delivery { changes: vec![change(REPLY), removal, change(REPLY)], attempt: 1 };
        let failed = log.handle(&delivery).await.unwrap();
        let why = "line 3 of the template: undefined value".to_owned();
        assert_eq!(failed, Outcome::Failed(vec![Failure { index: 1, why, verdict: Verdict::Refused }]));
        assert_eq!(String::from_utf8(out.lock().unwrap().clone()).unwrap(), "MODIFY  aé\nMODIFY  aé\n");
    }

    #[tokio::test]
    async fn a_closed_pipe_is_no_fault_of_the_change() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = log(Format::Change, Arc::new(Mutex::new(Closed)));
        let delivery = Delivery { changes: vec![change(REPLY)], attempt: 1 };
        assert!(matches!(log.handle(&delivery).await, Err(HandlerError::Unavailable { .. })));
    }
}

//! How are changes handed to a child process? One JSON per line on its stdin, one verdict per line from its stdout.
//!
//! ```text
//!  ► {"id":"5f0c…","table":"Reply","op":"INSERT",…}
//!  ◄ {"id":"5f0c…","ok":true}
//!  ◄ {"id":"77ab…","ok":false,"retry":false,"error":"no such forum"}
//! ```
//!
//! Verdicts may come in any order, one for each change. A process serves one call at a time, and many calls one after
//! the other; `parallelization_factor` says how many processes there are. Whatever is left of a call that did not end
//! well would be taken for an answer to the next one: its process is killed.

mod process;
mod verdict;

#[cfg(all(test, unix))]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Payloads;
use super::payloads::{outcome, said};
use crate::BoxFuture;
use crate::clock::Clock;
use crate::handler::payload::{Format, is_json, on_one_line, quoted};
use crate::handler::{Delivery, Failure, Handler, HandlerError, Limits, Outcome, Verdict};
use crate::pipeline::spec;

use process::{Broken, Input, Output, Process};

/// A handler of `type = "exec"`.
pub struct Exec {
    command: Vec<String>,
    payloads: Payloads,
    timeout: Duration,
    clock: Clock,
    /// A permit for each process.
    permits: Semaphore,
    /// Those that wait for work.
    idle: Mutex<Vec<Process>>,
}

impl Exec {
    /// No process is started before the first change.
    pub fn new(handler: &spec::Handler, command: &[String], payloads: Payloads, clock: Clock) -> Self {
        Self {
            command: command.to_vec(),
            payloads,
            timeout: handler.timeout,
            clock,
            permits: Semaphore::new(handler.parallelization_factor),
            idle: Mutex::default(),
        }
    }

    async fn call(&self, delivery: &Delivery) -> Result<Outcome, HandlerError> {
        let written = self.payloads.write(delivery, |_| Ok(())).await?;
        if written.payloads.is_empty() {
            return Ok(outcome(written.failures));
        }
        let ids: HashMap<String, usize> =
            written.payloads.iter().map(|(index, _)| (self.payloads.id(&delivery.changes[*index]), *index)).collect();
        let lines: String = written
            .payloads
            .iter()
            .map(|(index, payload)| self.line(&self.payloads.id(&delivery.changes[*index]), payload) + "\n")
            .collect();
        // Nobody closes it.
        let _permit = self.permits.acquire().await;
        let mut process = self.process()?;
        let work = self.serve(&mut process, lines, ids);
        let served = tokio::select! {
            biased;
            served = work => served,
            () = self.clock.sleep(self.timeout) => {
                Err(HandlerError::Failed("the program did not answer in time (`timeout`) and was killed".to_owned()))
            }
        };
        match served {
            Ok(mut failures) => {
                // Only a process that has answered everything serves another call.
                process.rest();
                self.lock().push(process);
                failures.extend(written.failures);
                Ok(outcome(failures))
            }
            Err(error) => {
                process.kill().await;
                Err(error)
            }
        }
    }

    /// The line of a change. In our own format it has its id; in others it is wrapped.
    fn line(&self, id: &str, payload: &str) -> String {
        match self.payloads.format() {
            Format::Change => on_one_line(payload),
            _ if is_json(payload) => format!("{{\"id\":\"{id}\",\"change\":{}}}", on_one_line(payload)),
            _ => format!("{{\"id\":\"{id}\",\"change\":{}}}", quoted(payload)),
        }
    }

    /// An idle process that still lives, or a new one.
    fn process(&self) -> Result<Process, HandlerError> {
        while let Some(mut process) = self.lock().pop() {
            if process.lives() {
                return Ok(process);
            }
        }
        Process::start(&self.command, self.payloads.handler()).map_err(|error| {
            let program = self.command.first().map_or("", String::as_str);
            HandlerError::Unavailable { why: format!("{program:?} does not start: {error}"), after: None }
        })
    }

    /// Has one call answered.
    async fn serve(
        &self,
        process: &mut Process,
        lines: String,
        ids: HashMap<String, usize>,
    ) -> Result<Vec<Failure>, HandlerError> {
        let (input, output) = process.ends();
        match exchange(input, output, lines, ids).await {
            Ok(failures) => Ok(failures),
            Err(Broken::Words(why)) => Err(HandlerError::Failed(why)),
            Err(Broken::Ended) => {
                let why = format!("the program ended before it had answered: {}", process.obituary().await);
                Err(HandlerError::Unavailable { why, after: None })
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Process>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all lines, and reads a verdict for each, at the same time: a program may answer before it has read all.
async fn exchange(
    mut input: Input<'_>,
    mut output: Output<'_>,
    lines: String,
    mut ids: HashMap<String, usize>,
) -> Result<Vec<Failure>, Broken> {
    let write = input.write(lines.as_bytes());
    let read = async {
        let mut failures = Vec::new();
        while !ids.is_empty() {
            let verdict = verdict::Verdict::parse(&output.line().await?).map_err(Broken::Words)?;
            let Some(index) = ids.remove(&verdict.id) else {
                let id = said(&verdict.id);
                return Err(Broken::Words(format!(
                    "a verdict names {id}, which no change of the call has, or not any more"
                )));
            };
            if let Some((why, retry)) = verdict.failure {
                failures.push(Failure { index, why, verdict: Verdict::of(retry) });
            }
        }
        Ok(failures)
    };
    tokio::pin!(write, read);
    let mut writing = true;
    loop {
        tokio::select! {
            biased;
            // If the program is gone its output ends, which is told below.
            _ = &mut write, if writing => writing = false,
            // It would take the rest of the call for the beginning of the next one.
            answered = &mut read => return match answered {
                Ok(_) if writing => Err(Broken::Words("the program answered before it had read every change".to_owned())),
                answered => answered,
            },
        }
    }
}

impl Handler for Exec {
    fn limits(&self) -> Limits {
        // The program may take a later change of an item and fail an earlier one of the same call.
        Limits { several_of_one_item: false, ..Limits::default() }
    }

    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Outcome, HandlerError>> {
        Box::pin(self.call(delivery))
    }
}

//! `watershed lambda`: how does a pipeline run as a Lambda function behind a stream's mapping?
//!
//! ```text
//!  event ─► records ─┬─► lake: what no range holds ─► kept records ─► range ─► files ─┐
//!                    └─► handlers: calls, dead letters ───────────────────────────────┴─► the first pending record
//! ```
//!
//! Everything is durable before the answer, and nothing goes on behind it: a freeze or a kill at any point loses nothing and
//! repeats nothing in the lake.

pub mod answer;
mod deliver;
pub mod event;
#[cfg(feature = "handler-lambda")]
pub mod live;
pub mod mapping;
pub mod source;
#[cfg(test)]
mod template_tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime};
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::assembly::{Assembly, AssemblyError};
use crate::change::{Record, ShardId};
use crate::clock::Clock;
use crate::engine::handler::HandlerParts;
use crate::lake::Lake;
use crate::lake::member_shard::{IfLost, Landed, MemberShard};
use crate::pipeline::spec::{LakePath, OnFailure, OnGap, Origin, Pipeline};
use answer::Progress;
use event::Batch;
use source::Place;

/// The variable that says where Lambda's Runtime API is. Where it is set, the binary is its own bootstrap.
pub const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// The variable that names the pipeline file: a path in the package, or `s3://BUCKET/KEY`.
pub const PIPELINE: &str = "WATERSHED_PIPELINE";

/// Variables that Lambda sets for every function, and the runtime asks for.
const NEEDED: [&str; 4] = [RUNTIME_API, "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", MEMORY];
const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";

/// What is left for the answer at the end of an invocation.
const SHORTEST_MARGIN: Duration = Duration::from_millis(300);
const LONGEST_MARGIN: Duration = Duration::from_secs(3);

/// The longest time that Lambda gives an invocation.
const LONGEST_INVOCATION: Duration = Duration::from_secs(900);

/// Deadlines from here on are moments (ms since the epoch; this one is in 2001).
const LEAST_MOMENT: i64 = 1_000_000_000_000;

/// Why the function can't serve.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// Not started by Lambda.
    #[error(
        "the environment variable {0} is missing: `watershed lambda` is started by AWS Lambda, as the bootstrap of a \
         function. README.md says how to build its package"
    )]
    NoRuntime(&'static str),
    /// Started by something else.
    #[error("the environment variable {name} is {value:?}, and Lambda sets {expected}")]
    OddRuntime {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it should say.
        expected: &'static str,
    },
    /// No pipeline file.
    #[error("the environment variable {PIPELINE} is missing: a path in the package, or s3://BUCKET/KEY")]
    NoPipeline,
    /// The pipeline file is wrong, or can't be read.
    #[error("{0}")]
    Pipeline(String),
    /// The pipeline can't run as a function.
    #[error("{0}")]
    Unfit(String),
    /// The pipeline could not be put together.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// Lambda could not be asked about a function.
    #[error("{0}")]
    Live(String),
    /// The Runtime API failed.
    #[error("the Lambda Runtime API: {0}")]
    Runtime(String),
}

/// Serves events until the environment is shut down.
pub async fn serve() -> Result<(), LambdaError> {
    check_runtime(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))?;
    let clock = Clock::system();
    let pipeline = named_pipeline().await?;
    let function = Arc::new(Function::new(&pipeline, clock).await?);
    let handle = |event: LambdaEvent<Box<RawValue>>| {
        let function = function.clone();
        async move {
            let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
            let answered = function.invoke(Bytes::from(String::from(Box::<str>::from(event.payload))), deadline).await;
            answered.map_err(|why| Diagnostic { error_type: "watershed".to_owned(), error_message: why })
        }
    };
    let runtime = Runtime::new(lambda_runtime::service_fn(handle));
    runtime.run().await.map_err(|error| LambdaError::Runtime(error.to_string()))
}

/// Whether the variables are those that Lambda sets: the runtime takes them as they are, and panics at others.
fn check_runtime(variable: impl Fn(&str) -> Option<String>) -> Result<(), LambdaError> {
    for name in NEEDED {
        let value = variable(name).ok_or(LambdaError::NoRuntime(name))?;
        let (right, expected) = match name {
            RUNTIME_API => (value.parse::<axum::http::Uri>().is_ok_and(|uri| uri.host().is_some()), "HOST:PORT"),
            MEMORY => (value.parse::<i32>().is_ok(), "a number of megabytes"),
            _ => (!value.contains(char::REPLACEMENT_CHARACTER), "UTF-8 text"),
        };
        if !right {
            return Err(LambdaError::OddRuntime { name, value, expected });
        }
    }
    Ok(())
}

async fn named_pipeline() -> Result<Pipeline, LambdaError> {
    let named = std::env::var(PIPELINE).ok().filter(|name| !name.is_empty()).ok_or(LambdaError::NoPipeline)?;
    let problems = |problems: Vec<crate::pipeline::Problem>| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("{problem}")).collect();
        LambdaError::Pipeline(lines.join("\n"))
    };
    let Some(object) = named.strip_prefix("s3://") else {
        return crate::pipeline::load(Path::new(&named)).map_err(problems);
    };
    let parts = object.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
    let Some((bucket, key)) = parts else {
        return Err(LambdaError::Pipeline(format!("{PIPELINE} is {named}, and names no object: s3://BUCKET/KEY")));
    };
    let text = crate::assembly::pipeline_in_s3(bucket, key).await?;
    crate::pipeline::read(&named, &text).map_err(problems)
}

/// A pipeline, ready for events. It lives as long as its environment, and remembers the ends of chains.
pub struct Function {
    origin: Origin,
    lake: Arc<Lake>,
    handlers: Vec<HandlerParts>,
    clock: Clock,
    /// Whether a range whose kept records are gone is passed over.
    pass_over: bool,
    chains: Mutex<HashMap<(String, ShardId), MemberShard>>,
}

impl Function {
    /// Puts a pipeline together. No client is made that it does not need, and no table is asked.
    pub async fn new(pipeline: &Pipeline, clock: Clock) -> Result<Self, LambdaError> {
        fits(pipeline)?;
        let assembly = Assembly::new(pipeline, clock.clone());
        Ok(Self {
            origin: pipeline.source.origin.clone(),
            lake: assembly.lake_of_events().await?,
            handlers: assembly.handlers().await?,
            clock,
            pass_over: pipeline.source.on_gap == OnGap::Resume,
            chains: Mutex::default(),
        })
    }

    /// The same, of parts that are put together elsewhere: in a simulated world.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn of(origin: Origin, lake: Arc<Lake>, handlers: Vec<HandlerParts>, clock: Clock) -> Self {
        Self { origin, lake, handlers, clock, pass_over: false, chains: Mutex::default() }
    }

    /// Handles an event, until `deadline` (ms since the epoch) at the latest.
    ///
    /// # Errors
    /// If nothing of it is done: the text says why. Lambda then sends all of it again.
    pub async fn invoke(&self, event: Bytes, deadline: i64) -> Result<Box<RawValue>, String> {
        let batch = event::read(&event).map_err(|error| error.to_string())?;
        if batch.items.is_empty() {
            return answer::answer(&batch, &Progress { done: 0, why: None });
        }
        let place = source::place(&self.origin, &batch)?;
        let (began, until) = (self.clock.now(), self.until(deadline));
        let (in_lake, delivered) = tokio::join!(self.land(&batch, &place, until), self.deliver(&batch, &place, until));
        let progress = if delivered.done < in_lake.done { delivered } else { in_lake };
        let took = self.clock.now().saturating_duration_since(began);
        let (records, done) = (batch.items.len(), progress.done);
        let why = progress.why.as_deref().unwrap_or_default();
        if done < records {
            tracing::warn!(shard = %place.shard, records, done, ?took, why, "a batch is not done; the rest of it comes again");
        } else {
            tracing::info!(shard = %place.shard, records, ?took, "a batch is done");
        }
        answer::answer(&batch, &progress)
    }

    /// When work has to be over, so that there is time for the answer.
    fn until(&self, deadline: i64) -> Instant {
        let millis = match deadline {
            // Some local runtimes say how long it may take, and not until when.
            ..LEAST_MOMENT => deadline,
            moment => moment - self.clock.wall_micros() / 1000,
        };
        let left = Duration::from_millis(millis.max(0).unsigned_abs()).min(LONGEST_INVOCATION);
        let margin = (left / 20).clamp(SHORTEST_MARGIN, LONGEST_MARGIN).min(left / 2);
        self.clock.now() + (left - margin)
    }

    async fn land(&self, batch: &Batch, place: &Place, until: Instant) -> Progress {
        let mut landed = Landed::default();
        let mut records: Vec<(usize, &Record)> = Vec::new();
        for (at, item) in batch.items.iter().enumerate() {
            records.extend(item.records.iter().map(|record| (at, record)));
        }
        records.sort_by_key(|(_, record)| record.position);
        let given: Vec<Record> = records.iter().map(|(_, record)| (*record).clone()).collect();
        let why = self.land_records(given, place, until, &mut landed).await.err();
        let (ranges, overtaken) = (landed.committed.len(), landed.overtaken);
        let rows: u64 = landed.committed.iter().flat_map(|range| &range.files).map(|(_, rows, _)| rows).sum();
        tracing::debug!(shard = %place.shard, ranges, rows, overtaken, "landed");
        let pending = records.get(landed.durable..).unwrap_or_default().iter().map(|(item, _)| *item).min();
        Progress { done: pending.unwrap_or(batch.items.len()), why }
    }

    /// Lands records. A chain of which it is not known how far it has come is opened anew the next time.
    async fn land_records(
        &self,
        records: Vec<Record>,
        place: &Place,
        until: Instant,
        landed: &mut Landed,
    ) -> Result<(), String> {
        let key = (place.stream.id.clone(), place.shard.clone());
        let known = self.chains.lock().await.remove(&key);
        let landing = async {
            let mut chain = match known {
                Some(chain) => chain,
                None => {
                    let lost = IfLost { at_hand: &records, pass_over: self.pass_over };
                    self.lake.open_members(&place.stream, &place.shard, lost).await?
                }
            };
            chain.land(records, Some(until), landed).await?;
            Ok::<_, crate::lake::LakeError>(chain)
        };
        match tokio::time::timeout_at(until, landing).await {
            Ok(Ok(chain)) => {
                self.chains.lock().await.insert(key, chain);
                Ok(())
            }
            Ok(Err(error)) => Err(format!("lake: {error}")),
            Err(_) => Err("lake: the time of the invocation was over".to_owned()),
        }
    }

    async fn deliver(&self, batch: &Batch, place: &Place, until: Instant) -> Progress {
        let origin = deliver::Origin { stream: &place.stream.id, arn: &place.arn, shard: &place.shard };
        let calls = self.handlers.iter().map(|parts| deliver::deliver(parts, batch, &origin, until, &self.clock));
        let mut slowest = Progress { done: batch.items.len(), why: None };
        for delivered in futures_of(calls.collect()).await {
            let resolved = |record: &Record| delivered.all || Some(record.position) <= delivered.frontier;
            let pending = batch.items.iter().position(|item| !item.records.iter().all(resolved));
            if let Some(done) = pending.filter(|done| *done < slowest.done) {
                slowest = Progress { done, why: delivered.why };
            }
        }
        slowest
    }
}

/// Drives all side by side, and collects their answers in order.
async fn futures_of<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, answer) in &mut futures {
            if answer.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(answered) => *answer = Some(answered),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, answer)| answer).collect()
}

/// Whether a pipeline can run as a function.
fn fits(pipeline: &Pipeline) -> Result<(), LambdaError> {
    if let Origin::File { .. } = pipeline.source.origin {
        let why = "the source is of type `file`, and a function gets its changes from a mapping: name the table or the \
                   stream of the mapping in [source]";
        return Err(LambdaError::Unfit(why.to_owned()));
    }
    // Where Lambda runs a function, only a mounted file system outlives its environment.
    if std::env::var_os("LAMBDA_TASK_ROOT").is_none() {
        return Ok(());
    }
    let lost = |folder: &Path| !folder.starts_with("/mnt/");
    let folders = pipeline.handlers.iter().filter_map(|handler| match &handler.on_failure {
        OnFailure::Folder(folder) => Some((format!("on_failure of handler {}", handler.name), folder.as_path())),
        _ => None,
    });
    let lake = match &pipeline.lake.path {
        LakePath::Folder(folder) => Some(("lake.path".to_owned(), folder.as_path())),
        LakePath::S3 { .. } => None,
    };
    match lake.into_iter().chain(folders).find(|(_, folder)| lost(folder)) {
        None => Ok(()),
        Some((key, folder)) => Err(LambdaError::Unfit(format!(
            "{key} is the folder {}, and what a function writes there is lost with its environment: use s3://BUCKET/PREFIX, \
             or a file system mounted below /mnt",
            folder.display()
        ))),
    }
}

//! `watershed run`: the engine with signals, metrics, progress and a summary around it.

use std::io::{IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::assembly::{Assembly, AssemblyError};
use crate::clock::Clock;
use crate::engine::handler::HandlerParts;
use crate::engine::totals::{Counts, Totals};
use crate::engine::{Engine, EngineError, Parts};
use crate::handler::Handler;
use crate::pipeline::spec::{Origin, Pipeline, Target};
use crate::signal::told_to_stop;
use crate::telemetry::Metrics;
use crate::telemetry::health::Health;
use crate::telemetry::http::{HttpError, Server};

/// How often progress is told where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How often the progress bar moves.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The pipeline could not be put together.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// The engine stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Metrics can't be served.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Draining took longer than it may. What was not durable yet is read again by the next run.
    #[error("draining took longer than shutdown_grace ({0:?}); what was not durable yet is read again by the next run")]
    Grace(Duration),
    /// The summary could not be written.
    #[error("writing the summary: {0}")]
    Output(#[from] std::io::Error),
}

/// Runs a pipeline until its end, a signal, or an error, and writes a summary of what became durable to `out`.
pub async fn run(pipeline: &Pipeline, once: bool, out: &mut dyn Write) -> Result<(), RunError> {
    run_with(pipeline, once, Vec::new(), out).await
}

/// The same, with handlers of your own beside those of the pipeline file. Each has a name that no other has: its positions
/// are kept under it, and its dead letters are in the lake.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use watershed::handler::{Delivery, Handler, HandlerError, Outcome};
///
/// /// Counts the changes of each kind.
/// #[derive(Default)]
/// struct Count(Mutex<std::collections::BTreeMap<String, u64>>);
///
/// impl Handler for Count {
///     fn handle<'a>(
///         &'a self,
///         delivery: &'a Delivery,
///     ) -> watershed::BoxFuture<'a, Result<Outcome, HandlerError>> {
///         Box::pin(async move {
///             for change in &delivery.changes {
///                 let envelope = change.envelope().map_err(|why| HandlerError::Refused(why.to_string()))?;
///                 let mut counts = self.0.lock().unwrap();
///                 *counts.entry(envelope.event_name.to_string()).or_default() += 1;
///             }
///             Ok(Outcome::Done)
///         })
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let text = format!(
///     r#"
///     name = "counted"
///     state = "folder:{0}/state"
///     [source]
///     type = "file"
///     path = "pipelines/quickstart"
///     [lake]
///     path = "{0}/lake"
///     "#,
///     folder.path().display()
/// );
/// let pipeline = watershed::pipeline::read("counted.toml", &text).expect("no mistakes");
/// let count = Arc::new(Count::default());
/// let handlers: Vec<(&str, Arc<dyn Handler>)> = vec![("count", count.clone())];
/// let mut summary = std::io::sink();
/// let run = watershed::daemon::run_with(&pipeline, true, handlers, &mut summary);
/// tokio::runtime::Runtime::new()?.block_on(run)?;
/// assert_eq!(count.0.lock().unwrap()["INSERT"], 947);
/// # Ok(())
/// # }
/// ```
pub async fn run_with(
    pipeline: &Pipeline,
    once: bool,
    own: Vec<(&str, Arc<dyn Handler>)>,
    out: &mut dyn Write,
) -> Result<(), RunError> {
    let clock = Clock::system();
    let assembly = Assembly::new(pipeline, clock.clone());
    let metrics = Metrics::new();
    let health = Health::new(clock.now(), pipeline.lake.roll.age);
    let stop = CancellationToken::new();
    let serving = serve(pipeline, &metrics, &health, &clock, &stop).await?;
    // The state first: it keeps a second process out before that does anything.
    let state = assembly.state().await?;
    let mut handlers = assembly.handlers().await?;
    for (name, handler) in own {
        if handlers.iter().any(|known| &*known.name == name) {
            let why = "there are two of this name, and positions are kept under it".to_owned();
            return Err(AssemblyError::Handler(name.to_owned(), why).into());
        }
        let letters = Arc::new(assembly.letters_in_lake(name).await?);
        handlers.push(HandlerParts::new(name, handler, letters));
    }
    let engine = Engine::new(Parts {
        finder: assembly.finder().await?,
        lake: assembly.lake().await?,
        handlers,
        state,
        clock: clock.clone(),
        settings: assembly.engine_settings(once),
        metrics,
        health,
    });
    let totals = engine.totals();
    let ended = {
        let progress = show_progress(&totals, &clock);
        tokio::select! {
            ended = engine.run(stop.clone()) => ended.map_err(RunError::from),
            error = drain_on_signal(pipeline.shutdown_grace, &clock, &stop) => Err(error),
            () = progress => unreachable!("progress is shown until the run ends"),
        }
    };
    stop.cancel();
    drop(serving);
    // Where `log` handlers write their lines, programs read: people read elsewhere.
    let for_programs = pipeline.handlers.iter().any(|handler| handler.target == Target::Log);
    let out = if for_programs { &mut std::io::stderr() as &mut dyn Write } else { out };
    let counts = totals.counts();
    // That nothing is new can't be said where it failed before it had read anything.
    if ended.is_ok() || !is_nothing(&counts) {
        write_summary(pipeline, &counts, out)?;
    }
    ended
}

async fn serve(
    pipeline: &Pipeline,
    metrics: &Metrics,
    health: &Health,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<Option<tokio::task::JoinHandle<()>>, RunError> {
    let Some(listen) = pipeline.listen else { return Ok(None) };
    let server = Server::bind(listen).await?;
    tracing::info!(address = %server.address(), "metrics at /metrics, health at /healthz");
    let serving = server.serve(metrics.clone(), health.clone(), clock.clone(), stop.clone());
    Ok(Some(tokio::spawn(serving)))
}

/// Waits for SIGINT or SIGTERM, then tells the engine to drain. Returns only when that takes too long, or is asked for
/// twice.
async fn drain_on_signal(grace: Duration, clock: &Clock, stop: &CancellationToken) -> RunError {
    told_to_stop().await;
    tracing::info!(?grace, "draining: reading stops, what has been read becomes durable");
    stop.cancel();
    tokio::select! {
        () = clock.sleep(grace) => {}
        () = told_to_stop() => {}
    }
    RunError::Grace(grace)
}

/// A moving line on a terminal, a log line now and then elsewhere. Never returns.
async fn show_progress(totals: &Arc<Totals>, clock: &Clock) {
    let started = clock.now();
    if !std::io::stderr().is_terminal() {
        loop {
            clock.sleep(LOG_EVERY).await;
            let counts = totals.counts();
            let rows: u64 = counts.rows.values().sum();
            tracing::info!(rows, files = counts.files, bytes = counts.bytes, ranges = counts.ranges, "durable so far");
        }
    }
    let style = ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style).with_finish(indicatif::ProgressFinish::AndClear);
    loop {
        let counts = totals.counts();
        let rows: u64 = counts.rows.values().sum();
        let seconds = clock.now().saturating_duration_since(started).as_secs_f64().max(0.001);
        bar.set_message(format!(
            "{} changes in {} files ({}), {} a second",
            HumanCount(rows),
            HumanCount(counts.files),
            HumanBytes(counts.bytes),
            HumanCount((rows as f64 / seconds) as u64),
        ));
        bar.tick();
        clock.sleep(DRAW_EVERY).await;
    }
}

fn is_nothing(counts: &Counts) -> bool {
    counts.rows.is_empty() && counts.undecodable == 0
}

/// What this run did: changes by table and operation, files, where they are, and a first query.
fn write_summary(pipeline: &Pipeline, counts: &Counts, out: &mut dyn Write) -> std::io::Result<()> {
    let lake = pipeline.lake.path.to_string();
    if is_nothing(counts) {
        writeln!(out, "Nothing new: everything the source has is in {lake}.")?;
    } else {
        write_table(counts, out)?;
        writeln!(
            out,
            "\n{} data files ({}) in {} ranges, in {lake}",
            HumanCount(counts.files),
            HumanBytes(counts.bytes),
            HumanCount(counts.ranges),
        )?;
    }
    if counts.undecodable > 0 {
        writeln!(out, "{} records are no changes; they are in {lake}/_watershed/dead-letters", counts.undecodable)?;
    }
    if counts.to_rest > 0 {
        writeln!(out, "{} values did not fit their column exactly; they are in `_rest`", counts.to_rest)?;
    }
    if counts.gaps > 0 {
        writeln!(
            out,
            "{} gaps: records were lost in the source; the lake's ranges mark where, and a backfill repairs it",
            counts.gaps
        )?;
    }
    let table = counts.rows.iter().max_by_key(|(_, rows)| **rows).map(|((table, _), _)| table.to_string());
    if let Some(table) = table.or_else(|| first_table(&pipeline.source.origin)) {
        let levels = "/*".repeat(pipeline.lake.partition_by(&table).len());
        let folder = crate::lake::partition::name_segment(&table);
        writeln!(out, "\nTry it in DuckDB:\n")?;
        writeln!(out, "  SELECT _op, count(*) AS changes, min(_changed_at) AS first, max(_changed_at) AS last")?;
        writeln!(out, "  FROM read_parquet('{lake}/{folder}{levels}/*.parquet', union_by_name = true)")?;
        writeln!(out, "  GROUP BY _op ORDER BY _op;")?;
    }
    out.flush()
}

fn write_table(counts: &Counts, out: &mut dyn Write) -> std::io::Result<()> {
    let width = counts.rows.keys().map(|(table, _)| table.chars().count()).max().unwrap_or(0).max("table".len());
    writeln!(out, "{:<width$}  {:<9} {:>12}", "table", "operation", "changes")?;
    for ((table, operation), rows) in &counts.rows {
        writeln!(out, "{table:<width$}  {operation:<9} {:>12}", HumanCount(*rows).to_string())?;
    }
    let all: u64 = counts.rows.values().sum();
    writeln!(out, "{:<width$}  {:<9} {:>12}", "", "", HumanCount(all).to_string())
}

fn first_table(origin: &Origin) -> Option<String> {
    origin.tables()?.first().map(|table| (*table).to_owned())
}

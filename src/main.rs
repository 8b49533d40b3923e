//! The `watershed` command: parse, set up logs, run, and turn the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use watershed::backfill::{self, Wanted};
use watershed::cli::{Cli, Command, EXIT_DONE, EXIT_FAILED, EXIT_WRONG, LogFormat};
use watershed::pipeline::{self, Pipeline};
use watershed::{commands, daemon, telemetry};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = match cli.log_format {
        LogFormat::Text => telemetry::log::LogFormat::Text,
        LogFormat::Json => telemetry::log::LogFormat::Json,
    };
    if let Err(error) = telemetry::log::init(format, cli.verbose) {
        eprintln!("watershed: {error}");
        return EXIT_WRONG.into();
    }
    execute(cli.command).into()
}

fn execute(command: Command) -> u8 {
    let mut out = std::io::stdout();
    match command {
        Command::Check { pipelines } => pipeline::check(&pipelines, &mut out).unwrap_or_else(|error| failed(&error)),
        Command::Run { pipeline, once } => {
            with_pipeline(&pipeline, |pipeline, runtime| runtime.block_on(daemon::run(pipeline, once, &mut out)))
        }
        Command::Backfill { pipeline, exports, allow_partial, snapshot_only, segments, read_units, dry_run } => {
            let wanted = Wanted { exports, allow_partial, snapshot_only, segments, read_units, dry_run };
            with_pipeline(&pipeline, |pipeline, runtime| runtime.block_on(backfill::run(pipeline, &wanted, &mut out)))
        }
        Command::Tail { pipeline, json } => {
            with_pipeline(&pipeline, |pipeline, runtime| runtime.block_on(commands::tail(pipeline, json, &mut out)))
        }
        Command::Schema { pipeline } => {
            with_pipeline(&pipeline, |pipeline, runtime| runtime.block_on(commands::schema(pipeline, &mut out)))
        }
        Command::Positions { pipeline } => with_pipeline(&pipeline, |pipeline, runtime| {
            runtime.block_on(commands::positions(pipeline, &mut out, &mut std::io::stderr()))
        }),
        Command::Verify { pipeline, sample, read_units } => with_pipeline(&pipeline, |pipeline, runtime| {
            runtime.block_on(commands::verify(pipeline, sample, read_units, &mut out))
        }),
        Command::Replay { pipeline, letters } => with_pipeline(&pipeline, |pipeline, runtime| {
            runtime.block_on(commands::replay(pipeline, &letters, &mut out, &mut std::io::stderr()))
        }),
    }
}

/// Reads the pipeline file, or tells every mistake in it; then does what the command does.
fn with_pipeline<E: std::error::Error>(
    path: &std::path::Path,
    work: impl FnOnce(&Pipeline, &tokio::runtime::Runtime) -> Result<(), E>,
) -> u8 {
    let pipeline = match pipeline::load(path) {
        Ok(pipeline) => pipeline,
        Err(_) => return pipeline::check(&[path], &mut std::io::stderr()).unwrap_or_else(|error| failed(&error)),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = work(&pipeline, &runtime);
    // Readers blocked in a call must not hold up the exit.
    runtime.shutdown_background();
    match done {
        Ok(()) => EXIT_DONE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> u8 {
    eprintln!("watershed: {error}");
    EXIT_FAILED
}

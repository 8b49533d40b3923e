//! The `watershed` command: parse, set up logs, run, and turn the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use watershed::backfill::{self, Wanted};
use watershed::cli::{Cli, Command, EXIT_DONE, EXIT_FAILED, EXIT_WRONG, LogFormat};
use watershed::commands::Comparison;
use watershed::lambda::{self, LambdaError};
use watershed::pipeline::{self, Pipeline};
use watershed::{commands, daemon, iam, telemetry};

fn main() -> ExitCode {
    let cli = if is_bootstrap() { Cli::parse_from(["watershed", "lambda"]) } else { Cli::parse() };
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

/// Whether Lambda started this binary as the bootstrap of a function.
fn is_bootstrap() -> bool {
    std::env::args_os().len() <= 1 && std::env::var_os(lambda::RUNTIME_API).is_some()
}

fn execute(command: Command) -> u8 {
    let mut out = std::io::stdout();
    match command {
        Command::Check { lambda: Some(function), .. } => check_lambda(&function, &mut out),
        Command::Check { pipelines, .. } => {
            pipeline::check(&pipelines, &mut out).unwrap_or_else(|error| failed(&error))
        }
        Command::Iam { pipeline, mode, exports, snapshot_only } => {
            print_policy(&pipeline, &iam::Use { mode, exports, snapshot_only }, &mut out)
        }
        Command::Run { pipeline, once } => {
            with_pipeline(&pipeline, |pipeline, runtime| runtime.block_on(daemon::run(pipeline, once, &mut out)))
        }
        Command::Lambda => serve_lambda(),
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
        Command::Verify { pipeline, sample, segments, read_units } => with_pipeline(&pipeline, |pipeline, runtime| {
            runtime.block_on(commands::verify(pipeline, Comparison { sample, segments, read_units }, &mut out))
        }),
        Command::Replay { pipeline, letters } => with_pipeline(&pipeline, |pipeline, runtime| {
            runtime.block_on(commands::replay(pipeline, &letters, &mut out, &mut std::io::stderr()))
        }),
    }
}

fn serve_lambda() -> u8 {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(lambda::serve()) {
        Ok(()) => EXIT_DONE,
        Err(error @ (LambdaError::Assembly(_) | LambdaError::Runtime(_))) => failed(&error),
        Err(error) => {
            eprintln!("watershed: {error}");
            EXIT_WRONG
        }
    }
}

#[cfg(feature = "handler-lambda")]
fn check_lambda(function: &str, out: &mut dyn std::io::Write) -> u8 {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(lambda::live::check(function, out)) {
        Ok(true) => EXIT_DONE,
        Ok(false) => EXIT_WRONG,
        Err(error) => failed(&error),
    }
}

#[cfg(not(feature = "handler-lambda"))]
fn check_lambda(_: &str, _: &mut dyn std::io::Write) -> u8 {
    eprintln!("watershed: this build has no client for Lambda: build it with the feature `handler-lambda`");
    EXIT_WRONG
}

fn print_policy(path: &std::path::Path, used: &iam::Use, out: &mut dyn std::io::Write) -> u8 {
    let Ok(pipeline) = pipeline::load(path) else {
        return pipeline::check(&[path], &mut std::io::stderr()).unwrap_or_else(|error| failed(&error));
    };
    let policy = match iam::policy(&pipeline, used) {
        Ok(policy) => policy,
        Err(error) => {
            eprintln!("watershed: {error}");
            return EXIT_WRONG;
        }
    };
    let written = writeln!(out, "{policy:#}").and_then(|()| out.flush());
    written.map_or_else(|error| failed(&error), |()| EXIT_DONE)
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

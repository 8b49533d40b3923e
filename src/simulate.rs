//! The `simulate` command: how long does the engine hold in simulated worlds? See `watershed::testing::simulate`.

use std::process::ExitCode;

use clap::Parser as _;
use watershed::telemetry::log;
use watershed::testing::simulate::{Options, simulate};

fn main() -> ExitCode {
    let options = Options::parse();
    // One world's trace is for reading; those of thousands are not.
    if options.seed.is_some() && log::init(log::LogFormat::Text, 0).is_err() {
        return ExitCode::from(2);
    }
    match simulate(&options, &mut std::io::stdout(), &mut std::io::stderr()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

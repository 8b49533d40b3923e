//! The `simulate` command: how long does the engine hold in simulated worlds? See `watershed::testing::simulate`.

use std::process::ExitCode;

use clap::Parser as _;
use watershed::testing::simulate::{Options, exit_code, simulate};
use watershed::testing::trace;

fn main() -> ExitCode {
    let options = Options::parse();
    // One world's trace is for reading; those of thousands are not.
    if options.one().is_some() && !options.shrink {
        trace::tell();
    }
    exit_code(&simulate(&options, &mut std::io::stdout(), &mut std::io::stderr()))
}

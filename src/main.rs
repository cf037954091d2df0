//! plantail's entry: command line to exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    plantail::cli::run(&plantail::cli::Cli::parse())
}

//! plantail's entry: command line to exit code.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// Reading a log is mostly the making and freeing of small values, of which the system's allocator takes a sixth of an import's time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    plantail::cli::run(&plantail::cli::Cli::parse())
}

//! plantail's own log: tracing events as text or JSON lines on stderr.
//!
//! Statements' literals, parameters and keys never go into an event; see each stage. A panic is an event too: where it happened, and its message
//! only if that is part of the program, because others quote what they were given.

use std::{io::IsTerminal, panic::PanicHookInfo};

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Sends tracing events to stderr. `verbosity` 0 shows warnings and what a person who started the daemon wants to know, 1 debug,
/// 2 everything; the environment variable `RUST_LOG` overrides it.
pub fn init(format: LogFormat, verbosity: u8) {
    let level = match verbosity {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,plantail={level}")));
    let registry = tracing_subscriber::registry().with(filter);
    let stderr = std::io::stderr;
    let installed = match format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_writer(stderr)
                    .with_ansi(stderr().is_terminal())
                    .with_target(false),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(fmt::layer().json().with_writer(stderr))
            .try_init(),
    };
    if installed.is_err() {
        tracing::debug!("telemetry was set up before");
    }
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(
            location = panic.location().map(tracing::field::display),
            thread = std::thread::current().name(),
            "panic: {}",
            message(panic)
        );
    }));
}

/// `&str` is what `panic!("…")` and `expect` on an option carry; a message put together at run time is a `String`.
fn message(panic: &PanicHookInfo<'_>) -> &'static str {
    panic
        .payload()
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(message withheld: it may quote the log)")
}

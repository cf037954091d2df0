//! The one integration binary: the program as its users run it, on real logs, a real PostgreSQL and real files.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(
    clippy::print_stderr,
    reason = "a test that skips for want of something says so"
)]

// Runs plantail: commands to their end, the daemon in the background.
mod plantail;
// A throw-away PostgreSQL server with auto_explain.
mod postgres;

// A breach asks a model; whatever the model does, ingest goes on.
mod advice;
// Wrong use: messages, exit codes, nothing half-written.
mod bad_input;
// Secrets planted everywhere on a real server come out nowhere.
mod canary;
// Statements run on a real server come out of GraphQL with their plans.
mod end_to_end;
// Which statements are one query, against pg_stat_statements.
mod grouping;
// Which log records are one execution, event for event.
mod executions;
// The fault matrix: crashes, rotations, broken files and stores; each record once.
mod faults;
// Several agents, one store in PostgreSQL, an API that may only read.
mod fleet;
// Retention, backup and restore, migrations, verification.
mod hostile;
mod operating;
// kill -9 at any moment: nothing lost, nothing twice.
mod kill;
// Logs in other languages and encodings.
mod languages;
// Plans of real servers: read whole, without literals, of one shape over releases.
mod plan;
// The same statement logged as JSON, text, XML and YAML is the same plan.
mod plan_formats;
// What a visitor sees first.
mod sample_logs;
// The unit file and the example configuration.
mod service;
// import - reads standard input.
mod stdin;
// A real rsyslog between a real PostgreSQL and plantail.
mod syslog;
// Rotation, restart and amended records, as the daemon sees them.
mod tailing;
// Import direction, headers, true maps.
mod tidy;

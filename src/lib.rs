//! plantail reads the logs that PostgreSQL writes about slow statements and says why they are slow and since when.
//!
//! The modules in the order that the data takes. Imports go down only: a stage knows `model`, what stands on the floors below it, and never
//! its neighbours; only `daemon` wires them.
//!
//! ```text
//! log files -> tail -> record -> statement, plan -> execution -> plan rules -> store -> breaches -> advice -> store
//!                                                                                \-> digest -> person
//!                                                                                \-> api    -> tools
//! ```

// Plain values that the stages hand to each other.
pub mod model;
// plantail's own log.
pub mod telemetry;
// Where tests make the program die, wait or fail; nothing without the feature `failpoints`.
pub mod failpoint;

// Bytes on disk to chunks with positions: discovery, rotation, compression, generations.
pub mod tail;

// Bytes to log records: log_line_prefix, stderr, csvlog, jsonlog, and what wraps them.
pub mod record;

// Messages in every language, parameters, incidents, SQL tokens, normalized statements, redaction.
pub mod statement;

// auto_explain's plans, in each of its formats, to one tree and its shape.
pub mod plan;

// Log records to executions: parse, bind, execute, fetch, plan, nesting, failure, incidents.
pub mod execution;

// Rows and positions, committed together, in SQLite or PostgreSQL. The only place that knows diesel.
pub mod store;

// Rules over plans, and the policy that opens breaches.
pub mod analysis;

// A model's advice: redacted question, strict form, checks.
pub mod advice;

// The summary of new slow queries.
pub mod digest;

// GraphQL over HTTP. The only place that knows juniper and warp.
pub mod api;

// Wires the stages and runs them.
pub mod daemon;

// Defaults, file, environment, command line to one validated configuration.
pub mod config;

// The commands.
pub mod cli;

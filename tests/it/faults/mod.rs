//! The fault matrix: what happens to a log, a store or the program, and what of the log is in the store after it.
//!
//! Each row is a test named after it (`row_15_rename_and_create`) that runs the real `plantail watch` on files that `oracle` writes, with its own list of
//! what it wrote, or that a real PostgreSQL or logrotate writes. A row ends in `expect_all` (X1: each record once and whole, every byte counted) or
//! `expect` (X1g: the same outside of exactly these declared gaps). Beside the other tests each row runs once, a few seconds; `tests/faults` runs the long
//! form with all combinations and prints the table.

#![cfg_attr(
    not(feature = "failpoints"),
    expect(unused_imports, reason = "rows that need fail points are left out")
)]

// Writes logs and keeps its own list.
mod oracle;
// A store in PostgreSQL.
pub(crate) mod database;
// Starts, kills and stops the daemon, compares the store with the list.
mod run;

// The daemon dies or stands still.
mod crash;
// The log is renamed, copied, truncated, deleted, replaced.
mod rotation;
// Rotated logs that are compressed, half read, half written, damaged.
mod compressed;
// Records that are cut, torn, glued, foreign, huge.
mod torn;
// Many files, few rights, few descriptors, odd file systems.
mod files;
// The store is locked, full, broken, restored, shared.
mod store;
// A store in PostgreSQL is away, read-only, or shared by two daemons.
mod outage;
// A real PostgreSQL and a real logrotate.
mod servers;

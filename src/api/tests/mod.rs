//! The API against real stores, and over real connections.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod documents;
mod generated;
mod http;

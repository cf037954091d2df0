//! The summary of new slow queries: the page that a person reads in the morning.
//!
//! Comes in: a reader of the store and a window of log time. Goes out: one [`Digest`](crate::model::digest::Digest), and its renderings as
//! plain text, Markdown, HTML and JSON, each escaped for where it is shown. Knows no network, no clock and nothing of how logs are read.

mod build;
mod phrase;

pub mod html;
pub mod json;
pub mod markdown;
pub mod text;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod sample;

use std::time::Duration;

use jiff::Timestamp;

pub use build::build;

/// What the summary calls slow.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// A query is slow if one of its executions in the window took at least this long, in milliseconds.
    pub slow_threshold_ms: f64,
    /// A query is slower than before if its mean is at least so many times its mean before the window.
    pub regression_ratio: f64,
    /// Queries shown of one server.
    pub max_queries: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slow_threshold_ms: 1000.0,
            regression_ratio: 2.0,
            max_queries: 10,
        }
    }
}

/// A stretch of log time. It ends at `until`, and at the newest record of the store at the latest, so that old logs have a summary too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub since: Since,
    pub until: Option<Timestamp>,
}

/// Where a window begins. It is widened to the full hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Since {
    At(Timestamp),
    /// So long before the window's end.
    Before(Duration),
}

impl Since {
    pub const DAY: Self = Self::Before(Duration::from_secs(24 * 3600));
}

//! The summary of new slow queries: one value, rendered in several forms.

use jiff::Timestamp;

use super::{
    accounting::Accounting,
    finding::{Finding, Severity},
    position::Server,
    query::Query,
    recommendation::Recommendation,
};

/// Why a query is in the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Novelty {
    /// First seen in the window, on a server known for at least a day before it.
    New,
    /// Slower than its own past by the policy's ratio.
    Regressed,
    /// Slow, and the server itself is known for less than a day: nothing can be said of before.
    FirstLook,
    /// Slow before the window as well.
    Known,
}

impl Novelty {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Regressed => "regressed",
            Self::FirstLook => "first-look",
            Self::Known => "known",
        }
    }
}

/// The summary of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// Where the window ends: the newest record of the store, whatever the clock says, or the end that was asked for. `None` for an empty store.
    pub as_of: Option<Timestamp>,
    /// Where it begins, a full hour: history is kept by the hour, and an hour that the window touches counts whole.
    pub since: Option<Timestamp>,
    pub slow_threshold_ms: f64,
    pub servers: Vec<ServerDigest>,
}

/// What one server's logs say of the window.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerDigest {
    pub server: Server,
    /// Log time of the server's first and newest record.
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Top-level logged executions in the window, and their time.
    pub executions: u64,
    pub total_ms: f64,
    pub failed: u64,
    pub queries: u64,
    /// Slow queries, those that matter most first. Capped; `more_slow_queries` counts the rest.
    pub slow_queries: Vec<SlowQuery>,
    pub more_slow_queries: u64,
    /// Cumulative counts of the server: what was read, what could not be.
    pub accounting: Accounting,
}

/// One slow query of the window.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowQuery {
    pub query: Query,
    pub novelty: Novelty,
    pub first_seen: Timestamp,
    /// Logged executions in the window.
    pub calls: u64,
    /// Of those, the ones that ended in an error or were cancelled.
    pub failed: u64,
    pub total_ms: f64,
    pub mean_ms: f64,
    pub max_ms: f64,
    /// Mean of the logged executions before the window; `None` without any.
    pub mean_before_ms: Option<f64>,
    pub calls_before: u64,
    pub severity: Severity,
    /// Those of NOTICE and more, and what could not be decided, of its slowest analysed execution in the window; worst first, a few.
    pub findings: Vec<Finding>,
    pub recommendations: Vec<Recommendation>,
}

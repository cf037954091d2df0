//! A query crossing a threshold of the policy: what triggers advice and the summary.

use jiff::Timestamp;

use super::{execution::ExecutionId, finding::Severity, position::ServerId, query::QueryId};

/// Which threshold was crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BreachKind {
    /// An execution took longer than the slow threshold.
    Slow,
    /// The same, of a query that was first seen within the last day on a server known for longer than that.
    NewSlowQuery,
}

impl BreachKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::NewSlowQuery => "new-slow-query",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Slow, Self::NewSlowQuery]
            .into_iter()
            .find(|k| k.as_str() == name)
    }
}

/// One breach. A query has at most one open breach of a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Breach {
    pub server_id: ServerId,
    pub query_id: QueryId,
    pub kind: BreachKind,
    /// Log time of the execution that crossed it.
    pub opened_at: Timestamp,
    pub execution_id: ExecutionId,
    pub execution_started_at: Timestamp,
    pub severity: Severity,
    /// One sentence with the numbers.
    pub message: String,
}

/// What the policy needs to know of a query to judge a batch, taken in the transaction that stores it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryHistory {
    pub server_id: ServerId,
    pub query_id: QueryId,
    /// Log time of the server's first record.
    pub server_first_seen: Timestamp,
    pub query_first_seen: Timestamp,
    /// The longest execution of the batch.
    pub longest: LongExecution,
}

/// An execution by its length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LongExecution {
    pub execution_id: ExecutionId,
    pub started_at: Timestamp,
    pub duration_ms: f64,
}

//! `Summary`: the slow queries of a window, as the morning summary shows them.

use jiff::Timestamp;
use juniper::{FieldResult, GraphQLEnum, ID, graphql_object};

use super::{
    analysis::{FindingNode, Severity},
    error::not_loaded,
    loaded::Loaded,
    recommendation::RecommendationNode,
    scalars::BigInt,
    server::ServerNode,
};
use crate::model::{
    digest::{Novelty, ServerDigest, SlowQuery},
    public_id::PublicId,
};

pub(super) struct Summary {
    pub as_of: Option<Timestamp>,
    pub since: Option<Timestamp>,
    pub slow_threshold_ms: f64,
    pub servers: Vec<ServerSummary>,
}

/// The slow queries of a window of log time.
#[graphql_object(context = Loaded)]
impl Summary {
    /// End of the window: the newest record of the store, or the end that was asked for. Null for an empty store.
    fn as_of(&self) -> Option<Timestamp> {
        self.as_of
    }

    /// Beginning of the window, a full hour.
    fn since(&self) -> Option<Timestamp> {
        self.since
    }

    fn slow_threshold_ms(&self) -> f64 {
        self.slow_threshold_ms
    }

    fn servers(&self) -> &[ServerSummary] {
        &self.servers
    }
}

pub(super) struct ServerSummary {
    pub server: Option<ServerNode>,
    pub digest: ServerDigest,
    pub slow_queries: Vec<SlowQueryNode>,
}

/// What one server's logs say of the window.
#[graphql_object(context = Loaded)]
impl ServerSummary {
    fn server(&self) -> FieldResult<&ServerNode> {
        self.server.as_ref().ok_or_else(|| not_loaded("server"))
    }

    /// Top-level logged executions in the window.
    fn executions(&self) -> BigInt {
        self.digest.executions.into()
    }

    /// Their time.
    fn total_time_ms(&self) -> f64 {
        self.digest.total_ms
    }

    fn failed_executions(&self) -> BigInt {
        self.digest.failed.into()
    }

    /// Different queries in the window.
    fn queries(&self) -> BigInt {
        self.digest.queries.into()
    }

    /// New ones first, then those slower than before, then by time.
    fn slow_queries(&self) -> &[SlowQueryNode] {
        &self.slow_queries
    }

    /// Slow queries that `slowQueries` leaves out.
    fn more_slow_queries(&self) -> BigInt {
        self.digest.more_slow_queries.into()
    }
}

/// Why a query is in the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
#[graphql(name = "Novelty")]
pub(super) enum NoveltyValue {
    /// First seen in the window, on a server known for at least a day before.
    New,
    /// Slower than its own past.
    Regressed,
    /// Slow, on a server known for less than a day.
    FirstLook,
    /// Slow before the window as well.
    Known,
}

pub(super) struct SlowQueryNode {
    pub slow: SlowQuery,
    pub findings: Vec<FindingNode>,
    pub recommendations: Vec<RecommendationNode>,
}

/// One slow query of the window.
#[graphql_object(name = "SlowQuery", context = Loaded)]
impl SlowQueryNode {
    fn query_id(&self) -> ID {
        PublicId::Query(self.slow.query.server_id, self.slow.query.id)
            .to_string()
            .into()
    }

    fn database_name(&self) -> Option<&str> {
        Some(self.slow.query.database_name.as_str()).filter(|name| !name.is_empty())
    }

    fn normalized_sql(&self) -> &str {
        &self.slow.query.normalized_sql
    }

    fn novelty(&self) -> NoveltyValue {
        match self.slow.novelty {
            Novelty::New => NoveltyValue::New,
            Novelty::Regressed => NoveltyValue::Regressed,
            Novelty::FirstLook => NoveltyValue::FirstLook,
            Novelty::Known => NoveltyValue::Known,
        }
    }

    fn severity(&self) -> Severity {
        self.slow.severity.into()
    }

    fn first_seen(&self) -> Timestamp {
        self.slow.first_seen
    }

    /// Logged executions in the window.
    fn executions(&self) -> BigInt {
        self.slow.calls.into()
    }

    fn failed_executions(&self) -> BigInt {
        self.slow.failed.into()
    }

    fn total_time_ms(&self) -> f64 {
        self.slow.total_ms
    }

    fn mean_time_ms(&self) -> f64 {
        self.slow.mean_ms
    }

    fn max_time_ms(&self) -> f64 {
        self.slow.max_ms
    }

    /// Logged executions before the window.
    fn executions_before(&self) -> BigInt {
        self.slow.calls_before.into()
    }

    /// Null without executions before the window.
    fn mean_time_before_ms(&self) -> Option<f64> {
        self.slow.mean_before_ms
    }

    /// Of its slowest analysed execution, worst first.
    fn findings(&self) -> &[FindingNode] {
        &self.findings
    }

    fn recommendations(&self) -> &[RecommendationNode] {
        &self.recommendations
    }
}

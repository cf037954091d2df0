//! `Analysis` and `Finding`: what the rules say about one execution, and the list of analyses.

use std::sync::Arc;

use jiff::Timestamp;
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, ID, graphql_object};

use super::{
    error::not_loaded,
    execution::key_of,
    loaded::Loaded,
    pagination::{Cursor, first},
    plan::PlanNode,
    query::{QueryNode, query_key},
    server::server_id,
};
use crate::{
    model::{
        finding::{self, Analysis, Finding},
        position::ServerId,
        public_id::PublicId,
    },
    store::{AnalysisPage, QueryKey},
};

/// How much a finding, an analysis or a recommendation matters, from measured time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
pub(super) enum Severity {
    Info,
    Notice,
    Warning,
    Critical,
}

impl From<finding::Severity> for Severity {
    fn from(severity: finding::Severity) -> Self {
        match severity {
            finding::Severity::Info => Self::Info,
            finding::Severity::Notice => Self::Notice,
            finding::Severity::Warning => Self::Warning,
            finding::Severity::Critical => Self::Critical,
        }
    }
}

impl From<Severity> for finding::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Notice => Self::Notice,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

/// Which analyses a list holds; all conditions have to be met.
#[derive(Debug, Clone, PartialEq, Default, GraphQLInputObject)]
pub(super) struct AnalysisFilter {
    server: Option<ID>,
    query: Option<ID>,
    /// Only analyses with a finding of this severity or a higher one.
    min_severity: Option<Severity>,
    /// Of executions started at this time or later.
    since: Option<Timestamp>,
    /// Of executions started before this time.
    until: Option<Timestamp>,
}

/// One list of analyses that a document asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AnalysisList {
    pub rows: u32,
    pub after: Option<Cursor>,
    server: Option<ServerId>,
    query: Option<QueryKey>,
    min_severity: Option<Severity>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl AnalysisList {
    pub(super) fn new(
        rows: Option<i32>,
        after: Option<String>,
        filter: Option<AnalysisFilter>,
    ) -> FieldResult<Self> {
        let filter = filter.unwrap_or_default();
        Ok(Self {
            rows: first(rows)?,
            after: Cursor::decode('a', after)?,
            server: server_id(filter.server)?,
            query: filter.query.as_ref().map(query_key).transpose()?,
            min_severity: filter.min_severity,
            since: filter.since,
            until: filter.until,
        })
    }

    /// The page to ask the store for, with one row more than wanted: it tells whether there is a next page.
    pub(super) fn page(&self) -> AnalysisPage {
        AnalysisPage {
            server: self.server,
            query: self.query,
            min_severity: self.min_severity.map(Into::into),
            since: self.since,
            until: self.until,
            limit: self.rows + 1,
            after: self.after.and_then(key_of),
        }
    }
}

/// An analysis with what the document asked of it; what it didn't ask for is `None`.
pub(super) struct AnalysisNode {
    pub analysis: Analysis,
    pub query: Option<Arc<QueryNode>>,
    pub plans: Option<Vec<PlanNode>>,
    pub findings: Option<Vec<FindingNode>>,
}

/// What the rules say about one execution.
#[graphql_object(name = "Analysis", context = Loaded)]
impl AnalysisNode {
    fn execution_id(&self) -> ID {
        let analysis = &self.analysis;
        PublicId::Execution(
            analysis.server_id,
            analysis.started_at,
            analysis.execution_id,
        )
        .to_string()
        .into()
    }

    fn query(&self) -> FieldResult<&QueryNode> {
        self.query.as_deref().ok_or_else(|| not_loaded("query"))
    }

    /// Start of the execution.
    fn started_at(&self) -> Timestamp {
        self.analysis.started_at
    }

    /// The statement's duration, else its plan's; null where neither was logged.
    fn execution_time_ms(&self) -> Option<f64> {
        self.analysis.execution_time_ms
    }

    /// Whether a sequential scan took part; null without a readable plan.
    fn seq_scan_detected(&self) -> Option<bool> {
        self.analysis.seq_scan_detected
    }

    /// Of its worst finding; null without findings.
    fn severity(&self) -> Option<Severity> {
        self.analysis.severity.map(Severity::from)
    }

    fn findings(&self) -> FieldResult<&[FindingNode]> {
        self.findings
            .as_deref()
            .ok_or_else(|| not_loaded("findings"))
    }

    /// The captured plans of the execution, in the order logged.
    fn plans(&self) -> FieldResult<&[PlanNode]> {
        self.plans.as_deref().ok_or_else(|| not_loaded("plans"))
    }
}

pub(super) struct FindingNode(pub Finding);

/// One thing that a rule found, or could not decide.
#[graphql_object(name = "Finding", context = Loaded)]
impl FindingNode {
    /// Stable name of the rule, like `seq-scan-filter`.
    fn rule(&self) -> &str {
        self.0.rule.as_str()
    }

    fn severity(&self) -> Severity {
        self.0.severity.into()
    }

    /// Which plan of the execution it is about, from 0.
    fn plan_ordinal(&self) -> i32 {
        i32::try_from(self.0.plan_ordinal).unwrap_or(i32::MAX)
    }

    /// Child numbers from the root of the plan, `0.1.0`; null where it is about the execution as a whole.
    fn node_path(&self) -> Option<&str> {
        self.0.node_path.as_deref()
    }

    /// One sentence with the numbers.
    fn message(&self) -> &str {
        &self.0.message
    }

    /// The PostgreSQL setting that was missing to decide; the finding then says nothing about the plan.
    fn not_decidable(&self) -> Option<&str> {
        self.0.not_decidable.as_deref()
    }
}

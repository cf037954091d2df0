//! `Execution`: one run of a statement that ended or failed, and the list of them.

use std::sync::Arc;

use jiff::Timestamp;
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, GraphQLObject, ID, graphql_object};

use super::{
    analysis::FindingNode,
    error::not_loaded,
    incident::IncidentNode,
    loaded::Loaded,
    pagination::{Cursor, NESTED_ROWS, Nested, first},
    plan::PlanNode,
    query::{QueryNode, query_key},
    scalars::BigInt,
    server::server_id,
};
use crate::{
    model::{
        execution::{self, Execution, ExecutionId},
        position::ServerId,
        public_id::PublicId,
    },
    store::{ExecutionKey, ExecutionPage, QueryKey},
};

/// Which executions a list holds; all conditions have to be met.
#[derive(Debug, Clone, PartialEq, Default, GraphQLInputObject)]
pub(super) struct ExecutionFilter {
    server: Option<ID>,
    query: Option<ID>,
    /// Only executions that took at least this long.
    min_duration_ms: Option<f64>,
    /// Started at this time or later.
    since: Option<Timestamp>,
    /// Started before this time.
    until: Option<Timestamp>,
}

/// One list of executions that a document asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ExecutionList {
    pub rows: u32,
    pub after: Option<Cursor>,
    server: Option<ServerId>,
    query: Option<QueryKey>,
    min_duration_ms: Option<f64>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl ExecutionList {
    pub(super) fn new(
        rows: Option<i32>,
        after: Option<String>,
        filter: Option<ExecutionFilter>,
    ) -> FieldResult<Self> {
        let filter = filter.unwrap_or_default();
        Ok(Self {
            rows: first(rows)?,
            after: Cursor::decode('e', after)?,
            server: server_id(filter.server)?,
            query: filter.query.as_ref().map(query_key).transpose()?,
            min_duration_ms: filter.min_duration_ms,
            since: filter.since,
            until: filter.until,
        })
    }

    /// The page to ask the store for, with one row more than wanted: it tells whether there is a next page.
    pub(super) fn page(&self) -> ExecutionPage {
        ExecutionPage {
            server: self.server,
            query: self.query,
            min_duration_ms: self.min_duration_ms,
            since: self.since,
            until: self.until,
            limit: self.rows + 1,
            after: self.after.and_then(key_of),
        }
    }
}

/// The cursor of an execution, or of what belongs to one.
pub(super) fn cursor(list: char, key: ExecutionKey) -> Cursor {
    Cursor {
        list,
        key: [key.started_at.as_microsecond(), key.server_id.0, key.id.0],
    }
}

/// The key in such a cursor; `None` for a time that doesn't exist.
pub(super) fn key_of(cursor: Cursor) -> Option<ExecutionKey> {
    let [started_at, server, id] = cursor.key;
    Some(ExecutionKey {
        server_id: ServerId(server),
        started_at: Timestamp::from_microsecond(started_at).ok()?,
        id: ExecutionId(id),
    })
}

/// Which protocol message or log source an execution is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
pub(super) enum ExecutionKind {
    /// Simple protocol.
    Statement,
    /// Extended protocol, with its parse and bind.
    Execute,
    Fastpath,
    /// A captured plan without a duration record.
    PlanOnly,
    /// Run by a function, procedure, trigger or foreign key.
    Nested,
    /// An error or cancellation without a duration record.
    Failed,
}

impl From<execution::ExecutionKind> for ExecutionKind {
    fn from(kind: execution::ExecutionKind) -> Self {
        match kind {
            execution::ExecutionKind::Statement => Self::Statement,
            execution::ExecutionKind::Execute => Self::Execute,
            execution::ExecutionKind::Fastpath => Self::Fastpath,
            execution::ExecutionKind::PlanOnly => Self::PlanOnly,
            execution::ExecutionKind::Nested => Self::Nested,
            execution::ExecutionKind::Failed => Self::Failed,
        }
    }
}

/// Which record a duration was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
pub(super) enum DurationSource {
    /// The statement's own duration: from the arrival of the message to the end of execution.
    Statement,
    /// The captured plan: executor time only.
    Plan,
    /// The log's own times, for an execution that failed: it ran at least that long.
    Elapsed,
}

/// An execution with what the document asked of it; what it didn't ask for is `None`.
pub(super) struct ExecutionNode {
    pub execution: Execution,
    pub query: Option<Arc<QueryNode>>,
    pub plans: Option<Vec<PlanNode>>,
    pub findings: Option<Vec<FindingNode>>,
    pub parent: Option<Option<Arc<ExecutionNode>>>,
    pub nested_executions: Option<Nested<ExecutionNode>>,
    pub incidents: Option<Nested<IncidentNode>>,
}

/// A tag of a statement.
#[derive(GraphQLObject)]
#[graphql(context = Loaded)]
struct QueryTag<'a> {
    key: &'a str,
    value: &'a str,
}

/// One run of a statement that ended or failed.
#[graphql_object(name = "Execution", context = Loaded)]
impl ExecutionNode {
    fn id(&self) -> ID {
        let execution = &self.execution;
        PublicId::Execution(execution.server_id, execution.started_at, execution.id)
            .to_string()
            .into()
    }

    fn query(&self) -> FieldResult<&QueryNode> {
        self.query.as_deref().ok_or_else(|| not_loaded("query"))
    }

    /// Time of its first log record minus the duration that it tells.
    fn started_at(&self) -> Timestamp {
        self.execution.started_at
    }

    fn kind(&self) -> ExecutionKind {
        self.execution.kind.into()
    }

    fn user_name(&self) -> Option<&str> {
        self.execution.user_name.as_deref()
    }

    fn application_name(&self) -> Option<&str> {
        self.execution.application_name.as_deref()
    }

    fn process_id(&self) -> Option<i32> {
        self.execution.process_id
    }

    fn session_id(&self) -> Option<&str> {
        self.execution.session_id.as_deref()
    }

    /// Null where the log doesn't tell: failed statements, executes under the threshold.
    fn duration_ms(&self) -> Option<f64> {
        self.execution.duration_ms
    }

    fn duration_source(&self) -> Option<DurationSource> {
        self.execution.duration_source.map(|source| match source {
            execution::DurationSource::Statement => DurationSource::Statement,
            execution::DurationSource::Plan => DurationSource::Plan,
            execution::DurationSource::Elapsed => DurationSource::Elapsed,
        })
    }

    /// Time of the parse message that belongs to this execute.
    fn parse_ms(&self) -> Option<f64> {
        self.execution.parse_ms
    }

    /// Time of the bind message: planning happens in it.
    fn bind_ms(&self) -> Option<f64> {
        self.execution.bind_ms
    }

    /// Rows that its last plan returned; null without a plan that says so.
    fn rows(&self) -> Option<f64> {
        self.execution.rows
    }

    /// SQLSTATE of the error that ended it.
    fn sql_state(&self) -> Option<&str> {
        self.execution.sql_state.as_ref().map(|code| code.as_str())
    }

    fn failed(&self) -> bool {
        self.execution.failed
    }

    /// Whether another execution ran it: a function, procedure, trigger or foreign key.
    fn nested(&self) -> bool {
        self.execution.is_nested()
    }

    /// The statement of the client that ran this one, however many functions are between; null for a top-level execution, and where its record isn't
    /// in the log.
    fn parent(&self) -> FieldResult<Option<&ExecutionNode>> {
        let parent = self.parent.as_ref().ok_or_else(|| not_loaded("parent"))?;
        Ok(parent.as_deref())
    }

    /// What functions, triggers and foreign keys ran for this top-level execution, at any depth, as far as their plans were logged, in the
    /// order in which they began. `limit` is 1 to 1000.
    fn nested_executions(
        &self,
        #[graphql(default = NESTED_ROWS)] limit: Option<i32>,
    ) -> FieldResult<&[ExecutionNode]> {
        Nested::first(self.nested_executions.as_ref(), limit, "nestedExecutions")
    }

    /// The function that ran this nested execution, as the server prints it: `f(integer)`, or `inline_code_block` for DO. Null for a foreign key's
    /// statement and where the log shows no CONTEXT.
    fn function(&self) -> Option<&str> {
        self.execution
            .call_site
            .as_ref()
            .and_then(|site| site.function.as_deref())
    }

    /// Line of the function's body; for a function in SQL the number of its statement.
    fn line(&self) -> Option<i32> {
        let line = self.execution.call_site.as_ref()?.line?;
        Some(i32::try_from(line).unwrap_or(i32::MAX))
    }

    /// How many nested executions it has run, as far as their plans were logged.
    fn nested_count(&self) -> i32 {
        i32::try_from(self.execution.nested_count).unwrap_or(i32::MAX)
    }

    /// How many statements a nested execution stands below the top-level one: 1 directly below.
    fn depth(&self) -> Option<i32> {
        let site = self.execution.call_site.as_ref()?;
        Some(i32::try_from(site.depth).unwrap_or(i32::MAX))
    }

    /// Tags that its statement carries in a comment (sqlcommenter, marginalia): those that `privacy.query_tags` lists, none by default.
    fn tags(&self) -> Vec<QueryTag<'_>> {
        let tags = self.execution.tags.iter();
        tags.map(|(key, value)| QueryTag { key, value }).collect()
    }

    /// The statement as it was logged, cut after 64 kB. Null unless `privacy.literals` is `keep`; without its literals where it speaks of a password.
    fn statement(&self) -> Option<&str> {
        let logged = self.execution.logged.as_ref()?;
        Some(&logged.statement)
    }

    /// Its bound parameters as they were logged, cut after 64 kB. Null unless `privacy.literals` is `keep`.
    fn parameters(&self) -> Option<&str> {
        let logged = self.execution.logged.as_ref()?;
        logged.parameters.as_deref()
    }

    /// The server's own query identifier.
    fn server_query_id(&self) -> Option<BigInt> {
        self.execution.server_query_id.map(BigInt::from)
    }

    fn plan_count(&self) -> i32 {
        i32::try_from(self.execution.plan_count).unwrap_or(i32::MAX)
    }

    /// Whether more log records of it may still come.
    fn open(&self) -> bool {
        self.execution.open
    }

    /// Whether the time of its records was assumed or clamped.
    fn time_assumed(&self) -> bool {
        self.execution.time_assumed
    }

    /// Its captured plans, in the order logged.
    fn plans(&self) -> FieldResult<&[PlanNode]> {
        self.plans.as_deref().ok_or_else(|| not_loaded("plans"))
    }

    /// What the rules say about it.
    fn findings(&self) -> FieldResult<&[FindingNode]> {
        self.findings
            .as_deref()
            .ok_or_else(|| not_loaded("findings"))
    }

    /// Its temporary files and waits for locks, and what cancelled it, in the order logged. `limit` is 1 to 1000.
    fn incidents(
        &self,
        #[graphql(default = NESTED_ROWS)] limit: Option<i32>,
    ) -> FieldResult<&[IncidentNode]> {
        Nested::first(self.incidents.as_ref(), limit, "incidents")
    }
}

//! `LoggedQuery`: one normalized statement in one database of one server, and the list of them. Not named `Query`, which clients take for the
//! root of the schema.

use jiff::Timestamp;
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, ID, graphql_object};

use super::{
    analysis::AnalysisNode,
    error::{Code, field_error, not_loaded},
    execution::ExecutionNode,
    history::{BucketValue, BySpan, PercentilesNode, PeriodNode, QueryUserNode, SpanArguments},
    incident::IncidentNode,
    loaded::Loaded,
    pagination::{Cursor, NESTED_ROWS, Nested},
    recommendation::RecommendationNode,
    scalars::BigInt,
    server::{ServerNode, server_id},
};
use crate::{
    model::{position::ServerId, public_id::PublicId, query::QueryId},
    store::{QueryKey, QueryPage, QueryRow},
};

/// Reads an argument or filter that names a query.
pub(super) fn query_key(id: &ID) -> FieldResult<QueryKey> {
    match PublicId::parse(id) {
        Some(PublicId::Query(server, query)) => Ok((server, query)),
        _ => Err(field_error(
            Code::BadUserInput,
            "that is not the id of a query",
        )),
    }
}

/// What a list of queries is sorted by, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
pub(super) enum QueryOrder {
    TotalTime,
    MaxTime,
    MeanTime,
    Executions,
    LastSeen,
    FirstSeen,
}

/// Which queries a list holds; all conditions have to be met.
#[derive(Debug, Clone, PartialEq, Default, GraphQLInputObject)]
pub(super) struct QueryFilter {
    server: Option<ID>,
    database_name: Option<String>,
    /// Text that the normalized statement contains.
    contains: Option<String>,
    /// Only queries whose longest execution took at least this long, in milliseconds.
    slower_than_ms: Option<f64>,
}

/// One list of queries that a document asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QueryList {
    pub rows: u32,
    pub after: Option<Cursor>,
    pub order_by: QueryOrder,
    server: Option<ServerId>,
    database_name: Option<String>,
    contains: Option<String>,
    slower_than_ms: Option<f64>,
}

impl QueryList {
    pub(super) fn new(
        rows: u32,
        after: Option<String>,
        order_by: Option<QueryOrder>,
        filter: Option<QueryFilter>,
    ) -> FieldResult<Self> {
        let order_by = order_by.unwrap_or(QueryOrder::DEFAULT);
        let filter = filter.unwrap_or_default();
        Ok(Self {
            rows,
            after: Cursor::decode(order_by.letter(), after)?,
            order_by,
            server: server_id(filter.server)?,
            database_name: filter.database_name,
            contains: filter.contains,
            slower_than_ms: filter.slower_than_ms,
        })
    }

    /// The page to ask the store for, with one row more than wanted: it tells whether there is a next page.
    pub(super) fn page(&self) -> QueryPage {
        QueryPage {
            order_by: self.order_by.into(),
            server: self.server,
            database_name: self.database_name.clone(),
            contains: self.contains.clone(),
            min_max_ms: self.slower_than_ms,
            limit: self.rows + 1,
            after: self.after.map(|cursor| {
                let [value, server, id] = cursor.key;
                (
                    f64::from_bits(value.cast_unsigned()),
                    ServerId(server),
                    QueryId(id),
                )
            }),
        }
    }

    pub(super) fn cursor(&self, row: &QueryRow) -> Cursor {
        let value = row.sort_value(self.order_by.into());
        Cursor {
            list: self.order_by.letter(),
            key: [
                value.to_bits().cast_signed(),
                row.query.server_id.0,
                row.query.id.0,
            ],
        }
    }
}

impl QueryOrder {
    pub(super) const DEFAULT: Self = Self::TotalTime;

    /// Of the cursors of a list in this order.
    fn letter(self) -> char {
        match self {
            Self::TotalTime => 't',
            Self::MaxTime => 'x',
            Self::MeanTime => 'm',
            Self::Executions => 'n',
            Self::LastSeen => 'l',
            Self::FirstSeen => 'f',
        }
    }
}

impl From<QueryOrder> for crate::store::QueryOrder {
    fn from(order: QueryOrder) -> Self {
        match order {
            QueryOrder::TotalTime => Self::TotalMs,
            QueryOrder::MaxTime => Self::MaxMs,
            QueryOrder::MeanTime => Self::MeanMs,
            QueryOrder::Executions => Self::Calls,
            QueryOrder::LastSeen => Self::LastSeen,
            QueryOrder::FirstSeen => Self::FirstSeen,
        }
    }
}

/// A query with what the document asked of it; what it didn't ask for is `None`.
pub(super) struct QueryNode {
    pub row: QueryRow,
    pub server: Option<ServerNode>,
    pub executions: Option<Nested<ExecutionNode>>,
    pub analyses: Option<Nested<AnalysisNode>>,
    pub recommendations: Option<Nested<RecommendationNode>>,
    pub incidents: Option<Nested<IncidentNode>>,
    pub percentiles: Option<BySpan<Option<PercentilesNode>>>,
    pub history: Option<BySpan<Vec<PeriodNode>>>,
    pub users: Option<Nested<QueryUserNode>>,
}

/// One normalized statement in one database of one server. Counts and times are those of logged executions.
#[graphql_object(name = "LoggedQuery", context = Loaded)]
impl QueryNode {
    fn id(&self) -> ID {
        PublicId::Query(self.row.query.server_id, self.row.query.id)
            .to_string()
            .into()
    }

    fn server(&self) -> FieldResult<&ServerNode> {
        self.server.as_ref().ok_or_else(|| not_loaded("server"))
    }

    /// Null where the log doesn't carry database names.
    fn database_name(&self) -> Option<&str> {
        Some(self.row.query.database_name.as_str()).filter(|name| !name.is_empty())
    }

    /// The statement with its literals replaced by `$n` and its comments removed.
    fn normalized_sql(&self) -> &str {
        &self.row.query.normalized_sql
    }

    /// The server's own query identifier, the newest one that was logged. Its meaning changes between PostgreSQL releases.
    fn server_query_id(&self) -> Option<BigInt> {
        self.row.server_query_id.map(BigInt::from)
    }

    fn first_seen(&self) -> Timestamp {
        self.row.first_seen
    }

    fn last_seen(&self) -> Timestamp {
        self.row.last_seen
    }

    /// Logged executions since the query was first seen, nested ones included.
    fn total_executions(&self) -> BigInt {
        self.row.calls.into()
    }

    /// How many executions there were, where the log is sampled and the sample rates were configured for all of it; null: unknown. On average right,
    /// and the closer the more executions there are.
    fn estimated_executions(&self) -> Option<f64> {
        self.row.estimated_calls
    }

    /// Executions that ended in an error or were cancelled.
    fn failed_executions(&self) -> BigInt {
        self.row.failed.into()
    }

    fn total_time_ms(&self) -> f64 {
        self.row.total_ms
    }

    /// Over the executions whose duration is known; null without any.
    fn mean_time_ms(&self) -> Option<f64> {
        self.row.mean_ms
    }

    fn max_time_ms(&self) -> Option<f64> {
        self.row.max_ms
    }

    /// The newest executions. `limit` is 1 to 1000.
    fn executions(
        &self,
        #[graphql(default = NESTED_ROWS)] limit: Option<i32>,
    ) -> FieldResult<&[ExecutionNode]> {
        Nested::first(self.executions.as_ref(), limit, "executions")
    }

    /// Analyses of the slowest executions. `limit` is 1 to 1000.
    fn analyses(
        &self,
        #[graphql(default = NESTED_ROWS)] limit: Option<i32>,
    ) -> FieldResult<&[AnalysisNode]> {
        Nested::first(self.analyses.as_ref(), limit, "analyses")
    }

    /// Highest severity first, then highest confidence. `limit` is 1 to 1000.
    fn recommendations(
        &self,
        #[graphql(default = NESTED_ROWS)] limit: Option<i32>,
    ) -> FieldResult<&[RecommendationNode]> {
        Nested::first(self.recommendations.as_ref(), limit, "recommendations")
    }

    /// The newest temporary files, lock waits, deadlocks and cancellations, those of executions that were not logged among them. `limit` is
    /// 1 to 1000.
    fn incidents(
        &self,
        #[graphql(default = NESTED_ROWS)] limit: Option<i32>,
    ) -> FieldResult<&[IncidentNode]> {
        Nested::first(self.incidents.as_ref(), limit, "incidents")
    }

    /// How long executions from `since` to `until` took, open ones included. History is kept by the hour, and by the day where it is old:
    /// hours and old days that the span touches count whole. Null where no duration is known.
    fn percentiles(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> FieldResult<Option<&PercentilesNode>> {
        let span = SpanArguments::new(since, until, None)?;
        BySpan::get(self.percentiles.as_ref(), span, "percentiles").map(Option::as_ref)
    }

    /// The hours or days that the span touches and in which the query ran, oldest first; at most 1000.
    fn history(
        &self,
        since: Timestamp,
        until: Timestamp,
        bucket: BucketValue,
    ) -> FieldResult<&[PeriodNode]> {
        let span = SpanArguments::new(since, until, Some(bucket))?;
        BySpan::get(self.history.as_ref(), span, "history").map(Vec::as_slice)
    }

    /// Who has run it, in all days that are kept, those with the most time first. Executions are added when they close. `limit` is 1 to 1000.
    fn users(
        &self,
        #[graphql(default = NESTED_ROWS)] limit: Option<i32>,
    ) -> FieldResult<&[QueryUserNode]> {
        Nested::first(self.users.as_ref(), limit, "users")
    }
}

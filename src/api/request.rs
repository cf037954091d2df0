//! What the root fields can ask for, as values that can be compared.
//!
//! A request is made of a field's arguments twice: by the planner from the document, and by the resolver from what juniper gives it. Both go
//! through the same constructors, so that the resolver finds what was loaded for it. A constructor refuses what the schema's types can't.

use jiff::Timestamp;
use juniper::{Arguments, FieldResult, FromInputValue, ID, IntoFieldError};

use super::{
    analysis::AnalysisList,
    execution::ExecutionList,
    history::{TopOrderValue, top_list},
    pagination::{ROWS, first, rows},
    plan::plan_key,
    query::{QueryFilter, QueryList, QueryOrder, query_key},
    recommendation::RecommendationList,
    server::server_id,
};
use crate::{
    model::position::ServerId,
    store::{ExecutionKey, QueryKey, TopQueries},
};

/// Longest plain list of queries.
const MOST_QUERIES: u32 = 100;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Queries(QueryList),
    QueriesConnection(QueryList),
    Query(QueryKey),
    Executions(ExecutionList),
    Analyses(AnalysisList),
    Recommendations(RecommendationList),
    Plan(ExecutionKey, u32),
    TopQueries(TopQueries),
    Summary {
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    },
    Servers,
    IngestHealth(Option<ServerId>),
}

impl Request {
    /// The request of a root field; `None` for fields that need nothing loaded.
    pub(super) fn of(field: &str, arguments: &Arguments<'_>) -> FieldResult<Option<Self>> {
        let given = Given(arguments);
        Ok(Some(match field {
            "queries" => Self::queries(
                given.optional("limit")?,
                given.optional("orderBy")?,
                given.optional("filter")?,
            )?,
            "queriesConnection" => Self::queries_connection(
                given.optional("first")?,
                given.optional("after")?,
                given.optional("orderBy")?,
                given.optional("filter")?,
            )?,
            "query" => Self::Query(query_key(&given.required("id")?)?),
            "executions" => Self::Executions(ExecutionList::new(
                given.optional("first")?,
                given.optional("after")?,
                given.optional("filter")?,
            )?),
            "analyses" => Self::Analyses(AnalysisList::new(
                given.optional("first")?,
                given.optional("after")?,
                given.optional("filter")?,
            )?),
            "recommendations" => Self::Recommendations(RecommendationList::new(
                given.optional("first")?,
                given.optional("after")?,
                given.optional("filter")?,
            )?),
            "plan" => Self::plan(&given.required("id")?)?,
            "topQueries" => Self::top_queries(
                given.required("since")?,
                given.optional("until")?,
                given.optional("limit")?,
                given.optional("orderBy")?,
                given.optional("server")?,
            )?,
            "summary" => Self::Summary {
                since: given.optional("since")?,
                until: given.optional("until")?,
            },
            "servers" => Self::Servers,
            "ingestHealth" => Self::ingest_health(given.optional("server")?)?,
            _ => return Ok(None),
        }))
    }

    pub(super) fn queries(
        limit: Option<i32>,
        order_by: Option<QueryOrder>,
        filter: Option<QueryFilter>,
    ) -> FieldResult<Self> {
        let rows = rows("limit", limit, ROWS, MOST_QUERIES)?;
        Ok(Self::Queries(QueryList::new(rows, None, order_by, filter)?))
    }

    pub(super) fn queries_connection(
        rows: Option<i32>,
        after: Option<String>,
        order_by: Option<QueryOrder>,
        filter: Option<QueryFilter>,
    ) -> FieldResult<Self> {
        let list = QueryList::new(first(rows)?, after, order_by, filter)?;
        Ok(Self::QueriesConnection(list))
    }

    pub(super) fn plan(id: &ID) -> FieldResult<Self> {
        let (execution, ordinal) = plan_key(id)?;
        Ok(Self::Plan(execution, ordinal))
    }

    pub(super) fn top_queries(
        since: Timestamp,
        until: Option<Timestamp>,
        limit: Option<i32>,
        order_by: Option<TopOrderValue>,
        server: Option<ID>,
    ) -> FieldResult<Self> {
        let list = top_list(since, until, limit, order_by, server)?;
        Ok(Self::TopQueries(list))
    }

    pub(super) fn ingest_health(server: Option<ID>) -> FieldResult<Self> {
        Ok(Self::IngestHealth(server_id(server)?))
    }

    /// How many rows it can give at most.
    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Queries(list) | Self::QueriesConnection(list) => list.rows.into(),
            Self::Executions(list) => list.rows.into(),
            Self::Analyses(list) => list.rows.into(),
            Self::Recommendations(list) => list.rows.into(),
            Self::TopQueries(list) => list.limit.into(),
            Self::Query(_) | Self::Plan(..) | Self::Servers | Self::IngestHealth(_) => 1,
            // The rows that a summary is made of, not those that it shows.
            Self::Summary { .. } => 1000,
        }
    }
}

/// Arguments by name, as juniper would give them to the resolver.
struct Given<'a>(&'a Arguments<'a>);

impl Given<'_> {
    fn required<T>(&self, name: &str) -> FieldResult<T>
    where
        T: FromInputValue,
        T::Error: IntoFieldError,
    {
        match self.0.get(name)? {
            Some(value) => Ok(value),
            None => Ok(T::from_implicit_null().map_err(IntoFieldError::into_field_error)?),
        }
    }

    fn optional<T>(&self, name: &str) -> FieldResult<Option<T>>
    where
        T: FromInputValue,
        T::Error: IntoFieldError,
    {
        Ok(self.0.get::<Option<T>>(name)?.flatten())
    }
}

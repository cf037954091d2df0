//! The root of the schema. Its resolvers hand out what was loaded for them, and refuse arguments that are out of bounds.

use std::sync::LazyLock;

use jiff::Timestamp;
use juniper::{
    DefaultScalarValue, EmptyMutation, EmptySubscription, FieldResult, ID, RootNode, graphql_object,
};

use super::{
    analysis::{AnalysisFilter, AnalysisList, AnalysisNode},
    error::not_loaded,
    execution::{ExecutionFilter, ExecutionList, ExecutionNode},
    history::{TopOrderValue, TopQueryNode},
    ingest_health::IngestHealth,
    loaded::{Answer, Loaded},
    pagination::{Page, ROWS},
    plan::PlanNode,
    query::{QueryFilter, QueryNode, QueryOrder, query_key},
    recommendation::{RecommendationFilter, RecommendationList, RecommendationNode},
    request::Request,
    server::ServerNode,
    summary::Summary,
};

pub(super) type Schema = RootNode<Query, EmptyMutation<Loaded>, EmptySubscription<Loaded>>;
pub(super) type SchemaType = juniper::SchemaType<DefaultScalarValue>;

/// Nesting of selections, values and types: GraphiQL's introspection query needs 18.
const DEPTH: usize = 22;
/// Introspection needs under 200 tokens and 400 fields.
const TOKENS: usize = 4_000;
const FIELDS: usize = 2_000;

pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::new(Query, EmptyMutation::new(), EmptySubscription::new())
        .limit_depth(DEPTH)
        .limit_tokens(TOKENS)
        .limit_fields(FIELDS)
});

/// The schema in GraphQL's schema definition language.
pub fn sdl() -> String {
    SCHEMA.as_sdl()
}

pub(super) struct Query;

/// What plantail knows of the queries of the monitored servers.
#[expect(
    clippy::needless_pass_by_value,
    reason = "juniper gives a resolver its arguments by value"
)]
#[graphql_object(context = Loaded)]
impl Query {
    /// Logged queries, the largest of `orderBy` (by default TOTAL_TIME) first. `limit` is 1 to 100; `queriesConnection` has more.
    fn queries(
        context: &Loaded,
        #[graphql(default = ROWS)] limit: Option<i32>,
        order_by: Option<QueryOrder>,
        filter: Option<QueryFilter>,
    ) -> FieldResult<Option<&[QueryNode]>> {
        match context.answer(&Request::queries(limit, order_by, filter)?) {
            Some(Answer::Queries(nodes)) => Ok(Some(nodes)),
            _ => Err(not_loaded("queries")),
        }
    }

    /// Logged queries in pages, the largest of `orderBy` (by default TOTAL_TIME) first. `first` is 1 to 1000. Where rows are sorted by a number that grows, a row can move from one page to another.
    fn queries_connection(
        context: &Loaded,
        #[graphql(default = ROWS)] first: Option<i32>,
        after: Option<String>,
        order_by: Option<QueryOrder>,
        filter: Option<QueryFilter>,
    ) -> FieldResult<Option<&Page<QueryNode>>> {
        match context.answer(&Request::queries_connection(
            first, after, order_by, filter,
        )?) {
            Some(Answer::QueryPage(page)) => Ok(Some(page)),
            _ => Err(not_loaded("queriesConnection")),
        }
    }

    /// One query; null if the store doesn't hold it.
    fn query(context: &Loaded, id: ID) -> FieldResult<Option<&QueryNode>> {
        match context.answer(&Request::Query(query_key(&id)?)) {
            Some(Answer::Query(node)) => Ok(node.as_deref()),
            _ => Err(not_loaded("query")),
        }
    }

    /// Executions, the newest first. `first` is 1 to 1000.
    fn executions(
        context: &Loaded,
        #[graphql(default = ROWS)] first: Option<i32>,
        after: Option<String>,
        filter: Option<ExecutionFilter>,
    ) -> FieldResult<Option<&Page<ExecutionNode>>> {
        let list = ExecutionList::new(first, after, filter)?;
        match context.answer(&Request::Executions(list)) {
            Some(Answer::ExecutionPage(page)) => Ok(Some(page)),
            _ => Err(not_loaded("executions")),
        }
    }

    /// Analyses, those of the newest executions first. `first` is 1 to 1000.
    fn analyses(
        context: &Loaded,
        #[graphql(default = ROWS)] first: Option<i32>,
        after: Option<String>,
        filter: Option<AnalysisFilter>,
    ) -> FieldResult<Option<&Page<AnalysisNode>>> {
        let list = AnalysisList::new(first, after, filter)?;
        match context.answer(&Request::Analyses(list)) {
            Some(Answer::AnalysisPage(page)) => Ok(Some(page)),
            _ => Err(not_loaded("analyses")),
        }
    }

    /// Recommendations, the newest first. `first` is 1 to 1000.
    fn recommendations(
        context: &Loaded,
        #[graphql(default = ROWS)] first: Option<i32>,
        after: Option<String>,
        filter: Option<RecommendationFilter>,
    ) -> FieldResult<Option<&Page<RecommendationNode>>> {
        let list = RecommendationList::new(first, after, filter)?;
        match context.answer(&Request::Recommendations(list)) {
            Some(Answer::RecommendationPage(page)) => Ok(Some(page)),
            _ => Err(not_loaded("recommendations")),
        }
    }

    /// One captured plan; null if the store doesn't hold it.
    fn plan(context: &Loaded, id: ID) -> FieldResult<Option<&PlanNode>> {
        match context.answer(&Request::plan(&id)?) {
            Some(Answer::Plan(node)) => Ok(node.as_ref()),
            _ => Err(not_loaded("plan")),
        }
    }

    /// The queries with the most of `orderBy` (by default TOTAL_TIME) from `since` to `until`, by default the newest record. History is kept by the
    /// hour, and by the day where it is old: hours and old days that the span touches count whole, and where it is longer than two days, all
    /// days (UTC). `limit` is 1 to 100.
    fn top_queries(
        context: &Loaded,
        since: Timestamp,
        until: Option<Timestamp>,
        #[graphql(default = ROWS)] limit: Option<i32>,
        order_by: Option<TopOrderValue>,
        server: Option<ID>,
    ) -> FieldResult<Option<&[TopQueryNode]>> {
        match context.answer(&Request::top_queries(
            since, until, limit, order_by, server,
        )?) {
            Some(Answer::TopQueries(nodes)) => Ok(Some(nodes)),
            _ => Err(not_loaded("topQueries")),
        }
    }

    /// The slow queries of a window of log time: by default the 24 hours before `until`, and that the newest record of the store. History is
    /// kept by the hour: an hour that the window touches counts whole.
    fn summary(
        context: &Loaded,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> FieldResult<Option<&Summary>> {
        match context.answer(&Request::Summary { since, until }) {
            Some(Answer::Summary(summary)) => Ok(Some(summary)),
            _ => Err(not_loaded("summary")),
        }
    }

    /// The monitored servers.
    fn servers(context: &Loaded) -> FieldResult<Option<&[ServerNode]>> {
        match context.answer(&Request::Servers) {
            Some(Answer::Servers(servers)) => Ok(Some(servers)),
            _ => Err(not_loaded("servers")),
        }
    }

    /// What was read of the logs of one server, or of all together, and what became of it.
    fn ingest_health(context: &Loaded, server: Option<ID>) -> FieldResult<Option<&IngestHealth>> {
        match context.answer(&Request::ingest_health(server)?) {
            Some(Answer::IngestHealth(health)) => Ok(Some(health)),
            _ => Err(not_loaded("ingestHealth")),
        }
    }
}

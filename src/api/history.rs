//! A query's history: percentiles, periods and users of a `LoggedQuery`, and the largest queries of a span.
//!
//! Spans are arguments of fields that occur more than once in a document, each with its own. So what is loaded for a field is found again by
//! its arguments, which are read the same way by the planner and by the resolver.

use std::sync::Arc;

use jiff::Timestamp;
use juniper::{Arguments, FieldResult, GraphQLEnum, ID, graphql_object};

use super::{
    error::{Code, field_error, not_loaded},
    loaded::Loaded,
    pagination::{ROWS, rows},
    query::QueryNode,
    scalars::BigInt,
    server::server_id,
};
use crate::store::{self, Percentiles, Period, QuerySums, QueryUser, TopOrder, TopQueries};

/// Longest history in periods, and longest list of queries.
const MOST_PERIODS: u64 = 1000;
const MOST_QUERIES: u32 = 100;

/// Length of the periods of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
#[graphql(name = "HistoryBucket")]
pub(super) enum BucketValue {
    /// Days that are old enough to be kept as one are one period.
    Hour,
    /// UTC.
    Day,
}

impl From<BucketValue> for store::Bucket {
    fn from(bucket: BucketValue) -> Self {
        match bucket {
            BucketValue::Hour => Self::Hour,
            BucketValue::Day => Self::Day,
        }
    }
}

/// The arguments of `percentiles` (without a bucket) and `history`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SpanArguments {
    pub since: Timestamp,
    pub until: Timestamp,
    pub bucket: Option<BucketValue>,
}

impl SpanArguments {
    /// Refuses what is empty or has too many periods.
    pub(super) fn new(
        since: Timestamp,
        until: Timestamp,
        bucket: Option<BucketValue>,
    ) -> FieldResult<Self> {
        let span = Self {
            since,
            until,
            bucket,
        };
        if until < since {
            return Err(field_error(Code::BadUserInput, "`until` is before `since`"));
        }
        let periods = span.periods();
        if bucket.is_some() && periods > MOST_PERIODS {
            let message = format!(
                "a history has {MOST_PERIODS} periods at most, not {periods}: shorten it or take days"
            );
            return Err(field_error(Code::BadUserInput, message));
        }
        Ok(span)
    }

    /// Those of a selected field; `None` for fields that don't have them, and where they are refused.
    pub(super) fn of(field: &str, arguments: &Arguments<'_>) -> Option<Self> {
        let time = |name| arguments.get::<Timestamp>(name).ok().flatten();
        let bucket = match field {
            "percentiles" => None,
            "history" => arguments.get("bucket").ok().flatten(),
            _ => return None,
        };
        Self::new(time("since")?, time("until")?, bucket).ok()
    }

    /// How many periods it can have at most; without a bucket, how many days are read.
    pub(super) fn periods(self) -> u64 {
        let period = match self.bucket {
            Some(BucketValue::Hour) => 3600,
            Some(BucketValue::Day) | None => 86_400,
        };
        let seconds = self.until.as_second() - self.since.as_second();
        (seconds / period).unsigned_abs() + 2
    }
}

/// What was loaded for each of the arguments of one field.
pub(super) struct BySpan<T>(pub Vec<(SpanArguments, T)>);

impl<T> BySpan<T> {
    pub(super) fn get<'a>(
        loaded: Option<&'a Self>,
        arguments: SpanArguments,
        what: &str,
    ) -> FieldResult<&'a T> {
        loaded
            .and_then(|all| all.0.iter().find(|(span, _)| *span == arguments))
            .map(|(_, value)| value)
            .ok_or_else(|| not_loaded(what))
    }
}

pub(super) struct PercentilesNode(pub Percentiles);

/// How long executions took. Each value is at most 1 % away from the duration of that rank.
#[graphql_object(name = "Percentiles", context = Loaded)]
impl PercentilesNode {
    fn p50_ms(&self) -> f64 {
        self.0.p50_ms
    }

    fn p90_ms(&self) -> f64 {
        self.0.p90_ms
    }

    fn p95_ms(&self) -> f64 {
        self.0.p95_ms
    }

    fn p99_ms(&self) -> f64 {
        self.0.p99_ms
    }

    /// Executions that these are told from: those whose duration is known.
    fn calls(&self) -> BigInt {
        self.0.calls.into()
    }

    /// Executions of the span that these leave out, because they were stored by a version of plantail that kept no percentiles.
    fn unknown_calls(&self) -> BigInt {
        self.0.unknown_calls.into()
    }
}

pub(super) struct PeriodNode {
    period: Period,
    percentiles: Option<PercentilesNode>,
}

impl PeriodNode {
    pub(super) fn new(period: Period) -> Self {
        Self {
            percentiles: period.percentiles.map(PercentilesNode),
            period,
        }
    }
}

/// What a query did in an hour or a day.
#[graphql_object(name = "HistoryPeriod", context = Loaded)]
impl PeriodNode {
    fn since(&self) -> Timestamp {
        self.period.since
    }

    /// First moment after it.
    fn until(&self) -> Timestamp {
        self.period.until
    }

    /// Logged executions, nested ones included.
    fn calls(&self) -> BigInt {
        self.period.calls.into()
    }

    fn failed(&self) -> BigInt {
        self.period.failed.into()
    }

    /// Executions that another statement ran.
    fn nested_calls(&self) -> BigInt {
        self.period.nested_calls.into()
    }

    fn total_ms(&self) -> f64 {
        self.period.total_ms
    }

    /// Null, as `maxMs`, where no duration is known.
    fn min_ms(&self) -> Option<f64> {
        self.period.min_ms
    }

    fn max_ms(&self) -> Option<f64> {
        self.period.max_ms
    }

    /// Rows that the roots of the captured plans returned, where they tell.
    fn rows(&self) -> f64 {
        self.period.rows
    }

    /// Null where nothing is known of the durations but their sum.
    fn percentiles(&self) -> Option<&PercentilesNode> {
        self.percentiles.as_ref()
    }
}

pub(super) struct QueryUserNode(pub QueryUser);

/// What one user has run of a query with one application.
#[graphql_object(name = "QueryUser", context = Loaded)]
impl QueryUserNode {
    /// Null where the log doesn't tell; `(other)` for all beyond the 32 pairs of user and application that are kept for a query and day.
    fn user_name(&self) -> Option<&str> {
        self.0.user_name.as_deref()
    }

    fn application_name(&self) -> Option<&str> {
        self.0.application_name.as_deref()
    }

    fn calls(&self) -> BigInt {
        self.0.calls.into()
    }

    fn failed(&self) -> BigInt {
        self.0.failed.into()
    }

    fn total_ms(&self) -> f64 {
        self.0.total_ms
    }
}

/// What the largest queries of a span are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
#[graphql(name = "TopOrder")]
pub(super) enum TopOrderValue {
    TotalTime,
    MaxTime,
    MeanTime,
    Executions,
}

/// One list of largest queries that a document asks for.
pub(super) fn top_list(
    since: Timestamp,
    until: Option<Timestamp>,
    limit: Option<i32>,
    order_by: Option<TopOrderValue>,
    server: Option<ID>,
) -> FieldResult<TopQueries> {
    SpanArguments::new(since, until.unwrap_or(since), None)?;
    Ok(TopQueries {
        since,
        until,
        server: server_id(server)?,
        order_by: match order_by.unwrap_or(TopOrderValue::TotalTime) {
            TopOrderValue::TotalTime => TopOrder::TotalMs,
            TopOrderValue::MaxTime => TopOrder::MaxMs,
            TopOrderValue::MeanTime => TopOrder::MeanMs,
            TopOrderValue::Executions => TopOrder::Calls,
        },
        limit: rows("limit", limit, ROWS, MOST_QUERIES)?,
    })
}

pub(super) struct TopQueryNode {
    pub sums: QuerySums,
    pub query: Option<Arc<QueryNode>>,
}

/// What a query did in a span.
#[graphql_object(name = "TopQuery", context = Loaded)]
impl TopQueryNode {
    fn query(&self) -> FieldResult<&QueryNode> {
        self.query.as_deref().ok_or_else(|| not_loaded("query"))
    }

    /// Logged executions, nested ones included.
    fn calls(&self) -> BigInt {
        self.sums.calls.into()
    }

    fn failed(&self) -> BigInt {
        self.sums.failed.into()
    }

    fn total_ms(&self) -> f64 {
        self.sums.total_ms
    }

    /// Over the executions whose duration is known; null without any.
    fn mean_ms(&self) -> Option<f64> {
        (self.sums.timed_calls > 0).then(|| self.sums.total_ms / self.sums.timed_calls as f64)
    }

    fn max_ms(&self) -> Option<f64> {
        self.sums.max_ms
    }

    /// Executions that another statement ran, and their part of `totalMs`: it is in the time of what ran them too.
    fn nested_calls(&self) -> BigInt {
        self.sums.nested_calls.into()
    }

    fn nested_ms(&self) -> f64 {
        self.sums.nested_ms
    }
}

//! Sums of queries over a span, and the largest queries of one.
//!
//! The parts of a span come in; sums for each query go out, read from days and hours, with the open executions as if they had closed.
//! Executions themselves are not looked at.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Double, Nullable},
};
use jiff::Timestamp;

use super::{
    Error, Reader,
    backend::Dialect,
    column::count,
    query::QueryKey,
    span::{DAY, Parts, Span, day_of_hour},
    sql::Sql,
};
use crate::model::{position::ServerId, query::QueryId};

/// The largest queries of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct TopQueries {
    pub since: Timestamp,
    /// `None`: the newest record.
    pub until: Option<Timestamp>,
    pub server: Option<ServerId>,
    pub order_by: TopOrder,
    pub limit: u32,
}

/// Descending all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopOrder {
    TotalMs,
    MaxMs,
    MeanMs,
    Calls,
}

/// What a query did in a span. Nested executions count in their own query.
#[derive(Debug, Clone, PartialEq)]
pub struct QuerySums {
    pub key: QueryKey,
    pub calls: u64,
    pub failed: u64,
    /// Calls with a duration; `total_ms` is theirs.
    pub timed_calls: u64,
    pub total_ms: f64,
    pub max_ms: Option<f64>,
    pub nested_calls: u64,
    pub nested_ms: f64,
}

/// A row of [`sums_of`].
#[derive(QueryableByName)]
pub(super) struct SumsRow {
    #[diesel(sql_type = BigInt)]
    server_id: i64,
    #[diesel(sql_type = BigInt)]
    query_id: i64,
    #[diesel(sql_type = BigInt)]
    calls: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
    #[diesel(sql_type = BigInt)]
    timed_calls: i64,
    #[diesel(sql_type = Double)]
    total_ms: f64,
    #[diesel(sql_type = Nullable<Double>)]
    max_ms: Option<f64>,
    #[diesel(sql_type = BigInt)]
    nested_calls: i64,
    #[diesel(sql_type = Double)]
    nested_ms: f64,
}

impl SumsRow {
    pub(super) fn read(self) -> Result<QuerySums, Error> {
        Ok(QuerySums {
            key: (ServerId(self.server_id), QueryId(self.query_id)),
            calls: count("query_stats.calls", self.calls)?,
            failed: count("query_stats.failed", self.failed)?,
            timed_calls: count("query_stats.timed_calls", self.timed_calls)?,
            total_ms: self.total_ms,
            max_ms: self.max_ms,
            nested_calls: count("query_stats.nested_calls", self.nested_calls)?,
            nested_ms: self.nested_ms,
        })
    }
}

const COLUMNS: &str =
    "t.calls, t.failed, t.timed_calls, t.total_ms, t.max_ms, t.nested_calls, t.nested_ms ";

/// Most rows have no failed and no nested calls: adding nothing up is cheaper than adding zeros.
fn sums(part: &str) -> String {
    format!(
        "CAST(sum({part}.calls) AS BIGINT) AS calls, \
         CAST(coalesce(sum({part}.failed) FILTER (WHERE {part}.failed > 0), 0) AS BIGINT) AS failed, \
         CAST(sum({part}.timed_calls) AS BIGINT) AS timed_calls, sum({part}.total_ms) AS total_ms, max({part}.max_ms) AS max_ms, \
         CAST(coalesce(sum({part}.nested_calls) FILTER (WHERE {part}.nested_calls > 0), 0) AS BIGINT) AS nested_calls, \
         coalesce(sum({part}.nested_ms) FILTER (WHERE {part}.nested_calls > 0), 0.0) AS nested_ms "
    )
}

/// Sums by query over those parts; rows for [`SumsRow`]. `dropped`: days of which the hours were dropped count whole.
///
/// The rows of a day lie together in both databases, and so do those of an hour in PostgreSQL. In SQLite the hours of a query do: there they are
/// looked for query by query, as the day's rows tell which have run, and come out grouped, so that they aren't sorted.
pub(super) fn sums_of<'a>(
    dialect: Dialect,
    parts: &Parts,
    server: Option<ServerId>,
    dropped: bool,
) -> Sql<'a> {
    let Parts {
        all,
        touched,
        days,
        hours,
    } = parts;
    let of_server = |sql: &mut Sql<'a>| {
        if let Some(server) = server {
            sql.push("s.id = ? AND ", [server.0.into()]);
        }
    };
    let mut sql = Sql::new("SELECT part.server_id, part.query_id, ", []);
    sql.push(&sums("part"), []);
    sql.push("FROM (SELECT t.server_id, t.query_id, ", []);
    sql.push(COLUMNS, []);
    sql.push("FROM servers s CROSS JOIN query_stats_daily t WHERE ", []);
    of_server(&mut sql);
    if dropped {
        sql.push(
            "t.server_id = s.id AND t.day >= ? AND t.day < ? AND (t.hours_dropped OR t.day >= ? AND t.day < ?)",
            [touched.since, touched.until, days.since, days.until].map(Into::into),
        );
    } else {
        sql.push(
            "t.server_id = s.id AND t.day >= ? AND t.day < ?",
            [days.since, days.until].map(Into::into),
        );
    }
    for hours in hours {
        let (key, selected, from, group) = match dialect {
            Dialect::Sqlite => (
                "s.id AS server_id, d.query_id, ",
                sums("t"),
                "FROM servers s CROSS JOIN query_stats_daily d CROSS JOIN query_stats t WHERE ",
                " GROUP BY s.id, d.query_id",
            ),
            Dialect::Postgres => (
                "t.server_id, t.query_id, ",
                COLUMNS.to_owned(),
                "FROM servers s CROSS JOIN query_stats t WHERE ",
                "",
            ),
        };
        sql.push(" UNION ALL SELECT ", []);
        sql.push(key, []);
        sql.push(&selected, []);
        sql.push(from, []);
        of_server(&mut sql);
        if dialect == Dialect::Sqlite {
            sql.push(
                "d.server_id = s.id AND d.day = ? AND t.query_id = d.query_id AND ",
                [day_of_hour(hours.since).into()],
            );
        }
        sql.push(
            "t.server_id = s.id AND t.hour >= ? AND t.hour < ?",
            [hours.since, hours.until].map(Into::into),
        );
        sql.push(group, []);
    }
    sql.push(" UNION ALL SELECT t.server_id, t.query_id, ", []);
    sql.push(COLUMNS, []);
    sql.push("FROM open_activity t WHERE ", []);
    if let Some(server) = server {
        sql.push("t.server_id = ? AND ", [server.0.into()]);
    }
    sql.push(
        "t.hour >= ? AND t.hour < ?) part GROUP BY part.server_id, part.query_id",
        [all.since, all.until].map(Into::into),
    );
    sql
}

impl Reader<'_> {
    /// The largest queries of a span, ties by server and id. Its ends are widened as in [`Reader::activity`], and those of a span of more than
    /// two days to whole days.
    pub fn top_queries(&mut self, page: &TopQueries) -> Result<Vec<QuerySums>, Error> {
        let span = Span::new(page.since, page.until);
        let parts = if span.is_longer_than(2 * DAY) {
            span.days()
        } else {
            span.parts()
        };
        let sort = match page.order_by {
            TopOrder::TotalMs => "total_ms",
            TopOrder::MaxMs => "coalesce(max_ms, 0.0)",
            TopOrder::MeanMs => "coalesce(total_ms / nullif(timed_calls, 0), 0.0)",
            TopOrder::Calls => "calls",
        };
        let mut sql = Sql::new("SELECT * FROM (", []);
        sql.append(sums_of(
            self.connection.dialect(),
            &parts,
            page.server,
            true,
        ));
        sql.push(
            &format!(") summed ORDER BY {sort} DESC, server_id, query_id LIMIT ?"),
            [i64::from(page.limit).into()],
        );
        let rows: Vec<SumsRow> = sql.load(self.connection)?;
        rows.into_iter().map(SumsRow::read).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::collections::HashMap;

    use super::*;
    use crate::store::fixture::{Fixture, at, batch, execution};

    #[test]
    fn the_largest_queries_of_a_span() {
        const DAY: i64 = 86_400;
        let fixture = Fixture::new();
        let mut all = batch(fixture.server, 0, 10);
        // At 09:00 of 2026-11-15 to 20: times of `a` grow, `b` runs twice, `c` ran once long ago.
        for day in 0..6 {
            let runs: &[(&str, f64)] = match day {
                0 => &[("c", 1e6)],
                _ => &[("a", day as f64), ("b", 2.0), ("b", 1.0)],
            };
            for (sql, ms) in runs {
                let offset = all.executions.len() as u64;
                let mut run = execution(fixture.server, sql, offset, *ms);
                run.started_at = at((day - 5) * DAY);
                run.open = day == 5;
                all.executions.push(run);
            }
        }
        let name_of: HashMap<QueryKey, String> = all
            .executions
            .iter()
            .map(|e| ((e.server_id, e.query.id), e.query.normalized_sql.clone()))
            .collect();
        fixture.ingest(&all).unwrap();
        let top = |since, until, order_by, limit| -> Vec<(&str, u64, f64, Option<f64>)> {
            let page = TopQueries {
                since: at(since),
                until: Some(at(until)),
                server: Some(fixture.server),
                order_by,
                limit,
            };
            let read = fixture
                .store
                .read(|reader| reader.top_queries(&page))
                .unwrap();
            let row = |q: QuerySums| (name_of[&q.key].as_str(), q.calls, q.total_ms, q.max_ms);
            read.into_iter().map(row).collect()
        };
        let (a, b) = (("a", 5, 15.0, Some(5.0)), ("b", 10, 15.0, Some(2.0)));
        let c = ("c", 1, 1e6, Some(1e6));
        assert_eq!(top(-5 * DAY, 0, TopOrder::TotalMs, 1), [c]);
        assert_eq!(top(-4 * DAY, 0, TopOrder::MaxMs, 9), [a, b]);
        assert_eq!(top(-4 * DAY, 0, TopOrder::Calls, 9), [b, a]);
        assert_eq!(top(-4 * DAY, 0, TopOrder::MeanMs, 1), [a]);
        let two_days = [("a", 2, 9.0, Some(5.0)), ("b", 4, 6.0, Some(2.0))];
        assert_eq!(top(-DAY, 0, TopOrder::TotalMs, 9), two_days);
        assert_eq!(
            top(-2 * DAY, -DAY, TopOrder::TotalMs, 1),
            [("a", 2, 7.0, Some(4.0))]
        );
        // Two days are read by the hour, more by the day.
        let from_ten = 3600 - 2 * DAY;
        assert_eq!(top(from_ten, 0, TopOrder::Calls, 1)[0].1, 4);
        assert_eq!(top(from_ten - DAY, 0, TopOrder::Calls, 1)[0].1, 8);
        assert_eq!(top(DAY, 2 * DAY, TopOrder::TotalMs, 9), []);
    }
}

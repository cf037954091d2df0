//! What queries did in a span: the sums behind the summary, and the largest queries of a week.
//!
//! A span comes in, sums for each query go out, read from days and hours; open executions are counted as if they had closed. Executions
//! themselves are not looked at.

use std::collections::HashMap;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Double, Nullable},
};
use jiff::Timestamp;

use super::{
    Error, Reader,
    backend::Dialect,
    column::{count, time},
    query::QueryKey,
    span::{DAY, Parts, Span},
    sql::Sql,
};
use crate::model::{position::ServerId, query::QueryId};

/// What a query did in a window, and before it. Open executions are counted as if they had closed; times are those of all executions,
/// nested ones included.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryActivity {
    pub query_id: QueryId,
    /// Start of the query's first logged execution.
    pub first_seen: Timestamp,
    pub calls: u64,
    pub failed: u64,
    /// Calls with a duration; `total_ms` is theirs.
    pub timed_calls: u64,
    pub total_ms: f64,
    pub max_ms: Option<f64>,
    pub nested_calls: u64,
    pub nested_ms: f64,
    pub calls_before: u64,
    pub timed_calls_before: u64,
    pub total_before_ms: f64,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    server_id: i64,
    #[diesel(sql_type = BigInt)]
    query_id: i64,
    #[diesel(sql_type = BigInt)]
    first_seen: i64,
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
    #[diesel(sql_type = BigInt)]
    calls_before: i64,
    #[diesel(sql_type = BigInt)]
    timed_calls_before: i64,
    #[diesel(sql_type = Double)]
    total_before_ms: f64,
}

/// Sums of rows of the statistics.
macro_rules! sums {
    ($from:literal) => {
        concat!(
            "CAST(sum(",
            $from,
            ".calls) AS BIGINT) AS calls, CAST(sum(",
            $from,
            ".failed) AS BIGINT) AS failed, \
             CAST(sum(",
            $from,
            ".timed_calls) AS BIGINT) AS timed_calls, sum(",
            $from,
            ".total_ms) AS total_ms, \
             max(",
            $from,
            ".max_ms) AS max_ms, CAST(sum(",
            $from,
            ".nested_calls) AS BIGINT) AS nested_calls, \
             sum(",
            $from,
            ".nested_ms) AS nested_ms "
        )
    };
}

/// Sums by query over those parts. They are grouped in each table first. SQLite has the rows of a query together and goes from query to query, so
/// that nothing is sorted; in PostgreSQL the rows of an hour lie together. `dropped`: days of which the hours were dropped count whole.
fn sums_of<'a>(
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
    let mut sql = Sql::new(
        concat!(
            "SELECT part.server_id, part.query_id, ",
            sums!("part"),
            "FROM ("
        ),
        [],
    );
    let push_from = |sql: &mut Sql<'a>, table: &str| {
        sql.push(
            concat!("SELECT t.server_id, t.query_id, ", sums!("t"), "FROM "),
            [],
        );
        match dialect {
            Dialect::Sqlite => {
                sql.push("queries q CROSS JOIN ", []);
                sql.push(table, []);
                sql.push(
                    " t WHERE t.server_id = q.server_id AND t.query_id = q.id AND q.last_seen >= ? AND q.first_seen < ? AND ",
                    [touched.since, touched.until].map(Into::into),
                );
            }
            Dialect::Postgres => {
                sql.push("servers s CROSS JOIN ", []);
                sql.push(table, []);
                sql.push(" t WHERE t.server_id = s.id AND ", []);
            }
        }
        if let Some(server) = server {
            sql.push("t.server_id = ? AND ", [server.0.into()]);
        }
    };
    let group = match dialect {
        Dialect::Sqlite => " GROUP BY q.server_id, q.id UNION ALL ",
        Dialect::Postgres => " GROUP BY t.server_id, t.query_id UNION ALL ",
    };
    push_from(&mut sql, "query_stats_daily");
    if dropped {
        sql.push(
            "t.day >= ? AND t.day < ? AND (t.hours_dropped OR t.day >= ? AND t.day < ?)",
            [touched.since, touched.until, days.since, days.until].map(Into::into),
        );
    } else {
        sql.push(
            "t.day >= ? AND t.day < ?",
            [days.since, days.until].map(Into::into),
        );
    }
    sql.push(group, []);
    for hours in hours {
        push_from(&mut sql, "query_stats");
        sql.push(
            "t.hour >= ? AND t.hour < ?",
            [hours.since, hours.until].map(Into::into),
        );
        sql.push(group, []);
    }
    sql.push(
        "SELECT server_id, query_id, calls, failed, timed_calls, total_ms, max_ms, nested_calls, nested_ms \
           FROM open_activity WHERE hour >= ? AND hour < ?",
        [all.since, all.until].map(Into::into),
    );
    if let Some(server) = server {
        sql.push(" AND server_id = ?", [server.0.into()]);
    }
    sql.push(") part GROUP BY part.server_id, part.query_id", []);
    sql
}

impl Reader<'_> {
    /// What each query of each server did from `since` to `until`, by default the newest record. Both are inclusive and widened to their whole
    /// hour, or to their whole day where that day's hours have been dropped. Queries without an execution there are left out. In no
    /// particular order.
    pub fn activity(
        &mut self,
        since: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<HashMap<ServerId, Vec<QueryActivity>>, Error> {
        let dialect = self.connection.dialect();
        let inside = Span::new(since, until).parts();
        let mut sql = Sql::new("WITH inside AS (", []);
        sql.append(sums_of(dialect, &inside, None, true));
        sql.push("), later AS (", []);
        match until {
            Some(until) => sql.append(sums_of(dialect, &Span::after(until).parts(), None, false)),
            None => sql.push("SELECT * FROM inside WHERE false", []),
        }
        sql.push(
            "), open AS ( \
               SELECT server_id, query_id, count(*) AS calls, CAST(sum(timed_calls) AS BIGINT) AS timed_calls, \
                      sum(total_ms) AS total_ms \
                 FROM open_activity GROUP BY server_id, query_id \
             ) \
             SELECT s.*, q.first_seen, \
                    q.calls + coalesce(o.calls, 0) - s.calls - coalesce(l.calls, 0) AS calls_before, \
                    q.timed_calls + coalesce(o.timed_calls, 0) - s.timed_calls - coalesce(l.timed_calls, 0) AS timed_calls_before, \
                    q.total_ms + coalesce(o.total_ms, 0.0) - s.total_ms - coalesce(l.total_ms, 0.0) AS total_before_ms \
               FROM inside s \
               JOIN queries q ON q.server_id = s.server_id AND q.id = s.query_id \
               LEFT JOIN later l ON l.server_id = s.server_id AND l.query_id = s.query_id \
               LEFT JOIN open o ON o.server_id = s.server_id AND o.query_id = s.query_id",
            [],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        let mut servers: HashMap<ServerId, Vec<QueryActivity>> = HashMap::new();
        for row in rows {
            let server = ServerId(row.server_id);
            servers.entry(server).or_default().push(activity(&row)?);
        }
        Ok(servers)
    }

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

#[derive(QueryableByName)]
struct SumsRow {
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
    fn read(self) -> Result<QuerySums, Error> {
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
fn activity(row: &Row) -> Result<QueryActivity, Error> {
    let timed_calls_before = count("queries.timed_calls", row.timed_calls_before)?;
    Ok(QueryActivity {
        query_id: QueryId(row.query_id),
        first_seen: time("queries.first_seen", row.first_seen)?,
        calls: count("query_stats.calls", row.calls)?,
        failed: count("query_stats.failed", row.failed)?,
        timed_calls: count("query_stats.timed_calls", row.timed_calls)?,
        total_ms: row.total_ms,
        max_ms: row.max_ms,
        nested_calls: count("query_stats.nested_calls", row.nested_calls)?,
        nested_ms: row.nested_ms,
        calls_before: count("queries.calls", row.calls_before)?,
        timed_calls_before,
        // A difference of sums that were added in another order: where nothing is left, only rounding is.
        total_before_ms: if timed_calls_before == 0 {
            0.0
        } else {
            row.total_before_ms.max(0.0)
        },
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::store::fixture::{Fixture, at, batch, execution, only};

    #[test]
    fn a_window_counts_whole_hours_and_what_came_before() {
        for fixture in Fixture::each() {
            let mut all = batch(fixture.server, 0, 10);
            all.executions = [
                (0, 1.0),
                (3599, 2.0),
                (3600, 4.0),
                (7199, 8.0),
                (7200, 16.0),
            ]
            .into_iter()
            .map(|(offset, ms)| execution(fixture.server, "select $1", offset, ms))
            .collect();
            all.executions[3].open = true;
            all.executions[2].failed = true;
            let query_id = all.executions[0].query.id;
            fixture.ingest(&all).unwrap();

            let check_until = |since, until, expected: &[QueryActivity]| {
                let read = fixture
                    .store
                    .read(|reader| Ok(only(fixture.server, reader.activity(at(since), until)?)));
                assert_eq!(read.unwrap(), expected, "{since} to {until:?}");
            };
            let check = |since, until, expected: &[QueryActivity]| {
                check_until(since, Some(at(until)), expected);
            };
            let second_hour = QueryActivity {
                query_id,
                first_seen: at(0),
                calls: 2,
                failed: 1,
                timed_calls: 2,
                total_ms: 12.0,
                max_ms: Some(8.0),
                nested_calls: 0,
                nested_ms: 0.0,
                calls_before: 2,
                timed_calls_before: 2,
                total_before_ms: 3.0,
            };
            check(3600, 3600, std::slice::from_ref(&second_hour));
            check(5000, 7199, std::slice::from_ref(&second_hour));
            check(
                0,
                3600,
                &[QueryActivity {
                    calls: 4,
                    timed_calls: 4,
                    total_ms: 15.0,
                    calls_before: 0,
                    timed_calls_before: 0,
                    total_before_ms: 0.0,
                    ..second_hour
                }],
            );
            check_until(
                3600,
                None,
                &[QueryActivity {
                    calls: 3,
                    timed_calls: 3,
                    total_ms: 28.0,
                    max_ms: Some(16.0),
                    ..second_hour
                }],
            );
            check(-7200, -3600, &[]);
            check(10_800, 20_000, &[]);
        }
    }

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

//! What queries did in a window and before it: the sums behind the summary.
//!
//! A window comes in, what each query did goes out. Open executions are counted as if they had closed. Executions themselves are not looked at.

use std::collections::HashMap;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Double},
};
use jiff::Timestamp;

use super::{
    Error, Reader,
    column::{count, time},
    query_sums::{SumsRow, sums_of},
    span::Span,
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
    #[diesel(embed)]
    sums: SumsRow,
    #[diesel(sql_type = BigInt)]
    first_seen: i64,
    #[diesel(sql_type = BigInt)]
    calls_before: i64,
    #[diesel(sql_type = BigInt)]
    timed_calls_before: i64,
    #[diesel(sql_type = Double)]
    total_ms_before: f64,
}

impl Row {
    fn read(self) -> Result<(ServerId, QueryActivity), Error> {
        let sums = self.sums.read()?;
        let (server, query_id) = sums.key;
        let timed_calls_before = count("queries.timed_calls", self.timed_calls_before)?;
        let activity = QueryActivity {
            query_id,
            first_seen: time("queries.first_seen", self.first_seen)?,
            calls: sums.calls,
            failed: sums.failed,
            timed_calls: sums.timed_calls,
            total_ms: sums.total_ms,
            max_ms: sums.max_ms,
            nested_calls: sums.nested_calls,
            nested_ms: sums.nested_ms,
            calls_before: count("queries.calls", self.calls_before)?,
            timed_calls_before,
            // A difference of sums that were added in another order: where nothing is left, only rounding is.
            total_before_ms: if timed_calls_before == 0 {
                0.0
            } else {
                self.total_ms_before.max(0.0)
            },
        };
        Ok((server, activity))
    }
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
        let mut sql = Sql::new("WITH inside AS (", []);
        sql.append(sums_of(
            dialect,
            &Span::new(since, until).parts(),
            None,
            true,
        ));
        if let Some(until) = until {
            sql.push("), later AS (", []);
            sql.append(sums_of(dialect, &Span::after(until).parts(), None, false));
        }
        sql.push(
            "), open AS ( \
               SELECT server_id, query_id, count(*) AS calls, CAST(sum(timed_calls) AS BIGINT) AS timed_calls, \
                      sum(total_ms) AS total_ms \
                 FROM open_activity GROUP BY server_id, query_id \
             ) \
             SELECT s.*, q.first_seen",
            [],
        );
        for column in ["calls", "timed_calls", "total_ms"] {
            let later = match until {
                Some(_) => format!(" - coalesce(l.{column}, 0)"),
                None => String::new(),
            };
            sql.push(
                &format!(
                    ", q.{column} + coalesce(o.{column}, 0) - s.{column}{later} AS {column}_before"
                ),
                [],
            );
        }
        sql.push(
            " FROM inside s \
              JOIN queries q ON q.server_id = s.server_id AND q.id = s.query_id \
              LEFT JOIN open o ON o.server_id = s.server_id AND o.query_id = s.query_id",
            [],
        );
        if until.is_some() {
            sql.push(
                " LEFT JOIN later l ON l.server_id = s.server_id AND l.query_id = s.query_id",
                [],
            );
        }
        let rows: Vec<Row> = sql.load(self.connection)?;
        let mut servers: HashMap<ServerId, Vec<QueryActivity>> = HashMap::new();
        for row in rows {
            let (server, activity) = row.read()?;
            servers.entry(server).or_default().push(activity);
        }
        Ok(servers)
    }
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
}

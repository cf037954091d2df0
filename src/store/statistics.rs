//! Sums per query and hour: the history that outlives the executions.
//!
//! A closed execution is added once, when it closes; an open one is added at reading, by the view `open_activity`.

use std::collections::{BTreeMap, HashMap};

use diesel::{
    prelude::*,
    sql_types::{BigInt, Double, Nullable},
};
use jiff::Timestamp;

use super::{
    Error, Reader,
    backend::Connection,
    column::{count, time},
    insert::Insert,
    sql::Sql,
};
use crate::model::{execution::Execution, position::ServerId, query::QueryId};

/// Microseconds.
const HOUR: i64 = 3_600_000_000;

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

impl Reader<'_> {
    /// What each query of each server did from `since` to `until`, both inclusive and each widened to its whole hour. Queries without
    /// an execution there are left out. In no particular order.
    pub fn activity(
        &mut self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<HashMap<ServerId, Vec<QueryActivity>>, Error> {
        // The servers are joined by hand, so that the index on server and hour serves: a list of servers is not pushed into the view.
        let sql = Sql::new(
            "WITH open AS ( \
               SELECT server_id, query_id, count(*) AS calls, CAST(sum(timed_calls) AS BIGINT) AS timed_calls, \
                      sum(total_ms) AS total_ms \
                 FROM open_activity GROUP BY server_id, query_id \
             ), recent AS ( \
               SELECT t.server_id, t.query_id, t.hour <= ? AS inside, t.calls, t.failed, t.timed_calls, t.total_ms, t.max_ms, \
                      t.nested_calls, t.nested_ms \
                 FROM servers CROSS JOIN query_stats t WHERE t.server_id = servers.id AND t.hour >= ? \
                UNION ALL \
               SELECT server_id, query_id, hour <= ?, calls, failed, timed_calls, total_ms, max_ms, nested_calls, nested_ms \
                 FROM open_activity WHERE hour >= ? \
             ), summed AS ( \
               SELECT server_id, query_id, CAST(sum(calls) AS BIGINT) AS calls_since, \
                      CAST(sum(timed_calls) AS BIGINT) AS timed_calls_since, sum(total_ms) AS total_since_ms, \
                      CAST(coalesce(sum(calls) FILTER (WHERE inside), 0) AS BIGINT) AS calls, \
                      CAST(coalesce(sum(failed) FILTER (WHERE inside), 0) AS BIGINT) AS failed, \
                      CAST(coalesce(sum(timed_calls) FILTER (WHERE inside), 0) AS BIGINT) AS timed_calls, \
                      coalesce(sum(total_ms) FILTER (WHERE inside), 0.0) AS total_ms, \
                      max(max_ms) FILTER (WHERE inside) AS max_ms, \
                      CAST(coalesce(sum(nested_calls) FILTER (WHERE inside), 0) AS BIGINT) AS nested_calls, \
                      coalesce(sum(nested_ms) FILTER (WHERE inside), 0.0) AS nested_ms \
                 FROM recent GROUP BY server_id, query_id \
             ) \
             SELECT s.*, q.first_seen, \
                    q.calls + coalesce(o.calls, 0) - s.calls_since AS calls_before, \
                    q.timed_calls + coalesce(o.timed_calls, 0) - s.timed_calls_since AS timed_calls_before, \
                    q.total_ms + coalesce(o.total_ms, 0.0) - s.total_since_ms AS total_before_ms \
               FROM summed s \
               JOIN queries q ON q.server_id = s.server_id AND q.id = s.query_id \
               LEFT JOIN open o ON o.server_id = s.server_id AND o.query_id = s.query_id \
              WHERE s.calls > 0",
            [
                hour_of(until).into(),
                hour_of(since).into(),
                hour_of(until).into(),
                hour_of(since).into(),
            ],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        let mut servers: HashMap<ServerId, Vec<QueryActivity>> = HashMap::new();
        for row in rows {
            let server = ServerId(row.server_id);
            servers.entry(server).or_default().push(activity(&row)?);
        }
        Ok(servers)
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

/// First microsecond of the hour.
fn hour_of(time: Timestamp) -> i64 {
    let us = time.as_microsecond();
    us - us.rem_euclid(HOUR)
}

/// Sums of some executions of one query.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sums {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) timed_calls: u64,
    pub(super) total_ms: f64,
    pub(super) min_ms: Option<f64>,
    pub(super) max_ms: Option<f64>,
    rows: f64,
    nested_calls: u64,
    nested_ms: f64,
    /// Sum of the weights of those calls that have one, and how many have.
    pub(super) estimated_calls: f64,
    pub(super) weighed_calls: u64,
}

impl Sums {
    pub(super) fn add(&mut self, execution: &Execution) {
        self.calls += 1;
        self.failed += u64::from(execution.failed);
        self.rows += execution.rows.unwrap_or(0.0);
        self.nested_calls += u64::from(execution.is_nested());
        self.estimated_calls += execution.weight.unwrap_or(0.0);
        self.weighed_calls += u64::from(execution.weight.is_some());
        if let Some(duration_ms) = execution.duration_ms {
            self.timed_calls += 1;
            self.total_ms += duration_ms;
            self.min_ms = Some(self.min_ms.map_or(duration_ms, |ms| ms.min(duration_ms)));
            self.max_ms = Some(self.max_ms.map_or(duration_ms, |ms| ms.max(duration_ms)));
            if execution.is_nested() {
                self.nested_ms += duration_ms;
            }
        }
    }
}

/// Adds executions that have just closed.
pub(super) fn add(
    connection: &mut Connection,
    server: ServerId,
    closed: &[&Execution],
) -> Result<(), Error> {
    let mut hours: BTreeMap<(QueryId, i64), Sums> = BTreeMap::new();
    for execution in closed {
        hours
            .entry((execution.query.id, hour_of(execution.started_at)))
            .or_default()
            .add(execution);
    }
    Insert::new(
        "query_stats (server_id, query_id, hour, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, \
           nested_calls, nested_ms, estimated_calls, weighed_calls)",
        hours.into_iter().map(|((query, hour), sums)| {
            [
                server.0.into(),
                query.0.into(),
                hour.into(),
                sums.calls.cast_signed().into(),
                sums.failed.cast_signed().into(),
                sums.total_ms.into(),
                sums.timed_calls.cast_signed().into(),
                sums.min_ms.into(),
                sums.max_ms.into(),
                sums.rows.into(),
                sums.nested_calls.cast_signed().into(),
                sums.nested_ms.into(),
                sums.estimated_calls.into(),
                sums.weighed_calls.cast_signed().into(),
            ]
        }),
        "ON CONFLICT (server_id, query_id, hour) DO UPDATE \
         SET calls = query_stats.calls + excluded.calls, failed = query_stats.failed + excluded.failed, \
             total_ms = query_stats.total_ms + excluded.total_ms, \
             timed_calls = query_stats.timed_calls + excluded.timed_calls, \
             min_ms = CASE WHEN query_stats.min_ms IS NULL OR excluded.min_ms < query_stats.min_ms THEN excluded.min_ms \
                           ELSE query_stats.min_ms END, \
             max_ms = CASE WHEN query_stats.max_ms IS NULL OR excluded.max_ms > query_stats.max_ms THEN excluded.max_ms \
                           ELSE query_stats.max_ms END, \
             rows = query_stats.rows + excluded.rows, nested_calls = query_stats.nested_calls + excluded.nested_calls, \
             nested_ms = query_stats.nested_ms + excluded.nested_ms, \
             estimated_calls = query_stats.estimated_calls + excluded.estimated_calls, \
             weighed_calls = query_stats.weighed_calls + excluded.weighed_calls",
    )
    .execute(connection)?;
    Ok(())
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

            let check = |since, until, expected: &[QueryActivity]| {
                let read = fixture.store.read(|reader| {
                    Ok(only(fixture.server, reader.activity(at(since), at(until))?))
                });
                assert_eq!(read.unwrap(), expected, "{since} to {until}");
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
            check(-7200, -3600, &[]);
            check(10_800, 20_000, &[]);
        }
    }

    #[test]
    fn hours_before_the_epoch_start_before_their_times() {
        let before = Timestamp::from_microsecond(-1).unwrap();
        assert_eq!(hour_of(before), -HOUR);
        let fixture = Fixture::new();
        let mut all = batch(fixture.server, 0, 10);
        for (offset, open) in [(0, false), (1, true)] {
            let mut execution = execution(fixture.server, "select $1", offset, 1.0);
            execution.started_at = before;
            execution.open = open;
            all.executions.push(execution);
        }
        fixture.ingest(&all).unwrap();
        assert_eq!(fixture.count("query_activity WHERE hour = -3600000000"), 2);
    }

    #[test]
    fn the_view_for_people_has_names_and_times() {
        for fixture in Fixture::each() {
            let mut all = batch(fixture.server, 0, 10);
            all.executions = vec![execution(fixture.server, "select $1", 1, 1.0)];
            fixture.ingest(&all).unwrap();
            assert_eq!(
            fixture.count("executions_readable WHERE server = 'shop' AND started_at = '2026-11-20T09:00:01.000Z'"),
            1
        );
        }
    }
}

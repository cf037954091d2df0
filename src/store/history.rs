//! A query's past: percentiles of a span, its trend by hour or day, who runs it.
//!
//! Keys of queries and a span come in; sums and merged sketches go out, read from hours and days. Open executions are counted as if they had
//! closed. Executions that the log doesn't hold are unknown here too.

use std::collections::{BTreeMap, HashMap};

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Double, Nullable},
};
use jiff::Timestamp;

use super::{
    Error, Reader,
    backend::Dialect,
    column::{count, time},
    query::{QueryKey, WANTED, wanted},
    sketch::Sketch,
    span::{DAY, HOUR, Parts, Span, day_of_hour},
    sql::{Sql, servers_of},
};
use crate::model::{position::ServerId, query::QueryId};

/// How long the executions of some span took: each value at most 1 % away from the duration of that rank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentiles {
    /// Executions with a duration that these are told from.
    pub calls: u64,
    /// Executions with a duration of which nothing but the sum is stored: those from before plantail kept sketches.
    pub unknown_calls: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

/// What a query did from `since` to before `until`.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    pub since: Timestamp,
    pub until: Timestamp,
    pub calls: u64,
    pub failed: u64,
    /// Calls with a duration; `total_ms` is theirs.
    pub timed_calls: u64,
    pub total_ms: f64,
    pub min_ms: Option<f64>,
    pub max_ms: Option<f64>,
    /// Of the plans' roots, where there were plans.
    pub rows: f64,
    pub nested_calls: u64,
    pub nested_ms: f64,
    /// `None` without a call whose duration is known.
    pub percentiles: Option<Percentiles>,
}

/// Length of the periods of a trend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Whole days where their hours have been dropped.
    Hour,
    /// UTC.
    Day,
}

impl Reader<'_> {
    /// Percentiles of each query from `since` to `until`, both inclusive and each widened to its whole hour, or to its whole day where that day's
    /// hours have been dropped. A query without a call whose duration is known is left out.
    pub fn percentiles(
        &mut self,
        keys: &[QueryKey],
        since: Timestamp,
        until: Timestamp,
    ) -> Result<HashMap<QueryKey, Percentiles>, Error> {
        let parts = Span::new(since, Some(until)).parts();
        let mut all: HashMap<QueryKey, Sums> = HashMap::new();
        for row in self.history_rows(keys, &parts)? {
            all.entry(row.key()).or_default().add(&row)?;
        }
        let told = all.into_iter();
        Ok(told
            .filter_map(|(key, sums)| Some((key, sums.percentiles()?)))
            .collect())
    }

    /// The periods of each query in which it has run, oldest first, all those that the span touches.
    pub fn trend(
        &mut self,
        keys: &[QueryKey],
        since: Timestamp,
        until: Timestamp,
        bucket: Bucket,
    ) -> Result<HashMap<QueryKey, Vec<Period>>, Error> {
        let span = Span::new(since, Some(until));
        let parts = match bucket {
            Bucket::Hour => span.hours(),
            Bucket::Day => span.days(),
        };
        let mut all: BTreeMap<(QueryKey, i64), (i64, Sums)> = BTreeMap::new();
        for row in self.history_rows(keys, &parts)? {
            let (begin, length) = match (bucket, row.whole_day) {
                (Bucket::Hour, false) => (row.begin, HOUR),
                (Bucket::Hour, true) | (Bucket::Day, _) => (day_of_hour(row.begin), DAY),
            };
            let entry = all.entry((row.key(), begin)).or_default();
            entry.0 = length;
            entry.1.add(&row)?;
        }
        let mut trends: HashMap<QueryKey, Vec<Period>> = HashMap::new();
        for ((key, begin), (length, sums)) in all {
            let period = sums.period(begin, begin + length)?;
            trends.entry(key).or_default().push(period);
        }
        Ok(trends)
    }

    fn history_rows(&mut self, keys: &[QueryKey], parts: &Parts) -> Result<Vec<Row>, Error> {
        let servers = || servers_of("t", keys.iter().map(|(server, _)| *server));
        let mut sql = Sql::new("WITH ", []);
        sql.push(WANTED, [wanted(keys)]);
        let Parts { touched, days, .. } = parts;
        // Of SQLite's days those of all queries lie together, and it would go through them.
        let daily = match self.connection.dialect() {
            Dialect::Sqlite => "query_stats_daily t INDEXED BY query_stats_daily_of_query",
            Dialect::Postgres => "query_stats_daily t",
        };
        sql.push(&from(daily, "day", "true", "t.sketch"), [servers()]);
        sql.push(
            " AND t.day >= ? AND t.day < ? AND (t.hours_dropped OR t.day >= ? AND t.day < ?)",
            [touched.since, touched.until, days.since, days.until].map(Into::into),
        );
        for hours in &parts.hours {
            sql.push(" UNION ALL ", []);
            sql.push(
                &from("query_stats t", "hour", "false", "t.sketch"),
                [servers()],
            );
            sql.push(
                " AND t.hour >= ? AND t.hour < ?",
                [hours.since, hours.until].map(Into::into),
            );
        }
        sql.push(" UNION ALL ", []);
        let open = from("open_activity t", "hour", "false", "CAST(NULL AS BYTEA)");
        sql.push(&open, [servers()]);
        sql.push(
            " AND t.hour >= ? AND t.hour < ?",
            [parts.all.since, parts.all.until].map(Into::into),
        );
        sql.load(self.connection)
    }
}

/// Rows of the wanted queries in a table, by its alias `t`.
fn from(table: &str, begin: &str, whole_day: &str, sketch: &str) -> String {
    format!(
        "SELECT t.server_id, t.query_id, t.{begin} AS begin, {whole_day} AS whole_day, t.calls, t.failed, t.timed_calls, t.total_ms, \
                t.min_ms, t.max_ms, t.rows, t.nested_calls, t.nested_ms, {sketch} AS sketch \
           FROM wanted w CROSS JOIN {table} WHERE t.server_id = w.server_id AND t.query_id = w.query_id AND ?"
    )
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    server_id: i64,
    #[diesel(sql_type = BigInt)]
    query_id: i64,
    #[diesel(sql_type = BigInt)]
    begin: i64,
    #[diesel(sql_type = Bool)]
    whole_day: bool,
    #[diesel(sql_type = BigInt)]
    calls: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
    #[diesel(sql_type = BigInt)]
    timed_calls: i64,
    #[diesel(sql_type = Double)]
    total_ms: f64,
    #[diesel(sql_type = Nullable<Double>)]
    min_ms: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    max_ms: Option<f64>,
    #[diesel(sql_type = Double)]
    rows: f64,
    #[diesel(sql_type = BigInt)]
    nested_calls: i64,
    #[diesel(sql_type = Double)]
    nested_ms: f64,
    #[diesel(sql_type = Nullable<Binary>)]
    sketch: Option<Vec<u8>>,
}

impl Row {
    fn key(&self) -> QueryKey {
        (ServerId(self.server_id), QueryId(self.query_id))
    }
}

/// Rows of one query taken together.
#[derive(Default)]
struct Sums {
    calls: u64,
    failed: u64,
    timed_calls: u64,
    total_ms: f64,
    min_ms: Option<f64>,
    max_ms: Option<f64>,
    rows: f64,
    nested_calls: u64,
    nested_ms: f64,
    sketch: Sketch,
}

impl Sums {
    fn add(&mut self, row: &Row) -> Result<(), Error> {
        let timed_calls = count("query_stats.timed_calls", row.timed_calls)?;
        let sketch = row.sketch.as_deref();
        let sketch = Sketch::of_row(timed_calls, row.min_ms, row.max_ms, sketch)?;
        self.sketch.merge(&sketch);
        self.timed_calls += timed_calls;
        self.calls += count("query_stats.calls", row.calls)?;
        self.failed += count("query_stats.failed", row.failed)?;
        self.nested_calls += count("query_stats.nested_calls", row.nested_calls)?;
        self.total_ms += row.total_ms;
        self.rows += row.rows;
        self.nested_ms += row.nested_ms;
        let both = |mine: Option<f64>, other: Option<f64>, of: fn(f64, f64) -> f64| match mine
            .zip(other)
        {
            Some((mine, other)) => Some(of(mine, other)),
            None => mine.or(other),
        };
        self.min_ms = both(self.min_ms, row.min_ms, f64::min);
        self.max_ms = both(self.max_ms, row.max_ms, f64::max);
        Ok(())
    }

    fn percentiles(&self) -> Option<Percentiles> {
        let (min_ms, max_ms) = (self.min_ms?, self.max_ms?);
        // A bin's middle can be outside of what there was.
        let at = |q| Some(self.sketch.quantile(q)?.max(min_ms).min(max_ms));
        Some(Percentiles {
            calls: self.sketch.count(),
            unknown_calls: self.timed_calls.saturating_sub(self.sketch.count()),
            p50_ms: at(0.5)?,
            p90_ms: at(0.9)?,
            p95_ms: at(0.95)?,
            p99_ms: at(0.99)?,
        })
    }

    fn period(self, since: i64, until: i64) -> Result<Period, Error> {
        Ok(Period {
            since: time("query_stats.hour", since)?,
            until: time("query_stats.hour", until)?,
            percentiles: self.percentiles(),
            calls: self.calls,
            failed: self.failed,
            timed_calls: self.timed_calls,
            total_ms: self.total_ms,
            min_ms: self.min_ms,
            max_ms: self.max_ms,
            rows: self.rows,
            nested_calls: self.nested_calls,
            nested_ms: self.nested_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::time::Duration;

    use super::*;
    use crate::{
        model::execution::Execution,
        store::{
            QueryUser, TopOrder, TopQueries,
            fixture::{Fixture, at, batch, execution},
        },
    };

    const AN_HOUR: i64 = 3600;

    /// Executions of one query at 100 times from 2026-11-18 09:00 on, twenty minutes and a millisecond apart, the newest one open; one of
    /// another.
    fn fill(fixture: &Fixture) -> [QueryKey; 2] {
        let mut all = batch(fixture.server, 0, 10);
        for number in 0..100_u64 {
            let mut run = execution(fixture.server, "select $1", number, number as f64 + 1.0);
            run.started_at = at((number as i64 - 144) * AN_HOUR / 3);
            run.open = number == 99;
            run.failed = number < 10;
            run.user_name = Some(["app", "report", "cron"][number as usize % 3].to_owned());
            all.executions.push(run);
        }
        let other = execution(fixture.server, "select 2", 200, 5.0);
        all.executions.push(other);
        all.newest = Some(at(AN_HOUR));
        fixture.ingest(&all).unwrap();
        let key = |run: &Execution| (fixture.server, run.query.id);
        [key(&all.executions[0]), key(&all.executions[100])]
    }

    fn percentiles(
        fixture: &Fixture,
        keys: &[QueryKey],
        since: i64,
        until: i64,
    ) -> HashMap<QueryKey, Percentiles> {
        let read = |reader: &mut Reader<'_>| reader.percentiles(keys, at(since), at(until));
        fixture.store.read(read).unwrap()
    }

    /// Within 1 % of the durations of these ranks, which are whole numbers of milliseconds.
    fn check(told: &Percentiles, calls: u64, expected: [f64; 4]) {
        let all = [told.p50_ms, told.p90_ms, told.p95_ms, told.p99_ms];
        for (told, expected) in all.into_iter().zip(expected) {
            assert!(
                (told / expected - 1.0).abs() <= 0.010_001,
                "{all:?} for {expected}"
            );
        }
        assert_eq!((told.calls, told.unknown_calls), (calls, 0));
    }

    #[test]
    fn percentiles_of_any_span_with_and_without_hours() {
        for fixture in Fixture::each() {
            let keys = fill(&fixture);
            let all = || percentiles(&fixture, &keys, -100 * AN_HOUR, AN_HOUR);
            let read = all();
            check(&read[&keys[0]], 100, [50.0, 90.0, 95.0, 99.0]);
            // One call: its duration, not the middle of a bin.
            check(&read[&keys[1]], 1, [5.0; 4]);
            assert_eq!(read[&keys[1]].p50_ms, 5.0);
            // 2026-11-18 11:00 to 19 08:59: numbers 6 to 71.
            let part = || percentiles(&fixture, &keys[..1], -46 * AN_HOUR, -25 * AN_HOUR);
            check(&part()[&keys[0]], 66, [38.0 + 1.0, 65.0, 68.0, 71.0]);
            assert_eq!(
                percentiles(&fixture, &keys, -400 * AN_HOUR, -300 * AN_HOUR),
                [].into()
            );

            fixture
                .store
                .roll_up(fixture.server, Duration::from_hours(34))
                .unwrap();
            assert_eq!(all(), read);
            // The 18th is one day now: from its beginning on.
            check(&part()[&keys[0]], 72, [36.0, 64.0, 68.0, 71.0]);
        }
    }

    #[test]
    fn calls_without_a_sketch_are_told() {
        for fixture in Fixture::each() {
            let keys = fill(&fixture);
            for table in ["query_stats", "query_stats_daily"] {
                Sql::new(format!("UPDATE {table} SET sketch = NULL"), [])
                    .execute(&mut fixture.store.connections.writer().unwrap())
                    .unwrap();
            }
            // Nothing but the open one is known.
            let read = percentiles(&fixture, &keys[..1], -100 * AN_HOUR, AN_HOUR);
            let told = read[&keys[0]];
            assert_eq!(
                (told.calls, told.unknown_calls, told.p50_ms),
                (1, 99, 100.0)
            );
            assert_eq!(
                percentiles(&fixture, &keys[..1], -100 * AN_HOUR, -30 * AN_HOUR),
                [].into()
            );
        }
    }

    #[test]
    fn a_trend_by_hours_and_by_days() {
        for fixture in Fixture::each() {
            let keys = fill(&fixture);
            // Hours after 2026-11-20 09:00, calls, total, shortest, longest.
            let trend = |since: i64, bucket| -> Vec<(i64, i64, u64, f64, f64, f64)> {
                let read = fixture
                    .store
                    .read(|reader| reader.trend(&keys, at(since * AN_HOUR), at(0), bucket));
                let mut read = read.unwrap();
                assert_eq!(read[&keys[1]].len(), 1);
                let hours = |time: Timestamp| (time.as_second() - at(0).as_second()) / AN_HOUR;
                let told = |p: Period| {
                    let told = p.percentiles.unwrap();
                    assert!(p.min_ms.unwrap() <= told.p50_ms && told.p99_ms <= p.max_ms.unwrap());
                    assert_eq!((told.calls, p.timed_calls), (p.calls, p.calls));
                    (
                        hours(p.since),
                        hours(p.until),
                        p.calls,
                        p.total_ms,
                        p.min_ms.unwrap(),
                        p.max_ms.unwrap(),
                    )
                };
                read.remove(&keys[0])
                    .unwrap()
                    .into_iter()
                    .map(told)
                    .collect()
            };
            let hours = trend(-17, Bucket::Hour);
            assert_eq!(hours.len(), 3);
            assert_eq!(hours[0], (-17, -16, 3, 285.0, 94.0, 96.0));
            assert_eq!(hours[2], (-15, -14, 1, 100.0, 100.0, 100.0));
            let days = [
                (-57, -33, 45, 1035.0, 1.0, 45.0),
                (-33, -9, 55, 4015.0, 46.0, 100.0),
            ];
            assert_eq!(trend(-40, Bucket::Day), days);
            assert_eq!(trend(-20, Bucket::Day), days[1..]);
            fixture
                .store
                .roll_up(fixture.server, Duration::from_hours(34))
                .unwrap();
            assert_eq!(trend(-40, Bucket::Day), days);
            let hours = trend(-40, Bucket::Hour);
            assert_eq!(hours[0], days[0]);
            assert_eq!(hours.len(), 1 + 19);
        }
    }

    #[test]
    fn users_with_the_most_time_first() {
        for fixture in Fixture::each() {
            let keys = fill(&fixture);
            let read = fixture
                .store
                .read(|reader| reader.users_of(&keys, 2))
                .unwrap();
            let user = |name: Option<&str>, calls, failed, total_ms| QueryUser {
                user_name: name.map(str::to_owned),
                application_name: None,
                calls,
                failed,
                total_ms,
            };
            // The open one of `app` is not in yet.
            let most = [
                user(Some("cron"), 33, 3, 1683.0),
                user(Some("report"), 33, 3, 1650.0),
            ];
            assert_eq!(read[&keys[0]], most);
            assert_eq!(read[&keys[1]], [user(None, 1, 0, 5.0)]);
        }
    }

    #[test]
    fn rows_are_found_by_their_key_and_of_executions_only_the_open_ones() {
        let fixture = Fixture::new();
        let keys = fill(&fixture);
        let mut plans = fixture.query_plans(|reader| {
            for (since, until) in [(at(0), at(9)), (at(-9 * 86_400), at(0))] {
                reader.percentiles(&keys, since, until)?;
                reader.trend(&keys, since, until, Bucket::Hour)?;
                reader.trend(&keys, since, until, Bucket::Day)?;
                for until in [Some(until), None] {
                    reader.activity(since, until)?;
                    for server in [Some(fixture.server), None] {
                        reader.top_queries(&TopQueries {
                            since,
                            until,
                            server,
                            order_by: TopOrder::TotalMs,
                            limit: 50,
                        })?;
                    }
                }
            }
            reader.users_of(&keys, 10)?;
            Ok(())
        });
        plans.retain(|line| line.contains("executions") || line.split(' ').nth(1) == Some("t"));
        plans.sort();
        plans.dedup();
        assert_eq!(
            plans,
            [
                "SCAN executions USING INDEX executions_open",
                "SEARCH executions USING INDEX executions_open (server_id=? AND query_id=?)",
                "SEARCH executions USING INDEX executions_open (server_id=?)",
                "SEARCH t USING INDEX query_stats_daily_of_query (server_id=? AND query_id=? AND day>? AND day<?)",
                "SEARCH t USING PRIMARY KEY (server_id=? AND day>? AND day<?)",
                "SEARCH t USING PRIMARY KEY (server_id=? AND query_id=? AND hour>? AND hour<?)",
                "SEARCH t USING PRIMARY KEY (server_id=? AND query_id=?)",
            ]
        );
    }
}

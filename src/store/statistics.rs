//! Sums and durations per query and hour, and per query and day: the history that outlives the executions.
//!
//! An execution comes in once, when it closes, whenever it ran: a late one adds to its own hour and day. Both are written here, so that a
//! long span is read from days; the hours of a day can be dropped later. Durations are merged with those that are stored, in sketches.

use std::collections::{BTreeMap, HashMap};

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Double, Nullable},
};

use super::{
    Error,
    backend::Connection,
    column::count,
    insert::Insert,
    query_user,
    recent::{Recent, RecentQuery},
    sketch::Sketch,
    span::{day_of, day_of_hour, hour_of},
    sql::{Keys, Sql, Value},
};
use crate::model::{execution::Execution, position::ServerId, query::QueryId};

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

/// One query in one hour or day, by its first microsecond.
type Bucket = (QueryId, i64);

/// What a batch adds to one row.
#[derive(Default)]
struct Added {
    sums: Sums,
    durations_ms: Vec<f64>,
}

impl Added {
    fn add(&mut self, execution: &Execution) {
        self.sums.add(execution);
        self.durations_ms.extend(execution.duration_ms);
    }
}

/// Adds executions of one server that have just closed. The server's row is locked in the transaction: nobody else adds meanwhile.
pub(super) fn add(
    connection: &mut Connection,
    server: ServerId,
    closed: &[&Execution],
    recent: &mut Recent,
) -> Result<(), Error> {
    if closed.is_empty() {
        return Ok(());
    }
    let mut hours: BTreeMap<Bucket, Added> = BTreeMap::new();
    let mut days: BTreeMap<Bucket, Added> = BTreeMap::new();
    for execution in closed {
        let (query, started_at) = (execution.query.id, execution.started_at);
        let hour = hours.entry((query, hour_of(started_at))).or_default();
        hour.add(execution);
        let day = days.entry((query, day_of(started_at))).or_default();
        day.add(execution);
    }
    let (mut known_days, mut known_hours, mut users) = take_known(recent, &days);
    read::<Days>(connection, server, &days, &mut known_days)?;
    hours.retain(|(query, hour), _| {
        let day = known_days.get(&(*query, day_of_hour(*hour)));
        day.is_none_or(|day| !day.hours_dropped)
    });
    read::<Hours>(connection, server, &hours, &mut known_hours)?;
    write::<Hours>(connection, server, &hours, &mut known_hours)?;
    write::<Days>(connection, server, &days, &mut known_days)?;
    query_user::add(connection, server, closed, &mut users)?;
    keep_known(recent, known_days, known_hours, users);
    Ok(())
}

type Known = HashMap<Bucket, Stored>;

/// What is known of the days of queries, of their hours and of their users.
fn take_known(
    recent: &mut Recent,
    days: &BTreeMap<Bucket, Added>,
) -> (Known, Known, query_user::Pairs) {
    let (mut known_days, mut known_hours) = (Known::new(), Known::new());
    let mut users = query_user::Pairs::new();
    for (query, day) in days.keys().filter(|(_, day)| *day == recent.day) {
        if let Some(known) = recent.queries.remove(query) {
            let (hour, stored) = known.hour;
            known_hours.insert((*query, hour), stored);
            known_days.insert((*query, *day), known.day);
            users.insert([query.0, *day], known.users);
        }
    }
    (known_days, known_hours, users)
}

/// Keeps what is of the server's newest day, and of each query its last hour.
fn keep_known(recent: &mut Recent, days: Known, hours: Known, mut users: query_user::Pairs) {
    let mut last: HashMap<QueryId, (i64, Stored)> = HashMap::new();
    for ((query, hour), stored) in hours {
        let is_last = last.get(&query).is_none_or(|(last, _)| *last < hour);
        if is_last && day_of_hour(hour) == recent.day {
            last.insert(query, (hour, stored));
        }
    }
    for ((query, day), stored) in days {
        if day == recent.day
            && let Some(hour) = last.remove(&query)
        {
            let users = users.remove(&[query.0, day]).unwrap_or_default();
            let known = RecentQuery {
                day: stored,
                hour,
                users,
            };
            recent.queries.insert(query, known);
        }
    }
}

/// One of the two tables.
trait Table: Insert {
    /// The rows of some buckets of a server.
    const STORED: &'static str;
}

struct Hours;
struct Days;

macro_rules! table {
    ($name:ident, $table:literal, $bucket:literal, $hours_dropped:literal) => {
        impl Table for $name {
            const STORED: &'static str = concat!(
                "WITH wanted (query_id, bucket) AS MATERIALIZED (?) \
                 SELECT t.query_id, t.",
                $bucket,
                " AS bucket, t.timed_calls, t.min_ms, t.max_ms, ",
                $hours_dropped,
                " AS hours_dropped, \
                        t.sketch \
                   FROM wanted w CROSS JOIN ",
                $table,
                " t \
                  WHERE t.server_id = ? AND t.query_id = w.query_id AND t.",
                $bucket,
                " = w.bucket"
            );
        }

        impl Insert for $name {
            const INTO: &'static str = concat!(
                $table,
                " (server_id, query_id, ",
                $bucket,
                ", calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, \
                 nested_calls, nested_ms, estimated_calls, weighed_calls, sketch)"
            );
            const THEN: &'static str = concat!(
                "ON CONFLICT (server_id, query_id, ",
                $bucket,
                ") DO UPDATE \
                 SET calls = ",
                $table,
                ".calls + excluded.calls, failed = ",
                $table,
                ".failed + excluded.failed, \
                     total_ms = ",
                $table,
                ".total_ms + excluded.total_ms, \
                     timed_calls = ",
                $table,
                ".timed_calls + excluded.timed_calls, \
                     min_ms = CASE WHEN ",
                $table,
                ".min_ms IS NULL OR excluded.min_ms < ",
                $table,
                ".min_ms THEN excluded.min_ms \
                                   ELSE ",
                $table,
                ".min_ms END, \
                     max_ms = CASE WHEN ",
                $table,
                ".max_ms IS NULL OR excluded.max_ms > ",
                $table,
                ".max_ms THEN excluded.max_ms \
                                   ELSE ",
                $table,
                ".max_ms END, \
                     rows = ",
                $table,
                ".rows + excluded.rows, \
                     nested_calls = ",
                $table,
                ".nested_calls + excluded.nested_calls, \
                     nested_ms = ",
                $table,
                ".nested_ms + excluded.nested_ms, \
                     estimated_calls = ",
                $table,
                ".estimated_calls + excluded.estimated_calls, \
                     weighed_calls = ",
                $table,
                ".weighed_calls + excluded.weighed_calls, sketch = excluded.sketch"
            );
        }
    };
}

table!(Hours, "query_stats", "hour", "false");
table!(Days, "query_stats_daily", "day", "t.hours_dropped");

/// The durations of a stored row.
#[derive(Debug, Default)]
pub(super) struct Stored {
    timed_calls: u64,
    hours_dropped: bool,
    sketch: Sketch,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    query_id: i64,
    #[diesel(sql_type = BigInt)]
    bucket: i64,
    #[diesel(sql_type = BigInt)]
    timed_calls: i64,
    #[diesel(sql_type = Nullable<Double>)]
    min_ms: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    max_ms: Option<f64>,
    #[diesel(sql_type = Bool)]
    hours_dropped: bool,
    #[diesel(sql_type = Nullable<Binary>)]
    sketch: Option<Vec<u8>>,
}

/// Reads the rows that the batch adds to, where they aren't known.
fn read<T: Table>(
    connection: &mut Connection,
    server: ServerId,
    added: &BTreeMap<Bucket, Added>,
    known: &mut Known,
) -> Result<(), Error> {
    let unknown = added.keys().filter(|bucket| !known.contains_key(bucket));
    let keys: Vec<[i64; 2]> = unknown.map(|(query, at)| [query.0, *at]).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let values = [Value::Keys(Keys::new(&keys)), server.0.into()];
    let rows: Vec<Row> = Sql::new(T::STORED, values).load(connection)?;
    for row in rows {
        let timed_calls = count("query_stats.timed_calls", row.timed_calls)?;
        let sketch = row.sketch.as_deref();
        let stored = Stored {
            timed_calls,
            hours_dropped: row.hours_dropped,
            sketch: Sketch::of_row(timed_calls, row.min_ms, row.max_ms, sketch)?,
        };
        known.insert((QueryId(row.query_id), row.bucket), stored);
    }
    Ok(())
}

/// Adds to the rows, or makes them; `known` are they before and then after.
fn write<T: Insert>(
    connection: &mut Connection,
    server: ServerId,
    added: &BTreeMap<Bucket, Added>,
    known: &mut Known,
) -> Result<(), Error> {
    let rows = added.iter().map(|(bucket, Added { sums, durations_ms })| {
        let stored = known.entry(*bucket).or_default();
        stored.timed_calls += sums.timed_calls;
        durations_ms.iter().for_each(|ms| stored.sketch.add(*ms));
        [
            server.0.into(),
            bucket.0.0.into(),
            bucket.1.into(),
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
            stored.sketch.for_row(stored.timed_calls).into(),
        ]
    });
    T::execute(connection, rows)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::store::fixture::{Fixture, at, batch, execution};

    const HOUR: i64 = 3600;

    /// An execution that started so many hours after 2026-11-20 09:00.
    fn run(fixture: &Fixture, hours: i64, offset_bytes: u64, ms: f64) -> Execution {
        Execution {
            started_at: at(hours * HOUR),
            ..execution(fixture.server, "select $1", offset_bytes, ms)
        }
    }

    fn ingest(fixture: &Fixture, from_bytes: u64, executions: Vec<Execution>) {
        let mut batch = batch(fixture.server, from_bytes, from_bytes + 100);
        batch.newest = executions.iter().map(|e| e.started_at).max();
        batch.executions = executions;
        // As another process would: what is written behind the back of one that has remembered the rows is not seen.
        fixture.reopen().ingest(&batch, &|_| Vec::new()).unwrap();
    }

    /// Timed calls of the rows at these hours after 2026-11-20 09:00, how many of them the sketch knows, and their median.
    fn stored<T: Table>(fixture: &Fixture, hours: &[i64]) -> Vec<Option<(u64, u64, f64)>> {
        let query = run(fixture, 0, 0, 0.0).query.id;
        let of = |hour: &i64| match T::INTO.starts_with("query_stats_daily") {
            true => (query, day_of(at(hour * HOUR))),
            false => (query, hour_of(at(hour * HOUR))),
        };
        let wanted = hours.iter().map(|hour| (of(hour), Added::default()));
        let mut connection = fixture.store.connections.writer().unwrap();
        let wanted = wanted.collect();
        let mut rows = Known::new();
        read::<T>(&mut connection, fixture.server, &wanted, &mut rows).unwrap();
        let row = |hour| {
            let row: &Stored = rows.get(&of(hour))?;
            let median = row.sketch.quantile(0.5).unwrap_or_default().round();
            Some((row.timed_calls, row.sketch.count(), median))
        };
        hours.iter().map(row).collect()
    }

    #[test]
    fn every_batch_adds_to_its_hours_and_days_late_ones_too() {
        for fixture in Fixture::each() {
            let mut open = run(&fixture, 0, 4, 50.0);
            open.open = true;
            let mut untimed = run(&fixture, 0, 5, 0.0);
            untimed.duration_ms = None;
            let first = [(0, 0, 10.0), (0, 1, 30.0), (1, 2, 20.0), (-160, 3, 7.0)];
            let first = first.map(|(hour, offset, ms)| run(&fixture, hour, offset, ms));
            ingest(
                &fixture,
                0,
                [first.to_vec(), vec![open.clone(), untimed]].concat(),
            );
            let hours = [0, 1, -160, 2];
            let row = |calls, median| Some((calls, calls, median));
            assert_eq!(
                stored::<Hours>(&fixture, &hours),
                [row(2, 10.0), row(1, 20.0), row(1, 7.0), None]
            );
            // It closes, and three of last week come late.
            open.open = false;
            let late = [(-160, 6, 5.0), (-160, 7, 6.0), (-159, 8, 9.0)];
            let late = late.map(|(hour, offset, ms)| run(&fixture, hour, offset, ms));
            ingest(&fixture, 100, [vec![open], late.to_vec()].concat());
            assert_eq!(
                stored::<Hours>(&fixture, &hours),
                [row(3, 30.0), row(1, 20.0), row(3, 6.0), None]
            );
            assert_eq!(
                stored::<Days>(&fixture, &hours),
                [row(4, 20.0), row(4, 20.0), row(4, 6.0), row(4, 20.0)]
            );
            let sums =
                "calls = 5 AND timed_calls = 4 AND total_ms = 110 AND min_ms = 10 AND max_ms = 50";
            assert_eq!(fixture.count(&format!("query_stats_daily WHERE {sums}")), 1);
        }
    }

    #[test]
    fn a_day_that_has_dropped_its_hours_gets_no_more_of_them() {
        for fixture in Fixture::each() {
            ingest(
                &fixture,
                0,
                vec![run(&fixture, -160, 0, 10.0), run(&fixture, 0, 1, 10.0)],
            );
            let dropped = fixture
                .store
                .roll_up(fixture.server, Duration::from_hours(48));
            assert_eq!(dropped.unwrap().hours, 1);
            let late = [(-160, 2, 20.0), (-159, 3, 30.0), (-100, 4, 40.0)];
            let late = late.map(|(hour, offset, ms)| run(&fixture, hour, offset, ms));
            ingest(&fixture, 100, late.to_vec());
            let hours = [-160, -159, -100];
            assert_eq!(
                stored::<Hours>(&fixture, &hours),
                [None, None, Some((1, 1, 40.0))]
            );
            assert_eq!(
                stored::<Days>(&fixture, &hours),
                [Some((3, 3, 20.0)), Some((3, 3, 20.0)), Some((1, 1, 40.0))]
            );
        }
    }

    #[test]
    fn rows_from_before_there_were_sketches_know_less() {
        for fixture in Fixture::each() {
            let known = [(0, 0), (1, 1), (1, 2), (1, 3)];
            let known = known.map(|(hour, offset)| run(&fixture, hour, offset, 10.0));
            ingest(&fixture, 0, known.to_vec());
            let forget = Sql::new("UPDATE query_stats SET sketch = NULL", []);
            forget
                .execute(&mut fixture.store.connections.writer().unwrap())
                .unwrap();
            let both = [0, 1];
            assert_eq!(
                stored::<Hours>(&fixture, &both),
                [Some((1, 1, 10.0)), Some((3, 0, 0.0))]
            );
            ingest(
                &fixture,
                100,
                vec![run(&fixture, 0, 4, 20.0), run(&fixture, 1, 5, 20.0)],
            );
            assert_eq!(
                stored::<Hours>(&fixture, &both),
                [Some((2, 2, 10.0)), Some((4, 1, 20.0))]
            );
        }
    }

    #[test]
    fn hours_before_the_epoch_start_before_their_times() {
        let before = Timestamp::from_microsecond(-1).unwrap();
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

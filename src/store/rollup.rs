//! Hours become days: the hours of a day that is older than a limit are deleted, and its row of query_stats_daily, which was written with
//! them, is what remains.
//!
//! In steps of one transaction each, every one of which leaves each query's day either with its hours or marked as without: what stops between
//! two of them goes on with the next call, and doing it again does nothing.

use std::time::Duration;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable},
};

use super::{
    Error, Store,
    backend::Connection,
    span::{DAY, day_of_hour},
    sql::{Keys, Sql, Value},
};
use crate::model::position::ServerId;

/// Most queries whose hours of one day go in one step.
const QUERIES_AT_ONCE: i64 = 200;

/// What a roll-up dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rolled {
    /// Days that have lost their hours: one for each query.
    pub(super) days: u64,
    pub(super) hours: u64,
}

#[derive(QueryableByName)]
struct Oldest {
    #[diesel(sql_type = Nullable<BigInt>)]
    hour: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    newest: Option<i64>,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    query_id: i64,
}

impl Store {
    /// Drops hours of some queries on the server's oldest day that has any, if it lies whole before `keep_hours`, counted back from the server's
    /// newest record; `None` where it doesn't.
    pub(super) fn roll_up_some(
        &self,
        server: ServerId,
        keep_hours: Duration,
    ) -> Result<Option<Rolled>, Error> {
        let keep_us = i64::try_from(keep_hours.as_micros()).unwrap_or(i64::MAX);
        self.connections
            .writer()?
            .write(|connection| step(connection, server, keep_us))
    }

    /// All of them, one step after the other.
    #[cfg(test)]
    pub(super) fn roll_up(&self, server: ServerId, keep_hours: Duration) -> Result<Rolled, Error> {
        let mut rolled = Rolled::default();
        while let Some(step) = self.roll_up_some(server, keep_hours)? {
            rolled.days += step.days;
            rolled.hours += step.hours;
        }
        Ok(rolled)
    }
}

/// Drops hours of some queries on the oldest day that has any; `None` where that day is to be kept.
fn step(
    connection: &mut Connection,
    server: ServerId,
    keep_us: i64,
) -> Result<Option<Rolled>, Error> {
    // Locks the server's row, as the ingest does: nobody adds an hour meanwhile.
    Sql::new(
        "UPDATE servers SET name = name WHERE id = ?",
        [server.0.into()],
    )
    .execute(connection)?;
    let oldest: Option<Oldest> = Sql::new(
        "SELECT s.last_seen AS newest, (SELECT min(t.hour) FROM query_stats t WHERE t.server_id = ?) AS hour \
           FROM servers s WHERE s.id = ?",
        [server.0.into(), server.0.into()],
    )
    .first(connection)?;
    let Some(Oldest {
        hour: Some(hour),
        newest: Some(newest),
    }) = oldest
    else {
        return Ok(None);
    };
    let day = day_of_hour(hour);
    if day.saturating_add(DAY) > newest.saturating_sub(keep_us) {
        return Ok(None);
    }
    let until = day + DAY;
    let ids: Vec<Id> = Sql::new(
        "SELECT query_id FROM query_stats WHERE server_id = ? AND hour >= ? AND hour < ? ORDER BY hour LIMIT ?",
        [server.0.into(), day.into(), until.into(), QUERIES_AT_ONCE.into()],
    )
    .load(connection)?;
    let ids: Vec<[i64; 1]> = ids.into_iter().map(|id| [id.query_id]).collect();
    let days = Sql::new(
        "UPDATE query_stats_daily SET hours_dropped = true WHERE server_id = ? AND query_id IN (?) AND day = ?",
        [server.0.into(), Value::Keys(Keys::new(&ids)), day.into()],
    )
    .execute(connection)?;
    let hours = Sql::new(
        "DELETE FROM query_stats WHERE server_id = ? AND query_id IN (?) AND hour >= ? AND hour < ?",
        [
            server.0.into(),
            Value::Keys(Keys::new(&ids)),
            day.into(),
            until.into(),
        ],
    )
    .execute(connection)?;
    Ok(Some(Rolled {
        days: days as u64,
        hours: hours as u64,
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::store::fixture::{Fixture, at, batch, execution, only};

    #[test]
    fn each_step_leaves_the_sums_as_they_are() {
        const HOUR: i64 = 3600;
        let fixture = Fixture::new();
        let mut all = batch(fixture.server, 0, 10);
        // 2026-11-17 to 20, each day at 09:00 and 10:00; more queries than one step takes on the first day.
        for (day, queries) in [(-3, 230), (-2, 3), (-1, 3), (0, 1)] {
            for number in 0..queries * 2 {
                let sql = format!("select {}", number / 2);
                let offset = all.executions.len() as u64;
                let mut run = execution(fixture.server, &sql, offset, 1.0);
                run.started_at = at(day * 24 * HOUR + number % 2 * HOUR);
                all.executions.push(run);
            }
        }
        all.newest = Some(at(HOUR));
        fixture.ingest(&all).unwrap();
        let sums = |since, until| {
            let read = fixture.store.read(|reader| {
                let mut read = only(fixture.server, reader.activity(at(since), Some(at(until)))?);
                read.sort_by_key(|query| query.query_id);
                Ok(read)
            });
            read.unwrap()
        };
        let hours = || fixture.count("query_stats");
        let keep = |hours: u64| Duration::from_hours(hours).as_micros() as i64;
        // The newest record is of 10:00: 34 hours before that is the midnight at which the 19th begins.
        let spans = [(-100 * HOUR, HOUR), (-57 * HOUR, -34 * HOUR), (-HOUR, HOUR)];
        let before = spans.map(|(since, until)| sums(since, until));
        assert_eq!(before.each_ref().map(Vec::len), [230, 3, 1]);
        let mut steps = Vec::new();
        loop {
            let mut writer = fixture.store.connections.writer().unwrap();
            let step = writer.write(|c| step(c, fixture.server, keep(34)));
            drop(writer);
            assert_eq!(spans.map(|(since, until)| sums(since, until)), before);
            let Some(Rolled { days, hours }) = step.unwrap() else {
                break;
            };
            steps.push((days, hours));
        }
        assert_eq!(steps, [(200, 400), (30, 60), (3, 6)]);
        assert_eq!(hours(), 8);
        assert_eq!(fixture.count("query_stats_daily WHERE hours_dropped"), 233);

        let roll_up = |hours| {
            fixture
                .store
                .roll_up(fixture.server, Duration::from_hours(hours))
        };
        assert_eq!(roll_up(34).unwrap(), Rolled::default());
        assert_eq!(roll_up(11).unwrap(), Rolled::default());
        assert_eq!(roll_up(10).unwrap(), Rolled { days: 3, hours: 6 });
        assert_eq!(roll_up(0).unwrap(), Rolled::default());
        assert_eq!(hours(), 2);

        // A part of a day without hours is the whole of it, before and in the window alike.
        let yesterday = sums(-23 * HOUR, -22 * HOUR);
        assert_eq!(yesterday.len(), 3);
        for query in yesterday {
            assert_eq!((query.calls, query.total_ms), (2, 2.0));
            assert_eq!((query.calls_before, query.total_before_ms), (4, 4.0));
        }
    }
}

//! Partitions of the tables that grow with time: which ones a batch needs, making them ahead, dropping them when they are old.
//!
//! Times of records come in and the partitions for them are there afterwards; what is made is remembered, so that a batch of today costs no
//! statement. `slot` says which one a time belongs to. A time further ahead than [`FARTHEST_DAYS`] is refused. Plain DDL, the same on Citus;
//! there is no default partition, and one of old times is made as easily as one of today.

use std::{
    collections::{BTreeSet, HashSet},
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use diesel::{
    Connection, QueryResult, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query,
    sql_types::Text,
};
use jiff::Timestamp;

use super::{
    PgConnection,
    slot::{Span, day, slot},
};

/// The partitioned tables; the migrations say by which column.
pub(in crate::store) const TABLES: [&str; 5] =
    ["executions", "plans", "analyses", "findings", "incidents"];

/// Days that a partition may be wide.
pub const PARTITION_DAYS: RangeInclusive<u32> = 1..=366;

/// So many days after today have their partitions already: time to notice that they cannot be made.
const AHEAD_DAYS: i64 = 3;
/// Records are clamped to two days ahead of our clock before they come here.
const FARTHEST_DAYS: i64 = 31;
/// Other than that of the migrations: those must not wait for an import.
const LOCK: &str = "SELECT pg_advisory_xact_lock(8101821113047050605)";

/// The partitions that this process knows to be there.
pub(in crate::store) struct Partitions {
    width_days: i64,
    /// Days since 1970-01-01 for which every table has partitions.
    days: Mutex<HashSet<i64>>,
}

/// A partition as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Partition {
    /// One of [`TABLES`].
    pub(in crate::store) table: &'static str,
    /// As it can stand in SQL.
    pub(in crate::store) name: String,
    span: Span,
}

impl Partition {
    /// First microsecond since 1970-01-01 UTC that falls into it; `i64::MIN` for the beginning of time.
    pub(in crate::store) fn begin_us(&self) -> i64 {
        self.span.from_us
    }

    /// First one that doesn't.
    pub(in crate::store) fn end_us(&self) -> i64 {
        self.span.to_us
    }
}

/// What went wrong with partitions. Nothing of a batch has been stored then.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    #[error(
        "a record is dated {time}, more than {FARTHEST_DAYS} days after this machine's clock ({now}): check that clock"
    )]
    TooFarAhead { time: Timestamp, now: Timestamp },
    #[error("cannot list the store's partitions: {0}")]
    List(#[source] diesel::result::Error),
    #[error("partition {name} of the store has bounds that plantail does not understand: {bounds}")]
    Bounds { name: String, bounds: String },
    #[error(
        "cannot make the partition of {table} for {span}: {source}; it takes a role that owns the table"
    )]
    Create {
        table: &'static str,
        span: Span,
        source: diesel::result::Error,
    },
    #[error("cannot drop the partition {name}: {source}")]
    Drop {
        name: String,
        source: diesel::result::Error,
    },
}

impl Partitions {
    /// With new partitions that wide, within [`PARTITION_DAYS`]. Those that exist keep the width that they were made with.
    pub(in crate::store) fn new(width_days: u32) -> Self {
        Self {
            width_days: i64::from(width_days.max(1)),
            days: Mutex::default(),
        }
    }

    /// Makes whatever is missing for records of those times, and for the next days; to be called before the transaction that stores them,
    /// never in one. Each partition is made in a transaction of its own, so that no more than one table is locked at a time: making
    /// one waits for statements on its table, and later ones wait for it, for at most five seconds.
    ///
    /// # Errors
    ///
    /// What was made until then stays. That the next days' partitions cannot be made is no error, only a warning.
    pub(in crate::store) fn ensure(
        &self,
        connection: &mut PgConnection,
        times: impl IntoIterator<Item = Timestamp>,
        now: Timestamp,
    ) -> Result<(), PartitionError> {
        let today = day(now);
        let known = self
            .days
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut needed = BTreeSet::new();
        for time in times {
            let day = day(time);
            if day > today.saturating_add(FARTHEST_DAYS) {
                return Err(PartitionError::TooFarAhead { time, now });
            }
            if !known.contains(&day) {
                needed.insert(day);
            }
        }
        let ahead: BTreeSet<_> = (today..=today.saturating_add(AHEAD_DAYS))
            .filter(|day| !known.contains(day) && !needed.contains(day))
            .collect();
        if needed.is_empty() && ahead.is_empty() {
            return Ok(());
        }
        let there = list(connection)?;
        self.make(connection, &there, &needed, today)?;
        if let Err(error) = self.make(connection, &there, &ahead, today) {
            tracing::warn!("{error}; it will be needed within {AHEAD_DAYS} days");
        }
        Ok(())
    }

    fn make(
        &self,
        connection: &mut PgConnection,
        there: &[Partition],
        days: &BTreeSet<i64>,
        today: i64,
    ) -> Result<(), PartitionError> {
        let slots: BTreeSet<_> = days
            .iter()
            .map(|day| slot(*day, today, self.width_days))
            .collect();
        for slot in slots {
            for table in TABLES {
                if !slot.without(&spans(there, table)).is_empty() {
                    create(connection, table, slot)?;
                }
            }
        }
        let mut known = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(days);
        Ok(())
    }

    /// To be called when the database has no partition for a row: another process has dropped what this one remembers.
    pub(in crate::store) fn forget(&self) {
        self.days
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Drops the partition, in a transaction of its own, unless `is_kept` says that something in it stays. That is asked while nobody else is at the
    /// table: what an import of old logs has stored until then is seen, and what it stores later finds no partition and makes one. Whether the
    /// partition is gone.
    pub(in crate::store) fn drop_unless(
        &self,
        connection: &mut PgConnection,
        partition: &Partition,
        is_kept: impl FnOnce(&mut PgConnection) -> QueryResult<bool>,
    ) -> Result<bool, PartitionError> {
        let Partition { table, name, .. } = partition;
        let dropped = alone(connection, |connection| {
            connection
                .batch_execute(&format!("LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE"))?;
            if is_kept(connection)? {
                return Ok(false);
            }
            connection.batch_execute(&format!("DROP TABLE IF EXISTS {name}"))?;
            Ok(true)
        });
        self.forget();
        dropped.map_err(|source| PartitionError::Drop {
            name: name.clone(),
            source,
        })
    }
}

/// Makes what is missing of a slot.
fn create(
    connection: &mut PgConnection,
    table: &'static str,
    slot: Span,
) -> Result<(), PartitionError> {
    let failed = |source| PartitionError::Create {
        table,
        span: slot,
        source,
    };
    let made = alone(connection, |connection| {
        let there = match list(connection) {
            Ok(there) => there,
            Err(error) => return Ok(Err(error)),
        };
        for gap in slot.without(&spans(&there, table)) {
            let from = match gap.from_us {
                i64::MIN => "MINVALUE".to_owned(),
                us => us.to_string(),
            };
            connection.batch_execute(&format!(
                "CREATE TABLE IF NOT EXISTS {} PARTITION OF {table} FOR VALUES FROM ({from}) TO ({})",
                gap.name(table),
                gap.to_us
            ))?;
        }
        Ok(Ok(()))
    });
    made.map_err(failed)?
}

/// In a transaction, under the lock of everybody who makes or drops partitions.
fn alone<T>(
    connection: &mut PgConnection,
    f: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    connection.transaction(|connection| {
        connection.batch_execute(LOCK)?;
        connection.batch_execute("SET LOCAL lock_timeout = '5s'")?;
        f(connection)
    })
}

fn spans(partitions: &[Partition], table: &str) -> Vec<Span> {
    let of_table = partitions
        .iter()
        .filter(|partition| partition.table == table);
    of_table.map(|partition| partition.span).collect()
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    parent: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    bounds: String,
}

/// Every partition of every table, oldest first.
pub(in crate::store) fn list(
    connection: &mut PgConnection,
) -> Result<Vec<Partition>, PartitionError> {
    let rows: Vec<Row> = sql_query(
        "SELECT parent.relname::text AS parent, child.oid::regclass::text AS name, \
                coalesce(pg_get_expr(child.relpartbound, child.oid), '') AS bounds \
           FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent JOIN pg_class child ON child.oid = i.inhrelid \
          WHERE i.inhparent IN (to_regclass('executions'), to_regclass('plans'), to_regclass('analyses'), to_regclass('findings'), \
                                to_regclass('incidents'))",
    )
    .load(connection)
    .map_err(PartitionError::List)?;
    let mut partitions = Vec::with_capacity(rows.len());
    for Row {
        parent,
        name,
        bounds,
    } in rows
    {
        let table = TABLES.into_iter().find(|table| *table == parent);
        let (Some(table), Some(span)) = (table, Span::parse(&bounds)) else {
            return Err(PartitionError::Bounds { name, bounds });
        };
        partitions.push(Partition { table, name, span });
    }
    partitions.sort_unstable_by_key(|partition| (partition.span, partition.table));
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::thread;

    use super::*;
    use crate::store::backend::postgres::{fixture::Database, migrations};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn store(width_days: u32) -> Option<(Database, Partitions)> {
        let database = Database::new()?;
        migrations::run(&mut database.writer()).unwrap();
        Some((database, Partitions::new(width_days)))
    }

    fn insert(database: &Database, time: &str) -> String {
        let us = at(time).as_microsecond();
        database.psql(&format!(
            "INSERT INTO executions (server_id, started_at, id, query_id, generation_id, offset_bytes, kind, failed, plan_count, open, \
             time_assumed) VALUES (1, {us}, 1, 1, 1, 0, 'statement', false, 0, false, false) RETURNING tableoid::regclass"
        ))
    }

    fn names(database: &Database, table: &str) -> Vec<String> {
        let all = list(&mut database.writer()).unwrap();
        let of_table = all.into_iter().filter(|partition| partition.table == table);
        of_table.map(|partition| partition.name).collect()
    }

    #[test]
    fn a_month_ago_is_as_good_as_today_and_today_costs_nothing_twice() {
        let Some((database, partitions)) = store(1) else {
            return;
        };
        let mut writer = database.writer();
        let times = [
            "2026-10-20T23:59:59.999999Z",
            "2026-10-21T00:00:00Z",
            "1996-07-08T00:00:00Z",
            NOW,
        ];
        let ensure = |writer: &mut PgConnection| {
            partitions.ensure(writer, times.map(at), at(NOW)).unwrap();
        };
        ensure(&mut writer);
        for (time, partition) in times
            .iter()
            .zip(["20261020", "20261021", "_older", "20261120"])
        {
            assert_eq!(insert(&database, time), format!("executions_p{partition}"));
        }
        for table in TABLES {
            let expected = [
                "_older", "20261020", "20261021", "20261120", "20261121", "20261122", "20261123",
            ];
            assert_eq!(
                names(&database, table),
                expected.map(|day| format!("{table}_p{day}"))
            );
        }
        let before = database.statements_sent().len();
        ensure(&mut writer);
        assert_eq!(database.statements_sent().len(), before);
        // A process that starts again only looks.
        let sent = || {
            database
                .statements_sent()
                .iter()
                .filter(|sent| sent.starts_with("CREATE TABLE IF"))
                .count()
        };
        let made = sent();
        Partitions::new(1)
            .ensure(&mut writer, times.map(at), at(NOW))
            .unwrap();
        assert_eq!(sent(), made);
    }

    #[test]
    fn another_width_fills_what_is_left() {
        let Some((database, partitions)) = store(1) else {
            return;
        };
        let mut writer = database.writer();
        partitions.ensure(&mut writer, [], at(NOW)).unwrap();
        let wide = Partitions::new(7);
        let next_week = at("2026-11-25T00:00:00Z");
        wide.ensure(&mut writer, [next_week], at(NOW)).unwrap();
        assert_eq!(
            insert(&database, "2026-11-19T05:00:00Z"),
            "executions_p20261119"
        );
        assert_eq!(
            insert(&database, "2026-11-25T05:00:00Z"),
            "executions_p20261124"
        );
    }

    #[test]
    fn times_far_ahead_are_refused() {
        let Some((database, partitions)) = store(1) else {
            return;
        };
        let ahead = partitions.ensure(
            &mut database.writer(),
            [at("2026-12-22T00:00:00Z")],
            at(NOW),
        );
        assert_eq!(
            ahead.unwrap_err().to_string(),
            "a record is dated 2026-12-22T00:00:00Z, more than 31 days after this machine's clock (2026-11-20T12:00:00Z): check that clock"
        );
        assert_eq!(names(&database, "executions"), [""; 0]);
    }

    #[test]
    fn whole_old_partitions_are_dropped_and_can_come_back() {
        let Some((database, partitions)) = store(1) else {
            return;
        };
        let mut writer = database.writer();
        let old = at("2026-10-20T12:00:00Z");
        let times = [old, at("2026-10-21T12:00:00Z")];
        partitions.ensure(&mut writer, times, at(NOW)).unwrap();
        let all = list(&mut writer).unwrap();
        let of_executions = |all: &[Partition]| -> Vec<Partition> {
            let of_table = all
                .iter()
                .filter(|partition| partition.table == "executions");
            of_table.take(2).cloned().collect()
        };
        for (partition, is_kept) in of_executions(&all).iter().zip([false, true]) {
            let gone = partitions.drop_unless(&mut writer, partition, |_| Ok(is_kept));
            assert_eq!(gone.unwrap(), !is_kept);
        }
        assert_eq!(
            names(&database, "executions").first().unwrap(),
            "executions_p20261021"
        );
        assert_eq!(
            names(&database, "plans").first().unwrap(),
            "plans_p20261020"
        );
        partitions.ensure(&mut writer, [old], at(NOW)).unwrap();
        assert_eq!(
            insert(&database, "2026-10-20T12:00:00Z"),
            "executions_p20261020"
        );
    }

    #[test]
    fn many_at_once_make_each_partition_once() {
        let Some((database, _)) = store(1) else {
            return;
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let partitions = Partitions::new(1);
                    partitions
                        .ensure(&mut database.writer(), [at(NOW)], at(NOW))
                        .unwrap();
                });
            }
        });
        assert_eq!(names(&database, "executions").len(), 4);
    }
}

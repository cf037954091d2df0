//! Retention: what is kept for how long, and what is past that.
//!
//! Spans come in, and what goes is counted from the newest record of each server: an old log that was imported stays as long as a new one.
//! Every table with rows past their time is told by [`Store::past_retention`]; `prune` deletes them. What stays for good: servers, queries with their sums, recommendations, breaches, advice jobs, the counts of what was
//! read, and generations with their gaps: without its row, a file that comes back from an archive would be read a second time. An open
//! execution stays too, with everything that belongs to it. SQLite uses the room of deleted rows again; `backup` writes a copy without it.

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Nullable},
};
use jiff::Timestamp;

use super::{
    Error, Store,
    backend::Dialect,
    column::{count, optional_time},
    span::{DAY, day_of_hour},
    sql::Sql,
};
use crate::model::position::Server;

/// How many days each kind of row is kept, counted back from the server's newest record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Executions, with analyses, findings and incidents.
    pub executions_days: u32,
    /// Plans. They go with their executions at the latest.
    pub plans_days: u32,
    /// Statistics of queries by the hour; those of the day stay.
    pub hours_days: u32,
    /// Statistics of queries, and the shapes that their plans have had.
    pub statistics_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            executions_days: 30,
            plans_days: 30,
            hours_days: 30,
            statistics_days: 400,
        }
    }
}

/// Rows of one table of one server that are past their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    pub server: Server,
    pub table: &'static str,
    pub rows: u64,
    /// Times of the oldest and the newest of them.
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    /// What is older than this goes.
    pub before: Timestamp,
}

/// All rows of a table, of all servers, and the bytes on disk that they take with their indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    pub rows: u64,
    pub bytes: u64,
}

/// A table whose rows go by time.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The column that says how old a row is.
    pub(super) time: &'static str,
    /// The primary key without the server.
    pub(super) key: &'static str,
    kept_days: fn(&Retention) -> u32,
    /// A condition on `x` that a row that may go fulfils.
    pub(super) may_go: &'static str,
}

/// Rows that belong to an execution stay as long as it is open.
const NOT_OF_AN_OPEN_EXECUTION: &str = "NOT EXISTS (SELECT 1 FROM executions e \
    WHERE e.server_id = x.server_id AND e.started_at = x.started_at AND e.id = x.execution_id AND e.open)";

/// In the order in which they are emptied: what belongs to an execution before the execution.
pub(super) const TABLES: [Table; 9] = [
    Table {
        name: "plans",
        time: "started_at",
        key: "started_at, execution_id, ordinal",
        kept_days: |retention| retention.plans_days.min(retention.executions_days),
        may_go: NOT_OF_AN_OPEN_EXECUTION,
    },
    Table {
        name: "findings",
        time: "started_at",
        key: "started_at, execution_id, ordinal",
        kept_days: |retention| retention.executions_days,
        may_go: NOT_OF_AN_OPEN_EXECUTION,
    },
    Table {
        name: "analyses",
        time: "started_at",
        key: "started_at, execution_id",
        kept_days: |retention| retention.executions_days,
        may_go: NOT_OF_AN_OPEN_EXECUTION,
    },
    Table {
        name: "incidents",
        time: "log_time",
        key: "log_time, generation_id, offset_bytes",
        kept_days: |retention| retention.executions_days,
        may_go: NOT_OF_AN_OPEN_EXECUTION,
    },
    Table {
        name: "executions",
        time: "started_at",
        key: "started_at, id",
        kept_days: |retention| retention.executions_days,
        may_go: "NOT x.open",
    },
    Table {
        name: "query_stats",
        time: "hour",
        key: "query_id, hour",
        kept_days: |retention| retention.statistics_days,
        may_go: "true",
    },
    Table {
        name: "query_stats_daily",
        time: "day",
        key: "query_id, day",
        kept_days: |retention| retention.statistics_days,
        may_go: "true",
    },
    Table {
        name: "query_users",
        time: "day",
        key: "query_id, day, user_name, application_name",
        kept_days: |retention| retention.statistics_days,
        may_go: "true",
    },
    Table {
        name: "plan_shapes",
        time: "last_seen",
        key: "query_id, shape",
        kept_days: |retention| retention.statistics_days,
        may_go: "true",
    },
];

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    past: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    oldest: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    newest: Option<i64>,
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    held: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

impl Store {
    /// What is past its time, for every server and table; nothing is deleted. Counts rows, so that it takes as long as there are many.
    pub fn past_retention(&self, retention: &Retention) -> Result<Vec<Past>, Error> {
        self.read(|reader| {
            let mut past = Vec::new();
            for row in reader.servers()? {
                let Some(newest) = row.last_seen else {
                    continue;
                };
                for table in &TABLES {
                    let before = table.before_or_rolled_up(retention, newest);
                    let counted: Option<Counted> = Sql::new(
                        format!(
                            "SELECT count(*) AS past, min(x.{0}) AS oldest, max(x.{0}) AS newest FROM {1} x \
                             WHERE x.server_id = ? AND x.{0} < ? AND {2}",
                            table.time, table.name, table.may_go
                        ),
                        [row.server.id.0.into(), before.as_microsecond().into()],
                    )
                    .first(reader.connection)?;
                    let counted = counted.expect("a count is one row");
                    past.push(Past {
                        server: row.server.clone(),
                        table: table.name,
                        rows: count("count(*)", counted.past)?,
                        oldest: optional_time(table.time, counted.oldest)?,
                        newest: optional_time(table.time, counted.newest)?,
                        before,
                    });
                }
            }
            past.retain(|past| past.rows > 0);
            Ok(past)
        })
    }

    /// How large a table is. Reads every page of a SQLite store once.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`] also where there is no such table.
    pub fn table_size(&self, table: &'static str) -> Result<TableSize, Error> {
        let mut connection = self.connections.reader()?;
        let bytes = match connection.dialect() {
            Dialect::Sqlite => {
                "SELECT coalesce(sum(s.pgsize), 0) FROM sqlite_schema m CROSS JOIN dbstat s \
                  WHERE s.name = m.name AND s.aggregate = true AND m.tbl_name = ?"
            }
            Dialect::Postgres => {
                "SELECT CAST(coalesce(sum(pg_total_relation_size(relid)), 0) AS BIGINT) FROM pg_partition_tree(CAST(? AS regclass))"
            }
        };
        let text = format!("SELECT (SELECT count(*) FROM {table}) AS held, ({bytes}) AS bytes");
        let size: Option<Size> = Sql::new(text, [table.into()]).first(&mut connection)?;
        let size = size.expect("sums are one row");
        Ok(TableSize {
            rows: count("count(*)", size.held)?,
            bytes: count("table size", size.bytes)?,
        })
    }
}

impl Table {
    /// How long its rows are kept, in microseconds.
    pub(super) fn kept_us(&self, retention: &Retention) -> i64 {
        i64::from((self.kept_days)(retention)).saturating_mul(DAY)
    }

    /// What is older than this is past its time in a server whose newest record is of `newest`.
    pub(super) fn before(&self, retention: &Retention, newest: Timestamp) -> Timestamp {
        let us = newest
            .as_microsecond()
            .saturating_sub(self.kept_us(retention));
        Timestamp::from_microsecond(us).unwrap_or(Timestamp::MIN)
    }

    /// The same where hours count that go because their day stays: those of whole days.
    fn before_or_rolled_up(&self, retention: &Retention, newest: Timestamp) -> Timestamp {
        let before = self.before(retention, newest);
        if self.name != "query_stats" {
            return before;
        }
        let kept = i64::from(retention.hours_days).saturating_mul(DAY);
        let day = day_of_hour(newest.as_microsecond().saturating_sub(kept));
        Timestamp::from_microsecond(day).map_or(before, |day| day.max(before))
    }
}

//! Retention: what is kept for how long, and the deletion of what is past that, a few rows at a time.
//!
//! Spans come in, and what goes is counted from the newest record of each server: an old log that was imported stays as long as a new one.
//! Every table with rows past their time is told by [`Store::past_retention`] and emptied of them by [`Store::prune`], in short
//! transactions. What stays for good: servers, queries with their sums, recommendations, breaches, advice jobs, the counts of what was
//! read, and generations with their gaps: without its row, a file that comes back from an archive would be read a second time. An open
//! execution stays too, with everything that belongs to it. SQLite uses the room of deleted rows again; `backup` writes a copy without it.

use std::ops::ControlFlow;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable},
};
use jiff::Timestamp;

use super::{
    Error, ServerRow, Store,
    backend::{Connection, Dialect, postgres::partition},
    column::{count, optional_time},
    connection::Place,
    schema::executions,
    sql::Sql,
};
use crate::model::position::{Server, ServerId};

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

/// What one step deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    pub server: ServerId,
    pub table: &'static str,
    pub rows: u64,
}

/// A table whose rows go by time.
struct Table {
    name: &'static str,
    /// The column that says how old a row is.
    time: &'static str,
    /// The primary key without the server.
    key: &'static str,
    kept_days: fn(&Retention) -> u32,
    /// A condition on `x` that a row that may go fulfils.
    may_go: &'static str,
}

/// Rows that belong to an execution stay as long as it is open.
const NOT_OF_AN_OPEN_EXECUTION: &str = "NOT EXISTS (SELECT 1 FROM executions e \
    WHERE e.server_id = x.server_id AND e.started_at = x.started_at AND e.id = x.execution_id AND e.open)";

/// In the order in which they are emptied: what belongs to an execution before the execution.
const TABLES: [Table; 9] = [
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

/// Microseconds.
const DAY: i64 = 86_400_000_000;

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
                    let before = before(table, retention, newest);
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

    /// Deletes what is past its time, at most `rows` rows in one transaction, and tells `between` of each; while it runs nothing is locked, and it
    /// may wait so that others get their turn. Ends early where it says so.
    pub fn prune(
        &self,
        retention: &Retention,
        rows: u32,
        mut between: impl FnMut(&Pruned) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let servers = self.read(|reader| reader.servers())?;
        self.drop_partitions(retention, &servers)?;
        for (table, row) in TABLES
            .iter()
            .flat_map(|table| servers.iter().map(move |row| (table, row)))
        {
            let Some(newest) = row.last_seen else {
                continue;
            };
            let before = before(table, retention, newest).as_microsecond();
            loop {
                let deletion = deletion(table, row.server.id, before, rows);
                let deleted = self
                    .connections
                    .writer()?
                    .write(|connection| deletion.execute(connection))?;
                if deleted == 0 {
                    break;
                }
                let pruned = Pruned {
                    server: row.server.id,
                    table: table.name,
                    rows: deleted as u64,
                };
                if between(&pruned).is_break() {
                    return Ok(());
                }
                if deleted < rows as usize {
                    break;
                }
            }
        }
        Ok(())
    }

    /// On PostgreSQL, where time is partitioned: drops the partitions that hold nothing which any server keeps, each in a transaction of its own.
    /// What is left, of servers that are ahead of others and around executions that are still open, is deleted row by row.
    fn drop_partitions(&self, retention: &Retention, servers: &[ServerRow]) -> Result<(), Error> {
        let oldest_newest = servers.iter().filter_map(|row| row.last_seen).min();
        let mut writer = self.connections.writer()?;
        let (Some(newest), Place::Postgres { partitions, .. }, Connection::Postgres(session)) =
            (oldest_newest, &self.connections.place, &mut *writer)
        else {
            return Ok(());
        };
        let oldest_open: Option<i64> = executions::table
            .filter(executions::open.eq(true))
            .select(diesel::dsl::min(executions::started_at))
            .first(&mut **session)?;
        let oldest_open = optional_time("executions.started_at", oldest_open)?;
        for table in &TABLES {
            let mut before = before(table, retention, newest);
            if let Some(open) = oldest_open {
                before = before.min(open);
            }
            if let Some(name) = partition::TABLES
                .into_iter()
                .find(|name| *name == table.name)
            {
                let dropped = partitions.drop_before(session, name, before)?;
                for partition in dropped {
                    tracing::info!(
                        partition = partition.name,
                        "dropped, as store.retention says"
                    );
                }
            }
        }
        Ok(())
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

/// What is older than this is past its time in a server whose newest record is of `newest`.
fn before(table: &Table, retention: &Retention, newest: Timestamp) -> Timestamp {
    let kept = i64::from((table.kept_days)(retention)).saturating_mul(DAY);
    let us = newest.as_microsecond().saturating_sub(kept);
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MIN)
}

fn deletion(table: &Table, server: ServerId, before: i64, rows: u32) -> Sql<'static> {
    // The time stands in both, so that a partitioned table can be looked up by it.
    Sql::new(
        format!(
            "DELETE FROM {0} WHERE server_id = ? AND {2} < ? AND ({1}) IN ( \
             SELECT {1} FROM {0} x WHERE x.server_id = ? AND x.{2} < ? AND {3} ORDER BY x.{2} LIMIT ?)",
            table.name, table.key, table.time, table.may_go
        ),
        [
            server.0.into(),
            before.into(),
            server.0.into(),
            before.into(),
            i64::from(rows).into(),
        ],
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::{
        model::{
            execution::Execution,
            finding::{Rule, Severity},
            incident::{Incident, IncidentFacts, IncidentKind},
        },
        store::fixture::{Fixture, analysis, at, batch, execution, finding, plan, recommendation},
    };

    const HOUR_S: i64 = 3600;
    const DAY_S: i64 = 24 * HOUR_S;

    /// A batch with one execution for each age in days, each with a plan, a finding and an incident; the newest record is of [`at`] zero.
    fn aged(fixture: &Fixture, server: &str, ages: &[i64], open: &[i64]) -> Vec<Execution> {
        let server = Server::named(server);
        fixture.store.ensure_server(&server).unwrap();
        let mut batch = batch(server.id, 0, 1000);
        for (number, age) in (0..).zip(ages) {
            let execution = Execution {
                started_at: at(-age * DAY_S),
                open: open.contains(age),
                plan_count: 1,
                ..execution(server.id, "select $1", number, 2000.0)
            };
            batch.plans.push(plan(&execution, 0, "{}"));
            let found = vec![finding(Rule::SeqScanFilter, Severity::Notice)];
            batch.analyses.push(analysis(&execution, found));
            batch.incidents.push(Incident {
                server_id: server.id,
                position: execution.position,
                log_time: execution.started_at,
                query_id: Some(execution.query.id),
                execution: Some((execution.started_at, execution.id)),
                facts: IncidentFacts::of(IncidentKind::LockWait),
            });
            batch.recommendations = vec![recommendation(
                server.id,
                execution.query.id,
                "orders (a)",
                Severity::Notice,
            )];
            batch.executions.push(execution);
        }
        batch.oldest = Some(at(-500 * DAY_S));
        batch.newest = Some(at(0));
        fixture.ingest(&batch).unwrap();
        batch.executions
    }

    fn prune(fixture: &Fixture, retention: &Retention, rows: u32) -> Vec<(&'static str, u64)> {
        let mut steps = Vec::new();
        let told = |pruned: &Pruned| {
            steps.push((pruned.table, pruned.rows));
            ControlFlow::Continue(())
        };
        fixture.store.prune(retention, rows, told).unwrap();
        steps
    }

    #[test]
    fn what_is_past_its_time_goes_in_small_steps_and_sums_stay() {
        let fixture = Fixture::new();
        aged(&fixture, "shop", &[0, 29, 31, 32, 33, 401, 402], &[]);
        let calls = |text| fixture.count(text);
        let sum = "(SELECT 1 FROM queries WHERE calls = 7 AND total_ms = 14000.0)";
        assert_eq!(calls(sum), 1);
        let steps = prune(&fixture, &Retention::default(), 2);
        let of = |table| {
            let rows = steps.iter().filter(|(name, _)| *name == table);
            rows.map(|(_, rows)| *rows).collect::<Vec<_>>()
        };
        for table in ["plans", "findings", "analyses", "incidents", "executions"] {
            assert_eq!(of(table), [2, 2, 1], "{table}");
            assert_eq!(fixture.count(table), 2, "{table}");
        }
        assert_eq!(of("query_stats"), [2]);
        assert_eq!(fixture.count("query_stats"), 5);
        assert_eq!(calls(sum), 1);
        for kept in [
            "recommendations",
            "breaches",
            "advice_jobs",
            "generations",
            "plan_shapes",
        ] {
            assert_eq!(fixture.count(kept), 1, "{kept}");
        }
        assert_eq!(prune(&fixture, &Retention::default(), 2), []);
    }

    #[test]
    fn what_belongs_to_an_open_execution_stays() {
        let fixture = Fixture::new();
        let stored = aged(&fixture, "shop", &[0, 100, 101], &[100]);
        prune(&fixture, &Retention::default(), 100);
        let open = stored.iter().find(|execution| execution.open).unwrap();
        let left = fixture
            .store
            .read(|reader| reader.open_executions(fixture.server))
            .unwrap();
        assert_eq!(left, std::slice::from_ref(open));
        for table in ["plans", "findings", "analyses", "incidents", "executions"] {
            assert_eq!(fixture.count(table), 2, "{table}");
        }
    }

    #[test]
    fn partitions_that_nobody_keeps_are_dropped_whole() {
        let Some(fixture) = Fixture::each().nth(1) else {
            return;
        };
        aged(&fixture, "shop", &[0, 5, 40, 80], &[]);
        let partitions =
            || fixture.count("pg_inherits WHERE inhparent = CAST('executions' AS regclass)");
        let before = partitions();
        prune(&fixture, &Retention::default(), 500);
        assert_eq!(partitions(), before - 2);
        for table in ["executions", "plans", "analyses", "findings", "incidents"] {
            assert_eq!(fixture.count(table), 2, "{table}");
        }
        assert_eq!(fixture.count("queries WHERE calls = 4"), 1, "sums stay");

        // What is open stays, and what is as old as it: it is deleted row by row.
        aged(&fixture, "forum", &[0, 60, 61], &[60]);
        prune(&fixture, &Retention::default(), 500);
        assert_eq!(fixture.count("executions WHERE open"), 1);
        assert_eq!(fixture.count("executions"), 4);
    }

    #[test]
    fn each_kind_has_its_span_and_each_server_its_own_end() {
        let fixture = Fixture::new();
        aged(&fixture, "shop", &[0, 5, 10, 20], &[]);
        let retention = Retention {
            executions_days: 15,
            plans_days: 7,
            hours_days: 30,
            statistics_days: 8,
        };
        let past: Vec<(&str, u64)> = fixture
            .store
            .past_retention(&retention)
            .unwrap()
            .iter()
            .map(|past| (past.table, past.rows))
            .collect();
        let expected = [
            ("plans", 2),
            ("findings", 1),
            ("analyses", 1),
            ("incidents", 1),
            ("executions", 1),
            ("query_stats", 2),
            ("query_stats_daily", 2),
            ("query_users", 2),
        ];
        assert_eq!(past, expected);
        assert_eq!(prune(&fixture, &retention, 100), expected);
        // A server whose log ended 40 days before keeps its last days.
        let old = Server::named("old");
        fixture.store.ensure_server(&old).unwrap();
        let mut ended = batch(old.id, 0, 10);
        ended.generation.server_id = old.id;
        ended.executions = vec![Execution {
            started_at: at(-40 * DAY_S),
            ..execution(old.id, "select $1", 1, 1.0)
        }];
        ended.newest = Some(at(-40 * DAY_S));
        fixture.ingest(&ended).unwrap();
        assert_eq!(prune(&fixture, &retention, 100), []);
    }

    #[test]
    fn ends_where_it_is_told_to_and_tells_what_is_left() {
        let fixture = Fixture::new();
        aged(&fixture, "shop", &[0, 31, 32, 33], &[]);
        let retention = Retention::default();
        fixture
            .store
            .prune(&retention, 1, |_| ControlFlow::Break(()))
            .unwrap();
        let past = fixture.store.past_retention(&retention).unwrap();
        let plans = past.first().unwrap();
        assert_eq!((plans.table, plans.rows), ("plans", 2));
        assert_eq!(plans.before, at(-30 * DAY_S));
        assert_eq!(plans.oldest, Some(at(-32 * DAY_S)));
        assert_eq!(plans.newest, Some(at(-31 * DAY_S)));
        let size = fixture.store.table_size("plans").unwrap();
        assert_eq!(size.rows, 3);
        assert!(size.bytes >= 4096, "{size:?}");
    }

    /// Deleting must not look at rows that stay.
    #[test]
    fn rows_are_found_by_an_index() {
        #[derive(QueryableByName)]
        struct Line {
            #[diesel(sql_type = diesel::sql_types::Text)]
            detail: String,
        }
        let fixture = Fixture::new();
        for table in TABLES.iter().filter(|table| table.name != "plan_shapes") {
            let mut explain = Sql::new("EXPLAIN QUERY PLAN ", []);
            explain.append(deletion(table, fixture.server, 0, 10));
            let mut reader = fixture.store.connections.reader().unwrap();
            let lines: Vec<Line> = explain.load(&mut reader).unwrap();
            let lines: Vec<String> = lines.into_iter().map(|line| line.detail).collect();
            let by_time = |line: &&String| line.contains(&format!("AND {}<?", table.time));
            assert!(lines.iter().filter(by_time).count() >= 1, "{lines:?}");
            assert!(
                !lines.iter().any(|line| line.starts_with("SCAN")),
                "{lines:?}"
            );
        }
    }
}

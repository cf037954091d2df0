//! Deletes what is past its time, in short transactions between which others get their turn.
//!
//! [`Retention`] comes in, and the caller hears of each step. Three things go: partitions of a PostgreSQL store in which nothing is kept, whole; the
//! hours of days that are past; and rows, some hundreds at a time. The connection that writes is free between any two steps.

use std::{ops::ControlFlow, time::Duration};

use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};

use super::{
    Error, Retention, ServerRow, Store,
    backend::{
        Connection,
        postgres::{
            PgConnection,
            partition::{self, Partition},
        },
    },
    connection::Place,
    retention::{TABLES, Table},
    sql::Sql,
};
use crate::model::position::ServerId;

/// Rows in one transaction: some milliseconds in which nobody else writes.
pub const PRUNED_AT_ONCE: u32 = 500;

/// What one step deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pruned {
    Rows {
        server: ServerId,
        table: &'static str,
        rows: u64,
    },
    /// A partition of a store in PostgreSQL.
    Partition { name: String },
}

/// Something is left.
#[derive(QueryableByName)]
struct Kept {
    #[diesel(sql_type = BigInt)]
    #[expect(dead_code, reason = "that there is a row says all")]
    server_id: i64,
}

impl Store {
    /// Deletes what is past its time, at most `rows` rows in one transaction, and tells `between` of each; while it runs nothing is locked, and it
    /// may wait so that others get their turn. Ends early where it says so.
    pub fn prune(
        &self,
        retention: &Retention,
        rows: u32,
        mut between: impl FnMut(&Pruned) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let servers = self.read(|reader| reader.servers())?;
        for one in self.past_partitions(retention, &servers)? {
            if self.drop_partition(retention, &one)? {
                let name = one.partition.name;
                if between(&Pruned::Partition { name }).is_break() {
                    return Ok(());
                }
            }
        }
        let keep_hours = Duration::from_hours(24 * u64::from(retention.hours_days));
        for row in &servers {
            while let Some(rolled) = self.roll_up_some(row.server.id, keep_hours)? {
                let pruned = Pruned::Rows {
                    server: row.server.id,
                    table: "query_stats",
                    rows: rolled.hours,
                };
                if between(&pruned).is_break() {
                    return Ok(());
                }
            }
        }
        for (table, row) in TABLES
            .iter()
            .flat_map(|table| servers.iter().map(move |row| (table, row)))
        {
            let Some(newest) = row.last_seen else {
                continue;
            };
            let before = table.before(retention, newest).as_microsecond();
            loop {
                let deletion = deletion(table, row.server.id, before, rows);
                let deleted = self
                    .connections
                    .writer()?
                    .write(|connection| deletion.execute(connection))?;
                if deleted == 0 {
                    break;
                }
                let pruned = Pruned::Rows {
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

    /// The partitions whose time is past for the server that is furthest ahead. Others may keep something of them, those that log no more above all.
    fn past_partitions(
        &self,
        retention: &Retention,
        servers: &[ServerRow],
    ) -> Result<Vec<PastPartition>, Error> {
        let Some(newest) = servers.iter().filter_map(|row| row.last_seen).max() else {
            return Ok(Vec::new());
        };
        let mut writer = self.connections.writer()?;
        let Connection::Postgres(session) = &mut *writer else {
            return Ok(Vec::new());
        };
        let all = partition::list(session)?;
        let past = all.into_iter().filter_map(|partition| {
            let table = TABLES.iter().find(|table| table.name == partition.table)?;
            let before = table.before(retention, newest).as_microsecond();
            (partition.end_us() <= before).then_some(PastPartition { table, partition })
        });
        let mut past: Vec<PastPartition> = past.collect();
        // Day by day, and what belongs to an execution before the execution, as rows go.
        past.sort_by_key(|one| {
            let order = TABLES.iter().position(|table| table.name == one.table.name);
            (one.partition.end_us(), order)
        });
        Ok(past)
    }

    /// Drops it if no server keeps anything of it. Looked at twice: what keeps it is mostly found without stopping anybody.
    fn drop_partition(&self, retention: &Retention, one: &PastPartition) -> Result<bool, Error> {
        let mut writer = self.connections.writer()?;
        let (Place::Postgres { partitions, .. }, Connection::Postgres(session)) =
            (&self.connections.place, &mut *writer)
        else {
            return Ok(false);
        };
        if one.is_kept(retention, session)? {
            return Ok(false);
        }
        Ok(partitions.drop_unless(session, &one.partition, |session| {
            one.is_kept(retention, session)
        })?)
    }
}

/// A partition of a table whose rows go by time.
struct PastPartition {
    table: &'static Table,
    partition: Partition,
}

impl PastPartition {
    /// Whether a server keeps something of it, or an execution that something of it belongs to is open still.
    fn is_kept(
        &self,
        retention: &Retention,
        connection: &mut PgConnection,
    ) -> diesel::QueryResult<bool> {
        let Table { name, time, .. } = *self.table;
        let id = if name == "executions" {
            "id"
        } else {
            "execution_id"
        };
        let (from, to) = (self.partition.begin_us(), self.partition.end_us());
        // A server's own limit is a condition of the index, so that its past rows are not looked at.
        let in_time = Sql::new(
            format!(
                "SELECT x.server_id FROM servers s JOIN {name} x ON x.server_id = s.id \
                  WHERE x.{time} >= ? AND x.{time} < ? AND x.{time} >= coalesce(s.last_seen - ?, ?) LIMIT 1"
            ),
            [
                from.into(),
                to.into(),
                self.table.kept_us(retention).into(),
                from.into(),
            ],
        );
        let of_open = Sql::new(
            format!(
                "SELECT x.server_id FROM executions e JOIN {name} x \
                   ON x.server_id = e.server_id AND x.started_at = e.started_at AND x.{id} = e.id \
                  WHERE e.open AND x.{time} >= ? AND x.{time} < ? LIMIT 1"
            ),
            [from.into(), to.into()],
        );
        for kept in [in_time, of_open] {
            let rows: Vec<Kept> = RunQueryDsl::load(kept, connection)?;
            if !rows.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
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
            position::Server,
        },
        store::{
            fixture::{Fixture, analysis, at, batch, execution, finding, plan, recommendation},
            span::DAY,
        },
    };

    const HOUR_S: i64 = 3600;
    const DAY_S: i64 = 24 * HOUR_S;

    /// A batch with one execution for each age in days, each with a plan, a finding and an incident; the newest record is of [`at`] zero.
    fn aged(fixture: &Fixture, server: &str, ages: &[i64], open: &[i64]) -> Vec<Execution> {
        aged_until(fixture, server, 0, ages, open)
    }

    /// The same of a server whose newest record is so many days old.
    fn aged_until(
        fixture: &Fixture,
        server: &str,
        newest: i64,
        ages: &[i64],
        open: &[i64],
    ) -> Vec<Execution> {
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
        batch.newest = Some(at(-newest * DAY_S));
        fixture.ingest(&batch).unwrap();
        batch.executions
    }

    fn prune(fixture: &Fixture, retention: &Retention, rows: u32) -> Vec<(&'static str, u64)> {
        let mut steps = Vec::new();
        let told = |pruned: &Pruned| {
            if let Pruned::Rows { table, rows, .. } = pruned {
                steps.push((*table, *rows));
            }
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
        // The hours of three days whose sums stay, one day in a step, and two that are gone with them.
        assert_eq!(of("query_stats"), [1, 1, 1, 1, 1]);
        assert_eq!(of("query_stats_daily"), [2]);
        assert_eq!(fixture.count("query_stats"), 2);
        assert_eq!(fixture.count("query_stats_daily"), 5);
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

        // What is open stays with its partitions, whatever is older and younger.
        aged(&fixture, "forum", &[0, 60, 61], &[60]);
        prune(&fixture, &Retention::default(), 500);
        assert_eq!(fixture.count("executions WHERE open"), 1);
        assert_eq!(fixture.count("executions"), 4);
    }

    #[test]
    fn a_server_that_logs_no_more_keeps_its_last_days_and_nobody_elses() {
        let Some(fixture) = Fixture::each().nth(1) else {
            return;
        };
        aged_until(&fixture, "retired", 100, &[100, 110, 140], &[100]);
        aged(&fixture, "shop", &[0, 35, 60, 110, 140], &[]);
        let days = || -> Vec<i64> {
            let rows = |age: i64| {
                let from = at(-age * DAY_S).as_microsecond() / DAY * DAY;
                fixture.count(&format!(
                    "pg_class WHERE relispartition AND relkind = 'r' AND pg_get_expr(relpartbound, oid) LIKE 'FOR VALUES FROM (''{from}'')%'"
                ))
            };
            [0, 35, 60, 100, 110, 140].map(rows).to_vec()
        };
        assert_eq!(days(), [5; 6]);
        let mut dropped: Vec<String> = Vec::new();
        let told = |pruned: &Pruned| {
            if let Pruned::Partition { name } = pruned {
                dropped.push(name.split("_p").next().unwrap().to_owned());
            }
            // Whoever writes gets a turn.
            fixture
                .store
                .ensure_server(&Server::named("meanwhile"))
                .unwrap();
            ControlFlow::Continue(())
        };
        fixture
            .store
            .prune(&Retention::default(), 500, told)
            .unwrap();
        // Of 110 days ago the retired server keeps its own and of 140 days ago nobody anything; the rows of 100 and 110 are the retired server's.
        assert_eq!(days(), [5, 0, 0, 5, 5, 0]);
        let in_order = ["plans", "findings", "analyses", "incidents", "executions"];
        assert_eq!(dropped, [in_order; 3].concat());
        for table in ["executions", "plans", "analyses", "findings", "incidents"] {
            assert_eq!(fixture.count(table), 3, "{table}");
        }
        let shop = Server::named("shop").id.0;
        assert_eq!(
            fixture.count(&format!("executions WHERE server_id = {shop}")),
            1
        );
        assert_eq!(prune(&fixture, &Retention::default(), 500), []);
    }

    #[test]
    fn an_import_of_old_logs_that_comes_between_is_seen() {
        let Some(fixture) = Fixture::each().nth(1) else {
            return;
        };
        aged(&fixture, "shop", &[0, 60], &[]);
        let retention = Retention::default();
        let servers = fixture.store.read(|reader| reader.servers()).unwrap();
        let past = fixture.store.past_partitions(&retention, &servers).unwrap();
        assert_eq!(past.len(), 5);
        aged_until(&fixture, "retired", 60, &[60], &[]);
        for one in &past {
            assert!(!fixture.store.drop_partition(&retention, one).unwrap());
        }
        assert_eq!(fixture.count("executions"), 3);
    }

    #[test]
    fn hours_whose_day_stays_are_told_before_they_go() {
        for fixture in Fixture::each() {
            aged(&fixture, "shop", &[0, 1, 2, 3, 9], &[]);
            let retention = Retention {
                hours_days: 2,
                ..Retention::default()
            };
            let past = fixture.store.past_retention(&retention).unwrap();
            let [past] = past.as_slice() else {
                panic!("{past:?}");
            };
            assert_eq!((past.table, past.rows), ("query_stats", 2));
            let expected = [("query_stats", 1), ("query_stats", 1)];
            assert_eq!(prune(&fixture, &retention, 500), expected);
            assert_eq!(fixture.count("query_stats"), 3);
            assert_eq!(fixture.count("query_stats_daily WHERE hours_dropped"), 2);
            assert_eq!(fixture.store.past_retention(&retention).unwrap(), []);
        }
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
            .prune(&retention, 1, |pruned| match pruned {
                Pruned::Rows { table: "plans", .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
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

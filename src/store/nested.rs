//! Nested executions and the top-level ones that ran them, by each other.
//!
//! Keys come in, executions with the texts of their queries go out. A parent is found by its id, which its children carry; both are looked for
//! around the time that is known, so that a store in pieces by time has few of them to look into.

use std::collections::HashMap;

use diesel::{prelude::*, sql_types::BigInt};

use super::{
    Error, ExecutionKey, Reader,
    backend::Dialect,
    column::time,
    execution_row::{JoinedRow, execution},
    plan,
    sql::{Sql, grouped, servers_of},
};
use crate::model::{
    execution::{Execution, ExecutionId},
    position::ServerId,
};

/// How far apart the starts of a statement and of one nested in it can be: what a statement runs later isn't found.
const AROUND_US: i64 = 7 * 24 * 3_600_000_000;
/// How much earlier than its parent a nested one may seem to begin, where the log's times are whole seconds.
const INEXACT_US: i64 = 1_000_000;

/// An execution for the key that it was asked by.
#[derive(QueryableByName)]
struct KeyedRow {
    #[diesel(sql_type = BigInt)]
    wanted_server_id: i64,
    #[diesel(sql_type = BigInt)]
    wanted_started_at: i64,
    #[diesel(sql_type = BigInt)]
    wanted_id: i64,
    #[diesel(embed)]
    found: JoinedRow,
}

fn keyed(row: KeyedRow) -> Result<(ExecutionKey, Execution), Error> {
    let key = ExecutionKey {
        server_id: ServerId(row.wanted_server_id),
        started_at: time("executions.started_at", row.wanted_started_at)?,
        id: ExecutionId(row.wanted_id),
    };
    Ok((key, execution(row.found)?))
}

impl Reader<'_> {
    /// The parents of nested executions, each asked for by server and start of the nested one and the id of the parent. Those that are not in the
    /// store are left out.
    pub fn parents_of(
        &mut self,
        wanted: &[ExecutionKey],
    ) -> Result<HashMap<ExecutionKey, Execution>, Error> {
        let mut sql = plan::wanted(wanted);
        sql.push(
            &format!(
                "SELECT e.*, q.database_name, q.normalized_sql, \
                        w.server_id AS wanted_server_id, w.started_at AS wanted_started_at, w.execution_id AS wanted_id \
                 FROM wanted w \
                 CROSS JOIN executions e {} \
                 JOIN queries q ON q.server_id = e.server_id AND q.id = e.query_id \
                 WHERE e.server_id = w.server_id AND e.id = w.execution_id AND e.nested_count > 0 \
                   AND e.started_at >= w.started_at - ? AND e.started_at < w.started_at + ?",
                self.indexed_by("executions_parents"),
            ),
            [AROUND_US.into(), INEXACT_US.into()],
        );
        push_around(&mut sql, "e", wanted, AROUND_US, INEXACT_US);
        let rows: Vec<KeyedRow> = sql.load(self.connection)?;
        rows.into_iter().map(keyed).collect()
    }

    /// The first `limit` nested executions of each top-level one, in the order in which they began.
    pub fn nested_of(
        &mut self,
        parents: &[ExecutionKey],
        limit: u32,
    ) -> Result<HashMap<ExecutionKey, Vec<Execution>>, Error> {
        let mut sql = plan::wanted(parents);
        sql.push(
            &format!(
                ", ranked AS ( \
                   SELECT x.*, w.server_id AS wanted_server_id, w.started_at AS wanted_started_at, w.execution_id AS wanted_id, \
                          row_number() OVER (PARTITION BY w.server_id, w.execution_id ORDER BY x.started_at, x.id) AS place \
                   FROM wanted w CROSS JOIN executions x {} \
                   WHERE x.server_id = w.server_id AND x.parent_id = w.execution_id \
                     AND x.started_at >= w.started_at - ? AND x.started_at < w.started_at + ?",
                self.indexed_by("executions_nested"),
            ),
            [INEXACT_US.into(), AROUND_US.into()],
        );
        push_around(&mut sql, "x", parents, INEXACT_US, AROUND_US);
        sql.push(
            ") SELECT r.*, q.database_name, q.normalized_sql \
                FROM ranked r JOIN queries q ON q.server_id = r.server_id AND q.id = r.query_id \
               WHERE r.place <= ? ORDER BY r.place",
            [i64::from(limit).into()],
        );
        let rows: Vec<KeyedRow> = sql.load(self.connection)?;
        grouped(parents, rows.into_iter().map(keyed))
    }
}

impl Reader<'_> {
    /// SQLite doesn't know how few rows the index has, and would rather not use it.
    fn indexed_by(&self, index: &str) -> String {
        match self.connection.dialect() {
            Dialect::Sqlite => format!("INDEXED BY {index}"),
            Dialect::Postgres => String::new(),
        }
    }
}

/// Where to look: around the first and the last of the executions, on their servers.
fn push_around(
    sql: &mut Sql<'_>,
    table: &'static str,
    keys: &[ExecutionKey],
    before_us: i64,
    after_us: i64,
) {
    let times = keys.iter().map(|key| key.started_at.as_microsecond());
    let (first, last) = (times.clone().min(), times.max());
    sql.push(
        &format!(" AND ? AND {table}.started_at >= ? AND {table}.started_at < ?"),
        [
            servers_of(table, keys.iter().map(|key| key.server_id)),
            first.unwrap_or(i64::MAX).saturating_sub(before_us).into(),
            last.unwrap_or(i64::MIN).saturating_add(after_us).into(),
        ],
    );
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::{
        model::{
            execution::{CallSite, ExecutionKind},
            position::Server,
        },
        store::{
            StoreUrl,
            fixture::{Fixture, batch, execution},
        },
    };

    #[test]
    fn parents_and_what_they_ran_find_each_other() {
        for fixture in Fixture::each() {
            let other = Server::named("other");
            fixture.store.ensure_server(&other).unwrap();
            let mut of_server = |server| {
                let mut all = batch(server, 0, 100);
                let mut parent = execution(server, "select f()", 10, 5000.0);
                parent.nested_count = 3;
                let nested = |offset: u64| {
                    let mut nested = execution(server, &format!("select {offset}"), offset, 1.0);
                    nested.kind = ExecutionKind::Nested;
                    nested.parent_id = Some(parent.id);
                    nested.call_site = Some(CallSite {
                        function: Some("f(integer)".to_owned()),
                        line: Some(3),
                        depth: 1,
                    });
                    nested
                };
                let mut foreign_key = nested(13);
                foreign_key.call_site = Some(CallSite {
                    function: None,
                    line: None,
                    depth: 2,
                });
                all.executions = vec![parent.clone(), nested(11), nested(12), foreign_key];
                fixture.ingest(&all).unwrap();
                all.executions
            };
            let [here, there] = [fixture.server, other.id].map(&mut of_server);
            let orphan = ExecutionKey {
                id: ExecutionId(1),
                ..ExecutionKey::of(&here[1])
            };
            let by_parent = |nested: &Execution| ExecutionKey {
                id: nested.parent_id.unwrap(),
                ..ExecutionKey::of(nested)
            };
            fixture
                .store
                .read(|reader| {
                    let wanted = [by_parent(&here[1]), by_parent(&there[3]), orphan];
                    assert_eq!(
                        reader.parents_of(&wanted)?,
                        [(wanted[0], here[0].clone()), (wanted[1], there[0].clone())].into()
                    );
                    let parents = [&here[0], &there[0], &here[1]].map(ExecutionKey::of);
                    assert_eq!(
                        reader.nested_of(&parents, 2)?,
                        [
                            (parents[0], here[1..3].to_vec()),
                            (parents[1], there[1..3].to_vec()),
                            (parents[2], vec![])
                        ]
                        .into()
                    );
                    assert_eq!(reader.nested_of(&parents[..1], 9)?[&parents[0]], here[1..]);
                    Ok(())
                })
                .unwrap();
            if matches!(fixture.url, StoreUrl::Sqlite(_)) {
                let plans = fixture.query_plans(|reader| {
                    reader.parents_of(&[by_parent(&here[1])])?;
                    reader.nested_of(&[ExecutionKey::of(&here[0])], 2)?;
                    Ok(())
                });
                assert!(
                    !plans.iter().any(|line| line.starts_with("SCAN e")),
                    "{plans:#?}"
                );
            }
        }
    }
}

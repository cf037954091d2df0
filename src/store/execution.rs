//! Executions: rows by server, start and id.
//!
//! What pairing made comes in, open or closed; pages and the newest executions of a query go out with the texts of their queries. Nothing
//! here sums: that is `statistics`.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::{prelude::*, sql_types::BigInt};
use jiff::Timestamp;

use super::{
    Error, Reader, analysis,
    backend::{Connection, each},
    column::time,
    execution_row::{Executions, JoinedRow, RETURNING_KEYS, execution, row},
    insert::Insert,
    query::{self, QueryKey},
    schema::{analyses, executions, plans},
    sql::{Sql, Value, grouped},
    top::Rows,
};
use crate::model::{
    execution::{Execution, ExecutionId},
    finding::Analysis,
    position::ServerId,
    query::QueryId,
};

/// Key of an execution, and its place in time: newest first is the descending order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionKey {
    pub started_at: Timestamp,
    pub server_id: ServerId,
    pub id: ExecutionId,
}

impl ExecutionKey {
    pub fn of(execution: &Execution) -> Self {
        Self {
            started_at: execution.started_at,
            server_id: execution.server_id,
            id: execution.id,
        }
    }

    /// Of the execution that was analysed.
    pub fn of_analysis(analysis: &Analysis) -> Self {
        Self {
            started_at: analysis.started_at,
            server_id: analysis.server_id,
            id: analysis.execution_id,
        }
    }
}

/// Which executions, newest first. Filters that are `None` let everything pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExecutionPage {
    pub server: Option<ServerId>,
    pub query: Option<QueryKey>,
    pub min_duration_ms: Option<f64>,
    /// Started at or after this.
    pub since: Option<Timestamp>,
    /// Started before this.
    pub until: Option<Timestamp>,
    pub limit: u32,
    /// Key of the last execution of the page before.
    pub after: Option<ExecutionKey>,
}

impl Reader<'_> {
    /// One page of executions, newest first.
    pub fn executions(&mut self, page: &ExecutionPage) -> Result<Vec<Execution>, Error> {
        let mut filter = Sql::new("", []);
        if let Some((_, query)) = page.query {
            filter.push(" AND x.query_id = ?", [query.0.into()]);
        }
        if let Some(least) = page.min_duration_ms {
            filter.push(" AND x.duration_ms >= ?", [least.into()]);
        }
        push_window(&mut filter, page.since, page.until);
        if let Some(after) = page.after {
            let started_at = after.started_at.as_microsecond();
            filter.push(
                " AND x.started_at <= ? AND (x.started_at, x.server_id, x.id) < (?, ?, ?)",
                [
                    started_at.into(),
                    started_at.into(),
                    after.server_id.0.into(),
                    after.id.0.into(),
                ],
            );
        }
        let rows = Rows {
            table: "executions",
            key: &["started_at", "id"],
            filter,
            order_by: NEWEST,
            limit: page.limit,
        };
        let mut sql = rows.of_servers(
            self.connection.dialect(),
            one_server(page.server, page.query),
        );
        sql.push(
            "SELECT t.*, q.database_name, q.normalized_sql \
               FROM t JOIN queries q ON q.server_id = t.server_id AND q.id = t.query_id \
              ORDER BY t.started_at DESC, t.server_id DESC, t.id DESC LIMIT ?",
            [i64::from(page.limit).into()],
        );
        let rows: Vec<JoinedRow> = sql.load(self.connection)?;
        rows.into_iter().map(execution).collect()
    }

    /// One execution.
    pub fn execution(&mut self, key: ExecutionKey) -> Result<Option<Execution>, Error> {
        let key = [
            key.server_id.0.into(),
            key.started_at.as_microsecond().into(),
            key.id.0.into(),
        ];
        let rows = self.joined(" AND e.started_at = ? AND e.id = ?", key)?;
        Ok(rows.into_iter().next())
    }

    /// The server's executions whose other half may still come.
    pub fn open_executions(&mut self, server: ServerId) -> Result<Vec<Execution>, Error> {
        self.joined(" AND e.open", [server.0.into()])
    }

    fn joined<const N: usize>(
        &mut self,
        condition: &'static str,
        values: [Value<'_>; N],
    ) -> Result<Vec<Execution>, Error> {
        let mut sql = Sql::new(
            "SELECT e.*, q.database_name, q.normalized_sql FROM executions e \
             JOIN queries q ON q.server_id = e.server_id AND q.id = e.query_id \
             WHERE e.server_id = ?",
            [],
        );
        sql.push(condition, values);
        let rows: Vec<JoinedRow> = sql.load(self.connection)?;
        rows.into_iter().map(execution).collect()
    }

    /// The newest `limit` executions of each query, newest first.
    pub fn executions_of(
        &mut self,
        keys: &[QueryKey],
        limit: u32,
    ) -> Result<HashMap<QueryKey, Vec<Execution>>, Error> {
        let mut filter = Sql::new("", []);
        push_window(&mut filter, None, None);
        let rows = Rows {
            table: "executions",
            key: &["started_at", "id"],
            filter,
            order_by: NEWEST,
            limit,
        };
        let mut sql = rows.of_keys(
            self.connection.dialect(),
            ["server_id", "query_id"],
            &query::key_numbers(keys),
        );
        sql.push(
            "SELECT t.*, q.database_name, q.normalized_sql \
               FROM t JOIN queries q ON q.server_id = t.server_id AND q.id = t.query_id \
              ORDER BY t.started_at DESC, t.id DESC",
            [],
        );
        let rows: Vec<JoinedRow> = sql.load(self.connection)?;
        let rows = rows.into_iter().map(|row| {
            let execution = execution(row)?;
            Ok(((execution.server_id, execution.query.id), execution))
        });
        grouped(keys, rows)
    }
}

/// Newest first.
const NEWEST: &str = "x.started_at DESC, x.id DESC";

/// Restricts `x.started_at` to [`since`, `until`). Both bounds are always there, so that a partitioned table can be looked up by them.
pub(super) fn push_window(sql: &mut Sql<'_>, since: Option<Timestamp>, until: Option<Timestamp>) {
    let since = since.map_or(i64::MIN, Timestamp::as_microsecond);
    let until = until.map_or(i64::MAX, Timestamp::as_microsecond);
    sql.push(
        " AND x.started_at >= ? AND x.started_at < ?",
        [since.into(), until.into()],
    );
}

/// The server that a page asks for; `None` for all of them.
pub(super) fn one_server(server: Option<ServerId>, query: Option<QueryKey>) -> Option<i64> {
    query
        .map(|(server, _)| server)
        .or(server)
        .map(|server| server.0)
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = BigInt)]
    started_at: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// The keys of the server's open executions, where they aren't known.
pub(super) fn open_of(
    connection: &mut Connection,
    server: ServerId,
    known: Option<HashSet<ExecutionKey>>,
) -> Result<HashSet<ExecutionKey>, Error> {
    if let Some(known) = known {
        return Ok(known);
    }
    let open: Vec<Stored> = Sql::new(
        "SELECT e.started_at, e.id FROM executions e WHERE e.server_id = ? AND e.open",
        [server.0.into()],
    )
    .load(connection)?;
    open.iter()
        .map(|stored| {
            Ok(ExecutionKey {
                started_at: time("executions.started_at", stored.started_at)?,
                server_id: server,
                id: ExecutionId(stored.id),
            })
        })
        .collect()
}

/// Stores executions of one server and gives those that are new or were open: an execution closes once, and what is sent of it afterwards
/// is ignored.
pub(super) fn store<'a>(
    connection: &mut Connection,
    executions: &'a [Execution],
) -> Result<Vec<&'a Execution>, Error> {
    // Of one that is sent more than once, what it was when it closed, else the last.
    let mut latest: BTreeMap<(i64, i64), &Execution> = BTreeMap::new();
    for execution in executions {
        let key = (execution.started_at.as_microsecond(), execution.id.0);
        let entry = latest.entry(key).or_insert(execution);
        if entry.open {
            *entry = execution;
        }
    }
    let rows = latest.values().copied().map(row);
    Ok(match connection {
        Connection::Sqlite(c) => {
            let changed = Executions::changed(c, rows)?;
            let stored = latest.values().zip(changed);
            stored
                .filter_map(|(execution, changed)| changed.then_some(*execution))
                .collect()
        }
        Connection::Postgres(c) => {
            let stored = Executions::returned(c, rows, RETURNING_KEYS)?;
            stored
                .iter()
                .filter_map(|key| latest.get(key).copied())
                .collect()
        }
    })
}

/// Deletes an open execution with its plans, analysis and findings, and gives its query. A closed one is in the statistics and stays.
pub(super) fn withdraw(
    connection: &mut Connection,
    key: ExecutionKey,
) -> Result<Option<QueryId>, Error> {
    let (server, started_at, id) = (key.server_id.0, key.started_at.as_microsecond(), key.id.0);
    let open = executions::table
        .find((server, started_at, id))
        .filter(executions::open.eq(true));
    let withdrawn = diesel::delete(open).returning(executions::query_id);
    let query: Option<i64> = each!(connection, c => withdrawn.get_result(c).optional())?;
    if query.is_some() {
        let of_it = plans::table.filter(
            plans::server_id
                .eq(server)
                .and(plans::started_at.eq(started_at))
                .and(plans::execution_id.eq(id)),
        );
        each!(connection, c => diesel::delete(of_it).execute(c))?;
        let of_it = analyses::table.find((server, started_at, id));
        each!(connection, c => diesel::delete(of_it).execute(c))?;
        analysis::delete_findings(connection, &[key])?;
    }
    Ok(query.map(QueryId))
}

/// Whether the execution is stored as one of that query.
pub(super) fn exists(
    connection: &mut Connection,
    key: ExecutionKey,
    query: QueryId,
) -> Result<bool, Error> {
    let found = executions::table
        .find((key.server_id.0, key.started_at.as_microsecond(), key.id.0))
        .filter(executions::query_id.eq(query.0))
        .select(executions::id);
    let found: Option<i64> = each!(connection, c => found.first(c).optional())?;
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::{
        model::position::Server,
        store::fixture::{Fixture, at, batch, execution},
    };

    /// Two servers with executions of which many start at the same time, newest first.
    fn with_ties(fixture: &Fixture) -> Vec<Execution> {
        let mut all = Vec::new();
        for name in ["shop", "forum"] {
            let server = Server::named(name);
            fixture.store.ensure_server(&server).unwrap();
            let mut batch = batch(server.id, 0, 100);
            batch.executions = (0..9u64)
                .map(|number| Execution {
                    started_at: at(number.cast_signed() / 4),
                    ..execution(
                        server.id,
                        &format!("select {}", number % 2),
                        number,
                        number as f64,
                    )
                })
                .collect();
            fixture.ingest(&batch).unwrap();
            all.extend(batch.executions);
        }
        all.sort_by_key(|execution| std::cmp::Reverse(ExecutionKey::of(execution)));
        all
    }

    fn walk(fixture: &Fixture, mut page: ExecutionPage) -> Vec<Execution> {
        let mut all = Vec::new();
        loop {
            let rows = fixture
                .store
                .read(|reader| reader.executions(&page))
                .unwrap();
            let Some(last) = rows.last() else { return all };
            page.after = Some(ExecutionKey::of(last));
            all.extend(rows);
        }
    }

    #[test]
    fn pages_give_each_execution_once_newest_first() {
        for fixture in Fixture::each() {
            let all = with_ties(&fixture);
            for limit in 1..5 {
                let page = ExecutionPage {
                    limit,
                    ..ExecutionPage::default()
                };
                assert_eq!(walk(&fixture, page), all);
            }
        }
    }

    #[test]
    fn filters_of_a_page() {
        for fixture in Fixture::each() {
            let all = with_ties(&fixture);
            let check = |page: ExecutionPage, passes: &dyn Fn(&Execution) -> bool| {
                let expected: Vec<_> = all.iter().filter(|e| passes(e)).cloned().collect();
                assert!(!expected.is_empty() && expected.len() < all.len());
                assert_eq!(walk(&fixture, ExecutionPage { limit: 2, ..page }), expected);
            };
            let none = ExecutionPage::default();
            let server = fixture.server;
            check(
                ExecutionPage {
                    server: Some(server),
                    ..none
                },
                &|e| e.server_id == server,
            );
            let query = all[0].query.clone();
            check(
                ExecutionPage {
                    query: Some((query.server_id, query.id)),
                    ..none
                },
                &|e| e.query == query,
            );
            check(
                ExecutionPage {
                    min_duration_ms: Some(4.0),
                    ..none
                },
                &|e| e.duration_ms >= Some(4.0),
            );
            check(
                ExecutionPage {
                    since: Some(at(1)),
                    until: Some(at(2)),
                    ..none
                },
                &|e| e.started_at == at(1),
            );
        }
    }

    #[test]
    fn the_newest_of_each_query() {
        for fixture in Fixture::each() {
            let all = with_ties(&fixture);
            let mut keys: Vec<QueryKey> = all.iter().map(|e| (e.server_id, e.query.id)).collect();
            keys.sort();
            keys.push((fixture.server, QueryId(1)));
            let newest = fixture
                .store
                .read(|reader| reader.executions_of(&keys, 3))
                .unwrap();
            assert_eq!(newest.len(), 5);
            for (key, rows) in newest {
                let expected: Vec<_> = all
                    .iter()
                    .filter(|e| (e.server_id, e.query.id) == key)
                    .take(3)
                    .cloned()
                    .collect();
                assert_eq!(rows, expected);
            }
        }
    }
}

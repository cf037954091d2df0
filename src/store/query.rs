//! Queries: what identifies each, and the sums of its executions.
//!
//! A batch adds to a query's row; pages in several orders and the rows of given keys go out. The sums in the row are those of closed
//! executions; the few open ones are added at reading.

use std::collections::HashMap;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Double, Nullable, Text},
};
use jiff::Timestamp;

use super::{
    Error, Reader,
    backend::Connection,
    column::{count, text, time},
    insert::Insert,
    recent::Recent,
    sql::{Keys, Sql, Value, servers_of},
    statistics::Sums,
};
use crate::model::{
    execution::Execution,
    position::ServerId,
    query::{Query, QueryId},
};

/// A query of a server.
pub type QueryKey = (ServerId, QueryId);

/// A query with everything that its logged executions add up to, nested ones and open ones included.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRow {
    pub query: Query,
    /// The server's own query identifier, where the log tells it; the newest.
    pub server_query_id: Option<i64>,
    /// Start of the first and the newest logged execution.
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub calls: u64,
    pub failed: u64,
    pub total_ms: f64,
    /// `None` where no execution has a duration.
    pub max_ms: Option<f64>,
    /// Mean of the executions that have a duration.
    pub mean_ms: Option<f64>,
    /// How many executions the calls stand for where the log is sampled; `None` unless the sample rates were known for all of them.
    pub estimated_calls: Option<f64>,
}

impl QueryRow {
    /// What the row is sorted by in `order`: the first part of the cursor that stands after it.
    pub fn sort_value(&self, order: QueryOrder) -> f64 {
        match order {
            QueryOrder::TotalMs => self.total_ms,
            QueryOrder::MaxMs => self.max_ms.unwrap_or(0.0),
            QueryOrder::MeanMs => self.mean_ms.unwrap_or(0.0),
            QueryOrder::Calls => self.calls as f64,
            QueryOrder::LastSeen => self.last_seen.as_microsecond() as f64,
            QueryOrder::FirstSeen => self.first_seen.as_microsecond() as f64,
        }
    }
}

/// Which queries, in which order. Filters that are `None` let everything pass.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryPage {
    pub order_by: QueryOrder,
    pub server: Option<ServerId>,
    pub database_name: Option<String>,
    /// Part of the normalized text, whatever its case (ASCII letters only).
    pub contains: Option<String>,
    /// Queries with an execution of at least this length.
    pub min_max_ms: Option<f64>,
    pub limit: u32,
    /// [`QueryRow::sort_value`] and key of the last row of the page before.
    pub after: Option<(f64, ServerId, QueryId)>,
}

/// Descending all of them; ties by server, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryOrder {
    TotalMs,
    MaxMs,
    MeanMs,
    Calls,
    LastSeen,
    FirstSeen,
}

/// `summed`: the queries as [`Row`] has them. The sums of closed executions stand in the table; the few open ones are added.
const ROWS: &str = "\
WITH open AS (
  SELECT server_id, query_id, count(*) AS calls, CAST(sum(CASE WHEN failed THEN 1 ELSE 0 END) AS BIGINT) AS failed,
         count(duration_ms) AS timed_calls, coalesce(sum(duration_ms), 0.0) AS total_ms, max(duration_ms) AS max_ms,
         coalesce(sum(weight), 0.0) AS estimated_calls, count(weight) AS weighed_calls
    FROM executions
   WHERE open
   GROUP BY server_id, query_id
), summed AS (
  SELECT q.server_id, q.id, q.database_name, q.normalized_sql, q.server_query_id, q.first_seen, q.last_seen,
         q.calls + coalesce(o.calls, 0) AS calls,
         q.failed + coalesce(o.failed, 0) AS failed,
         q.total_ms + coalesce(o.total_ms, 0.0) AS total_ms,
         CASE WHEN q.max_ms IS NULL OR o.max_ms > q.max_ms THEN o.max_ms ELSE q.max_ms END AS max_ms,
         (q.total_ms + coalesce(o.total_ms, 0.0)) / nullif(q.timed_calls + coalesce(o.timed_calls, 0), 0) AS mean_ms,
         CASE WHEN q.weighed_calls + coalesce(o.weighed_calls, 0) = q.calls + coalesce(o.calls, 0)
              THEN q.estimated_calls + coalesce(o.estimated_calls, 0.0) END AS estimated_calls
    FROM queries q
    LEFT JOIN open o ON o.server_id = q.server_id AND o.query_id = q.id
)
";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    server_id: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    database_name: String,
    #[diesel(sql_type = Text)]
    normalized_sql: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    server_query_id: Option<i64>,
    #[diesel(sql_type = BigInt)]
    first_seen: i64,
    #[diesel(sql_type = BigInt)]
    last_seen: i64,
    #[diesel(sql_type = BigInt)]
    calls: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
    #[diesel(sql_type = Double)]
    total_ms: f64,
    #[diesel(sql_type = Nullable<Double>)]
    max_ms: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    mean_ms: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    estimated_calls: Option<f64>,
}

fn query_row(row: Row) -> Result<QueryRow, Error> {
    Ok(QueryRow {
        query: Query {
            server_id: ServerId(row.server_id),
            id: QueryId(row.id),
            database_name: row.database_name,
            normalized_sql: row.normalized_sql,
        },
        server_query_id: row.server_query_id,
        first_seen: time("queries.first_seen", row.first_seen)?,
        last_seen: time("queries.last_seen", row.last_seen)?,
        calls: count("queries.calls", row.calls)?,
        failed: count("queries.failed", row.failed)?,
        total_ms: row.total_ms,
        max_ms: row.max_ms,
        mean_ms: row.mean_ms,
        estimated_calls: row.estimated_calls,
    })
}

/// Keys as numbers.
pub(super) fn key_numbers(keys: &[QueryKey]) -> Vec<[i64; 2]> {
    keys.iter().map(|(server, id)| [server.0, id.0]).collect()
}

/// `wanted (server_id, query_id) AS (…)`: those queries, each once.
pub(super) const WANTED: &str = "wanted (server_id, query_id) AS MATERIALIZED (?) ";

pub(super) fn wanted<'a>(keys: &[QueryKey]) -> Value<'a> {
    Value::Keys(Keys::new(&key_numbers(keys)))
}

impl Reader<'_> {
    /// One page of queries.
    pub fn queries(&mut self, page: &QueryPage) -> Result<Vec<QueryRow>, Error> {
        let sort = match page.order_by {
            QueryOrder::TotalMs => "total_ms",
            QueryOrder::MaxMs => "coalesce(max_ms, 0.0)",
            QueryOrder::MeanMs => "coalesce(mean_ms, 0.0)",
            QueryOrder::Calls => "CAST(calls AS DOUBLE PRECISION)",
            QueryOrder::LastSeen => "CAST(last_seen AS DOUBLE PRECISION)",
            QueryOrder::FirstSeen => "CAST(first_seen AS DOUBLE PRECISION)",
        };
        let mut sql = Sql::new(ROWS, []);
        sql.push("SELECT * FROM summed WHERE true", []);
        if let Some(server) = page.server {
            sql.push(" AND server_id = ?", [server.0.into()]);
        }
        if let Some(database_name) = &page.database_name {
            sql.push(" AND database_name = ?", [database_name.as_str().into()]);
        }
        if let Some(part) = &page.contains {
            sql.push(
                " AND lower(normalized_sql) LIKE ? ESCAPE '!'",
                [contains(part).into()],
            );
        }
        if let Some(least) = page.min_max_ms {
            sql.push(" AND max_ms >= ?", [least.into()]);
        }
        if let Some((value, server, id)) = page.after {
            sql.push(
                &format!(
                    " AND {sort} <= ? AND ({sort} < ? OR server_id > ? OR server_id = ? AND id > ?)"
                ),
                [
                    value.into(),
                    value.into(),
                    server.0.into(),
                    server.0.into(),
                    id.0.into(),
                ],
            );
        }
        sql.push(
            &format!(" ORDER BY {sort} DESC, server_id, id LIMIT ?"),
            [i64::from(page.limit).into()],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        rows.into_iter().map(query_row).collect()
    }

    /// The queries of these keys that are stored, in no particular order.
    pub fn query_rows(&mut self, keys: &[QueryKey]) -> Result<Vec<QueryRow>, Error> {
        let servers = keys.iter().map(|(server, _)| *server);
        let mut sql = Sql::new(ROWS, []);
        sql.push(", ", []);
        sql.push(WANTED, [wanted(keys)]);
        sql.push(
            "SELECT summed.* FROM wanted JOIN summed ON summed.server_id = wanted.server_id AND summed.id = wanted.query_id \
              WHERE ?",
            [servers_of("summed", servers)],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        rows.into_iter().map(query_row).collect()
    }
}

/// What a batch adds to a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) query: &'a Query,
    pub(super) server_query_id: Option<i64>,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
    /// Of the executions that closed in the batch.
    pub(super) closed: Sums,
}

impl<'a> Seen<'a> {
    /// What the query's first execution of a batch says.
    pub(super) fn first(execution: &'a Execution) -> Self {
        Self {
            query: &execution.query,
            server_query_id: execution.server_query_id,
            first_seen: execution.started_at,
            last_seen: execution.started_at,
            closed: Sums::default(),
        }
    }
}

/// The pattern of LIKE, escaped with `!`, for texts that have `part` in them; both sides in lower case.
fn contains(part: &str) -> String {
    let mut pattern = String::from("%");
    for letter in part.to_ascii_lowercase().chars() {
        if matches!(letter, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[derive(QueryableByName)]
struct StoredId {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Which of these queries of a server are stored.
pub(super) fn stored_of(
    connection: &mut Connection,
    server: ServerId,
    ids: impl Iterator<Item = QueryId>,
) -> Result<Vec<QueryId>, Error> {
    let keys: Vec<QueryKey> = ids.map(|id| (server, id)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("WITH ", []);
    sql.push(WANTED, [wanted(&keys)]);
    sql.push(
        "SELECT q.id FROM wanted w JOIN queries q ON q.server_id = w.server_id AND q.id = w.query_id WHERE q.server_id = ?",
        [server.0.into()],
    );
    let rows: Vec<StoredId> = sql.load(connection)?;
    Ok(rows.into_iter().map(|row| QueryId(row.id)).collect())
}

/// Adds to the rows of queries of one server, or makes them. Gives the number of new ones.
pub(super) fn add(
    connection: &mut Connection,
    server: ServerId,
    seen: &[Seen<'_>],
    recent: &Recent,
) -> Result<u64, Error> {
    let unknown = seen.iter().map(|seen| seen.query.id);
    let unknown: Vec<QueryId> = unknown
        .filter(|id| !recent.queries.contains_key(id))
        .collect();
    let stored = stored_of(connection, server, unknown.iter().copied())?;
    Queries::execute(
        connection,
        seen.iter().map(|seen| {
            [
                server.0.into(),
                seen.query.id.0.into(),
                text(&seen.query.database_name).into(),
                text(&seen.query.normalized_sql).into(),
                seen.server_query_id.into(),
                seen.first_seen.as_microsecond().into(),
                seen.last_seen.as_microsecond().into(),
                seen.closed.calls.cast_signed().into(),
                seen.closed.failed.cast_signed().into(),
                seen.closed.timed_calls.cast_signed().into(),
                seen.closed.total_ms.into(),
                seen.closed.max_ms.into(),
                seen.closed.estimated_calls.into(),
                seen.closed.weighed_calls.cast_signed().into(),
            ]
        }),
    )?;
    Ok((unknown.len() - stored.len()) as u64)
}

/// Removes a query that has no execution, open or closed, with everything that hangs on it. True if it was removed.
pub(super) fn remove_if_unused(
    connection: &mut Connection,
    (server, id): QueryKey,
) -> Result<bool, Error> {
    let removed = Sql::new(
        "DELETE FROM queries \
         WHERE server_id = ? AND id = ? AND calls = 0 \
           AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.server_id = queries.server_id AND e.query_id = queries.id)",
        [server.0.into(), id.0.into()],
    )
    .execute(connection)?;
    Ok(removed > 0)
}

#[derive(QueryableByName)]
struct FirstSeen {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    first_seen: i64,
}

/// Starts of the first logged executions of queries of one server.
pub(super) fn first_seen(
    connection: &mut Connection,
    server: ServerId,
    ids: impl Iterator<Item = QueryId>,
) -> Result<HashMap<QueryId, Timestamp>, Error> {
    let keys: Vec<QueryKey> = ids.map(|id| (server, id)).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new("WITH ", []);
    sql.push(WANTED, [wanted(&keys)]);
    sql.push(
        "SELECT q.id, q.first_seen FROM wanted w JOIN queries q ON q.server_id = w.server_id AND q.id = w.query_id \
          WHERE q.server_id = ?",
        [server.0.into()],
    );
    let rows: Vec<FirstSeen> = sql.load(connection)?;
    rows.iter()
        .map(|row| Ok((QueryId(row.id), time("queries.first_seen", row.first_seen)?)))
        .collect()
}

struct Queries;

impl Insert for Queries {
    const INTO: &'static str = "queries (server_id, id, database_name, normalized_sql, server_query_id, first_seen, last_seen, calls, failed, timed_calls, \
           total_ms, max_ms, estimated_calls, weighed_calls)";
    const THEN: &'static str = "ON CONFLICT (server_id, id) DO UPDATE \
         SET server_query_id = coalesce(excluded.server_query_id, queries.server_query_id), \
             first_seen = CASE WHEN excluded.first_seen < queries.first_seen THEN excluded.first_seen ELSE queries.first_seen END, \
             last_seen = CASE WHEN excluded.last_seen > queries.last_seen THEN excluded.last_seen ELSE queries.last_seen END, \
             calls = queries.calls + excluded.calls, failed = queries.failed + excluded.failed, \
             timed_calls = queries.timed_calls + excluded.timed_calls, total_ms = queries.total_ms + excluded.total_ms, \
             max_ms = CASE WHEN queries.max_ms IS NULL OR excluded.max_ms > queries.max_ms THEN excluded.max_ms ELSE queries.max_ms END, \
             estimated_calls = queries.estimated_calls + excluded.estimated_calls, \
             weighed_calls = queries.weighed_calls + excluded.weighed_calls";
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::{
        model::{
            finding::{Rule, Severity},
            position::Server,
        },
        store::{
            AnalysisPage, ExecutionKey, ExecutionPage, Store,
            fixture::{Fixture, analysis, at, batch, execution, finding, plan, recommendation},
        },
    };

    /// `queries` queries spread over three servers, each with three executions, an analysis, a plan and a recommendation.
    fn fill(store: &Store, queries: usize) -> Vec<QueryKey> {
        let servers = ["one", "two", "three"].map(Server::named);
        let mut batches = servers.each_ref().map(|server| {
            store.ensure_server(server).unwrap();
            batch(server.id, 0, 10)
        });
        let mut keys = Vec::new();
        for number in 0..queries {
            let batch = &mut batches[number % 3];
            for run in 0..3 {
                let offset = (number * 3 + run) as u64;
                let sql = format!("select {number}");
                batch
                    .executions
                    .push(execution(batch.server, &sql, offset, 1.0));
            }
            let slowest = batch.executions.last().unwrap().clone();
            batch.plans.push(plan(&slowest, 0, "{}"));
            let found = vec![finding(Rule::SortSpill, Severity::Notice)];
            batch.analyses.push(analysis(&slowest, found));
            let query = slowest.query.id;
            batch.recommendations.push(recommendation(
                batch.server,
                query,
                "t (a)",
                Severity::Notice,
            ));
            keys.push((batch.server, query));
        }
        for batch in &batches {
            store.ingest(batch, &|_| Vec::new()).unwrap();
        }
        keys
    }

    /// What a document that asks for everything of its queries loads; gives the number of SQL statements.
    fn load_everything(store: &Store, queries: usize) -> u64 {
        let before = store.statements_read();
        store
            .read(|reader| {
                let rows = reader.queries(&QueryPage {
                    limit: 100,
                    ..page(QueryOrder::TotalMs)
                })?;
                let keys: Vec<QueryKey> = rows
                    .iter()
                    .map(|row| (row.query.server_id, row.query.id))
                    .collect();
                assert_eq!(keys.len(), queries);
                assert_eq!(reader.query_rows(&keys)?.len(), queries);
                let executions: Vec<ExecutionKey> = reader
                    .executions_of(&keys, 2)?
                    .values()
                    .flatten()
                    .map(ExecutionKey::of)
                    .collect();
                assert_eq!(executions.len(), 2 * queries);
                let loaded = [
                    reader.analyses_of(&keys, 10)?.values().flatten().count(),
                    reader
                        .recommendations_of(&keys, 10)?
                        .values()
                        .flatten()
                        .count(),
                    reader.findings_of(&executions)?.values().flatten().count(),
                    reader.plans_of(&executions)?.values().flatten().count(),
                ];
                assert_eq!(loaded, [queries; 4]);
                reader.breaches_of(&keys)?;
                Ok(())
            })
            .unwrap();
        store.statements_read() - before
    }

    #[test]
    fn the_number_of_statements_does_not_depend_on_the_number_of_rows() {
        let statements = [1, 10, 100].map(|queries| {
            Fixture::each()
                .map(|fixture| {
                    fill(&fixture.store, queries);
                    // The first read of a connection sets it up.
                    fixture.store.read(|reader| reader.servers()).unwrap();
                    load_everything(&fixture.store, queries)
                })
                .collect::<Vec<_>>()
        });
        // Eight loads between BEGIN and COMMIT.
        assert!(
            statements
                .iter()
                .flatten()
                .all(|statements| *statements == 10),
            "{statements:?}"
        );
    }

    #[test]
    fn no_load_goes_through_all_executions() {
        let fixture = Fixture::new();
        let keys = fill(&fixture.store, 3);
        let executions = fixture.store.read(|reader| {
            let all = reader.executions_of(&keys, 1)?;
            Ok(all.values().flatten().map(ExecutionKey::of).collect())
        });
        let executions: Vec<ExecutionKey> = executions.unwrap();
        let after = executions.first().copied();
        let limit = 10;
        let plans = fixture.query_plans(|reader| {
            reader.queries(&page(QueryOrder::TotalMs))?;
            reader.query_rows(&keys)?;
            for query in [None, Some(keys[0])] {
                for (since, after) in [(None, None), (Some(at(1)), after)] {
                    reader.executions(&ExecutionPage {
                        query,
                        since,
                        after,
                        limit,
                        ..Default::default()
                    })?;
                    reader.analyses(&AnalysisPage {
                        query,
                        since,
                        after,
                        limit,
                        ..Default::default()
                    })?;
                }
            }
            reader.executions_of(&keys, limit)?;
            reader.analyses_of(&keys, limit)?;
            reader.analyses_between(&keys, at(0), at(9), limit)?;
            reader.findings_of(&executions)?;
            reader.plans_of(&executions)?;
            reader.plan(executions[0], 0)?;
            reader.recommendations_of(&keys, limit)?;
            reader.breaches_of(&keys)?;
            reader.activity(at(0), Some(at(9)))?;
            Ok(())
        });
        // Tables and aliases of what grows with the log; `x` stops at its limit, by the order of its index.
        let grown = |line: &&String| {
            [
                "executions",
                "e",
                "x",
                "analyses",
                "a",
                "plans",
                "p",
                "findings",
                "f",
            ]
            .iter()
            .any(|name| {
                line.starts_with(&format!("SCAN {name} "))
                    || **line == format!("SCAN {name}")
                    || *name != "x"
                        && **line == format!("SEARCH {name} USING PRIMARY KEY (server_id=?)")
            })
        };
        let mut scans: Vec<_> = plans.iter().filter(grown).collect();
        scans.dedup();
        assert_eq!(scans, ["SCAN executions USING INDEX executions_open"]);
        assert!(plans.len() > 50, "the plans were read");
    }

    fn page(order_by: QueryOrder) -> QueryPage {
        QueryPage {
            order_by,
            server: None,
            database_name: None,
            contains: None,
            min_max_ms: None,
            limit: 2,
            after: None,
        }
    }

    /// Keys of all queries, page by page.
    fn walk(store: &Store, order_by: QueryOrder) -> Vec<QueryKey> {
        let mut keys = Vec::new();
        let mut page = page(order_by);
        loop {
            let rows = store.read(|reader| reader.queries(&page)).unwrap();
            let Some(last) = rows.last() else { return keys };
            page.after = Some((
                last.sort_value(order_by),
                last.query.server_id,
                last.query.id,
            ));
            keys.extend(rows.iter().map(|row| (row.query.server_id, row.query.id)));
        }
    }

    #[test]
    fn pages_give_each_query_once_in_every_order() {
        for fixture in Fixture::each() {
            let mut all = fill(&fixture.store, 7);
            let mut untimed = execution(fixture.server, "select untimed", 100, 0.0);
            untimed.duration_ms = None;
            let mut slow = execution(fixture.server, "select slow", 200, 0.1 + 0.2);
            slow.open = true;
            let mut more = batch(fixture.server, 0, 10);
            more.executions = vec![untimed.clone(), slow.clone()];
            fixture.ingest(&more).unwrap();
            all.extend([untimed, slow].map(|e| (fixture.server, e.query.id)));
            all.sort();
            for order_by in [
                QueryOrder::TotalMs,
                QueryOrder::MaxMs,
                QueryOrder::MeanMs,
                QueryOrder::Calls,
                QueryOrder::LastSeen,
                QueryOrder::FirstSeen,
            ] {
                let mut seen = walk(&fixture.store, order_by);
                seen.sort();
                assert_eq!(seen, all, "{order_by:?}");
            }
        }
    }

    #[test]
    fn a_row_sums_open_and_closed_executions() {
        for fixture in Fixture::each() {
            let mut executions =
                [1.0, 4.0, 10.0].map(|ms| execution(fixture.server, "select $1", ms as u64, ms));
            executions[0].server_query_id = Some(7);
            executions[1].failed = true;
            executions[2].open = true;
            let mut untimed = execution(fixture.server, "select $1", 20, 0.0);
            untimed.duration_ms = None;
            let query = untimed.query.clone();
            let key = (fixture.server, query.id);
            let mut all = batch(fixture.server, 0, 10);
            all.executions = executions.into_iter().chain([untimed]).collect();
            fixture.ingest(&all).unwrap();

            let unknown = (fixture.server, QueryId(0));
            let rows = fixture
                .store
                .read(|reader| reader.query_rows(&[key, key, unknown]));
            assert_eq!(
                rows.unwrap(),
                [QueryRow {
                    query,
                    server_query_id: Some(7),
                    first_seen: at(1),
                    last_seen: at(20),
                    calls: 4,
                    failed: 1,
                    total_ms: 15.0,
                    max_ms: Some(10.0),
                    mean_ms: Some(5.0),
                    estimated_calls: None,
                }]
            );
        }
    }

    #[test]
    fn an_estimate_needs_the_weight_of_every_call() {
        for fixture in Fixture::each() {
            let check = |from, weights: &[(Option<f64>, bool)], expected| {
                let mut all = batch(fixture.server, from, from + 10);
                all.executions = (from..)
                    .zip(weights)
                    .map(|(offset, (weight, open))| Execution {
                        weight: *weight,
                        open: *open,
                        ..execution(fixture.server, "select $1", offset, 1.0)
                    })
                    .collect();
                let key = (fixture.server, all.executions[0].query.id);
                fixture.ingest(&all).unwrap();
                let rows = fixture.store.read(|reader| reader.query_rows(&[key]));
                assert_eq!(rows.unwrap()[0].estimated_calls, expected);
            };
            check(
                0,
                &[(Some(2.5), false), (Some(0.0), false), (Some(1.0), true)],
                Some(3.5),
            );
            check(10, &[(Some(2.0), false)], Some(5.5));
            check(20, &[(None, false)], None);
        }
    }

    #[test]
    fn filters_of_a_page() {
        for fixture in Fixture::each() {
            let mut all = batch(fixture.server, 0, 10);
            all.executions = vec![
                execution(fixture.server, "select \"Name_%\"", 0, 1.0),
                execution(fixture.server, "select name", 1, 5.0),
            ];
            fixture.ingest(&all).unwrap();
            let check = |page: QueryPage, expected: &[&str]| {
                let rows = fixture.store.read(|reader| reader.queries(&page)).unwrap();
                let texts: Vec<_> = rows
                    .iter()
                    .map(|r| r.query.normalized_sql.as_str())
                    .collect();
                assert_eq!(texts, expected, "{page:?}");
            };
            let all = page(QueryOrder::TotalMs);
            check(all.clone(), &["select name", "select \"Name_%\""]);
            check(
                QueryPage {
                    contains: Some("NAME_%".to_owned()),
                    ..all.clone()
                },
                &["select \"Name_%\""],
            );
            check(
                QueryPage {
                    min_max_ms: Some(5.0),
                    ..all.clone()
                },
                &["select name"],
            );
            check(
                QueryPage {
                    server: Some(ServerId(1)),
                    ..all.clone()
                },
                &[],
            );
            check(
                QueryPage {
                    database_name: Some("shop".to_owned()),
                    limit: 1,
                    ..all.clone()
                },
                &["select name"],
            );
            check(
                QueryPage {
                    database_name: Some(String::new()),
                    ..all
                },
                &[],
            );
        }
    }
}

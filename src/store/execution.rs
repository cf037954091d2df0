//! Executions: rows by server, start and id.
//!
//! What pairing made comes in, open or closed; pages and the newest executions of a query go out with the texts of their queries. Nothing
//! here sums: that is `statistics`.

#![expect(
    single_use_lifetimes,
    reason = "diesel's derives name the lifetime of a row once"
)]

use std::{borrow::Cow, collections::HashMap};

use diesel::{prelude::*, sql_types::Text};
use jiff::Timestamp;

use super::{
    Error, Reader, analysis,
    column::{known, name_of, named, optional_text, ordinal, text, time},
    query::{KEYS, QueryKey, keys_json},
    schema::{analyses, executions, plans},
    sql::{Sql, Value, grouped},
};
use crate::model::{
    execution::{CallSite, DurationSource, Execution, ExecutionId, ExecutionKind, LoggedText},
    finding::Analysis,
    position::{GenerationId, Position, ServerId},
    query::{Query, QueryId},
    record::SqlState,
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

const KINDS: [(ExecutionKind, &str); 6] = [
    (ExecutionKind::Statement, "statement"),
    (ExecutionKind::Execute, "execute"),
    (ExecutionKind::Fastpath, "fastpath"),
    (ExecutionKind::PlanOnly, "plan-only"),
    (ExecutionKind::Nested, "nested"),
    (ExecutionKind::Failed, "failed"),
];
const DURATION_SOURCES: [(DurationSource, &str); 3] = [
    (DurationSource::Statement, "statement"),
    (DurationSource::Plan, "plan"),
    (DurationSource::Elapsed, "elapsed"),
];

#[derive(Insertable, AsChangeset, QueryableByName)]
#[diesel(
    table_name = executions,
    primary_key(server_id, started_at, id),
    treat_none_as_default_value = false,
    treat_none_as_null = true
)]
struct Row<'a> {
    server_id: i64,
    started_at: i64,
    id: i64,
    query_id: i64,
    generation_id: i64,
    offset_bytes: i64,
    kind: Cow<'a, str>,
    user_name: Option<Cow<'a, str>>,
    application_name: Option<Cow<'a, str>>,
    process_id: Option<i32>,
    session_id: Option<Cow<'a, str>>,
    duration_ms: Option<f64>,
    duration_source: Option<Cow<'a, str>>,
    parse_ms: Option<f64>,
    bind_ms: Option<f64>,
    rows: Option<f64>,
    sql_state: Option<Cow<'a, str>>,
    failed: bool,
    parent_id: Option<i64>,
    server_query_id: Option<i64>,
    plan_count: i64,
    open: bool,
    time_assumed: bool,
    call_function: Option<Cow<'a, str>>,
    call_line: Option<i64>,
    call_depth: Option<i64>,
    nested_count: i64,
    weight: Option<f64>,
    tags: Option<String>,
    statement: Option<Cow<'a, str>>,
    parameters: Option<Cow<'a, str>>,
}

/// A row with the text of its query.
#[derive(QueryableByName)]
pub(super) struct JoinedRow {
    #[diesel(embed)]
    execution: Row<'static>,
    #[diesel(sql_type = Text)]
    database_name: String,
    #[diesel(sql_type = Text)]
    normalized_sql: String,
}

fn row(execution: &Execution) -> Row<'_> {
    Row {
        server_id: execution.server_id.0,
        started_at: execution.started_at.as_microsecond(),
        id: execution.id.0,
        query_id: execution.query.id.0,
        generation_id: execution.position.generation.0,
        offset_bytes: execution.position.offset_bytes.cast_signed(),
        kind: Cow::Borrowed(name_of(&KINDS, execution.kind)),
        user_name: optional_text(execution.user_name.as_ref()),
        application_name: optional_text(execution.application_name.as_ref()),
        process_id: execution.process_id,
        session_id: optional_text(execution.session_id.as_ref()),
        duration_ms: execution.duration_ms,
        duration_source: execution
            .duration_source
            .map(|source| Cow::Borrowed(name_of(&DURATION_SOURCES, source))),
        parse_ms: execution.parse_ms,
        bind_ms: execution.bind_ms,
        rows: execution.rows,
        sql_state: execution.sql_state.as_ref().map(|code| text(code.as_str())),
        failed: execution.failed,
        parent_id: execution.parent_id.map(|parent| parent.0),
        server_query_id: execution.server_query_id,
        plan_count: execution.plan_count.into(),
        open: execution.open,
        time_assumed: execution.time_assumed,
        call_function: optional_text(
            execution
                .call_site
                .as_ref()
                .and_then(|site| site.function.as_ref()),
        ),
        call_line: execution
            .call_site
            .as_ref()
            .and_then(|site| site.line)
            .map(i64::from),
        call_depth: execution
            .call_site
            .as_ref()
            .map(|site| i64::from(site.depth)),
        nested_count: execution.nested_count.into(),
        weight: execution.weight,
        tags: tags_json(&execution.tags),
        statement: execution
            .logged
            .as_ref()
            .map(|logged| text(&logged.statement)),
        parameters: execution
            .logged
            .as_ref()
            .and_then(|logged| optional_text(logged.parameters.as_ref())),
    }
}

fn tags_json(tags: &[(String, String)]) -> Option<String> {
    let json = || serde_json::to_string(tags).expect("strings are JSON");
    (!tags.is_empty()).then(json)
}

pub(super) fn execution(joined: JoinedRow) -> Result<Execution, Error> {
    let row = joined.execution;
    let server_id = ServerId(row.server_id);
    Ok(Execution {
        id: ExecutionId(row.id),
        server_id,
        query: Query {
            server_id,
            id: QueryId(row.query_id),
            database_name: joined.database_name,
            normalized_sql: joined.normalized_sql,
        },
        started_at: time("executions.started_at", row.started_at)?,
        position: Position {
            generation: GenerationId(row.generation_id),
            offset_bytes: row.offset_bytes.cast_unsigned(),
        },
        kind: named(&KINDS, "executions.kind", &row.kind)?,
        user_name: row.user_name.map(Cow::into_owned),
        application_name: row.application_name.map(Cow::into_owned),
        process_id: row.process_id,
        session_id: row.session_id.map(Cow::into_owned),
        duration_ms: row.duration_ms,
        duration_source: row
            .duration_source
            .map(|source| named(&DURATION_SOURCES, "executions.duration_source", &source))
            .transpose()?,
        parse_ms: row.parse_ms,
        bind_ms: row.bind_ms,
        rows: row.rows,
        sql_state: row
            .sql_state
            .map(|code| known(SqlState::new(&code), "executions.sql_state", &code))
            .transpose()?,
        failed: row.failed,
        parent_id: row.parent_id.map(ExecutionId),
        call_site: row
            .call_depth
            .map(|depth| -> Result<_, Error> {
                Ok(CallSite {
                    function: row.call_function.map(Cow::into_owned),
                    line: row
                        .call_line
                        .map(|line| ordinal("executions.call_line", line))
                        .transpose()?,
                    depth: ordinal("executions.call_depth", depth)?,
                })
            })
            .transpose()?,
        nested_count: ordinal("executions.nested_count", row.nested_count)?,
        tags: match row.tags {
            Some(json) => known(serde_json::from_str(&json).ok(), "executions.tags", &json)?,
            None => Vec::new(),
        },
        logged: row.statement.map(|statement| LoggedText {
            statement: statement.into_owned(),
            parameters: row.parameters.map(Cow::into_owned),
        }),
        server_query_id: row.server_query_id,
        plan_count: ordinal("executions.plan_count", row.plan_count)?,
        open: row.open,
        time_assumed: row.time_assumed,
        weight: row.weight,
    })
}

impl Reader<'_> {
    /// One page of executions, newest first.
    ///
    /// Each server gives its newest `limit` by its own index, and these are merged: what is read doesn't grow with the store. CROSS JOIN
    /// keeps SQLite to that order.
    pub fn executions(&mut self, page: &ExecutionPage) -> Result<Vec<Execution>, Error> {
        let mut sql = Sql::new(
            "SELECT e.*, q.database_name, q.normalized_sql \
             FROM servers s \
             CROSS JOIN executions e \
             JOIN queries q ON q.server_id = e.server_id AND q.id = e.query_id \
             WHERE e.server_id = s.id AND (e.started_at, e.id) IN ( \
               SELECT x.started_at, x.id FROM executions x WHERE x.server_id = s.id",
            [],
        );
        if let Some((_, query)) = page.query {
            sql.push(" AND x.query_id = ?", [query.0.into()]);
        }
        if let Some(least) = page.min_duration_ms {
            sql.push(" AND x.duration_ms >= ?", [least.into()]);
        }
        push_window(&mut sql, page.since, page.until);
        if let Some(after) = page.after {
            let started_at = after.started_at.as_microsecond();
            sql.push(
                " AND x.started_at <= ? AND (x.started_at, x.server_id, x.id) < (?, ?, ?)",
                [
                    started_at.into(),
                    started_at.into(),
                    after.server_id.0.into(),
                    after.id.0.into(),
                ],
            );
        }
        sql.push(
            " ORDER BY x.started_at DESC, x.id DESC LIMIT ?)",
            [i64::from(page.limit).into()],
        );
        push_servers(&mut sql, page.server, page.query);
        sql.push(
            " ORDER BY e.started_at DESC, e.server_id DESC, e.id DESC LIMIT ?",
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
        let json = keys_json(keys);
        let mut sql = Sql::new("WITH ", []);
        sql.push(KEYS, [json.as_str().into()]);
        sql.push(
            "SELECT e.*, q.database_name, q.normalized_sql \
             FROM wanted w \
             JOIN queries q ON q.server_id = w.server_id AND q.id = w.query_id \
             CROSS JOIN executions e \
             WHERE e.server_id = w.server_id AND (e.started_at, e.id) IN ( \
               SELECT x.started_at, x.id FROM executions x \
               WHERE x.server_id = w.server_id AND x.query_id = w.query_id \
               ORDER BY x.started_at DESC, x.id DESC LIMIT ?) \
             ORDER BY e.started_at DESC, e.id DESC",
            [i64::from(limit).into()],
        );
        let rows: Vec<JoinedRow> = sql.load(self.connection)?;
        let rows = rows.into_iter().map(|row| {
            let execution = execution(row)?;
            Ok(((execution.server_id, execution.query.id), execution))
        });
        grouped(keys, rows)
    }
}

/// Restricts `x.started_at` to [`since`, `until`).
pub(super) fn push_window(sql: &mut Sql<'_>, since: Option<Timestamp>, until: Option<Timestamp>) {
    if let Some(since) = since {
        sql.push(" AND x.started_at >= ?", [since.as_microsecond().into()]);
    }
    if let Some(until) = until {
        sql.push(" AND x.started_at < ?", [until.as_microsecond().into()]);
    }
}

/// Restricts `s`, the servers, to those that a page asks for.
pub(super) fn push_servers(sql: &mut Sql<'_>, server: Option<ServerId>, query: Option<QueryKey>) {
    for server in server.into_iter().chain(query.map(|(server, _)| server)) {
        sql.push(" AND s.id = ?", [server.0.into()]);
    }
}

/// Stores the execution and says whether it has closed with this: an execution closes once, and what is sent of it afterwards is ignored.
pub(super) fn store(
    connection: &mut SqliteConnection,
    execution: &Execution,
) -> Result<bool, Error> {
    let row = row(execution);
    let inserted = diesel::insert_into(executions::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(connection)?;
    let stored = if inserted > 0 {
        inserted
    } else {
        diesel::update(
            executions::table
                .find((row.server_id, row.started_at, row.id))
                .filter(executions::open.eq(true)),
        )
        .set(&row)
        .execute(connection)?
    };
    Ok(stored > 0 && !execution.open)
}

/// Deletes an open execution with its plans, analysis and findings, and gives its query. A closed one is in the statistics and stays.
pub(super) fn withdraw(
    connection: &mut SqliteConnection,
    key: ExecutionKey,
) -> Result<Option<QueryId>, Error> {
    let (server, started_at, id) = (key.server_id.0, key.started_at.as_microsecond(), key.id.0);
    let query: Option<i64> = diesel::delete(
        executions::table
            .find((server, started_at, id))
            .filter(executions::open.eq(true)),
    )
    .returning(executions::query_id)
    .get_result(connection)
    .optional()?;
    if query.is_some() {
        diesel::delete(
            plans::table.filter(
                plans::server_id
                    .eq(server)
                    .and(plans::started_at.eq(started_at))
                    .and(plans::execution_id.eq(id)),
            ),
        )
        .execute(connection)?;
        diesel::delete(analyses::table.find((server, started_at, id))).execute(connection)?;
        analysis::delete_findings(connection, key)?;
    }
    Ok(query.map(QueryId))
}

/// Whether the execution is stored as one of that query.
pub(super) fn exists(
    connection: &mut SqliteConnection,
    key: ExecutionKey,
    query: QueryId,
) -> Result<bool, Error> {
    let found: Option<i64> = executions::table
        .find((key.server_id.0, key.started_at.as_microsecond(), key.id.0))
        .filter(executions::query_id.eq(query.0))
        .select(executions::id)
        .first(connection)
        .optional()?;
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
        let fixture = Fixture::new();
        let all = with_ties(&fixture);
        for limit in 1..5 {
            let page = ExecutionPage {
                limit,
                ..ExecutionPage::default()
            };
            assert_eq!(walk(&fixture, page), all);
        }
    }

    #[test]
    fn filters_of_a_page() {
        let fixture = Fixture::new();
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

    #[test]
    fn the_newest_of_each_query() {
        let fixture = Fixture::new();
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

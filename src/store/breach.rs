//! Breaches: a query is at most once in breach of a threshold at a time.
//!
//! What the policy says comes in, and whether that opened a breach goes out. The thresholds are not known here.

use std::collections::HashMap;

use diesel::prelude::*;

use super::{
    Error, Reader,
    backend::{Connection, each},
    column::{known, severity, severity_rank, text, time},
    execution::ExecutionKey,
    query::{self, QueryKey},
    schema::breaches,
    sql::{Sql, grouped, servers_of},
};
use crate::model::{
    breach::{Breach, BreachKind},
    execution::ExecutionId,
    position::ServerId,
    query::QueryId,
    stable_id,
};

#[derive(QueryableByName)]
#[diesel(table_name = breaches)]
struct Row {
    server_id: i64,
    query_id: i64,
    kind: String,
    opened_at: i64,
    execution_id: i64,
    execution_started_at: i64,
    severity: i64,
    message: String,
}

fn breach(row: Row) -> Result<Breach, Error> {
    Ok(Breach {
        server_id: ServerId(row.server_id),
        query_id: QueryId(row.query_id),
        kind: known(BreachKind::from_name(&row.kind), "breaches.kind", &row.kind)?,
        opened_at: time("breaches.opened_at", row.opened_at)?,
        execution_id: ExecutionId(row.execution_id),
        execution_started_at: time("breaches.execution_started_at", row.execution_started_at)?,
        severity: severity("breaches.severity", row.severity)?,
        message: row.message,
    })
}

impl Reader<'_> {
    /// The open breaches of each query, newest first.
    pub fn breaches_of(
        &mut self,
        keys: &[QueryKey],
    ) -> Result<HashMap<QueryKey, Vec<Breach>>, Error> {
        let servers = keys.iter().map(|(server, _)| *server);
        let mut sql = Sql::new("WITH ", []);
        sql.push(query::WANTED, [query::wanted(keys)]);
        sql.push(
            "SELECT b.* FROM wanted JOIN breaches b USING (server_id, query_id) \
             WHERE ? AND b.closed_at IS NULL ORDER BY b.opened_at DESC, b.id",
            [servers_of("b", servers)],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        let rows = rows.into_iter().map(|row| {
            let breach = breach(row)?;
            Ok(((breach.server_id, breach.query_id), breach))
        });
        grouped(keys, rows)
    }
}

/// Id of a breach within its server.
pub(super) fn id(breach: &Breach) -> i64 {
    stable_id(&[
        b"breach",
        &breach.query_id.0.to_be_bytes(),
        breach.kind.as_str().as_bytes(),
        &breach.execution_id.0.to_be_bytes(),
    ])
}

/// Opens the breach unless the query has one of that kind open. True if it was opened.
pub(super) fn open(connection: &mut Connection, breach: &Breach) -> Result<bool, Error> {
    let opening = diesel::insert_into(breaches::table)
        .values((
            breaches::server_id.eq(breach.server_id.0),
            breaches::id.eq(id(breach)),
            breaches::query_id.eq(breach.query_id.0),
            breaches::kind.eq(breach.kind.as_str()),
            breaches::opened_at.eq(breach.opened_at.as_microsecond()),
            breaches::execution_id.eq(breach.execution_id.0),
            breaches::execution_started_at.eq(breach.execution_started_at.as_microsecond()),
            breaches::severity.eq(severity_rank(breach.severity)),
            breaches::message.eq(text(&breach.message)),
        ))
        .on_conflict_do_nothing();
    Ok(each!(connection, c => opening.execute(c))? > 0)
}

/// Removes the breaches of the query that the execution opened.
pub(super) fn remove(
    connection: &mut Connection,
    execution: ExecutionKey,
    query: QueryId,
) -> Result<(), Error> {
    let opened_by_it = breaches::table.filter(
        breaches::server_id
            .eq(execution.server_id.0)
            .and(breaches::query_id.eq(query.0))
            .and(breaches::execution_id.eq(execution.id.0)),
    );
    each!(connection, c => diesel::delete(opened_by_it).execute(c))?;
    Ok(())
}

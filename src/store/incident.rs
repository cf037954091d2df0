//! Incidents: rows by server, time and position of their record.
//!
//! What pairing made comes in, some of it with its execution, the rest with that later; the incidents of queries and of executions go out.

use std::collections::HashMap;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Double, Nullable, Text},
};

use super::{
    Error, Reader,
    backend::Connection,
    column::{known, optional_time, time},
    execution::ExecutionKey,
    insert::Insert,
    plan,
    query::{self, QueryKey},
    sql::{Sql, grouped},
    top::Rows,
};
use crate::model::{
    execution::ExecutionId,
    incident::{Incident, IncidentExecution, IncidentFacts, IncidentKind, LOCK_MODES, LOCK_TYPES},
    position::{GenerationId, Position, ServerId},
    query::QueryId,
};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    server_id: i64,
    #[diesel(sql_type = BigInt)]
    log_time: i64,
    #[diesel(sql_type = BigInt)]
    generation_id: i64,
    #[diesel(sql_type = BigInt)]
    offset_bytes: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    query_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    started_at: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    execution_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    size_bytes: Option<i64>,
    #[diesel(sql_type = Nullable<Double>)]
    wait_ms: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    lock_mode: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    lock_type: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    waiting_pid: Option<i64>,
    #[diesel(sql_type = Text)]
    holder_pids: String,
}

fn incident(row: &Row) -> Result<Incident, Error> {
    let started_at = optional_time("incidents.started_at", row.started_at)?;
    let word = |words: &[&'static str], column, stored: &Option<String>| {
        let stored = stored.as_deref();
        let find = |stored| words.iter().copied().find(|word| *word == stored);
        stored
            .map(|stored| known(find(stored), column, stored))
            .transpose()
    };
    Ok(Incident {
        server_id: ServerId(row.server_id),
        position: Position {
            generation: GenerationId(row.generation_id),
            offset_bytes: row.offset_bytes.cast_unsigned(),
        },
        log_time: time("incidents.log_time", row.log_time)?,
        query_id: row.query_id.map(QueryId),
        execution: started_at.zip(row.execution_id.map(ExecutionId)),
        facts: IncidentFacts {
            kind: known(
                IncidentKind::from_name(&row.kind),
                "incidents.kind",
                &row.kind,
            )?,
            size_bytes: row.size_bytes.map(i64::cast_unsigned),
            wait_ms: row.wait_ms,
            lock_mode: word(&LOCK_MODES, "incidents.lock_mode", &row.lock_mode)?,
            lock_type: word(&LOCK_TYPES, "incidents.lock_type", &row.lock_type)?,
            waiting_pid: row.waiting_pid.and_then(|pid| i32::try_from(pid).ok()),
            holder_pids: known(
                serde_json::from_str(&row.holder_pids).ok(),
                "incidents.holder_pids",
                &row.holder_pids,
            )?,
        },
    })
}

/// The primary key without the server.
const KEY: &[&str] = &["log_time", "generation_id", "offset_bytes"];

impl Reader<'_> {
    /// The newest `limit` incidents of each query, newest first.
    pub fn incidents_of_queries(
        &mut self,
        keys: &[QueryKey],
        limit: u32,
    ) -> Result<HashMap<QueryKey, Vec<Incident>>, Error> {
        let rows = Rows {
            table: "incidents",
            key: KEY,
            filter: Sql::new("", []),
            order_by: "x.log_time DESC, x.generation_id DESC, x.offset_bytes DESC",
            limit,
        };
        let mut sql = rows.of_keys(
            self.connection.dialect(),
            ["server_id", "query_id"],
            &query::key_numbers(keys),
        );
        sql.push(
            "SELECT * FROM t ORDER BY log_time DESC, generation_id DESC, offset_bytes DESC",
            [],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        let rows = rows.iter().filter_map(|row| {
            let query = QueryId(row.query_id?);
            Some(incident(row).map(|incident| ((incident.server_id, query), incident)))
        });
        grouped(keys, rows)
    }

    /// The first `limit` incidents of each execution, in the order logged.
    pub fn incidents_of(
        &mut self,
        executions: &[ExecutionKey],
        limit: u32,
    ) -> Result<HashMap<ExecutionKey, Vec<Incident>>, Error> {
        let rows = Rows {
            table: "incidents",
            key: KEY,
            filter: Sql::new("", []),
            order_by: "x.log_time, x.generation_id, x.offset_bytes",
            limit,
        };
        let mut sql = rows.of_keys(
            self.connection.dialect(),
            ["server_id", "started_at", "execution_id"],
            &plan::key_numbers(executions),
        );
        sql.push(
            "SELECT * FROM t ORDER BY log_time, generation_id, offset_bytes",
            [],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        let rows = rows.iter().filter_map(|row| {
            let read = incident(row);
            let key = match &read {
                Ok(incident) => {
                    let (started_at, id) = incident.execution?;
                    ExecutionKey {
                        started_at,
                        server_id: incident.server_id,
                        id,
                    }
                }
                Err(_) => *executions.first()?,
            };
            Some(read.map(|incident| (key, incident)))
        });
        grouped(executions, rows)
    }
}

/// Stores new incidents; of one that is stored already nothing is changed.
pub(super) fn store(connection: &mut Connection, incidents: &[Incident]) -> Result<(), Error> {
    Incidents::execute(
        connection,
        incidents.iter().map(|incident| {
            let facts = &incident.facts;
            let started_at = incident
                .execution
                .map(|(started_at, _)| started_at.as_microsecond());
            [
                incident.server_id.0.into(),
                incident.log_time.as_microsecond().into(),
                incident.position.generation.0.into(),
                incident.position.offset_bytes.cast_signed().into(),
                facts.kind.as_str().into(),
                incident.query_id.map(|query| query.0).into(),
                started_at.into(),
                incident.execution.map(|(_, id)| id.0).into(),
                facts.size_bytes.map(u64::cast_signed).into(),
                facts.wait_ms.into(),
                facts.lock_mode.into(),
                facts.lock_type.into(),
                facts.waiting_pid.map(i64::from).into(),
                serde_json::to_string(&facts.holder_pids)
                    .expect("numbers are JSON")
                    .into(),
            ]
        }),
    )?;
    Ok(())
}

/// Gives stored incidents their executions and queries.
pub(super) fn attach(
    connection: &mut Connection,
    server: ServerId,
    executions: &[IncidentExecution],
) -> Result<(), Error> {
    for found in executions {
        Sql::new(
            "UPDATE incidents SET query_id = ?, started_at = ?, execution_id = ? \
             WHERE server_id = ? AND log_time = ? AND generation_id = ? AND offset_bytes = ?",
            [
                found.query_id.0.into(),
                found.started_at.as_microsecond().into(),
                found.execution_id.0.into(),
                server.0.into(),
                found.log_time.as_microsecond().into(),
                found.position.generation.0.into(),
                found.position.offset_bytes.cast_signed().into(),
            ],
        )
        .execute(connection)?;
    }
    Ok(())
}

struct Incidents;

impl Insert for Incidents {
    const INTO: &'static str = "incidents (server_id, log_time, generation_id, offset_bytes, kind, query_id, started_at, execution_id, \
           size_bytes, wait_ms, lock_mode, lock_type, waiting_pid, holder_pids)";
    const THEN: &'static str = "ON CONFLICT DO NOTHING";
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::store::fixture::{Fixture, at, batch, execution, only};

    fn temporary_file(server: ServerId, offset_bytes: u64, query: QueryId) -> Incident {
        Incident {
            server_id: server,
            position: Position {
                generation: GenerationId(-3),
                offset_bytes,
            },
            log_time: at(offset_bytes.cast_signed()),
            query_id: Some(query),
            execution: None,
            facts: IncidentFacts {
                size_bytes: Some(1 << 40),
                ..IncidentFacts::of(IncidentKind::TemporaryFile)
            },
        }
    }

    #[test]
    fn incidents_of_queries_and_executions() {
        for fixture in Fixture::each() {
            let server = fixture.server;
            let sorted = execution(server, "select a order by b", 5, 9.0);
            let key = ExecutionKey::of(&sorted);
            let query = sorted.query.id;
            let mut first = temporary_file(server, 1, query);
            let mut second = temporary_file(server, 2, query);
            second.facts = IncidentFacts {
                size_bytes: None,
                wait_ms: Some(1000.5),
                lock_mode: Some("ShareLock"),
                lock_type: Some("transactionid"),
                waiting_pid: Some(7),
                holder_pids: vec![8, 9],
                ..IncidentFacts::of(IncidentKind::LockWait)
            };
            let mut unattributed = temporary_file(server, 3, query);
            unattributed.query_id = None;
            let mut given = batch(server, 0, 100);
            given.incidents = vec![first.clone(), second.clone(), unattributed];
            given.incident_executions = vec![IncidentExecution {
                position: first.position,
                log_time: first.log_time,
                started_at: sorted.started_at,
                execution_id: sorted.id,
                query_id: query,
            }];
            given.executions = vec![sorted.clone()];
            fixture.ingest(&given).unwrap();
            let of = |limit| {
                fixture.store.read(|reader| {
                    let by_query = reader.incidents_of_queries(&[(server, query)], limit)?;
                    let by_execution = reader.incidents_of(&[key], limit)?;
                    Ok((
                        by_query[&(server, query)].clone(),
                        by_execution[&key].clone(),
                    ))
                })
            };
            first.execution = Some((sorted.started_at, sorted.id));
            assert_eq!(
                of(10).unwrap(),
                (vec![second.clone(), first.clone()], vec![first.clone()])
            );
            assert_eq!(of(1).unwrap().0, [second.clone()]);

            // The other's execution comes with a later batch; what is stored stays.
            let mut later = batch(server, 100, 200);
            let mut again = first.clone();
            again.query_id = None;
            later.incidents = vec![again];
            later.incident_executions = vec![IncidentExecution {
                position: second.position,
                log_time: second.log_time,
                ..given.incident_executions[0]
            }];
            fixture.ingest(&later).unwrap();
            second.execution = first.execution;
            assert_eq!(
                of(10).unwrap(),
                (vec![second.clone(), first.clone()], vec![first, second])
            );
        }
    }

    #[test]
    fn counts_add_up() {
        for fixture in Fixture::each() {
            for to_bytes in [100, 200] {
                let mut batch = batch(fixture.server, to_bytes - 100, to_bytes);
                batch.accounting.incidents.insert(IncidentKind::Deadlock, 2);
                fixture.ingest(&batch).unwrap();
            }
            let counts = fixture.store.read(|reader| reader.accounting()).unwrap();
            let counts = only(fixture.server, counts).incidents;
            assert_eq!(
                counts.into_iter().collect::<Vec<_>>(),
                [(IncidentKind::Deadlock, 4)]
            );
        }
    }

    #[test]
    fn lists_are_read_by_their_indexes() {
        let fixture = Fixture::new();
        let some = execution(fixture.server, "select 1", 5, 9.0);
        let plans = fixture.query_plans(|reader| {
            reader.incidents_of_queries(&[(fixture.server, some.query.id)], 10)?;
            reader.incidents_of(&[ExecutionKey::of(&some)], 10)?;
            Ok(())
        });
        for index in ["incidents_of_query", "incidents_of_execution"] {
            assert!(plans.iter().any(|line| line.contains(index)), "{plans:#?}");
        }
        assert!(
            !plans
                .iter()
                .any(|line| line.contains("SCAN i") || line.contains("SCAN x")),
            "{plans:#?}"
        );
    }
}

//! What two readings of the same log must agree on, execution by execution: for holding a store against its logs.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool, Double, Nullable},
};
use jiff::Timestamp;

use super::{
    Error, Reader,
    backend::each,
    checkpoint::REASONS,
    column::{count, named, time},
    schema::gaps,
    sql::Sql,
};
use crate::model::{
    execution::ExecutionId,
    position::{Gap, GenerationId, Position, ServerId},
};

/// What identifies an execution and what the log says of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExecutionMark {
    pub started_at: Timestamp,
    pub id: ExecutionId,
    pub position: Position,
    pub duration_ms: Option<f64>,
    pub plan_count: u64,
    pub failed: bool,
    /// Its other half may still come, with more to say of it.
    pub open: bool,
    /// The log doesn't tell when; another reading says another time.
    pub time_assumed: bool,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    started_at: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    generation_id: i64,
    #[diesel(sql_type = BigInt)]
    offset_bytes: i64,
    #[diesel(sql_type = Nullable<Double>)]
    duration_ms: Option<f64>,
    #[diesel(sql_type = BigInt)]
    plan_count: i64,
    #[diesel(sql_type = Bool)]
    failed: bool,
    #[diesel(sql_type = Bool)]
    open: bool,
    #[diesel(sql_type = Bool)]
    time_assumed: bool,
}

impl Reader<'_> {
    /// The server's gaps, by generation and where they begin.
    pub fn gaps(&mut self, server: ServerId) -> Result<Vec<Gap>, Error> {
        let of_server = gaps::table
            .filter(gaps::server_id.eq(server.0))
            .order((gaps::generation_id, gaps::from_bytes))
            .select((
                gaps::generation_id,
                gaps::from_bytes,
                gaps::to_bytes,
                gaps::reason,
            ));
        let rows: Vec<(i64, i64, Option<i64>, String)> =
            each!(&mut *self.connection, c => of_server.load(c))?;
        rows.into_iter()
            .map(|(generation, from_bytes, to_bytes, reason)| {
                Ok(Gap {
                    generation: GenerationId(generation),
                    from_bytes: from_bytes.cast_unsigned(),
                    to_bytes: to_bytes.map(i64::cast_unsigned),
                    reason: named(&REASONS, "gaps.reason", &reason)?,
                })
            })
            .collect()
    }

    /// The next `limit` executions of the server, oldest first, after the one with that start and id.
    pub fn execution_marks(
        &mut self,
        server: ServerId,
        after: Option<(Timestamp, ExecutionId)>,
        limit: u32,
    ) -> Result<Vec<ExecutionMark>, Error> {
        let (started_at, id) = after.map_or((i64::MIN, i64::MIN), |(started_at, id)| {
            (started_at.as_microsecond(), id.0)
        });
        let rows: Vec<Row> = Sql::new(
            "SELECT started_at, id, generation_id, offset_bytes, duration_ms, plan_count, failed, open, time_assumed \
               FROM executions \
              WHERE server_id = ? AND started_at >= ? AND (started_at, id) > (?, ?) \
              ORDER BY started_at, id LIMIT ?",
            [
                server.0.into(),
                started_at.into(),
                started_at.into(),
                id.into(),
                i64::from(limit).into(),
            ],
        )
        .load(self.connection)?;
        rows.iter().map(mark).collect()
    }
}

fn mark(row: &Row) -> Result<ExecutionMark, Error> {
    Ok(ExecutionMark {
        started_at: time("executions.started_at", row.started_at)?,
        id: ExecutionId(row.id),
        position: Position {
            generation: GenerationId(row.generation_id),
            offset_bytes: row.offset_bytes.cast_unsigned(),
        },
        duration_ms: row.duration_ms,
        plan_count: count("executions.plan_count", row.plan_count)?,
        failed: row.failed,
        open: row.open,
        time_assumed: row.time_assumed,
    })
}

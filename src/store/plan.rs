//! Captured plans: one compressed document each, and the shapes that a query's plans have had.
//!
//! Plans come in as trees with their redacted documents; the documents go out, the trees don't. What is in a document is not known here.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Double, Text},
};
use jiff::Timestamp;
use zstd::bulk::Compressor;

use super::{
    Error, Reader,
    backend::Connection,
    column::{known, ordinal, text, time},
    execution::ExecutionKey,
    insert::Insert,
    sql::{Keys, Sql, Value, grouped, servers_of},
};
use crate::model::{
    execution::{CapturedPlan, Execution, ExecutionId},
    plan::{PlanFormat, PlanShape},
    position::ServerId,
    query::{Query, QueryId},
};

/// A captured plan as it is kept: the document and what identifies it, not the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPlan {
    pub ordinal: u32,
    pub shape: PlanShape,
    /// Executor time in milliseconds.
    pub duration_ms: f64,
    /// auto_explain.log_format that it was captured in; the document is JSON whatever it says.
    pub format: PlanFormat,
    /// EXPLAIN-shaped JSON, redacted.
    pub document: String,
}

/// Logged plans shrink to an eighth at this level; level 3 saves 6 % of that.
const COMPRESSION_LEVEL: i32 = 1;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    server_id: i64,
    #[diesel(sql_type = BigInt)]
    started_at: i64,
    #[diesel(sql_type = BigInt)]
    execution_id: i64,
    #[diesel(sql_type = BigInt)]
    ordinal: i64,
    #[diesel(sql_type = BigInt)]
    shape: i64,
    #[diesel(sql_type = Double)]
    duration_ms: f64,
    #[diesel(sql_type = Text)]
    format: String,
    #[diesel(sql_type = Binary)]
    document: Vec<u8>,
}

fn stored_plan(row: &Row) -> Result<(ExecutionKey, StoredPlan), Error> {
    let document = zstd::decode_all(row.document.as_slice()).map_err(Error::Document)?;
    let plan = StoredPlan {
        ordinal: ordinal("plans.ordinal", row.ordinal)?,
        shape: PlanShape(row.shape),
        duration_ms: row.duration_ms,
        format: known(
            PlanFormat::from_name(&row.format),
            "plans.format",
            &row.format,
        )?,
        document: String::from_utf8(document)
            .map_err(|error| Error::Document(std::io::Error::other(error)))?,
    };
    let key = ExecutionKey {
        started_at: time("plans.started_at", row.started_at)?,
        server_id: ServerId(row.server_id),
        id: ExecutionId(row.execution_id),
    };
    Ok((key, plan))
}

/// Keys of executions as numbers.
pub(super) fn key_numbers(keys: &[ExecutionKey]) -> Vec<[i64; 3]> {
    let numbers = |key: &ExecutionKey| [key.server_id.0, key.started_at.as_microsecond(), key.id.0];
    keys.iter().map(numbers).collect()
}

/// `WITH wanted (server_id, started_at, execution_id) AS (…)`: those executions, each once.
pub(super) fn wanted<'a>(keys: &[ExecutionKey]) -> Sql<'a> {
    Sql::new(
        "WITH wanted (server_id, started_at, execution_id) AS MATERIALIZED (?) ",
        [Value::Keys(Keys::new(&key_numbers(keys)))],
    )
}

/// Conditions on the table: its rows are of one of the servers, and between the first and the last of the executions. The join with `wanted`
/// says more; this says where to look.
pub(super) fn push_places(sql: &mut Sql<'_>, table: &'static str, keys: &[ExecutionKey]) {
    let times = keys.iter().map(|key| key.started_at.as_microsecond());
    let (first, last) = (times.clone().min(), times.max());
    sql.push(
        &format!(" AND ? AND {table}.started_at >= ? AND {table}.started_at <= ?"),
        [
            servers_of(table, keys.iter().map(|key| key.server_id)),
            first.unwrap_or(i64::MAX).into(),
            last.unwrap_or(i64::MIN).into(),
        ],
    );
}

impl Reader<'_> {
    /// Every plan of each execution, in the order logged.
    pub fn plans_of(
        &mut self,
        executions: &[ExecutionKey],
    ) -> Result<HashMap<ExecutionKey, Vec<StoredPlan>>, Error> {
        let mut sql = wanted(executions);
        sql.push(
            "SELECT p.* FROM wanted JOIN plans p USING (server_id, started_at, execution_id) WHERE true",
            [],
        );
        push_places(&mut sql, "p", executions);
        sql.push(" ORDER BY p.ordinal", []);
        let rows: Vec<Row> = sql.load(self.connection)?;
        grouped(executions, rows.iter().map(stored_plan))
    }

    /// One plan.
    pub fn plan(
        &mut self,
        execution: ExecutionKey,
        ordinal: u32,
    ) -> Result<Option<StoredPlan>, Error> {
        let sql = Sql::new(
            "SELECT * FROM plans WHERE server_id = ? AND started_at = ? AND execution_id = ? AND ordinal = ?",
            [
                execution.server_id.0.into(),
                execution.started_at.as_microsecond().into(),
                execution.id.0.into(),
                i64::from(ordinal).into(),
            ],
        );
        let row: Option<Row> = sql.first(self.connection)?;
        row.map(|row| Ok(stored_plan(&row)?.1)).transpose()
    }
}

/// Stores plans, each of one of `executions`; one captured again replaces what was there.
pub(super) fn store(
    connection: &mut Connection,
    server: ServerId,
    captured: &[CapturedPlan],
    executions: &[Execution],
) -> Result<(), Error> {
    struct Shape<'a> {
        root_node_type: &'a str,
        first_seen: i64,
        last_seen: i64,
    }
    if captured.is_empty() {
        return Ok(());
    }
    let queries: HashMap<(ExecutionId, Timestamp), &Query> = executions
        .iter()
        .map(|execution| ((execution.id, execution.started_at), &execution.query))
        .collect();
    let mut rows = BTreeMap::new();
    let mut shapes: BTreeMap<(QueryId, PlanShape), Shape<'_>> = BTreeMap::new();
    for plan in captured {
        let query = queries
            .get(&(plan.execution_id, plan.started_at))
            .copied()
            .ok_or(Error::PlanWithoutExecution {
                execution_id: plan.execution_id.0,
            })?;
        let started_at = plan.started_at.as_microsecond();
        let document = compress(&plan.plan.document)?;
        // Of a plan that is sent more than once, the last.
        rows.insert(
            (started_at, plan.execution_id.0, plan.ordinal),
            [
                server.0.into(),
                started_at.into(),
                plan.execution_id.0.into(),
                i64::from(plan.ordinal).into(),
                query.id.0.into(),
                plan.plan.shape.0.into(),
                plan.duration_ms.into(),
                plan.format.as_str().into(),
                document.into(),
            ],
        );
        if query.is_other() {
            // Of many queries together: their shapes have no history, and nothing would bound their number.
            continue;
        }
        let shape = shapes.entry((query.id, plan.plan.shape)).or_insert(Shape {
            root_node_type: &plan.plan.root.node_type,
            first_seen: started_at,
            last_seen: started_at,
        });
        shape.first_seen = shape.first_seen.min(started_at);
        shape.last_seen = shape.last_seen.max(started_at);
    }
    Plans::execute(connection, rows.into_values())?;
    PlanShapes::execute(
        connection,
        shapes.into_iter().map(|((query, id), shape)| {
            [
                server.0.into(),
                query.0.into(),
                id.0.into(),
                shape.first_seen.into(),
                shape.last_seen.into(),
                text(shape.root_node_type).into(),
            ]
        }),
    )?;
    Ok(())
}

/// A thread's compressor is used again: making one costs more than to compress a plan.
fn compress(document: &str) -> Result<Vec<u8>, Error> {
    thread_local! {
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|compressor| {
        let compressor = match compressor {
            Some(compressor) => compressor,
            None => compressor.insert(Compressor::new(COMPRESSION_LEVEL).map_err(Error::Document)?),
        };
        let frame = compressor.compress(document.as_bytes());
        frame.map_err(Error::Document)
    })
}

struct Plans;

impl Insert for Plans {
    const INTO: &'static str = "plans (server_id, started_at, execution_id, ordinal, query_id, shape, duration_ms, format, document)";
    const THEN: &'static str = "ON CONFLICT (server_id, started_at, execution_id, ordinal) DO UPDATE \
         SET query_id = excluded.query_id, shape = excluded.shape, duration_ms = excluded.duration_ms, \
             format = excluded.format, document = excluded.document";
}

struct PlanShapes;

impl Insert for PlanShapes {
    const INTO: &'static str =
        "plan_shapes (server_id, query_id, shape, first_seen, last_seen, root_node_type)";
    const THEN: &'static str = "ON CONFLICT (server_id, query_id, shape) DO UPDATE \
         SET first_seen = CASE WHEN excluded.first_seen < plan_shapes.first_seen THEN excluded.first_seen ELSE plan_shapes.first_seen END, \
             last_seen = CASE WHEN excluded.last_seen > plan_shapes.last_seen THEN excluded.last_seen ELSE plan_shapes.last_seen END";
}

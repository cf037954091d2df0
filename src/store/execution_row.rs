//! The row of an execution: one column for each of its fields.
//!
//! An execution comes in and its row goes out, and back with the text of its query. What is stored and doesn't belong there is an error that
//! names the column.

use diesel::{prelude::*, sql_types::Text};

use super::{
    Error,
    column::{known, name_of, named, optional_text, ordinal, text, time},
    insert::Insert,
    schema::executions,
    sql::Scalar,
};
use crate::model::{
    execution::{CallSite, DurationSource, Execution, ExecutionId, ExecutionKind, LoggedText},
    position::{GenerationId, Position, ServerId},
    query::{Query, QueryId},
    record::SqlState,
};

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

/// Executions with the columns of [`row`]. A row that is there is replaced while it is open.
pub(super) struct Executions;

/// Of the rows that were inserted or replaced.
pub(super) const RETURNING_KEYS: &str = " RETURNING started_at, id";

macro_rules! insert_executions {
    (($($key:ident)+) $first:ident $($column:ident)*) => {
        impl Insert for Executions {
            const INTO: &'static str = concat!(
                "executions (", $(stringify!($key), ", ",)+ stringify!($first), $(", ", stringify!($column),)* ")"
            );
            const THEN: &'static str = concat!(
                "ON CONFLICT (server_id, started_at, id) DO UPDATE SET ",
                stringify!($first), " = excluded.", stringify!($first),
                $(", ", stringify!($column), " = excluded.", stringify!($column),)*
                " WHERE executions.open"
            );
        }
    };
}

insert_executions! {
    (server_id started_at id)
    query_id generation_id offset_bytes kind user_name application_name process_id session_id duration_ms duration_source parse_ms bind_ms rows
    sql_state failed parent_id server_query_id plan_count open time_assumed call_function call_line call_depth nested_count weight tags
    statement parameters
}

#[derive(QueryableByName)]
#[diesel(table_name = executions)]
struct Row {
    server_id: i64,
    started_at: i64,
    id: i64,
    query_id: i64,
    generation_id: i64,
    offset_bytes: i64,
    kind: String,
    user_name: Option<String>,
    application_name: Option<String>,
    process_id: Option<i64>,
    session_id: Option<String>,
    duration_ms: Option<f64>,
    duration_source: Option<String>,
    parse_ms: Option<f64>,
    bind_ms: Option<f64>,
    rows: Option<f64>,
    sql_state: Option<String>,
    failed: bool,
    parent_id: Option<i64>,
    server_query_id: Option<i64>,
    plan_count: i64,
    open: bool,
    time_assumed: bool,
    call_function: Option<String>,
    call_line: Option<i64>,
    call_depth: Option<i64>,
    nested_count: i64,
    weight: Option<f64>,
    tags: Option<String>,
    statement: Option<String>,
    parameters: Option<String>,
}

/// A row with the text of its query.
#[derive(QueryableByName)]
pub(super) struct JoinedRow {
    #[diesel(embed)]
    execution: Row,
    #[diesel(sql_type = Text)]
    database_name: String,
    #[diesel(sql_type = Text)]
    normalized_sql: String,
}

/// The values for [`Executions`].
pub(super) fn row(execution: &Execution) -> [Scalar<'_>; 31] {
    let site = execution.call_site.as_ref();
    let logged = execution.logged.as_ref();
    let source = |source| name_of(&DURATION_SOURCES, source);
    [
        execution.server_id.0.into(),
        execution.started_at.as_microsecond().into(),
        execution.id.0.into(),
        execution.query.id.0.into(),
        execution.position.generation.0.into(),
        execution.position.offset_bytes.cast_signed().into(),
        name_of(&KINDS, execution.kind).into(),
        optional_text(execution.user_name.as_ref()).into(),
        optional_text(execution.application_name.as_ref()).into(),
        execution.process_id.map(i64::from).into(),
        optional_text(execution.session_id.as_ref()).into(),
        execution.duration_ms.into(),
        execution.duration_source.map(source).into(),
        execution.parse_ms.into(),
        execution.bind_ms.into(),
        execution.rows.into(),
        execution
            .sql_state
            .as_ref()
            .map(|code| text(code.as_str()))
            .into(),
        execution.failed.into(),
        execution.parent_id.map(|parent| parent.0).into(),
        execution.server_query_id.into(),
        i64::from(execution.plan_count).into(),
        execution.open.into(),
        execution.time_assumed.into(),
        optional_text(site.and_then(|site| site.function.as_ref())).into(),
        site.and_then(|site| site.line).map(i64::from).into(),
        site.map(|site| i64::from(site.depth)).into(),
        i64::from(execution.nested_count).into(),
        execution.weight.into(),
        tags_json(&execution.tags).into(),
        logged.map(|logged| text(&logged.statement)).into(),
        logged
            .and_then(|logged| optional_text(logged.parameters.as_ref()))
            .into(),
    ]
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
        user_name: row.user_name,
        application_name: row.application_name,
        process_id: row.process_id.and_then(|pid| i32::try_from(pid).ok()),
        session_id: row.session_id,
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
                    function: row.call_function,
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
            statement,
            parameters: row.parameters,
        }),
        server_query_id: row.server_query_id,
        plan_count: ordinal("executions.plan_count", row.plan_count)?,
        open: row.open,
        time_assumed: row.time_assumed,
        weight: row.weight,
    })
}

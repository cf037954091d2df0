//! The row of an execution: one column for each of its fields.
//!
//! An execution comes in and its row goes out, and back with the text of its query. What is stored and doesn't belong there is an error that
//! names the column.

#![expect(
    single_use_lifetimes,
    reason = "diesel's derives name the lifetime of a row once"
)]

use std::borrow::Cow;

use diesel::{prelude::*, sql_types::Text};

use super::{
    Error,
    column::{known, name_of, named, optional_text, ordinal, text, time},
    schema::executions,
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

#[derive(Insertable, AsChangeset, QueryableByName)]
#[diesel(
    table_name = executions,
    primary_key(server_id, started_at, id),
    treat_none_as_default_value = false,
    treat_none_as_null = true
)]
pub(super) struct Row<'a> {
    pub(super) server_id: i64,
    pub(super) started_at: i64,
    pub(super) id: i64,
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

pub(super) fn row(execution: &Execution) -> Row<'_> {
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

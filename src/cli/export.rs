//! `plantail export`: the executions as JSON lines, newest first, a page in memory at a time.
//!
//! The keys are the names of the fields in GraphQL, times RFC 3339 UTC, durations milliseconds.

use std::collections::HashMap;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Error, output};
use crate::{
    config::Settings,
    model::{
        execution::{Execution, ExecutionKind},
        position::{Server, ServerId},
        public_id::PublicId,
        record::SqlState,
        visible::visible_json,
    },
    store::{ExecutionKey, ExecutionPage, Store},
};

/// Print the executions as JSON lines, newest first
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Only of this server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only those that started then or later: 2026-11-20T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only those that started before
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

/// Executions in memory.
const PAGE: u32 = 1000;

pub(super) fn run(export: &Export, settings: &Settings) -> Result<(), Error> {
    let store = Store::open_existing(&settings.daemon.store)?;
    let servers: HashMap<ServerId, Server> = store
        .read(|reader| reader.servers())?
        .into_iter()
        .map(|row| (row.server.id, row.server))
        .collect();
    let server = export.server.as_deref().map(Server::named);
    if let Some(server) = &server
        && !servers.contains_key(&server.id)
    {
        return Err(Error::Failed(format!(
            "the store has no server {:?}",
            server.name
        )));
    }
    let mut page = ExecutionPage {
        server: server.map(|server| server.id),
        since: export.since,
        until: export.until,
        limit: PAGE,
        ..ExecutionPage::default()
    };
    loop {
        let executions = store.read(|reader| reader.executions(&page))?;
        let Some(last) = executions.last() else {
            return Ok(());
        };
        page.after = Some(ExecutionKey::of(last));
        let lines: Vec<String> = executions
            .iter()
            .map(|execution| visible_json(&line(execution, &servers).to_string()))
            .collect();
        if !output::line_of_many(&lines.join("\n"))? {
            return Ok(());
        }
    }
}

fn line(execution: &Execution, servers: &HashMap<ServerId, Server>) -> Value {
    let query = &execution.query;
    let id = PublicId::Execution(execution.server_id, execution.started_at, execution.id);
    let site = execution.call_site.as_ref();
    let logged = execution.logged.as_ref();
    let tags: Vec<Value> = execution
        .tags
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    json!({
        "id": id.to_string(),
        "server": servers.get(&execution.server_id).map(|server| &server.name),
        "query": {
            "id": PublicId::Query(query.server_id, query.id).to_string(),
            "databaseName": query.database_name,
            "normalizedSql": query.normalized_sql,
        },
        "startedAt": execution.started_at.to_string(),
        "kind": kind(execution.kind),
        "userName": execution.user_name,
        "applicationName": execution.application_name,
        "processId": execution.process_id,
        "sessionId": execution.session_id,
        "durationMs": execution.duration_ms,
        "parseMs": execution.parse_ms,
        "bindMs": execution.bind_ms,
        "rows": execution.rows,
        "sqlState": execution.sql_state.as_ref().map(SqlState::as_str),
        "failed": execution.failed,
        "nested": execution.is_nested(),
        "function": site.and_then(|site| site.function.as_ref()),
        "line": site.and_then(|site| site.line),
        "nestedCount": execution.nested_count,
        "tags": tags,
        "statement": logged.map(|logged| &logged.statement),
        "parameters": logged.and_then(|logged| logged.parameters.as_ref()),
        "serverQueryId": execution.server_query_id.map(|id| id.to_string()),
        "planCount": execution.plan_count,
        "open": execution.open,
        "timeAssumed": execution.time_assumed,
    })
}

fn kind(kind: ExecutionKind) -> &'static str {
    match kind {
        ExecutionKind::Statement => "STATEMENT",
        ExecutionKind::Execute => "EXECUTE",
        ExecutionKind::Fastpath => "FASTPATH",
        ExecutionKind::PlanOnly => "PLAN_ONLY",
        ExecutionKind::Nested => "NESTED",
        ExecutionKind::Failed => "FAILED",
    }
}

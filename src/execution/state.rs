//! What pairing has to remember over a restart, as the bytes that are stored beside the position in the log.
//!
//! Open executions are rows of the store; here stands what finds their other half (the hash of their text, names and ids) and what whole
//! records have told of them so far: a preview of a record that isn't may have told the row more. Nothing in it is a literal.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    incident,
    open::{Open, Reserved, Stage, TextHash},
    pairing::{Pairing, Previewed, SessionKey},
    query::Told,
    session::{LoggedStatement, Parsed, Running, Session, Statement},
    shown::Shown,
};
use crate::model::{
    execution::{DurationSource, Execution, ExecutionId, ExecutionKind},
    position::{GenerationId, ServerId},
    query::Query,
};

/// Why stored pairing state can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the stored pairing state of the server cannot be read; it was written by another version of plantail"
    )]
    Unreadable(#[source] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct SavedPairing {
    last_us: Option<i64>,
    /// Generation, id and start of each execution that a preview has stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    provisional: Vec<(i64, i64, i64)>,
    /// Generation, and first byte after the records that the preview has taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    previewed: Vec<(i64, u64)>,
    /// Generation and id of each execution that a preview has told more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    amended: Vec<(i64, i64)>,
    sessions: Vec<SavedSession>,
    #[serde(default)]
    shown: Shown,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    incidents: Vec<incident::Saved>,
}

#[derive(Serialize, Deserialize)]
struct SavedSession {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process_id: Option<i32>,
    log_time_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reserved: Option<i64>,
    /// When the first of the nested plans began that the id is reserved for; without it the id is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reserved_began_us: Option<i64>,
    #[serde(default)]
    reserved_nested_count: u32,
    /// Text of the statement that is running, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    running: Option<(u64, i64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<SavedOpen>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parsed: Vec<SavedParse>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logged: Option<SavedLogged>,
}

#[derive(Serialize, Deserialize)]
struct SavedOpen {
    execution_id: i64,
    stage: Stage,
    text: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prepared: Option<u64>,
    #[serde(default)]
    is_cursor: bool,
    name: String,
    statement_count: u32,
    duration_ms: Option<f64>,
    duration_is_plan: bool,
    rows: Option<f64>,
    server_query_id: Option<i64>,
    plan_count: u32,
    #[serde(default)]
    nested_count: u32,
}

#[derive(Serialize, Deserialize)]
struct SavedParse {
    name: String,
    text: u64,
    parse_ms: f64,
}

#[derive(Serialize, Deserialize)]
struct SavedLogged {
    database_name: String,
    normalized_sql: String,
    text: u64,
    execute: bool,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prepared: Option<u64>,
    #[serde(default)]
    is_cursor: bool,
    #[serde(default)]
    is_fetch: bool,
}

impl Pairing {
    /// The state as bytes. Call it after [`Pairing::end_batch`], so that every open execution is a row.
    pub fn save(&self) -> Vec<u8> {
        let mut sessions: Vec<_> = self.sessions.iter().collect();
        sessions.sort_by_key(|(key, _)| *key);
        let saved = SavedPairing {
            last_us: self.last.map(Timestamp::as_microsecond),
            provisional: self
                .previewed
                .iter()
                .flat_map(|(generation, previewed)| {
                    let rows = previewed.rows.iter();
                    rows.map(|(id, at)| (generation.0, id.0, at.as_microsecond()))
                })
                .collect(),
            previewed: self
                .previewed
                .iter()
                .map(|(generation, previewed)| (generation.0, previewed.end_bytes))
                .collect(),
            amended: self
                .previewed
                .iter()
                .flat_map(|(generation, previewed)| {
                    previewed.amended.iter().map(|id| (generation.0, id.0))
                })
                .collect(),
            sessions: sessions
                .into_iter()
                .map(|(key, session)| save_session(key, session))
                .collect(),
            shown: self.shown,
            incidents: self.incidents.save(),
        };
        serde_json::to_vec(&saved).expect("numbers and strings are always JSON")
    }

    /// The state that was saved, with the open executions of the store. An execution that is no longer there is left out.
    pub fn restore(server_id: ServerId, saved: &[u8], open: Vec<Execution>) -> Result<Self, Error> {
        let saved: SavedPairing = serde_json::from_slice(saved).map_err(Error::Unreadable)?;
        let mut rows: HashMap<i64, Execution> = open
            .into_iter()
            .map(|execution| (execution.id.0, execution))
            .collect();
        let previewed = restore_previewed(&saved);
        Ok(Self {
            server_id,
            config: Arc::default(),
            last: saved
                .last_us
                .and_then(|us| Timestamp::from_microsecond(us).ok()),
            previewed,
            sessions: saved
                .sessions
                .into_iter()
                .map(|session| restore_session(server_id, session, &mut rows))
                .collect(),
            shown: saved.shown,
            incidents: incident::Waiting::restore(saved.incidents),
        })
    }
}

fn restore_previewed(saved: &SavedPairing) -> BTreeMap<GenerationId, Previewed> {
    let mut previewed: BTreeMap<GenerationId, Previewed> = BTreeMap::new();
    for (generation, end_bytes) in &saved.previewed {
        let of = previewed.entry(GenerationId(*generation)).or_default();
        of.end_bytes = *end_bytes;
    }
    for (generation, id) in &saved.amended {
        let of = previewed.entry(GenerationId(*generation)).or_default();
        of.amended.push(ExecutionId(*id));
    }
    for (generation, id, us) in &saved.provisional {
        if let Ok(started_at) = Timestamp::from_microsecond(*us) {
            let of = previewed.entry(GenerationId(*generation)).or_default();
            of.rows.push((ExecutionId(*id), started_at));
        }
    }
    previewed
}

fn save_session(key: &SessionKey, session: &Session) -> SavedSession {
    let (session_id, process_id) = match key {
        SessionKey::Id(id) => (Some(id.clone()), None),
        SessionKey::Process(process_id) => (None, Some(*process_id)),
        SessionKey::Unknown => (None, None),
    };
    SavedSession {
        session_id,
        process_id,
        log_time_us: session.log_time.as_microsecond(),
        reserved: session.reserved.map(|reserved| reserved.id.0),
        reserved_began_us: session
            .reserved
            .map(|reserved| reserved.began.as_microsecond()),
        reserved_nested_count: session.reserved.map_or(0, |reserved| reserved.nested_count),
        running: session
            .running
            .map(|running| (running.text.0, running.since.as_microsecond())),
        open: session.open.iter().map(save_open).collect(),
        parsed: session
            .parsed
            .iter()
            .map(|p| SavedParse {
                name: p.name.clone(),
                text: p.text.0,
                parse_ms: p.parse_ms,
            })
            .collect(),
        logged: session.logged.as_ref().map(|logged| SavedLogged {
            database_name: logged.told.query.database_name.clone(),
            normalized_sql: logged.told.query.normalized_sql.clone(),
            text: logged.statement.text.0,
            execute: logged.statement.kind == ExecutionKind::Execute,
            name: logged.statement.name.clone(),
            prepared: logged.statement.prepared.map(|name| name.0),
            is_cursor: logged.statement.is_cursor,
            is_fetch: logged.statement.is_fetch,
        }),
    }
}

fn save_open(open: &Open) -> SavedOpen {
    SavedOpen {
        execution_id: open.execution.id.0,
        stage: open.stage,
        text: open.text.0,
        prepared: open.prepared.map(|name| name.0),
        is_cursor: open.is_cursor,
        name: open.name.clone(),
        statement_count: open.statement_count,
        duration_ms: open.execution.duration_ms,
        duration_is_plan: open.execution.duration_source == Some(DurationSource::Plan),
        rows: open.execution.rows,
        server_query_id: open.execution.server_query_id,
        plan_count: open.execution.plan_count,
        nested_count: open.execution.nested_count,
    }
}

/// The row of an open execution, back at what whole records have told of it.
fn restore_execution(row: Execution, saved: &SavedOpen) -> Execution {
    Execution {
        kind: match saved.stage {
            Stage::PlanFirst => ExecutionKind::PlanOnly,
            Stage::Executed if saved.is_cursor => ExecutionKind::Statement,
            Stage::Bound | Stage::Executed => ExecutionKind::Execute,
        },
        duration_ms: saved.duration_ms,
        duration_source: saved.duration_ms.map(|_| match saved.duration_is_plan {
            true => DurationSource::Plan,
            false => DurationSource::Statement,
        }),
        rows: saved.rows,
        sql_state: None,
        failed: false,
        parent_id: None,
        server_query_id: saved.server_query_id,
        plan_count: saved.plan_count,
        nested_count: saved.nested_count,
        ..row
    }
}

fn restore_session(
    server_id: ServerId,
    saved: SavedSession,
    rows: &mut HashMap<i64, Execution>,
) -> (SessionKey, Session) {
    let key = match (saved.session_id, saved.process_id) {
        (Some(id), _) => SessionKey::Id(id),
        (None, Some(process_id)) => SessionKey::Process(process_id),
        (None, None) => SessionKey::Unknown,
    };
    let restore_open = |open: SavedOpen| {
        Some(Open {
            execution: restore_execution(rows.remove(&open.execution_id)?, &open),
            stage: open.stage,
            text: TextHash(open.text),
            prepared: open.prepared.map(TextHash),
            is_cursor: open.is_cursor,
            name: open.name,
            statement_count: open.statement_count,
            changed: false,
        })
    };
    let session = Session {
        log_time: Timestamp::from_microsecond(saved.log_time_us).unwrap_or(Timestamp::UNIX_EPOCH),
        reserved: saved
            .reserved
            .zip(saved.reserved_began_us)
            .and_then(|(id, began_us)| {
                let began = Timestamp::from_microsecond(began_us).ok()?;
                Some(Reserved {
                    id: ExecutionId(id),
                    began,
                    nested_count: saved.reserved_nested_count,
                })
            }),
        running: saved.running.and_then(|(text, since_us)| {
            let since = Timestamp::from_microsecond(since_us).ok()?;
            let text = TextHash(text);
            Some(Running { text, since })
        }),
        open: saved.open.into_iter().filter_map(restore_open).collect(),
        parsed: saved
            .parsed
            .into_iter()
            .map(|p| Parsed {
                name: p.name,
                text: TextHash(p.text),
                parse_ms: p.parse_ms,
            })
            .collect(),
        logged: saved.logged.map(|logged| LoggedStatement {
            // Its literals were not saved, whatever the configuration: they would stand in a column that is not for them.
            told: Told {
                query: Query::new(server_id, &logged.database_name, logged.normalized_sql),
                statement_count: 1,
                tags: Vec::new(),
                logged: None,
            },
            statement: Statement {
                text: TextHash(logged.text),
                kind: if logged.execute {
                    ExecutionKind::Execute
                } else {
                    ExecutionKind::Statement
                },
                name: logged.name,
                prepared: logged.prepared.map(TextHash),
                is_cursor: logged.is_cursor,
                is_fetch: logged.is_fetch,
            },
        }),
    };
    (key, session)
}

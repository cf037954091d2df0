//! Texts of the log to queries: the one place where statements lose their literals on the way to an execution.
//!
//! A record and a text of it come in; a query goes out, marked where its text is not whole, with what the configuration keeps of the text.

use super::{Config, Literals, readable};
use crate::{
    model::{
        execution::LoggedText,
        position::ServerId,
        query::{CUT, Query},
        record::{LogRecord, SqlState},
    },
    statement::{
        credential::mentions_credentials,
        failure,
        message::{self, Message},
        normalize::{Normalized, normalize, normalize_cut},
        parameters::{self, Detail},
        tags,
    },
};

/// What the log tells of a statement, without what is to stay out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) query: Query,
    /// How many statements the text holds.
    pub(super) statement_count: u32,
    pub(super) tags: Vec<(String, String)>,
    pub(super) logged: Option<LoggedText>,
}

/// Longer normalized texts are cut. A statement of that size is generated, and what differs between two of them is most likely data.
const QUERY_BYTES: usize = 64 * 1024;
/// How much of a statement and of its parameters is kept where literals are.
const LOGGED_BYTES: usize = 64 * 1024;

/// Database and user of a record; empty where the log doesn't carry them.
pub(super) fn names(record: &LogRecord) -> (&str, &str) {
    (
        record.database_name.as_deref().unwrap_or_default(),
        record.user_name.as_deref().unwrap_or_default(),
    )
}

/// What `text` tells, a statement that the server has run or begun to run.
pub(super) fn of_statement(
    config: &Config,
    server_id: ServerId,
    record: &LogRecord,
    text: &str,
) -> Told {
    let normalized = normalize_logged(config, record, text);
    told(config, server_id, record, text, normalized)
}

/// What `text` tells, the statement of an error. Where the server could not parse it, its quotes may be paired wrongly, so that what stands
/// behind the first may be a literal.
pub(super) fn of_failed(
    config: &Config,
    server_id: ServerId,
    record: &LogRecord,
    text: &str,
) -> Told {
    let sql_state = record.sql_state_code.as_ref().map(SqlState::as_str);
    let is_unparsed = failure::may_be_unparsed(sql_state, &record.message);
    let normalized = match readable::end(text, &record.message, is_unparsed, sql_state) {
        Some(end) => Normalized {
            complete: false,
            ..normalize(text.split_at(end).0, config.backslash())
        },
        None => normalize_logged(config, record, text),
    };
    told(config, server_id, record, text, normalized)
}

fn normalize_logged(config: &Config, record: &LogRecord, text: &str) -> Normalized {
    if record.flags.truncated || record.flags.ambiguous_text {
        normalize_cut(text, config.backslash())
    } else {
        normalize(text, config.backslash())
    }
}

fn told(
    config: &Config,
    server_id: ServerId,
    record: &LogRecord,
    text: &str,
    normalized: Normalized,
) -> Told {
    let (database, _) = names(record);
    let whole = cut(&normalized.text, QUERY_BYTES).is_none();
    let query = if normalized.complete && whole {
        Query::new(server_id, database, normalized.text)
    } else {
        let end = normalized.text.floor_char_boundary(QUERY_BYTES);
        Query::cut(server_id, database, normalized.text.split_at(end).0)
    };
    Told {
        statement_count: normalized.statement_count,
        tags: tags::read(text, config.backslash(), &config.query_tags),
        logged: match config.literals {
            Literals::Redact => None,
            Literals::Keep => Some(logged(record, text, &query)),
        },
        query,
    }
}

/// The statement and its parameters as they were logged; where they speak of a password or a connection, the query without its literals.
fn logged(record: &LogRecord, text: &str, query: &Query) -> LoggedText {
    let detail = record.detail.as_deref().unwrap_or_default();
    if [text, detail, &record.message]
        .into_iter()
        .any(mentions_credentials)
    {
        return LoggedText {
            statement: query.normalized_sql.clone(),
            parameters: None,
        };
    }
    let (text, parameters) = match parameters::read(detail) {
        // What was run is the EXECUTE; its text is in the message, and the query is that of the statement behind it.
        Some(Detail::Prepare(_)) => (executed(record).unwrap_or(text), None),
        Some(Detail::Parameters(parameters)) => {
            let parameters: Vec<String> = parameters.iter().map(ToString::to_string).collect();
            (text, Some(parameters.join(", ")))
        }
        None => (text, None),
    };
    let kept = |text: String| cut(&text, LOGGED_BYTES).unwrap_or(text);
    LoggedText {
        statement: kept(text.to_owned()),
        parameters: parameters.map(kept),
    }
}

fn executed(record: &LogRecord) -> Option<&str> {
    match message::read(&record.message)? {
        Message::Duration { text, .. } => text,
        Message::Statement { text, .. } => Some(text),
        Message::Plan { .. } => None,
    }
}

/// As much of a text as may be kept, marked as cut; `None` if that is all of it.
fn cut(text: &str, longest: usize) -> Option<String> {
    let kept = text.split_at(text.floor_char_boundary(longest)).0;
    (kept.len() < text.len()).then(|| format!("{kept}{CUT}"))
}

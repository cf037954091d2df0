//! Texts of the log to queries: the one place where statements lose their literals on the way to an execution.
//!
//! A record and a text of it, or what normalisation made of one, come in; a query goes out, marked where its text is not whole.

use crate::{
    model::{
        position::ServerId,
        query::Query,
        record::{LogRecord, SqlState},
    },
    statement::{
        failure,
        normalize::{Normalized, normalize},
    },
};

/// Database and user of a record; empty where the log doesn't carry them.
pub(super) fn names(record: &LogRecord) -> (&str, &str) {
    (
        record.database_name.as_deref().unwrap_or_default(),
        record.user_name.as_deref().unwrap_or_default(),
    )
}

/// The query of `text`, a statement that the server has run or begun to run.
pub(super) fn of_statement(server_id: ServerId, record: &LogRecord, text: &str) -> Query {
    of_normalized(server_id, record, normalize(text))
}

pub(super) fn of_normalized(
    server_id: ServerId,
    record: &LogRecord,
    normalized: Normalized,
) -> Query {
    let (database, _) = names(record);
    if normalized.complete {
        Query::new(server_id, database, normalized.text)
    } else {
        Query::cut(server_id, database, &normalized.text)
    }
}

/// The query of `text`, the statement of an error. Where the server could not parse it, its quotes may be paired wrongly, so that what stands
/// behind the first may be a literal.
pub(super) fn of_failed(server_id: ServerId, record: &LogRecord, text: &str) -> Query {
    let sql_state = record.sql_state_code.as_ref().map(SqlState::as_str);
    let quote = text
        .find(['\'', '$'])
        .filter(|_| failure::may_be_unparsed(sql_state, &record.message));
    match quote {
        Some(quote) => {
            let readable = Normalized {
                complete: false,
                ..normalize(text.split_at(quote).0)
            };
            of_normalized(server_id, record, readable)
        }
        None => of_statement(server_id, record, text),
    }
}

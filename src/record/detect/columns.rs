//! The columns of a record that a prefix can print, and which of them candidates disagree on.
//!
//! The explanation that was chosen, the others that explain as much, and the lines come in; whether a column has to stay empty goes out.

use super::super::LinePrefix;
use super::super::escape::Escape;
use super::super::head::{self, Head};

/// A column of a record that a prefix can print.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) escapes: &'static [Escape],
    value: for<'a> fn(&Head<'a>) -> Option<&'a [u8]>,
}

pub(super) const COLUMNS: &[Column] = &[
    Column {
        name: "log_time",
        escapes: &[
            Escape::TimeMilliseconds,
            Escape::TimeSeconds,
            Escape::TimeEpoch,
        ],
        value: |head| head.log_time.map(|(_, printed)| printed),
    },
    Column {
        name: "user_name",
        escapes: &[Escape::UserName],
        value: |head| head.user_name,
    },
    Column {
        name: "database_name",
        escapes: &[Escape::DatabaseName],
        value: |head| head.database_name,
    },
    Column {
        name: "process_id",
        escapes: &[Escape::ProcessId],
        value: |head| head.process_id,
    },
    Column {
        name: "connection_from",
        escapes: &[Escape::RemoteHostAndPort, Escape::RemoteHost],
        value: |head| head.connection_from,
    },
    Column {
        name: "session_id",
        escapes: &[Escape::SessionId],
        value: |head| head.session_id,
    },
    Column {
        name: "session_line_num",
        escapes: &[Escape::SessionLineNum],
        value: |head| head.session_line_num,
    },
    Column {
        name: "command_tag",
        escapes: &[Escape::CommandTag],
        value: |head| head.command_tag,
    },
    Column {
        name: "virtual_transaction_id",
        escapes: &[Escape::VirtualTransactionId],
        value: |head| head.virtual_transaction_id,
    },
    Column {
        name: "sql_state_code",
        escapes: &[Escape::SqlStateCode],
        value: |head| head.sql_state_code,
    },
    Column {
        name: "application_name",
        escapes: &[Escape::ApplicationName],
        value: |head| head.application_name,
    },
    Column {
        name: "backend_type",
        escapes: &[Escape::BackendType],
        value: |head| head.backend_type,
    },
    Column {
        name: "leader_pid",
        escapes: &[Escape::LeaderPid],
        value: |head| head.leader_pid,
    },
    Column {
        name: "query_id",
        escapes: &[Escape::QueryId],
        value: |head| head.query_id,
    },
];

/// Whether a column of the first explanation has to stay empty: another one reads it otherwise in some line, or it should hold names and
/// mostly holds what no name does, so that it swallows something that no candidate knows.
pub(super) fn is_disputed(
    column: &Column,
    first: &LinePrefix,
    others: &[&LinePrefix],
    lines: &[&[u8]],
) -> bool {
    let is_name = column.escapes == [Escape::UserName] || column.escapes == [Escape::DatabaseName];
    let is_odd = |name: &[u8]| {
        name.iter()
            .any(|b| b.is_ascii_whitespace() || b"[](){}=,:;|\"".contains(b))
    };
    let (mut named, mut odd) = (0_usize, 0_usize);
    for line in lines {
        let value_in = |prefix| head::read(prefix, line).map(|read| (column.value)(&read.head));
        let Some(value) = value_in(first) else {
            continue;
        };
        if others
            .iter()
            .any(|other| value_in(other).is_some_and(|other| other != value))
        {
            return true;
        }
        named += usize::from(value.is_some());
        odd += usize::from(value.is_some_and(is_odd));
    }
    is_name && odd * 2 > named
}

//! The escapes of `log_line_prefix` (manual, section 20.8.3 "What to Log"), and the grammar of what each prints.
//!
//! The bytes of a line come in; which of them an escape can have printed goes out. One function per escape. Where several readings of a line
//! fit is not decided here.

use nom::bytes::complete::{tag, take_while, take_while_m_n};
use nom::character::complete::{digit1, hex_digit1};
use nom::combinator::{opt, recognize};
use nom::{IResult, Parser};

use super::time;

/// `NAMEDATALEN - 1`: names in the startup packet are cut to it.
const MAX_NAME_BYTES: usize = 63;

/// What an escape prints. Named as csvlog's columns where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Escape {
    ApplicationName,
    UserName,
    DatabaseName,
    RemoteHostAndPort,
    RemoteHost,
    LocalAddress,
    BackendType,
    ProcessId,
    LeaderPid,
    TimeSeconds,
    TimeMilliseconds,
    TimeEpoch,
    CommandTag,
    SqlStateCode,
    SessionId,
    SessionLineNum,
    SessionStartTime,
    VirtualTransactionId,
    TransactionId,
    QueryId,
    Unnamed,
}

/// The escapes of the manual's table under log_line_prefix, PostgreSQL 9.6 to 18, and our own.
const LETTERS: [(u8, Escape); 21] = [
    (b'a', Escape::ApplicationName),
    (b'u', Escape::UserName),
    (b'd', Escape::DatabaseName),
    (b'r', Escape::RemoteHostAndPort),
    (b'h', Escape::RemoteHost),
    (b'L', Escape::LocalAddress),
    (b'b', Escape::BackendType),
    (b'p', Escape::ProcessId),
    (b'P', Escape::LeaderPid),
    (b't', Escape::TimeSeconds),
    (b'm', Escape::TimeMilliseconds),
    (b'n', Escape::TimeEpoch),
    (b'i', Escape::CommandTag),
    (b'e', Escape::SqlStateCode),
    (b'c', Escape::SessionId),
    (b'l', Escape::SessionLineNum),
    (b's', Escape::SessionStartTime),
    (b'v', Escape::VirtualTransactionId),
    (b'x', Escape::TransactionId),
    (b'Q', Escape::QueryId),
    (b'*', Escape::Unnamed),
];

/// Takes what one escape printed.
pub(super) type Grammar = fn(&[u8]) -> IResult<&[u8], &[u8]>;

impl Escape {
    pub(super) fn of_letter(letter: u8) -> Option<Self> {
        LETTERS
            .iter()
            .find_map(|(known, escape)| (*known == letter).then_some(*escape))
    }

    pub(super) fn letter(self) -> u8 {
        LETTERS
            .iter()
            .find_map(|(letter, known)| (*known == self).then_some(*letter))
            .expect("every escape has a letter")
    }

    /// The most bytes that it prints without padding.
    pub(super) fn max_bytes(self) -> usize {
        match self {
            Self::UserName | Self::DatabaseName => MAX_NAME_BYTES,
            // From 16 on each byte that isn't printable ASCII is written as `\xHH`.
            Self::ApplicationName => 4 * MAX_NAME_BYTES,
            Self::BackendType => 95,
            Self::RemoteHostAndPort
            | Self::RemoteHost
            | Self::LocalAddress
            | Self::CommandTag
            | Self::Unnamed => 255,
            Self::TimeSeconds
            | Self::TimeMilliseconds
            | Self::TimeEpoch
            | Self::SessionStartTime
            | Self::SessionId
            | Self::VirtualTransactionId => 40,
            Self::ProcessId
            | Self::LeaderPid
            | Self::SqlStateCode
            | Self::SessionLineNum
            | Self::TransactionId
            | Self::QueryId => 20,
        }
    }

    /// What it can print. Where `None`, the text ends only where the rest of the line fits: see [`Escape::can_print`].
    pub(super) fn grammar(self) -> Option<Grammar> {
        Some(match self {
            Self::ProcessId => process_id,
            Self::LeaderPid => leader_pid,
            Self::TimeSeconds => time_seconds,
            Self::TimeMilliseconds => time_milliseconds,
            Self::TimeEpoch => time_epoch,
            Self::SqlStateCode => sql_state_code,
            Self::SessionId => session_id,
            Self::SessionLineNum => session_line_num,
            Self::SessionStartTime => session_start_time,
            Self::VirtualTransactionId => virtual_transaction_id,
            Self::TransactionId => transaction_id,
            Self::QueryId => query_id,
            _ => return None,
        })
    }

    /// Whether an escape without a grammar of its own can print exactly that.
    pub(super) fn can_print(self, text: &[u8]) -> bool {
        match self {
            Self::UserName | Self::DatabaseName => startup_name(text),
            Self::ApplicationName => application_name(text),
            Self::RemoteHostAndPort => remote_host_and_port(text),
            Self::RemoteHost | Self::LocalAddress => host(text),
            _ => one_line(text),
        }
    }

    pub(super) fn is_log_time(self) -> bool {
        matches!(
            self,
            Self::TimeSeconds | Self::TimeMilliseconds | Self::TimeEpoch
        )
    }

    /// Whether it tells records apart: a time, a process or a session, which no client chooses.
    pub(super) fn is_anchor(self) -> bool {
        self.is_log_time() || matches!(self, Self::ProcessId | Self::SessionId)
    }

    /// Whether it prints a name that clients choose.
    pub(super) fn is_chosen_by_client(self) -> bool {
        matches!(
            self,
            Self::UserName | Self::DatabaseName | Self::ApplicationName
        )
    }

    /// Whether a process without a session prints nothing for it.
    pub(super) fn needs_session(self) -> bool {
        matches!(
            self,
            Self::ApplicationName
                | Self::UserName
                | Self::DatabaseName
                | Self::RemoteHostAndPort
                | Self::RemoteHost
                | Self::CommandTag
        )
    }

    /// Which reading is preferred where several fit, longest text first or shortest first. Users are often e-mail addresses (`bob@x.org@db`)
    /// and application names sentences; databases, backend types and command tags seldom hold what separates them from the next item.
    pub(super) fn is_longest_first(self) -> bool {
        !matches!(
            self,
            Self::DatabaseName | Self::BackendType | Self::CommandTag | Self::Unnamed
        )
    }
}

/// `%p`: process id
fn process_id(input: &[u8]) -> IResult<&[u8], &[u8]> {
    digit1(input)
}

/// `%P`: process id of the parallel group leader, empty if this isn't a parallel worker
fn leader_pid(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while(|b: u8| b.is_ascii_digit()).parse(input)
}

/// `%t`: time stamp without milliseconds
fn time_seconds(input: &[u8]) -> IResult<&[u8], &[u8]> {
    recognize(time::with_seconds).parse(input)
}

/// `%m`: time stamp with milliseconds
fn time_milliseconds(input: &[u8]) -> IResult<&[u8], &[u8]> {
    recognize(time::with_milliseconds).parse(input)
}

/// `%n`: time stamp with milliseconds, as a Unix epoch
fn time_epoch(input: &[u8]) -> IResult<&[u8], &[u8]> {
    recognize(time::epoch).parse(input)
}

/// `%e`: SQLSTATE error code
fn sql_state_code(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while_m_n(5, 5, |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase()).parse(input)
}

/// `%c`: session id, start time and process id as hexadecimal numbers with a dot between; eight digits are the seconds until the year 2106
fn session_id(input: &[u8]) -> IResult<&[u8], &[u8]> {
    recognize((
        take_while_m_n(1, 8, |b: u8| b.is_ascii_hexdigit()),
        tag("."),
        hex_digit1,
    ))
    .parse(input)
}

/// `%l`: number of the log line for each session or process
fn session_line_num(input: &[u8]) -> IResult<&[u8], &[u8]> {
    digit1(input)
}

/// `%s`: process start time stamp
fn session_start_time(input: &[u8]) -> IResult<&[u8], &[u8]> {
    recognize(time::with_seconds).parse(input)
}

/// `%v`: virtual transaction id (procNumber/localXID), empty in processes that have none
fn virtual_transaction_id(input: &[u8]) -> IResult<&[u8], &[u8]> {
    recognize(opt((opt(tag("-")), digit1, tag("/"), digit1))).parse(input)
}

/// `%x`: transaction id, 0 if none is assigned
fn transaction_id(input: &[u8]) -> IResult<&[u8], &[u8]> {
    digit1(input)
}

/// `%Q`: query identifier of the current query, 0 if there is none
fn query_id(input: &[u8]) -> IResult<&[u8], &[u8]> {
    recognize((opt(tag("-")), digit1)).parse(input)
}

/// `%u`, `%d`: user name and database name. Any bytes of the startup packet, line breaks among them.
fn startup_name(text: &[u8]) -> bool {
    text.len() <= MAX_NAME_BYTES && !text.contains(&0)
}

/// `%a`: application name. The server replaces all but printable ASCII, by `?` up to 15 and by `\xHH` from 16 on; 63 bytes before that.
fn application_name(text: &[u8]) -> bool {
    text.iter().all(|b| (b' '..=b'~').contains(b))
        && (text.len() <= MAX_NAME_BYTES
            || text.len()
                - 3 * text
                    .windows(2)
                    .filter(|w| *w == b"\\x")
                    .count()
                    .min(text.len() / 4)
                <= MAX_NAME_BYTES)
}

/// `%h`: remote host name or IP address; `%L`: local address. `[local]` for Unix sockets, `[none]` or empty without a connection.
fn host(text: &[u8]) -> bool {
    matches!(text, b"[local]" | b"[none]" | b"???")
        || text
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b".:_%-".contains(b))
}

/// `%r`: remote host name or IP address, and remote port in parentheses if there is one
fn remote_host_and_port(text: &[u8]) -> bool {
    let without_port = text.strip_suffix(b")").and_then(|text| {
        let open = text.iter().rposition(|b| *b == b'(')?;
        let (host, port) = text.split_at_checked(open)?;
        port.get(1..)?
            .iter()
            .all(u8::is_ascii_digit)
            .then_some(host)
    });
    host(without_port.unwrap_or(text))
}

/// `%b`: backend type; `%i`: command tag: texts of the server and its extensions.
fn one_line(text: &[u8]) -> bool {
    text.iter().all(|b| *b >= b' ' && *b != 0x7f)
}

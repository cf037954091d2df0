//! One log entry of a PostgreSQL server with its DETAIL, HINT, CONTEXT and STATEMENT lines, whatever format it was written in.
//!
//! Field names are those of csvlog (manual, section 20.8.4 "Using CSV-Format Log Output"). What the format or the line prefix doesn't carry is `None`.

use jiff::Timestamp;

use super::position::Position;

/// Severity of a log entry. `Log` stands apart from the order: it is for administrators, between ERROR and FATAL for log files and
/// below everything for clients. Variants carry no order here on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Log,
    Fatal,
    Panic,
}

impl Severity {
    /// The English word that the server prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Log => "LOG",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
        }
    }

    /// The severity printed as that English word; `DEBUG1` to `DEBUG5` are `Debug`.
    pub fn from_english(word: &str) -> Option<Self> {
        Some(match word {
            "DEBUG" | "DEBUG1" | "DEBUG2" | "DEBUG3" | "DEBUG4" | "DEBUG5" => Self::Debug,
            "INFO" => Self::Info,
            "NOTICE" => Self::Notice,
            "WARNING" => Self::Warning,
            "ERROR" => Self::Error,
            "LOG" => Self::Log,
            "FATAL" => Self::Fatal,
            "PANIC" => Self::Panic,
            _ => return None,
        })
    }
}

/// Five characters of SQLSTATE (manual, appendix A), upper-case letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// Stands for all codes beyond those that are counted apart. No class of PostgreSQL's begins so.
    pub const OTHER: Self = Self(*b"OTHER");

    /// `None` unless `code` is five ASCII digits or upper-case letters.
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 5] = code.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
            .then_some(Self(bytes))
    }

    /// The code as printed.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("SQLSTATE is ASCII by construction")
    }
}

/// What had to be assumed or cut to make a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordFlags {
    /// The end is missing: longer than the record limit, or the log ends within the record's last line.
    pub truncated: bool,
    /// Bytes that are not UTF-8 were replaced by U+FFFD, or NUL bytes were.
    pub lossy_utf8: bool,
    /// The time zone abbreviation is ambiguous and was read as UTC.
    pub time_zone_assumed: bool,
    /// The record has no time of its own; `log_time` is the time of reading.
    pub time_of_reading: bool,
    /// It reads as another session's as well: names that clients choose hold a head, it follows a torn record on its line, or it may hold the
    /// rest of a torn plan. No execution is made of such a record.
    pub ambiguous: bool,
    /// In the record's text stands the head of another record, so that the rest may not be its own; the text ends there.
    pub ambiguous_text: bool,
}

/// One log entry.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    pub position: Position,
    /// First byte after the record.
    pub end_bytes: u64,
    pub log_time: Timestamp,
    pub user_name: Option<String>,
    pub database_name: Option<String>,
    pub process_id: Option<i32>,
    /// `host`, `host:port` or `[local]`.
    pub connection_from: Option<String>,
    pub session_id: Option<String>,
    pub session_line_num: Option<u64>,
    pub command_tag: Option<String>,
    pub virtual_transaction_id: Option<String>,
    pub error_severity: Severity,
    pub sql_state_code: Option<SqlState>,
    /// The message with continuation tabs removed and newlines kept.
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub internal_query: Option<String>,
    pub context: Option<String>,
    /// The statement that caused the entry (STATEMENT in stderr logs).
    pub query: Option<String>,
    pub application_name: Option<String>,
    pub backend_type: Option<String>,
    pub leader_pid: Option<i32>,
    /// The server's query identifier of the session's top-level statement; 0 is read as none.
    pub query_id: Option<i64>,
    pub flags: RecordFlags,
}

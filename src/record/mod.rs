//! The bytes of a server's log to log records: what an entry of `log_destination` stderr, csvlog or jsonlog says, and where it stands.
//!
//! In come the layout of the log and its bytes, in chunks of any size; out go [`LogRecord`]s with their positions, and the byte ranges that
//! are none, with the reason. Every byte that was pushed is in exactly one of them, in order. Pure: no files, no clock, no threads. What a
//! message means (durations, plans, parameters) is not known here.

mod assemble;
mod catalog;
mod csvlog;
pub mod detect;
mod entry;
mod escape;
mod head;
mod jsonlog;
mod line_prefix;
mod lines;
#[cfg(test)]
mod real_logs;
mod severity;
mod stderr;
mod text;
mod time;
mod wrapper;

use jiff::tz::TimeZone;

pub use assemble::Assembler;
pub use line_prefix::LinePrefix;
pub use wrapper::{Contents, Wrapped, contents, wrapper_of};

use crate::model::record::LogRecord;

/// Limits of the stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// A line, or the texts of a record together, over this size are cut and flagged. Bounds the memory of one [`Assembler`] to a few times this.
    pub max_record_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_record_bytes: 16 << 20,
        }
    }
}

/// How a server writes its log.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    pub format: Format,
    /// The server's `log_timezone`, which tells what a printed abbreviation such as `IST` means.
    pub time_zone: Option<TimeZone>,
}

/// The format of a log's entries, with what is needed to read them.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    Stderr(LinePrefix),
    Csvlog,
    Jsonlog,
    /// One of the others inside of what something else has put around it.
    Wrapped(Wrapped),
}

/// One stretch of a log. Offsets are those of the generation: first byte, and first byte after the stretch's last line.
#[derive(Debug, Clone, PartialEq)]
pub enum Assembled {
    Record(Box<LogRecord>),
    /// Lines that are no part of a record.
    Unparsed {
        start_bytes: u64,
        end_bytes: u64,
        reason: UnparsedReason,
    },
    /// A line of another program, in a log that several share.
    Foreign {
        start_bytes: u64,
        end_bytes: u64,
    },
    /// The beginning of a record that is not whole: the log ends within it, or other records were written into its middle. One for each such record.
    Torn {
        start_bytes: u64,
        end_bytes: u64,
        reason: UnparsedReason,
    },
    /// More of a record whose beginning was torn off.
    Rest {
        start_bytes: u64,
        end_bytes: u64,
    },
}

/// Why bytes of a log are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnparsedReason {
    /// A line that begins with neither the line prefix and a severity, nor the tab of a continuation.
    NoHead,
    /// A continuation, or a DETAIL, HINT, CONTEXT … line, without the record that it belongs to before it.
    NoRecord,
    /// A severity in no language that is known.
    NoSeverity,
    /// Another record begins before this one is whole.
    Interrupted,
    /// Not the columns of csvlog.
    NotCsvlog,
    /// Not an object with the keys of jsonlog.
    NotJsonlog,
    /// A line without what the log's wrapper puts around each.
    NotWrapped,
    /// NUL bytes where a line should begin: the hole that a truncation leaves under a writer that doesn't append.
    NulBytes,
}

/// Why a setting cannot be used to read a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "log_line_prefix {prefix:?} contains a line break: such a log can't be read, use csvlog or jsonlog"
    )]
    LineBreakInPrefix { prefix: String },
    #[error(
        "log_line_prefix is {len_bytes} bytes long, the limit is {limit_bytes}: give the value that SHOW log_line_prefix prints"
    )]
    PrefixTooLong {
        len_bytes: usize,
        limit_bytes: usize,
    },
}

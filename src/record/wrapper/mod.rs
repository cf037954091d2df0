//! Wrapped logs: lines of a server's log that something else (syslog, a container runtime, a cloud's log service) has put its own text around.
//!
//! Physical lines come in; what they hold goes to the reader of the format inside, with the offsets of the physical lines, so that a position is
//! always one in the file. A wrapper has a file here that knows what it looks like and nothing of records. Two ways lead inside: `InOrder`, where the
//! wrapped lines follow each other as in the file, and `ByProcess`, where the messages of several processes are cut into pieces and interleave.

mod by_process;
mod clock;
mod cloud;
mod container;
mod contents;
mod detect;
mod in_order;
mod journal;
mod message;
mod sequence;
mod syslog;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::position::{GenerationId, Wrapper};

use super::Format;
use super::lines::Lines;

pub(super) use by_process::ByProcess;
pub use contents::{Contents, contents};
pub use detect::wrapper_of;
pub(super) use in_order::InOrder;

/// A log inside of a wrapper.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrapped {
    pub wrapper: Wrapper,
    /// The server's `syslog_ident`: lines of other programs are passed over. `None`: PostgreSQL's default, `postgres`.
    pub syslog_ident: Option<String>,
    /// When the log was last written, for times without a year; `None`: not before it is read.
    pub written_until: Option<Timestamp>,
    /// What is inside. The wrappers of syslog and the journal hold stderr, those of Azure and CloudNativePG hold jsonlog, the others any.
    pub inner: Box<Format>,
}

/// PostgreSQL's default of `syslog_ident`.
const SYSLOG_IDENT: &str = "postgres";

/// What a physical line holds.
enum Unwrapped<T> {
    Text(T),
    /// A line of another program.
    Foreign,
    /// A part of something that goes on with the next line.
    Part,
    /// The wrapper doesn't write such lines.
    NotWrapped,
}

/// A message of one process, or a piece of one.
struct Entry<'a> {
    time: Timestamp,
    time_zone_assumed: bool,
    process_id: Option<i32>,
    text: Cow<'a, [u8]>,
}

/// A line of a stream, or a piece of one.
struct Piece<'a> {
    time: Timestamp,
    stream: Stream,
    text: Cow<'a, [u8]>,
    /// The line ends here.
    ends_line: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

/// How the physical lines of a wrapper are read.
enum Reading {
    /// Each by itself, to a message of a process.
    Entry(for<'a> fn(&'a [u8], &clock::Clock<'_>, &[u8]) -> Unwrapped<Entry<'a>>),
    /// Several together, to such a message.
    JournalExport,
    /// Each by itself, to a piece of a stream.
    Piece(for<'a> fn(&'a [u8]) -> Unwrapped<Piece<'a>>),
}

/// Every wrapper and how it is read.
fn reading(wrapper: Wrapper) -> Reading {
    match wrapper {
        Wrapper::Syslog => Reading::Entry(syslog::entry),
        Wrapper::JournalJson => Reading::Entry(journal::json_entry),
        Wrapper::JournalExport => Reading::JournalExport,
        Wrapper::Docker => Reading::Piece(container::docker),
        Wrapper::Cri => Reading::Piece(container::cri),
        Wrapper::CloudLogging => Reading::Piece(cloud::cloud_logging),
        Wrapper::Azure => Reading::Piece(cloud::azure),
        Wrapper::CloudNativePg => Reading::Piece(cloud::cloud_native_pg),
    }
}

/// The reader of a wrapped log.
pub(super) fn lines(
    wrapped: Wrapped,
    log_timezone: Option<TimeZone>,
    generation: GenerationId,
    offset_bytes: u64,
    max_record_bytes: usize,
) -> Lines {
    match (reading(wrapped.wrapper), *wrapped.inner) {
        (Reading::Piece(unwrap), inner) => {
            let inner = Lines::new(
                inner,
                log_timezone,
                generation,
                offset_bytes,
                max_record_bytes,
            );
            Lines::InOrder(Box::new(InOrder::new(unwrap, inner, max_record_bytes)))
        }
        (reading, Format::Stderr(prefix)) => {
            let source = by_process::Source {
                reading,
                syslog_ident: wrapped.syslog_ident,
                written_until: wrapped.written_until,
            };
            let inside = message::Inside {
                prefix,
                log_timezone,
                generation,
                max_record_bytes,
            };
            Lines::ByProcess(Box::new(ByProcess::new(source, inside, offset_bytes)))
        }
        // Nobody writes csvlog or jsonlog to syslog; read as it stands it says so line by line.
        (_, inner) => Lines::new(
            inner,
            log_timezone,
            generation,
            offset_bytes,
            max_record_bytes,
        ),
    }
}

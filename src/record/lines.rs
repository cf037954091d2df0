//! The reader of each format behind one face: lines in, what they amount to out.
//!
//! Which format it is was decided before; a reader of a wrapped format has the reader of what is inside as its own.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use memchr::memchr_iter;

use crate::model::position::GenerationId;
use crate::model::record::LogRecord;

use super::assemble::Line;
use super::{Assembled, Format, csvlog, jsonlog, stderr, wrapper};

/// Reads the lines of one generation.
pub(super) enum Lines {
    Stderr(Box<stderr::Lines>),
    Csvlog(csvlog::Lines),
    Jsonlog(jsonlog::Lines),
    ByProcess(Box<wrapper::ByProcess>),
    InOrder(Box<wrapper::InOrder>),
}

impl Lines {
    /// The reader of a format, from `offset_bytes` of a generation on.
    pub(super) fn new(
        format: Format,
        log_timezone: Option<TimeZone>,
        generation: GenerationId,
        offset_bytes: u64,
        max_record_bytes: usize,
    ) -> Self {
        match format {
            Format::Stderr(prefix) => Self::Stderr(Box::new(stderr::Lines::new(
                prefix,
                log_timezone,
                generation,
                max_record_bytes,
            ))),
            Format::Csvlog => Self::Csvlog(csvlog::Lines::new(
                log_timezone,
                generation,
                max_record_bytes,
            )),
            Format::Jsonlog => Self::Jsonlog(jsonlog::Lines::new(log_timezone, generation)),
            Format::Wrapped(wrapped) => wrapper::lines(
                wrapped,
                log_timezone,
                generation,
                offset_bytes,
                max_record_bytes,
            ),
        }
    }

    /// Takes the next line. `dropped_odd_quotes` says whether the bytes that were cut off hold an odd number of double quotes; `read_at` becomes the
    /// time of a record that has none of its own.
    pub(super) fn line(
        &mut self,
        line: Line<'_>,
        dropped_odd_quotes: bool,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        match self {
            Self::Stderr(lines) => lines.line(line, read_at, sink),
            Self::Csvlog(lines) => {
                lines.line(line, has_odd_quotes(line.bytes) ^ dropped_odd_quotes, sink)
            }
            Self::Jsonlog(lines) => lines.line(line, sink),
            Self::ByProcess(lines) => lines.line(line, read_at, sink),
            Self::InOrder(lines) => lines.line(line, read_at, sink),
        }
    }

    /// The records that would be whole if the log ended here, in order.
    pub(super) fn pending(&self) -> Vec<LogRecord> {
        match self {
            Self::Stderr(lines) => lines.pending().into_iter().collect(),
            Self::Csvlog(_) | Self::Jsonlog(_) => Vec::new(),
            Self::ByProcess(lines) => lines.pending(),
            Self::InOrder(lines) => lines.pending(),
        }
    }

    /// How many records may be pending, at most.
    pub(super) fn pending_count(&self) -> usize {
        match self {
            Self::Csvlog(_) | Self::Jsonlog(_) => 0,
            Self::Stderr(_) | Self::InOrder(_) => 1,
            Self::ByProcess(lines) => lines.pending_count(),
        }
    }

    /// Whether the last lines are none of a record; the sink hears of them when they end.
    pub(super) fn ends_unparsed(&self) -> bool {
        match self {
            Self::Stderr(lines) => lines.ends_unparsed(),
            Self::Csvlog(_) | Self::Jsonlog(_) | Self::ByProcess(_) => false,
            Self::InOrder(lines) => lines.ends_unparsed(),
        }
    }

    /// No line comes after those that were given.
    pub(super) fn finish(&mut self, read_at: Timestamp, sink: &mut dyn FnMut(Assembled)) {
        match self {
            Self::Stderr(lines) => lines.finish(read_at, sink),
            Self::Csvlog(lines) => lines.finish(sink),
            Self::Jsonlog(_) => {}
            Self::ByProcess(lines) => lines.finish(sink),
            Self::InOrder(lines) => lines.finish(read_at, sink),
        }
    }

    /// First byte of what the sink hasn't got.
    pub(super) fn unsettled_from_bytes(&self) -> Option<u64> {
        match self {
            Self::Stderr(lines) => lines.unsettled_from_bytes(),
            Self::Csvlog(lines) => lines.unsettled_from_bytes(),
            Self::Jsonlog(_) => None,
            Self::ByProcess(lines) => lines.unsettled_from_bytes(),
            Self::InOrder(lines) => lines.unsettled_from_bytes(),
        }
    }

    /// Whether a line may begin with NUL bytes that are no hole: the length of a binary field.
    pub(super) fn holds_binary(&self) -> bool {
        matches!(self, Self::ByProcess(lines) if lines.holds_binary())
    }
}

pub(super) fn has_odd_quotes(bytes: &[u8]) -> bool {
    memchr_iter(b'"', bytes).count() % 2 == 1
}

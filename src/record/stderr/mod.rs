//! Lines of a stderr log to log records: a line with prefix and severity begins one; lines with a tab, and DETAIL, HINT, CONTEXT … lines of
//! the same session, go on with it.
//!
//! Lines come in, in order; records and ranges that are none go out. A record is known to be whole only when the next one begins. Records that
//! were torn, as by a pipe without the logging collector, end where the next one begins, be it within a line, and their rests are no part of
//! the records that they follow. A line goes by `held` to `head_line`, `continuation` or `stretch`.

mod body;
mod continuation;
mod glued;
mod head_line;
mod held;
mod missing;
mod plan_line;
mod stretch;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod torn_logs;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::position::GenerationId;
use crate::model::record::LogRecord;

use self::body::Body;
use self::held::Held;
use self::missing::{Missing, Torn};
use self::plan_line::PlanLine;
use self::stretch::{Kind, Stretch};
use super::entry::Entry;
use super::line_prefix::LinePrefix;
use super::{Assembled, UnparsedReason};

/// Reads the lines of one generation.
pub(super) struct Lines {
    prefix: LinePrefix,
    log_timezone: Option<TimeZone>,
    generation: GenerationId,
    max_record_bytes: usize,
    open: Open,
    held: Option<Held>,
    missing: Missing,
}

/// What the next line may still belong to.
enum Open {
    Nothing,
    Record(OpenRecord),
    Stretch(Stretch),
}

struct OpenRecord {
    entry: Entry,
    body: Body,
    /// Lines after the last that is the record's. They are its all the same if another labelled text of it follows.
    foreign: Option<Stretch>,
    /// It may have been torn without a trace, the rest of another record being written behind it: another plan torn in a line of the
    /// same key in a plan, any torn plan in a text.
    may_hold_rest: bool,
}

impl Lines {
    pub(super) fn new(
        prefix: LinePrefix,
        log_timezone: Option<TimeZone>,
        generation: GenerationId,
        max_record_bytes: usize,
    ) -> Self {
        Self {
            prefix,
            log_timezone,
            generation,
            max_record_bytes,
            open: Open::Nothing,
            held: None,
            missing: Missing::default(),
        }
    }

    /// Nothing more belongs to what is open.
    fn close(&mut self, sink: &mut dyn FnMut(Assembled)) {
        if let Open::Record(open) = &self.open
            && open.is_torn()
        {
            self.tear(open.entry.record.end_bytes, None, sink);
        }
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => {}
            Open::Record(open) => {
                sink(Assembled::Record(open.entry.finish()));
                if let Some(foreign) = open.foreign {
                    sink(foreign.assembled());
                }
            }
            Open::Stretch(stretch) => sink(stretch.assembled()),
        }
    }

    /// No line comes after those that were given: what is held is no head, what is open ends.
    pub(super) fn finish(&mut self, read_at: Timestamp, sink: &mut dyn FnMut(Assembled)) {
        while let Some(held) = self.held.take() {
            self.release(&held, read_at, sink);
        }
        self.close(sink);
    }

    /// The open record ends at `end_bytes` without being whole, `partial` being what there is of its last line.
    fn tear(&mut self, end_bytes: u64, partial: Option<Vec<u8>>, sink: &mut dyn FnMut(Assembled)) {
        let Open::Record(open) = std::mem::replace(&mut self.open, Open::Nothing) else {
            return;
        };
        self.missing.add(Torn {
            process_id: open.entry.record.process_id,
            last_line: match open.body {
                Body::Json => open.entry.last_line().and_then(PlanLine::read),
                _ => None,
            },
            partial,
            end_bytes,
        });
        sink(Assembled::Torn {
            start_bytes: open.entry.record.position.offset_bytes,
            end_bytes,
            reason: UnparsedReason::Interrupted,
        });
    }

    /// The open record as it is so far.
    pub(super) fn pending(&self) -> Option<LogRecord> {
        match &self.open {
            Open::Record(open) if !open.is_torn() => Some(open.entry.record()),
            Open::Record(_) | Open::Nothing | Open::Stretch(_) => None,
        }
    }

    /// Whether the last lines are none of a record.
    pub(super) fn ends_unparsed(&self) -> bool {
        matches!(
            self.open,
            Open::Stretch(Stretch {
                kind: Kind::Unparsed(_),
                ..
            })
        )
    }

    /// First byte of what is open or held.
    pub(super) fn unsettled_from_bytes(&self) -> Option<u64> {
        match &self.open {
            Open::Record(open) => Some(open.entry.record.position.offset_bytes),
            Open::Stretch(stretch) => Some(stretch.start_bytes),
            Open::Nothing => self
                .held
                .as_ref()
                .and_then(|held| held.starts_bytes.first().copied()),
        }
    }
}

impl OpenRecord {
    /// Whether it would be torn if nothing more of it came.
    fn is_torn(&self) -> bool {
        self.body.is_unfinished() || (self.body.is_plan() && self.entry.is_cut())
    }
}

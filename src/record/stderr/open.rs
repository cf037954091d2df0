//! The record that is open while the lines of a stderr log come in: which of them are its own, and where it is torn.
//!
//! A continuation comes in; whether it belongs to the record goes out. What becomes of lines that don't is decided elsewhere.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::super::assemble::Line;
use super::super::entry::{self, Entry};
use super::super::head;
use super::super::line_prefix::LinePrefix;
use super::super::{Assembled, UnparsedReason};
use super::body::Body;
use super::glued::{self, Glued};
use super::missing::{Missing, Piece};
use super::plan_line::{self, PlanLine};

/// What the next line may still belong to.
pub(super) enum Open {
    Nothing,
    Record(OpenRecord),
    Stretch(Stretch),
}

pub(super) struct OpenRecord {
    pub(super) entry: Entry,
    pub(super) body: Body,
    /// Lines after the last that is the record's. They are its all the same if another labelled text of it follows.
    pub(super) foreign: Option<Stretch>,
    /// It began in the middle of a line, behind a record that is torn there.
    pub(super) is_glued: bool,
    /// It may have been torn without a trace, the rest of another record being written behind it: another plan torn before a line
    /// indented alike in a plan, any torn plan in a text.
    pub(super) may_hold_rest: bool,
}

/// Lines that are no record.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub(super) start_bytes: u64,
    pub(super) end_bytes: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unparsed(UnparsedReason),
    Torn,
    Rest,
}

/// What a continuation is to the open record.
pub(super) enum Fit {
    Own,
    /// No part of it.
    Stray,
    /// The record ends before this line without being whole.
    TornBefore,
    /// The record ends within this line without being whole; behind it another one begins.
    TornAt(Glued),
    /// The record may end within this line.
    CutAt(Glued),
}

/// Up to so many bytes a pipe takes at once whole (Linux: `PIPE_BUF`).
const PIPE_BUF_BYTES: u64 = 4096;

/// How much a time that is printed in the middle of a record may differ from the record's own, to be that of a torn record's neighbour.
const NEIGHBOUR_WITHIN: SignedDuration = SignedDuration::from_mins(10);

pub(super) fn are_near(one: Timestamp, other: Timestamp) -> bool {
    one.duration_since(other).abs() <= NEIGHBOUR_WITHIN
}

impl OpenRecord {
    /// Whether a continuation can be one of the open record.
    ///
    /// In a plan in JSON a head can stand in a string only, so that one behind anything else, or in a line that isn't whole, shows where
    /// the record was torn. In a statement a head may be the statement's own text or another session's record: there the text ends.
    pub(super) fn fit(
        &self,
        text: &[u8],
        may_hold_label: bool,
        prefix: &LinePrefix,
        log_timezone: Option<&TimeZone>,
        missing: &Missing,
    ) -> Fit {
        if self.foreign.is_some() || self.body == Body::Whole {
            return Fit::Stray;
        }
        if self.entry.is_cut() {
            return Fit::Own;
        }
        let glued = may_hold_label.then(|| glued::find(prefix, text)).flatten();
        if self.body == Body::Json {
            if let Some(glued) = glued {
                let is_proven = text
                    .get(..glued.at)
                    .is_some_and(plan_line::ends_outside_values);
                return if is_proven {
                    Fit::TornAt(glued)
                } else if PlanLine::read(text).is_some() {
                    Fit::Own
                } else {
                    Fit::TornAt(Glued {
                        is_ambiguous: true,
                        ..glued
                    })
                };
            }
            let follows = missing.is_empty()
                || self.entry.last_line().is_none_or(|last| {
                    let (last, next) = (PlanLine::read(last), PlanLine::read(text));
                    last.zip(next)
                        .is_some_and(|(last, next)| last.can_precede(next))
                });
            // Only the first line of a plan is a bracket that isn't indented.
            return if follows && text != b"{" {
                Fit::Own
            } else {
                Fit::TornBefore
            };
        }
        let piece = Piece {
            text,
            has_tab: true,
        };
        if missing.would_take_line(piece) {
            return Fit::Stray;
        }
        match glued {
            Some(glued)
                if self.is_near(
                    text.get(glued.at..).unwrap_or_default(),
                    prefix,
                    log_timezone,
                ) =>
            {
                Fit::CutAt(glued)
            }
            _ => Fit::Own,
        }
    }

    /// Whether the head that `bytes` begins with is of about the record's time, or one of them tells none.
    fn is_near(&self, bytes: &[u8], prefix: &LinePrefix, log_timezone: Option<&TimeZone>) -> bool {
        let record = &self.entry.record;
        let other =
            head::read(prefix, bytes).and_then(|found| entry::log_time(&found.head, log_timezone));
        record.flags.time_of_reading
            || other.is_none_or(|(other, _)| are_near(record.log_time, other))
    }

    /// Takes a continuation.
    pub(super) fn append(
        &mut self,
        text: &[u8],
        line: Line<'_>,
        missing: &mut Missing,
        max_record_bytes: usize,
    ) {
        if !self.entry.is_cut() {
            self.may_hold_rest |= match self.body {
                Body::Json => missing.may_begin_in(text),
                _ => !missing.is_empty(),
            };
            self.body.take(text);
        }
        self.entry.append_line_break(max_record_bytes);
        self.entry.append(text, line, max_record_bytes);
        self.entry.record.flags.ambiguous |= self.holds_rest();
    }

    /// Whether the rest of another record may be in it.
    pub(super) fn holds_rest(&self) -> bool {
        self.may_hold_rest && self.is_longer_than_a_pipe_takes()
    }

    /// Whether it may have been written in pieces.
    pub(super) fn is_longer_than_a_pipe_takes(&self) -> bool {
        let record = &self.entry.record;
        record.end_bytes - record.position.offset_bytes > PIPE_BUF_BYTES
    }

    /// Whether it would be torn if nothing more of it came.
    pub(super) fn is_torn(&self) -> bool {
        self.body.is_unfinished() || (self.body.is_plan() && self.entry.is_cut())
    }
}

impl Stretch {
    pub(super) fn assembled(self) -> Assembled {
        let Self {
            start_bytes,
            end_bytes,
            kind,
        } = self;
        match kind {
            Kind::Unparsed(reason) => Assembled::Unparsed {
                start_bytes,
                end_bytes,
                reason,
            },
            Kind::Torn => Assembled::Torn {
                start_bytes,
                end_bytes,
                reason: UnparsedReason::Interrupted,
            },
            Kind::Rest => Assembled::Rest {
                start_bytes,
                end_bytes,
            },
        }
    }
}

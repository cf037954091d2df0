//! Lines with a tab: which of them go on with the open record, and which show that it was torn.
//!
//! The text behind the tab comes in; the record grows, ends, or is told torn. What the bytes can't tell is flagged on the record.

use jiff::Timestamp;

use super::super::assemble::Line;
use super::super::{Assembled, UnparsedReason};
use super::body::Body;
use super::glued::{self, Glued};
use super::missing::Piece;
use super::plan_line::{self, PlanLine};
use super::{Lines, Open};

/// What a continuation is to the open record.
enum Fit {
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

impl Lines {
    /// A line with a tab, `text` being what stands after it.
    pub(super) fn continuation(
        &mut self,
        text: &[u8],
        line: Line<'_>,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        match self.fit(text) {
            Fit::Stray => self.stray(line, UnparsedReason::NoRecord, read_at, sink),
            Fit::TornBefore => {
                self.missing.take_end_of(text);
                self.tear(line.start_bytes, None, sink);
                self.stray(line, UnparsedReason::NoRecord, read_at, sink);
            }
            Fit::TornAt(glued) => {
                let (_, after) = line.split(glued.at + 1);
                let partial = text.get(..glued.at).map(<[u8]>::to_vec);
                self.tear(after.start_bytes, partial, sink);
                self.head_after(after, glued.is_ambiguous, read_at, sink);
            }
            Fit::CutAt(glued) => {
                self.append(text.get(..glued.at).unwrap_or_default(), line);
                if let Open::Record(open) = &mut self.open {
                    open.entry.cut();
                }
            }
            Fit::Own => self.append(text, line),
        }
    }

    /// Whether a continuation can be one of the open record.
    ///
    /// In a plan in JSON a head can stand in a string only, so that one behind anything else, or in a line that isn't whole, shows where
    /// the record was torn. In a statement a head may be the statement's own text or another session's record: there the text ends.
    fn fit(&mut self, text: &[u8]) -> Fit {
        let Open::Record(open) = &self.open else {
            return Fit::Stray;
        };
        if open.foreign.is_some() || open.body == Body::Whole {
            return Fit::Stray;
        }
        if open.entry.is_cut() {
            return Fit::Own;
        }
        let glued = glued::find(&self.prefix, text);
        if open.body == Body::Json {
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
            let follows = self.missing.is_empty()
                || open.entry.last_line().is_none_or(|last| {
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
        if self.missing.would_take_line(piece) {
            return Fit::Stray;
        }
        match glued {
            Some(glued) if self.is_neighbour_of_open(text.get(glued.at..).unwrap_or_default()) => {
                Fit::CutAt(glued)
            }
            _ => Fit::Own,
        }
    }

    fn append(&mut self, text: &[u8], line: Line<'_>) {
        if let Open::Record(open) = &mut self.open {
            if !open.entry.is_cut() {
                open.may_hold_rest |= match open.body {
                    Body::Json => self.missing.may_begin_in(text),
                    _ => !self.missing.is_empty(),
                };
                open.body.take(text);
                let size_bytes = line.end_bytes - open.entry.record.position.offset_bytes;
                if open.may_hold_rest && size_bytes > PIPE_BUF_BYTES {
                    open.entry.record.flags.ambiguous = true;
                }
            }
            open.entry.append_line_break(self.max_record_bytes);
            open.entry.append(text, line, self.max_record_bytes);
        }
    }
}

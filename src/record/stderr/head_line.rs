//! Lines with a head: a severity begins a record, a label such as DETAIL adds a text to one.
//!
//! What `head` has read of a line comes in; the open record ends or goes on. A line that holds a second head behind the first is one of a torn
//! record, or of a statement that quotes a log.

use jiff::{SignedDuration, Timestamp};

use crate::model::position::Position;

use super::super::assemble::Line;
use super::super::entry::{self, Entry};
use super::super::head::{self, Head, HeadLine};
use super::super::severity::Label;
use super::super::{Assembled, UnparsedReason};
use super::body::{self, Body};
use super::glued;
use super::missing::Torn;
use super::stretch::Kind;
use super::{Lines, Open, OpenRecord};

/// How much a time that is printed in the middle of a record may differ from the record's own, to be that of a torn record's neighbour.
const NEIGHBOUR_WITHIN: SignedDuration = SignedDuration::from_mins(10);

impl Lines {
    /// A head on one line. The line may hold two: of a record that is torn within its head or first line, and of another one behind it.
    pub(super) fn whole_head_line(
        &mut self,
        mut found: HeadLine<'_>,
        line: Line<'_>,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        found.is_ambiguous |= found
            .head
            .names_at
            .and_then(|at| found.before.get(at + 1..))
            .is_some_and(|names| glued::ending_at(&self.prefix, names).is_some());
        let Some(glued) = glued::find(&self.prefix, found.text) else {
            self.head_line(found, line, read_at, sink);
            return;
        };
        let (own, after) = line.split(line.bytes.len() - found.text.len() + glued.at);
        let text = found.text.get(..glued.at).unwrap_or_default();
        let is_severity = matches!(found.label, Label::Severity(_));
        if is_severity && body::begins_plan_message(text) {
            self.close(sink);
            self.missing.add(Torn {
                process_id: found.head.process_id(),
                last_line: None,
                partial: None,
                end_bytes: own.end_bytes,
            });
            self.stretch(own, Kind::Torn, sink);
            self.head_after(after, glued.is_ambiguous, read_at, sink);
        } else if self.is_neighbour(&found.head, after.bytes) {
            self.head_line(HeadLine { text, ..found }, line, read_at, sink);
            if let Open::Record(open) = &mut self.open {
                open.entry.cut();
            }
        } else {
            self.head_line(found, line, read_at, sink);
        }
    }

    /// What is left of a line from where a head begins in it.
    pub(super) fn head_after(
        &mut self,
        line: Line<'_>,
        is_ambiguous: bool,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        if let Some(mut found) = head::read(&self.prefix, line.bytes) {
            found.is_ambiguous |= is_ambiguous;
            self.whole_head_line(found, line, read_at, sink);
        } else {
            self.stretch(line, Kind::Unparsed(UnparsedReason::NoHead), sink);
        }
    }

    pub(super) fn head_line(
        &mut self,
        found: HeadLine<'_>,
        line: Line<'_>,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        if let Label::Severity(severity) = found.label {
            self.close(sink);
            self.missing
                .next_record(found.head.process_id(), line.start_bytes);
            let position = Position {
                generation: self.generation,
                offset_bytes: line.start_bytes,
            };
            let mut entry = Entry::begin(
                &found,
                severity,
                position,
                self.log_timezone.as_ref(),
                read_at,
            );
            entry.append(found.text, line, self.max_record_bytes);
            self.open = Open::Record(OpenRecord {
                entry,
                body: Body::begun_by(found.text),
                foreign: None,
                may_hold_rest: false,
            });
            return;
        }
        match &mut self.open {
            Open::Record(open) if open.entry.is_of_session(&found.head) => {
                open.entry.record.flags.ambiguous_text |= open.foreign.take().is_some();
                open.body = Body::Text;
                open.entry.label(found.label);
                open.entry.append(found.text, line, self.max_record_bytes);
            }
            Open::Record(open) if open.entry.is_cut() => {
                open.entry.append(&[], line, self.max_record_bytes);
            }
            Open::Stretch(stretch) if stretch.kind == Kind::Rest => {
                stretch.end_bytes = line.end_bytes;
            }
            _ => {
                self.close(sink);
                self.stretch(line, Kind::Unparsed(UnparsedReason::NoRecord), sink);
            }
        }
    }

    /// Whether the head that `bytes` begins with is of about the same time as `head`, or one of them tells none.
    fn is_neighbour(&self, head: &Head<'_>, bytes: &[u8]) -> bool {
        let own = entry::log_time(head, self.log_timezone.as_ref());
        self.is_near(own.map(|(log_time, _)| log_time), bytes)
    }

    /// As [`Lines::is_neighbour`] for the open record.
    pub(super) fn is_neighbour_of_open(&self, bytes: &[u8]) -> bool {
        let Open::Record(open) = &self.open else {
            return false;
        };
        let record = &open.entry.record;
        let own = (!record.flags.time_of_reading).then_some(record.log_time);
        self.is_near(own, bytes)
    }

    fn is_near(&self, own: Option<Timestamp>, bytes: &[u8]) -> bool {
        let other = head::read(&self.prefix, bytes)
            .and_then(|found| entry::log_time(&found.head, self.log_timezone.as_ref()));
        let Some((own, (other, _))) = own.zip(other) else {
            return true;
        };
        own.duration_since(other).abs() <= NEIGHBOUR_WITHIN
    }
}

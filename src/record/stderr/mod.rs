//! Lines of a stderr log to log records: a line with prefix and severity begins one; lines with a tab, and DETAIL, HINT, CONTEXT … lines of
//! the same session, go on with it.
//!
//! Lines come in, in order; records and unparsed ranges go out. A record is known to be whole only when the next one begins. Line breaks in
//! user and database names are written raw and split a head over lines: such a line is held until the rest of the head has come, so that
//! what a name holds isn't read as a record of its own. Records that were torn, as by a pipe without the logging collector, end where the
//! next one begins, be it within a line, and their rests are no part of the records that they follow.

mod beginning;
mod body;
mod glued;
mod held;
mod missing;
mod open;
mod plan_line;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod torn_logs;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::position::{GenerationId, Position};
use crate::model::record::LogRecord;

use self::body::Body;
use self::held::Held;
use self::missing::{Missing, Piece, Torn};
use self::open::{Fit, Kind, Open, OpenRecord, Stretch};
use self::plan_line::PlanLine;
use super::assemble::Line;
use super::entry::{self, Entry};
use super::head::{self, Head, HeadLine};
use super::line_prefix::LinePrefix;
use super::severity::Label;
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
    /// The head of the last record.
    head: Vec<u8>,
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
            head: Vec::new(),
        }
    }

    /// Takes the next line.
    pub(super) fn line(
        &mut self,
        line: Line<'_>,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        let Some(mut held) = self.held.take() else {
            self.unheld_line(line, read_at, sink);
            return;
        };
        held.push(line);
        let joined = held.joined(line.is_cut);
        if let Some(found) = head::read(&self.prefix, joined.bytes) {
            self.head_line(found, joined, read_at, sink);
        } else if head::may_go_on(&self.prefix, joined.bytes) {
            self.held = Some(held);
        } else {
            self.release(&held, read_at, sink);
        }
    }

    /// Lines that were held but make no head together: the first is none, the others are read again by themselves.
    fn release(&mut self, held: &Held, read_at: Timestamp, sink: &mut dyn FnMut(Assembled)) {
        for (number, line) in held.lines().enumerate() {
            if number == 0 {
                self.stray(line, UnparsedReason::NoHead, read_at, sink);
            } else {
                self.line(line, read_at, sink);
            }
        }
    }

    fn unheld_line(&mut self, line: Line<'_>, read_at: Timestamp, sink: &mut dyn FnMut(Assembled)) {
        let continuation = line.bytes.strip_prefix(b"\t");
        // Only a prefix that begins with a tab itself makes a head of such a line.
        if let Some(text) = continuation
            && !self.prefix.begins_with_tab()
        {
            self.continuation(text, line, read_at, sink);
        } else if let Some(found) = head::read(&self.prefix, line.bytes) {
            self.whole_head_line(found, line, read_at, sink);
        } else if let Some(text) = continuation {
            self.continuation(text, line, read_at, sink);
        } else if !line.is_cut && head::may_go_on(&self.prefix, line.bytes) {
            self.held = Some(Held::begin(line));
        } else {
            self.stray(line, UnparsedReason::NoHead, read_at, sink);
        }
    }

    /// A head on one line. The line may hold more: of records that are torn within their head or first line, and of another one behind them.
    fn whole_head_line<'a>(
        &mut self,
        mut found: HeadLine<'a>,
        mut line: Line<'a>,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        if let Some(at) = self.rest_in_message(&found, sink) {
            let (own, after) = line.split(line.bytes.len() - found.text.len() + at);
            self.torn_in_message(found.head.process_id(), own, sink);
            return self.stray(after, UnparsedReason::NoRecord, read_at, sink);
        }
        loop {
            found.is_ambiguous |= glued::is_of_another(&self.prefix, &found);
            let Some(glued) = glued::find(&self.prefix, found.text) else {
                return self.head_line(found, line, read_at, sink);
            };
            let text = found.text.get(..glued.at).unwrap_or_default();
            let (own, after) = line.split(line.bytes.len() - found.text.len() + glued.at);
            let next = head::read(&self.prefix, after.bytes);
            let is_severity = matches!(found.label, Label::Severity(_));
            match next {
                Some(next) if is_severity && body::begins_plan_message(text) => {
                    self.torn_in_message(found.head.process_id(), own, sink);
                    (found, line) = (next, after);
                    found.is_ambiguous |= glued.is_ambiguous;
                    found.is_glued = true;
                }
                Some(next) if self.is_neighbour(&found.head, &next.head) => {
                    self.head_line(HeadLine { text, ..found }, line, read_at, sink);
                    if let Open::Record(open) = &mut self.open {
                        open.entry.cut();
                    }
                    return;
                }
                _ => return self.head_line(found, line, read_at, sink),
            }
        }
    }

    /// What is left of a line from where a head begins in it.
    fn head_after(
        &mut self,
        line: Line<'_>,
        is_ambiguous: bool,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        if let Some(mut found) = head::read(&self.prefix, line.bytes) {
            found.is_ambiguous |= is_ambiguous;
            found.is_glued = true;
            self.whole_head_line(found, line, read_at, sink);
        } else {
            self.stretch(line, Kind::Unparsed(UnparsedReason::NoHead), sink);
        }
    }

    /// Whether two heads are of about the same time, or one of them tells none.
    fn is_neighbour(&self, own: &Head<'_>, other: &Head<'_>) -> bool {
        let log_time = |head| entry::log_time(head, self.log_timezone.as_ref());
        log_time(own)
            .zip(log_time(other))
            .is_none_or(|((own, _), (other, _))| open::are_near(own, other))
    }

    fn head_line(
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
            self.head.clear();
            self.head.extend_from_slice(found.before);
            self.open = Open::Record(OpenRecord {
                entry,
                body: Body::begun_by(found.text),
                foreign: None,
                is_glued: found.is_glued,
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
            Open::Record(open) if open.entry.is_cut() || open.is_glued => {
                // A message that user code raised has a CONTEXT and a STATEMENT: what was taken for a record behind a torn one was in it.
                open.entry.record.flags.ambiguous |= open.is_glued;
                open.entry.cut();
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

    /// A line with a tab, `text` being what stands after it.
    fn continuation(
        &mut self,
        text: &[u8],
        line: Line<'_>,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        let fit = match &self.open {
            Open::Record(open) => open.fit(
                text,
                line.may_hold_label,
                &self.prefix,
                self.log_timezone.as_ref(),
                &self.missing,
            ),
            Open::Nothing | Open::Stretch(_) => Fit::Stray,
        };
        match fit {
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

    fn append(&mut self, text: &[u8], line: Line<'_>) {
        if let Open::Record(open) = &mut self.open {
            open.append(text, line, &mut self.missing, self.max_record_bytes);
        }
    }

    /// A line of no record, or of one that was torn before.
    fn stray(
        &mut self,
        line: Line<'_>,
        reason: UnparsedReason,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        let tab = line.bytes.strip_prefix(b"\t");
        if tab.is_none() {
            self.end_of_head(line);
            self.close(sink);
        }
        let piece = Piece {
            text: tab.unwrap_or(line.bytes),
            has_tab: tab.is_some(),
        };
        let kind = match self.missing.is_empty() {
            true => Kind::Unparsed(reason),
            false => Kind::Rest,
        };
        if self.missing.take_line(piece) {
            self.stretch(line, Kind::Rest, sink);
            return;
        }
        let Some(glued) = glued::find(&self.prefix, piece.text) else {
            if kind == Kind::Rest && !piece.has_tab && !self.missing.is_uncertain() {
                self.missing.add_unknown(line.end_bytes);
            }
            self.stretch(line, kind, sink);
            return;
        };
        let (before, after) = line.split(glued.at + usize::from(piece.has_tab));
        let part = Piece {
            text: piece.text.get(..glued.at).unwrap_or_default(),
            ..piece
        };
        let is_proven = self.missing.take_part(part);
        if !is_proven {
            self.missing.add_unknown(before.end_bytes);
        }
        let kind = match kind {
            Kind::Rest => Kind::Rest,
            Kind::Torn | Kind::Unparsed(_) => Kind::Torn,
        };
        self.stretch(before, kind, sink);
        self.head_after(after, !is_proven || glued.is_ambiguous, read_at, sink);
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
            is_uncertain: open.may_hold_rest,
        });
        sink(Assembled::Torn {
            start_bytes: open.entry.record.position.offset_bytes,
            end_bytes,
            reason: UnparsedReason::Interrupted,
        });
    }

    /// A line that is no record's, or no longer.
    fn stretch(&mut self, line: Line<'_>, kind: Kind, sink: &mut dyn FnMut(Assembled)) {
        let stretch = Stretch {
            start_bytes: line.start_bytes,
            end_bytes: line.end_bytes,
            kind,
        };
        let max_bytes = self.max_record_bytes as u64;
        match &mut self.open {
            Open::Record(open) => {
                let foreign = open.foreign.get_or_insert(stretch);
                foreign.end_bytes = line.end_bytes;
            }
            Open::Stretch(open)
                if open.kind == Kind::Rest && kind == Kind::Rest
                    || line.bytes.starts_with(b"\t")
                        && line.end_bytes - open.start_bytes <= max_bytes =>
            {
                open.end_bytes = line.end_bytes;
            }
            Open::Stretch(_) | Open::Nothing => {
                self.close(sink);
                self.open = Open::Stretch(stretch);
            }
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
                if open.holds_rest() {
                    self.missing.add_instead(open.entry.record.process_id);
                }
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
            Open::Nothing => self.held.as_ref().map(Held::start_bytes),
        }
    }
}

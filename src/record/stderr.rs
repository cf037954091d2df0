//! Lines of a stderr log to log records: a line with prefix and severity begins one; lines with a tab, and DETAIL, HINT, CONTEXT … lines of
//! the same session, go on with it.
//!
//! Lines come in, in order; records and unparsed ranges go out. A record is known to be whole only when the next one begins. Line breaks in
//! user and database names are written raw and split a head over lines: such a line is held until the rest of the head has come, so that
//! what a name holds isn't read as a record of its own. Records that were torn, as by a pipe without the logging collector, end where the
//! next one begins, be it within a line, and their rests are no part of the records that they follow.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::model::position::{GenerationId, Position};
use crate::model::record::LogRecord;

use super::assemble::Line;
use super::body::{self, Body};
use super::entry::{self, Entry};
use super::glued::{self, Glued};
use super::head::{self, Head, HeadLine};
use super::line_prefix::LinePrefix;
use super::missing::{Missing, Piece, Torn};
use super::plan_line::{self, PlanLine};
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

/// Lines that are no record.
#[derive(Clone, Copy)]
struct Stretch {
    start_bytes: u64,
    end_bytes: u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unparsed(UnparsedReason),
    Torn,
    Rest,
}

/// A head that isn't whole because a name in it holds a line break: its lines so far, with the line breaks.
struct Held {
    bytes: Vec<u8>,
    /// Where in the log each of the lines begins, and where the last one ends.
    starts_bytes: Vec<u64>,
    end_bytes: u64,
}

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

/// How much a time that is printed in the middle of a record may differ from the record's own, to be that of a torn record's neighbour.
const NEIGHBOUR_WITHIN: SignedDuration = SignedDuration::from_mins(10);

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
        held.bytes.push(b'\n');
        held.bytes.extend_from_slice(line.bytes);
        held.starts_bytes.push(line.start_bytes);
        held.end_bytes = line.end_bytes;
        let joined = Line {
            bytes: &held.bytes,
            start_bytes: held
                .starts_bytes
                .first()
                .copied()
                .unwrap_or(line.start_bytes),
            ..line
        };
        if let Some(found) = head::read(&self.prefix, joined.bytes) {
            self.head_line(found, joined, read_at, sink);
        } else if head::may_go_on(&self.prefix, joined.bytes) {
            self.held = Some(held);
        } else {
            self.release(&held, read_at, sink);
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
            self.held = Some(Held {
                bytes: line.bytes.to_vec(),
                starts_bytes: vec![line.start_bytes],
                end_bytes: line.end_bytes,
            });
        } else {
            self.stray(line, UnparsedReason::NoHead, read_at, sink);
        }
    }

    /// Lines that were held but make no head together: the first is none, the others are read again by themselves.
    fn release(&mut self, held: &Held, read_at: Timestamp, sink: &mut dyn FnMut(Assembled)) {
        let ends_bytes = held.starts_bytes.iter().skip(1).chain([&held.end_bytes]);
        let lines = held
            .bytes
            .split(|b| *b == b'\n')
            .zip(&held.starts_bytes)
            .zip(ends_bytes);
        for (number, ((bytes, start_bytes), end_bytes)) in lines.enumerate() {
            let line = Line {
                bytes,
                start_bytes: *start_bytes,
                end_bytes: *end_bytes,
                is_cut: false,
            };
            if number == 0 {
                self.stray(line, UnparsedReason::NoHead, read_at, sink);
            } else {
                self.line(line, read_at, sink);
            }
        }
    }

    /// A head on one line. The line may hold two: of a record that is torn within its head or first line, and of another one behind it.
    fn whole_head_line(
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
    fn head_after(
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

    /// A line with a tab, `text` being what stands after it.
    fn continuation(
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
            if kind == Kind::Rest && !piece.has_tab {
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

    /// Whether the head that `bytes` begins with is of about the same time as `head`, or one of them tells none.
    fn is_neighbour(&self, head: &Head<'_>, bytes: &[u8]) -> bool {
        let own = entry::log_time(head, self.log_timezone.as_ref());
        self.is_near(own.map(|(log_time, _)| log_time), bytes)
    }

    /// As [`Lines::is_neighbour`] for the open record.
    fn is_neighbour_of_open(&self, bytes: &[u8]) -> bool {
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

impl Stretch {
    fn assembled(self) -> Assembled {
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::super::{Assembler, Config, Format, Layout};
    use super::*;
    use crate::model::record::{RecordFlags, Severity, SqlState};

    fn assembled(setting: &str, log: &[u8]) -> Vec<Assembled> {
        let layout = Layout {
            format: Format::Stderr(LinePrefix::parse(setting).unwrap()),
            time_zone: Some(TimeZone::get("Europe/Berlin").unwrap()),
        };
        let mut assembler = Assembler::new(layout, GenerationId(1), 0, &Config::default());
        let mut out = Vec::new();
        let read_at = "2030-01-01T00:00:00Z".parse().unwrap();
        assembler.push(log, read_at, &mut |item| out.push(item));
        assembler.finish(&mut |item| out.push(item));
        out
    }

    /// A record as `%p` alone gives it.
    fn bare(start_bytes: u64, end_bytes: u64, message: &str) -> LogRecord {
        LogRecord {
            position: Position {
                generation: GenerationId(1),
                offset_bytes: start_bytes,
            },
            end_bytes,
            log_time: "2030-01-01T00:00:00Z".parse().unwrap(),
            user_name: None,
            database_name: None,
            process_id: Some(1),
            connection_from: None,
            session_id: None,
            session_line_num: None,
            command_tag: None,
            virtual_transaction_id: None,
            error_severity: Severity::Log,
            sql_state_code: None,
            message: message.to_owned(),
            detail: None,
            hint: None,
            internal_query: None,
            context: None,
            query: None,
            application_name: None,
            backend_type: None,
            leader_pid: None,
            query_id: None,
            flags: RecordFlags {
                time_of_reading: true,
                ..RecordFlags::default()
            },
        }
    }

    fn record(record: LogRecord) -> Assembled {
        Assembled::Record(Box::new(record))
    }

    #[test]
    fn all_fields() {
        let log = "2026-07-20 07:26:04.284 CEST|56|12|6|6aff.16|3/1|42P01|SELECT|client backend|-9|u|d|10.0.0.1(5)|a b| ERROR:  x\n";
        let expected = LogRecord {
            log_time: "2026-07-20T05:26:04.284Z".parse().unwrap(),
            user_name: Some("u".into()),
            database_name: Some("d".into()),
            process_id: Some(56),
            connection_from: Some("10.0.0.1:5".into()),
            session_id: Some("6aff.16".into()),
            session_line_num: Some(6),
            command_tag: Some("SELECT".into()),
            virtual_transaction_id: Some("3/1".into()),
            error_severity: Severity::Error,
            sql_state_code: SqlState::new("42P01"),
            application_name: Some("a b".into()),
            backend_type: Some("client backend".into()),
            leader_pid: Some(12),
            query_id: Some(-9),
            flags: RecordFlags::default(),
            ..bare(0, log.len() as u64, "x")
        };
        assert_eq!(
            assembled(
                "%m|%p|%P|%l|%c|%v|%e|%i|%b|%Q|%u|%d|%r|%a| ",
                log.as_bytes()
            ),
            [record(expected)]
        );
    }

    #[test]
    fn texts_of_a_record() {
        let log = b"1 ERROR:  a\r\n\t\tb\n\t\n1 DETAIL:  c\n1 HINT:  d\n1 QUERY:  e\n1 CONTEXT:  f\n\tg\n1 STATEMENT:  SELECT\n\t  1\n";
        let expected = LogRecord {
            error_severity: Severity::Error,
            detail: Some("c".into()),
            hint: Some("d".into()),
            internal_query: Some("e".into()),
            context: Some("f\ng".into()),
            query: Some("SELECT\n  1".into()),
            ..bare(0, log.len() as u64, "a\r\n\tb\n")
        };
        assert_eq!(assembled("%p ", log), [record(expected)]);
    }

    #[test]
    fn verbose_records_begin_with_their_code() {
        let log = b"1 LOG:  00000: a\n1 LOCATION:  f, file.c:1\n1 LOG:  00000: b\n";
        let verbose = LogRecord {
            sql_state_code: SqlState::new("00000"),
            ..bare(0, 42, "a")
        };
        assert_eq!(
            assembled("%p ", log),
            [record(verbose), record(bare(42, 59, "00000: b"))]
        );
    }

    #[test]
    fn labelled_lines_of_another_session_are_no_part_of_a_record() {
        let orphan = |start_bytes, end_bytes| Assembled::Unparsed {
            start_bytes,
            end_bytes,
            reason: UnparsedReason::NoRecord,
        };
        assert_eq!(
            assembled("%p ", b"1 LOG:  a\n2 DETAIL:  b\n"),
            [record(bare(0, 10, "a")), orphan(10, 23)]
        );
        let of_session = LogRecord {
            session_id: Some("a.1".into()),
            process_id: None,
            ..bare(0, 12, "a")
        };
        assert_eq!(
            assembled("%c ", b"a.1 LOG:  a\nb.1 DETAIL:  b\n"),
            [record(of_session), orphan(12, 27)]
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_flagged() {
        let lossy = LogRecord {
            user_name: Some("b\u{FFFD}b".into()),
            flags: RecordFlags {
                lossy_utf8: true,
                time_of_reading: true,
                ..RecordFlags::default()
            },
            ..bare(0, 14, "a")
        };
        assert_eq!(
            assembled("%p %u ", b"1 b\xffb LOG:  a\n"),
            [record(lossy.clone())]
        );
        let message = LogRecord {
            user_name: Some("bob".into()),
            message: "\u{FFFD}".into(),
            ..lossy
        };
        assert_eq!(assembled("%p %u ", b"1 bob LOG:  \0\n"), [record(message)]);
    }

    #[test]
    fn line_breaks_in_names_make_no_records() {
        let named = |start, end, user: &str, message: &str| {
            record(LogRecord {
                user_name: Some(user.into()),
                database_name: Some("d".into()),
                ..bare(start, end, message)
            })
        };
        let none = |start_bytes, end_bytes| Assembled::Unparsed {
            start_bytes,
            end_bytes,
            reason: UnparsedReason::NoHead,
        };
        let check = |log: &[u8], expected: &[Assembled]| {
            assert_eq!(assembled("%p %q%u@%d ", log), expected)
        };
        check(
            b"1 x\n2 LOG:  duration: 9.000 ms@d LOG:  a\n1 LOG:  b\n",
            &[
                named(0, 41, "x\n2 LOG:  duration: 9.000 ms", "a"),
                record(bare(41, 51, "b")),
            ],
        );
        check(
            b"1 x\n\n\ty@d LOG:  a\n1 x\n\n\ty@d STATEMENT:  b\n",
            &[match named(0, 42, "x\n\n\ty", "a") {
                Assembled::Record(whole) => record(LogRecord {
                    query: Some("b".into()),
                    ..*whole
                }),
                other => other,
            }],
        );
        // A line that only looked like the beginning of such a head.
        let message = "longer than the sixty-three bytes that a name in a startup packet has";
        check(
            format!("1 LOG:  a\n1 x\n1 LOG:  {message}\n1 u@d LOG:  b\n").as_bytes(),
            &[
                record(bare(0, 10, "a")),
                none(10, 14),
                record(bare(14, 92, message)),
                named(92, 106, "u", "b"),
            ],
        );
        check(b"1 x\n1 y\n", &[none(0, 4), none(4, 8)]);
    }

    /// A plan whose lines all name its session.
    fn plan_of(process_id: i32, nodes: usize) -> String {
        let mut text = format!(
            "duration: 1.000 ms  plan:\n{{\n  \"Query Text\": \"SELECT s{process_id}\",\n  \"Plan\": {{\n"
        );
        for node in 0..nodes {
            text += &format!(
                "    \"Key {node}\": \"(x = 's{process_id}') {{\",\n    \"Rows\": {node},\n"
            );
        }
        text + "    \"Loops\": 1\n  }\n}"
    }

    fn printed(process_id: i32, message: &str) -> String {
        format!(
            "2026-11-20 07:26:04.284 UTC [{process_id}] LOG:  {}\n",
            message.replace('\n', "\n\t")
        )
    }

    fn shown(log: &str) -> Vec<String> {
        assembled("%m [%p] ", log.as_bytes())
            .iter()
            .map(|item| match item {
                Assembled::Record(record) => {
                    let flags = record.flags;
                    let flags = match (flags.ambiguous, flags.ambiguous_text) {
                        (true, _) => " ambiguous",
                        (_, true) => " cut",
                        _ => "",
                    };
                    let message = record.message.replace('\n', "|");
                    let end = message
                        .char_indices()
                        .nth(60)
                        .map_or(message.len(), |(at, _)| at);
                    format!("{}{flags}: {}", record.process_id.unwrap(), &message[..end])
                }
                Assembled::Torn { .. } => "torn".to_owned(),
                Assembled::Rest { .. } => "rest".to_owned(),
                Assembled::Foreign { .. } => "foreign".to_owned(),
                Assembled::Unparsed { reason, .. } => format!("{reason:?}"),
            })
            .collect()
    }

    #[test]
    fn torn_records_hold_nothing_of_others() {
        let check = |log: &str, expected: &[&str]| assert_eq!(shown(log), expected, "{log}");
        let plan = printed(1, &plan_of(1, 1));
        let other = printed(2, "duration: 1.000 ms  statement: SELECT s2");
        let whole_plan = "1: duration: 1.000 ms  plan:|{|  \"Query Text\": \"SELECT s1\",|  \"";
        let whole_other = "2: duration: 1.000 ms  statement: SELECT s2";
        check(&format!("{plan}{other}"), &[whole_plan, whole_other]);
        let torn_at = |text: &str, after: &str| {
            let (before, rest) = plan.split_at(plan.find(text).unwrap() + text.len());
            format!("{before}{after}{rest}{}", printed(3, "c"))
        };
        // Between values, in a key, in a number, before and after a tab, at a line break, in the head, in the message before the plan.
        for place in [
            "    ",
            "\"Ro",
            "\"Rows\": ",
            "{\n",
            "{\n\t",
            "\"Rows\": 0,",
            "plan:",
            "duration: 1.0",
        ] {
            let log = torn_at(place, &other);
            check(&log, &["torn", whole_other, "rest", "3: c"]);
        }
        let ambiguous_other = "2 ambiguous: duration: 1.000 ms  statement: SELECT s2";
        check(
            &torn_at("04.2", &other),
            &["torn", ambiguous_other, "rest", "3: c"],
        );
        // In a value, where clients write: the bytes don't tell whether the other record is one.
        check(
            &torn_at("SELECT ", &other),
            &["torn", ambiguous_other, "rest", "3: c"],
        );
        // In a value that is whole it is none.
        let quoting = printed(
            1,
            &plan_of(1, 1).replace("SELECT s1", &format!("SELECT '{}'", other.trim_end())),
        );
        check(
            &quoting,
            &["1: duration: 1.000 ms  plan:|{|  \"Query Text\": \"SELECT '2026-11"],
        );
        // A statement may be torn, or quote another one.
        check(
            &printed(1, &format!("statement: SELECT '{other}'")),
            &["1 cut: statement: SELECT '"],
        );
        check(
            &printed(
                1,
                &format!("statement: SELECT '{}'", other.replace("2026", "2025")),
            ),
            &["1: statement: SELECT '2025-11-20 07:26:04.284 UTC [2] LOG:  dur"],
        );
        // Lines behind a plan's last one.
        check(
            &format!("{plan}\tx\n\ty\n{other}"),
            &[whole_plan, "NoRecord", whole_other],
        );
        let context = "2026-11-20 07:26:04.284 UTC [1] CONTEXT:  f\n";
        check(
            &format!("{plan}\tx\n{context}{other}"),
            &[&whole_plan.replacen(':', " cut:", 1), whole_other],
        );
        // A plan that the log's end tears.
        check(&plan[..plan.len() - 3], &["torn"]);
    }

    #[test]
    fn names_that_hold_a_head() {
        let check = |line: &str, expected: bool| {
            let found = assembled(
                "%m [%p] %q%u@%d/%a ",
                format!("2026-11-20 07:26:04.284 UTC [1] {line}\n").as_bytes(),
            );
            let [Assembled::Record(record)] = found.as_slice() else {
                panic!("{found:?}");
            };
            assert_eq!(
                (record.process_id, record.flags.ambiguous),
                (Some(1), expected),
                "{line}"
            );
        };
        check(
            "al@db/psql LOG:  duration: 7.000 ms  statement: SELECT 1",
            false,
        );
        check(
            "al2026-11-20 07:26:04.284 UTC [2] bob@db/psql LOG:  duration: 7.000 ms  statement: SELECT 1",
            true,
        );
        check(
            "al@db/2026-11-20 07:26:04.284 UTC [2] LOG:  duration: 7.000 ms  statement: x LOG:  y",
            true,
        );
        check(
            "al@db/psql LOG:  duration: 7.000 ms  statement: SELECT ' LOG:  duration: 5.000 ms'",
            false,
        );
    }

    #[test]
    fn prefixes_that_begin_with_a_tab() {
        assert_eq!(
            assembled("\t%p ", b"\t1 LOG:  a\n\tb\n\t1 LOG:  c\n"),
            [record(bare(0, 14, "a\nb")), record(bare(14, 25, "c"))]
        );
    }
}

//! Lines of a stderr log to log records: a line with prefix and severity begins one; lines with a tab, and DETAIL, HINT, CONTEXT … lines of
//! the same session, go on with it.
//!
//! Lines come in, in order; records and unparsed ranges go out. A record is known to be whole only when the next one begins. Line breaks in
//! user and database names are written raw and split a head over lines: such a line is held until the rest of the head has come, so that
//! what a name holds isn't read as a record of its own.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::position::{GenerationId, Position};
use crate::model::record::LogRecord;

use super::assemble::Line;
use super::entry::Entry;
use super::head::{self, HeadLine};
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
}

/// What the next line may still belong to.
enum Open {
    Nothing,
    Record(Entry),
    /// An unparsed line and the continuations after it.
    Unparsed {
        start_bytes: u64,
        end_bytes: u64,
        reason: UnparsedReason,
    },
}

/// A head that isn't whole because a name in it holds a line break: its lines so far, with the line breaks.
struct Held {
    bytes: Vec<u8>,
    /// Where in the log each of the lines begins, and where the last one ends.
    starts_bytes: Vec<u64>,
    end_bytes: u64,
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
            self.continuation(text, line, sink);
        } else if let Some(found) = head::read(&self.prefix, line.bytes) {
            self.head_line(found, line, read_at, sink);
        } else if let Some(text) = continuation {
            self.continuation(text, line, sink);
        } else if !line.is_cut && head::may_go_on(&self.prefix, line.bytes) {
            self.held = Some(Held {
                bytes: line.bytes.to_vec(),
                starts_bytes: vec![line.start_bytes],
                end_bytes: line.end_bytes,
            });
        } else {
            self.unparsed(line, UnparsedReason::NoHead, sink);
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
                self.unparsed(line, UnparsedReason::NoHead, sink);
            } else {
                self.line(line, read_at, sink);
            }
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
            self.open = Open::Record(entry);
            return;
        }
        match &mut self.open {
            Open::Record(entry) if entry.is_of_session(&found.head) => {
                entry.label(found.label);
                entry.append(found.text, line, self.max_record_bytes);
            }
            _ => self.unparsed(line, UnparsedReason::NoRecord, sink),
        }
    }

    fn continuation(&mut self, text: &[u8], line: Line<'_>, sink: &mut dyn FnMut(Assembled)) {
        match &mut self.open {
            Open::Record(entry) => {
                entry.append_line_break(self.max_record_bytes);
                entry.append(text, line, self.max_record_bytes);
            }
            Open::Unparsed {
                start_bytes,
                end_bytes,
                ..
            } if line.end_bytes - *start_bytes <= self.max_record_bytes as u64 => {
                *end_bytes = line.end_bytes;
            }
            _ => self.unparsed(line, UnparsedReason::NoRecord, sink),
        }
    }

    fn unparsed(
        &mut self,
        line: Line<'_>,
        reason: UnparsedReason,
        sink: &mut dyn FnMut(Assembled),
    ) {
        self.close(sink);
        self.open = Open::Unparsed {
            start_bytes: line.start_bytes,
            end_bytes: line.end_bytes,
            reason,
        };
    }

    /// Nothing more belongs to what is open.
    fn close(&mut self, sink: &mut dyn FnMut(Assembled)) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => {}
            Open::Record(entry) => sink(Assembled::Record(entry.finish())),
            Open::Unparsed {
                start_bytes,
                end_bytes,
                reason,
            } => sink(Assembled::Unparsed {
                start_bytes,
                end_bytes,
                reason,
            }),
        }
    }

    /// No line comes after those that were given: what is held is no head, what is open is whole.
    pub(super) fn finish(&mut self, read_at: Timestamp, sink: &mut dyn FnMut(Assembled)) {
        while let Some(held) = self.held.take() {
            self.release(&held, read_at, sink);
        }
        self.close(sink);
    }

    /// The open record as it is so far.
    pub(super) fn pending(&self) -> Option<LogRecord> {
        match &self.open {
            Open::Record(entry) => Some(entry.record()),
            Open::Nothing | Open::Unparsed { .. } => None,
        }
    }

    /// Whether the last lines are none of a record.
    pub(super) fn ends_unparsed(&self) -> bool {
        matches!(self.open, Open::Unparsed { .. })
    }

    /// First byte of what is open or held.
    pub(super) fn unsettled_from_bytes(&self) -> Option<u64> {
        match &self.open {
            Open::Record(entry) => Some(entry.record.position.offset_bytes),
            Open::Unparsed { start_bytes, .. } => Some(*start_bytes),
            Open::Nothing => self
                .held
                .as_ref()
                .and_then(|held| held.starts_bytes.first().copied()),
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

    #[test]
    fn prefixes_that_begin_with_a_tab() {
        assert_eq!(
            assembled("\t%p ", b"\t1 LOG:  a\n\tb\n\t1 LOG:  c\n"),
            [record(bare(0, 14, "a\nb")), record(bare(14, 25, "c"))]
        );
    }
}

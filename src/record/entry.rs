//! One record of a stderr log while its lines are coming.
//!
//! The head of its first line comes in, then the texts of its labels, line by line; the log record goes out, whole or as it is so far. Which lines
//! belong to it is not decided here.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::position::Position;
use crate::model::record::{LogRecord, RecordFlags, Severity, SqlState};

use super::assemble::Line;
use super::escape::Escape;
use super::head::{Head, HeadLine, verbose_sql_state};
use super::severity::Label;
use super::{text, time};

/// Of the texts of a record when it begins: a plan grows to a few times this, line by line.
const TEXT_CAPACITY_BYTES: usize = 1024;

/// A record whose lines are still coming.
pub(super) struct Entry {
    /// All but the texts.
    pub(super) record: Box<LogRecord>,
    /// The texts of the record's labels one after the other.
    text: Vec<u8>,
    /// Where in `text` the text of each label begins.
    labels: Vec<(Label, usize)>,
    /// What comes of the last label's text may be another record's.
    is_cut: bool,
}

impl Entry {
    /// The record that `found` begins; the text of the line is still to be appended.
    pub(super) fn begin(
        found: &HeadLine<'_>,
        severity: Severity,
        position: Position,
        log_timezone: Option<&TimeZone>,
        read_at: Timestamp,
    ) -> Self {
        Self {
            record: Box::new(record(found, severity, position, log_timezone, read_at)),
            text: Vec::with_capacity(TEXT_CAPACITY_BYTES),
            labels: vec![(found.label, 0)],
            is_cut: false,
        }
    }

    /// The texts to come are that of another label.
    pub(super) fn label(&mut self, label: Label) {
        self.labels.push((label, self.text.len()));
        self.is_cut = false;
    }

    /// The rest of the last label's text may be another record's: none of it is taken.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
        self.record.flags.ambiguous_text = true;
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The last line of the texts so far; `None` if they are longer than a record may be.
    pub(super) fn last_line(&self) -> Option<&[u8]> {
        let line = self.text.rsplit(|byte| *byte == b'\n').next();
        line.filter(|_| !self.record.flags.truncated)
    }

    /// Nothing more comes.
    pub(super) fn finish(mut self) -> Box<LogRecord> {
        fill(&mut self.record, &self.text, &self.labels);
        self.record
    }

    /// Lines that repeat the prefix belong together when they name the same process and session, as far as the prefix names them.
    pub(super) fn is_of_session(&self, head: &Head<'_>) -> bool {
        head.process_id() == self.record.process_id
            && head.session_id == self.record.session_id.as_ref().map(String::as_bytes)
    }

    /// The text of one line, and the line's end as the record's.
    pub(super) fn append(&mut self, text: &[u8], line: Line<'_>, max_record_bytes: usize) {
        self.record.end_bytes = line.end_bytes;
        if self.is_cut {
            return;
        }
        let room = max_record_bytes.saturating_sub(self.text.len());
        let (kept, dropped) = text.split_at_checked(room).unwrap_or((text, &[]));
        self.text.extend_from_slice(kept);
        self.record.flags.truncated |= line.is_cut || !dropped.is_empty();
    }

    pub(super) fn append_line_break(&mut self, max_record_bytes: usize) {
        if self.is_cut {
            return;
        }
        if self.text.len() < max_record_bytes {
            self.text.push(b'\n');
        } else {
            self.record.flags.truncated = true;
        }
    }

    /// The record with the texts that have come so far.
    pub(super) fn record(&self) -> LogRecord {
        let mut record = LogRecord::clone(&self.record);
        fill(&mut record, &self.text, &self.labels);
        record
    }
}

/// Puts the texts into the record. LOCATION is written under log_error_verbosity = verbose only, and then the message begins with its SQLSTATE.
fn fill(record: &mut LogRecord, text: &[u8], labels: &[(Label, usize)]) {
    let ends = labels
        .iter()
        .skip(1)
        .map(|(_, start)| *start)
        .chain([text.len()]);
    let is_verbose = labels.iter().any(|(label, _)| *label == Label::Location);
    let mut lossy = record.flags.lossy_utf8;
    for ((label, start), end) in labels.iter().zip(ends) {
        let text = text.get(*start..end).unwrap_or_default();
        let field = match label {
            Label::Severity(_) => {
                let verbose = verbose_sql_state(text).filter(|_| is_verbose);
                let message = verbose.map_or(text, |(_, message)| message);
                record.sql_state_code = record.sql_state_code.or(verbose.map(|(code, _)| code));
                record.message = text::owned(message, &mut lossy);
                continue;
            }
            Label::Detail => &mut record.detail,
            Label::Hint => &mut record.hint,
            Label::InternalQuery => &mut record.internal_query,
            Label::Context => &mut record.context,
            Label::Statement => &mut record.query,
            Label::Location | Label::Backtrace => continue,
        };
        *field = Some(text::owned(text, &mut lossy));
    }
    record.flags.lossy_utf8 = lossy;
}

/// What a head says of its record.
fn record(
    found: &HeadLine<'_>,
    error_severity: Severity,
    position: Position,
    log_timezone: Option<&TimeZone>,
    read_at: Timestamp,
) -> LogRecord {
    let head = &found.head;
    let printed = log_time(head, log_timezone);
    let flags = RecordFlags {
        time_zone_assumed: printed.is_some_and(|(_, assumed)| assumed),
        time_of_reading: printed.is_none(),
        ambiguous: found.is_ambiguous,
        ..RecordFlags::default()
    };
    let mut lossy = false;
    let mut owned = |bytes: Option<&[u8]>| Some(text::owned(bytes?, &mut lossy));
    let mut record = LogRecord {
        position,
        end_bytes: position.offset_bytes,
        log_time: printed.map_or(read_at, |(log_time, _)| log_time),
        user_name: owned(head.user_name),
        database_name: owned(head.database_name),
        process_id: head.process_id(),
        connection_from: owned(head.connection_from).map(host_and_port),
        session_id: owned(head.session_id),
        session_line_num: number(head.session_line_num),
        command_tag: owned(head.command_tag),
        virtual_transaction_id: owned(head.virtual_transaction_id),
        error_severity,
        sql_state_code: owned(head.sql_state_code).and_then(|code| SqlState::new(&code)),
        message: String::new(),
        detail: None,
        hint: None,
        internal_query: None,
        context: None,
        query: None,
        application_name: owned(head.application_name),
        backend_type: owned(head.backend_type),
        leader_pid: number(head.leader_pid),
        query_id: number(head.query_id).filter(|id| *id != 0),
        flags,
    };
    record.flags.lossy_utf8 = lossy;
    record
}

/// The time that a head tells, and whether its zone had to be assumed.
pub(super) fn log_time(
    head: &Head<'_>,
    log_timezone: Option<&TimeZone>,
) -> Option<(Timestamp, bool)> {
    let (escape, printed) = head.log_time?;
    let (_, printed) = match escape {
        Escape::TimeMilliseconds => time::with_milliseconds(printed),
        Escape::TimeEpoch => time::epoch(printed),
        _ => time::with_seconds(printed),
    }
    .ok()?;
    Some(time::instant(printed, log_timezone))
}

/// A number of the head; `None` too when it is out of range.
fn number<T: FromStr>(digits: Option<&[u8]>) -> Option<T> {
    std::str::from_utf8(digits?).ok()?.parse().ok()
}

/// `%r` prints `host(port)`, csvlog `host:port`.
fn host_and_port(printed: String) -> String {
    match printed
        .strip_suffix(')')
        .and_then(|printed| printed.rsplit_once('('))
    {
        Some((host, port)) => format!("{host}:{port}"),
        None => printed,
    }
}

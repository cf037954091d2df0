//! Rows of csvlog to log records (manual, section 20.8.4 "Using CSV-Format Log Output").
//!
//! Lines come in, in order; a row ends at a line break outside quotes. Records, unparsed lines and torn rows go out: a row that was cut short,
//! as by a full disk or a crash, ends where the next one begins. PostgreSQL 12 writes 23 columns, 13 adds backend_type, 14 leader_pid and
//! query_id; columns beyond those are ignored.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use memchr::memchr;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till};
use nom::combinator::not;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use crate::model::position::{GenerationId, Position};
use crate::model::record::{LogRecord, RecordFlags, SqlState};

use super::assemble::Line;
use super::{Assembled, UnparsedReason, severity, text, time};

/// Reads the lines of one generation.
pub(super) struct Lines {
    log_timezone: Option<TimeZone>,
    generation: GenerationId,
    max_record_bytes: usize,
    open: Option<OpenRow>,
}

/// A row with a line break in a quoted field, whose end hasn't come.
struct OpenRow {
    bytes: Vec<u8>,
    start_bytes: u64,
    end_bytes: u64,
    is_cut: bool,
}

impl Lines {
    pub(super) fn new(
        log_timezone: Option<TimeZone>,
        generation: GenerationId,
        max_record_bytes: usize,
    ) -> Self {
        Self {
            log_timezone,
            generation,
            max_record_bytes,
            open: None,
        }
    }

    /// Takes the next line. `has_odd_quotes` counts its double quotes, those of bytes that were cut off too.
    pub(super) fn line(
        &mut self,
        line: Line<'_>,
        has_odd_quotes: bool,
        sink: &mut dyn FnMut(Assembled),
    ) {
        let Some(mut row) = self.open.take() else {
            if !begins_row(line.bytes) {
                sink(unparsed(line, UnparsedReason::NotCsvlog));
            } else if has_odd_quotes {
                self.open = Some(OpenRow {
                    bytes: line.bytes.to_vec(),
                    start_bytes: line.start_bytes,
                    end_bytes: line.end_bytes,
                    is_cut: line.is_cut,
                });
            } else {
                sink(self.row(line));
            }
            return;
        };
        if begins_row(line.bytes) && opens_field(line.bytes) {
            sink(row.torn());
            self.line(line, has_odd_quotes, sink);
            return;
        }
        row.end_bytes = line.end_bytes;
        if !row.is_cut && row.bytes.len() + line.bytes.len() < self.max_record_bytes {
            row.bytes.push(b'\n');
            row.bytes.extend_from_slice(line.bytes);
            row.is_cut = line.is_cut;
        } else {
            row.is_cut = true;
        }
        if has_odd_quotes {
            sink(self.row(Line {
                bytes: &row.bytes,
                start_bytes: row.start_bytes,
                end_bytes: row.end_bytes,
                is_cut: row.is_cut,
                may_hold_label: true,
            }));
        } else {
            self.open = Some(row);
        }
    }

    /// No line comes after those that were given: an open row is torn.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Assembled)) {
        if let Some(row) = self.open.take() {
            sink(row.torn());
        }
    }

    /// First byte of the open row.
    pub(super) fn unsettled_from_bytes(&self) -> Option<u64> {
        self.open.as_ref().map(|row| row.start_bytes)
    }

    fn row(&self, line: Line<'_>) -> Assembled {
        let position = Position {
            generation: self.generation,
            offset_bytes: line.start_bytes,
        };
        match record(line, position, self.log_timezone.as_ref()) {
            Ok(record) => Assembled::Record(Box::new(record)),
            Err(reason) => unparsed(line, reason),
        }
    }
}

impl OpenRow {
    fn torn(&self) -> Assembled {
        Assembled::Torn {
            start_bytes: self.start_bytes,
            end_bytes: self.end_bytes,
            reason: UnparsedReason::NotCsvlog,
        }
    }
}

/// Whether the first quote of a line that isn't one of two opens a field. Within a quoted field it is the one that closes it: all others are
/// doubled. So no text that a client writes looks like this, and a line that does begins a row of its own.
fn opens_field(line: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr(b'"', line.get(at..).unwrap_or_default()) {
        at += found;
        let run = line
            .get(at..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| **byte == b'"')
            .count();
        if run % 2 == 1 {
            let before = at.checked_sub(1).and_then(|before| line.get(before));
            let after = line.get(at + run);
            return before == Some(&b',') && !matches!(after, None | Some(b',' | b'\r'));
        }
        at += run;
    }
    false
}

fn unparsed(line: Line<'_>, reason: UnparsedReason) -> Assembled {
    Assembled::Unparsed {
        start_bytes: line.start_bytes,
        end_bytes: line.end_bytes,
        reason,
    }
}

/// Whether a line can be the first of a row: a time, and a comma after it. A stray line of another format would turn inside and outside of
/// quotes round for the rest of the file.
pub(super) fn begins_row(line: &[u8]) -> bool {
    time::with_milliseconds(line).is_ok_and(|(rest, _)| rest.starts_with(b","))
}

/// `row = field *( "," field )`, a field of a row that was cut ending where the row does.
fn fields(row: &[u8], is_cut: bool) -> Option<Vec<Cow<'_, [u8]>>> {
    let mut fields = Vec::with_capacity(26);
    let mut rest = row;
    loop {
        let Ok((after, field)) = field(rest) else {
            if is_cut {
                fields.push(unescaped(rest.strip_prefix(b"\"").unwrap_or(rest)));
                return Some(fields);
            }
            return None;
        };
        fields.push(field);
        rest = match after {
            [] | b"\r" => return Some(fields),
            [b',', rest @ ..] => rest,
            _ => return None,
        };
    }
}

/// `field = DQUOTE *( byte but DQUOTE / 2DQUOTE ) DQUOTE / *( byte but "," DQUOTE CR )`; strings are always quoted, NULL is empty.
fn field(input: &[u8]) -> IResult<&[u8], Cow<'_, [u8]>> {
    alt((
        delimited(tag("\""), quoted_text, tag("\"")),
        preceded(
            not(tag("\"")),
            take_till(|b| b == b',' || b == b'"' || b == b'\r').map(Cow::Borrowed),
        ),
    ))
    .parse(input)
}

/// `*( byte but DQUOTE / 2DQUOTE )`
fn quoted_text(input: &[u8]) -> IResult<&[u8], Cow<'_, [u8]>> {
    let mut end = 0;
    loop {
        let rest = input.get(end..).unwrap_or_default();
        end += memchr(b'"', rest).unwrap_or(rest.len());
        match input.get(end..end + 2) {
            Some(b"\"\"") => end += 2,
            _ => break,
        }
    }
    let (text, rest) = input.split_at_checked(end).unwrap_or((input, &[]));
    Ok((rest, unescaped(text)))
}

/// Doubled quotes made single.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut at) = memchr(b'"', text) else {
        return Cow::Borrowed(text);
    };
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_at_checked(at + 1) {
        plain.extend_from_slice(before);
        rest = after.strip_prefix(b"\"").unwrap_or(after);
        let Some(next) = memchr(b'"', rest) else {
            break;
        };
        at = next;
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

/// The columns in the manual's order; the numbers are theirs, from 0.
fn record(
    line: Line<'_>,
    position: Position,
    log_timezone: Option<&TimeZone>,
) -> Result<LogRecord, UnparsedReason> {
    const MESSAGE: usize = 13;
    const COLUMNS_OF_12: usize = 23;
    let mut fields = fields(line.bytes, line.is_cut).ok_or(UnparsedReason::NotCsvlog)?;
    let least = if line.is_cut {
        MESSAGE + 1
    } else {
        COLUMNS_OF_12
    };
    if fields.len() < least {
        return Err(UnparsedReason::NotCsvlog);
    }
    let error_severity = fields.get(11).and_then(|word| severity::named(word));
    let mut lossy = false;
    let mut column = |number: usize| {
        let field = std::mem::take(fields.get_mut(number)?);
        (!field.is_empty()).then(|| match field {
            Cow::Borrowed(bytes) => text::owned(bytes, &mut lossy),
            Cow::Owned(bytes) => text::from_vec(bytes, &mut lossy),
        })
    };
    let log_time = column(0).ok_or(UnparsedReason::NotCsvlog)?;
    let log_time = time::whole(log_time.as_bytes()).ok_or(UnparsedReason::NotCsvlog)?;
    let (log_time, time_zone_assumed) = time::instant(log_time, log_timezone);
    let error_severity = error_severity.ok_or(UnparsedReason::NoSeverity)?;
    let process_id = |text: Option<String>| text.and_then(|text| text.parse::<i32>().ok());
    let mut record = LogRecord {
        position,
        end_bytes: line.end_bytes,
        log_time,
        user_name: column(1),
        database_name: column(2),
        process_id: process_id(column(3)),
        connection_from: column(4),
        session_id: column(5),
        session_line_num: column(6).and_then(|text| text.parse().ok()),
        command_tag: column(7),
        virtual_transaction_id: column(9),
        error_severity,
        sql_state_code: column(12).and_then(|code| SqlState::new(&code)),
        message: column(MESSAGE).unwrap_or_default(),
        detail: column(14),
        hint: column(15),
        internal_query: column(16),
        context: column(18),
        query: column(19),
        application_name: column(22),
        backend_type: column(23),
        leader_pid: process_id(column(24)),
        query_id: column(25)
            .and_then(|text| text.parse().ok())
            .filter(|id| *id != 0),
        flags: RecordFlags {
            truncated: line.is_cut,
            time_zone_assumed,
            ..RecordFlags::default()
        },
    };
    record.flags.lossy_utf8 = lossy;
    Ok(record)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::model::record::Severity;

    const POSITION: Position = Position {
        generation: GenerationId(1),
        offset_bytes: 5,
    };

    fn read(row: &[u8], is_cut: bool) -> Result<LogRecord, UnparsedReason> {
        let line = Line {
            bytes: row,
            start_bytes: 5,
            end_bytes: 6 + row.len() as u64,
            is_cut,
            may_hold_label: true,
        };
        record(line, POSITION, None)
    }

    /// What the rows below have in common.
    fn base(row: &[u8]) -> LogRecord {
        LogRecord {
            position: POSITION,
            end_bytes: 6 + row.len() as u64,
            log_time: "2026-11-20T06:27:22.607Z".parse().unwrap(),
            user_name: Some("al".into()),
            database_name: Some("my db, \"x\"".into()),
            process_id: Some(88),
            connection_from: Some("[local]".into()),
            session_id: Some("6aff.22".into()),
            session_line_num: Some(3),
            command_tag: Some("SELECT".into()),
            virtual_transaction_id: Some("3/4".into()),
            error_severity: Severity::Error,
            sql_state_code: SqlState::new("42P01"),
            message: "no \"t\"\nat all\r\n\"".into(),
            detail: Some("d".into()),
            hint: Some("h".into()),
            internal_query: Some("q".into()),
            context: Some("c".into()),
            query: Some("SELECT 1".into()),
            application_name: Some("a".into()),
            backend_type: None,
            leader_pid: None,
            query_id: None,
            flags: RecordFlags::default(),
        }
    }

    const COLUMNS_OF_12: &str = "2026-11-20 07:27:22.607 CET,\"al\",\"my db, \"\"x\"\"\",88,\"[local]\",6aff.22,3,\"SELECT\",2026-11-20 07:27:22 CET,3/4,77,ERROR,42P01,\"no \"\"t\"\"\nat all\r\n\"\"\",\"d\",\"h\",\"q\",2,\"c\",\"SELECT 1\",5,\"f, file.c:1\",\"a\"";

    #[test]
    fn rows_of_every_version() {
        let check = |row: String, more: fn(LogRecord) -> LogRecord| {
            assert_eq!(
                read(row.as_bytes(), false),
                Ok(more(base(row.as_bytes()))),
                "{row}"
            );
        };
        check(COLUMNS_OF_12.to_owned(), |record| record);
        check(format!("{COLUMNS_OF_12},\"client backend\""), |record| {
            LogRecord {
                backend_type: Some("client backend".into()),
                ..record
            }
        });
        check(
            format!("{COLUMNS_OF_12},\"parallel worker\",87,-9223372036854775808"),
            |record| LogRecord {
                backend_type: Some("parallel worker".into()),
                leader_pid: Some(87),
                query_id: Some(i64::MIN),
                ..record
            },
        );
        check(format!("{COLUMNS_OF_12},,,0\r"), |record| record);
        check(format!("{COLUMNS_OF_12},,,7,\"more\",8"), |record| {
            LogRecord {
                query_id: Some(7),
                ..record
            }
        });
    }

    #[test]
    fn rows_that_are_none() {
        let check =
            |row: &str, reason| assert_eq!(read(row.as_bytes(), false), Err(reason), "{row}");
        check("", UnparsedReason::NotCsvlog);
        check(
            &COLUMNS_OF_12[..COLUMNS_OF_12.len() - 4],
            UnparsedReason::NotCsvlog,
        );
        check(
            &COLUMNS_OF_12.replace("88,", "8\"8,"),
            UnparsedReason::NotCsvlog,
        );
        check(
            &COLUMNS_OF_12.replace("\"d\"", "\"d\"d"),
            UnparsedReason::NotCsvlog,
        );
        check(
            &COLUMNS_OF_12.replace("27:22.607", "27:62.607"),
            UnparsedReason::NotCsvlog,
        );
        check(
            &COLUMNS_OF_12.replace("ERROR", "WORSE"),
            UnparsedReason::NoSeverity,
        );
    }

    #[test]
    fn no_text_of_a_row_opens_a_field() {
        let check = |line: &str, expected| {
            assert_eq!(opens_field(line.as_bytes()), expected, "{line}");
        };
        check("2026-11-20 07:27:22.607 UTC,\"al\",", true);
        check("2026-11-20 07:27:22.607 UTC,,,1,\"\"\"al\"\"\",", true);
        // The same as a client's text, its quotes doubled, and with the quote that ends it.
        check("2026-11-20 07:27:22.607 UTC,\"\"al\"\",", false);
        check("2026-11-20 07:27:22.607 UTC,\"\"al\"\",\",,", false);
        check("2026-11-20 07:27:22.607 UTC,,,1,\"", false);
        check("no quotes", false);
    }

    #[test]
    fn rows_that_were_cut() {
        let row = &COLUMNS_OF_12.as_bytes()[..COLUMNS_OF_12.find("at all").unwrap()];
        let expected = LogRecord {
            message: "no \"t\"\n".into(),
            detail: None,
            hint: None,
            internal_query: None,
            context: None,
            query: None,
            application_name: None,
            flags: RecordFlags {
                truncated: true,
                ..RecordFlags::default()
            },
            ..base(row)
        };
        assert_eq!(read(row, true), Ok(expected));
        assert_eq!(read(&row[..40], true), Err(UnparsedReason::NotCsvlog));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_flagged() {
        let row = COLUMNS_OF_12.replace("\"d\"", "\"?\"\"\"").into_bytes();
        let row: Vec<u8> = row
            .into_iter()
            .map(|b| if b == b'?' { 0xff } else { b })
            .collect();
        let expected = LogRecord {
            detail: Some("\u{FFFD}\"".into()),
            flags: RecordFlags {
                lossy_utf8: true,
                ..RecordFlags::default()
            },
            ..base(&row)
        };
        assert_eq!(read(&row, false), Ok(expected));
    }
}

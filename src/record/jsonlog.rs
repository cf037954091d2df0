//! Lines of jsonlog to log records (manual, section 20.8.5 "Using JSON-Format Log Output"): one object a line.
//!
//! The same records with csvlog's column names as keys, as log shippers write them, are read too. Keys that aren't known are skipped.

use std::fmt;

use jiff::tz::TimeZone;
use serde::de::{Deserialize, Deserializer, Visitor};

use crate::model::position::{GenerationId, Position};
use crate::model::record::{LogRecord, RecordFlags, SqlState};

use super::assemble::Line;
use super::{Assembled, UnparsedReason, severity, text, time};

/// Reads the lines of one generation.
pub(super) struct Lines {
    log_timezone: Option<TimeZone>,
    generation: GenerationId,
}

/// The object of one line. Keys of jsonlog, then csvlog's name of the same thing.
#[derive(serde::Deserialize)]
struct Object {
    #[serde(alias = "log_time")]
    timestamp: String,
    #[serde(alias = "user_name")]
    user: Option<String>,
    #[serde(alias = "database_name")]
    dbname: Option<String>,
    #[serde(default, alias = "process_id")]
    pid: Number,
    remote_host: Option<String>,
    #[serde(default)]
    remote_port: Number,
    connection_from: Option<String>,
    session_id: Option<String>,
    #[serde(default, alias = "session_line_num")]
    line_num: Number,
    #[serde(alias = "command_tag")]
    ps: Option<String>,
    #[serde(alias = "virtual_transaction_id")]
    vxid: Option<String>,
    error_severity: String,
    #[serde(alias = "sql_state_code")]
    state_code: Option<String>,
    message: Option<String>,
    detail: Option<String>,
    hint: Option<String>,
    internal_query: Option<String>,
    context: Option<String>,
    #[serde(alias = "query")]
    statement: Option<String>,
    application_name: Option<String>,
    backend_type: Option<String>,
    #[serde(default)]
    leader_pid: Number,
    #[serde(default)]
    query_id: Number,
}

impl Lines {
    pub(super) fn new(log_timezone: Option<TimeZone>, generation: GenerationId) -> Self {
        Self {
            log_timezone,
            generation,
        }
    }

    /// Takes the next line, which is a record or none, or what a crash left of one with another behind it.
    pub(super) fn line(&self, line: Line<'_>, sink: &mut dyn FnMut(Assembled)) {
        let reason = match self.record(line) {
            Ok(record) => return sink(Assembled::Record(Box::new(record))),
            Err(reason) => reason,
        };
        if let Some((torn, whole)) = second_object(line.bytes).map(|at| line.split(at))
            && let Ok(record) = self.record(whole)
        {
            sink(Assembled::Torn {
                start_bytes: torn.start_bytes,
                end_bytes: torn.end_bytes,
                reason,
            });
            return sink(Assembled::Record(Box::new(record)));
        }
        sink(Assembled::Unparsed {
            start_bytes: line.start_bytes,
            end_bytes: line.end_bytes,
            reason,
        });
    }

    fn record(&self, line: Line<'_>) -> Result<LogRecord, UnparsedReason> {
        let position = Position {
            generation: self.generation,
            offset_bytes: line.start_bytes,
        };
        record(line, position, self.log_timezone.as_ref())
    }
}

/// Where the last object of a line begins, if it isn't the first. No string in an object looks like this: its quotes have backslashes.
fn second_object(line: &[u8]) -> Option<usize> {
    let last = |key: &[u8]| memchr::memmem::rfind(line, key);
    last(b"{\"timestamp\":")
        .max(last(b"{\"log_time\":"))
        .filter(|at| *at > 0)
}

fn record(
    line: Line<'_>,
    position: Position,
    log_timezone: Option<&TimeZone>,
) -> Result<LogRecord, UnparsedReason> {
    // Each database writes its own encoding into the log, so the line may not be the UTF-8 that JSON is.
    let (json, mut lossy) = text::text(line.bytes);
    let object: Object = serde_json::from_str(&json).map_err(|_| UnparsedReason::NotJsonlog)?;
    let printed = time::whole(object.timestamp.as_bytes()).ok_or(UnparsedReason::NotJsonlog)?;
    let (log_time, time_zone_assumed) = time::instant(printed, log_timezone);
    let error_severity =
        severity::named(object.error_severity.as_bytes()).ok_or(UnparsedReason::NoSeverity)?;
    let mut clean = |text: Option<String>| {
        text.filter(|text| !text.is_empty())
            .map(|text| text::from_vec(text.into_bytes(), &mut lossy))
    };
    let connection_from = clean(object.connection_from).or_else(|| {
        let host = clean(object.remote_host)?;
        Some(match object.remote_port.0 {
            Some(port) => format!("{host}:{port}"),
            None => host,
        })
    });
    // jsonlog leaves the code out when it is the one of success.
    let sql_state_code = object.state_code.filter(|code| !code.is_empty());
    let sql_state_code = SqlState::new(sql_state_code.as_deref().unwrap_or("00000"));
    let mut record = LogRecord {
        position,
        end_bytes: line.end_bytes,
        log_time,
        user_name: clean(object.user),
        database_name: clean(object.dbname),
        process_id: object.pid.to_i32(),
        connection_from,
        session_id: clean(object.session_id),
        session_line_num: object.line_num.0.and_then(|number| number.try_into().ok()),
        command_tag: clean(object.ps),
        virtual_transaction_id: clean(object.vxid),
        error_severity,
        sql_state_code,
        message: clean(object.message).unwrap_or_default(),
        detail: clean(object.detail),
        hint: clean(object.hint),
        internal_query: clean(object.internal_query),
        context: clean(object.context),
        query: clean(object.statement),
        application_name: clean(object.application_name),
        backend_type: clean(object.backend_type),
        leader_pid: object.leader_pid.to_i32(),
        query_id: object.query_id.0.filter(|id| *id != 0),
        flags: RecordFlags {
            time_zone_assumed,
            ..RecordFlags::default()
        },
    };
    record.flags.lossy_utf8 = lossy;
    Ok(record)
}

/// A number, or the digits of one in a string; `None` for everything else, so that an odd value doesn't lose the record.
#[derive(Debug, Clone, Copy, Default)]
struct Number(Option<i64>);

impl Number {
    fn to_i32(self) -> Option<i32> {
        self.0?.try_into().ok()
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyForm;

        impl Visitor<'_> for AnyForm {
            type Value = Number;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, a string or null")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number.cast_signed())))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_str<E>(self, digits: &str) -> Result<Number, E> {
                Ok(Number(digits.parse().ok()))
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
        }

        deserializer.deserialize_any(AnyForm)
    }
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

    fn read(json: &[u8]) -> Result<LogRecord, UnparsedReason> {
        let line = Line {
            bytes: json,
            start_bytes: 5,
            end_bytes: 6 + json.len() as u64,
            is_cut: false,
            may_hold_label: true,
        };
        record(line, POSITION, None)
    }

    fn least(json: &[u8]) -> LogRecord {
        LogRecord {
            position: POSITION,
            end_bytes: 6 + json.len() as u64,
            log_time: "2026-11-20T06:27:22.607Z".parse().unwrap(),
            user_name: None,
            database_name: None,
            process_id: None,
            connection_from: None,
            session_id: None,
            session_line_num: None,
            command_tag: None,
            virtual_transaction_id: None,
            error_severity: Severity::Log,
            sql_state_code: SqlState::new("00000"),
            message: String::new(),
            detail: None,
            hint: None,
            internal_query: None,
            context: None,
            query: None,
            application_name: None,
            backend_type: None,
            leader_pid: None,
            query_id: None,
            flags: RecordFlags::default(),
        }
    }

    fn full(json: &[u8]) -> LogRecord {
        LogRecord {
            user_name: Some("al".into()),
            database_name: Some("my \"db\"".into()),
            process_id: Some(88),
            connection_from: Some("::1:54321".into()),
            session_id: Some("6aff.22".into()),
            session_line_num: Some(3),
            command_tag: Some("SELECT".into()),
            virtual_transaction_id: Some("3/4".into()),
            error_severity: Severity::Error,
            sql_state_code: SqlState::new("42P01"),
            message: "a\nb".into(),
            detail: Some("d".into()),
            hint: Some("h".into()),
            internal_query: Some("q".into()),
            context: Some("c".into()),
            query: Some("SELECT 1".into()),
            application_name: Some("app".into()),
            backend_type: Some("parallel worker".into()),
            leader_pid: Some(87),
            query_id: Some(-9_007_199_254_740_993),
            ..least(json)
        }
    }

    #[test]
    fn keys_of_jsonlog() {
        let json = br#"{"timestamp":"2026-11-20 07:27:22.607 CET","user":"al","dbname":"my \"db\"","pid":88,"remote_host":"::1","remote_port":54321,"session_id":"6aff.22","line_num":3,"ps":"SELECT","session_start":"2026-11-20 07:27:22 CET","vxid":"3/4","txid":7,"error_severity":"ERROR","state_code":"42P01","message":"a\nb","detail":"d","hint":"h","internal_query":"q","internal_position":1,"context":"c","statement":"SELECT 1","cursor_position":2,"func_name":"f","file_name":"f.c","file_line_num":9,"application_name":"app","backend_type":"parallel worker","leader_pid":87,"query_id":-9007199254740993}"#;
        assert_eq!(read(json), Ok(full(json)));
    }

    #[test]
    fn keys_of_csvlog() {
        let json = br#"{"log_time":"2026-11-20 07:27:22.607 CET","user_name":"al","database_name":"my \"db\"","process_id":"88","connection_from":"::1:54321","session_id":"6aff.22","session_line_num":"3","command_tag":"SELECT","session_start_time":"2026-11-20 07:27:22 CET","virtual_transaction_id":"3/4","transaction_id":"7","error_severity":"ERROR","sql_state_code":"42P01","message":"a\nb","detail":"d","hint":"h","internal_query":"q","context":"c","query":"SELECT 1","query_pos":"2","location":"f, f.c:9","application_name":"app","backend_type":"parallel worker","leader_pid":"87","query_id":"-9007199254740993"}"#;
        assert_eq!(read(json), Ok(full(json)));
    }

    #[test]
    fn missing_and_odd_values() {
        let json = br#"{"timestamp":"2026-11-20 07:27:22.607 CET","error_severity":"LOG","user":"","pid":"x","leader_pid":null,"query_id":0,"remote_host":"[local]","line_num":-1,"new":{"a":[1]}}"#;
        let expected = LogRecord {
            connection_from: Some("[local]".into()),
            ..least(json)
        };
        assert_eq!(read(json), Ok(expected));
        let json = b"{\"timestamp\":\"2026-11-20 07:27:22.607 CET\",\"error_severity\":\"LOG\",\"message\":\"\xff\",\"detail\":\"a\\u0000\"}";
        let expected = LogRecord {
            message: "\u{FFFD}".into(),
            detail: Some("a\u{FFFD}".into()),
            flags: RecordFlags {
                lossy_utf8: true,
                ..RecordFlags::default()
            },
            ..least(json)
        };
        assert_eq!(read(json), Ok(expected));
    }

    #[test]
    fn objects_that_are_no_records() {
        let check = |json: &str, reason| assert_eq!(read(json.as_bytes()), Err(reason), "{json}");
        check("", UnparsedReason::NotJsonlog);
        check("[1]", UnparsedReason::NotJsonlog);
        check(
            r#"{"timestamp":"2026-11-20 07:27:22.607 CET"}"#,
            UnparsedReason::NotJsonlog,
        );
        check(
            r#"{"timestamp":"yesterday","error_severity":"LOG"}"#,
            UnparsedReason::NotJsonlog,
        );
        check(
            r#"{"timestamp":"2026-11-20 07:27:22.607 CET","error_severity":"LOG"} x"#,
            UnparsedReason::NotJsonlog,
        );
        check(
            r#"{"timestamp":"2026-11-20 07:27:22.607 CET","error_severity":"WORSE"}"#,
            UnparsedReason::NoSeverity,
        );
    }
}

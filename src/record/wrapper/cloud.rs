//! Log entries of cloud services as JSON lines: Google's Cloud Logging, Azure's diagnostic settings, CloudNativePG's instance manager.
//!
//! A physical line comes in. Of Cloud Logging the lines of a stderr log go out, of the others an object of jsonlog for each entry.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::text;
use super::{Piece, Stream, Unwrapped, clock};

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct CloudLogging {
    text_payload: Option<String>,
    timestamp: Option<String>,
    log_name: Option<String>,
}

/// An entry of Cloud SQL or AlloyDB (Cloud Logging, `LogEntry`): `textPayload` is a line of the server's log, or several.
pub(super) fn cloud_logging(line: &[u8]) -> Unwrapped<Piece<'_>> {
    let (json, _) = text::text(line);
    let Ok(entry) = serde_json::from_str::<CloudLogging>(&json) else {
        return Unwrapped::NotWrapped;
    };
    if entry
        .log_name
        .is_some_and(|name| !name.ends_with("postgres.log"))
    {
        return Unwrapped::Foreign;
    }
    let time = entry.timestamp.as_deref().and_then(clock::timestamp);
    let (Some(mut text), Some(time)) = (entry.text_payload, time) else {
        return Unwrapped::NotWrapped;
    };
    if text.ends_with('\n') {
        text.pop();
    }
    whole(time, text.into_bytes())
}

#[derive(serde::Deserialize)]
struct Azure {
    time: Option<String>,
    category: Option<String>,
    properties: Option<AzureProperties>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AzureProperties {
    message: Option<String>,
    detail: Option<String>,
    error_level: Option<String>,
    sqlerrcode: Option<String>,
    process_id: Option<Value>,
    backend_type: Option<String>,
    timestamp: Option<String>,
}

/// An entry of Azure Database for PostgreSQL (`PostgreSQLLogs` of its diagnostic settings): message and DETAIL, nothing else of a record. The message may
/// repeat the line prefix, which is `%t-%c-`, and the severity.
pub(super) fn azure(line: &[u8]) -> Unwrapped<Piece<'_>> {
    let (json, _) = text::text(line);
    let Ok(entry) = serde_json::from_str::<Azure>(&json) else {
        return Unwrapped::NotWrapped;
    };
    if entry
        .category
        .is_some_and(|category| category != "PostgreSQLLogs")
    {
        return Unwrapped::Foreign;
    }
    let Some(properties) = entry.properties else {
        return Unwrapped::NotWrapped;
    };
    let time = entry.time.as_deref().and_then(clock::timestamp);
    let (Some(time), Some(message), Some(severity)) =
        (time, properties.message, properties.error_level)
    else {
        return Unwrapped::NotWrapped;
    };
    let (head, message) = message
        .split_once(&format!("{severity}:  "))
        .filter(|(head, _)| head.is_empty() || head.ends_with('-'))
        .unwrap_or(("", &message));
    let printed = properties.timestamp.unwrap_or_default();
    let (printed, session_id) = match head
        .strip_suffix('-')
        .and_then(|head| head.rsplit_once('-'))
    {
        Some((printed, session_id)) => (printed, session_id),
        None => (printed.as_str(), ""),
    };
    let process_id = properties
        .process_id
        .unwrap_or_else(|| process_of(session_id));
    let mut row = Map::new();
    for (key, value) in [
        ("timestamp", json!(printed_or(printed, time))),
        ("error_severity", json!(severity)),
        ("state_code", json!(properties.sqlerrcode)),
        ("pid", process_id),
        ("session_id", json!(session_id)),
        ("backend_type", json!(properties.backend_type)),
        ("message", json!(message)),
        ("detail", json!(properties.detail)),
    ] {
        row.insert(key.to_owned(), value);
    }
    whole(time, Value::Object(row).to_string().into_bytes())
}

/// A time as the server prints it where there is one, else the entry's in that form.
fn printed_or(printed: &str, time: Timestamp) -> String {
    if super::super::time::whole(printed.as_bytes()).is_some() {
        printed.to_owned()
    } else {
        time.strftime("%Y-%m-%d %H:%M:%S.%3f UTC").to_string()
    }
}

/// `%c` ends with the process id in hexadecimal.
fn process_of(session_id: &str) -> Value {
    session_id
        .rsplit_once('.')
        .and_then(|(_, process)| i32::from_str_radix(process, 16).ok())
        .map_or(Value::Null, Value::from)
}

#[derive(serde::Deserialize)]
struct CloudNativePg<'a> {
    logger: Option<Cow<'a, str>>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    level: Option<Cow<'a, str>>,
}

/// An entry of the instance manager (CloudNativePG, "Logging"): those of the logger `postgres` hold a row of csvlog under its column names.
pub(super) fn cloud_native_pg(line: &[u8]) -> Unwrapped<Piece<'_>> {
    let (json, _) = text::text(line);
    let Ok(entry) = serde_json::from_str::<CloudNativePg<'_>>(&json) else {
        return Unwrapped::NotWrapped;
    };
    match (entry.logger.as_deref(), entry.record, entry.level) {
        // The row has a time of its own.
        (Some("postgres"), Some(record), _) => {
            whole(Timestamp::UNIX_EPOCH, record.get().as_bytes().to_vec())
        }
        (Some(_), _, Some(_)) => Unwrapped::Foreign,
        _ => Unwrapped::NotWrapped,
    }
}

fn whole(time: Timestamp, text: Vec<u8>) -> Unwrapped<Piece<'static>> {
    Unwrapped::Text(Piece {
        time,
        stream: Stream::Stderr,
        text: Cow::Owned(text),
        ends_line: true,
    })
}

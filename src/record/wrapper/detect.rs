//! Which wrapper a log has, told from its first lines.
//!
//! Bytes come in, a wrapper or none goes out. Each wrapper has marks that no line of PostgreSQL's own formats begins with.

use serde_json::{Map, Value};

use super::super::text;
use super::{container, syslog};
use crate::model::position::Wrapper;

/// Lines looked at. Every line of a wrapped log has the wrapper's marks.
const MAX_LINES: usize = 20;

/// The wrapper of a log that begins with these bytes, if most of its first whole lines have its marks. One that is cut tells too where there is no other.
pub fn wrapper_of(first_bytes: &[u8]) -> Option<Wrapper> {
    let lines: Vec<&[u8]> = first_bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
        .filter(|line| !line.is_empty())
        .take(MAX_LINES)
        .collect();
    let first = *lines.first()?;
    if is_export(first) {
        return Some(Wrapper::JournalExport);
    }
    let found = wrapper_of_line(first).or_else(|| wrapper_of_line(lines.get(1)?))?;
    let alike = lines
        .iter()
        .filter(|line| wrapper_of_line(line) == Some(found))
        .count();
    (alike * 2 > lines.len()).then_some(found)
}

/// `journalctl -o export` begins each entry with its cursor.
fn is_export(line: &[u8]) -> bool {
    line.starts_with(b"__CURSOR=")
}

fn wrapper_of_line(line: &[u8]) -> Option<Wrapper> {
    if line.first() == Some(&b'{') {
        let (json, _) = text::text(line);
        return wrapper_of_object(&serde_json::from_str(&json).ok()?);
    }
    if matches!(container::cri(line), super::Unwrapped::Text(_)) {
        return Some(Wrapper::Cri);
    }
    syslog::is_message(line).then_some(Wrapper::Syslog)
}

/// The wrapper whose keys an object has.
fn wrapper_of_object(object: &Map<String, Value>) -> Option<Wrapper> {
    const KEYS: &[(Wrapper, &[&str])] = &[
        (Wrapper::Docker, &["log", "stream", "time"]),
        (Wrapper::JournalJson, &["__REALTIME_TIMESTAMP", "__CURSOR"]),
        (Wrapper::CloudLogging, &["insertId", "timestamp"]),
        (Wrapper::CloudLogging, &["textPayload", "timestamp"]),
        (Wrapper::Azure, &["category", "properties", "time"]),
        (Wrapper::CloudNativePg, &["logger", "level", "msg"]),
    ];
    KEYS.iter()
        .find(|(_, keys)| keys.iter().all(|key| object.contains_key(*key)))
        .map(|(wrapper, _)| *wrapper)
}

//! Entries of systemd's journal: `journalctl -o json`, and the export format (systemd, "Journal Export Formats").
//!
//! Lines come in, the server's messages go out: what it sent to syslog, or a line of its standard error when it runs as a unit of its own.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use super::super::text;
use super::clock::Clock;
use super::{Entry, Unwrapped};

/// The journal's limit for the data of a field.
const FIELD_BYTES_MAX: u64 = 768 << 20;

/// The fields that are looked at.
#[derive(Debug, Default)]
struct Fields {
    message: Option<Vec<u8>>,
    process_id: Option<i32>,
    identifier: Option<Vec<u8>>,
    time: Option<Timestamp>,
}

impl Fields {
    fn set(&mut self, name: &[u8], value: &[u8]) {
        let number = || std::str::from_utf8(value).ok()?.parse::<i64>().ok();
        match name {
            b"MESSAGE" => self.message = Some(value.to_vec()),
            b"SYSLOG_IDENTIFIER" => self.identifier = Some(value.to_vec()),
            b"_PID" => self.process_id = number().and_then(|id| id.try_into().ok()),
            b"__REALTIME_TIMESTAMP" => {
                self.time = number().and_then(|us| Timestamp::from_microsecond(us).ok());
            }
            _ => {}
        }
    }

    fn entry(self, syslog_ident: &[u8]) -> Unwrapped<Entry<'static>> {
        let Some(time) = self.time else {
            return Unwrapped::NotWrapped;
        };
        match self.message {
            Some(text) if self.identifier.as_deref() == Some(syslog_ident) => {
                Unwrapped::Text(Entry {
                    time,
                    time_zone_assumed: false,
                    process_id: self.process_id,
                    text: Cow::Owned(text),
                })
            }
            _ => Unwrapped::Foreign,
        }
    }
}

/// One object per line; a text that isn't UTF-8 is a list of its bytes, a field that was set twice a list of its values.
pub(super) fn json_entry<'a>(
    line: &'a [u8],
    _: &Clock<'_>,
    syslog_ident: &[u8],
) -> Unwrapped<Entry<'a>> {
    let (json, _) = text::text(line);
    let Ok(Value::Object(object)) = serde_json::from_str(&json) else {
        return Unwrapped::NotWrapped;
    };
    let mut fields = Fields::default();
    for (name, value) in &object {
        match value {
            Value::String(text) => fields.set(name.as_bytes(), text.as_bytes()),
            Value::Array(bytes) => {
                let bytes = bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok());
                if let Some(bytes) = bytes.collect::<Option<Vec<u8>>>() {
                    fields.set(name.as_bytes(), &bytes);
                }
            }
            _ => {}
        }
    }
    fields.entry(syslog_ident)
}

/// An entry of the export format whose lines are coming.
pub(super) struct Export {
    fields: Fields,
    has_fields: bool,
    binary: Option<Binary>,
    max_field_bytes: usize,
}

/// A field whose value has line breaks or isn't UTF-8: `NAME LF length data LF`, the length as 64 bits, little-endian.
struct Binary {
    name: Vec<u8>,
    /// Length and data so far, as much as fits.
    bytes: Vec<u8>,
    /// How many bytes of both have come.
    seen_bytes: u64,
}

impl Binary {
    /// Bytes of length and data together, once the length is known.
    fn all_bytes(&self) -> Option<u64> {
        let length = u64::from_le_bytes(self.bytes.get(..8)?.try_into().ok()?);
        Some(length.saturating_add(8))
    }
}

impl Export {
    pub(super) fn new(max_field_bytes: usize) -> Self {
        Self {
            fields: Fields::default(),
            has_fields: false,
            binary: None,
            max_field_bytes,
        }
    }

    /// What has come of an entry is forgotten.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.max_field_bytes);
    }

    /// Takes the next line. `entry = 1*( NAME "=" value LF / binary ) LF`
    pub(super) fn line(&mut self, line: &[u8], syslog_ident: &[u8]) -> Unwrapped<Entry<'static>> {
        if let Some(binary) = &mut self.binary {
            // The line breaks that were taken off are part of the data, but for the last.
            if binary.seen_bytes > 0 {
                push(&mut binary.bytes, b"\n", self.max_field_bytes);
                binary.seen_bytes += 1;
            }
            push(&mut binary.bytes, line, self.max_field_bytes);
            binary.seen_bytes += line.len() as u64;
            let all = binary.all_bytes();
            let is_wrong = all.is_some_and(|all| binary.seen_bytes > all || all > FIELD_BYTES_MAX);
            if is_wrong {
                self.reset();
                return Unwrapped::NotWrapped;
            }
            if all == Some(binary.seen_bytes)
                && let Some(whole) = self.binary.take()
            {
                self.fields
                    .set(&whole.name, whole.bytes.get(8..).unwrap_or_default());
            }
            return Unwrapped::Part;
        }
        if line.is_empty() {
            let fields = std::mem::take(&mut self.fields);
            return match std::mem::take(&mut self.has_fields) {
                true => fields.entry(syslog_ident),
                false => Unwrapped::Foreign,
            };
        }
        let name_bytes = line
            .iter()
            .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || **b == b'_')
            .count();
        match line.split_at_checked(name_bytes) {
            Some((name @ [_, ..], [b'=', value @ ..])) => {
                self.fields.set(name, value);
                self.has_fields = true;
                Unwrapped::Part
            }
            Some((name @ [_, ..], [])) => {
                self.binary = Some(Binary {
                    name: name.to_vec(),
                    bytes: Vec::new(),
                    seen_bytes: 0,
                });
                self.has_fields = true;
                Unwrapped::Part
            }
            _ => {
                self.reset();
                Unwrapped::NotWrapped
            }
        }
    }
}

fn push(bytes: &mut Vec<u8>, more: &[u8], max_bytes: usize) {
    let room = max_bytes.saturating_add(8).saturating_sub(bytes.len());
    bytes.extend_from_slice(more.get(..room).unwrap_or(more));
}

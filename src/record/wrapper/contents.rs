//! A look inside of a wrapped log: what its first lines hold without what the wrappers put around them.
//!
//! Bytes and their format come in; the format inside and its bytes go out, for those who tell a line prefix.

use std::borrow::Cow;

use jiff::Timestamp;

use super::super::{Format, detect};
use super::clock::Clock;
use super::{Reading, SYSLOG_IDENT, Unwrapped, Wrapped, journal, reading, sequence};
use crate::model::position::{LogFormat, Wrapper};

/// Wrappers that may be around each other: CloudNativePG's in those of Kubernetes.
const DEPTH_MAX: usize = 2;

/// What a log holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents<'a> {
    /// The outermost first.
    pub wrappers: Vec<Wrapper>,
    /// The plain format inside.
    pub format: LogFormat,
    /// Its bytes; lines that are whole, where there is a wrapper.
    pub bytes: Cow<'a, [u8]>,
}

impl Contents<'_> {
    /// The format to read the log with, given that of what is inside.
    pub fn wrap(
        &self,
        inner: Format,
        syslog_ident: Option<&str>,
        written_until: Option<Timestamp>,
    ) -> Format {
        self.wrappers.iter().rev().fold(inner, |inner, wrapper| {
            Format::Wrapped(Wrapped {
                wrapper: *wrapper,
                syslog_ident: syslog_ident.map(str::to_owned),
                written_until,
                inner: Box::new(inner),
            })
        })
    }

    /// The formats by name, the outermost first.
    pub fn name(&self) -> String {
        let outer = self
            .wrappers
            .iter()
            .map(|wrapper| LogFormat::Wrapped(*wrapper));
        let names: Vec<&str> = outer.chain([self.format]).map(LogFormat::as_str).collect();
        names.join(", ")
    }
}

/// Looks into `bytes` of a log of that format.
pub fn contents<'a>(
    format: LogFormat,
    syslog_ident: Option<&str>,
    bytes: &'a [u8],
) -> Contents<'a> {
    let mut contents = Contents {
        wrappers: Vec::new(),
        format,
        bytes: Cow::Borrowed(bytes),
    };
    while let LogFormat::Wrapped(wrapper) = contents.format {
        contents.bytes = Cow::Owned(unwrapped(wrapper, syslog_ident, &contents.bytes));
        contents.wrappers.push(wrapper);
        contents.format = match wrapper {
            Wrapper::Docker | Wrapper::Cri | Wrapper::CloudLogging => {
                detect::format(&contents.bytes).unwrap_or(LogFormat::Stderr)
            }
            fixed => LogFormat::Wrapped(fixed).unwrapped(),
        };
        if contents.wrappers.len() == DEPTH_MAX {
            contents.format = contents.format.unwrapped();
        }
    }
    contents
}

/// The lines inside of the physical lines of `bytes`, as far as they are whole.
fn unwrapped(wrapper: Wrapper, syslog_ident: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let ident = syslog_ident.unwrap_or(SYSLOG_IDENT).as_bytes();
    let clock = Clock {
        zone: None,
        until: Timestamp::UNIX_EPOCH,
    };
    let mut export = journal::Export::new(bytes.len());
    let mut inside = Vec::new();
    let whole_bytes = memchr::memrchr(b'\n', bytes).unwrap_or(0);
    let whole = bytes.get(..whole_bytes).unwrap_or_default();
    for line in whole.split(|byte| *byte == b'\n') {
        match reading(wrapper) {
            Reading::Entry(unwrap) => {
                if let Unwrapped::Text(entry) = unwrap(line, &clock, ident) {
                    inside.extend_from_slice(sequence::sequence(&entry.text).1);
                    inside.push(b'\n');
                }
            }
            Reading::JournalExport => {
                if let Unwrapped::Text(entry) = export.line(line, ident) {
                    inside.extend_from_slice(sequence::sequence(&entry.text).1);
                    inside.push(b'\n');
                }
            }
            Reading::Piece(unwrap) => {
                if let Unwrapped::Text(piece) = unwrap(line) {
                    inside.extend_from_slice(&piece.text);
                    if piece.ends_line {
                        inside.push(b'\n');
                    }
                }
            }
        }
    }
    inside
}

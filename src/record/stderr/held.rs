//! Heads over several lines: line breaks in user and database names are written raw.
//!
//! Every line comes in here first. One that may be the beginning of such a head is held until the rest of the head has come, so that what a
//! name holds isn't read as a record of its own; all others go on to what they are at once.

use jiff::Timestamp;

use super::super::assemble::Line;
use super::super::head;
use super::super::{Assembled, UnparsedReason};
use super::Lines;

/// A head that isn't whole because a name in it holds a line break: its lines so far, with the line breaks.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    /// Where in the log each of the lines begins, and where the last one ends.
    pub(super) starts_bytes: Vec<u64>,
    pub(super) end_bytes: u64,
}

impl Lines {
    /// Takes the next line.
    pub(in super::super) fn line(
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
    pub(super) fn release(
        &mut self,
        held: &Held,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
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
}

//! One message of a process while its pieces are coming, and what the stderr reader makes of its lines.
//!
//! Pieces of text come in with the offsets of their physical lines; records go out. Where a piece ended with a line of the message and where in the
//! middle of one is decided here.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::position::GenerationId;
use crate::model::record::LogRecord;

use super::super::assemble::Line;
use super::super::severity::Label;
use super::super::{Assembled, LinePrefix, head, stderr};
use super::Entry;
use super::sequence::may_be_cut;

/// Where the physical line lies that a piece was found in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) start_bytes: u64,
    pub(super) end_bytes: u64,
    pub(super) is_cut: bool,
}

/// How the lines inside are read.
#[derive(Debug, Clone)]
pub(super) struct Inside {
    pub(super) prefix: LinePrefix,
    pub(super) log_timezone: Option<TimeZone>,
    pub(super) generation: GenerationId,
    pub(super) max_record_bytes: usize,
}

impl Inside {
    /// A reader of one message after the other.
    pub(super) fn reader(&self) -> stderr::Lines {
        stderr::Lines::new(
            self.prefix.clone(),
            self.log_timezone.clone(),
            self.generation,
            self.max_record_bytes,
        )
    }

    /// Whether a text begins a record.
    pub(super) fn begins_record(&self, text: &[u8]) -> bool {
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        head::read(&self.prefix, line)
            .is_some_and(|found| matches!(found.label, Label::Severity(_)))
    }

    /// Whether a line that follows the head of a message begins with the line prefix, as far as can be seen.
    fn begins_with_prefix(&self, line: &[u8]) -> bool {
        head::read(&self.prefix, line).is_some() || head::may_go_on(&self.prefix, line)
    }
}

/// A message whose pieces are coming.
pub(super) struct Message {
    time: Timestamp,
    time_zone_assumed: bool,
    process_id: Option<i32>,
    text: Vec<u8>,
    /// Where in `text` each of the lines ends, and where in the log it lies.
    lines: Vec<(usize, Place)>,
    last_piece_bytes: usize,
    /// A line of it began a record.
    has_head: bool,
    is_cut: bool,
}

impl Message {
    /// The message that a piece begins.
    pub(super) fn begin(entry: &Entry<'_>, text: &[u8], place: Place, inside: &Inside) -> Self {
        let mut message = Self {
            time: entry.time,
            time_zone_assumed: entry.time_zone_assumed,
            process_id: entry.process_id,
            text: Vec::new(),
            lines: Vec::new(),
            last_piece_bytes: 0,
            has_head: false,
            is_cut: false,
        };
        message.add_lines(text, place, inside);
        message
    }

    /// Takes the next piece. A line of a message begins with a tab or with the line prefix; where it could have been cut, other text goes on with
    /// the line before.
    pub(super) fn go_on(&mut self, text: &[u8], place: Place, inside: &Inside) {
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let begins_line = first.starts_with(b"\t") || inside.begins_with_prefix(first);
        if !begins_line && may_be_cut(self.last_piece_bytes, text) {
            self.append(first, inside.max_record_bytes);
            if let Some((end, last)) = self.lines.last_mut() {
                *end = self.text.len();
                last.end_bytes = place.end_bytes;
                last.is_cut |= place.is_cut;
            }
            self.last_piece_bytes = text.len();
            if let Some(rest) = text.get(first.len() + 1..) {
                self.add_lines(rest, place, inside);
            }
            return;
        }
        self.add_lines(text, place, inside);
    }

    /// A piece is missing before the next.
    pub(super) fn has_hole(&mut self) {
        self.is_cut = true;
    }

    /// Memory that it takes, about.
    pub(super) fn size_bytes(&self) -> usize {
        self.text.len() + self.lines.len() * size_of::<(usize, Place)>()
    }

    /// Gives the lines to a reader that has nothing open, and what it makes of them to the sink.
    pub(super) fn read(&self, reader: &mut stderr::Lines, sink: &mut dyn FnMut(Assembled)) {
        let mut complete = |assembled| {
            sink(match assembled {
                Assembled::Record(mut record) => {
                    self.complete(&mut record);
                    Assembled::Record(record)
                }
                other => other,
            });
        };
        let mut start = 0;
        let mut before: Option<u64> = None;
        for (end, place) in &self.lines {
            // Several lines of one physical line have places of their own inside of it.
            let start_bytes = before.map_or(place.start_bytes, |before| {
                place
                    .start_bytes
                    .max((before + 1).min(place.end_bytes.saturating_sub(1)))
            });
            before = Some(start_bytes);
            let line = Line {
                bytes: self.text.get(start..*end).unwrap_or_default(),
                start_bytes,
                end_bytes: place.end_bytes,
                is_cut: place.is_cut,
                may_hold_label: true,
            };
            reader.line(line, self.time, &mut complete);
            start = *end;
        }
        reader.finish(self.time, &mut complete);
    }

    /// What a record doesn't say of itself the wrapper says.
    fn complete(&self, record: &mut LogRecord) {
        record.process_id = record.process_id.or(self.process_id);
        record.flags.truncated |= self.is_cut;
        if record.flags.time_of_reading {
            record.flags.time_of_reading = false;
            record.flags.time_zone_assumed = self.time_zone_assumed;
        }
    }

    fn add_lines(&mut self, text: &[u8], place: Place, inside: &Inside) {
        self.last_piece_bytes = text.len();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for line in text.split(|byte| *byte == b'\n') {
            if self.has_head && !line.starts_with(b"\t") && !inside.begins_with_prefix(line) {
                // Its tab was taken for white space at the beginning or end of the message, and left out.
                self.append(b"\t", inside.max_record_bytes);
            }
            self.has_head = self.has_head || inside.begins_record(line);
            self.append(line, inside.max_record_bytes);
            self.lines.push((self.text.len(), place));
        }
    }

    fn append(&mut self, text: &[u8], max_record_bytes: usize) {
        let room = max_record_bytes.saturating_sub(self.text.len());
        let (kept, dropped) = text.split_at_checked(room).unwrap_or((text, &[]));
        self.text.extend_from_slice(kept);
        self.is_cut |= !dropped.is_empty();
    }
}

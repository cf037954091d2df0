//! A head over several lines: line breaks in user and database names are written as they are.
//!
//! Lines come in as long as they may be more of the head; they go out joined, or one by one where they make no head together.

use super::super::assemble::Line;

/// The lines so far, with the line breaks.
pub(super) struct Held {
    bytes: Vec<u8>,
    /// Where in the log each of the lines begins, and where the last one ends.
    starts_bytes: Vec<u64>,
    end_bytes: u64,
}

impl Held {
    pub(super) fn begin(line: Line<'_>) -> Self {
        Self {
            bytes: line.bytes.to_vec(),
            starts_bytes: vec![line.start_bytes],
            end_bytes: line.end_bytes,
        }
    }

    pub(super) fn push(&mut self, line: Line<'_>) {
        self.bytes.push(b'\n');
        self.bytes.extend_from_slice(line.bytes);
        self.starts_bytes.push(line.start_bytes);
        self.end_bytes = line.end_bytes;
    }

    pub(super) fn start_bytes(&self) -> u64 {
        self.starts_bytes.first().copied().unwrap_or(self.end_bytes)
    }

    /// All lines as one.
    pub(super) fn joined(&self, is_cut: bool) -> Line<'_> {
        Line {
            bytes: &self.bytes,
            start_bytes: self.start_bytes(),
            end_bytes: self.end_bytes,
            is_cut,
            may_hold_label: true,
        }
    }

    /// The lines one by one.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let ends_bytes = self.starts_bytes.iter().skip(1).chain([&self.end_bytes]);
        self.bytes
            .split(|byte| *byte == b'\n')
            .zip(&self.starts_bytes)
            .zip(ends_bytes)
            .map(|((bytes, start_bytes), end_bytes)| Line {
                bytes,
                start_bytes: *start_bytes,
                end_bytes: *end_bytes,
                is_cut: false,
                may_hold_label: true,
            })
    }
}

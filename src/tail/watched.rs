//! A generation whose format is watched and not read: its position follows, and its rest is read when the reading changes over.
//!
//! How far the read format has told the same comes in (`formats` decides it); the row to store there goes out, at a line break, as positions stand on
//! record boundaries. What is passed over was told elsewhere.

use std::io;

use super::generation::{advanced, anchor_of};
use super::tracked::{Life, Look, Tracked};
use crate::model::position::{Codec, Generation};

impl Tracked {
    /// Whether it is still being read to where it was when a better format spoke.
    pub(super) fn is_draining(&self) -> bool {
        let is_readable = self.placed && !self.blocked && !self.cut && !self.aside;
        let reach_bytes = self.seen_bytes.unwrap_or(u64::MAX);
        self.life == Life::Open
            && is_readable
            && self.handed_out_bytes < self.drain_to_bytes.min(reach_bytes)
    }

    /// What comes next in it, as far as it is in a raw file.
    pub(super) fn peek(&self, limit_bytes: usize) -> io::Result<Vec<u8>> {
        let reader = self
            .reader
            .as_ref()
            .filter(|_| self.row.codec == Codec::Raw);
        let Some(reader) = reader else {
            return Ok(Vec::new());
        };
        reader.at(self.row.offset_bytes.max(self.start_bytes), limit_bytes)
    }

    /// The row at the last line break before `copied_bytes`, where one is near and behind the position, with the bytes before it.
    pub(super) fn copied_to(&mut self) -> io::Result<Option<(Generation, Vec<u8>)>> {
        let was_open = self.reader.is_some();
        if !was_open && !self.reopen()? || self.look()? == Look::Replaced {
            return Ok(None);
        }
        let Some(reader) = &self.reader else {
            return Ok(None);
        };
        let before = reader.before(self.copied_bytes)?;
        let line_end = before.iter().rposition(|byte| *byte == b'\n');
        let rest = line_end.map(|at| (before.len() - at - 1) as u64);
        let to_bytes = rest.and_then(|rest| self.copied_bytes.checked_sub(rest));
        let mut copied = None;
        if let Some(to_bytes) = to_bytes.filter(|to| *to > self.taken.offset_bytes) {
            let before = reader.before(to_bytes)?;
            let row = advanced(&self.row, anchor_of(&before, to_bytes), &before);
            copied = Some((row, before));
        }
        if !was_open {
            self.reader = None;
        }
        Ok(copied)
    }

    /// What `copied_to` gave is in the store: everything before it is as good as read.
    pub(super) fn passed_over(&mut self, row: Generation, before: Vec<u8>) {
        self.window = before;
        self.taken = row.anchor;
        self.start_bytes = row.offset_bytes;
        self.handed_out_bytes = row.offset_bytes;
        self.announced = false;
        self.committed(row);
    }
}

//! What of a generation was read and is not committed: handing it out, the checkpoints in it, and handing it out again.
//!
//! Offsets come in from the caller, who may name any record boundary since its last commit; chunks and rows go out. No file is looked at here.

use super::generation::{WINDOW_BYTES, advanced, anchor_of};
use super::tracked::{Life, Tracked};
use super::{Chunk, Error};
use crate::model::position::{Gap, GapReason, Generation, GenerationState};

impl Tracked {
    /// The next stretch of what was taken, or the end.
    pub(super) fn hand_out(&mut self, limit_bytes: usize) -> Option<Chunk> {
        let start_bytes = self.handed_out_bytes;
        let from = self.window_index(start_bytes)?;
        let to = from.saturating_add(limit_bytes).min(self.window.len());
        let bytes = self.window.get(from..to)?.to_vec();
        let ending = match self.life {
            Life::Ending(gap) if bytes.is_empty() => Some(gap),
            _ if bytes.is_empty() => return None,
            _ => None,
        };
        let first = !self.announced;
        let hole = (first && start_bytes > self.row.offset_bytes).then_some(Gap {
            generation: self.row.id,
            from_bytes: self.row.offset_bytes,
            to_bytes: Some(start_bytes),
            reason: GapReason::Hole,
        });
        if let Some(gap) = ending {
            self.life = Life::Ended(gap);
            self.reader = None;
        }
        self.announced = true;
        self.handed_out_bytes += bytes.len() as u64;
        Some(Chunk {
            generation: self.row.id,
            format: self.row.format,
            start_bytes,
            bytes,
            first,
            end_of_generation: ending.is_some(),
            gaps: hole.into_iter().chain(ending.flatten()).collect(),
        })
    }

    /// The row to store once everything before `offset_bytes` is.
    pub(super) fn checkpoint(&self, offset_bytes: u64) -> Result<Generation, Error> {
        let refused = || Error::NotHandedOut {
            generation: self.row.id,
            offset_bytes,
        };
        let anchor = if offset_bytes == self.row.offset_bytes {
            self.row.anchor
        } else if offset_bytes == self.taken.offset_bytes && offset_bytes == self.handed_out_bytes {
            self.taken
        } else if (self.row.offset_bytes..=self.handed_out_bytes).contains(&offset_bytes) {
            let end = self.window_index(offset_bytes).ok_or_else(refused)?;
            anchor_of(self.window.get(..end).ok_or_else(refused)?, offset_bytes)
        } else {
            return Err(refused());
        };
        let state = match self.life {
            Life::Ended(Some(_)) if offset_bytes == self.taken.offset_bytes => {
                GenerationState::Lost
            }
            // One that had ended before this process keeps the state that it has.
            Life::Ended(None) if offset_bytes == self.taken.offset_bytes => match self.announced {
                true => GenerationState::Done,
                false => self.row.state,
            },
            _ => GenerationState::Active,
        };
        let before = self.window_index(offset_bytes);
        let before = before.and_then(|end| self.window.get(..end));
        let before = before.unwrap_or_default();
        Ok(Generation {
            state,
            ..advanced(&self.row, anchor, before)
        })
    }

    pub(super) fn committed(&mut self, stored: Generation) {
        if let Some(end) = self.window_index(stored.offset_bytes) {
            self.window.drain(..end.saturating_sub(WINDOW_BYTES));
        }
        self.row.offset_bytes = stored.offset_bytes;
        self.row.anchor = stored.anchor;
        self.row.ladder = stored.ladder;
        self.row.state = stored.state;
        self.settled_us = stored.file.modified_us;
        if matches!(self.life, Life::Ended(_)) && self.row.state != GenerationState::Active {
            self.window = Vec::new();
        }
    }

    /// Everything since the last commit is handed out again, the end too.
    pub(super) fn rewind(&mut self) {
        let uncommitted = self.row.offset_bytes < self.taken.offset_bytes
            || self.row.state == GenerationState::Active;
        self.handed_out_bytes = self.row.offset_bytes.max(self.start_bytes);
        if let (Life::Ended(gap), true) = (self.life, uncommitted) {
            self.life = Life::Ending(gap);
        }
        self.announced = false;
    }

    /// Where an offset lies in the window, if it does.
    fn window_index(&self, offset_bytes: u64) -> Option<usize> {
        let from_end = self.taken.offset_bytes.checked_sub(offset_bytes)?;
        self.window
            .len()
            .checked_sub(usize::try_from(from_end).ok()?)
    }
}

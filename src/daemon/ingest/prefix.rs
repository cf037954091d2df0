//! A `log_line_prefix` that is changed while the log is followed.
//!
//! The lines since the last record that could be read come in, over as many chunks as it takes; once they show another prefix, what was read before
//! them is stored, and the last chunk's share of them is read again with it. Lines of earlier chunks stay counted as unparsed.

use super::super::batch::Extent;
use super::{Error, ServerIngest};
use crate::{
    execution::Events, model::position::GenerationId, record::detect::Detected, tail::Chunk,
};

/// Most bytes of unread lines that are kept to tell another prefix from.
const UNREAD_BYTES: usize = 1 << 16;

/// Lines of a generation that nobody can read, since the last record.
pub(super) struct Unread {
    generation: GenerationId,
    bytes: Vec<u8>,
}

impl ServerIngest {
    /// The prefix that the unread lines show, if the log's has been changed.
    pub(super) fn changed_prefix(&mut self, chunk: &Chunk, extent: &Extent) -> Option<Detected> {
        let Some(from) = extent.unread_from else {
            // Lines may be held back that are neither read nor given up.
            if extent.newest.is_some() {
                self.unread = None;
            }
            return None;
        };
        let at = usize::try_from(from.saturating_sub(chunk.start_bytes)).unwrap_or(usize::MAX);
        let lines = chunk.bytes.get(at..).unwrap_or_default();
        let goes_on = extent.newest.is_none();
        let unread = match self.unread.take() {
            Some(mut unread) if goes_on && unread.generation == chunk.generation => {
                unread.bytes.extend_from_slice(lines);
                unread
            }
            _ => Unread {
                generation: chunk.generation,
                bytes: lines.to_vec(),
            },
        };
        let detected = self.layouts.changed(chunk, &unread.bytes);
        // A log of something else grows for ever: its beginning has told all that it has to tell.
        if unread.bytes.len() < UNREAD_BYTES && detected.is_none() {
            self.unread = Some(unread);
        }
        detected
    }

    /// Stores what was read before the unread lines, and reads those of this chunk again with the changed prefix.
    pub(super) fn change_prefix(
        &mut self,
        chunk: &Chunk,
        change: &Detected,
        from_bytes: u64,
        mut events: Events,
        mut extent: Extent,
    ) -> Result<(), Error> {
        let unread_from = extent.unread_from.unwrap_or(from_bytes).max(from_bytes);
        extent.unparsed = extent.unparsed_before;
        extent.withdrawn = self.pairing.take_provisional(chunk.generation);
        self.pairing.end_batch(&mut events);
        let row = self.tail.checkpoint(chunk.generation, unread_from)?;
        self.commit(from_bytes, row, events, extent)?;
        self.layouts.change(change, &self.store, &self.server)?;
        self.unread_is_known = false;
        let begun: Vec<_> = self.assemblers.keys().copied().collect();
        begun.into_iter().for_each(|begun| self.forget(begun));
        Ok(())
    }
}

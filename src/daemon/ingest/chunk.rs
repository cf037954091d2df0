//! One stretch of a generation: how it is written, what its bytes say, and how far it is settled.

use std::collections::hash_map::Entry;

use jiff::Timestamp;

use super::super::{batch::Extent, layout};
use super::last_record::Pending;
use super::{Error, ServerIngest};
use crate::{
    execution::Events,
    failpoint,
    record::Assembler,
    tail::{Chunk, Mode},
};

impl ServerIngest {
    pub(super) fn take(&mut self, chunk: &Chunk, now: Timestamp) -> Result<(), Error> {
        failpoint::reach("chunk-taken");
        if chunk.first {
            self.assemblers.remove(&chunk.generation);
            // The end of an older file says nothing of the newest one's last record.
            if !chunk.bytes.is_empty() {
                self.close_others(chunk.generation, now)?;
            }
        }
        let told = self.told(chunk.format);
        let assembler = match self.assemblers.entry(chunk.generation) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let row = self.tail.checkpoint(chunk.generation, chunk.start_bytes)?;
                let layout = self
                    .layouts
                    .of(chunk, &row, self.mode, &self.store, &self.server);
                let layout = match layout {
                    Ok(layout) => layout,
                    Err(layout::Error::Unexplained(unexplained)) => {
                        self.tail.set_aside(chunk.generation);
                        // A line that is still being written tells nothing yet.
                        if self.mode == Mode::Finite || chunk.bytes.contains(&b'\n') {
                            self.unexplained.get_or_insert(unexplained);
                        }
                        return Ok(());
                    }
                    Err(error) => return Err(error.into()),
                };
                if self.layouts.is_proven() {
                    self.unexplained = None;
                    self.tail.take_back();
                }
                self.tail
                    .found_format(chunk.generation, self.layouts.format_of(chunk));
                entry.insert(Assembler::new(
                    layout,
                    chunk.generation,
                    chunk.start_bytes,
                    &self.config.record,
                ))
            }
        };
        let from_bytes = self.tail.committed_bytes(chunk.generation)?;
        let mut events = Events::default();
        let mut extent = Extent {
            gaps: chunk.gaps.clone(),
            told,
            ..Extent::default()
        };
        let pairing = &mut self.pairing;
        let mut sink = |assembled| extent.take(assembled, now, pairing, &mut events);
        assembler.push(&chunk.bytes, now, &mut sink);
        if chunk.end_of_generation {
            assembler.finish(&mut sink);
        }
        let is_unread = extent.unparsed > 0 || assembler.ends_unparsed();
        if is_unread && self.layouts.amend(chunk, &self.store, &self.server)? {
            let begun: Vec<_> = self.assemblers.keys().copied().collect();
            begun.into_iter().for_each(|begun| self.forget(begun));
            return Ok(());
        }
        if let Some(change) = self.changed_prefix(chunk, &extent) {
            return self.change_prefix(chunk, &change, from_bytes, events, extent);
        }
        let Some(assembler) = self.assemblers.get(&chunk.generation) else {
            return Ok(());
        };
        failpoint::reach("chunk-parsed");
        let settled_bytes = assembler.settled_bytes();
        if chunk.end_of_generation {
            self.assemblers.remove(&chunk.generation);
            self.pending.remove(&chunk.generation);
        } else {
            let pending = Pending::of(assembler);
            self.pending.insert(chunk.generation, pending);
        }
        if settled_bytes == from_bytes && chunk.gaps.is_empty() && !chunk.end_of_generation {
            return Ok(());
        }
        if chunk.first && chunk.end_of_generation {
            self.keep_previewed(chunk.generation, &mut events, &mut extent)?;
        }
        extent.withdrawn = self.pairing.take_provisional(chunk.generation);
        self.pairing.end_batch(&mut events);
        let row = self.tail.checkpoint(chunk.generation, settled_bytes)?;
        self.commit(from_bytes, row, events, extent)
    }
}

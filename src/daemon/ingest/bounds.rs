//! How far a generation is read where that isn't to its end: up to where another store has read it.
//!
//! What lies behind the bound is read past and not taken, so that memory doesn't grow with it.

use std::collections::{HashMap, HashSet};

use super::{Error, ServerIngest};
use crate::{model::position::GenerationId, tail::Chunk};

/// First bytes that are not taken, and the generations that have got there.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    until_bytes: HashMap<GenerationId, u64>,
    ended: HashSet<GenerationId>,
}

impl ServerIngest {
    /// Takes nothing of these generations from those bytes on: each ends there. The bytes must be boundaries of records.
    pub(in crate::daemon) fn read_until(&mut self, until_bytes: HashMap<GenerationId, u64>) {
        self.bounds.until_bytes = until_bytes;
    }

    /// The next chunk within the bounds.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        while let Some(mut chunk) = self.tail.next_chunk() {
            let Some(until) = self.bounds.until_bytes.get(&chunk.generation).copied() else {
                return Ok(Some(chunk));
            };
            if let Some(room) = until
                .checked_sub(chunk.start_bytes)
                .filter(|room| *room > 0)
            {
                chunk
                    .bytes
                    .truncate(usize::try_from(room).unwrap_or(usize::MAX));
                return Ok(Some(chunk));
            }
            let end_bytes = chunk.start_bytes + chunk.bytes.len() as u64;
            if until > 0 && self.bounds.ended.insert(chunk.generation) {
                return Ok(Some(Chunk {
                    start_bytes: until,
                    bytes: Vec::new(),
                    end_of_generation: true,
                    ..chunk
                }));
            }
            let row = self.tail.checkpoint(chunk.generation, end_bytes)?;
            self.tail.committed(row);
        }
        Ok(None)
    }
}

//! Records that are told again: the store has them, and no position says so.
//!
//! So it is where a log was cut, as by a power cut, and grew again, and where the store has lost a position. What comes again is read aside with
//! the identity that it had; the last record of which the store has an execution is where the telling goes on. What was no execution and lies between
//! that and the cut is counted twice, as far as it is counted.

use std::collections::HashMap;

use jiff::Timestamp;

use super::super::{batch::clamp_time, layout};
use super::{Error, ServerIngest};
use crate::{
    execution::{Events, Pairing},
    model::{execution::Execution, position::GenerationId},
    record::{Assembled, Assembler},
    store::ExecutionKey,
    tail::{Chunk, Reread},
};

/// Under which generation the store has what comes again, up to where it may, and how far it was looked at.
pub(super) struct Retold {
    of: GenerationId,
    until_bytes: u64,
    reading: Option<Reading>,
}

impl Retold {
    pub(super) fn of(of: GenerationId, until_bytes: u64) -> Self {
        Self {
            of,
            until_bytes,
            reading: None,
        }
    }
}

struct Reading {
    reread: Reread,
    teller: Option<Teller>,
    /// The end of the last record that the store has.
    told_until: Option<u64>,
}

/// An execution as it was after a record, and where that ends.
struct Told {
    end_bytes: u64,
    key: ExecutionKey,
    plan_count: u32,
}

impl ServerIngest {
    /// Looks at the next stretch of a generation that was found, and at its end moves the position behind what the store has of it. Whether that is done:
    /// a log may be long, and the loop has other work.
    pub(super) fn skip_retold(
        &mut self,
        generation: GenerationId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let Some(mut retold) = self.retold.remove(&generation) else {
            return Ok(true);
        };
        let done = self.read_aside(generation, &mut retold, now);
        if !matches!(done, Ok(true)) {
            self.retold.insert(generation, retold);
        }
        done
    }

    fn read_aside(
        &mut self,
        generation: GenerationId,
        retold: &mut Retold,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let unreadable = |source| Error::Reread { source };
        let mut reading = match retold.reading.take() {
            Some(reading) => reading,
            None => match self.tail.reread(generation).map_err(unreadable)? {
                Some(reread) => Reading {
                    reread,
                    teller: None,
                    told_until: None,
                },
                None => return Ok(true),
            },
        };
        let start_bytes = reading.reread.at_bytes();
        let left = retold.until_bytes.saturating_sub(start_bytes);
        let limit = usize::try_from(left).unwrap_or(usize::MAX);
        let bytes = reading
            .reread
            .read(limit.min(self.config.tail.read_bytes))
            .map_err(unreadable)?;
        if reading.teller.is_none() && !bytes.is_empty() {
            reading.teller = self.teller(generation, retold.of, start_bytes, &bytes)?;
        }
        let Some(teller) = &mut reading.teller else {
            return Ok(true);
        };
        let told = teller.take(&bytes, now);
        reading.told_until = self.last_stored(generation, &told)?.or(reading.told_until);
        if !bytes.is_empty() {
            retold.reading = Some(reading);
            return Ok(false);
        }
        if let Some(to_bytes) = reading.told_until {
            self.tail
                .told_until(generation, to_bytes)
                .map_err(unreadable)?;
            tracing::info!(server = %self.server.name, to_bytes, "log bytes passed over: the store has what they say");
        }
        Ok(true)
    }

    /// `None` where nothing tells how the log is written.
    fn teller(
        &mut self,
        generation: GenerationId,
        of: GenerationId,
        start_bytes: u64,
        bytes: &[u8],
    ) -> Result<Option<Teller>, Error> {
        let committed_bytes = self.tail.committed_bytes(generation)?;
        let row = self.tail.checkpoint(generation, committed_bytes)?;
        let chunk = Chunk {
            generation,
            format: row.format,
            start_bytes,
            bytes: bytes.to_vec(),
            first: true,
            end_of_generation: false,
            gaps: Vec::new(),
        };
        let layout = self
            .layouts
            .of(&chunk, &row, self.mode, &self.store, &self.server);
        let layout = match layout {
            Ok(layout) => layout,
            Err(layout::Error::Unexplained(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Teller {
            assembler: Assembler::new(layout, of, start_bytes, &self.config.record),
            pairing: Pairing::new(self.server.id).with_config(self.config.execution.clone()),
            open: HashMap::new(),
        }))
    }

    /// The end of the last record that has told the store something for good.
    fn last_stored(&self, generation: GenerationId, told: &[Told]) -> Result<Option<u64>, Error> {
        let last = self.store.read(|reader| {
            for told in told.iter().rev() {
                if self.pairing.is_provisional(generation, told.key.id) {
                    continue;
                }
                let stored = reader.execution(told.key)?;
                if stored.is_some_and(|stored| stored.plan_count >= told.plan_count) {
                    return Ok(Some(told.end_bytes));
                }
            }
            Ok(None)
        })?;
        Ok(last)
    }
}

/// Makes executions of what is read aside, as they were made when it was told first.
struct Teller {
    assembler: Assembler,
    pairing: Pairing,
    /// Those that wait for their other half.
    open: HashMap<ExecutionKey, Execution>,
}

impl Teller {
    /// What each record has told; the last ones where nothing more comes.
    fn take(&mut self, bytes: &[u8], now: Timestamp) -> Vec<Told> {
        let mut told = Vec::new();
        let Self {
            assembler,
            pairing,
            open,
        } = self;
        let mut sink = |assembled| {
            let Assembled::Record(mut record) = assembled else {
                return;
            };
            clamp_time(&mut record, now);
            let mut events = Events::default();
            pairing.push(&record, &mut events);
            pairing.end_batch(&mut events);
            for execution in events.executions {
                let key = ExecutionKey::of(&execution);
                // One that this record only closes was told by others.
                let is_told = open.remove(&key).is_none_or(|mut before| {
                    before.open = execution.open;
                    before != execution
                });
                if is_told {
                    told.push(Told {
                        end_bytes: record.end_bytes,
                        key,
                        plan_count: execution.plan_count,
                    });
                }
                if execution.open {
                    open.insert(key, execution);
                }
            }
        };
        match bytes.is_empty() {
            true => assembler.finish(&mut sink),
            false => assembler.push(bytes, now, &mut sink),
        }
        told
    }
}

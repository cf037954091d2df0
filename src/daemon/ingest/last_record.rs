//! The last record of a file: known to be whole only when something follows it.
//!
//! Where nothing has come for a while it is stored as it is, to be withdrawn when more of it comes; where the log goes on in another file, or is gone
//! when nothing of it is in memory any more, it is closed.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::batch::{Extent, clamp_time};
use super::{Error, ServerIngest};
use crate::{
    execution::Events,
    failpoint,
    model::{
        accounting::Accounting,
        position::{Gap, GenerationId},
    },
    record::Assembler,
};

/// Silence after which the last record of a file is stored as far as it has come.
const PREVIEW_AFTER: Duration = Duration::from_millis(50);

/// The same where more than [`FEW_RECORDS`] wait, as behind syslog on a busy server: each preview reads all of them again.
const PREVIEW_MANY_AFTER: Duration = Duration::from_secs(1);

const FEW_RECORDS: usize = 16;

/// A generation's last record: where it begins, since when nothing has come, and whether it was stored as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    settled_bytes: u64,
    since: Instant,
    preview_after: Duration,
    stored: bool,
}

impl Pending {
    /// The last record of what the assembler has taken just now.
    pub(super) fn of(assembler: &Assembler) -> Self {
        Self {
            settled_bytes: assembler.settled_bytes(),
            since: Instant::now(),
            preview_after: match assembler.pending_count() <= FEW_RECORDS {
                true => PREVIEW_AFTER,
                false => PREVIEW_MANY_AFTER,
            },
            stored: false,
        }
    }
}

impl ServerIngest {
    /// When the loop has to come back although nothing rang: a last record waits to be stored.
    pub fn wake_in(&self) -> Option<Duration> {
        let waiting = self.pending.values().filter(|pending| !pending.stored);
        waiting
            .map(|pending| {
                pending
                    .preview_after
                    .saturating_sub(pending.since.elapsed())
            })
            .min()
    }

    /// Takes the last records of other files as they are, because `generation` goes on with the log: a rotation may part a plan from its statement.
    pub(super) fn close_others(
        &mut self,
        generation: GenerationId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let others: Vec<_> = self
            .assemblers
            .iter()
            .filter(|(other, assembler)| **other != generation && !assembler.pending().is_empty())
            .map(|(other, _)| *other)
            .collect();
        for other in others {
            self.close_record(other, now)
                .inspect_err(|_| self.forget(other))?;
        }
        Ok(())
    }

    pub(super) fn close_record(
        &mut self,
        generation: GenerationId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut extent = Extent {
            told: self.told_of(generation)?,
            ..Extent::default()
        };
        let Some(assembler) = self.assemblers.get_mut(&generation) else {
            return Ok(());
        };
        let mut events = Events::default();
        let pairing = &mut self.pairing;
        assembler.finish(&mut |assembled| extent.take(assembled, now, pairing, &mut events));
        let settled_bytes = assembler.settled_bytes();
        self.pending.remove(&generation);
        extent.withdrawn = self.pairing.take_provisional(generation);
        self.pairing.end_batch(&mut events);
        let from_bytes = self.tail.committed_bytes(generation)?;
        let row = self.tail.checkpoint(generation, settled_bytes)?;
        self.commit(from_bytes, row, events, extent)
    }

    /// Nothing can be read any more of a generation whose last records were stored as they were: so they stay, and what is lost comes after them.
    pub(super) fn keep_previewed(
        &mut self,
        generation: GenerationId,
        events: &mut Events,
        extent: &mut Extent,
    ) -> Result<(), Error> {
        let open = self
            .store
            .read(|reader| reader.open_executions(self.server.id))?;
        if let Some(end_bytes) = self.pairing.keep_previewed(generation, open, events) {
            for gap in &mut extent.gaps {
                gap.from_bytes = gap.from_bytes.max(end_bytes);
            }
            let is_left = |gap: &Gap| gap.to_bytes.is_none_or(|to| gap.from_bytes < to);
            extent.gaps.retain(is_left);
        }
        Ok(())
    }

    /// Stores the last records of files that have fallen silent as far as they have come, so that they can be seen; their bytes stay uncommitted.
    pub(super) fn preview(&mut self, now: Timestamp) -> Result<(), Error> {
        let due: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, pending)| {
                !pending.stored && pending.since.elapsed() >= pending.preview_after
            })
            .map(|(generation, pending)| (*generation, pending.settled_bytes))
            .collect();
        for (generation, settled_bytes) in due {
            let mut records = self
                .assemblers
                .get(&generation)
                .map(Assembler::pending)
                .unwrap_or_default();
            // Those that come after one that can't be stored keep waiting.
            if let Some(pending) = self.pending.get_mut(&generation) {
                pending.stored = true;
            }
            let told = self.told_of(generation)?;
            records.retain(|record| !told.holds(record));
            if records.is_empty() {
                continue;
            }
            failpoint::reach("last-record-preview");
            let mut extent = Extent {
                withdrawn: self.pairing.take_provisional(generation),
                ..Extent::default()
            };
            for record in &mut records {
                clamp_time(record, now);
                extent.add(record.log_time);
            }
            let mut events = self.pairing.preview(generation, &records);
            events.accounting = Accounting::default();
            let row = self.tail.checkpoint(generation, settled_bytes)?;
            self.commit(settled_bytes, row, events, extent)
                .inspect_err(|_| self.forget(generation))?;
        }
        Ok(())
    }
}

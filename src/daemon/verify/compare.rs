//! Holds what the logs said the second time against what the store has: walks both in the same order.

use std::{collections::BTreeMap, ops::Range};

use jiff::Timestamp;

use super::{Error, Sums, VerifiedGeneration, walk::Walk};
use crate::{
    model::{
        position::{Gap, GapReason, GenerationId},
        stable_id,
    },
    store::ExecutionMark,
};

/// Walks both stores, which give their executions in the same order.
pub(super) fn compare(
    log: &mut Walk<'_>,
    stored: &mut Walk<'_>,
    removed_before: Option<Timestamp>,
    generations: &mut BTreeMap<GenerationId, VerifiedGeneration>,
) -> Result<(), Error> {
    loop {
        let (in_log, in_store) = (log.peek()?, stored.peek()?);
        let order = match (&in_log, &in_store) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => (a.started_at, a.id).cmp(&(b.started_at, b.id)),
        };
        let in_log = in_log.filter(|_| order.is_le());
        let in_store = in_store.filter(|_| order.is_ge());
        log.skip(in_log.is_some());
        stored.skip(in_store.is_some());
        let Some(mark) = in_log.or(in_store) else {
            break;
        };
        let Some(generation) = generations.get_mut(&mark.position.generation) else {
            continue;
        };
        if generation.is_stored && !generation.compared.contains(&mark.position.offset_bytes) {
            continue;
        }
        generation.take(in_log, in_store, removed_before);
    }
    for generation in generations.values_mut() {
        generation.count_unmatched();
    }
    Ok(())
}

/// What can't be read of a generation must be the same each time. That it was truncated or deleted can't be seen again.
pub(super) fn compare_gaps(
    in_log: &[Gap],
    in_store: &[Gap],
    generations: &mut BTreeMap<GenerationId, VerifiedGeneration>,
) {
    let is_in_content = |gap: &&Gap| matches!(gap.reason, GapReason::Hole | GapReason::Corrupt);
    for (gaps, others, is_log) in [(in_log, in_store, true), (in_store, in_log, false)] {
        for gap in gaps.iter().filter(is_in_content) {
            let Some(generation) = generations.get_mut(&gap.generation) else {
                continue;
            };
            // One at the end begins where the reading ended.
            let Range { start, end } = generation.compared;
            if (start..=end).contains(&gap.from_bytes) && !others.contains(gap) {
                match is_log {
                    true => generation.gaps_missing += 1,
                    false => generation.gaps_surplus += 1,
                }
            }
        }
    }
}

impl VerifiedGeneration {
    /// One execution, as the log has it and as the store has it.
    fn take(
        &mut self,
        in_log: Option<ExecutionMark>,
        in_store: Option<ExecutionMark>,
        removed_before: Option<Timestamp>,
    ) {
        match (in_log, in_store) {
            (_, Some(stored)) if stored.open => self.open += 1,
            (Some(log), Some(stored)) => {
                self.in_log.add(&log);
                self.in_store.add(&stored);
                let same = log.duration_ms == stored.duration_ms
                    && log.plan_count == stored.plan_count
                    && log.failed == stored.failed;
                self.different += u64::from(!same);
            }
            (Some(log), None) if Some(log.started_at) < removed_before => self.removed += 1,
            (Some(log), None) => {
                self.in_log.add(&log);
                self.missing += u64::from(!log.time_assumed);
            }
            (None, Some(stored)) => {
                self.in_store.add(&stored);
                self.surplus += u64::from(!stored.time_assumed);
            }
            (None, None) => {}
        }
    }

    /// Executions of a log without times have other times in each reading, and are not found beside each other: their number tells.
    fn count_unmatched(&mut self) {
        let in_log = self.in_log.executions + self.surplus;
        let in_store = self.in_store.executions + self.missing;
        self.missing += in_log.saturating_sub(in_store);
        self.surplus += in_store.saturating_sub(in_log);
    }
}

impl Sums {
    fn add(&mut self, mark: &ExecutionMark) {
        let started_at = match mark.time_assumed {
            true => 0,
            false => mark.started_at.as_microsecond(),
        };
        let duration = mark.duration_ms.map_or(u64::MAX, f64::to_bits);
        let hash = stable_id(&[
            &mark.id.0.to_le_bytes(),
            &started_at.to_le_bytes(),
            &duration.to_le_bytes(),
            &mark.plan_count.to_le_bytes(),
            &[u8::from(mark.failed)],
        ]);
        self.executions += 1;
        self.total_ms += mark.duration_ms.unwrap_or_default();
        self.checksum = self.checksum.wrapping_add(hash.cast_unsigned());
    }
}

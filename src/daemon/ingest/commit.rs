//! A batch into the store, in one transaction with the position after it; or back to what the store holds.

use super::super::batch::{Extent, judge};
use super::{Error, ServerIngest};
use crate::{
    analysis,
    execution::Events,
    model::{
        breach::QueryHistory,
        position::{Generation, GenerationId},
    },
    store::Batch,
};

impl ServerIngest {
    /// One transaction: rows, counts, pairing state, and the position that `row` holds.
    pub(super) fn commit(
        &mut self,
        from_bytes: u64,
        row: Generation,
        mut events: Events,
        extent: Extent,
    ) -> Result<(), Error> {
        if let Some(sampling) = &self.sampling {
            for execution in &mut events.executions {
                execution.weight = Some(sampling.weight(execution));
            }
        }
        let (analyses, recommendations) = judge(&events, &self.config.analysis);
        let mut accounting = events.accounting;
        accounting.unparsed += extent.unparsed;
        accounting.torn += extent.torn;
        accounting.foreign += extent.foreign;
        accounting.gaps += extent.gaps.len() as u64;
        accounting.bytes += row.offset_bytes.saturating_sub(from_bytes);
        let told_count = extent.told_count;
        let batch = Batch {
            server: self.server.id,
            claim: self.claim.number(),
            generation: row,
            from_bytes,
            executions: events.executions,
            plans: events.plans,
            analyses,
            recommendations,
            incidents: events.incidents,
            incident_executions: events.incident_executions,
            withdrawn: extent.withdrawn,
            gaps: extent.gaps,
            accounting,
            pairing: self.pairing.save(),
            newest: extent.newest,
            oldest: extent.oldest,
            slow_threshold_ms: self.config.analysis.slow_threshold_ms,
            max_queries: self.config.max_queries,
            enqueue_advice: self.config.advise,
        };
        let policy =
            |history: &QueryHistory| analysis::policy::breaches(history, &self.config.analysis);
        let ingested = self.store.ingest(&batch, &policy)?;
        for gap in &batch.gaps {
            let path = batch.generation.file.path.display();
            tracing::warn!(server = %self.server.name, path = %path, from_bytes = gap.from_bytes, reason = ?gap.reason, "log bytes are lost");
        }
        if told_count > 0 {
            let path = batch.generation.file.path.display();
            tracing::info!(server = %self.server.name, path = %path, records = told_count, "records passed over: another format has told them");
        }
        let (records, unparsed) = (batch.accounting.records_total, batch.accounting.unparsed);
        if unparsed > records && !self.unread_is_known {
            self.unread_is_known = true;
            tracing::warn!(
                server = %self.server.name, path = %batch.generation.file.path.display(), records, unparsed,
                "more lines than records can't be read: has log_line_prefix been changed? plantail check tells"
            );
        }
        self.accounting.merge(&batch.accounting);
        self.accounting.queries = (self.accounting.queries + ingested.new_queries)
            .saturating_sub(ingested.withdrawn_queries);
        self.tail.committed(batch.generation.clone());
        self.last = Some(batch.generation);
        self.committed = self.pairing.clone();
        self.commits += 1;
        Ok(())
    }

    /// Goes back to what the store holds: the next turn reads the same bytes again.
    pub(super) fn forget(&mut self, generation: GenerationId) {
        self.pairing = self.committed.clone();
        self.assemblers.remove(&generation);
        self.tail.rewind(generation);
        self.pending.remove(&generation);
    }
}

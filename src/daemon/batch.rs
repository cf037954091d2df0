//! What one stretch of log amounts to: its extent in time and bytes, and what the rules say of what it gave.
//!
//! Comes in: what was assembled from the stretch, and the executions that pairing made of it. Goes out: the parts of a batch. Reads and stores nothing.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::ingest::Told;
use crate::{
    analysis,
    execution::{Events, Pairing},
    model::{
        execution::{CapturedPlan, ExecutionId},
        finding::Analysis,
        position::Gap,
        recommendation::Recommendation,
        record::LogRecord,
    },
    record::Assembled,
};

/// Records dated further ahead than this are taken to have a wrong clock.
const AHEAD_LIMIT: SignedDuration = SignedDuration::from_hours(48);

/// What a stretch of log was, besides what its records say.
#[derive(Default)]
pub(super) struct Extent {
    pub(super) oldest: Option<Timestamp>,
    pub(super) newest: Option<Timestamp>,
    pub(super) unparsed: u64,
    /// Where lines begin that nobody can read and no record has come after, and how many of `unparsed` are before them.
    pub(super) unread_from: Option<u64>,
    pub(super) unparsed_before: u64,
    pub(super) torn: u64,
    pub(super) foreign: u64,
    pub(super) gaps: Vec<Gap>,
    pub(super) withdrawn: Vec<(ExecutionId, Timestamp)>,
    /// Records that a better format tells, and how many were passed over for that.
    pub(super) told: Told,
    pub(super) told_count: u64,
}

impl Extent {
    pub(super) fn take(
        &mut self,
        assembled: Assembled,
        now: Timestamp,
        pairing: &mut Pairing,
        events: &mut Events,
    ) {
        match assembled {
            Assembled::Record(record) if self.told.holds(&record) => self.told_count += 1,
            Assembled::Record(mut record) => {
                self.unread_from = None;
                clamp_time(&mut record, now);
                self.add(record.log_time);
                pairing.push(&record, events);
            }
            Assembled::Unparsed { start_bytes, .. } => {
                if self.unread_from.is_none() {
                    self.unread_from = Some(start_bytes);
                    self.unparsed_before = self.unparsed;
                }
                self.unparsed += 1;
            }
            Assembled::Torn { .. } => self.torn += 1,
            Assembled::Foreign { .. } => self.foreign += 1,
            Assembled::Rest { .. } => {}
        }
    }

    pub(super) fn add(&mut self, log_time: Timestamp) {
        self.oldest = Some(self.oldest.map_or(log_time, |oldest| oldest.min(log_time)));
        self.newest = self.newest.max(Some(log_time));
    }
}

pub(super) fn clamp_time(record: &mut LogRecord, now: Timestamp) {
    if record.log_time.duration_since(now) > AHEAD_LIMIT {
        record.log_time = now;
        record.flags.time_of_reading = true;
    }
}

/// Applies the rules that need only the plan, in the same batch as the rows that they are about.
pub(super) fn judge(
    events: &Events,
    config: &analysis::Config,
) -> (Vec<Analysis>, Vec<Recommendation>) {
    let mut plans: HashMap<ExecutionId, Vec<&CapturedPlan>> = HashMap::new();
    for plan in &events.plans {
        plans.entry(plan.execution_id).or_default().push(plan);
    }
    let mut analyses = Vec::new();
    let mut recommendations = Vec::new();
    for execution in &events.executions {
        let plans = plans
            .get(&execution.id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        if plans.is_empty() && execution.plan_count > 0 {
            continue;
        }
        if let Some(analysis) = analysis::analyse(execution, plans, config) {
            recommendations.extend(analysis::recommend(execution, plans, &analysis, config));
            analyses.push(analysis);
        }
    }
    (analyses, recommendations)
}

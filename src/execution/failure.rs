//! Errors: an execution that failed has no duration record, and its statement stands in the error's STATEMENT.
//!
//! How long it ran the log tells only if an earlier record has shown it running: what log_statement prints, a bind, or anything else that the server
//! reported with the same STATEMENT.

use super::{
    arrival::{ALL_ARE_LOGGED_MS, Arrival, UNNAMED},
    open::{Stage, TextHash},
    query,
    session::may_contain,
};
use crate::model::{
    execution::{DurationSource, Execution, ExecutionKind},
    record::Severity,
};

impl Arrival<'_> {
    /// A record that is no duration, plan or logged statement.
    pub(super) fn other(&mut self) {
        let record = self.record;
        let Some(text) = record.query.as_deref() else {
            return;
        };
        if self.shown.is_worker(record) {
            return;
        }
        let hash = TextHash::of(text);
        match record.error_severity {
            Severity::Error | Severity::Fatal | Severity::Panic => self.failed(text, hash),
            // Where not all durations are logged, an earlier run of the same statement may have reported this and ended.
            _ if self.shown.logs_durations_of(ALL_ARE_LOGGED_MS) => {
                self.session.is_running(hash, record.log_time);
            }
            _ => {}
        }
    }

    fn failed(&mut self, text: &str, hash: TextHash) {
        let record = self.record;
        let shown = self.shown;
        self.session.logged = None;
        let running = self.session.running.take();
        let since = running
            .filter(|running| running.text == hash && !record.flags.time_of_reading)
            .map(|running| running.since);
        let ran_ms = since.map(|since| {
            let elapsed = record.log_time.duration_since(since);
            elapsed.as_secs_f64().max(0.0) * 1000.0
        });
        let waiting = self.session.wants_end(hash, None);
        let first_sight = match waiting {
            Some(index) => self.session.open[index].as_seen(),
            // What nested plans have come before it, it has run: however long ago it began.
            None => match self.session.reserved {
                Some(reserved) => self.session.first_sight(record, reserved.began),
                None => self.session.first_sight(record, record.log_time),
            },
        };
        let can_be_nested = self.may_be_nested();
        let is_within = |plan: &Execution| match since {
            _ if !can_be_nested => false,
            Some(since) => may_contain(record, since, plan.started_at),
            None => plan
                .duration_ms
                .is_some_and(|ms| shown.logs_durations_of(ms)),
        };
        let nested_count = self
            .session
            .close_plans_before(first_sight.id, is_within, self.events);
        let index = match self.session.position(first_sight.id) {
            Some(index) => index,
            None => {
                self.session.close_before_next(self.events);
                let told = query::of_failed(self.config, self.server_id, record, text);
                let ran_ms = ran_ms.unwrap_or_default();
                let execution = self.execution(first_sight, ExecutionKind::Failed, told, ran_ms);
                self.open(execution, Stage::Executed, hash, UNNAMED);
                self.session.open.len() - 1
            }
        };
        let execution = &mut self.session.open[index].execution;
        execution.kind = ExecutionKind::Failed;
        execution.failed = true;
        execution.nested_count += nested_count;
        execution.sql_state = record.sql_state_code;
        execution.server_query_id = execution.server_query_id.or(record.query_id);
        if execution.duration_ms < ran_ms {
            execution.duration_ms = ran_ms;
            execution.duration_source = Some(DurationSource::Elapsed);
        }
        self.session.close(index, self.events);
    }
}

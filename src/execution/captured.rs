//! Plan records: part of the execution that wants them, else the first sight of a new one.
//!
//! A plan with a CONTEXT is nested. Where the log shows no CONTEXT (`log_error_verbosity = terse`), a plan that no statement of the session owns
//! waits until the next one ends: if it ran within that one's time it was nested in it.

use super::{
    Events,
    arrival::{Arrival, UNNAMED},
    call_site::call_site,
    command,
    open::{Reserved, Stage, TextHash},
    query::names,
    session::UNDECIDED_CAP,
};
use crate::{
    model::{
        execution::{CapturedPlan, DurationSource, Execution, ExecutionId, ExecutionKind},
        plan::{Plan, PlanFormat},
    },
    plan::{self, ReadPlan},
    statement::redact,
};

impl Arrival<'_> {
    pub(super) fn plan(&mut self, duration_ms: f64, body: &str, nested: bool) {
        let read = plan::read(body, &redact::expression);
        let format = plan::format_of(body);
        let (database, user) = names(self.record);
        let root = read
            .as_ref()
            .ok()
            .map(|read| read.plan.root.node_type.as_str());
        self.events
            .accounting
            .add_plan(format.as_str(), duration_ms, root, database, user);
        self.events.accounting.plans_nested += u64::from(nested);
        let Ok(read) = read else { return };
        if nested {
            self.nested_plan(duration_ms, read);
        } else {
            self.top_level_plan(duration_ms, read);
        }
    }

    /// The plan of a nested statement is all that is logged of it: an execution of its own.
    fn nested_plan(&mut self, duration_ms: f64, read: ReadPlan) {
        let began = self.began(duration_ms);
        let parent_id = self.session.parent_of(self.record, began);
        let first_sight = Reserved {
            id: ExecutionId::at(self.record.position, 0),
            began,
            nested_count: 0,
        };
        let told = self.query_of(&read.query_text);
        let mut execution = self.execution(first_sight, ExecutionKind::Nested, told, duration_ms);
        execution.parent_id = Some(parent_id);
        let context = self.record.context.as_deref().unwrap_or_default();
        execution.call_site = Some(call_site(context, &read.query_text));
        execution.open = false;
        attach(
            &mut execution,
            duration_ms,
            read.format,
            read.plan,
            self.events,
        );
        self.events.executions.push(execution);
    }

    fn top_level_plan(&mut self, duration_ms: f64, read: ReadPlan) {
        let text = TextHash::of(&read.query_text);
        let prepared = command::prepared_name(&read.query_text);
        let index = match self.session.wants_plan(text, prepared) {
            Some(index) => index,
            None => {
                self.make_room();
                let began = self.began(duration_ms);
                let first_sight = self.session.first_sight(self.record, began);
                let told = self.query_of(&read.query_text);
                let statement_count = told.statement_count;
                let execution =
                    self.execution(first_sight, ExecutionKind::PlanOnly, told, duration_ms);
                let open = self.open(execution, Stage::PlanFirst, text, UNNAMED);
                open.statement_count = statement_count;
                open.prepared = prepared;
                open.is_cursor = command::declares_cursor(&read.query_text);
                self.session.open.len() - 1
            }
        };
        let open = &mut self.session.open[index];
        open.changed = true;
        attach(
            &mut open.execution,
            duration_ms,
            read.format,
            read.plan,
            self.events,
        );
        if open.stage == Stage::Executed {
            if open.is_cursor {
                take_time_of_plan(&mut open.execution, duration_ms);
            }
            if !open.wants_plan() {
                self.session.close(index, self.events);
            }
        }
    }

    /// Before a plan that belongs to nothing that is open: where nested plans have a CONTEXT, the session has gone on to another statement. Where
    /// they haven't, it may be nested in what comes, as may the plans before it.
    fn make_room(&mut self) {
        if !self.may_be_nested() {
            self.session.close_before_next(self.events);
        } else if self.session.undecided() >= UNDECIDED_CAP {
            self.session
                .close_oldest_plan(self.record, self.shown, self.events);
        }
    }
}

/// The next plan of `execution`: what it tells of the execution, and the plan itself.
fn attach(
    execution: &mut Execution,
    duration_ms: f64,
    format: PlanFormat,
    plan: Plan,
    events: &mut Events,
) {
    if execution.duration_source != Some(DurationSource::Statement) {
        let of_earlier_plans = match execution.plan_count {
            0 => 0.0,
            _ => execution.duration_ms.unwrap_or_default(),
        };
        execution.duration_ms = Some(of_earlier_plans + duration_ms);
        execution.duration_source = Some(DurationSource::Plan);
    }
    execution.rows = match (plan.root.actual_rows, plan.root.actual_loops) {
        (Some(rows), Some(loops)) => Some(rows * loops),
        _ => execution.rows,
    };
    execution.server_query_id = plan.query_identifier.or(execution.server_query_id);
    if execution.plan_count == 0 {
        events.accounting.executions_with_plan += 1;
    }
    events.plans.push(CapturedPlan {
        execution_id: execution.id,
        started_at: execution.started_at,
        ordinal: execution.plan_count,
        duration_ms,
        format,
        plan,
    });
    execution.plan_count += 1;
}

/// DECLARE only opens a cursor: the time that its query took is in the plan, over all that was fetched.
fn take_time_of_plan(execution: &mut Execution, duration_ms: f64) {
    if execution
        .duration_ms
        .is_none_or(|declared| declared < duration_ms)
    {
        execution.duration_ms = Some(duration_ms);
        execution.duration_source = Some(DurationSource::Plan);
    }
}

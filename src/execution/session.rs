//! One session's executions whose other half may still come, and the rules by which they close.
//!
//! Record order (measured on PostgreSQL 13 to 18): simple protocol and DML log the plan right before the duration; an extended SELECT logs its
//! plan after the execute, inside a transaction only after the next statement's parse; nested plans come before
//! their parent's; a portal read in pieces logs execute, then fetches, then one plan, and a cursor's plan comes when it is closed.

use jiff::{SignedDuration, Timestamp};

use super::{
    Events,
    open::{Open, Reserved, Stage, TextHash, kept},
    query::Told,
    shown::Shown,
};
use crate::{
    model::{
        execution::{Execution, ExecutionId, ExecutionKind},
        record::LogRecord,
    },
    statement::message::Name,
};

/// Parse times, and named portals or cursors, that one session may have waiting. A client can make any number of them.
const WAITING_CAP: usize = 64;

/// Plans of one session that may turn out to be nested. A function can run any number of statements.
pub(super) const UNDECIDED_CAP: usize = 256;

/// The time of a parse that waits for its first bind or execute.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parsed {
    pub(super) name: String,
    pub(super) text: TextHash,
    pub(super) parse_ms: f64,
}

/// A statement that log_statement printed before a bare duration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LoggedStatement {
    pub(super) told: Told,
    pub(super) statement: Statement,
}

/// By what a logged statement is known again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub(super) text: TextHash,
    pub(super) kind: ExecutionKind,
    pub(super) name: String,
    pub(super) prepared: Option<TextHash>,
    pub(super) is_cursor: bool,
    /// A further piece of a portal.
    pub(super) is_fetch: bool,
}

/// The statement that the session is running, as far as records have shown it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Running {
    pub(super) text: TextHash,
    /// Time of the first record that shows it running.
    pub(super) since: Timestamp,
}

/// What one session has waiting.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Session {
    pub(super) log_time: Timestamp,
    pub(super) open: Vec<Open>,
    pub(super) parsed: Vec<Parsed>,
    pub(super) logged: Option<LoggedStatement>,
    pub(super) reserved: Option<Reserved>,
    pub(super) running: Option<Running>,
}

impl Session {
    pub(super) fn new(log_time: Timestamp) -> Self {
        Self {
            log_time,
            open: Vec::new(),
            parsed: Vec::new(),
            logged: None,
            reserved: None,
            running: None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
            && self.parsed.is_empty()
            && self.logged.is_none()
            && self.reserved.is_none()
            && self.running.is_none()
    }

    /// The id of the statement that runs the nested plan of `record`, which began at `began`: the one bound, else an id kept for the one that will
    /// be logged. Counts the plan there.
    pub(super) fn parent_of(&mut self, record: &LogRecord, began: Timestamp) -> ExecutionId {
        let bound = self
            .open
            .iter_mut()
            .rev()
            .find(|open| open.stage == Stage::Bound);
        if let Some(bound) = bound {
            bound.execution.nested_count += 1;
            bound.changed = true;
            return bound.execution.id;
        }
        let reserved = self.reserved.get_or_insert(Reserved {
            id: ExecutionId::at(record.position, 1),
            began,
            nested_count: 0,
        });
        reserved.nested_count += 1;
        reserved.id
    }

    /// A top-level execution first seen with `record`, which shows that it began at `began`. An id that was kept for one that began
    /// earlier is given up: its record isn't in the log.
    pub(super) fn first_sight(&mut self, record: &LogRecord, began: Timestamp) -> Reserved {
        self.reserved
            .take()
            .filter(|reserved| may_contain(record, began, reserved.began))
            .unwrap_or(Reserved {
                id: ExecutionId::at(record.position, 0),
                began,
                nested_count: 0,
            })
    }

    /// A record has shown that the statement of that text is running.
    pub(super) fn is_running(&mut self, text: TextHash, since: Timestamp) {
        if self.running.is_none_or(|running| running.text != text) {
            self.running = Some(Running { text, since });
        }
    }

    pub(super) fn remember_parse(&mut self, parsed: Parsed) {
        self.parsed.retain(|earlier| earlier.name != parsed.name);
        if self.parsed.len() >= WAITING_CAP {
            self.parsed.remove(0);
        }
        self.parsed.push(parsed);
    }

    pub(super) fn take_parse(&mut self, name: Name<'_>, text: TextHash) -> Option<f64> {
        let index = self
            .parsed
            .iter()
            .position(|p| p.text == text && Name(kept(name)).may_be_of(Name(&p.name)))?;
        Some(self.parsed.remove(index).parse_ms)
    }

    /// The open execution that a top-level plan belongs to: the oldest of that text that still wants one.
    pub(super) fn wants_plan(&self, text: TextHash, prepared: Option<TextHash>) -> Option<usize> {
        self.open
            .iter()
            .position(|open| open.has_plan_of(text, prepared))
    }

    /// The open execution whose statement or execute record, or error, this is: the newest, because a nested statement may have the same text.
    pub(super) fn wants_end(&self, text: TextHash, prepared: Option<TextHash>) -> Option<usize> {
        self.open.iter().rposition(|open| {
            let is_prepared =
                open.stage == Stage::PlanFirst && prepared.is_some() && open.prepared == prepared;
            open.stage != Stage::Executed && (open.text == text || is_prepared)
        })
    }

    pub(super) fn position(&self, id: ExecutionId) -> Option<usize> {
        self.open.iter().position(|open| open.execution.id == id)
    }

    /// How many plans wait to be told nested or not.
    pub(super) fn undecided(&self) -> usize {
        let plans = self.open.iter();
        plans.filter(|open| open.stage == Stage::PlanFirst).count()
    }

    /// Closes one execution and hands it out.
    pub(super) fn close(&mut self, index: usize, events: &mut Events) {
        let mut execution = self.open.remove(index).execution;
        execution.open = false;
        events.executions.push(execution);
    }

    /// Closes a plan as one of a statement nested in `parent`.
    pub(super) fn close_as_nested(
        &mut self,
        index: usize,
        parent: ExecutionId,
        events: &mut Events,
    ) {
        let execution = &mut self.open[index].execution;
        execution.kind = ExecutionKind::Nested;
        execution.parent_id = Some(parent);
        events.accounting.plans_nested += 1;
        self.close(index, events);
    }

    /// The statement `parent` has ended: plans that came before it and have no record of their own are of statements nested in it, or of earlier ones
    /// whose record isn't in the log. Gives the number of the nested ones.
    pub(super) fn close_plans_before(
        &mut self,
        parent: ExecutionId,
        is_within: impl Fn(&Execution) -> bool,
        events: &mut Events,
    ) -> u32 {
        let mut nested_count = 0;
        for index in (0..self.open.len()).rev() {
            let open = &self.open[index];
            if open.stage != Stage::PlanFirst || open.execution.id == parent {
                continue;
            }
            if !open.is_cursor && is_within(&open.execution) {
                nested_count += 1;
                self.close_as_nested(index, parent, events);
            } else {
                self.close(index, events);
            }
        }
        nested_count
    }

    /// The session went on: plans that have come and no record of their own are of statements whose record isn't in the log.
    pub(super) fn close_plans(&mut self, events: &mut Events) {
        for index in (0..self.open.len()).rev() {
            if self.open[index].stage == Stage::PlanFirst {
                self.close(index, events);
            }
        }
    }

    /// Too many plans wait. The oldest has no record of its own although others came after it: where a statement as long has its duration logged it
    /// is nested, in a statement whose own record can't be told any more.
    pub(super) fn close_oldest_plan(
        &mut self,
        record: &LogRecord,
        shown: Shown,
        events: &mut Events,
    ) {
        let Some(index) = self
            .open
            .iter()
            .position(|open| open.stage == Stage::PlanFirst)
        else {
            return;
        };
        let plan = &self.open[index].execution;
        if plan
            .duration_ms
            .is_some_and(|ms| shown.logs_durations_of(ms))
        {
            let parent = ExecutionId::at(record.position, 1);
            self.close_as_nested(index, parent, events);
        } else {
            self.close(index, events);
        }
    }

    /// The session went on to its next statement: whatever waited has had its last record. Portals with a name and cursors may be read on.
    pub(super) fn close_before_next(&mut self, events: &mut Events) {
        let mut outliving = 0;
        for index in (0..self.open.len()).rev() {
            let outlives = self.open[index].outlives_next();
            outliving += usize::from(outlives);
            if !outlives || outliving > WAITING_CAP {
                self.close(index, events);
            }
        }
    }

    /// A portal of that name begins: its name is free again because the one before is closed.
    pub(super) fn close_portal(&mut self, name: Name<'_>, events: &mut Events) {
        for index in (0..self.open.len()).rev() {
            let open = &self.open[index];
            if open.stage == Stage::Executed && !open.is_cursor && open.name == kept(name) {
                self.close(index, events);
            }
        }
    }

    /// The rest of the server has gone on while this session was silent: nothing comes any more for what has ended. What may be running stays.
    pub(super) fn fall_silent(&mut self, events: &mut Events) {
        for index in (0..self.open.len()).rev() {
            if !self.open[index].may_be_running() {
                self.close(index, events);
            }
        }
        self.parsed.clear();
    }

    /// The session has been idle for too long: nothing that waits here will be answered.
    pub(super) fn give_up(&mut self, events: &mut Events) {
        self.close_all(events);
        self.parsed.clear();
        self.logged = None;
        self.reserved = None;
        self.running = None;
    }

    pub(super) fn close_all(&mut self, events: &mut Events) {
        while let Some(index) = self.open.len().checked_sub(1) {
            self.close(index, events);
        }
    }
}

/// Whether what began at `inner` may have run within a statement that began at `outer`, which `record` tells.
///
/// A session does one thing at a time, so that what runs within a statement's time is run by it. Times of the log are cut to milliseconds, %t to
/// seconds, and taken a little after the duration; where they are those of reading they tell nothing.
pub(super) fn may_contain(record: &LogRecord, outer: Timestamp, inner: Timestamp) -> bool {
    let inexact = if record.log_time.subsec_nanosecond() == 0 {
        SignedDuration::from_secs(1)
    } else {
        SignedDuration::from_millis(10)
    };
    record.flags.time_of_reading || outer.duration_since(inner) <= inexact
}

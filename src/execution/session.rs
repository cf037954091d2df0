//! One session's executions whose other half may still come, and the rules by which they close.
//!
//! Record order (measured on PostgreSQL 13 to 18): simple protocol and DML log the plan right before the duration; an extended SELECT logs its
//! plan after the execute, inside a transaction only after the next statement's parse; nested plans come before
//! their parent's; a portal read in pieces logs execute, then fetches, then one plan.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Events;
use crate::{
    model::{
        execution::{Execution, ExecutionId, ExecutionKind},
        query::Query,
        record::LogRecord,
    },
    statement::message::Name,
};

/// Parse times and named portals that one session may have waiting. A client can make any number of them.
const WAITING_CAP: usize = 64;

/// Statement text as far as two records have to be found equal: hashed, because it holds literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextHash(pub(super) u64);

impl TextHash {
    pub(super) fn of(text: &str) -> Self {
        Self(xxh3_64(text.trim().as_bytes()))
    }
}

/// Names of prepared statements and portals are as long as a client likes; this much of one is kept.
const NAME_KEPT_BYTES: usize = 256;

/// As much of a name as is kept to find it again.
pub(super) fn kept(name: Name<'_>) -> &str {
    let end = name.0.floor_char_boundary(NAME_KEPT_BYTES);
    name.0.get(..end).unwrap_or(name.0)
}

/// Which record an open execution has last been seen with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// A plan came first; its duration record follows directly or never.
    PlanFirst,
    /// A bind; plan and execute may follow.
    Bound,
    /// An execute; its plan may follow.
    Executed,
}

/// An execution whose other half may still come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Open {
    pub(super) execution: Execution,
    pub(super) stage: Stage,
    pub(super) text: TextHash,
    /// Prepared statement and portal as printed, `NAME` or `NAME/PORTAL`.
    pub(super) name: String,
    /// How many statements the text holds: as many plans may come.
    pub(super) statement_count: u32,
    /// Changed since it was last handed out.
    pub(super) changed: bool,
}

impl Open {
    pub(super) fn wants_plan(&self) -> bool {
        self.execution.plan_count < self.statement_count.max(1)
    }

    /// A portal with a name outlives the next statement. A `/` in the statement's own name makes it look like one: then it closes later.
    fn is_named_portal(&self) -> bool {
        self.name.contains('/')
    }
}

/// The time of a parse that waits for its first bind or execute.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parsed {
    pub(super) name: String,
    pub(super) text: TextHash,
    pub(super) parse_ms: f64,
}

/// The text that log_statement printed before a bare duration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LoggedStatement {
    pub(super) query: Query,
    pub(super) text: TextHash,
    pub(super) kind: ExecutionKind,
    pub(super) name: String,
}

/// What one session has waiting.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Session {
    pub(super) log_time: Timestamp,
    pub(super) open: Vec<Open>,
    pub(super) parsed: Vec<Parsed>,
    pub(super) logged: Option<LoggedStatement>,
    /// Id kept for the statement whose nested plans have come before it.
    pub(super) reserved: Option<ExecutionId>,
}

impl Session {
    pub(super) fn new(log_time: Timestamp) -> Self {
        Self {
            log_time,
            open: Vec::new(),
            parsed: Vec::new(),
            logged: None,
            reserved: None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
            && self.parsed.is_empty()
            && self.logged.is_none()
            && self.reserved.is_none()
    }

    /// The id of the statement that runs the nested plan of `record`: the one bound, else an id kept for the one that will be logged.
    pub(super) fn parent_of(&mut self, record: &LogRecord) -> ExecutionId {
        match self
            .open
            .iter()
            .rev()
            .find(|open| open.stage == Stage::Bound)
        {
            Some(bound) => bound.execution.id,
            None => *self
                .reserved
                .get_or_insert(ExecutionId::at(record.position, 1)),
        }
    }

    /// The id of a top-level execution first seen with `record`.
    pub(super) fn first_sight(&mut self, record: &LogRecord) -> ExecutionId {
        self.reserved
            .take()
            .unwrap_or(ExecutionId::at(record.position, 0))
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

    /// The open execution that a top-level plan of that text belongs to: the oldest that still wants one.
    pub(super) fn wants_plan(&self, text: TextHash) -> Option<usize> {
        self.open
            .iter()
            .position(|open| open.text == text && open.wants_plan())
    }

    /// The open execution whose statement or execute record, or error, this is.
    pub(super) fn wants_end(&self, text: TextHash) -> Option<usize> {
        self.open
            .iter()
            .position(|open| open.text == text && open.stage != Stage::Executed)
    }

    /// Closes one execution and hands it out.
    pub(super) fn close(&mut self, index: usize, events: &mut Events) {
        let mut execution = self.open.remove(index).execution;
        execution.open = false;
        events.executions.push(execution);
    }

    /// The session went on to its next statement: whatever waited has had its last record. Portals with a name may be read on.
    pub(super) fn close_before_next(&mut self, events: &mut Events) {
        let mut named = 0;
        for index in (0..self.open.len()).rev() {
            let is_portal_in_use =
                self.open[index].is_named_portal() && self.open[index].stage == Stage::Executed;
            named += usize::from(is_portal_in_use);
            if !is_portal_in_use || named > WAITING_CAP {
                self.close(index, events);
            }
        }
    }

    /// Too much log time has passed: nothing that waits here will be answered.
    pub(super) fn give_up(&mut self, events: &mut Events) {
        self.close_all(events);
        self.parsed.clear();
        self.logged = None;
        self.reserved = None;
    }

    pub(super) fn close_all(&mut self, events: &mut Events) {
        while let Some(index) = self.open.len().checked_sub(1) {
            self.close(index, events);
        }
    }
}

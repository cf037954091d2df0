//! An execution whose other half may still come, and by what that is known: the hash of its text, names, and the record seen last.
//!
//! Which of them a record belongs to, and when one closes, is for its session to say.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    model::execution::{Execution, ExecutionId},
    statement::message::Name,
};

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
    /// A plan came first; its duration record follows, or it is nested in a statement whose record follows, or neither.
    PlanFirst,
    /// A bind; plan and execute may follow.
    Bound,
    /// An execute, or the declaration of a cursor; its plan may follow.
    Executed,
}

/// An execution whose other half may still come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Open {
    pub(super) execution: Execution,
    pub(super) stage: Stage,
    pub(super) text: TextHash,
    /// Name of the SQL-level prepared statement that the text makes or runs: the plan of an EXECUTE has the text of its PREPARE.
    pub(super) prepared: Option<TextHash>,
    /// The text declares a cursor.
    pub(super) is_cursor: bool,
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

    pub(super) fn as_seen(&self) -> Reserved {
        Reserved {
            id: self.execution.id,
            began: self.execution.started_at,
            nested_count: self.execution.nested_count,
        }
    }

    /// A portal with a name and a cursor outlive the next statement. A `/` in the statement's own name makes it look like a portal: then it
    /// closes later.
    pub(super) fn outlives_next(&self) -> bool {
        self.stage == Stage::Executed && (self.is_cursor || self.name.contains('/'))
    }

    /// Whether it is still at work, so that its session is silent for a good reason.
    pub(super) fn may_be_running(&self) -> bool {
        match self.stage {
            Stage::PlanFirst => self.wants_plan(),
            Stage::Bound => true,
            Stage::Executed => false,
        }
    }

    /// Whether a plan record of that text, top level, is a plan of it.
    pub(super) fn has_plan_of(&self, text: TextHash, prepared: Option<TextHash>) -> bool {
        let runs_prepared =
            self.stage == Stage::Bound && prepared.is_some() && self.prepared == prepared;
        self.wants_plan() && (self.text == text || runs_prepared)
    }
}

/// Id of a statement that its own record hasn't told of yet, because nested plans come before their parent's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reserved {
    pub(super) id: ExecutionId,
    /// When the first nested statement began.
    pub(super) began: Timestamp,
    pub(super) nested_count: u32,
}

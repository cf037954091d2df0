//! An execution: one run of a statement that ended or failed, made of every log record that tells of it.

use jiff::Timestamp;

use super::{
    plan::{Plan, PlanFormat},
    position::{Position, ServerId},
    query::Query,
    record::SqlState,
    stable_id,
};

/// Id of an execution within its server: hash of the generation and offset of the first record that belongs to it, so that reading the
/// same bytes again gives the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionId(pub i64);

impl ExecutionId {
    /// The id of an execution first seen at `position`. `ordinal` tells apart several that one record reveals.
    pub fn at(position: Position, ordinal: u8) -> Self {
        let generation = position.generation.0.to_be_bytes();
        Self(stable_id(&[
            b"execution",
            &generation,
            &position.offset_bytes.to_be_bytes(),
            &[ordinal],
        ]))
    }
}

/// Which record `duration_ms` was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DurationSource {
    /// The statement's own duration: from the arrival of the message to the end of execution.
    Statement,
    /// The captured plan: executor time only, at most the statement's duration.
    Plan,
    /// The log's own times, for an execution that failed: from the first record that shows it running to the error. It ran at least that long.
    Elapsed,
}

/// Which protocol message or log source an execution is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExecutionKind {
    /// Simple protocol: `duration: … statement:`.
    Statement,
    /// Extended protocol: `duration: … execute NAME:` with its parse and bind.
    Execute,
    /// `duration: … fastpath function call:`.
    Fastpath,
    /// A captured plan without a duration record.
    PlanOnly,
    /// A nested statement: run by a function, procedure, trigger or foreign key.
    Nested,
    /// An error or cancellation without a duration record.
    Failed,
}

/// Where a nested statement was run from, as its CONTEXT tells. Names come from the log and are hostile text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSite {
    /// As the server prints it, with argument types where the language has it print them; at most 256 bytes. `None` for a foreign key's statement.
    pub function: Option<String>,
    /// Line of the function's body; for a function in SQL the number of its statement.
    pub line: Option<u32>,
    /// How many statements it stands below the top-level one: 1 directly below.
    pub depth: u32,
}

/// A statement as it was logged, literals and all. Both texts end in [`CUT`] where they were longer than what is kept.
///
/// [`CUT`]: super::query::CUT
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedText {
    pub statement: String,
    /// `$1 = 'a', $2 = NULL`, as the server prints them; `None` where it has printed none.
    pub parameters: Option<String>,
}

/// One run of a statement. Holds no literal, except in `logged`.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    pub id: ExecutionId,
    pub server_id: ServerId,
    pub query: Query,
    /// Time of the first record minus the duration that it tells, UTC. Fixed at first sight.
    pub started_at: Timestamp,
    pub position: Position,
    pub kind: ExecutionKind,
    pub user_name: Option<String>,
    pub application_name: Option<String>,
    pub process_id: Option<i32>,
    pub session_id: Option<String>,
    /// Milliseconds; `None` where the log doesn't tell (failed statements, executes under the threshold).
    pub duration_ms: Option<f64>,
    pub duration_source: Option<DurationSource>,
    /// Milliseconds of the parse message that belongs to this execute.
    pub parse_ms: Option<f64>,
    /// Milliseconds of the bind message: planning happens in it.
    pub bind_ms: Option<f64>,
    /// Rows that the root of the last plan returned, all loops together.
    pub rows: Option<f64>,
    /// SQLSTATE of the error that ended it, where the log carries it.
    pub sql_state: Option<SqlState>,
    pub failed: bool,
    /// The top-level execution that ran this one, for nested statements. Its own record may be missing from the log.
    pub parent_id: Option<ExecutionId>,
    /// Where a nested statement was run from; `None` where the log doesn't show CONTEXT.
    pub call_site: Option<CallSite>,
    /// How many nested executions with a plan it has run, at any depth. Its id is their `parent_id`.
    pub nested_count: u32,
    /// Tags that the statement's comments carry, of those that are kept.
    pub tags: Vec<(String, String)>,
    /// Only where literals are kept.
    pub logged: Option<LoggedText>,
    /// The server's own query identifier.
    pub server_query_id: Option<i64>,
    /// How many plans of it have been captured.
    pub plan_count: u32,
    /// The other half may still come. An execution enters the statistics once, when it closes.
    pub open: bool,
    /// The time of its records was assumed or clamped.
    pub time_assumed: bool,
    /// How many executions it stands for where the log is sampled, at least 1; `None` where the sample rates are unknown.
    pub weight: Option<f64>,
}

impl Execution {
    pub fn is_nested(&self) -> bool {
        self.parent_id.is_some()
    }
}

/// One captured plan of an execution. `ordinal` counts from 0 in the order logged (a string of several statements has a plan each).
#[derive(Debug, Clone, PartialEq)]
pub struct CapturedPlan {
    pub execution_id: ExecutionId,
    pub started_at: Timestamp,
    pub ordinal: u32,
    /// Executor time in milliseconds.
    pub duration_ms: f64,
    pub format: PlanFormat,
    pub plan: Plan,
}

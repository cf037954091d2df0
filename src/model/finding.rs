//! What the rules say about one execution and its plan.

use jiff::Timestamp;

use super::{execution::ExecutionId, position::ServerId, query::QueryId};

/// How much a finding, breach or recommendation matters, from measured time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Notice,
    Warning,
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }
}

/// The rules that exist. The name of a rule is stable: it is kept in the store and shown to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A sequential scan reads many rows and throws nearly all away.
    SeqScanFilter,
    /// Actual rows differ from the planner's estimate by an order of magnitude or more.
    RowMisestimate,
    /// A sort didn't fit work_mem.
    SortSpill,
    /// A hash join or hash aggregate didn't fit work_mem.
    HashSpill,
    /// The inner side of a nested loop ran very often.
    NestedLoopInner,
    /// An index scan finds many rows that a filter then throws away.
    IndexFilter,
    /// A bitmap didn't fit work_mem and went lossy.
    LossyBitmap,
    /// The execution was slow and has no plan.
    NoPlan,
}

impl Rule {
    pub const ALL: [Self; 8] = [
        Self::SeqScanFilter,
        Self::RowMisestimate,
        Self::SortSpill,
        Self::HashSpill,
        Self::NestedLoopInner,
        Self::IndexFilter,
        Self::LossyBitmap,
        Self::NoPlan,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::SeqScanFilter => "seq-scan-filter",
            Self::RowMisestimate => "row-misestimate",
            Self::SortSpill => "sort-spill",
            Self::HashSpill => "hash-spill",
            Self::NestedLoopInner => "nested-loop-inner",
            Self::IndexFilter => "index-filter",
            Self::LossyBitmap => "lossy-bitmap",
            Self::NoPlan => "no-plan",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == name)
    }
}

/// One thing that a rule found, or could not decide.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub rule: Rule,
    pub severity: Severity,
    /// Which plan of the execution.
    pub plan_ordinal: u32,
    /// Child numbers from the root of the plan, `0.1.0`; `None` where it is about the execution as a whole.
    pub node_path: Option<String>,
    /// One sentence with the numbers, in PostgreSQL's words. Holds names from the log and no literals.
    pub message: String,
    /// The setting whose absence keeps the rule from deciding (`auto_explain.log_analyze`); the finding then says nothing about the plan.
    pub not_decidable: Option<String>,
}

/// What the rules say about one execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    pub server_id: ServerId,
    pub execution_id: ExecutionId,
    pub query_id: QueryId,
    pub started_at: Timestamp,
    /// The statement's duration, else the plan's, in milliseconds.
    pub execution_time_ms: Option<f64>,
    /// `None` without a readable plan.
    pub seq_scan_detected: Option<bool>,
    /// The worst finding's; `None` without findings.
    pub severity: Option<Severity>,
    pub findings: Vec<Finding>,
}

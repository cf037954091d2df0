//! A case: everything about one slow execution that a model may see.

use jiff::Timestamp;

use crate::model::{finding::Finding, query::Query};

/// What the daemon gathers from the store for one breach.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub query: Query,
    /// No token of the statement is unterminated.
    pub complete: bool,
    pub started_at: Timestamp,
    /// Milliseconds, as in [`crate::model::execution::Execution`].
    pub duration_ms: Option<f64>,
    pub parse_ms: Option<f64>,
    pub bind_ms: Option<f64>,
    pub rows: Option<f64>,
    pub plans: Vec<CasePlan>,
    /// Worst first. The model knows the first as `f1`.
    pub findings: Vec<Finding>,
}

/// One captured plan. Its literals are replaced, whatever `privacy.literals` says of the store.
#[derive(Debug, Clone, PartialEq)]
pub struct CasePlan {
    pub ordinal: u32,
    pub duration_ms: f64,
    /// [`crate::model::plan::Plan::document`].
    pub document: String,
}

impl Case {
    /// The findings that say something about the plan, with the ids that the model knows them by.
    pub(super) fn numbered_findings(&self) -> impl Iterator<Item = (String, &Finding)> {
        self.findings
            .iter()
            .filter(|finding| finding.not_decidable.is_none() && finding.node_path.is_some())
            .enumerate()
            .map(|(number, finding)| (format!("f{}", number + 1), finding))
    }
}

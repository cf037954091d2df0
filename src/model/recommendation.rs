//! A checked proposal, from a rule or from a model. plantail writes the DDL itself; nothing here is ever executed.

use jiff::Timestamp;

use super::{
    finding::{Rule, Severity},
    position::ServerId,
    query::QueryId,
    stable_id,
};

/// Who proposed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    Rule,
    Model,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Model => "model",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Rule, Self::Model]
            .into_iter()
            .find(|s| s.as_str() == name)
    }
}

/// What is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecommendationKind {
    CreateIndex,
    Analyze,
    ExtendedStatistics,
    Setting,
    Rewrite,
}

impl RecommendationKind {
    pub const ALL: [Self; 5] = [
        Self::CreateIndex,
        Self::Analyze,
        Self::ExtendedStatistics,
        Self::Setting,
        Self::Rewrite,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateIndex => "create_index",
            Self::Analyze => "analyze",
            Self::ExtendedStatistics => "extended_statistics",
            Self::Setting => "setting",
            Self::Rewrite => "rewrite",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == name)
    }
}

/// How far a proposal has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verification {
    /// Its form is allowed and its names occur in the plan.
    Names,
    /// The plan's measured evidence fits it.
    Plan,
}

impl Verification {
    /// What confidence a proposal can have at most while no more than this is known of it.
    pub fn confidence_cap(self) -> f64 {
        match self {
            Self::Names => 0.3,
            Self::Plan => 0.5,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Plan => "plan",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Names, Self::Plan]
            .into_iter()
            .find(|v| v.as_str() == name)
    }
}

/// The most characters of a recommendation's texts, whoever writes them.
pub const SUMMARY_CHARS: usize = 200;
pub const EXPLANATION_CHARS: usize = 2000;
pub const DISPROOF_CHARS: usize = 500;

/// One proposal for one query. The same proposal found again is the same row: its id is made of what it proposes.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    pub server_id: ServerId,
    pub query_id: QueryId,
    pub id: RecommendationId,
    /// Log time of the execution that gave the evidence.
    pub created_at: Timestamp,
    pub source: Source,
    pub kind: RecommendationKind,
    /// Findings that it answers.
    pub rules: Vec<Rule>,
    pub severity: Severity,
    /// 0 to 1; `None` where nothing can be said.
    pub confidence_score: Option<f64>,
    pub verification: Verification,
    /// At most [`SUMMARY_CHARS`].
    pub summary: String,
    /// At most [`EXPLANATION_CHARS`]: why, with the numbers.
    pub explanation: String,
    /// What would show it wrong. At most [`DISPROOF_CHARS`].
    pub disproof: Option<String>,
    /// DDL or SET command written by plantail; `None` for a rewrite.
    pub command: Option<String>,
}

/// Id of a recommendation within its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecommendationId(pub i64);

impl RecommendationId {
    /// `target` is the canonical form of what is proposed (`orders (customer_id, created_at desc)`).
    pub fn of(query: QueryId, source: Source, kind: RecommendationKind, target: &str) -> Self {
        let query = query.0.to_be_bytes();
        Self(stable_id(&[
            b"recommendation",
            &query,
            source.as_str().as_bytes(),
            kind.as_str().as_bytes(),
            target.as_bytes(),
        ]))
    }
}

//! How sure plantail is of a model's proposal: what kind it is and how far it has been checked. What the model says of itself plays no part.

use crate::model::recommendation::{RecommendationKind, Verification};

/// 0 to 1. Starting values until outcomes have been measured: an index or setting that fits the plan's evidence is a coin's toss, statistics help
/// less often, a rewrite may not even return the same rows.
pub(super) fn score(kind: RecommendationKind, verification: Verification) -> f64 {
    let prior: f64 = match kind {
        RecommendationKind::CreateIndex | RecommendationKind::Setting => 0.5,
        RecommendationKind::Analyze | RecommendationKind::ExtendedStatistics => 0.4,
        RecommendationKind::Rewrite => 0.2,
    };
    prior.min(verification.confidence_cap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verification_caps_confidence() {
        for (kind, verification, expected) in [
            (RecommendationKind::CreateIndex, Verification::Plan, 0.5),
            (RecommendationKind::CreateIndex, Verification::Names, 0.3),
            (RecommendationKind::Analyze, Verification::Plan, 0.4),
            (RecommendationKind::Rewrite, Verification::Names, 0.2),
        ] {
            assert!((score(kind, verification) - expected).abs() < 1e-9);
        }
    }
}

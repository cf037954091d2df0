//! How much a finding matters: the share of the execution's time that is spent where it points, measured where timing was logged.

use crate::model::finding::Severity;

use super::{
    Config,
    measure::{MeasuredNode, MeasuredPlan},
    wording,
};

/// The part of an execution that a finding stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weight {
    /// 0 to 1.
    share: f64,
    /// Milliseconds; estimated from rows where `measured` is false.
    pub(super) ms: f64,
    whole_ms: f64,
    measured: bool,
}

impl Weight {
    /// The own time of `nodes`; without timing, their share of the rows that pass through the plan.
    pub(super) fn own(plan: &MeasuredPlan<'_>, nodes: &[&MeasuredNode<'_>]) -> Self {
        let measured: Option<f64> = nodes.iter().map(|node| node.self_ms).sum();
        Self::new(plan, measured, nodes)
    }

    /// The time of `node` with everything below it; without timing, its share of the rows that pass through the plan.
    pub(super) fn whole(plan: &MeasuredPlan<'_>, node: &MeasuredNode<'_>) -> Self {
        Self::new(plan, node.total_ms, &[node])
    }

    fn new(plan: &MeasuredPlan<'_>, ms: Option<f64>, nodes: &[&MeasuredNode<'_>]) -> Self {
        let whole_ms = plan.whole_ms;
        match ms {
            Some(ms) if whole_ms > 0.0 => Self {
                share: (ms / whole_ms).min(1.0),
                ms,
                whole_ms,
                measured: true,
            },
            _ => {
                let share: f64 = nodes.iter().map(|node| plan.rows_share(node)).sum();
                let share = share.min(1.0);
                Self {
                    share,
                    ms: share * whole_ms,
                    whole_ms,
                    measured: false,
                }
            }
        }
    }

    /// CRITICAL when the main part of the time is spent there and that alone is slow; never so without measured time.
    pub(super) fn severity(self, config: &Config) -> Severity {
        if self.ms < config.negligible_ms || self.share < config.notice_share {
            return Severity::Info;
        }
        let main = self.share >= config.warning_share;
        let slow = self.ms >= config.slow_threshold_ms;
        match (main, slow) {
            (true, true) if self.measured => Severity::Critical,
            (true, _) | (_, true) => Severity::Warning,
            (false, false) => Severity::Notice,
        }
    }

    /// The end of a finding's sentence: `, 812 ms of 900 ms`, or nothing where time wasn't measured.
    pub(super) fn clause(self) -> String {
        if self.measured {
            format!(
                ", {} of {}",
                wording::ms(self.ms.min(self.whole_ms)),
                wording::ms(self.whole_ms)
            )
        } else {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_follows_share_and_time() {
        for (share, whole_ms, measured, expected) in [
            (0.9, 2000.0, true, Severity::Critical),
            (0.9, 2000.0, false, Severity::Warning),
            (0.9, 500.0, true, Severity::Warning),
            (0.2, 20_000.0, true, Severity::Warning),
            (0.2, 500.0, true, Severity::Notice),
            (0.05, 20_000.0, true, Severity::Info),
            (0.9, 5.0, true, Severity::Info),
        ] {
            let weight = Weight {
                share,
                ms: share * whole_ms,
                whole_ms,
                measured,
            };
            assert_eq!(weight.severity(&Config::default()), expected, "{weight:?}");
        }
    }
}

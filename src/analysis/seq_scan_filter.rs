//! Rule `seq-scan-filter`: a sequential scan reads many rows and its filter throws nearly all of them away.

use super::{
    Config,
    measure::MeasuredPlan,
    rules::Hit,
    severity::Weight,
    wording::{condition, count},
};

pub(super) fn check(plan: &MeasuredPlan<'_>, config: &Config) -> Vec<Hit> {
    let mut hits = Vec::new();
    for node in &plan.nodes {
        let Some(filter) = &node.plan.filter else {
            continue;
        };
        let removed = node.total(node.plan.rows_removed_by_filter);
        let kept = node.rows();
        if node.plan.node_type != "Seq Scan"
            || removed < config.seq_scan_min_rows_removed
            || removed < (removed + kept) * config.seq_scan_min_removed_share
        {
            continue;
        }
        let weight = Weight::own(plan, &[node]);
        hits.push(Hit {
            node_path: node.path.clone(),
            severity: weight.severity(config),
            weight_ms: weight.ms,
            message: format!(
                "{} reads {} rows{} and keeps {} (filter: {}){}",
                node.label(),
                count(removed + kept),
                node.loops_clause(),
                count(kept),
                condition(filter),
                weight.clause(),
            ),
        });
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::super::test_plans::{check_rule, scan};
    use super::*;
    use crate::model::{finding::Severity, plan::PlanNode};

    fn rows(kept: f64, removed: f64, loops: f64) -> PlanNode {
        PlanNode {
            actual_rows: Some(kept),
            rows_removed_by_filter: Some(removed),
            actual_loops: Some(loops),
            actual_total_time_ms: Some(850.0 / loops),
            ..scan("Seq Scan", "orders", "(email = ?)")
        }
    }

    #[test]
    fn a_scan_that_throws_rows_away_is_found() {
        check_rule(
            check,
            rows(12.0, 1_199_988.0, 1.0),
            &[(
                "0",
                Severity::Warning,
                "Seq Scan on orders reads 1,200,000 rows and keeps 12 (filter: (email = ?)), 850 ms of 900 ms",
            )],
        );
        check_rule(
            check,
            rows(0.0, 500.0, 1000.0),
            &[(
                "0",
                Severity::Warning,
                "Seq Scan on orders reads 500,000 rows in 1,000 loops and keeps 0 (filter: (email = ?)), 850 ms of 900 ms",
            )],
        );
    }

    #[test]
    fn without_timing_rows_decide() {
        check_rule(
            check,
            PlanNode {
                actual_total_time_ms: None,
                ..rows(12.0, 1_199_988.0, 1.0)
            },
            &[(
                "0",
                Severity::Warning,
                "Seq Scan on orders reads 1,200,000 rows and keeps 12 (filter: (email = ?))",
            )],
        );
    }

    #[test]
    fn innocent_scans_are_left_alone() {
        check_rule(check, rows(500_000.0, 600_000.0, 1.0), &[]);
        check_rule(check, rows(1.0, 5000.0, 1.0), &[]);
        check_rule(check, rows(1.0, 1_000_000.0, 0.0), &[]);
        check_rule(
            check,
            PlanNode {
                rows_removed_by_filter: None,
                ..rows(1.0, 1.0, 1.0)
            },
            &[],
        );
    }
}

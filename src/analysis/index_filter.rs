//! Rule `index-filter`: an index finds many rows that the filter then throws away, since the index doesn't hold what the filter asks for.

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
        let by_index = ["Index Scan", "Index Only Scan", "Bitmap Heap Scan"]
            .contains(&node.plan.node_type.as_str());
        if !by_index
            || removed < config.index_min_rows_removed
            || removed < (removed + kept) * config.index_min_removed_share
        {
            continue;
        }
        let weight = Weight::own(plan, &[node]);
        let without_condition =
            if node.plan.index_cond.is_none() && node.plan.recheck_cond.is_none() {
                " without an index condition"
            } else {
                ""
            };
        hits.push(Hit {
            node_path: node.path.clone(),
            severity: weight.severity(config),
            weight_ms: weight.ms,
            message: format!(
                "{}{without_condition} fetches {} rows{} and keeps {} (filter: {}){}",
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

    fn index_scan(kept: f64, removed: f64) -> PlanNode {
        PlanNode {
            index_name: Some("orders_customer_id_idx".to_owned()),
            index_cond: Some("(customer_id = ?)".to_owned()),
            actual_rows: Some(kept),
            rows_removed_by_filter: Some(removed),
            actual_total_time_ms: Some(600.0),
            ..scan("Index Scan", "orders", "(NOT paid)")
        }
    }

    #[test]
    fn rows_fetched_in_vain_are_found() {
        check_rule(
            check,
            index_scan(100.0, 80_000.0),
            &[(
                "0",
                Severity::Warning,
                "Index Scan using orders_customer_id_idx on orders fetches 80,100 rows and keeps 100 (filter: (NOT paid)), 600 ms of 900 ms",
            )],
        );
        check_rule(
            check,
            PlanNode {
                index_cond: None,
                ..index_scan(0.0, 80_000.0)
            },
            &[(
                "0",
                Severity::Warning,
                "Index Scan using orders_customer_id_idx on orders without an index condition fetches 80,000 rows and keeps 0 (filter: (NOT paid)), 600 ms of 900 ms",
            )],
        );
        check_rule(check, index_scan(90_000.0, 80_000.0), &[]);
        check_rule(check, index_scan(0.0, 999.0), &[]);
    }
}

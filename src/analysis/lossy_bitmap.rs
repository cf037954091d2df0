//! Rule `lossy-bitmap`: a bitmap didn't fit work_mem, so that it holds whole heap pages and every row on them is checked again.

use super::{
    Config,
    measure::{MeasuredPlan, logged},
    rules::Hit,
    severity::Weight,
    wording::count,
};

pub(super) fn check(plan: &MeasuredPlan<'_>, config: &Config) -> Vec<Hit> {
    let mut hits = Vec::new();
    for node in plan.nodes.iter().filter(|node| node.ran()) {
        let lossy = logged(node.plan.lossy_heap_blocks).unwrap_or(0.0);
        let exact = logged(node.plan.exact_heap_blocks).unwrap_or(0.0);
        if lossy < config.lossy_min_blocks || lossy < (lossy + exact) * config.lossy_min_share {
            continue;
        }
        let weight = Weight::own(plan, &[node]);
        hits.push(Hit {
            node_path: node.path.clone(),
            severity: weight.severity(config),
            weight_ms: weight.ms,
            message: format!(
                "{} is lossy on {} of {} heap blocks and rechecks {} rows away{}",
                node.label(),
                count(lossy),
                count(lossy + exact),
                count(node.total(node.plan.rows_removed_by_index_recheck)),
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

    fn bitmap(exact: f64, lossy: f64) -> PlanNode {
        PlanNode {
            exact_heap_blocks: Some(exact),
            lossy_heap_blocks: Some(lossy),
            rows_removed_by_index_recheck: Some(250_000.0),
            actual_total_time_ms: Some(200.0),
            ..scan("Bitmap Heap Scan", "orders", "(email = ?)")
        }
    }

    #[test]
    fn a_lossy_bitmap_is_found() {
        check_rule(
            check,
            bitmap(659.0, 3110.0),
            &[(
                "0",
                Severity::Notice,
                "Bitmap Heap Scan on orders is lossy on 3,110 of 3,769 heap blocks and rechecks 250,000 rows away, 200 ms of 900 ms",
            )],
        );
        check_rule(check, bitmap(3769.0, 0.0), &[]);
        check_rule(check, bitmap(100_000.0, 200.0), &[]);
    }
}

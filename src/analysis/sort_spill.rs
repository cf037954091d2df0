//! Rule `sort-spill`: a sort didn't fit work_mem and went to temporary files.

use super::{Config, measure::MeasuredPlan, rules::Hit, severity::Weight, wording};

pub(super) fn check(plan: &MeasuredPlan<'_>, config: &Config) -> Vec<Hit> {
    let mut hits = Vec::new();
    for node in plan.nodes.iter().filter(|node| node.ran()) {
        if node.plan.sort_space_type.as_deref() != Some("Disk") {
            continue;
        }
        let weight = Weight::own(plan, &[node]);
        hits.push(Hit {
            node_path: node.path.clone(),
            severity: weight.severity(config),
            weight_ms: weight.ms,
            message: format!(
                "{} by {} writes {} kB to disk ({}){}",
                node.label(),
                wording::condition(&node.plan.sort_key.join(", ")),
                wording::count(node.plan.sort_space_used_kb.unwrap_or(0.0)),
                node.plan.sort_method.as_deref().unwrap_or("external merge"),
                weight.clause(),
            ),
        });
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::super::test_plans::{check_rule, node};
    use super::*;
    use crate::model::{finding::Severity, plan::PlanNode};

    fn sort(space_type: &str) -> PlanNode {
        let scan = PlanNode {
            actual_total_time_ms: Some(200.0),
            ..node("Seq Scan")
        };
        PlanNode {
            actual_total_time_ms: Some(800.0),
            sort_key: vec!["customer_id".to_owned(), "created_at DESC".to_owned()],
            sort_method: Some("external merge".to_owned()),
            sort_space_type: Some(space_type.to_owned()),
            sort_space_used_kb: Some(48_312.0),
            plans: vec![scan],
            ..node("Sort")
        }
    }

    #[test]
    fn a_sort_on_disk_is_found_and_weighed_without_its_input() {
        check_rule(
            check,
            sort("Disk"),
            &[(
                "0",
                Severity::Warning,
                "Sort by customer_id, created_at DESC writes 48,312 kB to disk (external merge), 600 ms of 900 ms",
            )],
        );
        check_rule(check, sort("Memory"), &[]);
    }
}

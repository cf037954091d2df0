//! Rule `hash-spill`: a hash join or hash aggregate didn't fit work_mem × hash_mem_multiplier and went to temporary files in batches.

use super::{
    Config,
    measure::{MeasuredNode, MeasuredPlan, logged},
    rules::Hit,
    severity::Weight,
    wording::count,
};

pub(super) fn check(plan: &MeasuredPlan<'_>, config: &Config) -> Vec<Hit> {
    let mut hits = Vec::new();
    for node in plan.nodes.iter().filter(|node| node.ran()) {
        let Some(spill) = spill(node) else { continue };
        // Batches are written while the hash is built and read again by the join above it.
        let weight = match plan.parent(node) {
            Some(join) if node.plan.node_type == "Hash" => Weight::own(plan, &[node, join]),
            _ => Weight::own(plan, &[node]),
        };
        hits.push(Hit {
            node_path: node.path.clone(),
            severity: weight.severity(config),
            weight_ms: weight.ms,
            message: format!("{} {spill}{}", node.label(), weight.clause()),
        });
    }
    hits
}

/// What a node says of its batches; `None` for one that stayed in memory.
fn spill(node: &MeasuredNode<'_>) -> Option<String> {
    let plan = node.plan;
    let memory = plan
        .peak_memory_usage_kb
        .map(|kb| format!(" of up to {} kB", count(kb)))
        .unwrap_or_default();
    if let Some(batches) = logged(plan.hash_batches).filter(|batches| *batches > 1.0) {
        let planned = match logged(plan.original_hash_batches) {
            Some(planned) if planned < batches => format!(", planned {}", count(planned)),
            _ => String::new(),
        };
        return Some(format!(
            "goes to disk in {} batches{memory}{planned}",
            count(batches)
        ));
    }
    let disk = logged(plan.disk_usage_kb).filter(|kb| *kb > 0.0)?;
    let batches = logged(plan.hashagg_batches).unwrap_or(1.0);
    Some(format!(
        "writes {} kB to disk in {} batches{memory}",
        count(disk),
        count(batches)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::test_plans::{check_rule, node};
    use super::*;
    use crate::model::{finding::Severity, plan::PlanNode};

    fn join(batches: f64, original: f64) -> PlanNode {
        let hash = PlanNode {
            hash_batches: Some(batches),
            original_hash_batches: Some(original),
            peak_memory_usage_kb: Some(4096.0),
            actual_total_time_ms: Some(300.0),
            ..node("Hash")
        };
        PlanNode {
            actual_total_time_ms: Some(800.0),
            plans: vec![hash],
            ..node("Hash Join")
        }
    }

    #[test]
    fn a_hash_in_batches_is_found_and_weighed_with_its_join() {
        check_rule(
            check,
            join(16.0, 4.0),
            &[(
                "0.0",
                Severity::Warning,
                "Hash goes to disk in 16 batches of up to 4,096 kB, planned 4, 800 ms of 900 ms",
            )],
        );
        check_rule(check, join(1.0, 1.0), &[]);
    }

    #[test]
    fn a_hash_aggregate_on_disk_is_found() {
        let aggregate = |disk_usage_kb| PlanNode {
            hashagg_batches: Some(33.0),
            peak_memory_usage_kb: Some(2193.0),
            disk_usage_kb: Some(disk_usage_kb),
            actual_total_time_ms: Some(100.0),
            ..node("Aggregate")
        };
        check_rule(
            check,
            aggregate(14_288.0),
            &[(
                "0",
                Severity::Notice,
                "Aggregate writes 14,288 kB to disk in 33 batches of up to 2,193 kB, 100 ms of 900 ms",
            )],
        );
        check_rule(check, aggregate(0.0), &[]);
    }
}

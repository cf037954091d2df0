//! Rule `row-misestimate`: a node returns at least ten times more or fewer rows than the planner estimated, and the plan was chosen on the estimate.
//!
//! Both numbers are per loop. Only the node where the error starts is named, not the nodes above that inherit it. Fewer rows than estimated is no
//! error where the plan stopped reading early (Limit, EXISTS, the end of a merge join).

use crate::model::finding::Severity;

use super::{
    Config,
    measure::{MeasuredNode, MeasuredPlan, logged},
    rules::Hit,
    severity::Weight,
    wording::count,
};

/// How far a node's rows are from the estimate: the factor, and whether there were more.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Misestimate {
    factor: f64,
    more: bool,
}

pub(super) fn check(plan: &MeasuredPlan<'_>, config: &Config) -> Vec<Hit> {
    let misestimates: Vec<Option<Misestimate>> = plan
        .nodes
        .iter()
        .map(|node| misestimate(plan, node, config))
        .collect();
    let mut inherited = vec![false; plan.nodes.len()];
    for (node, found) in plan.nodes.iter().zip(&misestimates) {
        let parent = node.parent.and_then(|parent| misestimates.get(parent));
        if let (Some(found), Some(Some(parent))) = (found, parent)
            && found.more == parent.more
            && let Some(flag) = node.parent.and_then(|parent| inherited.get_mut(parent))
        {
            *flag = true;
        }
    }
    let mut hits = Vec::new();
    for ((node, found), inherited) in plan.nodes.iter().zip(&misestimates).zip(inherited) {
        let (Some(found), false) = (found, inherited) else {
            continue;
        };
        let (severity, weight_ms) = match consumer(plan, node) {
            Some(consumer) => {
                let weight = Weight::whole(plan, consumer);
                // The estimate is a possible reason for the time above, not a proven one. Too high, it seldom makes a plan much slower.
                let at_most = if found.more {
                    Severity::Warning
                } else {
                    Severity::Notice
                };
                (weight.severity(config).min(at_most), weight.ms)
            }
            None => (Severity::Info, 0.0),
        };
        hits.push(Hit {
            node_path: node.path.clone(),
            severity,
            weight_ms,
            message: format!(
                "{} returns {} rows{}, estimated were {} ({} times {})",
                node.label(),
                count(logged(node.plan.actual_rows).unwrap_or(0.0)),
                if node.loops_clause().is_empty() {
                    ""
                } else {
                    " per loop"
                },
                count(logged(node.plan.plan_rows).unwrap_or(0.0)),
                count(found.factor),
                if found.more { "more" } else { "fewer" },
            ),
        });
    }
    hits
}

fn misestimate(
    plan: &MeasuredPlan<'_>,
    node: &MeasuredNode<'_>,
    config: &Config,
) -> Option<Misestimate> {
    // ModifyTable, BitmapAnd and BitmapOr always report 0 rows.
    let counts_rows = !["ModifyTable", "BitmapAnd", "BitmapOr"].contains(&&*node.plan.node_type);
    if !node.ran() || !counts_rows {
        return None;
    }
    // Averages are rounded to whole rows up to PostgreSQL 17: less than one row per loop reads as 0.
    let actual = logged(node.plan.actual_rows)?.max(1.0);
    let estimated = logged(node.plan.plan_rows)?.max(1.0);
    let more = actual > estimated;
    let factor = (actual / estimated).max(estimated / actual);
    let matters = actual.max(estimated) >= config.misestimate_min_rows;
    (factor >= config.misestimate_factor && matters && (more || !may_stop_early(plan, node)))
        .then_some(Misestimate { factor, more })
}

/// Whether something above may have stopped reading before the node had returned all its rows.
fn may_stop_early(plan: &MeasuredPlan<'_>, node: &MeasuredNode<'_>) -> bool {
    let mut node = node;
    while let Some(parent) = plan.parent(node) {
        let relationship = node.plan.parent_relationship.as_deref().unwrap_or_default();
        let join = parent.plan.join_type.as_deref().unwrap_or_default();
        match parent.plan.node_type.as_str() {
            _ if relationship == "SubPlan" || relationship == "InitPlan" => return true,
            "Limit" | "Merge Join" => return true,
            "Nested Loop" if relationship == "Inner" && ["Semi", "Anti"].contains(&join) => {
                return true;
            }
            // These read their input to its end before they return a row.
            "Sort" | "Hash" | "Bitmap Heap Scan" | "BitmapAnd" | "BitmapOr" => return false,
            "Aggregate" if parent.plan.strategy.as_deref() != Some("Sorted") => return false,
            _ => node = parent,
        }
    }
    false
}

/// The nearest node above that was planned on the estimate: a join, sort or aggregate. Without one, no choice hung on it.
fn consumer<'a, 'p>(
    plan: &'a MeasuredPlan<'p>,
    node: &'a MeasuredNode<'p>,
) -> Option<&'a MeasuredNode<'p>> {
    let mut above = node;
    while let Some(parent) = plan.parent(above) {
        above = parent;
        let node_type = above.plan.node_type.as_str();
        if node_type.ends_with("Join")
            || ["Nested Loop", "Sort", "Incremental Sort", "Aggregate"].contains(&node_type)
        {
            return Some(above);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::test_plans::{check_rule, node};
    use super::*;
    use crate::model::plan::PlanNode;

    fn rows(node_type: &str, estimated: f64, actual: f64, plans: Vec<PlanNode>) -> PlanNode {
        PlanNode {
            plan_rows: Some(estimated),
            actual_rows: Some(actual),
            actual_total_time_ms: Some(600.0),
            plans,
            ..node(node_type)
        }
    }

    #[test]
    fn the_node_where_the_error_starts_is_named() {
        let scan = rows("Seq Scan", 10.0, 50_000.0, vec![]);
        check_rule(
            check,
            rows("Nested Loop", 5.0, 50_000.0, vec![scan]),
            &[(
                "0.0",
                Severity::Warning,
                "Seq Scan returns 50,000 rows, estimated were 10 (5,000 times more)",
            )],
        );
    }

    #[test]
    fn fewer_rows_below_a_limit_are_no_error() {
        let scan = || rows("Seq Scan", 100_000.0, 10.0, vec![]);
        check_rule(check, rows("Limit", 10.0, 10.0, vec![scan()]), &[]);
        let sort = rows("Sort", 10.0, 10.0, vec![scan()]);
        check_rule(
            check,
            rows("Limit", 10.0, 10.0, vec![sort]),
            &[(
                "0.0.0",
                Severity::Notice,
                "Seq Scan returns 10 rows, estimated were 100,000 (10,000 times fewer)",
            )],
        );
    }

    #[test]
    fn an_estimate_that_nothing_was_planned_on_is_no_more_than_info() {
        check_rule(
            check,
            rows("Seq Scan", 10.0, 50_000.0, vec![]),
            &[(
                "0",
                Severity::Info,
                "Seq Scan returns 50,000 rows, estimated were 10 (5,000 times more)",
            )],
        );
    }

    #[test]
    fn small_nodes_and_those_that_never_ran_are_left_alone() {
        check_rule(check, rows("Seq Scan", 1.0, 500.0, vec![]), &[]);
        check_rule(check, rows("Seq Scan", 5000.0, 9000.0, vec![]), &[]);
        check_rule(check, rows("ModifyTable", 50_000.0, 0.0, vec![]), &[]);
        check_rule(
            check,
            PlanNode {
                actual_loops: Some(0.0),
                ..rows("Seq Scan", 50_000.0, 0.0, vec![])
            },
            &[],
        );
    }
}

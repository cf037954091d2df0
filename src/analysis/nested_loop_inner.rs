//! Rule `nested-loop-inner`: the inner side of a nested loop ran very often.
//!
//! A Memoize or Materialize in between answers most loops from memory: the node below it is what costs, with its own loops.

use super::{
    Config,
    measure::{MeasuredNode, MeasuredPlan},
    rules::Hit,
    severity::Weight,
    wording::count,
};

pub(super) fn check(plan: &MeasuredPlan<'_>, config: &Config) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, side) in plan.nodes.iter().enumerate() {
        let joined = plan
            .parent(side)
            .is_some_and(|join| join.plan.node_type == "Nested Loop");
        if !joined || side.plan.parent_relationship.as_deref() != Some("Inner") {
            continue;
        }
        let Some(inner) = below_cache(plan, index) else {
            continue;
        };
        if inner.loops < config.inner_min_loops {
            continue;
        }
        let weight = Weight::whole(plan, inner);
        hits.push(Hit {
            node_path: inner.path.clone(),
            severity: weight.severity(config),
            weight_ms: weight.ms,
            message: format!(
                "Nested Loop runs {} {} times{}{}",
                inner.label(),
                count(inner.loops),
                rows_clause(inner),
                weight.clause(),
            ),
        });
    }
    hits
}

/// What all loops got. Rows are logged per loop and up to PostgreSQL 17 as a whole number: 0 is any mean below one half, and nothing is said then.
fn rows_clause(inner: &MeasuredNode<'_>) -> String {
    match inner.rows() {
        rows if rows > 0.0 => format!(" and gets {} rows from it", count(rows)),
        _ => String::new(),
    }
}

/// The node at `index`, or its child where it is a cache.
fn below_cache<'a, 'p>(plan: &'a MeasuredPlan<'p>, index: usize) -> Option<&'a MeasuredNode<'p>> {
    let side = plan.nodes.get(index)?;
    if !["Memoize", "Materialize"].contains(&&*side.plan.node_type) {
        return Some(side);
    }
    // Parents stand right before their first child.
    plan.nodes
        .get(index + 1)
        .filter(|child| child.parent == Some(index))
}

#[cfg(test)]
mod tests {
    use super::super::test_plans::{check_rule, node};
    use super::*;
    use crate::model::{finding::Severity, plan::PlanNode};

    fn inner_scan(loops: f64) -> PlanNode {
        PlanNode {
            parent_relationship: Some("Inner".to_owned()),
            index_name: Some("orders_pkey".to_owned()),
            relation_name: Some("orders".to_owned()),
            actual_rows: Some(1.0),
            actual_loops: Some(loops),
            actual_total_time_ms: Some(0.005),
            ..node("Index Scan")
        }
    }

    fn join(inner: PlanNode) -> PlanNode {
        let outer = PlanNode {
            parent_relationship: Some("Outer".to_owned()),
            ..node("Seq Scan")
        };
        PlanNode {
            plans: vec![outer, inner],
            ..node("Nested Loop")
        }
    }

    #[test]
    fn an_inner_side_that_runs_often_is_found() {
        check_rule(
            check,
            join(inner_scan(120_000.0)),
            &[(
                "0.1",
                Severity::Warning,
                "Nested Loop runs Index Scan using orders_pkey on orders 120,000 times and gets 120,000 rows from it, 600 ms of 900 ms",
            )],
        );
        check_rule(check, join(inner_scan(999.0)), &[]);
    }

    #[test]
    fn a_mean_that_the_server_rounded_to_nothing_is_not_called_nothing() {
        check_rule(
            check,
            join(PlanNode {
                actual_rows: Some(0.0),
                ..inner_scan(120_000.0)
            }),
            &[(
                "0.1",
                Severity::Warning,
                "Nested Loop runs Index Scan using orders_pkey on orders 120,000 times, 600 ms of 900 ms",
            )],
        );
    }

    #[test]
    fn loops_answered_from_memory_do_not_count() {
        let memoize = PlanNode {
            plans: vec![PlanNode {
                parent_relationship: Some("Outer".to_owned()),
                ..inner_scan(10.0)
            }],
            ..PlanNode {
                node_type: "Memoize".to_owned(),
                ..inner_scan(120_000.0)
            }
        };
        check_rule(check, join(memoize), &[]);
    }
}

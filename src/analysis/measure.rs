//! A plan with its per-loop averages turned into totals: how often a node ran, how many rows went through it, how much time it took itself.
//!
//! PostgreSQL prints rows, removed rows and times as averages per loop. Below a Gather the loops of all processes are counted together, and those
//! processes run side by side: elapsed time is the total divided by them. The time of an InitPlan or CTE is counted in the node that reads it.
//! Numbers that cannot be (negative, infinite) count as not logged.

use std::collections::BTreeMap;

use crate::model::plan::{Plan, PlanNode};

use super::wording;

/// A captured plan, measured.
pub(super) struct MeasuredPlan<'p> {
    /// Parents before children, in the order printed.
    pub(super) nodes: Vec<MeasuredNode<'p>>,
    /// Milliseconds of the whole execution.
    pub(super) whole_ms: f64,
    /// Whether the plan tells actual rows (auto_explain.log_analyze).
    pub(super) analyzed: bool,
    pub(super) settings: &'p [(String, String)],
    rows_handled: f64,
}

/// One node of it.
pub(super) struct MeasuredNode<'p> {
    /// Child numbers from the root, as in [`PlanNode::walk`].
    pub(super) path: String,
    pub(super) plan: &'p PlanNode,
    /// Place of the parent in [`MeasuredPlan::nodes`].
    pub(super) parent: Option<usize>,
    /// Times that it ran, all processes together; 0 for a node that never did.
    pub(super) loops: f64,
    /// Elapsed milliseconds with everything below it.
    pub(super) total_ms: Option<f64>,
    /// Elapsed milliseconds without its children, InitPlans and CTEs.
    pub(super) self_ms: Option<f64>,
    /// Processes that run it side by side.
    processes: f64,
}

/// InitPlans and CTEs whose time is traced to the node that reads them; those of larger plans are charged to the node that they hang on.
const MAX_TRACED_INIT_PLANS: usize = 64;

impl<'p> MeasuredPlan<'p> {
    pub(super) fn of(plan: &'p Plan, whole_ms: f64) -> Self {
        let mut nodes = flatten(&plan.root);
        for node in &mut nodes {
            node.total_ms = logged(node.plan.actual_total_time_ms)
                .map(|ms| ms * node.loops / node.processes.min(node.loops).max(1.0));
        }
        set_self_times(&mut nodes);
        Self {
            rows_handled: nodes.iter().map(MeasuredNode::rows_handled).sum(),
            nodes,
            whole_ms,
            analyzed: plan.root.actual_loops.is_some(),
            settings: plan.settings.as_deref().unwrap_or_default(),
        }
    }

    pub(super) fn at(&self, path: &str) -> Option<&MeasuredNode<'p>> {
        self.nodes.iter().find(|node| node.path == path)
    }

    pub(super) fn parent(&self, node: &MeasuredNode<'p>) -> Option<&MeasuredNode<'p>> {
        self.nodes.get(node.parent?)
    }

    /// Whether a sequential scan ran, or is planned where the log doesn't tell what ran.
    pub(super) fn has_seq_scan(&self) -> bool {
        self.nodes
            .iter()
            .any(|node| node.plan.node_type == "Seq Scan" && (!self.analyzed || node.ran()))
    }

    /// Share of all rows that pass through the plan's nodes which this node handles: what stands for time where time wasn't logged.
    pub(super) fn rows_share(&self, node: &MeasuredNode<'_>) -> f64 {
        if self.rows_handled > 0.0 {
            node.rows_handled() / self.rows_handled
        } else {
            0.0
        }
    }

    /// A planner setting that the session had changed.
    pub(super) fn setting(&self, name: &str) -> Option<&'p str> {
        self.settings
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

impl MeasuredNode<'_> {
    pub(super) fn ran(&self) -> bool {
        self.loops > 0.0
    }

    /// All loops together of a value that PostgreSQL prints per loop; 0 where it wasn't logged.
    pub(super) fn total(&self, per_loop: Option<f64>) -> f64 {
        logged(per_loop).unwrap_or(0.0) * self.loops
    }

    pub(super) fn rows(&self) -> f64 {
        self.total(self.plan.actual_rows)
    }

    fn rows_handled(&self) -> f64 {
        let removed = self.total(self.plan.rows_removed_by_filter)
            + self.total(self.plan.rows_removed_by_join_filter)
            + self.total(self.plan.rows_removed_by_index_recheck);
        (self.rows() + removed).max(self.loops)
    }

    /// ` in 1,000 loops`, or nothing for a node that each process ran once.
    pub(super) fn loops_clause(&self) -> String {
        if self.loops > self.processes {
            format!(" in {} loops", wording::count(self.loops))
        } else {
            String::new()
        }
    }

    /// What the node is and what it reads, in EXPLAIN's words: `Index Scan using orders_pkey on orders o`.
    pub(super) fn label(&self) -> String {
        let plan = self.plan;
        let mut label = plan.node_type.clone();
        if let Some(index) = &plan.index_name {
            let preposition = if plan.relation_name.is_some() {
                "using"
            } else {
                "on"
            };
            label.push_str(&format!(" {preposition} {index}"));
        }
        let object = plan
            .relation_name
            .as_ref()
            .or(plan.cte_name.as_ref())
            .or(plan.function_name.as_ref());
        if let Some(object) = object {
            label.push_str(" on ");
            if let Some(schema) = &plan.schema {
                label.push_str(&format!("{schema}."));
            }
            label.push_str(object);
            if let Some(alias) = plan.alias.as_ref().filter(|alias| *alias != object) {
                label.push_str(&format!(" {alias}"));
            }
        }
        label
    }
}

/// A number as logged; `None` for those that PostgreSQL cannot have meant.
pub(super) fn logged(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value >= 0.0)
}

fn flatten(root: &PlanNode) -> Vec<MeasuredNode<'_>> {
    let mut nodes: Vec<MeasuredNode<'_>> = Vec::new();
    let mut stack = vec![("0".to_owned(), root, None, 1.0)];
    while let Some((path, plan, parent, processes)) = stack.pop() {
        let below = if plan.node_type.starts_with("Gather") {
            logged(plan.workers_launched).unwrap_or(0.0) + 1.0
        } else {
            processes
        };
        for (number, child) in plan.plans.iter().enumerate().rev() {
            stack.push((format!("{path}.{number}"), child, Some(nodes.len()), below));
        }
        nodes.push(MeasuredNode {
            path,
            plan,
            parent,
            loops: logged(plan.actual_loops).unwrap_or(0.0),
            total_ms: None,
            self_ms: None,
            processes,
        });
    }
    nodes
}

fn set_self_times(nodes: &mut [MeasuredNode<'_>]) {
    for node in nodes.iter_mut() {
        node.self_ms = node.total_ms;
    }
    let mut readers_of_cte: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        if let Some(cte) = node.plan.cte_name.as_deref() {
            readers_of_cte.entry(cte).or_default().push(index);
        }
    }
    let mut traced = 0;
    for index in 0..nodes.len() {
        let Some(node) = nodes.get(index) else { break };
        let (Some(parent), Some(ms)) = (node.parent, node.total_ms) else {
            continue;
        };
        let mut payers = Vec::new();
        if node.plan.parent_relationship.as_deref() == Some("InitPlan")
            && traced < MAX_TRACED_INIT_PLANS
        {
            traced += 1;
            let name = node.plan.subplan_name.as_deref().unwrap_or_default();
            payers = match name.strip_prefix("CTE ") {
                Some(cte) => readers_of_cte.get(cte).cloned().unwrap_or_default(),
                None => readers_of_init_plan(name, nodes),
            };
        }
        if payers.is_empty() {
            payers.push(parent);
        }
        charge(nodes, &payers, ms);
    }
}

/// Takes `ms` out of the payers' own time, from the first as much as it has, then from the next.
fn charge(nodes: &mut [MeasuredNode<'_>], payers: &[usize], ms: f64) {
    let mut owed = ms;
    for payer in payers {
        if let Some(own) = nodes.get_mut(*payer).and_then(|node| node.self_ms.as_mut()) {
            let paid = own.min(owed);
            *own -= paid;
            owed -= paid;
        }
    }
}

/// The nodes whose conditions read an InitPlan: `InitPlan 1 (returns $0)` is written `$0` there up to PostgreSQL 16, `InitPlan 1` is written
/// `(InitPlan 1).col1` from 17 on.
fn readers_of_init_plan(subplan_name: &str, nodes: &[MeasuredNode<'_>]) -> Vec<usize> {
    let written = match subplan_name.split_once(" (returns ") {
        Some((_, parameters)) => parameters
            .trim_end_matches(')')
            .split(',')
            .next()
            .unwrap_or_default()
            .to_owned(),
        None => format!("({subplan_name})."),
    };
    if written.len() < 2 {
        return Vec::new();
    }
    nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| {
            let plan = node.plan;
            [
                &plan.filter,
                &plan.index_cond,
                &plan.recheck_cond,
                &plan.join_filter,
                &plan.hash_cond,
                &plan.one_time_filter,
            ]
            .into_iter()
            .flatten()
            .any(|condition| mentions(condition, &written))
        })
        .map(|(index, _)| index)
        .collect()
}

/// Whether `condition` holds `written` not followed by another digit (`$1` is no mention in `$10`).
fn mentions(condition: &str, written: &str) -> bool {
    condition.match_indices(written).any(|(at, found)| {
        condition
            .get(at + found.len()..)
            .is_none_or(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::test_plans::{node, plan};
    use super::*;

    /// Path, loops, total and self time of every node.
    fn check(root: PlanNode, expected: &[(&str, f64, Option<f64>, Option<f64>)]) {
        let plan = plan(root);
        let measured = MeasuredPlan::of(&plan, 100.0);
        let got: Vec<_> = measured
            .nodes
            .iter()
            .map(|n| (n.path.as_str(), n.loops, n.total_ms, n.self_ms))
            .collect();
        assert_eq!(got, expected);
    }

    fn timed(node_type: &str, ms: f64, loops: f64, plans: Vec<PlanNode>) -> PlanNode {
        PlanNode {
            actual_total_time_ms: Some(ms),
            actual_loops: Some(loops),
            plans,
            ..node(node_type)
        }
    }

    #[test]
    fn times_are_totals_less_children() {
        let inner = timed("Index Scan", 0.05, 1000.0, vec![]);
        let outer = timed("Seq Scan", 10.0, 1.0, vec![]);
        check(
            timed("Nested Loop", 70.0, 1.0, vec![outer, inner]),
            &[
                ("0", 1.0, Some(70.0), Some(10.0)),
                ("0.0", 1.0, Some(10.0), Some(10.0)),
                ("0.1", 1000.0, Some(50.0), Some(50.0)),
            ],
        );
    }

    #[test]
    fn processes_below_a_gather_run_side_by_side() {
        let gather = PlanNode {
            workers_launched: Some(2.0),
            ..timed(
                "Gather",
                100.0,
                1.0,
                vec![
                    timed("Seq Scan", 90.0, 3.0, vec![]),
                    timed("Seq Scan", 30.0, 1.0, vec![]),
                ],
            )
        };
        check(
            gather,
            &[
                ("0", 1.0, Some(100.0), Some(0.0)),
                ("0.0", 3.0, Some(90.0), Some(90.0)),
                ("0.1", 1.0, Some(30.0), Some(30.0)),
            ],
        );
    }

    #[test]
    fn a_cte_is_charged_to_its_reader() {
        let cte = PlanNode {
            parent_relationship: Some("InitPlan".to_owned()),
            subplan_name: Some("CTE c".to_owned()),
            ..timed("Seq Scan", 40.0, 1.0, vec![])
        };
        let reader = PlanNode {
            cte_name: Some("c".to_owned()),
            ..timed("CTE Scan", 45.0, 1.0, vec![])
        };
        check(
            timed("Sort", 60.0, 1.0, vec![cte, reader]),
            &[
                ("0", 1.0, Some(60.0), Some(15.0)),
                ("0.0", 1.0, Some(40.0), Some(40.0)),
                ("0.1", 1.0, Some(45.0), Some(5.0)),
            ],
        );
    }

    #[test]
    fn an_init_plan_is_charged_to_the_node_that_reads_its_parameter() {
        for (subplan_name, filter) in [
            ("InitPlan 1 (returns $0)", "(a > $0)"),
            ("InitPlan 1", "(a > (InitPlan 1).col1)"),
        ] {
            let init = PlanNode {
                parent_relationship: Some("InitPlan".to_owned()),
                subplan_name: Some(subplan_name.to_owned()),
                ..timed("Aggregate", 40.0, 1.0, vec![])
            };
            let scan = PlanNode {
                filter: Some(filter.to_owned()),
                ..timed("Seq Scan", 50.0, 1.0, vec![])
            };
            let bystander = PlanNode {
                filter: Some("(a > $01)".to_owned()),
                ..timed("Seq Scan", 5.0, 1.0, vec![])
            };
            check(
                timed("Append", 56.0, 1.0, vec![init, scan, bystander]),
                &[
                    ("0", 1.0, Some(56.0), Some(1.0)),
                    ("0.0", 1.0, Some(40.0), Some(40.0)),
                    ("0.1", 1.0, Some(50.0), Some(10.0)),
                    ("0.2", 1.0, Some(5.0), Some(5.0)),
                ],
            );
        }
    }

    #[test]
    fn impossible_numbers_count_as_not_logged() {
        check(
            timed(
                "Limit",
                f64::INFINITY,
                1.0,
                vec![timed("Sort", -1.0, f64::NAN, vec![])],
            ),
            &[("0", 1.0, None, None), ("0.0", 0.0, None, None)],
        );
    }

    #[test]
    fn labels_are_those_of_explain() {
        let plan = plan(PlanNode {
            index_name: Some("orders_pkey".to_owned()),
            relation_name: Some("orders".to_owned()),
            schema: Some("shop".to_owned()),
            alias: Some("o".to_owned()),
            ..node("Index Scan")
        });
        let measured = MeasuredPlan::of(&plan, 1.0);
        assert_eq!(
            measured.at("0").unwrap().label(),
            "Index Scan using orders_pkey on shop.orders o"
        );
    }
}

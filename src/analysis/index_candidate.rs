//! An index candidate from the conditions of a scan: the columns tested for equality first, then one that is tested for a range.
//!
//! In: a scan that throws rows away, or one that a nested loop repeats. Out: the table and columns of a B-tree index that would find the kept
//! rows directly. Which indexes exist isn't in the log: an existing index that PostgreSQL chose not to use can be proposed again.

use super::{
    Config,
    condition::{ColumnTest, Conjuncts, Test, conjuncts},
    ddl::{Index, IndexColumn, Table},
    measure::{MeasuredNode, MeasuredPlan},
};

/// A proposal for one scan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub(super) index: Index,
    /// Columns written `(column)::text`: on them the index serves only if they are varchar.
    pub(super) as_text: Vec<String>,
    /// The scan's own index finds rows by some of the columns.
    pub(super) extends_index: bool,
    /// The filter asks for more than an index on these columns answers: what throws the rows away may be that.
    pub(super) partly: bool,
}

/// The candidate for the scan `node`; `None` where its conditions leave nothing for a B-tree to do.
pub(super) fn candidate(
    plan: &MeasuredPlan<'_>,
    node: &MeasuredNode<'_>,
    config: &Config,
) -> Option<Candidate> {
    let scan = node.plan;
    let name = scan.relation_name.as_ref()?;
    let in_catalog = scan.schema.as_deref().map_or_else(
        || name.starts_with("pg_"),
        |schema| schema.starts_with("pg_") || schema == "information_schema",
    );
    if in_catalog {
        return None;
    }
    let relation = scan.alias.as_ref().unwrap_or(name);
    let read = |condition: &Option<String>| match condition {
        Some(condition) => conjuncts(condition, relation),
        None => Conjuncts::default(),
    };
    let found_by = match scan.node_type.as_str() {
        "Seq Scan" => Vec::new(),
        "Index Scan" => read(&scan.index_cond).tests,
        "Bitmap Heap Scan" => {
            let found_by = read(&scan.recheck_cond).tests;
            // A bitmap of several indexes joined by OR: what to put first isn't known.
            if found_by.is_empty() {
                return None;
            }
            found_by
        }
        _ => return None,
    };
    let mut filter = read(&scan.filter);
    if let Some(join) = nested_loop_above(plan, node) {
        filter.tests.extend(read(&join.plan.join_filter).tests);
    }
    let columns = in_index_order(&found_by, &filter.tests, config.index_max_columns);
    let partly = filter.others > 0;
    // A range alone may let nearly all rows through.
    if partly && columns.iter().all(|found| found.test == Test::Range) {
        return None;
    }
    let adds = columns
        .iter()
        .any(|found| !found_by.iter().any(|known| known.column == found.column));
    adds.then(|| Candidate {
        as_text: columns
            .iter()
            .filter(|found| found.as_text)
            .map(|found| found.column.clone())
            .collect(),
        extends_index: !found_by.is_empty(),
        partly,
        index: Index {
            table: Table {
                schema: scan.schema.clone(),
                name: name.clone(),
            },
            columns: columns
                .into_iter()
                .map(|found| IndexColumn {
                    name: found.column.clone(),
                    descending: false,
                })
                .collect(),
            include: Vec::new(),
        },
    })
}

/// The nested loop whose inner side is the scan `node`, whatever caches it in between.
fn nested_loop_above<'a, 'p>(
    plan: &'a MeasuredPlan<'p>,
    node: &'a MeasuredNode<'p>,
) -> Option<&'a MeasuredNode<'p>> {
    let mut side = node;
    let mut above = plan.parent(side)?;
    if ["Materialize", "Memoize"].contains(&&*above.plan.node_type) {
        side = above;
        above = plan.parent(side)?;
    }
    let inner = side.plan.parent_relationship.as_deref() == Some("Inner");
    (inner && above.plan.node_type == "Nested Loop").then_some(above)
}

/// Equalities, flags, then one range: a B-tree narrows by each column up to and including the first that isn't tested for equality. Within each
/// kind, columns that an index is already searched by come first.
fn in_index_order<'t>(
    found_by: &'t [ColumnTest],
    filtered: &'t [ColumnTest],
    max_columns: usize,
) -> Vec<&'t ColumnTest> {
    let mut columns: Vec<&ColumnTest> = Vec::new();
    for test in [Test::Equal, Test::Flag, Test::Range] {
        for found in found_by.iter().chain(filtered) {
            let another_range =
                test == Test::Range && columns.last().is_some_and(|last| last.test == Test::Range);
            let known = columns.iter().any(|known| known.column == found.column);
            if found.test == test && !known && !another_range && columns.len() < max_columns {
                columns.push(found);
            }
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::{
        ddl,
        test_plans::{node, plan, scan},
    };
    use super::*;
    use crate::model::plan::PlanNode;

    fn check(root: PlanNode, path: &str, expected: Option<&str>) {
        let plan = plan(root);
        let measured = MeasuredPlan::of(&plan, 900.0);
        let candidate = candidate(&measured, measured.at(path).unwrap(), &Config::default());
        let target = candidate.map(|found| ddl::create_index(&found.index).unwrap().target);
        assert_eq!(target.as_deref(), expected);
    }

    #[test]
    fn equalities_come_first_then_one_range() {
        check(
            scan(
                "Seq Scan",
                "orders",
                "((created_at > ?) AND (price < ?) AND (gone IS NULL) AND (customer_id = ?))",
            ),
            "0",
            Some("orders (customer_id, gone, created_at)"),
        );
        check(scan("Seq Scan", "orders", "(lower(email) = ?)"), "0", None);
        check(
            scan(
                "Seq Scan",
                "orders",
                "((created_at > ?) AND (lower(email) = ?))",
            ),
            "0",
            None,
        );
        check(
            scan(
                "Seq Scan",
                "orders",
                "((customer_id = ?) AND (lower(email) = ?))",
            ),
            "0",
            Some("orders (customer_id)"),
        );
        check(scan("Seq Scan", "pg_class", "(relname = ?)"), "0", None);
    }

    #[test]
    fn columns_of_the_index_in_use_come_first() {
        let index_scan = |index_cond: &str, filter: &str| PlanNode {
            index_cond: Some(index_cond.to_owned()),
            ..scan("Index Scan", "orders", filter)
        };
        check(
            index_scan("(customer_id = ?)", "((status)::text = ?::text)"),
            "0",
            Some("orders (customer_id, status)"),
        );
        check(
            index_scan("(created_at > ?)", "(customer_id = ?)"),
            "0",
            Some("orders (customer_id, created_at)"),
        );
        check(index_scan("(customer_id = ?)", "(note ~~ ?)"), "0", None);
        check(
            PlanNode {
                recheck_cond: Some("((a = ?) OR (b = ?))".to_owned()),
                ..scan("Bitmap Heap Scan", "orders", "(c = ?)")
            },
            "0",
            None,
        );
    }

    #[test]
    fn a_join_filter_counts_for_the_inner_side_only() {
        let side = |relation: &str, alias: &str, relationship: &str| PlanNode {
            alias: Some(alias.to_owned()),
            filter: None,
            parent_relationship: Some(relationship.to_owned()),
            ..scan("Seq Scan", relation, "")
        };
        let materialize = PlanNode {
            parent_relationship: Some("Inner".to_owned()),
            plans: vec![side("orders", "o", "Outer")],
            ..node("Materialize")
        };
        let join = PlanNode {
            join_filter: Some("(c.id = o.customer_id)".to_owned()),
            plans: vec![side("customers", "c", "Outer"), materialize],
            ..node("Nested Loop")
        };
        check(join.clone(), "0.1.0", Some("orders (customer_id)"));
        check(join, "0.0", None);
    }
}

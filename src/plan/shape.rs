//! The shape of a plan: what stays when the same way of running a query is taken again, with other values, on another release.
//!
//! A plan tree comes in, its hash goes out. In it are node types, joins, relations, indexes, strategies, and the columns of each condition,
//! sort and group key. Not in it are numbers, literals, parameters, schemas and aliases (they depend on auto_explain.log_verbose),
//! operators, functions and the order of operands: releases 13 to 18 print the same condition in different ways.

use std::fmt::Write as _;

use crate::model::{
    plan::{PlanNode, PlanShape},
    stable_id,
};

/// The shape of the plan below `root`.
pub(super) fn of(root: &PlanNode) -> PlanShape {
    let mut outline = String::new();
    write_outline(root, &mut outline);
    PlanShape(stable_id(&[b"plan shape", outline.as_bytes()]))
}

/// `Node Type|relation|index|…|condition: columns{children}`
fn write_outline(node: &PlanNode, outline: &mut String) {
    outline.push_str(&node.node_type);
    // "InitPlan 1 (returns $0)" up to 16 is "InitPlan 1" from 17 on.
    let subplan_name = node.subplan_name.as_deref().map(|name| {
        name.split_once(" (returns")
            .map_or(name, |(before, _)| before)
    });
    for detail in [
        subplan_name,
        node.operation.as_deref(),
        node.strategy.as_deref(),
        node.partial_mode.as_deref(),
        node.join_type.as_deref(),
        node.scan_direction.as_deref(),
        node.relation_name.as_deref(),
        node.index_name.as_deref(),
        node.cte_name.as_deref(),
        node.function_name.as_deref(),
        (node.parallel_aware == Some(true)).then_some("Parallel Aware"),
    ] {
        write!(outline, "|{}", detail.unwrap_or_default())
            .expect("writing to a string doesn't fail");
    }
    for (label, conditions) in [
        ("index", node.index_cond.as_slice()),
        ("recheck", node.recheck_cond.as_slice()),
        ("filter", node.filter.as_slice()),
        ("join", node.join_filter.as_slice()),
        ("hash", node.hash_cond.as_slice()),
        ("merge", node.merge_cond.as_slice()),
        ("once", node.one_time_filter.as_slice()),
        ("sort", node.sort_key.as_slice()),
        ("presorted", node.presorted_key.as_slice()),
        ("group", node.group_key.as_slice()),
    ] {
        for condition in conditions {
            write!(outline, "|{label}: {}", columns(condition).join(","))
                .expect("writing to a string doesn't fail");
        }
    }
    outline.push('{');
    for child in &node.plans {
        write_outline(child, outline);
    }
    outline.push('}');
}

/// The columns in an expression as PostgreSQL prints it, without qualification, sorted, each once.
///
/// Key words are printed in upper case and names in lower case unless they are quoted (manual, 4.1.1); so a word in lower case that is
/// not a qualifier, not called and not the name of a type is a column. What a SubPlan is compared with is printed from 17 on only, so an
/// expression with one is taken to have no columns.
fn columns(expression: &str) -> Vec<&str> {
    let mut columns = Vec::new();
    if expression.contains("SubPlan ") {
        return columns;
    }
    let mut rest = expression;
    let mut names_type = false;
    let mut names_field = false;
    while let Some(first) = rest.chars().next() {
        let name_len = name_len(rest);
        if name_len == 0 {
            rest = match first {
                ':' if rest.starts_with("::") => {
                    names_type = true;
                    rest.get(2..).unwrap_or_default()
                }
                // varchar(20)
                '(' if names_type => rest.split_once(')').map_or("", |(_, after)| after),
                '$' | '0'..='9' => {
                    rest.trim_start_matches(|c: char| c == '$' || c.is_ascii_alphanumeric())
                }
                _ => {
                    names_type &= matches!(first, ' ' | '.' | '[' | ']');
                    names_field = rest.starts_with(").");
                    rest.get(first.len_utf8() + usize::from(names_field)..)
                        .unwrap_or_default()
                }
            };
            continue;
        }
        let (name, after) = rest.split_at(name_len);
        rest = after;
        // "substring"((a)::text, ?, ?) is printed as SUBSTRING(a FROM ? FOR ?) from 14 on.
        let called_or_qualifier = after.starts_with('(') || after.starts_with('.');
        if name == "EXTRACT" {
            // EXTRACT(year FROM a)
            rest = after.split_once(' ').map_or("", |(_, after)| after);
        } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) && !name.starts_with('"') {
            names_type = false;
        } else if !(names_type
            || names_field
            || called_or_qualifier
            || ["true", "false"].contains(&name))
        {
            columns.push(name);
        }
        names_field = false;
    }
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Length in bytes of the name at the beginning of `text`: quoted, or letters, digits, `_` and `$`. 0 where none is.
fn name_len(text: &str) -> usize {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.find('"').map_or(text.len(), |at| at + 2);
    }
    let begins = |c: char| c.is_alphabetic() || c == '_';
    if !text.starts_with(begins) {
        return 0;
    }
    text.find(|c: char| !(begins(c) || c.is_alphanumeric() || c == '$'))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_a_condition_are_the_same_however_it_is_printed() {
        let check = |printed: &[&str], expected: &[&str]| {
            for condition in printed {
                assert_eq!(columns(condition), expected, "{condition}");
            }
        };
        check(&["(n.a = r.b)", "(b = a)", "(a = b)"], &["a", "b"]);
        check(
            &["(x.bid = $1)", "(bid = ?)", "(pgbench.bid = ?::integer)"],
            &["bid"],
        );
        check(
            &[
                "(\"substring\"((c.phone)::text, ?, ?) = ANY (?::text[]))",
                "(SUBSTRING(c.phone FROM ? FOR ?) = ANY (?::text[]))",
            ],
            &["phone"],
        );
        check(
            &[
                "(date_part(?::text, (l.shipdate)::timestamp without time zone))",
                "(EXTRACT(year FROM l.shipdate))",
            ],
            &["shipdate"],
        );
        check(
            &[
                "(sum((ps.cost * (ps.qty)::numeric(10,2))) > $1)",
                "(sum((cost * qty)) > (InitPlan 1).col1)",
            ],
            &["cost", "qty"],
        );
        check(
            &[
                "a IS NOT NULL DESC NULLS LAST",
                "(a)::character varying(20)",
            ],
            &["a"],
        );
        check(&["(\"Weird x\".\"T\".\"Col a\" = true)"], &["\"Col a\""]);
        check(
            &[
                "(NOT (hashed SubPlan 1))",
                "(NOT (ANY (ps.suppkey = (hashed SubPlan 1).col1)))",
            ],
            &[],
        );
        check(&["(é = \"open"], &["\"open", "é"]);
    }

    fn scan(change: fn(&mut PlanNode)) -> PlanShape {
        let mut node = PlanNode {
            node_type: "Index Scan".to_owned(),
            relation_name: Some("orders".to_owned()),
            index_name: Some("orders_pkey".to_owned()),
            index_cond: Some("(id = ?)".to_owned()),
            ..PlanNode::default()
        };
        change(&mut node);
        of(&PlanNode {
            node_type: "Limit".to_owned(),
            plans: vec![node],
            ..PlanNode::default()
        })
    }

    #[test]
    fn what_makes_a_shape() {
        let shape = scan(|_| {});
        for change in [
            (|node| node.node_type = "Seq Scan".to_owned()) as fn(&mut PlanNode),
            |node| node.index_name = Some("orders_idx".to_owned()),
            |node| node.filter = node.index_cond.take(),
            |node| node.index_cond = Some("(day = ?)".to_owned()),
            |node| node.parallel_aware = Some(true),
            |node| node.plans = vec![PlanNode::default()],
        ] {
            assert_ne!(scan(change), shape);
        }
        for change in [
            (|node| node.actual_rows = Some(5.0)) as fn(&mut PlanNode),
            |node| node.index_cond = Some("(orders.id = $1)".to_owned()),
            |node| node.schema = Some("public".to_owned()),
            |node| node.parent_relationship = Some("Member".to_owned()),
            |node| node.parallel_aware = Some(false),
        ] {
            assert_eq!(scan(change), shape);
        }
    }
}

//! EXPLAIN's JSON to plan nodes.
//!
//! A redacted JSON object with EXPLAIN's keys, of any release from 13 to 18, comes in; a plan node with its children goes out. Numbers stay as printed: per loop where EXPLAIN prints them per loop. Keys that no field is for stay in the document only.

use super::{
    Error,
    value::{Json, Object},
};
use crate::model::plan::{PlanNode, PlanWorker};

/// The node that `object` describes, with all below it.
pub(super) fn node(object: &Object<'_>) -> Result<PlanNode, Error> {
    let mut node = PlanNode::default();
    fill(&mut node, object)?;
    Ok(node)
}

/// Fills in place: nodes are large, and passing them up through hundreds of levels would take megabytes of stack.
fn fill(node: &mut PlanNode, object: &Object<'_>) -> Result<(), Error> {
    for (key, value) in &object.0 {
        match value {
            Json::Number(number) => {
                if let Some(field) = number_field(node, key) {
                    *field = number.as_f64();
                }
            }
            Json::Text(text) if key == "Node Type" => node.node_type = text.clone().into_owned(),
            Json::Text(text) => {
                if let Some(field) = text_field(node, key) {
                    *field = Some(text.clone().into_owned());
                }
            }
            Json::Bool(aware) if key == "Parallel Aware" => node.parallel_aware = Some(*aware),
            Json::List(values) if key == "Plans" => {
                node.plans.resize_with(values.len(), PlanNode::default);
                for (child, value) in node.plans.iter_mut().zip(values) {
                    match value {
                        Json::Object(object) => fill(child, object)?,
                        _ => return Err(Error::Missing("Node Type")),
                    }
                }
            }
            Json::List(values) if key == "Workers" => {
                node.workers = values.iter().filter_map(worker).collect();
            }
            Json::List(values) => {
                if let Some(field) = list_field(node, key) {
                    field.extend(values.iter().filter_map(Json::as_str).map(str::to_owned));
                }
            }
            Json::Object(groups) if key == "Full-sort Groups" || key == "Pre-sorted Groups" => {
                incremental_sort(node, groups);
            }
            Json::Null | Json::Bool(_) | Json::Object(_) => {}
        }
    }
    if node.node_type.is_empty() {
        return Err(Error::Missing("Node Type"));
    }
    Ok(())
}

fn text_field<'a>(node: &'a mut PlanNode, key: &str) -> Option<&'a mut Option<String>> {
    Some(match key {
        "Parent Relationship" => &mut node.parent_relationship,
        "Subplan Name" => &mut node.subplan_name,
        "Strategy" => &mut node.strategy,
        "Partial Mode" => &mut node.partial_mode,
        "Operation" => &mut node.operation,
        "Join Type" => &mut node.join_type,
        "Schema" => &mut node.schema,
        "Relation Name" => &mut node.relation_name,
        "Alias" => &mut node.alias,
        "Index Name" => &mut node.index_name,
        "Scan Direction" => &mut node.scan_direction,
        "CTE Name" => &mut node.cte_name,
        "Function Name" => &mut node.function_name,
        "Index Cond" => &mut node.index_cond,
        "Recheck Cond" => &mut node.recheck_cond,
        "Filter" => &mut node.filter,
        "Join Filter" => &mut node.join_filter,
        "Hash Cond" => &mut node.hash_cond,
        "Merge Cond" => &mut node.merge_cond,
        "One-Time Filter" => &mut node.one_time_filter,
        "Sort Method" => &mut node.sort_method,
        "Sort Space Type" => &mut node.sort_space_type,
        _ => return None,
    })
}

fn list_field<'a>(node: &'a mut PlanNode, key: &str) -> Option<&'a mut Vec<String>> {
    Some(match key {
        "Sort Key" => &mut node.sort_key,
        "Presorted Key" => &mut node.presorted_key,
        "Group Key" => &mut node.group_key,
        _ => return None,
    })
}

fn number_field<'a>(node: &'a mut PlanNode, key: &str) -> Option<&'a mut Option<f64>> {
    Some(match key {
        "Startup Cost" => &mut node.startup_cost,
        "Total Cost" => &mut node.total_cost,
        "Plan Rows" => &mut node.plan_rows,
        "Plan Width" => &mut node.plan_width,
        "Actual Startup Time" => &mut node.actual_startup_time_ms,
        "Actual Total Time" => &mut node.actual_total_time_ms,
        "Actual Rows" => &mut node.actual_rows,
        "Actual Loops" => &mut node.actual_loops,
        "Rows Removed by Filter" => &mut node.rows_removed_by_filter,
        "Rows Removed by Join Filter" => &mut node.rows_removed_by_join_filter,
        "Rows Removed by Index Recheck" => &mut node.rows_removed_by_index_recheck,
        "Heap Fetches" => &mut node.heap_fetches,
        "Exact Heap Blocks" => &mut node.exact_heap_blocks,
        "Lossy Heap Blocks" => &mut node.lossy_heap_blocks,
        "Sort Space Used" => &mut node.sort_space_used_kb,
        "Hash Buckets" => &mut node.hash_buckets,
        "Hash Batches" => &mut node.hash_batches,
        "Original Hash Batches" => &mut node.original_hash_batches,
        "HashAgg Batches" => &mut node.hashagg_batches,
        "Planned Partitions" => &mut node.planned_partitions,
        "Peak Memory Usage" => &mut node.peak_memory_usage_kb,
        "Disk Usage" => &mut node.disk_usage_kb,
        "Workers Planned" => &mut node.workers_planned,
        "Workers Launched" => &mut node.workers_launched,
        "Shared Hit Blocks" => &mut node.shared_hit_blocks,
        "Shared Read Blocks" => &mut node.shared_read_blocks,
        "Temp Read Blocks" => &mut node.temp_read_blocks,
        "Temp Written Blocks" => &mut node.temp_written_blocks,
        _ => return None,
    })
}

fn worker(value: &Json<'_>) -> Option<PlanWorker> {
    let Json::Object(object) = value else {
        return None;
    };
    let number = |key| object.get(key).and_then(Json::as_f64);
    let text = |key| object.get(key).and_then(Json::as_str).map(str::to_owned);
    Some(PlanWorker {
        actual_total_time_ms: number("Actual Total Time"),
        actual_rows: number("Actual Rows"),
        actual_loops: number("Actual Loops"),
        sort_method: text("Sort Method"),
        sort_space_type: text("Sort Space Type"),
        sort_space_used_kb: number("Sort Space Used"),
        hashagg_batches: number("HashAgg Batches"),
        peak_memory_usage_kb: number("Peak Memory Usage"),
        disk_usage_kb: number("Disk Usage"),
    })
}

/// An Incremental Sort tells of two kinds of groups: `{ "Sort Methods Used": […], "Sort Space Memory": {…}, "Sort Space Disk": {…} }`.
/// The worst of them is told as of any other sort: its peak on disk, or in memory where none went to disk.
fn incremental_sort(node: &mut PlanNode, groups: &Object<'_>) {
    let peak = |space| match groups.get(space) {
        Some(Json::Object(space)) => space.get("Peak Sort Space Used").and_then(Json::as_f64),
        _ => None,
    };
    let (space_type, peak) = match peak("Sort Space Disk") {
        Some(on_disk) => ("Disk", Some(on_disk)),
        None => ("Memory", peak("Sort Space Memory")),
    };
    let worse = match node.sort_space_type.as_deref() {
        Some(known) if known == space_type => node.sort_space_used_kb < peak,
        Some(_) => space_type == "Disk",
        None => peak.is_some(),
    };
    if worse {
        node.sort_space_type = Some(space_type.to_owned());
        node.sort_space_used_kb = peak;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn read(json: &str) -> Result<PlanNode, Error> {
        match serde_json::from_str(json).unwrap() {
            Json::Object(object) => node(&object),
            other => panic!("{other:?} is no object"),
        }
    }

    fn check(json: &str, expected: &PlanNode) {
        assert_eq!(&read(json).unwrap(), expected, "{json}");
    }

    fn node_of(node_type: &str) -> PlanNode {
        PlanNode {
            node_type: node_type.to_owned(),
            ..PlanNode::default()
        }
    }

    #[test]
    fn numbers_are_integers_up_to_17_and_fractions_from_18_on() {
        for json in [
            r#"{"Node Type": "Result", "Actual Rows": 1, "Actual Loops": 3}"#,
            r#"{"Node Type": "Result", "Actual Rows": 1.00, "Actual Loops": 3, "Disabled": false, "New": {"a": []}}"#,
        ] {
            let expected = PlanNode {
                actual_rows: Some(1.0),
                actual_loops: Some(3.0),
                ..node_of("Result")
            };
            check(json, &expected);
        }
    }

    #[test]
    fn children_keep_their_order() {
        check(
            r#"{"Node Type": "Nested Loop", "Plans": [{"Node Type": "A", "Plans": [{"Node Type": "B"}]}, {"Node Type": "C"}]}"#,
            &PlanNode {
                plans: vec![
                    PlanNode {
                        plans: vec![node_of("B")],
                        ..node_of("A")
                    },
                    node_of("C"),
                ],
                ..node_of("Nested Loop")
            },
        );
    }

    #[test]
    fn a_worker_spills_on_its_own() {
        check(
            r#"{"Node Type": "Sort", "Sort Key": ["a", "b DESC"], "Sort Method": "quicksort", "Sort Space Used": 25, "Sort Space Type": "Memory",
                "Workers": [{"Worker Number": 0, "Actual Rows": 7, "Sort Method": "external merge", "Sort Space Used": 4096, "Sort Space Type": "Disk"}]}"#,
            &PlanNode {
                sort_key: vec!["a".to_owned(), "b DESC".to_owned()],
                sort_method: Some("quicksort".to_owned()),
                sort_space_used_kb: Some(25.0),
                sort_space_type: Some("Memory".to_owned()),
                workers: vec![PlanWorker {
                    actual_rows: Some(7.0),
                    sort_method: Some("external merge".to_owned()),
                    sort_space_used_kb: Some(4096.0),
                    sort_space_type: Some("Disk".to_owned()),
                    ..PlanWorker::default()
                }],
                ..node_of("Sort")
            },
        );
    }

    #[test]
    fn an_incremental_sort_is_as_bad_as_its_worst_groups() {
        let memory = r#"{"Group Count": 2, "Sort Space Memory": {"Peak Sort Space Used": 30}}"#;
        let disk = r#"{"Sort Space Memory": {"Peak Sort Space Used": 90}, "Sort Space Disk": {"Average Sort Space Used": 5, "Peak Sort Space Used": 10}}"#;
        for (full, presorted, space_type, space_used_kb) in [
            (memory, disk, "Disk", 10.0),
            (disk, memory, "Disk", 10.0),
            (memory, memory, "Memory", 30.0),
        ] {
            check(
                &format!(
                    r#"{{"Node Type": "Incremental Sort", "Full-sort Groups": {full}, "Pre-sorted Groups": {presorted}}}"#
                ),
                &PlanNode {
                    sort_space_type: Some(space_type.to_owned()),
                    sort_space_used_kb: Some(space_used_kb),
                    ..node_of("Incremental Sort")
                },
            );
        }
    }

    #[test]
    fn a_node_without_a_type_is_none() {
        for json in [
            r#"{"Plan Rows": 1}"#,
            r#"{"Node Type": 5}"#,
            r#"{"Node Type": "A", "Plans": [1]}"#,
        ] {
            assert!(
                matches!(read(json), Err(Error::Missing("Node Type"))),
                "{json}"
            );
        }
    }
}

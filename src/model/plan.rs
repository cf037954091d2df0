//! A captured plan: what auto_explain logged of one executed statement, redacted.
//!
//! Field names are those of EXPLAIN. What wasn't logged (log_analyze, log_timing, log_buffers off) is `None`, never zero.

/// The plan without numbers and literals, hashed: the same for two executions that ran the same way, on every server release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanShape(pub i64);

/// auto_explain.log_format of a captured plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanFormat {
    Json,
    Text,
    Xml,
    Yaml,
}

impl PlanFormat {
    pub const ALL: [Self; 4] = [Self::Json, Self::Text, Self::Xml, Self::Yaml];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Xml => "xml",
            Self::Yaml => "yaml",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

/// One captured plan. Literals are replaced in every condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub shape: PlanShape,
    pub root: PlanNode,
    /// The server's own query identifier of this statement (PostgreSQL 16 and later with log_verbose).
    pub query_identifier: Option<i64>,
    /// Changed planner settings (auto_explain.log_settings), in the order printed; `None` where they weren't logged.
    pub settings: Option<Vec<(String, String)>>,
    /// EXPLAIN-shaped JSON with keys in PostgreSQL's order, redacted, without query text and parameters.
    pub document: String,
}

/// One node of a plan with its children in the order printed.
///
/// Rows, times and "rows removed" are averages per loop, as PostgreSQL prints them; a total is the value times `actual_loops`.
/// Costs are in planner units, times in milliseconds, sizes in the unit of their name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlanNode {
    pub node_type: String,
    /// Outer, Inner, Member, InitPlan, SubPlan, Subquery; `None` on the root.
    pub parent_relationship: Option<String>,
    pub subplan_name: Option<String>,
    pub strategy: Option<String>,
    pub partial_mode: Option<String>,
    pub operation: Option<String>,
    pub join_type: Option<String>,
    pub schema: Option<String>,
    pub relation_name: Option<String>,
    pub alias: Option<String>,
    pub index_name: Option<String>,
    pub scan_direction: Option<String>,
    /// The node shares its work with parallel workers; its loops count them.
    pub parallel_aware: Option<bool>,
    pub cte_name: Option<String>,
    pub function_name: Option<String>,
    pub index_cond: Option<String>,
    pub recheck_cond: Option<String>,
    pub filter: Option<String>,
    pub join_filter: Option<String>,
    pub hash_cond: Option<String>,
    pub merge_cond: Option<String>,
    pub one_time_filter: Option<String>,
    pub sort_key: Vec<String>,
    pub presorted_key: Vec<String>,
    pub group_key: Vec<String>,
    pub startup_cost: Option<f64>,
    pub total_cost: Option<f64>,
    pub plan_rows: Option<f64>,
    pub plan_width: Option<f64>,
    pub actual_startup_time_ms: Option<f64>,
    pub actual_total_time_ms: Option<f64>,
    pub actual_rows: Option<f64>,
    pub actual_loops: Option<f64>,
    pub rows_removed_by_filter: Option<f64>,
    pub rows_removed_by_join_filter: Option<f64>,
    pub rows_removed_by_index_recheck: Option<f64>,
    pub heap_fetches: Option<f64>,
    pub exact_heap_blocks: Option<f64>,
    pub lossy_heap_blocks: Option<f64>,
    pub sort_method: Option<String>,
    /// `Memory` or `Disk`. An incremental sort sorts in groups: its own is `Disk` as soon as one of them was, with the peak of those.
    pub sort_space_type: Option<String>,
    pub sort_space_used_kb: Option<f64>,
    pub hash_buckets: Option<f64>,
    pub hash_batches: Option<f64>,
    pub original_hash_batches: Option<f64>,
    pub hashagg_batches: Option<f64>,
    /// Partitions that the planner expected a hash aggregate to spill to.
    pub planned_partitions: Option<f64>,
    pub peak_memory_usage_kb: Option<f64>,
    pub disk_usage_kb: Option<f64>,
    pub workers_planned: Option<f64>,
    pub workers_launched: Option<f64>,
    pub shared_hit_blocks: Option<f64>,
    pub shared_read_blocks: Option<f64>,
    pub temp_read_blocks: Option<f64>,
    pub temp_written_blocks: Option<f64>,
    /// What each parallel worker did, where it was printed. Sorts and hash aggregates of workers spill on their own.
    pub workers: Vec<PlanWorker>,
    pub plans: Vec<PlanNode>,
}

/// The part of one parallel worker in a node, with EXPLAIN's names and the units of [`PlanNode`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlanWorker {
    pub actual_total_time_ms: Option<f64>,
    pub actual_rows: Option<f64>,
    pub actual_loops: Option<f64>,
    pub sort_method: Option<String>,
    pub sort_space_type: Option<String>,
    pub sort_space_used_kb: Option<f64>,
    pub hashagg_batches: Option<f64>,
    pub peak_memory_usage_kb: Option<f64>,
    pub disk_usage_kb: Option<f64>,
}

impl PlanNode {
    /// Every node of the tree below and including this one, parents before children, each with its path: child numbers from the root, `0.1.0`.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a Self)) {
        let mut stack = vec![("0".to_owned(), self)];
        while let Some((path, node)) = stack.pop() {
            visit(&path, node);
            for (number, child) in node.plans.iter().enumerate().rev() {
                stack.push((format!("{path}.{number}"), child));
            }
        }
    }
}

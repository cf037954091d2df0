//! What text leaves out because it is zero, put back where the plan shows that it was known.
//!
//! Other formats print a zero; what wasn't logged is in no format. A rule that counts on a number must not take one for the other.

use super::usage::BUFFERS;
use crate::plan::value::{Json, Object};

/// Fills the plan below `root`.
pub(super) fn fill(root: &mut Object<'_>) {
    let logged = Logged {
        buffers: any(root, &|node| node.get(BUFFERS[0]).is_some()),
        timing: root.get("Actual Total Time").is_some(),
    };
    logged.fill(root);
}

/// What auto_explain was set to log of every node.
struct Logged {
    buffers: bool,
    timing: bool,
}

impl Logged {
    fn fill(&self, node: &mut Object<'_>) {
        let node_type = node.get("Node Type").and_then(Json::as_str).unwrap_or("");
        let bitmap_scan = node_type == "Bitmap Heap Scan";
        let index_scan = matches!(node_type, "Index Scan" | "Index Only Scan");
        let function_scan = node_type == "Function Scan";
        let hashed = matches!(
            node.get("Strategy").and_then(Json::as_str),
            Some("Hashed" | "Mixed")
        ) && node_type == "Aggregate";

        // Only log_verbose prints the call, and then the schema of a function: without one, the name is the alias.
        if function_scan && node.get("Function Call").is_some() && node.get("Schema").is_none() {
            node.0.retain(|(key, _)| key != "Function Name");
        }
        let executed = node.get("Actual Loops").is_some();
        let recheck = "Rows Removed by Index Recheck";
        // Where it holds and the node has the first key but not the last: zero, behind the first of those between that the node has.
        let rows: [(bool, &str, &[&str], &'static str); 10] = [
            (
                self.timing,
                "Actual Loops",
                &["Plan Width"],
                "Actual Startup Time",
            ),
            (
                self.timing,
                "Actual Loops",
                &["Actual Startup Time"],
                "Actual Total Time",
            ),
            (
                hashed,
                "Strategy",
                &["Filter", "Group Key", "Grouping Sets"],
                "Planned Partitions",
            ),
            (
                executed,
                "Filter",
                &["Disk Usage", "Planned Partitions", "Filter"],
                "Rows Removed by Filter",
            ),
            (
                executed,
                "Join Filter",
                &["Join Filter"],
                "Rows Removed by Join Filter",
            ),
            (
                executed,
                "Conflict Filter",
                &["Conflict Filter"],
                "Rows Removed by Conflict Filter",
            ),
            (
                executed && index_scan,
                "Index Cond",
                &["Index Cond"],
                recheck,
            ),
            (
                executed && bitmap_scan,
                "Recheck Cond",
                &["Recheck Cond"],
                recheck,
            ),
            (
                executed && bitmap_scan,
                "Node Type",
                &["Rows Removed by Filter", recheck],
                "Exact Heap Blocks",
            ),
            (
                executed && bitmap_scan,
                "Exact Heap Blocks",
                &["Exact Heap Blocks"],
                "Lossy Heap Blocks",
            ),
        ];
        for (holds, has, behind, key) in rows {
            if holds && node.get(has).is_some() && node.get(key).is_none() {
                insert_zero(node, behind, key);
            }
        }
        if self.buffers && node.get(BUFFERS[0]).is_none() {
            let at = node
                .0
                .iter()
                .position(|(key, _)| {
                    ["WAL Records", "Workers", "Subplans Removed", "Plans"].contains(&&**key)
                })
                .unwrap_or(node.0.len());
            let zeros = BUFFERS.map(|key| (key.into(), Json::scalar("0")));
            node.0.splice(at..at, zeros);
        }
        for child in children(node) {
            self.fill(child);
        }
    }
}

/// Inserts behind the first of `behind` that the node has.
fn insert_zero(node: &mut Object<'_>, behind: &[&str], key: &'static str) {
    let at = behind
        .iter()
        .find_map(|before| node.0.iter().position(|(known, _)| known == before));
    let at = at.map_or(node.0.len(), |at| at + 1);
    node.0.insert(at, (key.into(), Json::scalar("0")));
}

fn any(node: &mut Object<'_>, is: &dyn Fn(&Object<'_>) -> bool) -> bool {
    is(node) || children(node).any(|child| any(child, is))
}

fn children<'n, 'a>(node: &'n mut Object<'a>) -> impl Iterator<Item = &'n mut Object<'a>> {
    let plans = match node.0.last_mut() {
        Some((key, Json::List(plans))) if key == "Plans" => plans.as_mut_slice(),
        _ => &mut [],
    };
    plans.iter_mut().filter_map(|plan| match plan {
        Json::Object(child) => Some(child),
        _ => None,
    })
}

//! A case and the good answer to it, for the tests of this stage.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::{
    finding::{Finding, Rule, Severity},
    position::Server,
    query::Query,
};

use super::{Case, CasePlan};

/// A sequential scan of `orders` below a sort that spills, and a row misestimate.
pub(super) fn case() -> Case {
    let server = Server::named("shop");
    let finding = |rule, severity, path: &str| Finding {
        rule,
        severity,
        plan_ordinal: 0,
        node_path: Some(path.to_owned()),
        message: "Seq Scan on orders reads 1,200,000 rows".to_owned(),
        not_decidable: None,
    };
    let document = json!({
        "Plan": {
            "Node Type": "Sort",
            "Sort Key": ["created_at DESC"],
            "Sort Space Type": "Disk",
            "Sort Space Used": 48312,
            "Actual Rows": 12,
            "Actual Loops": 1,
            "Output": ["id", "email", "total"],
            "Plans": [{
                "Node Type": "Seq Scan",
                "Parent Relationship": "Outer",
                "Parallel Aware": false,
                "Relation Name": "orders",
                "Alias": "orders",
                "Filter": "(email = ?)",
                "Output": ["id", "email", "total"],
                "Rows Removed by Filter": 1199988,
                "Remote SQL": "canary-remote"
            }]
        },
        "Settings": {"work_mem": "64kB", "search_path": "canary-path"}
    });
    Case {
        query: Query::new(
            server.id,
            "shop",
            "select * from orders where email = $1 order by created_at desc".to_owned(),
        ),
        complete: true,
        started_at: Timestamp::UNIX_EPOCH,
        duration_ms: Some(1234.5),
        parse_ms: None,
        bind_ms: None,
        rows: Some(12.0),
        plans: vec![CasePlan {
            ordinal: 0,
            duration_ms: 1230.0,
            document: document.to_string(),
        }],
        findings: vec![
            finding(Rule::SeqScanFilter, Severity::Critical, "0.0"),
            finding(Rule::SortSpill, Severity::Notice, "0"),
            finding(Rule::RowMisestimate, Severity::Info, "0.0"),
        ],
    }
}

/// The answer that gives an index on what the scan filters by.
pub(super) fn answer() -> Value {
    json!({
        "findings": ["f1"],
        "kind": "create_index",
        "schema": null,
        "table": "orders",
        "columns": [{"name": "email", "order": "asc"}],
        "include": [],
        "setting": null,
        "summary": "An index on email finds the 12 rows",
        "explanation": "The scan reads all rows and keeps 12.",
        "disproof": "The scan is still sequential with the index in place.",
        "rewrite": null,
        "self_confidence": "high"
    })
}

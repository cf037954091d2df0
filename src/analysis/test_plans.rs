//! Plans for the tests of the rules: small trees with the fields that a test is about.

use jiff::Timestamp;

use crate::model::{
    execution::{CapturedPlan, Execution, ExecutionId, ExecutionKind},
    finding::Severity,
    plan::{Plan, PlanFormat, PlanNode, PlanShape},
    position::{GenerationId, Position, Server},
    query::Query,
};

use super::{Config, measure::MeasuredPlan, rules::Hit};

/// A node that ran once.
pub(super) fn node(node_type: &str) -> PlanNode {
    PlanNode {
        node_type: node_type.to_owned(),
        actual_loops: Some(1.0),
        ..PlanNode::default()
    }
}

/// A scan of `relation` with a filter.
pub(super) fn scan(node_type: &str, relation: &str, filter: &str) -> PlanNode {
    PlanNode {
        relation_name: Some(relation.to_owned()),
        alias: Some(relation.to_owned()),
        filter: Some(filter.to_owned()),
        ..node(node_type)
    }
}

pub(super) fn plan(root: PlanNode) -> Plan {
    Plan {
        shape: PlanShape(1),
        root,
        query_identifier: None,
        settings: None,
        document: String::new(),
    }
}

/// The first captured plan of an execution; the executor took 900 ms.
pub(super) fn captured(root: PlanNode) -> CapturedPlan {
    CapturedPlan {
        execution_id: ExecutionId(7),
        started_at: Timestamp::UNIX_EPOCH,
        ordinal: 0,
        duration_ms: 900.0,
        format: PlanFormat::Json,
        plan: plan(root),
    }
}

pub(super) fn execution(sql: &str, duration_ms: Option<f64>) -> Execution {
    let server = Server::named("shop");
    Execution {
        id: ExecutionId(7),
        server_id: server.id,
        query: Query::new(server.id, "shop", sql.to_owned()),
        started_at: Timestamp::UNIX_EPOCH,
        position: Position {
            generation: GenerationId(1),
            offset_bytes: 0,
        },
        kind: ExecutionKind::Statement,
        user_name: None,
        application_name: None,
        process_id: None,
        session_id: None,
        duration_ms,
        duration_source: None,
        parse_ms: None,
        bind_ms: None,
        rows: None,
        sql_state: None,
        failed: false,
        parent_id: None,
        call_site: None,
        nested_count: 0,
        tags: Vec::new(),
        logged: None,
        server_query_id: None,
        plan_count: 0,
        open: false,
        time_assumed: false,
        weight: None,
    }
}

/// Node path, severity and message of everything that a rule finds in a plan whose execution took 900 ms.
pub(super) fn check_rule(
    rule: fn(&MeasuredPlan<'_>, &Config) -> Vec<Hit>,
    root: PlanNode,
    expected: &[(&str, Severity, &str)],
) {
    let plan = plan(root);
    let hits = rule(&MeasuredPlan::of(&plan, 900.0), &Config::default());
    let got: Vec<_> = hits
        .iter()
        .map(|hit| (hit.node_path.as_str(), hit.severity, hit.message.as_str()))
        .collect();
    assert_eq!(got, expected);
}

//! `Plan`: one captured plan of one execution.

use juniper::{FieldResult, GraphQLEnum, ID, graphql_object};

use super::{
    error::{Code, field_error},
    loaded::Loaded,
};
use crate::{
    model::{plan, public_id::PublicId},
    store::{ExecutionKey, StoredPlan},
};

/// Reads the argument that names a plan.
pub(super) fn plan_key(id: &ID) -> FieldResult<(ExecutionKey, u32)> {
    match PublicId::parse(id) {
        Some(PublicId::Plan(server_id, started_at, id, ordinal)) => Ok((
            ExecutionKey {
                server_id,
                started_at,
                id,
            },
            ordinal,
        )),
        _ => Err(field_error(
            Code::BadUserInput,
            "that is not the id of a plan",
        )),
    }
}

/// `auto_explain.log_format` that a plan was captured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
pub(super) enum PlanFormat {
    Json,
    Text,
    Xml,
    Yaml,
}

pub(super) struct PlanNode {
    pub execution: ExecutionKey,
    pub plan: StoredPlan,
}

/// One captured plan of one execution, without literals.
#[graphql_object(name = "Plan", context = Loaded)]
impl PlanNode {
    fn id(&self) -> ID {
        let ExecutionKey {
            server_id,
            started_at,
            id,
        } = self.execution;
        PublicId::Plan(server_id, started_at, id, self.plan.ordinal)
            .to_string()
            .into()
    }

    fn execution_id(&self) -> ID {
        let ExecutionKey {
            server_id,
            started_at,
            id,
        } = self.execution;
        PublicId::Execution(server_id, started_at, id)
            .to_string()
            .into()
    }

    /// From 0, in the order logged: a string of several statements has a plan for each.
    fn ordinal(&self) -> i32 {
        i32::try_from(self.plan.ordinal).unwrap_or(i32::MAX)
    }

    /// The same for two plans that differ in numbers and literals only.
    fn shape(&self) -> String {
        format!("{:016x}", self.plan.shape.0)
    }

    /// Executor time.
    fn duration_ms(&self) -> f64 {
        self.plan.duration_ms
    }

    fn format(&self) -> PlanFormat {
        match self.plan.format {
            plan::PlanFormat::Json => PlanFormat::Json,
            plan::PlanFormat::Text => PlanFormat::Text,
            plan::PlanFormat::Xml => PlanFormat::Xml,
            plan::PlanFormat::Yaml => PlanFormat::Yaml,
        }
    }

    /// The plan as `EXPLAIN (FORMAT JSON)` writes it, as text: what plan viewers take.
    fn document(&self) -> &str {
        &self.plan.document
    }
}

//! Executions with their plans, findings, relatives, incidents and query.
//!
//! Executions come in, nodes with what is selected of them go out. Plans and findings are those of an analysis too.

use std::sync::Arc;

use super::super::{
    analysis::FindingNode, execution::ExecutionNode, incident::IncidentNode, pagination::Nested,
    plan::PlanNode, planner::Selected,
};
use super::{ByExecution, Loader, incident_lists};
use crate::{
    model::execution::Execution,
    store::{Error, ExecutionKey},
};

impl Loader<'_, '_> {
    pub(super) fn execution_nodes(
        &mut self,
        executions: Vec<Execution>,
        selected: &Selected,
    ) -> Result<Vec<ExecutionNode>, Error> {
        let keys: Vec<ExecutionKey> = executions.iter().map(ExecutionKey::of).collect();
        let mut plans = self.plans_of(&keys, selected)?;
        let mut findings = self.findings_of(&keys, selected)?;
        let mut parents = self.parents_of(&executions, selected)?;
        let mut nested = self.nested_of(&keys, selected)?;
        let mut incidents = match selected.get("incidents") {
            None => None,
            Some(wanted) => {
                let limit = Nested::<IncidentNode>::limit(wanted.limit);
                Some(incident_lists(
                    self.reader.incidents_of(&keys, limit)?,
                    limit,
                ))
            }
        };
        let query_of = |execution: &Execution| (execution.server_id, execution.query.id);
        let queries = self.queries_behind(executions.iter().map(query_of), selected)?;
        Ok(executions
            .into_iter()
            .map(|execution| {
                let key = ExecutionKey::of(&execution);
                ExecutionNode {
                    query: queries.get(&query_of(&execution)).map(Arc::clone),
                    plans: taken(&mut plans, &key),
                    findings: taken(&mut findings, &key),
                    parent: parents.as_mut().map(|parents| parents.remove(&key)),
                    nested_executions: nested.as_mut().map(|(limit, lists)| Nested {
                        limit: *limit,
                        items: lists.remove(&key).unwrap_or_default(),
                    }),
                    incidents: incidents.as_mut().and_then(|lists| lists.remove(&key)),
                    execution,
                }
            })
            .collect())
    }

    pub(super) fn plans_of(
        &mut self,
        keys: &[ExecutionKey],
        selected: &Selected,
    ) -> Result<Option<ByExecution<PlanNode>>, Error> {
        if selected.get("plans").is_none() {
            return Ok(None);
        }
        let found = self.reader.plans_of(keys)?.into_iter();
        let nodes = found.map(|(execution, plans)| {
            let node = |plan| PlanNode { execution, plan };
            (execution, plans.into_iter().map(node).collect())
        });
        Ok(Some(nodes.collect()))
    }

    pub(super) fn findings_of(
        &mut self,
        keys: &[ExecutionKey],
        selected: &Selected,
    ) -> Result<Option<ByExecution<FindingNode>>, Error> {
        if selected.get("findings").is_none() {
            return Ok(None);
        }
        let found = self.reader.findings_of(keys)?.into_iter();
        let nodes = found.map(|(execution, findings)| {
            (execution, findings.into_iter().map(FindingNode).collect())
        });
        Ok(Some(nodes.collect()))
    }
}

/// The rows of one execution, where such rows were loaded at all.
pub(super) fn taken<T>(loaded: &mut Option<ByExecution<T>>, key: &ExecutionKey) -> Option<Vec<T>> {
    loaded
        .as_mut()
        .map(|lists| lists.remove(key).unwrap_or_default())
}

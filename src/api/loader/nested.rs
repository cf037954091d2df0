//! Loads what is above and below executions: the statement that ran a nested one, and what a statement ran.
//!
//! Executions and what the document asks of their relatives come in, nodes go out: one SQL statement for each of the two, however many there are.

use std::{collections::HashMap, sync::Arc};

use super::super::{execution::ExecutionNode, pagination::Nested, planner::Selected};
use super::{ByExecution, Loader};
use crate::{
    model::execution::Execution,
    store::{Error, ExecutionKey},
};

impl Loader<'_, '_> {
    /// The parents of nested executions, by the key of the nested one.
    pub(super) fn parents_of(
        &mut self,
        executions: &[Execution],
        selected: &Selected,
    ) -> Result<Option<HashMap<ExecutionKey, Arc<ExecutionNode>>>, Error> {
        let Some(wanted) = selected.get("parent") else {
            return Ok(None);
        };
        let parent_key = |nested: &Execution| {
            let id = nested.parent_id?;
            let key = ExecutionKey::of(nested);
            Some(ExecutionKey { id, ..key })
        };
        let keys: Vec<ExecutionKey> = executions.iter().filter_map(parent_key).collect();
        let found = self.reader.parents_of(&keys)?;
        let distinct: HashMap<ExecutionKey, Execution> = found
            .values()
            .map(|parent| (ExecutionKey::of(parent), parent.clone()))
            .collect();
        let nodes = self.execution_nodes(distinct.into_values().collect(), &wanted.selected)?;
        let nodes: HashMap<ExecutionKey, Arc<ExecutionNode>> = nodes
            .into_iter()
            .map(|node| (ExecutionKey::of(&node.execution), Arc::new(node)))
            .collect();
        let parent_of = |nested: &Execution| {
            let parent = found.get(&parent_key(nested)?)?;
            let node = nodes.get(&ExecutionKey::of(parent))?;
            Some((ExecutionKey::of(nested), Arc::clone(node)))
        };
        Ok(Some(executions.iter().filter_map(parent_of).collect()))
    }

    /// The nested executions of each, and how many were asked for.
    pub(super) fn nested_of(
        &mut self,
        keys: &[ExecutionKey],
        selected: &Selected,
    ) -> Result<Option<(u32, ByExecution<ExecutionNode>)>, Error> {
        let Some(wanted) = selected.get("nestedExecutions") else {
            return Ok(None);
        };
        let limit = Nested::<ExecutionNode>::limit(wanted.limit);
        let mut found = self.reader.nested_of(keys, limit)?;
        let mut owners = Vec::new();
        let mut executions = Vec::new();
        for key in keys {
            for nested in found.remove(key).unwrap_or_default() {
                owners.push(*key);
                executions.push(nested);
            }
        }
        let nodes = self.execution_nodes(executions, &wanted.selected)?;
        let mut lists = ByExecution::new();
        for (owner, node) in owners.into_iter().zip(nodes) {
            lists.entry(owner).or_insert_with(Vec::new).push(node);
        }
        Ok(Some((limit, lists)))
    }
}

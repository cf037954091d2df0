//! Queries with their executions, analyses, recommendations, incidents and history.
//!
//! Rows of a page, or the keys of queries that something else refers to, come in; nodes go out.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::super::{
    analysis::AnalysisNode,
    execution::ExecutionNode,
    incident::IncidentNode,
    pagination::{Cut, Lists, Nested},
    planner::{Selected, Wanted},
    query::{QueryList, QueryNode},
    recommendation::RecommendationNode,
    server::ServerNode,
};
use super::{Loader, incident_lists};
use crate::{
    model::position::ServerId,
    store::{Error, QueryKey, QueryRow},
};

impl Loader<'_, '_> {
    pub(super) fn query_page(&mut self, list: &QueryList) -> Result<Cut<QueryRow>, Error> {
        Ok(Cut::new(self.reader.queries(&list.page())?, list.rows))
    }

    pub(super) fn query_nodes(
        &mut self,
        rows: Vec<QueryRow>,
        selected: &Selected,
    ) -> Result<Vec<QueryNode>, Error> {
        let keys: Vec<QueryKey> = rows.iter().map(key_of).collect();
        let servers: HashMap<ServerId, ServerNode> = match selected.get("server") {
            None => HashMap::new(),
            Some(_) => self
                .servers()?
                .iter()
                .map(|node| (node.0.server.id, node.clone()))
                .collect(),
        };
        let mut executions = match selected.get("executions") {
            None => None,
            Some(wanted) => Some(self.executions_of(&keys, wanted)?),
        };
        let mut analyses = match selected.get("analyses") {
            None => None,
            Some(wanted) => Some(self.analyses_of(&keys, wanted)?),
        };
        let mut recommendations = match selected.get("recommendations") {
            None => None,
            Some(wanted) => Some(self.recommendations_of(&keys, wanted)?),
        };
        let mut incidents = match selected.get("incidents") {
            None => None,
            Some(wanted) => Some(self.incidents_of_queries(&keys, wanted)?),
        };
        let mut percentiles = match selected.get("percentiles") {
            None => None,
            Some(wanted) => Some(self.percentiles_of(&keys, wanted)?),
        };
        let mut history = match selected.get("history") {
            None => None,
            Some(wanted) => Some(self.history_of(&keys, wanted)?),
        };
        let mut users = match selected.get("users") {
            None => None,
            Some(wanted) => Some(self.users_of(&keys, wanted)?),
        };
        Ok(rows
            .into_iter()
            .map(|row| {
                let key = key_of(&row);
                QueryNode {
                    server: servers.get(&key.0).cloned(),
                    executions: executions.as_mut().map(|lists| lists.take(key)),
                    analyses: analyses.as_mut().map(|lists| lists.take(key)),
                    recommendations: recommendations.as_mut().map(|lists| lists.take(key)),
                    incidents: incidents.as_mut().and_then(|lists| lists.remove(&key)),
                    percentiles: percentiles.as_mut().and_then(|all| all.remove(&key)),
                    history: history.as_mut().and_then(|all| all.remove(&key)),
                    users: users.as_mut().and_then(|all| all.remove(&key)),
                    row,
                }
            })
            .collect())
    }

    fn executions_of(
        &mut self,
        keys: &[QueryKey],
        wanted: &Wanted,
    ) -> Result<Lists<ExecutionNode>, Error> {
        let limit = Nested::<ExecutionNode>::limit(wanted.limit);
        let found = self.reader.executions_of(keys, limit)?;
        let nodes = self.execution_nodes(flat(keys, found), &wanted.selected)?;
        Ok(Lists::new(limit, nodes, |node| {
            (node.execution.server_id, node.execution.query.id)
        }))
    }

    fn analyses_of(
        &mut self,
        keys: &[QueryKey],
        wanted: &Wanted,
    ) -> Result<Lists<AnalysisNode>, Error> {
        let limit = Nested::<AnalysisNode>::limit(wanted.limit);
        let found = self.reader.analyses_of(keys, limit)?;
        let nodes = self.analysis_nodes(flat(keys, found), &wanted.selected)?;
        Ok(Lists::new(limit, nodes, |node| {
            (node.analysis.server_id, node.analysis.query_id)
        }))
    }

    fn recommendations_of(
        &mut self,
        keys: &[QueryKey],
        wanted: &Wanted,
    ) -> Result<Lists<RecommendationNode>, Error> {
        let limit = Nested::<RecommendationNode>::limit(wanted.limit);
        let found = self.reader.recommendations_of(keys, limit)?;
        let nodes = self.recommendation_nodes(flat(keys, found), &wanted.selected)?;
        Ok(Lists::new(limit, nodes, |node| {
            (node.recommendation.server_id, node.recommendation.query_id)
        }))
    }

    fn incidents_of_queries(
        &mut self,
        keys: &[QueryKey],
        wanted: &Wanted,
    ) -> Result<HashMap<QueryKey, Nested<IncidentNode>>, Error> {
        let limit = Nested::<IncidentNode>::limit(wanted.limit);
        let found = self.reader.incidents_of_queries(keys, limit)?;
        Ok(incident_lists(found, limit))
    }

    /// The queries that rows refer to with their field `query`; none where it isn't selected.
    pub(super) fn queries_behind(
        &mut self,
        keys: impl Iterator<Item = QueryKey>,
        selected: &Selected,
    ) -> Result<HashMap<QueryKey, Arc<QueryNode>>, Error> {
        let Some(wanted) = selected.get("query") else {
            return Ok(HashMap::new());
        };
        let distinct: HashSet<QueryKey> = keys.collect();
        let rows = self
            .reader
            .query_rows(&distinct.into_iter().collect::<Vec<_>>())?;
        let nodes = self.query_nodes(rows, &wanted.selected)?;
        Ok(nodes
            .into_iter()
            .map(|node| (key_of(&node.row), Arc::new(node)))
            .collect())
    }
}

fn key_of(row: &QueryRow) -> QueryKey {
    (row.query.server_id, row.query.id)
}

/// The lists of all keys one after the other.
fn flat<T>(keys: &[QueryKey], mut lists: HashMap<QueryKey, Vec<T>>) -> Vec<T> {
    keys.iter()
        .flat_map(|key| lists.remove(key).unwrap_or_default())
        .collect()
}

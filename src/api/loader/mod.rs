//! Loads everything that a plan asks for, from one snapshot: one SQL statement for each kind of thing at each place in the document, however
//! many rows there are and however many servers they come from.
//!
//! A request of the plan comes in, its answer goes out. The nodes of each kind, with what is selected below them, are made in the files here.

mod analysis;
mod execution;
mod history;
mod nested;
mod query;
mod recommendation;
mod summary;

use std::{collections::HashMap, hash::Hash};

use super::{
    execution::cursor,
    incident::IncidentNode,
    ingest_health::IngestHealth,
    loaded::{Answer, Loaded},
    pagination::{Cut, Nested, page},
    plan::PlanNode,
    planner::{Plan, Selected},
    recommendation::RecommendationList,
    request::Request,
    server::ServerNode,
};
use crate::{
    digest,
    model::{accounting::Accounting, incident::Incident},
    store::{AdviceCounts, Error, ExecutionKey, Reader},
};

/// Loads what the plan asks for.
pub(super) fn load(
    reader: &mut Reader<'_>,
    plan: &Plan,
    summary: &digest::Config,
) -> Result<Loaded, Error> {
    let mut loader = Loader {
        reader,
        servers: None,
        summary,
    };
    let mut loaded = Loaded::default();
    for (request, selected) in &plan.requests {
        let answer = loader.answer(request, selected)?;
        loaded.answers.push((request.clone(), answer));
    }
    Ok(loaded)
}

/// Reads what answers one document.
struct Loader<'r, 'c> {
    reader: &'r mut Reader<'c>,
    /// Loaded once for a document, when something needs them.
    servers: Option<Vec<ServerNode>>,
    summary: &'r digest::Config,
}

impl Loader<'_, '_> {
    fn answer(&mut self, request: &Request, selected: &Selected) -> Result<Answer, Error> {
        Ok(match request {
            Request::Queries(list) => {
                let rows = self.query_page(list)?.rows;
                Answer::Queries(self.query_nodes(rows, selected)?)
            }
            Request::QueriesConnection(list) => {
                let cut = self.query_page(list)?;
                let cursors = cut.rows.iter().map(|row| list.cursor(row)).collect();
                let nodes = self.query_nodes(cut.rows, &selected.of_nodes())?;
                Answer::QueryPage(page(cursors, nodes, cut.has_next, list.after))
            }
            Request::Query(key) => {
                let rows = self.reader.query_rows(&[*key])?;
                let node = self.query_nodes(rows, selected)?.pop();
                Answer::Query(node.map(Box::new))
            }
            Request::Executions(list) => {
                let cut = Cut::new(self.reader.executions(&list.page())?, list.rows);
                let cursors = cut
                    .rows
                    .iter()
                    .map(|execution| cursor('e', ExecutionKey::of(execution)))
                    .collect();
                let nodes = self.execution_nodes(cut.rows, &selected.of_nodes())?;
                Answer::ExecutionPage(page(cursors, nodes, cut.has_next, list.after))
            }
            Request::Analyses(list) => {
                let cut = Cut::new(self.reader.analyses(&list.page())?, list.rows);
                let cursors = cut
                    .rows
                    .iter()
                    .map(|analysis| cursor('a', ExecutionKey::of_analysis(analysis)))
                    .collect();
                let nodes = self.analysis_nodes(cut.rows, &selected.of_nodes())?;
                Answer::AnalysisPage(page(cursors, nodes, cut.has_next, list.after))
            }
            Request::Recommendations(list) => {
                let cut = Cut::new(self.reader.recommendations(&list.page())?, list.rows);
                let cursors = cut.rows.iter().map(RecommendationList::cursor).collect();
                let nodes = self.recommendation_nodes(cut.rows, &selected.of_nodes())?;
                Answer::RecommendationPage(page(cursors, nodes, cut.has_next, list.after))
            }
            Request::Plan(execution, ordinal) => {
                let plan = self.reader.plan(*execution, *ordinal)?;
                Answer::Plan(plan.map(|plan| PlanNode {
                    execution: *execution,
                    plan,
                }))
            }
            Request::TopQueries(page) => {
                let rows = self.reader.top_queries(page)?;
                Answer::TopQueries(self.top_query_nodes(rows, selected)?)
            }
            Request::Summary { since, until } => {
                let window = digest::Window {
                    since: since.map_or(digest::Since::DAY, digest::Since::At),
                    until: *until,
                };
                Answer::Summary(self.summary(&window, selected)?)
            }
            Request::Servers => Answer::Servers(self.servers()?.to_vec()),
            Request::IngestHealth(server) => {
                let mut sum = Accounting::default();
                for (id, accounting) in self.reader.accounting()? {
                    if server.is_none_or(|server| server == id) {
                        sum.merge(&accounting);
                    }
                }
                let mut advice = AdviceCounts::default();
                for (id, counts) in self.reader.advice_counts()? {
                    if server.is_none_or(|server| server == id) {
                        advice.merge(counts);
                    }
                }
                Answer::IngestHealth(Box::new(IngestHealth {
                    accounting: sum,
                    advice,
                }))
            }
        })
    }

    fn servers(&mut self) -> Result<&[ServerNode], Error> {
        let servers = match self.servers.take() {
            Some(servers) => servers,
            None => self.reader.servers()?.into_iter().map(ServerNode).collect(),
        };
        Ok(self.servers.insert(servers))
    }
}

type ByExecution<T> = HashMap<ExecutionKey, Vec<T>>;

fn incident_lists<K: Eq + Hash>(
    found: HashMap<K, Vec<Incident>>,
    limit: u32,
) -> HashMap<K, Nested<IncidentNode>> {
    let list = |(key, incidents): (K, Vec<Incident>)| {
        let items = incidents.into_iter().map(IncidentNode).collect();
        (key, Nested { limit, items })
    };
    found.into_iter().map(list).collect()
}

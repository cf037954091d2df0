//! Loads everything that a plan asks for, from one snapshot: one SQL statement for each kind of thing at each place in the document, however
//! many rows there are and however many servers they come from.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use super::{
    analysis::{AnalysisNode, FindingNode},
    execution::{ExecutionNode, cursor},
    incident::IncidentNode,
    ingest_health::IngestHealth,
    loaded::{Answer, Loaded},
    pagination::{Cut, Lists, Nested, page},
    plan::PlanNode,
    planner::{Plan, Selected, Wanted},
    query::{QueryList, QueryNode},
    recommendation::{RecommendationList, RecommendationNode},
    request::Request,
    server::ServerNode,
    summary::{ServerSummary, SlowQueryNode, Summary},
};
use crate::{
    digest,
    model::{
        accounting::Accounting,
        execution::Execution,
        finding::{Analysis, Finding},
        incident::Incident,
        position::ServerId,
        recommendation::Recommendation,
    },
    store::{AdviceCounts, Error, ExecutionKey, QueryKey, QueryRow, Reader},
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

pub(super) struct Loader<'r, 'c> {
    pub(super) reader: &'r mut Reader<'c>,
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

    fn query_page(&mut self, list: &QueryList) -> Result<Cut<QueryRow>, Error> {
        Ok(Cut::new(self.reader.queries(&list.page())?, list.rows))
    }

    fn query_nodes(
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

    fn analysis_nodes(
        &mut self,
        analyses: Vec<Analysis>,
        selected: &Selected,
    ) -> Result<Vec<AnalysisNode>, Error> {
        let keys: Vec<ExecutionKey> = analyses.iter().map(ExecutionKey::of_analysis).collect();
        let mut plans = self.plans_of(&keys, selected)?;
        let mut findings = self.findings_of(&keys, selected)?;
        let query_of = |analysis: &Analysis| (analysis.server_id, analysis.query_id);
        let queries = self.queries_behind(analyses.iter().map(query_of), selected)?;
        Ok(analyses
            .into_iter()
            .map(|analysis| AnalysisNode {
                query: queries.get(&query_of(&analysis)).map(Arc::clone),
                plans: taken(&mut plans, &ExecutionKey::of_analysis(&analysis)),
                findings: taken(&mut findings, &ExecutionKey::of_analysis(&analysis)),
                analysis,
            })
            .collect())
    }

    fn recommendation_nodes(
        &mut self,
        recommendations: Vec<Recommendation>,
        selected: &Selected,
    ) -> Result<Vec<RecommendationNode>, Error> {
        let query_of = |one: &Recommendation| (one.server_id, one.query_id);
        let queries = self.queries_behind(recommendations.iter().map(query_of), selected)?;
        Ok(recommendations
            .into_iter()
            .map(|recommendation| RecommendationNode {
                query: queries.get(&query_of(&recommendation)).map(Arc::clone),
                recommendation,
            })
            .collect())
    }

    /// The queries that rows refer to with their field `query`; none where it isn't selected.
    fn queries_behind(
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

    fn plans_of(
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

    fn findings_of(
        &mut self,
        keys: &[ExecutionKey],
        selected: &Selected,
    ) -> Result<Option<ByExecution<FindingNode>>, Error> {
        if selected.get("findings").is_none() {
            return Ok(None);
        }
        let found = self.reader.findings_of(keys)?.into_iter();
        let nodes = found.map(|(execution, findings)| (execution, finding_nodes(findings)));
        Ok(Some(nodes.collect()))
    }

    fn servers(&mut self) -> Result<&[ServerNode], Error> {
        let servers = match self.servers.take() {
            Some(servers) => servers,
            None => self.reader.servers()?.into_iter().map(ServerNode).collect(),
        };
        Ok(self.servers.insert(servers))
    }

    fn summary(&mut self, window: &digest::Window, selected: &Selected) -> Result<Summary, Error> {
        let digest = digest::build(self.reader, window, self.summary)?;
        let known: HashMap<ServerId, ServerNode> = self
            .servers()?
            .iter()
            .map(|node| (node.0.server.id, node.clone()))
            .collect();
        let none = Selected::default();
        let selected = ["servers", "slowQueries", "recommendations"]
            .iter()
            .try_fold(selected, |selected, field| {
                Some(&selected.get(field)?.selected)
            })
            .unwrap_or(&none);
        let proposed = digest
            .servers
            .iter()
            .flat_map(|server| &server.slow_queries);
        let proposed = proposed.flat_map(|slow| slow.recommendations.iter().cloned());
        let nodes = self.recommendation_nodes(proposed.collect(), selected)?;
        let mut recommendations = nodes.into_iter();
        let mut servers = Vec::new();
        for mut digest in digest.servers {
            let mut slow_queries = Vec::new();
            for mut slow in std::mem::take(&mut digest.slow_queries) {
                let count = std::mem::take(&mut slow.recommendations).len();
                slow_queries.push(SlowQueryNode {
                    findings: finding_nodes(std::mem::take(&mut slow.findings)),
                    recommendations: recommendations.by_ref().take(count).collect(),
                    slow,
                });
            }
            servers.push(ServerSummary {
                server: known.get(&digest.server.id).cloned(),
                digest,
                slow_queries,
            });
        }
        Ok(Summary {
            as_of: digest.as_of,
            since: digest.since,
            slow_threshold_ms: digest.slow_threshold_ms,
            servers,
        })
    }
}

pub(super) type ByExecution<T> = HashMap<ExecutionKey, Vec<T>>;

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

fn key_of(row: &QueryRow) -> QueryKey {
    (row.query.server_id, row.query.id)
}

fn finding_nodes(findings: Vec<Finding>) -> Vec<FindingNode> {
    findings.into_iter().map(FindingNode).collect()
}

/// The rows of one execution, where such rows were loaded at all.
fn taken<T>(loaded: &mut Option<ByExecution<T>>, key: &ExecutionKey) -> Option<Vec<T>> {
    loaded
        .as_mut()
        .map(|lists| lists.remove(key).unwrap_or_default())
}

/// The lists of all keys one after the other.
fn flat<T>(keys: &[QueryKey], mut lists: HashMap<QueryKey, Vec<T>>) -> Vec<T> {
    keys.iter()
        .flat_map(|key| lists.remove(key).unwrap_or_default())
        .collect()
}

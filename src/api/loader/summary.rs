//! The summary: what `digest` says of a window, with the nodes that can be asked for below it.

use std::collections::HashMap;

use super::super::{
    analysis::FindingNode,
    planner::Selected,
    server::ServerNode,
    summary::{ServerSummary, SlowQueryNode, Summary},
};
use super::Loader;
use crate::{digest, model::position::ServerId, store::Error};

impl Loader<'_, '_> {
    pub(super) fn summary(
        &mut self,
        window: &digest::Window,
        selected: &Selected,
    ) -> Result<Summary, Error> {
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
                    findings: std::mem::take(&mut slow.findings)
                        .into_iter()
                        .map(FindingNode)
                        .collect(),
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

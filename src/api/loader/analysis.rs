//! Analyses with the plans and findings of their execution, and their query.

use std::sync::Arc;

use super::super::{analysis::AnalysisNode, planner::Selected};
use super::{Loader, execution::taken};
use crate::{
    model::finding::Analysis,
    store::{Error, ExecutionKey},
};

impl Loader<'_, '_> {
    pub(super) fn analysis_nodes(
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
}

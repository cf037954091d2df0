//! Recommendations with their query.

use std::sync::Arc;

use super::super::{planner::Selected, recommendation::RecommendationNode};
use super::Loader;
use crate::{model::recommendation::Recommendation, store::Error};

impl Loader<'_, '_> {
    pub(super) fn recommendation_nodes(
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
}

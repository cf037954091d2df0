//! `Recommendation`: a checked proposal for one query, and the list of them.

use std::sync::Arc;

use jiff::Timestamp;
use juniper::{FieldResult, GraphQLEnum, GraphQLInputObject, ID, graphql_object};

use super::{
    analysis::Severity,
    error::not_loaded,
    loaded::Loaded,
    pagination::{Cursor, first},
    query::{QueryNode, query_key},
    server::server_id,
};
use crate::{
    model::{
        position::ServerId,
        public_id::PublicId,
        recommendation::{self, Recommendation, RecommendationId},
    },
    store::{QueryKey, RecommendationPage},
};

/// Which recommendations a list holds; all conditions have to be met.
#[derive(Debug, Clone, PartialEq, Default, GraphQLInputObject)]
pub(super) struct RecommendationFilter {
    server: Option<ID>,
    query: Option<ID>,
    /// Only recommendations of this severity or a higher one.
    min_severity: Option<Severity>,
}

/// One list of recommendations that a document asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RecommendationList {
    pub rows: u32,
    pub after: Option<Cursor>,
    server: Option<ServerId>,
    query: Option<QueryKey>,
    min_severity: Option<Severity>,
}

impl RecommendationList {
    pub(super) fn new(
        rows: Option<i32>,
        after: Option<String>,
        filter: Option<RecommendationFilter>,
    ) -> FieldResult<Self> {
        let filter = filter.unwrap_or_default();
        Ok(Self {
            rows: first(rows)?,
            after: Cursor::decode('r', after)?,
            server: server_id(filter.server)?,
            query: filter.query.as_ref().map(query_key).transpose()?,
            min_severity: filter.min_severity,
        })
    }

    /// The page to ask the store for, with one row more than wanted: it tells whether there is a next page.
    pub(super) fn page(&self) -> RecommendationPage {
        RecommendationPage {
            server: self.server,
            query: self.query,
            min_severity: self.min_severity.map(Into::into),
            limit: self.rows + 1,
            after: self.after.and_then(|cursor| {
                let [created_at, server, id] = cursor.key;
                let created_at = Timestamp::from_microsecond(created_at).ok()?;
                Some((created_at, ServerId(server), RecommendationId(id)))
            }),
        }
    }

    pub(super) fn cursor(recommendation: &Recommendation) -> Cursor {
        Cursor {
            list: 'r',
            key: [
                recommendation.created_at.as_microsecond(),
                recommendation.server_id.0,
                recommendation.id.0,
            ],
        }
    }
}

/// Who proposed a recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
pub(super) enum RecommendationSource {
    Rule,
    Model,
}

/// What a recommendation proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
pub(super) enum RecommendationKind {
    CreateIndex,
    Analyze,
    ExtendedStatistics,
    Setting,
    Rewrite,
}

/// How far a recommendation has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
pub(super) enum Verification {
    /// Its form is allowed and its names occur in the plan.
    Names,
    /// The plan's measured evidence fits it.
    Plan,
}

/// A recommendation with what the document asked of it; what it didn't ask for is `None`.
pub(super) struct RecommendationNode {
    pub recommendation: Recommendation,
    pub query: Option<Arc<QueryNode>>,
}

/// A checked proposal for one query. Nothing of it is ever executed.
#[graphql_object(name = "Recommendation", context = Loaded)]
impl RecommendationNode {
    fn id(&self) -> ID {
        PublicId::Recommendation(self.recommendation.server_id, self.recommendation.id)
            .to_string()
            .into()
    }

    fn query(&self) -> FieldResult<&QueryNode> {
        self.query.as_deref().ok_or_else(|| not_loaded("query"))
    }

    /// Log time of the execution that gave the evidence.
    fn created_at(&self) -> Timestamp {
        self.recommendation.created_at
    }

    fn source(&self) -> RecommendationSource {
        match self.recommendation.source {
            recommendation::Source::Rule => RecommendationSource::Rule,
            recommendation::Source::Model => RecommendationSource::Model,
        }
    }

    fn kind(&self) -> RecommendationKind {
        match self.recommendation.kind {
            recommendation::RecommendationKind::CreateIndex => RecommendationKind::CreateIndex,
            recommendation::RecommendationKind::Analyze => RecommendationKind::Analyze,
            recommendation::RecommendationKind::ExtendedStatistics => {
                RecommendationKind::ExtendedStatistics
            }
            recommendation::RecommendationKind::Setting => RecommendationKind::Setting,
            recommendation::RecommendationKind::Rewrite => RecommendationKind::Rewrite,
        }
    }

    /// Names of the rules whose findings it answers.
    fn rules(&self) -> Vec<&str> {
        self.recommendation
            .rules
            .iter()
            .map(|rule| rule.as_str())
            .collect()
    }

    fn severity(&self) -> Severity {
        self.recommendation.severity.into()
    }

    /// 0 to 1; null where nothing can be said.
    fn confidence_score(&self) -> Option<f64> {
        self.recommendation.confidence_score
    }

    fn verification(&self) -> Verification {
        match self.recommendation.verification {
            recommendation::Verification::Names => Verification::Names,
            recommendation::Verification::Plan => Verification::Plan,
        }
    }

    fn summary(&self) -> &str {
        &self.recommendation.summary
    }

    /// Why, with the numbers.
    fn explanation(&self) -> &str {
        &self.recommendation.explanation
    }

    /// What would show it wrong.
    fn disproof(&self) -> Option<&str> {
        self.recommendation.disproof.as_deref()
    }

    /// DDL or SET command written by plantail; null for a rewrite.
    fn command(&self) -> Option<&str> {
        self.recommendation.command.as_deref()
    }
}

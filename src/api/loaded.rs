//! What was loaded for one document, found by the request that it answers: all that the resolvers of the document can see.

use super::{
    analysis::AnalysisNode, execution::ExecutionNode, history::TopQueryNode,
    ingest_health::IngestHealth, pagination::Page, plan::PlanNode, query::QueryNode,
    recommendation::RecommendationNode, request::Request, server::ServerNode, summary::Summary,
};

/// The answers to a document's requests.
#[derive(Default)]
pub(super) struct Loaded {
    pub answers: Vec<(Request, Answer)>,
}

impl juniper::Context for Loaded {}

impl Loaded {
    pub(super) fn answer(&self, request: &Request) -> Option<&Answer> {
        self.answers
            .iter()
            .find(|(loaded, _)| loaded == request)
            .map(|(_, answer)| answer)
    }
}

/// What the store gave for one request.
pub(super) enum Answer {
    Queries(Vec<QueryNode>),
    QueryPage(Page<QueryNode>),
    Query(Option<Box<QueryNode>>),
    ExecutionPage(Page<ExecutionNode>),
    AnalysisPage(Page<AnalysisNode>),
    RecommendationPage(Page<RecommendationNode>),
    Plan(Option<PlanNode>),
    TopQueries(Vec<TopQueryNode>),
    Summary(Summary),
    Servers(Vec<ServerNode>),
    IngestHealth(Box<IngestHealth>),
}

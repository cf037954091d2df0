//! The API against real stores, and over real connections; here, how a document is run.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod documents;
mod generated;
mod http;
mod loading;
mod refusals;

use serde_json::Value;

use crate::{
    api::execute,
    digest::{self, fixture::Fixture},
};

/// The query that design and README promise.
const PROMISED: &str = "query { queries(limit: 5) { id normalizedSql totalExecutions
  analyses { executionTimeMs seqScanDetected } recommendations { severity confidenceScore summary } } }";

fn run(fixture: &Fixture, document: &str) -> Value {
    run_with(fixture, document, &Value::Null)
}

fn run_with(fixture: &Fixture, document: &str, variables: &Value) -> Value {
    let summary = digest::Config::default();
    execute(&fixture.store, document, variables, None, &summary)
}

/// The data of a document that has no errors.
fn data(fixture: &Fixture, document: &str) -> Value {
    let mut answer = run(fixture, document);
    assert_eq!(answer.get("errors"), None, "{document}");
    answer["data"].take()
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap()
}

fn statements(fixture: &Fixture, document: &str) -> u64 {
    let before = fixture.store.statements_read();
    data(fixture, document);
    fixture.store.statements_read() - before
}

//! What answering a document reads: statements by the document, and no more than is asked for.

use serde_json::Value;

use super::{PROMISED, data, statements};
use crate::digest::fixture::{Fixture, Runs};

#[test]
fn the_number_of_statements_depends_on_the_document_only() {
    let everything = "query { queries(limit: 100) { id server { name } executions(limit: 2) { id plans { document } findings { rule } incidents { kind } query { id } parent { id } nestedExecutions { id parent { id query { id } } } }
        incidents(limit: 3) { kind } analyses { findings { rule } plans { id } query { normalizedSql } } recommendations { id query { id } }
          percentiles(since: \"2026-03-01T00:00:00Z\", until: \"2026-03-05T00:00:00Z\") { p99Ms } users { calls }
          history(since: \"2026-03-01T00:00:00Z\", until: \"2026-03-05T00:00:00Z\", bucket: DAY) { calls percentiles { p50Ms } } }
        topQueries(since: \"2026-03-01T00:00:00Z\", until: \"2026-03-05T00:00:00Z\") { calls query { id } }
        servers { name } ingestHealth { recordsTotal } summary { servers { slowQueries { recommendations { summary } } } } }";
    let one = Fixture::empty();
    one.ingest(
        "shop",
        &[Runs::explained(
            "select 1",
            "2026-03-04T08:00:00Z",
            1,
            1500.0,
        )],
    );
    let (ten, hundred) = (Fixture::three_servers(4), Fixture::three_servers(34));
    for (document, expected) in [
        // BEGIN, queries, analyses, recommendations, COMMIT
        (PROMISED.replace("limit: 5", "limit: 100"), Some(5)),
        (everything.to_owned(), None),
    ] {
        let counts = [&one, &ten, &hundred].map(|fixture| statements(fixture, &document));
        let expected = expected.unwrap_or(counts[0]);
        assert_eq!(counts, [expected; 3], "{document}");
    }
    assert_eq!(statements(&one, "{ __schema { queryType { name } } }"), 0);
}

#[test]
fn a_planned_document_gives_what_loading_everything_gives() {
    let fixture = Fixture::three_servers(3);
    let pieces = [
        "id",
        "server { id name firstSeen lastSeen }",
        "normalizedSql databaseName serverQueryId firstSeen lastSeen totalExecutions failedExecutions totalTimeMs meanTimeMs maxTimeMs",
        "executions(limit: 2) { id startedAt durationMs kind durationSource plans { id document } }",
        "executions(limit: 2) { findings { rule severity message } query { id } }",
        "executions(limit: 2) { nested nestedCount function line depth parent { id query { id } } nestedExecutions(limit: 2) { id plans { id } } }",
        "analyses { executionId severity findings { nodePath notDecidable } }",
        "analyses { plans { shape durationMs format ordinal executionId } query { recommendations(limit: 1) { id } } }",
        "recommendations { id createdAt source kind rules verification explanation disproof command query { normalizedSql } }",
    ];
    let all = data(
        &fixture,
        &format!("{{ queries {{ {} }} }}", pieces.join(" ")),
    );
    for piece in pieces {
        let some = data(&fixture, &format!("{{ queries {{ {piece} }} }}"));
        assert!(contains(&all, &some), "{piece}: {some}");
    }
}

/// Whether `whole` has everything that `part` has.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, value)| whole.get(key).is_some_and(|other| contains(other, value))),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(a, b)| contains(a, b))
        }
        _ => whole == part,
    }
}

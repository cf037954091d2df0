//! Documents that are refused, before the store hears of them where that can be told.

use serde_json::json;

use super::{code, data, run, run_with};
use crate::digest::fixture::Fixture;

#[test]
fn arguments_out_of_bounds_are_refused_with_their_path() {
    let fixture = Fixture::three_servers(1);
    for (document, expected, message) in [
        (
            "{ queries(limit: 0) { id } }",
            "BAD_USER_INPUT",
            "`limit` has to be between 1 and 100, not 0",
        ),
        (
            "{ queries(limit: 101) { id } }",
            "BAD_USER_INPUT",
            "`limit` has to be between 1 and 100, not 101",
        ),
        (
            "{ queriesConnection(first: 1001) { nodes { id } } }",
            "BAD_USER_INPUT",
            "`first` has to be between 1 and 1000, not 1001",
        ),
        (
            "{ queries { executions(limit: -1) { id } } }",
            "BAD_USER_INPUT",
            "`limit` has to be between 1 and 1000, not -1",
        ),
        (
            "{ executions(after: \"t1\") { nodes { id } } }",
            "BAD_CURSOR",
            "`after` is not a cursor of this list in this order",
        ),
        (
            "{ query(id: \"5\") { id } }",
            "BAD_USER_INPUT",
            "that is not the id of a query",
        ),
        (
            "{ queries { percentiles(since: \"2026-03-02T00:00:00Z\", until: \"2026-03-01T00:00:00Z\") { calls } } }",
            "BAD_USER_INPUT",
            "`until` is before `since`",
        ),
        (
            "{ queries { history(since: \"2026-03-02T00:00:00Z\", until: \"2026-05-01T00:00:00Z\", bucket: HOUR) { calls } } }",
            "BAD_USER_INPUT",
            "a history has 1000 periods at most, not 1442: shorten it or take days",
        ),
        (
            "{ topQueries(since: \"2026-03-02T00:00:00Z\", until: \"2026-05-01T00:00:00Z\", limit: 101) { calls } }",
            "BAD_USER_INPUT",
            "`limit` has to be between 1 and 100, not 101",
        ),
        (
            "{ plan(id: \"5\") { id } }",
            "BAD_USER_INPUT",
            "that is not the id of a plan",
        ),
        (
            "{ ingestHealth(server: \"5\") { torn } }",
            "BAD_USER_INPUT",
            "`server` is not the id of a server",
        ),
    ] {
        let answer = run(&fixture, document);
        assert_eq!(code(&answer), expected, "{document}: {answer}");
        assert_eq!(answer["errors"][0]["message"], json!(message), "{document}");
        assert!(answer["errors"][0]["path"].is_array());
    }
}

#[test]
fn what_is_not_a_good_document_never_reaches_the_store() {
    let fixture = Fixture::three_servers(1);
    let before = fixture.store.statements_read();
    let nested = |levels: usize| {
        format!(
            "{{ executions {{ nodes {{ {} id {} }} }} }}",
            "query { executions(limit: 1) { ".repeat(levels),
            "} }".repeat(levels)
        )
    };
    let aliases: String = (1..=21)
        .map(|n| format!("a{n}: queries(limit: {n}) {{ id }} "))
        .collect();
    let spans: String = (1..=11)
        .map(|day| {
            format!("d{day}: percentiles(since: \"2026-03-{day:02}T00:00:00Z\", until: \"2026-03-{day:02}T01:00:00Z\") {{ calls }} ")
        })
        .collect();
    for (document, variables, expected) in [
        (
            &*format!("{{ queries {{ {spans} }} }}"),
            json!(null),
            "TOO_EXPENSIVE",
        ),
        (
            "{ queries(limit: 100) { history(since: \"2025-01-01T00:00:00Z\", until: \"2026-07-01T00:00:00Z\", bucket: DAY) { calls } } }",
            json!(null),
            "TOO_EXPENSIVE",
        ),
        ("{", json!(null), "PARSE_FAILED"),
        ("{ nothing }", json!(null), "VALIDATION_FAILED"),
        (
            "mutation { queries { id } }",
            json!(null),
            "VALIDATION_FAILED",
        ),
        (
            "subscription { queries { id } }",
            json!(null),
            "VALIDATION_FAILED",
        ),
        (
            "query A { servers { id } } query B { servers { id } }",
            json!(null),
            "VALIDATION_FAILED",
        ),
        (
            "{ ...F } fragment F on Query { ...F }",
            json!(null),
            "VALIDATION_FAILED",
        ),
        (
            "query($n: Int!) { queries(limit: $n) { id } }",
            json!({ "n": "five" }),
            "VALIDATION_FAILED",
        ),
        (
            "query($n: Int!) { queries(limit: $n) { id } }",
            json!({}),
            "VALIDATION_FAILED",
        ),
        ("{ queries { id } }", json!([]), "BAD_REQUEST"),
        (&nested(10), json!(null), "PARSE_FAILED"),
        (
            &format!("{{ queries {{ {} }} }}", "id ".repeat(2_001)),
            json!(null),
            "PARSE_FAILED",
        ),
        (&format!("{{ {aliases} }}"), json!(null), "TOO_EXPENSIVE"),
        (
            "{ queries(limit: 100) { executions(limit: 500) { id } } }",
            json!(null),
            "TOO_EXPENSIVE",
        ),
        (
            "{ executions(first: 1000) { nodes { plans { document } } } }",
            json!(null),
            "TOO_EXPENSIVE",
        ),
        (
            "query($n: Int = 1000) { queries(limit: 100) { executions(limit: $n) { id } } }",
            json!(null),
            "TOO_EXPENSIVE",
        ),
        (
            "{ executions(first: 1000) { edges { node { query { executions(limit: 100) { id } } } } } }",
            json!(null),
            "TOO_EXPENSIVE",
        ),
    ] {
        let answer = run_with(&fixture, document, &variables);
        assert_eq!(code(&answer), expected, "{document}: {answer}");
        assert_eq!(answer.get("data"), None, "{document}");
    }
    assert_eq!(fixture.store.statements_read(), before);
}

#[test]
fn introspection_passes_the_limits() {
    let fixture = Fixture::empty();
    let of_type = "ofType { kind name ".repeat(9) + &"}".repeat(9);
    let answer = data(
        &fixture,
        &format!(
            "query {{ __schema {{ queryType {{ name }} types {{ kind name fields(includeDeprecated: true) {{ name args {{ ...I }} type {{ ...T }} }} inputFields {{ ...I }} }} directives {{ args {{ ...I }} }} }} }}
             fragment I on __InputValue {{ name type {{ ...T }} defaultValue }} fragment T on __Type {{ kind name {of_type} }}"
        ),
    );
    assert_eq!(answer["__schema"]["queryType"]["name"], json!("Query"));
}

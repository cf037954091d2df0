//! What documents answer.

use serde_json::{Value, json};

use super::{PROMISED, data};
use crate::{
    api::sdl,
    digest::fixture::{Fixture, Runs},
    model::{position::Server, public_id::PublicId, query::QueryId},
};

#[test]
fn the_promised_query_works() {
    let fixture = Fixture::empty();
    fixture.ingest(
        "shop",
        &[
            Runs::explained("select a from b", "2026-03-04T08:00:00Z", 2, 1500.0),
            Runs::of("select 1", "2026-03-04T08:00:00Z", 1, 1.0),
        ],
    );
    let mut answer = data(&fixture, PROMISED);
    let id = answer["queries"][0]["id"].take();
    assert!(matches!(
        PublicId::parse(id.as_str().unwrap()),
        Some(PublicId::Query(..))
    ));
    answer["queries"][1]["id"].take();
    assert_eq!(
        answer,
        json!({ "queries": [
            {
                "id": null,
                "normalizedSql": "select a from b",
                "totalExecutions": "2",
                "analyses": [
                    { "executionTimeMs": 1501.0, "seqScanDetected": true },
                    { "executionTimeMs": 1500.0, "seqScanDetected": true },
                ],
                "recommendations": [{
                    "severity": "WARNING",
                    "confidenceScore": 0.45,
                    "summary": "Create an index on orders (id).",
                }],
            },
            {
                "id": null,
                "normalizedSql": "select 1",
                "totalExecutions": "1",
                "analyses": [],
                "recommendations": [],
            },
        ] })
    );
}

#[test]
fn incidents_of_a_query_and_of_its_executions() {
    let fixture = Fixture::empty();
    let runs = Runs::explained("select 1", "2026-03-04T08:00:00Z", 2, 1500.0);
    fixture.ingest("shop", &[runs]);
    let document = "{ queries { incidents(limit: 3) { kind logTime }
        executions(limit: 1) { incidents { kind sizeBytes waitMs holderPids } } }
        all: queries { incidents(limit: 1) { waitMs lockMode lockType waitingPid holderPids } } }";
    assert_eq!(
        data(&fixture, document),
        json!({
            "queries": [{
                "incidents": [
                    { "kind": "LOCK_WAIT", "logTime": "2026-03-04T08:00:01Z" },
                    { "kind": "TEMPORARY_FILE", "logTime": "2026-03-04T08:00:01Z" },
                    { "kind": "LOCK_WAIT", "logTime": "2026-03-04T08:00:00Z" },
                ],
                "executions": [{ "incidents": [
                    { "kind": "TEMPORARY_FILE", "sizeBytes": "8589934592", "waitMs": null, "holderPids": [] },
                ] }],
            }],
            "all": [{ "incidents": [
                { "waitMs": 1000.5, "lockMode": "ShareLock", "lockType": "transactionid", "waitingPid": 7, "holderPids": [8, 9] },
            ] }],
        })
    );
}

#[test]
fn history_of_a_query_each_span_with_its_own() {
    let fixture = Fixture::empty();
    fixture.ingest(
        "shop",
        &[
            Runs::of("select 1", "2026-03-03T08:00:00Z", 2, 10.0),
            Runs::of("select 1", "2026-03-04T23:00:00Z", 3, 1000.0),
            Runs::of("select 2", "2026-03-04T08:00:00Z", 1, 7.0),
        ],
    );
    let span = |since: &str, until: &str| {
        format!("since: \"2026-03-{since}:00:00Z\", until: \"2026-03-{until}:00:00Z\"")
    };
    let (both, second) = (span("03T00", "04T23"), span("04T09", "04T23"));
    let none = span("01T00", "02T00");
    let document = format!(
        "{{ queries(orderBy: TOTAL_TIME) {{
              all: percentiles({both}) {{ calls unknownCalls }} second: percentiles({second}) {{ calls }} none: percentiles({none}) {{ calls }}
              days: history({both}, bucket: DAY) {{ since until calls totalMs minMs maxMs percentiles {{ calls }} }}
              hours: history({second}, bucket: HOUR) {{ since until calls failed nestedCalls rows }}
              users {{ userName applicationName calls failed totalMs }} }}
            largest: topQueries({both}, orderBy: EXECUTIONS, limit: 1) {{ query {{ normalizedSql }} calls failed totalMs meanMs maxMs nestedCalls nestedMs }}
            early: topQueries({none}) {{ calls }} }}"
    );
    let day = |day: u32, calls: &str, total: f64, min: f64, max: f64| {
        json!({
            "since": format!("2026-03-0{day}T00:00:00Z"), "until": format!("2026-03-0{}T00:00:00Z", day + 1), "calls": calls,
            "totalMs": total, "minMs": min, "maxMs": max, "percentiles": { "calls": calls }
        })
    };
    let mut answer = data(&fixture, &document);
    let users = answer["queries"][0]["users"].take();
    assert_eq!(users[0]["calls"], json!("5"));
    assert_eq!(users[0]["totalMs"], json!(3024.0));
    assert_eq!(
        answer["queries"][0],
        json!({
            "all": { "calls": "5", "unknownCalls": "0" }, "second": { "calls": "3" }, "none": null,
            "days": [day(3, "2", 21.0, 10.0, 11.0), day(4, "3", 3003.0, 1000.0, 1002.0)],
            "hours": [{
                "since": "2026-03-04T23:00:00Z", "until": "2026-03-05T00:00:00Z", "calls": "3", "failed": "0", "nestedCalls": "0", "rows": 0.0
            }],
            "users": null,
        })
    );
    assert_eq!(answer["queries"][1]["second"], json!(null));
    assert_eq!(answer["queries"][1]["hours"], json!([]));
    assert_eq!(
        answer["largest"],
        json!([{
            "query": { "normalizedSql": "select 1" }, "calls": "5", "failed": "0", "totalMs": 3024.0, "meanMs": 604.8, "maxMs": 1002.0,
            "nestedCalls": "0", "nestedMs": 0.0
        }])
    );
    assert_eq!(answer["early"], json!([]));
}

#[test]
fn nested_executions_and_what_ran_them() {
    let fixture = Fixture::function_call();
    let answer = data(
        &fixture,
        "{ queries(orderBy: FIRST_SEEN) { executions { nested nestedCount function line depth parent { query { normalizedSql } }
           nestedExecutions(limit: 1) { line query { normalizedSql } parent { nestedCount } } } } }",
    );
    let mut runs: Vec<&Value> = answer["queries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|query| &query["executions"][0])
        .collect();
    runs.sort_by_key(|run| run["line"].as_i64());
    let nested = |line| {
        json!({
            "nested": true, "nestedCount": 0, "function": "f()", "line": line, "depth": 1,
            "parent": { "query": { "normalizedSql": "select f()" } }, "nestedExecutions": []
        })
    };
    assert_eq!(
        json!(runs),
        json!([
            {
                "nested": false, "nestedCount": 2, "function": null, "line": null, "depth": null, "parent": null,
                "nestedExecutions": [{ "line": 3, "query": { "normalizedSql": "select a from b" }, "parent": { "nestedCount": 2 } }]
            },
            nested(3),
            nested(4)
        ])
    );
}

/// Fields that occur more than once at the root, under one key or several, in fragments or not.

#[test]
fn every_occurrence_of_a_field_gets_its_own() {
    let fixture = Fixture::three_servers(1);
    let executions =
        |answer: &Value, pointer: &str| answer.pointer(pointer).unwrap().as_array().unwrap().len();
    let lists = "/queries/0/executions";
    for (document, expected) in [
        (
            "{ queries { id } queries { executions { id } } }",
            vec![(lists, 3)],
        ),
        (
            "{ queries { id } ...F } fragment F on Query { queries { executions { id } } }",
            vec![(lists, 3)],
        ),
        (
            "{ ...F ...G } fragment F on Query { queries { id } } fragment G on Query { queries { executions { id } } }",
            vec![(lists, 3)],
        ),
        (
            "{ queries { ... on LoggedQuery { ...H } } } fragment H on LoggedQuery { executions(limit: 2) { id } }",
            vec![(lists, 2)],
        ),
        (
            "{ a: queries { id } b: queries { executions { id } } c: queries(limit: 1) { executions(limit: 1) { id } } }",
            vec![
                ("/b/0/executions", 3),
                ("/c/0/executions", 1),
                ("/a", 3),
                ("/c", 1),
            ],
        ),
        (
            "{ queries { one: executions(limit: 1) { id } all: executions { id plans { id } } } }",
            vec![
                ("/queries/0/one", 1),
                ("/queries/0/all", 3),
                ("/queries/0/all/0/plans", 1),
            ],
        ),
        (
            "query Q($n: Int = 2, $no: Boolean = false, $none: Int) { queries(limit: $none, orderBy: null) { executions(limit: $n) { id } analyses @include(if: $no) { findings { rule } } } }",
            vec![(lists, 2)],
        ),
        (
            "{ queriesConnection(first: 1) { nodes { id } edges { node { executions { id } } } } }",
            vec![("/queriesConnection/edges/0/node/executions", 3)],
        ),
    ] {
        let answer = data(&fixture, document);
        for (pointer, rows) in expected {
            assert_eq!(executions(&answer, pointer), rows, "{document} {pointer}");
        }
    }
}

/// The same selections asked for one at a time and all together give the same.

#[test]
fn every_page_starts_behind_the_one_before() {
    let fixture = Fixture::three_servers(5);
    for (list, node) in [
        ("queriesConnection", "id"),
        ("queriesConnection(orderBy: LAST_SEEN)", "id"),
        (
            "queriesConnection(orderBy: MEAN_TIME, filter: { contains: \"orders\" })",
            "id",
        ),
        ("executions", "id"),
        ("analyses", "executionId"),
        ("recommendations", "id"),
    ] {
        let (field, arguments) = list.split_once('(').unwrap_or((list, ")"));
        let arguments = arguments.trim_end_matches(')');
        let page = |first: u32, after: &str| {
            let after = match after {
                "" => String::new(),
                cursor => format!("after: \"{cursor}\""),
            };
            let document = format!(
                "{{ {field}(first: {first} {after} {arguments}) {{ nodes {{ {node} }} edges {{ cursor }} pageInfo {{ hasNextPage hasPreviousPage endCursor }} }} }}"
            );
            data(&fixture, &document)[field].take()
        };
        let whole = page(1000, "");
        let mut nodes = Vec::new();
        let mut after = String::new();
        loop {
            let page = page(4, &after);
            nodes.extend(page["nodes"].as_array().unwrap().clone());
            assert_eq!(
                page["pageInfo"]["hasPreviousPage"],
                json!(!after.is_empty())
            );
            after = page["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
            if page["pageInfo"]["hasNextPage"] == json!(false) {
                break;
            }
        }
        assert_eq!(&nodes, whole["nodes"].as_array().unwrap(), "{list}");
        assert!(nodes.len() >= 15, "{list}");
    }
}

#[test]
fn things_are_found_by_their_ids() {
    let fixture = Fixture::three_servers(1);
    let answer = data(
        &fixture,
        "{ queries(limit: 1) { id executions(limit: 1) { plans { id } } } servers { id name } }",
    );
    let query = &answer["queries"][0]["id"];
    let plan = &answer["queries"][0]["executions"][0]["plans"][0]["id"];
    let server = &answer["servers"][0];
    let found = data(
        &fixture,
        &format!("{{ query(id: {query}) {{ id }} plan(id: {plan}) {{ id document }} ingestHealth(server: {}) {{ executions }}
                    queries(filter: {{ server: {} }}) {{ server {{ name }} }} executions(filter: {{ query: {query} }}) {{ nodes {{ query {{ id }} }} }} }}",
            server["id"], server["id"]),
    );
    assert_eq!(
        found,
        json!({
            "query": { "id": query },
            "plan": { "id": plan, "document": "{\"Plan\": {\"Node Type\": \"Seq Scan\"}}" },
            "ingestHealth": { "executions": "3" },
            "queries": [{ "server": { "name": server["name"] } }],
            "executions": { "nodes": [{ "query": { "id": query } }, { "query": { "id": query } }, { "query": { "id": query } }] },
        })
    );
    let server = Server::named("nobody").id;
    let nobody = PublicId::Server(server);
    let unknown = PublicId::Query(server, QueryId(1));
    let none = data(
        &fixture,
        &format!(
            "{{ query(id: \"{unknown}\") {{ id }} ingestHealth(server: \"{nobody}\") {{ executions bySeverity {{ key count }} }} }}"
        ),
    );
    let empty = json!({ "executions": "0", "bySeverity": [] });
    assert_eq!(none, json!({ "query": null, "ingestHealth": empty }));
}

#[test]
fn ingest_health_sums_the_servers() {
    let fixture = Fixture::three_servers(1);
    assert_eq!(
        data(
            &fixture,
            "{ ingestHealth { recordsTotal executions queries torn durationEvents { count sumMs byKind { key count } byDbUser { key count sumMs } } planEvents { count nested } } }"
        ),
        json!({ "ingestHealth": {
            "recordsTotal": "9", "executions": "9", "queries": "3", "torn": "0",
            "durationEvents": {
                "count": "9", "sumMs": 13509.0,
                "byKind": [{ "key": "statement", "count": "9" }],
                "byDbUser": [{ "key": "shop,app", "count": "9", "sumMs": 13509.0 }],
            },
            "planEvents": { "count": "0", "nested": "0" },
        } })
    );
}

#[test]
fn the_summary_is_the_digest() {
    let fixture = Fixture::three_servers(1);
    let answer = data(
        &fixture,
        "{ summary(since: \"2026-03-04T00:00:00Z\") { asOf since slowThresholdMs servers { server { name } executions totalTimeMs
           slowQueries { novelty severity executions meanTimeMs findings { rule } recommendations { command query { id } } } moreSlowQueries } } }",
    );
    assert_eq!(answer["summary"]["asOf"], json!("2026-03-04T08:00:02Z"));
    assert_eq!(answer["summary"]["servers"].as_array().unwrap().len(), 3);
    let mut server = answer["summary"]["servers"][0].clone();
    assert!(
        server["slowQueries"][0]["recommendations"][0]["query"]["id"]
            .take()
            .is_string()
    );
    server["server"].take();
    assert_eq!(
        server,
        json!({
            "server": null, "executions": "3", "totalTimeMs": 4503.0, "moreSlowQueries": "0",
            "slowQueries": [{
                "novelty": "FIRST_LOOK", "severity": "WARNING", "executions": "3", "meanTimeMs": 1501.0,
                "findings": [{ "rule": "seq-scan-filter" }],
                "recommendations": [{ "command": "CREATE INDEX CONCURRENTLY ON orders (id);", "query": { "id": null } }],
            }],
        })
    );
}

#[test]
fn the_schema_changes_on_purpose_only() {
    insta::assert_snapshot!(sdl());
}

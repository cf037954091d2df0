//! What a store that is spread over machines (Citus) asks of every statement, checked on a plain PostgreSQL: its log tells what it was sent.
//!
//! Each statement says which servers' rows it is about, each look at executions says of which time, and none uses what a distributed table
//! can't do. The exceptions are listed with their reasons.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::BTreeSet, ops::ControlFlow};

use super::{
    AnalysisPage, Bucket, ExecutionKey, ExecutionPage, Pruned, QueryOrder, QueryPage,
    RecommendationPage, Retention, Store, StoreUrl, TopOrder, TopQueries,
    backend::postgres::fixture::Database,
    fixture::{at, open, slow},
    ingest::tests::full_batch,
};
use crate::model::{execution::ExecutionId, position::Server};

/// Parts of statements that are about all servers at once, and why they may be.
const OF_ALL_SERVERS: &[&str] = &[
    // The list of servers, and its row by its id, which is what it is spread by.
    "FROM \"servers\"",
    "UPDATE \"servers\"",
    "UPDATE servers SET",
    "INSERT INTO \"servers\"",
];

/// Looks at executions of any time, and why they may be.
const OF_ALL_TIMES: &[&str] = &[
    // The few that are open, by a partial index that holds no others.
    "WHERE open",
    "AND e.open",
    "open_activity t",
    "FROM open_activity",
    // Retention, one server's rows at a time: what is older than a limit, told and deleted.
    "SELECT count(*) AS past",
    "ORDER BY x.started_at LIMIT",
    "ORDER BY x.log_time LIMIT",
    // Whether anything is left of a query that is to be removed: one probe of an index.
    "DELETE FROM queries",
];

/// What distributed tables can't do, or do otherwise.
const REFUSED: &[&str] = &[
    "now()",
    "current_timestamp",
    "clock_timestamp",
    "random()",
    "gen_random_uuid",
    "nextval",
    "MERGE INTO",
    "SET NULL",
    "COPY ",
];

/// Everything that retention and `verify` send, of which one server has something past its time.
fn run_retention_and_comparison(store: &Store) {
    const DAY_S: i64 = 86_400;
    let shop = Server::named("shop");
    let claim = store.claim_ingest(&shop).unwrap();
    let mut newest = full_batch(shop.id);
    newest.from_bytes = newest.generation.offset_bytes;
    newest.claim = claim.number();
    newest.newest = Some(at(100 * DAY_S));
    newest.executions.clear();
    newest.plans.clear();
    newest.analyses.clear();
    newest.incidents.clear();
    newest.recommendations.clear();
    store.ingest(&newest, &slow).unwrap();
    let read = store.read(|reader| {
        reader.gaps(shop.id)?;
        reader.execution_marks(shop.id, None, 3)?;
        reader.execution_marks(shop.id, Some((at(-DAY_S), ExecutionId(1))), 3)
    });
    assert!(!read.unwrap().is_empty());
    let retention = Retention {
        executions_days: 1,
        plans_days: 1,
        hours_days: 1,
        statistics_days: 90,
    };
    let past = store.past_retention(&retention).unwrap();
    let mut pruned = BTreeSet::new();
    let mut prune = |retention: &Retention| {
        let told = |step: &Pruned| {
            pruned.insert(match step {
                Pruned::Rows { table, .. } => *table,
                Pruned::Partition { .. } => "",
            });
            ControlFlow::Continue(())
        };
        store.prune(retention, 500, told).unwrap();
    };
    prune(&retention);
    prune(&Retention {
        statistics_days: 1,
        ..retention
    });
    for table in past.iter().map(|past| past.table) {
        assert!(pruned.contains(table), "{table} {pruned:?}");
    }
    for table in ["plans", "executions", "query_stats", "query_stats_daily"] {
        assert!(pruned.contains(table), "{table} {pruned:?}");
    }
}

/// Everything that ingest and the API send, for two servers.
fn run_everything(store: &Store) {
    let mut keys = Vec::new();
    let mut executions = Vec::new();
    for name in ["shop", "forum"] {
        let server = Server::named(name);
        let claim = store.claim_ingest(&server).unwrap();
        store.set_log_line_prefix(server.id, "%m [%p] ").unwrap();
        let mut batch = full_batch(server.id);
        batch.claim = claim.number();
        store.ingest(&batch, &slow).unwrap();
        let mut again = batch.clone();
        again.from_bytes = batch.generation.offset_bytes;
        again.withdrawn = vec![(batch.executions[1].id, batch.executions[1].started_at)];
        again.executions.truncate(1);
        store.ingest(&again, &slow).unwrap();
        store
            .note_generation(claim.number(), &batch.generation)
            .unwrap();
        store.generations(server.id).unwrap();
        store.server_state(server.id).unwrap();
        keys.push((server.id, batch.executions[0].query.id));
        executions.push(ExecutionKey::of(&batch.executions[0]));
    }
    let job = store
        .claim_advice_job(i64::MAX / 2, std::time::Duration::ZERO)
        .unwrap()
        .unwrap();
    let retry = super::AdviceOutcome::Retry {
        reason: "later".to_owned(),
        run_after_us: 0,
    };
    store.finish_advice_job(&job, &retry).unwrap();
    let (server, query) = (Some(keys[0].0), Some(keys[0]));
    store
        .read(|reader| {
            reader.servers()?;
            reader.accounting()?;
            reader.advice_counts()?;
            reader.activity(at(0), Some(at(10)))?;
            reader.open_executions(keys[0].0)?;
            for (server, query) in [(None, None), (server, None), (server, query)] {
                reader.executions(&ExecutionPage {
                    server,
                    query,
                    limit: 5,
                    after: Some(executions[0]),
                    ..ExecutionPage::default()
                })?;
                reader.analyses(&AnalysisPage {
                    server,
                    query,
                    limit: 5,
                    after: Some(executions[0]),
                    ..AnalysisPage::default()
                })?;
                reader.recommendations(&RecommendationPage {
                    server,
                    query,
                    limit: 5,
                    ..RecommendationPage::default()
                })?;
                reader.queries(&QueryPage {
                    order_by: QueryOrder::TotalMs,
                    server,
                    database_name: Some("shop".to_owned()),
                    contains: Some("select".to_owned()),
                    min_max_ms: Some(0.0),
                    limit: 5,
                    after: None,
                })?;
            }
            for some in [&keys[..1], &keys[..]] {
                reader.query_rows(some)?;
                reader.executions_of(some, 3)?;
                reader.analyses_of(some, 3)?;
                reader.analyses_between(some, at(0), at(10), 3)?;
                reader.recommendations_of(some, 3)?;
                reader.breaches_of(some)?;
                reader.incidents_of_queries(some, 3)?;
            }
            for some in [&executions[..1], &executions[..]] {
                reader.findings_of(some)?;
                reader.plans_of(some)?;
                reader.incidents_of(some, 3)?;
                reader.nested_of(some, 3)?;
                reader.parents_of(some)?;
            }
            for some in [&keys[..1], &keys[..]] {
                reader.percentiles(some, at(0), at(100_000))?;
                reader.trend(some, at(0), at(100_000), Bucket::Hour)?;
                reader.trend(some, at(0), at(100_000), Bucket::Day)?;
                reader.users_of(some, 3)?;
            }
            for (server, days) in [(None, 1), (Some(keys[0].0), 1), (None, 9)] {
                reader.top_queries(&TopQueries {
                    since: at(0),
                    until: Some(at(days * 86_400)),
                    server,
                    order_by: TopOrder::TotalMs,
                    limit: 5,
                })?;
            }
            reader.execution(executions[0])?;
            reader.execution(ExecutionKey {
                id: ExecutionId(0),
                ..executions[0]
            })?;
            reader.plan(executions[0], 0)?;
            Ok(())
        })
        .unwrap();
}

fn has_any(statement: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| statement.contains(part))
}

#[test]
fn every_statement_can_be_sent_to_a_distributed_store() {
    let Some(database) = Database::new() else {
        return;
    };
    let store = open(&StoreUrl::Postgres(Box::new(database.url("postgres")))).unwrap();
    let before = database.statements_sent().len();
    run_everything(&store);
    run_retention_and_comparison(&store);
    let sent: BTreeSet<String> = database
        .statements_sent()
        .split_off(before)
        .into_iter()
        .collect();
    let about_rows: Vec<&String> = sent
        .iter()
        .filter(|statement| {
            // Transactions, settings, locks; and partitions, whose tables are found in the catalog.
            let control = [
                "BEGIN",
                "COMMIT",
                "ROLLBACK",
                "SET ",
                "SELECT pg_",
                "CREATE TABLE IF NOT EXISTS",
                "LOCK TABLE ONLY",
                "DROP TABLE IF EXISTS",
            ];
            !control.iter().any(|word| statement.starts_with(word)) && !statement.contains("pg_")
        })
        .collect();
    assert!(about_rows.len() > 50, "{about_rows:#?}");
    for statement in about_rows {
        assert!(
            statement.contains("server_id") || has_any(statement, OF_ALL_SERVERS),
            "says nothing of servers: {statement}"
        );
        assert!(!has_any(statement, REFUSED), "{statement}");
        let looks_at_executions = !statement.starts_with("INSERT")
            && has_any(
                statement,
                &[
                    "executions x",
                    "executions e",
                    "FROM executions",
                    "\"executions\"",
                    "open_activity",
                ],
            );
        assert!(
            !looks_at_executions
                || has_any(
                    statement,
                    &["started_at >=", "started_at =", "\"started_at\" ="]
                )
                || has_any(statement, OF_ALL_TIMES),
            "looks at executions of all times: {statement}"
        );
        // Along a list of keys of several servers nothing can be looked up for each; from row to row of a distributed table it can.
        assert!(
            !statement.contains("LATERAL")
                || has_any(
                    statement,
                    &["x.server_id = $", "FROM servers s CROSS JOIN LATERAL"]
                ),
            "{statement}"
        );
        assert!(
            !statement.contains("FOR UPDATE")
                || has_any(statement, &["\"server_id\" = $", "\"servers\".\"id\" = $"]),
            "{statement}"
        );
    }
}

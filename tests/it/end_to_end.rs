use crate::{
    plantail::{Home, PATIENCE, wait_for},
    postgres::Postgres,
};

const SETUP: &[&str] = &[
    "create table orders (id int primary key, email text, total numeric)",
    "insert into orders select g, 'p' || g || '@example.org', g % 97 from generate_series(1, 600000) g",
    "analyze orders",
];

/// The queries of the answer whose text contains `part`.
fn find<'a>(data: &'a serde_json::Value, part: &str) -> Vec<&'a serde_json::Value> {
    let queries = data["queries"].as_array().unwrap();
    queries
        .iter()
        .filter(|query| query["normalizedSql"].as_str().unwrap().contains(part))
        .collect()
}

const QUERIES: &str = "{ queries(limit: 30) { normalizedSql totalExecutions databaseName
    executions(limit: 20) { durationMs rows planCount userName }
    analyses(limit: 1) { executionTimeMs seqScanDetected findings { rule message } }
    recommendations(limit: 3) { severity confidenceScore summary command } } }";

#[test]
fn a_statement_of_a_real_server_comes_out_of_graphql_with_its_plan() {
    let Some(server) = Postgres::start("") else {
        return;
    };
    server.psql(SETUP);
    let home = Home::new();
    let watch = home.watch(&[server.log_directory().to_str().unwrap(), "--server", "shop"]);

    server.psql(&["select total from orders where email = 'p4711@example.org' and total > 3"]);

    let data = wait_for(|| {
        let data = watch.query(QUERIES);
        find(&data, "where email = $1").first()?["analyses"].get(0)?;
        Some(data)
    })
    .unwrap_or_else(|| {
        panic!(
            "the statement is not queryable within {PATIENCE:?}: {:?}",
            watch.log()
        )
    });
    let found = find(&data, "where email = $1");
    assert_eq!(found.len(), 1, "one query: {found:?}");
    let query = found[0];
    assert_eq!(
        query["normalizedSql"],
        "select total from orders where email = $1 and total > $2"
    );
    assert_eq!(query["totalExecutions"], "1");
    assert_eq!(query["databaseName"], "postgres");
    let executions = query["executions"].as_array().unwrap();
    assert_eq!(
        executions.len(),
        1,
        "one execution, one row: {executions:?}"
    );
    assert_eq!(executions[0]["userName"], "postgres");
    assert_eq!(executions[0]["planCount"], 1);
    assert_eq!(executions[0]["rows"], 1.0);
    assert!(executions[0]["durationMs"].as_f64().unwrap() > 0.0);
    assert_eq!(query["analyses"][0]["seqScanDetected"], true);
    assert_eq!(
        query["analyses"][0]["findings"][0]["rule"],
        "seq-scan-filter"
    );
    let command = query["recommendations"][0]["command"].as_str().unwrap();
    assert!(
        command.starts_with("CREATE INDEX CONCURRENTLY ON"),
        "{command}"
    );
    assert!(command.contains("(email"), "{command}");
    let everything = data.to_string();
    assert!(
        !everything.contains("4711"),
        "a literal has come out: {everything}"
    );
}

#[test]
fn both_protocols_give_one_execution_for_each_run() {
    let Some(server) = Postgres::start("auto_explain.log_verbose = on\ncompute_query_id = on")
    else {
        return;
    };
    server.psql(SETUP);
    for protocol in ["simple", "extended", "prepared"] {
        let script = format!(
            "begin;\nselect count(*) as {protocol}_select from orders where id < 100;\n\
             update orders set total = total + 1 where id = 1 /* {protocol} */ returning id as {protocol}_update;\nend;\n"
        );
        server.pgbench(protocol, &script, 20);
    }
    let home = Home::new();
    let log = server.log_directory();
    let watch = home.watch(&[log.to_str().unwrap(), "--server", "shop"]);
    for protocol in ["simple", "extended", "prepared"] {
        for kind in ["select", "update"] {
            let name = format!("{protocol}_{kind}");
            let data = watch.query(QUERIES);
            let found = find(&data, &name);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert_eq!(found[0]["totalExecutions"], "20", "{name}: {}", found[0]);
            for execution in found[0]["executions"].as_array().unwrap() {
                assert_eq!(execution["planCount"], 1, "{name}: {execution}");
            }
        }
    }
}

#[test]
fn nested_failed_and_cancelled_statements_are_executions() {
    let Some(server) = Postgres::start("") else {
        return;
    };
    server.psql(SETUP);
    server.psql(&[
        "create function spent(who text) returns numeric language plpgsql as $$ begin
           return (select sum(total) as nested_sum from orders where email = who); end $$",
        "select spent('p17@example.org') as caller",
        "select 1 / 0 as division",
        "set statement_timeout = 20",
        "select pg_sleep(5) as cancelled",
    ]);
    let home = Home::new();
    let watch = home.watch(&[server.log_directory().to_str().unwrap(), "--server", "shop"]);
    let data = watch.query(
        "{ queries(limit: 100) { normalizedSql executions { nested failed sqlState durationMs } } }",
    );
    let execution = |part: &str| {
        let found = find(&data, part);
        assert_eq!(found.len(), 1, "{part}: {data}");
        found[0]["executions"][0].clone()
    };
    let caller = execution("as caller");
    let nested = execution("nested_sum");
    assert_eq!(nested["nested"], true);
    assert_eq!(caller["nested"], false);
    for part in ["as division", "as cancelled"] {
        let failed = execution(part);
        assert_eq!(failed["failed"], true, "{part}");
        assert!(
            failed["durationMs"].is_null(),
            "{part}: the log tells no duration"
        );
    }
}

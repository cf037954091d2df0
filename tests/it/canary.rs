//! Secrets planted wherever a server can log them, and the search for them wherever plantail can put them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use wiremock::{Mock, MockServer, matchers::method};

use crate::{
    advice::{answer, good_form, with_model},
    plantail::{Home, Watch, http, wait_for},
    postgres::Postgres,
};

/// What each planted secret has in it.
const CANARIES: [&str; 2] = ["cnry", "91827364"];
/// What each planted password has in it: no setting keeps these.
const PASSWORDS: [&str; 1] = ["pwnry"];

const SETUP: &[&str] = &[
    "create table people (email text unique, n bigint check (n > 0))",
    "insert into people select 'p' || g || '@example.org', g from generate_series(1, 20000) g",
    "create table parts (a text) partition by list (a)",
    "create role bob",
    "create function spent(who text) returns bigint language plpgsql as $$ begin
       perform count(*) from people where email = who || 'cnry91';
       return (select sum(n) from people where email = who or email = 'cnry92'); end $$",
    "create function spent_in_sql(who text) returns bigint language sql volatile as
       $$ select count(*) from people where email = 'cnry93' and email <> who;
          select sum(n)::bigint from people where email = who or n = 91827364093 $$",
    "create procedure nothing(a text) language plpgsql as $$ begin execute 'select ''cnry94'' || $1' using a; end $$",
    "create extension postgres_fdw; create extension dblink",
    "do $$ begin execute format('create server far foreign data wrapper postgres_fdw options (host %L, dbname ''postgres'')',
       current_setting('unix_socket_directories')); end $$",
    "create user mapping for postgres server far options (user 'postgres')",
    "create foreign table far_people (email text, n bigint) server far options (table_name 'people')",
];

/// Runs everything once with each format of auto_explain.
fn plant(server: &Postgres) {
    server.psql(SETUP);
    let statements: Vec<String> = include_str!("canary.sql")
        .lines()
        .filter(|line| !line.starts_with("-- "))
        .map(|line| line.replace("\\n", "\n").replace("\\t", "\t"))
        .collect();
    for format in ["json", "text", "xml", "yaml"] {
        let format = format!("set auto_explain.log_format = '{format}'");
        let mut session = vec![format.as_str()];
        session.extend(statements.iter().map(String::as_str));
        server.psql(&session);
    }
    server.psql(&[
        "set log_statement = 'all'",
        "select 'cnry70'",
        "prepare q as select 'cnry71'",
        "execute q",
    ]);
    server.psql(&[
        "set statement_timeout = 50",
        "select pg_sleep(10), 'cnry72'",
    ]);
    let bound = ["-t", "3", "-D", "who=cnry74@example.org", "-D", "zero=0"];
    let reads = "select email from people where email = :who and n > 91827364074;\n";
    for protocol in ["extended", "prepared"] {
        assert!(server.pgbench_with(protocol, reads, &bound));
        // Ends with an error whose CONTEXT holds the parameters.
        server.pgbench_with(
            protocol,
            "select 91827364075 / :zero, :who::text;\n",
            &bound,
        );
    }
    deadlock(server);
}

/// Two sessions that wait for each other: the server's report holds their statements.
fn deadlock(server: &Postgres) {
    let update = |email: &str| {
        format!("update people set n = 91827364076 where email = '{email}' or email = 'cnry76'")
    };
    let (first, second) = (update("p1@example.org"), update("p2@example.org"));
    std::thread::scope(|scope| {
        scope.spawn(|| server.psql(&["begin", &first, "select pg_sleep(0.5)", &second, "commit"]));
        scope.spawn(|| server.psql(&["begin", &second, "select pg_sleep(0.5)", &first, "commit"]));
    });
}

/// The log in each of its formats, each in a folder of its own with something at its end that can't be read.
fn logs(server: &Postgres, home: &Home) -> Vec<PathBuf> {
    let plan = "2026-11-20 08:00:00.000 UTC [9] postgres@postgres LOG:  duration: 7.000 ms  plan:";
    let files = [
        (
            "log",
            format!("cnry80\n\tcnry81\n{plan}\n\t{{ \"Query Text\": \"select 'cnry82\n"),
        ),
        (
            "csv",
            "2026-11-20 08:00:00.000 UTC,\"postgres\",cnry83,\"select 'cnry83\n".to_owned(),
        ),
        (
            "json",
            "{\"timestamp\":\"2026-11-20 08:00:00.000 UTC\",\"message\":\"cnry84\n{\"cnry85\n"
                .to_owned(),
        ),
    ];
    let mut copies = Vec::new();
    for (extension, broken) in files {
        let log = server
            .log_directory()
            .join(format!("postgresql.{extension}"));
        let mut bytes = fs::read(&log).unwrap();
        for canary in CANARIES.iter().chain(&PASSWORDS) {
            assert!(memchr::memmem::find(&bytes, canary.as_bytes()).is_some());
        }
        bytes.extend(broken.bytes());
        let folder = home.path(&format!("log-{extension}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(log.file_name().unwrap()), bytes).unwrap();
        copies.push(folder);
    }
    copies
}

/// Which canaries are in `bytes`, each with what stands around it.
fn found(bytes: &[u8], canaries: &[&str]) -> Vec<String> {
    let lower = bytes.to_ascii_lowercase();
    let mut found = Vec::new();
    for canary in canaries {
        for at in memchr::memmem::find_iter(&lower, canary).take(20) {
            let until = (at + 60).min(bytes.len());
            found.push(String::from_utf8_lossy(&bytes[at.saturating_sub(80)..until]).into_owned());
        }
    }
    found
}

/// Everything that GraphQL tells of queries.
const QUERIES: &str = "{ queriesConnection(first: 1000) { nodes { id normalizedSql databaseName
    recommendations(limit: 10) { summary explanation disproof command } } } }";

/// What GraphQL tells of executions, but for what `privacy.literals = \"keep\"` keeps.
const EXECUTION: &str = "userName applicationName sqlState tags { key value } findings { message notDecidable } plans { document }";

/// Those fields of every execution.
fn executions(home: &Home, fields: &str) -> String {
    let mut all = String::new();
    let mut after = String::from("null");
    loop {
        let page = home.query(&format!(
            "{{ executions(first: 200, after: {after}) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ {fields} }} }} }}"
        ));
        all.push_str(&page.to_string());
        let info = &page["executions"]["pageInfo"];
        if info["hasNextPage"] != true {
            return all;
        }
        after = info["endCursor"].to_string();
    }
}

const HEALTH: &str =
    "{ ingestHealth { recordsTotal planEvents { byRootNode { key count } byDbUser { key count } }
    bySqlstate { key count } durationEvents { byDbUser { key count } } } }";

/// Imports the logs and gives everything that comes out, each with its name.
fn import(home: &Home, logs: &[PathBuf]) -> Vec<(String, Vec<u8>)> {
    let mut outputs = Vec::new();
    for log in logs {
        let name = log.file_name().unwrap().to_str().unwrap();
        let path = log.to_str().unwrap();
        let output = home.run(&["import", "-vv", "--report", "json", "--server", name, path]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(report["executions"].as_u64().unwrap() > 300, "{report}");
        outputs.push((format!("stdout of {name}"), output.stdout));
        outputs.push((format!("stderr of {name}"), output.stderr));
    }
    for format in ["text", "markdown", "html", "json"] {
        let summary = home.stdout(&["summary", "--format", format]);
        outputs.push((format!("summary as {format}"), summary.into_bytes()));
    }
    for document in [QUERIES, HEALTH] {
        let answer = home.query(document).to_string();
        outputs.push((document.to_owned(), answer.into_bytes()));
    }
    outputs.push((
        EXECUTION.to_owned(),
        executions(home, EXECUTION).into_bytes(),
    ));
    outputs
}

fn store_files(home: &Home) -> Vec<(String, Vec<u8>)> {
    ["store.db", "store.db-wal", "store.db-shm"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), fs::read(home.path(name)).ok()?)))
        .collect()
}

fn assert_none(outputs: &[(String, Vec<u8>)], canaries: &[&str]) {
    let leaks: Vec<_> = outputs
        .iter()
        .map(|(name, bytes)| (name, found(bytes, canaries)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// What a model is asked when nearly everything is slow, and what the daemon shows meanwhile.
async fn questions(home: &Home, log: &Path) -> Vec<(String, Vec<u8>)> {
    let model = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(answer(&good_form()))
        .mount(&model)
        .await;
    let log = log.to_str().unwrap();
    let args = [
        "watch",
        "-vv",
        "--listen",
        "127.0.0.1:0",
        "--server",
        "asked",
        log,
    ];
    let mut command = with_model(home, &format!("{}/v1", model.uri()), &args);
    command.env("PLANTAIL_ANALYSIS__SLOW_THRESHOLD_MS", "2");
    let watch = Watch::start(command);
    let waiting = || -> u64 {
        let data = watch.query("{ ingestHealth { adviceJobs { key count } } }");
        let jobs = data["ingestHealth"]["adviceJobs"].as_array().unwrap();
        jobs.iter()
            .filter(|job| job["key"] == "queued" || job["key"] == "running")
            .map(|job| job["count"].as_str().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    wait_for(|| (waiting() == 0).then_some(())).unwrap_or_else(|| panic!("{:?}", watch.log()));
    let asked = model.received_requests().await.unwrap();
    assert!(!asked.is_empty(), "nothing was asked");
    let mut outputs: Vec<_> = asked
        .into_iter()
        .map(|request| ("question".to_owned(), request.body))
        .collect();
    let page = http(&watch.address, "GET", "/", "").1;
    outputs.push(("page".to_owned(), page.into_bytes()));
    outputs.push((
        "log of watch".to_owned(),
        watch.log().join("\n").into_bytes(),
    ));
    outputs
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_out_nowhere() {
    let Some(server) = Postgres::start(
        "log_destination = 'stderr,csvlog,jsonlog'\nauto_explain.log_verbose = on\nauto_explain.log_settings = on\n\
         log_parameter_max_length_on_error = -1\nlog_lock_waits = on\ndeadlock_timeout = 100ms\nlog_temp_files = 0\n\
         log_min_messages = notice\nlog_min_error_statement = notice\nwork_mem = 64kB",
    ) else {
        return;
    };
    plant(&server);

    let every: Vec<&str> = CANARIES.iter().chain(&PASSWORDS).copied().collect();
    let home = Home::new();
    let copies = logs(&server, &home);
    let mut outputs = import(&home, &copies);
    outputs.extend(questions(&home, &copies[2]).await);
    outputs.extend(store_files(&home));
    assert_none(&outputs, &every);

    let keeping = Home::configured("[privacy]\nliterals = \"keep\"\n");
    let mut outputs = import(&keeping, &copies);
    outputs.extend(questions(&keeping, &copies[2]).await);
    assert_none(&outputs, &every);
    assert_none(&store_files(&keeping), &PASSWORDS);
    let kept = executions(&keeping, "statement parameters");
    for canary in ["cnry01@", "$1 = 'cnry74@example.org'", "cnry36", "cnry92"] {
        assert!(kept.contains(canary), "{canary} is not kept: {kept}");
    }
}

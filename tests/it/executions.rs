//! Which log records are one execution: event for event against logs whose truth is known, and against a real server.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{plantail::Home, postgres::Postgres};

/// Logs of simple and extended protocol, cursors, functions, errors and thresholds, in which every statement has its own text and every plan is there
/// that the threshold lets through: otherwise equal texts don't tell whose plan it is.
const CASES: [&str; 11] = [
    "v13-json-full",
    "v15-json-full",
    "v18-json-full",
    "v17-json-threshold",
    "nasty-v13",
    "nasty-v16",
    "nasty-v18",
    "nasty-terse-v15",
    "dur-stmts-only",
    "dur-param-0",
    "dur-logduration-plus-min",
];

/// One event of a session, or one execution of ours: who, and how many microseconds it took.
type Event = (i64, i64);

/// How many events there are, and how many of them have a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Plans {
    events: u32,
    with_plan: u32,
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn every_event_has_its_plan_and_no_other() {
    for case in CASES {
        let Some(folder) = case_folder(case) else {
            eprintln!("skipped: the log of case {case} is not there");
            return;
        };
        let home = Home::new();
        import(&home, &folder);
        let mut ours: BTreeMap<Event, Plans> = BTreeMap::new();
        let mut indirect = 0;
        for execution in executions(&home) {
            let of_statement = execution["durationSource"] == "STATEMENT";
            let sql = execution["query"]["normalizedSql"].as_str().unwrap();
            let sql = sql.to_lowercase();
            indirect += usize::from(sql.starts_with("prepare ") || sql.starts_with("declare "));
            if of_statement {
                let event = (
                    execution["processId"].as_i64().unwrap(),
                    microseconds(execution["durationMs"].as_f64().unwrap()),
                );
                let plans = ours.entry(event).or_default();
                plans.events += 1;
                plans.with_plan += u32::from(execution["planCount"].as_i64().unwrap() > 0);
            }
        }
        let (mut events, mut right) = (0, 0);
        let mut differing = Vec::new();
        for (event, truth) in truth(&folder) {
            let found = ours.get(&event).copied().unwrap_or_default();
            events += truth.events;
            if found == truth {
                right += truth.events;
            } else {
                differing.push(format!("{event:?} {found:?} instead of {truth:?}"));
            }
        }
        eprintln!("{case}: {right} of {events} events as they were");
        // The truth pairs by equal text: the plan of an EXECUTE with its PREPARE, and a cursor's with nothing.
        assert!(differing.len() <= indirect, "{case}: {differing:#?}");
    }
}

/// The statements, executes and fetches of a case's log. The pieces of a portal are one event.
fn truth(folder: &Path) -> BTreeMap<Event, Plans> {
    struct Portal {
        pid: i64,
        sha: String,
        microseconds: i64,
        has_plan: bool,
    }
    let mut packed = fs::File::open(folder.join("events.tsv.gz")).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&mut packed)
        .read_to_end(&mut bytes)
        .unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let mut events: Vec<Portal> = Vec::new();
    for line in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        let column = |name: &str| columns[names.iter().position(|n| *n == name).unwrap()];
        let kind = column("kind");
        let event = Portal {
            pid: column("pid").parse().unwrap(),
            sha: column("statement_sha").to_owned(),
            microseconds: microseconds(column("duration_ms").parse().unwrap()),
            has_plan: !column("has_plan").is_empty(),
        };
        let is_statement = matches!(kind, "statement" | "execute" | "fetch" | "fastpath");
        if !is_statement || column("flags").contains("forged") {
            continue;
        }
        let first = events
            .iter_mut()
            .rev()
            .find(|first| first.pid == event.pid && first.sha == event.sha);
        match first {
            Some(first) if kind == "fetch" => {
                first.microseconds += event.microseconds;
                first.has_plan |= event.has_plan;
            }
            _ => events.push(event),
        }
    }
    let mut truth: BTreeMap<Event, Plans> = BTreeMap::new();
    for event in events {
        let plans = truth.entry((event.pid, event.microseconds)).or_default();
        plans.events += 1;
        plans.with_plan += u32::from(event.has_plan);
    }
    truth
}

#[expect(clippy::cast_possible_truncation, reason = "no test takes centuries")]
fn microseconds(ms: f64) -> i64 {
    (ms * 1000.0).round() as i64
}

/// All executions of the store.
fn executions(home: &Home) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = Value::Null;
    loop {
        let document = format!(
            "{{ executions(first: 1000, after: {after}) {{ pageInfo {{ hasNextPage endCursor }} nodes {{
                kind processId durationMs durationSource parseMs bindMs planCount nested nestedCount function line depth
                failed sqlState rows query {{ normalizedSql }} parent {{ query {{ normalizedSql }} }} }} }} }}"
        );
        let data = home.query(&document);
        let page = &data["executions"];
        all.extend(page["nodes"].as_array().unwrap().iter().cloned());
        if page["pageInfo"]["hasNextPage"] != true {
            return all;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

fn import(home: &Home, folder: &Path) {
    let truth: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("truth.json")).unwrap()).unwrap();
    let settings = fs::read_to_string(folder.join("settings.conf")).unwrap();
    let prefix = settings
        .lines()
        .find_map(|line| line.strip_prefix("log_line_prefix = '")?.strip_suffix('\''))
        .unwrap_or("%m [%p] ");
    let mut args = vec!["--server", "case", "--log-line-prefix", prefix];
    let files: Vec<String> = truth["read"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let path = folder.join(file.as_str().unwrap());
            let packed = path.with_extension("log.gz");
            let there = if path.exists() { path } else { packed };
            there.to_str().unwrap().to_owned()
        })
        .collect();
    args.extend(files.iter().map(String::as_str));
    home.import(&args);
}

fn case_folder(case: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/corpus/cases")
        .join(case);
    folder.is_dir().then_some(folder)
}

/// What a real server's log gives: the executions whose text contains `part`, without their times.
fn found(all: &[Value], part: &str) -> Vec<Value> {
    all.iter()
        .rev()
        .filter(|execution| {
            let sql = execution["query"]["normalizedSql"].as_str().unwrap();
            sql.contains(part)
        })
        .map(|execution| {
            json!([
                execution["kind"],
                execution["durationSource"],
                execution["planCount"],
                execution["sqlState"]
            ])
        })
        .collect()
}

fn read(server: &Postgres) -> Vec<Value> {
    let home = Home::new();
    home.import(&[
        server.log_directory().to_str().unwrap(),
        "--server",
        "real",
        "--log-line-prefix",
        "%m [%p] %q%u@%d ",
    ]);
    executions(&home)
}

const FUNCTIONS: &[&str] = &[
    "create table t (id int primary key, v int)",
    "create table child (id int references t, note text)",
    "create function inner_sql(int) returns bigint language sql as $$ select count(*) from t where id < $1 $$",
    "create function outer_pl(n int) returns bigint language plpgsql as $$ declare c bigint; begin\n  select count(*) into c from t where v = n;\n  return c + inner_sql(n);\nend $$",
    "create function audit() returns trigger language plpgsql as $$ begin\n  perform pg_sleep(0);\n  return new;\nend $$",
    "create trigger audited before insert on t for each row execute function audit()",
    "create procedure proc() language plpgsql as $$ begin\n  update t set v = 0 where id = 1;\nend $$",
];

#[test]
fn a_real_server_logs_what_is_one_execution() {
    for (verbosity, shows_context) in [("default", true), ("terse", false)] {
        let Some(server) = Postgres::start(&format!("log_error_verbosity = {verbosity}\n")) else {
            return;
        };
        server.psql(FUNCTIONS);
        server.psql(&[
            "insert into t values (1, 2)",
            "insert into child values (1, 'x')",
            "select outer_pl(2)",
            "do $$ begin perform v from t where id = 7; end $$",
            "call proc()",
            "select 10 as one; select 20 as two",
            "prepare p(int) as select v as prepared from t where id = $1",
            "execute p(1)",
            "execute p(2)",
            "begin",
            "declare c cursor for select v as cursed, pg_sleep(0.05) from t",
            "fetch 1 from c",
            "commit",
            "set statement_timeout = 200",
            "select pg_sleep(30) as timed_out",
            "select 1 / 0 as divided",
            "insert into child values (99, 'no such')",
        ]);
        server.pgbench(
            "extended",
            "begin;\nselect v as late from t where id = 1;\nselect v as later from t where id = 2;\ncommit;\n",
            3,
        );
        server.pgbench("prepared", "select v as prep from t where id = 3;\n", 4);
        let all = read(&server);
        let check = |part: &str, expected: &[Value]| {
            assert_eq!(found(&all, part), expected, "{verbosity}: {part}");
        };
        let statement = |plans| json!(["STATEMENT", "STATEMENT", plans, null]);
        let execute = json!(["EXECUTE", "STATEMENT", 1, null]);
        check("as one; select", &[statement(2)]);
        check("as prepared", &[statement(0), statement(1), statement(1)]);
        check("cursed", &[json!(["STATEMENT", "PLAN", 1, null])]);
        check("fetch $1 from $2", &[statement(0)]);
        check(
            "as late ",
            &[execute.clone(), execute.clone(), execute.clone()],
        );
        check(
            "as later",
            &[execute.clone(), execute.clone(), execute.clone()],
        );
        check(
            "as prep ",
            &[execute.clone(), execute.clone(), execute.clone(), execute],
        );
        check("timed_out", &[json!(["FAILED", null, 0, null])]);
        check("as divided", &[json!(["FAILED", null, 0, null])]);
        let parents = |part: &str| -> Vec<(Value, Value, Value)> {
            let nested = all.iter().rev().filter(|execution| {
                execution["nested"] == true
                    && execution["query"]["normalizedSql"]
                        .as_str()
                        .unwrap()
                        .contains(part)
            });
            nested
                .map(|nested| {
                    (
                        nested["parent"]["query"]["normalizedSql"].clone(),
                        nested["function"].clone(),
                        nested["line"].clone(),
                    )
                })
                .collect()
        };
        let site = |parent: &str, function: &str, line: u32| match shows_context {
            true => (json!(parent), json!(function), json!(line)),
            false => (json!(parent), Value::Null, Value::Null),
        };
        assert_eq!(
            parents("from t where v = n"),
            [site("select outer_pl($1)", "outer_pl(integer)", 2)]
        );
        assert_eq!(
            parents("count(*) from t where id <"),
            [site("select outer_pl($1)", "inner_sql", 1)]
        );
        assert_eq!(
            parents("update t set v"),
            [site("call proc()", "proc()", 2)]
        );
        let foreign_keys = parents("for key share");
        let inserted = "insert into child values ($1, $2)";
        assert_eq!(
            foreign_keys,
            [
                (json!(inserted), Value::Null, Value::Null),
                (json!(inserted), Value::Null, Value::Null)
            ]
        );
    }
}

/// What fails in a parallel worker fails in its leader; a statement that log_statement has printed tells how long it ran.
#[test]
fn a_real_server_reports_failures_once() {
    let Some(server) = Postgres::start(
        "log_statement = all\nlog_min_duration_statement = -1\nlog_duration = on\nlog_line_prefix = '%m [%p] %q%u@%d '\n",
    ) else {
        return;
    };
    server.psql(&[
        "create table big as select g as id from generate_series(1, 200000) g",
        "analyze big",
        "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set parallel_leader_participation = off",
        "select sum(1 / (id - 150000)) as parallel from big",
        "set statement_timeout = 300",
        "select pg_sleep(30) as timed_out",
    ]);
    let all = read(&server);
    assert_eq!(found(&all, "as parallel").len(), 1, "{all:#?}");
    let timed_out: Vec<&Value> = all
        .iter()
        .filter(|execution| {
            let sql = execution["query"]["normalizedSql"].as_str().unwrap();
            sql.contains("timed_out")
        })
        .collect();
    assert_eq!(timed_out.len(), 1);
    assert_eq!(timed_out[0]["durationSource"], "ELAPSED");
    let ran_ms = timed_out[0]["durationMs"].as_f64().unwrap();
    assert!((295.0..30_000.0).contains(&ran_ms), "{ran_ms}");
}

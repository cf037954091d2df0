//! What it costs to store executions, beside the same rows written by hand: a prepared loop over rusqlite, and one UNNEST for each table and
//! transaction over tokio-postgres.
//!
//! `cargo bench --bench ingest`, with `PLANTAIL_BENCH_POSTGRES=postgres://…` (an empty database on this machine that may be filled and emptied)
//! for PostgreSQL too; `-- sqlite`, `-- postgres`, `-- with-plans` and `-- without-plans` choose some of it. Rows written per CPU second of this process and of PostgreSQL's; medians of rounds in which both take turns.
//!
//! By hand the same values go into the same tables and indexes in as many transactions: executions, plans (compressed there too), analyses and
//! findings once, and after each batch every row of queries, statistics, users, shapes, counts, position and server that the batch has touched.
//! Those it takes as they were after the batch: it reads nothing, adds nothing up, merges no sketches and checks no position, which the store
//! has to.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot run has nothing to report"
)]

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use jiff::Timestamp;
use plantail::{
    model::{
        accounting::{Accounting, DurationKind},
        execution::{CapturedPlan, DurationSource, Execution, ExecutionId, ExecutionKind},
        finding::{Analysis, Finding, Rule, Severity},
        plan::{Plan, PlanFormat, PlanNode, PlanShape},
        position::{
            Anchor, Codec, FileHint, Generation, GenerationId, GenerationState, Head, LogFormat,
            Position, Server, ServerId,
        },
        query::Query,
    },
    store::{Batch, ClaimNumber, Config, Store, StoreUrl},
};
use rusqlite::types::Value;

const ROUNDS: usize = 5;
const BATCHES: u64 = 100;
const EXECUTIONS: u64 = 500;
/// Tables whose rows are written once.
const EVENTS: [&str; 4] = ["executions", "plans", "analyses", "findings"];
/// Tables of which every batch writes all rows, the first of each list of columns being the key.
const STATE: [(&str, &str); 9] = [
    ("servers", "id"),
    ("generations", "server_id, id"),
    ("checkpoints", "server_id, generation_id"),
    ("ingest_counts", "server_id, counter, key"),
    ("queries", "server_id, id"),
    ("plan_shapes", "server_id, query_id, shape"),
    ("query_stats", "server_id, query_id, hour"),
    ("query_stats_daily", "server_id, query_id, day"),
    (
        "query_users",
        "server_id, query_id, day, user_name, application_name",
    ),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |one: &str, other: &str| {
        let named = |name: &str| arguments.iter().any(|argument| argument == name);
        named(one) || !named(other)
    };
    for plans in [false, true] {
        let (what, one, other) = if plans {
            (
                "each with a plan, an analysis and a finding",
                "with-plans",
                "without-plans",
            )
        } else {
            ("without plans", "without-plans", "with-plans")
        };
        if !chosen(one, other) {
            continue;
        }
        println!("\n{BATCHES} batches of {EXECUTIONS} executions, {what}");
        if chosen("sqlite", "postgres") {
            sqlite(plans);
        }
        if let Ok(url) = std::env::var("PLANTAIL_BENCH_POSTGRES")
            && chosen("postgres", "sqlite")
        {
            postgres(&url, plans);
        }
    }
}

/// CPU seconds of a process, those of its children that have ended included.
fn cpu_s(process: &str) -> f64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else {
        return 0.0;
    };
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11..15]
        .iter()
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum();
    ticks / 100.0
}

/// The process that started another one.
fn parent(process: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1;
    fields.split_whitespace().nth(1).map(str::to_owned)
}

/// Of this process, and of a postmaster with all that it has started.
fn all_cpu_s(postmaster: Option<&str>) -> f64 {
    let own = cpu_s("self");
    let Some(postmaster) = postmaster else {
        return own;
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let children = processes.filter(|process| parent(process).as_deref() == Some(postmaster));
    own + cpu_s(postmaster) + children.map(|process| cpu_s(&process)).sum::<f64>()
}

/// Wall and CPU seconds of `f`.
fn timed(postmaster: Option<&str>, f: impl FnOnce()) -> (f64, f64) {
    let (began, cpu) = (Instant::now(), all_cpu_s(postmaster));
    f();
    (began.elapsed().as_secs_f64(), all_cpu_s(postmaster) - cpu)
}

fn report(what: &str, rows: u64, times: &[(f64, f64)]) -> f64 {
    let median = |pick: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = times.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (wall_s, cpu_s) = (median(|time| time.0), median(|time| time.1));
    let per_cpu_s = rows as f64 / cpu_s;
    println!(
        "  {what:<28} {rows:>8} rows  {wall_s:6.2} s wall  {cpu_s:6.2} CPU s  {per_cpu_s:>9.0} rows per CPU s"
    );
    per_cpu_s
}

fn sqlite(plans: bool) {
    let folder = tempfile::tempdir().unwrap();
    let by_store = folder.path().join("store.db");
    let by_hand = folder.path().join("hand.db");
    let fresh = |path: &Path| {
        for extension in ["db", "db-wal", "db-shm"] {
            let _ = fs::remove_file(path.with_extension(extension));
        }
        let url = StoreUrl::sqlite(path);
        let store = Store::open(&Config::from(url)).unwrap();
        store.ensure_server(&server()).unwrap();
        store
    };
    let batches = batches(plans);
    let written: Vec<Rows> = {
        let store = fresh(&by_store);
        let connection = rusqlite::Connection::open(&by_store).unwrap();
        batches
            .iter()
            .map(|batch| {
                ingest(&store, batch);
                written_by(batch, &connection)
            })
            .collect()
    };
    let rows = written
        .iter()
        .flat_map(|tables| tables.iter().map(|(_, rows)| rows.len() as u64))
        .sum();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let store = fresh(&by_store);
        ours.push(timed(None, || {
            batches.iter().for_each(|batch| ingest(&store, batch));
        }));
        drop(store);
        drop(fresh(&by_hand));
        theirs.push(timed(None, || loop_by_hand(&by_hand, &written)));
    }
    let ours = report("plantail into SQLite", rows, &ours);
    let theirs = report("rusqlite, prepared loop", rows, &theirs);
    println!("  ratio {:.2}", ours / theirs);
}

fn ingest(store: &Store, batch: &Batch) {
    store.ingest(batch, &|_| Vec::new()).unwrap();
}

/// `SELECT` for the rows that a batch has written to each table.
fn selects(batch: &Batch) -> Vec<(&'static str, &'static str, String)> {
    let starts = batch.executions.iter().map(|e| e.started_at);
    let (from, to) = (starts.clone().min().unwrap(), starts.max().unwrap());
    let between = format!(
        "WHERE started_at BETWEEN {} AND {}",
        from.as_microsecond(),
        to.as_microsecond()
    );
    let state = STATE.map(|(table, key)| (table, key, format!("SELECT * FROM {table}")));
    let events = EVENTS.map(|table| (table, "", format!("SELECT * FROM {table} {between}")));
    state.into_iter().chain(events).collect()
}

/// How a row is written by hand: an event once, any other again and again.
fn on_conflict(key: &str, columns: &[String]) -> String {
    if key.is_empty() {
        return "ON CONFLICT DO NOTHING".to_owned();
    }
    let set: Vec<String> = columns
        .iter()
        .filter(|column| !key.split(", ").any(|part| part == column.as_str()))
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    format!("ON CONFLICT ({key}) DO UPDATE SET {}", set.join(", "))
}

/// The rows of a batch: each table's statement, and values.
type Rows = Vec<(String, Vec<Vec<Value>>)>;

fn written_by(batch: &Batch, connection: &rusqlite::Connection) -> Rows {
    let rows_of = |(table, key, select): (&'static str, &str, String)| {
        let mut select = connection.prepare(&select).unwrap();
        let columns: Vec<String> = select
            .column_names()
            .iter()
            .map(|c| c.to_string())
            .collect();
        let rows = select
            .query_map([], |row| {
                columns
                    .iter()
                    .map(|column| {
                        let value = row.get::<_, Value>(column.as_str())?;
                        Ok(match value {
                            Value::Blob(frame) if column == "document" => {
                                Value::Blob(zstd::decode_all(frame.as_slice()).unwrap())
                            }
                            value => value,
                        })
                    })
                    .collect()
            })
            .unwrap();
        let text = format!(
            "INSERT INTO {table} ({}) VALUES ({}) {}",
            columns.join(", "),
            vec!["?"; columns.len()].join(", "),
            on_conflict(key, &columns)
        );
        (text, rows.map(Result::unwrap).collect())
    };
    selects(batch).into_iter().map(rows_of).collect()
}

/// The rows in as many transactions as the store had batches, with the settings that it has.
fn loop_by_hand(path: &Path, batches: &[Rows]) {
    let mut connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32768; \
             PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;",
        )
        .unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    for batch in batches {
        let transaction = connection.transaction().unwrap();
        for (text, rows) in batch {
            let mut insert = transaction.prepare_cached(text).unwrap();
            let plans = text.starts_with("INSERT INTO plans");
            for row in rows {
                for (at, value) in (1..).zip(row) {
                    match value {
                        Value::Blob(document) if plans => {
                            let frame = compressor.compress(document).unwrap();
                            insert.raw_bind_parameter(at, frame).unwrap();
                        }
                        value => insert.raw_bind_parameter(at, value).unwrap(),
                    }
                }
                insert.raw_execute().unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

fn server() -> Server {
    Server::named("bench")
}

fn batches(plans: bool) -> Vec<Batch> {
    (0..BATCHES).map(|number| batch(number, plans)).collect()
}

fn batch(number: u64, plans: bool) -> Batch {
    let server = server().id;
    let anchor = Anchor {
        offset_bytes: (number + 1) * EXECUTIONS,
        hash: u128::from(number),
    };
    let mut batch = Batch {
        server,
        claim: ClaimNumber::default(),
        generation: Generation {
            id: GenerationId(1),
            server_id: server,
            file: FileHint {
                path: "/var/log/postgresql/postgresql.log".into(),
                device: 1,
                inode: 1,
                size_bytes: 1,
                modified_us: 1,
            },
            format: LogFormat::Stderr,
            codec: Codec::Raw,
            head: Head {
                len_bytes: 4096,
                hash: 1,
            },
            state: GenerationState::Active,
            offset_bytes: anchor.offset_bytes,
            anchor,
            ladder: Vec::new(),
        },
        from_bytes: number * EXECUTIONS,
        executions: Vec::new(),
        plans: Vec::new(),
        analyses: Vec::new(),
        recommendations: Vec::new(),
        incidents: Vec::new(),
        incident_executions: Vec::new(),
        withdrawn: Vec::new(),
        gaps: Vec::new(),
        accounting: Accounting::default(),
        pairing: vec![0; 2000],
        newest: None,
        oldest: None,
        slow_threshold_ms: 1e9,
        max_queries: 50_000,
        enqueue_advice: false,
    };
    for position in number * EXECUTIONS..(number + 1) * EXECUTIONS {
        let execution = execution(server, position, plans);
        batch
            .accounting
            .add_duration(DurationKind::Statement, 1.5, "shop", "app");
        if plans {
            batch.plans.push(plan(&execution));
            batch.analyses.push(analysis(&execution));
        }
        batch.executions.push(execution);
    }
    let starts = batch.executions.iter().map(|e| e.started_at);
    batch.oldest = starts.clone().min();
    batch.newest = starts.max();
    batch
}

/// One of 40 queries, 2,000 executions a second.
fn execution(server: ServerId, number: u64, plans: bool) -> Execution {
    let position = Position {
        generation: GenerationId(1),
        offset_bytes: number,
    };
    let query = number.wrapping_mul(2_654_435_761) % 40;
    Execution {
        id: ExecutionId::at(position, 0),
        server_id: server,
        query: Query::new(
            server,
            "shop",
            format!(
                "select o.id, o.total from orders o join customers c on c.id = o.customer_id where o.region_{query} = $1"
            ),
        ),
        started_at: Timestamp::from_microsecond(1_795_165_200_000_000 + number as i64 * 500)
            .unwrap(),
        position,
        kind: ExecutionKind::Statement,
        user_name: Some("app".to_owned()),
        application_name: Some("checkout".to_owned()),
        process_id: Some(4711),
        session_id: Some("6a3f.1c2".to_owned()),
        duration_ms: Some((number % 977) as f64 * 1.25),
        duration_source: Some(DurationSource::Statement),
        parse_ms: None,
        bind_ms: None,
        rows: Some(3.0),
        sql_state: None,
        failed: false,
        parent_id: None,
        call_site: None,
        nested_count: 0,
        tags: Vec::new(),
        logged: None,
        server_query_id: Some(42),
        plan_count: u32::from(plans),
        open: false,
        time_assumed: false,
        weight: None,
    }
}

fn plan(execution: &Execution) -> CapturedPlan {
    let node = format!(
        r#"{{"Node Type": "Index Scan", "Parallel Aware": false, "Index Name": "orders_customer_id_idx", "Relation Name": "orders", "Alias": "o", "Startup Cost": 0.43, "Total Cost": {}, "Plan Rows": 10, "Plan Width": 24, "Actual Startup Time": 0.012, "Actual Total Time": 0.240, "Actual Rows": 12, "Actual Loops": 1}}"#,
        execution.position.offset_bytes
    );
    CapturedPlan {
        execution_id: execution.id,
        started_at: execution.started_at,
        ordinal: 0,
        duration_ms: 1.25,
        format: PlanFormat::Json,
        plan: Plan {
            shape: PlanShape(execution.query.id.0),
            root: PlanNode {
                node_type: "Nested Loop".to_owned(),
                ..PlanNode::default()
            },
            query_identifier: None,
            settings: None,
            document: format!(
                r#"{{"Plan": {{"Node Type": "Nested Loop", "Plans": [{node}, {node}, {node}]}}}}"#
            ),
        },
    }
}

fn analysis(execution: &Execution) -> Analysis {
    Analysis {
        server_id: execution.server_id,
        execution_id: execution.id,
        query_id: execution.query.id,
        started_at: execution.started_at,
        execution_time_ms: execution.duration_ms,
        seq_scan_detected: Some(false),
        severity: Some(Severity::Notice),
        findings: vec![Finding {
            rule: Rule::NestedLoopInner,
            severity: Severity::Notice,
            plan_ordinal: 0,
            node_path: Some("0.1".to_owned()),
            message: "the inner side ran 10,000 times".to_owned(),
            not_decidable: None,
        }],
    }
}

fn postgres(url: &str, plans: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (client, connection) = runtime
        .block_on(tokio_postgres::connect(url, tokio_postgres::NoTls))
        .unwrap();
    runtime.spawn(connection);
    let run = |sql: &str| runtime.block_on(client.batch_execute(sql)).unwrap();
    run(
        "SET jit = off; SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public",
    );
    let url: StoreUrl = url.parse().unwrap();
    let store = Store::open(&Config::from(url)).unwrap();
    let empty = || {
        let tables = STATE.map(|(table, _)| table).join(", ");
        run(&format!(
            "TRUNCATE {tables}, {} CASCADE; CHECKPOINT",
            EVENTS.join(", ")
        ));
        store.ensure_server(&server()).unwrap();
    };
    empty();
    let batches = batches(plans);
    let written: Vec<Vec<PgRows>> = batches
        .iter()
        .map(|batch| {
            ingest(&store, batch);
            runtime.block_on(pg_written_by(batch, &client))
        })
        .collect();
    let rows = written.iter().flatten().map(|table| table.rows).sum();
    let pid = runtime.block_on(client.query_one("SELECT pg_backend_pid()", &[]));
    let pid: i32 = pid.unwrap().get(0);
    let postmaster = parent(&pid.to_string());
    let postmaster = postmaster.as_deref();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        empty();
        ours.push(timed(postmaster, || {
            batches.iter().for_each(|batch| ingest(&store, batch));
        }));
        empty();
        theirs.push(timed(postmaster, || {
            runtime.block_on(unnest_by_hand(&client, &written))
        }));
    }
    let ours = report("plantail into PostgreSQL", rows, &ours);
    let theirs = report("tokio-postgres, UNNEST", rows, &theirs);
    println!("  ratio {:.2}", ours / theirs);
}

/// One column's values, typed as they are sent.
enum PgColumn {
    Int8(Vec<Option<i64>>),
    Float8(Vec<Option<f64>>),
    Text(Vec<Option<String>>),
    Bytea(Vec<Option<Vec<u8>>>),
    Bool(Vec<Option<bool>>),
    /// To be compressed.
    Documents(Vec<Vec<u8>>),
}

/// The rows of a batch in one table, with the statement that writes them.
struct PgRows {
    text: String,
    columns: Vec<PgColumn>,
    rows: u64,
}

async fn pg_written_by(batch: &Batch, client: &tokio_postgres::Client) -> Vec<PgRows> {
    let mut written = Vec::new();
    for (table, key, select) in selects(batch) {
        let select = client.prepare(&select).await.unwrap();
        let rows = client.query(&select, &[]).await.unwrap();
        if rows.is_empty() {
            continue;
        }
        let (mut names, mut columns, mut arrays) = (Vec::new(), Vec::new(), Vec::new());
        for (at, column) in select.columns().iter().enumerate() {
            let kind = column.type_().name();
            arrays.push(format!("${}::{kind}[]", at + 1));
            names.push(column.name().to_owned());
            columns.push(match kind {
                "int8" => PgColumn::Int8(rows.iter().map(|row| row.get(at)).collect()),
                "float8" => PgColumn::Float8(rows.iter().map(|row| row.get(at)).collect()),
                "bytea" if column.name() == "document" => {
                    let document =
                        |row: &tokio_postgres::Row| zstd::decode_all(row.get::<_, &[u8]>(at));
                    PgColumn::Documents(rows.iter().map(|row| document(row).unwrap()).collect())
                }
                "bytea" => PgColumn::Bytea(rows.iter().map(|row| row.get(at)).collect()),
                "bool" => PgColumn::Bool(rows.iter().map(|row| row.get(at)).collect()),
                "text" => PgColumn::Text(rows.iter().map(|row| row.get(at)).collect()),
                other => panic!("a column of type {other}"),
            });
        }
        let text = format!(
            "INSERT INTO {table} ({}) SELECT * FROM unnest({}) {}",
            names.join(", "),
            arrays.join(", "),
            on_conflict(key, &names)
        );
        written.push(PgRows {
            text,
            columns,
            rows: rows.len() as u64,
        });
    }
    written
}

async fn unnest_by_hand(client: &tokio_postgres::Client, batches: &[Vec<PgRows>]) {
    use tokio_postgres::types::ToSql;

    let mut prepared: BTreeMap<&str, tokio_postgres::Statement> = BTreeMap::new();
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    for batch in batches {
        client.batch_execute("BEGIN").await.unwrap();
        for table in batch {
            if !prepared.contains_key(table.text.as_str()) {
                let statement = client.prepare(&table.text).await.unwrap();
                prepared.insert(&table.text, statement);
            }
            let mut frames: Vec<Vec<Vec<u8>>> = Vec::new();
            for column in &table.columns {
                if let PgColumn::Documents(documents) = column {
                    let compressed = documents.iter().map(|d| compressor.compress(d).unwrap());
                    frames.push(compressed.collect());
                }
            }
            let mut frames = frames.iter();
            let values: Vec<&(dyn ToSql + Sync)> = table
                .columns
                .iter()
                .map(|column| -> &(dyn ToSql + Sync) {
                    match column {
                        PgColumn::Int8(values) => values,
                        PgColumn::Float8(values) => values,
                        PgColumn::Text(values) => values,
                        PgColumn::Bytea(values) => values,
                        PgColumn::Bool(values) => values,
                        PgColumn::Documents(_) => frames.next().unwrap(),
                    }
                })
                .collect();
            let statement = &prepared[table.text.as_str()];
            client.execute(statement, &values).await.unwrap();
        }
        client.batch_execute("COMMIT").await.unwrap();
    }
}

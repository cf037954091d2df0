//! What it costs to store executions, beside the same rows written by hand: a prepared loop over rusqlite, and one UNNEST for each table and
//! transaction over tokio-postgres.
//!
//! `cargo bench --bench ingest`, with `PLANTAIL_BENCH_POSTGRES=postgres://…` (an empty database on this machine that may be filled and emptied)
//! for PostgreSQL too. Rows of all tables per CPU second of every process involved; medians of rounds in which both take turns.

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
/// Tables that executions fill; those with one row per server or generation are left out of the count.
const TABLES: [&str; 5] = ["queries", "executions", "plans", "analyses", "findings"];

fn main() {
    for plans in [false, true] {
        println!(
            "\n{BATCHES} batches of {EXECUTIONS} executions, {}",
            if plans {
                "each with a plan, an analysis and a finding"
            } else {
                "without plans"
            }
        );
        sqlite(plans);
        if let Ok(url) = std::env::var("PLANTAIL_BENCH_POSTGRES") {
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

/// Of this process and of every process of PostgreSQL.
fn all_cpu_s() -> f64 {
    let mut total = cpu_s("self");
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| name.parse::<u32>().is_ok()) else {
            continue;
        };
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if command.trim() == "postgres" {
            total += cpu_s(pid);
        }
    }
    total
}

/// Wall and CPU seconds of `f`.
fn timed(f: impl FnOnce()) -> (f64, f64) {
    let (began, cpu) = (Instant::now(), all_cpu_s());
    f();
    (began.elapsed().as_secs_f64(), all_cpu_s() - cpu)
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
    let (mut ours, mut theirs, mut rows) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        for path in [&by_store, &by_hand] {
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(path.with_extension("db-wal"));
            let _ = fs::remove_file(path.with_extension("db-shm"));
        }
        let batches = batches(plans);
        let store = Store::open(&Config {
            url: StoreUrl::sqlite(&by_store),
        })
        .unwrap();
        store.ensure_server(&server()).unwrap();
        ours.push(timed(|| ingest(&store, &batches)));
        drop(store);
        let stored = stored(&by_store);
        rows = stored.values().map(|rows| rows.len() as u64).sum();
        drop(Store::open(&Config {
            url: StoreUrl::sqlite(&by_hand),
        }));
        theirs.push(timed(|| loop_by_hand(&by_hand, &stored)));
    }
    let ours = report("plantail into SQLite", rows, &ours);
    let theirs = report("rusqlite, prepared loop", rows, &theirs);
    println!("  ratio {:.2}", ours / theirs);
}

fn ingest(store: &Store, batches: &[Batch]) {
    for batch in batches {
        store.ingest(batch, &|_| Vec::new()).unwrap();
    }
}

type Rows = BTreeMap<&'static str, Vec<Vec<Value>>>;

fn stored(path: &Path) -> Rows {
    let connection = rusqlite::Connection::open(path).unwrap();
    TABLES
        .into_iter()
        .map(|table| {
            let mut select = connection
                .prepare(&format!("SELECT * FROM {table}"))
                .unwrap();
            let columns = select.column_count();
            let rows = select
                .query_map([], |row| {
                    (0..columns)
                        .map(|column| row.get::<_, Value>(column))
                        .collect()
                })
                .unwrap();
            (table, rows.map(Result::unwrap).collect())
        })
        .collect()
}

/// The rows in as many transactions as the store had batches, with the settings that it has.
fn loop_by_hand(path: &Path, rows: &Rows) {
    let mut connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4000; \
             PRAGMA foreign_keys = OFF;",
        )
        .unwrap();
    for number in 0..BATCHES as usize {
        let transaction = connection.transaction().unwrap();
        for (table, rows) in rows {
            let share = rows.len().div_ceil(BATCHES as usize);
            let Some(rows) = rows.get(number * share..) else {
                continue;
            };
            let Some(first) = rows.first() else { continue };
            let values = vec!["?"; first.len()].join(", ");
            let mut insert = transaction
                .prepare_cached(&format!("INSERT INTO {table} VALUES ({values})"))
                .unwrap();
            for row in rows.iter().take(share) {
                insert.execute(rusqlite::params_from_iter(row)).unwrap();
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
    run("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    let store = Store::open(&Config {
        url: url.parse().unwrap(),
    })
    .unwrap();
    let (mut ours, mut theirs, mut rows) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let empty = || {
            run(
                "TRUNCATE servers, generations, checkpoints, ingest_counts, queries, executions, plan_shapes, plans, analyses, findings, query_stats CASCADE",
            );
            store.ensure_server(&server()).unwrap();
        };
        empty();
        let batches = batches(plans);
        ours.push(timed(|| ingest(&store, &batches)));
        let tables = runtime.block_on(pg_columns(&client));
        rows = tables.values().map(|table| table.rows as u64).sum();
        empty();
        theirs.push(timed(|| runtime.block_on(unnest_by_hand(&client, &tables))));
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
}

struct PgTable {
    names: Vec<String>,
    columns: Vec<PgColumn>,
    rows: usize,
}

async fn pg_columns(client: &tokio_postgres::Client) -> BTreeMap<&'static str, PgTable> {
    let mut tables = BTreeMap::new();
    for table in TABLES {
        let select = client
            .prepare(&format!("SELECT * FROM {table}"))
            .await
            .unwrap();
        let rows = client.query(&select, &[]).await.unwrap();
        let columns = select.columns().iter().enumerate();
        let columns: Vec<PgColumn> = columns
            .map(|(at, column)| match column.type_().name() {
                "int8" => PgColumn::Int8(rows.iter().map(|row| row.get(at)).collect()),
                "float8" => PgColumn::Float8(rows.iter().map(|row| row.get(at)).collect()),
                "bytea" => PgColumn::Bytea(rows.iter().map(|row| row.get(at)).collect()),
                "bool" => PgColumn::Bool(rows.iter().map(|row| row.get(at)).collect()),
                _ => PgColumn::Text(rows.iter().map(|row| row.get(at)).collect()),
            })
            .collect();
        let table_rows = PgTable {
            names: select
                .columns()
                .iter()
                .map(|column| column.name().to_owned())
                .collect(),
            columns,
            rows: rows.len(),
        };
        tables.insert(table, table_rows);
    }
    tables
}

async fn unnest_by_hand(client: &tokio_postgres::Client, tables: &BTreeMap<&'static str, PgTable>) {
    use tokio_postgres::types::ToSql;

    let mut prepared = BTreeMap::new();
    for number in 0..BATCHES as usize {
        client.batch_execute("BEGIN").await.unwrap();
        // Parents first.
        for table in TABLES {
            let stored = &tables[table];
            let share = stored.rows.div_ceil(BATCHES as usize);
            let from = (number * share).min(stored.rows);
            let to = (from + share).min(stored.rows);
            if from == to {
                continue;
            }
            let casts: Vec<String> = stored
                .columns
                .iter()
                .enumerate()
                .map(|(at, column)| {
                    let kind = match column {
                        PgColumn::Int8(_) => "int8",
                        PgColumn::Float8(_) => "float8",
                        PgColumn::Text(_) => "text",
                        PgColumn::Bytea(_) => "bytea",
                        PgColumn::Bool(_) => "bool",
                    };
                    format!("${}::{kind}[]", at + 1)
                })
                .collect();
            let text = format!(
                "INSERT INTO {table} ({}) SELECT * FROM unnest({}) ON CONFLICT DO NOTHING",
                stored.names.join(", "),
                casts.join(", ")
            );
            if !prepared.contains_key(table) {
                prepared.insert(table, client.prepare(&text).await.unwrap());
            }
            let values: Vec<Box<dyn ToSql + Sync>> = stored
                .columns
                .iter()
                .map(|column| -> Box<dyn ToSql + Sync> {
                    match column {
                        PgColumn::Int8(values) => Box::new(values[from..to].to_vec()),
                        PgColumn::Float8(values) => Box::new(values[from..to].to_vec()),
                        PgColumn::Text(values) => Box::new(values[from..to].to_vec()),
                        PgColumn::Bytea(values) => Box::new(values[from..to].to_vec()),
                        PgColumn::Bool(values) => Box::new(values[from..to].to_vec()),
                    }
                })
                .collect();
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value).collect();
            client.execute(&prepared[table], &values).await.unwrap();
        }
        client.batch_execute("COMMIT").await.unwrap();
    }
}

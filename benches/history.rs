//! What the history costs to read in a store with 10 million rows of query_stats: 4,630 queries in every hour of 90 days. The summary of a day,
//! a query's trend over 90 days, its percentiles, the 50 largest queries of a week; wall and CPU time, PostgreSQL's processes included.
//!
//! `cargo bench --bench history`, with `PLANTAIL_BENCH_POSTGRES=postgres://…` (an empty database that may be filled, on this machine) for PostgreSQL
//! too. The stores are filled by SQL, which takes a minute or two each, unless they are full already: `HISTORY_STORE` names a SQLite file that
//! stays. `HISTORY_QUERIES` makes the stores smaller or larger.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot run has nothing to report"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};
use plantail::{
    digest,
    model::{
        position::{Server, ServerId},
        query::QueryId,
    },
    store::{Bucket, Config, Reader, Store, StoreUrl, TopOrder, TopQueries},
};

const DAYS: i64 = 90;
const DAY: SignedDuration = SignedDuration::from_hours(24);
const RUNS: usize = 21;
/// Milliseconds.
const GOAL_MS: f64 = 100.0;

fn main() {
    let queries = env::var("HISTORY_QUERIES").map_or(4630, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let given = env::var_os("HISTORY_STORE").map(PathBuf::from);
    let path = given.unwrap_or_else(|| folder.path().join("history.db"));
    println!("SQLite");
    let store = open(StoreUrl::sqlite(&path));
    fill_sqlite(&path, server().id, queries);
    measure(&store, None, queries);
    if let Ok(url) = env::var("PLANTAIL_BENCH_POSTGRES") {
        println!("PostgreSQL");
        let store = open(url.parse().unwrap());
        let postmaster = fill_postgres(&url, server().id, queries);
        measure(&store, postmaster.as_deref(), queries);
    }
}

fn server() -> Server {
    Server::named("bench")
}

fn open(url: StoreUrl) -> Store {
    let store = Store::open(&Config::from(url)).unwrap();
    store.ensure_server(&server()).unwrap();
    store
}

/// First midnight.
fn begin() -> Timestamp {
    "2026-08-22T00:00:00Z".parse().unwrap()
}

/// Three calls of every query in every hour. In the order of time, as they would have been written in the course of the days.
fn rows(
    server: ServerId,
    days_us: &str,
    [queries, hours]: [&str; 2],
    [hour_sketch, day_sketch]: [&str; 2],
) -> [String; 4] {
    let (server, begin) = (server.0, begin().as_microsecond());
    [
        format!(
            "UPDATE servers SET first_seen = {begin}, last_seen = {begin} + {days_us} - 1 WHERE id = {server}"
        ),
        format!(
            "INSERT INTO queries (server_id, id, database_name, normalized_sql, first_seen, last_seen, calls, failed, timed_calls, total_ms, max_ms) \
             SELECT {server}, i * 1000003, 'shop', 'select ' || i || '{}', {begin}, {begin} + {days_us} - 1, \
                    {DAYS} * 72, 0, {DAYS} * 72, {DAYS} * 24 * 50.0, 900.0 \
               FROM {queries}",
            "x".repeat(400)
        ),
        format!(
            "INSERT INTO query_stats (server_id, query_id, hour, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls, \
                                      nested_ms, estimated_calls, weighed_calls, sketch) \
             SELECT q.server_id, q.id, {begin} + h.i * 3600000000, 3, 0, 10.0 + (q.id % 97), 3, 0.05, 900.0, 3.0, 0, 0.0, 0.0, 0, {hour_sketch} \
               FROM {hours}"
        ),
        format!(
            "INSERT INTO query_stats_daily (server_id, query_id, day, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls, \
                                            nested_ms, estimated_calls, weighed_calls, sketch) \
             SELECT server_id, query_id, hour - hour % 86400000000 AS day, sum(calls), sum(failed), sum(total_ms), sum(timed_calls), \
                    min(min_ms), max(max_ms), sum(rows), sum(nested_calls), sum(nested_ms), 0.0, 0, {day_sketch} \
               FROM query_stats GROUP BY server_id, query_id, hour - hour % 86400000000 ORDER BY 1, 3, 2"
        ),
    ]
}

const HOUR_SKETCH: &str = "0503ab0202a00502b40502";
const DAY_SKETCH: &str = "0503ab0230a00530b40530";

fn filled(began: Instant, queries: i64, size_bytes: u64) {
    println!(
        "  filled with {} rows of query_stats in {:.0} s: {size_bytes} bytes",
        queries * DAYS * 24,
        began.elapsed().as_secs_f64()
    );
}

fn fill_sqlite(path: &Path, server: ServerId, queries: i64) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let is_full = "SELECT EXISTS (SELECT 1 FROM query_stats)";
    if connection.query_one(is_full, [], |row| row.get(0)).unwrap() {
        return;
    }
    let began = Instant::now();
    // Of SQLite's hours those of a query lie together: written in that order they go faster.
    let [servers, of_queries, hours, days] = rows(
        server,
        &format!("{DAYS} * 86400000000"),
        [
            "n",
            "(SELECT server_id, id FROM queries ORDER BY id) q CROSS JOIN h",
        ],
        [&format!("x'{HOUR_SKETCH}'"), &format!("x'{DAY_SKETCH}'")],
    );
    // The indexes are made at the end: that takes half the time.
    let fill = format!(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;
         BEGIN;
         DROP INDEX query_stats_by_hour;
         DROP INDEX query_stats_daily_of_query;
         {servers};
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {queries}) {of_queries};
         WITH RECURSIVE h (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM h LIMIT {DAYS} * 24) {hours};
         {days};
         CREATE INDEX query_stats_by_hour ON query_stats (server_id, hour);
         CREATE INDEX query_stats_daily_of_query ON query_stats_daily (server_id, query_id, day);
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE)"
    );
    connection.execute_batch(&fill).unwrap();
    filled(began, queries, fs::metadata(path).unwrap().len());
}

/// Gives the process that all of PostgreSQL's were started by, where it is on this machine.
fn fill_postgres(url: &str, server: ServerId, queries: i64) -> Option<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connecting = tokio_postgres::connect(url, tokio_postgres::NoTls);
    let (client, connection) = runtime.block_on(connecting).unwrap();
    runtime.spawn(connection);
    let one = |sql: &str| runtime.block_on(client.query_one(sql, &[])).unwrap();
    let run = |sql: &str| runtime.block_on(client.batch_execute(sql)).unwrap();
    if !one("SELECT EXISTS (SELECT 1 FROM query_stats)").get::<_, bool>(0) {
        let began = Instant::now();
        let [servers, of_queries, hours, days] = rows(
            server,
            &format!("{DAYS} * 86400000000::bigint"),
            [
                &format!("generate_series(0::bigint, {queries} - 1) i"),
                &format!(
                    "generate_series(0::bigint, {DAYS} * 24 - 1) h (i) CROSS JOIN (SELECT server_id, id FROM queries ORDER BY id) q"
                ),
            ],
            [
                &format!("'\\x{HOUR_SKETCH}'::bytea"),
                &format!("'\\x{DAY_SKETCH}'::bytea"),
            ],
        );
        for statement in [servers, of_queries, hours, days] {
            run(&statement);
        }
        run("VACUUM ANALYZE");
        let size: i64 = one("SELECT pg_database_size(current_database())").get(0);
        filled(began, queries, size.unsigned_abs());
    }
    parent(&one("SELECT pg_backend_pid()").get::<_, i32>(0).to_string())
}

/// The process that started another one.
fn parent(process: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1;
    fields.split_whitespace().nth(1).map(str::to_owned)
}

/// CPU milliseconds of all threads of a process.
fn cpu_ms(process: &str) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let of_thread = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<f64>().ok()
    };
    let threads = threads.into_iter().flatten().flatten();
    threads.filter_map(of_thread).sum::<f64>() / 1e6
}

/// Of this process, and of those that the postmaster has started.
fn all_cpu_ms(postmaster: Option<&str>) -> f64 {
    let own = cpu_ms("self");
    let Some(postmaster) = postmaster else {
        return own;
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let children = processes.filter(|process| parent(process).as_deref() == Some(postmaster));
    own + children.map(|process| cpu_ms(&process)).sum::<f64>()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(store: &Store, postmaster: Option<&str>, queries: i64) {
    let newest = begin() + DAY * DAYS as i32 - SignedDuration::from_micros(1);
    let key = (server().id, QueryId(queries / 2 * 1_000_003));
    let bench = |name: &str, read: &dyn Fn(&mut Reader<'_>)| {
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        for run in 0..=RUNS {
            let cpu_before = all_cpu_ms(postmaster);
            let began = Instant::now();
            store
                .read(|reader| {
                    read(reader);
                    Ok(())
                })
                .unwrap();
            let wall_ms = began.elapsed().as_secs_f64() * 1e3;
            // The first run opens the connection and reads from the disk.
            if run > 0 {
                wall.push(wall_ms);
                cpu.push(all_cpu_ms(postmaster) - cpu_before);
            }
        }
        let (wall_ms, cpu_ms) = (median(wall), median(cpu));
        let met = if wall_ms < GOAL_MS { "met" } else { "MISSED" };
        println!(
            "  {name:<52} {wall_ms:7.1} ms wall {cpu_ms:7.1} ms CPU  goal < {GOAL_MS} ms: {met}"
        );
    };
    // At midnight, 06:00, …: hours of the day before the newest one that are in a summary of 24 hours. The newest day stands for the day so far.
    for (at, hours) in [("00:00", 0), ("18:00", 6), ("12:00", 12), ("01:00", 23)] {
        let since = begin() + DAY * (DAYS as i32 - 1) - SignedDuration::from_hours(hours);
        let name = format!("summary at {at}: a day's rows and {hours} hours");
        bench(&name, &|reader| {
            let window = digest::Window {
                since: digest::Since::At(since),
                until: None,
            };
            let summary = digest::build(reader, &window, &digest::Config::default()).unwrap();
            assert_eq!(summary.servers[0].queries, queries.unsigned_abs());
        });
    }
    bench("top 50 of a week", &|reader| {
        let page = TopQueries {
            since: newest - DAY * 7 - SignedDuration::from_hours(12),
            until: None,
            server: None,
            order_by: TopOrder::TotalMs,
            limit: 50,
        };
        assert_eq!(reader.top_queries(&page).unwrap().len(), 50);
    });
    for (name, bucket) in [("days", Bucket::Day), ("hours", Bucket::Hour)] {
        bench(&format!("trend over 90 days by {name}"), &|reader| {
            let trend = reader.trend(&[key], begin(), newest, bucket).unwrap();
            assert!(trend[&key].len() >= 90);
        });
    }
    bench("percentiles of 90 days", &|reader| {
        let told = reader.percentiles(&[key], begin(), newest).unwrap();
        assert!(told[&key].calls > 0);
    });
}

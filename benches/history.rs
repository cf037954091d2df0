//! What the history costs to read in a store with 10 million rows of query_stats: 4,630 queries in every hour of 90 days. The summary of a day,
//! a query's trend over 90 days, its percentiles, the 50 largest queries of a week.
//!
//! `cargo bench --bench history`. The store is filled by SQL, which takes about a minute, unless `HISTORY_STORE` names one that was filled
//! before; HISTORY_QUERIES makes it smaller or larger.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a benchmark that cannot run says so and has nothing to report"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use criterion::{Criterion, criterion_group, criterion_main};
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

/// First midnight.
fn begin() -> Timestamp {
    "2026-08-22T00:00:00Z".parse().unwrap()
}

fn fill(path: &Path, server: ServerId, queries: i64) {
    let began = Instant::now();
    let (server, begin) = (server.0, begin().as_microsecond());
    let connection = rusqlite::Connection::open(path).unwrap();
    // Three calls in every hour. The indexes are made at the end: that takes half the time.
    let fill = format!(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;
         BEGIN;
         DROP INDEX query_stats_by_hour;
         DROP INDEX query_stats_daily_by_day;
         UPDATE servers SET first_seen = {begin}, last_seen = {begin} + {DAYS} * 86400000000 - 1 WHERE id = {server};
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {queries})
         INSERT INTO queries (server_id, id, database_name, normalized_sql, first_seen, last_seen, calls, failed, timed_calls, total_ms, max_ms)
         SELECT {server}, i * 1000003, 'shop', 'select ' || i || printf('%.*c', 400, 'x'), {begin}, {begin} + {DAYS} * 86400000000 - 1,
                {DAYS} * 72, 0, {DAYS} * 72, {DAYS} * 24 * 50.0, 900.0
           FROM n;
         WITH RECURSIVE h (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM h LIMIT {DAYS} * 24)
         INSERT INTO query_stats (server_id, query_id, hour, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls,
                                  nested_ms, estimated_calls, weighed_calls, sketch)
         SELECT q.server_id, q.id, {begin} + h.i * 3600000000, 3, 0, 10.0 + (q.id % 97), 3, 0.05, 900.0, 3.0, 0, 0.0, 0.0, 0,
                x'0503ab0202a00502b40502'
           FROM (SELECT server_id, id FROM queries ORDER BY id) q CROSS JOIN h;
         INSERT INTO query_stats_daily (server_id, query_id, day, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls,
                                        nested_ms, estimated_calls, weighed_calls, sketch)
         SELECT server_id, query_id, hour - hour % 86400000000 AS day, sum(calls), sum(failed), sum(total_ms), sum(timed_calls),
                min(min_ms), max(max_ms), sum(rows), sum(nested_calls), sum(nested_ms), 0.0, 0, x'0503ab0230a00530b40530'
           FROM query_stats GROUP BY server_id, query_id, day;
         CREATE INDEX query_stats_by_hour ON query_stats (server_id, hour);
         CREATE INDEX query_stats_daily_by_day ON query_stats_daily (server_id, day);
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE)"
    );
    connection.execute_batch(&fill).unwrap();
    let size_bytes = fs::metadata(path).unwrap().len();
    eprintln!(
        "filled {} with {} rows of query_stats in {:?}: {size_bytes} bytes",
        path.display(),
        queries * DAYS * 24,
        began.elapsed()
    );
}

fn history(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let given = env::var_os("HISTORY_STORE").map(PathBuf::from);
    let path = given.unwrap_or_else(|| folder.path().join("history.db"));
    let is_new = !path.exists();
    let queries = env::var("HISTORY_QUERIES").map_or(4630, |n| n.parse().unwrap());
    let config = Config::from(StoreUrl::sqlite(&path));
    let server = Server::named("bench");
    let store = Store::open(&config).unwrap();
    store.ensure_server(&server).unwrap();
    if is_new {
        fill(&path, server.id, queries);
    }
    let newest = begin() + DAY * DAYS as i32 - SignedDuration::from_micros(1);
    let key = (server.id, QueryId(queries / 2 * 1_000_003));
    let mut group = criterion.benchmark_group("history");
    group.sample_size(10);
    let mut bench = |name: &str, read: &dyn Fn(&mut Reader<'_>)| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                store
                    .read(|reader| {
                        read(reader);
                        Ok(())
                    })
                    .unwrap();
            });
        });
    };
    // A summary at 18:00 reads the day's row and six hours of the day before; the store's newest day stands for the day so far.
    for hours in [0, 6, 12, 23] {
        let since = begin() + DAY * (DAYS as i32 - 1) - SignedDuration::from_hours(hours);
        bench(
            &format!("summary of a day, {hours} hours of it before midnight"),
            &|reader| {
                let window = digest::Window {
                    since: digest::Since::At(since),
                    until: None,
                };
                let summary = digest::build(reader, &window, &digest::Config::default()).unwrap();
                assert_eq!(summary.servers[0].queries, queries.unsigned_abs());
            },
        );
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
    group.finish();
}

criterion_group!(benches, history);
criterion_main!(benches);

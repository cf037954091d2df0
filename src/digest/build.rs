//! Makes the digest of a window of log time from the store: which queries were slow, which of them are new or slower than they were, and what the
//! rules said of them. A handful of SQL statements, however many servers and queries there are.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use super::{Config, Since, Window};
use crate::{
    model::{
        digest::{Digest, Novelty, ServerDigest, SlowQuery},
        finding::{Finding, Severity},
        query::Query,
        recommendation::{Recommendation, Source},
    },
    store::{Error, ExecutionKey, QueryActivity, QueryKey, Reader, ServerRow},
};

/// A server known for less than this has nothing to compare with.
const FIRST_LOOK: Duration = Duration::from_secs(24 * 3600);
/// A mean is compared with its past when it is made of at least so many executions, and its past of at least so many.
const REGRESSION_CALLS: u64 = 20;
const REGRESSION_CALLS_BEFORE: u64 = 50;
/// A regression that stays under the slow threshold matters from this part of the server's logged time on.
const REGRESSION_SHARE: f64 = 0.01;
/// Findings of one query in a digest.
const FINDINGS: usize = 3;
/// Recommendations of one query in a digest.
const RECOMMENDATIONS: u32 = 3;

/// The slow queries of the window.
pub fn build(reader: &mut Reader<'_>, window: &Window, config: &Config) -> Result<Digest, Error> {
    let servers = reader.servers()?;
    let newest = servers.iter().filter_map(|server| server.last_seen).max();
    let mut digest = Digest {
        as_of: None,
        since: None,
        slow_threshold_ms: config.slow_threshold_ms,
        servers: Vec::new(),
    };
    let Some(newest) = newest else {
        return Ok(digest);
    };
    let as_of = window.until.map_or(newest, |until| until.min(newest));
    let since = full_hour(match window.since {
        Since::At(since) => since,
        Since::Before(length) => as_of.checked_sub(length).unwrap_or(Timestamp::MIN),
    });
    digest.as_of = Some(as_of);
    digest.since = Some(since);

    let mut accounting = reader.accounting()?;
    let mut activity = reader.activity(since, Some(as_of).filter(|as_of| *as_of < newest))?;
    let mut slow = Vec::new();
    for ServerRow {
        server,
        first_seen,
        last_seen,
    } in servers
    {
        let (Some(first_seen), Some(last_seen)) = (first_seen, last_seen) else {
            continue;
        };
        let queries = activity.remove(&server.id).unwrap_or_default();
        let mut summed = ServerDigest {
            first_seen,
            last_seen,
            executions: queries
                .iter()
                .map(|query| query.calls - query.nested_calls)
                .sum(),
            total_ms: queries
                .iter()
                .map(|query| query.total_ms - query.nested_ms)
                // The empty sum of floats is -0.0.
                .fold(0.0, |sum, ms| sum + ms),
            failed: queries.iter().map(|query| query.failed).sum(),
            queries: queries.len() as u64,
            slow_queries: Vec::new(),
            more_slow_queries: 0,
            accounting: accounting.remove(&server.id).unwrap_or_default(),
            server,
        };
        let past = Past {
            server_first_seen: first_seen,
            since,
            as_of,
            total_ms: summed.total_ms,
        };
        let mut chosen: Vec<(Novelty, QueryActivity)> = queries
            .into_iter()
            .filter_map(|query| Some((novelty(&query, &past, config)?, query)))
            .collect();
        chosen.sort_by(|(a_novelty, a), (b_novelty, b)| {
            a_novelty
                .cmp(b_novelty)
                .then(b.total_ms.total_cmp(&a.total_ms))
                .then(a.query_id.cmp(&b.query_id))
        });
        summed.more_slow_queries = chosen.len().saturating_sub(config.max_queries) as u64;
        chosen.truncate(config.max_queries);
        slow.push(chosen);
        digest.servers.push(summed);
    }
    add_slow_queries(reader, &mut digest.servers, slow, since, as_of)?;
    Ok(digest)
}

/// What a query of one server is compared with.
struct Past {
    server_first_seen: Timestamp,
    since: Timestamp,
    as_of: Timestamp,
    /// The server's logged time in the window.
    total_ms: f64,
}

/// Why the query belongs into the digest; `None` if it doesn't.
fn novelty(query: &QueryActivity, past: &Past, config: &Config) -> Option<Novelty> {
    let known_for = |at: Timestamp| at.duration_since(past.server_first_seen).unsigned_abs();
    let slow = query
        .max_ms
        .is_some_and(|max_ms| max_ms >= config.slow_threshold_ms);
    if query.first_seen >= past.since {
        let novelty = match known_for(query.first_seen) >= FIRST_LOOK {
            true => Novelty::New,
            false => Novelty::FirstLook,
        };
        return slow.then_some(novelty);
    }
    let comparable = query.timed_calls >= REGRESSION_CALLS
        && query.timed_calls_before >= REGRESSION_CALLS_BEFORE;
    let before_ms = mean(query.total_before_ms, query.timed_calls_before);
    let now_ms = mean(query.total_ms, query.timed_calls);
    if comparable
        && now_ms >= before_ms.map(|ms| ms * config.regression_ratio)
        && (slow || query.total_ms >= past.total_ms * REGRESSION_SHARE)
    {
        return Some(Novelty::Regressed);
    }
    let novelty = match known_for(past.as_of) >= FIRST_LOOK {
        true => Novelty::Known,
        false => Novelty::FirstLook,
    };
    slow.then_some(novelty)
}

fn mean(total_ms: f64, timed_calls: u64) -> Option<f64> {
    (timed_calls > 0).then(|| total_ms / timed_calls as f64)
}

/// Completes the chosen queries with text, findings and recommendations.
fn add_slow_queries(
    reader: &mut Reader<'_>,
    servers: &mut [ServerDigest],
    slow: Vec<Vec<(Novelty, QueryActivity)>>,
    since: Timestamp,
    as_of: Timestamp,
) -> Result<(), Error> {
    let keys: Vec<QueryKey> = servers
        .iter()
        .zip(&slow)
        .flat_map(|(server, chosen)| {
            chosen
                .iter()
                .map(|(_, query)| (server.server.id, query.query_id))
        })
        .collect();
    let end = as_of
        .checked_add(Duration::from_micros(1))
        .unwrap_or(Timestamp::MAX);
    let rows = reader.query_rows(&keys)?;
    let analyses = reader.analyses_between(&keys, since, end, 1)?;
    let slowest: Vec<ExecutionKey> = analyses
        .values()
        .flatten()
        .map(ExecutionKey::of_analysis)
        .collect();
    let mut findings = reader.findings_of(&slowest)?;
    let mut recommendations = reader.recommendations_of(&keys, RECOMMENDATIONS)?;
    let mut texts: HashMap<QueryKey, Query> = rows
        .into_iter()
        .map(|row| ((row.query.server_id, row.query.id), row.query))
        .collect();
    for (server, chosen) in servers.iter_mut().zip(slow) {
        for (novelty, activity) in chosen {
            let key = (server.server.id, activity.query_id);
            let Some(query) = texts.remove(&key) else {
                continue;
            };
            let mut findings: Vec<Finding> = analyses
                .get(&key)
                .and_then(|analyses| analyses.first())
                .and_then(|analysis| findings.remove(&ExecutionKey::of_analysis(analysis)))
                .unwrap_or_default();
            let worst = findings.iter().map(|finding| finding.severity).max();
            findings.retain(|finding| {
                finding.severity >= Severity::Notice || finding.not_decidable.is_some()
            });
            findings.sort_by_key(|finding| {
                (finding.not_decidable.is_some(), Reverse(finding.severity))
            });
            findings.truncate(FINDINGS);
            let mut recommendations = recommendations.remove(&key).unwrap_or_default();
            recommendations.retain(|recommendation| answers(recommendation, &findings));
            server.slow_queries.push(SlowQuery {
                query,
                novelty,
                first_seen: activity.first_seen,
                calls: activity.calls,
                failed: activity.failed,
                total_ms: activity.total_ms,
                mean_ms: mean(activity.total_ms, activity.timed_calls).unwrap_or(0.0),
                max_ms: activity.max_ms.unwrap_or(0.0),
                mean_before_ms: mean(activity.total_before_ms, activity.timed_calls_before),
                calls_before: activity.calls_before,
                severity: severity(novelty, activity.total_ms / server.total_ms, worst),
                findings,
                recommendations,
            });
        }
    }
    Ok(())
}

/// Whether a recommendation is about what the slowest execution of the window spends its time on. A rule's proposal from another execution may
/// be about a part that doesn't matter here; a model's was made for the query as a whole.
fn answers(recommendation: &Recommendation, findings: &[Finding]) -> bool {
    recommendation.source == Source::Model
        || findings
            .iter()
            .any(|finding| recommendation.rules.contains(&finding.rule))
}

/// How much a slow query matters: NOTICE at least, because it is slow; WARNING if it is new or slower than before and takes this part of the server's
/// logged time; as much as its worst finding otherwise, but what is no worse than it was is never CRITICAL.
fn severity(novelty: Novelty, share: f64, worst: Option<Severity>) -> Severity {
    const LARGE_SHARE: f64 = 0.1;
    let least = match novelty {
        Novelty::New | Novelty::Regressed if share >= LARGE_SHARE => Severity::Warning,
        _ => Severity::Notice,
    };
    let most = match novelty {
        Novelty::Known => Severity::Warning,
        _ => Severity::Critical,
    };
    worst.map_or(least, |worst| worst.clamp(least, most))
}

/// The beginning of the hour.
fn full_hour(at: Timestamp) -> Timestamp {
    let floor = TimestampRound::new()
        .smallest(Unit::Hour)
        .mode(RoundMode::Floor);
    at.round(floor).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::fixture::{Fixture, Runs};

    const DAY: Window = Window {
        since: Since::DAY,
        until: None,
    };

    fn digest(fixture: &Fixture, window: &Window, config: &Config) -> Digest {
        fixture
            .store
            .read(|reader| build(reader, window, config))
            .expect("the store answers")
    }

    fn listed(digest: &Digest) -> Vec<(Novelty, &str)> {
        digest
            .servers
            .iter()
            .flat_map(|server| &server.slow_queries)
            .map(|slow| (slow.novelty, slow.query.normalized_sql.as_str()))
            .collect()
    }

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().expect("a timestamp"))
    }

    #[test]
    fn new_queries_come_first_then_regressions_then_known_ones() {
        let fixture = Fixture::empty();
        fixture.ingest(
            "shop",
            &[
                Runs::of("select fast", "2026-03-01T00:00:00Z", 60, 10.0),
                Runs::of("select regressed", "2026-03-01T01:00:00Z", 50, 100.0),
                Runs::of("select few before", "2026-03-01T02:00:00Z", 49, 100.0),
                Runs::of("select known", "2026-03-01T03:00:00Z", 3, 1500.0),
                Runs::of("select fast", "2026-03-03T12:00:00Z", 60, 12.0),
                Runs::of("select regressed", "2026-03-03T13:00:00Z", 20, 300.0),
                Runs::of("select few before", "2026-03-03T14:00:00Z", 20, 300.0),
                Runs::of("select known", "2026-03-03T15:00:00Z", 9, 1500.0),
                Runs::of("select new", "2026-03-03T16:00:00Z", 1, 1001.0),
                Runs::of("select new and quick", "2026-03-03T17:00:00Z", 1, 990.0),
                Runs::explained("select new and long", "2026-03-03T18:30:00Z", 2, 5000.0),
            ],
        );
        let digest = digest(&fixture, &DAY, &Config::default());
        assert_eq!(
            listed(&digest),
            [
                (Novelty::New, "select new and long"),
                (Novelty::New, "select new"),
                (Novelty::Regressed, "select regressed"),
                (Novelty::Known, "select known"),
            ]
        );
        assert_eq!(digest.as_of, at("2026-03-03T18:30:01Z"));
        assert_eq!(digest.since, at("2026-03-02T18:00:00Z"));
        let server = &digest.servers[0];
        assert_eq!((server.executions, server.queries), (113, 7));
        let long = &server.slow_queries[0];
        assert_eq!((long.calls, long.mean_ms, long.max_ms), (2, 5000.5, 5001.0));
        assert_eq!((long.calls_before, long.mean_before_ms), (0, None));
        assert_eq!(long.severity, Severity::Warning);
        assert_eq!(long.findings.len(), 1);
        assert_eq!(long.recommendations.len(), 1);
        let regressed = &server.slow_queries[2];
        assert_eq!(
            (regressed.calls_before, regressed.mean_before_ms),
            (50, Some(124.5))
        );
        assert_eq!(regressed.severity, Severity::Warning);
    }

    #[test]
    fn a_server_known_for_less_than_a_day_gets_a_first_look() {
        let fixture = Fixture::empty();
        let young = [
            Runs::of("select early", "2026-03-03T00:00:00Z", 1, 2000.0),
            Runs::of("select early", "2026-03-03T20:00:00Z", 1, 2000.0),
            Runs::of("select late", "2026-03-03T21:00:00Z", 1, 1000.0),
        ];
        fixture.ingest("young", &young);
        let expected = [
            (Novelty::FirstLook, "select early"),
            (Novelty::FirstLook, "select late"),
        ];
        assert_eq!(
            listed(&digest(&fixture, &DAY, &Config::default())),
            expected
        );
        let window = Window {
            since: Since::Before(Duration::from_secs(3 * 3600)),
            until: None,
        };
        assert_eq!(
            listed(&digest(&fixture, &window, &Config::default())),
            expected
        );
    }

    #[test]
    fn the_window_ends_where_asked_and_at_the_newest_record_at_the_latest() {
        let fixture = Fixture::empty();
        let runs = [
            Runs::of("select first", "2026-03-01T00:30:00Z", 1, 2000.0),
            Runs::of("select second", "2026-03-03T00:30:00Z", 1, 2000.0),
        ];
        fixture.ingest("shop", &runs);
        let until = |since: &str, until: &str| Window {
            since: Since::At(at(since).expect("given")),
            until: at(until),
        };
        for (window, as_of, queries) in [
            (
                until("2026-03-01T00:59:00Z", "2026-03-02T00:00:00Z"),
                "2026-03-02T00:00:00Z",
                1,
            ),
            (
                until("2026-03-01T01:00:00Z", "2026-03-02T00:00:00Z"),
                "2026-03-02T00:00:00Z",
                0,
            ),
            (
                until("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
                "2026-03-03T00:30:00Z",
                2,
            ),
        ] {
            let digest = digest(&fixture, &window, &Config::default());
            assert_eq!(digest.as_of, at(as_of));
            assert_eq!(listed(&digest).len(), queries, "{window:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let fixture = Fixture::three_servers(3);
        let config = Config {
            max_queries: 2,
            ..Config::default()
        };
        let digest = digest(&fixture, &DAY, &config);
        for server in &digest.servers {
            assert_eq!(
                (server.slow_queries.len(), server.more_slow_queries),
                (2, 1)
            );
        }
        assert_eq!(digest.servers.len(), 3);
    }

    #[test]
    fn an_empty_store_has_no_window() {
        let digest = digest(&Fixture::empty(), &DAY, &Config::default());
        assert_eq!((digest.as_of, digest.servers), (None, vec![]));
    }

    #[test]
    fn the_number_of_statements_does_not_depend_on_queries_and_servers() {
        let statements = |fixture: &Fixture| {
            digest(fixture, &DAY, &Config::default());
            let before = fixture.store.statements_read();
            digest(fixture, &DAY, &Config::default());
            fixture.store.statements_read() - before
        };
        let one = Fixture::empty();
        one.ingest(
            "shop",
            &[Runs::explained(
                "select 1",
                "2026-03-04T08:00:00Z",
                1,
                2000.0,
            )],
        );
        assert_eq!(statements(&one), statements(&Fixture::three_servers(10)));
    }
}

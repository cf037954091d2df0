//! The policy: when an execution opens a breach of its query.

use jiff::{SignedDuration, Timestamp};

use crate::model::{
    breach::{Breach, BreachKind, QueryHistory},
    finding::Severity,
};

use super::{Config, wording};

/// How long a query counts as new, and how long a server must have been known before its queries can be called new.
const NEW: SignedDuration = SignedDuration::from_hours(24);

/// The breaches that the longest execution of a batch opens. Whether one of that kind is open is for the store to know.
pub fn breaches(history: &QueryHistory, config: &Config) -> Vec<Breach> {
    let longest = history.longest;
    if longest.duration_ms.is_nan() || longest.duration_ms < config.slow_threshold_ms {
        return Vec::new();
    }
    let breach = |kind, message| Breach {
        server_id: history.server_id,
        query_id: history.query_id,
        kind,
        opened_at: longest.started_at,
        execution_id: longest.execution_id,
        execution_started_at: longest.started_at,
        severity: severity(longest.duration_ms / config.slow_threshold_ms),
        message,
    };
    let took = format!(
        "took {}, over the slow threshold of {}",
        wording::ms(longest.duration_ms),
        wording::ms(config.slow_threshold_ms)
    );
    let mut breaches = Vec::new();
    if is_new(history) {
        let message = format!(
            "new query, first seen at {}, {took}",
            history.query_first_seen
        );
        breaches.push(breach(BreachKind::NewSlowQuery, message));
    }
    breaches.push(breach(BreachKind::Slow, took));
    breaches
}

fn is_new(history: &QueryHistory) -> bool {
    let at_most = |from: Timestamp, to: Timestamp| to.duration_since(from) <= NEW;
    at_most(history.query_first_seen, history.longest.started_at)
        && history
            .query_first_seen
            .duration_since(history.server_first_seen)
            >= NEW
}

/// By how many times the threshold was exceeded. With the default of one second: ten seconds is where people give up waiting, a minute is
/// beyond what most clients and proxies wait.
fn severity(ratio: f64) -> Severity {
    if ratio >= 60.0 {
        Severity::Critical
    } else if ratio >= 10.0 {
        Severity::Warning
    } else {
        Severity::Notice
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::model::{
        breach::LongExecution, execution::ExecutionId, position::ServerId, query::QueryId,
    };

    /// Hours since the epoch at which server and query were first seen and the execution started.
    fn check(hours: [i64; 3], duration_ms: f64, expected: &[(BreachKind, Severity, &str)]) {
        let at = |hours: i64| Timestamp::from_second(hours * 3600).unwrap();
        let history = QueryHistory {
            server_id: ServerId(1),
            query_id: QueryId(2),
            server_first_seen: at(hours[0]),
            query_first_seen: at(hours[1]),
            longest: LongExecution {
                execution_id: ExecutionId(3),
                started_at: at(hours[2]),
                duration_ms,
            },
        };
        let breaches = breaches(&history, &Config::default());
        let got: Vec<_> = breaches
            .iter()
            .map(|breach| (breach.kind, breach.severity, breach.message.as_str()))
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_slow_execution_breaches() {
        let slow = "took 2,345 ms, over the slow threshold of 1,000 ms";
        check([0, 1, 2], 999.9, &[]);
        check([0, 1, 2], f64::NAN, &[]);
        check(
            [0, 1, 2],
            2345.0,
            &[(BreachKind::Slow, Severity::Notice, slow)],
        );
        check(
            [0, 1, 2],
            12_345.0,
            &[(
                BreachKind::Slow,
                Severity::Warning,
                "took 12,345 ms, over the slow threshold of 1,000 ms",
            )],
        );
    }

    #[test]
    fn a_query_is_new_for_a_day_on_a_server_known_for_a_day() {
        let slow = "took 2,345 ms, over the slow threshold of 1,000 ms";
        let known = [(BreachKind::Slow, Severity::Notice, slow)];
        check(
            [0, 24, 48],
            2345.0,
            &[
                (
                    BreachKind::NewSlowQuery,
                    Severity::Notice,
                    "new query, first seen at 1970-01-02T00:00:00Z, took 2,345 ms, over the slow threshold of 1,000 ms",
                ),
                known[0],
            ],
        );
        check([0, 24, 49], 2345.0, &known);
        check([0, 23, 24], 2345.0, &known);
    }
}

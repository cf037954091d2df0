//! What the newest batches of a server have left in rows that the next one will add to, so that it needs not be read again.
//!
//! Only the holder of a server's claim writes these rows, and each claim starts with nothing. Retention takes rows away, but none of a server's newest day: of
//! other days nothing is kept here. What a transaction that failed has left is forgotten with it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use super::{claim::ClaimNumber, execution::ExecutionKey, statistics};
use crate::model::{position::ServerId, query::QueryId};

/// Queries of all servers together: up to a few kB each, for two sketches.
const QUERIES_CAP: usize = 4000;

/// Of every server that has stored something; empty for one whose last transaction failed.
#[derive(Default)]
pub(super) struct Recents(Mutex<HashMap<ServerId, Recent>>);

/// Of one server, under one claim.
#[derive(Debug, Default)]
pub(super) struct Recent {
    claim: ClaimNumber,
    /// The server's newest day, by its first microsecond.
    pub(super) day: i64,
    /// Queries with executions that closed on that day.
    pub(super) queries: HashMap<QueryId, RecentQuery>,
    /// How many queries the server has.
    pub(super) query_count: Option<u64>,
    /// Open executions as they are stored.
    pub(super) open: Option<HashSet<ExecutionKey>>,
    /// Counters with keys that are stored.
    pub(super) counters: HashSet<(&'static str, String)>,
}

/// What is stored of a query on the server's newest day.
#[derive(Debug)]
pub(super) struct RecentQuery {
    pub(super) day: statistics::Stored,
    /// One of the day's hours, by its first microsecond: the last that was added to.
    pub(super) hour: (i64, statistics::Stored),
    /// Users with applications, without `(other)`.
    pub(super) users: HashSet<(String, String)>,
}

impl Recents {
    /// Takes what is known of the server out: it is put back after the commit.
    pub(super) fn take(&self, server: ServerId, claim: ClaimNumber) -> Recent {
        let mut recents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = recents.remove(&server);
        known
            .filter(|recent| recent.claim == claim)
            .unwrap_or_else(|| Recent {
                claim,
                ..Recent::default()
            })
    }

    pub(super) fn put(&self, server: ServerId, recent: Recent) {
        let mut recents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let queries: usize = recents.values().map(|recent| recent.queries.len()).sum();
        if queries + recent.queries.len() > QUERIES_CAP {
            recents.clear();
        }
        if recent.queries.len() <= QUERIES_CAP {
            recents.insert(server, recent);
        }
    }
}

impl Recent {
    /// Forgets what is of another day than the server's newest.
    pub(super) fn keep_day(&mut self, day: i64) {
        if self.day != day {
            self.day = day;
            self.queries.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::time::Duration;

    use proptest::prelude::*;

    use crate::{
        model::{
            accounting::DurationKind,
            execution::Execution,
            finding::{Rule, Severity},
        },
        store::{
            Batch, Store,
            fixture::{Fixture, analysis, at, batch, execution, finding},
        },
    };

    /// What happens between two looks at the store.
    #[derive(Debug, Clone)]
    enum Step {
        /// Runs of a query, by an user, some hours and minutes after the beginning; some stay open, some close what is open.
        Batch(Vec<(u8, u8, i64, bool)>),
        /// The same, but the position is wrong.
        Refused(Vec<(u8, u8, i64, bool)>),
        RollUp,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let run = (0..4u8, 0..40u8, 0..60i64, prop::bool::weighted(0.2));
        let runs = prop::collection::vec(run, 1..30);
        let step = prop_oneof![
            6 => runs.clone().prop_map(Step::Batch),
            1 => runs.prop_map(Step::Refused),
            1 => Just(Step::RollUp),
        ];
        prop::collection::vec(step, 1..12)
    }

    /// The batch, and those of the open executions that it leaves open.
    fn filled(
        fixture: &Fixture,
        from_bytes: u64,
        runs: &[(u8, u8, i64, bool)],
        open: &[Execution],
    ) -> (Batch, Vec<Execution>) {
        let mut batch = batch(fixture.server, from_bytes, from_bytes + 100);
        let mut left = Vec::new();
        for (number, (query, user, hours, stays_open)) in (0..).zip(runs) {
            let sql = format!("select {query}");
            let ms = f64::from(*user) * 1.5 + f64::from(*query);
            let mut run = execution(fixture.server, &sql, from_bytes + number, ms);
            run.started_at = at(hours * 3600 + i64::from(*user));
            run.user_name = Some(format!("user {user}"));
            run.open = *stays_open;
            if run.open {
                left.push(run.clone());
            }
            batch.executions.push(run);
        }
        for open in open {
            batch.executions.push(Execution {
                open: false,
                duration_ms: Some(7.0),
                ..open.clone()
            });
        }
        for run in &batch.executions {
            let rules = if run.open { 2 } else { 1 };
            let found = (0..rules).map(|_| finding(Rule::SortSpill, Severity::Info));
            batch.analyses.push(analysis(run, found.collect()));
            let user = run.user_name.as_deref().unwrap();
            batch
                .accounting
                .add_duration(DurationKind::Statement, 1.0, "shop", user);
        }
        batch.newest = batch.executions.iter().map(|run| run.started_at).max();
        batch.max_queries = 3;
        (batch, left)
    }

    fn take(fixture: &Fixture, store: impl Fn() -> Store, steps: &[Step]) {
        let mut from_bytes = 0;
        let mut open = Vec::new();
        for step in steps {
            match step {
                Step::Batch(runs) => {
                    let (batch, left) = filled(fixture, from_bytes, runs, &open);
                    store().ingest(&batch, &|_| Vec::new()).unwrap();
                    from_bytes += 100;
                    open = left;
                }
                Step::Refused(runs) => {
                    let (batch, _) = filled(fixture, from_bytes + 1, runs, &open);
                    store().ingest(&batch, &|_| Vec::new()).unwrap_err();
                }
                Step::RollUp => {
                    let another = fixture.reopen();
                    another.roll_up(fixture.server, Duration::ZERO).unwrap();
                }
            }
        }
    }

    /// Every row of a table, in SQLite.
    fn dump(fixture: &Fixture, table: &str) -> Vec<String> {
        let connection = rusqlite::Connection::open(fixture.path()).unwrap();
        let mut all = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let columns = all.column_count();
        let rows = all.query_map([], |row| {
            let values = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
            Ok(format!(
                "{:?}",
                values.map(Result::unwrap).collect::<Vec<_>>()
            ))
        });
        let mut rows: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
        rows.sort();
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

        /// A store that is opened anew for each batch remembers nothing.
        #[test]
        fn what_is_remembered_is_what_would_have_been_read(steps in steps()) {
            let (remembering, reading) = (Fixture::new(), Fixture::new());
            take(&remembering, || remembering.store.clone(), &steps);
            take(&reading, || reading.reopen(), &steps);
            for table in [
                "query_stats",
                "query_stats_daily",
                "query_users",
                "queries",
                "ingest_counts",
                "analyses",
                "findings",
                "executions",
            ] {
                prop_assert_eq!(dump(&remembering, table), dump(&reading, table), "{}", table);
            }
        }
    }
}

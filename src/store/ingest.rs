//! The one transaction that writes what the logs say.
//!
//! A batch is stored whole or not at all, together with the position that it brings its generation to. Nothing is counted twice: the
//! position moves by compare-and-set, and an execution enters the statistics when its row closes, which happens once.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Error, Store, accounting, advice_job, analysis,
    backend::Connection,
    breach, checkpoint,
    claim::ClaimNumber,
    execution::{self, ExecutionKey},
    incident, plan, query, query_cap,
    recent::Recent,
    recommendation, server, span, statistics,
};
use crate::model::{
    accounting::Accounting,
    breach::{Breach, LongExecution, QueryHistory},
    execution::{CapturedPlan, Execution, ExecutionId},
    finding::Analysis,
    incident::{Incident, IncidentExecution},
    position::{Gap, Generation, ServerId},
    query::QueryId,
    recommendation::Recommendation,
};

/// Everything that one stretch of one generation's log gave; stored in one transaction with the position that it brings us to.
#[derive(Debug, Clone)]
pub struct Batch {
    pub server: ServerId,
    /// Of the server's ingest, by [`Store::claim_ingest`]. [`Error::ClaimLost`] if it isn't the newest.
    pub claim: ClaimNumber,
    /// The generation as it is after the batch; its row is made if it is missing.
    pub generation: Generation,
    /// Where the stretch begins. The stored position must be this (0 for a new generation), else [`Error::Fenced`].
    pub from_bytes: u64,
    /// New executions, and open ones that have changed or closed. What is sent of an execution that is stored as closed is ignored.
    pub executions: Vec<Execution>,
    /// Plans of executions of this batch.
    pub plans: Vec<CapturedPlan>,
    /// Each replaces the execution's earlier analysis with its findings.
    pub analyses: Vec<Analysis>,
    pub recommendations: Vec<Recommendation>,
    pub incidents: Vec<Incident>,
    /// Of incidents of this batch and of earlier ones.
    pub incident_executions: Vec<IncidentExecution>,
    /// Open executions to take back before the others are stored: with plans, analyses and findings, and with the breaches, advice jobs and
    /// the query that nothing else in the store bears out.
    pub withdrawn: Vec<(ExecutionId, Timestamp)>,
    /// In this generation or another one that is stored.
    pub gaps: Vec<Gap>,
    /// What this batch adds. Its `queries` is not used: only the store knows which are new.
    pub accounting: Accounting,
    /// The server's pairing state after this batch.
    pub pairing: Vec<u8>,
    /// Log times of the newest and oldest record of the batch.
    pub newest: Option<Timestamp>,
    pub oldest: Option<Timestamp>,
    /// An execution of at least this length, open or closed, has its query judged by the policy: once, by the longest of the batch.
    pub slow_threshold_ms: f64,
    /// How many queries the server may have; executions of more of them belong to the query `(other)` of their database.
    pub max_queries: u64,
    /// A newly opened breach enqueues an advice job.
    pub enqueue_advice: bool,
}

/// What a batch changed that its maker could not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ingested {
    /// Queries seen for the first time.
    pub new_queries: u64,
    /// Queries that went with withdrawn executions.
    pub withdrawn_queries: u64,
    pub opened_breaches: u64,
}

impl Store {
    /// Stores the batch. `policy` says which breaches a query with a slow execution is in; it is asked inside the transaction and must be
    /// quick. [`Error::Fenced`] when the generation doesn't stand at `from_bytes`; after any error nothing is stored.
    pub fn ingest(
        &self,
        batch: &Batch,
        policy: &dyn Fn(&QueryHistory) -> Vec<Breach>,
    ) -> Result<Ingested, Error> {
        let place = &self.connections.place;
        let mut writer = self.connections.writer()?;
        let mut recent = self.recents.take(batch.server, batch.claim);
        let executions = batch
            .executions
            .iter()
            .map(|execution| execution.started_at);
        let incidents = batch.incidents.iter().map(|incident| incident.log_time);
        place.make_room(&mut writer, executions.chain(incidents))?;
        writer
            .write_within(self.lock_wait, |connection| {
                store(connection, batch, &mut recent, policy)
            })
            .inspect_err(|_| place.forget_room())
            .inspect(|_| self.recents.put(batch.server, recent))
            .and_then(|ingested| checkpoint::point("after-commit").map(|()| ingested))
    }
}

fn store(
    connection: &mut Connection,
    batch: &Batch,
    recent: &mut Recent,
    policy: &dyn Fn(&QueryHistory) -> Vec<Breach>,
) -> Result<Ingested, Error> {
    let now = Timestamp::now();
    checkpoint::point("batch-begins")?;
    let (server_first_seen, server_last_seen) = server::advance(
        connection,
        batch.server,
        batch.claim,
        batch.oldest,
        batch.newest,
        &batch.pairing,
    )?;
    checkpoint::point("server-stored")?;
    recent.keep_day(server_last_seen.map_or(i64::MIN, span::day_of));
    let capped = query_cap::apply(connection, batch, recent)?;
    let batch = capped.as_ref().unwrap_or(batch);
    checkpoint::advance(connection, &batch.generation, batch.from_bytes)?;
    checkpoint::point("position-stored")?;
    checkpoint::declare_gaps(connection, batch.server, &batch.gaps, now)?;
    checkpoint::point("gaps-stored")?;

    let mut open = execution::open_of(connection, batch.server, recent.open.take())?;
    let mut withdrawn = Vec::new();
    for (id, started_at) in &batch.withdrawn {
        let key = ExecutionKey {
            started_at: *started_at,
            server_id: batch.server,
            id: *id,
        };
        if let Some(query) = execution::withdraw(connection, key)? {
            open.remove(&key);
            withdrawn.push((key, query));
        }
    }

    let stored = execution::store(connection, &batch.executions)?;
    checkpoint::point("executions-stored")?;
    let closed: Vec<&Execution> = stored.iter().copied().filter(|e| !e.open).collect();
    let new_queries = store_queries(connection, batch, &closed, recent)?;
    checkpoint::point("queries-stored")?;
    statistics::add(connection, batch.server, &closed, recent)?;
    checkpoint::point("statistics-stored")?;
    plan::store(connection, batch.server, &batch.plans, &batch.executions)?;
    checkpoint::point("plans-stored")?;
    analysis::store(connection, &batch.analyses, &stored, &open)?;
    recommendation::store(connection, &batch.recommendations)?;
    incident::store(connection, &batch.incidents)?;
    incident::attach(connection, batch.server, &batch.incident_executions)?;

    for execution in stored {
        let key = ExecutionKey::of(execution);
        if execution.open {
            open.insert(key);
        } else {
            open.remove(&key);
        }
    }
    recent.open = Some(open);

    let withdrawn_queries = forget_withdrawn(connection, &withdrawn, recent)?;
    let opened_breaches = judge(connection, batch, server_first_seen, now, policy)?;
    let more_queries = new_queries.cast_signed() - withdrawn_queries.cast_signed();
    accounting::add(
        connection,
        batch.server,
        &batch.accounting,
        more_queries,
        &mut recent.counters,
    )?;
    recent.query_count = recent
        .query_count
        .and_then(|count| count.checked_add_signed(more_queries));
    checkpoint::point("before-commit")?;
    Ok(Ingested {
        new_queries,
        withdrawn_queries,
        opened_breaches,
    })
}

/// Adds the batch to its queries' rows and gives the number of new ones.
fn store_queries(
    connection: &mut Connection,
    batch: &Batch,
    closed: &[&Execution],
    recent: &Recent,
) -> Result<u64, Error> {
    let mut seen: BTreeMap<QueryId, query::Seen<'_>> = BTreeMap::new();
    for execution in &batch.executions {
        let entry = seen
            .entry(execution.query.id)
            .or_insert_with(|| query::Seen::first(execution));
        entry.first_seen = entry.first_seen.min(execution.started_at);
        entry.last_seen = entry.last_seen.max(execution.started_at);
        entry.server_query_id = execution.server_query_id.or(entry.server_query_id);
    }
    for execution in closed {
        if let Some(entry) = seen.get_mut(&execution.query.id) {
            entry.closed.add(execution);
        }
    }
    let seen: Vec<query::Seen<'_>> = seen.into_values().collect();
    query::add(connection, batch.server, &seen, recent)
}

/// Removes what only the withdrawn executions bore out and gives the number of queries among it. An execution that was withdrawn and stored
/// again in this batch keeps everything.
fn forget_withdrawn(
    connection: &mut Connection,
    withdrawn: &[(ExecutionKey, QueryId)],
    recent: &mut Recent,
) -> Result<u64, Error> {
    let mut removed = 0;
    for (key, query) in withdrawn {
        if !execution::exists(connection, *key, *query)? {
            breach::remove(connection, *key, *query)?;
            advice_job::remove(connection, *key, *query)?;
            if query::remove_if_unused(connection, (key.server_id, *query))? {
                recent.queries.remove(query);
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// Asks the policy about every query with a slow execution and gives the number of breaches that it opened.
fn judge(
    connection: &mut Connection,
    batch: &Batch,
    server_first_seen: Option<Timestamp>,
    now: Timestamp,
    policy: &dyn Fn(&QueryHistory) -> Vec<Breach>,
) -> Result<u64, Error> {
    let mut longest: BTreeMap<QueryId, LongExecution> = BTreeMap::new();
    for execution in &batch.executions {
        let Some(duration_ms) = execution.duration_ms else {
            continue;
        };
        if duration_ms < batch.slow_threshold_ms {
            continue;
        }
        let long = LongExecution {
            execution_id: execution.id,
            started_at: execution.started_at,
            duration_ms,
        };
        longest
            .entry(execution.query.id)
            .and_modify(|known| {
                if known.duration_ms < duration_ms {
                    *known = long;
                }
            })
            .or_insert(long);
    }
    let first_seen = query::first_seen(connection, batch.server, longest.keys().copied())?;
    let mut opened = 0;
    for (query_id, longest) in longest {
        let query_first_seen = *first_seen
            .get(&query_id)
            .expect("the query of an execution is stored with it");
        let breaches = policy(&QueryHistory {
            server_id: batch.server,
            query_id,
            server_first_seen: server_first_seen.unwrap_or(query_first_seen),
            query_first_seen,
            longest,
        });
        for breach in breaches {
            if breach::open(connection, &breach)? {
                opened += 1;
                if batch.enqueue_advice {
                    advice_job::enqueue(connection, &breach, now.as_microsecond())?;
                }
            }
        }
    }
    Ok(opened)
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::{cell::RefCell, panic::AssertUnwindSafe};

    use super::*;
    use crate::{
        model::{
            accounting::DurationKind,
            execution::{CallSite, DurationSource, ExecutionKind, LoggedText},
            finding::{Rule, Severity},
            position::GapReason,
            record::SqlState,
        },
        store::{
            AdviceCounts, ServerState, StoredPlan,
            fixture::{self, Fixture, analysis, at, batch, execution, finding, only, plan},
            sql::Sql,
        },
    };

    /// A batch with something of everything.
    pub(in crate::store) fn full_batch(server: ServerId) -> Batch {
        let mut slow = execution(server, "select $1", 0, 1500.5);
        slow.kind = ExecutionKind::Execute;
        slow.user_name = Some("app".to_owned());
        slow.application_name = Some("checkout \"é\" 😀 'x'; --".to_owned());
        slow.process_id = Some(4711);
        slow.session_id = Some("6a3.1f".to_owned());
        slow.duration_source = Some(DurationSource::Plan);
        slow.parse_ms = Some(0.1);
        slow.bind_ms = Some(0.2);
        slow.rows = Some(10.5);
        slow.sql_state = SqlState::new("57014");
        slow.failed = true;
        slow.parent_id = Some(ExecutionId(i64::MIN));
        slow.call_site = Some(CallSite {
            function: Some("s.\"f\n\"(text)".to_owned()),
            line: None,
            depth: 3,
        });
        slow.nested_count = 4;
        slow.weight = Some(2.5);
        slow.server_query_id = Some(-1);
        slow.tags = vec![("route".to_owned(), "/a?b='c'".to_owned())];
        slow.logged = Some(LoggedText {
            statement: "select 'é'".to_owned(),
            parameters: Some("$1 = 'x'".to_owned()),
        });
        slow.plan_count = 2;
        slow.time_assumed = true;
        let mut open = execution(server, "select $1", 1, 3.0);
        open.open = true;
        let mut undecided = finding(Rule::HashSpill, Severity::Info);
        undecided.not_decidable = Some("auto_explain.log_analyze".to_owned());
        undecided.node_path = None;

        let mut batch = batch(server, 0, 100);
        batch.plans = vec![plan(&slow, 0, "{\"Plan\": 1}"), plan(&slow, 1, "")];
        batch.analyses = vec![analysis(
            &slow,
            vec![finding(Rule::SeqScanFilter, Severity::Critical), undecided],
        )];
        batch.recommendations = vec![fixture::recommendation(
            server,
            slow.query.id,
            "orders (customer_id)",
            Severity::Notice,
        )];
        batch.gaps = vec![Gap {
            generation: batch.generation.id,
            from_bytes: 40,
            to_bytes: None,
            reason: GapReason::Hole,
        }];
        batch
            .accounting
            .add_duration(DurationKind::Execute, 1500.5, "shop", "a,\"b\"");
        batch
            .accounting
            .add_plan("json", 1.25, Some("Seq Scan"), "shop", "");
        batch.accounting.by_sqlstate = [(SqlState::new("57014").unwrap(), 1)].into();
        batch.accounting.by_severity = [(crate::model::record::Severity::Log, 3)].into();
        batch.accounting.records_total = 3;
        batch.accounting.bytes = 100;
        batch.pairing = vec![0, 255];
        batch.oldest = Some(at(-1));
        batch.newest = Some(at(2));
        batch.executions = vec![slow, open];
        batch
    }

    #[test]
    fn a_batch_reads_back_whole() {
        for fixture in Fixture::each() {
            let batch = full_batch(fixture.server);
            let ingested = fixture.ingest(&batch).unwrap();

            assert_eq!(
                ingested,
                Ingested {
                    new_queries: 1,
                    withdrawn_queries: 0,
                    opened_breaches: 1
                }
            );
            assert_eq!(
                fixture.store.generations(fixture.server).unwrap(),
                std::slice::from_ref(&batch.generation)
            );
            assert_eq!(
                fixture.store.server_state(fixture.server).unwrap(),
                ServerState {
                    log_line_prefix: None,
                    pairing: Some(vec![0, 255]),
                    first_seen: Some(at(-1)),
                    last_seen: Some(at(2)),
                }
            );
            let slow = &batch.executions[0];
            let query = (fixture.server, slow.query.id);
            let key = ExecutionKey::of(slow);
            fixture
                .store
                .read(|reader| {
                    let newest_first: Vec<Execution> =
                        batch.executions.iter().rev().cloned().collect();
                    assert_eq!(
                        reader.executions_of(&[query], 10)?,
                        [(query, newest_first)].into()
                    );
                    let stored = |ordinal, document: &str| StoredPlan {
                        ordinal,
                        shape: batch.plans[0].plan.shape,
                        duration_ms: 1.25,
                        format: batch.plans[0].format,
                        document: document.to_owned(),
                    };
                    assert_eq!(
                        reader.plans_of(&[key])?,
                        [(key, vec![stored(0, "{\"Plan\": 1}"), stored(1, "")])].into()
                    );
                    assert_eq!(reader.plan(key, 1)?, Some(stored(1, "")));
                    assert_eq!(reader.plan(key, 2)?, None);

                    let mut bare = batch.analyses[0].clone();
                    let findings = std::mem::take(&mut bare.findings);
                    assert_eq!(
                        reader.analyses_of(&[query], 10)?,
                        [(query, vec![bare])].into()
                    );
                    assert_eq!(reader.findings_of(&[key])?, [(key, findings)].into());
                    assert_eq!(
                        reader.recommendations_of(&[query], 10)?,
                        [(query, batch.recommendations.clone())].into()
                    );
                    let mut accounting = batch.accounting.clone();
                    accounting.queries = 1;
                    assert_eq!(only(fixture.server, reader.accounting()?), accounting);
                    Ok(())
                })
                .unwrap();
            assert_eq!(fixture.count("gaps"), 1);
        }
    }

    #[test]
    fn the_same_batch_again_is_fenced_and_changes_nothing() {
        for fixture in Fixture::each() {
            let batch = full_batch(fixture.server);
            fixture.ingest(&batch).unwrap();
            let read = || {
                let accounting = fixture
                    .store
                    .read(|reader| Ok(only(fixture.server, reader.accounting()?)));
                (fixture.rows(), accounting.unwrap())
            };
            let before = read();

            let Error::Fenced {
                generation,
                expected_bytes,
                stored_bytes,
            } = fixture.ingest(&batch).unwrap_err()
            else {
                panic!("not fenced")
            };
            assert_eq!(
                (generation, expected_bytes, stored_bytes),
                (batch.generation.id, 0, 100)
            );
            assert_eq!(read(), before);
        }
    }

    #[test]
    fn a_new_generation_starts_at_zero() {
        for fixture in Fixture::each() {
            let error = fixture.ingest(&batch(fixture.server, 5, 10)).unwrap_err();
            assert!(matches!(
                error,
                Error::Fenced {
                    expected_bytes: 5,
                    stored_bytes: 0,
                    ..
                }
            ));
            assert!(
                fixture
                    .store
                    .generations(fixture.server)
                    .unwrap()
                    .is_empty()
            );
        }
    }

    #[test]
    fn a_batch_that_fails_midway_leaves_nothing() {
        for fixture in Fixture::each() {
            let before = fixture.rows();
            let mut batch = full_batch(fixture.server);
            let stranger = execution(fixture.server, "select $1", 7, 1.0);
            batch.plans.push(plan(&stranger, 0, "{}"));

            let error = fixture.ingest(&batch).unwrap_err();
            assert!(
                matches!(error, Error::PlanWithoutExecution { execution_id } if execution_id == stranger.id.0)
            );
            assert_eq!(fixture.rows(), before);

            batch.plans.pop();
            fixture.ingest(&batch).unwrap();
        }
    }

    #[test]
    fn a_panic_in_the_policy_leaves_nothing_and_the_store_usable() {
        for fixture in Fixture::each() {
            let before = fixture.rows();
            let batch = full_batch(fixture.server);
            let caught = std::panic::catch_unwind(AssertUnwindSafe(|| {
                fixture
                    .store
                    .ingest(&batch, &|_| panic!("the policy fails"))
            }));
            assert!(caught.is_err());
            assert_eq!(fixture.rows(), before);
            fixture.ingest(&batch).unwrap();
        }
    }

    /// Calls and milliseconds of the server's only query, as statistics, row and activity tell them.
    fn calls(fixture: &Fixture) -> [(u64, f64); 2] {
        let (rows, activity) = fixture
            .store
            .read(|reader| {
                let keys: Vec<_> = reader
                    .executions(&crate::store::ExecutionPage {
                        limit: 1,
                        ..Default::default()
                    })?
                    .iter()
                    .map(|execution| (execution.server_id, execution.query.id))
                    .collect();
                Ok((
                    reader.query_rows(&keys)?,
                    only(fixture.server, reader.activity(at(0), Some(at(0)))?),
                ))
            })
            .unwrap();
        [
            (rows[0].calls, rows[0].total_ms),
            (activity[0].calls, activity[0].total_ms),
        ]
    }

    #[test]
    fn an_execution_is_counted_once_open_or_closed() {
        for fixture in Fixture::each() {
            let mut execution = execution(fixture.server, "select $1", 0, 5.0);
            execution.open = true;
            let mut first = batch(fixture.server, 0, 10);
            first.executions = vec![execution.clone()];
            fixture.ingest(&first).unwrap();
            assert_eq!(fixture.count("query_stats"), 0);
            assert_eq!(calls(&fixture), [(1, 5.0); 2]);

            execution.duration_ms = Some(7.0);
            let mut again_open = batch(fixture.server, 10, 20);
            again_open.executions = vec![execution.clone()];
            fixture.ingest(&again_open).unwrap();
            assert_eq!(calls(&fixture), [(1, 7.0); 2]);

            execution.open = false;
            let mut close = batch(fixture.server, 20, 30);
            close.executions = vec![execution.clone()];
            fixture.ingest(&close).unwrap();
            assert_eq!(fixture.count("query_stats"), 1);
            assert_eq!(calls(&fixture), [(1, 7.0); 2]);

            execution.open = true;
            execution.duration_ms = Some(99.0);
            let mut late = batch(fixture.server, 30, 40);
            late.executions = vec![execution];
            fixture.ingest(&late).unwrap();
            assert_eq!(calls(&fixture), [(1, 7.0); 2]);
            assert_eq!(fixture.count("executions WHERE open"), 0);
        }
    }

    #[test]
    fn nested_executions_count_in_their_query_and_apart() {
        for fixture in Fixture::each() {
            let parent = execution(fixture.server, "select f($1)", 0, 10.0);
            let mut nested = execution(fixture.server, "select $1", 1, 4.0);
            nested.parent_id = Some(parent.id);
            let mut open_nested = execution(fixture.server, "select $1", 2, 3.0);
            open_nested.parent_id = Some(parent.id);
            open_nested.open = true;
            let mut all = batch(fixture.server, 0, 10);
            all.executions = vec![parent, nested, open_nested];
            fixture.ingest(&all).unwrap();

            let mut activity = fixture
                .store
                .read(|reader| Ok(only(fixture.server, reader.activity(at(0), Some(at(0)))?)))
                .unwrap();
            activity.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
            let sums: Vec<_> = activity
                .iter()
                .map(|a| (a.calls, a.total_ms, a.nested_calls, a.nested_ms))
                .collect();
            assert_eq!(sums, [(1, 10.0, 0, 0.0), (2, 7.0, 2, 7.0)]);
        }
    }

    #[test]
    fn what_is_withdrawn_vanishes_with_all_that_it_alone_bore_out() {
        for fixture in Fixture::each() {
            let before = fixture.rows();
            let mut provisional = full_batch(fixture.server);
            provisional.executions[0].open = true;
            provisional.accounting = Accounting::default();
            provisional.gaps.clear();
            fixture.ingest(&provisional).unwrap();
            assert_eq!(fixture.count("advice_jobs"), 1);

            let mut taken_back = batch(fixture.server, 100, 100);
            taken_back.withdrawn = provisional
                .executions
                .iter()
                .map(|execution| (execution.id, execution.started_at))
                .collect();
            let ingested = fixture.ingest(&taken_back).unwrap();

            assert_eq!(ingested.withdrawn_queries, 1);
            let left: Vec<_> = fixture
                .rows()
                .into_iter()
                .filter(|row| !before.contains(row))
                .collect();
            assert_eq!(
                left,
                [("generations", 1), ("checkpoints", 1), ("ingest_counts", 1)]
            );
            let accounting = fixture
                .store
                .read(|reader| Ok(only(fixture.server, reader.accounting()?)))
                .unwrap();
            assert_eq!(accounting, Accounting::default());
        }
    }

    #[test]
    fn what_is_withdrawn_and_stored_again_keeps_its_breach_and_job() {
        for fixture in Fixture::each() {
            let mut provisional = batch(fixture.server, 0, 0);
            let mut execution = execution(fixture.server, "select $1", 0, 2000.0);
            execution.open = true;
            provisional.executions = vec![execution.clone()];
            fixture.ingest(&provisional).unwrap();
            let job = fixture
                .store
                .claim_advice_job(i64::MAX / 2, std::time::Duration::ZERO)
                .unwrap();

            let mut settled = batch(fixture.server, 0, 10);
            settled.withdrawn = vec![(execution.id, execution.started_at)];
            execution.open = false;
            settled.executions = vec![execution];
            let ingested = fixture.ingest(&settled).unwrap();

            assert_eq!(ingested, Ingested::default());
            assert!(job.is_some());
            let counts = fixture
                .store
                .read(|reader| {
                    reader
                        .advice_counts()
                        .map(|mut all| all.remove(&fixture.server).unwrap_or_default())
                })
                .unwrap();
            assert_eq!(
                counts,
                AdviceCounts {
                    running: 1,
                    ..AdviceCounts::default()
                }
            );
            assert_eq!(calls(&fixture), [(1, 2000.0); 2]);
        }
    }

    #[test]
    fn a_withdrawn_execution_leaves_a_query_that_has_others() {
        for fixture in Fixture::each() {
            let kept = execution(fixture.server, "select $1", 0, 2000.0);
            let mut provisional = execution(fixture.server, "select $1", 1, 3000.0);
            provisional.open = true;
            let mut both = batch(fixture.server, 0, 10);
            both.executions = vec![kept, provisional.clone()];
            fixture.ingest(&both).unwrap();

            let mut taken_back = batch(fixture.server, 10, 10);
            taken_back.withdrawn = vec![(provisional.id, provisional.started_at)];
            assert_eq!(fixture.ingest(&taken_back).unwrap().withdrawn_queries, 0);
            assert_eq!(calls(&fixture), [(1, 2000.0); 2]);
            assert_eq!(fixture.count("breaches"), 0, "the longest opened it");
        }
    }

    #[test]
    fn a_query_outlives_its_executions() {
        for fixture in Fixture::each() {
            let mut first = batch(fixture.server, 0, 10);
            first.executions = vec![execution(fixture.server, "select $1", 0, 5.0)];
            fixture.ingest(&first).unwrap();
            let mut writer = fixture.store.connections.writer().unwrap();
            Sql::new("DELETE FROM executions", [])
                .execute(&mut writer)
                .unwrap();
            drop(writer);

            let mut provisional = execution(fixture.server, "select $1", 1, 3.0);
            provisional.open = true;
            let mut second = batch(fixture.server, 10, 10);
            second.executions = vec![provisional.clone()];
            fixture.ingest(&second).unwrap();
            let mut taken_back = batch(fixture.server, 10, 10);
            taken_back.withdrawn = vec![(provisional.id, provisional.started_at)];
            assert_eq!(fixture.ingest(&taken_back).unwrap().withdrawn_queries, 0);
            assert_eq!(fixture.count("queries WHERE calls = 1"), 1);
        }
    }

    #[test]
    fn a_closed_execution_is_not_withdrawn() {
        for fixture in Fixture::each() {
            let closed = execution(fixture.server, "select $1", 0, 5.0);
            let mut first = batch(fixture.server, 0, 10);
            first.executions = vec![closed.clone()];
            fixture.ingest(&first).unwrap();

            let mut second = batch(fixture.server, 10, 20);
            second.withdrawn = vec![(closed.id, closed.started_at)];
            second.executions = vec![closed];
            fixture.ingest(&second).unwrap();
            assert_eq!(calls(&fixture), [(1, 5.0); 2]);
        }
    }

    #[test]
    fn the_policy_gets_the_history_and_a_breach_opens_once() {
        for fixture in Fixture::each() {
            let seen = RefCell::new(Vec::new());
            let policy = |history: &QueryHistory| {
                seen.borrow_mut().push(history.clone());
                fixture::slow(history)
            };
            let fast = execution(fixture.server, "select $1", 0, 999.0);
            let mut first = batch(fixture.server, 0, 10);
            first.oldest = Some(at(-100));
            first.executions = vec![fast];
            fixture.store.ingest(&first, &policy).unwrap();
            assert!(seen.borrow().is_empty());

            let mut second = batch(fixture.server, 10, 20);
            second.oldest = Some(at(20));
            second.executions = [1000.0, 3000.0, 2000.0]
                .iter()
                .zip(20..)
                .map(|(ms, offset)| execution(fixture.server, "select $1", offset, *ms))
                .collect();
            second.executions[1].open = true;
            let longest = second.executions[1].clone();
            let opened = fixture.store.ingest(&second, &policy).unwrap();
            assert_eq!(opened.opened_breaches, 1);
            let history = QueryHistory {
                server_id: fixture.server,
                query_id: longest.query.id,
                server_first_seen: at(-100),
                query_first_seen: at(0),
                longest: LongExecution {
                    execution_id: longest.id,
                    started_at: longest.started_at,
                    duration_ms: 3000.0,
                },
            };
            assert_eq!(*seen.borrow(), std::slice::from_ref(&history));

            let mut third = batch(fixture.server, 20, 30);
            third.executions = vec![execution(fixture.server, "select $1", 30, 5000.0)];
            assert_eq!(
                fixture
                    .store
                    .ingest(&third, &policy)
                    .unwrap()
                    .opened_breaches,
                0
            );
            assert_eq!(fixture.count("advice_jobs"), 1);
            let key = (fixture.server, longest.query.id);
            let breaches = fixture
                .store
                .read(|reader| reader.breaches_of(&[key]))
                .unwrap();
            assert_eq!(breaches, [(key, fixture::slow(&history))].into());
        }
    }

    #[test]
    fn without_advice_a_breach_enqueues_nothing() {
        for fixture in Fixture::each() {
            let mut batch = batch(fixture.server, 0, 10);
            batch.enqueue_advice = false;
            batch.executions = vec![execution(fixture.server, "select $1", 0, 2000.0)];
            assert_eq!(fixture.ingest(&batch).unwrap().opened_breaches, 1);
            assert_eq!(fixture.count("advice_jobs"), 0);
        }
    }

    #[test]
    fn hostile_text_comes_back_as_it_was_save_for_nul() {
        for fixture in Fixture::each() {
            let hostile =
                "'); DROP TABLE queries; -- \u{202e}😀 \"quoted\" ? $1 \\ \r\n\t \u{1b}[31m";
            let mut batch = batch(fixture.server, 0, 10);
            let mut quoted = execution(fixture.server, hostile, 0, 1.0);
            quoted.user_name = Some(hostile.to_owned());
            let mut nul = execution(fixture.server, "select \0 $1", 1, 1.0);
            nul.user_name = Some("a\0b".to_owned());
            batch.plans = vec![plan(&quoted, 0, hostile)];
            batch
                .accounting
                .add_duration(DurationKind::Statement, 1.0, hostile, "nul\0");
            batch.executions = vec![quoted.clone(), nul.clone()];
            fixture.ingest(&batch).unwrap();

            fixture
                .store
                .read(|reader| {
                    let keys = [quoted.clone(), nul.clone()].map(|e| (e.server_id, e.query.id));
                    let read = reader.executions_of(&keys, 1)?;
                    assert_eq!(read[&keys[0]], [quoted.clone()]);
                    let read = &read[&keys[1]][0];
                    assert_eq!(read.query.normalized_sql, "select \u{fffd} $1");
                    assert_eq!(read.user_name.as_deref(), Some("a\u{fffd}b"));
                    let plans = reader.plans_of(&[ExecutionKey::of(&quoted)])?;
                    assert_eq!(plans[&ExecutionKey::of(&quoted)][0].document, hostile);
                    let users = only(fixture.server, reader.accounting()?).durations_by_db_user;
                    let names: Vec<_> = users.keys().cloned().collect();
                    assert_eq!(names, [(hostile.to_owned(), "nul\u{fffd}".to_owned())]);
                    Ok(())
                })
                .unwrap();
        }
    }
}

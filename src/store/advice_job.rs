//! Advice jobs: what the model is to be asked about, and what became of it.
//!
//! A job is enqueued in the transaction that opens its breach and finished in the one that stores the recommendation. A claim is a lease:
//! when its holder dies, the job is claimed again after the lease has run out, and an answer of the earlier holder is dropped.

use std::{collections::HashMap, time::Duration};

use diesel::{prelude::*, sql_types::BigInt};

use super::{
    Error, Reader, Store,
    backend::{Connection, each},
    breach,
    column::{count, known, ordinal, text, time},
    execution::ExecutionKey,
    recommendation,
    schema::advice_jobs,
    sql::Sql,
};
use crate::model::{
    breach::Breach, execution::ExecutionId, position::ServerId, query::QueryId,
    recommendation::Recommendation, stable_id,
};

/// A claimed job.
#[derive(Debug, Clone, PartialEq)]
pub struct AdviceJob {
    pub server_id: ServerId,
    pub id: i64,
    pub query_id: QueryId,
    pub breach_id: i64,
    /// The execution that opened the breach.
    pub execution: ExecutionKey,
    /// How often the job was claimed, this time included.
    pub attempts: u32,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum AdviceOutcome {
    /// The model answered, with a proposal or with none.
    Done(Option<Recommendation>),
    /// The answer deviated from the form; the job is over.
    Rejected { reason: String },
    /// No answer for now; the job waits until then (microseconds since the epoch).
    Retry { reason: String, run_after_us: i64 },
    /// There will be no answer; the job is over.
    Failed { reason: String },
}

/// How many jobs of a server are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AdviceCounts {
    pub queued: u64,
    pub running: u64,
    pub done: u64,
    pub rejected: u64,
    pub failed: u64,
}

impl AdviceCounts {
    pub fn merge(&mut self, other: Self) {
        self.queued += other.queued;
        self.running += other.running;
        self.done += other.done;
        self.rejected += other.rejected;
        self.failed += other.failed;
    }
}

/// A server with a job that may run.
#[derive(QueryableByName)]
struct Waiting {
    #[diesel(sql_type = BigInt)]
    server_id: i64,
}

#[derive(Queryable)]
struct Row {
    id: i64,
    query_id: i64,
    breach_id: i64,
    execution_id: i64,
    execution_started_at: i64,
    attempts: i64,
}

impl Store {
    /// Claims the job that has waited longest, if one may run at `now_us` (microseconds since the epoch), for as long as `lease`: longer than its
    /// work may take.
    pub fn claim_advice_job(
        &self,
        now_us: i64,
        lease: Duration,
    ) -> Result<Option<AdviceJob>, Error> {
        let until_us = now_us.saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX));
        let mut writer = self.connections.writer()?;
        let waiting: Vec<Waiting> = Sql::new(
            "SELECT server_id FROM advice_jobs \
              WHERE state = 'queued' AND run_after_us <= ? OR state = 'running' AND locked_until_us <= ? \
              GROUP BY server_id ORDER BY min(run_after_us), server_id",
            [now_us.into(), now_us.into()],
        )
        .load(&mut writer)?;
        // A queue is claimed from server by server: a store that is spread over machines can't lock rows of several at once.
        for Waiting { server_id } in waiting {
            let job = writer.write(|connection| claim(connection, server_id, now_us, until_us))?;
            if job.is_some() {
                return Ok(job);
            }
        }
        Ok(None)
    }

    /// Records what became of a claimed job, its recommendation in the same transaction. [`Error::JobLost`] if the job was claimed again or
    /// withdrawn meanwhile; nothing is stored then.
    pub fn finish_advice_job(&self, job: &AdviceJob, outcome: &AdviceOutcome) -> Result<(), Error> {
        let (state, reason, run_after_us) = match outcome {
            AdviceOutcome::Done(_) => ("done", None, None),
            AdviceOutcome::Rejected { reason } => ("rejected", Some(text(reason)), None),
            AdviceOutcome::Retry {
                reason,
                run_after_us,
            } => ("queued", Some(text(reason)), Some(*run_after_us)),
            AdviceOutcome::Failed { reason } => ("failed", Some(text(reason)), None),
        };
        let mut writer = self.connections.writer()?;
        writer.write(|connection| {
            let claimed = advice_jobs::table.find((job.server_id.0, job.id)).filter(
                advice_jobs::state
                    .eq("running")
                    .and(advice_jobs::attempts.eq(i64::from(job.attempts))),
            );
            let finish = diesel::update(claimed).set((
                advice_jobs::state.eq(state),
                advice_jobs::reason.eq(reason),
                advice_jobs::locked_until_us.eq(None::<i64>),
                run_after_us.map(|us| advice_jobs::run_after_us.eq(us)),
            ));
            if each!(connection, c => finish.execute(c))? == 0 {
                return Err(Error::JobLost { job_id: job.id });
            }
            match outcome {
                AdviceOutcome::Done(Some(found)) => {
                    recommendation::store(connection, std::slice::from_ref(found))
                }
                _ => Ok(()),
            }
        })
    }
}

impl Reader<'_> {
    /// How many jobs of each server are in which state; a server without jobs is missing.
    pub fn advice_counts(&mut self) -> Result<HashMap<ServerId, AdviceCounts>, Error> {
        let counted = advice_jobs::table
            .group_by((advice_jobs::server_id, advice_jobs::state))
            .select((
                advice_jobs::server_id,
                advice_jobs::state,
                diesel::dsl::count_star(),
            ));
        let rows: Vec<(i64, String, i64)> = each!(self.connection, c => counted.load(c))?;
        let mut servers: HashMap<ServerId, AdviceCounts> = HashMap::new();
        for (server, state, jobs) in rows {
            let counts = servers.entry(ServerId(server)).or_default();
            let counter = match state.as_str() {
                "queued" => Some(&mut counts.queued),
                "running" => Some(&mut counts.running),
                "done" => Some(&mut counts.done),
                "rejected" => Some(&mut counts.rejected),
                "failed" => Some(&mut counts.failed),
                _ => None,
            };
            *known(counter, "advice_jobs.state", &state)? = count("advice_jobs", jobs)?;
        }
        Ok(servers)
    }
}

/// Claims the server's job that has waited longest; what another process is claiming is passed over.
fn claim(
    connection: &mut Connection,
    server_id: i64,
    now_us: i64,
    until_us: i64,
) -> Result<Option<AdviceJob>, Error> {
    let queued = advice_jobs::state
        .eq("queued")
        .and(advice_jobs::run_after_us.le(now_us));
    let abandoned = advice_jobs::state
        .eq("running")
        .and(advice_jobs::locked_until_us.le(now_us));
    let longest = advice_jobs::table
        .filter(advice_jobs::server_id.eq(server_id))
        .filter(queued.or(abandoned.assume_not_null()))
        .order((advice_jobs::run_after_us, advice_jobs::id))
        .limit(1)
        .select((
            advice_jobs::id,
            advice_jobs::query_id,
            advice_jobs::breach_id,
            advice_jobs::execution_id,
            advice_jobs::execution_started_at,
            advice_jobs::attempts,
        ));
    let row: Option<Row> = match connection {
        Connection::Sqlite(c) => longest.first(c).optional()?,
        Connection::Postgres(c) => longest
            .for_update()
            .skip_locked()
            .first(&mut **c)
            .optional()?,
    };
    let Some(row) = row else { return Ok(None) };
    let attempts = row.attempts + 1;
    let claimed = diesel::update(advice_jobs::table.find((server_id, row.id))).set((
        advice_jobs::state.eq("running"),
        advice_jobs::attempts.eq(attempts),
        advice_jobs::locked_until_us.eq(until_us),
    ));
    each!(connection, c => claimed.execute(c))?;
    Ok(Some(AdviceJob {
        server_id: ServerId(server_id),
        id: row.id,
        query_id: QueryId(row.query_id),
        breach_id: row.breach_id,
        execution: ExecutionKey {
            started_at: time("advice_jobs.execution_started_at", row.execution_started_at)?,
            server_id: ServerId(server_id),
            id: ExecutionId(row.execution_id),
        },
        attempts: ordinal("advice_jobs.attempts", attempts)?,
    }))
}

/// Enqueues a job for the execution that opened the breach, once for all breaches that it opens.
pub(super) fn enqueue(
    connection: &mut Connection,
    cause: &Breach,
    now_us: i64,
) -> Result<(), Error> {
    let id = stable_id(&[
        b"advice",
        &cause.query_id.0.to_be_bytes(),
        &cause.execution_id.0.to_be_bytes(),
    ]);
    let job = diesel::insert_into(advice_jobs::table)
        .values((
            advice_jobs::server_id.eq(cause.server_id.0),
            advice_jobs::id.eq(id),
            advice_jobs::query_id.eq(cause.query_id.0),
            advice_jobs::breach_id.eq(breach::id(cause)),
            advice_jobs::execution_id.eq(cause.execution_id.0),
            advice_jobs::execution_started_at.eq(cause.execution_started_at.as_microsecond()),
            advice_jobs::state.eq("queued"),
            advice_jobs::attempts.eq(0),
            advice_jobs::created_us.eq(now_us),
            advice_jobs::run_after_us.eq(now_us),
        ))
        .on_conflict_do_nothing();
    each!(connection, c => job.execute(c))?;
    Ok(())
}

/// Removes the jobs of the query that are about the execution.
pub(super) fn remove(
    connection: &mut Connection,
    execution: ExecutionKey,
    query: QueryId,
) -> Result<(), Error> {
    let about_it = advice_jobs::table.filter(
        advice_jobs::server_id
            .eq(execution.server_id.0)
            .and(advice_jobs::query_id.eq(query.0))
            .and(advice_jobs::execution_id.eq(execution.id.0)),
    );
    each!(connection, c => diesel::delete(about_it).execute(c))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::{
        model::finding::Severity,
        store::fixture::{self, Fixture, batch, execution},
    };

    const LATER_US: i64 = i64::MAX / 2;
    const LEASE: Duration = Duration::from_secs(60);
    const LEASE_US: i64 = 60_000_000;

    /// Stores with one queued job.
    fn queued() -> impl Iterator<Item = Fixture> {
        Fixture::each().inspect(|fixture| {
            let mut batch = batch(fixture.server, 0, 10);
            batch.executions = vec![execution(fixture.server, "select $1", 0, 2000.0)];
            fixture.ingest(&batch).unwrap();
        })
    }

    fn counts(fixture: &Fixture) -> AdviceCounts {
        fixture
            .store
            .read(|reader| {
                reader
                    .advice_counts()
                    .map(|mut all| all.remove(&fixture.server).unwrap_or_default())
            })
            .unwrap()
    }

    #[test]
    fn a_job_is_claimed_once_and_again_after_its_lease() {
        for fixture in queued() {
            let store = &fixture.store;
            assert_eq!(
                store.claim_advice_job(0, LEASE).unwrap(),
                None,
                "queued later than that"
            );
            let job = store.claim_advice_job(LATER_US, LEASE).unwrap().unwrap();
            assert_eq!(job.attempts, 1);
            assert_eq!(
                store
                    .claim_advice_job(LATER_US + LEASE_US - 1, LEASE)
                    .unwrap(),
                None
            );

            let again = store
                .claim_advice_job(LATER_US + LEASE_US, LEASE)
                .unwrap()
                .unwrap();
            assert_eq!(again, AdviceJob { attempts: 2, ..job });
            let late = store.finish_advice_job(&job, &AdviceOutcome::Done(None));
            assert!(matches!(late, Err(Error::JobLost { job_id }) if job_id == job.id));
            store
                .finish_advice_job(&again, &AdviceOutcome::Done(None))
                .unwrap();
            assert_eq!(
                counts(&fixture),
                AdviceCounts {
                    done: 1,
                    ..AdviceCounts::default()
                }
            );
        }
    }

    #[test]
    fn an_answer_is_stored_with_the_end_of_its_job() {
        for fixture in queued() {
            let job = fixture
                .store
                .claim_advice_job(LATER_US, LEASE)
                .unwrap()
                .unwrap();
            let found =
                fixture::recommendation(job.server_id, job.query_id, "t (a)", Severity::Warning);
            let done = AdviceOutcome::Done(Some(found.clone()));
            fixture.store.finish_advice_job(&job, &done).unwrap();
            let key = (job.server_id, job.query_id);
            let stored = fixture
                .store
                .read(|reader| reader.recommendations_of(&[key], 1))
                .unwrap();
            assert_eq!(stored, [(key, vec![found])].into());
            assert_eq!(
                fixture
                    .store
                    .claim_advice_job(i64::MAX / 2 + 2 * LEASE_US, LEASE)
                    .unwrap(),
                None
            );
        }
    }

    #[test]
    fn outcomes_without_an_answer() {
        let check = |outcome: AdviceOutcome, expected: AdviceCounts| -> Vec<Fixture> {
            queued()
                .inspect(|fixture| {
                    let job = fixture
                        .store
                        .claim_advice_job(LATER_US, LEASE)
                        .unwrap()
                        .unwrap();
                    fixture.store.finish_advice_job(&job, &outcome).unwrap();
                    assert_eq!(counts(fixture), expected, "{outcome:?}");
                })
                .collect()
        };
        let reason = || "the answer names a table that is not in the plan".to_owned();
        check(
            AdviceOutcome::Rejected { reason: reason() },
            AdviceCounts {
                rejected: 1,
                ..AdviceCounts::default()
            },
        );
        check(
            AdviceOutcome::Failed { reason: reason() },
            AdviceCounts {
                failed: 1,
                ..AdviceCounts::default()
            },
        );
        let run_after_us = LATER_US + 5;
        let waiting = check(
            AdviceOutcome::Retry {
                reason: reason(),
                run_after_us,
            },
            AdviceCounts {
                queued: 1,
                ..AdviceCounts::default()
            },
        );
        for fixture in waiting {
            let store = &fixture.store;
            assert_eq!(
                store.claim_advice_job(run_after_us - 1, LEASE).unwrap(),
                None
            );
            let again = store
                .claim_advice_job(run_after_us, LEASE)
                .unwrap()
                .unwrap();
            assert_eq!(again.attempts, 2);
        }
    }
}

//! Incidents and the executions that they happened to.
//!
//! Comes in: each record, and after it the executions of its session. Goes out: incidents, and which execution an earlier one turned out to
//! belong to: temporary files and lock waits are logged before the duration or plan of their statement. What connects them is the process, the
//! normalized statement and time. A parallel worker's incidents wait for its leader's execution.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Config, Events, query};
use crate::{
    model::{
        execution::{DurationSource, Execution, ExecutionId},
        incident::{Incident, IncidentExecution},
        position::{GenerationId, Position, ServerId},
        query::{Query, QueryId},
        record::{LogRecord, Severity, SqlState},
    },
    statement::incident,
};

/// Incidents that wait, of all processes together: one statement may leave hundreds of temporary files, clients can make any number. Beyond
/// it those that wait stay without an execution.
const WAITING_CAP: usize = 10_000;

/// Incidents whose execution hasn't been logged yet, by process id.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Waiting {
    processes: HashMap<i32, Vec<WaitingIncident>>,
    count: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct WaitingIncident {
    position: Position,
    log_time: Timestamp,
    /// Of the normalized statement that the record named; `None` where it named none.
    statement: Option<u64>,
}

/// A [`WaitingIncident`] between runs of the program.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    process_id: i32,
    generation: i64,
    offset_bytes: u64,
    log_time_us: i64,
    statement: Option<u64>,
}

impl Waiting {
    /// Takes a record; if it tells of an incident, that goes to `events`.
    pub(super) fn arrive(
        &mut self,
        config: &Config,
        server_id: ServerId,
        record: &LogRecord,
        events: &mut Events,
    ) {
        let is_error = matches!(
            record.error_severity,
            Severity::Error | Severity::Fatal | Severity::Panic
        );
        if !is_error && record.error_severity != Severity::Log {
            return;
        }
        let sql_state = record.sql_state_code.as_ref().map(SqlState::as_str);
        let detail = record.detail.as_deref();
        let Some(facts) = incident::read(is_error, sql_state, &record.message, detail) else {
            return;
        };
        *events.accounting.incidents.entry(facts.kind).or_default() += 1;
        let query = record.query.as_deref().map(|text| {
            let told = if is_error {
                query::of_failed(config, server_id, record, text)
            } else {
                query::of_statement(config, server_id, record, text)
            };
            told.query
        });
        // A worker's record doesn't name its database, so that its query isn't known.
        let query_id = query.as_ref().filter(|_| record.leader_pid.is_none());
        let failed = match query {
            None if !is_error => just_failed(record, events),
            _ => None,
        };
        events.incidents.push(Incident {
            server_id,
            position: record.position,
            log_time: record.log_time,
            query_id: query_id
                .map(|query| query.id)
                .or(failed.map(|(query_id, _)| query_id)),
            execution: failed.map(|(_, execution)| execution),
            facts,
        });
        if failed.is_some() {
            return;
        }
        let Some(process_id) = record.leader_pid.or_else(|| process_id(record)) else {
            return;
        };
        if self.count >= WAITING_CAP {
            *self = Self::default();
        }
        self.count += 1;
        let waiting = self.processes.entry(process_id).or_default();
        waiting.push(WaitingIncident {
            position: record.position,
            log_time: record.log_time,
            statement: query.as_ref().map(statement_hash),
        });
    }

    /// Gives waiting incidents of the record's process to those of its executions that they fit. Ones that are older than an execution that
    /// they don't fit have no other to come.
    #[expect(
        single_use_lifetimes,
        reason = "an argument's `impl Trait` needs a name for it"
    )]
    pub(super) fn attach<'e>(
        &mut self,
        record: &LogRecord,
        executions: impl Iterator<Item = &'e Execution>,
    ) -> Vec<IncidentExecution> {
        let mut found = Vec::new();
        let Some(process_id) = process_id(record) else {
            return found;
        };
        let Some(waiting) = self.processes.get_mut(&process_id) else {
            return found;
        };
        let count = waiting.len();
        for execution in executions.filter(|execution| !execution.is_nested()) {
            let began = began(execution, record);
            // What a plan record has told of may have begun earlier: its duration record will tell.
            let may_have_begun = |log_time| {
                execution.duration_source == Some(DurationSource::Plan) || began <= log_time
            };
            waiting.retain(|incident| {
                let fits = incident.fits(execution, began);
                if fits {
                    found.push(IncidentExecution {
                        position: incident.position,
                        log_time: incident.log_time,
                        started_at: execution.started_at,
                        execution_id: execution.id,
                        query_id: execution.query.id,
                    });
                }
                !fits && may_have_begun(incident.log_time)
            });
        }
        self.count -= count - waiting.len();
        if waiting.is_empty() {
            self.processes.remove(&process_id);
        }
        found
    }

    pub(super) fn save(&self) -> Vec<Saved> {
        let mut saved: Vec<Saved> = Vec::new();
        for (process_id, waiting) in &self.processes {
            saved.extend(waiting.iter().map(|incident| Saved {
                process_id: *process_id,
                generation: incident.position.generation.0,
                offset_bytes: incident.position.offset_bytes,
                log_time_us: incident.log_time.as_microsecond(),
                statement: incident.statement,
            }));
        }
        saved.sort_by_key(|saved| (saved.process_id, saved.log_time_us, saved.offset_bytes));
        saved
    }

    pub(super) fn restore(saved: Vec<Saved>) -> Self {
        let mut waiting = Self::default();
        for saved in saved {
            let Ok(log_time) = Timestamp::from_microsecond(saved.log_time_us) else {
                continue;
            };
            waiting.count += 1;
            let incidents = waiting.processes.entry(saved.process_id).or_default();
            incidents.push(WaitingIncident {
                position: Position {
                    generation: GenerationId(saved.generation),
                    offset_bytes: saved.offset_bytes,
                },
                log_time,
                statement: saved.statement,
            });
        }
        waiting
    }
}

impl WaitingIncident {
    /// Whether it happened to that execution, which began then: the same statement, where it names one, and not before or after it.
    fn fits(&self, execution: &Execution, began: Timestamp) -> bool {
        let slack = slack(self.log_time);
        let is_same = self
            .statement
            .is_none_or(|statement| statement == statement_hash(&execution.query));
        // What failed without a duration began some time before the error, which is all that is known.
        let has_begun = (execution.failed && execution.duration_ms.is_none())
            || began.duration_since(self.log_time) <= slack;
        let had_ended = match (execution.duration_source, execution.duration_ms) {
            (Some(DurationSource::Statement), Some(duration_ms)) => {
                let elapsed = self.log_time.duration_since(execution.started_at);
                elapsed.as_secs_f64() * 1000.0 > duration_ms + slack.as_secs_f64() * 1000.0
            }
            _ => false,
        };
        is_same && has_begun && !had_ended
    }
}

/// When the execution began, as far as `record` and earlier ones tell: `started_at` is fixed at first sight, and a plan's time is that of the
/// executor only, without the waits of parse analysis and planning.
fn began(execution: &Execution, record: &LogRecord) -> Timestamp {
    let duration_ms = match execution.duration_source {
        Some(DurationSource::Statement) => execution.duration_ms.unwrap_or_default(),
        _ => 0.0,
    };
    let duration = SignedDuration::try_from_secs_f64(duration_ms / 1000.0).unwrap_or_default();
    let told = record.log_time.checked_sub(duration);
    told.map_or(execution.started_at, |told| told.min(execution.started_at))
}

/// PostgreSQL 18 logs the temporary files of a failed statement after the error and without STATEMENT: query and key of that execution.
fn just_failed(record: &LogRecord, events: &Events) -> Option<(QueryId, (Timestamp, ExecutionId))> {
    const LATEST: usize = 64;
    let mut latest = events.executions.iter().rev().take(LATEST);
    let last = latest.find(|execution| {
        execution.process_id == record.process_id && execution.session_id == record.session_id
    })?;
    let is_just_now =
        record.log_time.duration_since(last.started_at) <= SignedDuration::from_secs(1);
    (last.failed && is_just_now).then_some((last.query.id, (last.started_at, last.id)))
}

/// How far log times may be off: they are cut to milliseconds, or to seconds (%t, %s).
fn slack(log_time: Timestamp) -> SignedDuration {
    if log_time.subsec_nanosecond() == 0 {
        SignedDuration::from_secs(1)
    } else {
        SignedDuration::from_millis(10)
    }
}

fn statement_hash(query: &Query) -> u64 {
    xxh3_64(query.normalized_sql.as_bytes())
}

/// %p, or the second half of %c.
fn process_id(record: &LogRecord) -> Option<i32> {
    record.process_id.or_else(|| {
        let (_, process_id) = record.session_id.as_ref()?.split_once('.')?;
        i32::from_str_radix(process_id, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::execution::{Pairing, pairing::tests::record};

    const TEMPORARY_FILE: &str = "temporary file: path \"base/pgsql_tmp/x\", size 5";

    /// One line of a test's log: `PLAN 7`, or `PROCESS text`, `>` before the leader of a worker, ` | ` before STATEMENT, `ERROR ` before an error.
    fn line(offset: u64, text: &str) -> LogRecord {
        if text == "PLAN 7" {
            let plan = r#"{"Query Text": "select 1", "Plan": {"Node Type": "Result"}}"#;
            return record(offset, &format!("duration: 1.000 ms  plan:\n{plan}"));
        }
        let (process, text) = text.split_once(' ').unwrap();
        let (process, leader) = process.split_once('>').unwrap_or((process, ""));
        let (message, statement) = text.split_once(" | ").unwrap_or((text, ""));
        let mut record = record(offset, message);
        record.process_id = process.parse().ok();
        record.leader_pid = leader.parse().ok();
        if record.leader_pid.is_some() {
            record.database_name = None;
        }
        record.query = Some(statement.to_owned()).filter(|text| !text.is_empty());
        if let Some(error) = message.strip_prefix("ERROR ") {
            record.message = error.to_owned();
            record.error_severity = Severity::Error;
        } else if message == "TEMP" {
            record.message = TEMPORARY_FILE.to_owned();
        }
        record
    }

    /// For each incident its kind, and the statement that it was given to: of an execution, of a query alone in parentheses.
    fn check(lines: &[&str], expected: &[&str]) {
        let mut pairing = Pairing::new(ServerId(1));
        let mut events = Events::default();
        for (number, text) in lines.iter().enumerate() {
            pairing.push(&line(number as u64 * 100 + 1, text), &mut events);
            pairing = Pairing::restore(ServerId(1), &pairing.save(), open(&pairing)).unwrap();
        }
        pairing.finish(&mut events);
        let shown: Vec<String> = events
            .incidents
            .iter()
            .map(|incident| {
                let found = events
                    .incident_executions
                    .iter()
                    .filter(|found| found.position == incident.position)
                    .map(|found| (found.started_at, found.execution_id))
                    .chain(incident.execution)
                    .collect::<Vec<_>>();
                let kind = incident.facts.kind.as_str();
                match found.as_slice() {
                    [] => format!(
                        "{kind} {}",
                        if incident.query_id.is_some() {
                            "(query)"
                        } else {
                            "-"
                        }
                    ),
                    [key] => {
                        let execution = events
                            .executions
                            .iter()
                            .find(|e| (e.started_at, e.id) == *key);
                        format!("{kind} {}", execution.unwrap().query.normalized_sql)
                    }
                    more => format!("{kind} of {} executions", more.len()),
                }
            })
            .collect();
        assert_eq!(shown, expected, "{lines:#?}");
        let counted: u64 = events.accounting.incidents.values().sum();
        assert_eq!(counted, shown.len() as u64);
    }

    fn open(pairing: &Pairing) -> Vec<Execution> {
        let sessions = pairing.sessions.values();
        sessions
            .flat_map(|session| &session.open)
            .map(|open| open.execution.clone())
            .collect()
    }

    #[test]
    fn the_execution_is_logged_later() {
        check(
            &[
                "7 TEMP | select 1",
                "7 duration: 500.000 ms  statement: select 1",
            ],
            &["temporary-file select $1"],
        );
        check(
            &[
                "7 duration: 1.000 ms  bind s: select 1",
                "7 TEMP | select 1",
                "7 duration: 500.000 ms  execute s: select 1",
            ],
            &["temporary-file select $1"],
        );
        check(
            &[
                "7 process 7 still waiting for ShareLock on transaction 9 after 1000.000 ms | select 1",
                "8 duration: 500.000 ms  statement: select 1",
                "7 duration: 500.000 ms  statement: select 1",
            ],
            &["lock-wait select $1"],
        );
        check(
            &["7 TEMP", "7 duration: 500.000 ms  statement: select 1"],
            &["temporary-file select $1"],
        );
    }

    #[test]
    fn the_execution_is_never_logged() {
        check(
            &[
                "7 TEMP | select 1",
                "7 duration: 0.100 ms  statement: select 1",
                "7 duration: 500.000 ms  statement: select a",
            ],
            &["temporary-file (query)"],
        );
        check(
            &[
                "7 TEMP | select a",
                "7 duration: 500.000 ms  statement: select 1",
            ],
            &["temporary-file (query)"],
        );
        check(&["7 TEMP"], &["temporary-file -"]);
    }

    #[test]
    fn a_worker_belongs_to_its_leader() {
        check(
            &[
                "9>7 TEMP | select 1",
                "8 duration: 500.000 ms  statement: select 1",
                "7 duration: 500.000 ms  statement: select 1",
            ],
            &["temporary-file select $1"],
        );
        check(&["9>7 TEMP | select 1"], &["temporary-file -"]);
    }

    #[test]
    fn errors_and_what_they_leave_behind() {
        check(
            &[
                "7 ERROR canceling statement due to statement timeout | select 1",
                "7 TEMP",
            ],
            &["statement-timeout select $1", "temporary-file select $1"],
        );
        check(
            &[
                "7 process 7 still waiting for ShareLock on transaction 9 after 1000.000 ms | select 1",
                "7 ERROR canceling statement due to user request | select 1",
            ],
            &["lock-wait select $1", "user-request select $1"],
        );
        check(
            &[
                "7 duration: 1.000 ms  bind s: select 1",
                "7 ERROR deadlock detected | select 1",
            ],
            &["deadlock select $1"],
        );
    }

    #[test]
    fn clients_cannot_fill_the_memory() {
        let mut waiting = Waiting::default();
        let mut events = Events::default();
        let count = |waiting: &Waiting| waiting.processes.values().map(Vec::len).sum::<usize>();
        for number in 0..25_000 {
            let mut record = line(number, "1 TEMP");
            record.process_id = Some(if number % 2 == 0 { 1 } else { number as i32 });
            waiting.arrive(&Config::default(), ServerId(1), &record, &mut events);
            assert!(waiting.count <= WAITING_CAP);
        }
        assert_eq!(waiting.count, count(&waiting));
        waiting.attach(&line(1, "1 x"), std::iter::empty());
        assert_eq!((waiting.count, count(&waiting)), (5_000, 5_000));
    }
}

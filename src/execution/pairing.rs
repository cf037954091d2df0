//! Which log records are one execution: every record of a server goes through [`Pairing::push`] in log order.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Config, Events,
    arrival::{Arrival, began},
    incident,
    session::Session,
    shown::Shown,
};
use crate::{
    model::{
        execution::{Execution, ExecutionId},
        position::{GenerationId, ServerId},
        record::{LogRecord, Severity},
    },
    statement::message::{self, Message},
};

/// How much log time may pass in a session before what waits there is closed: a plan or execute follows within it or never.
const CLOSE_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// Sessions with something waiting that are held at once; beyond it the one that has been silent longest is closed.
const SESSIONS_CAP: usize = 10_000;

/// How a session is told apart: by %c where it is logged, else by process id, else not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum SessionKey {
    Id(String),
    Process(i32),
    Unknown,
}

impl SessionKey {
    fn of(record: &LogRecord) -> Self {
        match (&record.session_id, record.process_id) {
            (Some(id), _) => Self::Id(id.clone()),
            (None, Some(process_id)) => Self::Process(process_id),
            (None, None) => Self::Unknown,
        }
    }
}

/// What a preview has told the store of records that may not be whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Previewed {
    /// First byte after the records, as far as they had come.
    pub(super) end_bytes: u64,
    /// Executions of these records alone, to be withdrawn when the records are whole.
    pub(super) rows: Vec<(ExecutionId, Timestamp)>,
    /// Executions of earlier records that were told more.
    pub(super) amended: Vec<ExecutionId>,
}

/// What one server's sessions have waiting. Two pairings that were given the same records in the same order are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairing {
    pub(super) server_id: ServerId,
    pub(super) config: Arc<Config>,
    pub(super) sessions: HashMap<SessionKey, Session>,
    pub(super) shown: Shown,
    /// Log time of the last record. Not the newest: after a clock that ran ahead every session would look silent until time has caught up.
    pub(super) last: Option<Timestamp>,
    /// What previews of a generation's last records have told the store.
    pub(super) previewed: BTreeMap<GenerationId, Previewed>,
    pub(super) incidents: incident::Waiting,
}

impl Pairing {
    pub fn new(server_id: ServerId) -> Self {
        Self {
            server_id,
            config: Arc::default(),
            sessions: HashMap::new(),
            shown: Shown::default(),
            last: None,
            previewed: BTreeMap::new(),
            incidents: incident::Waiting::default(),
        }
    }

    /// The same with another configuration than the default.
    pub fn with_config(self, config: Config) -> Self {
        Self {
            config: Arc::new(config),
            ..self
        }
    }

    /// Takes the next record of the log. Executions that it closes go to `events`.
    pub fn push(&mut self, record: &LogRecord, events: &mut Events) {
        count_record(record, events);
        self.last = Some(record.log_time);
        if record.flags.ambiguous {
            return;
        }
        let message = message::read(&record.message);
        self.shown.note(record, message.as_ref());
        let key = SessionKey::of(record);
        let mut session = self
            .sessions
            .remove(&key)
            .unwrap_or_else(|| Session::new(record.log_time));
        // What a record says took long was at work for as long. An error doesn't say.
        if let Some(Message::Duration { duration_ms, .. } | Message::Plan { duration_ms, .. }) =
            message
        {
            let idle = began(record, duration_ms).duration_since(session.log_time);
            if idle > CLOSE_AFTER {
                session.give_up(events);
            }
        }
        session.log_time = record.log_time;
        // What the server says about a statement is no incident.
        if message.is_none() || record.error_severity != Severity::Log {
            self.incidents
                .arrive(&self.config, self.server_id, record, events);
        }
        let known_count = events.executions.len();
        Arrival {
            server_id: self.server_id,
            shown: self.shown,
            config: &self.config,
            record,
            session: &mut session,
            events,
        }
        .read(message);
        let closed = events.executions.iter().skip(known_count);
        let open = session.open.iter().map(|open| &open.execution);
        let attached = self.incidents.attach(record, closed.chain(open));
        events.incident_executions.extend(attached);
        if !session.is_idle() {
            self.sessions.insert(key, session);
        }
    }

    /// Ends a batch: closes what has waited for longer than five seconds of log time and hands out what is still open and has changed.
    pub fn end_batch(&mut self, events: &mut Events) {
        self.close_silent(events);
        for open in self
            .sessions
            .values_mut()
            .flat_map(|session| &mut session.open)
            .filter(|open| open.changed)
        {
            open.changed = false;
            events.executions.push(open.execution.clone());
        }
        events
            .executions
            .sort_by_key(|execution| (execution.position, execution.id));
    }

    /// Nothing more comes of this log: closes everything.
    pub fn finish(&mut self, events: &mut Events) {
        for (_, mut session) in self.sessions.drain() {
            session.close_all(events);
        }
        events
            .executions
            .sort_by_key(|execution| (execution.position, execution.id));
    }

    /// What `records`, the last of `generation`, give if they are whole. They are not taken: more of them may come, and then what only this preview
    /// has brought forth is withdrawn (see [`Pairing::take_provisional`]).
    pub fn preview(&mut self, generation: GenerationId, records: &[LogRecord]) -> Events {
        let mut scratch = Self {
            shown: self.shown,
            config: Arc::clone(&self.config),
            ..Self::new(self.server_id)
        };
        for key in records.iter().map(SessionKey::of) {
            if let Some(session) = self.sessions.get(&key) {
                scratch.sessions.insert(key, session.clone());
            }
        }
        let known: Vec<_> = scratch
            .sessions
            .values()
            .flat_map(|session| &session.open)
            .map(|open| open.execution.id)
            .collect();
        let mut events = Events::default();
        for record in records {
            scratch.push(record, &mut events);
        }
        scratch.end_batch(&mut events);
        events.incidents.clear();
        events.incident_executions.clear();
        let previewed = self.previewed.entry(generation).or_default();
        previewed.end_bytes = records
            .iter()
            .map(|record| record.end_bytes)
            .max()
            .unwrap_or_default();
        for execution in &mut events.executions {
            execution.open = true;
            match known.contains(&execution.id) {
                true => previewed.amended.push(execution.id),
                false => previewed.rows.push((execution.id, execution.started_at)),
            }
        }
        events
    }

    /// The rows of earlier previews of the generation, which its next batch has to withdraw before it stores the same records for good.
    pub fn take_provisional(&mut self, generation: GenerationId) -> Vec<(ExecutionId, Timestamp)> {
        self.previewed.remove(&generation).unwrap_or_default().rows
    }

    /// Whether the execution is known by a preview of the generation alone.
    pub fn is_provisional(&self, generation: GenerationId, id: ExecutionId) -> bool {
        let previewed = self.previewed.get(&generation);
        previewed.is_some_and(|previewed| previewed.rows.iter().any(|(row, _)| *row == id))
    }

    /// The log is gone and its last records stay what a preview has made of them: closes those executions, of the open ones of the store. First byte
    /// after the records. Of their counts those of executions remain.
    pub fn keep_previewed(
        &mut self,
        generation: GenerationId,
        stored: Vec<Execution>,
        events: &mut Events,
    ) -> Option<u64> {
        let previewed = self.previewed.remove(&generation)?;
        let kept = |id: ExecutionId| {
            previewed.amended.contains(&id) || previewed.rows.iter().any(|(row, _)| *row == id)
        };
        for session in self.sessions.values_mut() {
            session.open.retain(|open| !kept(open.execution.id));
        }
        for mut execution in stored {
            if kept(execution.id) {
                execution.open = false;
                let has_plan = u64::from(execution.plan_count > 0);
                if !previewed.amended.contains(&execution.id) {
                    events.accounting.executions += 1;
                    events.accounting.executions_with_plan += has_plan;
                }
                events.executions.push(execution);
            }
        }
        Some(previewed.end_bytes)
    }

    fn close_silent(&mut self, events: &mut Events) {
        let Some(last) = self.last else { return };
        self.sessions.retain(|_, session| {
            if last.duration_since(session.log_time) > CLOSE_AFTER {
                session.fall_silent(events);
            }
            !session.is_idle()
        });
        if self.sessions.len() > SESSIONS_CAP {
            let mut by_age: Vec<_> = self
                .sessions
                .iter()
                .map(|(key, session)| (session.log_time, key.clone()))
                .collect();
            by_age.sort_unstable();
            let surplus = self.sessions.len() - SESSIONS_CAP;
            for (_, key) in by_age.into_iter().take(surplus) {
                if let Some(mut session) = self.sessions.remove(&key) {
                    session.close_all(events);
                }
            }
        }
    }
}

fn count_record(record: &LogRecord, events: &mut Events) {
    let accounting = &mut events.accounting;
    accounting.records_total += 1;
    accounting.ambiguous += u64::from(record.flags.ambiguous || record.flags.ambiguous_text);
    *accounting
        .by_severity
        .entry(record.error_severity)
        .or_default() += 1;
    if let Some(sql_state) = record.sql_state_code {
        accounting.add_sqlstate(sql_state, 1);
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::{
        execution::Literals,
        model::{
            execution::Execution,
            position::Position,
            record::{RecordFlags, SqlState},
        },
    };

    const SERVER: ServerId = ServerId(1);

    /// A LOG record of process 7, `offset` milliseconds after the beginning of the log.
    pub(crate) fn record(offset: u64, message: &str) -> LogRecord {
        let offset_ms = i64::try_from(offset).unwrap();
        LogRecord {
            position: Position {
                generation: GenerationId(1),
                offset_bytes: offset,
            },
            end_bytes: offset + 1,
            log_time: Timestamp::from_millisecond(1_800_000_000_000 + offset_ms).unwrap(),
            user_name: Some("ann".to_owned()),
            database_name: Some("shop".to_owned()),
            process_id: Some(7),
            connection_from: None,
            session_id: None,
            session_line_num: None,
            command_tag: None,
            virtual_transaction_id: None,
            error_severity: Severity::Log,
            sql_state_code: None,
            message: message.to_owned(),
            detail: None,
            hint: None,
            internal_query: None,
            context: None,
            query: None,
            application_name: None,
            backend_type: None,
            leader_pid: None,
            query_id: None,
            flags: RecordFlags::default(),
        }
    }

    fn plan(sql: &str) -> String {
        let text = serde_json::to_string(sql).unwrap();
        format!(
            "duration: 1.000 ms  plan:\n{{\n  \"Query Text\": {text},\n  \"Plan\": {{\n    \"Node Type\": \"Result\"\n  }}\n}}"
        )
    }

    /// One line of a test's log: what is set besides the message is written before it.
    fn line(offset: u64, text: &str) -> LogRecord {
        let mut record = record(offset, text);
        if let Some(sql) = text.strip_prefix("PLAN ") {
            record.message = plan(sql);
        } else if let Some(sql) = text.strip_prefix("LONG PLAN ") {
            record.message = plan(sql).replacen("1.000", "59999.000", 1);
        } else if let Some(sql) = text.strip_prefix("NESTED ") {
            record.message = plan(sql);
            record.context = Some(
                "SQL statement \"x\"\nPL/pgSQL function f() line 3 at SQL statement".to_owned(),
            );
        } else if let Some(sql) = text.strip_prefix("ERROR ") {
            record.message = "division by zero".to_owned();
            record.error_severity = Severity::Error;
            record.sql_state_code = SqlState::new("22012");
            record.query = Some(sql.to_owned());
        } else if let Some(message) = text.strip_prefix("DETAILED ") {
            record.message = message.to_owned();
            record.detail = Some("x".to_owned());
        } else if let Some(sql) = text.strip_prefix("SPILLED ") {
            record.message = "temporary file: path \"x\", size 8192".to_owned();
            record.query = Some(sql.to_owned());
        } else if let Some(rest) = text.strip_prefix("PREPARED ") {
            let (message, prepared) = rest.split_once(" | ").unwrap();
            record.message = message.to_owned();
            record.detail = Some(format!("prepare: {prepared}"));
        } else if let Some(message) = text.strip_prefix("AMBIGUOUS ") {
            record.message = message.to_owned();
            record.flags.ambiguous = true;
        } else if let Some(message) = text.strip_prefix("RAISED ") {
            record.message = message.to_owned();
            record.query = Some("select f()".to_owned());
            record.context = Some("PL/pgSQL function f() line 3 at RAISE".to_owned());
        }
        record
    }

    fn show(execution: &Execution) -> String {
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms}"));
        format!(
            "{:?} {} | {} parse {} bind {} plans {}{}{}{}",
            execution.kind,
            execution.query.normalized_sql,
            ms(execution.duration_ms),
            ms(execution.parse_ms),
            ms(execution.bind_ms),
            execution.plan_count,
            if execution.failed { " failed" } else { "" },
            if execution.is_nested() { " nested" } else { "" },
            if execution.open { " open" } else { "" },
        )
    }

    /// A line comes a millisecond after the one before, or at the millisecond that stands before it: `@5000 text`.
    fn finished(lines: &[&str]) -> Events {
        let mut pairing = Pairing::new(SERVER);
        let mut events = Events::default();
        let mut offset = 0;
        for text in lines {
            let mut text = *text;
            if let Some((at, rest)) = text.strip_prefix('@').and_then(|t| t.split_once(' ')) {
                offset = at.parse().unwrap();
                text = rest;
            }
            pairing.push(&line(offset, text), &mut events);
            pairing.end_batch(&mut events);
            offset += 1;
        }
        events.executions.retain(|execution| !execution.open);
        pairing.finish(&mut events);
        events
    }

    fn check(lines: &[&str], expected: &[&str]) {
        let events = finished(lines);
        let shown: Vec<String> = events.executions.iter().map(show).collect();
        assert_eq!(shown, expected, "{lines:#?}");
        let with_plan = events
            .executions
            .iter()
            .filter(|execution| execution.plan_count > 0)
            .count();
        assert_eq!(
            (
                events.accounting.executions,
                events.accounting.executions_with_plan
            ),
            (events.executions.len() as u64, with_plan as u64),
            "{lines:#?}"
        );
    }

    #[test]
    fn what_may_be_another_sessions_is_counted_only() {
        let lines = ["AMBIGUOUS duration: 2.000 ms  statement: select 1"];
        check(&lines, &[]);
        let accounting = finished(&lines).accounting;
        assert_eq!((accounting.records_total, accounting.ambiguous), (1, 1));
        assert_eq!(accounting.durations.count, 0);
    }

    #[test]
    fn simple_protocol() {
        check(
            &["duration: 2.000 ms  statement: select 1"],
            &["Statement select $1 | 2 parse - bind - plans 0"],
        );
        check(
            &["PLAN select 1", "duration: 2.000 ms  statement: select 1"],
            &["Statement select $1 | 2 parse - bind - plans 1"],
        );
        check(
            &[
                "DETAILED checkpoint",
                "PLAN select 1",
                "PLAN select 2",
                "duration: 2.000 ms  statement: select 2",
            ],
            &[
                "PlanOnly select $1 | 1 parse - bind - plans 1",
                "Statement select $1 | 2 parse - bind - plans 1",
            ],
        );
        check(
            &[
                "PLAN select 1; select a",
                "PLAN select 1; select a",
                "duration: 3.000 ms  statement: select 1; select a",
            ],
            &["Statement select $1; select a | 3 parse - bind - plans 2"],
        );
        check(
            &["PLAN select a", "PLAN select a"],
            &[
                "PlanOnly select a | 1 parse - bind - plans 1",
                "PlanOnly select a | 1 parse - bind - plans 1",
            ],
        );
        check(
            &[
                "PLAN prepare p(int) as select a",
                "PREPARED duration: 2.000 ms  statement: execute p(7) | prepare p(int) as select a",
            ],
            &["Statement prepare $1 (int) as select a | 2 parse - bind - plans 1"],
        );
    }

    #[test]
    fn extended_protocol_in_both_orders() {
        let bound = "Execute select a where b = $1";
        check(
            &[
                "duration: 0.100 ms  parse <unnamed>: select a where b = $1",
                "duration: 0.200 ms  bind <unnamed>: select a where b = $1",
                "duration: 0.300 ms  execute <unnamed>: select a where b = $1",
                "duration: 0.400 ms  parse <unnamed>: select c",
                "PLAN select a where b = $1",
                "duration: 0.500 ms  bind <unnamed>: select c",
                "PLAN select c",
                "duration: 0.600 ms  execute <unnamed>: select c",
            ],
            &[
                &format!("{bound} | 0.3 parse 0.1 bind 0.2 plans 1"),
                "Execute select c | 0.6 parse 0.4 bind 0.5 plans 1",
            ],
        );
        check(
            &[
                "duration: 0.200 ms  bind s1: select a where b = $1",
                "duration: 0.300 ms  execute s1: select a where b = $1",
                "PLAN select a where b = $1",
                "duration: 0.200 ms  bind s1: select a where b = $1",
                "duration: 0.400 ms  execute s1: select a where b = $1",
                "PLAN select a where b = $1",
            ],
            &[
                &format!("{bound} | 0.3 parse - bind 0.2 plans 1"),
                &format!("{bound} | 0.4 parse - bind 0.2 plans 1"),
            ],
        );
        check(
            &[
                "duration: 0.200 ms  bind s1: select a where b = $1",
                "duration: 0.200 ms  bind s1: select a where b = $1",
            ],
            &[
                &format!("{bound} | - parse - bind 0.2 plans 0"),
                &format!("{bound} | - parse - bind 0.2 plans 0"),
            ],
        );
        check(
            &[
                "duration: 0.300 ms  execute s1/c1: select a",
                "duration: 0.100 ms  execute fetch from s1/c1: select a",
                "duration: 0.100 ms  execute fetch from s1/c1: select a",
                "PLAN select a",
            ],
            &["Execute select a | 0.5 parse - bind - plans 1"],
        );
        // The first plan wasn't sampled, and the second is not the first's.
        check(
            &[
                "duration: 0.300 ms  execute s1/c1: select a",
                "duration: 0.400 ms  execute s1/c1: select a",
                "PLAN select a",
            ],
            &[
                "Execute select a | 0.3 parse - bind - plans 0",
                "Execute select a | 0.4 parse - bind - plans 1",
            ],
        );
    }

    /// Durations longer than the log's times apart: what has begun long ago isn't silent.
    #[test]
    fn slow_statements() {
        check(
            &[
                "duration: 0.200 ms  bind s1: select a",
                "@60000 duration: 60000.000 ms  execute s1: select a",
                "PLAN select a",
            ],
            &["Execute select a | 60000 parse - bind 0.2 plans 1"],
        );
        check(
            &["statement: select a", "@60000 duration: 60000.000 ms"],
            &["Statement select a | 60000 parse - bind - plans 0"],
        );
        check(
            &[
                "PLAN select 1; select b",
                "@60000 LONG PLAN select 1; select b",
                "@60001 duration: 60001.000 ms  statement: select 1; select b",
            ],
            &["Statement select $1; select b | 60001 parse - bind - plans 2"],
        );
        check(
            &[
                "duration: 0.200 ms  bind s1: select a",
                "@60000 duration: 1.000 ms  execute s1: select a",
            ],
            &[
                "Execute select a | - parse - bind 0.2 plans 0",
                "Execute select a | 1 parse - bind - plans 0",
            ],
        );
    }

    #[test]
    fn prepared_statements_of_sql() {
        let prepare = "prepare p(int) as select a";
        check(
            &[
                &format!("PLAN {prepare}"),
                "duration: 2.000 ms  statement: execute p(7)",
            ],
            &["Statement prepare $1 (int) as select a | 2 parse - bind - plans 1"],
        );
        check(
            &[
                "DETAILED x",
                "duration: 0.100 ms  bind <unnamed>: execute P(7)",
                &format!("PLAN {prepare}"),
                "duration: 2.000 ms  execute <unnamed>: execute P(7)",
            ],
            &["Execute execute p($1) | 2 parse - bind 0.1 plans 1"],
        );
        check(
            &[
                &format!("PLAN {prepare}"),
                "duration: 2.000 ms  statement: execute other(7)",
            ],
            &[
                "Nested prepare $1 (int) as select a | 1 parse - bind - plans 1 nested",
                "Statement execute other($1) | 2 parse - bind - plans 0",
            ],
        );
        check(
            &[
                "PREPARED statement: execute p(7) | prepare p(int) as select a",
                &format!("PLAN {prepare}"),
                "duration: 2.000 ms",
            ],
            &["Statement prepare $1 (int) as select a | 2 parse - bind - plans 1"],
        );
    }

    #[test]
    fn cursors() {
        let declare = "declare c cursor for select a";
        let plan = format!("PLAN {declare}");
        let declared = format!("duration: 0.100 ms  statement: {declare}");
        let fetched = "Statement fetch $1 from $2 | 3 parse - bind - plans 0";
        check(
            &[
                &declared,
                "duration: 3.000 ms  statement: fetch 10 from c",
                &plan,
                "duration: 0.010 ms  statement: commit",
            ],
            &[
                "Statement declare $1 cursor for select a | 1 parse - bind - plans 1",
                fetched,
                "Statement commit | 0.01 parse - bind - plans 0",
            ],
        );
        // Without the DECLARE's record the plan is an execution of its own, never nested in what closes the cursor.
        check(
            &[
                "duration: 3.000 ms  statement: fetch 10 from c",
                &plan,
                "duration: 2.000 ms  statement: close c",
            ],
            &[
                fetched,
                "PlanOnly declare $1 cursor for select a | 1 parse - bind - plans 1",
                "Statement close $1 | 2 parse - bind - plans 0",
            ],
        );
        let whole = "begin; declare c cursor for select a; fetch 1 from c; commit";
        check(
            &[
                &format!("PLAN {whole}"),
                &format!("duration: 5.000 ms  statement: {whole}"),
            ],
            &[
                "Statement begin; declare $1 cursor for select a; fetch $2 from $3; commit | 5 parse - bind - plans 1",
            ],
        );
    }

    /// `log_error_verbosity = terse`: nested plans have no CONTEXT.
    #[test]
    fn nested_plans_without_context() {
        check(
            &[
                "PLAN select b",
                "PLAN select c",
                "PLAN select f()",
                "duration: 9.000 ms  statement: select f()",
            ],
            &[
                "Nested select b | 1 parse - bind - plans 1 nested",
                "Nested select c | 1 parse - bind - plans 1 nested",
                "Statement select f() | 9 parse - bind - plans 1",
            ],
        );
        check(
            &[
                "duration: 0.200 ms  bind s1: select f($1)",
                "PLAN select b",
                "duration: 9.000 ms  execute s1: select f($1)",
                "PLAN select f($1)",
            ],
            &[
                "Execute select f($1) | 9 parse - bind 0.2 plans 1",
                "Nested select b | 1 parse - bind - plans 1 nested",
            ],
        );
        // A plan from before the statement began is of another statement, whose duration isn't logged.
        check(
            &[
                "PLAN select b",
                "@100 PLAN select c",
                "@150 duration: 60.000 ms  statement: select f()",
            ],
            &[
                "PlanOnly select b | 1 parse - bind - plans 1",
                "Nested select c | 1 parse - bind - plans 1 nested",
                "Statement select f() | 60 parse - bind - plans 0",
            ],
        );
        // A duration without text ends a statement, whichever it was.
        check(
            &[
                "PLAN select b",
                "duration: 2.000 ms",
                "duration: 9.000 ms  statement: select c",
            ],
            &[
                "PlanOnly select b | 1 parse - bind - plans 1",
                "Statement select c | 9 parse - bind - plans 0",
            ],
        );
        // Without durations nothing tells.
        check(
            &["PLAN select b", "PLAN select f()"],
            &[
                "PlanOnly select b | 1 parse - bind - plans 1",
                "PlanOnly select f() | 1 parse - bind - plans 1",
            ],
        );
        // A statement that fails has no duration: what would have been logged if it stood alone is nested.
        check(
            &[
                "duration: 0.500 ms  statement: select a",
                "PLAN select b",
                "ERROR insert into t values (1)",
            ],
            &[
                "Statement select a | 0.5 parse - bind - plans 0",
                "Nested select b | 1 parse - bind - plans 1 nested",
                "Failed insert into t values ($1) | - parse - bind - plans 0 failed",
            ],
        );
        check(
            &[
                "duration: 500.000 ms  statement: select a",
                "PLAN select b",
                "ERROR insert into t values (1)",
            ],
            &[
                "Statement select a | 500 parse - bind - plans 0",
                "PlanOnly select b | 1 parse - bind - plans 1",
                "Failed insert into t values ($1) | - parse - bind - plans 0 failed",
            ],
        );
    }

    #[test]
    fn the_nested_plans_of_one_statement_are_counted_however_many_they_are() {
        let mut lines = vec!["duration: 0.500 ms  statement: select a"];
        lines.extend(std::iter::repeat_n("PLAN select b", 1000));
        lines.push("duration: 2000.000 ms  statement: select f()");
        let events = finished(&lines);
        assert_eq!(events.accounting.plans_nested, 1000);
        let parents = events.executions.iter().filter(|e| e.is_nested());
        assert_eq!(parents.count(), 1000);
    }

    /// An id that was kept for a statement is not given to a later one.
    #[test]
    fn a_parent_that_is_not_logged_has_no_stand_in() {
        let events = finished(&[
            "NESTED select b",
            "@3000 duration: 1.000 ms  statement: select c",
        ]);
        let parent = events.executions.iter().find_map(|e| e.parent_id);
        assert!(parent.is_some());
        assert!(events.executions.iter().all(|e| Some(e.id) != parent));
    }

    #[test]
    fn how_far_failed_statements_got() {
        check(
            &["statement: select a", "@3000 ERROR select a"],
            &["Failed select a | 3000 parse - bind - plans 0 failed"],
        );
        check(
            &[
                "duration: 0.500 ms  statement: select b",
                "SPILLED select a",
                "@3001 ERROR select a",
            ],
            &[
                "Statement select b | 0.5 parse - bind - plans 0",
                "Failed select a | 3000 parse - bind - plans 0 failed",
            ],
        );
        // An earlier run may have ended without a trace.
        check(
            &["SPILLED select a", "@3001 ERROR select a"],
            &["Failed select a | - parse - bind - plans 0 failed"],
        );
        check(
            &[
                "statement: select b",
                "duration: 1.000 ms",
                "@3001 ERROR select b",
            ],
            &[
                "Statement select b | 1 parse - bind - plans 0",
                "Failed select b | - parse - bind - plans 0 failed",
            ],
        );
        check(
            &["PLAN select 1; select 1/0", "ERROR select 1; select 1/0"],
            &["Failed select $1; select $2 / $3 | 1 parse - bind - plans 1 failed"],
        );
    }

    /// The leader reports it again.
    #[test]
    fn what_fails_in_a_parallel_worker_is_the_leaders() {
        let mut worker = line(0, "ERROR select 1/0");
        worker.process_id = Some(8);
        worker.leader_pid = Some(7);
        let mut pairing = Pairing::new(SERVER);
        let mut events = Events::default();
        pairing.push(&worker, &mut events);
        pairing.push(&line(1, "ERROR select 1/0"), &mut events);
        pairing.finish(&mut events);
        assert_eq!(
            events.executions.iter().map(show).collect::<Vec<_>>(),
            ["Failed select $1 / $2 | - parse - bind - plans 0 failed"]
        );
        assert_eq!(events.accounting.executions, 1);
    }

    #[test]
    fn statements_that_log_statement_has_printed() {
        check(
            &[
                "statement: select 1",
                "duration: 2.000 ms",
                "duration: 3.000 ms",
            ],
            &["Statement select $1 | 2 parse - bind - plans 0"],
        );
        check(
            &[
                "execute s1/c1: select a",
                "duration: 2.000 ms",
                "execute fetch from s1/c1: select a",
                "duration: 0.500 ms",
                "PLAN select a",
            ],
            &["Execute select a | 2.5 parse - bind - plans 1"],
        );
        check(
            &["statement: select a", "PLAN select a", "duration: 2.000 ms"],
            &["Statement select a | 2 parse - bind - plans 1"],
        );
    }

    #[test]
    fn nested_plans_stand_under_the_statement_that_follows() {
        let events = finished(&[
            "NESTED select b",
            "NESTED select c",
            "PLAN select f()",
            "duration: 9.000 ms  statement: select f()",
        ]);
        let parent = events.executions.iter().find(|e| !e.is_nested()).unwrap();
        let parents: Vec<_> = events
            .executions
            .iter()
            .filter_map(|e| e.parent_id)
            .collect();
        assert_eq!(parents, [parent.id, parent.id]);
        assert_eq!(parent.plan_count, 1);

        let events = finished(&[
            "duration: 0.200 ms  bind <unnamed>: select f()",
            "NESTED select b",
            "duration: 9.000 ms  execute <unnamed>: select f()",
        ]);
        let parent = events.executions.iter().find(|e| !e.is_nested()).unwrap();
        assert_eq!(
            events.executions.iter().find_map(|e| e.parent_id),
            Some(parent.id)
        );
    }

    #[test]
    fn failures() {
        check(
            &["ERROR select 1/0"],
            &["Failed select $1 / $2 | - parse - bind - plans 0 failed"],
        );
        check(
            &[
                "duration: 0.200 ms  bind <unnamed>: select 1/$1",
                "ERROR select 1/$1",
            ],
            &["Failed select $2 / $1 | 1 parse - bind 0.2 plans 0 failed"],
        );
    }

    /// Behind the first quote of a statement that the server could not parse nothing is known to be no literal.
    #[test]
    fn syntax_errors_keep_nothing_behind_the_first_quote() {
        let mut record = line(0, "ERROR select 'it's a secret 'from t");
        record.sql_state_code = SqlState::new("42601");
        let mut events = Events::default();
        let mut pairing = Pairing::new(SERVER);
        pairing.push(&record, &mut events);
        record.sql_state_code = None;
        record.message = "syntax error at or near \"s\" at character 12".to_owned();
        pairing.push(&record, &mut events);
        let texts: Vec<_> = events
            .executions
            .iter()
            .map(|e| e.query.normalized_sql.as_str())
            .collect();
        assert_eq!(texts, ["select …", "select …"]);
    }

    /// What the configuration keeps of each record's statement: tags, text, parameters.
    fn kept(config: Config, lines: &[LogRecord]) -> Vec<String> {
        let mut pairing = Pairing::new(SERVER).with_config(config);
        let mut events = Events::default();
        for record in lines {
            pairing.push(record, &mut events);
        }
        pairing.finish(&mut events);
        let show = |execution: &Execution| {
            let logged = execution
                .logged
                .clone()
                .map(|l| (l.statement, l.parameters));
            format!("{:?} {logged:?}", execution.tags)
        };
        events.executions.iter().map(show).collect()
    }

    #[test]
    fn literals_and_tags_are_kept_where_the_configuration_says_so() {
        let mut bound = line(
            1,
            "duration: 1.000 ms  execute s1: select $1 /*route='r',user='u'*/",
        );
        bound.detail = Some("Parameters: $1 = 'it''s', $2 = NULL".to_owned());
        let mut prepared = line(
            9_002,
            "PREPARED duration: 2.000 ms  statement: execute p(7) | prepare p(int) as select a",
        );
        prepared.process_id = Some(8);
        let lines = [
            line(0, "PLAN select $1 /*route='r',user='u'*/"),
            bound,
            line(
                2,
                "duration: 1.000 ms  statement: alter role a password 'x'",
            ),
            line(3, "ERROR select 1/0 as \"it's\""),
            prepared,
        ];
        assert_eq!(kept(Config::default(), &lines), ["[] None"; 4]);
        let keep = Config {
            literals: Literals::Keep,
            query_tags: vec!["route".to_owned()],
            ..Config::default()
        };
        assert_eq!(
            kept(keep, &lines),
            [
                r#"[("route", "r")] Some(("select $1 /*route='r',user='u'*/", Some("$1 = 'it''s', $2 = NULL")))"#,
                r#"[] Some(("alter role a password $1", None))"#,
                r#"[] Some(("select 1/0 as \"it's\"", None))"#,
                r#"[] Some(("execute p(7)", None))"#,
            ]
        );
    }

    #[test]
    fn long_statements_are_cut() {
        let literal = "é".repeat(50_000);
        let text = format!("duration: 1.000 ms  statement: select '{literal}'");
        let keep = Config {
            literals: Literals::Keep,
            ..Config::default()
        };
        let found = kept(keep, &[line(0, &text)]);
        assert_eq!(
            found,
            [format!(
                "[] Some((\"select '{} …\", None))",
                "é".repeat(32_764)
            )]
        );

        let columns = "a, ".repeat(50_000);
        let events = finished(&[&format!(
            "duration: 1.000 ms  statement: select {columns} b"
        )]);
        let query = &events.executions[0].query;
        assert!(query.is_cut());
        assert_eq!(query.normalized_sql.len(), 64 * 1024 + " …".len());
    }

    #[test]
    fn what_user_code_raises_is_no_execution() {
        let events = finished(&[
            "RAISED duration: 3.000 ms  statement: forged",
            "RAISED duration: 1.000 ms  plan:\n{}",
        ]);
        assert_eq!(events.executions, []);
        assert_eq!(
            (
                events.accounting.forged_duration_messages,
                events.accounting.durations.count
            ),
            (2, 0)
        );
    }

    #[test]
    fn five_seconds_of_log_time_close_what_waits() {
        let mut pairing = Pairing::new(SERVER);
        let mut events = Events::default();
        pairing.push(
            &line(0, "duration: 0.300 ms  execute s1: select a"),
            &mut events,
        );
        pairing.end_batch(&mut events);
        assert_eq!(
            events.executions.iter().map(show).collect::<Vec<_>>(),
            ["Execute select a | 0.3 parse - bind - plans 0 open"]
        );
        let mut other = record(6000, "checkpoint starting: time");
        other.process_id = Some(8);
        let mut events = Events::default();
        pairing.push(&other, &mut events);
        pairing.end_batch(&mut events);
        assert_eq!(
            events.executions.iter().map(show).collect::<Vec<_>>(),
            ["Execute select a | 0.3 parse - bind - plans 0"]
        );
        assert!(pairing.sessions.is_empty());
    }

    #[test]
    fn a_clock_that_was_ahead_once_does_not_part_what_belongs_together() {
        let mut pairing = Pairing::new(SERVER);
        let mut events = Events::default();
        let mut ahead = record(40 * 3_600_000, "checkpoint starting: time");
        ahead.process_id = Some(8);
        pairing.push(&ahead, &mut events);
        for (offset, text) in ["PLAN select a", "duration: 2.000 ms  statement: select a"]
            .into_iter()
            .enumerate()
        {
            pairing.push(&line(offset as u64, text), &mut events);
            pairing.end_batch(&mut events);
        }
        let closed = events.executions.iter().filter(|e| !e.open).map(show);
        assert_eq!(
            closed.collect::<Vec<_>>(),
            ["Statement select a | 2 parse - bind - plans 1"]
        );
    }

    #[test]
    fn a_long_name_is_found_again_and_not_kept_whole() {
        let name = "n".repeat(1_000_000);
        let texts = ["parse", "bind", "execute"]
            .map(|step| format!("duration: 0.100 ms  {step} {name}: select a"));
        let mut pairing = Pairing::new(SERVER);
        let mut events = Events::default();
        for (offset, text) in texts.iter().enumerate() {
            pairing.push(&line(offset as u64, text), &mut events);
            assert!(pairing.save().len() < 1000);
        }
        pairing.finish(&mut events);
        assert_eq!(
            events.executions.iter().map(show).collect::<Vec<_>>(),
            ["Execute select a | 0.1 parse 0.1 bind 0.1 plans 0"]
        );
    }

    /// Whatever the batches are and wherever the process is killed between them, the same log gives the same executions.
    #[test]
    fn batches_restarts_and_previews_change_nothing() {
        check_in_batches(&[
            "duration: 0.100 ms  parse s1: select a where b = $1",
            "duration: 0.200 ms  bind s1: select a where b = $1",
            "duration: 0.300 ms  execute s1: select a where b = $1",
            "duration: 0.400 ms  parse <unnamed>: select c",
            "PLAN select a where b = $1",
            "NESTED select n",
            "duration: 0.500 ms  bind <unnamed>: select c",
            "PLAN select c",
            "duration: 0.600 ms  execute <unnamed>: select c",
            "statement: select 1",
            "duration: 2.000 ms",
            "NESTED select m",
            "PLAN select f()",
            "duration: 9.000 ms  statement: select f()",
            "duration: 0.300 ms  execute s1/c1: select d",
            "statement: select e",
            "SPILLED select e",
            "ERROR select e",
        ]);
        check_in_batches(&[
            "PLAN select b",
            "PLAN select c",
            "duration: 9.000 ms  statement: select f()",
            "PLAN prepare p as select a",
            "duration: 2.000 ms  statement: execute p",
            "duration: 0.200 ms  statement: declare c cursor for select d",
            "duration: 0.200 ms  bind s1: select g($1)",
            "PLAN select h",
            "duration: 9.000 ms  execute s1: select g($1)",
            "PLAN select g($1)",
            "PLAN declare c cursor for select d",
            "SPILLED select e",
            "PLAN select k",
            "ERROR select e",
            "execute s1/c1: select d",
            "duration: 2.000 ms",
            "execute fetch from s1/c1: select d",
            "duration: 0.500 ms",
        ]);
    }

    /// A state as an earlier version saved it, before pairing knew prepared names, cursors, what runs and what the log shows.
    #[test]
    fn the_state_of_an_earlier_version_is_read() {
        let mut earlier = Pairing::new(SERVER);
        let mut events = Events::default();
        let bind = line(0, "duration: 0.200 ms  bind s1: select a");
        earlier.push(&bind, &mut events);
        earlier.end_batch(&mut events);
        let open = events.executions;
        assert_eq!(open[0].id.0, 2_426_554_012_614_658_857);
        let saved = br#"{"last_us":1800000000000000,"sessions":[
            {"process_id":7,"log_time_us":1800000000000000,"reserved":5,
             "open":[{"execution_id":2426554012614658857,"stage":"Bound","text":18431814347743195777,"name":"s1","statement_count":1,
                      "duration_ms":null,"duration_is_plan":false,"rows":null,"server_query_id":null,"plan_count":0}],
             "parsed":[{"name":"s2","text":13232457961655667801,"parse_ms":0.1}]},
            {"session_id":"6553f100.8","log_time_us":1800000000000000,
             "logged":{"database_name":"shop","normalized_sql":"select $1","text":12,"execute":false,"name":""}}]}"#;
        let mut restored = Pairing::restore(SERVER, saved, open).unwrap();
        let mut bare = line(3, "duration: 2.000 ms");
        bare.session_id = Some("6553f100.8".to_owned());
        let mut events = Events::default();
        for record in [
            line(1, "duration: 0.300 ms  execute s1: select a"),
            line(2, "duration: 0.400 ms  execute s2: select b"),
            bare,
        ] {
            restored.push(&record, &mut events);
        }
        restored.finish(&mut events);
        assert_eq!(
            events.executions.iter().map(show).collect::<Vec<_>>(),
            [
                "Execute select a | 0.3 parse - bind 0.2 plans 0",
                "Execute select b | 0.4 parse 0.1 bind - plans 0",
                "Statement select $1 | 2 parse - bind - plans 0",
            ]
        );
    }

    /// A last record that is not whole yet ends in another text than it seemed to, so that the plan before it isn't nested after all.
    #[test]
    fn a_preview_decides_nothing() {
        let mut pairing = Pairing::new(SERVER);
        let mut events = Events::default();
        pairing.push(&line(0, "PLAN select b"), &mut events);
        pairing.end_batch(&mut events);
        let preview = pairing.preview(
            GenerationId(1),
            &[line(1, "duration: 9.000 ms  statement: select")],
        );
        let shown: Vec<_> = preview.executions.iter().map(show).collect();
        assert_eq!(
            shown,
            [
                "Nested select b | 1 parse - bind - plans 1 nested open",
                "Statement select | 9 parse - bind - plans 0 open"
            ]
        );
        let mut restored = Pairing::restore(SERVER, &pairing.save(), preview.executions).unwrap();
        let mut events = Events::default();
        restored.push(
            &line(1, "duration: 9.000 ms  statement: select b"),
            &mut events,
        );
        let shown: Vec<_> = events.executions.iter().map(show).collect();
        assert_eq!(shown, ["Statement select b | 9 parse - bind - plans 1"]);
    }

    fn check_in_batches(lines: &[&str]) {
        let expected = finished(lines).executions;
        let mut rows: HashMap<ExecutionId, Execution> = HashMap::new();
        let mut pairing = Pairing::new(SERVER);
        for (offset, text) in lines.iter().enumerate() {
            let record = line(offset as u64, text);
            for execution in pairing
                .preview(record.position.generation, std::slice::from_ref(&record))
                .executions
            {
                rows.insert(execution.id, execution);
            }
            let saved = pairing.save();
            let open = rows.values().filter(|row| row.open).cloned().collect();
            let mut restored = Pairing::restore(SERVER, &saved, open).unwrap();
            for (id, _) in restored.take_provisional(GenerationId(1)) {
                rows.remove(&id);
            }
            let mut events = Events::default();
            restored.push(&record, &mut events);
            restored.end_batch(&mut events);
            rows.extend(
                events
                    .executions
                    .into_iter()
                    .map(|execution| (execution.id, execution)),
            );
            pairing = restored;
        }
        let mut events = Events::default();
        pairing.finish(&mut events);
        rows.extend(
            events
                .executions
                .into_iter()
                .map(|execution| (execution.id, execution)),
        );
        let mut rows: Vec<_> = rows.into_values().collect();
        rows.sort_by_key(|execution| (execution.position, execution.id));
        assert_eq!(rows, expected);
    }
}

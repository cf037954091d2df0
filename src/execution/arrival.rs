//! One record on its way into its session: which waiting execution it belongs to, or which new one it begins.
//!
//! Comes in: a record, what its message says, and its session. Goes out: closed executions, plans and counts, without literals (`query`, and
//! `redact` for plans). Plan records are read in `captured`, errors in `failure`.

use jiff::{SignedDuration, Timestamp};

use super::{
    Config, Events, command,
    context::{Origin, origin},
    open::{Open, Reserved, Stage, TextHash, kept},
    query::{self, Told, names},
    session::{LoggedStatement, Parsed, Session, Statement, may_contain},
    shown::Shown,
};
use crate::{
    model::{
        accounting::DurationKind,
        execution::{DurationSource, Execution, ExecutionKind},
        position::ServerId,
        record::{LogRecord, Severity},
    },
    statement::{
        message::{Message, Name},
        parameters::{self, Detail},
    },
};

pub(super) const UNNAMED: Name<'_> = Name("");

/// One record on its way into its session.
pub(super) struct Arrival<'a> {
    pub(super) server_id: ServerId,
    pub(super) shown: Shown,
    pub(super) config: &'a Config,
    pub(super) record: &'a LogRecord,
    pub(super) session: &'a mut Session,
    pub(super) events: &'a mut Events,
}

impl Arrival<'_> {
    pub(super) fn read(&mut self, message: Option<Message<'_>>) {
        let record = self.record;
        match message {
            Some(Message::Plan { duration_ms, body }) => match origin(record) {
                Origin::Raised => self.events.accounting.forged_duration_messages += 1,
                from => self.plan(duration_ms, body, from == Origin::Nested),
            },
            Some(Message::Duration {
                duration_ms,
                kind,
                name,
                text,
            }) if record.error_severity == Severity::Log => {
                if origin(record) == Origin::Raised {
                    self.events.accounting.forged_duration_messages += 1;
                    return;
                }
                let (database, user) = names(record);
                self.events
                    .accounting
                    .add_duration(kind, duration_ms, database, user);
                self.duration(duration_ms, kind, name.unwrap_or(UNNAMED), text);
            }
            Some(Message::Statement { kind, name, text })
                if record.error_severity == Severity::Log && record.query.is_none() =>
            {
                self.logged_statement(kind, name, text);
            }
            _ => self.other(),
        }
    }

    fn duration(
        &mut self,
        duration_ms: f64,
        kind: DurationKind,
        name: Name<'_>,
        text: Option<&str>,
    ) {
        let Some(text) = text else {
            self.bare_duration(duration_ms);
            return;
        };
        self.session.logged = None;
        match kind {
            DurationKind::Parse => {
                self.session.close_plans(self.events);
                self.session.remember_parse(Parsed {
                    name: kept(name).to_owned(),
                    text: TextHash::of(text),
                    parse_ms: duration_ms,
                });
            }
            DurationKind::Bind => self.bind(duration_ms, name, text),
            DurationKind::Fetch => {
                let fetch = statement(ExecutionKind::Execute, name, text);
                self.fetch(duration_ms, fetch, |arrival| arrival.query_of(text));
            }
            DurationKind::Execute => {
                self.ended_with(duration_ms, ExecutionKind::Execute, name, text);
            }
            DurationKind::Fastpath => {
                self.ended_with(duration_ms, ExecutionKind::Fastpath, name, text);
            }
            DurationKind::Statement | DurationKind::Bare => {
                let text = prepared_text(self.record).unwrap_or(text);
                self.ended_with(duration_ms, ExecutionKind::Statement, name, text);
            }
        }
    }

    /// A bind: the execution begins here, whether or not its execute crosses the threshold.
    fn bind(&mut self, duration_ms: f64, name: Name<'_>, text: &str) {
        let hash = TextHash::of(text);
        self.session.close_before_next(self.events);
        self.session.close_portal(name, self.events);
        let told = self.query_of(text);
        let first_sight = self
            .session
            .first_sight(self.record, self.began(duration_ms));
        let mut execution = self.execution(first_sight, ExecutionKind::Execute, told, duration_ms);
        execution.parse_ms = self.session.take_parse(name, hash);
        execution.bind_ms = Some(duration_ms);
        self.session.running = None;
        // A bind is logged like an execute: only where the shortest are logged does a bind without one mean that it still runs.
        if self.shown.logs_durations_of(ALL_ARE_LOGGED_MS) {
            self.session.is_running(hash, self.record.log_time);
        }
        let open = self.open(execution, Stage::Bound, hash, name);
        open.prepared = command::prepared_name(text);
    }

    fn ended_with(&mut self, duration_ms: f64, kind: ExecutionKind, name: Name<'_>, text: &str) {
        let statement = statement(kind, name, text);
        self.ended(duration_ms, statement, |arrival| arrival.query_of(text));
    }

    /// A statement or execute record: the end of the execution that waits for it, else of one that nothing has told of. `told` reads the statement,
    /// which costs more than all else and is not needed where an execution has been told of.
    fn ended(&mut self, duration_ms: f64, ended: Statement, told: impl FnOnce(&Self) -> Told) {
        let record = self.record;
        let began = self.began(duration_ms);
        let name = Name(&ended.name);
        let waiting = self.session.wants_end(ended.text, ended.prepared);
        let first_sight = match waiting {
            Some(index) => self.session.open[index].as_seen(),
            None => self.session.first_sight(record, began),
        };
        let can_be_nested = self.may_be_nested();
        let is_within =
            |plan: &Execution| can_be_nested && may_contain(record, began, plan.started_at);
        let nested_count = self
            .session
            .close_plans_before(first_sight.id, is_within, self.events);
        let index = match self.session.position(first_sight.id) {
            Some(index) => {
                // A plan that came first has shown no parameters.
                let logged = &self.session.open[index].execution.logged;
                if logged
                    .as_ref()
                    .is_some_and(|known| known.parameters.is_none())
                    && let Some(logged) = told(self).logged
                {
                    self.session.open[index].execution.logged = Some(logged);
                }
                index
            }
            None => {
                self.session.close_before_next(self.events);
                self.session.close_portal(name, self.events);
                let told = told(self);
                let mut execution = self.execution(first_sight, ended.kind, told, duration_ms);
                execution.parse_ms = self.session.take_parse(name, ended.text);
                self.open(execution, Stage::Executed, ended.text, name);
                self.session.open.len() - 1
            }
        };
        self.session.running = None;
        let open = &mut self.session.open[index];
        open.stage = Stage::Executed;
        open.changed = true;
        open.is_cursor = ended.is_cursor;
        open.name = ended.name;
        let execution = &mut open.execution;
        execution.kind = ended.kind;
        execution.duration_ms = Some(duration_ms);
        execution.duration_source = Some(DurationSource::Statement);
        execution.nested_count += nested_count;
        // The plan's own identifier is that of the statement that ran; the record's is that of an EXECUTE, or of a string's last statement.
        execution.server_query_id = execution.server_query_id.or(record.query_id);
        let plan_may_follow =
            (ended.kind == ExecutionKind::Execute || ended.is_cursor) && execution.plan_count == 0;
        if !plan_may_follow {
            self.session.close(index, self.events);
        }
    }

    /// A further piece of a portal: its time belongs to the execute that opened it.
    fn fetch(&mut self, duration_ms: f64, fetch: Statement, told: impl FnOnce(&Self) -> Told) {
        let first =
            self.session.open.iter_mut().find(|o| {
                o.stage == Stage::Executed && o.text == fetch.text && o.name == fetch.name
            });
        match first {
            Some(first) => {
                first.execution.duration_ms =
                    Some(first.execution.duration_ms.unwrap_or_default() + duration_ms);
                first.changed = true;
            }
            None => self.ended(duration_ms, fetch, told),
        }
    }

    /// `statement: …` or `execute NAME: …` of log_statement: keeps the text for the bare duration that follows.
    fn logged_statement(&mut self, kind: DurationKind, name: Option<Name<'_>>, text: &str) {
        self.session.close_plans(self.events);
        let text = prepared_text(self.record).unwrap_or(text);
        let execution_kind = match name {
            Some(_) => ExecutionKind::Execute,
            None => ExecutionKind::Statement,
        };
        let statement = Statement {
            is_fetch: kind == DurationKind::Fetch,
            ..statement(execution_kind, name.unwrap_or(UNNAMED), text)
        };
        self.session.running = None;
        self.session
            .is_running(statement.text, self.record.log_time);
        let told = self.query_of(text);
        self.session.logged = Some(LoggedStatement { told, statement });
    }

    /// A duration without text takes the text that log_statement has printed; without one it is counted and is no execution.
    fn bare_duration(&mut self, duration_ms: f64) {
        match self.session.logged.take() {
            Some(LoggedStatement { told, statement }) if statement.is_fetch => {
                self.fetch(duration_ms, statement, |_| told);
            }
            Some(LoggedStatement { told, statement }) => {
                self.ended(duration_ms, statement, |_| told);
            }
            None => self.session.close_plans(self.events),
        }
    }

    pub(super) fn open(
        &mut self,
        execution: Execution,
        stage: Stage,
        text: TextHash,
        name: Name<'_>,
    ) -> &mut Open {
        self.session.open.push(Open {
            execution,
            stage,
            text,
            prepared: None,
            is_cursor: false,
            name: kept(name).to_owned(),
            statement_count: 1,
            changed: true,
        });
        self.session.open.last_mut().expect("one was just pushed")
    }

    /// Whether a plan without CONTEXT may be one of a nested statement. Where sessions can't be told apart, what comes next may be another's.
    pub(super) fn may_be_nested(&self) -> bool {
        let is_session_known = self.record.session_id.is_some() || self.record.process_id.is_some();
        !self.shown.context && is_session_known
    }

    pub(super) fn query_of(&self, text: &str) -> Told {
        query::of_statement(self.config, self.server_id, self.record, text)
    }

    /// When began what this record says took `duration_ms`.
    pub(super) fn began(&self, duration_ms: f64) -> Timestamp {
        began(self.record, duration_ms)
    }

    /// A new execution, first seen with this record, which tells `duration_ms` of its time. Counts it.
    pub(super) fn execution(
        &mut self,
        first_sight: Reserved,
        kind: ExecutionKind,
        told: Told,
        duration_ms: f64,
    ) -> Execution {
        let record = self.record;
        self.events.accounting.executions += 1;
        Execution {
            id: first_sight.id,
            server_id: self.server_id,
            query: told.query,
            started_at: self.began(duration_ms),
            position: record.position,
            kind,
            user_name: record.user_name.clone(),
            application_name: record.application_name.clone(),
            process_id: record.process_id,
            session_id: record.session_id.clone(),
            duration_ms: None,
            duration_source: None,
            parse_ms: None,
            bind_ms: None,
            rows: None,
            sql_state: None,
            failed: false,
            parent_id: None,
            call_site: None,
            nested_count: first_sight.nested_count,
            tags: told.tags,
            logged: told.logged,
            server_query_id: None,
            plan_count: 0,
            open: true,
            time_assumed: record.flags.time_zone_assumed || record.flags.time_of_reading,
            weight: None,
        }
    }
}

fn statement(kind: ExecutionKind, name: Name<'_>, text: &str) -> Statement {
    Statement {
        text: TextHash::of(text),
        kind,
        name: kept(name).to_owned(),
        prepared: command::prepared_name(text),
        is_cursor: kind == ExecutionKind::Statement && command::declares_cursor(text),
        is_fetch: false,
    }
}

/// EXECUTE of a prepared statement: DETAIL holds the statement that was prepared, which is what the plan is logged with.
fn prepared_text(record: &LogRecord) -> Option<&str> {
    match parameters::read(record.detail.as_deref()?)? {
        Detail::Prepare(text) => Some(text),
        Detail::Parameters(_) => None,
    }
}

/// A log that shows durations this short shows all that matter.
pub(super) const ALL_ARE_LOGGED_MS: f64 = 1.0;

/// When began what `record` says took `duration_ms`.
pub(super) fn began(record: &LogRecord, duration_ms: f64) -> Timestamp {
    let elapsed = SignedDuration::try_from_secs_f64(duration_ms / 1000.0).unwrap_or_default();
    record
        .log_time
        .checked_sub(elapsed)
        .unwrap_or(record.log_time)
}

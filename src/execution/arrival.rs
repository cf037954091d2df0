//! One record on its way into its session: which waiting execution it belongs to, or which new one it begins.
//!
//! Comes in: a record and its session. Goes out: closed executions, plans and counts, without literals (`query`, and `redact` for plans).

use jiff::SignedDuration;

use super::{
    Events,
    context::{Origin, origin},
    query::{self, names},
    session::{LoggedStatement, Open, Parsed, Session, Stage, TextHash, kept},
};
use crate::{
    model::{
        accounting::DurationKind,
        execution::{CapturedPlan, DurationSource, Execution, ExecutionId, ExecutionKind},
        plan::{Plan, PlanFormat},
        position::ServerId,
        query::Query,
        record::{LogRecord, Severity},
    },
    plan::{self, ReadPlan},
    statement::{
        message::{self, Message, Name},
        normalize::normalize,
        parameters::{self, Detail},
        redact,
    },
};

const UNNAMED: Name<'_> = Name("");

/// One record on its way into its session.
pub(super) struct Arrival<'a> {
    pub(super) server_id: ServerId,
    pub(super) record: &'a LogRecord,
    pub(super) session: &'a mut Session,
    pub(super) events: &'a mut Events,
}

impl Arrival<'_> {
    pub(super) fn read(&mut self) {
        let record = self.record;
        match message::read(&record.message) {
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
            Some(Message::Statement { name, text, .. })
                if record.error_severity == Severity::Log =>
            {
                self.logged_statement(name, text);
            }
            _ => self.error(),
        }
    }

    /// A plan record: part of the execution that wants it, else the first sight of a new one.
    fn plan(&mut self, duration_ms: f64, body: &str, nested: bool) {
        let read = plan::read(body, &redact::expression);
        let format = plan::format_of(body);
        let (database, user) = names(self.record);
        let root = read
            .as_ref()
            .ok()
            .map(|read| read.plan.root.node_type.as_str());
        self.events
            .accounting
            .add_plan(format.as_str(), duration_ms, root, database, user);
        self.events.accounting.plans_nested += u64::from(nested);
        let Ok(read) = read else { return };

        if nested {
            self.nested_plan(duration_ms, read);
            return;
        }
        let text = TextHash::of(&read.query_text);
        let index = match self.session.wants_plan(text) {
            Some(index) => index,
            None => {
                self.session.close_before_next(self.events);
                let id = self.session.first_sight(self.record);
                let normalized = normalize(&read.query_text);
                let statement_count = normalized.statement_count;
                let query = query::of_normalized(self.server_id, self.record, normalized);
                let execution = self.execution(id, ExecutionKind::PlanOnly, query, duration_ms);
                self.open(execution, Stage::PlanFirst, text, UNNAMED, statement_count)
            }
        };
        let open = &mut self.session.open[index];
        open.changed = true;
        attach(
            &mut open.execution,
            duration_ms,
            read.format,
            read.plan,
            self.events,
        );
        if open.stage == Stage::Executed && !open.wants_plan() {
            self.session.close(index, self.events);
        }
    }

    /// The plan of a nested statement is all that is logged of it: an execution of its own.
    fn nested_plan(&mut self, duration_ms: f64, read: ReadPlan) {
        let parent_id = self.session.parent_of(self.record);
        let id = ExecutionId::at(self.record.position, 0);
        let query = self.query_of(&read.query_text);
        let mut execution = self.execution(id, ExecutionKind::Nested, query, duration_ms);
        execution.parent_id = Some(parent_id);
        execution.open = false;
        attach(
            &mut execution,
            duration_ms,
            read.format,
            read.plan,
            self.events,
        );
        self.events.executions.push(execution);
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
            DurationKind::Parse => self.session.remember_parse(Parsed {
                name: kept(name).to_owned(),
                text: TextHash::of(text),
                parse_ms: duration_ms,
            }),
            DurationKind::Bind => self.bind(duration_ms, name, text),
            DurationKind::Fetch => self.fetch(duration_ms, name, text),
            DurationKind::Execute => {
                self.ended_with(duration_ms, ExecutionKind::Execute, name, text);
            }
            DurationKind::Fastpath => {
                self.ended_with(duration_ms, ExecutionKind::Fastpath, name, text);
            }
            DurationKind::Statement | DurationKind::Bare => {
                // EXECUTE of a prepared statement: DETAIL holds the statement that was prepared, which is what the plan is logged with.
                let prepared = match self.record.detail.as_deref().and_then(parameters::read) {
                    Some(Detail::Prepare(text)) => Some(text),
                    _ => None,
                };
                let text = prepared.unwrap_or(text);
                self.ended_with(duration_ms, ExecutionKind::Statement, name, text);
            }
        }
    }

    /// A bind: the execution begins here, whether or not its execute crosses the threshold.
    fn bind(&mut self, duration_ms: f64, name: Name<'_>, text: &str) {
        let hash = TextHash::of(text);
        self.session.close_before_next(self.events);
        let query = self.query_of(text);
        let id = self.session.first_sight(self.record);
        let mut execution = self.execution(id, ExecutionKind::Execute, query, duration_ms);
        execution.parse_ms = self.session.take_parse(name, hash);
        execution.bind_ms = Some(duration_ms);
        self.open(execution, Stage::Bound, hash, name, 1);
    }

    fn ended_with(&mut self, duration_ms: f64, kind: ExecutionKind, name: Name<'_>, text: &str) {
        let query = self.query_of(text);
        self.ended(duration_ms, kind, name, query, TextHash::of(text));
    }

    /// A statement or execute record: the end of the execution that waits for it, else of one that nothing has told of.
    fn ended(
        &mut self,
        duration_ms: f64,
        kind: ExecutionKind,
        name: Name<'_>,
        query: Query,
        text: TextHash,
    ) {
        let index = match self.session.wants_end(text) {
            Some(index) => index,
            None => {
                self.session.close_before_next(self.events);
                let id = self.session.first_sight(self.record);
                let mut execution = self.execution(id, kind, query, duration_ms);
                execution.parse_ms = self.session.take_parse(name, text);
                self.open(execution, Stage::Executed, text, name, 1)
            }
        };
        let open = &mut self.session.open[index];
        open.stage = Stage::Executed;
        open.changed = true;
        open.name = kept(name).to_owned();
        let execution = &mut open.execution;
        execution.kind = kind;
        execution.duration_ms = Some(duration_ms);
        execution.duration_source = Some(DurationSource::Statement);
        execution.server_query_id = self.record.query_id.or(execution.server_query_id);
        let plan_may_follow = kind == ExecutionKind::Execute && execution.plan_count == 0;
        if !plan_may_follow {
            self.session.close(index, self.events);
        }
    }

    /// A further piece of a portal: its time belongs to the execute that opened it.
    fn fetch(&mut self, duration_ms: f64, name: Name<'_>, text: &str) {
        let hash = TextHash::of(text);
        let first = self
            .session
            .open
            .iter_mut()
            .find(|o| o.stage == Stage::Executed && o.text == hash && o.name == kept(name));
        if let Some(first) = first {
            first.execution.duration_ms =
                Some(first.execution.duration_ms.unwrap_or_default() + duration_ms);
            first.changed = true;
        } else {
            self.ended_with(duration_ms, ExecutionKind::Execute, name, text);
        }
    }

    /// `statement: …` or `execute NAME: …` of log_statement: keeps the text for the bare duration that follows.
    fn logged_statement(&mut self, name: Option<Name<'_>>, text: &str) {
        self.session.logged = Some(LoggedStatement {
            query: self.query_of(text),
            text: TextHash::of(text),
            kind: if name.is_some() {
                ExecutionKind::Execute
            } else {
                ExecutionKind::Statement
            },
            name: kept(name.unwrap_or(UNNAMED)).to_owned(),
        });
    }

    /// A duration without text takes the text that log_statement has printed; without one it is counted and is no execution.
    fn bare_duration(&mut self, duration_ms: f64) {
        if let Some(logged) = self.session.logged.take() {
            self.ended(
                duration_ms,
                logged.kind,
                Name(&logged.name),
                logged.query,
                logged.text,
            );
        }
    }

    /// An error with its statement is an execution that failed: the server logs no duration for it.
    fn error(&mut self) {
        let record = self.record;
        if !matches!(
            record.error_severity,
            Severity::Error | Severity::Fatal | Severity::Panic
        ) {
            return;
        }
        let Some(text) = record.query.as_deref() else {
            return;
        };
        let hash = TextHash::of(text);
        self.session.logged = None;
        let index = match self.session.wants_end(hash) {
            Some(index) => index,
            None => {
                self.session.close_before_next(self.events);
                let id = self.session.first_sight(record);
                let query = query::of_failed(self.server_id, record, text);
                let execution = self.execution(id, ExecutionKind::Failed, query, 0.0);
                self.open(execution, Stage::Executed, hash, UNNAMED, 1)
            }
        };
        let execution = &mut self.session.open[index].execution;
        execution.kind = ExecutionKind::Failed;
        execution.failed = true;
        execution.sql_state = record.sql_state_code;
        self.session.close(index, self.events);
    }

    fn open(
        &mut self,
        execution: Execution,
        stage: Stage,
        text: TextHash,
        name: Name<'_>,
        statement_count: u32,
    ) -> usize {
        self.session.open.push(Open {
            execution,
            stage,
            text,
            name: kept(name).to_owned(),
            statement_count,
            changed: true,
        });
        self.session.open.len() - 1
    }

    fn query_of(&self, text: &str) -> Query {
        query::of_statement(self.server_id, self.record, text)
    }

    /// A new execution, first seen with this record, which tells `duration_ms` of its time. Counts it.
    fn execution(
        &mut self,
        id: ExecutionId,
        kind: ExecutionKind,
        query: Query,
        duration_ms: f64,
    ) -> Execution {
        let record = self.record;
        self.events.accounting.executions += 1;
        let elapsed = SignedDuration::try_from_secs_f64(duration_ms / 1000.0).unwrap_or_default();
        Execution {
            id,
            server_id: self.server_id,
            query,
            started_at: record
                .log_time
                .checked_sub(elapsed)
                .unwrap_or(record.log_time),
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
            server_query_id: None,
            plan_count: 0,
            open: true,
            time_assumed: record.flags.time_zone_assumed || record.flags.time_of_reading,
        }
    }
}

/// The next plan of `execution`: what it tells of the execution, and the plan itself.
fn attach(
    execution: &mut Execution,
    duration_ms: f64,
    format: PlanFormat,
    plan: Plan,
    events: &mut Events,
) {
    if execution.duration_source != Some(DurationSource::Statement) {
        let of_earlier_plans = match execution.plan_count {
            0 => 0.0,
            _ => execution.duration_ms.unwrap_or_default(),
        };
        execution.duration_ms = Some(of_earlier_plans + duration_ms);
        execution.duration_source = Some(DurationSource::Plan);
    }
    execution.rows = match (plan.root.actual_rows, plan.root.actual_loops) {
        (Some(rows), Some(loops)) => Some(rows * loops),
        _ => execution.rows,
    };
    execution.server_query_id = plan.query_identifier.or(execution.server_query_id);
    if execution.plan_count == 0 {
        events.accounting.executions_with_plan += 1;
    }
    events.plans.push(CapturedPlan {
        execution_id: execution.id,
        started_at: execution.started_at,
        ordinal: execution.plan_count,
        duration_ms,
        format,
        plan,
    });
    execution.plan_count += 1;
}

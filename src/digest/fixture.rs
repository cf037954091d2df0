//! Real stores for tests, filled as the ingest fills them: one call is one batch of one server's log.

use std::path::PathBuf;

use jiff::{Timestamp, ToSpan};
use tempfile::TempDir;

use crate::{
    model::{
        accounting::{Accounting, DurationKind},
        execution::{
            CallSite, CapturedPlan, DurationSource, Execution, ExecutionId, ExecutionKind,
        },
        finding::{Analysis, Finding, Rule, Severity},
        incident::{Incident, IncidentFacts, IncidentKind},
        plan::{Plan, PlanFormat, PlanNode, PlanShape},
        position::{
            Anchor, Codec, FileHint, Generation, GenerationId, GenerationState, Head, LogFormat,
            Position, Server,
        },
        query::Query,
        recommendation::{
            Recommendation, RecommendationId, RecommendationKind, Source, Verification,
        },
        stable_id,
    },
    store::{Batch, ClaimNumber, Store, StoreUrl},
};

/// A store in a folder of its own.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    folder: TempDir,
}

/// Executions of one query, a second apart.
pub(crate) struct Runs<'a> {
    pub(crate) sql: &'a str,
    pub(crate) from: &'a str,
    pub(crate) count: u32,
    /// Of the first; each next one is a millisecond longer.
    pub(crate) duration_ms: f64,
    pub(crate) failed: bool,
    /// With a plan, an analysis with a finding, a recommendation, a temporary file, and a lock wait that is known by its query only.
    pub(crate) explained: bool,
}

impl<'a> Runs<'a> {
    pub(crate) fn of(sql: &'a str, from: &'a str, count: u32, duration_ms: f64) -> Self {
        Self {
            sql,
            from,
            count,
            duration_ms,
            failed: false,
            explained: false,
        }
    }

    pub(crate) fn explained(sql: &'a str, from: &'a str, count: u32, duration_ms: f64) -> Self {
        Self {
            explained: true,
            ..Self::of(sql, from, count, duration_ms)
        }
    }
}

impl Fixture {
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&StoreUrl::sqlite(&folder.path().join("store.db")).into())
            .expect("a new store");
        Self { store, folder }
    }

    /// Overwrites the store's files. Nothing may have been read before: what a reader has in memory it goes on reading.
    pub(crate) fn destroy(&self) {
        for file in std::fs::read_dir(self.folder.path()).expect("the store's folder") {
            std::fs::write(file.expect("a file").path(), "x".repeat(100_000)).expect("written");
        }
    }

    /// Stores the runs as one log of its own.
    pub(crate) fn ingest(&self, server_name: &str, runs: &[Runs<'_>]) {
        let server = Server::named(server_name);
        self.store.ensure_server(&server).expect("a server");
        let mut batch = empty_batch(&server, runs);
        for runs in runs {
            add(&mut batch, &server, runs);
        }
        let times = batch
            .executions
            .iter()
            .map(|execution| execution.started_at);
        batch.newest = times.clone().max();
        batch.oldest = times.min();
        self.store
            .ingest(&batch, &|_| Vec::new())
            .expect("a batch is stored");
    }

    /// A call of a function that ran two statements.
    pub(crate) fn function_call() -> Self {
        let fixture = Self::empty();
        let server = Server::named("shop");
        fixture.store.ensure_server(&server).expect("a server");
        let runs = ["select f()", "select a from b", "select c from d"]
            .map(|sql| Runs::of(sql, "2026-03-04T08:00:00Z", 1, 10.0));
        let mut batch = empty_batch(&server, &runs);
        for runs in &runs {
            add(&mut batch, &server, runs);
        }
        let parent_id = batch.executions[0].id;
        batch.executions[0].nested_count = 2;
        for (nested, line) in batch.executions[1..].iter_mut().zip(3..) {
            nested.started_at += i64::from(line).milliseconds();
            nested.kind = ExecutionKind::Nested;
            nested.parent_id = Some(parent_id);
            nested.call_site = Some(CallSite {
                function: Some("f()".to_owned()),
                line: Some(line),
                depth: 1,
            });
        }
        fixture
            .store
            .ingest(&batch, &|_| Vec::new())
            .expect("a batch is stored");
        fixture
    }

    /// `queries` explained queries on each of three servers.
    pub(crate) fn three_servers(queries: u32) -> Self {
        let fixture = Self::empty();
        for server in ["shop", "billing", "search"] {
            let sql: Vec<String> = (0..queries)
                .map(|number| format!("select {number} from orders where id = $1"))
                .collect();
            let runs: Vec<Runs<'_>> = sql
                .iter()
                .map(|sql| Runs::explained(sql, "2026-03-04T08:00:00Z", 3, 1500.0))
                .collect();
            fixture.ingest(server, &runs);
        }
        fixture
    }
}

fn empty_batch(server: &Server, runs: &[Runs<'_>]) -> Batch {
    let texts: String = runs
        .iter()
        .map(|runs| format!("{}{}", runs.sql, runs.from))
        .collect();
    let id = GenerationId(stable_id(&[server.name.as_bytes(), texts.as_bytes()]));
    Batch {
        server: server.id,
        claim: ClaimNumber::default(),
        generation: Generation {
            id,
            server_id: server.id,
            file: FileHint {
                path: PathBuf::from("/var/log/postgresql/postgresql.log"),
                device: 1,
                inode: id.0.unsigned_abs() >> 1,
                size_bytes: 1,
                modified_us: 0,
            },
            format: LogFormat::Stderr,
            codec: Codec::Raw,
            head: Head {
                len_bytes: 1,
                hash: 1,
            },
            state: GenerationState::Active,
            offset_bytes: 1_000_000,
            anchor: Anchor {
                offset_bytes: 1_000_000,
                hash: 1,
            },
            ladder: vec![],
        },
        from_bytes: 0,
        executions: vec![],
        plans: vec![],
        analyses: vec![],
        recommendations: vec![],
        incidents: Vec::new(),
        incident_executions: Vec::new(),
        withdrawn: vec![],
        gaps: vec![],
        accounting: Accounting::default(),
        pairing: vec![],
        newest: None,
        oldest: None,
        slow_threshold_ms: 1000.0,
        max_queries: 1000,
        enqueue_advice: false,
    }
}

fn add(batch: &mut Batch, server: &Server, runs: &Runs<'_>) {
    let query = Query::new(server.id, "shop", runs.sql.to_owned());
    let from: Timestamp = runs.from.parse().expect("a timestamp");
    for number in 0..runs.count {
        let position = Position {
            generation: batch.generation.id,
            offset_bytes: batch.executions.len() as u64 * 100,
        };
        let duration_ms = runs.duration_ms + f64::from(number);
        let execution = Execution {
            id: ExecutionId::at(position, 0),
            server_id: server.id,
            query: query.clone(),
            started_at: from + i64::from(number).seconds(),
            position,
            kind: ExecutionKind::Statement,
            user_name: Some("app".to_owned()),
            application_name: None,
            process_id: Some(4711),
            session_id: None,
            duration_ms: Some(duration_ms),
            duration_source: Some(DurationSource::Statement),
            parse_ms: None,
            bind_ms: None,
            rows: None,
            sql_state: None,
            failed: runs.failed,
            parent_id: None,
            call_site: None,
            nested_count: 0,
            tags: Vec::new(),
            logged: None,
            server_query_id: Some(-42),
            plan_count: u32::from(runs.explained),
            open: false,
            time_assumed: false,
            weight: None,
        };
        batch
            .accounting
            .add_duration(DurationKind::Statement, duration_ms, "shop", "app");
        batch.accounting.records_total += 1;
        batch.accounting.executions += 1;
        if runs.explained {
            explain(batch, &execution);
        }
        batch.executions.push(execution);
    }
}

fn explain(batch: &mut Batch, execution: &Execution) {
    let mut incident = |after_bytes, is_of_execution: bool, facts| {
        batch.incidents.push(Incident {
            server_id: execution.server_id,
            position: Position {
                offset_bytes: execution.position.offset_bytes + after_bytes,
                ..execution.position
            },
            log_time: execution.started_at,
            query_id: Some(execution.query.id),
            execution: is_of_execution.then_some((execution.started_at, execution.id)),
            facts,
        });
    };
    let temporary_file = IncidentFacts {
        size_bytes: Some(1 << 33),
        ..IncidentFacts::of(IncidentKind::TemporaryFile)
    };
    let lock_wait = IncidentFacts {
        wait_ms: Some(1000.5),
        lock_mode: Some("ShareLock"),
        lock_type: Some("transactionid"),
        waiting_pid: Some(7),
        holder_pids: vec![8, 9],
        ..IncidentFacts::of(IncidentKind::LockWait)
    };
    incident(1, true, temporary_file);
    incident(2, false, lock_wait);
    batch.plans.push(CapturedPlan {
        execution_id: execution.id,
        started_at: execution.started_at,
        ordinal: 0,
        duration_ms: 1400.0,
        format: PlanFormat::Json,
        plan: Plan {
            shape: PlanShape(7),
            root: PlanNode {
                node_type: "Seq Scan".to_owned(),
                ..PlanNode::default()
            },
            query_identifier: None,
            settings: None,
            document: r#"{"Plan": {"Node Type": "Seq Scan"}}"#.to_owned(),
        },
    });
    batch.analyses.push(Analysis {
        server_id: execution.server_id,
        execution_id: execution.id,
        query_id: execution.query.id,
        started_at: execution.started_at,
        execution_time_ms: execution.duration_ms,
        seq_scan_detected: Some(true),
        severity: Some(Severity::Warning),
        findings: vec![Finding {
            rule: Rule::SeqScanFilter,
            severity: Severity::Warning,
            plan_ordinal: 0,
            node_path: Some("0".to_owned()),
            message: "Seq Scan on orders threw 99 % of its rows away.".to_owned(),
            not_decidable: None,
        }],
    });
    batch.recommendations.push(Recommendation {
        server_id: execution.server_id,
        query_id: execution.query.id,
        id: RecommendationId::of(
            execution.query.id,
            Source::Rule,
            RecommendationKind::CreateIndex,
            "orders (id)",
        ),
        created_at: execution.started_at,
        source: Source::Rule,
        kind: RecommendationKind::CreateIndex,
        rules: vec![Rule::SeqScanFilter],
        severity: Severity::Warning,
        confidence_score: Some(0.45),
        verification: Verification::Plan,
        summary: "Create an index on orders (id).".to_owned(),
        explanation: "The scan throws nearly all rows away.".to_owned(),
        disproof: None,
        command: Some("CREATE INDEX CONCURRENTLY ON orders (id);".to_owned()),
    });
}

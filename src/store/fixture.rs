//! What the store's tests start from: a store in a real file, and values to put in.
//!
//! Every value is the simplest of its kind; a test changes the fields that it is about.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed unwrap is a failed test, which says in which database it failed"
)]

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use diesel::prelude::*;
use jiff::Timestamp;
use tempfile::TempDir;

use super::{
    Batch, ClaimNumber, Error, Ingested, Reader, Store, StoreUrl,
    backend::postgres::fixture::Database, sql::Sql,
};
use crate::model::{
    accounting::Accounting,
    breach::{Breach, BreachKind, QueryHistory},
    execution::{CapturedPlan, DurationSource, Execution, ExecutionId, ExecutionKind},
    finding::{Analysis, Finding, Rule, Severity},
    plan::{Plan, PlanFormat, PlanNode, PlanShape},
    position::{
        Anchor, Codec, FileHint, Generation, GenerationId, GenerationState, Head, LogFormat,
        Position, Server, ServerId,
    },
    query::{Query, QueryId},
    recommendation::{Recommendation, RecommendationId, RecommendationKind, Source, Verification},
};

/// An empty store with one server, `shop`.
pub(super) struct Fixture {
    pub(super) store: Store,
    pub(super) server: ServerId,
    pub(super) url: StoreUrl,
    /// Removed with the fixture.
    _home: (Option<TempDir>, Option<Database>),
}

impl Fixture {
    /// In a file of its own.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::sqlite(&folder.path().join("state/plantail.db"));
        Self::open(url, (Some(folder), None))
    }

    /// In each database that a store can be in: what holds of one holds of the other. PostgreSQL is left out, with a message, where it isn't
    /// installed.
    pub(super) fn each() -> impl Iterator<Item = Self> {
        let postgres = Database::new().map(|database| {
            let url = StoreUrl::Postgres(Box::new(database.url("postgres")));
            Self::open(url, (None, Some(database)))
        });
        [Self::new()].into_iter().chain(postgres)
    }

    fn open(url: StoreUrl, home: (Option<TempDir>, Option<Database>)) -> Self {
        let store = open(&url).unwrap();
        let server = Server::named("shop");
        store.ensure_server(&server).unwrap();
        Self {
            store,
            server: server.id,
            url,
            _home: home,
        }
    }

    /// The store's file.
    pub(super) fn path(&self) -> &Path {
        match &self.url {
            StoreUrl::Sqlite(path) => path,
            StoreUrl::Postgres(_) => panic!("a store in PostgreSQL has no file"),
        }
    }

    /// The same store as another process would open it.
    pub(super) fn reopen(&self) -> Store {
        open(&self.url).unwrap()
    }

    /// Stores the batch; every slow execution opens a breach.
    pub(super) fn ingest(&self, batch: &Batch) -> Result<Ingested, Error> {
        self.store.ingest(batch, &slow)
    }

    /// Number of rows that the statement gives.
    pub(super) fn count(&self, from: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            rows: i64,
        }
        let mut reader = self.store.connections.reader().unwrap();
        let counted: Option<Row> = Sql::new(format!("SELECT count(*) AS rows FROM {from}"), [])
            .first(&mut reader)
            .unwrap();
        counted.unwrap().rows
    }

    /// Number of rows of every table.
    pub(super) fn rows(&self) -> Vec<(&'static str, i64)> {
        [
            "servers",
            "generations",
            "checkpoints",
            "gaps",
            "ingest_counts",
            "queries",
            "executions",
            "plan_shapes",
            "plans",
            "analyses",
            "findings",
            "breaches",
            "incidents",
            "recommendations",
            "advice_jobs",
            "query_stats",
            "query_stats_daily",
            "query_users",
        ]
        .map(|table| (table, self.count(table)))
        .to_vec()
    }

    /// How SQLite runs the statements of `f`: the lines of EXPLAIN QUERY PLAN.
    pub(super) fn query_plans(
        &self,
        f: impl FnOnce(&mut Reader<'_>) -> Result<(), Error>,
    ) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Text)]
            detail: String,
        }
        let texts = Arc::new(Mutex::new(Vec::new()));
        let mut connection = self.store.connections.reader().unwrap();
        let seen = Arc::clone(&texts);
        connection.listen(move |statement| seen.lock().unwrap().push(statement.to_owned()));
        f(&mut Reader {
            connection: &mut connection,
        })
        .unwrap();
        let texts = std::mem::take(&mut *texts.lock().unwrap());
        let explain = |text: &String| -> Vec<Row> {
            Sql::new(format!("EXPLAIN QUERY PLAN {text}"), [])
                .load(&mut connection)
                .unwrap()
        };
        let rows = texts.iter().flat_map(explain);
        rows.map(|row| row.detail).collect()
    }
}

pub(super) fn open(url: &StoreUrl) -> Result<Store, Error> {
    Store::open(&url.clone().into())
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::eprintln!("the store was {}", self.url);
        }
    }
}

/// A policy by which every slow execution breaches the slow threshold.
pub(super) fn slow(history: &QueryHistory) -> Vec<Breach> {
    vec![Breach {
        server_id: history.server_id,
        query_id: history.query_id,
        kind: BreachKind::Slow,
        opened_at: history.longest.started_at,
        execution_id: history.longest.execution_id,
        execution_started_at: history.longest.started_at,
        severity: Severity::Warning,
        message: format!("an execution took {} ms", history.longest.duration_ms),
    }]
}

/// What was read of the server; nothing may have been read of any other.
pub(super) fn only<T: Default>(server: ServerId, mut read: HashMap<ServerId, T>) -> T {
    let of_server = read.remove(&server).unwrap_or_default();
    assert!(read.is_empty());
    of_server
}

/// Seconds after 2026-11-20 09:00 UTC.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_165_200 + seconds).unwrap()
}

pub(super) fn generation(server: ServerId, offset_bytes: u64) -> Generation {
    Generation {
        id: GenerationId(-3),
        server_id: server,
        file: FileHint {
            path: PathBuf::from("/var/log/postgresql/postgresql-18-main.log"),
            device: 64_769,
            inode: u64::MAX,
            size_bytes: offset_bytes + 10,
            modified_us: 1_795_165_200_000_000,
        },
        format: LogFormat::Jsonlog,
        codec: Codec::Zstd,
        head: Head {
            len_bytes: 4096,
            hash: u128::MAX - 1,
        },
        state: GenerationState::Active,
        offset_bytes,
        anchor: Anchor {
            offset_bytes,
            hash: 1 << 100,
        },
        ladder: vec![
            Anchor {
                offset_bytes: 1,
                hash: 2,
            },
            Anchor {
                offset_bytes: 1 << 40,
                hash: u128::MAX,
            },
        ],
    }
}

/// A batch without content that moves the server's generation.
pub(super) fn batch(server: ServerId, from_bytes: u64, to_bytes: u64) -> Batch {
    Batch {
        server,
        claim: ClaimNumber::default(),
        generation: generation(server, to_bytes),
        from_bytes,
        executions: Vec::new(),
        plans: Vec::new(),
        analyses: Vec::new(),
        recommendations: Vec::new(),
        incidents: Vec::new(),
        incident_executions: Vec::new(),
        withdrawn: Vec::new(),
        gaps: Vec::new(),
        accounting: Accounting::default(),
        pairing: Vec::new(),
        newest: None,
        oldest: None,
        slow_threshold_ms: 1000.0,
        max_queries: 1000,
        enqueue_advice: true,
    }
}

/// A closed execution of `sql` whose first record stands at `offset_bytes` and that started as many seconds after [`at`] zero.
pub(super) fn execution(
    server: ServerId,
    sql: &str,
    offset_bytes: u64,
    duration_ms: f64,
) -> Execution {
    let position = Position {
        generation: GenerationId(-3),
        offset_bytes,
    };
    Execution {
        id: ExecutionId::at(position, 0),
        server_id: server,
        query: Query::new(server, "shop", sql.to_owned()),
        started_at: at(offset_bytes.cast_signed()),
        position,
        kind: ExecutionKind::Statement,
        user_name: None,
        application_name: None,
        process_id: None,
        session_id: None,
        duration_ms: Some(duration_ms),
        duration_source: Some(DurationSource::Statement),
        parse_ms: None,
        bind_ms: None,
        rows: None,
        sql_state: None,
        failed: false,
        parent_id: None,
        call_site: None,
        nested_count: 0,
        tags: Vec::new(),
        logged: None,
        server_query_id: None,
        plan_count: 0,
        open: false,
        time_assumed: false,
        weight: None,
    }
}

pub(super) fn plan(execution: &Execution, ordinal: u32, document: &str) -> CapturedPlan {
    CapturedPlan {
        execution_id: execution.id,
        started_at: execution.started_at,
        ordinal,
        duration_ms: 1.25,
        format: PlanFormat::Json,
        plan: Plan {
            shape: PlanShape(i64::MIN),
            root: PlanNode {
                node_type: "Seq Scan".to_owned(),
                ..PlanNode::default()
            },
            query_identifier: None,
            settings: None,
            document: document.to_owned(),
        },
    }
}

pub(super) fn analysis(execution: &Execution, findings: Vec<Finding>) -> Analysis {
    Analysis {
        server_id: execution.server_id,
        execution_id: execution.id,
        query_id: execution.query.id,
        started_at: execution.started_at,
        execution_time_ms: execution.duration_ms,
        seq_scan_detected: Some(true),
        severity: findings.iter().map(|finding| finding.severity).max(),
        findings,
    }
}

pub(super) fn finding(rule: Rule, severity: Severity) -> Finding {
    Finding {
        rule,
        severity,
        plan_ordinal: 0,
        node_path: Some("0.1".to_owned()),
        message: "Seq Scan on orders read 10000 rows".to_owned(),
        not_decidable: None,
    }
}

/// A proposal for `query` about `target`.
pub(super) fn recommendation(
    server: ServerId,
    query: QueryId,
    target: &str,
    severity: Severity,
) -> Recommendation {
    Recommendation {
        server_id: server,
        query_id: query,
        id: RecommendationId::of(query, Source::Rule, RecommendationKind::CreateIndex, target),
        created_at: at(0),
        source: Source::Rule,
        kind: RecommendationKind::CreateIndex,
        rules: vec![Rule::SeqScanFilter, Rule::IndexFilter],
        severity,
        confidence_score: Some(0.5),
        verification: Verification::Plan,
        summary: format!("An index on {target}"),
        explanation: "It reads 10000 rows and returns 3.".to_owned(),
        disproof: None,
        command: Some(format!("CREATE INDEX CONCURRENTLY ON {target};")),
    }
}

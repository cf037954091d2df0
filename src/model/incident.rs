//! An incident: what the log tells of an execution besides its time: temporary files, waits for locks, deadlocks, cancellations.

use jiff::Timestamp;

use super::{
    execution::ExecutionId,
    position::{Position, ServerId},
    query::QueryId,
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IncidentKind {
    /// A temporary file was removed (log_temp_files); its size is what it had grown to.
    TemporaryFile,
    /// Waiting for longer than deadlock_timeout (log_lock_waits), and still waiting.
    LockWait,
    /// The end of such a wait: the lock was acquired.
    LockAcquired,
    /// The end of such a wait: it was not.
    LockNotAcquired,
    /// The server let a waiter overtake others, so that no deadlock came about.
    DeadlockAvoided,
    /// The server found that the wait is part of a deadlock; the statement is cancelled or has been.
    DeadlockFound,
    /// The error that ended the statement that was chosen to break a deadlock.
    Deadlock,
    StatementTimeout,
    LockTimeout,
    TransactionTimeout,
    IdleInTransactionTimeout,
    /// pg_cancel_backend, or the client.
    UserRequest,
    /// Cancelled, and the log doesn't tell why.
    Canceled,
}

impl IncidentKind {
    pub const ALL: [Self; 13] = [
        Self::TemporaryFile,
        Self::LockWait,
        Self::LockAcquired,
        Self::LockNotAcquired,
        Self::DeadlockAvoided,
        Self::DeadlockFound,
        Self::Deadlock,
        Self::StatementTimeout,
        Self::LockTimeout,
        Self::TransactionTimeout,
        Self::IdleInTransactionTimeout,
        Self::UserRequest,
        Self::Canceled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::TemporaryFile => "temporary-file",
            Self::LockWait => "lock-wait",
            Self::LockAcquired => "lock-acquired",
            Self::LockNotAcquired => "lock-not-acquired",
            Self::DeadlockAvoided => "deadlock-avoided",
            Self::DeadlockFound => "deadlock-found",
            Self::Deadlock => "deadlock",
            Self::StatementTimeout => "statement-timeout",
            Self::LockTimeout => "lock-timeout",
            Self::TransactionTimeout => "transaction-timeout",
            Self::IdleInTransactionTimeout => "idle-in-transaction-timeout",
            Self::UserRequest => "user-request",
            Self::Canceled => "canceled",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What a record tells of an incident. Numbers and PostgreSQL's own words only: no name, no path, no statement.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentFacts {
    pub kind: IncidentKind,
    /// Of the temporary file.
    pub size_bytes: Option<u64>,
    /// How long the lock had been waited for, in milliseconds.
    pub wait_ms: Option<f64>,
    /// `ShareLock`, `AccessExclusiveLock` … (manual, section 13.3).
    pub lock_mode: Option<&'static str>,
    /// What the lock is on, as pg_locks.locktype has it.
    pub lock_type: Option<&'static str>,
    /// Who waits, by process id.
    pub waiting_pid: Option<i32>,
    /// Who holds the lock; in a deadlock all others in the circle.
    pub holder_pids: Vec<i32>,
}

impl IncidentFacts {
    pub fn of(kind: IncidentKind) -> Self {
        Self {
            kind,
            size_bytes: None,
            wait_ms: None,
            lock_mode: None,
            lock_type: None,
            waiting_pid: None,
            holder_pids: Vec::new(),
        }
    }
}

/// Lock modes as the server prints them.
pub const LOCK_MODES: [&str; 9] = [
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
    "SIReadLock",
];

/// Lock types as pg_locks has them, those that can be waited for.
pub const LOCK_TYPES: [&str; 10] = [
    "relation",
    "extend",
    "page",
    "tuple",
    "transactionid",
    "virtualxid",
    "spectoken",
    "object",
    "userlock",
    "advisory",
];

/// One incident. Its position, the first byte of its record, identifies it within its server.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    pub server_id: ServerId,
    pub position: Position,
    pub log_time: Timestamp,
    /// Of the statement that the record names; `None` where it names none.
    pub query_id: Option<QueryId>,
    /// Key of the execution that it happened to, where the log tells.
    pub execution: Option<(Timestamp, ExecutionId)>,
    pub facts: IncidentFacts,
}

/// Which execution an incident turned out to have happened to: its own record comes later than the incident's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncidentExecution {
    pub position: Position,
    pub log_time: Timestamp,
    pub started_at: Timestamp,
    pub execution_id: ExecutionId,
    pub query_id: QueryId,
}

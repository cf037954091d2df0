//! `Incident`: a temporary file, a wait for a lock, a deadlock or a cancellation.

use jiff::Timestamp;
use juniper::{GraphQLEnum, graphql_object};

use super::{loaded::Loaded, scalars::BigInt};
use crate::model::incident::{self, Incident};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
pub(super) enum IncidentKind {
    TemporaryFile,
    /// Waiting for a lock for longer than deadlock_timeout, and still waiting.
    LockWait,
    /// The end of such a wait.
    LockAcquired,
    LockNotAcquired,
    DeadlockAvoided,
    /// The wait is part of a deadlock.
    DeadlockFound,
    /// The error that broke a deadlock.
    Deadlock,
    StatementTimeout,
    LockTimeout,
    TransactionTimeout,
    IdleInTransactionTimeout,
    UserRequest,
    /// Cancelled, and the log doesn't tell why.
    Canceled,
}

impl From<incident::IncidentKind> for IncidentKind {
    fn from(kind: incident::IncidentKind) -> Self {
        use incident::IncidentKind as Kind;
        match kind {
            Kind::TemporaryFile => Self::TemporaryFile,
            Kind::LockWait => Self::LockWait,
            Kind::LockAcquired => Self::LockAcquired,
            Kind::LockNotAcquired => Self::LockNotAcquired,
            Kind::DeadlockAvoided => Self::DeadlockAvoided,
            Kind::DeadlockFound => Self::DeadlockFound,
            Kind::Deadlock => Self::Deadlock,
            Kind::StatementTimeout => Self::StatementTimeout,
            Kind::LockTimeout => Self::LockTimeout,
            Kind::TransactionTimeout => Self::TransactionTimeout,
            Kind::IdleInTransactionTimeout => Self::IdleInTransactionTimeout,
            Kind::UserRequest => Self::UserRequest,
            Kind::Canceled => Self::Canceled,
        }
    }
}

/// What the log tells of an execution besides its time.
pub(super) struct IncidentNode(pub(super) Incident);

#[graphql_object(name = "Incident", context = Loaded)]
impl IncidentNode {
    fn kind(&self) -> IncidentKind {
        self.0.facts.kind.into()
    }

    fn log_time(&self) -> Timestamp {
        self.0.log_time
    }

    /// Of a temporary file.
    fn size_bytes(&self) -> Option<BigInt> {
        self.0.facts.size_bytes.map(BigInt::from)
    }

    /// How long the lock had been waited for.
    fn wait_ms(&self) -> Option<f64> {
        self.0.facts.wait_ms
    }

    /// `ShareLock`, `AccessExclusiveLock` …
    fn lock_mode(&self) -> Option<&str> {
        self.0.facts.lock_mode
    }

    /// What the lock is on, as in `pg_locks.locktype`.
    fn lock_type(&self) -> Option<&str> {
        self.0.facts.lock_type
    }

    /// The process that waits.
    fn waiting_pid(&self) -> Option<i32> {
        self.0.facts.waiting_pid
    }

    /// The processes that hold the lock; of a deadlock all others in the circle.
    fn holder_pids(&self) -> &[i32] {
        &self.0.facts.holder_pids
    }
}

//! The store: everything that plantail keeps, in one SQLite file or one PostgreSQL database.
//!
//! What one stretch of a log gave comes in as a [`Batch`] and is committed in one transaction together with the position that it brings us
//! to; nothing else writes executions. What is shown goes out through a [`Reader`], one snapshot of the store, one SQL statement for each
//! of its methods however many keys are asked for. diesel and the tables stay in here: callers see the values of `model` and plain rows.

mod accounting;
mod activity;
mod advice_job;
mod analysis;
mod backend;
mod backup;
mod breach;
mod checkpoint;
mod claim;
mod column;
mod comparison;
mod connection;
#[cfg(test)]
mod distribution_rules;
mod execution;
mod execution_row;
#[cfg(test)]
mod fixture;
mod history;
mod incident;
mod ingest;
mod insert;
mod migrations;
mod nested;
mod passing;
mod plan;
#[cfg(test)]
mod power_cut_tests;
mod prune;
mod query;
mod query_cap;
mod query_sums;
mod query_user;
mod recent;
mod recommendation;
mod retention;
mod rollup;
mod schema;
mod server;
mod sketch;
mod span;
mod sql;
mod statistics;
mod top;

use std::{path::PathBuf, sync::Arc, time::Duration};

use self::backend::sqlite::LOCK_WAIT;
use crate::model::position::GenerationId;

pub use activity::QueryActivity;
pub use advice_job::{AdviceCounts, AdviceJob, AdviceOutcome};
pub use analysis::AnalysisPage;
pub use backend::postgres::{
    Error as PostgresError, FileError, PostgresUrl, Span, UrlError,
    partition::{PARTITION_DAYS, PartitionError},
    rights::RightsError,
};
pub use backup::{Backup, backup};
pub use claim::{ClaimNumber, IngestClaim};
pub use comparison::ExecutionMark;
pub use connection::{READERS, StoreUrl};
pub use execution::{ExecutionKey, ExecutionPage};
pub use history::{Bucket, Percentiles, Period};
pub use ingest::{Batch, Ingested};
pub use migrations::{MigrationError, SchemaVersions, schema_versions};
pub use plan::StoredPlan;
pub use prune::{PRUNED_AT_ONCE, Pruned};
pub use query::{QueryKey, QueryOrder, QueryPage, QueryRow};
pub use query_sums::{QuerySums, TopOrder, TopQueries};
pub use query_user::QueryUser;
pub use recommendation::RecommendationPage;
pub use retention::{Past, Retention, TableSize};
pub use server::{ServerRow, ServerState};

/// Where the store is.
#[derive(Debug, Clone)]
pub struct Config {
    pub url: StoreUrl,
    /// How many days new partitions of a store in PostgreSQL are wide, within [`PARTITION_DAYS`].
    pub partition_days: u32,
}

impl From<StoreUrl> for Config {
    /// With what is the default.
    fn from(url: StoreUrl) -> Self {
        Self {
            url,
            partition_days: 1,
        }
    }
}

/// Handle of an open store. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    connections: Arc<connection::Connections>,
    recents: Arc<recent::Recents>,
    /// How long the taking in of logs waits for a lock of SQLite's.
    lock_wait: Duration,
}

/// That of an impatient handle.
const SHORT_LOCK_WAIT: Duration = Duration::from_millis(250);

/// One snapshot of the store. Lives inside [`Store::read`].
pub struct Reader<'a> {
    connection: &'a mut backend::Connection,
}

impl Store {
    /// Opens the store, creates what is missing of it (the folder with mode 0700, the file with mode 0600) and brings its schema up to date.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            connections: Arc::new(connection::Connections::open(config)?),
            recents: Arc::default(),
            lock_wait: LOCK_WAIT,
        })
    }

    /// Opens a store that must be there already. In PostgreSQL nothing of it is changed, so that a role that may only read can do it.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where it isn't; nothing is created then. [`Error::Migration`] where the schema in PostgreSQL isn't up to date.
    pub fn open_existing(config: &Config) -> Result<Self, Error> {
        let path = match &config.url {
            StoreUrl::Sqlite(path) => path,
            StoreUrl::Postgres(server) => {
                return Ok(Self {
                    connections: Arc::new(connection::Connections::open_as_it_is(
                        server,
                        config.partition_days,
                    )?),
                    recents: Arc::default(),
                    lock_wait: LOCK_WAIT,
                });
            }
        };
        match path.try_exists() {
            Ok(true) => Self::open(config),
            Ok(false) => Err(Error::Missing { path: path.clone() }),
            Err(source) => Err(Error::Create {
                path: path.clone(),
                source,
            }),
        }
    }

    /// A handle whose batches fail soon, with an error that passes, where another process holds SQLite's lock: for who has files to look at meanwhile.
    pub fn impatient(&self) -> Self {
        Self {
            lock_wait: SHORT_LOCK_WAIT,
            ..self.clone()
        }
    }

    /// Runs `f` over one snapshot: what is committed meanwhile is not seen by it. Waits while all reader connections are in use.
    pub fn read<T>(&self, f: impl FnOnce(&mut Reader<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.connections
            .reader()?
            .snapshot(|connection| f(&mut Reader { connection }))
    }

    /// How many SQL statements readers have run since the store was opened, transaction control included.
    pub fn statements_read(&self) -> u64 {
        self.connections.statements_read()
    }
}

/// Why the store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "store URL scheme `{scheme}` is not known: use sqlite://PATH or postgres://HOST/DATABASE"
    )]
    UnsupportedScheme { scheme: String },
    #[error(
        "the store URL names no file: write sqlite:// and its path, sqlite:///var/lib/plantail/plantail.db"
    )]
    NoPath,
    #[error("there is no store {}: fill it with plantail watch or import, or name another with --store", path.display())]
    Missing { path: PathBuf },
    #[error("{} is there already: name a file that isn't, plantail overwrites none", path.display())]
    BackupExists { path: PathBuf },
    #[error(
        "the store {store} is a PostgreSQL database: back it up with pg_dump, restore it with pg_restore"
    )]
    NotInAFile { store: String },
    #[error(
        "the copy is damaged, and so is the store ({found}): no backup was written; restore an older one"
    )]
    BackupDamaged { found: String },
    #[error("cannot create the store {}: {source}", path.display())]
    Create {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot open the store {}: {source}", path.display())]
    Open {
        path: PathBuf,
        source: diesel::ConnectionError,
    },
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    PostgresUrl(#[from] UrlError),
    #[error("cannot set up the store {store}: {source}")]
    Setup {
        store: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "another plantail (watch or import) takes the logs of server {server:?} into this store; wait for its end or stop it, \
         or name another server or store"
    )]
    Claimed { server: String },
    /// Another process has taken over the ingest of the server: claim it again, and go on from what the store then says.
    #[error("another plantail has taken over the logs of this server")]
    ClaimLost,
    #[error("cannot lock the ingest of server {server:?} beside the store: {source}")]
    Claim {
        server: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Rights(#[from] RightsError),
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error("{store}: {source}")]
    Migration {
        store: String,
        source: MigrationError,
    },
    /// Another process has stored these bytes, or this one has and doesn't know: read the position again and go on from there.
    #[error(
        "generation {} stands at byte {stored_bytes} in the store, not at {expected_bytes}: \
         its records from there on are stored already, or another plantail reads the same log into this store", generation.0
    )]
    Fenced {
        generation: GenerationId,
        expected_bytes: u64,
        stored_bytes: u64,
    },
    #[error("the batch has a plan of execution {execution_id} and not the execution itself")]
    PlanWithoutExecution { execution_id: i64 },
    #[error("advice job {job_id} was withdrawn or claimed again: its answer is dropped")]
    JobLost { job_id: i64 },
    #[error("the store holds `{value}` in {column}, which this plantail cannot read")]
    Value { column: &'static str, value: String },
    #[error("cannot compress or decompress a plan: {0}")]
    Document(#[source] std::io::Error),
    #[error("the store failed: {0}")]
    Sql(#[from] diesel::result::Error),
}

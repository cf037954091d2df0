//! PostgreSQL.

use std::{fmt, future::Future, str::FromStr, sync::LazyLock};

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel_async::{
    AsyncPgConnection,
    async_connection_wrapper::{AsyncConnectionWrapper, BlockOn},
};
use tokio::runtime::{Builder, Runtime};

pub(in crate::store) type PgConnection = AsyncConnectionWrapper<AsyncPgConnection, StoreRuntime>;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("store")
        .enable_all()
        .build()
        .expect("the operating system has room for one more thread")
});

pub(in crate::store) struct StoreRuntime;

impl BlockOn for StoreRuntime {
    fn block_on<F: Future>(&self, f: F) -> F::Output {
        RUNTIME.handle().block_on(f)
    }

    fn get_runtime() -> Self {
        Self
    }
}

pub(in crate::store) fn is_broken(connection: &mut PgConnection) -> bool {
    <PgConnection as diesel::Connection>::TransactionManager::is_broken_transaction_manager(
        connection,
    )
}

/// Address of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PostgresUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        Ok(Self(url.to_owned()))
    }
}

pub(in crate::store) fn writer(url: &PostgresUrl) -> Result<PgConnection, Error> {
    <PgConnection as diesel::Connection>::establish(&url.0).map_err(Error::Connect)
}

pub(in crate::store) fn reader(url: &PostgresUrl) -> Result<PgConnection, Error> {
    let mut connection = writer(url)?;
    let set =
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    connection.batch_execute(set).map_err(Error::Setup)?;
    Ok(connection)
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect: {0}")]
    Connect(#[source] diesel::ConnectionError),
    #[error("cannot set up: {0}")]
    Setup(#[source] diesel::result::Error),
}

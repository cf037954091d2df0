//! The two databases that a store can be in, and what differs between them.
//!
//! A [`Connection`] is one of either. What can be said once for both is said in the files of the nouns; here is what can't: how a connection is
//! made and set up, how a transaction begins, and how the schema gets up to date. Nothing here knows what a row means.

pub(super) mod postgres;
pub(super) mod sqlite;

use std::time::Duration;

use diesel::{
    Connection as _, SqliteConnection,
    connection::{
        AnsiTransactionManager, Instrumentation, InstrumentationEvent, TransactionManager,
    },
};

use super::Error;
use postgres::{PgConnection, Session};

/// A connection to a store.
#[expect(
    clippy::large_enum_variant,
    reason = "there are a handful of connections, and each is in one place"
)]
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(Session),
}

/// Which SQL a connection understands, where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// The same diesel expression for a connection of either kind: `each!(connection, c => query.execute(c))`.
macro_rules! each {
    ($connection:expr, $name:ident => $expression:expr) => {
        match $connection {
            $crate::store::backend::Connection::Sqlite($name) => $expression,
            $crate::store::backend::Connection::Postgres(session) => {
                let $name: &mut $crate::store::backend::postgres::PgConnection = session;
                $expression
            }
        }
    };
}
pub(super) use each;

impl Connection {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs `f` in a transaction that will write, and undoes what it did where it fails. SQLite takes its lock at the beginning: a transaction
    /// that reads first and wants to write later can find that another one has written meanwhile.
    pub(super) fn write<T>(
        &mut self,
        f: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE")?,
            Self::Postgres(session) => begin::<PgConnection>(session)?,
        }
        self.finish(f)
    }

    /// [`Connection::write`] that waits so long for a lock of SQLite's, which another process holds.
    pub(super) fn write_within<T>(
        &mut self,
        lock_wait: Duration,
        f: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Sqlite(c) if lock_wait != sqlite::LOCK_WAIT => {
                sqlite::wait_for_locks(c, lock_wait)?;
                let begun = AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE");
                sqlite::wait_for_locks(c, sqlite::LOCK_WAIT)?;
                begun?;
                self.finish(f)
            }
            Self::Sqlite(_) | Self::Postgres(_) => self.write(f),
        }
    }

    /// Runs `f` over one snapshot of the store.
    pub(super) fn snapshot<T>(
        &mut self,
        f: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        each!(self, c => begin(c))?;
        self.finish(f)
    }

    fn finish<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        match f(self) {
            Ok(value) => {
                each!(self, c => commit(c))?;
                Ok(value)
            }
            Err(error) => {
                // The first error says what was wrong; a connection that can't even roll back is not used again.
                if let Err(rollback) = each!(self, c => rollback(c)) {
                    tracing::debug!(error = %rollback, "the transaction could not be rolled back");
                }
                Err(error)
            }
        }
    }

    /// Whether the connection is of no more use.
    pub(super) fn is_broken(&mut self) -> bool {
        match self {
            Self::Sqlite(c) => AnsiTransactionManager::is_broken_transaction_manager(c),
            Self::Postgres(session) => session.is_broken(),
        }
    }

    /// Has every statement told to `heard` before it runs.
    pub(super) fn listen(&mut self, heard: impl Fn(&str) + Send + 'static) {
        let instrumentation = move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                heard(&query.to_string());
            }
        };
        let instrumentation: Box<dyn Instrumentation> = Box::new(instrumentation);
        each!(self, c => c.set_instrumentation(instrumentation));
    }
}

fn begin<C: diesel::Connection>(connection: &mut C) -> Result<(), Error> {
    Ok(C::TransactionManager::begin_transaction(connection)?)
}

fn commit<C: diesel::Connection>(connection: &mut C) -> Result<(), Error> {
    Ok(C::TransactionManager::commit_transaction(connection)?)
}

fn rollback<C: diesel::Connection>(connection: &mut C) -> Result<(), Error> {
    Ok(C::TransactionManager::rollback_transaction(connection)?)
}

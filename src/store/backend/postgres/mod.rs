//! Connections to a store in PostgreSQL 13 or newer: where it is, who connects, how TLS is checked, and what went wrong.
//!
//! A [`PostgresUrl`] comes in, a [`Session`] that diesel's blocking interface can use goes out; schema and partitions of that database are
//! made here too. No libpq: tokio-postgres on a runtime of the store's own. What is in the tables is not known here. The manual's chapters
//! are "Database Connection Control Functions" of libpq for URL and certificates and "Client Connection Defaults" for the settings.

mod connect;
#[cfg(test)]
pub(in crate::store) mod fixture;
pub(in crate::store) mod migrations;
pub(in crate::store) mod partition;
mod passfile;
pub(in crate::store) mod rights;
#[cfg(test)]
mod roles_tests;
mod runtime;
mod script;
mod slot;
mod tls;
mod url;
mod url_parser;

use std::{
    error::Error as StdError,
    fmt, io,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use diesel::connection::TransactionManager;
use diesel_async::{AsyncPgConnection, async_connection_wrapper::AsyncConnectionWrapper};

pub(in crate::store) use connect::connect;
use runtime::Bound;
pub(in crate::store) use runtime::StoreRuntime;
pub use slot::Span;
pub use tls::FileError;
pub use url::PostgresUrl;
pub use url_parser::UrlError;

/// A connection for diesel's blocking interface.
pub(in crate::store) type PgConnection = AsyncConnectionWrapper<AsyncPgConnection, StoreRuntime>;

/// Oldest major version of the server that the schema and its queries work on.
const OLDEST_SERVER: u32 = 13;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Access {
    /// Ingest, migrations, retention.
    Write,
    /// Transactions are read-only and each sees one snapshot (REPEATABLE READ).
    Read,
}

/// An open connection. Dropping it ends it; the server rolls back what was not committed.
pub(in crate::store) struct Session {
    connection: PgConnection,
    bound: Arc<Bound>,
}

impl Session {
    /// Gives the connection up when the answer to a statement takes longer than that, from the next one on; `None` waits for ever. Whoever waits
    /// then hears that the connection is closed; whether a commit has taken place isn't known.
    pub(in crate::store) fn answer_within(&self, limit: Option<Duration>) {
        self.bound.set(limit);
    }

    /// Whether to replace it instead of using it again: the connection has ended, as far as this machine knows, or a transaction was left
    /// open or could not be rolled back. Asks nobody, so that it costs nothing; a server that has vanished without a word is noticed by
    /// the next statement, within 30 seconds, and one that stands still within 40.
    pub(in crate::store) fn is_broken(&mut self) -> bool {
        type Manager = <PgConnection as diesel::Connection>::TransactionManager;
        self.bound.connection_has_ended()
            || Manager::is_broken_transaction_manager(&mut self.connection)
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// A database on one server, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    server: String,
    database: String,
    user: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database {:?} on {}", self.database, self.server)
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start the runtime of the store's connections: {0}")]
    Runtime(#[source] Arc<io::Error>),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "cannot reach {place}: {}; check host and port of the store URL, the server's listen_addresses, and that it runs",
        reason(source)
    )]
    Unreachable {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error(
        "{place} has not answered within {seconds} seconds; connect_timeout in the store URL sets how long to wait"
    )]
    NoAnswer { place: Place, seconds: u64 },
    #[error("{place} takes no connections now: {}", reason(source))]
    NotNow {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error(
        "{place} is a standby or read-only, and the store is written to: name the primary in the store URL, or all servers with commas between them"
    )]
    ReadOnly {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error(
        "{place} offers no TLS: turn ssl on there, or say sslmode=disable in the store URL to send everything in the clear"
    )]
    NoTls {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error(
        "the certificate of {place} comes from an authority that is not trusted: name that authority's certificate in the store URL with \
         sslrootcert=FILE; sslmode=require would encrypt without any check"
    )]
    UnknownIssuer {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error(
        "the certificate of {place} is not for that host ({}): connect by a name that it is for, or have one made that is; \
         sslmode=verify-ca with sslrootcert=FILE accepts any name of that authority",
        reason(source)
    )]
    WrongName {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error("TLS with {place} failed: {}", reason(source))]
    Tls {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error(
        "{place} does not accept the password of user {:?}: set the right one in the store URL, in PGPASSWORD or in a password file", place.user
    )]
    Password {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error(
        "{place} wants a password of user {:?} and there is none: set it in the store URL, in PGPASSWORD or in a password file", place.user
    )]
    NoPassword {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error(
        "{place} does not let user {:?} in: {}; see pg_hba.conf there", place.user, reason(source)
    )]
    NotAllowed {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error("there is no {place}: create it, or name another in the store URL")]
    NoDatabase {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error("{place} refused the connection: {}", reason(source))]
    Refused {
        place: Place,
        source: tokio_postgres::Error,
    },
    #[error("{place} is PostgreSQL {version}: the store needs {OLDEST_SERVER} or newer")]
    TooOld { place: Place, version: String },
    #[error("cannot set up the connection to {place}: {source}")]
    Setup {
        place: Place,
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error("{}", listed(.0))]
    NoneOf(Vec<Error>),
}

impl Error {
    /// Whether the same may work later with nothing changed here: the server is away, starting, full, or a standby for now.
    pub(in crate::store) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::NotNow { .. }
            | Self::ReadOnly { .. } => true,
            Self::NoneOf(errors) => errors.iter().any(Self::is_transient),
            _ => false,
        }
    }
}

/// What is below tokio-postgres' own message, which only names the kind of error.
fn reason(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(error), _) => error.message().to_owned(),
        (None, Some(source)) => source.to_string(),
        (None, None) => error.to_string(),
    }
}

fn listed(errors: &[Error]) -> String {
    let messages: Vec<_> = errors.iter().map(Error::to_string).collect();
    messages.join("; ")
}

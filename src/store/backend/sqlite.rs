//! The store in one file of its own: SQLite.
//!
//! A path comes in, connections go out. Knows how the file is created (nobody but its owner may read it) and how a connection is set up.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use diesel::{Connection, QueryResult, SqliteConnection, connection::SimpleConnection};

use crate::{model::position::ServerId, store::Error};

/// For every connection: how long it waits for a lock before it fails.
pub(in crate::store) const LOCK_WAIT: Duration = Duration::from_secs(5);

const SHARED: &str =
    "PRAGMA foreign_keys = ON; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;";
/// 32 MB of pages keep the inner nodes of the indexes in memory, and leave room for long records below the daemon's bound; a late checkpoint writes
/// a page once for many batches.
const WRITER: &str = "PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;";
const READER: &str = "PRAGMA cache_size = -8192; PRAGMA query_only = ON;";
const LOOK: &str = "PRAGMA query_only = ON;";
const COPIER: &str = "PRAGMA cache_size = -8192; PRAGMA synchronous = FULL;";

/// Makes the connection wait so long for a lock that another process holds.
pub(super) fn wait_for_locks(
    connection: &mut SqliteConnection,
    at_most: Duration,
) -> QueryResult<()> {
    connection.batch_execute(&format!("PRAGMA busy_timeout = {};", at_most.as_millis()))
}

/// A database file that is there.
pub(in crate::store) struct Database {
    path: PathBuf,
}

impl Database {
    /// Makes what is missing of the file: its folder with mode 0700, itself with mode 0600. `set_up` runs while no other process can be at the
    /// same.
    pub(in crate::store) fn create(
        path: &Path,
        set_up: impl FnOnce(&Self) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let create = |source| Error::Create {
            path: path.to_owned(),
            source,
        };
        // An absolute path cannot be taken for one of SQLite's special names.
        let path = std::path::absolute(path).map_err(create)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(create)?;
        // Two processes cannot turn a new file into a WAL database at once: SQLite gives up on one of them without waiting.
        let folder = File::open(folder).map_err(create)?;
        folder.lock().map_err(create)?;
        // SQLite gives its journal and shared memory the mode of the database file. A file that exists must not be opened here: closing it
        // would drop the locks that SQLite holds on it in this process.
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
        {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(create(error));
            }
            _ => {}
        }
        let database = Self { path };
        set_up(&database)?;
        Ok(database)
    }

    /// A database file that is not created if it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`].
    pub(in crate::store) fn existing(path: &Path) -> Result<Self, Error> {
        let create = |source| Error::Create {
            path: path.to_owned(),
            source,
        };
        match path.try_exists().map_err(create)? {
            true => Ok(Self {
                path: std::path::absolute(path).map_err(create)?,
            }),
            false => Err(Error::Missing {
                path: path.to_owned(),
            }),
        }
    }

    /// A connection that leaves the file as it is, its journal mode too.
    pub(in crate::store) fn look(&self) -> Result<SqliteConnection, Error> {
        self.connect(LOOK)
    }

    /// A connection for a copy of the file. It writes nothing to it, but SQLite takes the copy for a write.
    pub(in crate::store) fn copier(&self) -> Result<SqliteConnection, Error> {
        self.connect(COPIER)
    }

    /// The connection that writes.
    pub(in crate::store) fn writer(&self) -> Result<SqliteConnection, Error> {
        self.connect(&format!("{SHARED} {WRITER}"))
    }

    pub(in crate::store) fn reader(&self) -> Result<SqliteConnection, Error> {
        self.connect(&format!("{SHARED} {READER}"))
    }

    fn connect(&self, settings: &str) -> Result<SqliteConnection, Error> {
        let path = &self.path;
        let name = path.to_str().ok_or_else(|| Error::Create {
            path: path.clone(),
            source: io::Error::other("the path is not UTF-8"),
        })?;
        let mut connection = SqliteConnection::establish(name).map_err(|source| Error::Open {
            path: path.clone(),
            source,
        })?;
        wait_for_locks(&mut connection, LOCK_WAIT)
            .and_then(|()| connection.batch_execute(settings))
            .map_err(|source| Error::Setup {
                store: path.display().to_string(),
                source: Box::new(source),
            })?;
        Ok(connection)
    }

    /// A file beside the store that stands for one server's ingest; locked by whoever writes it.
    pub(in crate::store) fn ingest_lock(&self, server: ServerId) -> Result<File, io::Error> {
        let mut path = self.path.clone().into_os_string();
        path.push(format!("-ingest-{:016x}", server.0));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
    }
}

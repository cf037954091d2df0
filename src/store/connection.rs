//! The connections of one store: one that writes, a few that read.
//!
//! Hands each out to one thread at a time and replaces those that are of no more use. What is in the tables is not known here.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;

use super::{
    Config, Error,
    backend::{
        Connection,
        postgres::{self, Access, PostgresUrl, partition::Partitions},
        sqlite::Database,
    },
    migrations,
};

/// Address of a store: `sqlite://PATH`, where PATH is taken as it stands, or `postgres://…` as libpq takes it. Shown without passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    Sqlite(PathBuf),
    Postgres(Box<PostgresUrl>),
}

impl StoreUrl {
    /// The store in that file.
    pub fn sqlite(path: &Path) -> Self {
        Self::Sqlite(path.to_owned())
    }

    /// Where the store is, and may have company; `None` for a store that is not a file.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Postgres(_) => None,
            Self::Sqlite(path) => Some(match path.parent() {
                Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
                Some(parent) => parent,
                None => path,
            }),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    /// The error shows the scheme and nothing else of the URL: it may carry a password.
    fn from_str(url: &str) -> Result<Self, Error> {
        match url.split_once("://") {
            Some(("sqlite", "")) | None => Err(Error::NoPath),
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(Box::new(url.parse()?))),
            Some((scheme, _)) => Err(Error::UnsupportedScheme {
                scheme: scheme.to_owned(),
            }),
        }
    }
}

/// As many snapshots can be read at once; more readers wait.
pub const READERS: usize = 4;

/// Every connection of one store.
pub(super) struct Connections {
    pub(super) place: Place,
    writer: Pool,
    readers: Pool,
    /// Tries for claims that others have, one server after the other.
    waiting: Mutex<Option<Connection>>,
    statements_read: Arc<AtomicU64>,
}

/// Where connections are made.
pub(super) enum Place {
    Sqlite(Database),
    Postgres {
        url: Box<PostgresUrl>,
        partitions: Box<Partitions>,
    },
}

impl Place {
    fn postgres(url: &PostgresUrl, partition_days: u32) -> Self {
        Self::Postgres {
            url: Box::new(url.clone()),
            partitions: Box::new(Partitions::new(partition_days)),
        }
    }

    /// Makes room for rows of those times, where the store is in pieces by time; to be called before the transaction that stores them.
    pub(super) fn make_room(
        &self,
        connection: &mut Connection,
        times: impl IntoIterator<Item = Timestamp>,
    ) -> Result<(), Error> {
        if let (Self::Postgres { partitions, .. }, Connection::Postgres(session)) =
            (self, connection)
        {
            partitions.ensure(session, times, Timestamp::now())?;
        }
        Ok(())
    }

    /// To be called when rows could not be stored: another process may have dropped what this one remembers to have made.
    pub(super) fn forget_room(&self) {
        if let Self::Postgres { partitions, .. } = self {
            partitions.forget();
        }
    }

    pub(super) fn writer(&self) -> Result<Connection, Error> {
        Ok(match self {
            Self::Sqlite(database) => Connection::Sqlite(database.writer()?),
            Self::Postgres { url, .. } => {
                Connection::Postgres(postgres::connect(url, Access::Write)?)
            }
        })
    }

    fn reader(&self) -> Result<Connection, Error> {
        Ok(match self {
            Self::Sqlite(database) => Connection::Sqlite(database.reader()?),
            Self::Postgres { url, .. } => {
                Connection::Postgres(postgres::connect(url, Access::Read)?)
            }
        })
    }
}

impl Connections {
    /// Creates what is missing of the store and brings its schema up to date; for who is going to write.
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let place = match &config.url {
            StoreUrl::Sqlite(path) => Place::Sqlite(Database::create(path, |database| {
                migrations::run(
                    &config.url.to_string(),
                    &mut Connection::Sqlite(database.writer()?),
                )
            })?),
            StoreUrl::Postgres(server) => {
                let session = postgres::connect(server, Access::Write)?;
                // An index of a large table may take its time.
                session.answer_within(None);
                let mut connection = Connection::Postgres(session);
                migrations::run(&server.to_string(), &mut connection)?;
                if let Connection::Postgres(session) = &mut connection {
                    let tables = postgres::migrations::tables();
                    postgres::rights::check(session, &tables, Access::Write)?;
                }
                Place::postgres(server, config.partition_days)
            }
        };
        Ok(Self::of(place))
    }

    /// The PostgreSQL store as it is. Needs no right but to read, and refuses a schema that isn't the one that this program knows.
    pub(super) fn open_as_it_is(server: &PostgresUrl, partition_days: u32) -> Result<Self, Error> {
        let mut session = postgres::connect(server, Access::Read)?;
        postgres::migrations::check_version(&mut session).map_err(|source| Error::Migration {
            store: server.to_string(),
            source,
        })?;
        let tables = postgres::migrations::tables();
        postgres::rights::check(&mut session, &tables, Access::Read)?;
        Ok(Self::of(Place::postgres(server, partition_days)))
    }

    fn of(place: Place) -> Self {
        Self {
            place,
            writer: Pool::of(1),
            readers: Pool::of(READERS),
            waiting: Mutex::default(),
            statements_read: Arc::default(),
        }
    }

    /// The connection that writes; waits while another thread has it.
    pub(super) fn writer(&self) -> Result<Taken<'_>, Error> {
        self.writer.take(|| self.place.writer())
    }

    /// A connection to try for a claim with; to be kept for the next try with [`Self::wait_on`], or for as long as the claim lasts.
    pub(super) fn claimer(&self) -> Result<Connection, Error> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.take() {
            Some(mut connection) => match connection.is_broken() {
                false => Ok(connection),
                true => self.place.writer(),
            },
            None => self.place.writer(),
        }
    }

    pub(super) fn wait_on(&self, connection: Connection) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    pub(super) fn reader(&self) -> Result<Taken<'_>, Error> {
        self.readers.take(|| {
            let mut connection = self.place.reader()?;
            let statements = Arc::clone(&self.statements_read);
            connection.listen(move |_| {
                statements.fetch_add(1, Ordering::Relaxed);
            });
            Ok(connection)
        })
    }

    pub(super) fn statements_read(&self) -> u64 {
        self.statements_read.load(Ordering::Relaxed)
    }
}

/// A fixed number of places for connections. An empty place is filled when it is first taken, and again where the connection
/// has broken or its user has panicked: it may have an unfinished transaction, which closing it rolls back.
struct Pool {
    places: Mutex<Vec<Option<Connection>>>,
    freed: Condvar,
}

impl Pool {
    fn of(size: usize) -> Self {
        Self {
            places: Mutex::new((0..size).map(|_| None).collect()),
            freed: Condvar::new(),
        }
    }

    fn take(
        &self,
        connect: impl FnOnce() -> Result<Connection, Error>,
    ) -> Result<Taken<'_>, Error> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = loop {
            match places.pop() {
                Some(place) => break place,
                None => {
                    places = self
                        .freed
                        .wait(places)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(places);
        // From here on the place comes back when `taken` is dropped, whatever happens.
        let mut taken = Taken {
            pool: self,
            connection: place,
        };
        if taken.connection.is_none() {
            taken.connection = Some(connect()?);
        }
        Ok(taken)
    }
}

/// A connection in use; its place is free again when this is dropped.
pub(super) struct Taken<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Deref for Taken<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("filled by Pool::take")
    }
}

impl DerefMut for Taken<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("filled by Pool::take")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let connection = self
            .connection
            .take()
            .filter(|_| !std::thread::panicking())
            .and_then(|mut connection| (!connection.is_broken()).then_some(connection));
        self.pool
            .places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::{os::unix::fs::PermissionsExt, sync::Barrier, thread};

    use super::*;
    use crate::{
        model::position::Server,
        store::{
            ExecutionPage, Store,
            backend::postgres::fixture::{Database, StandsStill},
            fixture::{Fixture, batch, execution, open},
        },
    };

    fn check(url: &str, expected: Result<&str, &str>) {
        let read = url.parse::<StoreUrl>();
        let read = read.map_err(|error| error.to_string());
        assert_eq!(
            read.as_ref().map(ToString::to_string),
            expected
                .map(|path| format!("sqlite://{path}"))
                .map_err(str::to_owned)
                .as_ref()
                .map(ToString::to_string),
            "{url}"
        );
    }

    #[test]
    fn store_urls() {
        check(
            "sqlite:///var/lib/plantail/a b?c#d%20.db",
            Ok("/var/lib/plantail/a b?c#d%20.db"),
        );
        check("sqlite://plantail.db", Ok("plantail.db"));
        check(
            "sqlite://",
            Err(
                "the store URL names no file: write sqlite:// and its path, sqlite:///var/lib/plantail/plantail.db",
            ),
        );
        check(
            "plantail.db",
            Err(
                "the store URL names no file: write sqlite:// and its path, sqlite:///var/lib/plantail/plantail.db",
            ),
        );
        check(
            "mysql://me:secret@db/plantail",
            Err(
                "store URL scheme `mysql` is not known: use sqlite://PATH or postgres://HOST/DATABASE",
            ),
        );
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_read_what_is_created() {
        let fixture = Fixture::new();
        fixture.ingest(&batch(fixture.server, 0, 10)).unwrap();
        assert_eq!(mode(fixture.path().parent().unwrap()), 0o700);
        for suffix in ["", "-wal", "-shm"] {
            let path = PathBuf::from(format!("{}{suffix}", fixture.path().display()));
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plantail.db");
        std::fs::write(
            &path,
            "2026-11-20 09:00:00 UTC LOG:  not a database\n".repeat(100),
        )
        .unwrap();
        let error = open(&StoreUrl::sqlite(&path)).err().unwrap().to_string();
        assert_eq!(
            error,
            format!(
                "cannot set up the store {}: file is not a database",
                path.display()
            )
        );
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let path = folder.path().join("file/plantail.db");
        let error = open(&StoreUrl::sqlite(&path)).err().unwrap().to_string();
        assert!(
            error.starts_with(&format!("cannot create the store {}: ", path.display())),
            "{error}"
        );
    }

    #[test]
    fn several_processes_may_open_a_new_store_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plantail.db");
        let start = Barrier::new(4);
        thread::scope(|scope| {
            let opened: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        open(&StoreUrl::sqlite(&path)).map(|_| ())
                    })
                })
                .collect();
            for thread in opened {
                thread.join().unwrap().unwrap();
            }
        });
    }

    /// Two handles do not know of each other, as two processes don't.
    #[test]
    fn two_handles_write_and_read_without_being_busy() {
        const BATCHES: u64 = 40;
        let fixture = Fixture::new();
        let other = open(&fixture.url).unwrap();
        let write = |store: &Store, name: &str| {
            let server = Server::named(name);
            store.ensure_server(&server).unwrap();
            for number in 0..BATCHES {
                let mut batch = batch(server.id, number * 10, number * 10 + 10);
                batch.executions = vec![execution(server.id, "select $1", number, 1.0)];
                store.ingest(&batch, &|_| Vec::new()).unwrap();
            }
        };
        let newest = ExecutionPage {
            limit: 1000,
            ..ExecutionPage::default()
        };
        thread::scope(|scope| {
            scope.spawn(|| write(&fixture.store, "one"));
            scope.spawn(|| write(&other, "two"));
            for store in [&fixture.store, &other] {
                scope.spawn(|| {
                    let mut seen = 0;
                    while seen < 2 * BATCHES as usize {
                        let read = store.read(|reader| reader.executions(&newest)).unwrap();
                        assert!(read.len() >= seen);
                        seen = read.len();
                    }
                });
            }
        });
    }

    #[test]
    fn a_reader_sees_one_snapshot() {
        for fixture in Fixture::each() {
            let ingest = |from: u64| {
                let mut batch = batch(fixture.server, from, from + 10);
                batch.executions = vec![execution(fixture.server, "select $1", from, 1.0)];
                fixture.ingest(&batch).unwrap();
            };
            ingest(0);
            let page = ExecutionPage {
                limit: 10,
                ..ExecutionPage::default()
            };
            let seen = fixture.store.read(|reader| {
                let before = reader.executions(&page)?.len();
                ingest(10);
                Ok((before, reader.executions(&page)?.len()))
            });
            assert_eq!(seen.unwrap(), (1, 1));
            let after = fixture
                .store
                .read(|reader| Ok(reader.executions(&page)?.len()));
            assert_eq!(after.unwrap(), 2);
        }
    }

    #[test]
    fn partitions_are_as_wide_as_configured() {
        let Some(database) = Database::new() else {
            return;
        };
        let url = StoreUrl::Postgres(Box::new(database.url("postgres")));
        let config = Config {
            partition_days: 7,
            ..Config::from(url)
        };
        let store = Store::open(&config).unwrap();
        let server = Server::named("shop");
        store.ensure_server(&server).unwrap();
        let mut first = batch(server.id, 0, 10);
        first.executions = vec![execution(server.id, "select $1", 0, 1.0)];
        store.ingest(&first, &|_| Vec::new()).unwrap();
        let bounds = database.psql(
            "SELECT DISTINCT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition AND relkind = 'r'",
        );
        for bounds in bounds.lines() {
            let times: Vec<i64> = bounds
                .split('\'')
                .filter_map(|text| text.parse().ok())
                .collect();
            let [from, to] = times.as_slice() else {
                panic!("{bounds}");
            };
            assert_eq!(to - from, 7 * 86_400_000_000, "{bounds}");
        }
        assert!(!bounds.is_empty());
    }

    #[test]
    fn a_server_that_stands_still_costs_a_connection_and_nothing_else() {
        let Some(database) = Database::new() else {
            return;
        };
        let store = open(&StoreUrl::Postgres(Box::new(database.url("postgres")))).unwrap();
        let server = Server::named("shop");
        store.ensure_server(&server).unwrap();
        let mut first = batch(server.id, 0, 10);
        first.executions = vec![execution(server.id, "select $1", 0, 1.0)];
        store.ingest(&first, &|_| Vec::new()).unwrap();
        {
            let Connection::Postgres(session) = &*store.connections.writer().unwrap() else {
                panic!("a store in PostgreSQL");
            };
            session.answer_within(Some(std::time::Duration::from_millis(300)));
        }
        let writers = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'plantail' AND query = 'COMMIT'";
        let still = StandsStill::of(&database.psql(writers));
        let mut second = batch(server.id, 10, 20);
        second.executions = vec![execution(server.id, "select $1", 10, 1.0)];
        let error = store.ingest(&second, &|_| Vec::new()).unwrap_err();
        assert!(error.is_passing() && !error.loses_claim(), "{error}");
        // On a connection of its own, while the other one still stands.
        store.ingest(&second, &|_| Vec::new()).unwrap();
        drop(still);
        assert_eq!(database.psql("SELECT count(*) FROM executions"), "2");
    }

    #[test]
    fn more_readers_than_places_get_through_after_panics_in_all_places() {
        for fixture in Fixture::each() {
            let all_in = Barrier::new(READERS);
            thread::scope(|scope| {
                let failing: Vec<_> = (0..READERS)
                    .map(|_| {
                        scope.spawn(|| {
                            let _ = fixture.store.read(|_| -> Result<(), Error> {
                                all_in.wait();
                                panic!("a reader fails")
                            });
                        })
                    })
                    .collect();
                for thread in failing {
                    assert!(thread.join().is_err());
                }
                let reading: Vec<_> = (0..2 * READERS)
                    .map(|_| {
                        scope.spawn(|| fixture.store.read(|reader| reader.servers()).unwrap().len())
                    })
                    .collect();
                for thread in reading {
                    assert_eq!(thread.join().unwrap(), 1);
                }
            });
        }
    }
}

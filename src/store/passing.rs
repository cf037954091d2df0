//! What an error of the store says about trying again.
//!
//! An error comes in; out goes whether the same call may succeed later with nobody changing plantail or its configuration, and whether the right to
//! take a server's logs in is gone with it. Nothing is tried here.

use std::io::{self, ErrorKind};

use super::{Error, MigrationError, PartitionError, RightsError};

/// What SQLite says of a database that no wait mends (`sqlite3_errstr`).
const LASTING: [&str; 3] = [
    "file is not a database",
    "database disk image is malformed",
    "unable to open database file",
];

/// EIO, ENFILE and EMFILE, which the standard library has no names for.
const PASSING_OS_ERRORS: [i32; 3] = [5, 23, 24];

impl Error {
    /// Whether the store may do it later, unasked: it is locked, busy, full, read-only, or out of reach for now. False for what somebody has to mend.
    /// A statement that PostgreSQL refuses for want of a privilege passes: rights are looked up when a store is opened, so what is missing later was
    /// taken away meanwhile and may be given back.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Create { source, .. } | Self::Claim { source, .. } => is_passing_io(source),
            Self::Setup { source, .. } => is_passing_text(&source.to_string()),
            Self::Open { source, .. } => is_passing_text(&source.to_string()),
            Self::Sql(error) => is_passing_sql(error),
            Self::Postgres(error) => error.is_transient(),
            Self::Partition(
                PartitionError::List(error)
                | PartitionError::Create { source: error, .. }
                | PartitionError::Drop { source: error, .. },
            )
            | Self::Migration {
                source:
                    MigrationError::Read(error)
                    | MigrationError::Failed { source: error, .. }
                    | MigrationError::Sql(error)
                    | MigrationError::Rights(RightsError::Unknown(error)),
                ..
            }
            | Self::Rights(RightsError::Unknown(error)) => is_passing_sql(error),
            Self::Claimed { .. } => true,
            Self::Partition(PartitionError::TooFarAhead { .. } | PartitionError::Bounds { .. })
            | Self::Migration { .. }
            | Self::Rights(_)
            | Self::PostgresUrl(_)
            | Self::ClaimLost => false,
            Self::UnsupportedScheme { .. }
            | Self::NoPath
            | Self::Missing { .. }
            | Self::Fenced { .. }
            | Self::PlanWithoutExecution { .. }
            | Self::JobLost { .. }
            | Self::Value { .. }
            | Self::Document(_)
            | Self::BackupExists { .. }
            | Self::NotInAFile { .. }
            | Self::BackupDamaged { .. } => false,
        }
    }

    /// Whether another process takes the server's logs in, or has: what this one believes of its position in them isn't so.
    pub fn loses_claim(&self) -> bool {
        matches!(
            self,
            Self::Fenced { .. } | Self::Claimed { .. } | Self::ClaimLost
        )
    }
}

#[cfg(test)]
#[derive(diesel::QueryableByName)]
struct GapStart {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    from_bytes: i64,
}

#[cfg(test)]
impl super::Store {
    /// Makes every write fail from here on, or no longer.
    pub(crate) fn refuse_writes(&self, refuse: bool) {
        let setting = format!("PRAGMA query_only = {}", u8::from(refuse));
        let set = self
            .connections
            .writer()
            .and_then(|mut writer| super::sql::Sql::new(setting, []).execute(&mut writer));
        assert!(set.is_ok());
    }

    /// Where gaps begin.
    pub(crate) fn gap_starts(&self) -> Vec<u64> {
        let select = super::sql::Sql::new("SELECT from_bytes FROM gaps ORDER BY from_bytes", []);
        let gaps = self.connections.reader();
        let gaps = gaps.and_then(|mut reader| select.load::<GapStart>(&mut reader));
        let gaps = gaps.expect("a store that can be read").into_iter();
        gaps.map(|gap| gap.from_bytes.cast_unsigned()).collect()
    }

    /// Runs `f` while this handle holds the right to write.
    pub(crate) fn hold_lock(&self, f: impl FnOnce()) {
        let mut writer = self.connections.writer().expect("a connection that writes");
        let held = writer.write(|_| {
            f();
            Ok(())
        });
        assert!(held.is_ok());
    }

    /// Deletes every position.
    pub(crate) fn lose_positions(&self) {
        let lost = self.connections.writer().and_then(|mut writer| {
            super::sql::Sql::new("DELETE FROM checkpoints", []).execute(&mut writer)
        });
        assert!(lost.is_ok_and(|count| count > 0));
    }
}

fn is_passing_io(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::ResourceBusy
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
    ) || error
        .raw_os_error()
        .is_some_and(|code| PASSING_OS_ERRORS.contains(&code))
}

fn is_passing_text(message: &str) -> bool {
    !LASTING.iter().any(|lasting| message.contains(lasting))
}

fn is_passing_sql(error: &diesel::result::Error) -> bool {
    match error {
        diesel::result::Error::DatabaseError(kind, information) => {
            !is_constraint(kind) && is_passing_text(information.message())
        }
        diesel::result::Error::RollbackErrorOnCommit { .. }
        | diesel::result::Error::BrokenTransactionManager => true,
        _ => false,
    }
}

fn is_constraint(kind: &diesel::result::DatabaseErrorKind) -> bool {
    use diesel::result::DatabaseErrorKind::{
        CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation,
    };
    matches!(
        kind,
        CheckViolation | ForeignKeyViolation | NotNullViolation | UniqueViolation
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;
    use crate::{
        model::position::Server,
        store::{
            Store, StoreUrl,
            backend::postgres::fixture::Database,
            fixture::{self, Fixture},
            sql::Sql,
        },
    };

    fn opened(path: &Path) -> Result<Store, Error> {
        Store::open(&StoreUrl::sqlite(path).into())
    }

    #[test]
    fn what_is_locked_or_read_only_passes() {
        let fixture = Fixture::new();
        let server = Server::named("later");
        let run = |store: &Store, sql: &'static str| {
            let mut writer = store.connections.writer().unwrap();
            Sql::new(sql, []).execute(&mut writer).unwrap();
        };
        let writer = |sql| run(&fixture.store, sql);
        writer("PRAGMA busy_timeout = 1");
        let other = opened(fixture.path()).unwrap();
        run(&other, "BEGIN IMMEDIATE");
        let error = fixture.store.ensure_server(&server).unwrap_err();
        assert!(error.to_string().contains("locked"), "{error}");
        assert!(error.is_passing() && !error.loses_claim(), "{error}");
        run(&other, "ROLLBACK");

        writer("PRAGMA query_only = ON");
        let error = fixture.store.ensure_server(&server).unwrap_err();
        assert!(error.is_passing(), "{error}");
        writer("PRAGMA query_only = OFF");
        writer("PRAGMA max_page_count = 1");
        let error = (0..10_000)
            .find_map(|n| {
                let server = Server::named(&format!("{n}"));
                fixture.store.ensure_server(&server).err()
            })
            .unwrap();
        assert!(error.to_string().contains("full"), "{error}");
        assert!(error.is_passing(), "{error}");
        let full = Error::Create {
            path: fixture.path().to_owned(),
            source: io::Error::from_raw_os_error(28),
        };
        assert!(full.is_passing());
    }

    #[test]
    fn a_right_that_is_taken_away_may_be_given_back() {
        let Some(database) = Database::new() else {
            return;
        };
        let url = |role: &str| StoreUrl::Postgres(Box::new(database.url(role)));
        fixture::open(&url("postgres")).unwrap();
        database.psql(
            "CREATE ROLE granted LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO granted",
        );
        let store = fixture::open(&url("granted")).unwrap();
        let store_server = || store.ensure_server(&Server::named("shop"));
        database.psql("REVOKE INSERT ON servers FROM granted");
        let error = store_server().unwrap_err();
        assert!(error.is_passing() && !error.loses_claim(), "{error}");
        let refused = fixture::open(&url("granted")).err().unwrap();
        assert!(
            matches!(refused, Error::Rights(RightsError::Write { .. })),
            "{refused}"
        );
        assert!(!refused.is_passing());
        database.psql("GRANT INSERT ON servers TO granted");
        store_server().unwrap();
    }

    #[test]
    fn what_somebody_has_to_mend_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not.db");
        fs::write(&path, "no database ".repeat(1000)).unwrap();
        let error = opened(&path).err().unwrap();
        assert!(!error.is_passing(), "{error}");

        let path = folder.path().join("folder");
        fs::create_dir(&path).unwrap();
        let error = opened(&path).err().unwrap();
        assert!(!error.is_passing(), "{error}");

        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
        // A user that may write everywhere opens it.
        if let Err(error) = opened(&closed.join("a/plantail.db")) {
            assert!(!error.is_passing(), "{error}");
        }
    }
}

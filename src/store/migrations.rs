//! The schema's versions: the migrations that are compiled in, and the refusal of a store that is newer than they are.
//!
//! A connection comes in, and a store with the newest schema is what it has afterwards; on an error the store is as it was.

use diesel::{
    SqliteConnection,
    migration::MigrationSource,
    prelude::*,
    sql_types::{Nullable, Text},
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{
    Config, Error, StoreUrl,
    backend::{
        Connection, Dialect,
        postgres::{self, Access},
        sqlite::Database,
    },
    sql::Sql,
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Brings the schema up to date in one transaction, so that of two processes that start at once the second finds it done. `store` names the
/// store in errors.
pub(super) fn run(store: &str, connection: &mut Connection) -> Result<(), Error> {
    match connection {
        Connection::Sqlite(c) => c.immediate_transaction(|c| run_sqlite(store, c)),
        Connection::Postgres(session) => {
            postgres::migrations::run(session).map_err(|source| Error::Migration {
                store: store.to_owned(),
                source,
            })?;
            Ok(())
        }
    }
}

/// The schema that a store has, and the newest that this plantail knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaVersions {
    /// `None` for a store that has none yet, or isn't there.
    pub stored: Option<String>,
    pub known: String,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Nullable<Text>)]
    version: Option<String>,
}

/// Which schema the store has. Changes nothing and creates nothing.
pub fn schema_versions(config: &Config) -> Result<SchemaVersions, Error> {
    let mut connection = match &config.url {
        StoreUrl::Sqlite(path) => match Database::existing(path) {
            Ok(database) => Some(Connection::Sqlite(database.look()?)),
            Err(Error::Missing { .. }) => None,
            Err(error) => return Err(error),
        },
        StoreUrl::Postgres(url) => {
            Some(Connection::Postgres(postgres::connect(url, Access::Read)?))
        }
    };
    let stored = match &mut connection {
        Some(connection) => stored_version(connection)?,
        None => None,
    };
    let known = known_version(&config.url.to_string())?;
    Ok(SchemaVersions { stored, known })
}

fn stored_version(connection: &mut Connection) -> Result<Option<String>, Error> {
    let table = match connection.dialect() {
        Dialect::Sqlite => "SELECT name AS version FROM sqlite_schema WHERE name = ?",
        Dialect::Postgres => "SELECT CAST(to_regclass(?) AS text) AS version",
    };
    let table: Option<Version> =
        Sql::new(table, ["__diesel_schema_migrations".into()]).first(connection)?;
    if table.and_then(|table| table.version).is_none() {
        return Ok(None);
    }
    let newest = "SELECT max(version) AS version FROM __diesel_schema_migrations";
    let newest: Option<Version> = Sql::new(newest, []).first(connection)?;
    Ok(newest.and_then(|newest| newest.version))
}

/// The newest version that is compiled in. It is the same for both databases.
fn known_version(store: &str) -> Result<String, Error> {
    let known =
        MigrationSource::<Sqlite>::migrations(&MIGRATIONS).map_err(|source| Error::Setup {
            store: store.to_owned(),
            source,
        })?;
    let newest = known.iter().map(|m| m.name().version().to_string()).max();
    Ok(newest.expect("there is a first migration"))
}

fn run_sqlite(store: &str, connection: &mut SqliteConnection) -> Result<(), Error> {
    let setup = |source| Error::Setup {
        store: store.to_owned(),
        source,
    };
    let known_version = known_version(store)?;
    let applied = connection.applied_migrations().map_err(setup)?;
    match applied.iter().map(ToString::to_string).max() {
        Some(store_version) if store_version > known_version => Err(Error::Newer {
            store: store.to_owned(),
            store_version,
            known_version,
        }),
        _ => {
            connection
                .run_pending_migrations(MIGRATIONS)
                .map_err(setup)?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use diesel::{Connection as _, connection::SimpleConnection as _};

    use super::*;
    use crate::store::{
        fixture::{Fixture, open},
        sql::Sql,
    };

    #[test]
    fn a_newer_store_is_refused_and_left_as_it_is() {
        let fixture = Fixture::new();
        fixture
            .store
            .connections
            .writer()
            .unwrap()
            .write(|connection| {
                Sql::new(
                    "INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')",
                    [],
                )
                .execute(connection)
            })
            .unwrap();
        let error = open(&fixture.url).err().unwrap();
        let known = MigrationSource::<Sqlite>::migrations(&MIGRATIONS).unwrap();
        let newest = known
            .iter()
            .map(|m| m.name().version().to_string())
            .max()
            .unwrap();
        assert!(matches!(error, Error::Newer { .. }));
        assert_eq!(
            error.to_string(),
            format!(
                "the store {} has schema 20991231000000 and this plantail knows schemas up to {newest}: \
                 use the plantail that wrote it or a newer one, or name another store",
                fixture.path().display()
            )
        );
    }

    #[test]
    fn versions_are_told_without_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plantail.db");
        let config = StoreUrl::sqlite(&path).into();
        let known = known_version("it").unwrap();
        let check = |stored: Option<&str>| {
            let before = std::fs::read(&path).ok();
            let expected = SchemaVersions {
                stored: stored.map(str::to_owned),
                known: known.clone(),
            };
            assert_eq!(schema_versions(&config).unwrap(), expected);
            assert_eq!(std::fs::read(&path).ok(), before);
        };
        check(None);
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection.run_next_migration(MIGRATIONS).unwrap();
        check(Some("20261120090000"));
        run_sqlite("it", &mut connection).unwrap();
        check(Some(&known));
    }

    #[test]
    fn every_migration_goes_down_and_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plantail.db");
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        run_sqlite("it", &mut connection).unwrap();
        connection.revert_all_migrations(MIGRATIONS).unwrap();
        run_sqlite("it", &mut connection).unwrap();
        assert!(!connection.has_pending_migration(MIGRATIONS).unwrap());
    }

    #[test]
    fn days_are_made_of_the_hours_of_an_older_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plantail.db");
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        run_sqlite("it", &mut connection).unwrap();
        loop {
            let reverted = connection.revert_last_migration(MIGRATIONS).unwrap();
            if reverted.to_string() == "20261120130000" {
                break;
            }
        }
        connection
            .batch_execute(
                "INSERT INTO query_stats (server_id, query_id, hour, calls, failed, total_ms, timed_calls, min_ms, max_ms, rows, nested_calls, \
                   nested_ms) \
                 VALUES (1, 2, -3600000000, 1, 1, 5, 1, 5, 5, 0, 1, 5), (1, 2, 0, 3, 1, 30, 2, 10, 20, 7, 0, 0), \
                        (1, 2, 82800000000, 2, 0, 9, 2, 1, 8, 1, 1, 8)",
            )
            .unwrap();
        run_sqlite("it", &mut connection).unwrap();
        let expected = "(1, 2, -86400000000, 1, 1, 5.0, 1, 5.0, 5.0, 0.0, 1, 5.0, 0.0, 0, 0, NULL), \
                        (1, 2, 0, 5, 1, 39.0, 4, 1.0, 20.0, 8.0, 1, 8.0, 0.0, 0, 0, NULL)";
        let found = diesel::sql_query(format!(
            "SELECT count(*) AS count FROM (SELECT * FROM query_stats_daily INTERSECT VALUES {expected})"
        ));
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            count: i64,
        }
        let found: Row = RunQueryDsl::get_result(found, &mut connection).unwrap();
        assert_eq!(found.count, 2);
    }
}

//! The schema's versions: the migrations that are compiled in, and the refusal of a store that is newer than they are.
//!
//! A connection comes in, and a store with the newest schema is what it has afterwards; on an error the store is as it was.

use diesel::{
    SqliteConnection,
    prelude::*,
    sql_query,
    sql_types::{Nullable, Text},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{
    Config, Error, RightsError, StoreUrl,
    backend::{
        Connection,
        postgres::{self, Access},
        sqlite::Database,
    },
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

/// Why the schema is not the one that this program works on.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(
        "the store has schema {store_version} and this plantail knows schemas up to {known_version}: \
         use the plantail that wrote it or a newer one, or name another store"
    )]
    Newer {
        store_version: String,
        known_version: String,
    },
    #[error(
        "the store has {} and this plantail needs schema {known_version}: run plantail migrate with a role that owns its tables",
        store_version.as_ref().map_or_else(|| "no tables yet".to_owned(), |version| format!("schema {version}"))
    )]
    Older {
        store_version: Option<String>,
        known_version: String,
    },
    #[error(
        "role {role} finds no schema that it may use in its search_path, so it finds no store: \
         GRANT USAGE ON SCHEMA public TO {role}, or name the schema in its search_path"
    )]
    NoSchema { role: String },
    #[error(transparent)]
    Rights(#[from] RightsError),
    #[error("cannot read which schema the store has: {0}")]
    Read(#[source] diesel::result::Error),
    #[error("migration {name} of the store failed and was undone, at {statement:?}: {source}")]
    Failed {
        name: &'static str,
        /// Its first line.
        statement: String,
        source: diesel::result::Error,
    },
    #[error("the store cannot be migrated: {0}")]
    Sql(#[from] diesel::result::Error),
}

/// Everybody leaves a store alone that a newer plantail wrote.
pub(super) fn refuse_newer(
    stored: Option<&String>,
    known_version: &str,
) -> Result<(), MigrationError> {
    match stored {
        Some(stored) if stored.as_str() > known_version => Err(MigrationError::Newer {
            store_version: stored.clone(),
            known_version: known_version.to_owned(),
        }),
        _ => Ok(()),
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
    let store = config.url.to_string();
    let stored = match &config.url {
        StoreUrl::Sqlite(path) => match Database::existing(path) {
            Ok(database) => stored_in_file(&mut database.look()?)?,
            Err(Error::Missing { .. }) => None,
            Err(error) => return Err(error),
        },
        StoreUrl::Postgres(url) => {
            let mut session = postgres::connect(url, Access::Read)?;
            postgres::migrations::stored_versions(&mut session)
                .map_err(|source| Error::Migration { store, source })?
                .into_iter()
                .max()
        }
    };
    let known = postgres::migrations::known_version();
    Ok(SchemaVersions { stored, known })
}

fn stored_in_file(connection: &mut SqliteConnection) -> QueryResult<Option<String>> {
    let there = sql_query(
        "SELECT name AS version FROM sqlite_schema WHERE name = '__diesel_schema_migrations'",
    );
    if RunQueryDsl::load::<Version>(there, connection)?.is_empty() {
        return Ok(None);
    }
    let newest = sql_query("SELECT max(version) AS version FROM __diesel_schema_migrations");
    let newest: Version = RunQueryDsl::get_result(newest, connection)?;
    Ok(newest.version)
}

fn run_sqlite(store: &str, connection: &mut SqliteConnection) -> Result<(), Error> {
    let stored = stored_in_file(connection)?;
    refuse_newer(stored.as_ref(), &postgres::migrations::known_version()).map_err(|source| {
        Error::Migration {
            store: store.to_owned(),
            source,
        }
    })?;
    connection
        .run_pending_migrations(MIGRATIONS)
        .map_err(|source| Error::Setup {
            store: store.to_owned(),
            source,
        })?;
    Ok(())
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
        let newest = postgres::migrations::known_version();
        assert_eq!(
            error.to_string(),
            format!(
                "sqlite://{}: the store has schema 20991231000000 and this plantail knows schemas up to {newest}: \
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
        let known = postgres::migrations::known_version();
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
        let found = sql_query(format!(
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

//! The schema of a store in PostgreSQL: the migrations that are compiled in, run one statement at a time.
//!
//! A connection comes in; afterwards the database has the newest schema, or on an error the one that it had. Citus refuses some statements
//! that come several in one string, and others after parallel ones in the same transaction: so every statement is sent alone, all of them in
//! one transaction, and the first says that shards are altered one after another (a plain PostgreSQL takes that for a placeholder).
//! Versions are kept in the table in which diesel keeps them.

use diesel::{
    Connection, ExpressionMethods, QueryDsl, QueryResult, RunQueryDsl,
    connection::SimpleConnection,
    dsl::sql,
    migration::CREATE_MIGRATIONS_TABLE,
    sql_types::{Array, Bool, Nullable, Text},
};

use super::{Access, PgConnection, rights, script::statements};
use crate::store::{MigrationError, migrations};

struct Migration {
    name: &'static str,
    up: &'static str,
    #[cfg(test)]
    down: &'static str,
}

macro_rules! migration {
    ($name:literal) => {
        Migration {
            name: $name,
            up: include_str!(concat!(
                "../../../../migrations/postgres/",
                $name,
                "/up.sql"
            )),
            #[cfg(test)]
            down: include_str!(concat!(
                "../../../../migrations/postgres/",
                $name,
                "/down.sql"
            )),
        }
    };
}

/// In the order in which they run; the same names as in migrations/sqlite.
const MIGRATIONS: &[Migration] = &[
    migration!("2026-11-20-090000_init"),
    migration!("2026-11-20-120000_call_sites_and_sampling"),
    migration!("2026-11-20-121000_tags_and_literals"),
    migration!("2026-11-20-122000_incidents"),
    migration!("2026-11-20-130000_history"),
    migration!("2026-11-20-132000_ingest_claims"),
    migration!("2026-11-20-140000_days_lie_together"),
];

impl Migration {
    /// Its version as diesel counts them: the digits before the first underscore.
    fn version(&self) -> String {
        let digits = self.name.split('_').next().unwrap_or_default();
        digits.replace('-', "")
    }
}

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
        run_on -> Timestamp,
    }
}

/// Whatever runs under this lock is alone in its database with it. Released at the end of the transaction.
const LOCK: &str = "SELECT pg_advisory_xact_lock(8101821113047050604)";

/// Brings the schema up to date; gives the names of the migrations that this took. Of two processes that start at once the second finds
/// it done. Changes nothing, and needs no rights but to read, where the schema is up to date; who may make no tables is told who has to.
pub(in crate::store) fn run(
    connection: &mut PgConnection,
) -> Result<Vec<&'static str>, MigrationError> {
    match check_version(connection) {
        Ok(()) => return Ok(Vec::new()),
        Err(older @ MigrationError::Older { .. }) => {
            if !may_migrate(connection).map_err(MigrationError::Read)? {
                return Err(older);
            }
        }
        Err(error) => return Err(error),
    }
    connection.transaction(|connection| {
        prepare(connection)?;
        connection.batch_execute(CREATE_MIGRATIONS_TABLE)?;
        let applied = applied(connection)?;
        migrations::refuse_newer(applied.iter().max(), &known_version())?;
        let mut ran = Vec::new();
        for migration in MIGRATIONS {
            let version = migration.version();
            if !applied.contains(&version) {
                send(connection, migration.name, migration.up)?;
                diesel::insert_into(__diesel_schema_migrations::table)
                    .values(__diesel_schema_migrations::version.eq(&version))
                    .execute(connection)?;
                ran.push(migration.name);
            }
        }
        Ok(ran)
    })
}

/// Whether the schema is exactly the one that this program knows; for whoever may not change it.
pub(in crate::store) fn check_version(connection: &mut PgConnection) -> Result<(), MigrationError> {
    let stored = stored_versions(connection)?;
    let known_version = known_version();
    migrations::refuse_newer(stored.iter().max(), &known_version)?;
    let missing = |migration: &Migration| !stored.contains(&migration.version());
    if MIGRATIONS.iter().any(missing) {
        return Err(MigrationError::Older {
            store_version: stored.into_iter().max(),
            known_version,
        });
    }
    Ok(())
}

/// The migrations that the store has had; none where it has no tables yet. Who may not look is told what that takes.
pub(in crate::store) fn stored_versions(
    connection: &mut PgConnection,
) -> Result<Vec<String>, MigrationError> {
    let (there, schema, role): (bool, Option<String>, String) = diesel::select((
        sql::<Bool>("to_regclass('__diesel_schema_migrations') IS NOT NULL"),
        sql::<Nullable<Text>>("current_schema()::text"),
        sql::<Text>("quote_ident(current_user)"),
    ))
    .get_result(connection)
    .map_err(MigrationError::Read)?;
    if schema.is_none() {
        return Err(MigrationError::NoSchema { role });
    }
    if !there {
        return Ok(Vec::new());
    }
    rights::check(connection, &["__diesel_schema_migrations"], Access::Read)?;
    applied(connection).map_err(MigrationError::Read)
}

/// Whether the role may make tables, and alter those that are there: only owners can.
fn may_migrate(connection: &mut PgConnection) -> QueryResult<bool> {
    let owns = sql::<Bool>(
        "has_schema_privilege(current_schema()::text, 'CREATE') AND NOT EXISTS ( \
         SELECT 1 FROM pg_class c WHERE c.oid = ANY (SELECT to_regclass(name) FROM unnest(",
    )
    .bind::<Array<Text>, _>(tables())
    .sql(") name) AND NOT pg_has_role(c.relowner, 'USAGE'))");
    diesel::select(owns).get_result(connection)
}

/// Every table that the migrations make, in their order: each is given to app_distribute.
pub(in crate::store) fn tables() -> Vec<&'static str> {
    let statements = MIGRATIONS
        .iter()
        .flat_map(|migration| statements(migration.up));
    statements
        .filter_map(|statement| {
            let given = statement.strip_prefix("SELECT app_distribute('")?;
            given.split('\'').next()
        })
        .collect()
}

fn prepare(connection: &mut PgConnection) -> QueryResult<()> {
    connection.batch_execute("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")?;
    // Another process may take its time, and so may an index; but what waits for a table stops everybody who comes after it.
    connection.batch_execute("SET LOCAL statement_timeout = 0")?;
    connection.batch_execute("SET LOCAL lock_timeout = 0")?;
    connection.batch_execute(LOCK)?;
    connection.batch_execute("SET LOCAL lock_timeout = '30s'")
}

fn send(
    connection: &mut PgConnection,
    name: &'static str,
    script: &str,
) -> Result<(), MigrationError> {
    statements(script).into_iter().try_for_each(|statement| {
        connection
            .batch_execute(statement)
            .map_err(|source| MigrationError::Failed {
                name,
                statement: statement.lines().next().unwrap_or_default().to_owned(),
                source,
            })
    })
}

fn applied(connection: &mut PgConnection) -> QueryResult<Vec<String>> {
    __diesel_schema_migrations::table
        .select(__diesel_schema_migrations::version)
        .load(connection)
}

/// The newest version; the same as of SQLite.
pub(in crate::store) fn known_version() -> String {
    MIGRATIONS
        .last()
        .map(Migration::version)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::{collections::BTreeSet, fs, path::Path, thread};

    use diesel::{QueryableByName, SqliteConnection};

    use super::*;
    use crate::store::backend::postgres::{fixture::Database, partition};

    fn folders(of: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("migrations")
            .join(of);
        let names = fs::read_dir(folder).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_document_has_every_table() {
        let document = include_str!("../../../../docs/store.md");
        let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
        let listed: Vec<_> = rows.filter_map(|row| row.split('`').next()).collect();
        assert_eq!(listed, tables());
        let partitioned = document.lines().filter(|line| line.ends_with("by time |"));
        assert_eq!(partitioned.count(), partition::TABLES.len());
    }

    #[test]
    fn every_folder_of_either_store_is_a_migration_in_order() {
        let listed: Vec<_> = MIGRATIONS
            .iter()
            .map(|migration| migration.name.to_owned())
            .collect();
        assert!(listed.is_sorted());
        let listed: BTreeSet<_> = listed.into_iter().collect();
        assert_eq!(listed, folders("postgres"));
        assert_eq!(listed, folders("sqlite"));
    }

    /// Tables and views with their columns, and indexes, as SQLite has them after its own migrations.
    fn in_sqlite() -> Vec<String> {
        #[derive(QueryableByName)]
        struct Line {
            #[diesel(sql_type = Text)]
            line: String,
        }
        let mut sqlite = SqliteConnection::establish(":memory:").unwrap();
        for migration in folders("sqlite") {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
            let script = fs::read_to_string(folder.join(migration).join("up.sql")).unwrap();
            sqlite.batch_execute(&script).unwrap();
        }
        let lines: Vec<Line> = diesel::sql_query(
            "SELECT m.name || '.' || c.name || ' ' || CASE m.type WHEN 'view' THEN '' ELSE c.type END \
                    || CASE WHEN c.\"notnull\" THEN ' NOT NULL' ELSE '' END || CASE WHEN c.pk > 0 THEN ' key ' || c.pk ELSE '' END AS line \
               FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type IN ('table', 'view') \
             UNION ALL SELECT tbl_name || ' index ' || name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        )
        .load(&mut sqlite)
        .unwrap();
        lines.into_iter().map(|line| line.line).collect()
    }

    #[test]
    fn both_stores_have_the_same_tables_columns_keys_and_indexes() {
        let Some(database) = Database::new() else {
            return;
        };
        run(&mut database.writer()).unwrap();
        let lines = database.psql(
            "SELECT c.relname || '.' || a.attname || ' ' \
                    || CASE WHEN c.relkind = 'v' THEN '' WHEN a.atttypid IN ('int8'::regtype, 'int4'::regtype, 'bool'::regtype) THEN 'INTEGER' \
                       WHEN a.atttypid = 'float8'::regtype THEN 'REAL' WHEN a.atttypid = 'bytea'::regtype THEN 'BLOB' \
                       ELSE upper(a.atttypid::regtype::text) END \
                    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END \
                    || coalesce(' key ' || array_position(i.indkey::int2[], a.attnum) + 1, '') \
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
               LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relname <> '__diesel_schema_migrations' \
             UNION ALL SELECT i.indrelid::regclass || ' index ' || c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
              WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisprimary",
        );
        let mut in_postgres: Vec<_> = lines.lines().map(str::to_owned).collect();
        let mut in_sqlite = in_sqlite();
        in_postgres.sort_unstable();
        in_sqlite.sort_unstable();
        assert_eq!(in_postgres, in_sqlite);
    }

    fn revert(connection: &mut PgConnection) {
        connection
            .transaction(|connection| {
                prepare(connection)?;
                for migration in MIGRATIONS.iter().rev() {
                    send(connection, migration.name, migration.down)?;
                }
                diesel::delete(__diesel_schema_migrations::table).execute(connection)?;
                Ok::<_, MigrationError>(())
            })
            .unwrap();
    }

    #[test]
    fn every_migration_goes_up_and_down_and_up_again() {
        let Some(database) = Database::new() else {
            return;
        };
        let mut writer = database.writer();
        let all: Vec<_> = MIGRATIONS.iter().map(|migration| migration.name).collect();
        assert!(matches!(
            check_version(&mut writer),
            Err(MigrationError::Older {
                store_version: None,
                ..
            })
        ));
        assert_eq!(run(&mut writer).unwrap(), all);
        check_version(&mut writer).unwrap();
        revert(&mut writer);
        assert_eq!(database.psql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE '%diesel%'"), "0");
        assert_eq!(run(&mut writer).unwrap(), all);
        assert_eq!(run(&mut writer).unwrap(), [""; 0]);
    }

    #[test]
    fn each_statement_is_sent_alone_and_the_first_says_how_shards_are_altered() {
        let Some(database) = Database::new() else {
            return;
        };
        run(&mut database.writer()).unwrap();
        let sent = database.statements_sent();
        let begin = sent.iter().position(|sent| sent == "BEGIN").unwrap();
        let commit = sent.iter().position(|sent| sent == "COMMIT").unwrap();
        let transaction = sent.get(begin + 1..commit).unwrap();
        assert_eq!(
            transaction.first().unwrap(),
            "SET LOCAL citus.multi_shard_modify_mode TO 'sequential'"
        );
        for sent in transaction {
            assert_eq!(statements(sent).len(), 1, "{sent}");
        }
        let made = transaction
            .iter()
            .filter(|sent| sent.starts_with("CREATE TABLE"));
        let distributed = transaction
            .iter()
            .filter(|sent| sent.starts_with("SELECT app_distribute"));
        // The table of the versions stays on the coordinator.
        assert_eq!(made.count(), distributed.count() + 1);
    }

    #[test]
    fn of_two_that_start_at_once_one_migrates() {
        let Some(database) = Database::new() else {
            return;
        };
        let ran: Vec<usize> = thread::scope(|scope| {
            let runs: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| run(&mut database.writer()).unwrap().len()))
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert_eq!(ran.iter().sum::<usize>(), MIGRATIONS.len(), "{ran:?}");
        assert!(ran.contains(&MIGRATIONS.len()), "{ran:?}");
    }

    #[test]
    fn a_newer_store_is_refused_and_an_older_one_wants_migrating() {
        let Some(database) = Database::new() else {
            return;
        };
        let mut writer = database.writer();
        run(&mut writer).unwrap();
        database.psql("INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')");
        let known = known_version();
        let message = format!(
            "the store has schema 20991231000000 and this plantail knows schemas up to {known}: \
             use the plantail that wrote it or a newer one, or name another store"
        );
        assert_eq!(run(&mut writer).unwrap_err().to_string(), message);
        assert_eq!(check_version(&mut writer).unwrap_err().to_string(), message);
        database.psql(&format!(
            "DELETE FROM __diesel_schema_migrations WHERE version > '{}'",
            MIGRATIONS.first().unwrap().version()
        ));
        assert_eq!(
            check_version(&mut writer).unwrap_err().to_string(),
            format!(
                "the store has schema {} and this plantail needs schema {known}: run plantail migrate with a role that owns its tables",
                MIGRATIONS.first().unwrap().version()
            )
        );
    }
}

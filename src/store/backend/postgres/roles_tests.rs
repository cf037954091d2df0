//! The roles of docs/postgresql-store.md, made by the very statements that stand there: the writer can do its work, the reader can read.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use diesel::connection::SimpleConnection;
use jiff::Timestamp;

use super::{
    Access, Session, connect,
    fixture::{Database, Server},
    migrations,
    partition::{self, Partitions, TABLES},
    rights,
    script::statements,
};
use crate::store::MigrationError;

/// The blocks of SQL in a section of the document.
fn blocks(section: &str) -> Vec<&'static str> {
    let document = include_str!("../../../../docs/postgresql-store.md");
    let (_, rest) = document.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let after_fence = section.split("```sql\n").skip(1);
    after_fence
        .map(|text| text.split("\n```").next().unwrap())
        .collect()
}

#[test]
fn the_writer_writes_as_the_owner_and_the_reader_only_reads() {
    let Some(server) = Server::shared() else {
        return;
    };
    let blocks = blocks("Database and roles");
    let [in_any_database, in_the_new_one] = blocks.as_slice() else {
        panic!("{} blocks of SQL", blocks.len());
    };
    for (database, block) in [("postgres", in_any_database), ("plantail", in_the_new_one)] {
        for statement in statements(block) {
            server.psql_in(database, statement);
        }
    }
    let database = Database {
        server,
        name: "plantail".to_owned(),
    };
    let open = |user: &str, access| connect(&database.url(user), access).unwrap();

    let mut reader = open("plantail_reader", Access::Read);
    assert!(matches!(
        migrations::check_version(&mut reader),
        Err(MigrationError::Older {
            store_version: None,
            ..
        })
    ));
    // Whoever opens a store does so to write, until it is found to be up to date.
    assert!(matches!(
        migrations::run(&mut open("plantail_reader", Access::Write)),
        Err(MigrationError::Older { .. })
    ));
    let mut writer = open("plantail_writer", Access::Write);
    migrations::run(&mut writer).unwrap();
    let now = Timestamp::now();
    let partitions = Partitions::new(1);
    partitions.ensure(&mut writer, [now], now).unwrap();
    let plans = partition::list(&mut writer).unwrap();
    let plans = plans.iter().find(|one| one.table == "plans").unwrap();
    assert!(
        partitions
            .drop_unless(&mut writer, plans, |_| Ok(false))
            .unwrap()
    );
    writer
        .batch_execute("INSERT INTO servers (id, name) VALUES (1, 'a')")
        .unwrap();
    let owners = "SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(database.psql(owners), "plantail_owner");

    migrations::check_version(&mut reader).unwrap();
    for table in TABLES
        .iter()
        .chain(&["servers", "query_activity", "executions_readable"])
    {
        reader
            .batch_execute(&format!("SELECT count(*) FROM {table}"))
            .unwrap();
    }
    let may = |session: &mut Session, access| rights::check(session, &migrations::tables(), access);
    may(&mut writer, Access::Write).unwrap();
    may(&mut reader, Access::Read).unwrap();
    // What is asked for doesn't depend on what the session has been set to.
    let refused = may(&mut reader, Access::Write).unwrap_err().to_string();
    assert_eq!(
        refused,
        "role plantail_reader may not write to the store, it lacks INSERT, UPDATE, DELETE on table servers: name the role that writes in the \
         store URL, or let this one act as the owner of the tables: GRANT plantail_owner TO plantail_reader; \
         ALTER ROLE plantail_reader IN DATABASE plantail SET role = plantail_owner"
    );
    database.psql("REVOKE SELECT ON incidents FROM plantail_reader");
    let refused = may(&mut reader, Access::Read).unwrap_err().to_string();
    assert_eq!(
        refused,
        "role plantail_reader may not read the store, it lacks SELECT on table incidents: let it read as plantail_owner, the owner: \
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO plantail_reader"
    );
    let remedy = refused.rsplit(": ").next().unwrap();
    database.psql(remedy);
    may(&mut reader, Access::Read).unwrap();
    database.psql("REVOKE USAGE ON SCHEMA public FROM plantail_reader");
    for refused in [
        migrations::check_version(&mut reader),
        migrations::run(&mut open("plantail_reader", Access::Write)).map(|_| ()),
    ] {
        let refused = refused.unwrap_err().to_string();
        let (why, remedy) = refused.split_once(": ").unwrap();
        assert_eq!(
            why,
            "role plantail_reader finds no schema that it may use in its search_path, so it finds no store"
        );
        database.psql(remedy.split(',').next().unwrap());
        migrations::check_version(&mut reader).unwrap();
        database.psql("REVOKE USAGE ON SCHEMA public FROM plantail_reader");
    }
    database.psql("GRANT USAGE ON SCHEMA public TO plantail_reader");

    // Not only because its transactions are read-only.
    let mut would_write = open("plantail_reader", Access::Write);
    for (statement, refusal) in [
        (
            "INSERT INTO servers (id, name) VALUES (2, 'b')",
            "permission denied for table servers",
        ),
        (
            "UPDATE executions SET kind = ''",
            "permission denied for table executions",
        ),
        ("DELETE FROM plans", "permission denied for table plans"),
        (
            "CREATE TABLE t (a int)",
            "permission denied for schema public",
        ),
        ("DROP TABLE servers", "must be owner of table servers"),
        (
            "CREATE TEMP TABLE t (a int)",
            "permission denied to create temporary tables in database \"plantail\"",
        ),
    ] {
        let error = would_write.batch_execute(statement).unwrap_err();
        assert_eq!(error.to_string(), refusal);
    }
    let error = partitions.ensure(
        &mut would_write,
        ["2026-01-01T00:00:00Z".parse().unwrap()],
        now,
    );
    let error = error.unwrap_err().to_string();
    assert!(
        error.ends_with("it takes a role that owns the table"),
        "{error}"
    );
}

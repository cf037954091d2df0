//! What a role may do with the store's tables, asked before anything is done with them.
//!
//! A session comes in; out goes nothing, or which right its role lacks and what gives it. The privileges are looked up (chapter "Access Privilege
//! Inquiry Functions") rather than tried: a refused statement says what is wrong in the server's language and without its SQLSTATE.

use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, Text},
};

use super::{Access, PgConnection};

/// Why a role can't work with the store. Somebody has to grant it something, or name another role.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    #[error(
        "role {role} may not write to the store, it lacks {privileges} on table {table}: name the role that writes in the store URL, or let this \
         one act as the owner of the tables: GRANT {owner} TO {role}; ALTER ROLE {role} IN DATABASE {database} SET role = {owner}",
        role = .0.role, owner = .0.owner, database = .0.database, privileges = .0.privileges, table = .0.relation
    )]
    Write(Box<Lacking>),
    #[error(
        "role {role} may not read the store, it lacks SELECT on table {table}: let it read as {owner}, the owner: \
         GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
        role = .0.role, owner = .0.owner, schema = .0.schema, table = .0.relation
    )]
    Read(Box<Lacking>),
    #[error("cannot read which rights the role has: {0}")]
    Unknown(#[source] diesel::result::Error),
}

/// The first table on which a role lacks something. The names are quoted where SQL wants it.
#[derive(Debug, QueryableByName)]
pub struct Lacking {
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Text)]
    database: String,
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    relation: String,
    #[diesel(sql_type = Text)]
    privileges: String,
}

/// Whether the session's role may read the tables, and for [`Access::Write`] change their rows. Those that are not there are passed over.
pub(in crate::store) fn check(
    connection: &mut PgConnection,
    tables: &[&str],
    access: Access,
) -> Result<(), RightsError> {
    let privileges: &[&str] = match access {
        Access::Write => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        Access::Read => &["SELECT"],
    };
    let lacking: Vec<Lacking> = sql_query(
        "SELECT quote_ident(current_user) AS role, quote_ident(pg_get_userbyid(c.relowner)) AS owner, \
                quote_ident(current_database()) AS database, c.relnamespace::regnamespace::text AS schema, c.oid::regclass::text AS relation, \
                (SELECT string_agg(p, ', ') FROM unnest($2) p WHERE NOT has_table_privilege(c.oid, p)) AS privileges \
           FROM unnest($1) WITH ORDINALITY AS t (name, ordinal) JOIN pg_class c ON c.oid = to_regclass(t.name) \
          WHERE EXISTS (SELECT 1 FROM unnest($2) p WHERE NOT has_table_privilege(c.oid, p)) \
          ORDER BY t.ordinal LIMIT 1",
    )
    .bind::<Array<Text>, _>(tables)
    .bind::<Array<Text>, _>(privileges)
    .load(connection)
    .map_err(RightsError::Unknown)?;
    match (lacking.into_iter().next(), access) {
        (None, _) => Ok(()),
        (Some(lacking), Access::Write) => Err(RightsError::Write(Box::new(lacking))),
        (Some(lacking), Access::Read) => Err(RightsError::Read(Box::new(lacking))),
    }
}

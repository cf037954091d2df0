//! A query: one normalized statement in one database of one server.

use super::{accounting::OTHER, position::ServerId, stable_id};

/// Our identity of a query within its server: hash of database and normalized text. The server's own query identifier stands beside it and
/// changes meaning between PostgreSQL releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub i64);

/// What identifies a query, with everything that is shown of it. Holds no literal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    pub server_id: ServerId,
    pub id: QueryId,
    /// Empty where the log doesn't carry database names.
    pub database_name: String,
    /// Statement text with literals replaced by `$n` and comments removed.
    pub normalized_sql: String,
}

impl Query {
    pub fn new(server_id: ServerId, database_name: &str, normalized_sql: String) -> Self {
        let id = QueryId(stable_id(&[
            b"query",
            database_name.as_bytes(),
            normalized_sql.as_bytes(),
        ]));
        Self {
            server_id,
            id,
            database_name: database_name.to_owned(),
            normalized_sql,
        }
    }

    /// A statement whose text ends inside a token: the log held only a part of it, or it never was valid. It is a query of its own,
    /// because what it meant can't be known.
    pub fn cut(server_id: ServerId, database_name: &str, normalized_sql: &str) -> Self {
        Self::new(server_id, database_name, format!("{normalized_sql}{CUT}"))
    }

    /// All queries of a database beyond the number that a server may have.
    pub fn other(server_id: ServerId, database_name: &str) -> Self {
        Self::new(server_id, database_name, OTHER.to_owned())
    }

    pub fn is_other(&self) -> bool {
        self.normalized_sql == OTHER
    }

    /// Whether the statement's text ends inside a token.
    pub fn is_cut(&self) -> bool {
        self.normalized_sql.ends_with(CUT)
    }
}

/// Marks a statement that is not whole. Normalized SQL itself never ends in it: outside of quotes it is no SQL.
pub const CUT: &str = " …";

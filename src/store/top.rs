//! The first rows of each key in some order, and of each server for a page: what can't be said alike for both databases.
//!
//! SQLite follows an index for each key and stops at the limit. PostgreSQL does the same where all keys are of one server; a store that is
//! spread over machines can't for several, so there it numbers the rows of each key.

use super::{
    backend::Dialect,
    sql::{Keys, Sql, Value},
};

/// Rows of a table in an order.
pub(super) struct Rows<'a> {
    pub(super) table: &'static str,
    /// The primary key without the server.
    pub(super) key: &'static [&'static str],
    /// Conditions on `x`, the table, each after ` AND `.
    pub(super) filter: Sql<'a>,
    /// Of `x`.
    pub(super) order_by: &'static str,
    pub(super) limit: u32,
}

impl<'a> Rows<'a> {
    /// `WITH … t AS (…)`: the rows whose `columns` are those of one of the `keys`, the first `limit` of each. The first column is `server_id`.
    pub(super) fn of_keys<const N: usize>(
        self,
        dialect: Dialect,
        columns: [&'static str; N],
        keys: &[[i64; N]],
    ) -> Sql<'a> {
        let limit = i64::from(self.limit).into();
        let Self {
            table,
            key,
            filter,
            order_by,
            ..
        } = self;
        let mut servers: Vec<i64> = keys.iter().map(|key| key[0]).collect();
        servers.sort_unstable();
        servers.dedup();
        let on = |table: &str| {
            let equal = |column| format!("{table}.{column} = w.{column}");
            columns.map(equal).join(" AND ")
        };
        let mut sql = Sql::new(
            format!(
                "WITH wanted ({}) AS MATERIALIZED (?), t AS (",
                columns.join(", ")
            ),
            [Value::Keys(Keys::new(keys))],
        );
        match (dialect, servers.as_slice()) {
            (Dialect::Sqlite, _) => {
                let key = |table: &str| {
                    let column = |column| format!("{table}.{column}");
                    key.iter().map(column).collect::<Vec<_>>().join(", ")
                };
                sql.push(
                    &format!(
                        "SELECT e.* FROM wanted w CROSS JOIN {table} e WHERE e.server_id = w.server_id AND ({}) IN ( \
                         SELECT {} FROM {table} x WHERE {}",
                        key("e"),
                        key("x"),
                        on("x"),
                    ),
                    [],
                );
                sql.append(filter);
                sql.push(&format!(" ORDER BY {order_by} LIMIT ?))"), [limit]);
            }
            (Dialect::Postgres, [server]) => {
                sql.push(
                    &format!(
                        "SELECT e.* FROM wanted w CROSS JOIN LATERAL ( \
                         SELECT x.* FROM {table} x WHERE x.server_id = ? AND {}",
                        on("x"),
                    ),
                    [(*server).into()],
                );
                sql.append(filter);
                sql.push(&format!(" ORDER BY {order_by} LIMIT ?) e)"), [limit]);
            }
            (Dialect::Postgres, _) => {
                let partition = columns.map(|column| format!("x.{column}")).join(", ");
                sql.push(
                    &format!(
                        "SELECT * FROM ( \
                         SELECT x.*, row_number() OVER (PARTITION BY {partition} ORDER BY {order_by}) AS place \
                         FROM wanted w JOIN {table} x ON {} WHERE ?",
                        on("x"),
                    ),
                    [Value::Servers("x", servers)],
                );
                sql.append(filter);
                sql.push(") ranked WHERE place <= ?)", [limit]);
            }
        }
        sql.push(" ", []);
        sql
    }

    /// `WITH t AS (…)`: the first `limit` rows of each server, or of the one named. What is read doesn't grow with the store.
    pub(super) fn of_servers(self, dialect: Dialect, server: Option<i64>) -> Sql<'a> {
        let limit = i64::from(self.limit).into();
        let Self {
            table,
            key,
            filter,
            order_by,
            ..
        } = self;
        let mut sql = match dialect {
            // CROSS JOIN keeps SQLite to the order of the tables.
            Dialect::Sqlite => {
                let key = |table: &str| {
                    let column = |column| format!("{table}.{column}");
                    key.iter().map(column).collect::<Vec<_>>().join(", ")
                };
                Sql::new(
                    format!(
                        "WITH t AS (SELECT e.* FROM servers s CROSS JOIN {table} e WHERE e.server_id = s.id AND ({}) IN ( \
                         SELECT {} FROM {table} x WHERE x.server_id = s.id",
                        key("e"),
                        key("x"),
                    ),
                    [],
                )
            }
            Dialect::Postgres => Sql::new(
                format!(
                    "WITH t AS (SELECT e.* FROM servers s CROSS JOIN LATERAL ( \
                     SELECT x.* FROM {table} x WHERE x.server_id = s.id"
                ),
                [],
            ),
        };
        sql.append(filter);
        let end = match dialect {
            Dialect::Sqlite => format!(" ORDER BY {order_by} LIMIT ?)"),
            Dialect::Postgres => format!(" ORDER BY {order_by} LIMIT ?) e WHERE true"),
        };
        sql.push(&end, [limit]);
        if let Some(server) = server {
            sql.push(" AND s.id = ?", [server.into()]);
        }
        sql.push(") ", []);
        sql
    }
}

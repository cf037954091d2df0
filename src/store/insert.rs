//! Many rows of one table in one go.
//!
//! PostgreSQL gets one statement, with an array for each column. SQLite, which is in the same process, gets one for each row, which stays
//! prepared: for a statement of several rows, or one that returns something, it keeps a journal of its own to undo half of it. The text after the
//! rows (`ON CONFLICT …`) is the same for both.

use std::borrow::Cow;

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, SqliteConnection,
    deserialize::FromSqlRow,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary, Bool, Double, Nullable, Text, Untyped},
    sqlite::Sqlite,
};

use super::{
    Error,
    backend::{Connection, postgres::PgConnection},
    sql::Value,
};

/// Rows to insert. No two of them may have the same key where `then` updates rows that are there already: PostgreSQL refuses that.
pub(super) struct Insert<'a> {
    /// The table and its columns: `plans (server_id, …)`.
    into: &'a str,
    then: &'a str,
    width: usize,
    values: Vec<Value<'a>>,
}

impl<'a> Insert<'a> {
    pub(super) fn new<const N: usize>(
        into: &'a str,
        rows: impl IntoIterator<Item = [Value<'a>; N]>,
        then: &'a str,
    ) -> Self {
        Self {
            into,
            then,
            width: N,
            values: rows.into_iter().flatten().collect(),
        }
    }

    /// Inserts the rows and gives the number of those that were inserted or updated.
    pub(super) fn execute(self, connection: &mut Connection) -> Result<usize, Error> {
        if self.values.is_empty() {
            return Ok(0);
        }
        match connection {
            Connection::Postgres(c) => Ok(RunQueryDsl::execute(self.unnest(), c)?),
            Connection::Sqlite(c) => {
                let mut changed = 0;
                for row in self.rows() {
                    changed += RunQueryDsl::execute(row, c)?;
                }
                Ok(changed)
            }
        }
    }

    /// Inserts the rows and gives for each whether it was inserted or updated, in their order; only on SQLite.
    pub(super) fn changed(&self, connection: &mut SqliteConnection) -> Result<Vec<bool>, Error> {
        self.rows()
            .map(|row| Ok(RunQueryDsl::execute(row, connection)? > 0))
            .collect()
    }

    /// Inserts the rows and gives of those that were inserted or updated what `then` returns; only on PostgreSQL.
    pub(super) fn returned<R>(self, connection: &mut PgConnection) -> Result<Vec<R>, Error>
    where
        R: QueryableByName<Pg> + FromSqlRow<Untyped, Pg> + 'static,
    {
        if self.values.is_empty() {
            return Ok(Vec::new());
        }
        Ok(RunQueryDsl::load(self.unnest(), connection)?)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_, 'a>> {
        let values = self.values.chunks(self.width);
        values.map(|values| Row {
            insert: self,
            values,
        })
    }

    fn unnest(self) -> Unnest<'a> {
        let rows = self.values.len() / self.width;
        let mut columns: Vec<Column<'a>> = Vec::with_capacity(self.width);
        for (number, value) in self.values.into_iter().enumerate() {
            match columns.get_mut(number % self.width) {
                Some(column) => column.push(value),
                None => columns.push(Column::of(value, rows)),
            }
        }
        Unnest {
            into: self.into,
            then: self.then,
            columns,
        }
    }
}

/// `INSERT INTO … VALUES (…)`: one of the rows.
struct Row<'i, 'a> {
    insert: &'i Insert<'a>,
    values: &'i [Value<'a>],
}

impl QueryFragment<Sqlite> for Row<'_, '_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("INSERT INTO ");
        out.push_sql(self.insert.into);
        let mut before = " VALUES (";
        for value in self.values {
            out.push_sql(before);
            value.push(&mut out)?;
            before = ", ";
        }
        out.push_sql(") ");
        out.push_sql(self.insert.then);
        Ok(())
    }
}

impl QueryId for Row<'_, '_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Row<'_, '_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<SqliteConnection> for Row<'_, '_> {}

/// `INSERT INTO … SELECT * FROM unnest(…)`.
struct Unnest<'a> {
    into: &'a str,
    then: &'a str,
    columns: Vec<Column<'a>>,
}

/// The values of one column.
enum Column<'a> {
    Integers(Vec<Option<i64>>),
    Reals(Vec<Option<f64>>),
    Texts(Vec<Option<Cow<'a, str>>>),
    Bytes(Vec<Option<Cow<'a, [u8]>>>),
    Booleans(Vec<Option<bool>>),
}

impl<'a> Column<'a> {
    fn of(first: Value<'a>, rows: usize) -> Self {
        let mut column = match first {
            Value::Integer(_) => Self::Integers(Vec::with_capacity(rows)),
            Value::Real(_) => Self::Reals(Vec::with_capacity(rows)),
            Value::Text(_) => Self::Texts(Vec::with_capacity(rows)),
            Value::Bytes(_) => Self::Bytes(Vec::with_capacity(rows)),
            Value::Boolean(_) => Self::Booleans(Vec::with_capacity(rows)),
            Value::Keys(_) | Value::Servers(..) => unreachable!("no row holds a condition"),
        };
        column.push(first);
        column
    }

    fn push(&mut self, value: Value<'a>) {
        match (self, value) {
            (Self::Integers(column), Value::Integer(value)) => column.push(value),
            (Self::Reals(column), Value::Real(value)) => column.push(value),
            (Self::Texts(column), Value::Text(value)) => column.push(value),
            (Self::Bytes(column), Value::Bytes(value)) => column.push(value),
            (Self::Booleans(column), Value::Boolean(value)) => column.push(value),
            _ => unreachable!("a column has one type"),
        }
    }
}

impl QueryFragment<Pg> for Unnest<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO ");
        out.push_sql(self.into);
        out.push_sql(" SELECT * FROM unnest(");
        for (number, column) in self.columns.iter().enumerate() {
            out.push_sql(if number == 0 { "" } else { ", " });
            match column {
                Column::Integers(c) => out.push_bind_param::<Array<Nullable<BigInt>>, _>(c)?,
                Column::Reals(c) => out.push_bind_param::<Array<Nullable<Double>>, _>(c)?,
                Column::Texts(c) => out.push_bind_param::<Array<Nullable<Text>>, _>(c)?,
                Column::Bytes(c) => out.push_bind_param::<Array<Nullable<Binary>>, _>(c)?,
                Column::Booleans(c) => out.push_bind_param::<Array<Nullable<Bool>>, _>(c)?,
            }
        }
        out.push_sql(") ");
        out.push_sql(self.then);
        Ok(())
    }
}

impl QueryId for Unnest<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Unnest<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Unnest<'_> {}

//! Many rows of one table in one go.
//!
//! PostgreSQL gets one statement, with an array for each column; SQLite, which is in the same process, gets the rows in statements of a few
//! rows each, which stay prepared. The text after the rows (`ON CONFLICT …`, `RETURNING …`) is the same for both.

use std::borrow::Cow;

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl,
    deserialize::FromSqlRow,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary, Bool, Double, Nullable, Text, Untyped},
    sqlite::Sqlite,
};

use super::{
    Error,
    backend::{Connection, postgres::PgConnection},
    sql::{Sql, Value},
};

/// Rows in one statement of SQLite. More save little, and the rest, row by row, costs more.
const ROWS_AT_ONCE: usize = 16;

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
            Connection::Sqlite(_) => {
                let mut changed = 0;
                for statement in self.statements() {
                    changed += statement.execute(connection)?;
                }
                Ok(changed)
            }
        }
    }

    /// Inserts the rows and gives what `then` returns.
    pub(super) fn load<R>(self, connection: &mut Connection) -> Result<Vec<R>, Error>
    where
        R: QueryableByName<Sqlite> + QueryableByName<Pg> + 'static,
        R: FromSqlRow<Untyped, Sqlite> + FromSqlRow<Untyped, Pg>,
    {
        if self.values.is_empty() {
            return Ok(Vec::new());
        }
        match connection {
            Connection::Postgres(c) => Ok(RunQueryDsl::load(self.unnest(), c)?),
            Connection::Sqlite(_) => {
                let mut returned = Vec::new();
                for statement in self.statements() {
                    returned.extend(statement.load(connection)?);
                }
                Ok(returned)
            }
        }
    }

    fn statements(&self) -> impl Iterator<Item = Sql<'a>> {
        let row = format!("({})", vec!["?"; self.width].join(", "));
        let text = |rows: usize| {
            let rows = vec![row.as_str(); rows].join(", ");
            format!("INSERT INTO {} VALUES {rows} {}", self.into, self.then)
        };
        let (many, one) = (text(ROWS_AT_ONCE), text(1));
        let whole = self.values.len() / (self.width * ROWS_AT_ONCE) * self.width * ROWS_AT_ONCE;
        let (whole, rest) = self.values.split_at(whole);
        let whole: Vec<Sql<'a>> = whole
            .chunks(self.width * ROWS_AT_ONCE)
            .map(|rows| Sql::new(many.clone(), rows.iter().cloned()))
            .collect();
        let rest: Vec<Sql<'a>> = rest
            .chunks(self.width)
            .map(|row| Sql::new(one.clone(), row.iter().cloned()))
            .collect();
        whole.into_iter().chain(rest)
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

//! Many rows of one table in one go.
//!
//! PostgreSQL gets one statement, with an array for each column. SQLite, which is in the same process, gets one for each row, which stays
//! prepared: for a statement of several rows, or one that returns something, it keeps a journal of its own to undo half of it.

use std::{any::Any, io::Write, marker::PhantomData};

use diesel::{
    QueryResult, RunQueryDsl, SqliteConnection,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::{self, IsNull, Output, ToSql},
    sql_types::{Array, BigInt, Binary, Bool, Double, HasSqlType, Nullable, Text, Untyped},
    sqlite::Sqlite,
};

use super::{
    Error,
    backend::{Connection, postgres::PgConnection},
    sql::{Scalar, push_scalar},
};

/// Which rows go where. A type for each, because SQLite's prepared statement is found again by it: that costs nothing for a row, writing the
/// text down for each of them would.
#[expect(
    single_use_lifetimes,
    reason = "the lifetime of values in an iterator of no named type needs a name"
)]
pub(super) trait Insert: Any {
    /// The table and its columns: `plans (server_id, …)`.
    const INTO: &'static str;
    /// What follows the rows: `ON CONFLICT …`. Where it updates rows, no two of those that are inserted together may have the same key:
    /// PostgreSQL refuses that.
    const THEN: &'static str;

    /// Inserts the rows and gives the number of those that were inserted or updated.
    fn execute<'a, const N: usize>(
        connection: &mut Connection,
        rows: impl Iterator<Item = [Scalar<'a>; N]>,
    ) -> Result<usize, Error>
    where
        Self: Sized,
    {
        match connection {
            Connection::Sqlite(c) => {
                let mut changed = 0;
                for row in rows {
                    changed += RunQueryDsl::execute(Row::<Self>::of(&row), c)?;
                }
                Ok(changed)
            }
            Connection::Postgres(c) => match Unnest::of::<Self, N>(rows, "") {
                Some(unnest) => Ok(RunQueryDsl::execute(unnest, c)?),
                None => Ok(0),
            },
        }
    }

    /// Inserts the rows and gives for each whether it was inserted or updated, in their order; only on SQLite.
    fn changed<'a, const N: usize>(
        connection: &mut SqliteConnection,
        rows: impl Iterator<Item = [Scalar<'a>; N]>,
    ) -> Result<Vec<bool>, Error>
    where
        Self: Sized,
    {
        rows.map(|row| Ok(RunQueryDsl::execute(Row::<Self>::of(&row), connection)? > 0))
            .collect()
    }

    /// Inserts the rows and gives of those that were inserted or updated what `returning` says, two numbers; only on PostgreSQL.
    fn returned<'a, const N: usize>(
        connection: &mut PgConnection,
        rows: impl Iterator<Item = [Scalar<'a>; N]>,
        returning: &'static str,
    ) -> Result<Vec<(i64, i64)>, Error>
    where
        Self: Sized,
    {
        match Unnest::of::<Self, N>(rows, returning) {
            Some(unnest) => Ok(RunQueryDsl::load(unnest, connection)?),
            None => Ok(Vec::new()),
        }
    }
}

/// `INSERT INTO … VALUES (…)`: one row.
struct Row<'r, 'a, I> {
    values: &'r [Scalar<'a>],
    insert: PhantomData<I>,
}

impl<'r, 'a, I: Insert> Row<'r, 'a, I> {
    fn of(values: &'r [Scalar<'a>]) -> Self {
        Self {
            values,
            insert: PhantomData,
        }
    }
}

impl<I: Insert> QueryFragment<Sqlite> for Row<'_, '_, I> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("INSERT INTO ");
        out.push_sql(I::INTO);
        let mut before = " VALUES (";
        for value in self.values {
            out.push_sql(before);
            push_scalar!(out, value)?;
            before = ", ";
        }
        out.push_sql(") ");
        out.push_sql(I::THEN);
        Ok(())
    }
}

impl<I: Insert> QueryId for Row<'_, '_, I> {
    type QueryId = I;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<I: Insert> Query for Row<'_, '_, I> {
    type SqlType = Untyped;
}

impl<I: Insert> RunQueryDsl<SqliteConnection> for Row<'_, '_, I> {}

/// `INSERT INTO … SELECT * FROM unnest(…)`.
struct Unnest {
    into: &'static str,
    then: &'static str,
    returning: &'static str,
    columns: Vec<Column>,
}

impl<'a> Unnest {
    /// `None` without rows.
    fn of<I: Insert, const N: usize>(
        rows: impl Iterator<Item = [Scalar<'a>; N]>,
        returning: &'static str,
    ) -> Option<Self> {
        let mut rows = rows.peekable();
        let (count, _) = rows.size_hint();
        let first = rows.peek()?;
        let mut columns: Vec<Column> = first.iter().map(|v| Column::of(v, count)).collect();
        for row in rows {
            for (column, value) in columns.iter_mut().zip(&row) {
                column.push(value);
            }
        }
        Some(Self {
            into: I::INTO,
            then: I::THEN,
            returning,
            columns,
        })
    }
}

/// The values of one column.
#[derive(Debug)]
enum Column {
    Integers(Elements),
    Reals(Elements),
    Texts(Elements),
    Bytes(Elements),
    Booleans(Elements),
}

/// Elements of an array as PostgreSQL receives them (`array_recv` and the types' own functions of that kind), without the array's head: a length
/// of four bytes, -1 for NULL, and the value.
#[derive(Debug, Default)]
struct Elements {
    bytes: Vec<u8>,
    count: i32,
    has_null: bool,
}

impl Column {
    /// The column that a row's value belongs to; empty, with room for so many values.
    fn of(value: &Scalar<'_>, count: usize) -> Self {
        let mut none = Elements::default();
        // A length and a number each: most columns are numbers, or texts of that length.
        none.bytes.reserve(count.saturating_mul(12));
        match value {
            Scalar::Integer(_) => Self::Integers(none),
            Scalar::Real(_) => Self::Reals(none),
            Scalar::Text(_) => Self::Texts(none),
            Scalar::Bytes(_) => Self::Bytes(none),
            Scalar::Boolean(_) => Self::Booleans(none),
        }
    }

    fn push(&mut self, value: &Scalar<'_>) {
        match (self, value) {
            (Self::Integers(column), Scalar::Integer(value)) => {
                column.push(value.map(i64::to_be_bytes).as_ref().map(|b| &b[..]));
            }
            (Self::Reals(column), Scalar::Real(value)) => {
                column.push(value.map(f64::to_be_bytes).as_ref().map(|b| &b[..]));
            }
            (Self::Texts(column), Scalar::Text(value)) => {
                column.push(value.as_deref().map(str::as_bytes));
            }
            (Self::Bytes(column), Scalar::Bytes(value)) => column.push(value.as_deref()),
            (Self::Booleans(column), Scalar::Boolean(value)) => {
                column.push(
                    value
                        .map(|value| [u8::from(value)])
                        .as_ref()
                        .map(|b| &b[..]),
                );
            }
            (column, value) => unreachable!("a column has one type: {value:?} in {column:?}"),
        }
    }
}

impl Elements {
    fn push(&mut self, value: Option<&[u8]>) {
        self.count += 1;
        match value {
            Some(value) => {
                let length = i32::try_from(value.len()).expect("a record is cut long before 2 GiB");
                self.bytes.extend(length.to_be_bytes());
                self.bytes.extend(value);
            }
            None => {
                self.has_null = true;
                self.bytes.extend((-1i32).to_be_bytes());
            }
        }
    }
}

impl<ST> ToSql<Array<Nullable<ST>>, Pg> for Elements
where
    Pg: HasSqlType<ST>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let element = <Pg as HasSqlType<ST>>::metadata(out.metadata_lookup()).oid()?;
        let (dimensions, lower_bound) = (1i32, 1i32);
        out.write_all(&dimensions.to_be_bytes())?;
        out.write_all(&i32::from(self.has_null).to_be_bytes())?;
        out.write_all(&element.to_be_bytes())?;
        out.write_all(&self.count.to_be_bytes())?;
        out.write_all(&lower_bound.to_be_bytes())?;
        out.write_all(&self.bytes)?;
        Ok(IsNull::No)
    }
}

impl QueryFragment<Pg> for Unnest {
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
        out.push_sql(self.returning);
        Ok(())
    }
}

impl QueryId for Unnest {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Unnest {
    /// Of what is returned, where something is.
    type SqlType = (BigInt, BigInt);
}

impl RunQueryDsl<PgConnection> for Unnest {}

//! SQL text with its values, for what diesel's query builder doesn't say: windows, many keys in one value, upserts that add up.
//!
//! One text serves both databases; `?` stands for a value, and the values that each writes in its own way are the lists. diesel prepares its
//! own `sql_query`, `update` and `do_update` anew at every call; this stays prepared, found again by its text. So a text is put together from
//! a small number of constant pieces, and everything that varies is a value.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, SqliteConnection,
    backend::Backend,
    deserialize::FromSqlRow,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary, Bool, Double, Nullable, Text, Untyped},
    sqlite::Sqlite,
};

use super::{
    Error,
    backend::{Connection, each, postgres::PgConnection},
};
use crate::model::position::ServerId;

/// One value of a row.
#[derive(Debug, Clone)]
pub(super) enum Scalar<'a> {
    Integer(Option<i64>),
    Real(Option<f64>),
    Text(Option<Cow<'a, str>>),
    Bytes(Option<Cow<'a, [u8]>>),
    Boolean(Option<bool>),
}

/// What one `?` stands for.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Scalar(Scalar<'a>),
    /// A sub-select whose rows are these keys, each once.
    Keys(Keys),
    /// A condition: the table's `server_id` is one of these. It tells a distributed database where to look; SQLite, where a join says the same,
    /// needs no such hint and takes it for true.
    Servers(&'static str, Vec<i64>),
}

#[expect(
    single_use_lifetimes,
    reason = "one macro serves values that borrow and values that don't"
)]
mod from {
    use std::borrow::Cow;

    use super::{Scalar, Value};

    macro_rules! scalar_from {
        ($($type:ty => $variant:ident($value:ident) $stored:expr;)*) => {
            $(
                impl<'a> From<$type> for Scalar<'a> {
                    fn from($value: $type) -> Self {
                        Self::$variant($stored)
                    }
                }
            )*
        };
    }

    impl<'a, T: Into<Scalar<'a>>> From<T> for Value<'a> {
        fn from(value: T) -> Self {
            Self::Scalar(value.into())
        }
    }

    scalar_from! {
        i64 => Integer(value) Some(value);
        Option<i64> => Integer(value) value;
        f64 => Real(value) Some(value);
        Option<f64> => Real(value) value;
        bool => Boolean(value) Some(value);
        Option<bool> => Boolean(value) value;
        &'a str => Text(value) Some(Cow::Borrowed(value));
        Option<&'a str> => Text(value) value.map(Cow::Borrowed);
        String => Text(value) Some(Cow::Owned(value));
        Option<String> => Text(value) value.map(Cow::Owned);
        Cow<'a, str> => Text(value) Some(value);
        Option<Cow<'a, str>> => Text(value) value;
        &'a [u8] => Bytes(value) Some(Cow::Borrowed(value));
        Vec<u8> => Bytes(value) Some(Cow::Owned(value));
        Option<Vec<u8>> => Bytes(value) value.map(Cow::Owned);
    }
}

/// A statement: text in which every `?` stands for the next value.
#[derive(Debug, Clone)]
pub(super) struct Sql<'a> {
    text: Cow<'a, str>,
    values: Vec<Value<'a>>,
}

impl<'a> Sql<'a> {
    pub(super) fn new(
        text: impl Into<Cow<'a, str>>,
        values: impl IntoIterator<Item = Value<'a>>,
    ) -> Self {
        Self {
            text: text.into(),
            values: values.into_iter().collect(),
        }
    }

    pub(super) fn push(&mut self, text: &str, values: impl IntoIterator<Item = Value<'a>>) {
        self.text.to_mut().push_str(text);
        self.values.extend(values);
    }

    pub(super) fn append(&mut self, other: Self) {
        self.text.to_mut().push_str(&other.text);
        self.values.extend(other.values);
    }

    /// Runs the statement and gives the number of rows that it changed.
    pub(super) fn execute(self, connection: &mut Connection) -> Result<usize, Error> {
        Ok(each!(connection, c => RunQueryDsl::execute(self, c))?)
    }

    /// Runs the statement and gives its rows.
    pub(super) fn load<R>(self, connection: &mut Connection) -> Result<Vec<R>, Error>
    where
        R: QueryableByName<Sqlite> + QueryableByName<Pg> + 'static,
        R: FromSqlRow<Untyped, Sqlite> + FromSqlRow<Untyped, Pg>,
    {
        Ok(each!(connection, c => RunQueryDsl::load(self, c))?)
    }

    /// Runs the statement and gives its first row, if it has one.
    pub(super) fn first<R>(self, connection: &mut Connection) -> Result<Option<R>, Error>
    where
        R: QueryableByName<Sqlite> + QueryableByName<Pg> + 'static,
        R: FromSqlRow<Untyped, Sqlite> + FromSqlRow<Untyped, Pg>,
    {
        Ok(self.load(connection)?.into_iter().next())
    }

    /// Writes the text with `one` in place of each value.
    fn walk<'b, DB: Backend>(
        &'b self,
        mut out: AstPass<'_, 'b, DB>,
        one: impl Fn(&mut AstPass<'_, 'b, DB>, &'b Value<'a>) -> QueryResult<()>,
    ) -> QueryResult<()> {
        let mut values = self.values.iter();
        for (number, piece) in self.text.split('?').enumerate() {
            if number > 0 {
                match values.next() {
                    Some(value) => one(&mut out, value)?,
                    None => out.push_sql("NULL"),
                }
            }
            out.push_sql(piece);
        }
        Ok(())
    }
}

/// Keys of several numbers each, as each database takes them in one value.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// For SQLite: an array of arrays.
    json: String,
    /// For PostgreSQL: an array for each column.
    columns: Vec<Vec<i64>>,
}

impl Keys {
    pub(super) fn new<const N: usize>(keys: &[[i64; N]]) -> Self {
        Self {
            json: serde_json::to_string(&keys.iter().map(|key| key.as_slice()).collect::<Vec<_>>())
                .expect("numbers are JSON"),
            columns: (0..N)
                .map(|column| keys.iter().map(|key| key[column]).collect())
                .collect(),
        }
    }
}

/// The condition that a column is one of these servers; see [`Value::Servers`].
pub(super) fn servers_of<'a>(
    table: &'static str,
    servers: impl Iterator<Item = ServerId>,
) -> Value<'a> {
    let servers: BTreeSet<i64> = servers.map(|server| server.0).collect();
    Value::Servers(table, servers.into_iter().collect())
}

/// Writes a value that both databases write alike.
macro_rules! push_scalar {
    ($out:expr, $scalar:expr) => {
        match $scalar {
            Scalar::Integer(value) => $out.push_bind_param::<Nullable<BigInt>, _>(value),
            Scalar::Real(value) => $out.push_bind_param::<Nullable<Double>, _>(value),
            Scalar::Text(value) => $out.push_bind_param::<Nullable<Text>, _>(value),
            Scalar::Bytes(value) => $out.push_bind_param::<Nullable<Binary>, _>(value),
            Scalar::Boolean(value) => $out.push_bind_param::<Nullable<Bool>, _>(value),
        }
    };
}
pub(super) use push_scalar;

impl QueryFragment<Sqlite> for Sql<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.walk(out, |out, value| match value {
            Value::Scalar(scalar) => push_scalar!(out, scalar),
            Value::Keys(keys) => {
                out.push_sql("SELECT DISTINCT ");
                for column in 0..keys.columns.len() {
                    let comma = if column == 0 { "" } else { ", " };
                    out.push_sql(&format!("{comma}json_extract(value, '$[{column}]')"));
                }
                out.push_sql(" FROM json_each(");
                out.push_bind_param::<Text, _>(&keys.json)?;
                out.push_sql(")");
                Ok(())
            }
            Value::Servers(..) => {
                out.push_sql("true");
                Ok(())
            }
        })
    }
}

impl QueryFragment<Pg> for Sql<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.walk(out, |out, value| match value {
            Value::Scalar(scalar) => push_scalar!(out, scalar),
            Value::Keys(keys) => {
                out.push_sql("SELECT DISTINCT * FROM unnest(");
                for (number, column) in keys.columns.iter().enumerate() {
                    out.push_sql(if number == 0 { "" } else { ", " });
                    out.push_bind_param::<Array<BigInt>, _>(column)?;
                }
                out.push_sql(")");
                Ok(())
            }
            Value::Servers(table, servers) => {
                out.push_sql(table);
                out.push_sql(".server_id = ANY(");
                out.push_bind_param::<Array<BigInt>, _>(servers)?;
                out.push_sql(")");
                Ok(())
            }
        })
    }
}

impl QueryId for Sql<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Sql<'_> {
    type SqlType = Untyped;
}

impl RunQueryDsl<SqliteConnection> for Sql<'_> {}
impl RunQueryDsl<PgConnection> for Sql<'_> {}

/// The rows of each key, in the order in which they come; a key without rows has an empty list.
pub(super) fn grouped<K: Copy + Eq + Hash, V>(
    keys: &[K],
    rows: impl Iterator<Item = Result<(K, V), Error>>,
) -> Result<HashMap<K, Vec<V>>, Error> {
    let mut groups: HashMap<K, Vec<V>> = keys.iter().map(|key| (*key, Vec::new())).collect();
    for row in rows {
        let (key, value) = row?;
        groups.entry(key).or_default().push(value);
    }
    Ok(groups)
}

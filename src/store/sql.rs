//! SQL text with its values, for what diesel's query builder doesn't say: windows, many keys in one value, upserts that add up.
//!
//! diesel prepares its own `sql_query`, `update` and `do_update` anew at every call; this stays prepared, found again by its text. So a
//! text is put together from a small number of constant pieces, and everything that varies is a value.

use std::{collections::HashMap, hash::Hash};

use diesel::{
    QueryResult, RunQueryDsl, SqliteConnection,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Double, Nullable, Text, Untyped},
    sqlite::Sqlite,
};

use super::Error;

/// One value for one `?`.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Integer(Option<i64>),
    Real(Option<f64>),
    Text(Option<&'a str>),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Real(Some(value))
    }
}

impl From<Option<f64>> for Value<'_> {
    fn from(value: Option<f64>) -> Self {
        Self::Real(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value)
    }
}

/// A statement: text in which every `?` stands for the next value.
#[derive(Debug, Clone)]
pub(super) struct Sql<'a> {
    text: String,
    values: Vec<Value<'a>>,
}

impl<'a> Sql<'a> {
    pub(super) fn new(text: &str, values: impl IntoIterator<Item = Value<'a>>) -> Self {
        Self {
            text: text.to_owned(),
            values: values.into_iter().collect(),
        }
    }

    pub(super) fn push(&mut self, text: &str, values: impl IntoIterator<Item = Value<'a>>) {
        self.text.push_str(text);
        self.values.extend(values);
    }
}

impl QueryFragment<Sqlite> for Sql<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let mut values = self.values.iter();
        for (number, piece) in self.text.split('?').enumerate() {
            if number > 0 {
                match values.next() {
                    Some(Value::Integer(value)) => {
                        out.push_bind_param::<Nullable<BigInt>, _>(value)?;
                    }
                    Some(Value::Real(value)) => {
                        out.push_bind_param::<Nullable<Double>, _>(value)?;
                    }
                    Some(Value::Text(value)) => {
                        out.push_bind_param::<Nullable<Text>, _>(value)?;
                    }
                    None => out.push_sql("NULL"),
                }
            }
            out.push_sql(piece);
        }
        Ok(())
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

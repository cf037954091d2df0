//! Who runs a query: its executions by user and application.
//!
//! Closed executions come in and are added by the day; the users and applications of queries go out, those with the most time first. Clients
//! choose both names, so a query has a limited number of pairs a day, and the rest counts as `(other)`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use diesel::{
    prelude::*,
    sql_types::{BigInt, Double, Text},
};

use super::{
    Error, Reader,
    backend::Connection,
    column::{count, text},
    insert::Insert,
    query::{QueryKey, WANTED, wanted},
    span::day_of,
    sql::{Keys, Sql, Value, grouped, servers_of},
};
use crate::model::{accounting::OTHER, execution::Execution, position::ServerId, query::QueryId};

/// Pairs of user and application that a query has a day, besides `(other)`.
const PAIRS_CAP: usize = 32;

/// What one user has run of a query with one application. Closed executions only.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryUser {
    /// `None` where the log doesn't tell; `(other)`, both names, for all that were one too many on their day.
    pub user_name: Option<String>,
    pub application_name: Option<String>,
    pub calls: u64,
    pub failed: u64,
    pub total_ms: f64,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    server_id: i64,
    #[diesel(sql_type = BigInt)]
    query_id: i64,
    #[diesel(sql_type = Text)]
    user_name: String,
    #[diesel(sql_type = Text)]
    application_name: String,
    #[diesel(sql_type = BigInt)]
    calls: i64,
    #[diesel(sql_type = BigInt)]
    failed: i64,
    #[diesel(sql_type = Double)]
    total_ms: f64,
}

impl Reader<'_> {
    /// Who has run each query in all days that are kept, those with the most time first.
    pub fn users_of(
        &mut self,
        keys: &[QueryKey],
        limit: u32,
    ) -> Result<HashMap<QueryKey, Vec<QueryUser>>, Error> {
        let mut sql = Sql::new("WITH ", []);
        sql.push(WANTED, [wanted(keys)]);
        sql.push(
            "SELECT * FROM ( \
               SELECT t.server_id, t.query_id, t.user_name, t.application_name, CAST(sum(t.calls) AS BIGINT) AS calls, \
                      CAST(sum(t.failed) AS BIGINT) AS failed, sum(t.total_ms) AS total_ms, \
                      row_number() OVER (PARTITION BY t.server_id, t.query_id \
                                         ORDER BY sum(t.total_ms) DESC, t.user_name, t.application_name) AS place \
                 FROM wanted w CROSS JOIN query_users t \
                WHERE t.server_id = w.server_id AND t.query_id = w.query_id AND ? \
                GROUP BY t.server_id, t.query_id, t.user_name, t.application_name \
             ) ranked WHERE place <= ? ORDER BY place",
            [
                servers_of("t", keys.iter().map(|(server, _)| *server)),
                i64::from(limit).into(),
            ],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        let name = |name: String| Some(name).filter(|name| !name.is_empty());
        let user = |row: Row| {
            let user = QueryUser {
                user_name: name(row.user_name),
                application_name: name(row.application_name),
                calls: count("query_users.calls", row.calls)?,
                failed: count("query_users.failed", row.failed)?,
                total_ms: row.total_ms,
            };
            Ok(((ServerId(row.server_id), QueryId(row.query_id)), user))
        };
        grouped(keys, rows.into_iter().map(user))
    }
}

/// One query on one day.
type Day = [i64; 2];

#[derive(Default)]
struct Sums {
    calls: i64,
    failed: i64,
    total_ms: f64,
}

/// Users with applications that a query has on a day, without `(other)`.
pub(super) type Pairs = HashMap<Day, HashSet<(String, String)>>;

/// Adds executions of one server that have just closed. The server's row is locked in the transaction: nobody else adds meanwhile. `known` are
/// the pairs of some of the days before, and of all of them then.
pub(super) fn add(
    connection: &mut Connection,
    server: ServerId,
    closed: &[&Execution],
    known: &mut Pairs,
) -> Result<(), Error> {
    let mut run: BTreeMap<(Day, Cow<'_, str>, Cow<'_, str>), Sums> = BTreeMap::new();
    for execution in closed {
        let day = [execution.query.id.0, day_of(execution.started_at)];
        let user = text(execution.user_name.as_deref().unwrap_or_default());
        let application = text(execution.application_name.as_deref().unwrap_or_default());
        let sums = run.entry((day, user, application)).or_default();
        sums.calls += 1;
        sums.failed += i64::from(execution.failed);
        sums.total_ms += execution.duration_ms.unwrap_or_default();
    }
    let mut days: Vec<Day> = run.keys().map(|(day, ..)| *day).collect();
    days.dedup();
    days.retain(|day| !known.contains_key(day));
    if !days.is_empty() {
        known.extend(stored(connection, server, &days)?);
    }
    let mut added: BTreeMap<(Day, Cow<'_, str>, Cow<'_, str>), Sums> = BTreeMap::new();
    for ((day, user, application), sums) in run {
        let pairs = known.entry(day).or_default();
        let pair = (user.into_owned(), application.into_owned());
        let fits = pairs.contains(&pair) || pairs.len() < PAIRS_CAP;
        let name = |name: &String| Cow::from(if fits { name.clone() } else { OTHER.to_owned() });
        let all = added
            .entry((day, name(&pair.0), name(&pair.1)))
            .or_default();
        all.calls += sums.calls;
        all.failed += sums.failed;
        all.total_ms += sums.total_ms;
        if fits {
            pairs.insert(pair);
        }
    }
    QueryUsers::execute(
        connection,
        added
            .into_iter()
            .map(|(([query, day], user, application), sums)| {
                [
                    server.0.into(),
                    query.into(),
                    day.into(),
                    user.into(),
                    application.into(),
                    sums.calls.into(),
                    sums.failed.into(),
                    sums.total_ms.into(),
                ]
            }),
    )?;
    Ok(())
}

#[derive(QueryableByName)]
struct Pair {
    #[diesel(sql_type = BigInt)]
    query_id: i64,
    #[diesel(sql_type = BigInt)]
    day: i64,
    #[diesel(sql_type = Text)]
    user_name: String,
    #[diesel(sql_type = Text)]
    application_name: String,
}

/// The pairs that are stored, without `(other)`.
fn stored(connection: &mut Connection, server: ServerId, days: &[Day]) -> Result<Pairs, Error> {
    let rows: Vec<Pair> = Sql::new(
        "WITH wanted (query_id, day) AS MATERIALIZED (?) \
         SELECT u.query_id, u.day, u.user_name, u.application_name FROM wanted w CROSS JOIN query_users u \
          WHERE u.server_id = ? AND u.query_id = w.query_id AND u.day = w.day",
        [Value::Keys(Keys::new(days)), server.0.into()],
    )
    .load(connection)?;
    let mut pairs = Pairs::new();
    for row in rows {
        if row.user_name != OTHER || row.application_name != OTHER {
            let pairs = pairs.entry([row.query_id, row.day]).or_default();
            pairs.insert((row.user_name, row.application_name));
        }
    }
    Ok(pairs)
}

struct QueryUsers;

impl Insert for QueryUsers {
    const INTO: &'static str = "query_users (server_id, query_id, day, user_name, application_name, calls, failed, total_ms)";
    const THEN: &'static str = "ON CONFLICT (server_id, query_id, day, user_name, application_name) DO UPDATE \
         SET calls = query_users.calls + excluded.calls, failed = query_users.failed + excluded.failed, \
             total_ms = query_users.total_ms + excluded.total_ms";
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use crate::store::fixture::{Fixture, batch, execution};

    #[test]
    fn pairs_beyond_the_cap_count_as_other() {
        for fixture in Fixture::each() {
            let ingest = |from: u64, users: std::ops::Range<usize>| {
                let mut all = batch(fixture.server, from, from + 100);
                for user in users {
                    let mut run = execution(fixture.server, "select $1", from + user as u64, 2.0);
                    run.user_name = Some(format!("user {user}"));
                    run.application_name = Some("\0".to_owned());
                    all.executions.push(run);
                }
                fixture.ingest(&all).unwrap();
            };
            ingest(0, 0..20);
            ingest(100, 10..40);
            ingest(200, 39..42);
            let check = |condition: &str, rows| {
                let found = fixture.count(&format!("query_users WHERE {condition}"));
                assert_eq!(found, rows, "{condition}");
            };
            check("true", 33);
            check(
                "user_name LIKE 'user %' AND application_name = '\u{fffd}'",
                32,
            );
            check("calls = 2 AND total_ms = 4", 10);
            let other = "user_name = '(other)' AND application_name = '(other)'";
            check(&format!("{other} AND calls = 11 AND total_ms = 22"), 1);
        }
    }
}

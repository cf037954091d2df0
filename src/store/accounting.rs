//! The cumulative counts of a server: one row for each counter and key.
//!
//! A batch's counts come in and are added; the sum of all batches goes out. What a client can name (databases, users, plan nodes, SQLSTATEs) has at most
//! as many keys here as one accounting holds, the rest is counted under `(other)`.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::{
    prelude::*,
    sql_types::{BigInt, Text},
};

use super::{
    Error, Reader,
    backend::{Connection, each},
    column::{count, known, text},
    insert::Insert,
    schema::ingest_counts,
    sql::Sql,
};
use crate::model::{
    accounting::{Accounting, CountSum, DurationKind, NAMES_CAP, OTHER},
    incident::IncidentKind,
    plan::PlanFormat,
    position::ServerId,
    record::{Severity, SqlState},
};

/// The counters that are one number, by the names under which they are stored.
fn plain(accounting: &mut Accounting) -> [(&'static str, &mut u64); 13] {
    [
        ("records_total", &mut accounting.records_total),
        ("plans_unparsable", &mut accounting.plans_unparsable),
        ("plans_nested", &mut accounting.plans_nested),
        (
            "forged_duration_messages",
            &mut accounting.forged_duration_messages,
        ),
        ("executions", &mut accounting.executions),
        ("executions_with_plan", &mut accounting.executions_with_plan),
        ("queries", &mut accounting.queries),
        ("torn", &mut accounting.torn),
        ("ambiguous", &mut accounting.ambiguous),
        ("unparsed", &mut accounting.unparsed),
        ("foreign", &mut accounting.foreign),
        ("gaps", &mut accounting.gaps),
        ("bytes", &mut accounting.bytes),
    ]
}

/// Database and user as one key: JSON, so that no name can be taken for two.
fn pair_key(database: &str, user: &str) -> String {
    serde_json::to_string(&[database, user]).expect("strings are JSON")
}

impl Reader<'_> {
    /// The cumulative counts of each server that has any.
    pub fn accounting(&mut self) -> Result<HashMap<ServerId, Accounting>, Error> {
        let counts = ingest_counts::table.select((
            ingest_counts::server_id,
            ingest_counts::counter,
            ingest_counts::key,
            ingest_counts::count,
            ingest_counts::sum_ms,
        ));
        let rows: Vec<(i64, String, String, i64, f64)> =
            each!(self.connection, c => counts.load(c))?;
        let mut servers: HashMap<ServerId, Accounting> = HashMap::new();
        for (server, counter, key, stored, sum_ms) in rows {
            let count = count("ingest_counts.count", stored)?;
            let sum = CountSum { count, sum_ms };
            let accounting = servers.entry(ServerId(server)).or_default();
            let read = read_count(accounting, &counter, key, sum);
            known(read, "ingest_counts.counter", &counter)?;
        }
        Ok(servers)
    }
}

/// Puts one row where it belongs; `None` for a counter or key that doesn't exist.
fn read_count(
    accounting: &mut Accounting,
    counter: &str,
    key: String,
    sum: CountSum,
) -> Option<()> {
    match counter {
        "durations" => accounting.durations = sum,
        "plans" => accounting.plans = sum,
        "by_severity" => {
            let severity = Severity::from_english(&key)?;
            accounting.by_severity.insert(severity, sum.count);
        }
        "incidents" => {
            let kind = IncidentKind::from_name(&key)?;
            accounting.incidents.insert(kind, sum.count);
        }
        "by_sqlstate" => {
            let code = SqlState::new(&key)?;
            accounting.by_sqlstate.insert(code, sum.count);
        }
        "durations_by_kind" => {
            let kind = DurationKind::from_name(&key)?;
            accounting.durations_by_kind.insert(kind, sum.count);
        }
        "plans_by_format" => {
            let format = PlanFormat::from_name(&key)?;
            accounting
                .plans_by_format
                .insert(format.as_str(), sum.count);
        }
        "plans_by_root_node" => {
            accounting.plans_by_root_node.insert(key, sum.count);
        }
        "durations_by_db_user" => {
            let pair = serde_json::from_str(&key).ok()?;
            accounting.durations_by_db_user.insert(pair, sum);
        }
        "plans_by_db_user" => {
            let pair = serde_json::from_str(&key).ok()?;
            accounting.plans_by_db_user.insert(pair, sum);
        }
        _ => {
            let (_, count) = plain(accounting)
                .into_iter()
                .find(|(name, _)| *name == counter)?;
            *count = sum.count;
        }
    }
    Some(())
}

/// Adds the counts of a batch. `known` are counters and keys that are stored, before and then after. `queries` is the change of the number of queries, which only the store knows; the batch's own is not used.
pub(super) fn add(
    connection: &mut Connection,
    server: ServerId,
    accounting: &Accounting,
    queries: i64,
    known: &mut HashSet<(&'static str, String)>,
) -> Result<(), Error> {
    let mut added = Added::default();
    for (counter, count) in plain(&mut accounting.clone()) {
        if counter != "queries" {
            added.put(counter, "", *count, 0.0);
        }
    }
    added.put("queries", "", queries.cast_unsigned(), 0.0);
    for (counter, sum) in [
        ("durations", accounting.durations),
        ("plans", accounting.plans),
    ] {
        added.put(counter, "", sum.count, sum.sum_ms);
    }
    for (severity, count) in &accounting.by_severity {
        added.put("by_severity", severity.as_str(), *count, 0.0);
    }
    for (code, count) in &accounting.by_sqlstate {
        added.put("by_sqlstate", code.as_str(), *count, 0.0);
    }
    for (kind, count) in &accounting.incidents {
        added.put("incidents", kind.as_str(), *count, 0.0);
    }
    for (kind, count) in &accounting.durations_by_kind {
        added.put("durations_by_kind", kind.as_str(), *count, 0.0);
    }
    for (format, count) in &accounting.plans_by_format {
        added.put("plans_by_format", format, *count, 0.0);
    }
    for (node, count) in &accounting.plans_by_root_node {
        added.put("plans_by_root_node", &text(node), *count, 0.0);
    }
    for (counter, pairs) in [
        ("durations_by_db_user", &accounting.durations_by_db_user),
        ("plans_by_db_user", &accounting.plans_by_db_user),
    ] {
        for ((database, user), sum) in pairs {
            let key = pair_key(&text(database), &text(user));
            added.put(counter, &key, sum.count, sum.sum_ms);
        }
    }
    if added.rows.keys().any(|key| !known.contains(key)) {
        added.cap(connection, server)?;
    }
    Counts::execute(
        connection,
        added.rows.iter().map(|((counter, key), sum)| {
            [
                server.0.into(),
                (*counter).into(),
                key.as_str().into(),
                sum.count.cast_signed().into(),
                sum.sum_ms.into(),
            ]
        }),
    )?;
    known.extend(added.rows.into_keys());
    Ok(())
}

/// What a batch adds to each counter and key.
#[derive(Default)]
struct Added {
    rows: BTreeMap<(&'static str, String), CountSum>,
}

#[derive(QueryableByName)]
struct Keys {
    #[diesel(sql_type = Text)]
    counter: String,
    #[diesel(sql_type = BigInt)]
    keys: i64,
}

impl Added {
    fn put(&mut self, counter: &'static str, key: &str, count: u64, sum_ms: f64) {
        if count != 0 {
            let row = self.rows.entry((counter, key.to_owned())).or_default();
            // A change of the number of queries may be negative.
            row.count = row.count.wrapping_add(count);
            row.sum_ms += sum_ms;
        }
    }

    /// A key that isn't stored yet becomes the counter's `(other)` once the counter has as many keys as clients may make.
    fn cap(&mut self, connection: &mut Connection, server: ServerId) -> Result<(), Error> {
        let stored: Vec<Keys> = Sql::new(
            "SELECT counter, count(*) AS keys FROM ingest_counts WHERE server_id = ? GROUP BY counter",
            [server.0.into()],
        )
        .load(connection)?;
        let stored = |counter: &str| {
            let of_it = stored.iter().find(|keys| keys.counter == counter);
            of_it.map_or(0, |keys| usize::try_from(keys.keys).unwrap_or(usize::MAX))
        };
        let other_pair = pair_key(OTHER, OTHER);
        for (counter, other) in [
            ("by_sqlstate", SqlState::OTHER.as_str()),
            ("plans_by_root_node", OTHER),
            ("durations_by_db_user", &other_pair),
            ("plans_by_db_user", &other_pair),
        ] {
            let of_it = self.rows.keys().filter(|(name, _)| *name == counter);
            if stored(counter).saturating_add(of_it.count()) > NAMES_CAP {
                self.cap_counter(connection, server, counter, other)?;
            }
        }
        Ok(())
    }

    fn cap_counter(
        &mut self,
        connection: &mut Connection,
        server: ServerId,
        counter: &'static str,
        other: &str,
    ) -> Result<(), Error> {
        let known = ingest_counts::table
            .filter(
                ingest_counts::server_id
                    .eq(server.0)
                    .and(ingest_counts::counter.eq(counter)),
            )
            .select(ingest_counts::key);
        let known: Vec<String> = each!(connection, c => known.load(c))?;
        let mut known: HashSet<String> = known.into_iter().collect();
        let of_it = self.rows.extract_if(.., |(name, _), _| *name == counter);
        let of_it: Vec<_> = of_it.collect();
        for ((_, key), sum) in of_it {
            let room = known.len() < NAMES_CAP || known.contains(&key);
            let key = if room { key } else { other.to_owned() };
            self.put(counter, &key, sum.count, sum.sum_ms);
            known.insert(key);
        }
        Ok(())
    }
}

struct Counts;

impl Insert for Counts {
    const INTO: &'static str = "ingest_counts (server_id, counter, key, count, sum_ms)";
    const THEN: &'static str = "ON CONFLICT (server_id, counter, key) DO UPDATE \
         SET count = ingest_counts.count + excluded.count, sum_ms = ingest_counts.sum_ms + excluded.sum_ms";
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::store::fixture::{Fixture, batch, only};

    #[test]
    fn batches_add_up_and_names_are_capped() {
        for fixture in Fixture::each() {
            let mut expected = Accounting::default();
            for number in 0..3u64 {
                let mut batch = batch(fixture.server, number, number + 1);
                let counts = &mut batch.accounting;
                for user in 0..NAMES_CAP / 2 {
                    let user = format!("user {}", user as u64 + number * 400);
                    counts.add_duration(DurationKind::Statement, 0.5, "shop", &user);
                    counts.add_plan("json", 0.25, Some("Sort"), &user, "app");
                }
                counts.add_plan("text", 0.25, None, "shop", "app");
                counts.by_sqlstate = [(SqlState::new("57014").unwrap(), number)].into();
                counts.by_severity = [(Severity::Error, number)].into();
                counts.executions = 7;
                counts.queries = 1000;
                fixture.ingest(&batch).unwrap();
                expected.merge(&batch.accounting);
            }
            expected.queries = 0;
            let stored = fixture
                .store
                .read(|reader| Ok(only(fixture.server, reader.accounting()?)))
                .unwrap();
            assert!(stored == expected, "too much to print");
            assert_eq!(stored.durations_by_db_user.len(), NAMES_CAP + 1);
        }
    }
}

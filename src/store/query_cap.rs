//! How many queries a server may have: clients make them, so what goes beyond the cap is counted in one query for each database.
//!
//! A batch comes in before it is stored. Where it would bring a server over its cap it goes out changed: executions of queries that are one
//! too many, with what was found in them and what happened to them, belong to the query `(other)`.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;

use super::{
    Batch, Error,
    backend::{Connection, each},
    query,
    recent::Recent,
    schema::ingest_counts,
};
use crate::model::{
    accounting::{NAMES_CAP, OTHER},
    position::ServerId,
    query::{Query, QueryId},
};

/// The batch with `(other)` in place of the queries that are one too many; `None` if all of them may stand, which costs one look-up.
pub(super) fn apply(
    connection: &mut Connection,
    batch: &Batch,
    recent: &mut Recent,
) -> Result<Option<Batch>, Error> {
    let mut new: BTreeSet<QueryId> = batch.executions.iter().map(|e| e.query.id).collect();
    let stored = match recent.query_count {
        Some(stored) => stored,
        None => query_count(connection, batch.server)?,
    };
    recent.query_count = Some(stored);
    if stored + new.len() as u64 <= batch.max_queries {
        return Ok(None);
    }
    for id in query::stored_of(connection, batch.server, new.iter().copied())? {
        new.remove(&id);
    }
    let mut room = batch.max_queries.saturating_sub(stored);
    let mut other_room = (batch.max_queries + NAMES_CAP as u64).saturating_sub(stored);
    let mut moved: BTreeMap<QueryId, Query> = BTreeMap::new();
    let mut others: BTreeMap<&str, Query> = BTreeMap::new();
    for execution in &batch.executions {
        let query = &execution.query;
        if !new.contains(&query.id) || moved.contains_key(&query.id) {
            continue;
        }
        if room > 0 {
            room -= 1;
            new.remove(&query.id);
            continue;
        }
        let other = match others.get(query.database_name.as_str()) {
            Some(other) => other.clone(),
            None => {
                let mut other = Query::other(batch.server, &query.database_name);
                let is_stored =
                    !query::stored_of(connection, batch.server, [other.id].into_iter())?.is_empty();
                if !is_stored && other_room == 0 {
                    // Names of databases are the client's choice too.
                    other = Query::other(batch.server, OTHER);
                } else if !is_stored {
                    other_room -= 1;
                }
                others.insert(&query.database_name, other.clone());
                other
            }
        };
        moved.insert(query.id, other);
    }
    if moved.is_empty() {
        return Ok(None);
    }
    let mut capped = batch.clone();
    for execution in &mut capped.executions {
        if let Some(other) = moved.get(&execution.query.id) {
            execution.query = other.clone();
        }
    }
    let analyses = capped.analyses.iter_mut().map(|a| &mut a.query_id);
    let recommendations = capped.recommendations.iter_mut().map(|r| &mut r.query_id);
    let incidents = capped.incidents.iter_mut();
    let incidents = incidents.filter_map(|i| i.query_id.as_mut());
    let attached = capped.incident_executions.iter_mut();
    let attached = attached.map(|i| &mut i.query_id);
    for id in analyses
        .chain(recommendations)
        .chain(incidents)
        .chain(attached)
    {
        if let Some(other) = moved.get(id) {
            *id = other.id;
        }
    }
    Ok(Some(capped))
}

fn query_count(connection: &mut Connection, server: ServerId) -> Result<u64, Error> {
    let stored = ingest_counts::table
        .find((server.0, "queries", ""))
        .select(ingest_counts::count);
    let stored: Option<i64> = each!(connection, c => stored.first(c).optional())?;
    Ok(u64::try_from(stored.unwrap_or_default()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use crate::{
        model::{
            execution::Execution,
            finding::{Rule, Severity},
            query::Query,
        },
        store::{
            QueryOrder, QueryPage,
            fixture::{Fixture, analysis, batch, execution, finding, plan, recommendation},
        },
    };

    /// Texts and calls of the stored queries.
    fn queries(fixture: &Fixture) -> Vec<(String, String, u64)> {
        let page = QueryPage {
            order_by: QueryOrder::FirstSeen,
            server: None,
            database_name: None,
            contains: None,
            min_max_ms: None,
            limit: 100,
            after: None,
        };
        let rows = fixture.store.read(|reader| reader.queries(&page)).unwrap();
        let mut found: Vec<_> = rows
            .into_iter()
            .map(|row| (row.query.database_name, row.query.normalized_sql, row.calls))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn queries_beyond_the_cap_are_counted_as_other() {
        for fixture in Fixture::each() {
            let run = |number: u64, sql: &[&str]| {
                let mut batch = batch(fixture.server, number, number + 1);
                batch.max_queries = 2;
                for (at, sql) in sql.iter().enumerate() {
                    let offset = number * 100 + at as u64;
                    let mut execution = execution(fixture.server, sql, offset, 1500.0);
                    if let Some(rest) = sql.strip_prefix("forum: ") {
                        execution.query = Query::new(fixture.server, "forum", rest.to_owned());
                    }
                    batch.plans.push(plan(&execution, 0, "{}"));
                    let found = vec![finding(Rule::SortSpill, Severity::Notice)];
                    batch.analyses.push(analysis(&execution, found));
                    let query = execution.query.id;
                    let target = format!("t ({offset})");
                    batch.recommendations.push(recommendation(
                        fixture.server,
                        query,
                        &target,
                        Severity::Info,
                    ));
                    batch.executions.push(Execution {
                        plan_count: 1,
                        ..execution
                    });
                }
                fixture.ingest(&batch).unwrap().new_queries
            };
            let new: Vec<_> = [
                &["select a", "select b"][..],
                &["select a", "select c", "select d"],
                &["select c", "select b"],
                &["forum: select a", "select e"],
            ]
            .iter()
            .enumerate()
            .map(|(number, sql)| run(number as u64, sql))
            .collect();
            assert_eq!(new, [2, 1, 0, 1]);
            let database = queries(&fixture)[1].0.clone();
            let row =
                |database: &str, sql: &str, calls| (database.to_owned(), sql.to_owned(), calls);
            assert_eq!(
                queries(&fixture),
                [
                    row("forum", "(other)", 1),
                    row(&database, "(other)", 4),
                    row(&database, "select a", 2),
                    row(&database, "select b", 2),
                ]
            );
        }
    }
}

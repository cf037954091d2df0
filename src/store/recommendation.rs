//! Recommendations: the same proposal found again is the same row.
//!
//! They come in from the rules, with a batch, and from the model, at the end of a job; they go out by query or in pages. Nothing here judges
//! them.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use jiff::Timestamp;

use super::{
    Error, Reader,
    backend::Connection,
    column::{known, optional_text, severity, severity_rank, text, time},
    execution::one_server,
    insert::Insert,
    query::{self, QueryKey},
    schema::recommendations,
    sql::{Sql, grouped, servers_of},
};
use crate::model::{
    finding::{Rule, Severity},
    position::ServerId,
    query::QueryId,
    recommendation::{Recommendation, RecommendationId, RecommendationKind, Source, Verification},
};

/// Which recommendations, newest first. Filters that are `None` let everything pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RecommendationPage {
    pub server: Option<ServerId>,
    pub query: Option<QueryKey>,
    pub min_severity: Option<Severity>,
    pub limit: u32,
    /// Time and key of the last recommendation of the page before.
    pub after: Option<(Timestamp, ServerId, RecommendationId)>,
}

#[derive(QueryableByName)]
#[diesel(table_name = recommendations)]
struct Row {
    server_id: i64,
    id: i64,
    query_id: i64,
    created_at: i64,
    source: String,
    kind: String,
    rules: String,
    severity: i64,
    confidence_score: Option<f64>,
    verification: String,
    summary: String,
    explanation: String,
    disproof: Option<String>,
    command: Option<String>,
}

fn recommendation(row: Row) -> Result<Recommendation, Error> {
    let names: Option<Vec<String>> = serde_json::from_str(&row.rules).ok();
    let rules = names.and_then(|names| names.iter().map(|name| Rule::from_name(name)).collect());
    Ok(Recommendation {
        server_id: ServerId(row.server_id),
        query_id: QueryId(row.query_id),
        id: RecommendationId(row.id),
        created_at: time("recommendations.created_at", row.created_at)?,
        source: known(
            Source::from_name(&row.source),
            "recommendations.source",
            &row.source,
        )?,
        kind: known(
            RecommendationKind::from_name(&row.kind),
            "recommendations.kind",
            &row.kind,
        )?,
        rules: known(rules, "recommendations.rules", &row.rules)?,
        severity: severity("recommendations.severity", row.severity)?,
        confidence_score: row.confidence_score,
        verification: known(
            Verification::from_name(&row.verification),
            "recommendations.verification",
            &row.verification,
        )?,
        summary: row.summary,
        explanation: row.explanation,
        disproof: row.disproof,
        command: row.command,
    })
}

impl Reader<'_> {
    /// One page of recommendations, newest first.
    pub fn recommendations(
        &mut self,
        page: &RecommendationPage,
    ) -> Result<Vec<Recommendation>, Error> {
        let mut sql = Sql::new(
            "SELECT r.* FROM servers s JOIN recommendations r ON r.server_id = s.id WHERE true",
            [],
        );
        if let Some(server) = one_server(page.server, page.query) {
            sql.push(" AND s.id = ?", [server.into()]);
        }
        if let Some((_, query)) = page.query {
            sql.push(" AND r.query_id = ?", [query.0.into()]);
        }
        if let Some(least) = page.min_severity {
            sql.push(" AND r.severity >= ?", [severity_rank(least).into()]);
        }
        if let Some((created_at, server, id)) = page.after {
            sql.push(
                " AND (r.created_at, r.server_id, r.id) < (?, ?, ?)",
                [
                    created_at.as_microsecond().into(),
                    server.0.into(),
                    id.0.into(),
                ],
            );
        }
        sql.push(
            " ORDER BY r.created_at DESC, r.server_id DESC, r.id DESC LIMIT ?",
            [i64::from(page.limit).into()],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        rows.into_iter().map(recommendation).collect()
    }

    /// The `limit` recommendations of each query that matter most: highest severity, then confidence, then newest.
    pub fn recommendations_of(
        &mut self,
        keys: &[QueryKey],
        limit: u32,
    ) -> Result<HashMap<QueryKey, Vec<Recommendation>>, Error> {
        let servers = keys.iter().map(|(server, _)| *server);
        let mut sql = Sql::new("WITH ", []);
        sql.push(query::WANTED, [query::wanted(keys)]);
        sql.push(
            ", ranked AS ( \
               SELECT r.*, row_number() OVER ( \
                 PARTITION BY r.server_id, r.query_id \
                 ORDER BY r.severity DESC, coalesce(r.confidence_score, -1.0) DESC, r.created_at DESC, r.id) AS place \
               FROM wanted JOIN recommendations r USING (server_id, query_id) WHERE ?) \
             SELECT * FROM ranked WHERE place <= ? ORDER BY place",
            [servers_of("r", servers), i64::from(limit).into()],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        let rows = rows.into_iter().map(|row| {
            let recommendation = recommendation(row)?;
            Ok((
                (recommendation.server_id, recommendation.query_id),
                recommendation,
            ))
        });
        grouped(keys, rows)
    }
}

/// Stores recommendations. One that is found again keeps its earliest time and its highest severity, and takes the rest from what was found
/// last.
pub(super) fn store(connection: &mut Connection, found: &[Recommendation]) -> Result<(), Error> {
    let mut merged: BTreeMap<(ServerId, i64), Recommendation> = BTreeMap::new();
    for found in found {
        let key = (found.server_id, found.id.0);
        let mut found = found.clone();
        if let Some(before) = merged.remove(&key) {
            found.created_at = found.created_at.min(before.created_at);
            found.severity = found.severity.max(before.severity);
        }
        merged.insert(key, found);
    }
    Recommendations::execute(
        connection,
        merged.values().map(|found| {
            let rules: Vec<&str> = found.rules.iter().map(|rule| rule.as_str()).collect();
            [
                found.server_id.0.into(),
                found.id.0.into(),
                found.query_id.0.into(),
                found.created_at.as_microsecond().into(),
                found.source.as_str().into(),
                found.kind.as_str().into(),
                serde_json::to_string(&rules)
                    .expect("names are JSON")
                    .into(),
                severity_rank(found.severity).into(),
                found.confidence_score.into(),
                found.verification.as_str().into(),
                text(&found.summary).into(),
                text(&found.explanation).into(),
                optional_text(found.disproof.as_ref()).into(),
                optional_text(found.command.as_ref()).into(),
            ]
        }),
    )?;
    Ok(())
}

struct Recommendations;

impl Insert for Recommendations {
    const INTO: &'static str = "recommendations (server_id, id, query_id, created_at, source, kind, rules, severity, \
           confidence_score, verification, summary, explanation, disproof, command)";
    const THEN: &'static str = "ON CONFLICT (server_id, id) DO UPDATE \
         SET created_at = CASE WHEN excluded.created_at < recommendations.created_at THEN excluded.created_at \
                               ELSE recommendations.created_at END, \
             severity = CASE WHEN excluded.severity > recommendations.severity THEN excluded.severity \
                             ELSE recommendations.severity END, \
             rules = excluded.rules, confidence_score = excluded.confidence_score, \
             verification = excluded.verification, summary = excluded.summary, \
             explanation = excluded.explanation, disproof = excluded.disproof, command = excluded.command";
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::store::fixture::{self, Fixture, at, batch, execution};

    #[test]
    fn found_again_it_keeps_its_earliest_time_and_highest_severity() {
        for fixture in Fixture::each() {
            let execution = execution(fixture.server, "select $1", 0, 5.0);
            let query = execution.query.id;
            let mut first = batch(fixture.server, 0, 10);
            first.executions = vec![execution];
            let found = fixture::recommendation(fixture.server, query, "t (a)", Severity::Critical);
            first.recommendations = vec![found.clone()];
            fixture.ingest(&first).unwrap();

            let mut again = batch(fixture.server, 10, 20);
            again.recommendations = vec![Recommendation {
                created_at: at(60),
                severity: Severity::Notice,
                confidence_score: None,
                summary: "newer".to_owned(),
                ..found.clone()
            }];
            fixture.ingest(&again).unwrap();

            let key = (fixture.server, query);
            let stored = fixture
                .store
                .read(|reader| reader.recommendations_of(&[key], 10))
                .unwrap();
            let expected = Recommendation {
                confidence_score: None,
                summary: "newer".to_owned(),
                ..found
            };
            assert_eq!(stored, [(key, vec![expected])].into());
        }
    }

    #[test]
    fn those_that_matter_most_come_first_and_pages_give_each_once() {
        for fixture in Fixture::each() {
            let execution = execution(fixture.server, "select $1", 0, 5.0);
            let query = execution.query.id;
            let mut all = batch(fixture.server, 0, 10);
            all.executions = vec![execution];
            let proposal = |target, severity, confidence_score| Recommendation {
                confidence_score,
                ..fixture::recommendation(fixture.server, query, target, severity)
            };
            let ranked = [
                proposal("a", Severity::Critical, None),
                proposal("b", Severity::Warning, Some(0.5)),
                proposal("c", Severity::Warning, Some(0.0)),
                proposal("d", Severity::Warning, None),
                proposal("e", Severity::Info, Some(1.0)),
            ];
            all.recommendations = ranked.iter().rev().cloned().collect();
            fixture.ingest(&all).unwrap();

            let key = (fixture.server, query);
            let top = fixture
                .store
                .read(|reader| reader.recommendations_of(&[key], 4))
                .unwrap();
            assert_eq!(top[&key], ranked[..4]);

            let mut page = RecommendationPage {
                limit: 2,
                min_severity: Some(Severity::Notice),
                query: Some(key),
                ..RecommendationPage::default()
            };
            let mut seen = Vec::new();
            loop {
                let rows = fixture
                    .store
                    .read(|reader| reader.recommendations(&page))
                    .unwrap();
                let Some(last) = rows.last() else { break };
                page.after = Some((last.created_at, last.server_id, last.id));
                seen.extend(rows);
            }
            seen.sort_by_key(|found| found.summary.clone());
            assert_eq!(seen, ranked[..4]);
        }
    }
}

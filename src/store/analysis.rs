//! Analyses and their findings: what the rules said of an execution.
//!
//! An analysis comes in with its findings and replaces the execution's earlier one; analyses go out by query or in pages, findings by
//! execution. Which rules there are and what they mean is not known here.

#![expect(
    single_use_lifetimes,
    reason = "diesel's derives name the lifetime of a row once"
)]

use std::{borrow::Cow, collections::HashMap};

use diesel::prelude::*;
use jiff::Timestamp;

use super::{
    Error, Reader,
    column::{known, ordinal, severity, severity_rank, text, time},
    execution::{ExecutionKey, push_servers, push_window},
    plan,
    query::{KEYS, QueryKey, keys_json},
    schema::{analyses, findings},
    sql::{Sql, grouped},
};
use crate::model::{
    execution::ExecutionId,
    finding::{Analysis, Finding, Rule, Severity},
    position::ServerId,
    query::QueryId,
};

/// Which analyses, newest execution first. Filters that are `None` let everything pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnalysisPage {
    pub server: Option<ServerId>,
    pub query: Option<QueryKey>,
    pub min_severity: Option<Severity>,
    /// Of executions started at or after this.
    pub since: Option<Timestamp>,
    /// Of executions started before this.
    pub until: Option<Timestamp>,
    pub limit: u32,
    /// Key of the execution of the last analysis of the page before.
    pub after: Option<ExecutionKey>,
}

#[derive(Insertable, QueryableByName)]
#[diesel(table_name = analyses, treat_none_as_default_value = false)]
struct Row {
    server_id: i64,
    started_at: i64,
    execution_id: i64,
    query_id: i64,
    execution_time_ms: Option<f64>,
    seq_scan_detected: Option<bool>,
    severity: Option<i64>,
}

#[derive(Insertable, QueryableByName)]
#[diesel(table_name = findings, treat_none_as_default_value = false)]
struct FindingRow<'a> {
    server_id: i64,
    started_at: i64,
    execution_id: i64,
    ordinal: i64,
    rule: Cow<'a, str>,
    severity: i64,
    plan_ordinal: i64,
    node_path: Option<Cow<'a, str>>,
    message: Cow<'a, str>,
    not_decidable: Option<Cow<'a, str>>,
}

fn analysis(row: &Row) -> Result<Analysis, Error> {
    Ok(Analysis {
        server_id: ServerId(row.server_id),
        execution_id: ExecutionId(row.execution_id),
        query_id: QueryId(row.query_id),
        started_at: time("analyses.started_at", row.started_at)?,
        execution_time_ms: row.execution_time_ms,
        seq_scan_detected: row.seq_scan_detected,
        severity: row
            .severity
            .map(|rank| severity("analyses.severity", rank))
            .transpose()?,
        findings: Vec::new(),
    })
}

fn finding(row: FindingRow<'static>) -> Result<(ExecutionKey, Finding), Error> {
    let finding = Finding {
        rule: known(Rule::from_name(&row.rule), "findings.rule", &row.rule)?,
        severity: severity("findings.severity", row.severity)?,
        plan_ordinal: ordinal("findings.plan_ordinal", row.plan_ordinal)?,
        node_path: row.node_path.map(Cow::into_owned),
        message: row.message.into_owned(),
        not_decidable: row.not_decidable.map(Cow::into_owned),
    };
    let key = ExecutionKey {
        started_at: time("findings.started_at", row.started_at)?,
        server_id: ServerId(row.server_id),
        id: ExecutionId(row.execution_id),
    };
    Ok((key, finding))
}

impl Reader<'_> {
    /// One page of analyses, newest execution first, without their findings.
    pub fn analyses(&mut self, page: &AnalysisPage) -> Result<Vec<Analysis>, Error> {
        let mut sql = Sql::new(
            "SELECT a.* \
             FROM servers s \
             CROSS JOIN analyses a \
             WHERE a.server_id = s.id AND (a.started_at, a.execution_id) IN ( \
               SELECT x.started_at, x.execution_id FROM analyses x WHERE x.server_id = s.id",
            [],
        );
        if let Some((_, query)) = page.query {
            sql.push(" AND x.query_id = ?", [query.0.into()]);
        }
        if let Some(least) = page.min_severity {
            sql.push(" AND x.severity >= ?", [severity_rank(least).into()]);
        }
        push_window(&mut sql, page.since, page.until);
        if let Some(after) = page.after {
            let started_at = after.started_at.as_microsecond();
            sql.push(
                " AND x.started_at <= ? AND (x.started_at, x.server_id, x.execution_id) < (?, ?, ?)",
                [
                    started_at.into(),
                    started_at.into(),
                    after.server_id.0.into(),
                    after.id.0.into(),
                ],
            );
        }
        sql.push(
            " ORDER BY x.started_at DESC, x.execution_id DESC LIMIT ?)",
            [i64::from(page.limit).into()],
        );
        push_servers(&mut sql, page.server, page.query);
        sql.push(
            " ORDER BY a.started_at DESC, a.server_id DESC, a.execution_id DESC LIMIT ?",
            [i64::from(page.limit).into()],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        rows.iter().map(analysis).collect()
    }

    /// The `limit` slowest analysed executions of each query, slowest first, without their findings.
    pub fn analyses_of(
        &mut self,
        keys: &[QueryKey],
        limit: u32,
    ) -> Result<HashMap<QueryKey, Vec<Analysis>>, Error> {
        self.slowest_analyses(keys, None, None, limit)
    }

    /// The same of executions that started in [`since`, `until`).
    pub fn analyses_between(
        &mut self,
        keys: &[QueryKey],
        since: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<HashMap<QueryKey, Vec<Analysis>>, Error> {
        self.slowest_analyses(keys, Some(since), Some(until), limit)
    }

    fn slowest_analyses(
        &mut self,
        keys: &[QueryKey],
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        limit: u32,
    ) -> Result<HashMap<QueryKey, Vec<Analysis>>, Error> {
        let json = keys_json(keys);
        let mut sql = Sql::new("WITH ", []);
        sql.push(KEYS, [json.as_str().into()]);
        sql.push(
            "SELECT a.* \
             FROM wanted w \
             CROSS JOIN analyses a \
             WHERE a.server_id = w.server_id AND (a.started_at, a.execution_id) IN ( \
               SELECT x.started_at, x.execution_id FROM analyses x \
               WHERE x.server_id = w.server_id AND x.query_id = w.query_id",
            [],
        );
        push_window(&mut sql, since, until);
        sql.push(
            " ORDER BY x.execution_time_ms DESC, x.started_at DESC, x.execution_id DESC LIMIT ?) \
             ORDER BY a.execution_time_ms DESC, a.started_at DESC, a.execution_id DESC",
            [i64::from(limit).into()],
        );
        let rows: Vec<Row> = sql.load(self.connection)?;
        let rows = rows.iter().map(|row| {
            let analysis = analysis(row)?;
            Ok(((analysis.server_id, analysis.query_id), analysis))
        });
        grouped(keys, rows)
    }

    /// Every finding of each execution, in the order found.
    pub fn findings_of(
        &mut self,
        executions: &[ExecutionKey],
    ) -> Result<HashMap<ExecutionKey, Vec<Finding>>, Error> {
        let json = plan::keys_json(executions);
        let mut sql = Sql::new(plan::KEYS, [json.as_str().into()]);
        sql.push(
            "SELECT f.* FROM wanted JOIN findings f USING (server_id, started_at, execution_id) ORDER BY f.ordinal",
            [],
        );
        let rows: Vec<FindingRow<'static>> = sql.load(self.connection)?;
        grouped(executions, rows.into_iter().map(finding))
    }
}

/// Stores the analysis in place of an earlier one of the same execution.
pub(super) fn replace(connection: &mut SqliteConnection, analysis: &Analysis) -> Result<(), Error> {
    let key = ExecutionKey::of_analysis(analysis);
    let row = Row {
        server_id: analysis.server_id.0,
        started_at: analysis.started_at.as_microsecond(),
        execution_id: analysis.execution_id.0,
        query_id: analysis.query_id.0,
        execution_time_ms: analysis.execution_time_ms,
        seq_scan_detected: analysis.seq_scan_detected,
        severity: analysis.severity.map(severity_rank),
    };
    diesel::replace_into(analyses::table)
        .values(&row)
        .execute(connection)?;
    delete_findings(connection, key)?;
    for (ordinal, finding) in (0i64..).zip(&analysis.findings) {
        diesel::insert_into(findings::table)
            .values(&FindingRow {
                server_id: row.server_id,
                started_at: row.started_at,
                execution_id: row.execution_id,
                ordinal,
                rule: Cow::Borrowed(finding.rule.as_str()),
                severity: severity_rank(finding.severity),
                plan_ordinal: finding.plan_ordinal.into(),
                node_path: finding.node_path.as_deref().map(Cow::Borrowed),
                message: text(&finding.message),
                not_decidable: finding.not_decidable.as_deref().map(Cow::Borrowed),
            })
            .execute(connection)?;
    }
    Ok(())
}

pub(super) fn delete_findings(
    connection: &mut SqliteConnection,
    key: ExecutionKey,
) -> Result<(), Error> {
    diesel::delete(
        findings::table.filter(
            findings::server_id
                .eq(key.server_id.0)
                .and(findings::started_at.eq(key.started_at.as_microsecond()))
                .and(findings::execution_id.eq(key.id.0)),
        ),
    )
    .execute(connection)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::store::fixture::{Fixture, analysis, at, batch, execution, finding};

    /// Analyses of one query by execution time: 3, 1, none, 3 and 2 ms, started in this order; alternately WARNING and INFO.
    fn five(fixture: &Fixture) -> Vec<Analysis> {
        let mut batch = batch(fixture.server, 0, 10);
        for (number, ms) in (0..).zip([Some(3.0), Some(1.0), None, Some(3.0), Some(2.0)]) {
            let mut execution = execution(fixture.server, "select $1", number, 0.0);
            execution.duration_ms = ms;
            let severity = [Severity::Warning, Severity::Info][number as usize % 2];
            let found = vec![finding(Rule::SortSpill, severity)];
            batch.analyses.push(analysis(&execution, found));
            batch.executions.push(execution);
        }
        fixture.ingest(&batch).unwrap();
        let mut bare = batch.analyses;
        for analysis in &mut bare {
            analysis.findings.clear();
        }
        bare
    }

    #[test]
    fn the_slowest_of_a_query_come_first_and_those_without_time_last() {
        let fixture = Fixture::new();
        let five = five(&fixture);
        let key = (fixture.server, five[0].query_id);
        let pick = |numbers: &[usize]| numbers.iter().map(|n| five[*n].clone()).collect::<Vec<_>>();
        fixture
            .store
            .read(|reader| {
                assert_eq!(
                    reader.analyses_of(&[key], 10)?[&key],
                    pick(&[3, 0, 4, 1, 2])
                );
                assert_eq!(reader.analyses_of(&[key], 2)?[&key], pick(&[3, 0]));
                assert_eq!(
                    reader.analyses_between(&[key], at(1), at(3), 2)?[&key],
                    pick(&[1, 2])
                );
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn pages_give_each_analysis_once_newest_first() {
        let fixture = Fixture::new();
        let five = five(&fixture);
        let walk = |mut page: AnalysisPage| {
            let mut all = Vec::new();
            loop {
                let rows = fixture.store.read(|reader| reader.analyses(&page)).unwrap();
                let Some(last) = rows.last() else { return all };
                page.after = Some(ExecutionKey {
                    started_at: last.started_at,
                    server_id: last.server_id,
                    id: last.execution_id,
                });
                all.extend(rows);
            }
        };
        let newest_first: Vec<_> = five.iter().rev().cloned().collect();
        let page = AnalysisPage {
            limit: 2,
            ..AnalysisPage::default()
        };
        assert_eq!(walk(page.clone()), newest_first);
        assert_eq!(
            walk(AnalysisPage {
                min_severity: Some(Severity::Notice),
                query: Some((fixture.server, five[0].query_id)),
                since: Some(at(1)),
                ..page
            }),
            [five[4].clone(), five[2].clone()]
        );
    }

    #[test]
    fn an_analysis_replaces_the_earlier_one_with_its_findings() {
        let fixture = Fixture::new();
        let mut execution = execution(fixture.server, "select $1", 0, 5.0);
        execution.open = true;
        let mut first = batch(fixture.server, 0, 10);
        let two = vec![
            finding(Rule::SeqScanFilter, Severity::Critical),
            finding(Rule::SortSpill, Severity::Info),
        ];
        first.analyses = vec![analysis(&execution, two)];
        first.executions = vec![execution.clone()];
        fixture.ingest(&first).unwrap();

        let mut second = batch(fixture.server, 10, 20);
        let one = vec![finding(Rule::NoPlan, Severity::Notice)];
        second.analyses = vec![analysis(&execution, one.clone())];
        fixture.ingest(&second).unwrap();

        let key = ExecutionKey::of(&execution);
        let findings = fixture
            .store
            .read(|reader| reader.findings_of(&[key]))
            .unwrap();
        assert_eq!(findings, [(key, one)].into());
        assert_eq!(fixture.count("analyses"), 1);
    }
}

//! Analyses and their findings: what the rules said of an execution.
//!
//! An analysis comes in with its findings and replaces the execution's earlier one; analyses go out by query or in pages, findings by
//! execution. Which rules there are and what they mean is not known here.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::prelude::*;
use jiff::Timestamp;

use super::{
    Error, Reader,
    backend::Connection,
    column::{known, ordinal, severity, severity_rank, text, time},
    execution::{ExecutionKey, one_server, push_window},
    insert::Insert,
    plan,
    query::{self, QueryKey},
    schema::{analyses, findings},
    sql::{Sql, grouped},
    top::Rows,
};
use crate::model::{
    execution::{Execution, ExecutionId},
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

#[derive(QueryableByName)]
#[diesel(table_name = analyses)]
struct Row {
    server_id: i64,
    started_at: i64,
    execution_id: i64,
    query_id: i64,
    execution_time_ms: Option<f64>,
    seq_scan_detected: Option<bool>,
    severity: Option<i64>,
}

#[derive(QueryableByName)]
#[diesel(table_name = findings)]
struct FindingRow {
    server_id: i64,
    started_at: i64,
    execution_id: i64,
    rule: String,
    severity: i64,
    plan_ordinal: i64,
    node_path: Option<String>,
    message: String,
    not_decidable: Option<String>,
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

fn finding(row: FindingRow) -> Result<(ExecutionKey, Finding), Error> {
    let finding = Finding {
        rule: known(Rule::from_name(&row.rule), "findings.rule", &row.rule)?,
        severity: severity("findings.severity", row.severity)?,
        plan_ordinal: ordinal("findings.plan_ordinal", row.plan_ordinal)?,
        node_path: row.node_path,
        message: row.message,
        not_decidable: row.not_decidable,
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
        let mut filter = Sql::new("", []);
        if let Some((_, query)) = page.query {
            filter.push(" AND x.query_id = ?", [query.0.into()]);
        }
        if let Some(least) = page.min_severity {
            filter.push(" AND x.severity >= ?", [severity_rank(least).into()]);
        }
        push_window(&mut filter, page.since, page.until);
        if let Some(after) = page.after {
            let started_at = after.started_at.as_microsecond();
            filter.push(
                " AND x.started_at <= ? AND (x.started_at, x.server_id, x.execution_id) < (?, ?, ?)",
                [
                    started_at.into(),
                    started_at.into(),
                    after.server_id.0.into(),
                    after.id.0.into(),
                ],
            );
        }
        let rows = Rows {
            table: "analyses",
            key: &["started_at", "execution_id"],
            filter,
            order_by: "x.started_at DESC, x.execution_id DESC",
            limit: page.limit,
        };
        let mut sql = rows.of_servers(
            self.connection.dialect(),
            one_server(page.server, page.query),
        );
        sql.push(
            "SELECT * FROM t ORDER BY started_at DESC, server_id DESC, execution_id DESC LIMIT ?",
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
        let mut filter = Sql::new("", []);
        push_window(&mut filter, since, until);
        let rows = Rows {
            table: "analyses",
            key: &["started_at", "execution_id"],
            filter,
            order_by: "x.execution_time_ms DESC NULLS LAST, x.started_at DESC, x.execution_id DESC",
            limit,
        };
        let mut sql = rows.of_keys(
            self.connection.dialect(),
            ["server_id", "query_id"],
            &query::key_numbers(keys),
        );
        sql.push(
            "SELECT * FROM t ORDER BY execution_time_ms DESC NULLS LAST, started_at DESC, execution_id DESC",
            [],
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
        let mut sql = plan::wanted(executions);
        sql.push(
            "SELECT f.* FROM wanted JOIN findings f USING (server_id, started_at, execution_id) WHERE true",
            [],
        );
        plan::push_places(&mut sql, "f", executions);
        sql.push(" ORDER BY f.ordinal", []);
        let rows: Vec<FindingRow> = sql.load(self.connection)?;
        grouped(executions, rows.into_iter().map(finding))
    }
}

/// Stores those of the analyses of one server that are of executions that were stored with them. What there was of an execution that was `open`
/// before is replaced.
pub(super) fn store(
    connection: &mut Connection,
    analyses: &[Analysis],
    stored: &[&Execution],
    open: &HashSet<ExecutionKey>,
) -> Result<(), Error> {
    if analyses.is_empty() {
        return Ok(());
    }
    let stored: HashSet<ExecutionKey> = stored.iter().map(|e| ExecutionKey::of(e)).collect();
    // Of one that is sent more than once, the last.
    let latest: BTreeMap<ExecutionKey, &Analysis> = analyses
        .iter()
        .map(|analysis| (ExecutionKey::of_analysis(analysis), analysis))
        .filter(|(key, _)| stored.contains(key))
        .collect();
    Analyses::execute(
        connection,
        latest.values().map(|analysis| {
            [
                analysis.server_id.0.into(),
                analysis.started_at.as_microsecond().into(),
                analysis.execution_id.0.into(),
                analysis.query_id.0.into(),
                analysis.execution_time_ms.into(),
                analysis.seq_scan_detected.into(),
                analysis.severity.map(severity_rank).into(),
            ]
        }),
    )?;
    let replaced: Vec<ExecutionKey> = latest
        .keys()
        .copied()
        .filter(|key| open.contains(key))
        .collect();
    delete_findings(connection, &replaced)?;
    Findings::execute(
        connection,
        latest.iter().flat_map(|(key, analysis)| {
            let numbered = (0i64..).zip(&analysis.findings);
            numbered.map(|(ordinal, finding)| {
                [
                    key.server_id.0.into(),
                    key.started_at.as_microsecond().into(),
                    key.id.0.into(),
                    ordinal.into(),
                    finding.rule.as_str().into(),
                    severity_rank(finding.severity).into(),
                    i64::from(finding.plan_ordinal).into(),
                    finding.node_path.as_deref().into(),
                    text(&finding.message).into(),
                    finding.not_decidable.as_deref().into(),
                ]
            })
        }),
    )?;
    Ok(())
}

/// Deletes the findings of executions of one server.
pub(super) fn delete_findings(
    connection: &mut Connection,
    keys: &[ExecutionKey],
) -> Result<(), Error> {
    let Some(key) = keys.first() else {
        return Ok(());
    };
    let mut sql = plan::wanted(keys);
    sql.push(
        "DELETE FROM findings WHERE server_id = ? \
         AND (started_at, execution_id) IN (SELECT w.started_at, w.execution_id FROM wanted w)",
        [key.server_id.0.into()],
    );
    plan::push_places(&mut sql, "findings", keys);
    sql.execute(connection)?;
    Ok(())
}

struct Analyses;

impl Insert for Analyses {
    const INTO: &'static str = "analyses (server_id, started_at, execution_id, query_id, execution_time_ms, seq_scan_detected, severity)";
    const THEN: &'static str = "ON CONFLICT (server_id, started_at, execution_id) DO UPDATE \
         SET query_id = excluded.query_id, execution_time_ms = excluded.execution_time_ms, \
             seq_scan_detected = excluded.seq_scan_detected, severity = excluded.severity";
}

struct Findings;

impl Insert for Findings {
    const INTO: &'static str = "findings (server_id, started_at, execution_id, ordinal, rule, severity, plan_ordinal, node_path, message, not_decidable)";
    const THEN: &'static str = "";
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
        for fixture in Fixture::each() {
            let five = five(&fixture);
            let key = (fixture.server, five[0].query_id);
            let pick =
                |numbers: &[usize]| numbers.iter().map(|n| five[*n].clone()).collect::<Vec<_>>();
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
    }

    #[test]
    fn pages_give_each_analysis_once_newest_first() {
        for fixture in Fixture::each() {
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
    }

    #[test]
    fn an_analysis_replaces_the_earlier_one_with_its_findings() {
        for fixture in Fixture::each() {
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
            second.executions = vec![execution.clone()];
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
}

//! The guard: what a filled-in form proposes, if every name in it is in the plan and every field has a use.
//!
//! In: a form, the case and the names that its plans hold. Out: a recommendation whose command plantail wrote, or why the form is rejected.
//! It assumes that the model does what an attacker says.

use crate::{
    analysis::ddl::{self, Command, Index, IndexColumn, Table},
    model::{
        finding::{Finding, Rule, Severity},
        recommendation::{
            EXPLANATION_CHARS, Recommendation, RecommendationId, RecommendationKind, Source,
            Verification,
        },
    },
};

use super::{
    Advice, Case, Nothing, Rejection, confidence,
    form::{Form, Kind, Order},
    known::Known,
    rewrite, setting,
};

/// What the form proposes, checked.
struct Proposal {
    kind: RecommendationKind,
    target: String,
    command: Option<String>,
    verification: Verification,
}

pub(super) fn advice(case: &Case, known: &Known, form: Form) -> Result<Advice, Rejection> {
    let findings = findings(case, &form)?;
    fields_fit_kind(&form)?;
    let proposal = match form.kind {
        Kind::None => return Ok(Advice::Nothing(Nothing::NothingProposed)),
        Kind::CreateIndex => index(known, &form, &findings)?,
        Kind::Analyze => {
            let (table, columns) = table_and_columns(known, &form)?;
            let command = ddl::analyze(table, &columns).ok_or(Rejection::UnknownTable)?;
            statistics(
                known,
                RecommendationKind::Analyze,
                table,
                command,
                &findings,
            )
        }
        Kind::ExtendedStatistics => {
            let (table, columns) = table_and_columns(known, &form)?;
            let command = ddl::create_statistics(table, &columns).ok_or(Rejection::KindMismatch)?;
            let kind = RecommendationKind::ExtendedStatistics;
            statistics(known, kind, table, command, &findings)
        }
        Kind::Setting => session_setting(&form, &findings)?,
        Kind::Rewrite => {
            let sql = form
                .rewrite
                .as_deref()
                .ok_or(Rejection::KindMismatch)?
                .trim();
            rewrite::check(sql, &case.query.normalized_sql)?;
            Proposal {
                kind: RecommendationKind::Rewrite,
                target: sql.to_owned(),
                command: None,
                verification: Verification::Names,
            }
        }
    };
    let mut rules: Vec<Rule> = findings.iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let severity = findings.iter().map(|finding| finding.severity).max();
    Ok(Advice::Recommendation {
        self_confidence: form.self_confidence,
        recommendation: Box::new(Recommendation {
            server_id: case.query.server_id,
            query_id: case.query.id,
            id: RecommendationId::of(
                case.query.id,
                Source::Model,
                proposal.kind,
                &proposal.target,
            ),
            created_at: case.started_at,
            source: Source::Model,
            kind: proposal.kind,
            rules,
            severity: severity.unwrap_or(Severity::Info),
            confidence_score: Some(confidence::score(proposal.kind, proposal.verification)),
            verification: proposal.verification,
            explanation: explanation(&form)?,
            summary: form.summary,
            disproof: Some(form.disproof),
            command: proposal.command,
        }),
    })
}

/// The findings that the form addresses; each is known and named once.
fn findings<'c>(case: &'c Case, form: &Form) -> Result<Vec<&'c Finding>, Rejection> {
    let mut found: Vec<(String, &Finding)> = Vec::new();
    for id in &form.findings {
        let known = case.numbered_findings().find(|(known, _)| known == id);
        match known {
            Some(known) if found.iter().all(|(other, _)| other != id) => found.push(known),
            _ => return Err(Rejection::UnknownFinding),
        }
    }
    Ok(found.into_iter().map(|(_, finding)| finding).collect())
}

/// A field that the kind has no use for must be empty: what isn't looked at could say anything.
fn fields_fit_kind(form: &Form) -> Result<(), Rejection> {
    let names_table = matches!(
        form.kind,
        Kind::CreateIndex | Kind::Analyze | Kind::ExtendedStatistics
    );
    let ordered = form
        .columns
        .iter()
        .any(|column| column.order == Order::Desc);
    let fits = form.table.is_some() == names_table
        && (names_table || (form.schema.is_none() && form.columns.is_empty()))
        && (form.kind == Kind::CreateIndex || (form.include.is_empty() && !ordered))
        && form.setting.is_some() == (form.kind == Kind::Setting)
        && form.rewrite.is_some() == (form.kind == Kind::Rewrite);
    if fits {
        Ok(())
    } else {
        Err(Rejection::KindMismatch)
    }
}

/// The form's table and columns, each column in the plan's conditions and named once.
fn table_and_columns<'k>(
    known: &'k Known,
    form: &Form,
) -> Result<(&'k Table, Vec<String>), Rejection> {
    let name = form.table.as_deref().ok_or(Rejection::KindMismatch)?;
    let table = known
        .table(form.schema.as_deref(), name)
        .ok_or(Rejection::UnknownTable)?;
    let mut columns: Vec<String> = Vec::with_capacity(form.columns.len());
    for column in &form.columns {
        if !known.has_column(table, &column.name) || columns.contains(&column.name) {
            return Err(Rejection::UnknownColumn);
        }
        columns.push(column.name.clone());
    }
    Ok((table, columns))
}

fn index(known: &Known, form: &Form, findings: &[&Finding]) -> Result<Proposal, Rejection> {
    let (table, columns) = table_and_columns(known, form)?;
    let mut include: Vec<String> = Vec::with_capacity(form.include.len());
    for name in &form.include {
        let twice = columns.contains(name) || include.contains(name);
        if !known.has_output(table, name) || twice {
            return Err(Rejection::UnknownColumn);
        }
        include.push(name.clone());
    }
    let command = ddl::create_index(&Index {
        table: table.clone(),
        columns: form
            .columns
            .iter()
            .map(|column| IndexColumn {
                name: column.name.clone(),
                descending: column.order == Order::Desc,
            })
            .collect(),
        include,
    });
    let Command { target, sql } = command.ok_or(Rejection::KindMismatch)?;
    // The first key column narrows what a scan reads, if that scan asks for it.
    let fits = scans(
        known,
        findings,
        &[
            Rule::SeqScanFilter,
            Rule::IndexFilter,
            Rule::NestedLoopInner,
        ],
    )
    .any(|scan| {
        scan.table == *table
            && columns
                .first()
                .is_some_and(|first| scan.columns.contains(first))
    });
    Ok(Proposal {
        kind: RecommendationKind::CreateIndex,
        target,
        command: Some(sql),
        verification: verification(fits),
    })
}

fn statistics(
    known: &Known,
    kind: RecommendationKind,
    table: &Table,
    command: Command,
    findings: &[&Finding],
) -> Proposal {
    let fits = scans(known, findings, &[Rule::RowMisestimate]).any(|scan| scan.table == *table);
    Proposal {
        kind,
        target: command.target,
        command: Some(command.sql),
        verification: verification(fits),
    }
}

fn session_setting(form: &Form, findings: &[&Finding]) -> Result<Proposal, Rejection> {
    let proposed = form.setting.as_ref().ok_or(Rejection::KindMismatch)?;
    let (name, value) = setting::allowed(&proposed.name, &proposed.value)?;
    let Command { target, sql } = ddl::set(name, value).ok_or(Rejection::SettingNotAllowed)?;
    let memory = ["work_mem", "hash_mem_multiplier"].contains(&name);
    let fits = memory
        && findings.iter().any(|finding| {
            [Rule::SortSpill, Rule::HashSpill, Rule::LossyBitmap].contains(&finding.rule)
        });
    Ok(Proposal {
        kind: RecommendationKind::Setting,
        target,
        command: Some(sql),
        verification: verification(fits),
    })
}

/// The scans that findings of `rules` point at.
fn scans<'k>(
    known: &'k Known,
    findings: &[&Finding],
    rules: &[Rule],
) -> impl Iterator<Item = &'k super::known::Scan> {
    findings
        .iter()
        .filter(|finding| rules.contains(&finding.rule))
        .filter_map(|finding| known.scan(finding.plan_ordinal, finding.node_path.as_deref()?))
}

fn verification(evidence_fits: bool) -> Verification {
    if evidence_fits {
        Verification::Plan
    } else {
        Verification::Names
    }
}

/// The form's explanation, with the rewrite below it, labelled.
fn explanation(form: &Form) -> Result<String, Rejection> {
    let Some(sql) = &form.rewrite else {
        return Ok(form.explanation.clone());
    };
    let text = format!(
        "{}\n\nNot verified to return the same rows:\n{}",
        form.explanation,
        sql.trim()
    );
    if text.chars().count() > EXPLANATION_CHARS {
        return Err(Rejection::Limit);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use serde_json::{Value, json};

    use super::super::{
        form, sendable,
        test_cases::{answer, case},
    };
    use super::*;

    /// What becomes of the good answer with some fields changed: command, severity and confidence.
    fn check(changes: &Value, expected: Result<(Option<&str>, Severity, f64), Rejection>) {
        let mut answer = answer();
        for (field, value) in changes.as_object().unwrap() {
            answer[field] = value.clone();
        }
        let case = case();
        let mut known = Known::default();
        for plan in sendable::plans(&case).unwrap() {
            known.add(plan.ordinal, &plan.root);
        }
        let form = form::read(&answer.to_string()).unwrap();
        let got = advice(&case, &known, form).map(|advice| match advice {
            Advice::Recommendation { recommendation, .. } => *recommendation,
            Advice::Nothing(nothing) => panic!("{nothing:?}"),
        });
        let got = got.as_ref().map(|found| {
            (
                found.command.as_deref(),
                found.severity,
                found.confidence_score.unwrap(),
            )
        });
        assert_eq!(got.map_err(|rejection| *rejection), expected, "{changes}");
    }

    #[test]
    fn commands_are_written_from_the_form() {
        let index = "CREATE INDEX CONCURRENTLY ON orders (email)";
        check(&json!({}), Ok((Some(index), Severity::Critical, 0.5)));
        check(
            &json!({"findings": ["f2"]}),
            Ok((Some(index), Severity::Notice, 0.3)),
        );
        check(
            &json!({
                "columns": [{"name": "created_at", "order": "desc"}, {"name": "email", "order": "asc"}],
                "include": ["total"]
            }),
            Ok((
                Some(
                    "CREATE INDEX CONCURRENTLY ON orders (created_at DESC, email) INCLUDE (total)",
                ),
                Severity::Critical,
                0.3,
            )),
        );
        check(
            &json!({"findings": ["f3"], "kind": "analyze", "columns": []}),
            Ok((Some("ANALYZE orders"), Severity::Info, 0.4)),
        );
        let setting = json!({
            "findings": ["f2"], "kind": "setting", "table": null, "columns": [],
            "setting": {"name": "work_mem", "value": "64MB"}
        });
        check(
            &setting,
            Ok((Some("SET work_mem = '64MB'"), Severity::Notice, 0.5)),
        );
        check(
            &json!({
                "kind": "rewrite", "table": null, "columns": [],
                "rewrite": "select * from orders where email = $1"
            }),
            Ok((None, Severity::Critical, 0.2)),
        );
    }

    #[test]
    fn names_that_the_plan_does_not_hold_reject_the_form() {
        for (changes, expected) in [
            (json!({"findings": ["f4"]}), Rejection::UnknownFinding),
            (json!({"findings": ["f1", "f1"]}), Rejection::UnknownFinding),
            (json!({"table": "оrders"}), Rejection::UnknownTable),
            (
                json!({"table": "orders; DROP TABLE t"}),
                Rejection::UnknownTable,
            ),
            (json!({"schema": "public"}), Rejection::UnknownTable),
            (
                json!({"columns": [{"name": "(pg_sleep(10))", "order": "asc"}]}),
                Rejection::UnknownColumn,
            ),
            (
                json!({"columns": [{"name": "total", "order": "asc"}]}),
                Rejection::UnknownColumn,
            ),
            (json!({"include": ["secret"]}), Rejection::UnknownColumn),
            (json!({"include": ["email"]}), Rejection::UnknownColumn),
        ] {
            check(&changes, Err(expected));
        }
    }

    #[test]
    fn fields_without_a_use_reject_the_form() {
        let setting = json!({"name": "autovacuum_enabled", "value": "off"});
        for (changes, expected) in [
            (json!({"columns": []}), Rejection::KindMismatch),
            (json!({"table": null}), Rejection::KindMismatch),
            (json!({"setting": setting}), Rejection::KindMismatch),
            (json!({"rewrite": "select $1"}), Rejection::KindMismatch),
            (json!({"kind": "none"}), Rejection::KindMismatch),
            (
                json!({"kind": "extended_statistics"}),
                Rejection::KindMismatch,
            ),
            (
                json!({"kind": "setting", "table": null, "columns": [], "setting": setting}),
                Rejection::SettingNotAllowed,
            ),
            (
                json!({"kind": "rewrite", "table": null, "columns": [], "rewrite": "drop table orders"}),
                Rejection::RewriteNotAllowed,
            ),
            (
                json!({
                    "kind": "rewrite", "table": null, "columns": [], "explanation": "x".repeat(1980),
                    "rewrite": "select * from orders where email = $1"
                }),
                Rejection::Limit,
            ),
        ] {
            check(&changes, Err(expected));
        }
    }
}

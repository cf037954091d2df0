//! The table of the rules, and what they say together about one execution.
//!
//! In: an execution and its captured plans. Out: an [`Analysis`], its worst finding first. A rule that lacks what it needs says so instead of
//! staying silent, once for all rules that lack the same.

use std::cmp::Reverse;

use crate::model::{
    execution::{CapturedPlan, Execution},
    finding::{Analysis, Finding, Rule, Severity},
};

use super::{
    Config, hash_spill, index_filter, lossy_bitmap, measure::MeasuredPlan, nested_loop_inner,
    no_plan, row_misestimate, seq_scan_filter, sort_spill,
};

/// One thing that a rule found at one node of a plan.
pub(super) struct Hit {
    pub(super) node_path: String,
    pub(super) severity: Severity,
    /// What orders hits of equal severity.
    pub(super) weight_ms: f64,
    pub(super) message: String,
}

/// What every rule that reads plans needs: without it a plan has no actual rows.
const LOG_ANALYZE: &str = "auto_explain.log_analyze";

type Check = fn(&MeasuredPlan<'_>, &Config) -> Vec<Hit>;

/// Every rule that reads plans. Time (log_timing) sharpens the severity of each and is needed by none.
const PLAN_RULES: [(Rule, Check); 7] = [
    (Rule::SeqScanFilter, seq_scan_filter::check),
    (Rule::RowMisestimate, row_misestimate::check),
    (Rule::SortSpill, sort_spill::check),
    (Rule::HashSpill, hash_spill::check),
    (Rule::NestedLoopInner, nested_loop_inner::check),
    (Rule::IndexFilter, index_filter::check),
    (Rule::LossyBitmap, lossy_bitmap::check),
];

/// What the rules say about `execution`, worst finding first; `plans` are its captured plans in the order logged. `None` when there is
/// neither a plan nor a duration over the slow threshold to speak of.
pub fn analyse(
    execution: &Execution,
    plans: &[&CapturedPlan],
    config: &Config,
) -> Option<Analysis> {
    let plans_ms: f64 = plans.iter().map(|plan| plan.duration_ms).sum();
    let execution_time_ms = execution
        .duration_ms
        .or((!plans.is_empty()).then_some(plans_ms));
    let mut findings = Vec::new();
    let mut undecided: Option<u32> = None;
    let mut seq_scan_detected = None;
    for captured in plans {
        let plan = MeasuredPlan::of(&captured.plan, whole_ms(execution, plans));
        seq_scan_detected = Some(seq_scan_detected == Some(true) || plan.has_seq_scan());
        if !plan.analyzed {
            undecided = undecided.or(Some(captured.ordinal));
            continue;
        }
        for (rule, check) in PLAN_RULES {
            findings.extend(findings_of(
                rule,
                check(&plan, config),
                captured.ordinal,
                config,
            ));
        }
    }
    findings.extend(undecided.map(not_decidable));
    if plans.is_empty() {
        findings.push(no_plan::check(execution, config)?);
    }
    findings.sort_by_key(|finding| Reverse(finding.severity));
    Some(Analysis {
        server_id: execution.server_id,
        execution_id: execution.id,
        query_id: execution.query.id,
        started_at: execution.started_at,
        execution_time_ms,
        seq_scan_detected,
        severity: findings.first().map(|finding| finding.severity),
        findings,
    })
}

/// What shares of time are shares of, in milliseconds. A portal read in pieces has a plan that holds the time of all pieces, so that the plans can
/// take longer than the statement.
pub(super) fn whole_ms(execution: &Execution, plans: &[&CapturedPlan]) -> f64 {
    let plans_ms: f64 = plans.iter().map(|plan| plan.duration_ms).sum();
    plans_ms.max(execution.duration_ms.unwrap_or(0.0))
}

fn findings_of(
    rule: Rule,
    mut hits: Vec<Hit>,
    plan_ordinal: u32,
    config: &Config,
) -> impl Iterator<Item = Finding> {
    hits.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            .then(b.weight_ms.total_cmp(&a.weight_ms))
    });
    hits.into_iter()
        .take(config.max_findings_per_rule)
        .map(move |hit| Finding {
            rule,
            severity: hit.severity,
            plan_ordinal,
            node_path: Some(hit.node_path),
            message: hit.message,
            not_decidable: None,
        })
}

/// One finding for all rules that lack actual rows; it stands under the first of them.
fn not_decidable(plan_ordinal: u32) -> Finding {
    let [(first, _), ..] = PLAN_RULES;
    let names = PLAN_RULES.map(|(rule, _)| rule.as_str());
    Finding {
        rule: first,
        severity: Severity::Info,
        plan_ordinal,
        node_path: None,
        message: format!(
            "not decidable: {LOG_ANALYZE} is off, so the plan tells no actual rows ({})",
            names.join(", ")
        ),
        not_decidable: Some(LOG_ANALYZE.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_plans::{captured, execution, node, scan};
    use super::*;
    use crate::model::plan::PlanNode;

    fn wasteful(ms: f64) -> PlanNode {
        PlanNode {
            actual_rows: Some(10.0),
            rows_removed_by_filter: Some(1_000_000.0),
            actual_total_time_ms: Some(ms),
            ..scan("Seq Scan", "orders", "(email = ?)")
        }
    }

    /// Execution time, whether a sequential scan was seen, and rule, severity, place and missing setting of every finding.
    type Said = (
        Option<f64>,
        Option<bool>,
        Vec<(Rule, Severity, Option<&'static str>, Option<&'static str>)>,
    );

    fn check(duration_ms: Option<f64>, roots: Vec<PlanNode>, expected: Option<Said>) {
        let plans: Vec<CapturedPlan> = roots.into_iter().map(captured).collect();
        let plans: Vec<&CapturedPlan> = plans.iter().collect();
        let execution = execution("select $1", duration_ms);
        let analysis = analyse(&execution, &plans, &Config::default());
        let expected = expected.map(|(execution_time_ms, seq_scan_detected, findings)| {
            (
                execution_time_ms,
                seq_scan_detected,
                findings.first().map(|found| found.1),
                findings
                    .into_iter()
                    .map(|(rule, severity, path, setting)| {
                        (
                            rule,
                            severity,
                            path.map(str::to_owned),
                            setting.map(str::to_owned),
                        )
                    })
                    .collect(),
            )
        });
        let got = analysis.map(|analysis| {
            let findings: Vec<_> = analysis
                .findings
                .into_iter()
                .map(|found| {
                    (
                        found.rule,
                        found.severity,
                        found.node_path,
                        found.not_decidable,
                    )
                })
                .collect();
            (
                analysis.execution_time_ms,
                analysis.seq_scan_detected,
                analysis.severity,
                findings,
            )
        });
        assert_eq!(got, expected);
    }

    #[test]
    fn the_worst_finding_comes_first_and_each_rule_is_capped() {
        let partitions = [50.0, 300.0, 20.0, 500.0, 10.0].map(wasteful).to_vec();
        let append = PlanNode {
            plans: partitions,
            ..node("Append")
        };
        let found = |path, severity| (Rule::SeqScanFilter, severity, Some(path), None);
        check(
            Some(950.0),
            vec![append],
            Some((
                Some(950.0),
                Some(true),
                vec![
                    found("0.3", Severity::Warning),
                    found("0.1", Severity::Notice),
                    found("0.0", Severity::Info),
                ],
            )),
        );
    }

    #[test]
    fn without_log_analyze_the_rules_say_once_that_they_cannot_tell() {
        let estimates = || PlanNode {
            actual_loops: None,
            ..scan("Seq Scan", "orders", "(email = ?)")
        };
        check(
            None,
            vec![estimates(), estimates()],
            Some((
                Some(1800.0),
                Some(true),
                vec![(
                    Rule::SeqScanFilter,
                    Severity::Info,
                    None,
                    Some("auto_explain.log_analyze"),
                )],
            )),
        );
    }

    #[test]
    fn a_sequential_scan_that_never_ran_is_none() {
        let never = PlanNode {
            actual_loops: Some(0.0),
            ..wasteful(0.0)
        };
        let limit = PlanNode {
            plans: vec![never],
            ..node("Limit")
        };
        check(
            Some(1.0),
            vec![limit],
            Some((Some(1.0), Some(false), vec![])),
        );
    }

    #[test]
    fn without_plans_only_slowness_is_spoken_of() {
        check(Some(10.0), vec![], None);
        check(
            Some(1500.0),
            vec![],
            Some((
                Some(1500.0),
                None,
                vec![(Rule::NoPlan, Severity::Notice, None, None)],
            )),
        );
    }
}

//! Recommendations that follow from a plan by rule: an index candidate from a scan's conditions, a work_mem target from a spill.
//!
//! In: an execution with its plans and the findings about them. Out: proposals whose evidence is in the plan; findings of severity INFO give none.

use crate::model::{
    execution::{CapturedPlan, Execution},
    finding::{Analysis, Finding, Rule, Severity},
    recommendation::{
        DISPROOF_CHARS, EXPLANATION_CHARS, Recommendation, RecommendationId, RecommendationKind,
        SUMMARY_CHARS, Source, Verification,
    },
};

use super::{
    Config,
    ddl::{self, Command, IndexColumn},
    index_candidate::{Candidate, candidate},
    measure::MeasuredPlan,
    wording,
    work_mem::{Target, target},
};

/// Confidence in an index that the plan's evidence fits but for one doubt: a column may be of a type that it doesn't serve, or a condition that
/// it doesn't answer may be the one that throws the rows away.
const CONFIDENCE_IN_DOUBT: f64 = 0.4;

/// What a rule proposes for one or more findings.
struct Proposal {
    kind: RecommendationKind,
    /// What is proposed, in canonical form.
    target: String,
    command: Option<String>,
    /// For an index, what tells whether another one covers it.
    columns: Vec<IndexColumn>,
    rules: Vec<Rule>,
    severity: Severity,
    confidence: f64,
    summary: String,
    explanation: String,
    disproof: String,
}

/// The proposals for the findings in `analysis`, made of the same `execution` and `plans`.
pub fn recommend(
    execution: &Execution,
    plans: &[&CapturedPlan],
    analysis: &Analysis,
    config: &Config,
) -> Vec<Recommendation> {
    let mut indexes = Vec::new();
    let mut spills = Vec::new();
    for captured in plans {
        let plan = MeasuredPlan::of(&captured.plan, super::rules::whole_ms(execution, plans));
        for finding in &analysis.findings {
            let node = finding.node_path.as_ref().and_then(|path| plan.at(path));
            let (Some(node), true) = (node, finding.plan_ordinal == captured.ordinal) else {
                continue;
            };
            if finding.severity == Severity::Info || finding.not_decidable.is_some() {
                continue;
            }
            match finding.rule {
                Rule::SeqScanFilter | Rule::IndexFilter | Rule::NestedLoopInner => {
                    let found = candidate(&plan, node, config);
                    merge(&mut indexes, found.and_then(|found| index(&found, finding)));
                }
                Rule::SortSpill | Rule::HashSpill => {
                    spills
                        .extend(target(&plan, node, config).map(|to| (to, finding, node.label())));
                }
                Rule::RowMisestimate | Rule::LossyBitmap | Rule::NoPlan => {}
            }
        }
    }
    let indexes = without_covered(indexes).into_iter();
    indexes
        .chain(work_mem(&spills, config))
        .map(|proposal| recommendation(execution, proposal))
        .collect()
}

fn index(found: &Candidate, finding: &Finding) -> Option<Proposal> {
    let Command { target, sql } = ddl::create_index(&found.index)?;
    let mut explanation = format!("{}.", finding.message);
    if found.index.columns.len() > 1 {
        explanation.push_str(" Equality columns come first, then one range column.");
    }
    if found.extends_index {
        explanation.push_str(" The index in use doesn't hold all of them.");
    }
    explanation
        .push_str(" The log doesn't tell which indexes exist: look at them before adding one.");
    if found.index.table.schema.is_none() {
        explanation.push_str(" The log doesn't tell the schema either (auto_explain.log_verbose).");
    }
    let mut disproof = format!(
        "EXPLAIN still shows no index condition on {} with the index in place.",
        found.index.table.name
    );
    if !found.as_text.is_empty() {
        disproof.push_str(&format!(
            " It serves {} only if the column is varchar: other types are converted to text.",
            found.as_text.join(", ")
        ));
    }
    if found.partly {
        disproof.push_str(" Or nearly all rows pass the conditions on its columns.");
    }
    let certain = found.as_text.is_empty() && !found.partly;
    let mut summary = format!("An index on {target} finds the rows that are kept");
    if !found.as_text.is_empty() {
        summary.push_str(&format!(", if {} is varchar", found.as_text.join(", ")));
    }
    if found.partly {
        summary = format!("An index on {target} may help, if few rows match on it");
    }
    let cap = Verification::Plan.confidence_cap();
    Some(Proposal {
        kind: RecommendationKind::CreateIndex,
        summary,
        target,
        command: Some(sql),
        columns: found.index.columns.clone(),
        rules: vec![finding.rule],
        severity: if found.partly {
            Severity::Info
        } else {
            finding.severity
        },
        confidence: if certain { cap } else { CONFIDENCE_IN_DOUBT },
        explanation,
        disproof,
    })
}

/// Adds `new`, or its evidence where the same is proposed already.
fn merge(proposals: &mut Vec<Proposal>, new: Option<Proposal>) {
    let Some(new) = new else { return };
    match proposals
        .iter_mut()
        .find(|known| known.target == new.target)
    {
        Some(known) => {
            known.severity = known.severity.max(new.severity);
            known.rules.extend(new.rules);
            known.rules.sort_unstable();
            known.rules.dedup();
        }
        None => proposals.push(new),
    }
}

/// An index on (a, b) serves what one on (a) would.
fn without_covered(proposals: Vec<Proposal>) -> Vec<Proposal> {
    let table = |proposal: &Proposal| {
        let end = proposal.target.rfind(" (").unwrap_or(0);
        proposal.target.split_at(end).0.to_owned()
    };
    let all: Vec<(String, Vec<IndexColumn>)> = proposals
        .iter()
        .map(|proposal| (table(proposal), proposal.columns.clone()))
        .collect();
    proposals
        .into_iter()
        .filter(|proposal| {
            !all.iter().any(|(of, columns)| {
                *of == table(proposal)
                    && columns.len() > proposal.columns.len()
                    && columns.starts_with(&proposal.columns)
            })
        })
        .collect()
}

/// One proposal for all spills of an execution: the largest decides.
fn work_mem(spills: &[(Target, &Finding, String)], config: &Config) -> Option<Proposal> {
    let kilobytes = |target: Target| match target {
        Target::Fits(kb) | Target::TooLarge(kb) => kb,
    };
    let (target, finding, label) = spills
        .iter()
        .max_by(|a, b| kilobytes(a.0).total_cmp(&kilobytes(b.0)))?;
    let mut rules: Vec<Rule> = spills.iter().map(|(_, finding, _)| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let severity = spills
        .iter()
        .map(|(_, finding, _)| finding.severity)
        .max()
        .unwrap_or(finding.severity);
    let proposal = |kind, target: &str, command, summary, explanation, disproof: &str| Proposal {
        kind,
        target: target.to_owned(),
        command,
        columns: Vec::new(),
        rules,
        severity,
        confidence: Verification::Plan.confidence_cap(),
        summary,
        explanation,
        disproof: disproof.to_owned(),
    };
    match *target {
        Target::Fits(kb) => {
            let value = wording::memory(kb);
            let Command { target, sql } = ddl::set("work_mem", &value)?;
            Some(proposal(
                RecommendationKind::Setting,
                &target,
                Some(sql),
                format!("With work_mem = {value} the {label} stays in memory"),
                format!(
                    "{}. The target is what this execution would have needed, rounded up to a power of two. Set it for the session or role that runs this \
                     query: every sort and hash of every session may take that much.",
                    finding.message
                ),
                "EXPLAIN ANALYZE with this setting still shows Disk or more than one batch, or takes as long.",
            ))
        }
        Target::TooLarge(kb) => Some(proposal(
            RecommendationKind::Rewrite,
            "less to sort or hash",
            None,
            format!("No sensible work_mem fits the {label}: give it fewer or narrower rows"),
            format!(
                "{}. In memory it would need about {} kB, more than the limit of {} for a proposal. Filter earlier, select fewer columns, or let an index \
                 return the rows in order.",
                finding.message,
                wording::count(kb),
                wording::memory(config.work_mem_max_kb)
            ),
            "The rows that it gets are few and narrow already.",
        )),
    }
}

fn recommendation(execution: &Execution, proposal: Proposal) -> Recommendation {
    let first = |text: String, limit: usize| match text.char_indices().nth(limit) {
        Some((end, _)) => text.split_at(end).0.to_owned(),
        None => text,
    };
    Recommendation {
        server_id: execution.server_id,
        query_id: execution.query.id,
        id: RecommendationId::of(
            execution.query.id,
            Source::Rule,
            proposal.kind,
            &proposal.target,
        ),
        created_at: execution.started_at,
        source: Source::Rule,
        kind: proposal.kind,
        rules: proposal.rules,
        severity: proposal.severity,
        confidence_score: Some(proposal.confidence),
        verification: Verification::Plan,
        summary: first(proposal.summary, SUMMARY_CHARS),
        explanation: first(proposal.explanation, EXPLANATION_CHARS),
        disproof: Some(first(proposal.disproof, DISPROOF_CHARS)),
        command: proposal.command,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        rules::analyse,
        test_plans::{captured, execution, node, scan},
    };
    use super::*;
    use crate::model::plan::PlanNode;

    /// Command (or summary where there is none), severity, confidence and rules of every proposal.
    fn check(root: PlanNode, expected: &[(&str, Severity, f64, &[Rule])]) {
        let execution = execution("select $1", Some(900.0));
        let captured = captured(root);
        let config = Config::default();
        let found = analyse(&execution, &[&captured], &config)
            .map(|analysis| recommend(&execution, &[&captured], &analysis, &config))
            .unwrap_or_default();
        let got: Vec<_> = found
            .iter()
            .map(|found| {
                (
                    found.command.as_deref().unwrap_or(&found.summary),
                    found.severity,
                    found.confidence_score.unwrap_or(-1.0),
                    found.rules.as_slice(),
                )
            })
            .collect();
        assert_eq!(got, expected);
    }

    fn wasteful(filter: &str, ms: f64) -> PlanNode {
        PlanNode {
            actual_rows: Some(10.0),
            rows_removed_by_filter: Some(1_000_000.0),
            actual_total_time_ms: Some(ms),
            ..scan("Seq Scan", "orders", filter)
        }
    }

    #[test]
    fn a_wasteful_scan_gets_an_index() {
        check(
            wasteful("((created_at > ?) AND (customer_id = ?))", 800.0),
            &[(
                "CREATE INDEX CONCURRENTLY ON orders (customer_id, created_at)",
                Severity::Warning,
                0.5,
                &[Rule::SeqScanFilter],
            )],
        );
        check(
            wasteful("((status)::text = ?::text)", 800.0),
            &[(
                "CREATE INDEX CONCURRENTLY ON orders (status)",
                Severity::Warning,
                0.4,
                &[Rule::SeqScanFilter],
            )],
        );
        check(wasteful("(customer_id = ?)", 5.0), &[]);
        check(wasteful("(lower(email) = ?)", 800.0), &[]);
    }

    #[test]
    fn doubt_lowers_confidence() {
        check(
            wasteful("((customer_id = ?) AND (note ~~ ?))", 800.0),
            &[(
                "CREATE INDEX CONCURRENTLY ON orders (customer_id)",
                Severity::Info,
                0.4,
                &[Rule::SeqScanFilter],
            )],
        );
    }

    #[test]
    fn an_index_that_another_covers_is_left_out() {
        let append = |second: &str| PlanNode {
            plans: vec![
                wasteful("(customer_id = ?)", 400.0),
                wasteful(second, 400.0),
            ],
            ..node("Append")
        };
        let both = "CREATE INDEX CONCURRENTLY ON orders (customer_id, created_at)";
        check(
            append("((created_at > ?) AND (customer_id = ?))"),
            &[(both, Severity::Notice, 0.5, &[Rule::SeqScanFilter])],
        );
        check(
            append("(customer_id = ?)"),
            &[(
                "CREATE INDEX CONCURRENTLY ON orders (customer_id)",
                Severity::Notice,
                0.5,
                &[Rule::SeqScanFilter],
            )],
        );
    }

    #[test]
    fn the_largest_spill_decides_on_work_mem() {
        let hash = PlanNode {
            hash_batches: Some(4.0),
            peak_memory_usage_kb: Some(4096.0),
            actual_total_time_ms: Some(300.0),
            ..node("Hash")
        };
        let sort = |kb| PlanNode {
            sort_space_type: Some("Disk".to_owned()),
            sort_space_used_kb: Some(kb),
            actual_rows: Some(1000.0),
            actual_total_time_ms: Some(800.0),
            plans: vec![PlanNode {
                actual_rows: Some(1000.0),
                ..hash.clone()
            }],
            ..node("Sort")
        };
        let rules: &[Rule] = &[Rule::SortSpill, Rule::HashSpill];
        check(
            sort(48_000.0),
            &[("SET work_mem = '64MB'", Severity::Warning, 0.5, rules)],
        );
        check(
            sort(4_000_000.0),
            &[(
                "No sensible work_mem fits the Sort: give it fewer or narrower rows",
                Severity::Warning,
                0.5,
                rules,
            )],
        );
    }
}

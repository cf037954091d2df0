//! The work_mem with which a sort or hash that went to disk would have stayed in memory, from what the plan says of the spill.

use super::{
    Config,
    measure::{MeasuredNode, MeasuredPlan, logged},
};

/// Bytes that a sort needs per row in memory beyond what the row takes on disk: its entry in the array of tuples, which grows by doubling, and
/// the allocator's header. Measured on PostgreSQL 15 with rows of 4 to 560 bytes: 61 to 65.
const SORT_BYTES_PER_ROW: f64 = 66.0;

/// Bytes that a hash aggregate needs per group beyond the width of its row: the tuple's header, transition values and its part of the bucket array.
/// Measured on PostgreSQL 15 with rows of 4 to 62 bytes: 88 to 116.
const GROUP_BYTES: f64 = 116.0;

/// What to do about a spill.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    /// Kilobytes, a power of two.
    Fits(f64),
    /// More kilobytes than work_mem is proposed with.
    TooLarge(f64),
}

/// The target for the node that spilled; `None` where the plan doesn't tell enough.
pub(super) fn target(
    plan: &MeasuredPlan<'_>,
    node: &MeasuredNode<'_>,
    config: &Config,
) -> Option<Target> {
    let needed_kb = match node.plan.node_type.as_str() {
        "Hash" => hash_kb(plan, node)?,
        "Aggregate" => aggregate_kb(node)?,
        _ => sort_kb(node)?,
    };
    if !needed_kb.is_finite() || needed_kb <= 0.0 {
        return None;
    }
    // Half a step of headroom on average, and a value that people recognise.
    let rounded_kb = needed_kb.max(1024.0).log2().ceil().exp2();
    Some(if rounded_kb <= config.work_mem_max_kb {
        Target::Fits(rounded_kb)
    } else {
        Target::TooLarge(needed_kb)
    })
}

/// The tapes hold every row once.
fn sort_kb(node: &MeasuredNode<'_>) -> Option<f64> {
    let on_disk_kb = logged(node.plan.sort_space_used_kb)?;
    let input = node.plan.plans.first().unwrap_or(node.plan);
    let rows = logged(input.actual_rows)?;
    Some(on_disk_kb + rows * SORT_BYTES_PER_ROW / 1024.0)
}

/// Each batch fits in the peak memory. hash_mem_multiplier is 2 from PostgreSQL 15 on and 1 before; the log tells it only where it was changed, so
/// that the default counts as 1.
fn hash_kb(plan: &MeasuredPlan<'_>, node: &MeasuredNode<'_>) -> Option<f64> {
    let multiplier = plan
        .setting("hash_mem_multiplier")
        .and_then(|value| value.parse::<f64>().ok())
        .filter(|multiplier| *multiplier >= 1.0)
        .unwrap_or(1.0);
    Some(logged(node.plan.hash_batches)? * logged(node.plan.peak_memory_usage_kb)? / multiplier)
}

/// Spilled are input rows, not groups: what matters is how many groups came out.
fn aggregate_kb(node: &MeasuredNode<'_>) -> Option<f64> {
    let groups =
        logged(node.plan.actual_rows)? + logged(node.plan.rows_removed_by_filter).unwrap_or(0.0);
    Some(groups * (GROUP_BYTES + logged(node.plan.plan_width)?) / 1024.0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::test_plans::{node, plan};
    use super::*;
    use crate::model::plan::PlanNode;

    fn check(root: PlanNode, settings: &[(&str, &str)], expected: Option<Target>) {
        let mut plan = plan(root);
        plan.settings = Some(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        );
        let measured = MeasuredPlan::of(&plan, 900.0);
        let found = target(&measured, measured.at("0").unwrap(), &Config::default());
        assert_eq!(found, expected);
    }

    fn sort(disk_kb: f64, rows: f64) -> PlanNode {
        PlanNode {
            sort_space_used_kb: Some(disk_kb),
            plans: vec![PlanNode {
                actual_rows: Some(rows),
                ..node("Seq Scan")
            }],
            ..node("Sort")
        }
    }

    /// Disk use and rows of sorts that PostgreSQL 15 then did in 56,039, 34,164 and 252,914 kB of memory.
    #[test]
    fn a_sort_gets_what_it_took_in_memory() {
        check(sort(30_168.0, 400_000.0), &[], Some(Target::Fits(65_536.0)));
        check(sort(10_208.0, 400_000.0), &[], Some(Target::Fits(65_536.0)));
        check(
            sort(227_464.0, 400_000.0),
            &[],
            Some(Target::Fits(262_144.0)),
        );
        check(
            sort(1_500_000.0, 0.0),
            &[],
            Some(Target::TooLarge(1_500_000.0)),
        );
        check(node("Sort"), &[], None);
    }

    #[test]
    fn a_hash_gets_all_its_batches() {
        let hash = || PlanNode {
            hash_batches: Some(16.0),
            peak_memory_usage_kb: Some(4096.0),
            ..node("Hash")
        };
        check(hash(), &[], Some(Target::Fits(65_536.0)));
        check(
            hash(),
            &[("hash_mem_multiplier", "4")],
            Some(Target::Fits(16_384.0)),
        );
    }

    /// Groups and widths of aggregates that PostgreSQL 15 then did in 45,073 and 69,649 kB of memory.
    #[test]
    fn a_hash_aggregate_gets_room_for_its_groups() {
        for (width, kb) in [(22.0, 65_536.0), (62.0, 131_072.0)] {
            check(
                PlanNode {
                    actual_rows: Some(400_000.0),
                    plan_width: Some(width),
                    disk_usage_kb: Some(14_288.0),
                    ..node("Aggregate")
                },
                &[],
                Some(Target::Fits(kb)),
            );
        }
    }
}

//! What the rules say about one execution, and when a query crosses a threshold of the policy.
//!
//! In: an execution with its captured plans, and the query's history. Out: an analysis with findings, recommendations that follow from
//! the plan alone, and breaches. Everything here is a pure function of its arguments. Must not know: the network, the store, log formats.

mod command;
mod condition;
pub mod ddl;
pub mod expression;
mod index_candidate;
mod measure;
pub mod policy;
mod recommend;
mod rules;
mod severity;
mod wording;
mod work_mem;

mod hash_spill;
mod index_filter;
mod lossy_bitmap;
mod nested_loop_inner;
mod no_plan;
mod row_misestimate;
mod seq_scan_filter;
mod sort_spill;

#[cfg(test)]
mod test_plans;

pub use command::has_plan;
pub use recommend::recommend;
pub use rules::analyse;

/// The thresholds of the rules and of the policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Milliseconds from which an execution is slow: a person waiting notices a second.
    pub slow_threshold_ms: f64,
    /// Milliseconds below which a finding is never more than INFO: nobody gains from saving them once.
    pub negligible_ms: f64,
    /// Share of the execution's time from which a finding is worth a NOTICE: below a tenth, removing the cause changes little.
    pub notice_share: f64,
    /// Share from which a finding is the main cause, a WARNING: half of the time or more is spent there.
    pub warning_share: f64,
    /// Rows that a sequential scan throws away, all loops together, before it is looked at: smaller tables are read in a few milliseconds.
    pub seq_scan_min_rows_removed: f64,
    /// Share of rows thrown away from which an index would read clearly less: an index scan reads pages in random order, so that at a tenth of
    /// the rows kept it is about as expensive as the sequential scan.
    pub seq_scan_min_removed_share: f64,
    /// Rows that an index scan fetches and throws away; fewer than for a sequential scan, since each can cost a page.
    pub index_min_rows_removed: f64,
    /// Share of fetched rows thrown away from which the index is called inefficient.
    pub index_min_removed_share: f64,
    /// How many times actual and estimated rows differ: an order of magnitude is where the planner starts to choose another plan.
    pub misestimate_factor: f64,
    /// Rows (the larger of actual and estimated, per loop) from which a misestimate can matter: among few rows every plan is cheap.
    pub misestimate_min_rows: f64,
    /// Loops of a nested loop's inner side from which a hash or merge join may have been better.
    pub inner_min_loops: f64,
    /// Heap blocks that a bitmap holds only as whole pages, before it is looked at: one mebibyte.
    pub lossy_min_blocks: f64,
    /// Share of a bitmap's heap blocks that are lossy: below it the recheck costs little.
    pub lossy_min_share: f64,
    /// Findings of one rule in one plan; the worst are kept. A plan over a thousand partitions has one cause, not a thousand.
    pub max_findings_per_rule: usize,
    /// Columns of an index candidate: wider indexes serve one query only and cost every write.
    pub index_max_columns: usize,
    /// Kilobytes beyond which no work_mem is proposed: it is granted to every sort and hash of every session at once.
    pub work_mem_max_kb: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slow_threshold_ms: 1000.0,
            negligible_ms: 10.0,
            notice_share: 0.1,
            warning_share: 0.5,
            seq_scan_min_rows_removed: 10_000.0,
            seq_scan_min_removed_share: 0.9,
            index_min_rows_removed: 1000.0,
            index_min_removed_share: 0.5,
            misestimate_factor: 10.0,
            misestimate_min_rows: 1000.0,
            inner_min_loops: 1000.0,
            lossy_min_blocks: 128.0,
            lossy_min_share: 0.1,
            max_findings_per_rule: 3,
            index_max_columns: 3,
            work_mem_max_kb: 1024.0 * 1024.0,
        }
    }
}

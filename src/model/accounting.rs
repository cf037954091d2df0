//! What was read and what became of it: the counts that an import reports and that the store keeps per server.

use std::collections::BTreeMap;

use super::{
    incident::IncidentKind,
    record::{Severity, SqlState},
};

/// How many, and how many milliseconds together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CountSum {
    pub count: u64,
    pub sum_ms: f64,
}

impl CountSum {
    pub fn add(&mut self, duration_ms: f64) {
        self.count += 1;
        self.sum_ms += duration_ms;
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum_ms += other.sum_ms;
    }
}

/// Which kind of record told a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DurationKind {
    Statement,
    Parse,
    Bind,
    Execute,
    Fetch,
    Fastpath,
    /// A duration without text.
    Bare,
}

impl DurationKind {
    pub const ALL: [Self; 7] = [
        Self::Statement,
        Self::Parse,
        Self::Bind,
        Self::Execute,
        Self::Fetch,
        Self::Fastpath,
        Self::Bare,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Parse => "parse",
            Self::Bind => "bind",
            Self::Execute => "execute",
            Self::Fetch => "fetch",
            Self::Fastpath => "fastpath",
            Self::Bare => "bare",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Counts of one run or one batch, or of everything in a store; counts of two add up by [`Accounting::merge`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Accounting {
    /// Log records read, whatever they say.
    pub records_total: u64,
    pub by_severity: BTreeMap<Severity, u64>,
    /// Capped, the rest under [`SqlState::OTHER`]: RAISE takes any code.
    pub by_sqlstate: BTreeMap<SqlState, u64>,
    pub durations: CountSum,
    pub durations_by_kind: BTreeMap<DurationKind, u64>,
    /// Keyed by database and user; capped, the rest under `(other)`.
    pub durations_by_db_user: BTreeMap<(String, String), CountSum>,
    pub plans: CountSum,
    /// Keyed by auto_explain.log_format.
    pub plans_by_format: BTreeMap<&'static str, u64>,
    pub plans_unparsable: u64,
    /// Plans of statements run by functions, triggers or foreign keys.
    pub plans_nested: u64,
    pub plans_by_root_node: BTreeMap<String, u64>,
    pub plans_by_db_user: BTreeMap<(String, String), CountSum>,
    /// Temporary files, lock waits, deadlocks and cancellations.
    pub incidents: BTreeMap<IncidentKind, u64>,
    /// Records that look like durations or plans and were raised by user code.
    pub forged_duration_messages: u64,
    pub executions: u64,
    pub executions_with_plan: u64,
    /// Queries seen for the first time.
    pub queries: u64,
    /// Records that are not whole in the file.
    pub torn: u64,
    /// Records whose head reads as that of another session too, of which no execution is made, and records whose text ends where another
    /// record's head stands in it.
    pub ambiguous: u64,
    /// Lines or records that could not be read.
    pub unparsed: u64,
    /// Lines of other programs, in a log that several write to.
    pub foreign: u64,
    pub gaps: u64,
    /// Log bytes covered by what was committed.
    pub bytes: u64,
}

/// How many different database and user pairs, root nodes, or SQLSTATEs, one accounting holds; clients choose those names.
pub const NAMES_CAP: usize = 1000;

/// The name under which everything beyond [`NAMES_CAP`] is counted.
pub const OTHER: &str = "(other)";

impl Accounting {
    /// Counts records with that code.
    pub fn add_sqlstate(&mut self, code: SqlState, records: u64) {
        *capped(&mut self.by_sqlstate, code, || SqlState::OTHER) += records;
    }

    /// Counts a duration record of one kind.
    pub fn add_duration(
        &mut self,
        kind: DurationKind,
        duration_ms: f64,
        database: &str,
        user: &str,
    ) {
        self.durations.add(duration_ms);
        *self.durations_by_kind.entry(kind).or_default() += 1;
        by_names(&mut self.durations_by_db_user, database, user).add(duration_ms);
    }

    /// Counts a plan record, readable or not. `root_node` is `None` for a plan that could not be read.
    pub fn add_plan(
        &mut self,
        format: &'static str,
        duration_ms: f64,
        root_node: Option<&str>,
        database: &str,
        user: &str,
    ) {
        self.plans.add(duration_ms);
        *self.plans_by_format.entry(format).or_default() += 1;
        match root_node {
            Some(node) => *by_name(&mut self.plans_by_root_node, node) += 1,
            None => self.plans_unparsable += 1,
        }
        by_names(&mut self.plans_by_db_user, database, user).add(duration_ms);
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.records_total += other.records_total;
        for (key, count) in &other.by_severity {
            *self.by_severity.entry(*key).or_default() += count;
        }
        for (key, count) in &other.by_sqlstate {
            self.add_sqlstate(*key, *count);
        }
        self.durations.merge(other.durations);
        for (key, count) in &other.durations_by_kind {
            *self.durations_by_kind.entry(*key).or_default() += count;
        }
        for ((database, user), sum) in &other.durations_by_db_user {
            by_names(&mut self.durations_by_db_user, database, user).merge(*sum);
        }
        self.plans.merge(other.plans);
        for (key, count) in &other.plans_by_format {
            *self.plans_by_format.entry(key).or_default() += count;
        }
        self.plans_unparsable += other.plans_unparsable;
        self.plans_nested += other.plans_nested;
        for (key, count) in &other.plans_by_root_node {
            *by_name(&mut self.plans_by_root_node, key) += count;
        }
        for ((database, user), sum) in &other.plans_by_db_user {
            by_names(&mut self.plans_by_db_user, database, user).merge(*sum);
        }
        for (kind, count) in &other.incidents {
            *self.incidents.entry(*kind).or_default() += count;
        }
        self.forged_duration_messages += other.forged_duration_messages;
        self.executions += other.executions;
        self.executions_with_plan += other.executions_with_plan;
        self.queries += other.queries;
        self.torn += other.torn;
        self.ambiguous += other.ambiguous;
        self.unparsed += other.unparsed;
        self.foreign += other.foreign;
        self.gaps += other.gaps;
        self.bytes += other.bytes;
    }
}

fn by_name<'a>(table: &'a mut BTreeMap<String, u64>, name: &str) -> &'a mut u64 {
    capped(table, name.to_owned(), || OTHER.to_owned())
}

fn by_names<'a>(
    table: &'a mut BTreeMap<(String, String), CountSum>,
    database: &str,
    user: &str,
) -> &'a mut CountSum {
    let key = (database.to_owned(), user.to_owned());
    capped(table, key, || (OTHER.to_owned(), OTHER.to_owned()))
}

/// The entry of `key`, or of `other` once the table holds as many names as clients may make.
fn capped<K: Ord, V: Default>(
    table: &mut BTreeMap<K, V>,
    key: K,
    other: impl FnOnce() -> K,
) -> &mut V {
    let full = table.len() >= NAMES_CAP && !table.contains_key(&key);
    table.entry(if full { other() } else { key }).or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn names_beyond_the_cap_count_as_other_however_the_counts_came_together() {
        let counted = |names: std::ops::Range<usize>| {
            let mut accounting = Accounting::default();
            for name in names {
                accounting.add_plan("json", 1.0, Some(&format!("Node {name}")), "shop", "app");
                accounting.add_duration(DurationKind::Bare, 1.0, "shop", &format!("user {name}"));
                accounting.add_sqlstate(SqlState::new(&format!("{name:05}")).unwrap(), 1);
            }
            accounting
        };
        let mut merged = counted(0..NAMES_CAP);
        merged.merge(&counted(NAMES_CAP - 1..NAMES_CAP + 20));
        for accounting in [counted(0..NAMES_CAP + 20), merged] {
            assert_eq!(accounting.plans_by_root_node.len(), NAMES_CAP + 1);
            assert_eq!(accounting.plans_by_root_node[OTHER], 20);
            assert_eq!(accounting.durations_by_db_user.len(), NAMES_CAP + 1);
            let others = accounting.durations_by_db_user[&(OTHER.to_owned(), OTHER.to_owned())];
            assert_eq!(others.count, 20);
            assert_eq!(accounting.by_sqlstate.len(), NAMES_CAP + 1);
            assert_eq!(accounting.by_sqlstate[&SqlState::OTHER], 20);
        }
    }
}

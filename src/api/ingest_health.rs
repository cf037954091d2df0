//! `IngestHealth`: what was read of the logs and what became of it, since the store exists.

use juniper::{GraphQLObject, graphql_object};

use super::{loaded::Loaded, scalars::BigInt};
use crate::{
    model::accounting::{Accounting, CountSum},
    store::AdviceCounts,
};

/// One row of a table of counts.
#[derive(GraphQLObject)]
#[graphql(context = Loaded)]
pub(super) struct KeyCount {
    key: String,
    count: BigInt,
}

/// One row of a table of counts with their time.
#[derive(GraphQLObject)]
#[graphql(context = Loaded)]
pub(super) struct KeyCountSum {
    /// `database,user`.
    key: String,
    count: BigInt,
    sum_ms: f64,
}

/// What was read of the logs and what became of it, since the store exists.
pub(super) struct IngestHealth {
    pub(super) accounting: Accounting,
    pub(super) advice: AdviceCounts,
}

#[graphql_object(context = Loaded)]
impl IngestHealth {
    /// Log records read, whatever they say.
    fn records_total(&self) -> BigInt {
        self.accounting.records_total.into()
    }

    fn by_severity(&self) -> Vec<KeyCount> {
        table(
            self.accounting
                .by_severity
                .iter()
                .map(|(key, count)| (key.as_str(), *count)),
        )
    }

    fn by_sqlstate(&self) -> Vec<KeyCount> {
        table(
            self.accounting
                .by_sqlstate
                .iter()
                .map(|(key, count)| (key.as_str(), *count)),
        )
    }

    fn duration_events(&self) -> DurationEvents<'_> {
        DurationEvents(&self.accounting)
    }

    fn plan_events(&self) -> PlanEvents<'_> {
        PlanEvents(&self.accounting)
    }

    /// Records that look like durations or plans and were raised by user code.
    fn forged_duration_messages(&self) -> BigInt {
        self.accounting.forged_duration_messages.into()
    }

    /// Temporary files, lock waits, deadlocks and cancellations.
    fn incidents(&self) -> Vec<KeyCount> {
        table(
            self.accounting
                .incidents
                .iter()
                .map(|(kind, count)| (kind.as_str(), *count)),
        )
    }

    fn executions(&self) -> BigInt {
        self.accounting.executions.into()
    }

    fn executions_with_plan(&self) -> BigInt {
        self.accounting.executions_with_plan.into()
    }

    fn queries(&self) -> BigInt {
        self.accounting.queries.into()
    }

    /// Records that are not whole in the file.
    fn torn(&self) -> BigInt {
        self.accounting.torn.into()
    }

    /// Records that read as another session's too, of which no execution is made, or whose text may hold another record.
    fn ambiguous(&self) -> BigInt {
        self.accounting.ambiguous.into()
    }

    /// Lines or records that could not be read.
    fn unparsed(&self) -> BigInt {
        self.accounting.unparsed.into()
    }

    /// Lines of other programs, in a log that several write to.
    fn foreign(&self) -> BigInt {
        self.accounting.foreign.into()
    }

    /// Stretches of log known to be lost.
    fn gaps(&self) -> BigInt {
        self.accounting.gaps.into()
    }

    /// Log bytes covered by what is stored.
    fn bytes(&self) -> BigInt {
        self.accounting.bytes.into()
    }

    /// What the model was asked, or is to be asked, by state: `queued`, `running`, `done`, `rejected` (the answer deviated from the form), `failed`.
    fn advice_jobs(&self) -> Vec<KeyCount> {
        let counts = &self.advice;
        table(
            [
                ("queued", counts.queued),
                ("running", counts.running),
                ("done", counts.done),
                ("rejected", counts.rejected),
                ("failed", counts.failed),
            ]
            .into_iter(),
        )
    }
}

/// Records that tell a duration.
struct DurationEvents<'a>(&'a Accounting);

#[graphql_object(name = "DurationEvents", context = Loaded)]
impl DurationEvents<'_> {
    fn count(&self) -> BigInt {
        self.0.durations.count.into()
    }

    fn sum_ms(&self) -> f64 {
        self.0.durations.sum_ms
    }

    fn by_kind(&self) -> Vec<KeyCount> {
        table(
            self.0
                .durations_by_kind
                .iter()
                .map(|(key, count)| (key.as_str(), *count)),
        )
    }

    fn by_db_user(&self) -> Vec<KeyCountSum> {
        by_db_user(self.0.durations_by_db_user.iter())
    }
}

/// Records that hold a plan.
struct PlanEvents<'a>(&'a Accounting);

#[graphql_object(name = "PlanEvents", context = Loaded)]
impl PlanEvents<'_> {
    fn count(&self) -> BigInt {
        self.0.plans.count.into()
    }

    fn sum_ms(&self) -> f64 {
        self.0.plans.sum_ms
    }

    fn by_format(&self) -> Vec<KeyCount> {
        table(
            self.0
                .plans_by_format
                .iter()
                .map(|(key, count)| (*key, *count)),
        )
    }

    fn unparsable(&self) -> BigInt {
        self.0.plans_unparsable.into()
    }

    /// Plans of statements that functions, triggers or foreign keys ran.
    fn nested(&self) -> BigInt {
        self.0.plans_nested.into()
    }

    fn by_root_node(&self) -> Vec<KeyCount> {
        table(
            self.0
                .plans_by_root_node
                .iter()
                .map(|(key, count)| (key.as_str(), *count)),
        )
    }

    fn by_db_user(&self) -> Vec<KeyCountSum> {
        by_db_user(self.0.plans_by_db_user.iter())
    }
}

fn table(rows: impl Iterator<Item = (impl Into<String>, u64)>) -> Vec<KeyCount> {
    rows.map(|(key, count)| KeyCount {
        key: key.into(),
        count: count.into(),
    })
    .collect()
}

fn by_db_user<'a>(
    rows: impl Iterator<Item = (&'a (String, String), &'a CountSum)>,
) -> Vec<KeyCountSum> {
    rows.map(|((database, user), sum)| KeyCountSum {
        key: format!("{database},{user}"),
        count: sum.count.into(),
        sum_ms: sum.sum_ms,
    })
    .collect()
}

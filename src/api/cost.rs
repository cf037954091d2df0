//! What a document would cost at most, in objects read: the product of its limits. Known before any SQL, and refused there.

use super::{
    history::SpanArguments,
    planner::{Plan, Selected, Wanted},
};

/// Objects that one document may ask for. 100 queries with 100 executions, analyses and recommendations each are 30,100.
const LIMIT: u64 = 50_000;

/// Root fields to load in one document. Each is at least one SQL statement.
const ROOT_FIELDS: usize = 20;

/// Different spans of one field. Each is a SQL statement.
const SPANS: usize = 10;

/// Plans and findings of an execution have no limit argument: rarely more than a few. A plan's document can be large, so that it weighs as much as
/// many rows.
const UNLIMITED: u64 = 3;
const DOCUMENT: u64 = 50;

/// Whether the plan is within the limits; if not, what to change.
pub(super) fn check(plan: &Plan) -> Result<(), String> {
    let root_fields = plan.requests.len();
    if root_fields > ROOT_FIELDS {
        return Err(format!(
            "the document asks for {root_fields} different lists and objects at its root, {ROOT_FIELDS} are allowed: send several documents"
        ));
    }
    let spans = plan.requests.iter().map(|(_, selected)| spans(selected));
    let spans = spans.max().unwrap_or(0);
    if spans > SPANS {
        return Err(format!(
            "the document asks for {spans} different spans of one field, {SPANS} are allowed: send several documents"
        ));
    }
    let objects = of(plan);
    if objects > LIMIT {
        return Err(format!(
            "the document could give {objects} objects, {LIMIT} are allowed: lower `first` and `limit`"
        ));
    }
    Ok(())
}

/// Objects that the plan can give at most.
fn of(plan: &Plan) -> u64 {
    plan.requests
        .iter()
        .map(|(request, selected)| request.rows().saturating_mul(1 + below(selected)))
        .fold(0, u64::saturating_add)
}

fn below(selected: &Selected) -> u64 {
    selected
        .iter()
        .map(|(name, wanted)| {
            let rows = match name {
                "plans" | "findings" => UNLIMITED,
                "document" => DOCUMENT,
                "percentiles" | "history" => periods(&wanted.spans),
                _ => wanted.limit.map_or(0, u64::from),
            };
            // A connection's `edges` and `nodes` are one list, whose rows the request counts.
            let each = below(&wanted.selected);
            rows.saturating_add(rows.max(1).saturating_mul(each))
        })
        .fold(0, u64::saturating_add)
}

/// The most spans that one field is asked for.
fn spans(selected: &Selected) -> usize {
    let of = |wanted: &Wanted| wanted.spans.len().max(spans(&wanted.selected));
    selected
        .iter()
        .map(|(_, wanted)| of(wanted))
        .max()
        .unwrap_or(0)
}

fn periods(spans: &[SpanArguments]) -> u64 {
    let periods = spans.iter().map(|span| span.periods());
    periods.fold(0, u64::saturating_add)
}

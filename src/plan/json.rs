//! auto_explain.log_format = json: the body to a redacted document, and the document to a plan.
//!
//! The body is read into a JSON value, stripped of query text and parameters, redacted in place, printed as the document, and read into
//! plan nodes.

use serde::Deserialize;

use super::{Error, MAX_DEPTH, ReadPlan, shape, tree, value::Json};
use crate::model::plan::{Plan, PlanFormat};

/// Reads `{ "Query Text": …, "Query Parameters": …, "Plan": {…}, "Settings": {…}, "Query Identifier": …, "Triggers": […], "JIT": {…} }`.
/// Only text and plan are always there (manual, F.3 "auto_explain").
pub(super) fn read(body: &str, redact: &dyn Fn(&str) -> String) -> Result<ReadPlan, Error> {
    let Json::Object(mut top) = parse(body)? else {
        return Err(Error::Missing("Query Text"));
    };
    let query_text = top
        .get("Query Text")
        .and_then(Json::as_str)
        .ok_or(Error::Missing("Query Text"))?
        .to_owned();
    top.0
        .retain(|(key, _)| key != "Query Text" && key != "Query Parameters");
    for (key, value) in &mut top.0 {
        if key != "Settings" {
            redact_texts(key, value, redact);
        }
    }
    let document = serde_json::to_string(&top).map_err(Error::Json)?;
    let query_identifier = top.get("Query Identifier").and_then(Json::as_i64);
    let settings = top.get("Settings").and_then(settings);
    let Some(Json::Object(root)) = top.get("Plan") else {
        return Err(Error::Missing("Plan"));
    };
    let root = tree::node(root)?;
    Ok(ReadPlan {
        format: PlanFormat::Json,
        query_text,
        plan: Plan {
            shape: shape::of(&root),
            root,
            query_identifier,
            settings,
            document,
        },
    })
}

fn parse(body: &str) -> Result<Json<'_>, Error> {
    if nests_too_deep(body.as_bytes()) {
        return Err(Error::TooDeep);
    }
    let mut deserializer = serde_json::Deserializer::from_str(body);
    deserializer.disable_recursion_limit();
    let value = Json::deserialize(&mut deserializer).map_err(Error::Json)?;
    deserializer.end().map_err(Error::Json)?;
    Ok(value)
}

fn nests_too_deep(body: &[u8]) -> bool {
    // Most plans don't hold as many brackets as may nest, which is much cheaper to see.
    if memchr::memchr2_iter(b'{', b'[', body)
        .nth(MAX_DEPTH)
        .is_none()
    {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// Redacts every text under `key` that isn't a name or one of EXPLAIN's own words. Texts of unknown keys are redacted.
fn redact_texts(key: &str, value: &mut Json<'_>, redact: &dyn Fn(&str) -> String) {
    match value {
        Json::Text(text) if !is_name(key) => *text = redact(text).into(),
        Json::List(values) => {
            for value in values {
                redact_texts(key, value, redact);
            }
        }
        Json::Object(object) => {
            for (key, value) in &mut object.0 {
                redact_texts(key, value, redact);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
    }
}

/// Keys of EXPLAIN whose values are names of objects or come from a fixed list.
fn is_name(key: &str) -> bool {
    matches!(
        key,
        "Alias"
            | "Cache Mode"
            | "Command"
            | "Conflict Arbiter Indexes"
            | "Conflict Resolution"
            | "Constraint Name"
            | "CTE Name"
            | "Custom Plan Provider"
            | "Function Name"
            | "Index Name"
            | "Join Type"
            | "Node Type"
            | "Operation"
            | "Parent Relationship"
            | "Partial Mode"
            | "Relation"
            | "Relation Name"
            | "Sampling Method"
            | "Scan Direction"
            | "Schema"
            | "Sort Method"
            | "Sort Methods Used"
            | "Sort Space Type"
            | "Storage"
            | "Strategy"
            | "Subplan Name"
            | "Table Function Name"
            | "Trigger Name"
            | "Tuplestore Name"
    )
}

fn settings(settings: &Json<'_>) -> Option<Vec<(String, String)>> {
    let Json::Object(settings) = settings else {
        return None;
    };
    settings
        .0
        .iter()
        .map(|(name, value)| Some((name.clone().into_owned(), value.as_str()?.to_owned())))
        .collect()
}

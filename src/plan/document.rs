//! A plan's value to what is kept of it: the redacted document, the tree, the shape.
//!
//! The value has EXPLAIN's keys in PostgreSQL's order, whatever the format was that it was read from. The query text comes out for
//! pairing; query text and parameters don't go into the document.

use super::{Error, ReadPlan, keys, shape, tree, value::Json};
use crate::model::plan::{Plan, PlanFormat};

/// The plan that `value` holds.
pub(super) fn read(
    format: PlanFormat,
    value: Json<'_>,
    redact: &dyn Fn(&str) -> String,
) -> Result<ReadPlan, Error> {
    let Json::Object(mut top) = value else {
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
        // EXPLAIN prints only the planner's settings and those that an extension marks for it (GUC_EXPLAIN), never what a client made up.
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
        format,
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

/// Redacts every text under `key` that isn't a name or one of EXPLAIN's own words. Texts of unknown keys are redacted.
fn redact_texts(key: &str, value: &mut Json<'_>, redact: &dyn Fn(&str) -> String) {
    match value {
        // A shell command's words are no SQL: what of them is secret can't be told.
        Json::Text(text) if key == "Foreign Program" => *text = "?".into(),
        Json::Text(text) if !keys::is_name(key) => *text = redact(text).into(),
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

//! The form that a model fills in: one flat JSON object, every field there once, nothing else.
//!
//! In: the text of an answer. Out: a form whose texts and lists are within their limits, or why the answer is rejected. Whether its names
//! exist is for the guard.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{
    analysis::ddl::MAX_NAME_BYTES,
    model::recommendation::{DISPROOF_CHARS, EXPLANATION_CHARS, SUMMARY_CHARS},
};

use super::{Rejection, plain_text};

/// Bytes of a form.
const MAX_FORM_BYTES: usize = 64 * 1024;
const MAX_FINDINGS: usize = 50;
const MAX_COLUMNS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    CreateIndex,
    Analyze,
    ExtendedStatistics,
    Setting,
    Rewrite,
    None,
}

/// How sure the model says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelfConfidence {
    Low,
    Medium,
    High,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Asc,
    Desc,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) order: Order,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    pub(super) findings: Vec<String>,
    pub(super) kind: Kind,
    #[serde(deserialize_with = "required")]
    pub(super) schema: Option<String>,
    #[serde(deserialize_with = "required")]
    pub(super) table: Option<String>,
    pub(super) columns: Vec<Column>,
    pub(super) include: Vec<String>,
    #[serde(deserialize_with = "required")]
    pub(super) setting: Option<Setting>,
    pub(super) summary: String,
    pub(super) explanation: String,
    pub(super) disproof: String,
    #[serde(deserialize_with = "required")]
    pub(super) rewrite: Option<String>,
    pub(super) self_confidence: SelfConfidence,
}

/// A field that may be null, but not missing.
fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// The form in `answer`.
pub(super) fn read(answer: &str) -> Result<Form, Rejection> {
    if answer.len() > MAX_FORM_BYTES {
        return Err(Rejection::TooLarge);
    }
    let form: Form = serde_json::from_str(answer).map_err(|error| {
        if error.is_data() {
            Rejection::NotTheForm
        } else {
            Rejection::NotJson
        }
    })?;
    if !is_written_as_objects(answer) {
        return Err(Rejection::NotTheForm);
    }
    within_limits(&form)?;
    Ok(form)
}

/// serde takes a list of the values in order for an object; the form doesn't.
fn is_written_as_objects(answer: &str) -> bool {
    let Ok(Value::Object(form)) = serde_json::from_str(answer) else {
        return false;
    };
    let columns = form.get("columns").and_then(Value::as_array);
    let setting = form.get("setting");
    columns.is_some_and(|columns| columns.iter().all(Value::is_object))
        && setting.is_some_and(|setting| setting.is_object() || setting.is_null())
}

fn within_limits(form: &Form) -> Result<(), Rejection> {
    let names = form
        .columns
        .iter()
        .map(|column| &column.name)
        .chain(&form.include)
        .chain(&form.schema)
        .chain(&form.table)
        .chain(form.setting.iter().map(|setting| &setting.name));
    for name in names {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(Rejection::Limit);
        }
    }
    if form.findings.is_empty()
        || form.findings.len() > MAX_FINDINGS
        || form.columns.len() > MAX_COLUMNS
        || form.include.len() > MAX_COLUMNS
    {
        return Err(Rejection::Limit);
    }
    plain_text::check(&form.summary, SUMMARY_CHARS)?;
    plain_text::check(&form.explanation, EXPLANATION_CHARS)?;
    plain_text::check(&form.disproof, DISPROOF_CHARS)?;
    if form.summary.contains('\n') {
        return Err(Rejection::NotPlainText);
    }
    Ok(())
}

/// The form as a JSON schema, in the part of the language that servers agree on: no lengths, ranges or patterns. [`read`] checks those.
pub(super) fn schema() -> Value {
    let text = json!({"type": "string"});
    let name = json!({"type": ["string", "null"]});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": [
            "findings", "kind", "schema", "table", "columns", "include", "setting", "summary",
            "explanation", "disproof", "rewrite", "self_confidence"
        ],
        "properties": {
            "findings": {"type": "array", "items": text},
            "kind": {
                "type": "string",
                "enum": ["create_index", "analyze", "extended_statistics", "setting", "rewrite", "none"]
            },
            "schema": name,
            "table": name,
            "columns": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["name", "order"],
                    "properties": {
                        "name": text,
                        "order": {"type": "string", "enum": ["asc", "desc"]}
                    }
                }
            },
            "include": {"type": "array", "items": text},
            "setting": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "required": ["name", "value"],
                "properties": {"name": text, "value": text}
            },
            "summary": text,
            "explanation": text,
            "disproof": text,
            "rewrite": name,
            "self_confidence": {"type": "string", "enum": ["low", "medium", "high"]}
        }
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::test_cases::answer;
    use super::*;

    /// What becomes of the good answer with one piece of its text replaced.
    fn check(from: &str, to: &str, expected: Result<(), Rejection>) {
        let good = answer().to_string();
        assert!(good.contains(from), "{from} in {good}");
        let read = read(&good.replacen(from, to, 1));
        assert_eq!(read.map(|_| ()), expected, "{from} -> {to}");
    }

    #[test]
    fn fields_are_those_of_the_form() {
        check("high", "low", Ok(()));
        for (from, to) in [
            ("\"kind\":", "\"severity\":\"CRITICAL\",\"kind\":"),
            ("\"kind\":", "\"kind\":\"none\",\"kind\":"),
            ("\"rewrite\":null,", ""),
            ("\"create_index\"", "\"drop_table\""),
            ("\"columns\":[{", "\"columns\":[{\"nulls\":\"first\","),
            (
                "{\"name\":\"email\",\"order\":\"asc\"}",
                "[\"email\",\"asc\"]",
            ),
            ("\"setting\":null", "\"setting\":[\"jit\",\"off\"]"),
            ("\"high\"", "\"certain\""),
        ] {
            check(from, to, Err(Rejection::NotTheForm));
        }
        let nested = format!("\"setting\":{}", "[".repeat(200));
        check("\"setting\":null", &nested, Err(Rejection::NotTheForm));
        let values: Vec<Value> = answer().as_object().unwrap().values().cloned().collect();
        let list = Value::Array(values).to_string();
        assert_eq!(read(&list), Err(Rejection::NotTheForm));
    }

    #[test]
    fn the_answer_is_one_json_object() {
        let good = answer().to_string();
        for (from, to) in [
            ("\"setting\":null", "\"setting\":7E522"),
            ("\"setting\":null", "\"setting\":NaN"),
            ("An index", "\\ud800"),
            ("}", ""),
        ] {
            check(from, to, Err(Rejection::NotJson));
        }
        for answer in [
            format!("{good}{good}"),
            format!("```json\n{good}\n```"),
            format!("Here it is: {good}"),
            String::new(),
        ] {
            assert_eq!(read(&answer), Err(Rejection::NotJson), "{answer}");
        }
    }

    #[test]
    fn texts_and_lists_have_limits() {
        let good = answer().to_string();
        for (from, to) in [
            ("An index", "x".repeat(201)),
            ("\"f1\"", String::new()),
            ("\"orders\"", format!("\"{}\"", "o".repeat(64))),
            (
                "\"include\":[]",
                "\"include\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]".to_owned(),
            ),
        ] {
            check(from, &to, Err(Rejection::Limit));
        }
        check("An index", "An\\u202eindex", Err(Rejection::NotPlainText));
        check("An index", "An\\nindex", Err(Rejection::NotPlainText));
        assert_eq!(
            read(&format!("{good}{}", " ".repeat(MAX_FORM_BYTES))),
            Err(Rejection::TooLarge)
        );
    }

    #[test]
    fn the_schema_asks_for_every_field() {
        let schema = schema();
        let properties = schema["properties"].as_object().unwrap();
        let required = schema["required"].as_array().unwrap();
        assert_eq!(
            properties.keys().collect::<Vec<_>>(),
            required
                .iter()
                .map(|key| key.as_str().unwrap())
                .collect::<Vec<_>>()
        );
        let answer = answer();
        assert_eq!(
            answer.as_object().unwrap().keys().collect::<Vec<_>>(),
            properties.keys().collect::<Vec<_>>()
        );
    }
}

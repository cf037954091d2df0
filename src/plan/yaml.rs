//! auto_explain.log_format = yaml: the small part of YAML that EXPLAIN writes.
//!
//! Indentation by two blanks a level, `Key: value`, `- item`; texts quoted as in JSON, on one line; numbers and truth values bare. A key
//! without a value opens the object or list that is indented below it. Nothing else of YAML is known: no tags, anchors or block texts.

use super::{
    Error, MAX_DEPTH, keys,
    value::{Json, Object},
};

/// An object or list whose end hasn't been seen.
struct Open<'a> {
    /// The key that it stands under; `None` for an item of a list and for the plan as a whole.
    key: Option<&'a str>,
    /// Column of its keys or of the dashes of its items.
    indent: usize,
    value: Json<'a>,
}

/// Reads `Query Text: "…"`, `Query Parameters: "…"`, `Plan: `, `Settings: `, `Query Identifier: 1`, `Triggers: `, `JIT: `.
pub(super) fn parse(body: &str) -> Result<Json<'_>, Error> {
    let mut open = vec![Open {
        key: None,
        indent: 0,
        value: Json::Object(Object::default()),
    }];
    let mut lines = body.trim_ascii().lines().map(dedent).peekable();
    while let Some((mut indent, mut line)) = lines.next() {
        while open.last().is_some_and(|top| top.indent > indent) {
            close(&mut open)?;
        }
        let top = open.last_mut().ok_or(Error::Yaml)?;
        if top.indent != indent {
            return Err(Error::Yaml);
        }
        if let Json::List(items) = &mut top.value {
            let item = line.strip_prefix("- ").ok_or(Error::Yaml)?;
            if item.starts_with(['"', '[']) {
                items.push(written(item)?);
                continue;
            }
            line = item;
            indent += 2;
            enter(&mut open, None, indent, Json::Object(Object::default()))?;
        }
        let (key, value) = match line.split_once(": ") {
            Some((key, value)) => (key, value),
            None => (line.strip_suffix(':').ok_or(Error::Yaml)?, ""),
        };
        let value = if !value.is_empty() {
            written(value)?
        } else if let Some((deeper, below)) = lines.peek().filter(|(next, _)| *next > indent) {
            let empty = match below.starts_with("- ") {
                true => Json::List(Vec::new()),
                false => Json::Object(Object::default()),
            };
            enter(&mut open, Some(key), *deeper, empty)?;
            continue;
        } else if keys::is_list(key) {
            Json::List(Vec::new())
        } else {
            Json::Object(Object::default())
        };
        match open.last_mut().map(|top| &mut top.value) {
            Some(Json::Object(object)) => object.push(key, value),
            _ => return Err(Error::Yaml),
        }
    }
    while open.len() > 1 {
        close(&mut open)?;
    }
    open.pop().map(|plan| plan.value).ok_or(Error::Yaml)
}

/// A line without its indentation, and how many blanks that was.
fn dedent(line: &str) -> (usize, &str) {
    let text = line.trim_ascii_start();
    (line.len() - text.len(), text)
}

/// `"text"`, `1.5`, `false` or `["a", "b"]`: as in JSON, but never deeper.
fn written(value: &str) -> Result<Json<'_>, Error> {
    match serde_json::from_str(value) {
        Ok(Json::List(items)) if items.iter().any(|item| item.as_str().is_none()) => {
            Err(Error::Yaml)
        }
        Ok(Json::Object(_)) | Err(_) => Err(Error::Yaml),
        Ok(value) => Ok(value),
    }
}

fn enter<'a>(
    open: &mut Vec<Open<'a>>,
    key: Option<&'a str>,
    indent: usize,
    value: Json<'a>,
) -> Result<(), Error> {
    if open.len() >= MAX_DEPTH {
        return Err(Error::TooDeep);
    }
    open.push(Open { key, indent, value });
    Ok(())
}

/// Puts the innermost object or list into the one around it.
fn close(open: &mut Vec<Open<'_>>) -> Result<(), Error> {
    let Open { key, value, .. } = open.pop().ok_or(Error::Yaml)?;
    match (key, open.last_mut().map(|top| &mut top.value)) {
        (Some(key), Some(Json::Object(object))) => object.push(key, value),
        (None, Some(Json::List(items))) => items.push(value),
        _ => return Err(Error::Yaml),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn check(yaml: &str, json: &str) {
        assert_eq!(
            serde_json::to_string(&parse(yaml).unwrap()).unwrap(),
            json,
            "{yaml}"
        );
    }

    #[test]
    fn texts_numbers_and_truth_values() {
        check(
            "Query Text: \"a: \\\"b\\\"\\n- c\"\nPlan: \n  Node Type: \"Result\"\n  Total Cost: 0.01\n  Plan Rows: 1\n  Parallel Aware: false\n\
             Query Identifier: -7721152877027073047",
            r#"{"Query Text":"a: \"b\"\n- c","Plan":{"Node Type":"Result","Total Cost":0.01,"Plan Rows":1,"Parallel Aware":false},"Query Identifier":-7721152877027073047}"#,
        );
    }

    #[test]
    fn lists_and_objects_in_one_another() {
        check(
            "Plan: \n  Output: \n    - \"a\"\n    - \"b\"\n  Grouping Sets: \n    - Hash Keys: \n        - [\"a\", \"b\"]\n    \
             - Group Keys: \n        - []\n  Plans: \n    - Node Type: \"A\"\n      Workers: \n        - Worker Number: 0\n          Actual Rows: 1\n    \
             - Node Type: \"B\"",
            r#"{"Plan":{"Output":["a","b"],"Grouping Sets":[{"Hash Keys":[["a","b"]]},{"Group Keys":[[]]}],"Plans":[{"Node Type":"A","Workers":[{"Worker Number":0,"Actual Rows":1}]},{"Node Type":"B"}]}}"#,
        );
    }

    #[test]
    fn what_is_empty_is_told_by_its_key() {
        check(
            "Plan: \n  Workers: \n  Plans: \nSettings: \nTriggers: ",
            r#"{"Plan":{"Workers":[],"Plans":[]},"Settings":{},"Triggers":[]}"#,
        );
        // Shippers strip blanks at the end of a line.
        check(
            "Plan:\n  A: 1\nSettings:",
            r#"{"Plan":{"A":1},"Settings":{}}"#,
        );
    }

    #[test]
    fn what_is_torn_is_refused() {
        for yaml in [
            "Query Text: \"a",
            "Plan: \n    A: 1\n  B: 2",
            "Plan: \n  A: 1\n    B: 2",
            "Plan: \n  - A: 1\n  B: 2",
            "Plan: \n  A: b",
            "Plan: \n  A: [[\"b\"]]",
            "Plan: \n  A: {\"b\": 1}",
            "A",
        ] {
            assert!(matches!(parse(yaml), Err(Error::Yaml)), "{yaml}");
        }
        let mut deep = String::new();
        for level in 0..100_000 {
            deep.push_str(&" ".repeat((2 * level).min(4_000)));
            deep.push_str("Plan: \n");
        }
        assert!(matches!(parse(&deep), Err(Error::TooDeep)));
    }
}

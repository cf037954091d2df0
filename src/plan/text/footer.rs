//! What stands below the tree, unindented: settings, query identifier, triggers, just-in-time compilation.
//!
//! In the order of every format (auto_explain, manual F.3): `Settings`, `Query Identifier`, one line per trigger, `JIT` with its lines.

use super::line::{self, Line};
use crate::plan::{
    Error, keys,
    value::{Json, Object},
};

/// Reads `line` and what belongs to it from `rest`, into `plan`. An error where it is none of these.
pub(super) fn read<'a>(
    line: &Line<'a>,
    rest: &mut Option<&'a str>,
    plan: &mut Object<'a>,
) -> Result<(), Error> {
    let text = line.text;
    if line.indent > 0 {
        return Err(Error::Text);
    }
    if let Some(trigger) = text.strip_prefix("Trigger") {
        let trigger = Json::Object(self::trigger(trigger).ok_or(Error::Text)?);
        match plan.0.last_mut() {
            Some((key, Json::List(triggers))) if key == "Triggers" => triggers.push(trigger),
            _ => plan.push("Triggers", Json::List(vec![trigger])),
        }
        return Ok(());
    }
    if text == "JIT:" {
        let mut jit = Object::default();
        while rest.is_some_and(|rest| rest.starts_with(' ')) {
            if let Some(line) = line::next(rest) {
                write_jit(&mut jit, line?.text);
            }
        }
        plan.push("JIT", Json::Object(jit));
        return Ok(());
    }
    let (label, value) = line::labelled(text).ok_or(Error::Text)?;
    let value = match label {
        "Settings" => settings(value),
        "Query Text" | "Query Parameters" => return Err(Error::Text),
        _ if keys::is_scalar(label) => Json::scalar(value),
        _ => Json::text(value),
    };
    plan.push(label, value);
    Ok(())
}

/// `name = 'value', name = 'value'`. Quotes in a value aren't doubled, so a value ends where the next name begins.
fn settings(printed: &str) -> Json<'_> {
    let mut settings = Object::default();
    let mut rest = printed;
    while let Some((name, after)) = rest.split_once(" = '") {
        let end = after.match_indices("', ").map(|(at, _)| at).find(|at| {
            let next = after.get(at + "', ".len()..).unwrap_or_default();
            let name_len = next
                .find(|c: char| !(c.is_alphanumeric() || "_.$".contains(c)))
                .unwrap_or(0);
            name_len > 0
                && next
                    .get(name_len..)
                    .is_some_and(|rest| rest.starts_with(" = '"))
        });
        let Some((value, next)) = end.and_then(|end| after.split_at_checked(end)) else {
            settings.push(name, Json::text(after.strip_suffix('\'').unwrap_or(after)));
            break;
        };
        settings.push(name, Json::text(value));
        rest = next.strip_prefix("', ").unwrap_or_default();
    }
    Json::Object(settings)
}

/// ` name for constraint name on relation: time=0.123 calls=1`, each part but the last left out where it isn't known or log_verbose is off.
fn trigger(printed: &str) -> Option<Object<'_>> {
    let (names, counted) = printed.rsplit_once(": ")?;
    let (time, calls) = match counted.strip_prefix("time=") {
        Some(time) => {
            let (time, calls) = time.split_once(' ')?;
            (Some(time), calls)
        }
        None => (None, counted),
    };
    let calls = calls.strip_prefix("calls=")?;
    let (names, relation) = match names.rsplit_once(" on ") {
        Some((names, relation)) if !names.is_empty() => (names, Some(relation)),
        // A trigger whose name begins so.
        _ => (names, None),
    };
    let (name, constraint) = match names.split_once(" for constraint ") {
        Some((name, constraint)) => (name, Some(constraint)),
        None => (names, None),
    };
    let mut trigger = Object::default();
    for (key, name) in [
        ("Trigger Name", name.strip_prefix(' ')),
        ("Constraint Name", constraint),
        ("Relation", relation),
    ] {
        if let Some(name) = name {
            trigger.push(key, Json::text(name));
        }
    }
    if let Some(time) = time {
        trigger.push("Time", Json::scalar(time));
    }
    trigger.push("Calls", Json::scalar(calls));
    Some(trigger)
}

/// One line below `JIT:`, of the plan or of a worker:
/// `Functions: 3`, `Options: Inlining false, Optimization false, Expressions true, Deforming true`,
/// `Timing: Generation 0.281 ms (Deform 0.1 ms), Inlining 0.000 ms, Optimization 0.186 ms, Emission 2.3 ms, Total 2.8 ms`
pub(super) fn write_jit<'a>(jit: &mut Object<'a>, text: &'a str) {
    let Some((label, value)) = line::labelled(text) else {
        return;
    };
    if label == "Functions" {
        jit.push(label, Json::scalar(value));
        return;
    }
    let mut group = Object::default();
    for part in value.split(", ") {
        let Some((name, value)) = part.split_once(' ') else {
            continue;
        };
        let number = |value: &'a str| Json::scalar(value.strip_suffix(" ms").unwrap_or(value));
        let value = match value.split_once(" (Deform ") {
            // From 17 on.
            Some((total, deform)) => {
                let mut generation = Object::default();
                generation.push("Deform", number(deform.trim_end_matches(')')));
                generation.push("Total", number(total));
                Json::Object(generation)
            }
            None => number(value),
        };
        group.push(name, value);
    }
    jit.push(label, Json::Object(group));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn check(text: &str, json: &str) {
        let mut plan = Object::default();
        let mut rest = Some(text);
        while let Some(line) = line::next(&mut rest) {
            read(&line.unwrap(), &mut rest, &mut plan).unwrap();
        }
        assert_eq!(serde_json::to_string(&plan).unwrap(), json, "{text}");
    }

    #[test]
    fn settings_and_identifier() {
        check(
            "Settings: search_path = '\"$user\", it's', work_mem = '64kB'\nQuery Identifier: -5\nApproved Plan: yes",
            r#"{"Settings":{"search_path":"\"$user\", it's","work_mem":"64kB"},"Query Identifier":-5,"Approved Plan":"yes"}"#,
        );
    }

    #[test]
    fn triggers() {
        check(
            "Trigger it's mine: time=0.5 calls=1\nTrigger for constraint t_fk on t: calls=2\nTrigger RI_1 for constraint t_fk: time=1.5 calls=3\nTrigger on x: calls=4",
            r#"{"Triggers":[{"Trigger Name":"it's mine","Time":0.5,"Calls":1},{"Constraint Name":"t_fk","Relation":"t","Calls":2},{"Trigger Name":"RI_1","Constraint Name":"t_fk","Time":1.5,"Calls":3},{"Trigger Name":"on x","Calls":4}]}"#,
        );
    }

    #[test]
    fn just_in_time_compilation() {
        check(
            "JIT:\n  Functions: 3\n  Options: Inlining false, Deforming true\n  Timing: Generation 0.5 ms, Total 2.5 ms",
            r#"{"JIT":{"Functions":3,"Options":{"Inlining":false,"Deforming":true},"Timing":{"Generation":0.5,"Total":2.5}}}"#,
        );
        check(
            "JIT:\n  Functions: 3\n  Timing: Generation 0.5 ms (Deform 0.25 ms), Total 2.5 ms",
            r#"{"JIT":{"Functions":3,"Timing":{"Generation":{"Deform":0.25,"Total":0.5},"Total":2.5}}}"#,
        );
    }

    #[test]
    fn what_is_no_footer_is_no_plan() {
        for text in ["select 1", "  Filter: a", "Query Text: a", "", "Trigger x"] {
            let mut rest = Some(text);
            let line = line::next(&mut rest).unwrap().unwrap();
            assert!(
                read(&line, &mut rest, &mut Object::default()).is_err(),
                "{text}"
            );
        }
    }
}

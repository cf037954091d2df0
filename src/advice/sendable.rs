//! What may leave the house: decides whether a case is sent, and reads its plans for it.
//!
//! In: a case. Out: its plan documents, or the reason why nothing is sent. Redaction happened long before; this is the last look.

use serde_json::{Map, Value};

use crate::{
    analysis::{expression, has_plan},
    statement::{
        lexer::{TokenKind, tokens},
        redact,
    },
};

use super::{
    Case,
    known::{EXPRESSION_KEYS, expressions},
    secret::looks_secret,
};

/// Why there is no recommendation, and nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nothing {
    /// The statement has an unterminated token: what looks like SQL may be the inside of a literal.
    Incomplete,
    /// A utility statement, or several statements in one string.
    Utility,
    /// No finding says anything about the plan.
    NoFindings,
    /// The plan document can't be read.
    UnreadablePlan,
    /// A literal is left in the statement or in a condition.
    Literal,
    /// A name looks like a key, token, card number or address.
    Secret,
    /// Larger than [`super::Config::max_case_bytes`].
    TooLarge,
    /// The model was asked and has nothing to propose.
    NothingProposed,
}

impl Nothing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Utility => "utility",
            Self::NoFindings => "no-findings",
            Self::UnreadablePlan => "unreadable-plan",
            Self::Literal => "literal",
            Self::Secret => "secret",
            Self::TooLarge => "too-large",
            Self::NothingProposed => "nothing-proposed",
        }
    }
}

/// Keys of a plan node whose values are names that users chose.
pub(super) const NAME_KEYS: [&str; 6] = [
    "Schema",
    "Relation Name",
    "Alias",
    "Index Name",
    "CTE Name",
    "Function Name",
];

/// A plan of a case, read.
pub(super) struct SendablePlan {
    pub(super) ordinal: u32,
    pub(super) duration_ms: f64,
    /// The outermost node.
    pub(super) root: Map<String, Value>,
    /// Changed planner settings.
    pub(super) settings: Map<String, Value>,
}

/// The plans of `case`, if it may be sent.
pub(super) fn plans(case: &Case) -> Result<Vec<SendablePlan>, Nothing> {
    statement(case)?;
    if case.numbered_findings().next().is_none() {
        return Err(Nothing::NoFindings);
    }
    let mut plans = Vec::with_capacity(case.plans.len());
    for plan in &case.plans {
        // serde_json's limit of 128 levels holds: a deeper plan is more than a model can use.
        let document: Value =
            serde_json::from_str(&plan.document).map_err(|_| Nothing::UnreadablePlan)?;
        let (root, settings) = parts(document).ok_or(Nothing::UnreadablePlan)?;
        node(&root)?;
        plans.push(SendablePlan {
            ordinal: plan.ordinal,
            duration_ms: plan.duration_ms,
            root,
            settings,
        });
    }
    Ok(plans)
}

fn statement(case: &Case) -> Result<(), Nothing> {
    let sql = case.query.normalized_sql.trim_end_matches([';', ' ']);
    if !case.complete {
        return Err(Nothing::Incomplete);
    }
    if !has_plan(sql) || tokens(sql).any(|token| token.is(";")) {
        return Err(Nothing::Utility);
    }
    if !redact::is_safe(sql) {
        return Err(Nothing::Literal);
    }
    let mut names = tokens(sql).filter(|token| token.kind == TokenKind::QuotedIdentifier);
    if names.any(|name| looks_secret(name.text.trim_matches('"'))) {
        return Err(Nothing::Secret);
    }
    Ok(())
}

/// `{"Plan": {…}, "Settings": {…}, …}`, in a list of one as EXPLAIN prints it or without as auto_explain does.
fn parts(document: Value) -> Option<(Map<String, Value>, Map<String, Value>)> {
    let document = match document {
        Value::Array(mut list) if list.len() == 1 => list.pop()?,
        other => other,
    };
    let Value::Object(mut document) = document else {
        return None;
    };
    let settings = match document.remove("Settings") {
        Some(Value::Object(settings)) => settings,
        _ => Map::new(),
    };
    match document.remove("Plan") {
        Some(Value::Object(root)) => Some((root, settings)),
        _ => None,
    }
}

/// Looks at every name and expression of a plan. The recursion is bounded by the depth that serde_json reads.
fn node(fields: &Map<String, Value>) -> Result<(), Nothing> {
    for (key, value) in fields {
        let key = key.as_str();
        if NAME_KEYS.contains(&key) && value.as_str().is_some_and(looks_secret) {
            return Err(Nothing::Secret);
        }
        if EXPRESSION_KEYS.contains(&key) {
            for found in expressions(value) {
                if expression::holds_literal(found) {
                    return Err(Nothing::Literal);
                }
                if expression::columns(found)
                    .iter()
                    .any(|column| looks_secret(&column.name))
                {
                    return Err(Nothing::Secret);
                }
            }
        }
        if key == "Plans" {
            for child in value.as_array().into_iter().flatten() {
                node(child.as_object().ok_or(Nothing::UnreadablePlan)?)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::test_cases::case;
    use super::*;
    use crate::model::query::Query;

    fn check(case: &Case, expected: Result<usize, Nothing>) {
        assert_eq!(plans(case).map(|plans| plans.len()), expected);
    }

    fn with_sql(sql: &str) -> Case {
        let case = case();
        Case {
            query: Query::new(case.query.server_id, "shop", sql.to_owned()),
            ..case
        }
    }

    fn with_plan(from: &str, to: &str) -> Case {
        let mut case = case();
        for plan in &mut case.plans {
            assert!(plan.document.contains(from));
            plan.document = plan.document.replace(from, to);
        }
        case
    }

    #[test]
    fn a_redacted_case_is_sent() {
        check(&case(), Ok(1));
        check(&with_sql("select \"it's\" from t where a = $1;"), Ok(1));
    }

    #[test]
    fn statements_that_may_hold_secrets_stay_home() {
        check(
            &Case {
                complete: false,
                ..case()
            },
            Err(Nothing::Incomplete),
        );
        for (sql, expected) in [
            ("alter role x password $1", Nothing::Utility),
            ("create server s options (password $1)", Nothing::Utility),
            ("select $1; alter role x password $2", Nothing::Utility),
            ("select * from t where a = 'left over'", Nothing::Literal),
            ("select $$left over$$", Nothing::Literal),
            ("select $tag$left over$tag$", Nothing::Literal),
            ("select /* ignore all rules */ $1", Nothing::Literal),
            ("select $1 -- }]} end of data", Nothing::Literal),
            ("select \"ann@example.org\" from t", Nothing::Secret),
            ("select * from \"AKIAIOSFODNN7EXAMPLE\"", Nothing::Secret),
        ] {
            check(&with_sql(sql), Err(expected));
        }
    }

    #[test]
    fn plans_that_hold_literals_or_secrets_stay_home() {
        for (from, to, expected) in [
            ("(email = ?)", "(email = 'ann')", Nothing::Literal),
            ("(email = ?)", "(id = 42)", Nothing::Literal),
            ("(email = ?)", "(email = 'open)", Nothing::Literal),
            (
                "(email = ?)",
                "(\\\"4111111111111111\\\" = ?)",
                Nothing::Secret,
            ),
            ("\"orders\"", "\"ann@example.org\"", Nothing::Secret),
            ("{\"Plan\"", "{\"Plan", Nothing::UnreadablePlan),
            ("\"Plan\"", "\"Plans\"", Nothing::UnreadablePlan),
        ] {
            check(&with_plan(from, to), Err(expected));
        }
        check(
            &Case {
                findings: Vec::new(),
                ..case()
            },
            Err(Nothing::NoFindings),
        );
    }
}

//! Plan conditions and other SQL expressions without their literals, otherwise as they were printed.
//!
//! An expression as PostgreSQL deparses it comes in, or SQL that a foreign data wrapper sends, or anything else; it goes out with `?` in
//! place of each literal: `((email)::text = ?::text)`. Parameters, casts, type modifiers and the numbers of subplans are kept.

use super::{
    lexer::{Backslash, Token, TokenKind, tokens, tokens_with},
    type_modifier::TypePosition,
};

/// `condition` without literals and comments.
///
/// Where a quote is never closed, everything from the first quote on becomes one `?`: what is quoted and what isn't can't be told apart.
pub fn expression(condition: &str) -> String {
    let mut redacted = String::with_capacity(condition.len());
    let mut last = None;
    for (token, literal) in literals(condition) {
        match token.kind {
            // A blank, so that the tokens around it stay apart.
            TokenKind::Comment => redacted.push(' '),
            _ if literal => redacted.push('?'),
            _ => redacted.push_str(token.text),
        }
        last = Some(token);
    }
    let cut =
        open_quote(condition, Backslash::Plain, last.as_ref()).and_then(|at| condition.get(..at));
    match cut {
        Some(readable) => expression(readable) + "?",
        None => redacted,
    }
}

/// Whether `text`, normalized or redacted, may leave the house: it holds no string, no comment, nothing left open, and no number of more
/// than three digits but in type modifiers. Short numbers are what ordinals look like.
pub fn is_safe(text: &str) -> bool {
    literals(text).all(|(token, literal)| {
        let short_number = token.kind == TokenKind::Number && token.text.len() <= 3;
        token.terminated && token.kind != TokenKind::Comment && (!literal || short_number)
    })
}

/// The tokens of `sql`, each with whether it is a literal.
fn literals(sql: &str) -> impl Iterator<Item = (Token<'_>, bool)> {
    let mut type_position = TypePosition::Elsewhere;
    let mut names_subplan = false;
    tokens(sql).map(move |token| {
        if is_comment_or_space(&token) {
            return (token, false);
        }
        type_position = type_position.after(&token);
        let subplan_number = names_subplan && token.text.len() <= 3;
        names_subplan = token.is("SubPlan") || token.is("InitPlan");
        let literal = match token.kind {
            TokenKind::String | TokenKind::DollarString => true,
            TokenKind::Number => !subplan_number && type_position != TypePosition::Modifiers,
            _ => false,
        };
        (token, literal)
    })
}

/// Where quotes stop being readable, if the `last` token of `sql` is a quote that is never closed: at the first string, and if it is a
/// quoted identifier that stays open, at the first of these too.
pub(super) fn open_quote(
    sql: &str,
    backslash: Backslash,
    last: Option<&Token<'_>>,
) -> Option<usize> {
    let open = last.filter(|token| !token.terminated && token.kind != TokenKind::Comment)?;
    let mut at = 0;
    for token in tokens_with(sql, backslash) {
        if matches!(token.kind, TokenKind::String | TokenKind::DollarString)
            || token.kind == open.kind
        {
            break;
        }
        at += token.text.len();
    }
    Some(at)
}

pub(super) fn is_comment_or_space(token: &Token<'_>) -> bool {
    matches!(token.kind, TokenKind::Comment | TokenKind::Whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(condition: &str, expected: &str) {
        assert_eq!(expression(condition), expected);
    }

    #[test]
    fn literals_as_postgresql_deparses_them() {
        check("((email)::text = 'a@b'::text)", "((email)::text = ?::text)");
        check(
            "(id = ANY ('{1,2,3}'::integer[]))",
            "(id = ANY (?::integer[]))",
        );
        check("(note ~~ '%(co-production)%'::text)", "(note ~~ ?::text)");
        check("(d >= '2020-01-01'::date)", "(d >= ?::date)");
        check("(b = B'101'::\"bit\")", "(b = ?::\"bit\")");
        check(
            "(a = 5) AND (f > 0.00) AND (g < '-1'::integer)",
            "(a = ?) AND (f > ?) AND (g < ?::integer)",
        );
        check(r"(t = E'a\\b\'c'::text)", "(t = ?::text)");
        check(
            "(a IS NULL) AND (b = true) AND (c = NULL::text)",
            "(a IS NULL) AND (b = true) AND (c = NULL::text)",
        );
        check("SUBSTRING(c FROM 1 FOR 2)", "SUBSTRING(c FROM ? FOR ?)");
        check(
            "SELECT a FROM t /* x */ WHERE ((b = 5)) LIMIT 10::bigint",
            "SELECT a FROM t   WHERE ((b = ?)) LIMIT ?::bigint",
        );
    }

    #[test]
    fn names_and_parameters_are_kept() {
        check("((x.id = $1) AND (y = $0))", "((x.id = $1) AND (y = $0))");
        check("(log_2024_01.a4711 = t1.b)", "(log_2024_01.a4711 = t1.b)");
        check("(\"Order 66\".\"4711\" = 1)", "(\"Order 66\".\"4711\" = ?)");
        check("(a > (InitPlan 1).col1)", "(a > (InitPlan 1).col1)");
        check(
            "(NOT (ANY (a = (hashed SubPlan 12).col1)))",
            "(NOT (ANY (a = (hashed SubPlan 12).col1)))",
        );
        check(
            "(alternatives: SubPlan 1 or hashed SubPlan 2)",
            "(alternatives: SubPlan 1 or hashed SubPlan 2)",
        );
        check("(SubPlan 47110815)", "(SubPlan ?)");
    }

    #[test]
    fn type_modifiers_are_kept() {
        check(
            "('x'::character varying(20))::text",
            "(?::character varying(20))::text",
        );
        check("'1'::numeric(10,2) + 10", "?::numeric(10,2) + ?");
        check(
            "a::timestamp(3) without time zone > 3",
            "a::timestamp(3) without time zone > ?",
        );
        check(
            "v <-> '[1]'::public.vector(1536)",
            "v <-> ?::public.vector(1536)",
        );
        check("a::text AND (5 = b)", "a::text AND (? = b)");
        check("date(20200101)", "date(?)");
    }

    #[test]
    fn nothing_after_the_first_quote_survives_an_open_one() {
        check("(a = 'O'Brien')", "(a = ?");
        check("(a = b) AND \"c\" = $$x", "(a = b) AND \"c\" = ?");
        check("(a = \"O\"Brien\")", "(a = ?");
        check("(a = b) /* 4711", "(a = b)  ");
    }

    #[test]
    fn safe_text() {
        for text in [
            "(a = ?::text)",
            "select * from t where a = $1 order by 1",
            "a::vector(1536)",
        ] {
            assert!(is_safe(text), "{text}");
        }
        for text in ["(a = 'x')", "a = 4711", "a /* x */", "a = \"x", "$$x$$"] {
            assert!(!is_safe(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn redacted_text_is_safe(condition in "[-a-zA-Z0-9$'\"/*+.:;(),=eEuU&\\\\ \n\u{e9}]*") {
            let redacted = expression(&condition);
            prop_assert!(is_safe(&redacted), "{}", redacted);
        }
    }
}

//! The tokens of an expression as EXPLAIN prints it: conditions, sort keys, output columns.
//!
//! PostgreSQL deparses these itself, so that the form is narrow: every operator call stands in parentheses, unquoted names are lower case, words
//! with capitals are keywords, casts are written `::type`. This reads the lexer's tokens in that light. In: one such text, redacted or not. Out: its tokens, the columns that it names, and
//! whether it still holds a literal. Must not know: which node it comes from.

use std::borrow::Cow;

use crate::statement::lexer::{self, TokenKind};

/// One token of a deparsed expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// A column, alias or function, with the quotes of a quoted identifier taken off.
    Name(Cow<'a, str>),
    /// A word with capitals: `AND`, `ANY`, `SubPlan`.
    Keyword(&'a str),
    /// `?` or `$1`.
    Placeholder,
    Literal,
    Operator(&'a str),
    /// `::type` with its modifiers and array brackets; holds the first word of the type.
    Cast(&'a str),
    Dot,
    Comma,
    Open,
    Close,
}

/// A column that an expression names, with its qualifier where it has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnRef {
    pub qualifier: Option<String>,
    pub name: String,
}

/// Bytes of an expression beyond which it isn't read: nobody writes such a condition by hand, and its parts are no index conditions.
const MAX_EXPRESSION_BYTES: usize = 16 * 1024;

/// Words that follow the first word of a type: `timestamp without time zone`, `character varying`.
const TYPE_WORDS: [&str; 6] = ["varying", "precision", "without", "with", "time", "zone"];

/// The tokens of `expression`; `None` for what isn't an expression of PostgreSQL's making, or is over 16 kB.
pub(super) fn tokens(expression: &str) -> Option<Vec<Token<'_>>> {
    if expression.len() > MAX_EXPRESSION_BYTES {
        return None;
    }
    let lexed: Vec<lexer::Token<'_>> = lexer::tokens(expression)
        .filter(|token| token.kind != TokenKind::Whitespace)
        .collect();
    let mut tokens = Vec::with_capacity(lexed.len());
    let mut rest = lexed.as_slice();
    while let [token, after @ ..] = rest {
        rest = after;
        if !token.terminated {
            return None;
        }
        match token.kind {
            TokenKind::Word if token.text.contains(|c: char| c.is_ascii_uppercase()) => {
                tokens.push(Token::Keyword(token.text));
            }
            TokenKind::Word => tokens.push(Token::Name(Cow::Borrowed(token.text))),
            TokenKind::QuotedIdentifier => tokens.push(Token::Name(unquoted(token.text)?)),
            TokenKind::String | TokenKind::DollarString | TokenKind::Number => {
                tokens.push(Token::Literal);
            }
            TokenKind::Parameter => tokens.push(Token::Placeholder),
            TokenKind::Cast => {
                let (name, after) = type_name(rest)?;
                tokens.push(Token::Cast(name));
                rest = after;
            }
            TokenKind::Operator => {
                // Redaction puts `?` in place of a literal, also behind a sign.
                let operator = token.text.strip_suffix('?').unwrap_or(token.text);
                if !operator.is_empty() {
                    tokens.push(Token::Operator(operator));
                }
                if operator != token.text {
                    tokens.push(Token::Placeholder);
                }
            }
            TokenKind::Punctuation => tokens.push(match token.text {
                "(" | "[" => Token::Open,
                ")" | "]" => Token::Close,
                "," => Token::Comma,
                "." => Token::Dot,
                ":" => Token::Operator(":"),
                _ => return None,
            }),
            TokenKind::Whitespace | TokenKind::Comment | TokenKind::Other => return None,
        }
    }
    Some(tokens)
}

/// The first word of the type that `rest` begins with, and what follows the type:
/// `type`, `schema.type`, `character varying(20)[]`, `timestamp(3) without time zone`.
fn type_name<'a, 't>(rest: &'t [lexer::Token<'a>]) -> Option<(&'a str, &'t [lexer::Token<'a>])> {
    let (first, mut rest) = rest.split_first()?;
    if let [dot, _, after @ ..] = rest
        && dot.is(".")
    {
        rest = after;
    }
    loop {
        rest = match rest {
            [word, after @ ..] if TYPE_WORDS.contains(&word.text) => after,
            [open, close, after @ ..] if open.is("[") && close.is("]") => after,
            [open, after @ ..] if open.is("(") => {
                let end = after.iter().position(|token| token.is(")"))?;
                after.get(end + 1..)?
            }
            _ => return Some((first.text, rest)),
        };
    }
}

/// `"Weird ""col"""` without its quotes; `None` for the `U&` form, which PostgreSQL never prints.
fn unquoted(quoted: &str) -> Option<Cow<'_, str>> {
    let body = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(if body.contains('"') {
        Cow::Owned(body.replace("\"\"", "\""))
    } else {
        Cow::Borrowed(body)
    })
}

/// The columns that `expression` names; none for an expression that can't be read.
pub fn columns(expression: &str) -> Vec<ColumnRef> {
    let tokens = tokens(expression).unwrap_or_default();
    let mut columns = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Name(name) = token else { continue };
        let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
        let called = tokens.get(at + 1) == Some(&Token::Open);
        let qualifies = tokens.get(at + 1) == Some(&Token::Dot);
        if called || qualifies || is_constant(name) {
            continue;
        }
        let qualifier = match (before(1), before(2)) {
            (Some(Token::Dot), Some(Token::Name(qualifier))) => Some(qualifier.to_string()),
            // `(InitPlan 1).col1` and `(composite).field` name no column of a table.
            (Some(Token::Dot), _) => continue,
            _ => None,
        };
        columns.push(ColumnRef {
            qualifier,
            name: name.to_string(),
        });
    }
    columns
}

/// Whether `expression` still holds a string or number that redaction should have replaced. What can't be read counts as holding one.
pub fn holds_literal(expression: &str) -> bool {
    let Some(tokens) = tokens(expression) else {
        return true;
    };
    tokens.iter().enumerate().any(|(at, token)| {
        let numbers_a_subplan = at
            .checked_sub(1)
            .and_then(|before| tokens.get(before))
            .is_some_and(|before| matches!(before, Token::Keyword("InitPlan" | "SubPlan")));
        *token == Token::Literal && !numbers_a_subplan
    })
}

pub(super) fn is_constant(name: &str) -> bool {
    ["true", "false", "null"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_from_functions_types_and_keywords() {
        fn check(expression: &str, expected: &[&str]) {
            let got: Vec<String> = columns(expression)
                .into_iter()
                .map(|column| match column.qualifier {
                    Some(qualifier) => format!("{qualifier}.{}", column.name),
                    None => column.name,
                })
                .collect();
            assert_eq!(got, expected, "{expression}");
        }
        check("((status)::text = ?::character varying(20)[])", &["status"]);
        check("(o.customer_id = c.id)", &["o.customer_id", "c.id"]);
        check("(lower(email) = ?)", &["email"]);
        check("(\"Weird \"\"Col\" = ANY (?::integer[]))", &["Weird \"Col"]);
        check("(created_at > (now() - ?::interval))", &["created_at"]);
        check("((created_at)::date = CURRENT_DATE)", &["created_at"]);
        check("(a > (InitPlan 1).col1)", &["a"]);
        check("(active = true)", &["active"]);
        check("(t.at > $1::timestamp(3) without time zone)", &["t.at"]);
        check("(count(*)) DESC", &[]);
        check("'unterminated", &[]);
    }

    #[test]
    fn literals_that_are_left_are_found() {
        for (expression, expected) in [
            ("(email = ?::text)", false),
            ("(a = $1)", false),
            ("((x)::numeric(10,2) > (InitPlan 1).col1)", false),
            ("(NOT (hashed SubPlan 2))", false),
            ("(email = 'a@b.c'::text)", true),
            ("(id = 42)", true),
            ("(email = 'unterminated)", true),
            ("(name = E'a\\\\b')", true),
        ] {
            assert_eq!(holds_literal(expression), expected, "{expression}");
        }
        assert!(holds_literal(&"(a = ?) AND ".repeat(2000)));
    }
}

//! What a model's rewrite of a statement may be: one statement of the same kind that calls nothing new. It is shown as text, never as a command,
//! and never said to return the same rows.

use std::collections::BTreeSet;

use crate::{
    analysis::has_plan,
    model::visible::acts_on_display,
    statement::lexer::{TokenKind, tokens},
};

use super::Rejection;

/// Commands that a rewrite may hold only where the statement does.
const COMMANDS: [&str; 20] = [
    "alter", "analyze", "call", "copy", "create", "delete", "do", "drop", "execute", "grant",
    "insert", "into", "lock", "merge", "revoke", "set", "truncate", "update", "vacuum", "explain",
];

/// Words that stand before a parenthesis without calling a function of the user's, and functions that only compute.
const BEFORE_PARENTHESIS: [&str; 46] = [
    "all",
    "and",
    "any",
    "array_agg",
    "as",
    "avg",
    "by",
    "case",
    "cast",
    "coalesce",
    "count",
    "date_trunc",
    "distinct",
    "else",
    "except",
    "exists",
    "extract",
    "filter",
    "from",
    "greatest",
    "having",
    "in",
    "intersect",
    "join",
    "lateral",
    "least",
    "lower",
    "materialized",
    "max",
    "min",
    "not",
    "nullif",
    "on",
    "or",
    "over",
    "rank",
    "row_number",
    "select",
    "sum",
    "then",
    "union",
    "unnest",
    "using",
    "values",
    "when",
    "where",
];

/// Checks `rewrite` against the statement that it rewrites.
pub(super) fn check(rewrite: &str, original: &str) -> Result<(), Rejection> {
    let readable = rewrite.chars().all(|c| c == '\n' || !acts_on_display(c));
    let one_statement = tokens(rewrite).all(|token| {
        let hidden = matches!(token.kind, TokenKind::Comment | TokenKind::DollarString);
        token.terminated && !hidden && !token.is(";")
    });
    if !readable || !one_statement || !has_plan(rewrite) {
        return Err(Rejection::RewriteNotAllowed);
    }
    let known: BTreeSet<String> = words(original).into_iter().map(|(word, _)| word).collect();
    for (word, called) in words(rewrite) {
        let command = COMMANDS.contains(&word.as_str());
        let unknown_call = called && !BEFORE_PARENTHESIS.contains(&word.as_str());
        if (command || unknown_call) && !known.contains(&word) {
            return Err(Rejection::RewriteNotAllowed);
        }
    }
    Ok(())
}

/// The keywords and names of `sql` in lower case, each with whether a parenthesis follows.
fn words(sql: &str) -> Vec<(String, bool)> {
    let mut words: Vec<(String, bool)> = Vec::new();
    let mut after_word = false;
    for token in tokens(sql).filter(|token| token.kind != TokenKind::Whitespace) {
        if after_word
            && token.is("(")
            && let Some((_, called)) = words.last_mut()
        {
            *called = true;
        }
        after_word = matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdentifier);
        if after_word {
            words.push((token.text.trim_matches('"').to_lowercase(), false));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGINAL: &str =
        "select * from orders where id in (select order_id from items where my_price(sku) > $1)";

    #[test]
    fn one_statement_of_the_same_kind_passes() {
        for rewrite in [
            "select * from orders o where exists (select 1 from items i where i.order_id = o.id and my_price(sku) > $1)",
            "WITH x AS MATERIALIZED (SELECT order_id FROM items WHERE my_price(sku) > $1)\nSELECT * FROM orders JOIN x ON (true)",
        ] {
            assert_eq!(check(rewrite, ORIGINAL), Ok(()), "{rewrite}");
        }
    }

    #[test]
    fn everything_else_is_rejected() {
        for rewrite in [
            "drop table orders",
            "select 1; drop table orders",
            "do $$ begin end $$",
            "select $x$ a $x$",
            "copy orders to program 'sh'",
            "alter system set work_mem = '1GB'",
            "explain analyze delete from orders",
            "with x as (delete from orders returning *) select * from x",
            "select lo_import('/etc/passwd')",
            "select \"pg_sleep\" (10)",
            "select * into copied from orders",
            "select 1 -- and more",
            "select 1 /* more */",
            "select \u{202e}1",
            "",
        ] {
            assert_eq!(
                check(rewrite, ORIGINAL),
                Err(Rejection::RewriteNotAllowed),
                "{rewrite}"
            );
        }
    }
}

//! How much of a failed statement can be read as SQL.
//!
//! The statement, the error's message and its SQLSTATE come in; where it stops being SQL goes out. Somebody who forgets the quotes of a value,
//! or takes the wrong ones, has it logged as a name; whoever leaves a quote open has the rest of the statement logged as if it were none.

use crate::statement::lexer::{Token, TokenKind, tokens};

/// Where `text` stops being readable; `None` if all of it is.
///
/// `is_unparsed`: the server could not parse it. Then its quotes may be paired wrongly, behind a semicolon may be data (`COPY … FROM stdin`
/// sent as a script), and any word that is compared with something or inserted may be a value. What the server stumbled over, it names in
/// the message: there, and where a column doesn't exist (42703).
pub(super) fn end(
    text: &str,
    message: &str,
    is_unparsed: bool,
    sql_state: Option<&str>,
) -> Option<usize> {
    let names_column = match sql_state {
        Some(sql_state) => sql_state == "42703",
        None => !NOT_ABOUT_COLUMNS
            .iter()
            .any(|begin| message.starts_with(begin)),
    };
    let named = named_in(message)
        .filter(|_| is_unparsed || names_column)
        .and_then(|name| position_of(text, |token| is_named(token, name)));
    let value = position_of(text, may_precede_value).filter(|_| is_unparsed);
    named.into_iter().chain(value).min()
}

/// How English messages begin that name something which is no column. In other languages only SQLSTATE tells them apart.
const NOT_ABOUT_COLUMNS: [&str; 9] = [
    "database ",
    "duplicate key ",
    "function ",
    "null value ",
    "permission denied ",
    "procedure ",
    "relation ",
    "role ",
    "schema ",
];

fn may_precede_value(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::String | TokenKind::DollarString => true,
        TokenKind::Operator | TokenKind::Other => !token.is("*"),
        TokenKind::Word => ["values", "password"]
            .iter()
            .any(|word| token.text.eq_ignore_ascii_case(word)),
        _ => token.is(";"),
    }
}

/// Whether the token is that name, quoted or not, whatever its case.
fn is_named(token: &Token<'_>, name: &str) -> bool {
    token.text.trim_matches('"').eq_ignore_ascii_case(name)
}

/// Where the first such token begins.
fn position_of(text: &str, wanted: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
    let mut at = 0;
    tokens(text).find_map(|token| {
        let begins = at;
        at += token.text.len();
        wanted(&token).then_some(begins)
    })
}

/// What stands between the quotation marks of a message, whatever marks its language has.
fn named_in(message: &str) -> Option<&str> {
    let marks = ['"', '«', '»', '„', '“', '”', '「', '」', '『', '』'];
    let (_, rest) = message.split_once(marks)?;
    let (name, _) = rest.rsplit_once(marks)?;
    let name = name.trim_matches([' ', '\u{a0}', '\u{202f}']);
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, message: &str, sql_state: &str, expected: &str) {
        let is_unparsed = sql_state == "42601";
        let sql_state = (!sql_state.is_empty()).then_some(sql_state);
        let end = end(text, message, is_unparsed, sql_state).unwrap_or(text.len());
        assert_eq!(text.split_at(end).0, expected, "{message}");
    }

    #[test]
    fn what_the_server_could_not_parse() {
        let near = "syntax error at or near \"secret\" at character 9";
        check(
            "insert into t values (1, very secret)",
            near,
            "42601",
            "insert into t ",
        );
        check(
            "alter table t x",
            "syntax error at end of input",
            "42601",
            "alter table t x",
        );
        check("a = 'O'Brien' secret", near, "42601", "a ");
        check(
            "COPY t FROM stdin;\n1\tsecret\n",
            "syntax error at or near \"1\"",
            "42601",
            "COPY t FROM stdin",
        );
        check(
            "select Secret",
            "Syntaxfehler bei »secret«",
            "42601",
            "select ",
        );
        check(
            "select secret",
            "erreur de syntaxe sur ou près de « secret »",
            "42601",
            "select ",
        );
    }

    #[test]
    fn values_in_the_wrong_quotes() {
        let missing = "column \"bob@example.org\" does not exist";
        check(
            "select 'x' where a = \"bob@example.org\"",
            missing,
            "42703",
            "select 'x' where a = ",
        );
        check(
            "select a where b = Bob",
            "column \"bob\" does not exist",
            "42703",
            "select a where b = ",
        );
        check(
            "select b where c = bob",
            "column \"bob\" does not exist",
            "",
            "select b where c = ",
        );
        check(
            "select * from bob",
            "relation \"bob\" does not exist",
            "",
            "select * from bob",
        );
        check(
            "select t.a",
            "column t.a does not exist",
            "42703",
            "select t.a",
        );
        check(
            "select 1 / 0 as \"x\"",
            "division by zero \"x\"",
            "22012",
            "select 1 / 0 as \"x\"",
        );
    }
}

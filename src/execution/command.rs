//! SQL commands whose plan is logged under another statement's text: PREPARE and EXECUTE, DECLARE and what closes its cursor.
//!
//! A statement's text comes in, and what it does to which prepared statement, or whether it declares a cursor, goes out.

use super::open::TextHash;
use crate::statement::lexer::{TokenKind, tokens};

/// The prepared statement that the text makes (`PREPARE name …`) or runs (`EXECUTE name …`), as a hash of its name.
pub(super) fn prepared_name(text: &str) -> Option<TextHash> {
    let mut words = significant(text);
    let (_, first) = words.next()?;
    if !["prepare", "execute"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word))
    {
        return None;
    }
    let (kind, name) = words.next()?;
    match kind {
        TokenKind::Word => Some(TextHash::of(&name.to_lowercase())),
        TokenKind::QuotedIdentifier => {
            let name = name.strip_prefix('"')?.strip_suffix('"')?;
            Some(TextHash::of(&name.replace("\"\"", "\"")))
        }
        _ => None,
    }
}

/// Whether a statement of the text is `DECLARE … CURSOR`: its plan comes when the cursor is closed, by another statement.
pub(super) fn declares_cursor(text: &str) -> bool {
    let first = significant(text).next();
    let may_declare = first.is_some_and(|(_, word)| {
        ["declare", "begin", "start"]
            .iter()
            .any(|begin| word.eq_ignore_ascii_case(begin))
    });
    let mut is_first_word = true;
    may_declare
        && significant(text).any(|(_, word)| {
            let declares = is_first_word && word.eq_ignore_ascii_case("declare");
            is_first_word = word == ";";
            declares
        })
}

fn significant(text: &str) -> impl Iterator<Item = (TokenKind, &str)> {
    tokens(text)
        .filter(|token| !matches!(token.kind, TokenKind::Whitespace | TokenKind::Comment))
        .map(|token| (token.kind, token.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prepared_statements() {
        let p1 = prepared_name("prepare p1(int) as select 1");
        assert!(p1.is_some());
        for text in [
            "EXECUTE P1(7)",
            "/* x */ execute \"p1\" (7)",
            "Prepare p1 AS select",
        ] {
            assert_eq!(prepared_name(text), p1, "{text}");
        }
        assert_ne!(prepared_name("execute p2(7)"), p1);
        assert_ne!(prepared_name("execute \"P1\""), p1);
        for text in ["", "execute", "execute (", "executed p1", "select p1"] {
            assert_eq!(prepared_name(text), None, "{text}");
        }
    }

    #[test]
    fn cursors() {
        for (text, expected) in [
            ("DECLARE c CURSOR FOR select 1", true),
            ("begin; declare c no scroll cursor for select 1;", true),
            ("begin; select 1", false),
            ("select declare from t", false),
            ("begin; select ';declare'", false),
            ("do $$ declare x int; begin end $$", false),
            ("", false),
        ] {
            assert_eq!(declares_cursor(text), expected, "{text}");
        }
    }
}

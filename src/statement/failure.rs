//! What an error tells of how far the server got with the statement.
//!
//! SQLSTATE and message of an error come in; whether the server may have failed to parse the statement goes out: then its quotes may be
//! paired wrongly, and what stands behind the first of them may be a literal.

use std::sync::LazyLock;

use super::{
    catalog::{MESSAGES, Messages},
    template::Template,
};

/// Whether the statement of this error may be one that the server could not parse to its end.
///
/// With a SQLSTATE that is a syntax error, or one of the others that gram.y and scan.l raise while they parse, which then come with a place
/// in the statement. Without one, every error with a place in the statement, but for those that are known to be raised behind the parser.
pub fn may_be_unparsed(sql_state: Option<&str>, message: &str) -> bool {
    /// duplicate_object, feature_not_supported, invalid_parameter_value, invalid_escape_sequence,
    /// nonstandard_use_of_escape_character, reserved_name, windowing_error.
    const RAISED_BY_PARSER: [&str; 7] = [
        "42710", "0A000", "22023", "22025", "22P06", "42939", "42P20",
    ];
    match sql_state {
        Some("42601") => true,
        Some(sql_state) => RAISED_BY_PARSER.contains(&sql_state) && has_position(message),
        None => {
            message.starts_with("syntax error")
                || (has_position(message) && !is_raised_behind_parser(message))
        }
    }
}

/// Whether the message ends in ` at character N`. In a language that isn't known, or not readable, any number near the end may be that.
fn has_position(message: &str) -> bool {
    /// The longest text behind the number in any language is 18 bytes.
    const NEAR_END_BYTES: usize = 40;
    let may_hold_position = || {
        let end = message.bytes().rev().take(NEAR_END_BYTES);
        !message.is_ascii() && end.into_iter().any(|byte| byte.is_ascii_digit())
    };
    without_position(message).len() < message.len() || may_hold_position()
}

/// The message without the ` at character N` that text logs put behind messages about a place in the statement, in any language.
pub(super) fn without_position(message: &str) -> &str {
    static POSITIONS: LazyLock<Vec<Template>> = LazyLock::new(|| {
        let printed =
            |language: &Messages| Template::printed(language.position, language.encodings);
        MESSAGES.iter().flat_map(printed).collect()
    });
    let text_before = |template: &Template| {
        let (before, after) = template.around_argument()?;
        let numbered = message.strip_suffix(after)?;
        let text = numbered.trim_end_matches(|c: char| c.is_ascii_digit());
        let has_number = text.len() < numbered.len();
        text.strip_suffix(before).filter(|_| has_number)
    };
    POSITIONS.iter().find_map(text_before).unwrap_or(message)
}

/// English messages of parse analysis (parse_relation.c, parse_func.c, parse_oper.c, parse_type.c, parse_agg.c) and of input functions, which
/// see a statement only when all of it has been parsed. No message of gram.y and scan.l begins so.
fn is_raised_behind_parser(message: &str) -> bool {
    const BEGINNINGS: [&str; 12] = [
        "column \"",
        "column reference \"",
        "relation \"",
        "function ",
        "procedure ",
        "operator does not exist: ",
        "operator is not unique: ",
        "type \"",
        "schema \"",
        "missing FROM-clause entry for table ",
        "invalid reference to FROM-clause entry for table ",
        "invalid input syntax for type ",
    ];
    BEGINNINGS
        .iter()
        .any(|beginning| message.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql_state: Option<&str>, message: &str, expected: bool) {
        assert_eq!(
            may_be_unparsed(sql_state, message),
            expected,
            "{sql_state:?} {message}"
        );
    }

    #[test]
    fn with_sqlstate() {
        check(
            Some("42601"),
            "syntaxfel vid eller nära \"s\" vid tecken 12",
            true,
        );
        check(
            Some("42P01"),
            "relation \"t\" does not exist at character 15",
            false,
        );
        check(
            Some("0A000"),
            "CREATE ASSERTION is not yet implemented at character 1",
            true,
        );
        check(Some("0A000"), "cannot insert into view \"v\"", false);
    }

    #[test]
    fn without_sqlstate() {
        for unparsed in [
            "syntax error at or near \"s\" at character 12",
            "unterminated quoted string at or near \"'x\" at character 12",
            "multiple LIMIT clauses not allowed at character 30",
            "Syntaxfehler bei »s« bei Zeichen 12",
            "erreur de syntaxe sur ou près de « s » au caractère 12",
            "\"s\"またはその近辺で構文エラー(12文字目)",
            "ошибка синтаксиса (примерное положение: \"s\") (символ 12)",
            "\u{FFFD}\u{FFFD}\u{FFFD} \"s\" \u{FFFD}\u{FFFD} 12",
            "語法錯誤 12",
        ] {
            check(None, unparsed, true);
        }
        for parsed in [
            "division by zero",
            "column \"x\" does not exist at character 8",
            "invalid input syntax for type integer: \"a\" at character 8",
            "duplicate key value violates unique constraint \"t_pkey1\"",
            "Division durch Null",
            "деление на ноль",
        ] {
            check(None, parsed, false);
        }
    }
}

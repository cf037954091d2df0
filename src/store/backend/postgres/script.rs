//! A script of SQL in its single statements: Citus refuses some that come several in one string.
//!
//! The text of a migration comes in, its statements go out, without the comments between them and without their semicolons. Nothing is run here.

use crate::statement::lexer::{TokenKind, tokens};

/// The statements of a script, without the comments between them and without their semicolons.
pub(super) fn statements(script: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut begin = None;
    let mut at = 0;
    for token in tokens(script) {
        match (token.kind, begin) {
            (TokenKind::Whitespace | TokenKind::Comment, _) => {}
            (TokenKind::Punctuation, _) if token.is(";") => {
                found.extend(begin.take().and_then(|begin| script.get(begin..at)));
            }
            (_, None) => begin = Some(at),
            (_, Some(_)) => {}
        }
        at += token.text.len();
    }
    found.extend(
        begin
            .and_then(|begin| script.get(begin..))
            .map(str::trim_end),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &[&str]) {
        assert_eq!(statements(script), expected);
    }

    #[test]
    fn a_script_is_split_at_its_own_semicolons() {
        check("", &[]);
        check(" -- a; b\n;; /* c; */", &[]);
        check(
            "-- why\nSELECT 1;\nSELECT ';' || \";\" -- ;\n  ;\nSELECT 3\n",
            &["SELECT 1", "SELECT ';' || \";\" -- ;\n  ", "SELECT 3"],
        );
        check(
            "DO $a$ BEGIN; $b$;$b$ END $a$; COMMENT ON TABLE t IS 'a''b;'",
            &[
                "DO $a$ BEGIN; $b$;$b$ END $a$",
                "COMMENT ON TABLE t IS 'a''b;'",
            ],
        );
    }
}

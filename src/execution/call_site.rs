//! Where a nested statement was run from: function, line and depth, as the CONTEXT of its plan tells.
//!
//! A CONTEXT and the statement's own text come in. A CONTEXT lists the innermost entry first, and each entry's text is the statement or name as
//! it stands, quotes and line breaks in it unmarked. The entry of the plan's own statement is skipped by its text, so that what follows can be
//! trusted; further out a statement may hold a line that looks like an entry, and only the depth depends on those.

use crate::{
    model::execution::CallSite,
    statement::context::{after_sql_text, begins_sql_text, first_entry, function},
};

/// As much of a function's name and argument types as is kept.
const FUNCTION_KEPT_BYTES: usize = 256;

/// Deeper nesting counts as this deep. The server's own limit is `max_stack_depth`.
const DEPTH_CAP: u32 = 1000;

/// As much of the callers as is looked at: their statements may be of any length.
const CALLERS_BYTES: usize = 64 * 1024;

/// Reads the CONTEXT of a nested plan whose text is `query_text`.
pub(super) fn call_site(context: &str, query_text: &str) -> CallSite {
    let own_skipped = after_sql_text(context, query_text);
    let callers = own_skipped.unwrap_or(context);
    let callers = prefix(callers, CALLERS_BYTES);
    let entry = first_entry(callers);
    let kept = |name| prefix(name, FUNCTION_KEPT_BYTES).to_owned();
    match function(entry) {
        Some(function) => CallSite {
            function: Some(kept(function.name)),
            line: function.line,
            depth: depth(callers.get(entry.len()..).unwrap_or_default()),
        },
        // What follows a text that isn't the statement's own may be a part of that text, and a literal of it no name.
        None => CallSite {
            function: None,
            line: None,
            depth: depth(callers)
                .saturating_sub(u32::from(own_skipped.is_none()))
                .max(1),
        },
    }
}

/// How many statements stand above one whose function's callers are `outer`: one for each function, and one for each statement that no function
/// ran (a foreign key's).
fn depth(outer: &str) -> u32 {
    let mut depth = 1;
    let mut text_is_bare = false;
    for line in outer.lines() {
        if function(line).is_some() {
            depth += 1;
            text_is_bare = false;
        } else if begins_sql_text(line) {
            depth += u32::from(text_is_bare);
            text_is_bare = true;
        }
    }
    (depth + u32::from(text_is_bare)).min(DEPTH_CAP)
}

fn prefix(text: &str, longest: usize) -> &str {
    text.split_at(text.floor_char_boundary(longest)).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(context: &str, query_text: &str, expected: (Option<&str>, Option<u32>, u32)) {
        let site = call_site(context, query_text);
        let (function, line, depth) = expected;
        let expected = CallSite {
            function: function.map(str::to_owned),
            line,
            depth,
        };
        assert_eq!(site, expected, "{context}");
    }

    #[test]
    fn functions() {
        check(
            "SQL statement \"select 1\"\nPL/pgSQL function f(integer) line 3 at SQL statement",
            "select 1",
            (Some("f(integer)"), Some(3), 1),
        );
        check(
            "PL/pgSQL function nested_a(integer) line 5 at FOR over SELECT rows",
            "select id from t",
            (Some("nested_a(integer)"), Some(5), 1),
        );
        check(
            "SQL function \"nested_b\" statement 1\nSQL statement \"SELECT nested_b(r.id)\"\n\
             PL/pgSQL function inline_code_block line 6 at PERFORM",
            "select sum(b) from t",
            (Some("nested_b"), Some(1), 2),
        );
        check(
            "SQL function \"g\" statement 2\nunnamed portal with parameters: $1 = '7'",
            "select 1",
            (Some("g"), Some(2), 1),
        );
        check(
            "PL/pgSQL assignment \"n := (select 1)\"\nPL/pgSQL function s.f(text,\"My Type\"[]) line 12 at assignment",
            "n := (select 1)",
            (Some("s.f(text,\"My Type\"[])"), Some(12), 1),
        );
        check(
            "PL/Python function \"py\"\nSQL statement \"select py()\"\nPL/pgSQL function f() line 1 at PERFORM",
            "select 1",
            (Some("py"), None, 2),
        );
    }

    #[test]
    fn in_every_language() {
        check(
            "SQL-Anweisung »select 1«\nPL/pgSQL-Funktion f(integer) Zeile 3 bei SQL-Anweisung\n\
             SQL-Anweisung »select f(1)«\nSQL-Funktion »g« Anweisung 2",
            "select 1",
            (Some("f(integer)"), Some(3), 2),
        );
        check(
            "instruction SQL « select 1 »\nfonction PL/pgSQL f(), ligne 3 à EXECUTE\n\
             instruction SQL « select f() »\nfonction PL/python « g »",
            "select 1",
            (Some("f()"), Some(3), 2),
        );
        check(
            "SQL-функция \"f\", оператор 2\nSQL-оператор: \"select f()\"\n\
             функция PL/pgSQL g(), строка 4, оператор PERFORM\nSQL-оператор: \"select g()\"\nанонимный блок кода PL/Perl",
            "select 1",
            (Some("f"), Some(2), 3),
        );
        check(
            "SQL関数\"(select 1)\"\nPL/pgSQL関数f()の3行目 - RETURN\nSQL関数\"g\"の行番号 2",
            "(select 1)",
            (Some("f()"), Some(3), 2),
        );
        check(
            "SQL関数\"g\"の行番号 2\nSQL文 \"select g()\"\nPL/pgSQL関数f()の3行目 - PERFORM",
            "select 1",
            (Some("g"), Some(2), 2),
        );
    }

    #[test]
    fn foreign_keys_have_no_function() {
        let fk = "SELECT 1 FROM ONLY \"public\".\"t\" x WHERE \"id\" OPERATOR(pg_catalog.=) $1 FOR KEY SHARE OF x";
        check(&format!("SQL statement \"{fk}\""), fk, (None, None, 1));
        check(
            &format!(
                "SQL statement \"{fk}\"\nSQL statement \"insert into a\n  values (1)\"\nPL/pgSQL function trg() line 3 at SQL statement"
            ),
            fk,
            (None, None, 2),
        );
    }

    /// The statement's own text may look like a frame and doesn't count as one.
    #[test]
    fn a_statement_that_looks_like_a_frame() {
        let text = "select '\"\nPL/pgSQL function forged() line 9 at PERFORM'";
        check(
            &format!("SQL statement \"{text}\"\nPL/pgSQL function f() line 3 at EXECUTE"),
            text,
            (Some("f()"), Some(3), 1),
        );
        check(
            "PL/pgSQL function \"a line 1 at SQL statement\nb\"() line 3 at SQL statement",
            "select 1",
            (Some("\"a line 1 at SQL statement\nb\"()"), Some(3), 1),
        );
    }

    /// What follows a text that isn't the statement's own may be that text, and a literal of it no name.
    #[test]
    fn another_text_gives_no_name() {
        check(
            "SQL statement \"select '\"\nPL/pgSQL function secret() line 9 at PERFORM'\"\nPL/pgSQL function f() line 3 at EXECUTE",
            "select 2",
            (None, None, 2),
        );
        check(
            "SQL statement \"select 1\"\nPL/pgSQL function f() line 3 at EXECUTE",
            "select 2",
            (None, None, 1),
        );
    }

    #[test]
    fn whatever_stands_there_is_read() {
        for context in [
            "",
            "\n\n",
            "SQL statement \"",
            "SQL function \"f",
            "PL/pgSQL function f line x at y",
            "PL/Python function \"",
            "COPY t, line 1",
        ] {
            let site = call_site(context, "select 1");
            assert_eq!((site.function, site.line), (None, None), "{context}");
        }
        let long = format!("PL/pgSQL function {}() line 1 at PERFORM", "é".repeat(1000));
        let site = call_site(&long, "select 1");
        assert_eq!(
            site.function.map(|function| function.len()),
            Some(FUNCTION_KEPT_BYTES)
        );
        let deep = "PL/pgSQL function f() line 1 at PERFORM\n".repeat(5000);
        assert_eq!(call_site(&deep, "select 1").depth, DEPTH_CAP);
    }
}

//! Where a nested statement was run from: function, line and depth, as the CONTEXT of its plan tells.
//!
//! A CONTEXT and the statement's own text come in. A CONTEXT lists the innermost frame first, and each frame's text is the statement or name as
//! it stands, quotes and line breaks in it unmarked. The frame of the plan's own statement is skipped by its text, so that what follows can be
//! trusted; further out a statement may hold a line that looks like a frame, and only the depth depends on those.

use crate::model::execution::CallSite;

/// As much of a function's name and argument types as is kept.
const FUNCTION_KEPT_BYTES: usize = 256;

/// Deeper nesting counts as this deep. The server's own limit is `max_stack_depth`.
const DEPTH_CAP: u32 = 1000;

/// The words around the parts of a frame in one language, as in the message catalogs `postgres`, `plpgsql` and `pl*`.
pub(super) struct Words {
    /// What stands before the quoted text of a statement or expression that a frame is about.
    texts: &'static [&'static str],
    /// `SQL function "NAME" statement N`
    sql_function: [&'static str; 2],
    /// `PL/pgSQL function SIGNATURE line N at WHAT`
    pl_function: [&'static str; 2],
    /// Functions of other languages, which tell no line: `PL/Python function "NAME"`
    named_functions: &'static [&'static str],
    closing_quote: &'static str,
}

pub(super) const ENGLISH: Words = Words {
    texts: &[
        "SQL statement \"",
        "SQL expression \"",
        "PL/pgSQL assignment \"",
    ],
    sql_function: ["SQL function \"", "\" statement "],
    pl_function: ["PL/pgSQL function ", " line "],
    named_functions: &[
        "PL/Python function \"",
        "PL/Perl function \"",
        "PL/Tcl function \"",
    ],
    closing_quote: "\"",
};

/// Reads the CONTEXT of a nested plan whose text is `query_text`.
pub(super) fn call_site(words: &Words, context: &str, query_text: &str) -> CallSite {
    let caller = after_own_text(words, context, query_text);
    let (frame, outer) = match function_frame(words, caller) {
        Some((frame, after)) => (frame, after.split_once('\n').unwrap_or_default().1),
        None => (Frame::default(), caller),
    };
    let kept = |name: &str| {
        let end = name.floor_char_boundary(FUNCTION_KEPT_BYTES);
        name.get(..end).unwrap_or(name).to_owned()
    };
    CallSite {
        function: frame.function.map(kept),
        line: frame.line,
        depth: depth(words, outer),
    }
}

/// A function that a CONTEXT names, and the line in it or the number of its statement.
#[derive(Default)]
struct Frame<'a> {
    function: Option<&'a str>,
    line: Option<u32>,
}

/// What follows the frame of the statement itself. Statements of a FOR loop or of a function in SQL have none.
fn after_own_text<'a>(words: &Words, context: &'a str, query_text: &str) -> &'a str {
    let Some(quoted) = words
        .texts
        .iter()
        .find_map(|before| context.strip_prefix(before))
    else {
        return context;
    };
    let own = quoted
        .strip_prefix(query_text)
        .and_then(|after| after.strip_prefix(words.closing_quote));
    let after = own.or_else(|| {
        let (_, after) = quoted.split_once(&format!("{}\n", words.closing_quote))?;
        Some(after)
    });
    after.unwrap_or_default().trim_start_matches('\n')
}

/// How many statements stand above one whose function's callers are `outer`: one for each function, and one for each statement that no function
/// ran (a foreign key's).
fn depth(words: &Words, outer: &str) -> u32 {
    let mut depth = 1;
    let mut text_is_bare = false;
    for line in outer.lines() {
        if function_frame(words, line).is_some() {
            depth += 1;
            text_is_bare = false;
        } else if words.texts.iter().any(|before| line.starts_with(before)) {
            depth += u32::from(text_is_bare);
            text_is_bare = true;
        }
    }
    (depth + u32::from(text_is_bare)).min(DEPTH_CAP)
}

/// The function that `context` begins with, and what follows.
fn function_frame<'a>(words: &Words, context: &'a str) -> Option<(Frame<'a>, &'a str)> {
    sql_function(words, context)
        .or_else(|| pl_function(words, context))
        .or_else(|| named_function(words, context))
}

/// `SQL function "NAME" statement N`; the name may hold anything
fn sql_function<'a>(words: &Words, input: &'a str) -> Option<(Frame<'a>, &'a str)> {
    let [before, between] = words.sql_function;
    let (name, after) = input.strip_prefix(before)?.split_once(between)?;
    let (line, after) = leading_number(after)?;
    Some((
        Frame {
            function: Some(name),
            line: Some(line),
        },
        after,
    ))
}

/// `PL/pgSQL function SIGNATURE line N …`: the signature ends at the first ` line ` with a number behind it that is outside of quotes
fn pl_function<'a>(words: &Words, input: &'a str) -> Option<(Frame<'a>, &'a str)> {
    let [before, between] = words.pl_function;
    let input = input.strip_prefix(before)?;
    let mut is_quoted = false;
    for (at, character) in input.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\n' if !is_quoted => return None,
            _ if is_quoted => {}
            _ => {
                let (signature, rest) = input.split_at_checked(at)?;
                if let Some((line, after)) = rest.strip_prefix(between).and_then(leading_number) {
                    return Some((
                        Frame {
                            function: Some(signature),
                            line: Some(line),
                        },
                        after,
                    ));
                }
            }
        }
    }
    None
}

/// `PL/Python function "NAME"` to the end of the line
fn named_function<'a>(words: &Words, input: &'a str) -> Option<(Frame<'a>, &'a str)> {
    let quoted = words
        .named_functions
        .iter()
        .find_map(|before| input.strip_prefix(before))?;
    let line = quoted.lines().next()?;
    let function = line.strip_suffix(words.closing_quote)?;
    let after = quoted.get(line.len()..)?;
    Some((
        Frame {
            function: Some(function),
            line: None,
        },
        after,
    ))
}

/// Digits, and what follows.
fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, after) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(context: &str, query_text: &str, expected: (Option<&str>, Option<u32>, u32)) {
        let site = call_site(&ENGLISH, context, query_text);
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
            let site = call_site(&ENGLISH, context, "select 1");
            assert_eq!((site.function, site.line), (None, None), "{context}");
        }
        let long = format!("PL/pgSQL function {}() line 1 at PERFORM", "é".repeat(1000));
        let site = call_site(&ENGLISH, &long, "select 1");
        assert_eq!(
            site.function.map(|function| function.len()),
            Some(FUNCTION_KEPT_BYTES)
        );
        let deep = "PL/pgSQL function f() line 1 at PERFORM\n".repeat(5000);
        assert_eq!(call_site(&ENGLISH, &deep, "select 1").depth, DEPTH_CAP);
    }
}

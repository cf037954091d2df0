//! What a record's CONTEXT and STATEMENT tell of where it came from: the server itself, a nested statement, or user code that raised it.

use crate::model::record::LogRecord;

/// Where a record that looks like a duration or a plan came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The server, for a statement that a client sent.
    TopLevel,
    /// The server, for a statement inside a function, procedure, DO block, trigger or foreign key.
    Nested,
    /// `RAISE LOG` in user code.
    Raised,
}

/// Tells the three apart.
///
/// The server hides STATEMENT on its own duration and plan records (`errhidestmt`), and reports what is raised with
/// `PL/pgSQL function … at RAISE` as the first line of CONTEXT. A nested statement's CONTEXT begins with the statement or the line that ran it.
/// CONTEXT lines about a portal's parameters (log_parameter_max_length_on_error) stand on top-level records too.
pub(super) fn origin(record: &LogRecord) -> Origin {
    let context = record.context.as_deref().unwrap_or_default();
    let raised = first_frame(context)
        .is_some_and(|frame| frame.starts_with("PL/") && frame.ends_with(" at RAISE"));
    if raised || record.query.is_some() {
        return Origin::Raised;
    }
    let about_parameters = |line: &str| {
        line.starts_with("unnamed portal ")
            || line.starts_with("portal \"")
            || line.starts_with("extended query with parameters")
    };
    if context
        .lines()
        .any(|line| !line.is_empty() && !about_parameters(line))
    {
        Origin::Nested
    } else {
        Origin::TopLevel
    }
}

/// The first entry of a CONTEXT: its first line, and more of them while a quoted name with line breaks goes on.
fn first_frame(context: &str) -> Option<&str> {
    let mut is_quoted = false;
    let end = context.char_indices().find(|(_, character)| {
        is_quoted ^= *character == '"';
        *character == '\n' && !is_quoted
    });
    context.get(..end.map_or(context.len(), |(at, _)| at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::pairing::tests::record;

    fn check(context: Option<&str>, statement: Option<&str>, expected: Origin) {
        let mut record = record(0, "duration: 1.000 ms  plan:\n{}");
        record.context = context.map(str::to_owned);
        record.query = statement.map(str::to_owned);
        assert_eq!(origin(&record), expected, "{context:?} {statement:?}");
    }

    #[test]
    fn origin_of_a_record() {
        check(None, None, Origin::TopLevel);
        check(
            Some("unnamed portal with parameters: $1 = '7'"),
            None,
            Origin::TopLevel,
        );
        check(
            Some("SQL statement \"select 1\"\nPL/pgSQL function f() line 3 at SQL statement"),
            None,
            Origin::Nested,
        );
        check(
            Some("PL/pgSQL function f() line 3 at FOR over SELECT rows"),
            None,
            Origin::Nested,
        );
        check(
            Some("SQL function \"g\" statement 1\nunnamed portal with parameters: $1 = '7'"),
            None,
            Origin::Nested,
        );
        check(
            Some("PL/pgSQL function f() line 3 at RAISE"),
            None,
            Origin::Raised,
        );
        check(
            Some("PL/pgSQL function \"a line 1 at SQL statement\nb\"() line 3 at RAISE"),
            None,
            Origin::Raised,
        );
        check(
            Some("SQL expression \"(select 1)\"\nPL/pgSQL function f() line 3 at RAISE"),
            None,
            Origin::Nested,
        );
        check(None, Some("select f()"), Origin::Raised);
    }
}

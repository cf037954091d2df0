//! What a record's CONTEXT and STATEMENT tell of where it came from: the server itself, a nested statement, or user code that raised it.

use crate::{
    model::record::LogRecord,
    statement::context::{first_entry, function, is_about_portal},
};

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
/// An entry about a portal's parameters (log_parameter_max_length_on_error) stands on top-level records too; it is the outermost, so that
/// one that comes first comes alone.
pub(super) fn origin(record: &LogRecord) -> Origin {
    let context = record.context.as_deref().unwrap_or_default();
    let first = first_entry(context);
    // The word is the same in every language, and looked for first: most entries are none of a function, in none of the languages.
    let raised =
        first.contains("RAISE") && function(first).is_some_and(|function| function.at == "RAISE");
    if raised || record.query.is_some() {
        Origin::Raised
    } else if context.is_empty() || is_about_portal(context) {
        Origin::TopLevel
    } else {
        Origin::Nested
    }
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
            Some("unnamed portal with parameters: $1 = 'a\nb'"),
            None,
            Origin::TopLevel,
        );
        check(
            Some("PL/pgSQL-Funktion f() Zeile 3 bei RAISE"),
            None,
            Origin::Raised,
        );
        check(
            Some("PL/pgSQL関数f()の3行目 - SQL ステートメント"),
            None,
            Origin::Nested,
        );
        check(
            Some("неименованный портал с параметрами: $1 = '7'"),
            None,
            Origin::TopLevel,
        );
        check(
            Some("SQL expression \"(select 1)\"\nPL/pgSQL function f() line 3 at RAISE"),
            None,
            Origin::Nested,
        );
        check(None, Some("select f()"), Origin::Raised);
    }
}

//! What the message of a log record says: a duration, a captured plan, or a statement.
//!
//! The message of one record comes in, without prefix and severity; out comes what PostgreSQL's `postgres.c` and `auto_explain.c` mean by it,
//! borrowed from the message. Whether user code forged it (RAISE LOG) only the record's CONTEXT tells, so that isn't decided here.

use memchr::memmem;
use nom::{
    Finish, IResult, Parser,
    branch::alt,
    bytes::complete::tag,
    character::complete::{char, digit1},
    combinator::{map, map_opt, opt, recognize, rest},
    sequence::{delimited, preceded},
};

use crate::model::accounting::DurationKind;

/// A message about a statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Message<'a> {
    /// `log_min_duration_statement`, `log_min_duration_sample`, `log_duration`.
    Duration {
        duration_ms: f64,
        kind: DurationKind,
        /// Of parse, bind, execute and fetch.
        name: Option<Name<'a>>,
        /// The statement as the client sent it; for a fast-path call the function, as `"name" (OID n)`. `None` in a bare duration.
        text: Option<&'a str>,
    },
    /// `auto_explain`: the plan in any of its formats.
    Plan { duration_ms: f64, body: &'a str },
    /// `log_statement`: what is about to run, without a duration.
    Statement {
        kind: DurationKind,
        name: Option<Name<'a>>,
        text: &'a str,
    },
}

/// The prepared statement and portal of the extended protocol as they are printed: `NAME` or `NAME/PORTAL`, `<unnamed>` being empty.
///
/// Where the name ends and the portal begins can't be told from one message, since both may hold a `/`; a bind or execute message is
/// matched with the parse message by [`Name::may_be_of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name<'a>(pub &'a str);

impl Name<'_> {
    /// Whether a bind or execute under this name can be of the statement that was parsed as `parsed`.
    pub fn may_be_of(self, parsed: Name<'_>) -> bool {
        self.0
            .strip_prefix(parsed.0)
            .is_some_and(|portal| portal.is_empty() || portal.starts_with('/'))
    }
}

/// Reads `message`; `None` for everything that isn't about a statement.
pub fn read(message: &str) -> Option<Message<'_>> {
    let statement = |input| statement(&ENGLISH, input);
    let duration = |input| duration(&ENGLISH, input);
    alt((plan, duration, statement))
        .parse(message)
        .finish()
        .ok()
        .map(|(_, message)| message)
}

/// The words around the parts of a message in one language, as in the message catalogs of PostgreSQL.
struct Words {
    before_duration: &'static str,
    after_duration: &'static str,
    /// What joins a duration with the rest of its message.
    joint: &'static str,
    statement: &'static str,
    parse: &'static str,
    bind: &'static str,
    execute: &'static str,
    fetch: &'static str,
    fastpath: &'static str,
    /// Between a name and the statement's text.
    after_name: &'static str,
}

const ENGLISH: Words = Words {
    before_duration: "duration: ",
    after_duration: " ms",
    joint: "  ",
    statement: "statement: ",
    parse: "parse ",
    bind: "bind ",
    execute: "execute ",
    fetch: "execute fetch from ",
    fastpath: "fastpath function call: ",
    after_name: ": ",
};

type Parsed<'a, T> = IResult<&'a str, T, ()>;

/// `duration: MS ms  plan:` newline body. It is never translated.
fn plan(input: &str) -> Parsed<'_, Message<'_>> {
    let head = delimited(
        tag(ENGLISH.before_duration),
        milliseconds,
        tag(" ms  plan:\n"),
    );
    map((head, rest), |(duration_ms, body)| Message::Plan {
        duration_ms,
        body,
    })
    .parse(input)
}

/// `duration: MS ms`, alone or with two blanks and `parse NAME: TEXT` or one of [`said`]
fn duration<'a>(words: &Words, input: &'a str) -> Parsed<'a, Message<'a>> {
    let (input, duration_ms) = delimited(
        tag(words.before_duration),
        milliseconds,
        tag(words.after_duration),
    )
    .parse(input)?;
    if input.is_empty() {
        let bare = Message::Duration {
            duration_ms,
            kind: DurationKind::Bare,
            name: None,
            text: None,
        };
        return Ok((input, bare));
    }
    let parse = |input| named(words.parse, DurationKind::Parse, words, input);
    let bind = |input| named(words.bind, DurationKind::Bind, words, input);
    let said = |input| said(words, input);
    map(
        preceded(tag(words.joint), alt((said, bind, parse))),
        |(kind, name, text)| Message::Duration {
            duration_ms,
            kind,
            name,
            text: Some(text),
        },
    )
    .parse(input)
}

/// What [`said`] says, without a duration
fn statement<'a>(words: &Words, input: &'a str) -> Parsed<'a, Message<'a>> {
    let (input, (kind, name, text)) = said(words, input)?;
    Ok((input, Message::Statement { kind, name, text }))
}

type Said<'a> = (DurationKind, Option<Name<'a>>, &'a str);

/// `statement: TEXT`, `execute fetch from NAME[/PORTAL]: TEXT`, `execute NAME[/PORTAL]: TEXT` or `fastpath function call: "NAME" (OID N)`
///
/// A fetch can't be told from the execution of a statement called `fetch from …`.
fn said<'a>(words: &Words, input: &'a str) -> Parsed<'a, Said<'a>> {
    let unnamed = |before, kind| map(preceded(tag(before), rest), move |text| (kind, None, text));
    alt((
        unnamed(words.statement, DurationKind::Statement),
        |input| named(words.fetch, DurationKind::Fetch, words, input),
        |input| named(words.execute, DurationKind::Execute, words, input),
        unnamed(words.fastpath, DurationKind::Fastpath),
    ))
    .parse(input)
}

/// `KEYWORD NAME[/PORTAL]: TEXT`
fn named<'a>(
    before: &str,
    kind: DurationKind,
    words: &Words,
    input: &'a str,
) -> Parsed<'a, Said<'a>> {
    let name_and_text = map_opt(rest, |said| split_name(said, words.after_name));
    map(preceded(tag(before), name_and_text), |(name, text)| {
        (kind, Some(name), text)
    })
    .parse(input)
}

/// Digits, a point, three digits. `None` for a number that no clock gives.
fn milliseconds(input: &str) -> Parsed<'_, f64> {
    map_opt(
        recognize((digit1, opt((char('.'), digit1)))),
        |number: &str| number.parse().ok().filter(|ms: &f64| *ms < 1e15),
    )
    .parse(input)
}

/// Splits `NAME: TEXT` at the first `: ` after which a statement can begin.
///
/// Names of prepared statements may hold anything, `: ` as well. In a statement that PostgreSQL could parse, a single colon never comes
/// right after the first word, so `a: b: SELECT 1` is the statement `SELECT 1` called `a: b`. Where no text begins like a statement
/// (commands of a fork or a later release), the first `: ` is taken. A name that itself holds `: SELECT ` is cut short: parse, bind and
/// execute are then cut alike, and still belong together.
fn split_name<'a>(said: &'a str, after_name: &str) -> Option<(Name<'a>, &'a str)> {
    let mut splits = memmem::find_iter(said.as_bytes(), after_name)
        .filter_map(|at| Some((said.get(..at)?, said.get(at + after_name.len()..)?)));
    let first = splits.next()?;
    let fitting = std::iter::once(first)
        .chain(splits)
        .find(|(_, text)| begins_statement(text));
    let (name, text) = fitting.unwrap_or(first);
    Some((Name(name.strip_prefix("<unnamed>").unwrap_or(name)), text))
}

/// Manual, part VI "SQL Commands": the first words of all commands of PostgreSQL 13 to 18; or a parenthesis, comment, or nothing.
fn begins_statement(text: &str) -> bool {
    const COMMANDS: [&str; 52] = [
        "ABORT",
        "ALTER",
        "ANALYSE",
        "ANALYZE",
        "BEGIN",
        "CALL",
        "CHECKPOINT",
        "CLOSE",
        "CLUSTER",
        "COMMENT",
        "COMMIT",
        "COPY",
        "CREATE",
        "DEALLOCATE",
        "DECLARE",
        "DELETE",
        "DISCARD",
        "DO",
        "DROP",
        "END",
        "EXECUTE",
        "EXPLAIN",
        "FETCH",
        "GRANT",
        "IMPORT",
        "INSERT",
        "LISTEN",
        "LOAD",
        "LOCK",
        "MERGE",
        "MOVE",
        "NOTIFY",
        "PREPARE",
        "REASSIGN",
        "REFRESH",
        "REINDEX",
        "RELEASE",
        "RESET",
        "REVOKE",
        "ROLLBACK",
        "SAVEPOINT",
        "SECURITY",
        "SELECT",
        "SET",
        "SHOW",
        "START",
        "TABLE",
        "TRUNCATE",
        "UNLISTEN",
        "UPDATE",
        "VACUUM",
        "VALUES",
    ];
    let text = text.trim_ascii_start();
    let word_len = text
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    let (word, _) = text.split_at_checked(word_len).unwrap_or_default();
    match word.len() {
        0 => {
            text.is_empty()
                || ["(", "--", "/*", ";"]
                    .iter()
                    .any(|begin| text.starts_with(begin))
        }
        4 if word.eq_ignore_ascii_case("WITH") => true,
        _ => COMMANDS
            .iter()
            .any(|command| word.eq_ignore_ascii_case(command)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(message: &str, expected: Option<Message<'_>>) {
        assert_eq!(read(message), expected, "{message}");
    }

    fn duration<'a>(
        duration_ms: f64,
        kind: DurationKind,
        name: Option<&'a str>,
        text: Option<&'a str>,
    ) -> Option<Message<'a>> {
        Some(Message::Duration {
            duration_ms,
            kind,
            name: name.map(Name),
            text,
        })
    }

    #[test]
    fn durations() {
        use DurationKind::*;
        check("duration: 0.123 ms", duration(0.123, Bare, None, None));
        check(
            "duration: 12.000 ms  statement: SELECT 1;\n-- x",
            duration(12.0, Statement, None, Some("SELECT 1;\n-- x")),
        );
        check(
            "duration: 0.010 ms  statement: ",
            duration(0.010, Statement, None, Some("")),
        );
        check(
            "duration: 0.1 ms  parse S_1: BEGIN",
            duration(0.1, Parse, Some("S_1"), Some("BEGIN")),
        );
        check(
            "duration: 0.1 ms  bind <unnamed>: SELECT $1",
            duration(0.1, Bind, Some(""), Some("SELECT $1")),
        );
        check(
            "duration: 0.1 ms  bind <unnamed>: ",
            duration(0.1, Bind, Some(""), Some("")),
        );
        check(
            "duration: 0.1 ms  execute <unnamed>/C_2: SELECT 1",
            duration(0.1, Execute, Some("/C_2"), Some("SELECT 1")),
        );
        check(
            "duration: 0.1 ms  execute fetch from pf/portal_1: SELECT 1",
            duration(0.1, Fetch, Some("pf/portal_1"), Some("SELECT 1")),
        );
        check(
            "duration: 0.1 ms  fastpath function call: \"lo_open\" (OID 952)",
            duration(0.1, Fastpath, None, Some("\"lo_open\" (OID 952)")),
        );
    }

    #[test]
    fn plans() {
        check(
            "duration: 0.027 ms  plan:\n{\n}",
            Some(Message::Plan {
                duration_ms: 0.027,
                body: "{\n}",
            }),
        );
        check("duration: 0.027 ms  plan: none", None);
    }

    #[test]
    fn statements_without_duration() {
        let said = |kind, name: Option<&'static str>, text| {
            Some(Message::Statement {
                kind,
                name: name.map(Name),
                text,
            })
        };
        check(
            "statement: VACUUM",
            said(DurationKind::Statement, None, "VACUUM"),
        );
        check(
            "execute P_1: SELECT 1",
            said(DurationKind::Execute, Some("P_1"), "SELECT 1"),
        );
        check(
            "execute fetch from <unnamed>/c: FETCH 1",
            said(DurationKind::Fetch, Some("/c"), "FETCH 1"),
        );
    }

    #[test]
    fn names() {
        let name = |message, name, text| {
            check(
                message,
                duration(1.0, DurationKind::Execute, Some(name), Some(text)),
            );
        };
        name(
            "duration: 1.000 ms  execute stmt with space: SELECT 1",
            "stmt with space",
            "SELECT 1",
        );
        name(
            "duration: 1.000 ms  execute ünï/é: (select 1)",
            "ünï/é",
            "(select 1)",
        );
        name(
            "duration: 1.000 ms  execute a: b: SELECT ': select'",
            "a: b",
            "SELECT ': select'",
        );
        name(
            "duration: 1.000 ms  execute a:b: \n /* x */ SELECT 1",
            "a:b",
            "\n /* x */ SELECT 1",
        );
        name(
            "duration: 1.000 ms  execute a: WAIT FOR LSN ': '",
            "a",
            "WAIT FOR LSN ': '",
        );
        name("duration: 1.000 ms  execute : SELECT 1", "", "SELECT 1");
    }

    #[test]
    fn a_bind_belongs_to_the_parse_of_its_name() {
        for (bound, parsed, expected) in [
            ("s/1", "s/1", true),
            ("s/1/portal", "s/1", true),
            ("s/1", "s", true),
            ("/C_1", "", true),
            ("s1", "s", false),
            ("s", "s/1", false),
            ("s1", "", false),
        ] {
            assert_eq!(
                Name(bound).may_be_of(Name(parsed)),
                expected,
                "{bound} of {parsed}"
            );
        }
    }

    #[test]
    fn other_messages() {
        for message in [
            "connection ready: setup total=29.646 ms, fork=0.567 ms, authentication=1.622 ms",
            "automatic vacuum of table \"app.public.t\": index scans: 0",
            "disconnection: session time: 0:00:00.012 user=a database=b host=[local]",
            "duration: ms",
            "duration: -1.000 ms",
            "duration: 1.000 ms statement: SELECT 1",
            "duration: 1.000 ms  parse S_1",
            "duration: 99999999999999999999999 ms",
            " duration: 1.000 ms",
            "parse S_1: SELECT 1",
            "",
        ] {
            check(message, None);
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read(message in "(duration: 1\\.0 ms(  (bind|parse|plan|execute) ?)?)?.*") {
            let _ = read(&message);
        }
    }
}

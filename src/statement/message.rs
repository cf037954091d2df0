//! What the message of a log record says: a duration, a captured plan, or a statement.
//!
//! The message of one record comes in, without prefix and severity; out comes what PostgreSQL's `postgres.c` and `auto_explain.c` mean by it,
//! borrowed from the message. Whether user code forged it (RAISE LOG) only the record's CONTEXT tells, so that isn't decided here.

use std::sync::LazyLock;

use memchr::memmem;
use nom::{
    Finish, IResult, Parser,
    branch::alt,
    bytes::complete::tag,
    character::complete::{char, digit1},
    combinator::{map, map_opt, opt, recognize, rest},
    sequence::{delimited, preceded},
};

use super::{
    catalog::{LOGGED_RUN, MESSAGES, Messages},
    template::Template,
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

/// Reads `message`, in any language; `None` for everything that isn't about a statement.
pub fn read(message: &str) -> Option<Message<'_>> {
    alt((plan, duration, statement))
        .parse(message)
        .finish()
        .ok()
        .map(|(_, message)| message)
}

/// What a message says behind its duration, or alone: one format string in one language and encoding.
struct Form {
    before: String,
    kind: DurationKind,
    then: Then,
}

/// What follows the words of a form.
enum Then {
    Nothing,
    Text,
    /// A name, these words, the text.
    NameAndText(String),
}

/// The forms that follow the same words and a number.
struct Timed {
    before: String,
    forms: Vec<Form>,
}

/// Forms by the first byte of their messages, so that a message is compared with those of a few languages only. English ones come first.
struct Forms {
    timed: Vec<Vec<Timed>>,
    logged: Vec<Vec<Form>>,
}

static FORMS: LazyLock<Forms> = LazyLock::new(|| {
    let mut forms = Forms {
        timed: (0..=u8::MAX).map(|_| Vec::new()).collect(),
        logged: (0..=u8::MAX).map(|_| Vec::new()).collect(),
    };
    MESSAGES.iter().for_each(|language| forms.add(language));
    forms
});

impl Forms {
    fn add(&mut self, language: &Messages) {
        use DurationKind::{Bare, Bind, Execute, Fastpath, Fetch, Parse, Statement};
        let run = |run: &str, word: &str| {
            // The word is the last argument but two: the name, which is three arguments, and the text.
            match run
                .rsplit_once("%s%s%s: %s")
                .or(run.rsplit_once("%s%s%s : %s"))
            {
                Some((before, _)) => {
                    let end = run.get(before.len()..).unwrap_or_default();
                    let (before, joint) = before.rsplit_once("%s").unwrap_or_default();
                    format!("{before}{word}{joint}{end}")
                }
                None => String::new(),
            }
        };
        let (fetch, execute) = (language.fetch, language.execute);
        let timed = language
            .statement
            .iter()
            .map(|format| (Statement, (*format).to_owned()));
        let timed = timed.chain([
            (Fetch, run(language.run, fetch)),
            (Execute, run(language.run, execute)),
            (Bind, language.bind.to_owned()),
            (Parse, language.parse.to_owned()),
            (Bare, language.duration.to_owned()),
        ]);
        let fastpath = language
            .fastpath
            .iter()
            .map(|format| (Fastpath, (*format).to_owned()));
        for (kind, format) in timed.chain(fastpath) {
            for template in Template::printed(&format, language.encodings) {
                self.add_timed(kind, &template.texts());
            }
        }
        let logged = language
            .logged_statement
            .iter()
            .map(|format| (Statement, (*format).to_owned()));
        let logged = logged.chain([
            (Fetch, run(LOGGED_RUN, fetch)),
            (Execute, run(LOGGED_RUN, execute)),
        ]);
        let fastpath = language
            .logged_fastpath
            .iter()
            .map(|format| (Fastpath, (*format).to_owned()));
        for (kind, format) in logged.chain(fastpath) {
            for template in Template::printed(&format, language.encodings) {
                let texts = template.texts();
                if let Some(form) = Form::new(kind, &texts)
                    && let Some(forms) = of_first_byte(&mut self.logged, &form.before)
                {
                    forms.push(form);
                }
            }
        }
    }

    fn add_timed(&mut self, kind: DurationKind, texts: &[&str]) {
        let Some((before, texts)) = texts.split_first() else {
            return;
        };
        let (Some(form), Some(groups)) = (
            Form::new(kind, texts),
            of_first_byte(&mut self.timed, before),
        ) else {
            return;
        };
        match groups.iter_mut().find(|group| group.before == *before) {
            Some(group) => group.forms.push(form),
            None => groups.push(Timed {
                before: (*before).to_owned(),
                forms: vec![form],
            }),
        }
    }
}

fn of_first_byte<'a, T>(table: &'a mut [Vec<T>], text: &str) -> Option<&'a mut Vec<T>> {
    table.get_mut(usize::from(*text.as_bytes().first()?))
}

impl Form {
    /// From the words around the arguments of a format string, without a number and what stands before it.
    fn new(kind: DurationKind, texts: &[&str]) -> Option<Self> {
        let before = *texts.first()?;
        let (before, then) = match kind {
            DurationKind::Bare => (before, Then::Nothing),
            DurationKind::Statement => (before, Then::Text),
            // The name is kept with its quotes.
            DurationKind::Fastpath => (before.split(['"', '\u{AB}', '\u{BB}']).next()?, Then::Text),
            DurationKind::Parse
            | DurationKind::Bind
            | DurationKind::Execute
            | DurationKind::Fetch => (before, Then::NameAndText((*texts.get(1)?).to_owned())),
        };
        Some(Self {
            before: before.to_owned(),
            kind,
            then,
        })
    }

    fn read<'a>(&self, input: &'a str) -> Option<Said<'a>> {
        let rest = input.strip_prefix(self.before.as_str())?;
        match &self.then {
            Then::Nothing => rest.is_empty().then_some((self.kind, None, None)),
            Then::Text => Some((self.kind, None, Some(rest))),
            Then::NameAndText(after_name) => {
                let (name, text) = split_name(rest, after_name)?;
                Some((self.kind, Some(name), Some(text)))
            }
        }
    }
}

type Parsed<'a, T> = IResult<&'a str, T, ()>;

/// What kind of message it is, the name in it and the statement.
type Said<'a> = (DurationKind, Option<Name<'a>>, Option<&'a str>);

/// `duration: MS ms  plan:` newline body. It is never translated.
fn plan(input: &str) -> Parsed<'_, Message<'_>> {
    let head = delimited(tag("duration: "), milliseconds, tag(" ms  plan:\n"));
    map((head, rest), |(duration_ms, body)| Message::Plan {
        duration_ms,
        body,
    })
    .parse(input)
}

/// `duration: MS ms`, alone or with two blanks and `parse NAME: TEXT`, `bind NAME[/PORTAL]: TEXT` or what [`statement`] reads; translated, other
/// words and other blanks, or the name before the word.
fn duration(input: &str) -> Parsed<'_, Message<'_>> {
    let first = input.as_bytes().first().copied().unwrap_or_default();
    let groups = FORMS.timed.get(usize::from(first)).into_iter().flatten();
    for group in groups {
        let head: Parsed<'_, f64> = preceded(tag(group.before.as_str()), milliseconds).parse(input);
        let Ok((said, duration_ms)) = head else {
            continue;
        };
        // Korean has the name before the word: the word may occur in the statement again. And `execute fetch from` begins like `execute`.
        let readings = group.forms.iter().filter_map(|form| form.read(said));
        let shortest_name = readings.min_by_key(|(_, name, _)| name.map_or(0, |name| name.0.len()));
        if let Some((kind, name, text)) = shortest_name {
            let duration = Message::Duration {
                duration_ms,
                kind,
                name,
                text,
            };
            return Ok(("", duration));
        }
    }
    Err(nom::Err::Error(()))
}

/// `statement: TEXT`, `execute fetch from NAME[/PORTAL]: TEXT`, `execute NAME[/PORTAL]: TEXT` or `fastpath function call: "NAME" (OID N)`
///
/// A fetch can't be told from the execution of a statement called `fetch from …`.
fn statement(input: &str) -> Parsed<'_, Message<'_>> {
    let first = input.as_bytes().first().copied().unwrap_or_default();
    let forms = FORMS.logged.get(usize::from(first)).into_iter().flatten();
    match forms.into_iter().find_map(|form| form.read(input)) {
        Some((kind, name, Some(text))) => Ok(("", Message::Statement { kind, name, text })),
        _ => Err(nom::Err::Error(())),
    }
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
    fn every_language() {
        use DurationKind::*;
        check("Dauer: 1.7 ms", duration(1.7, Bare, None, None));
        check(
            "durée : 0.060 ms, instruction : select 1",
            duration(0.06, Statement, None, Some("select 1")),
        );
        check(
            "durée : 0.013 ms  exécute fetch à partir de pf/p: select 1",
            duration(0.013, Fetch, Some("pf/p"), Some("select 1")),
        );
        check(
            "durée : 0.2 ms, lien <unnamed> : select 1",
            duration(0.2, Bind, Some(""), Some("select 1")),
        );
        check(
            "期間: 0.052 ミリ秒  パースP_0 : select 1",
            duration(0.052, Parse, Some("P_0"), Some("select 1")),
        );
        check("实行时间: 1 ms 执行S_1: select 1", None);
        check(
            "执行时间: 1 ms 执行S_1: select 1",
            duration(1.0, Execute, Some("S_1"), Some("select 1")),
        );
        check(
            "실행시간: 1.5 ms  S 1 구문분석: select ' 접속: '",
            duration(1.5, Parse, Some("S 1"), Some("select ' 접속: '")),
        );
        check(
            "수행시간: 1.5 ms  쿼리실행 S_1/C: select 1",
            duration(1.5, Execute, Some("S_1/C"), Some("select 1")),
        );
        check(
            "продолжительность: 0.033 мс  выборка из pf/p: select 1",
            duration(0.033, Fetch, Some("pf/p"), Some("select 1")),
        );
        check(
            "Dauer: 1.0 ms  Fastpath-Funktionsaufruf: »lo_open« (OID 952)",
            duration(1.0, Fastpath, None, Some("»lo_open« (OID 952)")),
        );
        check(
            "süre: 1 ms  execute S_1: select 1",
            duration(1.0, Execute, Some("S_1"), Some("select 1")),
        );
        check(
            "оператор: VACUUM",
            Some(Message::Statement {
                kind: Statement,
                name: None,
                text: "VACUUM",
            }),
        );
        check(
            "実行 S_1: select 1",
            Some(Message::Statement {
                kind: Execute,
                name: Some(Name("S_1")),
                text: "select 1",
            }),
        );
    }

    #[test]
    fn words_in_the_encoding_of_the_database() {
        let check = |encoding: &'static encoding_rs::Encoding, message: &str, kind, text| {
            let (bytes, _, _) = encoding.encode(message);
            let message = String::from_utf8_lossy(&bytes).into_owned();
            let found = match read(&message) {
                Some(Message::Duration { kind, text, .. }) => Some((kind, text)),
                _ => None,
            };
            assert_eq!(found, Some((kind, Some(text))), "{message}");
        };
        use DurationKind::*;
        let latin1 = encoding_rs::WINDOWS_1252;
        check(
            latin1,
            "durée : 0.1 ms  exécute a: select 1",
            Execute,
            "select 1",
        );
        check(
            latin1,
            "duração: 0.1 ms  instrução: select 1",
            Statement,
            "select 1",
        );
        for encoding in [encoding_rs::KOI8_R, encoding_rs::WINDOWS_1251] {
            check(
                encoding,
                "продолжительность: 0.1 мс, оператор: select 1",
                Statement,
                "select 1",
            );
            check(
                encoding,
                "продолжительность: 0.1 мс, разбор a: select 1",
                Parse,
                "select 1",
            );
        }
        check(
            encoding_rs::EUC_JP,
            "期間: 0.1 ミリ秒  文: select 1",
            Statement,
            "select 1",
        );
        check(
            encoding_rs::EUC_JP,
            "期間: 0.1 ミリ秒  パースa : select 1",
            Parse,
            "select 1",
        );
        check(
            encoding_rs::EUC_KR,
            "실행시간: 0.1 ms  명령 구문: select 1",
            Statement,
            "select 1",
        );
        check(
            encoding_rs::GBK,
            "执行时间: 0.1 ms 语句: select 1",
            Statement,
            "select 1",
        );
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

//! Logs as `log_destination` stderr writes them, whole and torn.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::super::{Assembler, Config, Format, Layout};
use super::*;
use crate::model::record::{RecordFlags, Severity, SqlState};

fn assembled(setting: &str, log: &[u8]) -> Vec<Assembled> {
    let layout = Layout {
        format: Format::Stderr(LinePrefix::parse(setting).unwrap()),
        time_zone: Some(TimeZone::get("Europe/Berlin").unwrap()),
    };
    let mut assembler = Assembler::new(layout, GenerationId(1), 0, &Config::default());
    let mut out = Vec::new();
    let read_at = "2030-01-01T00:00:00Z".parse().unwrap();
    assembler.push(log, read_at, &mut |item| out.push(item));
    assembler.finish(&mut |item| out.push(item));
    out
}

/// A record as `%p` alone gives it.
fn bare(start_bytes: u64, end_bytes: u64, message: &str) -> LogRecord {
    LogRecord {
        position: Position {
            generation: GenerationId(1),
            offset_bytes: start_bytes,
        },
        end_bytes,
        log_time: "2030-01-01T00:00:00Z".parse().unwrap(),
        user_name: None,
        database_name: None,
        process_id: Some(1),
        connection_from: None,
        session_id: None,
        session_line_num: None,
        command_tag: None,
        virtual_transaction_id: None,
        error_severity: Severity::Log,
        sql_state_code: None,
        message: message.to_owned(),
        detail: None,
        hint: None,
        internal_query: None,
        context: None,
        query: None,
        application_name: None,
        backend_type: None,
        leader_pid: None,
        query_id: None,
        flags: RecordFlags {
            time_of_reading: true,
            ..RecordFlags::default()
        },
    }
}

fn record(record: LogRecord) -> Assembled {
    Assembled::Record(Box::new(record))
}

#[test]
fn all_fields() {
    let log = "2026-07-20 07:26:04.284 CEST|56|12|6|6aff.16|3/1|42P01|SELECT|client backend|-9|u|d|10.0.0.1(5)|a b| ERROR:  x\n";
    let expected = LogRecord {
        log_time: "2026-07-20T05:26:04.284Z".parse().unwrap(),
        user_name: Some("u".into()),
        database_name: Some("d".into()),
        process_id: Some(56),
        connection_from: Some("10.0.0.1:5".into()),
        session_id: Some("6aff.16".into()),
        session_line_num: Some(6),
        command_tag: Some("SELECT".into()),
        virtual_transaction_id: Some("3/1".into()),
        error_severity: Severity::Error,
        sql_state_code: SqlState::new("42P01"),
        application_name: Some("a b".into()),
        backend_type: Some("client backend".into()),
        leader_pid: Some(12),
        query_id: Some(-9),
        flags: RecordFlags::default(),
        ..bare(0, log.len() as u64, "x")
    };
    assert_eq!(
        assembled(
            "%m|%p|%P|%l|%c|%v|%e|%i|%b|%Q|%u|%d|%r|%a| ",
            log.as_bytes()
        ),
        [record(expected)]
    );
}

#[test]
fn texts_of_a_record() {
    let log = b"1 ERROR:  a\r\n\t\tb\n\t\n1 DETAIL:  c\n1 HINT:  d\n1 QUERY:  e\n1 CONTEXT:  f\n\tg\n1 STATEMENT:  SELECT\n\t  1\n";
    let expected = LogRecord {
        error_severity: Severity::Error,
        detail: Some("c".into()),
        hint: Some("d".into()),
        internal_query: Some("e".into()),
        context: Some("f\ng".into()),
        query: Some("SELECT\n  1".into()),
        ..bare(0, log.len() as u64, "a\r\n\tb\n")
    };
    assert_eq!(assembled("%p ", log), [record(expected)]);
}

#[test]
fn verbose_records_begin_with_their_code() {
    let log = b"1 LOG:  00000: a\n1 LOCATION:  f, file.c:1\n1 LOG:  00000: b\n";
    let verbose = LogRecord {
        sql_state_code: SqlState::new("00000"),
        ..bare(0, 42, "a")
    };
    assert_eq!(
        assembled("%p ", log),
        [record(verbose), record(bare(42, 59, "00000: b"))]
    );
}

#[test]
fn labelled_lines_of_another_session_are_no_part_of_a_record() {
    let orphan = |start_bytes, end_bytes| Assembled::Unparsed {
        start_bytes,
        end_bytes,
        reason: UnparsedReason::NoRecord,
    };
    assert_eq!(
        assembled("%p ", b"1 LOG:  a\n2 DETAIL:  b\n"),
        [record(bare(0, 10, "a")), orphan(10, 23)]
    );
    let of_session = LogRecord {
        session_id: Some("a.1".into()),
        process_id: None,
        ..bare(0, 12, "a")
    };
    assert_eq!(
        assembled("%c ", b"a.1 LOG:  a\nb.1 DETAIL:  b\n"),
        [record(of_session), orphan(12, 27)]
    );
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_flagged() {
    let lossy = LogRecord {
        user_name: Some("b\u{FFFD}b".into()),
        flags: RecordFlags {
            lossy_utf8: true,
            time_of_reading: true,
            ..RecordFlags::default()
        },
        ..bare(0, 14, "a")
    };
    assert_eq!(
        assembled("%p %u ", b"1 b\xffb LOG:  a\n"),
        [record(lossy.clone())]
    );
    let message = LogRecord {
        user_name: Some("bob".into()),
        message: "\u{FFFD}".into(),
        ..lossy
    };
    assert_eq!(assembled("%p %u ", b"1 bob LOG:  \0\n"), [record(message)]);
}

#[test]
fn line_breaks_in_names_make_no_records() {
    let named = |start, end, user: &str, message: &str| {
        record(LogRecord {
            user_name: Some(user.into()),
            database_name: Some("d".into()),
            ..bare(start, end, message)
        })
    };
    let none = |start_bytes, end_bytes| Assembled::Unparsed {
        start_bytes,
        end_bytes,
        reason: UnparsedReason::NoHead,
    };
    let check =
        |log: &[u8], expected: &[Assembled]| assert_eq!(assembled("%p %q%u@%d ", log), expected);
    check(
        b"1 x\n2 LOG:  duration: 9.000 ms@d LOG:  a\n1 LOG:  b\n",
        &[
            named(0, 41, "x\n2 LOG:  duration: 9.000 ms", "a"),
            record(bare(41, 51, "b")),
        ],
    );
    check(
        b"1 x\n\n\ty@d LOG:  a\n1 x\n\n\ty@d STATEMENT:  b\n",
        &[match named(0, 42, "x\n\n\ty", "a") {
            Assembled::Record(whole) => record(LogRecord {
                query: Some("b".into()),
                ..*whole
            }),
            other => other,
        }],
    );
    // A line that only looked like the beginning of such a head.
    let message = "longer than the sixty-three bytes that a name in a startup packet has";
    check(
        format!("1 LOG:  a\n1 x\n1 LOG:  {message}\n1 u@d LOG:  b\n").as_bytes(),
        &[
            record(bare(0, 10, "a")),
            none(10, 14),
            record(bare(14, 92, message)),
            named(92, 106, "u", "b"),
        ],
    );
    check(b"1 x\n1 y\n", &[none(0, 4), none(4, 8)]);
}

/// A plan whose lines all name its session.
fn plan_of(process_id: i32, nodes: usize) -> String {
    let mut text = format!(
        "duration: 1.000 ms  plan:\n{{\n  \"Query Text\": \"SELECT s{process_id}\",\n  \"Plan\": {{\n"
    );
    for node in 0..nodes {
        text +=
            &format!("    \"Key {node}\": \"(x = 's{process_id}') {{\",\n    \"Rows\": {node},\n");
    }
    text + "    \"Loops\": 1\n  }\n}"
}

fn printed(process_id: i32, message: &str) -> String {
    format!(
        "2026-11-20 07:26:04.284 UTC [{process_id}] LOG:  {}\n",
        message.replace('\n', "\n\t")
    )
}

fn shown(log: &str) -> Vec<String> {
    assembled("%m [%p] ", log.as_bytes())
        .iter()
        .map(|item| match item {
            Assembled::Record(record) => {
                let flags = record.flags;
                let flags = match (flags.ambiguous, flags.ambiguous_text) {
                    (true, _) => " ambiguous",
                    (_, true) => " cut",
                    _ => "",
                };
                let message = record.message.replace('\n', "|");
                let end = message
                    .char_indices()
                    .nth(60)
                    .map_or(message.len(), |(at, _)| at);
                format!("{}{flags}: {}", record.process_id.unwrap(), &message[..end])
            }
            Assembled::Torn { .. } => "torn".to_owned(),
            Assembled::Rest { .. } => "rest".to_owned(),
            Assembled::Foreign { .. } => "foreign".to_owned(),
            Assembled::Unparsed { reason, .. } => format!("{reason:?}"),
        })
        .collect()
}

#[test]
fn torn_records_hold_nothing_of_others() {
    let check = |log: &str, expected: &[&str]| assert_eq!(shown(log), expected, "{log}");
    let plan = printed(1, &plan_of(1, 1));
    let other = printed(2, "duration: 1.000 ms  statement: SELECT s2");
    let whole_plan = "1: duration: 1.000 ms  plan:|{|  \"Query Text\": \"SELECT s1\",|  \"";
    let whole_other = "2: duration: 1.000 ms  statement: SELECT s2";
    check(&format!("{plan}{other}"), &[whole_plan, whole_other]);
    let torn_at = |text: &str, after: &str| {
        let (before, rest) = plan.split_at(plan.find(text).unwrap() + text.len());
        format!("{before}{after}{rest}{}", printed(3, "c"))
    };
    // Between values, in a key, in a number, before and after a tab, at a line break, in the head, in the message before the plan.
    for place in [
        "    ",
        "\"Ro",
        "\"Rows\": ",
        "{\n",
        "{\n\t",
        "\"Rows\": 0,",
        "plan:",
        "duration: 1.0",
    ] {
        let log = torn_at(place, &other);
        check(&log, &["torn", whole_other, "rest", "3: c"]);
    }
    let ambiguous_other = "2 ambiguous: duration: 1.000 ms  statement: SELECT s2";
    check(
        &torn_at("04.2", &other),
        &["torn", ambiguous_other, "rest", "3: c"],
    );
    // In a value, where clients write: the bytes don't tell whether the other record is one.
    check(
        &torn_at("SELECT ", &other),
        &["torn", ambiguous_other, "rest", "3: c"],
    );
    // In a value that is whole it is none.
    let quoting = printed(
        1,
        &plan_of(1, 1).replace("SELECT s1", &format!("SELECT '{}'", other.trim_end())),
    );
    check(
        &quoting,
        &["1: duration: 1.000 ms  plan:|{|  \"Query Text\": \"SELECT '2026-11"],
    );
    // A statement may be torn, or quote another one.
    check(
        &printed(1, &format!("statement: SELECT '{other}'")),
        &["1 cut: statement: SELECT '"],
    );
    check(
        &printed(
            1,
            &format!("statement: SELECT '{}'", other.replace("2026", "2025")),
        ),
        &["1: statement: SELECT '2025-11-20 07:26:04.284 UTC [2] LOG:  dur"],
    );
    // Lines behind a plan's last one.
    check(
        &format!("{plan}\tx\n\ty\n{other}"),
        &[whole_plan, "NoRecord", whole_other],
    );
    let context = "2026-11-20 07:26:04.284 UTC [1] CONTEXT:  f\n";
    check(
        &format!("{plan}\tx\n{context}{other}"),
        &[&whole_plan.replacen(':', " cut:", 1), whole_other],
    );
    // A plan that the log's end tears.
    check(&plan[..plan.len() - 3], &["torn"]);
}

/// Two plans torn at the same place of like lines: the rest that comes may be of either, and so may the one that goes on with the next plan.
#[test]
fn rests_that_fit_several_plans_make_the_next_ambiguous() {
    let [(one, rest_of_one), (two, rest_of_two)] = [1, 2].map(|process_id| {
        let plan = printed(process_id, &plan_of(process_id, 100));
        let at = plan.find("\"Key 0").unwrap();
        (plan[..at].to_owned(), plan[at..].to_owned())
    });
    let other = printed(3, "c");
    let next = |log: String| shown(&(log + &other)).into_iter().rev().nth(1).unwrap();
    let plan_of_one = ": duration: 1.000 ms  plan:|{|  \"Query Text\": \"SELECT s1\",|  \"";
    assert_eq!(
        next(format!("{two}{one}{other}{rest_of_one}{one}{rest_of_two}")),
        format!("1 ambiguous{plan_of_one}")
    );
    // A flagged plan holds another's rest: its own is missing then, and may go on with the next.
    assert_eq!(
        next(format!("{two}{one}{rest_of_two}{two}{rest_of_one}"))
            .split_once(':')
            .unwrap()
            .0,
        "2 ambiguous"
    );
    // Both have come, whoever's was whose.
    assert_eq!(
        next(format!(
            "{two}{one}{other}{rest_of_one}{rest_of_two}{one}{rest_of_one}"
        )),
        format!("1{plan_of_one}")
    );
}

/// Anyone can raise a message that looks like a torn record with another session's behind it. Its CONTEXT and STATEMENT tell.
#[test]
fn raised_messages_make_no_record_of_others() {
    let raised = |message: &str| {
        let context =
            "2026-11-20 07:26:04.284 UTC [1] CONTEXT:  PL/pgSQL function f() line 3 at RAISE";
        let log = printed(1, message) + context + "\n" + &printed(3, "c");
        let shown = shown(&log);
        let of_others = |shown: &&String| shown.starts_with("2:");
        assert_eq!(shown.iter().find(of_others), None, "{log}");
        assert_eq!(shown.last().map(String::as_str), Some("3: c"), "{log}");
    };
    let forged = printed(2, "duration: 9.000 ms  statement: x");
    let forged = forged.trim_end();
    let forged_plan = printed(2, &plan_of(2, 1)).replace('\t', "");
    raised(forged);
    raised(&format!("duration: 1.000 ms{forged}"));
    raised(&format!("{forged}\n{forged}"));
    raised(&forged.repeat(5));
    raised(forged_plan.trim_end());
    for before in [
        "",
        "{",
        "{\n  \"a\": ",
        "{\n  \"a\": 1",
        "{\n  \"a\": 1\n}\n",
    ] {
        raised(&format!("duration: 1.000 ms  plan:\n{before}{forged}"));
        raised(&format!(
            "duration: 1.000 ms  plan:\n{before}{}",
            forged_plan.trim_end()
        ));
    }
}

#[test]
fn a_line_of_heads_takes_bounded_stack() {
    let log = "2026-11-20 07:26:04.284 UTC [1] LOG:  ".repeat(50_000);
    assert_eq!(shown(&log).len(), 50_000);
}

#[test]
fn names_that_hold_a_head() {
    let check = |line: &str, expected: bool| {
        let found = assembled(
            "%m [%p] %q%u@%d/%a ",
            format!("2026-11-20 07:26:04.284 UTC [1] {line}\n").as_bytes(),
        );
        let [Assembled::Record(record)] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (record.process_id, record.flags.ambiguous),
            (Some(1), expected),
            "{line}"
        );
    };
    check(
        "al@db/psql LOG:  duration: 7.000 ms  statement: SELECT 1",
        false,
    );
    check(
        "al2026-11-20 07:26:04.284 UTC [2] bob@db/psql LOG:  duration: 7.000 ms  statement: SELECT 1",
        true,
    );
    check(
        "al@db/2026-11-20 07:26:04.284 UTC [2] LOG:  duration: 7.000 ms  statement: x LOG:  y",
        true,
    );
    check(
        "al@db/psql LOG:  duration: 7.000 ms  statement: SELECT ' LOG:  duration: 5.000 ms'",
        false,
    );
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    assert_eq!(
        assembled("%p ", b"\xef\xbb\xbf1 LOG:  a\n1 LOG:  \xef\xbb\xbfb\n"),
        [record(bare(0, 13, "a")), record(bare(13, 26, "\u{feff}b"))]
    );
}

#[test]
fn one_log_in_several_encodings() {
    let lossy = |start, end, message: &str| {
        record(LogRecord {
            flags: RecordFlags {
                lossy_utf8: true,
                time_of_reading: true,
                ..RecordFlags::default()
            },
            ..bare(start, end, message)
        })
    };
    assert_eq!(
        assembled(
            "%p ",
            b"1 LOG:  gr\xc3\xb6\xc3\x9fe\n1 LOG:  gr\xf6\xdfe\n1 LOG:  a\r\n\tb\r\n"
        ),
        [
            record(bare(0, 16, "gr\u{f6}\u{df}e")),
            lossy(16, 30, "gr\u{FFFD}\u{FFFD}e"),
            record(bare(30, 45, "a\r\nb\r")),
        ]
    );
}

/// Behind the first byte of a name stands a head of such a prefix always: the record's own.
#[test]
fn prefixes_that_begin_with_a_name() {
    let check = |setting: &str, line: &str, expected: (i32, bool)| {
        let found = assembled(setting, format!("{line}\n").as_bytes());
        let [Assembled::Record(record)] = found.as_slice() else {
            panic!("{setting:?} {line:?} {found:?}");
        };
        assert_eq!(
            (record.process_id, record.flags.ambiguous),
            (Some(expected.0), expected.1),
            "{setting:?} {line:?}"
        );
    };
    check("%d %u %p ", "my db al 12 LOG:  a", (12, false));
    check("%d %u %p ", "  12 LOG:  a", (12, false));
    let time = "2026-11-20 07:26:04.284 UTC";
    check(
        "%a %m %u %p ",
        &format!("psql {time} al 12 LOG:  a"),
        (12, false),
    );
    check(
        "%u@%d %m [%p] %a ",
        &format!("al@db {time} [12] psql LOG:  a"),
        (12, false),
    );
    check(
        "%u@%d %m [%p] %a ",
        &format!("al@db {time} [12] x@db {time} [13] psql LOG:  a"),
        (13, true),
    );
}

#[test]
fn prefixes_that_begin_with_a_tab() {
    assert_eq!(
        assembled("\t%p ", b"\t1 LOG:  a\n\tb\n\t1 LOG:  c\n"),
        [record(bare(0, 14, "a\nb")), record(bare(14, 25, "c"))]
    );
}

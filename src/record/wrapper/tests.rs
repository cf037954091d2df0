//! Wrapped logs through the assembler: what comes out, in which order, and that reading can stop and start anew at every settled place.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use jiff::Timestamp;

use super::super::{
    Assembled, Assembler, Config, Contents, Format, Layout, LinePrefix, UnparsedReason, contents,
    detect, wrapper_of,
};
use crate::model::position::{GenerationId, LogFormat, Wrapper};

const READ_AT: &str = "2026-11-20T12:00:00Z";

fn format(wrappers: &[Wrapper], inner: Format) -> Format {
    let contents = Contents {
        wrappers: wrappers.to_vec(),
        format: LogFormat::Stderr,
        bytes: (&[] as &[u8]).into(),
    };
    contents.wrap(inner, None, None)
}

fn stderr(prefix: &str) -> Format {
    Format::Stderr(LinePrefix::parse(prefix).unwrap())
}

fn assembler(format: &Format, offset_bytes: u64) -> Assembler {
    let layout = Layout {
        format: format.clone(),
        time_zone: None,
    };
    Assembler::new(layout, GenerationId(1), offset_bytes, &Config::default())
}

fn push(assembler: &mut Assembler, log: &[u8], out: &mut Vec<Assembled>) {
    assembler.push(log, READ_AT.parse().unwrap(), &mut |item| out.push(item));
}

fn read(format: &Format, log: &[u8]) -> Vec<Assembled> {
    let mut assembler = assembler(format, 0);
    let mut out = Vec::new();
    push(&mut assembler, log, &mut out);
    assembler.finish(&mut |item| out.push(item));
    assert_eq!(assembler.settled_bytes(), log.len() as u64);
    out
}

/// Time, process and texts of a record, or what else it is, with the number of the line in which it begins.
fn shown(assembled: &Assembled, log: &[u8]) -> String {
    let line = |start: u64| {
        let before = &log[..usize::try_from(start).unwrap()];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    };
    match assembled {
        Assembled::Record(record) => {
            let process = record.process_id.map_or("-".into(), |id| id.to_string());
            let mut text = format!(
                "{}: {} {process} {}{:?}",
                line(record.position.offset_bytes),
                record.log_time.strftime("%H:%M:%S%.f"),
                record.error_severity.as_str(),
                record.message
            );
            if let Some(detail) = &record.detail {
                text.push_str(&format!(" DETAIL{detail:?}"));
            }
            if let Some(query) = &record.query {
                text.push_str(&format!(" STATEMENT{query:?}"));
            }
            for (flag, name) in [
                (record.flags.truncated, "truncated"),
                (record.flags.time_of_reading, "time_of_reading"),
                (record.flags.time_zone_assumed, "zone?"),
            ] {
                if flag {
                    text.push_str(&format!(" {name}"));
                }
            }
            text
        }
        Assembled::Foreign { start_bytes, .. } => format!("{}: foreign", line(*start_bytes)),
        Assembled::Rest { start_bytes, .. } => format!("{}: rest", line(*start_bytes)),
        Assembled::Unparsed {
            start_bytes,
            reason,
            ..
        }
        | Assembled::Torn {
            start_bytes,
            reason,
            ..
        } => format!("{}: {reason:?}", line(*start_bytes)),
    }
}

fn check(format: &Format, log: &str, expected: &[&str]) {
    let out = read(format, log.as_bytes());
    let out: Vec<String> = out.iter().map(|item| shown(item, log.as_bytes())).collect();
    assert_eq!(out, expected, "{log}");
}

fn syslog(prefix: &str) -> Format {
    format(&[Wrapper::Syslog], stderr(prefix))
}

#[test]
fn messages_of_syslog_in_chunks() {
    let check = |log: &str, expected: &[&str]| check(&syslog(""), log, expected);
    check(
        "Nov 20 10:00:00 h postgres[1]: [7-1] LOG:  a\n\
         Nov 20 10:00:01 h postgres[1]: [8-1] ERROR:  b\n\
         Nov 20 10:00:01 h postgres[1]: [8-2] DETAIL:  c\n\
         Nov 20 10:00:01 h postgres[1]: [8-3] STATEMENT:  d\n\
         Nov 20 10:00:01 h postgres[1]: [8-4] #011  e\n",
        &[
            "1: 10:00:00 1 LOG\"a\" zone?",
            "2: 10:00:01 1 ERROR\"b\" DETAIL\"c\" STATEMENT\"d\\n  e\" zone?",
        ],
    );
    // Processes interleave; other programs and what no daemon wrote lie between.
    check(
        "Nov 20 10:00:00 h postgres[1]: [7-1] LOG:  a\n\
         Nov 20 10:00:00 h postgres[2]: [7-1] LOG:  b\n\
         Nov 20 10:00:00 h cron[3]: LOG:  c\n\
         Nov 20 10:00:00 h postgres[1]: [7-2] #011d\n\
         LOG:  e\n\
         Nov 20 10:00:00 h postgres[2]: [7-2] #011f\n",
        &[
            "1: 10:00:00 1 LOG\"a\\nd\" zone?",
            "2: 10:00:00 2 LOG\"b\\nf\" zone?",
            "3: foreign",
            "5: NotWrapped",
        ],
    );
    // A chunk is lost, a beginning is.
    check(
        "Nov 20 10:00:00 h postgres[1]: [7-1] LOG:  a\n\
         Nov 20 10:00:00 h postgres[1]: [7-3] #011c\n\
         Nov 20 10:00:00 h postgres[1]: [8-2] #011d\n",
        &["1: 10:00:00 1 LOG\"a\\nc\" truncated zone?", "3: NoRecord"],
    );
}

#[test]
fn numbers_and_splitting_are_settings() {
    let check = |prefix, log: &str, expected: &[&str]| check(&syslog(prefix), log, expected);
    // Without sequence numbers.
    check(
        "",
        "Nov 20 10:00:00 h postgres[1]: [1] LOG:  a\n\
         Nov 20 10:00:00 h postgres[1]: [2] #011b\n\
         Nov 20 10:00:00 h postgres[2]: [1] LOG:  c\n\
         Nov 20 10:00:00 h postgres[1]: [1] LOG:  d\n",
        &[
            "1: 10:00:00 1 LOG\"a\\nb\" zone?",
            "3: 10:00:00 2 LOG\"c\" zone?",
            "4: 10:00:00 1 LOG\"d\" zone?",
        ],
    );
    // Without splitting, rsyslog writes line breaks as #012.
    check(
        "",
        "Nov 20 10:00:00 h postgres[1]: [7] ERROR:  a#012#011b#012DETAIL:  c\n\
         Nov 20 10:00:00 h postgres[1]: [8] LOG:  d\n\
         Nov 20 10:00:00 h postgres[1]: [9] e\n",
        &[
            "1: 10:00:00 1 ERROR\"a\\nb\" DETAIL\"c\" zone?",
            "2: 10:00:00 1 LOG\"d\" zone?",
            "3: NoRecord",
        ],
    );
    // Without either; a prefix may look like a number.
    check(
        "[%p] ",
        "Nov 20 10:00:00 h postgres[1]: [1] LOG:  a\n\
         Nov 20 10:00:00 h postgres[1]: [1] LOG:  b#012#011c\n",
        &[
            "1: 10:00:00 1 LOG\"a\" zone?",
            "2: 10:00:00 1 LOG\"b\\nc\" zone?",
        ],
    );
}

#[test]
fn chunks_of_long_lines() {
    let word = "x".repeat(880);
    let log = |border: &str| {
        format!(
            "Nov 20 10:00:00 h postgres[1]: [7-1] LOG:  {word}\n\
             Nov 20 10:00:00 h postgres[1]: [7-2] {border}\n"
        )
    };
    let check = |text: &str, joined: &str| {
        let expected = format!("1: 10:00:00 1 LOG\"{word}{joined}\" zone?");
        check(&syslog(""), &log(text), &[&expected]);
    };
    // The word didn't fit into 900 bytes, so it was cut before its blank; a shorter one would have.
    check(" twelve_bytes", " twelve_bytes");
    // A tab at the beginning was left out on the way.
    check(" short", "\\n short");
    check("#011twelve_bytes", "\\ntwelve_bytes");
    check("", "\\n");
    let full = "y".repeat(893);
    check_joined(&full);
}

/// A line of 900 bytes and more without any white space.
fn check_joined(full: &str) {
    let log = format!(
        "Nov 20 10:00:00 h postgres[1]: [7-1] ERROR:  {full}\n\
         Nov 20 10:00:00 h postgres[1]: [7-2] z\n\
         Nov 20 10:00:00 h postgres[1]: [7-3] STATEMENT:  a\n"
    );
    let expected = format!("1: 10:00:00 1 ERROR\"{full}z\" STATEMENT\"a\" zone?");
    check(&syslog(""), &log, &[&expected]);
}

#[test]
fn names_with_line_breaks_forge_nothing() {
    for numbers in [["[7-1]", "[7-2]", "[7-3]"], ["[1]", "[2]", "[3]"]] {
        let [one, two, three] = numbers;
        check(
            &syslog("%p %q%u@%d "),
            &format!(
                "Nov 20 10:00:00 h postgres[1]: {one} 1 x\n\
                 Nov 20 10:00:00 h postgres[1]: {two} 2 LOG:  duration: 9.000 ms@d FATAL:  a\n\
                 Nov 20 10:00:00 h postgres[1]: {three} #011b\n"
            ),
            &["1: 10:00:00 1 FATAL\"a\\nb\" zone?"],
        );
    }
}

#[test]
fn a_message_is_over_when_its_process_was_silent() {
    let mut log = "Nov 20 10:00:00 h postgres[1]: [7-1] LOG:  a\n".to_owned();
    log.push_str(&"Nov 20 10:00:00 h cron[3]: x\n".repeat(10));
    let mut out = Vec::new();
    let mut reader = assembler(&syslog(""), 0);
    push(&mut reader, log.as_bytes(), &mut out);
    assert_eq!(
        (out.len(), reader.settled_bytes(), reader.pending().len()),
        (0, 0, 1)
    );
    let mut later = |time: &str, lines: usize| {
        let line = format!("Nov 20 10:00:{time} h postgres[2]: [7-1] LOG:  b\n");
        push(&mut reader, line.repeat(lines).as_bytes(), &mut out);
        out.len()
    };
    assert_eq!(later("04", 100), 0);
    // The first, the others of its time, and all but the last of the second.
    assert_eq!(later("05", 1), 111);
    push(
        &mut reader,
        b"Nov 20 10:00:05 h postgres[1]: [7-2] #011c\n",
        &mut out,
    );
    reader.finish(&mut |item| out.push(item));
    let is_orphan = |item: &Assembled| matches!(item, Assembled::Unparsed { reason, .. } if *reason == UnparsedReason::NoRecord);
    assert!(out.last().is_some_and(is_orphan), "{:?}", out.last());
    // However many lines of the same time.
    let mut out = Vec::new();
    let mut reader = assembler(&syslog(""), 0);
    push(&mut reader, log.as_bytes(), &mut out);
    push(
        &mut reader,
        "Nov 20 10:00:00 h cron[3]: x\n".repeat(10_000).as_bytes(),
        &mut out,
    );
    assert_eq!(out.len(), 10_011);
}

#[test]
fn memory_of_waiting_messages_is_bounded() {
    let layout = Layout {
        format: syslog(""),
        time_zone: None,
    };
    let max_record_bytes = 4096;
    let mut reader = Assembler::new(layout, GenerationId(1), 0, &Config { max_record_bytes });
    let mut out = Vec::new();
    for process in 1..200 {
        let line = format!(
            "Nov 20 10:00:00 h postgres[{process}]: [7-1] LOG:  {:1000}\n",
            ""
        );
        push(&mut reader, line.as_bytes(), &mut out);
    }
    assert!(
        reader.pending().len() < 10 && out.len() > 190,
        "{}",
        out.len()
    );
}

#[test]
fn container_logs() {
    check(
        &format(&[Wrapper::Docker], stderr("%p ")),
        concat!(
            r#"{"log":"1 LOG:  a\n","stream":"stderr","time":"2026-11-20T10:00:00.5Z"}"#,
            "\n",
            r#"{"log":"\tb\n","stream":"stderr","time":"2026-11-20T10:00:00.6Z"}"#,
            "\n",
            r#"{"log":"1 LOG:  c","stream":"stderr","time":"2026-11-20T10:00:01Z"}"#,
            "\n",
            r#"{"log":"d\n","stream":"stderr","time":"2026-11-20T10:00:02Z"}"#,
            "\n",
            r#"{"log":"e"#,
            "\n",
        ),
        &[
            "1: 10:00:00.5 1 LOG\"a\\nb\"",
            "3: 10:00:01 1 LOG\"cd\"",
            "5: NotWrapped",
        ],
    );
    check(
        &format(&[Wrapper::Cri], stderr("%p ")),
        "2026-11-20T10:00:00.5Z stderr F 1 LOG:  a\n\
         2026-11-20T10:00:00.6Z stderr P \tb\n\
         2026-11-20T10:00:00.7Z stdout F x\n\
         2026-11-20T10:00:00.8Z stderr F c\n\
         2026-11-20T10:00:01+01:00 stderr F:x 1 LOG:  d\n",
        &[
            "1: 10:00:00.5 1 LOG\"a\"",
            "3: NoHead",
            "5: 09:00:01 1 LOG\"d\"",
        ],
    );
    let row = |number: u8| {
        format!(
            "{{\"level\":\"info\",\"ts\":\"x\",\"logger\":\"postgres\",\"msg\":\"record\",\"record\":{{\"log_time\":\"2026-11-20 10:00:0{number}.000 UTC\",\"process_id\":\"7\",\"error_severity\":\"LOG\",\"message\":\"a\\nb\"}}}}"
        )
    };
    let other = r#"{"level":"info","ts":"x","logger":"instance-manager","msg":"LOG"}"#;
    let expected = [
        "1: 10:00:01 7 LOG\"a\\nb\"",
        "2: foreign",
        "3: 10:00:03 7 LOG\"a\\nb\"",
    ];
    check(
        &format(&[Wrapper::CloudNativePg], Format::Jsonlog),
        &format!("{}\n{other}\n{}\n", row(1), row(3)),
        &expected,
    );
    let cri = |text: &str| format!("2026-11-20T10:00:09Z stdout F {text}\n");
    check(
        &format(&[Wrapper::Cri, Wrapper::CloudNativePg], Format::Jsonlog),
        &format!("{}{}{}", cri(&row(1)), cri(other), cri(&row(3))),
        &expected,
    );
}

#[test]
fn cloud_services() {
    check(
        &format(&[Wrapper::CloudLogging], stderr("%p ")),
        concat!(
            r#"{"insertId":"1","textPayload":"1 LOG:  a\n\tb","timestamp":"2026-11-20T10:00:00.5Z","logName":"projects/p/logs/cloudsql.googleapis.com%2Fpostgres.log"}"#,
            "\n",
            r#"{"insertId":"2","textPayload":"x","timestamp":"2026-11-20T10:00:01Z","logName":"projects/p/logs/other"}"#,
            "\n",
            r#"{"insertId":"3","textPayload":"\tc","timestamp":"2026-11-20T10:00:01Z"}"#,
            "\n",
            r#"{"insertId":"4","textPayload":"1 LOG:  d\n","timestamp":"2026-11-20T10:00:02Z"}"#,
            "\n",
        ),
        &[
            "1: 10:00:00.5 1 LOG\"a\\nb\\nc\"",
            "2: foreign",
            "4: 10:00:02 1 LOG\"d\"",
        ],
    );
    check(
        &format(&[Wrapper::Azure], Format::Jsonlog),
        concat!(
            r#"{"time":"2026-11-20T10:00:09Z","category":"PostgreSQLLogs","properties":{"errorLevel":"LOG","message":"2026-11-20 10:00:00 UTC-6aff.1f-LOG:  a","detail":"b"}}"#,
            "\n",
            r#"{"time":"2026-11-20T10:00:01.25Z","category":"PostgreSQLLogs","properties":{"errorLevel":"ERROR","sqlerrcode":"42P01","processId":8,"message":"c LOG:  d"}}"#,
            "\n",
            r#"{"time":"2026-11-20T10:00:02Z","category":"PostgreSQLFlexSessions","properties":{}}"#,
            "\n",
        ),
        &[
            "1: 10:00:00 31 LOG\"a\" DETAIL\"b\"",
            "2: 10:00:01.25 8 ERROR\"c LOG:  d\"",
            "3: foreign",
        ],
    );
}

#[test]
fn journals() {
    check(
        &format(&[Wrapper::JournalJson], stderr("")),
        concat!(
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1795168800500000","SYSLOG_IDENTIFIER":"postgres","_PID":"5","MESSAGE":"[7-1] LOG:  a"}"#,
            "\n",
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1795168800500000","SYSLOG_IDENTIFIER":"postgres","_PID":"5","MESSAGE":[91,55,45,50,93,32,9,255]}"#,
            "\n",
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1795168800500000","SYSLOG_IDENTIFIER":"sshd","_PID":"6","MESSAGE":"LOG:  x"}"#,
            "\n",
            // A unit's standard error: a line each, of one process.
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1795168801000000","SYSLOG_IDENTIFIER":"postgres","_PID":"1","MESSAGE":"LOG:  b"}"#,
            "\n",
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1795168801000000","SYSLOG_IDENTIFIER":"postgres","_PID":"1","MESSAGE":"\tc"}"#,
            "\n",
            r#"{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1795168801000000","SYSLOG_IDENTIFIER":"postgres","_PID":"1","MESSAGE":"STATEMENT:  d"}"#,
            "\n",
        ),
        &[
            "1: 10:00:00.5 5 LOG\"a\\n\u{FFFD}\"",
            "3: foreign",
            "4: 10:00:01 1 LOG\"b\\nc\" STATEMENT\"d\"",
        ],
    );
    let binary = |text: &str| {
        let mut field = b"MESSAGE\n".to_vec();
        field.extend((text.len() as u64).to_le_bytes());
        field.extend(text.as_bytes());
        field
    };
    // The length 256 begins with a NUL byte.
    let long = format!("[9] LOG:  {}\n\tb", "a".repeat(256 - 13));
    let mut log = Vec::new();
    for (process, message) in [
        (5, b"MESSAGE=[7] LOG:  a".to_vec()),
        (5, binary("[8] LOG:  a\n\n\tb\n")),
        (6, binary(&long)),
    ] {
        log.extend(
            b"__CURSOR=c\n__REALTIME_TIMESTAMP=1795168800500000\nSYSLOG_IDENTIFIER=postgres\n",
        );
        log.extend(format!("_PID={process}\n").into_bytes());
        log.extend(message);
        log.extend(b"\n_BOOT_ID=x\n\n");
    }
    let out: Vec<String> = read(&format(&[Wrapper::JournalExport], stderr("")), &log)
        .iter()
        .map(|item| shown(item, &log))
        .collect();
    assert_eq!(
        out,
        [
            "1: 10:00:00.5 5 LOG\"a\"".to_owned(),
            "8: 10:00:00.5 5 LOG\"a\\n\\nb\"".to_owned(),
            format!("19: 10:00:00.5 6 LOG\"{}\\nb\"", "a".repeat(256 - 13)),
        ]
    );
}

#[test]
fn wrappers_are_told_by_content() {
    let check = |log: &str, expected: Option<&str>| {
        let found = wrapper_of(log.as_bytes())
            .map(|wrapper| contents(LogFormat::Wrapped(wrapper), None, log.as_bytes()).name());
        assert_eq!(found.as_deref(), expected, "{log}");
        if expected.is_some() {
            let found = detect::format(log.as_bytes()).unwrap();
            assert_eq!(
                Some(found),
                wrapper_of(log.as_bytes()).map(LogFormat::Wrapped)
            );
        }
    };
    check("", None);
    check("Nov 20 10:00:00 h postgres[1]: [7-1] LOG:  a", None);
    check("Nov 20 10:00:00 h cron[1]: x\n", Some("syslog, stderr"));
    check(
        "cut\nNov 20 10:00:00 h cron[1]: x\nNov 20 10:00:00 h cron[1]: x\n",
        Some("syslog, stderr"),
    );
    check(
        "2026-11-20T10:00:00Z h postgres[1]: [7-1] LOG:  a\n",
        Some("syslog, stderr"),
    );
    check("__CURSOR=c\nMESSAGE=x\n", Some("journal-export, stderr"));
    check(
        "2026-11-20T10:00:00Z stderr F LOG:  a\n",
        Some("cri, stderr"),
    );
    check(
        "2026-11-20T10:00:00Z stderr F 2026-11-20 10:00:00.000 UTC,,,1,,,,,,,,LOG,,\"a\",,,,,,,,,\n",
        Some("cri, csvlog"),
    );
    check(
        "2026-11-20T10:00:00Z stdout F {\"level\":\"info\",\"logger\":\"x\",\"msg\":\"x\"}\n",
        Some("cri, cloudnativepg, jsonlog"),
    );
    check(
        "{\"log\":\"x\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-20T10:00:00Z\"}\n",
        Some("docker, stderr"),
    );
    check(
        "{\"timestamp\":\"2026-11-20 10:00:00.000 UTC\",\"error_severity\":\"LOG\"}\n",
        None,
    );
    check("2026-11-20 10:00:00.000 UTC [1] LOG:  a\n", None);
    check(
        "2026-11-20 10:00:00.000 UTC,,,1,,,,,,,,LOG,,\"a\",,,,,,,,,\n",
        None,
    );
    check(
        &format!("{}x\n", "2026-11-20T10:00:00Z stderr F ".repeat(50)),
        Some("cri, cri, stderr"),
    );
}

/// Wherever reading stopped: what the sink had got before and what it gets from the settled place on are what one reading gives.
#[test]
fn reading_can_start_anew_at_every_settled_place() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..10 {
        // Each process writes messages of up to six chunks; they interleave as they like.
        let mut processes = [(7_u64, 0_u64); 6];
        let mut log = String::new();
        for line in 0..400 {
            let second = line / 20;
            if random(10) == 0 {
                log.push_str(&format!("Nov 20 10:00:{second:02} h cron[1]: x\n"));
                continue;
            }
            let process = usize::try_from(random(6)).unwrap();
            let (number, chunk) = &mut processes[process];
            if *chunk == 6 || random(3) == 0 {
                (*number, *chunk) = (*number + 1, 0);
            }
            *chunk += 1;
            let text = match *chunk {
                1 => format!("{process} LOG:  {line}"),
                6 => format!("{process} STATEMENT:  {line}"),
                _ => format!("#011{line}"),
            };
            if *chunk > 1 || random(20) > 0 {
                log.push_str(&format!(
                    "Nov 20 10:00:{second:02} h postgres[{process}]: [{number}-{chunk}] {text}\n"
                ));
            } else {
                *number += 1;
                *chunk = 0;
            }
        }
        let format = syslog("%p ");
        let log = log.as_bytes();
        let whole = read(&format, log);
        let mut first = assembler(&format, 0);
        let mut got = Vec::new();
        let mut pushed = 0;
        while pushed < log.len() {
            let size = usize::try_from(random(300))
                .unwrap()
                .min(log.len() - pushed)
                + 1;
            let size = size.min(log.len() - pushed);
            push(&mut first, &log[pushed..pushed + size], &mut got);
            pushed += size;
            assert_eq!(got, whole[..got.len()]);
            let settled = first.settled_bytes();
            let mut anew = assembler(&format, settled);
            let mut rest = Vec::new();
            push(
                &mut anew,
                &log[usize::try_from(settled).unwrap()..],
                &mut rest,
            );
            anew.finish(&mut |item| rest.push(item));
            assert_eq!(rest, whole[got.len()..], "at {settled}");
        }
    }
}

/// The datagrams that servers sent to syslog, with counts made by another program.
#[test]
fn datagrams_of_real_servers() {
    use std::io::Read;
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/cases");
    for case in ["conc-slowpipe-v13", "conc-slowpipe-v18"] {
        let folder = cases.join(case);
        let Ok(twin) = std::fs::File::open(folder.join("twin/syslog.jsonl.gz")) else {
            #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
            {
                eprintln!("skipped: no logs in {}", folder.display());
            }
            return;
        };
        let mut datagrams = String::new();
        flate2::read::MultiGzDecoder::new(twin)
            .read_to_string(&mut datagrams)
            .unwrap();
        // As rsyslog puts them into a file.
        let mut log = String::new();
        for datagram in datagrams.lines() {
            let datagram: String = serde_json::from_str(datagram).unwrap();
            let text = datagram.trim_end_matches('\n');
            log.push_str(&text.replace('\n', "#012").replace('\t', "#011"));
            log.push('\n');
        }
        let truth: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
        let wrapper = wrapper_of(log.as_bytes()).unwrap();
        let inside = contents(LogFormat::Wrapped(wrapper), None, log.as_bytes());
        let prefix = detect::line_prefix(&inside.bytes).prefix.unwrap();
        let out = read(
            &inside.wrap(Format::Stderr(prefix), None, None),
            log.as_bytes(),
        );
        let records: Vec<_> = out
            .iter()
            .filter_map(|item| match item {
                Assembled::Record(record) => Some(record),
                _ => None,
            })
            .collect();
        let durations = records
            .iter()
            .filter(|r| r.message.starts_with("duration: "));
        let plans = durations
            .clone()
            .filter(|r| r.message.contains(" ms  plan:"));
        let (plans, durations) = (plans.count(), durations.count());
        assert_eq!(
            (records.len(), durations - plans, plans, out.len()),
            (
                truth["records_total"].as_u64().unwrap() as usize,
                truth["duration_events"]["count"].as_u64().unwrap() as usize,
                truth["plan_events"]["count"].as_u64().unwrap() as usize,
                records.len(),
            ),
            "{case}"
        );
    }
}

#[test]
fn times_without_year_are_of_the_last_writing() {
    let log = b"Nov 20 10:00:00 h postgres[1]: [7-1] LOG:  a\n";
    let contents = Contents {
        wrappers: vec![Wrapper::Syslog],
        format: LogFormat::Stderr,
        bytes: (&[] as &[u8]).into(),
    };
    let written: Timestamp = "2019-12-01T00:00:00Z".parse().unwrap();
    let out = read(&contents.wrap(stderr(""), None, Some(written)), log);
    let Some(Assembled::Record(record)) = out.first() else {
        panic!("{out:?}")
    };
    assert_eq!(record.log_time, "2019-11-20T10:00:00Z".parse().unwrap());
}

/// The chunks that `write_syslog` makes of a message.
fn chunks_of(message: &str) -> Vec<&str> {
    const PG_SYSLOG_LIMIT: usize = 900;
    let mut chunks = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('\n') {
            rest = after;
            continue;
        }
        let mut end = rest.find('\n').unwrap_or(rest.len()).min(PG_SYSLOG_LIMIT);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        if rest[end..].starts_with(|c: char| !c.is_ascii_whitespace()) {
            let space = rest[..end].rfind(|c: char| c.is_ascii_whitespace());
            end = space.filter(|at| *at > 0).unwrap_or(end);
        }
        chunks.push(&rest[..end]);
        rest = &rest[end..];
    }
    chunks
}

#[test]
fn texts_are_put_together_as_they_were_cut() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below).unwrap()
    };
    for round in 0..400 {
        let mut text = "x".to_owned();
        for _ in 0..random(200) {
            let word = match random(12) {
                0 => "ü".repeat(random(700)),
                1 => "x".repeat(random(2000)),
                _ => "y".repeat(random(40)),
            };
            // A tab where a line is cut can't be told from that of a new line.
            let after = ["\n", " ", " ", " ", "  "][random(5)];
            text.push_str(&word);
            text.push_str(after);
        }
        text.push_str("end");
        let message = format!("LOG:  {}\n", text.replace('\n', "\n\t"));
        let mut log = String::new();
        for (number, chunk) in chunks_of(&message).iter().enumerate() {
            let (number, chunk) = (number + 1, chunk.replace('\t', "#011"));
            log.push_str(&format!(
                "Nov 20 10:00:00 h postgres[1]: [7-{number}] {chunk}\n"
            ));
        }
        let out = read(&syslog(""), log.as_bytes());
        let [Assembled::Record(record)] = out.as_slice() else {
            panic!("{round}: {out:?}")
        };
        assert_eq!(record.message, text, "{round}");
    }
}

/// Whatever a log holds: no panic, nothing lost on the way to its end, and no place to start anew that lies before the last.
#[test]
fn logs_that_are_hardly_logs() {
    let parts: &[&[u8]] = &[
        b"Nov 20 10:00:00 h postgres[1]: [7-1] LOG:  a",
        b"Nov 20 10:00:00 h postgres[1]: [7-2] #011b#01",
        b"<1>1 2026-11-20T10:00:00Z h postgres 1 - [a b=\"",
        b"__CURSOR=c\n__REALTIME_TIMESTAMP=1\nSYSLOG_IDENTIFIER=postgres\nMESSAGE=[1] LOG:  a\n",
        b"MESSAGE\n\x05\0\0\0\0\0\0\0abcde\n\n",
        b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffabcde\n\n",
        b"{\"log\":\"1 LOG:  a\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-20T10:00:00Z\"}\n",
        b"{\"log\":\"\",\"stream\":\"stdout\",\"time\":\"2026-11-20T10:00:00Z\"}\n",
        b"2026-11-20T10:00:00Z stderr P 1 LOG:  a\n",
        b"2026-11-20T10:00:00Z stderr F\n",
        b"{\"textPayload\":\"1 LOG:  a\\n1 LOG:  b\\n\\n\",\"timestamp\":\"2026-11-20T10:00:00Z\"}\n",
        b"{\"time\":\"2026-11-20T10:00:00Z\",\"properties\":{\"errorLevel\":\"\",\"message\":\":  -\"}}\n",
        b"{\"logger\":\"postgres\",\"record\":{}}\n",
        b"[1] [99999999999999999999] [7-1]",
        b"\n", b"\0\0\0", b"\t", b"\xff", b"#", b" ", b"{", b"\"",
    ];
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % 1_000_003).unwrap() % below
    };
    let wrappers = [
        Wrapper::Syslog,
        Wrapper::JournalExport,
        Wrapper::JournalJson,
        Wrapper::Docker,
        Wrapper::Cri,
        Wrapper::CloudLogging,
        Wrapper::Azure,
        Wrapper::CloudNativePg,
    ];
    for round in 0..2000 {
        let mut log = Vec::new();
        for _ in 0..random(30) {
            log.extend_from_slice(parts[random(parts.len())]);
            if random(3) == 0 {
                log.push(b'\n');
            }
        }
        for _ in 0..random(4).min(log.len()) {
            let at = random(log.len());
            log[at] = u8::try_from(random(256)).unwrap();
        }
        let wrapper = wrappers[round % wrappers.len()];
        let inside = contents(LogFormat::Wrapped(wrapper), None, &log);
        let inner = match inside.format {
            LogFormat::Csvlog => Format::Csvlog,
            LogFormat::Jsonlog => Format::Jsonlog,
            _ => stderr("%p "),
        };
        let format = inside.wrap(inner, None, None);
        let mut reader = assembler(&format, 0);
        let mut out = Vec::new();
        let mut settled = 0;
        for chunk in log.chunks(random(50) + 1) {
            push(&mut reader, chunk, &mut out);
            reader.pending();
            assert!(settled <= reader.settled_bytes(), "{wrapper:?} {log:?}");
            settled = reader.settled_bytes();
        }
        reader.finish(&mut |item| out.push(item));
        assert_eq!(
            reader.settled_bytes(),
            log.len() as u64,
            "{wrapper:?} {log:?}"
        );
        wrapper_of(&log);
    }
}

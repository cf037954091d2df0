//! Logs under another lc_messages: the words of the installed message catalogs, and a real server that logs in other languages and encodings.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use jiff::Timestamp;
use plantail::{
    model::{
        accounting::DurationKind,
        position::GenerationId,
        record::{LogRecord, Severity},
    },
    record::{Assembled, Assembler, Config, Format, Layout, LinePrefix},
    statement::{
        context::{after_sql_text, function, is_about_portal},
        failure::may_be_unparsed,
        message::{self, Message, Name},
        parameters::{self, Detail},
    },
};

use crate::{plantail::Home, postgres::Postgres};

/// The translations of a message catalog (gettext's .mo file) by their English originals.
struct Catalog {
    name: String,
    messages: HashMap<String, String>,
}

impl Catalog {
    /// Manual of gettext, section "The Format of GNU MO Files".
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let number = |at: usize| {
            let bytes: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            u32::from_le_bytes(bytes) as usize
        };
        let text = |at: usize| {
            let (length, start) = (number(at), number(at + 4));
            String::from_utf8(bytes[start..start + length].to_vec()).unwrap()
        };
        let (count, originals, translations) = (number(8), number(12), number(16));
        Self {
            name: path.display().to_string(),
            messages: (0..count)
                .map(|index| (text(originals + 8 * index), text(translations + 8 * index)))
                .collect(),
        }
    }

    /// The message in the catalog's language, `arguments` printed into it.
    fn print(&self, format: &str, arguments: &[&str]) -> String {
        let format = self.messages.get(format).map_or(format, String::as_str);
        let mut printed = String::new();
        let mut parts = format.split('%');
        printed.push_str(parts.next().unwrap());
        for (count, part) in parts.enumerate() {
            let (flags, rest) = part.split_at(part.find(['s', 'd', 'u']).unwrap());
            let position = flags.split_once('$').map(|(position, _)| position);
            let index = position.map_or(count, |position| position.parse::<usize>().unwrap() - 1);
            printed.push_str(arguments[index]);
            printed.push_str(&rest[1..]);
        }
        printed
    }
}

/// The installed catalogs `NAME-VERSION.mo` of all languages.
fn catalogs(name: &str) -> Vec<Catalog> {
    let mut catalogs = Vec::new();
    for language in fs::read_dir("/usr/share/locale").into_iter().flatten() {
        let messages = language.unwrap().path().join("LC_MESSAGES");
        for file in fs::read_dir(messages).into_iter().flatten() {
            let path = file.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            let version = file
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".mo"));
            if version.is_some_and(|version| version.parse::<u32>().is_ok()) {
                catalogs.push(Catalog::read(&path));
            }
        }
    }
    if catalogs.is_empty() {
        eprintln!("skipped: no message catalogs of PostgreSQL are installed");
    }
    catalogs
}

/// The records of a log without a line prefix.
fn records(log: &str) -> Vec<LogRecord> {
    let layout = Layout {
        format: Format::Stderr(LinePrefix::parse("").unwrap()),
        time_zone: None,
    };
    let mut assembler = Assembler::new(layout, GenerationId(1), 0, &Config::default());
    let mut records = Vec::new();
    let mut sink = |assembled| match assembled {
        Assembled::Record(record) => records.push(*record),
        other => panic!("{other:?}"),
    };
    assembler.push(log.as_bytes(), Timestamp::UNIX_EPOCH, &mut sink);
    assembler.finish(&mut sink);
    records
}

#[test]
fn severities_and_labels_of_the_installed_catalogs() {
    for catalog in catalogs("postgres") {
        for severity in [
            Severity::Debug,
            Severity::Info,
            Severity::Notice,
            Severity::Warning,
            Severity::Error,
            Severity::Log,
            Severity::Fatal,
            Severity::Panic,
        ] {
            let word = catalog.print(severity.as_str(), &[]);
            let location = catalog.print("LOCATION:  %s, %s:%d\n", &["f", "file.c", "1"]);
            let mut log = format!("{word}:  message\n");
            for label in ["DETAIL", "HINT", "QUERY", "CONTEXT", "STATEMENT"] {
                let printed = catalog.print(&format!("{label}:  "), &[]);
                log += &format!("{printed}{label}\n");
            }
            log += &location;
            let found = records(&log);
            assert_eq!(found.len(), 1, "{}: {log}", catalog.name);
            let record = &found[0];
            // Georgian has one word for both.
            let is_same_word = word == catalog.print("WARNING", &[]);
            let severity = if is_same_word {
                Severity::Warning
            } else {
                severity
            };
            assert_eq!(record.error_severity, severity, "{}", catalog.name);
            let texts = [
                Some(&record.message),
                record.detail.as_ref(),
                record.hint.as_ref(),
                record.internal_query.as_ref(),
                record.context.as_ref(),
                record.query.as_ref(),
            ];
            let texts = texts.map(|text| text.map(|text| text.trim()));
            let expected = ["message", "DETAIL", "HINT", "QUERY", "CONTEXT", "STATEMENT"];
            assert_eq!(texts, expected.map(Some), "{}: {log}", catalog.name);
        }
    }
}

#[test]
fn messages_about_statements_of_the_installed_catalogs() {
    use DurationKind::{Bare, Bind, Execute, Fetch, Parse, Statement};
    for catalog in catalogs("postgres") {
        let check = |message: String, kind, name: Option<&str>, text: Option<&str>| {
            let expected = Message::Duration {
                duration_ms: 1.5,
                kind,
                name: name.map(Name),
                text,
            };
            assert_eq!(
                message::read(&message),
                Some(expected),
                "{}: {message}",
                catalog.name
            );
        };
        let print = |format, arguments: &[&str]| catalog.print(format, arguments);
        let (sql, name) = (Some("select 1"), Some("S 1/C_2"));
        check(print("duration: %s ms", &["1.500"]), Bare, None, None);
        check(
            print("duration: %s ms  statement: %s", &["1.500", "select 1"]),
            Statement,
            None,
            sql,
        );
        check(
            print(
                "duration: %s ms  parse %s: %s",
                &["1.500", "<unnamed>", "select 1"],
            ),
            Parse,
            Some(""),
            sql,
        );
        let portal = ["S 1", "/", "C_2", "select 1"];
        let with = |first: &[&'static str]| [first, &portal[..]].concat();
        check(
            print("duration: %s ms  bind %s%s%s: %s", &with(&["1.500"])),
            Bind,
            name,
            sql,
        );
        for (word, kind) in [("execute", Execute), ("execute fetch from", Fetch)] {
            let word = print(word, &[]);
            let run = ["1.500", word.as_str()];
            let arguments = [&run[..], &portal[..]].concat();
            check(
                print("duration: %s ms  %s %s%s%s: %s", &arguments),
                kind,
                name,
                sql,
            );
            let message = print("%s %s%s%s: %s", &arguments[1..]);
            let expected = Message::Statement {
                kind,
                name: name.map(Name),
                text: "select 1",
            };
            assert_eq!(
                message::read(&message),
                Some(expected),
                "{}: {message}",
                catalog.name
            );
        }
        let fastpath = print(
            "duration: %s ms  fastpath function call: \"%s\" (OID %u)",
            &["1.500", "lo_open", "952"],
        );
        let kind = match message::read(&fastpath) {
            Some(Message::Duration { kind, .. }) => Some(kind),
            _ => None,
        };
        assert_eq!(
            kind,
            Some(DurationKind::Fastpath),
            "{}: {fastpath}",
            catalog.name
        );
        let logged = print("statement: %s", &["select 1"]);
        assert!(
            matches!(
                message::read(&logged),
                Some(Message::Statement {
                    text: "select 1",
                    ..
                })
            ),
            "{logged}"
        );
        let prepared = print("prepare: %s", &["PREPARE p AS x"]);
        let read = parameters::read(&prepared);
        assert!(
            matches!(read, Some(Detail::Prepare(text)) if text.trim() == "PREPARE p AS x"),
            "{prepared}"
        );
        for format in ["parameters: %s", "Parameters: %s"] {
            let detail = print(format, &["$1 = '7', $2 = NULL"]);
            let read = parameters::read(&detail);
            assert!(
                matches!(read, Some(Detail::Parameters(list)) if list.len() == 2),
                "{detail}"
            );
        }
        let position = print(" at character %d", &["12"]);
        let error = print("%s at or near \"%s\"", &[&print("syntax error", &[]), "s"]) + &position;
        assert!(may_be_unparsed(None, &error), "{error}");
        let unnamed = print("unnamed portal with parameters: %s", &["$1 = 'a\nb'"]);
        let named = print("portal \"%s\" with parameters: %s", &["p", "$1 = 'a\nb'"]);
        let nested = print("SQL statement \"%s\"", &["select 1"]);
        assert!(
            is_about_portal(&unnamed) && is_about_portal(&named),
            "{named}"
        );
        assert!(!is_about_portal(&nested), "{nested}");
    }
}

#[test]
fn sql_texts_of_the_installed_catalogs() {
    for catalog in catalogs("postgres") {
        for format in [
            "SQL statement \"%s\"",
            "SQL expression \"%s\"",
            "PL/pgSQL assignment \"%s\"",
        ] {
            let text = "select '\"\n\"x'";
            let entry = catalog.print(format, &[text]);
            assert_eq!(function(&entry), None, "{}: {entry}", catalog.name);
            let context = format!("{entry}\ncaller");
            let callers = after_sql_text(&context, text);
            assert_eq!(callers, Some("caller"), "{}: {entry}", catalog.name);
        }
    }
}

#[test]
fn functions_of_the_installed_catalogs() {
    let check = |catalog: &str, format: &str, arguments: &[&str], expected| {
        for catalog in catalogs(catalog) {
            let entry = catalog.print(format, arguments);
            let read = function(&entry).map(|read| (read.name, read.line, read.at));
            assert_eq!(read, Some(expected), "{}: {entry}", catalog.name);
        }
    };
    check(
        "plpgsql",
        "PL/pgSQL function %s line %d at %s",
        &["f(integer)", "3", "RAISE"],
        ("f(integer)", Some(3), "RAISE"),
    );
    let statement = "SQL function \"%s\" statement %d";
    check("postgres", statement, &["f", "3"], ("f", Some(3), ""));
    let (python, procedure) = ("PL/Python function \"%s\"", "PL/Python procedure \"%s\"");
    check("plpython", python, &["f"], ("f", None, ""));
    check("plpython", procedure, &["f"], ("f", None, ""));
    check("plperl", "PL/Perl function \"%s\"", &["f"], ("f", None, ""));
    let block = ("inline_code_block", None, "");
    check("plpython", "PL/Python anonymous code block", &[], block);
    check("plperl", "PL/Perl anonymous code block", &[], block);
}

/// Locale, encoding of the database, and how the server prints the duration of a forged statement there.
const SESSIONS: &[(&str, &str, &str)] = &[
    (
        "de_DE",
        "UTF8",
        "Dauer: 7777.000 ms  Anweisung: select forged",
    ),
    (
        "de_DE",
        "LATIN1",
        "Dauer: 7777.000 ms  Anweisung: select forged",
    ),
    (
        "fr_FR",
        "UTF8",
        "durée : 7777.000 ms, instruction : select forged",
    ),
    (
        "fr_FR",
        "LATIN1",
        "durée : 7777.000 ms, instruction : select forged",
    ),
    (
        "ru_RU",
        "UTF8",
        "продолжительность: 7777.000 мс, оператор: select forged",
    ),
    (
        "ru_RU",
        "KOI8R",
        "продолжительность: 7777.000 мс, оператор: select forged",
    ),
    (
        "ru_RU",
        "WIN1251",
        "продолжительность: 7777.000 мс, оператор: select forged",
    ),
    ("ja_JP", "UTF8", "期間: 7777.000 ミリ秒  文: select forged"),
    (
        "ja_JP",
        "EUC_JP",
        "期間: 7777.000 ミリ秒  文: select forged",
    ),
    (
        "ko_KR",
        "UTF8",
        "실행시간: 7777.000 ms  명령 구문: select forged",
    ),
    (
        "zh_CN",
        "EUC_CN",
        "执行时间: 7777.000 ms 语句: select forged",
    ),
];

#[test]
fn a_real_server_logs_in_other_languages_and_encodings() {
    let locales = tempfile::tempdir().unwrap();
    // The server runs as another user.
    fs::set_permissions(locales.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let made = |locale: &str| {
        let made = Command::new("localedef")
            .args(["-i", locale, "-f", "UTF-8"])
            .arg(locales.path().join(format!("{locale}.UTF-8")))
            .output();
        made.is_ok_and(|made| made.status.success())
    };
    let mut known: BTreeMap<&str, bool> = BTreeMap::new();
    let sessions: Vec<_> = SESSIONS
        .iter()
        .filter(|(locale, ..)| *known.entry(locale).or_insert_with(|| made(locale)))
        .collect();
    if sessions.len() < SESSIONS.len() || catalogs("postgres").is_empty() {
        eprintln!("skipped: no locales to make here: {known:?}");
        return;
    }
    let settings = "log_min_messages = notice";
    let Some(server) = Postgres::start_with_locales(settings, locales.path()) else {
        return;
    };
    server.psql(&["create function f() returns int language plpgsql as $$ begin return (select count(*) from pg_class); end $$"]);
    for encoding in ["LATIN1", "KOI8R", "WIN1251", "EUC_JP", "EUC_CN"] {
        server.psql(&[&format!(
            "create database {encoding} encoding '{encoding}' locale 'C' template template0"
        )]);
    }
    for (locale, encoding, forged) in &sessions {
        let database = if *encoding == "UTF8" {
            "postgres"
        } else {
            encoding
        };
        server.psql(&[
            &format!("\\c {}", database.to_lowercase()),
            "set client_encoding = 'UTF8'",
            &format!("set lc_messages = '{locale}.UTF-8'"),
            "select 'abc' as told",
            "select 'abc'::int",
            "select 'it's secret' from (select 1) as b where b = 'c'",
            "set log_min_error_statement = panic",
            &format!("do $$ begin raise log '{forged}'; end $$"),
            "prepare p as select 'abc' as prepared",
            "execute p",
        ]);
    }
    let script = "set lc_messages = 'de_DE.UTF-8';\nselect f();\nset lc_messages = 'ko_KR.UTF-8';\nselect f();";
    server.pgbench("extended", script, 2);

    let home = Home::new();
    let log = server.log_directory();
    let told = home.import(&[
        log.to_str().unwrap(),
        "--server",
        "shop",
        "--log-line-prefix",
        "%m [%p] %q%u@%d ",
    ]);
    let count = sessions.len() as u64;
    assert_eq!(told["forged_duration_messages"], count, "{told}");
    assert_eq!(
        (&told["torn"], &told["unparsed"]),
        (&0.into(), &0.into()),
        "{told}"
    );
    assert_eq!(told["by_severity"]["ERROR"], 2 * count, "{told}");
    let by_kind = &told["duration_events"]["by_kind"];
    // The function, the databases, seven statements a session.
    assert_eq!(by_kind["statement"], 1 + 5 + 7 * count, "{told}");
    for kind in ["parse", "bind", "execute"] {
        assert_eq!(by_kind[kind], 8, "{told}");
    }
    assert_eq!(told["plan_events"]["nested"], 4, "{told}");
    let queries = home.query("{ queries(limit: 100) { normalizedSql totalExecutions } }");
    let queries = queries["queries"].as_array().unwrap();
    let executions = |text: &str| -> u64 {
        let matching = queries
            .iter()
            .filter(|query| query["normalizedSql"] == text);
        matching
            .map(|query| {
                query["totalExecutions"]
                    .as_str()
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
            })
            .sum()
    };
    assert_eq!(executions("select $1 as told"), count, "{queries:?}");
    // PREPARE and EXECUTE, which DETAIL leads to the same text.
    assert_eq!(
        executions("prepare $1 as select $2 as prepared"),
        2 * count,
        "{queries:?}"
    );
    // Without SQLSTATE a translated error that names a place may be one of syntax: nothing behind the first quote is kept.
    assert_eq!(executions("select …"), 2 * count, "{queries:?}");
    let everything = serde_json::to_string(queries).unwrap();
    assert!(
        !everything.contains("forged") && !everything.contains("secret"),
        "{everything}"
    );
}

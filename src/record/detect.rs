//! What a log is, told from its first bytes: its format, and for stderr the line prefix that explains its lines.
//!
//! Bytes come in, a format or a [`Detected`] prefix goes out with the candidates that were tried. Detection would rather leave a field
//! unknown than guess: where several prefixes explain the file, a field is used only if they agree on it in every line.

use jiff::Timestamp;

use crate::model::position::{GenerationId, LogFormat};

use super::escape::Escape;
use super::head::{self, Head, HeadLine};
use super::severity::labels;
use super::{Assembled, Assembler, Config, Format, Layout, LinePrefix, csvlog, wrapper_of};

/// Line prefixes in use: PostgreSQL's default, those of distributions and cloud providers, those that log tools recommend. Where two differ
/// only by `%q` the one with it comes first, because it reads the lines of the other as well.
const WELL_KNOWN: &[&str] = &[
    // PostgreSQL 10 and later; Debian and Ubuntu from 10 on, and before.
    "%m [%p] ",
    "%m [%p] %q%u@%d ",
    "%t [%p-%l] %q%u@%d ",
    // Red Hat's packages for 9.x; EDB's installers; PostgreSQL before 10.
    "< %m > ",
    "%t ",
    "",
    // Amazon RDS, Aurora; Azure; Cloud SQL and AlloyDB; Heroku.
    "%t:%r:%u@%d:[%p]:",
    "%t:%r:%u@%d:[%p]:%l:%e:%s:%v:%x:%c:%q%a:",
    "%t-%c-",
    "%m [%p]: [%l-1] db=%d,user=%u ",
    " sql_error_code = %e time_ms = \"%m\" pid=\"%p\" proc_start_time=\"%s\" session_id=\"%c\" vtid=\"%v\" tid=\"%x\" log_line=\"%l\" %qdatabase=\"%d\" connection_source=\"%r\" user=\"%u\" application_name=\"%a\" ",
    // Crunchy Bridge; Supabase; Aiven and DigitalOcean; Spilo.
    "%m [%p][%b][%v][%x] %q[user=%u,db=%d,app=%a] ",
    "%h %m [%p] %q%u@%d ",
    "pid=%p,user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: [%l-1] %c %x %d %u %a %h ",
    // pgBadger's manual and its older forms, with either time.
    "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
    "%m [%p]: user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%m [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: user=%u,db=%d ",
    "%t [%p]: [%l-1] user=%u,db=%d ",
    "%m [%p]: [%l-1] user=%u,db=%d ",
    "%t [%p]: [%l-1] ",
    // What pganalyze's documentation lists beside those.
    "%m [%p] %q[user=%u,db=%d,app=%a] ",
    "%m [%p] %q[user=%u,db=%d,app=%a,host=%h] ",
    "%m [%p][%v] : [%l-1] %q[app=%a] ",
    "%t [%p]: [%l-1] user=%u,db=%d - PG-%e ",
    "%t [%p]: [%l-1] [trx_id=%x] user=%u,db=%d ",
    "[%p]: [%l-1] db=%d,user=%u ",
    "user=%u,db=%d,app=%a,client=%h ",
    "%m %r %u %a [%c] [%p] ",
    "%p-%s-%c-%l-%h-%u-%d-%m ",
    // Variations of the default.
    "%t [%p] ",
    "%m ",
    "%m [%p] %u@%d ",
    "%t [%p] %q%u@%d ",
    "%m [%p] %q%u@%d/%a ",
    "%m [%p] %q%r %u@%d ",
    "%m [%p] %q%h %u@%d ",
    "%m [%p] %L %r %u@%d ",
    "%m [%p] [%l] %q%u@%d ",
    "%m [%p] [%c] %q%u@%d ",
    "%m [%p] [%Q] %q%u@%d ",
    "[%p]",
    "%n %p ",
    "%c %l ",
];

/// Shapes for prefixes that aren't well known: a time and a process id, and text that stays unnamed.
const SHAPES: &[&str] = &["%m [%p]%*", "%t [%p]%*", "%m%*[%p]%*", "%t%*[%p]%*"];

/// Lines looked at; a prefix shows in far fewer.
const MAX_LINES: usize = 2000;

/// What was found out about the line prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The prefix to read the log with. `%*` stands in it for what the log alone doesn't tell.
    pub prefix: Option<LinePrefix>,
    /// Lines that hold a severity or another label and so should begin with the prefix.
    pub line_count: usize,
    /// Every prefix that explains any of them, best first, with how many.
    pub candidates: Vec<Candidate>,
    /// csvlog's names of the columns that stay empty because candidates disagree on them.
    pub disputed: Vec<&'static str>,
}

/// A prefix that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub log_line_prefix: &'static str,
    /// How many lines begin with it.
    pub explained_count: usize,
}

/// What a given prefix explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Explained {
    /// Lines that hold a severity or another label and so should begin with the prefix.
    pub line_count: usize,
    pub explained_count: usize,
}

/// The format of a log that begins with these bytes; `None` if nothing in them looks like one.
pub fn format(first_bytes: &[u8]) -> Option<LogFormat> {
    if let Some(wrapper) = wrapper_of(first_bytes) {
        return Some(LogFormat::Wrapped(wrapper));
    }
    let count = |format| {
        let layout = Layout {
            format,
            time_zone: None,
        };
        let mut assembler = Assembler::new(layout, GenerationId(0), 0, &Config::default());
        let mut count = 0_usize;
        assembler.push(first_bytes, Timestamp::UNIX_EPOCH, &mut |assembled| {
            count += usize::from(matches!(assembled, Assembled::Record(_)));
        });
        count
    };
    // One record may be longer than what there is of the log.
    let begins_json = first_bytes.starts_with(b"{\"timestamp\":\"")
        || first_bytes.starts_with(b"{\"log_time\":\"");
    let counts = [
        (
            LogFormat::Jsonlog,
            count(Format::Jsonlog).max(usize::from(begins_json)),
        ),
        (
            LogFormat::Csvlog,
            count(Format::Csvlog).max(usize::from(csvlog::begins_row(first_bytes))),
        ),
        (LogFormat::Stderr, head_lines(first_bytes).count()),
    ];
    let (format, best) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    (best > 0).then_some(format)
}

/// The line prefix of a stderr log that begins with these bytes.
///
/// The well-known prefixes that explain the most lines are the explanation, provided that is more than half of them. Of those, the ones that
/// leave the fewest bytes to names: a prefix without `,app=` explains the lines of one with it too, by databases that are all named so.
pub fn line_prefix(first_bytes: &[u8]) -> Detected {
    let lines: Vec<&[u8]> = head_lines(first_bytes).take(MAX_LINES).collect();
    let mut tried = explained_by(WELL_KNOWN, &lines);
    let is_explained = |tried: &[(LinePrefix, Candidate)]| {
        tried
            .first()
            .is_some_and(|(_, best)| best.explained_count * 2 > lines.len())
    };
    if !is_explained(&tried) {
        tried.extend(explained_by(SHAPES, &lines));
        tried.sort_by_key(|(_, candidate)| std::cmp::Reverse(candidate.explained_count));
    }
    let mut detected = Detected {
        prefix: None,
        line_count: lines.len(),
        candidates: tried
            .iter()
            .map(|(_, candidate)| candidate.clone())
            .collect(),
        disputed: Vec::new(),
    };
    if !is_explained(&tried) {
        return detected;
    }
    let best = tried
        .iter()
        .map(|(_, candidate)| candidate.explained_count)
        .max();
    let explaining: Vec<(usize, &LinePrefix)> = tried
        .iter()
        .filter(|(_, candidate)| Some(candidate.explained_count) == best)
        .map(|(prefix, _)| (free_text_bytes(prefix, &lines), prefix))
        .collect();
    let least = explaining.iter().map(|(bytes, _)| *bytes).min();
    let mut explanations = explaining
        .iter()
        .filter(|(bytes, _)| Some(*bytes) == least)
        .map(|(_, prefix)| *prefix);
    let Some(first) = explanations.next() else {
        return detected;
    };
    let others: Vec<&LinePrefix> = explanations.collect();
    let mut unnamed = Vec::new();
    for column in COLUMNS {
        if is_disputed(column, first, &others, &lines) {
            detected.disputed.push(column.name);
            unnamed.extend_from_slice(column.escapes);
        }
    }
    detected.prefix = Some(first.with_unnamed(&unnamed));
    detected
}

/// How many of the lines that should begin with a prefix begin with this one.
pub fn explained(prefix: &LinePrefix, first_bytes: &[u8]) -> Explained {
    let lines = head_lines(first_bytes).take(MAX_LINES);
    lines.fold(Explained::default(), |seen, line| Explained {
        line_count: seen.line_count + 1,
        explained_count: seen.explained_count + usize::from(head::read(prefix, line).is_some()),
    })
}

/// The prefixes that explain any of the lines, those that explain most of them first.
fn explained_by(prefixes: &[&'static str], lines: &[&[u8]]) -> Vec<(LinePrefix, Candidate)> {
    let mut tried: Vec<(LinePrefix, Candidate)> = prefixes
        .iter()
        .filter_map(|log_line_prefix| {
            let prefix = LinePrefix::parse(log_line_prefix).ok()?;
            let explained_count = lines
                .iter()
                .filter(|line| head::read(&prefix, line).is_some())
                .count();
            let candidate = Candidate {
                log_line_prefix,
                explained_count,
            };
            (explained_count > 0).then_some((prefix, candidate))
        })
        .collect();
    tried.sort_by_key(|(_, candidate)| std::cmp::Reverse(candidate.explained_count));
    tried
}

/// Lines that should begin with a prefix: no continuations, and a label not far from the beginning. The last line may be cut and is left out.
fn head_lines(first_bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const LABEL_WINDOW_BYTES: usize = 1024;
    let whole_bytes = memchr::memrchr(b'\n', first_bytes).unwrap_or(0);
    let whole = first_bytes.get(..whole_bytes).unwrap_or_default();
    whole.split(|byte| *byte == b'\n').filter(|line| {
        !line.starts_with(b"\t") && labels(line, LABEL_WINDOW_BYTES).next().is_some()
    })
}

/// How much of the lines' heads a prefix takes for texts that may be anything.
fn free_text_bytes(prefix: &LinePrefix, lines: &[&[u8]]) -> usize {
    lines
        .iter()
        .filter_map(|line| head::read(prefix, line))
        .flat_map(|HeadLine { head, .. }| {
            [
                head.user_name,
                head.database_name,
                head.application_name,
                head.backend_type,
                head.command_tag,
            ]
        })
        .flatten()
        .map(<[u8]>::len)
        .sum()
}

/// A column of a record that a prefix can print.
struct Column {
    name: &'static str,
    escapes: &'static [Escape],
    value: for<'a> fn(&Head<'a>) -> Option<&'a [u8]>,
}

const COLUMNS: &[Column] = &[
    Column {
        name: "log_time",
        escapes: &[
            Escape::TimeMilliseconds,
            Escape::TimeSeconds,
            Escape::TimeEpoch,
        ],
        value: |head| head.log_time.map(|(_, printed)| printed),
    },
    Column {
        name: "user_name",
        escapes: &[Escape::UserName],
        value: |head| head.user_name,
    },
    Column {
        name: "database_name",
        escapes: &[Escape::DatabaseName],
        value: |head| head.database_name,
    },
    Column {
        name: "process_id",
        escapes: &[Escape::ProcessId],
        value: |head| head.process_id,
    },
    Column {
        name: "connection_from",
        escapes: &[Escape::RemoteHostAndPort, Escape::RemoteHost],
        value: |head| head.connection_from,
    },
    Column {
        name: "session_id",
        escapes: &[Escape::SessionId],
        value: |head| head.session_id,
    },
    Column {
        name: "session_line_num",
        escapes: &[Escape::SessionLineNum],
        value: |head| head.session_line_num,
    },
    Column {
        name: "command_tag",
        escapes: &[Escape::CommandTag],
        value: |head| head.command_tag,
    },
    Column {
        name: "virtual_transaction_id",
        escapes: &[Escape::VirtualTransactionId],
        value: |head| head.virtual_transaction_id,
    },
    Column {
        name: "sql_state_code",
        escapes: &[Escape::SqlStateCode],
        value: |head| head.sql_state_code,
    },
    Column {
        name: "application_name",
        escapes: &[Escape::ApplicationName],
        value: |head| head.application_name,
    },
    Column {
        name: "backend_type",
        escapes: &[Escape::BackendType],
        value: |head| head.backend_type,
    },
    Column {
        name: "leader_pid",
        escapes: &[Escape::LeaderPid],
        value: |head| head.leader_pid,
    },
    Column {
        name: "query_id",
        escapes: &[Escape::QueryId],
        value: |head| head.query_id,
    },
];

/// Whether a column of the first explanation has to stay empty: another one reads it otherwise in some line, or it should hold names and
/// mostly holds what no name does, so that it swallows something that no candidate knows.
fn is_disputed(
    column: &Column,
    first: &LinePrefix,
    others: &[&LinePrefix],
    lines: &[&[u8]],
) -> bool {
    let is_name = column.escapes == [Escape::UserName] || column.escapes == [Escape::DatabaseName];
    let is_odd = |name: &[u8]| {
        name.iter()
            .any(|b| b.is_ascii_whitespace() || b"[](){}=,:;|\"".contains(b))
    };
    let (mut named, mut odd) = (0_usize, 0_usize);
    for line in lines {
        let value_in = |prefix| head::read(prefix, line).map(|read| (column.value)(&read.head));
        let Some(value) = value_in(first) else {
            continue;
        };
        if others
            .iter()
            .any(|other| value_in(other).is_some_and(|other| other != value))
        {
            return true;
        }
        named += usize::from(value.is_some());
        odd += usize::from(value.is_some_and(is_odd));
    }
    is_name && odd * 2 > named
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn formats() {
        let check = |log: &str, expected| assert_eq!(format(log.as_bytes()), expected, "{log}");
        check("", None);
        check("some\ntext\n", None);
        check(
            "2026-11-20 07:27:22.607 UTC [1] LOG:  x\n",
            Some(LogFormat::Stderr),
        );
        check("{\"ts\":1} LOG:  x\n", Some(LogFormat::Stderr));
        check(
            "{\"timestamp\":\"2026-11-20 07:27:22.607 UTC\",\"mess",
            Some(LogFormat::Jsonlog),
        );
        check(
            "2026-11-20 07:27:22.607 UTC,,,1,\"\n LOG:  x\n",
            Some(LogFormat::Csvlog),
        );
    }

    #[test]
    fn prefixes() {
        let check = |log: &str, prefix: Option<&str>, disputed: &[&str]| {
            let detected = line_prefix(log.as_bytes());
            assert_eq!(
                (
                    detected.prefix.as_ref().map(LinePrefix::as_str),
                    detected.disputed.as_slice()
                ),
                (prefix, disputed),
                "{log}\n{:?}",
                detected.candidates
            );
        };
        let time = "2026-11-20 07:27:22.607 UTC";
        check("", None, &[]);
        check("no label\n\tLOG:  x\n", None, &[]);
        check("what is this LOG:  x\n", None, &[]);
        check(&format!("{time} [1] LOG:  x\n"), Some("%m [%p] "), &[]);
        check(
            &format!("{time} [1] LOG:  x\n{time} [1] al@db LOG:  x\n"),
            Some("%m [%p] %q%u@%d "),
            &[],
        );
        check(
            &format!("{time} [1] al@db/psql LOG:  x\n"),
            Some("%m [%p] %q%u@%d/%a "),
            &[],
        );
        // Not known which of two numbers it is.
        check(
            &format!("{time} [1] [5] al@db LOG:  x\n"),
            Some("%m [%p] [%*] %q%u@%d "),
            &["session_line_num", "query_id"],
        );
        // No user is called that; what stands before the name isn't known.
        check(
            &format!("{time} [1] <7> al@db LOG:  x\n"),
            Some("%m [%p] %q%*@%d "),
            &["user_name"],
        );
        check(
            &format!("{time} 100% [1] LOG:  x\n"),
            Some("%m%*[%p]%*"),
            &[],
        );
        let mixed = format!("{time} [1] LOG:  x\n[1]LOG:  x\n");
        check(&mixed, None, &[]);
    }

    #[test]
    fn what_was_tried_is_told() {
        let log = "2026-11-20 07:27:22.607 UTC [1] LOG:  x\nLOG:  y\nLOG:  z\n";
        let detected = line_prefix(log.as_bytes());
        assert_eq!(detected.prefix, Some(LinePrefix::parse("").unwrap()));
        assert_eq!(detected.line_count, 3);
        let told: Vec<(&str, usize)> = detected
            .candidates
            .iter()
            .take(2)
            .map(|candidate| (candidate.log_line_prefix, candidate.explained_count))
            .collect();
        assert_eq!(told, [("", 2), ("%m [%p] ", 1)]);
    }
}

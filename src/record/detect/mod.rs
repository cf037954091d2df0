//! What a log is, told from its first bytes: its format, and for stderr the line prefix that explains its lines.
//!
//! Bytes come in, a format or a [`Detected`] prefix goes out with the candidates that were tried. Detection would rather leave a field
//! unknown than guess: where several prefixes explain the file, a field is used only if they agree on it in every line.

mod candidates;
mod columns;
mod infer;
mod numbers;
mod padding;
mod tokens;

use jiff::Timestamp;

use crate::model::position::{GenerationId, LogFormat};

use candidates::{SHAPES, WELL_KNOWN};
use columns::{COLUMNS, is_disputed};

use super::head::{self, HeadLine};
use super::severity::labels;
use super::{Assembled, Assembler, Config, Format, Layout, LinePrefix, csvlog, text, wrapper_of};

/// Lines looked at; a prefix shows in far fewer.
const MAX_LINES: usize = 2000;

/// How far from a line's beginning its label is looked for.
const LABEL_WINDOW_BYTES: usize = 1024;

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
    pub log_line_prefix: String,
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
    let first_bytes = text::without_byte_order_mark(first_bytes);
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
/// The well-known prefixes that explain the most lines are the explanation, provided that is more than half of them, and no prefix that is
/// made up from the lines explains notably more. Of those, the ones that
/// leave the fewest bytes to names: a prefix without `,app=` explains the lines of one with it too, by databases that are all named so.
pub fn line_prefix(first_bytes: &[u8]) -> Detected {
    let lines: Vec<&[u8]> = head_lines(first_bytes).take(MAX_LINES).collect();
    let mut tried = explained_by(WELL_KNOWN, &lines);
    let is_explained = |tried: &[(LinePrefix, Candidate)]| {
        tried
            .first()
            .is_some_and(|(_, best)| best.explained_count * 2 > lines.len())
    };
    let known_count = tried.first().map_or(0, |(_, best)| best.explained_count);
    let inferred = (known_count < lines.len())
        .then(|| inferred(&lines))
        .flatten()
        .filter(|(_, candidate, _)| {
            let count = candidate.explained_count;
            count * 2 > lines.len() && count > known_count + lines.len() / 100
        });
    if let Some((prefix, candidate, untold)) = inferred {
        tried.insert(0, (prefix.clone(), candidate));
        return Detected {
            prefix: Some(prefix),
            line_count: lines.len(),
            candidates: tried.into_iter().map(|(_, candidate)| candidate).collect(),
            disputed: untold,
        };
    }
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
fn explained_by(prefixes: &[&str], lines: &[&[u8]]) -> Vec<(LinePrefix, Candidate)> {
    let mut tried: Vec<(LinePrefix, Candidate)> = prefixes
        .iter()
        .filter_map(|log_line_prefix| {
            let prefix = LinePrefix::parse(log_line_prefix).ok()?;
            let explained_count = lines
                .iter()
                .filter(|line| head::read(&prefix, line).is_some())
                .count();
            let candidate = Candidate {
                log_line_prefix: (*log_line_prefix).to_owned(),
                explained_count,
            };
            (explained_count > 0).then_some((prefix, candidate))
        })
        .collect();
    tried.sort_by_key(|(_, candidate)| std::cmp::Reverse(candidate.explained_count));
    tried
}

/// The prefix that can be made up from the lines, how many it explains, and the columns that it doesn't tell.
fn inferred(lines: &[&[u8]]) -> Option<(LinePrefix, Candidate, Vec<&'static str>)> {
    let heads: Vec<&[u8]> = lines
        .iter()
        .filter_map(|line| Some(labels(line, LABEL_WINDOW_BYTES).next()?.before))
        .collect();
    infer::infer(&heads)
        .into_iter()
        .filter_map(|inferred| {
            let (prefix, candidate) = explained_by(&[&inferred.log_line_prefix], lines).pop()?;
            Some((prefix, candidate, inferred.untold))
        })
        .rev()
        .max_by_key(|(_, candidate, _)| candidate.explained_count)
}

/// Lines that should begin with a prefix: no continuations, and a label not far from the beginning. The last line may be cut and is left out.
fn head_lines(first_bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first_bytes = text::without_byte_order_mark(first_bytes);
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
        check("\u{feff}LOG:  x\n", Some(LogFormat::Stderr));
        check("\u{feff}{\"timestamp\":\"2026", Some(LogFormat::Jsonlog));
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
            Some("%m %*%% [%p] "),
            &["session_line_num", "leader_pid", "query_id"],
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
            .map(|candidate| {
                (
                    candidate.log_line_prefix.as_str(),
                    candidate.explained_count,
                )
            })
            .collect();
        assert_eq!(told, [("", 2), ("%m [%p] ", 1)]);
    }
}

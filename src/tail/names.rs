//! What a file's name says: whether it is a log, which format it holds, whether rotation or a compressor renamed it.
//!
//! PostgreSQL's names (`log_filename`, with `.csv` and `.json` in place of `.log`; manual, section 20.8.1), logrotate's (`.1`, `-20261120`),
//! those of hosted servers (`postgresql.log.2026-11-20-07`) and compressors' (`.gz`). Names are hints: what a file is, its content says.

use crate::model::position::LogFormat;

/// Compressors whose files can be read. Others' are no logs: their bytes would be read as they are.
const COMPRESSED: [&str; 4] = [".gz", ".zst", ".bz2", ".xz"];

/// `postgresql.log` of `postgresql.log.2.gz`: the name without what a compressor or rotation appended. Names whose own ending holds the date
/// (`postgresql-2026-11-20_072749.log`) stay as they are.
pub(super) fn base_name(name: &str) -> &str {
    let plain = uncompressed_name(name);
    let base = plain.trim_end_matches(is_rotation_char);
    match plain.get(base.len()..) {
        Some(suffix) if suffix.starts_with(['.', '-']) => base,
        _ => plain,
    }
}

/// Whether a folder's file of that name is taken for a log.
pub(super) fn is_log(name: &str) -> bool {
    let base = base_name(name);
    !name.starts_with('.') && (format_hint(name).is_some() || base.starts_with("syslog"))
}

/// The format that the name tells: `.json`, `.csv` or `.log`, before what rotation appended.
pub(super) fn format_hint(name: &str) -> Option<LogFormat> {
    let (_, extension) = base_name(name).rsplit_once('.')?;
    match extension {
        "json" => Some(LogFormat::Jsonlog),
        "csv" => Some(LogFormat::Csvlog),
        "log" => Some(LogFormat::Stderr),
        _ => None,
    }
}

/// Whether `name` is a name that rotation or compression gives to a file called `original`.
pub(super) fn is_rotated_form(name: &str, original: &str) -> bool {
    uncompressed_name(name)
        .strip_prefix(original)
        .is_some_and(|suffix| {
            name.len() > original.len()
                && (suffix.is_empty()
                    || suffix.starts_with(['.', '-']) && suffix.chars().all(is_rotation_char))
        })
}

fn uncompressed_name(name: &str) -> &str {
    COMPRESSED
        .iter()
        .find_map(|extension| name.strip_suffix(extension))
        .unwrap_or(name)
}

fn is_rotation_char(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '.' | '-' | '_')
}

/// Whether `name` matches a shell pattern of `*`, `?` and `[a-z]` or `[!a-z]`.
pub(super) fn glob_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // After a mismatch the last star takes one character more: linear space, no recursion that a pattern could blow up.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match (pattern.get(p), name.get(n)) {
            (Some('*'), _) => {
                retry = Some((p, n));
                p += 1;
                continue;
            }
            (Some('?'), Some(_)) => Some(1),
            (Some('['), Some(&c)) => set_matches(pattern.get(p..).unwrap_or_default(), c),
            (Some(wanted), Some(c)) if wanted == c => Some(1),
            _ => None,
        };
        match (step, retry) {
            (Some(width), _) => {
                p += width;
                n += 1;
            }
            (None, Some((star, from))) => {
                retry = Some((star, from + 1));
                p = star + 1;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

/// Width of the bracket expression that `pattern` starts with if `c` is in it; a bracket without its end is a plain character.
fn set_matches(pattern: &[char], c: char) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    let Some(len) = pattern
        .iter()
        .skip(start + 1)
        .position(|c| *c == ']')
        .map(|at| at + 1)
    else {
        return (c == '[').then_some(1);
    };
    let set = pattern.get(start..start + len).unwrap_or_default();
    let mut found = false;
    let mut i = 0;
    while let Some(&low) = set.get(i) {
        match (set.get(i + 1), set.get(i + 2)) {
            (Some('-'), Some(&high)) => {
                found |= (low..=high).contains(&c);
                i += 3;
            }
            _ => {
                found |= low == c;
                i += 1;
            }
        }
    }
    (found != negated).then_some(start + len + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_logs() {
        let check = |name, base, log, format| {
            assert_eq!(
                (base_name(name), is_log(name), format_hint(name)),
                (base, log, format),
                "{name}"
            );
        };
        let (stderr, csv, json) = (
            Some(LogFormat::Stderr),
            Some(LogFormat::Csvlog),
            Some(LogFormat::Jsonlog),
        );
        check("postgresql.log", "postgresql.log", true, stderr);
        check(
            "postgresql-15-main.log.2.gz",
            "postgresql-15-main.log",
            true,
            stderr,
        );
        check(
            "postgresql-2026-11-20_072749.log",
            "postgresql-2026-11-20_072749.log",
            true,
            stderr,
        );
        check("postgresql-Fri.csv.zst", "postgresql-Fri.csv", true, csv);
        check("postgresql.log.1.bz2", "postgresql.log", true, stderr);
        check("a.json.xz", "a.json", true, json);
        check("postgresql.log-20261120", "postgresql.log", true, stderr);
        check(
            "postgresql.log.2026-11-20-07",
            "postgresql.log",
            true,
            stderr,
        );
        check(
            "postgresql.log.2026-11-20-07.csv",
            "postgresql.log.2026-11-20-07.csv",
            true,
            csv,
        );
        check("a.json.1", "a.json", true, json);
        check("syslog", "syslog", true, None);
        check("syslog.3.gz", "syslog", true, None);
        check(".a.log.swp", ".a.log.swp", false, None);
        check(".a.log", ".a.log", false, stderr);
        check("current_logfiles", "current_logfiles", false, None);
        check("notes.txt", "notes.txt", false, None);
        check("1234", "1234", false, None);
        check("", "", false, None);
    }

    #[test]
    fn rotated_forms() {
        let check =
            |name, expected| assert_eq!(is_rotated_form(name, "pg.log"), expected, "{name}");
        check("pg.log", false);
        check("pg.log.1", true);
        check("pg.log.gz", true);
        check("pg.log-20261120.zst", true);
        check("pg.log.old", false);
        check("pg.log2", false);
        check("other.log.1", false);
    }

    #[test]
    fn globs() {
        let check = |pattern, name, expected| {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern} {name}");
        };
        check("*.log", "a.log", true);
        check("*.log", "a.log.1", false);
        check("a?c*", "abc", true);
        check("a?c*", "ac", false);
        check("*a*b*c", "xxaxxbxxbxc", true);
        check("pg[0-9].log", "pg7.log", true);
        check("pg[!0-9].log", "pg7.log", false);
        check("pg[]x].log", "pg].log", true);
        check("pg[", "pg[", true);
        check("", "", true);
        check("*", "", true);
        check("ü*", "üb", true);
    }
}

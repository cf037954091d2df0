//! A head in the middle of a line: what a torn record leaves where another session's record was written behind its last byte.
//!
//! A pipe takes no more than 4096 bytes at once whole. Of a longer record whatever fits is written, then other processes may write theirs, so
//! that a record begins behind any byte of another. The bytes of a line come in; the place where a head of the prefix begins goes out. That is
//! evidence of a torn record only where nothing that a client wrote can stand: statements hold whatever they like.

use super::super::head::{self, Head, HeadLine};
use super::super::line_prefix::{Item, LinePrefix};
use super::super::severity::{Label, labels};

/// Labels of a line, and beginnings before each, that are looked at. They bound the work on a statement made of them.
const MAX_LABELS: usize = 8;
const MAX_BEGINNINGS: usize = 16;
/// The same within the names of a head: two names of 63 bytes, as the server cuts them, with what stands around them.
const MAX_BEGINNINGS_IN_NAMES: usize = 160;

/// A head that begins in the middle of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glued {
    /// Where in the line it begins.
    pub(super) at: usize,
    /// Several beginnings fit, as of a number whose first digits may be those of another.
    pub(super) is_ambiguous: bool,
}

/// The first head in `bytes`, wherever it begins. Only heads with a time or a process are looked for: anything looks like one without.
pub(super) fn find(prefix: &LinePrefix, bytes: &[u8]) -> Option<Glued> {
    if !prefix.is_anchored() {
        return None;
    }
    labels(bytes, usize::MAX)
        .filter(|found| matches!(found.label, Label::Severity(_)))
        .take(MAX_LABELS)
        .find_map(|found| ending_at(prefix, found.before))
}

/// A head that ends with `before`.
fn ending_at(prefix: &LinePrefix, before: &[u8]) -> Option<Glued> {
    let mut heads = heads(prefix, before, MAX_BEGINNINGS);
    let (at, _) = heads.next()?;
    Some(Glued {
        at,
        is_ambiguous: heads.next().is_some(),
    })
}

/// Whether `line` begins with the end of a head whose first bytes were written elsewhere: with as many of the last record's head before it, it
/// reads as one.
pub(super) fn ends_head(prefix: &LinePrefix, last_head: &[u8], line: &[u8]) -> bool {
    let ends = |end: &[u8]| {
        (1..last_head.len())
            .filter_map(|len| last_head.get(..len))
            .any(|begin| head::printed_by(prefix, &[begin, end].concat()).is_some())
    };
    prefix.is_anchored()
        && labels(line, prefix.max_head_bytes())
            .filter(|found| matches!(found.label, Label::Severity(_)))
            .take(MAX_LABELS)
            .any(|found| !found.before.is_empty() && ends(found.before))
}

/// Whether names in the head of `found` hold the end of another session's head, or the head reads as another session's. A head that shares the
/// time and the process is none: where a prefix begins with a name, what stands behind the name's first byte is a head as well.
pub(super) fn is_of_another(prefix: &LinePrefix, found: &HeadLine<'_>) -> bool {
    let is_another = |head: Head<'_>| !head.is_anchored_as(&found.head);
    let Some(names) = found
        .head
        .names_at
        .and_then(|at| found.before.get(at + 1..))
    else {
        return false;
    };
    let mut heads = heads(prefix, names, MAX_BEGINNINGS_IN_NAMES)
        .map(|(_, head)| head)
        .peekable();
    heads.peek().is_some()
        && (heads.any(is_another)
            || [true, false]
                .into_iter()
                .filter_map(|longest| head::printed_with_names(prefix, found.before, longest))
                .any(is_another))
}

/// The heads that end with `before`, and where in it they begin, earliest first: of the `most` places nearest to its end where one may begin.
fn heads<'a>(
    prefix: &LinePrefix,
    before: &'a [u8],
    most: usize,
) -> impl Iterator<Item = (usize, Head<'a>)> {
    let earliest = before.len().saturating_sub(prefix.max_head_bytes());
    let head_from = |at: usize| before.get(at..).filter(|head| may_begin(prefix, head));
    let mut nearest: Vec<(usize, &[u8])> = (earliest..before.len())
        .rev()
        .filter_map(|at| Some((at, head_from(at)?)))
        .take(most)
        .collect();
    nearest.reverse();
    nearest
        .into_iter()
        .filter_map(|(at, head)| Some((at, head::printed_by(prefix, head)?)))
}

/// Whether the head's beginning fits, up to the first text that may be anything.
fn may_begin(prefix: &LinePrefix, head: &[u8]) -> bool {
    let mut rest = head;
    for item in &prefix.items {
        let after = match item {
            Item::Literal(text) => rest.strip_prefix(text.as_slice()),
            Item::Escape { escape, width: 0 } => match escape.grammar() {
                Some(grammar) => grammar(rest).ok().map(|(after, _)| after),
                None => return true,
            },
            Item::Escape { .. } | Item::SessionOnly => return true,
        };
        match after {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn heads_in_the_middle_of_a_line() {
        let check = |setting: &str, line: &str, expected: Option<(usize, bool)>| {
            let prefix = LinePrefix::parse(setting).unwrap();
            let found = find(&prefix, line.as_bytes());
            assert_eq!(
                found.map(|found| (found.at, found.is_ambiguous)),
                expected,
                "{setting:?} {line:?}"
            );
        };
        let debian = "%m [%p] %q%u@%d ";
        let head = "2026-11-20 07:31:34.842 UTC [9] a@b ";
        check(debian, &format!("x{head}LOG:  y"), Some((1, false)));
        check(debian, &format!("{head}LOG:  y"), Some((0, false)));
        check(
            debian,
            &format!("2026-11-20 07:31:34.2026-11-20 07:31:{head}ERROR:  y"),
            Some((37, false)),
        );
        check(debian, "LOG:  x 07:31:34.842 UTC [9] a@b LOG:  y", None);
        check(debian, &format!("x{head}LOG: y"), None);
        check(debian, &format!("x{head}DETAIL:  y"), None);
        check(
            debian,
            &format!("LOG:  a x{head}LOG:  y{head}LOG:  z"),
            Some((9, false)),
        );
        check("[%p]", "abc[12]LOG:  y", Some((3, false)));
        check("%p ", "abc12 LOG:  y", Some((3, true)));
        check("", "abc LOG:  y", None);
        check("%u@%d ", "abc a@b LOG:  y", None);
    }

    #[test]
    fn a_statement_of_look_alikes_takes_bounded_work() {
        let begin = std::time::Instant::now();
        for setting in ["%p %u@%d %a ", "[%p] %u@%d/%a x ", "%u@%d %p "] {
            let prefix = LinePrefix::parse(setting).unwrap();
            let line = "1 [1] 1 @/ @ LOG:  ".repeat(50);
            for _ in 0..200 {
                find(&prefix, line.as_bytes());
            }
            find(&prefix, "x 1 @ LOG:  ".repeat(100_000).as_bytes());
        }
        // Milliseconds where the work is bounded, minutes where it isn't.
        assert!(begin.elapsed() < std::time::Duration::from_secs(20));
    }
}

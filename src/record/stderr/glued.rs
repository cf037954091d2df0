//! A head in the middle of a line: what a torn record leaves where another session's record was written behind its last byte.
//!
//! A pipe takes no more than 4096 bytes at once whole. Of a longer record whatever fits is written, then other processes may write theirs, so
//! that a record begins behind any byte of another. The bytes of a line come in; the place where a head of the prefix begins goes out. That is
//! evidence of a torn record only where nothing that a client wrote can stand: statements hold whatever they like.

use super::super::head;
use super::super::line_prefix::{Item, LinePrefix};
use super::super::severity::{Label, labels};

/// Labels of a line that are looked at. Bounds the work on a statement made of them.
const MAX_LABELS: usize = 64;

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
pub(super) fn ending_at(prefix: &LinePrefix, before: &[u8]) -> Option<Glued> {
    let earliest = before.len().saturating_sub(prefix.max_head_bytes());
    let mut places = (earliest..before.len()).filter(|at| {
        before
            .get(*at..)
            .is_some_and(|head| may_begin(prefix, head) && head::is_printed_by(prefix, head))
    });
    let at = places.next()?;
    Some(Glued {
        at,
        is_ambiguous: places.next().is_some(),
    })
}

/// A cheap look at the first bytes.
fn may_begin(prefix: &LinePrefix, head: &[u8]) -> bool {
    match prefix.items.first() {
        Some(Item::Literal(text)) => head.starts_with(text),
        Some(Item::Escape { escape, width: 0 }) if escape.begins_with_year() => {
            head.get(4) == Some(&b'-') && head.get(7) == Some(&b'-')
        }
        Some(Item::Escape { escape, width: 0 }) if escape.is_log_time() => {
            head.first().is_some_and(u8::is_ascii_digit)
        }
        _ => true,
    }
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
    fn a_line_of_labels_takes_bounded_work() {
        let prefix = LinePrefix::parse("%q%u@%d %p ").unwrap();
        let line = "x LOG:  ".repeat(200_000);
        assert_eq!(find(&prefix, line.as_bytes()), None);
    }
}

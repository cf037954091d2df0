//! Torn records whose rest has not come: how their plans ended, so that the rest is known when it comes.
//!
//! The ends of torn records come in, and lines that may be their rest; which lines are goes out. Forgotten when the session writes its next
//! record, when the plan's last line has come, or after a mebibyte of log: a pipe holds far less. A restart forgets them too; the rests are
//! then lines without a head.

use super::plan_line::{self, PlanLine};

/// Log bytes after which a rest doesn't come any more: the process was killed, or a signal cut its write short.
const FORGET_AFTER_BYTES: u64 = 1 << 20;
/// More of one line isn't kept.
const MAX_PARTIAL_BYTES: usize = 1 << 20;
/// Torn records that are waited for at once.
const MAX_MISSING: usize = 64;

/// The rests that are missing, oldest first.
#[derive(Debug, Default)]
pub(super) struct Missing(Vec<Torn>);

/// A record whose beginning was read.
#[derive(Debug)]
pub(super) struct Torn {
    /// Of the head, where it was whole.
    pub(super) process_id: Option<i32>,
    /// Its last whole line, where it is a plan in JSON.
    pub(super) last_line: Option<PlanLine>,
    /// What was written of the line after it, behind its tab; `None` before the tab.
    pub(super) partial: Option<Vec<u8>>,
    pub(super) end_bytes: u64,
}

/// Bytes that may be the rest of a torn record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Without the tab of a continuation.
    pub(super) text: &'a [u8],
    pub(super) has_tab: bool,
}

impl Missing {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, torn: Torn) {
        if self.0.len() == MAX_MISSING {
            self.0.remove(0);
        }
        self.0.push(torn);
    }

    /// Bytes that explain nothing end at `end_bytes`: something else was torn, its beginning too short to be known.
    pub(super) fn add_unknown(&mut self, end_bytes: u64) {
        self.add(Torn {
            process_id: None,
            last_line: None,
            partial: None,
            end_bytes,
        });
    }

    /// A record of that process begins at `start_bytes`: the process has written all that came before.
    pub(super) fn next_record(&mut self, process_id: Option<i32>, start_bytes: u64) {
        self.0.retain(|torn| {
            (torn.process_id.is_none() || torn.process_id != process_id)
                && start_bytes.saturating_sub(torn.end_bytes) <= FORGET_AFTER_BYTES
        });
    }

    /// Whether this goes on where a plan was torn and ends that line.
    pub(super) fn would_take_line(&self, piece: Piece<'_>) -> bool {
        self.next_line(piece).is_some()
    }

    /// As [`Missing::would_take_line`]; if so it is taken for the plan's next line.
    pub(super) fn take_line(&mut self, piece: Piece<'_>) -> bool {
        let Some((index, line)) = self.next_line(piece) else {
            return false;
        };
        if line.ends_plan() {
            self.0.remove(index);
        } else if let Some(torn) = self.0.get_mut(index) {
            torn.last_line = Some(line);
            torn.partial = None;
        }
        true
    }

    /// Whether a plan's line reads as if a torn plan's rest began in it: that plan was torn before a line indented alike.
    pub(super) fn may_begin_in(&self, line: &[u8]) -> bool {
        let begins_in = |torn: &Torn| {
            let next = PlanLine::read(line);
            torn.last_line
                .zip(next)
                .is_some_and(|(last, next)| last.can_precede(next))
        };
        self.0.iter().any(begins_in)
    }

    /// A line that is none of a plan: the rest of one may have been written behind the beginning of another one's line.
    pub(super) fn take_end_of(&mut self, line: &[u8]) {
        /// Longer lines hold texts, whose ends tell nothing.
        const MAX_LINE_BYTES: usize = 512;
        if line.len() > MAX_LINE_BYTES {
            return;
        }
        for from in 1..line.len() {
            let text = line.get(from..).unwrap_or_default();
            if self.take_line(Piece {
                text,
                has_tab: false,
            }) {
                return;
            }
        }
    }

    fn next_line(&self, piece: Piece<'_>) -> Option<(usize, PlanLine)> {
        self.0.iter().enumerate().find_map(|(index, torn)| {
            let last = torn.last_line?;
            let line = PlanLine::read(&torn.joined(piece)?)?;
            last.can_precede(line).then_some((index, line))
        })
    }

    /// As [`Missing::take_line`] for a line that was torn once more, where no text of a client stands.
    pub(super) fn take_part(&mut self, piece: Piece<'_>) -> bool {
        let part = |torn: &Torn| {
            torn.last_line?;
            let part = torn.joined(piece)?;
            plan_line::ends_outside_values(&part).then_some(part)
        };
        let Some((torn, part)) = self.0.iter_mut().find_map(|torn| {
            let part = part(torn)?;
            Some((torn, part))
        }) else {
            return false;
        };
        torn.partial = Some(part);
        true
    }
}

impl Torn {
    /// What was written of the line with the piece behind it; `None` where one of them lacks the tab or both have it.
    fn joined(&self, piece: Piece<'_>) -> Option<Vec<u8>> {
        match &self.partial {
            Some(partial) if !piece.has_tab && partial.len() <= MAX_PARTIAL_BYTES => {
                Some([partial, piece.text].concat())
            }
            None if piece.has_tab => Some(piece.text.to_vec()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn the_rest_of_a_plan_is_known_by_its_lines() {
        let line = |text: &str| PlanLine::read(text.as_bytes()).unwrap();
        let piece = |has_tab, text: &'static str| Piece {
            text: text.as_bytes(),
            has_tab,
        };
        let torn = |partial: Option<&str>| {
            let mut missing = Missing::default();
            missing.add(Torn {
                process_id: Some(1),
                last_line: Some(line("    \"a\": 1,")),
                partial: partial.map(|text| text.as_bytes().to_vec()),
                end_bytes: 0,
            });
            missing
        };
        let mut missing = torn(Some("    \"Actual St"));
        assert!(!missing.take_line(piece(true, "artup Time\": 1")));
        assert!(!missing.take_line(piece(false, "artup Time\" 1")));
        assert!(!missing.take_line(piece(true, "    \"b\": 1")));
        assert!(missing.take_part(piece(false, "ar")));
        assert!(!missing.take_part(piece(false, "tup Time\": \"lit")));
        assert!(missing.take_line(piece(false, "tup Time\": 1")));
        assert!(!missing.take_line(piece(true, "    \"b\": 1")));
        assert!(missing.take_line(piece(true, "  }")));
        assert!(missing.take_line(piece(true, "}")));
        assert!(missing.is_empty());

        let mut missing = torn(None);
        assert!(!missing.take_line(piece(false, "    \"b\": 1")));
        assert!(missing.take_line(piece(true, "    \"b\": 1")));

        let mut missing = torn(None);
        missing.next_record(Some(2), 1 << 20);
        assert!(!missing.is_empty());
        missing.next_record(Some(1), 5);
        assert!(missing.is_empty());
        let mut missing = torn(None);
        missing.next_record(Some(2), (1 << 20) + 1);
        assert!(missing.is_empty());
    }
}

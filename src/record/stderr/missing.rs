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

/// The rests that are missing.
///
/// Which rest is whose is often not told by its bytes: plans that look alike go on alike. Told is how many there are. A rest that was taken for
/// more of another session's record leaves that record's own rest missing, so that there are as many as before, of one record more that it may be.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Records whose rests may be missing, oldest first.
    torn: Vec<Torn>,
    /// How many of them are.
    count: usize,
}

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
    /// Lines of its rest may have been taken for another's, or another's for its: anything of it may come.
    pub(super) is_uncertain: bool,
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
        self.torn.is_empty()
    }

    pub(super) fn add(&mut self, torn: Torn) {
        self.push(torn);
        self.count += 1;
    }

    /// Bytes that explain nothing end at `end_bytes`: something else was torn, its beginning too short to be known.
    pub(super) fn add_unknown(&mut self, end_bytes: u64) {
        self.add(Torn::uncertain(None, end_bytes));
    }

    /// A rest that is missing may have been taken for more of that process's record: then it is that record's which is missing.
    pub(super) fn add_instead(&mut self, process_id: Option<i32>) {
        // Not later than the tears themselves: what never comes isn't waited for the longer because of what was written meanwhile.
        if let Some(end_bytes) = self.torn.iter().map(|torn| torn.end_bytes).max() {
            self.push(Torn::uncertain(process_id, end_bytes));
        }
    }

    fn push(&mut self, torn: Torn) {
        if self.torn.len() == MAX_MISSING {
            self.torn.remove(0);
            self.count = self.count.min(self.torn.len());
        }
        self.torn.push(torn);
    }

    /// A record of that process begins at `start_bytes`: the process has written all that came before.
    pub(super) fn next_record(&mut self, process_id: Option<i32>, start_bytes: u64) {
        self.torn.retain(|torn| {
            (torn.process_id.is_none() || torn.process_id != process_id)
                && start_bytes.saturating_sub(torn.end_bytes) <= FORGET_AFTER_BYTES
        });
        self.count = self.count.min(self.torn.len());
    }

    /// Whether this goes on where a plan was torn and ends that line.
    pub(super) fn would_take_line(&self, piece: Piece<'_>) -> bool {
        self.torn.iter().any(|torn| torn.next_line(piece).is_some())
    }

    /// As [`Missing::would_take_line`]; if so it is taken for the plan's next line.
    pub(super) fn take_line(&mut self, piece: Piece<'_>) -> bool {
        let mut takers = self
            .torn
            .iter_mut()
            .enumerate()
            .filter_map(|(index, torn)| Some((index, torn.next_line(piece)?, torn)));
        let Some((index, line, taker)) = takers.next() else {
            return self.take_any_line(piece);
        };
        for (_, _, other) in takers {
            (taker.is_uncertain, other.is_uncertain) = (true, true);
        }
        self.take(index, line);
        true
    }

    /// As [`Missing::take_line`], of a record of which any line may come.
    fn take_any_line(&mut self, piece: Piece<'_>) -> bool {
        let line = PlanLine::read(piece.text).filter(|_| piece.has_tab);
        let is_of_any = |torn: &Torn| torn.is_uncertain && torn.last_line.is_none();
        let Some((index, line)) = self.torn.iter().position(is_of_any).zip(line) else {
            return false;
        };
        self.take(index, line);
        true
    }

    /// The plan at `index` goes on with `line`.
    fn take(&mut self, index: usize, line: PlanLine) {
        let ends_plan = line.ends_plan();
        self.count -= usize::from(ends_plan && self.count > 0);
        if self.count == 0 {
            self.torn.clear();
            return;
        }
        let Some(torn) = self.torn.get_mut(index) else {
            return;
        };
        if ends_plan && !torn.is_uncertain {
            self.torn.remove(index);
        } else {
            torn.last_line = (!ends_plan).then_some(line);
            torn.partial = None;
        }
    }

    /// Whether a plan's line reads as if the rest of a torn record began in it: a plan's that was torn before a line indented alike, or one of
    /// which anything may come. Whose rest goes on after it isn't certain then.
    pub(super) fn may_begin_in(&mut self, line: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        let next = PlanLine::read(line);
        let mut may_begin = false;
        for torn in &mut self.torn {
            let is_next = torn
                .last_line
                .zip(next)
                .is_some_and(|(last, next)| last.can_precede(next));
            torn.is_uncertain |= is_next;
            may_begin |= torn.is_uncertain;
        }
        may_begin
    }

    /// Whether anything may come of one of them.
    pub(super) fn is_uncertain(&self) -> bool {
        self.torn.iter().any(|torn| torn.is_uncertain)
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

    /// As [`Missing::take_line`] for a line that was torn once more, where no text of a client stands.
    pub(super) fn take_part(&mut self, piece: Piece<'_>) -> bool {
        let part = |torn: &Torn| {
            torn.last_line?;
            let part = torn.joined(piece)?;
            plan_line::ends_outside_values(&part).then_some(part)
        };
        let mut takers = self.torn.iter_mut().filter_map(|torn| {
            let part = part(torn)?;
            Some((torn, part))
        });
        let Some((torn, part)) = takers.next() else {
            return false;
        };
        for (other, _) in takers {
            (torn.is_uncertain, other.is_uncertain) = (true, true);
        }
        torn.partial = Some(part);
        true
    }
}

impl Torn {
    /// One of which anything may come.
    fn uncertain(process_id: Option<i32>, end_bytes: u64) -> Self {
        Self {
            process_id,
            last_line: None,
            partial: None,
            end_bytes,
            is_uncertain: true,
        }
    }

    /// The plan's next line, if that is what the piece ends.
    fn next_line(&self, piece: Piece<'_>) -> Option<PlanLine> {
        let last = self.last_line?;
        let line = PlanLine::read(&self.joined(piece)?)?;
        last.can_precede(line).then_some(line)
    }

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
                is_uncertain: false,
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

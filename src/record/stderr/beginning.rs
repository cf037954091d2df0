//! Records of which only the beginning of the first line was written before another session's bytes came.
//!
//! The line with what there is of the first line comes in, or the one that its rest begins with; where the record is torn goes out, and the
//! record before is flagged where the beginning stands in it. Tears within a plan are not known here.

use super::super::Assembled;
use super::super::assemble::Line;
use super::super::head::HeadLine;
use super::super::severity::Label;
use super::missing::{Piece, Torn};
use super::open::{Kind, Open};
use super::{Lines, body, glued};

impl Lines {
    /// Where in the message of a plan that has just begun the next line of another plan stands, which was torn before that line.
    pub(super) fn rest_in_message(
        &mut self,
        found: &HeadLine<'_>,
        sink: &mut dyn FnMut(Assembled),
    ) -> Option<usize> {
        let at = found.text.iter().position(|byte| *byte == b'\t')?;
        let begins_plan = body::begins_plan_message(found.text.get(..at)?);
        if !begins_plan || !matches!(found.label, Label::Severity(_)) {
            return None;
        }
        // The record before may be the one whose rest this is.
        self.close(sink);
        let piece = Piece {
            text: found.text.get(at + 1..)?,
            has_tab: true,
        };
        self.missing.would_take_line(piece).then_some(at)
    }

    /// A plan's record that is torn before the plan, `line` being what was written of it.
    pub(super) fn torn_in_message(
        &mut self,
        process_id: Option<i32>,
        line: Line<'_>,
        sink: &mut dyn FnMut(Assembled),
    ) {
        self.close(sink);
        self.missing.add(Torn {
            process_id,
            last_line: None,
            partial: None,
            end_bytes: line.end_bytes,
            is_uncertain: false,
        });
        self.stretch(line, Kind::Torn, sink);
    }

    /// A line without a head: where it is the end of one, the beginning was written into another record, where a few bytes more in a text or a
    /// number don't show. Most often that is the record before.
    pub(super) fn end_of_head(&mut self, line: Line<'_>) {
        if let Open::Record(open) = &mut self.open
            && open.is_longer_than_a_pipe_takes()
            && glued::ends_head(&self.prefix, &self.head, line.bytes)
        {
            open.entry.record.flags.ambiguous = true;
            self.missing.add_unknown(line.end_bytes);
        }
    }
}

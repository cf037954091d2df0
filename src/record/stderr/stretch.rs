//! Lines that are no record: those without a head, the beginnings of torn records that are too short to be one, and their rests.
//!
//! Such a line comes in; it begins a stretch or makes the open one longer. A stretch goes to the sink as one range when something else begins.

use jiff::Timestamp;

use super::super::assemble::Line;
use super::super::{Assembled, UnparsedReason};
use super::missing::Piece;
use super::{Lines, Open, glued};

/// Lines that are no record.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub(super) start_bytes: u64,
    pub(super) end_bytes: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unparsed(UnparsedReason),
    Torn,
    Rest,
}

impl Lines {
    /// A line of no record, or of one that was torn before.
    pub(super) fn stray(
        &mut self,
        line: Line<'_>,
        reason: UnparsedReason,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        let tab = line.bytes.strip_prefix(b"\t");
        if tab.is_none() {
            self.close(sink);
        }
        let piece = Piece {
            text: tab.unwrap_or(line.bytes),
            has_tab: tab.is_some(),
        };
        let kind = match self.missing.is_empty() {
            true => Kind::Unparsed(reason),
            false => Kind::Rest,
        };
        if self.missing.take_line(piece) {
            self.stretch(line, Kind::Rest, sink);
            return;
        }
        let Some(glued) = glued::find(&self.prefix, piece.text) else {
            if kind == Kind::Rest && !piece.has_tab {
                self.missing.add_unknown(line.end_bytes);
            }
            self.stretch(line, kind, sink);
            return;
        };
        let (before, after) = line.split(glued.at + usize::from(piece.has_tab));
        let part = Piece {
            text: piece.text.get(..glued.at).unwrap_or_default(),
            ..piece
        };
        let is_proven = self.missing.take_part(part);
        if !is_proven {
            self.missing.add_unknown(before.end_bytes);
        }
        let kind = match kind {
            Kind::Rest => Kind::Rest,
            Kind::Torn | Kind::Unparsed(_) => Kind::Torn,
        };
        self.stretch(before, kind, sink);
        self.head_after(after, !is_proven || glued.is_ambiguous, read_at, sink);
    }

    /// A line that is no record's, or no longer.
    pub(super) fn stretch(&mut self, line: Line<'_>, kind: Kind, sink: &mut dyn FnMut(Assembled)) {
        let stretch = Stretch {
            start_bytes: line.start_bytes,
            end_bytes: line.end_bytes,
            kind,
        };
        let max_bytes = self.max_record_bytes as u64;
        match &mut self.open {
            Open::Record(open) => {
                let foreign = open.foreign.get_or_insert(stretch);
                foreign.end_bytes = line.end_bytes;
            }
            Open::Stretch(open)
                if open.kind == Kind::Rest && kind == Kind::Rest
                    || line.bytes.starts_with(b"\t")
                        && line.end_bytes - open.start_bytes <= max_bytes =>
            {
                open.end_bytes = line.end_bytes;
            }
            Open::Stretch(_) | Open::Nothing => {
                self.close(sink);
                self.open = Open::Stretch(stretch);
            }
        }
    }
}

impl Stretch {
    pub(super) fn assembled(self) -> Assembled {
        let Self {
            start_bytes,
            end_bytes,
            kind,
        } = self;
        match kind {
            Kind::Unparsed(reason) => Assembled::Unparsed {
                start_bytes,
                end_bytes,
                reason,
            },
            Kind::Torn => Assembled::Torn {
                start_bytes,
                end_bytes,
                reason: UnparsedReason::Interrupted,
            },
            Kind::Rest => Assembled::Rest {
                start_bytes,
                end_bytes,
            },
        }
    }
}

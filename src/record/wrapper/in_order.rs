//! Lines that follow each other inside of a wrapper as in the file: container logs, exports of cloud services.
//!
//! Physical lines come in; the lines inside, put together where they are in pieces, go to the reader of the inner format. A record's position is that of
//! the physical line in which it begins, and so is the place where reading can start anew.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::model::record::LogRecord;

use super::super::assemble::Line;
use super::super::lines::Lines;
use super::super::{Assembled, UnparsedReason};
use super::{Piece, Stream, Unwrapped};

/// Lines of others that may come within a record; with more the record ends.
const OTHERS_LIMIT: usize = 10_000;

/// Reads the lines of one generation.
pub(in super::super) struct InOrder {
    unwrap: for<'a> fn(&'a [u8]) -> Unwrapped<Piece<'a>>,
    inner: Lines,
    max_record_bytes: usize,
    /// Lines of standard output and standard error whose ends haven't come.
    partial: [Option<Partial>; 2],
    /// Where the physical line begins in which the first record begins that the inner reader hasn't given.
    open_start_bytes: u64,
    /// What came after the beginning of that record and is none of it, with where it begins.
    waiting: VecDeque<(u64, Assembled)>,
}

struct Partial {
    bytes: Vec<u8>,
    start_bytes: u64,
    end_bytes: u64,
    is_cut: bool,
    time: Timestamp,
}

impl InOrder {
    pub(super) fn new(
        unwrap: for<'a> fn(&'a [u8]) -> Unwrapped<Piece<'a>>,
        inner: Lines,
        max_record_bytes: usize,
    ) -> Self {
        Self {
            unwrap,
            inner,
            max_record_bytes,
            partial: [None, None],
            open_start_bytes: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Takes the next line.
    pub(in super::super) fn line(
        &mut self,
        line: Line<'_>,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        let (start_bytes, end_bytes) = (line.start_bytes, line.end_bytes);
        let other = match (self.unwrap)(line.bytes) {
            Unwrapped::Text(piece) => {
                self.piece(&piece, line, sink);
                return;
            }
            Unwrapped::Foreign | Unwrapped::Part => Assembled::Foreign {
                start_bytes,
                end_bytes,
            },
            Unwrapped::NotWrapped => Assembled::Unparsed {
                start_bytes,
                end_bytes,
                reason: UnparsedReason::NotWrapped,
            },
        };
        self.waiting.push_back((start_bytes, other));
        if self.waiting.len() > OTHERS_LIMIT {
            self.finish(read_at, sink);
        }
        self.emit_waiting(sink);
    }

    /// Nothing more comes.
    pub(in super::super) fn finish(&mut self, read_at: Timestamp, sink: &mut dyn FnMut(Assembled)) {
        for at in 0..self.partial.len() {
            if let Some(mut partial) = self.partial.get_mut(at).and_then(Option::take) {
                partial.is_cut = true;
                self.whole(&partial, sink);
            }
        }
        self.inner.finish(read_at, &mut |assembled| {
            sink(with_its_time(assembled));
        });
        self.emit_waiting(sink);
    }

    pub(in super::super) fn pending(&self) -> Vec<LogRecord> {
        if self.partial.iter().any(Option::is_some) {
            return Vec::new();
        }
        let mut records = self.inner.pending();
        for record in &mut records {
            record.flags.time_of_reading = false;
        }
        records
    }

    pub(in super::super) fn ends_unparsed(&self) -> bool {
        self.inner.ends_unparsed()
    }

    pub(in super::super) fn unsettled_from_bytes(&self) -> Option<u64> {
        let open = self
            .inner
            .unsettled_from_bytes()
            .map(|_| self.open_start_bytes);
        let partial = self.partial.iter().flatten().map(|p| p.start_bytes).min();
        let waiting = self.waiting.front().map(|(start_bytes, _)| *start_bytes);
        [open, partial, waiting].into_iter().flatten().min()
    }

    fn piece(&mut self, piece: &Piece<'_>, line: Line<'_>, sink: &mut dyn FnMut(Assembled)) {
        let Some(place) = self.partial.get_mut(match piece.stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        }) else {
            return;
        };
        let partial = place.get_or_insert_with(|| Partial {
            bytes: Vec::new(),
            start_bytes: line.start_bytes,
            end_bytes: line.end_bytes,
            is_cut: false,
            time: piece.time,
        });
        let room = self.max_record_bytes.saturating_sub(partial.bytes.len());
        let text = piece.text.as_ref();
        let (kept, dropped) = text.split_at_checked(room).unwrap_or((text, &[]));
        partial.bytes.extend_from_slice(kept);
        partial.is_cut |= line.is_cut || !dropped.is_empty();
        partial.end_bytes = line.end_bytes;
        if piece.ends_line
            && let Some(whole) = place.take()
        {
            self.whole(&whole, sink);
            self.emit_waiting(sink);
        }
    }

    /// Gives a line, or several that came as one, to the inner reader.
    fn whole(&mut self, whole: &Partial, sink: &mut dyn FnMut(Assembled)) {
        let lines = whole.bytes.split(|byte| *byte == b'\n');
        for (start_bytes, bytes) in (whole.start_bytes..whole.end_bytes).zip(lines) {
            let line = Line {
                bytes,
                start_bytes,
                end_bytes: whole.end_bytes,
                is_cut: whole.is_cut,
                may_hold_label: true,
            };
            self.inner.line(line, false, whole.time, &mut |assembled| {
                sink(with_its_time(assembled));
            });
            if self.inner.unsettled_from_bytes() >= Some(whole.start_bytes) {
                self.open_start_bytes = whole.start_bytes;
            }
        }
    }

    /// Gives the sink what lies before what is open.
    fn emit_waiting(&mut self, sink: &mut dyn FnMut(Assembled)) {
        let open = self.inner.unsettled_from_bytes();
        while let Some((_, assembled)) = self
            .waiting
            .pop_front_if(|(start_bytes, _)| open.is_none_or(|open| *start_bytes < open))
        {
            sink(assembled);
        }
    }
}

/// The time of a record that has none of its own is the wrapper's.
fn with_its_time(assembled: Assembled) -> Assembled {
    match assembled {
        Assembled::Record(mut record) => {
            record.flags.time_of_reading = false;
            Assembled::Record(record)
        }
        other => other,
    }
}

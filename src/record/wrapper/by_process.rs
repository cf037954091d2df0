//! Messages of processes that interleave line by line, as in a syslog file, each put together from its pieces and read by itself.
//!
//! Physical lines come in; records and ranges that are none go out in the order of their first bytes, each when every message that began before it is
//! complete. What the sink got is what lies before the first message that isn't, so that reading can start anew there: pieces of messages that
//! began before that place are then known to have been read.
//!
//! Nothing in a log says that a message is complete. It is when its process begins the next one, or when it has been silent for long enough
//! (`LINES_LIMIT`; `SILENCE` and `SILENCE_LINES`). A piece that comes later still is unparsed, and its record lacks it.

use std::collections::{HashMap, HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::model::record::LogRecord;

use super::super::assemble::Line;
use super::super::{Assembled, UnparsedReason, stderr};
use super::clock::Clock;
use super::journal;
use super::message::{Inside, Message, Place};
use super::sequence::{Sequence, sequence};
use super::{Entry, Reading, SYSLOG_IDENT, Unwrapped};

/// A message is complete when this many lines have come without a piece of it.
const LINES_LIMIT: u64 = 10_000;

/// A message is complete when a line of this much later has come …
const SILENCE: SignedDuration = SignedDuration::from_secs(5);

/// … and this many lines: after a pause of the daemon the messages of all processes arrive mixed.
const SILENCE_LINES: u64 = 64;

/// How physical lines become messages.
pub(super) struct Source {
    pub(super) reading: Reading,
    pub(super) syslog_ident: Option<String>,
    pub(super) written_until: Option<Timestamp>,
}

/// Reads the lines of one generation.
pub(in super::super) struct ByProcess {
    source: Source,
    export: journal::Export,
    inside: Inside,
    reader: stderr::Lines,
    /// What the sink hasn't got, in the order of first bytes.
    queue: VecDeque<Item>,
    /// Number of the first item of the queue.
    first_number: u64,
    /// Number of the message that each process is at.
    open: HashMap<Option<i32>, u64>,
    line_count: u64,
    newest: Timestamp,
    held_bytes: usize,
    /// Where the entry begins whose lines are coming.
    entry_start_bytes: Option<u64>,
    earlier: Option<Earlier>,
}

/// Something that has a place of its own.
enum Item {
    Message(Held),
    Other {
        start_bytes: u64,
        assembled: Assembled,
    },
}

/// A message and what completes it.
struct Held {
    message: Message,
    start_bytes: u64,
    process_id: Option<i32>,
    kind: Kind,
    is_open: bool,
    last_line: u64,
    last_time: Timestamp,
}

/// By what the pieces of a message know each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `[n-m]`, with the last m.
    Numbered { number: u64, chunk: u64 },
    /// `[m]` from 1 on, with the last m.
    Counted { chunk: u64 },
    /// Nothing but the order of lines.
    Plain,
}

/// Reading began in the middle of a log: processes whose first piece may lie before.
struct Earlier {
    begun: HashSet<Option<i32>>,
    last_line: u64,
}

impl ByProcess {
    /// Starts at `offset_bytes` of a generation.
    pub(super) fn new(source: Source, inside: Inside, offset_bytes: u64) -> Self {
        Self {
            source,
            export: journal::Export::new(inside.max_record_bytes),
            reader: inside.reader(),
            inside,
            queue: VecDeque::new(),
            first_number: 0,
            open: HashMap::new(),
            line_count: 0,
            newest: Timestamp::MIN,
            held_bytes: 0,
            entry_start_bytes: None,
            earlier: (offset_bytes > 0).then(|| Earlier {
                begun: HashSet::new(),
                last_line: 0,
            }),
        }
    }

    /// Takes the next line.
    pub(in super::super) fn line(
        &mut self,
        line: Line<'_>,
        read_at: Timestamp,
        sink: &mut dyn FnMut(Assembled),
    ) {
        let start_bytes = *self.entry_start_bytes.get_or_insert(line.start_bytes);
        let place = Place {
            start_bytes,
            end_bytes: line.end_bytes,
            is_cut: line.is_cut,
        };
        let ident = self.source.syslog_ident.as_deref();
        let ident = ident.unwrap_or(SYSLOG_IDENT).as_bytes();
        let unwrapped = match self.source.reading {
            Reading::Entry(unwrap) => {
                let clock = Clock {
                    zone: self.inside.log_timezone.as_ref(),
                    until: self.source.written_until.unwrap_or(read_at),
                };
                unwrap(line.bytes, &clock, ident)
            }
            Reading::JournalExport => self.export.line(line.bytes, ident),
            Reading::Piece(_) => Unwrapped::NotWrapped,
        };
        if matches!(unwrapped, Unwrapped::Part) {
            return;
        }
        self.line_count += 1;
        match unwrapped {
            Unwrapped::Part => {}
            Unwrapped::Text(entry) => self.entry(&entry, place),
            Unwrapped::Foreign => {
                let foreign = Assembled::Foreign {
                    start_bytes,
                    end_bytes: place.end_bytes,
                };
                self.other(start_bytes, foreign);
            }
            Unwrapped::NotWrapped => self.unparsed(place, UnparsedReason::NotWrapped),
        }
        self.entry_start_bytes = None;
        self.emit_complete(sink);
    }

    /// Nothing more comes.
    pub(in super::super) fn finish(&mut self, sink: &mut dyn FnMut(Assembled)) {
        while let Some(item) = self.queue.pop_front() {
            self.emit(item, sink);
        }
        self.open.clear();
        self.export.reset();
        self.entry_start_bytes = None;
    }

    /// The records of all messages that the sink hasn't got, as they are.
    pub(in super::super) fn pending(&self) -> Vec<LogRecord> {
        let mut records = Vec::new();
        let mut reader = self.inside.reader();
        for item in &self.queue {
            if let Item::Message(held) = item {
                held.message.read(&mut reader, &mut |assembled| {
                    if let Assembled::Record(record) = assembled {
                        records.push(*record);
                    }
                });
            }
        }
        records
    }

    pub(in super::super) fn pending_count(&self) -> usize {
        self.queue.len()
    }

    /// First byte of the first message that isn't complete.
    pub(in super::super) fn unsettled_from_bytes(&self) -> Option<u64> {
        let first = self.queue.front().map(|item| match item {
            Item::Message(held) => held.start_bytes,
            Item::Other { start_bytes, .. } => *start_bytes,
        });
        first.or(self.entry_start_bytes)
    }

    /// Whether the next bytes may be those of a binary field.
    pub(in super::super) fn holds_binary(&self) -> bool {
        matches!(self.source.reading, Reading::JournalExport)
    }

    fn entry(&mut self, entry: &Entry<'_>, place: Place) {
        self.newest = self.newest.max(entry.time);
        let (sequence, text) = self.sequence(&entry.text);
        let open = self.open_message(entry.process_id);
        match (sequence, open) {
            (
                Sequence::Chunk { number, chunk },
                Some(Kind::Numbered {
                    number: of,
                    chunk: last,
                }),
            ) if number == of && chunk > last => {
                self.go_on(
                    entry,
                    text,
                    place,
                    Kind::Numbered { number, chunk },
                    chunk > last + 1,
                );
            }
            (Sequence::Chunk { number, chunk: 1 }, _) => {
                self.begin(
                    entry,
                    text,
                    place,
                    Kind::Numbered { number, chunk: 1 },
                    true,
                );
            }
            (Sequence::Chunk { .. }, _) => self.orphan(entry, place),
            (Sequence::Number(chunk), Some(Kind::Counted { chunk: last })) if chunk == last + 1 => {
                self.go_on(entry, text, place, Kind::Counted { chunk }, false);
            }
            (Sequence::Number(1), _) => {
                self.begin(entry, text, place, Kind::Counted { chunk: 1 }, true);
            }
            (Sequence::Number(_), _)
                if text.contains(&b'\n') || self.inside.begins_record(text) =>
            {
                self.begin(entry, text, place, Kind::Plain, false);
            }
            (Sequence::Number(_), _) => self.orphan(entry, place),
            (Sequence::None, open) => {
                let begins = !text.starts_with(b"\t") && self.inside.begins_record(text);
                match open {
                    Some(Kind::Plain) if !begins => {
                        self.go_on(entry, text, place, Kind::Plain, false)
                    }
                    None if text.starts_with(b"\t") => self.orphan(entry, place),
                    _ => self.begin(entry, text, place, Kind::Plain, true),
                }
            }
        }
    }

    /// The numbers of a text and what is after them. A prefix such as `[%p] ` prints what looks like a number.
    fn sequence<'a>(&self, text: &'a [u8]) -> (Sequence, &'a [u8]) {
        match sequence(text) {
            (Sequence::Number(_), _) if self.inside.begins_record(text) => (Sequence::None, text),
            found => found,
        }
    }

    /// The kind of the message that a process is at, if pieces of it may still come.
    fn open_message(&self, process_id: Option<i32>) -> Option<Kind> {
        match self.queue.get(self.index(process_id)?)? {
            Item::Message(held) if held.is_open && !self.is_silent(held) => Some(held.kind),
            _ => None,
        }
    }

    /// Where in the queue the message is that a process is at.
    fn index(&self, process_id: Option<i32>) -> Option<usize> {
        let number = self.open.get(&process_id)?;
        usize::try_from(number.checked_sub(self.first_number)?).ok()
    }

    fn is_silent(&self, held: &Held) -> bool {
        let lines = self.line_count - held.last_line;
        lines > LINES_LIMIT
            || lines > SILENCE_LINES && self.newest.duration_since(held.last_time) >= SILENCE
    }

    fn begin(&mut self, entry: &Entry<'_>, text: &[u8], place: Place, kind: Kind, is_open: bool) {
        let before = self.index(entry.process_id);
        if let Some(Item::Message(before)) = before.and_then(|at| self.queue.get_mut(at)) {
            before.is_open = false;
        }
        if let Some(earlier) = &mut self.earlier {
            earlier.begun.insert(entry.process_id);
        }
        let message = Message::begin(entry, text, place, &self.inside);
        self.held_bytes += size_of::<Item>() + message.size_bytes();
        self.open.insert(
            entry.process_id,
            self.first_number + self.queue.len() as u64,
        );
        self.queue.push_back(Item::Message(Held {
            message,
            start_bytes: place.start_bytes,
            process_id: entry.process_id,
            kind,
            is_open,
            last_line: self.line_count,
            last_time: entry.time,
        }));
    }

    fn go_on(&mut self, entry: &Entry<'_>, text: &[u8], place: Place, kind: Kind, has_hole: bool) {
        let Some(Item::Message(held)) = self
            .index(entry.process_id)
            .and_then(|index| self.queue.get_mut(index))
        else {
            return;
        };
        let before_bytes = held.message.size_bytes();
        if has_hole {
            held.message.has_hole();
        }
        held.message.go_on(text, place, &self.inside);
        held.kind = kind;
        held.last_line = self.line_count;
        held.last_time = entry.time;
        let grown_bytes = held.message.size_bytes() - before_bytes;
        self.held_bytes += grown_bytes;
    }

    /// A piece of a message whose beginning isn't here.
    fn orphan(&mut self, entry: &Entry<'_>, place: Place) {
        match &mut self.earlier {
            Some(earlier) if !earlier.begun.contains(&entry.process_id) => {
                earlier.last_line = self.line_count;
            }
            _ => self.unparsed(place, UnparsedReason::NoRecord),
        }
    }

    fn unparsed(&mut self, place: Place, reason: UnparsedReason) {
        let unparsed = Assembled::Unparsed {
            start_bytes: place.start_bytes,
            end_bytes: place.end_bytes,
            reason,
        };
        self.other(place.start_bytes, unparsed);
    }

    fn other(&mut self, start_bytes: u64, assembled: Assembled) {
        self.held_bytes += size_of::<Item>();
        self.queue.push_back(Item::Other {
            start_bytes,
            assembled,
        });
    }

    /// Gives the sink what nothing before it keeps waiting.
    fn emit_complete(&mut self, sink: &mut dyn FnMut(Assembled)) {
        let most_bytes = self.inside.max_record_bytes.saturating_mul(2);
        while let Some(front) = self.queue.front() {
            let waits = match front {
                Item::Message(held) => held.is_open && !self.is_silent(held),
                Item::Other { .. } => false,
            };
            if waits && self.held_bytes <= most_bytes {
                break;
            }
            if let Some(item) = self.queue.pop_front() {
                self.emit(item, sink);
            }
        }
        if let Some(earlier) = &self.earlier
            && (self.line_count - earlier.last_line > LINES_LIMIT
                || earlier.begun.len() as u64 > LINES_LIMIT)
        {
            self.earlier = None;
        }
    }

    fn emit(&mut self, item: Item, sink: &mut dyn FnMut(Assembled)) {
        let number = self.first_number;
        self.first_number += 1;
        self.held_bytes -= size_of::<Item>();
        match item {
            Item::Message(held) => {
                self.held_bytes -= held.message.size_bytes();
                if self.open.get(&held.process_id) == Some(&number) {
                    self.open.remove(&held.process_id);
                }
                held.message.read(&mut self.reader, sink);
            }
            Item::Other { assembled, .. } => sink(assembled),
        }
    }
}

//! Chunks of a log to lines, and lines to records by the format's reader.
//!
//! In come the bytes of one generation from a record boundary on, cut anywhere; out go records, and ranges that are none, in order and without
//! holes. Where the chunks were cut makes no difference, nor does stopping at a settled offset and starting anew there, except that the rests
//! of records torn before it are then lines without a head. Not known here: what a line of any format looks like.

use jiff::Timestamp;
use memchr::{memchr, memmem};

use crate::model::position::GenerationId;
use crate::model::record::LogRecord;

use super::lines::{Lines, has_odd_quotes};
use super::{Assembled, Config, Layout, UnparsedReason, text};

/// One line, without its line break: a physical one, or one from inside of others, with the offsets of those.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) start_bytes: u64,
    /// First byte after the line break.
    pub(super) end_bytes: u64,
    /// Longer than a record may be, or the last line of a log that ends without a line break: bytes are missing at the end.
    pub(super) is_cut: bool,
    /// Whether a colon and two blanks stand in it, as behind every severity; also where that isn't known.
    pub(super) may_hold_label: bool,
}

impl Line<'_> {
    /// The line as two, the second beginning with the byte `at`.
    pub(super) fn split(self, at: usize) -> (Self, Self) {
        let (before, after) = self.bytes.split_at_checked(at).unwrap_or((self.bytes, &[]));
        let at_bytes = self.start_bytes + before.len() as u64;
        let before = Self {
            bytes: before,
            end_bytes: at_bytes,
            is_cut: false,
            ..self
        };
        let after = Self {
            bytes: after,
            start_bytes: at_bytes,
            ..self
        };
        (before, after)
    }
}

/// Assembles the records of one generation. Holds what isn't a whole record yet, within the limits of [`Config`].
pub struct Assembler {
    lines: Lines,
    max_record_bytes: usize,
    /// The beginning of a line whose end hasn't come, as much as fits.
    partial: Vec<u8>,
    is_cut: bool,
    dropped_odd_quotes: bool,
    /// Where the line begins that comes next or is partial.
    line_start_bytes: u64,
    /// First byte that wasn't pushed yet.
    pushed_bytes: u64,
    /// Where a run of NUL bytes began that goes on.
    nul_start_bytes: Option<u64>,
    read_at: Timestamp,
}

impl Assembler {
    /// Starts at `offset_bytes` of a generation, which has to be a record boundary: 0, or what [`Assembler::settled_bytes`] said.
    pub fn new(
        layout: Layout,
        generation: GenerationId,
        offset_bytes: u64,
        limits: &Config,
    ) -> Self {
        let max = limits.max_record_bytes;
        let lines = Lines::new(
            layout.format,
            layout.time_zone,
            generation,
            offset_bytes,
            max,
        );
        Self {
            lines,
            max_record_bytes: max,
            partial: Vec::new(),
            is_cut: false,
            dropped_odd_quotes: false,
            line_start_bytes: offset_bytes,
            pushed_bytes: offset_bytes,
            nul_start_bytes: None,
            read_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// Takes the bytes that follow those pushed before. `read_at` becomes the time of records that have none of their own.
    pub fn push(&mut self, chunk: &[u8], read_at: Timestamp, sink: &mut dyn FnMut(Assembled)) {
        self.read_at = read_at;
        let mut rest = chunk;
        // One search over the chunk costs much less than one in each of its lines.
        let mut label_ends = memmem::find_iter(chunk, b":  ").peekable();
        while !rest.is_empty() {
            let begins_line = self.line_start_bytes == self.pushed_bytes;
            if begins_line
                && !self.lines.holds_binary()
                && let Some(after) = self.skip_nul(rest, sink)
            {
                rest = after;
                continue;
            }
            let Some((bytes, after)) =
                memchr(b'\n', rest).and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?)))
            else {
                self.keep(rest);
                self.pushed_bytes += rest.len() as u64;
                return;
            };
            self.pushed_bytes += bytes.len() as u64 + 1;
            if begins_line && bytes.len() <= self.max_record_bytes {
                let from = chunk.len() - rest.len();
                while label_ends.next_if(|at| *at < from).is_some() {}
                let may_hold_label = label_ends.peek().is_some_and(|at| *at < from + bytes.len());
                self.line(bytes, may_hold_label, sink);
            } else {
                self.keep(bytes);
                self.partial_line(sink);
            }
            rest = after;
        }
    }

    /// The records that would be whole if the log ended here, in order: the last one, and of a log in which processes interleave the last of each.
    /// None if the last line has no line break yet.
    pub fn pending(&self) -> Vec<LogRecord> {
        if self.line_start_bytes < self.pushed_bytes {
            return Vec::new();
        }
        self.lines.pending()
    }

    /// How many records may be pending, at most.
    pub fn pending_count(&self) -> usize {
        self.lines.pending_count()
    }

    /// Whether the last lines are none of a record; the sink hears of them when they end.
    pub fn ends_unparsed(&self) -> bool {
        self.lines.ends_unparsed()
    }

    /// Nothing more comes: what is open ends here. A last line without line break is taken as it is, its record flagged as truncated.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Assembled)) {
        let log_end_bytes = self.pushed_bytes;
        let ends_in_line = self.line_start_bytes < self.pushed_bytes;
        let mut torn_at_end = |assembled| match assembled {
            Assembled::Unparsed {
                start_bytes,
                end_bytes,
                reason,
            } if ends_in_line && end_bytes == log_end_bytes => sink(Assembled::Torn {
                start_bytes,
                end_bytes,
                reason,
            }),
            other => sink(other),
        };
        if ends_in_line {
            self.is_cut = true;
            self.partial_line(&mut torn_at_end);
        }
        self.end_nul_run(&mut torn_at_end);
        self.close(&mut torn_at_end);
    }

    /// First byte that isn't covered by what the sink got; a record boundary.
    pub fn settled_bytes(&self) -> u64 {
        self.lines
            .unsettled_from_bytes()
            .or(self.nul_start_bytes)
            .unwrap_or(self.line_start_bytes)
    }

    /// Keeps a part of a line whose end hasn't come.
    fn keep(&mut self, part: &[u8]) {
        let room = self.max_record_bytes.saturating_sub(self.partial.len());
        let (kept, dropped) = part.split_at_checked(room).unwrap_or((part, &[]));
        self.partial.extend_from_slice(kept);
        self.is_cut |= !dropped.is_empty();
        self.dropped_odd_quotes ^= has_odd_quotes(dropped);
    }

    /// Hands over the line whose parts were kept.
    fn partial_line(&mut self, sink: &mut dyn FnMut(Assembled)) {
        const KEPT_CAPACITY_BYTES: usize = 1 << 20;
        let mut bytes = std::mem::take(&mut self.partial);
        self.line(&bytes, true, sink);
        self.is_cut = false;
        self.dropped_odd_quotes = false;
        if bytes.capacity() <= KEPT_CAPACITY_BYTES {
            bytes.clear();
            self.partial = bytes;
        }
    }

    fn line(&mut self, bytes: &[u8], may_hold_label: bool, sink: &mut dyn FnMut(Assembled)) {
        let bytes = match self.line_start_bytes {
            0 => text::without_byte_order_mark(bytes),
            _ => bytes,
        };
        let line = Line {
            bytes,
            start_bytes: self.line_start_bytes,
            end_bytes: self.pushed_bytes,
            is_cut: self.is_cut,
            may_hold_label,
        };
        self.line_start_bytes = self.pushed_bytes;
        self.lines
            .line(line, self.dropped_odd_quotes, self.read_at, sink);
    }

    /// Skips NUL bytes at the beginning of a line; what comes after them, if there are any.
    fn skip_nul<'a>(
        &mut self,
        rest: &'a [u8],
        sink: &mut dyn FnMut(Assembled),
    ) -> Option<&'a [u8]> {
        let count = rest.iter().take_while(|byte| **byte == 0).count();
        if count == 0 {
            self.end_nul_run(sink);
            return None;
        }
        if self.nul_start_bytes.is_none() {
            self.close(sink);
            self.nul_start_bytes = Some(self.pushed_bytes);
        }
        self.pushed_bytes += count as u64;
        self.line_start_bytes = self.pushed_bytes;
        rest.get(count..)
    }

    fn end_nul_run(&mut self, sink: &mut dyn FnMut(Assembled)) {
        if let Some(start_bytes) = self.nul_start_bytes.take() {
            sink(Assembled::Unparsed {
                start_bytes,
                end_bytes: self.line_start_bytes,
                reason: UnparsedReason::NulBytes,
            });
        }
    }

    /// What is open ends before the next byte.
    fn close(&mut self, sink: &mut dyn FnMut(Assembled)) {
        self.lines.finish(self.read_at, sink);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::super::{Format, LinePrefix};
    use super::*;

    fn assembler(format: Format, max_record_bytes: usize) -> Assembler {
        let layout = Layout {
            format,
            time_zone: None,
        };
        Assembler::new(layout, GenerationId(1), 100, &Config { max_record_bytes })
    }

    fn stderr() -> Format {
        Format::Stderr(LinePrefix::parse("%p ").unwrap())
    }

    /// One line for what an assembler gives for a log from offset 100 on, in chunks of any size.
    fn check(format: &Format, max_record_bytes: usize, log: &str, expected: &[&str]) {
        for chunk_bytes in [1, 3, 1000] {
            let mut shown = Vec::new();
            let mut sink = |assembled| {
                shown.push(match assembled {
                    Assembled::Record(record) => format!(
                        "{}-{} {:?}{}",
                        record.position.offset_bytes,
                        record.end_bytes,
                        record.message,
                        if record.flags.truncated {
                            " truncated"
                        } else {
                            ""
                        }
                    ),
                    Assembled::Unparsed {
                        start_bytes,
                        end_bytes,
                        reason,
                    } => format!("{start_bytes}-{end_bytes} {reason:?}"),
                    Assembled::Torn {
                        start_bytes,
                        end_bytes,
                        reason,
                    } => format!("{start_bytes}-{end_bytes} torn {reason:?}"),
                    Assembled::Foreign {
                        start_bytes,
                        end_bytes,
                    } => format!("{start_bytes}-{end_bytes} foreign"),
                    Assembled::Rest {
                        start_bytes,
                        end_bytes,
                    } => format!("{start_bytes}-{end_bytes} rest"),
                });
            };
            let mut assembler = assembler(format.clone(), max_record_bytes);
            for chunk in log.as_bytes().chunks(chunk_bytes) {
                assembler.push(chunk, Timestamp::UNIX_EPOCH, &mut sink);
            }
            assembler.finish(&mut sink);
            assert_eq!(assembler.settled_bytes(), 100 + log.len() as u64);
            assert_eq!(shown, expected, "{log:?} in chunks of {chunk_bytes}");
        }
    }

    #[test]
    fn stderr_logs() {
        let check = |log, expected: &[&str]| check(&stderr(), 1000, log, expected);
        check("", &[]);
        check(
            "1 LOG:  a\n2 LOG:  b\n\tc\n",
            &["100-110 \"a\"", "110-123 \"b\\nc\""],
        );
        check(
            "1 LOG:  a\ncp: x\n\ty\n\n1 HINT:  z\n",
            &[
                "100-110 \"a\"",
                "110-119 NoHead",
                "119-120 NoHead",
                "120-131 NoRecord",
            ],
        );
        check("\tx\n1 LOG:  a\n", &["100-103 NoRecord", "103-113 \"a\""]);
        check("1 LOG:  a\n\0\0\0", &["100-110 \"a\"", "110-113 NulBytes"]);
        check(
            "1 LOG:  a\n\0\0\x001 LOG:  b\n",
            &["100-110 \"a\"", "110-113 NulBytes", "113-123 \"b\""],
        );
        check("1 LOG:  a\0b\n", &["100-112 \"a\u{FFFD}b\""]);
        check(
            "1 LOG:  a\n2 LOG:  b",
            &["100-110 \"a\"", "110-119 \"b\" truncated"],
        );
        check("1 LOG:  a\n2 LO", &["100-110 \"a\"", "110-114 torn NoHead"]);
    }

    #[test]
    fn records_over_the_limit_are_cut() {
        let check = |log, expected: &[&str]| check(&stderr(), 12, log, expected);
        check(
            "1 LOG:  abcd\n1 LOG:  b\n",
            &["100-113 \"abcd\"", "113-123 \"b\""],
        );
        check(
            "1 LOG:  abcdef\n1 LOG:  b\n",
            &["100-115 \"abcd\" truncated", "115-125 \"b\""],
        );
        check(
            "1 LOG:  a\n\t1234567\n\t890\n\tx\n1 LOG:  b\n",
            &["100-127 \"a\\n1234567\\n89\" truncated", "127-137 \"b\""],
        );
    }

    #[test]
    fn csvlog_logs() {
        let row = |message: &str| {
            format!("2026-11-20 07:27:22.607 UTC,,,1,,,,,,,,LOG,,{message},,,,,,,,,\n")
        };
        let (a, b) = (row("\"a\""), row("\"b\n\"\"c\nd\""));
        let ends = |log: &str| 100 + log.len();
        let log = format!("{a}{b}");
        check(
            &Format::Csvlog,
            1000,
            &log,
            &[
                &format!("100-{} \"a\"", ends(&a)),
                &format!("{}-{} \"b\\n\\\"c\\nd\"", ends(&a), ends(&log)),
            ],
        );
        let stray = format!("cp: \"x\n{a}");
        check(
            &Format::Csvlog,
            1000,
            &stray,
            &["100-107 NotCsvlog", &format!("107-{} \"a\"", ends(&stray))],
        );
        let open = format!("{a}{}", &b[..52]);
        check(
            &Format::Csvlog,
            1000,
            &open,
            &[
                &format!("100-{} \"a\"", ends(&a)),
                &format!("{}-{} torn NotCsvlog", ends(&a), ends(&open)),
            ],
        );
        // The rest of a row is missing, and other rows follow.
        let cut_short = format!("{}\n{b}{a}", &b[..52]);
        check(
            &Format::Csvlog,
            1000,
            &cut_short,
            &[
                "100-153 torn NotCsvlog",
                &format!("153-{} \"b\\n\\\"c\\nd\"", 153 + b.len()),
                &format!("{}-{} \"a\"", 153 + b.len(), ends(&cut_short)),
            ],
        );
        let other = row("\"a\"").replace("LOG", "WHAT");
        check(
            &Format::Csvlog,
            1000,
            &other,
            &[&format!("100-{} NoSeverity", ends(&other))],
        );
        let cut_line = row("\"bcdefghijklm\"");
        let log = format!("{cut_line}{a}");
        check(
            &Format::Csvlog,
            51,
            &log,
            &[
                &format!("100-{} \"bcdefg\" truncated", ends(&cut_line)),
                &format!("{}-{} \"a\" truncated", ends(&cut_line), ends(&log)),
            ],
        );
        let long = format!("{}{a}", row("\"bcd\"\"\nefg\""));
        check(
            &Format::Csvlog,
            51,
            &long,
            &[
                &format!("100-{} \"bcd\\\"\" truncated", ends(&long) - a.len()),
                &format!("{}-{} \"a\" truncated", ends(&long) - a.len(), ends(&long)),
            ],
        );
    }

    #[test]
    fn jsonlog_logs() {
        let row = r#"{"timestamp":"2026-11-20 07:27:34.332 UTC","error_severity":"LOG","message":"a\nb"}"#;
        let end = 100 + row.len();
        let check = |log: &str, expected: &[&str]| check(&Format::Jsonlog, 1000, log, expected);
        check(
            &format!("{row}\n{{\n{row}"),
            &[
                &format!("100-{} \"a\\nb\"", end + 1),
                &format!("{}-{} NotJsonlog", end + 1, end + 3),
                &format!("{}-{} \"a\\nb\"", end + 3, 2 * end - 97),
            ],
        );
        check(&row[..40], &["100-140 torn NotJsonlog"]);
        check(
            &format!("{}{row}\n", &row[..60]),
            &[
                "100-160 torn NotJsonlog",
                &format!("160-{} \"a\\nb\"", 61 + end),
            ],
        );
        let quoting = row.replace("a\\nb", &row.replace('\\', "").replace('"', "\\\""));
        check(
            &format!("{quoting}\n"),
            &[&format!(
                "100-{} {:?}",
                101 + quoting.len(),
                row.replace('\\', "")
            )],
        );
    }

    #[test]
    fn the_open_record_is_shown_without_closing_it() {
        let mut assembler = assembler(stderr(), 1000);
        let mut none = |assembled: Assembled| panic!("{assembled:?}");
        let mut pending_after = |chunk: &[u8]| {
            assembler.push(chunk, Timestamp::UNIX_EPOCH, &mut none);
            let pending = assembler.pending();
            assert!(pending.len() <= 1);
            (
                pending
                    .into_iter()
                    .next()
                    .map(|record| (record.end_bytes, record.message, record.detail)),
                assembler.settled_bytes(),
            )
        };
        let whole = |end_bytes, message: &str, detail: Option<&str>| {
            Some((end_bytes, message.to_owned(), detail.map(str::to_owned)))
        };
        assert_eq!(pending_after(b"1 LOG:  a"), (None, 100));
        assert_eq!(pending_after(b"\n"), (whole(110, "a", None), 100));
        assert_eq!(pending_after(b"\tb\n"), (whole(113, "a\nb", None), 100));
        assert_eq!(pending_after(b"1 DETAIL:  c"), (None, 100));
        assert_eq!(pending_after(b"\n"), (whole(126, "a\nb", Some("c")), 100));
    }
}

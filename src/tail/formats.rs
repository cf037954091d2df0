//! Which of a server's formats is read, and when the reading changes over to another.
//!
//! A server that logs in several formats says everything in each of them, so one is read and the others are watched: their positions follow, a look
//! behind, so that what they say alone is what lies after them. Where the read format has fallen silent and been read to its end, the next one is read
//! from its position on; where a better one speaks again, the others are first read to where they are. The files' times, which come in here, bound
//! which of those records the better format has not told (`own_times`); the records' times are compared by whoever reads them.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use super::discovery::Listing;
use super::rotation::Unread;
use super::server_tail::{ServerTail, unread};
use super::tracked::{Life, Tracked};
use super::{Mode, Scan};
use crate::model::position::{Codec, Generation, GenerationId, LogFormat};

/// A watched position follows when it is as far behind as the configuration says, or was left behind for so long.
const FOLLOW_AFTER: Duration = Duration::from_secs(10);

/// jsonlog before csvlog before stderr.
fn rank(format: LogFormat) -> u8 {
    match format.unwrapped() {
        LogFormat::Jsonlog => 0,
        LogFormat::Csvlog => 1,
        LogFormat::Stderr | LogFormat::Wrapped(_) => 2,
    }
}

/// What is known of one format of a server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    /// When its newest file was last written.
    pub(super) newest_us: i64,
    pub(super) has_unread: bool,
}

/// The format to read next. `current` stays while it has something to say, or nobody worse has spoken for `silence` after it.
pub(super) fn next_format(
    heard: &BTreeMap<u8, (LogFormat, Heard)>,
    current: Option<LogFormat>,
    silence: Duration,
) -> Option<LogFormat> {
    let newest_us = heard.values().map(|(_, heard)| heard.newest_us).max()?;
    let silence_us = i64::try_from(silence.as_micros()).unwrap_or(i64::MAX);
    let speaks =
        |heard: &Heard| heard.has_unread || newest_us.saturating_sub(heard.newest_us) <= silence_us;
    let current = current.map(rank);
    heard
        .iter()
        .find(|(rank, (_, heard))| match current {
            // A better one that is back has to have something new to say.
            Some(current) if **rank < current => heard.has_unread,
            _ => speaks(heard),
        })
        .map(|(_, (format, _))| *format)
}

impl ServerTail {
    /// Decides after a look at the directories which format is read from here on.
    pub(super) fn choose_format(&mut self, listing: &Listing, scan: &mut Scan) {
        let mut heard: BTreeMap<u8, (LogFormat, Heard)> = BTreeMap::new();
        for tracked in self.tracked.iter().filter(|t| t.placed) {
            let format = tracked.row.format.unwrapped();
            let (_, heard) = heard
                .entry(rank(format))
                .or_insert((format, Heard::default()));
            heard.newest_us = heard.newest_us.max(tracked.row.file.modified_us);
            heard.has_unread |= has_unread(tracked);
        }
        let is_first = self.format.is_none();
        let next = next_format(&heard, self.format, self.config.format_silence);
        // What can't be looked at may be the format that is read.
        if next.is_none() || !listing.trouble.is_empty() && !is_first {
            return;
        }
        let turns_better = match (self.format, next) {
            (Some(current), Some(next)) => rank(next) < rank(current),
            // Where it was left, nobody knows: what the others have that is their own is read first.
            (None, _) => self.tracked.iter().any(|t| t.row.offset_bytes > 0),
            _ => false,
        };
        self.format = next;
        let watched = self
            .tracked
            .iter()
            .filter(|t| t.placed && next.is_some_and(|next| rank(t.row.format) > rank(next)));
        scan.watched_only
            .extend(watched.map(|t| t.row.file.path.clone()));
        if turns_better {
            for tracked in &mut self.tracked {
                let watched = next.is_some_and(|next| rank(tracked.row.format) > rank(next));
                tracked.drain_to_bytes = match watched && has_unread(tracked) {
                    true => tracked.seen_bytes.unwrap_or(u64::MAX),
                    false => 0,
                };
            }
        }
    }

    /// What is read at this moment.
    pub(super) fn choice(&self) -> Choice {
        Choice {
            format: self.format,
            is_draining: self.is_draining(),
        }
    }

    /// Whether a better format than `format` is read, or about to be.
    pub fn is_watched(&self, format: LogFormat) -> bool {
        self.format.is_some_and(|read| rank(read) < rank(format))
    }

    /// Whether formats that will be watched from here on are being read to where they were when a better one spoke.
    pub fn is_draining(&self) -> bool {
        self.tracked.iter().any(Tracked::is_draining)
    }

    /// When a better format than `format` was last written of what has been read of it: records until then have been told by it. `None` where none was
    /// ever read.
    pub fn told_until_us(&self, format: LogFormat) -> Option<i64> {
        self.tracked
            .iter()
            .filter(|t| rank(t.row.format) < rank(format) && t.row.offset_bytes > 0)
            .map(|t| t.settled_us)
            .max()
    }

    /// What the read format says next, up to `limit_bytes`, with its generation: for whoever has to know its time. Nothing counts as handed out.
    pub fn peek(&self, limit_bytes: usize) -> Option<(GenerationId, LogFormat, Vec<u8>)> {
        let format = self.format?;
        let next = self
            .tracked
            .iter()
            .filter(|t| rank(t.row.format) == rank(format) && t.placed && has_unread(t))
            .min_by_key(|t| t.row.file.modified_us)?;
        let bytes = next.peek(limit_bytes).ok()?;
        Some((next.row.id, next.row.format, bytes))
    }

    /// Watched generations whose positions are to follow: the read format has said more since their files reached that far.
    pub fn left_behind(&mut self) -> Vec<GenerationId> {
        let Some(format) = self
            .format
            .filter(|_| self.mode == Mode::Follow && !self.is_draining())
        else {
            return Vec::new();
        };
        let spoke_us = self
            .tracked
            .iter()
            .filter(|t| t.placed && rank(t.row.format) == rank(format))
            .map(|t| t.row.file.modified_us)
            .max();
        let has_spoken = self.spoke_us.is_some() && spoke_us > self.spoke_us;
        self.spoke_us = spoke_us;
        let mut behind = Vec::new();
        for tracked in &mut self.tracked {
            if rank(tracked.row.format) <= rank(format) || tracked.row.codec != Codec::Raw {
                continue;
            }
            if has_spoken {
                tracked.copied_bytes = tracked.copied_bytes.max(tracked.marked_bytes);
            }
            tracked.marked_bytes = tracked.seen_bytes.unwrap_or_default();
            let lag_bytes = tracked.copied_bytes.saturating_sub(tracked.taken_bytes());
            let is_due = lag_bytes >= self.config.follow_bytes
                || lag_bytes > 0 && tracked.followed.elapsed() >= FOLLOW_AFTER;
            if is_due && tracked.life == Life::Open && tracked.placed {
                tracked.followed = Instant::now();
                behind.push(tracked.row.id);
            }
        }
        behind
    }

    /// The row of a watched generation at the last line break of what the read format has told as well, with the bytes before it; `None` where that is
    /// no further than its position. Once it is stored, [`ServerTail::passed_over`] takes both.
    pub fn pass_over(
        &mut self,
        generation: GenerationId,
    ) -> io::Result<Option<(Generation, Vec<u8>)>> {
        let tracked = self.tracked.iter_mut().find(|t| t.row.id == generation);
        tracked.map_or(Ok(None), Tracked::copied_to)
    }

    /// The row that `pass_over` gave is in the store.
    pub fn passed_over(&mut self, row: Generation, before: Vec<u8>) {
        if let Some(tracked) = self.tracked.iter_mut().find(|t| t.row.id == row.id) {
            tracked.passed_over(row, before);
        }
    }
}

/// Which generations are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    format: Option<LogFormat>,
    is_draining: bool,
}

impl Choice {
    /// Whether the generation is of the format that is read, or has a rest to be read before that.
    pub(super) fn is_read(self, tracked: &Tracked) -> bool {
        match self.format {
            Some(_) if self.is_draining => tracked.is_draining(),
            Some(format) => rank(tracked.row.format) == rank(format),
            None => true,
        }
    }
}

/// Whether something of the generation has been seen, or may be there, that wasn't read.
fn has_unread(tracked: &Tracked) -> bool {
    tracked.life == Life::Open && (unread(tracked) != Unread::Nothing || tracked.unread_bytes() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_to_read_next() {
        use LogFormat::{Csvlog, Jsonlog, Stderr};
        const MINUTE: Duration = Duration::from_secs(60);
        let check = |current, files: &[(LogFormat, i64, bool)], expected| {
            let heard = files
                .iter()
                .map(|(format, newest_s, has_unread)| {
                    let heard = Heard {
                        newest_us: newest_s * 1_000_000,
                        has_unread: *has_unread,
                    };
                    (rank(*format), (*format, heard))
                })
                .collect();
            let next = next_format(&heard, current, MINUTE);
            assert_eq!(next, expected, "{current:?} {files:?}");
        };
        check(None, &[], None);
        check(None, &[(Stderr, 5, true)], Some(Stderr));
        let all = [(Stderr, 5, true), (Csvlog, 5, true), (Jsonlog, 0, true)];
        check(None, &all, Some(Jsonlog));
        // What a better one holds is read first, however old it is.
        check(
            None,
            &[(Stderr, 900, true), (Csvlog, 0, true)],
            Some(Csvlog),
        );
        check(
            None,
            &[(Stderr, 900, true), (Csvlog, 0, false)],
            Some(Stderr),
        );
        check(
            Some(Csvlog),
            &[(Stderr, 60, true), (Csvlog, 0, false)],
            Some(Csvlog),
        );
        check(
            Some(Csvlog),
            &[(Stderr, 61, true), (Csvlog, 0, false)],
            Some(Stderr),
        );
        check(
            Some(Csvlog),
            &[(Stderr, 61, true), (Csvlog, 0, true)],
            Some(Csvlog),
        );
        // A better one is back when it says something, not because it was written at the same time.
        check(
            Some(Stderr),
            &[(Stderr, 61, false), (Csvlog, 60, false)],
            Some(Stderr),
        );
        check(
            Some(Stderr),
            &[(Stderr, 61, true), (Csvlog, 60, true)],
            Some(Csvlog),
        );
        check(
            Some(Stderr),
            &[(Jsonlog, 60, true), (Csvlog, 60, false)],
            Some(Jsonlog),
        );
    }
}

//! One generation that is followed: how far it was read, handed out and committed, and the bytes in between.
//!
//! Bytes that were handed out and not yet committed stay in memory, so that a checkpoint at any record boundary among them needs no look at a file
//! that may be another one by now, and a failed commit costs no byte even if the file is gone. That memory is what the caller keeps uncommitted.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use super::compressed::{Fault, fault_of};
use super::generation::{Fingerprint, WINDOW_BYTES, anchor_of};
use super::reader::{Probe, Reader, Resume};
use crate::failpoint;
use crate::model::position::{
    Anchor, Codec, FileHint, Gap, GapReason, Generation, GenerationState,
};

/// A file that wasn't written for so long had its final size.
const FINAL_AFTER: Duration = Duration::from_secs(60);

/// Whether more of a generation may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    /// Over, with this gap behind what was read; the caller hasn't been told.
    Ending(Option<Gap>),
    Ended(Option<Gap>),
}

/// What a look at an open file said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Holds,
    /// The file holds other content.
    Replaced,
}

/// What reading gave.
#[derive(Debug)]
pub(super) enum Taken {
    Bytes,
    EndOfFile,
    /// The file holds other content; nothing was taken.
    Replaced,
    /// A compressed file stops in the middle.
    Cut,
    Corrupt,
}

pub(super) struct Tracked {
    /// As it is in the store, or as it was first seen; file and head as they are.
    pub(super) row: Generation,
    pub(super) life: Life,
    /// A file holds it: `reader`'s, or the one at `row.file`.
    pub(super) placed: bool,
    /// The file has a name in the watched directories.
    pub(super) named: bool,
    pub(super) missing_looks: u32,
    /// Not to be read before the next scan.
    pub(super) blocked: bool,
    /// The compressed file at `row.file` stops in the middle: not to be read before it changes.
    pub(super) cut: bool,
    /// Nobody can read it yet: not to be handed out before it has grown or is taken back.
    pub(super) aside: bool,
    /// This process has had its file open at `row.file`, so that the file needn't be looked into while nothing of it changes.
    pub(super) met: bool,
    /// When its file was written last before the last commit of what is in it.
    pub(super) settled_us: i64,
    /// How far it is read although its format is watched, before a better one goes on.
    pub(super) drain_to_bytes: u64,
    /// Of a watched one: how far its file reached at the last look, how far the read format has told it as well, and when its position last followed.
    pub(super) marked_bytes: u64,
    pub(super) copied_bytes: u64,
    pub(super) followed: Instant,
    pub(super) reader: Option<Reader>,
    /// How far its file was seen to reach; `None` before the first look since the start, and unknown for compressed files until they end.
    pub(super) seen_bytes: Option<u64>,
    /// The first byte that can be handed out: behind a hole, or where the store had got to.
    pub(super) start_bytes: u64,
    /// How far the file was read.
    pub(super) taken: Anchor,
    /// How far it was handed out: behind `taken` only after a rewind.
    pub(super) handed_out_bytes: u64,
    /// The bytes before `taken`: those since the last commit, and 4096 before them.
    pub(super) window: Vec<u8>,
    pub(super) announced: bool,
}

impl Tracked {
    /// One that the store knows.
    pub(super) fn stored(row: Generation) -> Self {
        Self {
            life: match row.state {
                GenerationState::Active => Life::Open,
                GenerationState::Done | GenerationState::Lost => Life::Ended(None),
            },
            placed: false,
            named: false,
            missing_looks: 0,
            blocked: false,
            cut: false,
            aside: false,
            met: false,
            settled_us: row.file.modified_us,
            drain_to_bytes: 0,
            marked_bytes: 0,
            copied_bytes: 0,
            followed: Instant::now(),
            reader: None,
            seen_bytes: None,
            start_bytes: row.offset_bytes,
            // One place, whatever the row says: an anchor of another place is no match for any file.
            taken: Anchor {
                offset_bytes: row.offset_bytes,
                ..row.anchor
            },
            handed_out_bytes: row.offset_bytes,
            window: Vec::new(),
            announced: false,
            row,
        }
    }

    /// One that is seen for the first time, behind `hole_bytes` NUL bytes.
    pub(super) fn new(row: Generation, hole_bytes: u64) -> Self {
        let mut new = Self::stored(row);
        if hole_bytes > 0 {
            let len = usize::try_from(hole_bytes).map_or(WINDOW_BYTES, |len| len.min(WINDOW_BYTES));
            new.window = vec![0; len];
            new.taken = anchor_of(&new.window, hole_bytes);
            new.start_bytes = hole_bytes;
            new.handed_out_bytes = hole_bytes;
        }
        new
    }

    pub(super) fn fingerprint(&self) -> Fingerprint<'_> {
        Fingerprint {
            head: self.row.head,
            anchor: self.taken,
            ladder: &self.row.ladder,
        }
    }

    pub(super) fn taken_bytes(&self) -> u64 {
        self.taken.offset_bytes
    }

    /// Bytes that were seen and not handed out.
    pub(super) fn unread_bytes(&self) -> u64 {
        match self.life {
            Life::Open => self
                .seen_bytes
                .unwrap_or_default()
                .max(self.taken.offset_bytes)
                .saturating_sub(self.handed_out_bytes),
            Life::Ending(_) | Life::Ended(_) => self
                .taken
                .offset_bytes
                .saturating_sub(self.handed_out_bytes),
        }
    }

    /// Whether there is something to hand out from memory, or something to read from its file: in finished logs the end is, too.
    pub(super) fn has_next(&self, finite: bool) -> bool {
        let unfinished = self
            .seen_bytes
            .is_none_or(|seen| seen > self.taken.offset_bytes);
        if self.aside {
            return false;
        }
        self.handed_out_bytes < self.taken.offset_bytes
            || matches!(self.life, Life::Ending(_))
            || self.life == Life::Open
                && self.placed
                && !self.blocked
                && !self.cut
                && (unfinished || finite)
    }

    /// Whether nothing is left of it but to tell that it is over.
    pub(super) fn only_ends(&self) -> bool {
        self.life == Life::Ending(None) && self.handed_out_bytes == self.taken.offset_bytes
    }

    /// Whether what was set aside has grown, within the first `limit_bytes` that are not committed: what they don't tell no more will.
    pub(super) fn has_grown_aside(&self, limit_bytes: usize) -> bool {
        let taken = self
            .taken
            .offset_bytes
            .saturating_sub(self.row.offset_bytes);
        self.aside
            && self.life == Life::Open
            && self.row.codec == Codec::Raw
            && self.placed
            && !self.blocked
            && taken < limit_bytes as u64
            && self.seen_bytes > Some(self.taken.offset_bytes)
    }

    /// Whether `file` is where it was last known to be, by what can be told without reading: the open file, or one that is unchanged.
    pub(super) fn lives_in(&self, file: &FileHint) -> bool {
        let known = &self.row.file;
        let same_inode = (known.device, known.inode) == (file.device, file.inode);
        let unchanged =
            (known.size_bytes, known.modified_us) == (file.size_bytes, file.modified_us);
        let trusted = matches!(self.life, Life::Ended(_)) || self.met;
        same_inode && (self.reader.is_some() || unchanged && trusted)
    }

    /// Its content is in the file of `probe`, which `reader` has open behind `before`, the bytes before what was read.
    pub(super) fn attach(&mut self, probe: &Probe, reader: Reader, before: Vec<u8>) {
        if self.window.is_empty() {
            self.window = before;
        }
        self.row.file = probe.file.clone();
        self.row.codec = probe.codec;
        self.row.head = probe.head();
        self.reader = Some(reader);
        self.placed = true;
        self.missing_looks = 0;
        self.blocked = false;
        self.cut = false;
        self.met = true;
        self.seen_bytes = match probe.codec {
            Codec::Raw => Some(probe.file.size_bytes.max(self.taken.offset_bytes)),
            Codec::Gzip | Codec::Zstd | Codec::Bzip2 | Codec::Xz => None,
        };
        let grown = self
            .seen_bytes
            .is_none_or(|seen| seen > self.taken.offset_bytes);
        match self.life {
            Life::Open => {}
            // Found after all, before its end was told.
            Life::Ending(_) => self.life = Life::Open,
            Life::Ended(_) if grown => {
                self.life = Life::Open;
                self.announced = false;
            }
            Life::Ended(_) => self.reader = None,
        }
    }

    /// Its file is another one now, or gone.
    pub(super) fn displace(&mut self) {
        self.reader = None;
        self.placed = false;
        self.named = false;
    }

    /// Gives back the memory of a large read.
    pub(super) fn release(&mut self) {
        if self.window.len() <= WINDOW_BYTES && self.window.capacity() > 2 * WINDOW_BYTES {
            self.window.shrink_to_fit();
        }
    }

    /// Asks the open file how it is.
    pub(super) fn look(&mut self) -> io::Result<Look> {
        let Some(reader) = &self.reader else {
            return Ok(Look::Holds);
        };
        let Some(head) = reader.verify(self.row.head, self.taken)? else {
            return Ok(Look::Replaced);
        };
        self.row.head = head;
        self.row.file = reader.hint(&self.row.file.path)?;
        if self.row.codec == Codec::Raw {
            // A file that shrank after the check is found out at the next one.
            self.seen_bytes = Some(self.row.file.size_bytes.max(self.taken.offset_bytes));
        }
        Ok(Look::Holds)
    }

    /// Reads on: checks that the file is still the same, reads, and checks again, so that bytes of two contents never mix.
    pub(super) fn take(&mut self, limit_bytes: usize) -> io::Result<Taken> {
        if self.reader.is_none() && !self.reopen()? {
            return Ok(Taken::Replaced);
        }
        failpoint::check("before-check")?;
        if self.look()? == Look::Replaced {
            return Ok(Taken::Replaced);
        }
        failpoint::check("before-read")?;
        let reader = self.reader.as_mut().expect("looked at above");
        let kept = self.window.len();
        // Many files have a few new bytes each: the buffer is as large as what is there.
        let there = self.seen_bytes.map_or(usize::MAX, |seen| {
            usize::try_from(seen - self.taken.offset_bytes).unwrap_or(usize::MAX)
        });
        self.window.resize(kept + limit_bytes.min(there), 0);
        let read = reader.read(
            self.taken.offset_bytes,
            self.window.get_mut(kept..).unwrap_or_default(),
        );
        self.window.truncate(kept + *read.as_ref().unwrap_or(&0));
        let len = match read {
            Ok(len) => len,
            Err(error) if self.row.codec == Codec::Raw => return Err(error),
            Err(error) => match fault_of(&error) {
                Fault::Cut => return Ok(Taken::Cut),
                Fault::Corrupt => return Ok(Taken::Corrupt),
                Fault::System => return Err(error),
            },
        };
        let looked = failpoint::check("after-read").and_then(|()| self.look());
        match looked {
            Ok(Look::Holds) => {}
            Ok(Look::Replaced) => {
                self.window.truncate(kept);
                return Ok(Taken::Replaced);
            }
            Err(error) => {
                self.window.truncate(kept);
                return Err(error);
            }
        }
        if len == 0 {
            return Ok(Taken::EndOfFile);
        }
        self.taken = anchor_of(&self.window, self.taken.offset_bytes + len as u64);
        self.seen_bytes = self
            .seen_bytes
            .map(|seen| seen.max(self.taken.offset_bytes));
        Ok(Taken::Bytes)
    }

    /// Opens the file at the known path again if it holds the content.
    pub(super) fn reopen(&mut self) -> io::Result<bool> {
        let probe = match Probe::open(&self.row.file.path) {
            Ok(probe) => probe,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match probe.resume(self.fingerprint())? {
            Resume::At(reader, before) => {
                self.attach(&probe, reader, before);
                Ok(true)
            }
            Resume::Shorter(_) | Resume::Parted(_) | Resume::Other => Ok(false),
        }
    }

    /// Nothing more of it can be read, for `reason` if something was or may have been lost.
    pub(super) fn end(&mut self, reason: Option<GapReason>) {
        // How far a file that was still being written had grown by the time it was lost, nobody saw.
        let final_size = self
            .seen_bytes
            .filter(|seen| *seen > self.taken.offset_bytes && self.is_quiet(FINAL_AFTER));
        self.life = Life::Ending(reason.map(|reason| Gap {
            generation: self.row.id,
            from_bytes: self.taken.offset_bytes,
            to_bytes: match reason {
                GapReason::Deleted | GapReason::Truncated => final_size,
                GapReason::Hole | GapReason::Corrupt => None,
            },
            reason,
        }));
        self.reader = None;
    }

    /// Whether its file has not been written for so long. A file from the future is not quiet.
    pub(super) fn is_quiet(&self, quiet_after: Duration) -> bool {
        is_quiet(&self.row.file, quiet_after)
    }
}

/// Whether a file has not been written for so long.
pub(super) fn is_quiet(file: &FileHint, quiet_after: Duration) -> bool {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let quiet_after = i128::try_from(quiet_after.as_micros()).unwrap_or(i128::MAX);
    i128::try_from(now.as_micros()).unwrap_or(i128::MAX) - i128::from(file.modified_us)
        >= quiet_after
}

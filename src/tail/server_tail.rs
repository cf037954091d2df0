//! All log files of one server: which content they hold, what of it is read next, and when a generation is over.
//!
//! Each scan starts from what is there, not from what happened: open files are asked whether they still hold what was read, the rest of the
//! directory is matched by content against the generations that are known. So renames, copies, compressors, restarts and any number of rotations
//! between two scans are one case. Which of two readable files a generation is read from never matters, as both hold the same bytes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::discovery::{Listing, covers, file_hint};
use super::open_files::open_files_max;
use super::places::Hidden;
use super::reader::Reader;
use super::rotation::{Sighting, Unread, Verdict, verdict};
use super::tracked::{Life, Taken, Tracked};
use super::{Chunk, Config, Error, Mode, Scan};
use crate::model::position::{
    Codec, FileHint, GapReason, Generation, GenerationId, LogFormat, ServerId,
};

/// However much it costs, every file is looked at once in so many ticks.
const LISTING_TICKS: u32 = 30;

/// A compressed file that hasn't been written for so long isn't being written. Compressors give it the time of the original when they are done.
pub(super) const WRITTEN_AFTER: Duration = Duration::from_secs(10);

/// A compressed file that stops in the middle and hasn't been written for so long was cut.
pub(super) const CUT_AFTER: Duration = Duration::from_secs(60);

/// A look at every file of the directories costs at most this share of the time: one over this.
const LISTING_SHARE: u32 = 300;

/// When the directories were listed, and what that cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) at: Instant,
    /// A directory changed later than this may have changed while it was listed.
    pub(super) wall_us: i64,
    pub(super) cost: Duration,
}

impl Listed {
    /// Whether every file is to be looked at again, although no directory has changed. Those that are open are looked at anyway.
    fn is_due(self, elapsed: Duration, tick: Duration) -> bool {
        elapsed >= (self.cost * LISTING_SHARE).min(tick * LISTING_TICKS)
    }
}

/// All log files of one server. Not shared between threads; what it holds in memory is what the caller has not committed.
pub struct ServerTail {
    pub(super) server: ServerId,
    pub(super) paths: Vec<PathBuf>,
    pub(super) mode: Mode,
    pub(super) sniff: fn(&[u8]) -> Option<LogFormat>,
    pub(super) config: Config,
    pub(super) tracked: Vec<Tracked>,
    /// Which format all its files have, where that was given.
    pub(super) given: Option<LogFormat>,
    /// Which format of the server is read, whatever it is wrapped in.
    pub(super) format: Option<LogFormat>,
    /// When the newest file of that format had been written by the last look.
    pub(super) spoke_us: Option<i64>,
    /// Formats of files whose names don't tell, by device and inode of a file of that size at least.
    pub(super) sniffed: HashMap<(u64, u64), LogFormat>,
    pub(super) listed: Option<Listed>,
    pub(super) directories: BTreeMap<PathBuf, FileHint>,
    /// A file turned out to hold other content since the last listing.
    pub(super) shaken: bool,
    /// Trouble in reading since the last scan.
    pub(super) trouble: Vec<(PathBuf, io::Error)>,
    pub(super) born: u64,
    /// Files that were opened for reading since the limit was last seen to.
    pub(super) opened: usize,
    /// How many files may be held open.
    pub(super) open_files_max: usize,
    /// Open files of before [`ServerTail::reload`], which the next look at the directories asks for what has lost its name.
    pub(super) held: Vec<(FileHint, LogFormat, File)>,
}

impl ServerTail {
    /// `known` are the server's generations in the store; `sniff` tells the format of a file from its first bytes where its name doesn't.
    /// Nothing is looked at before the first scan.
    pub fn open(
        server: ServerId,
        paths: Vec<PathBuf>,
        mode: Mode,
        known: Vec<Generation>,
        sniff: fn(&[u8]) -> Option<LogFormat>,
        config: &Config,
    ) -> Self {
        Self {
            server,
            paths,
            mode,
            sniff,
            config: config.clone(),
            tracked: known.into_iter().map(Tracked::stored).collect(),
            given: None,
            format: None,
            spoke_us: None,
            sniffed: HashMap::new(),
            listed: None,
            directories: BTreeMap::new(),
            shaken: false,
            trouble: Vec::new(),
            born: 0,
            opened: 0,
            open_files_max: open_files_max(),
            held: Vec::new(),
        }
    }

    /// Starts again from what the store knows by now. Files that are open stay so until they are recognised: one that was deleted meanwhile can still
    /// be read. So stays what has been lost of files that nobody else has stored.
    pub fn reload(&mut self, known: Vec<Generation>) {
        let format_given = self.given;
        let inodes: HashSet<(u64, u64)> = known
            .iter()
            .map(|row| (row.file.device, row.file.inode))
            .collect();
        let before = std::mem::take(&mut self.tracked);
        self.tracked = known.into_iter().map(Tracked::stored).collect();
        for mut tracked in before {
            let file = &tracked.row.file;
            let is_known = inodes.contains(&(file.device, file.inode));
            if !is_known && matches!(tracked.life, Life::Ending(Some(_)) | Life::Ended(Some(_))) {
                tracked.rewind();
                self.tracked.push(tracked);
            } else if let Some(file) = tracked.reader.and_then(Reader::into_raw_file) {
                self.held.push((tracked.row.file, tracked.row.format, file));
            }
        }
        if let Some(format) = format_given {
            self.tracked.iter_mut().for_each(|t| t.row.format = format);
        }
        self.format = None;
        self.spoke_us = None;
        self.listed = None;
    }

    /// Takes every file for a log of that format, whatever its name and content say.
    pub fn with_format(mut self, format: LogFormat) -> Self {
        self.given = Some(format);
        for tracked in &mut self.tracked {
            tracked.row.format = format;
        }
        self
    }

    /// Looks at the open files and, where something changed in a directory or a tick has passed, at the directories: new content, rotation, truncation.
    /// Call it at each tick or doorbell; with finished logs until it has no trouble to tell and gives no chunk.
    pub fn scan(&mut self) -> Scan {
        let mut scan = Scan {
            unreadable: std::mem::take(&mut self.trouble),
            ..Scan::default()
        };
        self.look_at_open_files(&mut scan);
        if self.shaken || self.listing_is_stale() {
            self.shaken = false;
            self.look_at_directories(&mut scan);
            if !scan.new.is_empty() {
                // What was written to the old file before the new one began comes before it.
                self.look_at_open_files(&mut scan);
            }
        }
        self.limit_open_files();
        scan
    }

    /// The generations whose files the last look at the directories has found.
    pub fn found(&self) -> Vec<Generation> {
        let found = self.tracked.iter().filter(|t| t.named);
        found.map(|t| t.row.clone()).collect()
    }

    /// The directories to watch, as of the last scan.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.directories.keys().cloned().collect()
    }

    /// The next stretch to hand to the parser, oldest generation first; `None` when everything that the last scan saw was handed out.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        loop {
            if self.opened > self.open_files_max / 4 {
                self.limit_open_files();
            }
            let (choice, finite) = (self.choice(), self.mode == Mode::Finite);
            let next = self
                .tracked
                .iter_mut()
                .filter(|t| {
                    (t.has_next(finite) || t.has_grown_aside(self.config.read_bytes) && !finite)
                        && (choice.is_read(t) || t.only_ends())
                })
                .min_by(|a, b| age(&a.row.file).cmp(&age(&b.row.file)))?;
            if !next.aside
                && let Some(chunk) = next.hand_out(self.config.read_bytes)
            {
                return Some(chunk);
            }
            self.opened += usize::from(next.reader.is_none());
            match next.take(self.config.read_bytes) {
                Ok(Taken::Bytes) => next.aside = false,
                Ok(Taken::EndOfFile) if finite || next.row.codec != Codec::Raw => next.end(None),
                Ok(Taken::EndOfFile) => next.seen_bytes = Some(next.taken_bytes()),
                Ok(Taken::Replaced) => {
                    next.displace();
                    self.shaken = true;
                    if finite {
                        next.end(Some(GapReason::Truncated));
                    }
                }
                Ok(Taken::Corrupt) => next.end(Some(GapReason::Corrupt)),
                Ok(Taken::Cut) if finite => next.end(Some(GapReason::Corrupt)),
                Ok(Taken::Cut) => {
                    next.cut = true;
                    next.reader = None;
                }
                Err(error) => {
                    next.blocked = true;
                    if next.row.codec != Codec::Raw {
                        // Where its stream stands nobody knows. An open raw file may be the only way to a deleted one.
                        next.reader = None;
                    }
                    self.trouble.push((next.row.file.path.clone(), error));
                }
            }
        }
    }

    /// Bytes of the format that is read which were seen and not handed out; what compressed files still hold isn't known and doesn't count.
    pub fn unread_bytes(&self) -> u64 {
        let choice = self.choice();
        let read = self.tracked.iter().filter(|t| choice.is_read(t));
        read.map(Tracked::unread_bytes).sum()
    }

    /// Up to where the generation is committed.
    pub fn committed_bytes(&self, generation: GenerationId) -> Result<u64, Error> {
        let tracked = self.tracked.iter().find(|t| t.row.id == generation);
        tracked
            .map(|t| t.row.offset_bytes)
            .ok_or(Error::NotHandedOut {
                generation,
                offset_bytes: 0,
            })
    }

    /// The row to store with the records that end before `offset_bytes`: a record boundary between the last commit and the end of the last chunk.
    pub fn checkpoint(
        &self,
        generation: GenerationId,
        offset_bytes: u64,
    ) -> Result<Generation, Error> {
        self.tracked
            .iter()
            .find(|t| t.row.id == generation)
            .ok_or(Error::NotHandedOut {
                generation,
                offset_bytes,
            })?
            .checkpoint(offset_bytes)
    }

    /// The row that `checkpoint` gave is in the store.
    pub fn committed(&mut self, row: Generation) {
        if let Some(tracked) = self.tracked.iter_mut().find(|t| t.row.id == row.id) {
            tracked.committed(row);
        }
    }

    /// The commit failed or parsing starts again: the next chunk of the generation starts at its last committed offset, its end and gaps are told again.
    pub fn rewind(&mut self, generation: GenerationId) {
        if let Some(tracked) = self.tracked.iter_mut().find(|t| t.row.id == generation) {
            tracked.rewind();
        }
    }

    /// Nobody can read the generation yet: hands it out again, from its last committed offset, when it has grown, or after [`ServerTail::take_back`].
    pub fn set_aside(&mut self, generation: GenerationId) {
        self.rewind(generation);
        if let Some(tracked) = self.tracked.iter_mut().find(|t| t.row.id == generation) {
            tracked.aside = true;
        }
    }

    /// The content of the generation shows its format, which the name of its file doesn't tell.
    pub fn found_format(&mut self, generation: GenerationId, format: LogFormat) {
        if let Some(tracked) = self.tracked.iter_mut().find(|t| t.row.id == generation) {
            tracked.row.format = format;
        }
    }

    /// Everything that was set aside can be read.
    pub fn take_back(&mut self) {
        self.tracked.iter_mut().for_each(|t| t.aside = false);
    }

    fn listing_is_stale(&self) -> bool {
        let Some(listed) = self.listed else {
            return true;
        };
        let elapsed = listed.at.elapsed();
        if elapsed >= self.config.poll_interval && listed.is_due(elapsed, self.config.poll_interval)
        {
            return true;
        }
        self.directories.iter().any(|(path, then)| {
            // What came into a directory while it was listed may not show in its time, which is coarse.
            let is_fresh =
                then.modified_us >= listed.wall_us && elapsed >= self.config.poll_interval;
            is_fresh
                || fs::metadata(path).map_or(true, |now| file_hint(path.clone(), &now) != *then)
        })
    }

    /// Ends what is over.
    pub(super) fn judge(&mut self, listing: &Listing, hidden: &Hidden) {
        if self.mode == Mode::Finite {
            return;
        }
        let choice = self.choice();
        let newest = self
            .tracked
            .iter()
            .filter(|t| t.placed && choice.is_read(t))
            .map(|t| t.row.file.modified_us)
            .max();
        let there: HashSet<&Path> = listing
            .files
            .iter()
            .map(|found| found.file.path.as_path())
            .collect();
        for tracked in &mut self.tracked {
            if tracked.life != Life::Open {
                continue;
            }
            if tracked.cut && tracked.is_quiet(CUT_AFTER) {
                tracked.end(Some(GapReason::Corrupt));
                continue;
            }
            let path = tracked.row.file.path.as_path();
            let overwritten = there.contains(path);
            let left_out = !tracked.placed && !covers(&self.paths, self.mode, path);
            if !tracked.placed {
                tracked.missing_looks = tracked.missing_looks.saturating_add(1);
            }
            let seen = Sighting {
                placed: tracked.placed,
                named: tracked.named,
                unread: unread(tracked),
                quiet: tracked.is_quiet(self.config.quiet_after),
                superseded: newest > Some(tracked.row.file.modified_us),
                may_be_hidden: left_out || hidden.may_hold(&tracked.row.file),
                missing_looks: tracked.missing_looks,
                overwritten,
            };
            match verdict(seen) {
                // What a watched one had and is gone, another format has told.
                Verdict::Over(reason) => tracked.end(reason.filter(|_| choice.is_read(tracked))),
                Verdict::GoesOn => {}
            }
        }
    }
}

pub(super) fn unread(tracked: &Tracked) -> Unread {
    match tracked.seen_bytes {
        None => Unread::Unknown,
        Some(seen) if seen > tracked.taken_bytes() => Unread::Something,
        Some(_) => Unread::Nothing,
    }
}

fn age(file: &FileHint) -> (i64, &Path) {
    (file.modified_us, &file.path)
}

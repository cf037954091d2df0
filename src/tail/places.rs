//! Which file holds which generation: the part of a scan that looks at the directories.
//!
//! First the files that are where they were; then, for generations without a file, those that hold them; `newcomers` has the rest. All of it is
//! told by content (`generation`); inode, path and modification time only say where to look first and what needn't be looked at again.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::compressed::{Fault, fault_of};
use super::discovery::{Listing, LogFile, list};
use super::generation::WINDOW_BYTES;
use super::reader::{Probe, Resume};
use super::rotation::ingested_format;
use super::server_tail::{CUT_AFTER, Listed, ServerTail, WRITTEN_AFTER};
use super::tracked::{Life, Tracked, is_quiet};
use super::{Mode, Scan};
use crate::model::position::{Codec, FileHint, LogFormat};

/// How far the times of a file system may be behind the clock.
const COARSE_US: i64 = 100_000;

/// What one look met and couldn't look into. What may be in there must not be declared lost.
#[derive(Default)]
pub(super) struct Hidden {
    /// A compressed file that isn't whole yet.
    pub(super) undecided: bool,
    paths: Vec<PathBuf>,
    inodes: HashSet<(u64, u64)>,
}

impl Hidden {
    /// Whether the generation that was last seen in `file` may be in what is hidden: in that file, wherever it is, or somewhere in its directory.
    pub(super) fn may_hold(&self, file: &FileHint) -> bool {
        self.undecided
            || self.inodes.contains(&(file.device, file.inode))
            || self.paths.iter().any(|path| file.path.starts_with(path))
    }

    fn add(&mut self, file: &FileHint) {
        self.paths.push(file.path.clone());
        self.inodes.insert((file.device, file.inode));
    }
}

impl ServerTail {
    pub(super) fn look_at_directories(&mut self, scan: &mut Scan) {
        let (at, wall_us) = (Instant::now(), wall_clock_us());
        let listing = list(&self.paths, self.mode);
        let mut hidden = Hidden {
            paths: listing
                .trouble
                .iter()
                .map(|(path, _)| path.clone())
                .collect(),
            ..Hidden::default()
        };
        let files = self.files_with_formats(&listing, scan, &mut hidden);
        let strangers = self.find_places(files, scan);
        let mut probes = self.probe(strangers, scan, &mut hidden);
        self.probe_nameless(&listing, &mut probes, scan);
        self.resume_in(&mut probes, scan, &mut hidden);
        self.take_in(probes, scan);
        if self.mode == Mode::Follow {
            self.choose_format(&listing, scan);
        }
        self.judge(&listing, &hidden);
        self.directories = listing.directories;
        self.listed = Some(Listed {
            at,
            // The clock of a file system may be a tick behind.
            wall_us: wall_us.saturating_sub(COARSE_US),
            cost: at.elapsed(),
        });
        scan.unreadable.extend(listing.trouble);
    }

    /// The files to consider, with their formats.
    fn files_with_formats(
        &mut self,
        listing: &Listing,
        scan: &mut Scan,
        hidden: &mut Hidden,
    ) -> Vec<(LogFile, LogFormat)> {
        let mut files = Vec::new();
        let mut seen = HashSet::new();
        for found in &listing.files {
            let inode = (found.file.device, found.file.inode);
            // An empty file says nothing; a second name of a file nothing new.
            if found.file.size_bytes == 0 || !seen.insert(inode) {
                continue;
            }
            let known = self.given.or(found.format_hint).or_else(|| {
                let tracked = self.tracked.iter().find(|t| t.lives_in(&found.file));
                tracked
                    .map(|t| t.row.format)
                    .or_else(|| self.sniffed.get(&inode).copied())
            });
            let format = known.or_else(|| match Probe::open(&found.file.path) {
                Ok(probe) => self.sniff_format(&probe),
                Err(error) => {
                    hidden.add(&found.file);
                    unreadable(scan, &found.file.path, error);
                    None
                }
            });
            if let Some(format) = format {
                if found.format_hint.is_none() && self.given.is_none() {
                    self.sniffed.insert(inode, format);
                }
                files.push((found.clone(), format));
            }
        }
        self.sniffed.retain(|inode, _| seen.contains(inode));
        if self.mode == Mode::Follow {
            return files;
        }
        // Finished logs are read once: the best of what is there.
        let ages: Vec<(LogFormat, i64)> = files
            .iter()
            .map(|(found, format)| (format.unwrapped(), found.file.modified_us))
            .collect();
        self.format = ingested_format(&ages).or(self.format);
        let (files, others): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|(_, format)| Some(format.unwrapped()) == self.format);
        scan.watched_only
            .extend(others.into_iter().map(|(found, _)| found.file.path));
        files
    }

    /// A file whose name doesn't tell is a stderr log if its content isn't known to be another, once it has a line.
    fn sniff_format(&self, probe: &Probe) -> Option<LogFormat> {
        (self.sniff)(&probe.sample).or_else(|| {
            let enough = probe.sample.contains(&b'\n') || probe.sample.len() >= WINDOW_BYTES;
            enough.then_some(LogFormat::Stderr)
        })
    }

    /// Gives the generations that are known to live in one of `files` their current name; the files that are left.
    fn find_places(
        &mut self,
        files: Vec<(LogFile, LogFormat)>,
        scan: &mut Scan,
    ) -> Vec<(LogFile, LogFormat)> {
        let mut by_inode: HashMap<(u64, u64), Vec<usize>> = HashMap::new();
        for (index, tracked) in self.tracked.iter_mut().enumerate() {
            tracked.named = false;
            tracked.placed = tracked.reader.is_some();
            let inode = (tracked.row.file.device, tracked.row.file.inode);
            by_inode.entry(inode).or_default().push(index);
        }
        let mut strangers = Vec::new();
        for (found, format) in files {
            let at = (found.file.device, found.file.inode);
            let index = by_inode
                .get(&at)
                .into_iter()
                .flatten()
                .copied()
                .find(|index| {
                    self.tracked
                        .get(*index)
                        .is_some_and(|t| t.lives_in(&found.file))
                });
            match index.and_then(|index| self.tracked.get_mut(index)) {
                Some(tracked) => {
                    tracked.named = true;
                    tracked.placed = true;
                    tracked.missing_looks = 0;
                    if tracked.row.file.path != found.file.path {
                        tracked.row.file.path = found.file.path;
                        note_move(tracked, scan);
                    }
                }
                None => strangers.push((found, format)),
            }
        }
        strangers
    }

    fn probe(
        &self,
        files: Vec<(LogFile, LogFormat)>,
        scan: &mut Scan,
        hidden: &mut Hidden,
    ) -> Vec<(Probe, LogFormat)> {
        let mut probes = Vec::new();
        for (found, format) in files {
            match Probe::open(&found.file.path) {
                Ok(probe) if probe.codec != Codec::Raw && self.is_being_compressed(&probe) => {
                    hidden.undecided = true;
                }
                Ok(probe) if probe.sample.is_empty() => {
                    if probe.cut {
                        let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
                        unreadable(scan, &found.file.path, cut);
                    }
                }
                Ok(probe) => probes.push((probe, format)),
                Err(error) => {
                    hidden.add(&found.file);
                    unreadable(scan, &found.file.path, error);
                }
            }
        }
        probes
    }

    /// What was open before a reload and isn't in the listing any more.
    fn probe_nameless(
        &mut self,
        listing: &Listing,
        probes: &mut Vec<(Probe, LogFormat)>,
        scan: &mut Scan,
    ) {
        let named: HashSet<(u64, u64)> = listing
            .files
            .iter()
            .map(|found| (found.file.device, found.file.inode))
            .collect();
        for (hint, format, file) in std::mem::take(&mut self.held) {
            if named.contains(&(hint.device, hint.inode)) {
                continue;
            }
            match Probe::nameless(file, &hint.path) {
                Ok(probe) if probe.sample.is_empty() => {}
                Ok(probe) => probes.push((probe, format)),
                Err(error) => unreadable(scan, &hint.path, error),
            }
        }
    }

    fn is_being_compressed(&self, probe: &Probe) -> bool {
        let silence = match probe.cut {
            true => CUT_AFTER,
            false => WRITTEN_AFTER,
        };
        self.mode == Mode::Follow && !is_quiet(&probe.file, silence)
    }

    /// Finds the files in which generations without a place go on: the same inode before others, raw before compressed, the longest before others.
    fn resume_in(
        &mut self,
        probes: &mut Vec<(Probe, LogFormat)>,
        scan: &mut Scan,
        hidden: &mut Hidden,
    ) {
        let mut unplaced: Vec<usize> = (0..self.tracked.len())
            .filter(|index| self.tracked.get(*index).is_some_and(|t| !t.placed))
            .collect();
        unplaced.sort_by_key(|index| {
            self.tracked
                .get(*index)
                .map(|t| (t.life != Life::Open, Reverse(t.taken_bytes())))
        });
        let mut shrunk = Vec::new();
        for index in unplaced {
            let Some(tracked) = self.tracked.get_mut(index) else {
                continue;
            };
            let head = tracked.row.head;
            let mut order: Vec<usize> = (0..probes.len())
                .filter(|at| {
                    probes.get(*at).is_some_and(|(probe, _)| {
                        probe.may_start_with(head) || is_same_file(probe, tracked)
                    })
                })
                .collect();
            order.sort_by_key(|at| {
                probes.get(*at).map(|(probe, _)| {
                    (
                        probe.file.inode != tracked.row.file.inode,
                        probe.codec != Codec::Raw,
                        Reverse(probe.file.size_bytes),
                    )
                })
            });
            let mut found = None;
            let mut parted = None;
            for at in order {
                let Some((probe, _)) = probes.get(at) else {
                    continue;
                };
                if tracked.life != Life::Open && probe.claims_to_be_all_of(tracked.fingerprint()) {
                    tracked.row.file = probe.file.clone();
                    tracked.row.codec = probe.codec;
                    found = Some(at);
                    break;
                }
                let resume = probe.resume(tracked.fingerprint());
                // Of one that was read to its end a shorter file may be a copy in the making, a longer one with other content is none.
                let may_be_cut = tracked.life == Life::Open
                    || tracked.life == Life::Ended(None) && matches!(resume, Ok(Resume::Parted(_)));
                match resume {
                    Ok(Resume::At(reader, before)) => {
                        tracked.attach(probe, reader, before);
                        found = Some(at);
                        break;
                    }
                    Ok(Resume::Shorter(rung) | Resume::Parted(rung)) => {
                        if may_be_cut && is_same_file(probe, tracked) && probe.codec == Codec::Raw {
                            parted.get_or_insert((index, probe.file.path.clone(), rung));
                        }
                    }
                    Ok(Resume::Other) => {}
                    Err(error) => {
                        match fault_of(&error) {
                            Fault::System => hidden.add(&probe.file),
                            Fault::Cut => hidden.undecided |= !is_quiet(&probe.file, CUT_AFTER),
                            Fault::Corrupt => {}
                        }
                        unreadable(scan, &probe.file.path, error);
                    }
                }
            }
            if let Some(at) = found {
                tracked.placed = true;
                tracked.named = probes.get(at).is_some_and(|(probe, _)| probe.is_named());
                tracked.missing_looks = 0;
                note_move(tracked, scan);
                probes.remove(at);
            } else {
                shrunk.extend(parted);
            }
        }
        for (index, path, rung) in shrunk {
            let at = probes.iter().position(|(probe, _)| probe.file.path == path);
            if let Some(at) = at {
                let (probe, _) = probes.remove(at);
                self.succeed(index, &probe, rung, scan);
            }
        }
    }
}

/// Whether the probe is of the file, or of the name, that the generation was last seen under.
fn is_same_file(probe: &Probe, tracked: &Tracked) -> bool {
    probe.file.inode == tracked.row.file.inode || probe.file.path == tracked.row.file.path
}

pub(super) fn note_move(tracked: &Tracked, scan: &mut Scan) {
    scan.moved.push(tracked.row.clone());
}

fn wall_clock_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)
}

/// A file that vanished between the listing and the look is no trouble.
pub(super) fn unreadable(scan: &mut Scan, path: &Path, error: io::Error) {
    if error.kind() != io::ErrorKind::NotFound {
        scan.unreadable.push((path.to_owned(), error));
    }
}

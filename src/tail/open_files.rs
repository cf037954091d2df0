//! The files of a server that are held open: whether they still hold what was read, and which are closed beyond the limit.
//!
//! An open file can be read to its end after it was renamed or deleted, so files are kept open until that end rather than opened when they are read.
//! What a look finds goes out with the scan.

use std::fs;

use super::Scan;
use super::server_tail::ServerTail;
use super::tracked::Look;

/// Files of one server that are held open, so that their rest can be read after they are deleted. The limit is there because a first start may find
/// thousands of files; those beyond it are opened when it is their turn.
const OPEN_FILES_MAX: usize = 64;

/// A quarter of what the process may open (`ulimit -n`), so that the store and clients have theirs; see proc_pid_limits(5).
pub(super) fn open_files_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft: Option<usize> = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|limits| limits.split_whitespace().next())
        .and_then(|soft| soft.parse().ok());
    soft.map_or(OPEN_FILES_MAX, |soft| (soft / 4).clamp(4, OPEN_FILES_MAX))
}

impl ServerTail {
    /// Asks every open file how it is.
    pub(super) fn look_at_open_files(&mut self, scan: &mut Scan) {
        for tracked in &mut self.tracked {
            tracked.blocked = false;
            tracked.release();
            match tracked.look() {
                Ok(Look::Holds) => {}
                Ok(Look::Replaced) => {
                    tracked.displace();
                    self.shaken = true;
                }
                Err(error) => {
                    tracked.blocked = true;
                    scan.unreadable.push((tracked.row.file.path.clone(), error));
                }
            }
        }
    }

    /// Closes what is beyond the limit: first files that are read to their end, the oldest of them first, then the newest of the others.
    pub(super) fn limit_open_files(&mut self) {
        self.opened = 0;
        let mut open: Vec<usize> = (0..self.tracked.len())
            .filter(|index| self.tracked.get(*index).is_some_and(|t| t.reader.is_some()))
            .collect();
        let Some(excess) = open
            .len()
            .checked_sub(self.open_files_max)
            .filter(|n| *n > 0)
        else {
            return;
        };
        let choice = self.choice();
        open.sort_by_key(|index| {
            self.tracked.get(*index).map(|t| {
                let modified_us = t.row.file.modified_us;
                match t.unread_bytes() {
                    0 => (0, modified_us),
                    _ if !choice.is_read(t) => (0, modified_us),
                    _ => (1, modified_us.saturating_neg()),
                }
            })
        });
        for index in open.into_iter().take(excess) {
            // A file without a name can't be opened again.
            if let Some(tracked) = self.tracked.get_mut(index).filter(|t| t.named) {
                tracked.reader = None;
            }
        }
    }
}

//! A doorbell that rings when something in the watched directories may have changed, and a tick when nothing rang for too long.
//!
//! It carries no paths and no events: whoever hears it looks at everything. So a lost, late or merged notification costs latency and nothing else,
//! and without notifications (network file systems, exhausted watches) the tick does the same work. Directories are watched, never files, because a
//! watch follows an inode and logs change theirs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rang {
    /// Something may have changed, or somebody rang.
    Bell,
    /// Nothing rang in time.
    Tick,
}

/// Rings a doorbell from another thread.
#[derive(Debug, Clone)]
pub struct Ring(SyncSender<()>);

impl Ring {
    /// Ends the current wait, or else the next one.
    pub fn ring(&self) {
        // A full channel means that it rings already; a closed one that nobody waits any more.
        let _ = self.0.try_send(());
    }
}

/// Tells that something in the watched directories may have changed.
pub struct Doorbell {
    bell: Receiver<()>,
    ring: Ring,
    watcher: Option<RecommendedWatcher>,
    /// Watched directories with device and inode: a directory that was replaced is watched anew.
    watched: BTreeMap<PathBuf, (u64, u64)>,
}

impl Doorbell {
    /// Without `notify`, or where the system has no notifications to give, only `Ring`s and ticks end a wait.
    pub fn new(notify: bool) -> Self {
        // One place: any number of changes before a look are one look.
        let (sender, bell) = sync_channel(1);
        let ring = Ring(sender);
        let watcher = notify
            .then(|| notify::recommended_watcher(on_event(ring.clone())))
            .and_then(|watcher| {
                watcher
                    .inspect_err(|error| {
                        tracing::warn!(error = %error, "no file system notifications: log files are looked at once per tick");
                    })
                    .ok()
            });
        Self {
            bell,
            ring,
            watcher,
            watched: BTreeMap::new(),
        }
    }

    /// Watches exactly these directories. Call it after each scan with what `ServerTail::directories` says; it does something only when that changed.
    pub fn watch(&mut self, directories: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let wanted: BTreeMap<PathBuf, (u64, u64)> = directories
            .iter()
            .filter_map(|path| Some((path.clone(), identity(path)?)))
            .collect();
        self.watched.retain(|path, identity| {
            let keep = wanted.get(path) == Some(identity);
            if !keep {
                // A directory that is gone took its watch with it.
                let _ = watcher.unwatch(path);
            }
            keep
        });
        for (path, identity) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, identity);
                }
                Err(error) => {
                    tracing::debug!(directory = %path.display(), error = %error, "the directory can't be watched; it is looked at once per tick");
                }
            }
        }
    }

    /// Waits until it rings, at most `timeout`.
    pub fn wait(&self, timeout: Duration) -> Rang {
        match self.bell.recv_timeout(timeout) {
            Ok(()) => Rang::Bell,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Rang::Tick,
        }
    }

    /// A handle that rings this doorbell, e.g. at shutdown.
    pub fn ring_handle(&self) -> Ring {
        self.ring.clone()
    }
}

fn on_event(ring: Ring) -> impl FnMut(notify::Result<notify::Event>) {
    move |event| {
        // A lost event comes without paths and an error without event: both mean to look. Reading a log makes Access events; those must not lead to
        // another read.
        let look = match event {
            Ok(event) => event.need_rescan() || !matches!(event.kind, EventKind::Access(_)),
            Err(_) => true,
        };
        if look {
            ring.ring();
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::fs::{File, OpenOptions};
    use std::io::{Read, Write};
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    fn drain(doorbell: &Doorbell) {
        while doorbell.wait(Duration::from_millis(50)) == Rang::Bell {}
    }

    #[test]
    fn rings_within_50_ms_of_an_append_and_not_for_our_own_reads() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        fs::write(&log, "one\n").unwrap();
        let mut doorbell = Doorbell::new(true);
        doorbell.watch(&[folder.path().to_owned()]);
        drain(&doorbell);

        for _ in 0..100 {
            let mut content = String::new();
            File::open(&log)
                .unwrap()
                .read_to_string(&mut content)
                .unwrap();
        }
        assert_eq!(doorbell.wait(Duration::from_millis(100)), Rang::Tick);

        let mut file = OpenOptions::new().append(true).open(&log).unwrap();
        drain(&doorbell);
        let fastest = (0..5)
            .map(|_| {
                file.write_all(b"two\n").unwrap();
                let written = Instant::now();
                assert_eq!(doorbell.wait(LONG), Rang::Bell);
                let took = written.elapsed();
                drain(&doorbell);
                took
            })
            .min()
            .unwrap();
        assert!(fastest < Duration::from_millis(50), "{fastest:?}");
    }

    #[test]
    fn watches_a_directory_that_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("log");
        fs::create_dir(&logs).unwrap();
        let mut doorbell = Doorbell::new(true);
        doorbell.watch(std::slice::from_ref(&logs));
        fs::rename(&logs, folder.path().join("old")).unwrap();
        fs::create_dir(&logs).unwrap();
        doorbell.watch(std::slice::from_ref(&logs));
        drain(&doorbell);
        fs::write(logs.join("a.log"), "one\n").unwrap();
        assert_eq!(doorbell.wait(LONG), Rang::Bell);
    }

    #[test]
    fn without_notifications_it_ticks_and_can_be_rung() {
        let mut doorbell = Doorbell::new(false);
        doorbell.watch(&[PathBuf::from("/nowhere")]);
        assert_eq!(doorbell.wait(Duration::ZERO), Rang::Tick);
        let ring = doorbell.ring_handle();
        ring.ring();
        ring.ring();
        assert_eq!(doorbell.wait(LONG), Rang::Bell);
        assert_eq!(doorbell.wait(Duration::ZERO), Rang::Tick);
    }

    #[test]
    fn looks_after_lost_events_and_errors() {
        let doorbell = Doorbell::new(false);
        let mut on_event = on_event(doorbell.ring_handle());
        let lost = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        on_event(Ok(lost));
        assert_eq!(doorbell.wait(Duration::ZERO), Rang::Bell);
        on_event(Err(notify::Error::generic("queue")));
        assert_eq!(doorbell.wait(Duration::ZERO), Rang::Bell);
        let opened = EventKind::Access(notify::event::AccessKind::Any);
        on_event(Ok(notify::Event::new(opened)));
        assert_eq!(doorbell.wait(Duration::ZERO), Rang::Tick);
    }
}

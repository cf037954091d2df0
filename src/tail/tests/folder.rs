//! A folder of logs for the tests: what is written there, and a daemon that has read a part of it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Daemon, Store};
use crate::model::position::{Gap, GapReason};

/// `count` lines of a log, from number `first` on; each about 60 bytes.
pub(super) fn lines(first: usize, count: usize) -> String {
    (first..first + count)
        .map(|n| format!("2026-11-20 10:00:00.{n:06} UTC [77] LOG:  duration: 1.0 ms {n}\n"))
        .collect()
}

pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(super) fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.file(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Overwrites in place: the inode stays.
    pub(super) fn overwrite(&self, name: &str, text: &str) {
        File::create(self.file(name))
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.file(from), self.file(to)).unwrap();
    }

    pub(super) fn copy(&self, from: &str, to: &str) {
        fs::copy(self.file(from), self.file(to)).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }

    /// As if it had last been written an hour ago.
    pub(super) fn age(&self, name: &str) {
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::open(self.file(name))
            .unwrap()
            .set_modified(hour_ago)
            .unwrap();
    }

    pub(super) fn gzip(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), packed(".gz", content)).unwrap();
        self.age(name);
    }

    pub(super) fn daemon(&self) -> Daemon {
        Daemon::follow(self.path(), Store::default())
    }
}

/// A daemon that has committed the first `read` of `written` lines of `x.log`, and saw all of them.
pub(super) fn half_read(folder: &Folder, written: usize, read: usize) -> Daemon {
    folder.append("x.log", &lines(0, read));
    let mut daemon = folder.daemon();
    daemon.settle();
    folder.append("x.log", &lines(read, written - read));
    daemon.scan();
    daemon
}

pub(super) fn gaps(daemon: &Daemon) -> Vec<(u64, Option<u64>, GapReason)> {
    let gap = |gap: &Gap| (gap.from_bytes, gap.to_bytes, gap.reason);
    daemon.store.gaps.iter().map(gap).collect()
}

pub(super) fn offset(first: usize, count: usize) -> u64 {
    lines(first, count).len() as u64
}

/// One member, frame or stream.
pub(super) fn packed(extension: &str, content: &[u8]) -> Vec<u8> {
    match extension {
        ".gz" => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(content).unwrap();
            gzip.finish().unwrap()
        }
        ".zst" => zstd::encode_all(content, 1).unwrap(),
        ".bz2" => {
            let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            bzip2.write_all(content).unwrap();
            bzip2.finish().unwrap()
        }
        ".xz" => {
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
            xz.write_all(content).unwrap();
            xz.finish().unwrap()
        }
        other => panic!("{other}"),
    }
}

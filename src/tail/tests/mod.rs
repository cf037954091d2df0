//! The tail against real files: a daemon that reads, commits, dies and comes back, and what of the logs it has then.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

mod compressed;
mod folder;
mod gone;
mod listed;
mod model;
mod overwritten;
mod rotated;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Chunk, Config, Mode, Scan, ServerTail};
use crate::model::position::{Gap, Generation, GenerationId, LogFormat, Server};

/// What is in the store: rows, the committed bytes of each generation, gaps.
#[derive(Default, Clone)]
struct Store {
    rows: BTreeMap<i64, Generation>,
    bytes: BTreeMap<i64, BTreeMap<u64, Vec<u8>>>,
    gaps: Vec<Gap>,
}

impl Store {
    /// Committed bytes of one generation as one run from the lowest offset.
    fn content(&self, id: i64) -> (u64, Vec<u8>) {
        let parts = self.bytes.get(&id).cloned().unwrap_or_default();
        let start = parts.keys().next().copied().unwrap_or_default();
        let mut all = Vec::new();
        for (offset, part) in parts {
            assert_eq!(
                offset,
                start + all.len() as u64,
                "committed bytes have a hole or overlap"
            );
            all.extend(part);
        }
        (start, all)
    }

    /// Committed bytes of all generations, those with earlier content first.
    fn text(&self) -> String {
        let mut parts: Vec<Vec<u8>> = self.bytes.keys().map(|id| self.content(*id).1).collect();
        parts.sort();
        String::from_utf8(parts.concat()).unwrap()
    }
}

/// What was read of a generation since its last commit.
struct Batch {
    start_bytes: u64,
    bytes: Vec<u8>,
    gaps: Vec<Gap>,
    ended: bool,
}

/// The ingest thread, with a parser for which a line is a record.
struct Daemon {
    tail: ServerTail,
    store: Store,
    batches: BTreeMap<i64, Batch>,
}

impl Daemon {
    fn start(paths: &[PathBuf], mode: Mode, store: Store, config: &Config) -> Self {
        let known = store.rows.values().cloned().collect();
        let server = Server::named("test").id;
        Self {
            tail: ServerTail::open(server, paths.to_vec(), mode, known, sniff, config),
            store,
            batches: BTreeMap::new(),
        }
    }

    fn follow(folder: &Path, store: Store) -> Self {
        Self::start(&[folder.to_owned()], Mode::Follow, store, &config())
    }

    fn scan(&mut self) -> Scan {
        let scan = self.tail.scan();
        for row in scan.new.iter().chain(&scan.moved) {
            self.store.rows.insert(row.id.0, row.clone());
        }
        scan
    }

    /// Reads one chunk; whether there was one.
    fn read(&mut self) -> bool {
        let Some(chunk) = self.tail.next_chunk() else {
            return false;
        };
        let Chunk {
            generation,
            start_bytes,
            bytes,
            first,
            end_of_generation,
            gaps,
            ..
        } = chunk;
        let id = generation.0;
        if first {
            let batch = Batch {
                start_bytes,
                bytes: Vec::new(),
                gaps: Vec::new(),
                ended: false,
            };
            match self.batches.get_mut(&id) {
                // It goes on after its end.
                Some(batch) if batch.ended => batch.ended = false,
                _ => {
                    // One that was lost before the store heard of it stands at its beginning.
                    let committed = self.store.rows.get(&id).map_or(0, |row| row.offset_bytes);
                    let hole = gaps.first().map_or(committed, |gap| {
                        gap.to_bytes.unwrap_or(start_bytes).min(start_bytes)
                    });
                    assert!(start_bytes == committed || start_bytes == hole);
                    self.batches.insert(id, batch);
                }
            }
        }
        let batch = self.batches.get_mut(&id).unwrap();
        assert_eq!(batch.start_bytes + batch.bytes.len() as u64, start_bytes);
        assert!(!batch.ended, "nothing comes after the end");
        assert!(bytes.is_empty() == end_of_generation);
        batch.bytes.extend(bytes);
        batch.gaps.extend(gaps);
        batch.ended = end_of_generation;
        true
    }

    fn commit(&mut self) {
        for id in self.batches.keys().copied().collect::<Vec<_>>() {
            self.commit_one(id);
        }
    }

    fn commit_one(&mut self, id: i64) {
        let batch = self.batches.get_mut(&id).unwrap();
        let settled = match batch.ended {
            true => batch.bytes.len(),
            false => batch
                .bytes
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |at| at + 1),
        };
        let end = batch.start_bytes + settled as u64;
        let row = self.tail.checkpoint(GenerationId(id), end).unwrap();
        let committed: Vec<u8> = batch.bytes.drain(..settled).collect();
        if !committed.is_empty() {
            self.store
                .bytes
                .entry(id)
                .or_default()
                .insert(batch.start_bytes, committed);
        }
        self.store.gaps.append(&mut batch.gaps);
        self.store.rows.insert(id, row.clone());
        batch.start_bytes = end;
        if batch.ended {
            self.batches.remove(&id);
        }
        self.tail.committed(row);
    }

    fn rewind(&mut self) {
        for id in self.batches.keys().copied().collect::<Vec<_>>() {
            self.tail.rewind(GenerationId(id));
            self.batches.remove(&id);
        }
    }

    /// Looks, reads and commits until nothing more comes.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.scan();
            while self.read() {}
            self.commit();
        }
    }

    /// kill -9 and a new start.
    fn restart(self, folder: &Path) -> Self {
        Self::follow(folder, self.store)
    }
}

fn sniff(_: &[u8]) -> Option<LogFormat> {
    None
}

fn config() -> Config {
    Config {
        poll_interval: Duration::ZERO,
        follow_bytes: 1,
        ..Config::default()
    }
}

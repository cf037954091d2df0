//! Random lives of a log against a model: every byte of every content is committed exactly once, or lies in a declared gap, or could not be seen.
//!
//! What can't be promised, and is let pass here: bytes that were written after the last look at a file and destroyed (by truncation, or by deletion
//! while nothing held the file open) before the next look, when all that the last look saw had been read. Contents differ in their first line, as
//! PostgreSQL's do by its time; `overwritten` has the cases where they don't yet.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{Daemon, Store, config};
use crate::model::position::Gap;
use crate::tail::generation::head_of;
use crate::tail::{Config, Mode};

#[derive(Debug, Clone)]
enum Action {
    Append(u8),
    AppendPart,
    Rename,
    NewName,
    CopyTruncate,
    Truncate,
    TruncateAndRegrow,
    Delete,
    DeleteRotated,
    Gzip { keep: bool },
    Zstd,
    Scan,
    Read(u8),
    Commit,
    Rewind,
    Restart,
}

/// One life of content. `files` hold it whole; `seen_bytes` is how far a running daemon had a look at it.
#[derive(Default)]
struct Life {
    bytes: Vec<u8>,
    files: Vec<PathBuf>,
    seen_bytes: usize,
}

struct World {
    folder: PathBuf,
    active: PathBuf,
    lives: Vec<Life>,
    lines: u64,
    clock: u64,
    long: bool,
}

impl World {
    fn current(&mut self) -> Option<&mut Life> {
        let active = self.active.clone();
        self.lives
            .iter_mut()
            .find(|life| life.files.contains(&active))
    }

    fn touch(&mut self, path: &Path) {
        // Each change has its own time, an hour ago: files are quiet at once, and the clock of the file system is fine enough.
        self.clock += 1;
        let at =
            SystemTime::now() - Duration::from_secs(3600) + Duration::from_millis(10 * self.clock);
        OpenOptions::new()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(at)
            .unwrap();
    }

    fn append(&mut self, bytes: &[u8]) {
        let path = self.active.clone();
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap()
            .write_all(bytes)
            .unwrap();
        if self.current().is_none() {
            self.lives.push(Life {
                files: vec![path.clone()],
                ..Life::default()
            });
        }
        self.current().unwrap().bytes.extend(bytes);
        self.touch(&path);
    }

    fn line(&mut self) -> Vec<u8> {
        self.lines += 1;
        let width = match (self.long, self.lines % 7) {
            (true, 3) => 5000,
            (true, _) => 700,
            (false, odd) => 5 + odd as usize,
        };
        format!(
            "2026-11-20 10:00:{:09} UTC [1] LOG:  {}\n",
            self.lines,
            "x".repeat(width)
        )
        .into_bytes()
    }

    fn rotated(&self, n: usize, compressed: &str) -> PathBuf {
        self.folder.join(format!("x.log.{n}{compressed}"))
    }

    /// Moves x.log.1 to x.log.2 and so on, whatever the form.
    fn make_room(&mut self) {
        for n in (1..9).rev() {
            for compressed in ["", ".gz", ".zst"] {
                self.rename(
                    &self.rotated(n, compressed),
                    &self.rotated(n + 1, compressed),
                );
            }
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        if !from.exists() {
            return;
        }
        self.remove(to);
        fs::rename(from, to).unwrap();
        for file in self.lives.iter_mut().flat_map(|life| &mut life.files) {
            if file == from {
                *file = to.to_owned();
            }
        }
    }

    fn remove(&mut self, path: &Path) {
        let _ = fs::remove_file(path);
        for life in &mut self.lives {
            life.files.retain(|file| file != path);
        }
    }

    fn truncate(&mut self) {
        if self.active.exists() {
            File::create(&self.active).unwrap();
            let active = self.active.clone();
            self.touch(&active);
            for life in &mut self.lives {
                life.files.retain(|file| *file != active);
            }
        }
    }

    fn compress(&mut self, extension: &str, keep: bool) {
        let raw = self.rotated(1, "");
        let Ok(content) = fs::read(&raw) else {
            return;
        };
        let to = self.rotated(1, extension);
        let modified = fs::metadata(&raw).unwrap().modified().unwrap();
        // Two members or frames, as log shippers write them.
        let (one, two) = content.split_at(content.len() / 2);
        let packed = [one, two].map(|part| match extension {
            ".gz" => {
                let mut gzip =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(part).unwrap();
                gzip.finish().unwrap()
            }
            _ => zstd::encode_all(part, 1).unwrap(),
        });
        fs::write(&to, packed.concat()).unwrap();
        File::open(&to).unwrap().set_modified(modified).unwrap();
        if let Some(life) = self.lives.iter_mut().find(|life| life.files.contains(&raw)) {
            life.files.push(to);
        }
        if !keep {
            self.remove(&raw);
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Append(lines) => {
                for _ in 0..*lines {
                    let line = self.line();
                    self.append(&line);
                }
            }
            Action::AppendPart => {
                let line = self.line();
                self.append(&line[..line.len() * 3 / 4]);
            }
            Action::Rename => {
                self.make_room();
                self.rename(&self.active.clone(), &self.rotated(1, ""));
            }
            Action::NewName => self.active = self.folder.join(format!("x-{}.log", self.lines)),
            Action::CopyTruncate => {
                if self.active.exists() {
                    self.make_room();
                    let copy = self.rotated(1, "");
                    fs::copy(&self.active, &copy).unwrap();
                    self.touch(&copy);
                    if let Some(life) = self.current() {
                        life.files.push(copy);
                    }
                    self.truncate();
                }
            }
            Action::Truncate => self.truncate(),
            Action::TruncateAndRegrow => {
                let old = self.current().map_or(0, |life| life.bytes.len());
                self.truncate();
                while self.current().map_or(0, |life| life.bytes.len()) <= old {
                    let line = self.line();
                    self.append(&line);
                }
            }
            Action::Delete => self.remove(&self.active.clone()),
            Action::DeleteRotated => self.remove(&self.rotated(1, "")),
            Action::Gzip { keep } => self.compress(".gz", *keep),
            Action::Zstd => self.compress(".zst", false),
            Action::Scan | Action::Read(_) | Action::Commit | Action::Rewind | Action::Restart => {}
        }
    }

    /// What was read, against what was written.
    fn check(&self, daemon: &Daemon) {
        let store = &daemon.store;
        let mut counts: Vec<Vec<u8>> = self
            .lives
            .iter()
            .map(|life| vec![0; life.bytes.len()])
            .collect();
        let mut lost: Vec<Vec<Gap>> = self.lives.iter().map(|_| Vec::new()).collect();
        for (id, row) in &store.rows {
            let len = usize::try_from(row.head.len_bytes).unwrap();
            let at = self
                .lives
                .iter()
                .position(|life| life.bytes.len() >= len && head_of(&life.bytes[..len]) == row.head)
                .expect("each generation is some content");
            let (mut start, mut content) = store.content(*id);
            // A last line without its end was read and waits.
            if let Some(batch) = daemon.batches.get(id) {
                start = if content.is_empty() {
                    batch.start_bytes
                } else {
                    start
                };
                content.extend(&batch.bytes);
            }
            let start = usize::try_from(start).unwrap();
            assert_eq!(
                self.lives[at].bytes.get(start..start + content.len()),
                Some(content.as_slice()),
                "committed bytes are those at their offsets"
            );
            for count in &mut counts[at][start..start + content.len()] {
                *count += 1;
            }
            lost[at].extend(
                store
                    .gaps
                    .iter()
                    .filter(|gap| gap.generation.0 == *id)
                    .copied(),
            );
        }
        for ((life, counts), gaps) in self.lives.iter().zip(counts).zip(lost) {
            for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count != 1) {
                let offset = at as u64;
                let declared = gaps.iter().any(|gap| {
                    gap.from_bytes <= offset && gap.to_bytes.is_none_or(|to| offset < to)
                });
                let unseen = life.files.is_empty() && at >= life.seen_bytes;
                assert!(
                    *count <= 1,
                    "byte {at} of {:?} came {count} times",
                    life.files
                );
                assert!(
                    declared && life.files.is_empty() || unseen,
                    "byte {at} of {} of {:?} is missing, gaps {gaps:?}, seen {}",
                    life.bytes.len(),
                    life.files,
                    life.seen_bytes
                );
            }
        }
    }
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => (1..5_u8).prop_map(Action::Append),
        3 => Just(Action::AppendPart),
        3 => Just(Action::Rename),
        1 => Just(Action::NewName),
        2 => Just(Action::CopyTruncate),
        1 => Just(Action::Truncate),
        1 => Just(Action::TruncateAndRegrow),
        1 => Just(Action::Delete),
        1 => Just(Action::DeleteRotated),
        2 => any::<bool>().prop_map(|keep| Action::Gzip { keep }),
        1 => Just(Action::Zstd),
        8 => Just(Action::Scan),
        6 => (1..4_u8).prop_map(Action::Read),
        4 => Just(Action::Commit),
        1 => Just(Action::Rewind),
        3 => Just(Action::Restart),
    ];
    prop::collection::vec(action, 1..60)
}

fn run(actions: &[Action], long: bool, quiet_after: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World {
        folder: folder.path().to_owned(),
        active: folder.path().join("x.log"),
        lives: Vec::new(),
        lines: 0,
        clock: 0,
        long,
    };
    let config = Config {
        quiet_after,
        read_bytes: if long { 3000 } else { 150 },
        ..config()
    };
    let start = |store| Daemon::start(&[folder.path().to_owned()], Mode::Follow, store, &config);
    let mut daemon = start(Store::default());
    for action in actions {
        world.act(action);
        match action {
            Action::Scan => {
                daemon.scan();
                for life in world.lives.iter_mut().filter(|life| !life.files.is_empty()) {
                    life.seen_bytes = life.bytes.len();
                }
            }
            Action::Read(chunks) => {
                for _ in 0..*chunks {
                    daemon.read();
                }
            }
            Action::Commit => daemon.commit(),
            Action::Rewind => daemon.rewind(),
            Action::Restart => daemon = start(daemon.store),
            _ => {}
        }
    }
    daemon.settle();
    daemon.settle();
    world.check(&daemon);
    // Nothing is told twice to who comes back.
    let mut daemon = start(daemon.store);
    daemon.settle();
    world.check(&daemon);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_once_or_in_a_gap(actions in actions(), long: bool) {
        run(&actions, long, Duration::from_secs(10));
    }

    #[test]
    fn the_same_where_files_end_only_when_they_must(actions in actions(), long: bool) {
        run(&actions, long, Duration::from_secs(7200));
    }
}

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use super::{
    crash::dice,
    oracle::{FORMATS, Format},
    run::{StoreKind, Stores, World, count_rows, each, each_in, rounds},
};
use crate::plantail::signal;

fn database(world: &World) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(world.home.path("store.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    connection
}

/// The whole store in its one file, as a backup has to have it.
fn whole_file(world: &World) -> Vec<u8> {
    database(world)
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    fs::read(world.home.path("store.db")).unwrap()
}

pub(super) fn descriptors(world: &World) -> usize {
    let folder = format!("/proc/{}/fd", world.process_id());
    fs::read_dir(folder).unwrap().count()
}

pub(super) fn resident_kb(world: &World) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", world.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.unwrap().trim().trim_end_matches(" kB");
    kb.parse().unwrap()
}

/// While the store is away the files that rotate are kept open: two of them are deleted meanwhile.
#[cfg(feature = "failpoints")]
#[test]
fn row_08_store_away_while_files_are_deleted() {
    use std::os::unix::fs::MetadataExt;
    each(
        "8",
        "store away, five rotations, two files deleted",
        FORMATS,
        |world| {
            world.writer.write(100);
            let away = world.home.path("away");
            world.start_with(&format!(
                "batch-begins=error-while({0})@1+;generation-found=error-while({0})@1+",
                away.display()
            ));
            world.settle();
            let before = (descriptors(world), resident_kb(world));
            fs::write(&away, "").unwrap();
            let mut rotated = Vec::new();
            for _ in 0..5 {
                world.writer.write(rounds(50, 5000));
                rotated.push(fs::metadata(world.writer.path()).unwrap().ino());
                world.rotate();
                // Each is looked at before the next comes.
                thread::sleep(Duration::from_millis(rounds(1300, 20_000) as u64));
            }
            world.writer.write(50);
            for entry in fs::read_dir(&world.logs).unwrap() {
                let path = entry.unwrap().path();
                if rotated[1..3].contains(&fs::metadata(&path).unwrap().ino()) {
                    fs::remove_file(path).unwrap();
                }
            }
            thread::sleep(Duration::from_secs(rounds(1, 60) as u64));
            let after = resident_kb(world);
            assert!(
                after < before.1 + 64 * 1024,
                "{after} kB after {} kB",
                before.1
            );
            fs::remove_file(&away).unwrap();
            world.settle();
            assert!(descriptors(world) <= before.0 + 8);
            world.expect_all();
        },
    );
}

#[test]
fn row_10_store_locked() {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "10",
        "another process holds the write lock",
        FORMATS,
        |world| {
            world.writer.write(100);
            world.start();
            world.settle();
            let other = database(world);
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            world.writer.write(200);
            thread::sleep(Duration::from_secs(rounds(7, 30) as u64));
            world.writer.write(100);
            assert_eq!(count_rows(&world.home), 100);
            other.execute_batch("ROLLBACK").unwrap();
            world.expect_all();
        },
    );
}

/// A file system of its own, unmounted when dropped.
pub(super) struct Mount(PathBuf);

impl Mount {
    /// `None`, with a message, where it can't be mounted.
    pub(super) fn new(at: &Path, arguments: &[&str]) -> Option<Self> {
        if !World::is_root() {
            return None;
        }
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(arguments)
            .arg(at)
            .output()
            .unwrap();
        if !mounted.status.success() {
            eprintln!(
                "skipped: mount: {}",
                String::from_utf8_lossy(&mounted.stderr)
            );
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn row_11_disk_full() {
    if !World::is_root() {
        return;
    }
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "11",
        "the store's disk is full, then it is not",
        FORMATS,
        |world| {
            let outside = tempfile::tempdir().unwrap();
            let disk = outside.path().join("disk");
            let Some(_mount) = Mount::new(&disk, &["-t", "tmpfs", "-o", "size=4m", "tmpfs"]) else {
                return world.skip();
            };
            world.store_inside(&disk);
            world.writer.write(200);
            world.start();
            world.settle();
            let ballast = disk.join("ballast");
            // tmpfs says that it is full by an error of write.
            let _ = fs::write(&ballast, vec![0; 8 << 20]);
            world.writer.write(rounds(1500, 6000));
            thread::sleep(Duration::from_secs(2));
            let while_full = count_rows(&world.home);
            assert!(
                while_full < world.writer.written.len(),
                "the disk isn't full"
            );
            assert!(!world.has_ended(), "{}", world.log());
            fs::remove_file(ballast).unwrap();
            let bigger = Command::new("mount")
                .args(["-o", "remount,size=64m"])
                .arg(&disk)
                .status();
            assert!(bigger.unwrap().success());
            world.expect_all();
        },
    );
}

#[cfg(feature = "failpoints")]
#[test]
fn row_12_store_fails() {
    each(
        "12",
        "the store fails at each commit, then works",
        FORMATS,
        |world| {
            world.writer.write(100);
            world.start_with("before-commit=error@1+");
            world.wait_until("complaint", || world.log().contains("failed at the point"));
            world.writer.write(100);
            world.rotate();
            world.writer.write(100);
            thread::sleep(Duration::from_millis(500));
            assert_eq!(count_rows(&world.home), 0);
            assert!(!world.has_ended());
            world.stop();
            world.expect_all();
        },
    );
}

#[test]
fn row_12_store_corrupt() {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "12",
        "pages of the store are overwritten; then a backup is put back",
        FORMATS,
        |world| {
            world.writer.write(400);
            world.start();
            world.settle();
            world.stop();
            let path = world.home.path("store.db");
            let good = whole_file(world);
            let mut bad = good.clone();
            for page in bad.chunks_mut(4096).skip(1) {
                page[..200].fill(0x5a);
            }
            fs::write(&path, bad).unwrap();
            world.writer.write(100);
            world.start();
            let status = world.ends();
            assert_ne!(status.code(), Some(0));
            assert!(
                world.log().contains("malformed") || world.log().contains("corrupt"),
                "{}",
                world.log()
            );
            fs::write(&path, good).unwrap();
            world.expect_all();
        },
    );
}

/// The write-ahead log of a machine that lost its power ends anywhere behind what was last flushed; nothing is flushed between checkpoints.
#[test]
fn row_58_power_cut_of_the_store() {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "58",
        "database and write-ahead log as a power cut leaves them, cut at a random byte",
        FORMATS,
        |world| {
            let mut dice = dice(58);
            for round in 0..rounds(8, 100) {
                world.writer.write(40);
                world.start();
                world.wait_for_rows(count_rows(&world.home) + 1);
                for _ in 0..dice(4) {
                    world.writer.write(20);
                    thread::sleep(Duration::from_millis(dice(60)));
                }
                signal(world.process_id(), "STOP");
                let files = ["store.db", "store.db-wal"].map(|name| world.home.path(name));
                let [database, mut log] =
                    files.clone().map(|path| fs::read(path).unwrap_or_default());
                let keep = usize::try_from(dice(log.len() as u64 + 1)).unwrap();
                match round % 3 {
                    0 => log.truncate(keep),
                    1 => log[keep..].fill(0),
                    _ => log[keep..].iter_mut().for_each(|byte| *byte ^= 0xa5),
                }
                world.kill();
                let _ = fs::remove_file(world.home.path("store.db-shm"));
                fs::write(&files[0], database).unwrap();
                fs::write(&files[1], log).unwrap();
                if round % 3 == 2 {
                    world.rotate();
                }
            }
            world.expect_all();
        },
    );
}

#[test]
fn row_59_older_backup_restored() {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "59",
        "an older backup of the store is put back",
        FORMATS,
        |world| {
            world.writer.write(100);
            world.start();
            world.settle();
            world.stop();
            let path = world.home.path("store.db");
            let backup = whole_file(world);
            world.start();
            world.writer.write(100);
            world.rotate();
            world.writer.write(100);
            world.rotate();
            world.writer.write(100);
            world.settle();
            world.stop();
            for suffix in ["-wal", "-shm"] {
                let _ = fs::remove_file(world.home.path(&format!("store.db{suffix}")));
            }
            fs::write(&path, backup).unwrap();
            world.expect_all();
        },
    );
}

#[test]
fn row_60_position_beyond_the_end() {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "60",
        "the stored position is edited to stand behind the end",
        FORMATS,
        |world| {
            world.writer.write(100);
            world.start();
            world.settle();
            world.stop();
            database(world)
                .execute_batch("UPDATE checkpoints SET offset_bytes = offset_bytes + 1000000")
                .unwrap();
            world.writer.write(100);
            // What is read again under another generation comes twice; nothing waits until the file is as long as the position says.
            world.may_double = true;
            world.expect(&[(0, None, "truncated")]);
        },
    );
}

#[test]
fn row_60_position_deleted() {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "60",
        "the stored position is deleted",
        FORMATS,
        |world| {
            world.writer.write(100);
            world.start();
            world.settle();
            world.stop();
            database(world)
                .execute_batch("DELETE FROM checkpoints")
                .unwrap();
            world.writer.write(100);
            world.expect_all();
        },
    );
}

#[test]
fn row_61_two_daemons() {
    each(
        "61",
        "two daemons on one store, the first is killed",
        FORMATS,
        |world| {
            world.writer.write(100);
            world.start();
            world.settle();
            let log = OpenOptions::new()
                .create(true)
                .append(true)
                .open(world.home.path("second.log"))
                .unwrap();
            let mut second = world.home.command(&["watch", "--no-api"]);
            let mut second = second
                .stdout(std::process::Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            for _ in 0..10 {
                world.writer.write(20);
                thread::sleep(Duration::from_millis(50));
            }
            world.kill();
            world.writer.write(50);
            // It waits for the first one's end, or it had ended at once and somebody starts it again.
            if second.try_wait().unwrap().is_some() {
                world.start();
            }
            world.settle();
            let _ = second.kill();
            let _ = second.wait();
            world.expect_all();
        },
    );
}

/// The log lost its end in a power cut and grew again beyond where it was read to: nothing of what grew is taken for read, and nothing before the cut
/// comes twice.
#[test]
fn row_57_power_cut_of_the_log() {
    each(
        "57",
        "the log lost its end in a power cut and grew again",
        // What follows a csv record that is cut in a quoted text is row 44.
        &[Format::Stderr, Format::Jsonlog],
        |world| {
            world.writer.write(300);
            world.start();
            world.settle();
            world.kill();
            let life = world.writer.life_bytes();
            let cut = life - 20_000;
            let path = world.writer.path();
            OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(cut)
                .unwrap();
            let mut bytes = world.writer.lives[0].clone();
            bytes.truncate(usize::try_from(cut).unwrap());
            world.writer.new_life(bytes);
            let life = world.writer.life();
            world.writer.go_on(&path, life);
            world.writer.raw(b"\n");
            world.writer.write(200);
            world.may_be_damaged = true;
            world.may_be_torn = true;
            world.expect(&[(0, None, "truncated")]);
        },
    );
}

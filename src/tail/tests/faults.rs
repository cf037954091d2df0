//! Named faults: what each leaves in the store.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Config, Daemon, Mode, Store, config};
use crate::model::position::{Codec, Gap, GapReason, GenerationId, GenerationState};
use crate::tail::discovery::{ServerLogs, log_files, servers_of};
use crate::tail::{Error, Retelling};

/// `count` lines of a log, from number `first` on; each about 60 bytes.
fn lines(first: usize, count: usize) -> String {
    (first..first + count)
        .map(|n| format!("2026-11-20 10:00:00.{n:06} UTC [77] LOG:  duration: 1.0 ms {n}\n"))
        .collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.file(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Overwrites in place: the inode stays.
    fn overwrite(&self, name: &str, text: &str) {
        File::create(self.file(name))
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.file(from), self.file(to)).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.file(from), self.file(to)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }

    /// As if it had last been written an hour ago.
    fn age(&self, name: &str) {
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::open(self.file(name))
            .unwrap()
            .set_modified(hour_ago)
            .unwrap();
    }

    fn gzip(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), packed(".gz", content)).unwrap();
        self.age(name);
    }

    fn daemon(&self) -> Daemon {
        Daemon::follow(self.path(), Store::default())
    }
}

/// A daemon that has committed the first `read` of `written` lines of `x.log`, and saw all of them.
fn half_read(folder: &Folder, written: usize, read: usize) -> Daemon {
    folder.append("x.log", &lines(0, read));
    let mut daemon = folder.daemon();
    daemon.settle();
    folder.append("x.log", &lines(read, written - read));
    daemon.scan();
    daemon
}

/// One member, frame or stream.
fn packed(extension: &str, content: &[u8]) -> Vec<u8> {
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

fn gaps(daemon: &Daemon) -> Vec<(u64, Option<u64>, GapReason)> {
    let gap = |gap: &Gap| (gap.from_bytes, gap.to_bytes, gap.reason);
    daemon.store.gaps.iter().map(gap).collect()
}

fn offset(first: usize, count: usize) -> u64 {
    lines(first, count).len() as u64
}

#[test]
fn rename_and_create_while_writing() {
    let folder = Folder::new();
    let mut daemon = folder.daemon();
    for rotation in 0..20 {
        folder.append("x.log", &lines(rotation * 10, 7));
        daemon.scan();
        daemon.read();
        let old = OpenOptions::new()
            .append(true)
            .open(folder.file("x.log"))
            .unwrap();
        for n in (1..=rotation).rev() {
            folder.rename(&format!("x.log.{n}"), &format!("x.log.{}", n + 1));
        }
        folder.rename("x.log", "x.log.1");
        if rotation % 3 == 0 {
            daemon.scan();
        }
        // The server writes to the renamed file until it is told to open a new one.
        (&old)
            .write_all(lines(rotation * 10 + 7, 3).as_bytes())
            .unwrap();
        daemon.commit();
    }
    daemon.settle();
    assert_eq!(daemon.store.text(), lines(0, 200));
    assert_eq!(gaps(&daemon), []);
    assert_eq!(daemon.store.rows.len(), 20);
}

#[test]
fn several_rotations_between_two_looks_at_one_named_file() {
    let folder = Folder::new();
    let paths = [folder.file("x.log")];
    folder.append("x.log", &lines(0, 10));
    let mut daemon = Daemon::start(&paths, Mode::Follow, Store::default(), &config());
    daemon.scan();
    daemon.read();
    folder.append("x.log", &lines(10, 10));
    folder.rename("x.log", "x.log.1");
    folder.append("x.log", &lines(20, 10));
    folder.rename("x.log.1", "x.log.2");
    folder.rename("x.log", "x.log.1");
    folder.append("x.log", &lines(30, 10));
    daemon.settle();
    assert_eq!(daemon.store.text(), lines(0, 40));
    assert_eq!(daemon.store.rows.len(), 3);
}

#[test]
fn new_names() {
    let folder = Folder::new();
    let mut daemon = folder.daemon();
    for hour in 0..5 {
        let name = format!("postgresql-2026-11-20_{hour:02}0000.log");
        folder.append(&name, &lines(hour * 10, 10));
        folder.age(&name);
        daemon.settle();
    }
    assert_eq!(daemon.store.text(), lines(0, 50));
    let states = |daemon: &Daemon| {
        let done = daemon
            .store
            .rows
            .values()
            .filter(|row| row.state == GenerationState::Done);
        done.count()
    };
    // All but the newest are finished, once they are older than it.
    folder.append("postgresql-2026-11-20_040000.log", &lines(50, 1));
    daemon.settle();
    assert_eq!(states(&daemon), 4);
    // One goes on after all.
    folder.append("postgresql-2026-11-20_000000.log", &lines(90, 1));
    daemon.settle();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(
        daemon.store.text(),
        [lines(0, 10), lines(90, 1), lines(10, 41)].concat()
    );
    assert_eq!(daemon.store.rows.len(), 5);
}

#[test]
fn restart_goes_on_at_the_committed_offset() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 20, 10);
    folder.append("x.log", "2026-11-20 half a li");
    while daemon.read() {}
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    folder.append("x.log", "ne\n");
    daemon.settle();
    assert_eq!(
        daemon.store.text(),
        format!("{}2026-11-20 half a line\n", lines(0, 20))
    );
    assert_eq!(daemon.store.rows.len(), 1);
}

#[test]
fn copytruncate_all_read() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 10, 10);
    folder.copy("x.log", "x.log.1");
    daemon.settle();
    folder.overwrite("x.log", "");
    folder.append("x.log", &lines(10, 5));
    daemon.settle();
    assert_eq!(daemon.store.text(), lines(0, 15));
    assert_eq!((gaps(&daemon), daemon.store.rows.len()), (vec![], 2));
}

#[test]
fn copytruncate_unread_rest_in_the_copy() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 200, 10);
    folder.copy("x.log", "x.log.1");
    folder.overwrite("x.log", &lines(200, 5));
    daemon.settle();
    assert_eq!(daemon.store.text(), lines(0, 205));
    assert_eq!((gaps(&daemon), daemon.store.rows.len()), (vec![], 2));
}

#[test]
fn copytruncate_copy_removed() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 200, 10);
    folder.overwrite("x.log", &lines(200, 5));
    daemon.settle();
    assert_eq!(daemon.store.text(), [lines(0, 10), lines(200, 5)].concat());
    assert_eq!(gaps(&daemon), [(offset(0, 10), None, GapReason::Truncated)]);
}

#[test]
fn copy_that_is_older_than_what_was_read() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 20, 10);
    folder.copy("x.log", "x.log.1");
    folder.append("x.log", &lines(20, 200));
    daemon.settle();
    folder.overwrite("x.log", &lines(300, 5));
    daemon.settle();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(daemon.store.text(), [lines(0, 220), lines(300, 5)].concat());
    assert_eq!(gaps(&daemon), []);
}

#[test]
fn truncated_and_regrown_past_the_offset() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 20, 10);
    folder.overwrite("x.log", &lines(100, 300));
    daemon.settle();
    assert_eq!(
        daemon.store.text(),
        [lines(0, 10), lines(100, 300)].concat()
    );
    assert_eq!(gaps(&daemon), [(offset(0, 10), None, GapReason::Truncated)]);
}

#[test]
fn truncated_and_regrown_while_down() {
    let folder = Folder::new();
    let daemon = half_read(&folder, 20, 10);
    folder.overwrite("x.log", &lines(100, 300));
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(
        daemon.store.text(),
        [lines(0, 10), lines(100, 300)].concat()
    );
    assert_eq!(gaps(&daemon), [(offset(0, 10), None, GapReason::Truncated)]);
    assert_eq!(daemon.restart(folder.path()).store.gaps.len(), 1);
}

#[test]
fn same_head_other_body() {
    for down in [false, true] {
        let folder = Folder::new();
        let mut daemon = half_read(&folder, 300, 300);
        let head = lines(0, 100);
        assert!(head.len() > 4096);
        folder.overwrite("x.log", &[head.clone(), lines(1000, 300)].concat());
        if down {
            daemon = daemon.restart(folder.path());
        }
        daemon.settle();
        let text = [lines(0, 300), head, lines(1000, 300)].concat();
        assert_eq!(daemon.store.text(), text);
        assert_eq!(daemon.store.rows.len(), 2);
    }
}

#[test]
fn truncated_between_reading_and_committing() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 20, 10);
    assert!(daemon.read());
    folder.overwrite("x.log", &lines(100, 1));
    // What was read was true; it is committed, and can be read again from memory when the commit fails.
    daemon.rewind();
    daemon.settle();
    assert_eq!(daemon.store.text(), [lines(0, 20), lines(100, 1)].concat());
    assert_eq!(gaps(&daemon), []);
}

#[test]
fn overwritten_during_reading_never_mixes() {
    let folder = Folder::new();
    let path = folder.file("x.log");
    let versions = 150;
    let writer = std::thread::spawn(move || {
        for version in 0..versions {
            let mut file = File::create(&path).unwrap();
            for part in 0..40 {
                let lines: String = (part * 100..part * 100 + 100)
                    .map(|n| format!("{version:04} {n:08} {}\n", "x".repeat(50)))
                    .collect();
                file.write_all(lines.as_bytes()).unwrap();
            }
        }
    });
    let mut daemon = folder.daemon();
    while !writer.is_finished() {
        daemon.scan();
        while daemon.read() {}
        daemon.commit();
    }
    let last = format!("{:04} {:08}", versions - 1, 3999);
    // A directory that has cost much to list is not listed at each look, but at least at every thirtieth.
    for _ in 0..10 {
        daemon.settle();
        if daemon.store.text().contains(&last) {
            break;
        }
    }
    for id in daemon.store.bytes.keys() {
        let (start, content) = daemon.store.content(*id);
        assert_eq!(start, 0);
        let version = content.get(..4).unwrap().to_vec();
        for (n, line) in content
            .split(|b| *b == b'\n')
            .filter(|line| line.len() == 64)
            .enumerate()
        {
            assert_eq!(
                line.get(..4),
                Some(version.as_slice()),
                "two contents in one generation"
            );
            assert_eq!(line.get(5..13), Some(format!("{n:08}").as_bytes()));
        }
    }
    assert!(daemon.store.text().contains(&last));
}

#[test]
fn cut_to_a_part_of_itself() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 2000, 100);
    daemon.settle();
    let file = OpenOptions::new()
        .write(true)
        .open(folder.file("x.log"))
        .unwrap();
    file.set_len(offset(0, 1500)).unwrap();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    folder.append("x.log", &lines(5000, 10));
    daemon.settle();
    // Nothing is swallowed: what stands behind the last anchor that still holds comes again, under a generation of its own.
    let rows: Vec<u64> = daemon
        .store
        .rows
        .values()
        .map(|row| row.offset_bytes)
        .collect();
    assert!(
        rows.contains(&offset(0, 2000)) && rows.contains(&(offset(0, 1500) + offset(5000, 10))),
        "{rows:?}"
    );
    assert!(daemon.store.text().contains(&lines(5000, 10)));
}

/// The same, grown beyond where it was read to before anybody looked: nothing is swallowed, and whoever knows what was told can pass over it.
#[test]
fn cut_and_regrown_beyond_the_position() {
    // Within the head, behind it without a rung, and behind a rung.
    for (written, cut, rung) in [(40, 20, 0), (2000, 1500, 0), (2000, 1500, 300)] {
        let folder = Folder::new();
        let mut daemon = half_read(&folder, written, if rung > 0 { rung } else { written });
        daemon.settle();
        let old = daemon.store.rows.values().next().unwrap().clone();
        let file = OpenOptions::new()
            .write(true)
            .open(folder.file("x.log"))
            .unwrap();
        file.set_len(offset(0, cut) + 30).unwrap();
        folder.append("x.log", "\n");
        folder.append("x.log", &lines(5000, written));
        let mut daemon = daemon.restart(folder.path());
        let scan = daemon.scan();
        let [new] = scan.new.as_slice() else {
            panic!("{scan:?}");
        };
        let retelling = Retelling {
            generation: new.id,
            of: old.id,
            until_bytes: offset(0, written),
        };
        assert_eq!(scan.retellings, [retelling]);
        assert_eq!(new.offset_bytes, offset(0, rung));

        let mut reread = daemon.tail.reread(new.id).unwrap().unwrap();
        assert_eq!(reread.at_bytes(), offset(0, rung));
        let next = reread.read(lines(rung, 1).len()).unwrap();
        assert_eq!(String::from_utf8(next).unwrap(), lines(rung, 1));
        daemon.tail.told_until(new.id, offset(0, cut)).unwrap();
        let row = daemon.tail.checkpoint(new.id, offset(0, cut)).unwrap();
        daemon.store.rows.insert(new.id.0, row);
        daemon.settle();
        let mut daemon = daemon.restart(folder.path());
        daemon.settle();
        let torn: String = lines(cut, 1).chars().take(30).collect();
        let expected = format!("{}{torn}\n{}", lines(0, written), lines(5000, written));
        assert!(daemon.store.text() == expected, "{written} {rung}");
    }
}

/// Who restarts between the two looks that it takes to call something lost needn't call it so where all of it was read.
#[test]
fn truncated_when_all_was_read_and_restarted_after_one_look() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 100, 100);
    daemon.settle();
    folder.overwrite("x.log", &lines(500, 200));
    daemon.scan();
    while daemon.read() {}
    daemon.commit();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(gaps(&daemon), []);
    assert_eq!(
        daemon.store.text(),
        format!("{}{}", lines(0, 100), lines(500, 200))
    );
}

/// The machine lost power: the log's last writes are NUL bytes, and the server goes on behind them.
#[test]
fn nul_bytes_where_the_last_writes_were() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 100, 100);
    folder.append("x.log", &lines(100, 100));
    daemon.settle();
    let mut content = fs::read(folder.file("x.log")).unwrap();
    let lost = usize::try_from(offset(0, 150)).unwrap();
    content[lost..].fill(0);
    fs::write(folder.file("x.log"), content).unwrap();
    folder.append("x.log", &lines(500, 10));
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(daemon.store.rows.len(), 2);
    let text = daemon.store.text();
    assert!(text.contains(&lines(500, 10)));
    // What the first commit had brought is not read again.
    assert_eq!(text.matches(lines(99, 1).as_str()).count(), 1);
}

#[test]
fn hole_of_nul_bytes() {
    let folder = Folder::new();
    let mut writer = File::create(folder.file("x.log")).unwrap();
    writer.write_all(lines(0, 200).as_bytes()).unwrap();
    let mut daemon = folder.daemon();
    daemon.settle();
    // A writer without O_APPEND goes on at its old place.
    File::create(folder.file("x.log")).unwrap();
    writer.write_all(lines(200, 10).as_bytes()).unwrap();
    daemon.scan();
    while daemon.read() {}
    daemon.rewind();
    daemon.settle();
    let mut daemon = daemon.restart(folder.path());
    writer.write_all(lines(210, 10).as_bytes()).unwrap();
    daemon.settle();
    assert_eq!(daemon.store.text(), lines(0, 220));
    assert_eq!(gaps(&daemon), [(0, Some(offset(0, 200)), GapReason::Hole)]);
    assert_eq!(daemon.store.rows.len(), 2);
}

#[test]
fn inode_reuse() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 10, 10).restart(folder.path());
    let inode = fs::metadata(folder.file("x.log")).unwrap().ino();
    folder.remove("x.log");
    let mut reused = false;
    for n in 0..50 {
        folder.append("x.log", &lines(100 + n, 30));
        reused = fs::metadata(folder.file("x.log")).unwrap().ino() == inode;
        if reused {
            break;
        }
        folder.remove("x.log");
    }
    if !reused {
        eprintln!("skipped: this file system doesn't reuse inodes");
        return;
    }
    daemon.settle();
    assert_eq!(daemon.store.rows.len(), 2);
    assert_eq!(daemon.store.text().matches('\n').count(), 40);
}

#[test]
fn compressed_after_rotation_half_read() {
    // Several members, frames or streams in a file, as parallel compressors and log shippers write them.
    for extension in [".gz", ".zst", ".bz2", ".xz"] {
        let compress = |folder: &Folder, content: &[u8]| {
            let parts = content.chunks(5000).map(|part| packed(extension, part));
            let name = format!("x.log.1{extension}");
            fs::write(folder.file(&name), parts.collect::<Vec<_>>().concat()).unwrap();
            folder.age(&name);
        };
        let folder = Folder::new();
        let daemon = half_read(&folder, 400, 150);
        let content = fs::read(folder.file("x.log")).unwrap();
        folder.remove("x.log");
        compress(&folder, &content);
        folder.append("x.log", &lines(400, 10));
        let mut daemon = daemon.restart(folder.path());
        daemon.settle();
        assert_eq!(daemon.store.text(), lines(0, 410));
        assert_eq!((gaps(&daemon), daemon.store.rows.len()), (vec![], 2));
        // The place of a finished compressed file is remembered; it isn't read again.
        let moved = daemon
            .store
            .rows
            .values()
            .filter(|row| row.codec != Codec::Raw)
            .count();
        assert_eq!(moved, 1);
        let mut daemon = daemon.restart(folder.path());
        assert!(!{
            daemon.scan();
            daemon.read()
        });
    }
}

#[test]
fn compressed_file_that_is_being_written() {
    for extension in [".gz", ".zst", ".bz2", ".xz"] {
        let name = format!("x.log.1{extension}");
        let folder = Folder::new();
        let mut daemon = half_read(&folder, 400, 150).restart(folder.path());
        let whole = packed(extension, &fs::read(folder.file("x.log")).unwrap());
        folder.remove("x.log");
        fs::write(folder.file(&name), &whole[..whole.len() / 2]).unwrap();
        daemon.settle();
        assert_eq!(
            (daemon.store.text(), gaps(&daemon)),
            (lines(0, 150), vec![]),
            "{name}"
        );
        fs::write(folder.file(&name), &whole).unwrap();
        folder.age(&name);
        daemon.settle();
        assert_eq!(
            (daemon.store.text(), gaps(&daemon)),
            (lines(0, 400), vec![]),
            "{name}"
        );
    }
}

#[test]
fn damaged_compressed_files() {
    let content = lines(0, 20_000).into_bytes();
    for extension in [".gz", ".zst", ".bz2", ".xz"] {
        for cut in [true, false] {
            let name = format!("x.log.1{extension}");
            let folder = Folder::new();
            // The damage is in the second of two parts, at its beginning: what of a part is read before its damage shows differs.
            let (one, two) = content.split_at(content.len() / 2);
            let (mut whole, two) = (packed(extension, one), packed(extension, two));
            let border = whole.len();
            let half = border + two.len() / 2;
            whole.extend(two);
            match cut {
                true => whole.truncate(half),
                false => whole[border..border + 50].fill(0xa5),
            }
            fs::write(folder.file(&name), &whole).unwrap();
            folder.age(&name);
            let mut daemon = folder.daemon();
            daemon.settle();
            let read = daemon.store.text().len();
            assert!(
                content.starts_with(daemon.store.text().as_bytes()) && read > one.len() - 4096,
                "{name} {read}"
            );
            let lost = [(read as u64, None, GapReason::Corrupt)];
            assert_eq!(gaps(&daemon), lost, "{name} cut: {cut}");
            let mut daemon = daemon.restart(folder.path());
            daemon.settle();
            assert_eq!(
                (daemon.store.text().len(), daemon.store.gaps.len()),
                (read, 1)
            );
            assert_eq!(daemon.store.rows.len(), 1);
        }
    }
}

#[test]
fn memory_of_a_decoder_is_bounded() {
    let folder = Folder::new();
    let mut whole = packed(".xz", lines(0, 300).as_bytes());
    // After the stream header of 12 bytes the block's: its size, flags, the filter LZMA2 (0x21), one byte of properties, which is the size of the
    // dictionary, padding, checksum ("The .xz File Format", sections 3.1 and 5.3.1).
    assert_eq!(whole[14..16], [0x21, 0x01]);
    const DICTIONARY_OF_1536_MIB: u8 = 37;
    whole[16] = DICTIONARY_OF_1536_MIB;
    let mut checksum = flate2::Crc::new();
    checksum.update(&whole[12..20]);
    whole[20..24].copy_from_slice(&checksum.sum().to_le_bytes());
    fs::write(folder.file("x.log.1.xz"), &whole).unwrap();
    folder.age("x.log.1.xz");
    let mut daemon = folder.daemon();
    let told: Vec<String> = daemon
        .scan()
        .unreadable
        .into_iter()
        .map(|(_, error)| error.to_string())
        .collect();
    assert_eq!(told, ["memory limit reached"]);
}

#[test]
fn plain_and_compressed_both_present() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 300, 100);
    folder.rename("x.log", "x.log.1");
    folder.gzip("x.log.1.gz", lines(0, 300).as_bytes());
    let scan = daemon.scan();
    assert_eq!(scan.copies.len(), 1);
    daemon.settle();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    folder.remove("x.log.1");
    daemon.settle();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(
        (daemon.store.text(), gaps(&daemon)),
        (lines(0, 300), vec![])
    );
    assert_eq!(daemon.store.rows.len(), 1);
}

#[test]
fn deleted_while_reading() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 2000, 10);
    folder.remove("x.log");
    folder.append("x.log", &lines(2000, 10));
    daemon.settle();
    assert_eq!(
        (daemon.store.text(), gaps(&daemon)),
        (lines(0, 2010), vec![])
    );
}

#[test]
fn moved_out_of_the_folder() {
    let folder = Folder::new();
    fs::create_dir(folder.file("archive")).unwrap();
    let mut daemon = half_read(&folder, 2000, 10);
    folder.rename("x.log", "archive/x.log.1");
    folder.append("x.log", &lines(2000, 10));
    daemon.settle();
    assert_eq!(
        (daemon.store.text(), gaps(&daemon)),
        (lines(0, 2010), vec![])
    );
}

#[test]
fn deleted_while_down() {
    let folder = Folder::new();
    let daemon = half_read(&folder, 200, 10);
    folder.remove("x.log");
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(gaps(&daemon), [(offset(0, 10), None, GapReason::Deleted)]);
    let states: Vec<_> = daemon.store.rows.values().map(|row| row.state).collect();
    assert_eq!(states, [GenerationState::Lost]);
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(daemon.store.gaps.len(), 1);
}

#[test]
fn reloaded_from_the_store_an_open_file_without_a_name_is_read_on() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 20, 10);
    folder.append("new.log", &lines(50, 10));
    daemon.scan();
    let rows = daemon.store.rows.clone();
    // The store has the first generation at line 10, and nothing of the second.
    let known: Vec<_> = rows
        .into_values()
        .filter(|row| row.offset_bytes > 0)
        .collect();
    assert_eq!(known.len(), 1);
    folder.append("x.log", &lines(20, 10));
    folder.remove("x.log");
    folder.remove("new.log");
    daemon.store.rows = known.iter().map(|row| (row.id.0, row.clone())).collect();
    daemon.tail.reload(known);
    daemon.settle();
    assert_eq!(daemon.store.text(), [lines(0, 30), lines(50, 10)].concat());
    assert_eq!((gaps(&daemon), daemon.store.rows.len()), (vec![], 2));

    // What nobody has seen whole stays a gap.
    folder.append("y.log", &lines(100, 10));
    daemon.scan();
    let known: Vec<_> = daemon.store.rows.values().cloned().collect();
    let known: Vec<_> = known
        .into_iter()
        .filter(|row| row.offset_bytes > 0)
        .collect();
    folder.overwrite("y.log", &lines(200, 10));
    daemon.scan();
    daemon.scan();
    daemon.scan();
    daemon.store.rows = known.iter().map(|row| (row.id.0, row.clone())).collect();
    daemon.tail.reload(known);
    daemon.settle();
    assert_eq!(gaps(&daemon), [(0, None, GapReason::Truncated)]);
    assert!(daemon.store.text().contains(&lines(200, 10)));
}

#[test]
fn directory_gone_and_back() {
    let folder = Folder::new();
    fs::create_dir(folder.file("log")).unwrap();
    let paths = [folder.file("log")];
    folder.append("log/x.log", &lines(0, 10));
    let mut daemon = Daemon::start(&paths, Mode::Follow, Store::default(), &config());
    daemon.settle();
    folder.append("log/x.log", &lines(10, 10));
    let store = daemon.store.clone();
    drop(daemon);
    folder.rename("log", "elsewhere");
    let mut daemon = Daemon::start(&paths, Mode::Follow, store, &config());
    assert_eq!(daemon.scan().unreadable.len(), 1);
    daemon.settle();
    assert_eq!(gaps(&daemon), []);
    folder.rename("elsewhere", "log");
    daemon.settle();
    assert_eq!(daemon.store.text(), lines(0, 20));
    // Replaced while it runs: what was open is read to its end, the new one from its beginning.
    folder.append("log/x.log", &lines(20, 10));
    folder.rename("log", "old");
    fs::create_dir(folder.file("log")).unwrap();
    folder.append("log/x.log", &lines(30, 10));
    daemon.settle();
    assert_eq!((daemon.store.text(), gaps(&daemon)), (lines(0, 40), vec![]));
}

#[test]
fn permission_lost_and_back() {
    let folder = Folder::new();
    let daemon = half_read(&folder, 20, 10);
    let mode =
        |mode| fs::set_permissions(folder.file("x.log"), Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    if File::open(folder.file("x.log")).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(daemon.scan().unreadable.len(), 1);
    assert_eq!(gaps(&daemon), []);
    mode(0o600);
    daemon.settle();
    assert_eq!((daemon.store.text(), gaps(&daemon)), (lines(0, 20), vec![]));
}

#[test]
fn stored_offset_beyond_the_file() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 10, 10);
    for row in daemon.store.rows.values_mut() {
        row.offset_bytes += 1_000_000;
        row.anchor.offset_bytes += 1_000_000;
    }
    let mut daemon = daemon.restart(folder.path());
    folder.append("x.log", &lines(10, 10));
    daemon.settle();
    let last = daemon.store.rows.values().map(|row| row.offset_bytes).min();
    assert_eq!(last, Some(offset(0, 20)));
}

#[test]
fn empty_and_very_short_files() {
    let folder = Folder::new();
    let mut daemon = folder.daemon();
    File::create(folder.file("a.log")).unwrap();
    File::create(folder.file("b.log")).unwrap();
    daemon.settle();
    assert_eq!(daemon.store.rows.len(), 0);
    // One byte each: the second can't be told from a copy of the first, and waits.
    folder.append("a.log", "2");
    folder.append("b.log", "2");
    daemon.settle();
    assert_eq!(daemon.store.rows.len(), 1);
    folder.append("b.log", &lines(50, 10)[1..]);
    daemon.settle();
    folder.append("a.log", &lines(10, 10)[1..]);
    daemon.settle();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(daemon.store.text(), [lines(10, 10), lines(50, 10)].concat());
    assert_eq!(daemon.store.rows.len(), 2);
}

#[test]
fn two_equal_files() {
    let folder = Folder::new();
    folder.append("a.log", &lines(0, 300));
    folder.copy("a.log", "b.log");
    let mut daemon = folder.daemon();
    let scan = daemon.scan();
    assert_eq!((scan.new.len(), scan.copies.len()), (1, 1));
    daemon.settle();
    fs::hard_link(folder.file("a.log"), folder.file("c.log")).unwrap();
    symlink("a.log", folder.file("d.log")).unwrap();
    symlink("nowhere", folder.file("e.log")).unwrap();
    daemon.settle();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(daemon.store.text(), lines(0, 300));
    // The copy goes on by itself: its own lines are read, the common ones not again.
    folder.append("b.log", &lines(300, 10));
    daemon.settle();
    assert_eq!(daemon.store.text(), lines(0, 310));
}

#[test]
fn one_format_of_a_server() {
    let folder = Folder::new();
    folder.append("x.log", "starting\n");
    folder.append("x.csv", "1,2\n");
    let mut daemon = folder.daemon();
    let scan = daemon.scan();
    assert_eq!(scan.watched_only, [folder.file("x.log")]);
    daemon.settle();
    assert_eq!(daemon.store.text(), "1,2\n");
}

#[test]
fn import_ends_every_file_and_adds_nothing_twice() {
    let folder = Folder::new();
    folder.append("x.log", &format!("{}no newline", lines(0, 300)));
    folder.gzip("y.log.gz", lines(1000, 300).as_bytes());
    let paths = [folder.file("x.log"), folder.file("*.gz")];
    let import = |store| {
        let mut daemon = Daemon::start(&paths, Mode::Finite, store, &Config::default());
        daemon.settle();
        daemon
    };
    let daemon = import(Store::default());
    let text = daemon.store.text();
    assert_eq!(
        text,
        format!("{}no newline{}", lines(0, 300), lines(1000, 300))
    );
    assert!(
        daemon
            .store
            .rows
            .values()
            .all(|row| row.state == GenerationState::Done)
    );
    let mut again = import(daemon.store);
    again.settle();
    assert_eq!(again.store.text(), text);
    // Under other names, and the daemon over the same files.
    folder.rename("x.log", "z.log");
    let mut daemon = again.restart(folder.path());
    daemon.settle();
    assert_eq!((daemon.store.text(), gaps(&daemon)), (text, vec![]));
}

#[test]
fn more_files_than_are_held_open() {
    let folder = Folder::new();
    for n in 0..300 {
        let name = format!("postgresql-{n:03}.log");
        folder.append(&name, &lines(n * 10, 5));
    }
    let mut daemon = folder.daemon();
    daemon.scan();
    let open = |daemon: &Daemon| {
        let readers = daemon.tail.tracked.iter().filter(|t| t.reader.is_some());
        readers.count()
    };
    assert_eq!(open(&daemon), 64);
    // Nor while all of them are read without a look in between.
    while daemon.read() {
        assert!(open(&daemon) <= 2 * 64 + 1, "{}", open(&daemon));
    }
    daemon.settle();
    for n in 0..300 {
        folder.append(&format!("postgresql-{n:03}.log"), &lines(n * 10 + 5, 5));
    }
    daemon.settle();
    assert_eq!(
        (daemon.store.text(), gaps(&daemon)),
        (lines(0, 3000), vec![])
    );
}

/// A look at thousands of files costs more than a tick is worth: without a sign of change it is put off, but a new file is found at the next tick.
#[test]
fn directories_are_listed_when_they_change_and_seldom_otherwise() {
    let folder = Folder::new();
    for n in 0..1000 {
        folder.append(&format!("{n:04}.log"), &lines(n * 10, 1));
    }
    let config = Config {
        poll_interval: Duration::from_millis(100),
        ..config()
    };
    let paths = [folder.path().to_owned()];
    let mut daemon = Daemon::start(&paths, Mode::Follow, Store::default(), &config);
    let wait = || std::thread::sleep(Duration::from_millis(150));
    daemon.settle();
    wait();
    daemon.settle();
    let listed = |daemon: &Daemon| daemon.tail.listed.unwrap().at;
    let before = listed(&daemon);
    wait();
    daemon.scan();
    assert_eq!(listed(&daemon), before);
    folder.append("new.log", &lines(90_000, 1));
    daemon.scan();
    while daemon.read() {}
    daemon.commit();
    assert!(listed(&daemon) > before);
    assert!(daemon.store.text().contains(&lines(90_000, 1)));
    // A closed file that goes on is found within thirty ticks.
    folder.append("0000.log", &lines(95_000, 1));
    std::thread::sleep(Duration::from_millis(3100));
    daemon.settle();
    assert!(daemon.store.text().contains(&lines(95_000, 1)));
}

#[test]
fn checkpoints_stand_in_what_was_handed_out() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 20, 10);
    daemon.read();
    let id = GenerationId(*daemon.store.rows.keys().next().unwrap());
    for outside in [offset(0, 9), offset(0, 21)] {
        let refused = daemon.tail.checkpoint(id, outside);
        assert!(matches!(refused, Err(Error::NotHandedOut { .. })));
    }
    assert!(daemon.tail.checkpoint(GenerationId(1), 0).is_err());
    assert_eq!(
        daemon
            .tail
            .checkpoint(id, offset(0, 15))
            .unwrap()
            .offset_bytes,
        offset(0, 15)
    );
}

#[test]
fn discovery() {
    let folder = Folder::new();
    let missing = log_files(&[folder.file("nowhere")]).unwrap_err();
    assert_eq!(
        missing.to_string(),
        format!(
            "{}: there is no such file or directory; check the path",
            folder.file("nowhere").display()
        )
    );
    assert!(matches!(
        log_files(&[folder.file("x.log")]),
        Err(Error::Missing { .. })
    ));
    assert!(matches!(
        log_files(&[folder.path().to_owned()]),
        Err(Error::NoLogs { .. })
    ));
    assert!(matches!(
        servers_of(&[folder.path().to_owned()]),
        Err(Error::NoLogs { .. })
    ));
    assert!(matches!(
        log_files(&[folder.file("*.log")]),
        Err(Error::NoLogs { .. })
    ));
    for sub in ["shop", "blog", "empty"] {
        fs::create_dir(folder.file(sub)).unwrap();
    }
    folder.append("shop/a.log.1", "x");
    folder.age("shop/a.log.1");
    folder.append("shop/a.log", "x");
    folder.append("shop/README.md", "x");
    folder.append("blog/a.csv", "x");
    let names = |paths: &[PathBuf]| -> Vec<PathBuf> {
        log_files(paths)
            .unwrap()
            .into_iter()
            .map(|found| found.file.path)
            .collect()
    };
    assert_eq!(
        names(&[folder.file("shop")]),
        [folder.file("shop/a.log.1"), folder.file("shop/a.log")]
    );
    assert_eq!(
        names(&[folder.file("shop/a.log")]),
        [folder.file("shop/a.log")]
    );
    assert_eq!(
        names(&[folder.file("*/*.csv")]),
        [folder.file("blog/a.csv")]
    );
    let server = |name: &str, path: &str| ServerLogs {
        name: name.to_owned(),
        paths: vec![folder.file(path)],
    };
    let (blog, shop) = (server("blog", "blog"), server("shop", "shop"));
    assert_eq!(
        servers_of(&[folder.path().to_owned()]).unwrap(),
        [blog, shop.clone()]
    );
    assert_eq!(servers_of(&[folder.file("shop")]).unwrap(), [shop]);
    assert_eq!(
        servers_of(&[folder.file("*/a.*")]).unwrap(),
        [server("blog", "blog/a.*"), server("shop", "shop/a.*")]
    );
    assert!(matches!(
        servers_of(&[folder.file("empty")]),
        Err(Error::NoLogs { .. })
    ));
}

//! Files that come to hold other content: emptied, cut, grown again, full of NUL bytes, or with a reused inode.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use super::folder::{Folder, gaps, half_read, lines, offset};
use crate::model::position::GapReason;
use crate::tail::Retelling;

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

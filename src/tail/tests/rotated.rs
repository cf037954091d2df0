//! Logs that are renamed, copied and emptied, or begun under another name: nothing is lost, nothing comes twice.

use std::fs::OpenOptions;
use std::io::Write;

use super::folder::{Folder, gaps, half_read, lines, offset};
use super::{Daemon, Mode, Store, config};
use crate::model::position::{GapReason, GenerationState};

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

//! Files and folders that are deleted, moved away or may not be read.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::folder::{Folder, gaps, half_read, lines, offset};
use super::{Daemon, Mode, Store, config};
use crate::model::position::{GapReason, GenerationState};

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

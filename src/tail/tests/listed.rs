//! Which files are taken for logs, read and held open, and when directories are listed.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use super::folder::{Folder, gaps, half_read, lines, offset};
use super::{Config, Daemon, Mode, Store, config};
use crate::model::position::{GenerationId, GenerationState};
use crate::tail::Error;
use crate::tail::discovery::{ServerLogs, log_files, servers_of};

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

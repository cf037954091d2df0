//! From the start of a daemon until it reads on where another was killed, in the middle of a log of 1 GB.

use std::{thread, time::Duration};

use super::{log, process::Watch, report, stored::StoreAt};

const LOG_BYTES: u64 = 1_000_000_000;

pub(super) fn measure() {
    println!("\nrestart, a log of {LOG_BYTES} bytes half of which is read");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postgresql.log");
    log::write(&path, LOG_BYTES);
    let stored = StoreAt::Sqlite.empty(folder.path());
    let watch = Watch::start(folder.path(), &StoreAt::Sqlite, &path);
    while stored.committed_bytes() < LOG_BYTES as i64 / 2 {
        thread::sleep(Duration::from_millis(10));
    }
    drop(watch);
    let mut slowest_ms = 0.0_f64;
    for _ in 0..5 {
        let before = stored.committed_bytes();
        let watch = Watch::start(folder.path(), &StoreAt::Sqlite, &path);
        while stored.committed_bytes() == before {
            thread::sleep(Duration::from_millis(1));
        }
        let took_ms = watch.started.elapsed().as_secs_f64() * 1e3;
        println!("  from byte {before} on: first commit after {took_ms:.0} ms");
        slowest_ms = slowest_ms.max(took_ms);
    }
    report(
        "start until the next rows are stored, slowest of 5",
        slowest_ms,
        "ms",
        100.0,
    );
}

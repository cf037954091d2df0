//! What a daemon costs that has nothing to do: 1,000 files, none of which grows.

use std::{fs, thread, time::Duration};

use jiff::Timestamp;

use super::{log, process::Watch, report, stored::StoreAt};

const FILES: u32 = 1000;
const SETTLE: Duration = Duration::from_secs(15);
/// Several listings of the directory, which come every 30 s, or later where they take long.
const SECONDS: u32 = 90;

pub(super) fn measure() {
    println!("\nidle, {FILES} files");
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("log");
    fs::create_dir(&logs).unwrap();
    for file in 0..FILES {
        let lines = (0..5).map(|line| log::duration_line(u64::from(file * 5 + line), at(file)));
        let name = format!("postgresql-{file:04}.log");
        fs::write(logs.join(name), lines.collect::<String>()).unwrap();
    }
    let stored = StoreAt::Sqlite.empty(folder.path());
    let mut watch = Watch::start(folder.path(), &StoreAt::Sqlite, &logs);
    watch.catch_up();
    println!(
        "  {} executions after {:.1} s",
        stored.executions(),
        watch.started.elapsed().as_secs_f64()
    );
    thread::sleep(SETTLE);
    let before = watch.used();
    thread::sleep(Duration::from_secs(u64::from(SECONDS)));
    let used = watch.used();
    let share = (used.cpu_s - before.cpu_s) / f64::from(SECONDS) * 100.0;
    report("CPU, percent of a core", share, "%", 0.5);
    report("memory, resident", used.resident_mb, "MB", 40.0);
    println!("  peak while catching up {:.1} MB", used.peak_mb);
}

/// A minute for each file.
fn at(file: u32) -> Timestamp {
    let minutes = i64::from(FILES - file);
    Timestamp::now() - jiff::SignedDuration::from_mins(minutes)
}

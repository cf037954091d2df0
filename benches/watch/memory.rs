//! Memory while catching up on a large log with records up to 16 MiB, and after it.

use std::{env, thread, time::Duration};

use super::{log, process::Watch, report, stored::StoreAt};

pub(super) fn measure() {
    let size_bytes = env::var("PLANTAIL_BENCH_BYTES").map_or(1_000_000_000, |bytes| {
        bytes.parse().expect("PLANTAIL_BENCH_BYTES is a number")
    });
    println!("\nmemory, a log of {size_bytes} bytes");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postgresql.log");
    log::write(&path, size_bytes);
    StoreAt::Sqlite.empty(folder.path());
    let mut watch = Watch::start(folder.path(), &StoreAt::Sqlite, &path);
    watch.catch_up();
    let wall_s = watch.started.elapsed().as_secs_f64();
    thread::sleep(Duration::from_secs(5));
    let used = watch.used();
    println!("  caught up in {wall_s:.1} s, {:.1} CPU s", used.cpu_s);
    report("peak while catching up", used.peak_mb, "MB", 128.0);
    println!(
        "  resident 5 s after it: {:.1} MB (the store's cache, and what the allocator keeps)",
        used.resident_mb
    );
}

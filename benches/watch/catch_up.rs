//! What catching up costs beside `plantail import` of the same file.

use std::{path::Path, process::Command};

use super::{
    log,
    process::{Watch, plantail, run},
    stored::{SERVER, StoreAt},
};

const LOG_BYTES: u64 = 256_000_000;

/// A log of real servers where there is one, else one of our own.
fn write_log(path: &Path) {
    let expand = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/big/expand");
    if !expand.exists() {
        println!("  no seed of a real log is here: with a log of generated lines");
        return log::write(path, LOG_BYTES);
    }
    let expanded = Command::new(&expand)
        .arg(expand.with_file_name("seed.log.zst"))
        .arg(path)
        .arg(LOG_BYTES.to_string())
        .output()
        .unwrap();
    assert!(expanded.status.success());
}

pub(super) fn measure(store: &StoreAt) {
    println!("\ncatch-up, {}", store.name());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postgresql.log");
    write_log(&path);
    let bytes = path.metadata().unwrap().len();
    let per_s = |seconds: f64| bytes as f64 / 1e6 / seconds;

    store.empty(folder.path());
    let logs = path.to_str().unwrap();
    let (import_wall_s, import) = run(plantail(
        folder.path(),
        store,
        &["import", "--server", SERVER, logs],
    ));
    let stored = store.empty(folder.path());
    let mut watch = Watch::start(folder.path(), store, &path);
    watch.catch_up();
    let (watch_wall_s, used) = (watch.started.elapsed().as_secs_f64(), watch.used());
    println!(
        "  {bytes} bytes, {} executions, wall and CPU of plantail's process",
        stored.executions()
    );
    for (what, wall_s, used) in [
        ("import", import_wall_s, import),
        ("watch", watch_wall_s, used),
    ] {
        println!(
            "  {what:<8} {wall_s:6.2} s ({:5.1} MB/s)  {:6.2} CPU s ({:5.1} MB per CPU s)  peak {:5.1} MB",
            per_s(wall_s),
            used.cpu_s,
            per_s(used.cpu_s),
            used.peak_mb,
        );
    }
    println!(
        "  throughput of watch: {:.2} of import's by wall time, {:.2} by CPU time",
        import_wall_s / watch_wall_s,
        import.cpu_s / used.cpu_s
    );
}

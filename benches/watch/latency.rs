//! From a line's write to its row: 2,000 events a second by one writer, while another connection asks the store every millisecond.

use std::{
    fs::File,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{log, process::Watch, report, stored::StoreAt};

const PER_SECOND: u32 = 2000;
const SECONDS: u32 = 20;

pub(super) fn measure(store: &StoreAt) {
    let count = PER_SECOND * SECONDS;
    println!(
        "\nlatency, {}: {PER_SECOND} lines a second for {SECONDS} s",
        store.name()
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postgresql.log");
    let mut log = File::create(&path).unwrap();
    let mut offset_bytes = 0;
    let mut append = move |number: u32| {
        let line = log::duration_line(u64::from(number), Timestamp::now());
        let (at, begins) = (Instant::now(), offset_bytes);
        log.write_all(line.as_bytes()).unwrap();
        offset_bytes += line.len() as i64;
        (begins, at)
    };
    for number in 0..100 {
        append(number);
    }
    let stored = store.empty(folder.path());
    let mut watch = Watch::start(folder.path(), store, &path);
    watch.catch_up();
    let used_before = watch.used();

    let began = Instant::now();
    let writer = thread::spawn(move || {
        let mut written = Vec::with_capacity(count as usize);
        for number in 0..count {
            let due = began + Duration::from_secs(1) * number / PER_SECOND;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            written.push(append(number));
        }
        written
    });
    // What had been stored when.
    let mut seen: Vec<(i64, Instant)> = Vec::new();
    let deadline = began + Duration::from_secs(u64::from(SECONDS) + 10);
    let mut last_line_bytes = i64::MAX;
    let mut writer = Some(writer);
    let mut written = Vec::new();
    while Instant::now() < deadline {
        if let Some(ended) = writer.take_if(|writer| writer.is_finished()) {
            written = ended.join().unwrap();
            last_line_bytes = written.last().unwrap().0;
        }
        let since_us = Timestamp::now().as_microsecond() - 5_000_000;
        if let Some(offset_bytes) = stored.newest_offset_bytes(since_us) {
            if seen.last().is_none_or(|(newest, _)| *newest < offset_bytes) {
                seen.push((offset_bytes, Instant::now()));
            }
            if offset_bytes >= last_line_bytes {
                break;
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    let cpu_s = watch.used().cpu_s - used_before.cpu_s;
    assert_eq!(
        stored.executions(),
        i64::from(count) + 100,
        "every line has its row"
    );

    let mut latencies_ms: Vec<f64> = written
        .iter()
        .map(|(begins, at)| {
            let first = seen.partition_point(|(newest, _)| newest < begins);
            seen[first].1.duration_since(*at).as_secs_f64() * 1e3
        })
        .collect();
    latencies_ms.sort_by(f64::total_cmp);
    let at = |share: f64| latencies_ms[(share * (latencies_ms.len() - 1) as f64) as usize];
    println!(
        "  p50 {:.1} ms, p90 {:.1} ms, max {:.1} ms; {} times something new was seen; plantail {:.1} % of a core",
        at(0.5),
        at(0.9),
        at(1.0),
        seen.len(),
        cpu_s / f64::from(SECONDS) * 100.0,
    );
    report(
        "line written until its row is seen, p99",
        at(0.99),
        "ms",
        100.0,
    );
}

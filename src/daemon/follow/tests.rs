//! The loop over real files and a real store: what happens to the logs while the store takes nothing in, or somebody else reads them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::{super::ingest, Follow};
use crate::{
    analysis, execution,
    model::{
        accounting::Accounting,
        execution::Execution,
        position::{Generation, Server},
    },
    record,
    store::{self, ExecutionPage, Store, StoreUrl},
    tail,
};

const LAST: &str = "2026-11-20 10:59:59.000 UTC [5] LOG:  checkpoint starting: time\n";

/// A folder of logs, the server that writes there, and a store.
struct World {
    folder: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("log")).unwrap();
        let store = open(&folder);
        Self { folder, store }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join("log").join(name)
    }

    /// Appends `count` statements, from number `first` on, and a record that shows the last of them to be whole.
    fn write(&self, name: &str, first: usize, count: usize) {
        let text: String = (first..first + count)
            .map(|n| {
                format!(
                    "2026-11-20 10:{:02}:{:02}.000 UTC [77] LOG:  duration: 1.5 ms  statement: select {n}\n",
                    n / 60,
                    n % 60
                )
            })
            .chain(std::iter::once(LAST.to_owned()))
            .collect();
        self.append(name, &text);
    }

    fn append(&self, name: &str, text: &str) {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.log(name))
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn follow(&self) -> Follow {
        self.follow_with(Some("%m [%p] "))
    }

    fn follow_with(&self, log_line_prefix: Option<&str>) -> Follow {
        self.follow_by(log_line_prefix, tail::Config::default().read_bytes)
    }

    /// In stretches of so many bytes.
    fn follow_by(&self, log_line_prefix: Option<&str>, read_bytes: usize) -> Follow {
        let server = ingest::ServerConfig {
            name: "shop".to_owned(),
            paths: vec![self.folder.path().join("log")],
            format: None,
            log_line_prefix: log_line_prefix.map(str::to_owned),
            syslog_ident: None,
            time_zone: None,
            sampling: None,
        };
        let config = ingest::Config {
            tail: tail::Config {
                poll_interval: Duration::ZERO,
                notify: false,
                quiet_after: Duration::ZERO,
                follow_bytes: 1,
                read_bytes,
                ..tail::Config::default()
            },
            record: record::Config::default(),
            analysis: analysis::Config::default(),
            execution: execution::Config::default(),
            max_queries: 1000,
            advise: false,
        };
        Follow::new(&[server], &config)
    }

    /// Rows of executions, those of last records that may go on among them.
    fn rows(&self) -> Vec<Execution> {
        let page = ExecutionPage {
            limit: 10_000,
            ..ExecutionPage::default()
        };
        self.store.read(|reader| reader.executions(&page)).unwrap()
    }

    /// Executions and gaps in the store.
    fn stored(&self) -> (u64, u64) {
        let accounting = self.store.read(|reader| reader.accounting()).unwrap();
        let of_shop = accounting.into_values().next().unwrap_or_default();
        (of_shop.executions, of_shop.gaps)
    }
}

fn open(folder: &tempfile::TempDir) -> Store {
    let url = StoreUrl::sqlite(&folder.path().join("plantail.db"));
    Store::open(&url.into()).unwrap()
}

fn cycle(follow: &mut Follow, store: &Store) -> bool {
    let shutdown = CancellationToken::new();
    follow.cycle(store, &shutdown, false).unwrap()
}

/// Cycles until everything that is there has been taken in.
fn settle(follow: &mut Follow, store: &Store) {
    let began = Instant::now();
    while !cycle(follow, store) || follow.wake_in().is_some() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{}",
            follow.status
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_store_that_takes_nothing_in_stops_the_tail_and_loses_nothing() {
    let world = World::new();
    let store = &world.store;
    let mut follow = world.follow();
    world.write("a.log", 0, 10);
    settle(&mut follow, store);
    assert_eq!(world.stored(), (10, 0));

    store.refuse_writes(true);
    world.write("a.log", 10, 10);
    assert!(!cycle(&mut follow, store));
    assert!(follow.status.contains("readonly"), "{}", follow.status);
    // Rotated and deleted, and two files that come and go meanwhile.
    fs::rename(world.log("a.log"), world.log("a.log.1")).unwrap();
    world.append(
        "a.log.1",
        "2026-11-20 10:00:21.000 UTC [77] LOG:  duration: 1.5 ms  statement: select late\n",
    );
    world.append("a.log.1", LAST);
    cycle(&mut follow, store);
    fs::remove_file(world.log("a.log.1")).unwrap();
    for name in ["b.log", "c.log"] {
        world.write(name, if name == "b.log" { 100 } else { 200 }, 10);
        cycle(&mut follow, store);
        world.write(name, if name == "b.log" { 110 } else { 210 }, 10);
        fs::remove_file(world.log(name)).unwrap();
        cycle(&mut follow, store);
    }
    world.write("d.log", 300, 10);
    for _ in 0..5 {
        assert!(!cycle(&mut follow, store));
    }
    // Whatever was read for the tries that failed is read again and not kept on top.
    assert_eq!(world.stored(), (10, 0));

    store.refuse_writes(false);
    settle(&mut follow, store);
    // A look after everything was read finds that the deleted ones are over.
    settle(&mut follow, store);
    settle(&mut follow, store);
    assert_eq!(world.stored(), (10 + 11 + 40 + 10, 0));
    assert_eq!(follow.status, "Following 1 servers");
    drop(follow);
    let mut follow = world.follow();
    settle(&mut follow, store);
    assert_eq!(
        (world.stored(), follow.accounting().executions),
        ((71, 0), 0)
    );
}

/// A lock that another process holds is waited for a moment at a time; in between the files are looked at.
#[test]
fn files_are_looked_at_while_the_store_is_locked() {
    let world = World::new();
    let store = &world.store;
    let mut follow = world.follow();
    world.write("a.log", 0, 10);
    settle(&mut follow, store);
    open(&world.folder).hold_lock(|| {
        let began = Instant::now();
        world.write("a.log", 10, 10);
        assert!(!cycle(&mut follow, store));
        assert!(follow.status.contains("locked"), "{}", follow.status);
        // Written and deleted while nothing can be stored.
        world.write("b.log", 100, 10);
        assert!(!cycle(&mut follow, store));
        fs::remove_file(world.log("b.log")).unwrap();
        assert!(!cycle(&mut follow, store));
        // SQLite itself would have waited for 5 seconds.
        assert!(began.elapsed() < Duration::from_secs(4));
    });
    settle(&mut follow, store);
    settle(&mut follow, store);
    assert_eq!(world.stored(), (30, 0));
}

#[test]
fn what_is_lost_while_the_store_takes_nothing_in_is_a_gap() {
    let world = World::new();
    let store = &world.store;
    let mut follow = world.follow();
    settle(&mut follow, store);
    store.refuse_writes(true);
    world.write("a.log", 0, 10);
    cycle(&mut follow, store);
    fs::File::create(world.log("a.log")).unwrap();
    world.write("a.log", 50, 3);
    for _ in 0..4 {
        cycle(&mut follow, store);
    }
    store.refuse_writes(false);
    settle(&mut follow, store);
    assert_eq!(world.stored(), (3, 1));
}

/// A line of jsonlog, and one of stderr, that say the same.
fn said(second: usize) -> (String, String) {
    let at = format!(
        "2026-11-20 10:{:02}:{:02}.000 UTC",
        second / 60,
        second % 60
    );
    let message = format!("duration: 1.5 ms  statement: select {second}");
    (
        format!(
            "{{\"timestamp\":\"{at}\",\"pid\":77,\"error_severity\":\"LOG\",\"message\":\"{message}\"}}\n"
        ),
        format!("{at} [77] LOG:  {message}\n"),
    )
}

impl World {
    /// What a server with that `log_destination` writes in these seconds; the files are dated so.
    fn log_to(&self, destination: &str, seconds: std::ops::Range<usize>) {
        let midnight: jiff::Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let last = seconds.end as u64 - 1;
        for second in seconds {
            let (json, stderr) = said(second);
            if destination.contains("jsonlog") {
                self.append("pg.json", &json);
            }
            if destination.contains("stderr") {
                self.append("pg.log", &stderr);
            }
        }
        let written =
            SystemTime::from(midnight) + Duration::from_secs(last) + Duration::from_micros(300);
        for (format, name) in [("jsonlog", "pg.json"), ("stderr", "pg.log")] {
            if destination.contains(format) {
                let file = fs::File::open(self.log(name)).unwrap();
                file.set_modified(written).unwrap();
            }
        }
    }
}

/// `log_destination` is changed by a reload, to and fro, and the daemon restarts in between or doesn't.
#[test]
fn every_statement_once_whatever_log_destination_becomes() {
    let both = "stderr,jsonlog";
    let lives: [&[&str]; 8] = [
        &[both, "stderr", both, "stderr"],
        &["jsonlog", "stderr", "jsonlog"],
        &["stderr", both, "stderr"],
        &["stderr", "jsonlog", "stderr", both],
        &[both, both, both, "jsonlog"],
        &["jsonlog", both, "stderr", "stderr", both],
        &[both, "stderr", "stderr", "jsonlog"],
        &["stderr", "stderr", both, both, "stderr", "jsonlog"],
    ];
    thread::scope(|scope| {
        for life in lives {
            for change in [
                Change::WhileFollowing,
                Change::AtARestart,
                Change::WhileDown,
            ] {
                scope.spawn(move || live(life, change));
            }
        }
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    WhileFollowing,
    AtARestart,
    WhileDown,
}

fn live(life: &[&str], change: Change) {
    let world = World::new();
    let mut follow = Some(world.follow());
    let mut second = 0;
    for destination in life {
        if change != Change::WhileFollowing {
            follow = None;
        }
        for part in 0..3 {
            if change == Change::AtARestart || part == 2 {
                follow.get_or_insert_with(|| world.follow());
            }
            world.log_to(destination, second..second + 40);
            second += 40;
            if let Some(follow) = &mut follow {
                settle(follow, &world.store);
            }
        }
    }
    let follow = follow.get_or_insert_with(|| world.follow());
    settle(follow, &world.store);
    let page = ExecutionPage {
        limit: 10_000,
        ..ExecutionPage::default()
    };
    let stored = world.store.read(|reader| reader.executions(&page)).unwrap();
    let mut seconds: Vec<_> = stored
        .iter()
        .map(|execution| (execution.started_at.as_second() + 1) % 3600)
        .collect();
    seconds.sort_unstable();
    let missing: Vec<_> = (0..second as i64)
        .filter(|s| !seconds.contains(s))
        .collect();
    let doubled: Vec<_> = seconds.windows(2).filter(|two| two[0] == two[1]).collect();
    assert!(
        missing.is_empty() && doubled.is_empty() && seconds.len() == second,
        "{life:?} {change:?}: {missing:?} missing, {doubled:?} doubled"
    );
}

/// What a statement's line looks like with `who` between the process and the severity.
fn statements(who: &str, seconds: std::ops::Range<usize>) -> String {
    seconds
        .map(|second| {
            let at = format!(
                "2026-11-20 10:{:02}:{:02}.000 UTC",
                second / 60,
                second % 60
            );
            format!("{at} [77] {who}LOG:  duration: 1.5 ms  statement: select {second}\n")
        })
        .collect()
}

#[test]
fn a_log_line_prefix_that_is_changed_is_detected_again() {
    for (before, after, least) in [
        ("", "app@shop ", 3),
        ("app@shop ", "", 20),
        (
            "app@shop ",
            "db=shop,user=app,app=psql,client=10.0.0.1 ",
            20,
        ),
    ] {
        // In one chunk with what came before, and line by line.
        for step in [60, 1] {
            let world = World::new();
            let mut follow = world.follow_with(None);
            world.append("a.log", &statements(before, 0..60));
            settle(&mut follow, &world.store);
            for second in (60..120).step_by(step) {
                let is_last = second + step >= 120;
                world.append("a.log", &statements(after, second..second + step));
                if step > 1 {
                    world.append("a.log", &statements(after, 120..121));
                }
                if is_last || step == 1 {
                    settle(&mut follow, &world.store);
                }
            }
            world.append("a.log", &statements(after, 121..123));
            settle(&mut follow, &world.store);
            let accounting = world.store.read(|reader| reader.accounting()).unwrap();
            let accounting = accounting.into_values().next().unwrap();
            let (records, unparsed) = (accounting.records_total, accounting.unparsed);
            let most = if step == 1 { least } else { 0 };
            let written = if step == 1 { 122 } else { 123 };
            assert!(
                unparsed <= most && records + unparsed >= written - 1,
                "{before:?} {after:?} {step}: {records} read, {unparsed} not"
            );
        }
    }
}

#[test]
fn a_store_that_takes_nothing_in_at_the_start_is_waited_for() {
    let world = World::new();
    let store = &world.store;
    world.write("a.log", 0, 10);
    store.refuse_writes(true);
    let mut follow = world.follow();
    follow.open(store).unwrap();
    cycle(&mut follow, store);
    fs::remove_file(world.log("a.log")).unwrap();
    cycle(&mut follow, store);
    store.refuse_writes(false);
    settle(&mut follow, store);
    assert_eq!(world.stored(), (10, 0));
}

#[test]
fn a_second_one_waits_for_the_first_ones_end_and_takes_over() {
    let world = World::new();
    let other = open(&world.folder);
    world.write("a.log", 0, 10);
    let mut first = world.follow();
    settle(&mut first, &world.store);
    let mut second = world.follow();
    second.open(&other).unwrap();
    settle(&mut second, &other);
    assert!(
        second.status.contains("wait for another plantail"),
        "{}",
        second.status
    );
    assert!(
        second
            .servers
            .iter()
            .all(|(server, _)| server.directories().is_empty())
    );
    world.write("a.log", 10, 10);
    settle(&mut first, &world.store);
    settle(&mut second, &other);
    assert_eq!(
        (world.stored(), second.accounting().executions),
        ((20, 0), 0)
    );

    drop(first);
    world.write("a.log", 20, 10);
    let began = Instant::now();
    while second.accounting().executions < 10 {
        cycle(&mut second, &other);
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{}",
            second.status
        );
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(world.stored(), (30, 0));
}

/// Somebody else has stored what this one was about to: a claim that was lost unnoticed.
#[test]
fn one_that_is_overtaken_reads_again_where_the_store_stands() {
    let world = World::new();
    let store = &world.store;
    world.write("a.log", 0, 10);
    let mut follow = world.follow();
    settle(&mut follow, store);
    let server = Server::named("shop").id;
    world.write("a.log", 10, 10);
    let known = store.generations(server).unwrap();
    let folder = world.folder.path().join("log");
    let config = tail::Config::default();
    let mut other = tail::ServerTail::open(
        server,
        vec![folder],
        tail::Mode::Follow,
        known.clone(),
        |_| None,
        &config,
    );
    other.scan();
    let chunk = other.next_chunk().unwrap();
    let end_bytes = chunk.start_bytes + chunk.bytes.len() as u64;
    let overtaken = other.checkpoint(chunk.generation, end_bytes).unwrap();
    move_position(store, &known, overtaken);
    world.write("a.log", 20, 10);
    settle(&mut follow, store);
    // The ten that somebody else has stored aren't stored again.
    assert_eq!(world.stored().0, 20);
}

/// Moves a generation in the store as another process would.
fn move_position(store: &Store, before: &[Generation], after: Generation) {
    let batch = store::Batch {
        server: after.server_id,
        claim: store.newest_claim(after.server_id),
        from_bytes: before.first().unwrap().offset_bytes,
        generation: after,
        executions: Vec::new(),
        plans: Vec::new(),
        analyses: Vec::new(),
        recommendations: Vec::new(),
        incidents: Vec::new(),
        incident_executions: Vec::new(),
        withdrawn: Vec::new(),
        gaps: Vec::new(),
        accounting: Accounting::default(),
        pairing: Vec::new(),
        newest: None,
        oldest: None,
        slow_threshold_ms: 1000.0,
        max_queries: 1000,
        enqueue_advice: false,
    };
    store.ingest(&batch, &|_| Vec::new()).unwrap();
}

/// Cut in the middle of a record, as by a power cut, and grown beyond where it was read to before anybody looked.
#[test]
fn what_stands_before_a_cut_is_not_taken_in_again() {
    let world = World::new();
    let store = &world.store;
    let mut follow = world.follow();
    world.write("a.log", 0, 200);
    settle(&mut follow, store);
    world.write("a.log", 200, 200);
    settle(&mut follow, store);
    drop(follow);
    let content = fs::read_to_string(world.log("a.log")).unwrap();
    let cut = content.find("select 250\n").unwrap();
    let file = OpenOptions::new().write(true).open(world.log("a.log"));
    file.unwrap().set_len(cut as u64).unwrap();
    world.append("a.log", "\n");
    world.write("a.log", 400, 300);
    let mut follow = world.follow_by(Some("%m [%p] "), 500);
    settle(&mut follow, store);
    assert_eq!(world.stored(), (400 + 300, 1));
    // Not even what is left of the one that was cut; the last one may go on.
    let taken = follow.accounting();
    assert_eq!((taken.executions, taken.records_total), (300, 300));
    drop(follow);
    let mut follow = world.follow();
    settle(&mut follow, store);
    assert_eq!(world.stored(), (700, 1));
}

/// Somebody has deleted the position, or the generation's file was compressed meanwhile as well.
#[test]
fn a_position_that_the_store_has_lost_is_found_again() {
    for is_compressed in [false, true] {
        let world = World::new();
        let store = &world.store;
        let mut follow = world.follow();
        // The last one is stored and may still be withdrawn.
        world.append("a.log", &statements("", 0..40));
        settle(&mut follow, store);
        drop(follow);
        store.lose_positions();
        if is_compressed {
            let raw = fs::read(world.log("a.log")).unwrap();
            let packed = fs::File::create(world.log("a.log.1.gz")).unwrap();
            let mut gzip = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
            gzip.write_all(&raw).unwrap();
            let packed = gzip.finish().unwrap();
            packed
                .set_modified(SystemTime::now() - Duration::from_secs(3600))
                .unwrap();
            fs::remove_file(world.log("a.log")).unwrap();
        } else {
            world.append("a.log", &statements("", 40..50));
        }
        let count = if is_compressed { 40 } else { 50 };
        let mut follow = world.follow_by(Some("%m [%p] "), 500);
        settle(&mut follow, store);
        assert_eq!(world.rows().len(), count, "compressed: {is_compressed}");
        // Counted once, too; a last record that may go on isn't yet.
        let counted = world.rows().iter().filter(|row| !row.open).count();
        assert_eq!(counted, if is_compressed { 40 } else { 49 });
        assert_eq!(world.stored(), (counted as u64, 0));
        let known = store.generations(Server::named("shop").id).unwrap();
        assert_eq!(known.len(), 1);
    }
}

/// The last record of a stderr log may go on; when the log is gone it doesn't.
#[test]
fn a_last_record_that_was_stored_stays_when_its_log_is_gone() {
    let world = World::new();
    let store = &world.store;
    let mut follow = world.follow();
    let text = statements("", 0..10);
    world.append("a.log", &text);
    settle(&mut follow, store);
    assert_eq!((world.rows().len(), world.stored()), (10, (9, 0)));
    drop(follow);
    fs::remove_file(world.log("a.log")).unwrap();
    world.write("b.log", 100, 10);
    let mut follow = world.follow();
    for _ in 0..3 {
        settle(&mut follow, store);
    }
    assert_eq!(world.stored(), (20, 1));
    let gaps = store.gap_starts();
    assert_eq!(gaps, [text.len() as u64]);
    let rows = world.rows();
    assert_eq!((rows.len(), rows.iter().any(|row| row.open)), (20, false));
}

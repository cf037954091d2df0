use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::PathBuf,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    crash::dice,
    oracle::FORMATS,
    run::{StoreKind, Stores, World, count_rows, each_in, rounds},
    store::{descriptors, resident_kb},
};

const POSTGRES: Stores = Stores::Only(StoreKind::Postgres);

fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

#[test]
fn row_07_sessions_end_at_any_moment() {
    each_in(
        POSTGRES,
        "7",
        "the server ends the daemon's sessions in a loop",
        FORMATS,
        |world| {
            world.start();
            world.writer.write(50);
            world.settle();
            let mut dice = dice(7);
            let mut ended = 0;
            // After a failure it is a while before it tries again: the end shall come when it works.
            while ended < rounds(12, 200) {
                world.writer.write(40);
                pause(100 + dice(300));
                ended += world.database().terminate("true");
                assert!(world.writer.written.len() < 40 * rounds(400, 10_000));
            }
            world.expect_all();
        },
    );
}

/// Nothing of the logs is kept in memory meanwhile: the files that rotate are kept open, two of them are deleted.
#[test]
fn row_08_server_down_while_files_are_deleted() {
    each_in(
        POSTGRES,
        "8",
        "the store's server is stopped at once, five rotations, two files deleted",
        FORMATS,
        |world| {
            world.own_server();
            world.writer.write(rounds(2000, 20_000));
            world.start();
            world.settle();
            let before = (descriptors(world), resident_kb(world));
            let server = Arc::clone(&world.database().server);
            server.stop_at_once();
            let mut rotated = Vec::new();
            for _ in 0..5 {
                world.writer.write(rounds(1000, 20_000));
                rotated.push(fs::metadata(world.writer.path()).unwrap().ino());
                world.rotate();
                // Each is looked at before the next comes.
                pause(rounds(1300, 20_000) as u64);
            }
            world.writer.write(50);
            for entry in fs::read_dir(&world.logs).unwrap() {
                let path = entry.unwrap().path();
                if rotated[1..3].contains(&fs::metadata(&path).unwrap().ino()) {
                    fs::remove_file(path).unwrap();
                }
            }
            pause(rounds(1000, 60_000) as u64);
            let after = resident_kb(world);
            eprintln!(
                "row 8: {} kB before, {after} kB at the end of the outage",
                before.1
            );
            assert!(
                after < before.1 + 8 * 1024,
                "{after} kB after {} kB",
                before.1
            );
            server.start_again();
            world.settle();
            assert!(descriptors(world) <= before.0 + 8);
            assert!(
                world.log().contains("the store takes the logs in again"),
                "{}",
                world.log()
            );
            world.expect_all();
        },
    );
}

#[test]
fn row_13_server_read_only() {
    each_in(
        POSTGRES,
        "13",
        "the store's server is read-only for a while",
        FORMATS,
        |world| {
            world.own_server();
            world.writer.write(100);
            world.start();
            world.settle();
            let server = Arc::clone(&world.database().server);
            let set = |value: &str| {
                let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
                server.psql(&[&set, "SELECT pg_reload_conf()"]);
            };
            set("on");
            pause(200);
            world.writer.write(100);
            world.wait_until("complaint", || {
                world.log().contains("read-only transaction")
            });
            world.rotate();
            world.writer.write(100);
            pause(rounds(500, 20_000) as u64);
            assert_eq!(count_rows(&world.home), 100);
            set("off");
            world.expect_all();
        },
    );
}

/// Another daemon with the same configuration. Dropped, it is killed.
struct Second {
    child: Child,
    log: PathBuf,
}

impl Second {
    fn start(world: &World) -> Self {
        let log = world.home.path("second.log");
        let child = world
            .home
            .command(&["watch", "--no-api"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn says(&self, what: &str) -> bool {
        fs::read_to_string(&self.log).unwrap().contains(what)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const WAITS: &str = "another plantail takes the logs of this server";
const TAKES_OVER: &str = "taking over";

#[test]
fn row_61_the_second_takes_over() {
    each_in(
        POSTGRES,
        "61",
        "two daemons, the first is killed: the second takes over",
        FORMATS,
        |world| {
            world.writer.write(100);
            world.start();
            world.settle();
            let mut second = Second::start(world);
            world.wait_until("word of the second", || second.says(WAITS));
            for _ in 0..10 {
                world.writer.write(20);
                pause(50);
            }
            assert!(!second.says(TAKES_OVER));
            world.writer.write(300);
            world.kill();
            world.writer.write(50);
            world.rotate();
            world.writer.write(50);
            world.settle();
            assert!(second.says(TAKES_OVER));
            assert!(second.child.try_wait().unwrap().is_none());
            drop(second);
            world.expect_all();
        },
    );
}

#[test]
fn row_61_claim_lost() {
    each_in(
        POSTGRES,
        "61",
        "two daemons, the session that holds the claim is ended again and again",
        FORMATS,
        |world| {
            world.writer.write(100);
            world.start();
            world.settle();
            let second = Second::start(world);
            world.wait_until("word of the second", || second.says(WAITS));
            for round in 0..rounds(4, 40) {
                let first_waits = world.log().matches(WAITS).count();
                assert_eq!(world.database().terminate_claim(), 1);
                world.writer.write(200);
                // The other one gets it sooner or later; the loser hears of it when it writes.
                for _ in 0..15 {
                    world.writer.write(20);
                    pause(100);
                }
                if round == 0 {
                    world.wait_until("change of hands", || {
                        second.says(TAKES_OVER) || world.log().matches(WAITS).count() > first_waits
                    });
                }
            }
            world.settle();
            drop(second);
            world.expect_all();
        },
    );
}

/// Between the daemon and its server: hands bytes on until it is told to be silent, or to hang up.
struct Between {
    port: u16,
    silent: Arc<AtomicBool>,
    /// Connections that are open end without a word to the server.
    hangs_up: Arc<AtomicBool>,
}

impl Between {
    fn new(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let between = Self {
            port: listener.local_addr().unwrap().port(),
            silent: Arc::default(),
            hangs_up: Arc::default(),
        };
        let (silent, hangs_up) = (Arc::clone(&between.silent), Arc::clone(&between.hangs_up));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&socket) else {
                    continue;
                };
                let both = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let flags = (Arc::clone(&silent), Arc::clone(&hangs_up));
                let quick = Some(Duration::from_millis(20));
                client.set_read_timeout(quick).unwrap();
                server.set_read_timeout(quick).unwrap();
                let other = (Arc::clone(&silent), Arc::clone(&hangs_up));
                thread::spawn(move || hand_on(client, both.1, &flags));
                thread::spawn(move || hand_on(server, both.0, &other));
            }
        });
        between
    }
}

fn hand_on(
    mut from: impl Read,
    mut to: impl Write,
    (silent, hangs_up): &(Arc<AtomicBool>, Arc<AtomicBool>),
) {
    let mut bytes = [0; 8192];
    loop {
        if hangs_up.load(Ordering::Relaxed) {
            return;
        }
        if silent.load(Ordering::Relaxed) {
            pause(20);
            continue;
        }
        match from.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => {
                while silent.load(Ordering::Relaxed) && !hangs_up.load(Ordering::Relaxed) {
                    pause(20);
                }
                if hangs_up.load(Ordering::Relaxed) || to.write_all(&bytes[..count]).is_err() {
                    return;
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => return,
        }
    }
}

#[test]
fn row_69_network_silent() {
    each_in(
        POSTGRES,
        "69",
        "the network to the store hands nothing on for a while; then connections break",
        FORMATS,
        |world| {
            let between = Between::new(world.database().server.socket());
            let direct = world.home.store_url();
            world.home.set_store(&world.database().url_at(between.port));
            world.start();
            world.writer.write(100);
            world.settle();
            for breaks in [false, true, true] {
                world.writer.write(300);
                pause(30);
                between.silent.store(true, Ordering::Relaxed);
                world.writer.write(100);
                world.rotate();
                world.writer.write(100);
                pause(rounds(1500, 40_000) as u64);
                between.hangs_up.store(breaks, Ordering::Relaxed);
                pause(200);
                between.silent.store(false, Ordering::Relaxed);
                between.hangs_up.store(false, Ordering::Relaxed);
            }
            // The proxy is in the way of nobody else.
            world.home.set_store(&direct);
            world.expect_all();
        },
    );
}

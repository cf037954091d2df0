use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    oracle::{FORMATS, Format, STDERR},
    run::{Outcome, StoreKind, Stores, World, each_in, long, note, rounds},
    store::Mount,
};
use crate::{
    plantail::wait_for,
    postgres::{Postgres, required},
};

/// A real server, the statements that were run on it, and the daemon that follows its logs.
struct Served<'a> {
    world: &'a mut World,
    server: Postgres,
    statements: Vec<String>,
    began: Instant,
}

const QUIET: &str = "autovacuum = off\nlog_checkpoints = off\nlog_autovacuum_min_duration = -1\n";

/// Runs a row on a real server; its logs are in `folder` below the data directory.
fn served(row: &str, fault: &str, settings: &str, test: impl Fn(&mut Served<'_>)) {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        row,
        fault,
        STDERR,
        |world| {
            let Some(server) = Postgres::start(&format!("{QUIET}{settings}")) else {
                return world.skip();
            };
            world.follow(&server.log_directory());
            world.start();
            let mut served = Served {
                world,
                server,
                statements: Vec::new(),
                began: Instant::now(),
            };
            test(&mut served);
            served.judge(row, fault);
            served.world.skip();
        },
    );
}

impl Served<'_> {
    /// Runs so many statements, each with text of its own, some of them longer than what the logger writes at once.
    fn run(&mut self, count: usize) {
        let first = self.statements.len();
        let statements: Vec<String> = (first..first + count)
            .map(|number| {
                let size = if number % 20 == 7 { 9000 } else { number % 50 };
                format!(
                    "select '{number}' as number,\n\t'{}' as body",
                    "abcé".repeat(size / 4)
                )
            })
            .collect();
        let commands: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.server.psql(&commands);
        self.statements.extend(statements);
    }

    fn sql(&self, commands: &[&str]) {
        self.server.psql(commands);
    }

    /// How often each statement is stored.
    fn stored(&self) -> BTreeMap<String, usize> {
        let path = self.world.home.path("store.db");
        let Ok(connection) = rusqlite::Connection::open(path) else {
            return BTreeMap::new();
        };
        let Ok(mut select) = connection.prepare("SELECT statement, count(*) FROM executions WHERE statement LIKE 'select ''%' GROUP BY statement") else {
            return BTreeMap::new();
        };
        select
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as usize)))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn gaps(&self) -> usize {
        let data = self.world.home.query("{ ingestHealth { gaps } }");
        data["ingestHealth"]["gaps"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Each statement once.
    fn judge(&mut self, row: &str, fault: &str) {
        wait_for(|| (self.stored().len() >= self.statements.len()).then_some(()));
        for after in ["the daemon", "the import"] {
            let stored = self.stored();
            let lost = self
                .statements
                .iter()
                .filter(|statement| !stored.contains_key(*statement))
                .count();
            let doubled: usize = stored.values().map(|times| times - 1).sum();
            assert_eq!(
                (lost, doubled, stored.len()),
                (0, 0, self.statements.len()),
                "row {row} after {after}: {}",
                self.world.log()
            );
            if after == "the daemon" {
                self.world.stop();
                self.world.home.stdout(&["import"]);
            }
        }
        note(&Outcome {
            row,
            fault,
            combination: "real PostgreSQL, SQLite",
            starts: 1,
            events: self.statements.len(),
            lost: 0,
            doubled: 0,
            gaps: self.gaps(),
            in_gaps: 0,
            seconds: self.began.elapsed().as_secs_f64(),
        });
    }
}

#[test]
fn row_25_ring_that_truncates() {
    if !long() {
        // The server truncates at the turn of a minute only.
        return;
    }
    let settings =
        "log_filename = 'ring-%M.log'\nlog_truncate_on_rotation = on\nlog_rotation_age = 1min\n";
    served(
        "25",
        "PostgreSQL's ring by minutes with truncation",
        settings,
        |served| {
            for _ in 0..40 {
                served.run(10);
                thread::sleep(Duration::from_secs(5));
            }
        },
    );
}

#[test]
fn row_27_rotation_into_the_same_name() {
    served(
        "27",
        "pg_rotate_logfile() with the same name",
        "",
        |served| {
            for _ in 0..rounds(4, 40) {
                served.run(20);
                served.sql(&["select pg_rotate_logfile()"]);
            }
        },
    );
}

#[test]
fn row_63_three_destinations_at_once() {
    let settings = if is_before_15() {
        "log_destination = 'stderr,csvlog'\n"
    } else {
        "log_destination = 'stderr,csvlog,jsonlog'\n"
    };
    served(
        "63",
        "stderr, csvlog and jsonlog at once",
        settings,
        |served| {
            for _ in 0..rounds(3, 30) {
                served.run(30);
            }
        },
    );
}

fn is_before_15() -> bool {
    !(15..30)
        .any(|release| Path::new(&format!("/usr/lib/postgresql/{release}/bin/initdb")).exists())
}

#[test]
fn row_64_log_filename_changed() {
    served("64", "log_filename changed by reload", "", |served| {
        for round in 0..rounds(3, 20) {
            served.run(20);
            let setting = format!("alter system set log_filename = 'other-{round}.log'");
            served.sql(&[&setting, "select pg_reload_conf()"]);
            served.run(20);
        }
    });
}

/// The logger's process, which is a child of the postmaster.
fn logger(served: &Served<'_>) -> Option<String> {
    let data = served.server.log_directory();
    let postmaster = fs::read_to_string(data.parent().unwrap().join("postmaster.pid")).ok()?;
    let postmaster = postmaster.lines().next()?;
    let children =
        fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).ok()?;
    let mut children = children.split_whitespace();
    let is_logger = |id: &&str| {
        fs::read_to_string(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.contains("logger"))
    };
    children.find(is_logger).map(str::to_owned)
}

#[test]
fn row_65_logger_killed() {
    served("65", "PostgreSQL's logger killed by -9", "", |served| {
        for _ in 0..rounds(4, 50) {
            served.run(25);
            let logger = wait_for(|| logger(served)).unwrap();
            assert!(
                Command::new("kill")
                    .args(["-9", &logger])
                    .status()
                    .unwrap()
                    .success()
            );
            served.run(25);
        }
    });
}

#[test]
fn row_66_server_restarted() {
    served(
        "66",
        "PostgreSQL restarted",
        "log_truncate_on_rotation = on\nlog_filename = 'ring-%a.log'\n",
        |served| {
            for _ in 0..rounds(2, 10) {
                served.run(20);
                served.server.restart();
                served.run(20);
            }
        },
    );
}

/// What the server drops while its disk is full is in no file; what is in the files comes once.
#[test]
fn row_43_log_disk_full() {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "43",
        "the real server's log volume is full for a while",
        STDERR,
        |world| {
            let began = Instant::now();
            let outside = tempfile::tempdir().unwrap();
            let disk = outside.path().join("disk");
            let Some(_mount) = Mount::new(
                &disk,
                &["-t", "tmpfs", "-o", "size=192k,mode=0777", "tmpfs"],
            ) else {
                return world.skip();
            };
            // The server's user must get through to it.
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let settings = format!(
                "{QUIET}log_directory = '{}'\nauto_explain.log_min_duration = -1\n",
                disk.display()
            );
            let Some(server) = Postgres::start(&settings) else {
                return world.skip();
            };
            world.follow(&disk);
            world.start();
            let statements: Vec<String> = (0..300)
                .map(|number| format!("select '{number}', '{}'", "z".repeat(1500)))
                .collect();
            let commands: Vec<&str> = statements.iter().map(String::as_str).collect();
            server.psql(&commands[..200]);
            assert!(
                Command::new("mount")
                    .args(["-o", "remount,size=64m"])
                    .arg(&disk)
                    .status()
                    .unwrap()
                    .success()
            );
            server.psql(&commands[200..]);
            let log = disk.join("postgresql.log");
            // On a line of its own: one that was glued to a torn one could have been written by a client.
            let text = String::from_utf8(fs::read(&log).unwrap()).unwrap();
            let whole = |statement: &&String| -> bool {
                text.lines().any(|line| {
                    line.ends_with(statement.as_str()) && line.matches("LOG:").count() == 1
                })
            };
            let written: Vec<&String> = statements.iter().filter(whole).collect();
            assert!(
                written.len() >= 100 && written.len() < 300,
                "{} written",
                written.len()
            );
            let stored = || -> BTreeMap<String, usize> {
                let Ok(connection) = rusqlite::Connection::open(world.home.path("store.db")) else {
                    return BTreeMap::new();
                };
                let Ok(mut select) = connection
                    .prepare("SELECT statement, count(*) FROM executions GROUP BY statement")
                else {
                    return BTreeMap::new();
                };
                select
                    .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as usize)))
                    .unwrap()
                    .map(Result::unwrap)
                    .collect()
            };
            let missing = || -> Vec<&String> {
                let stored = stored();
                written
                    .iter()
                    .copied()
                    .filter(|statement| stored.get(*statement) != Some(&1))
                    .collect()
            };
            wait_for(|| missing().is_empty().then_some(()));
            assert_eq!(missing(), Vec::<&String>::new(), "{}", world.log());
            world.stop();
            note(&Outcome {
                row: "43",
                fault: "the real server's log volume is full for a while",
                combination: "real PostgreSQL, SQLite",
                starts: 1,
                events: written.len(),
                lost: 0,
                doubled: 0,
                gaps: 0,
                in_gaps: 0,
                seconds: began.elapsed().as_secs_f64(),
            });
            world.skip();
        },
    );
}

/// Runs the real logrotate; whether it is there.
fn logrotate(world: &World, directives: &str) -> bool {
    let config = world.home.path("logrotate.conf");
    let user = if unprivileged() { "" } else { "su root root\n" };
    let text = format!(
        "{}/*.{} {{\nweekly\nrotate 10\n{directives}\nnotifempty\nmissingok\n{user}}}\n",
        world.logs.display(),
        world.writer.format().extension()
    );
    fs::write(&config, text).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let rotated = Command::new("logrotate")
        .arg("-f")
        .arg("-s")
        .arg(world.home.path("logrotate.state"))
        .arg(&config)
        .output();
    match rotated {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            true
        }
        Err(error) => {
            assert!(!required("logrotate"), "logrotate: {error}");
            eprintln!("skipped: logrotate is not installed");
            false
        }
    }
}

fn unprivileged() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0)
}

#[test]
fn row_18_logrotate_as_debian_sets_it_up() {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "18",
        "real logrotate, Debian's copytruncate, delaycompress and compress",
        FORMATS,
        |world| {
            world.writer.write(60);
            world.start();
            for round in 0..rounds(6, 60) {
                match round % 3 {
                    0 => world.settle(),
                    1 => world.writer.write(10),
                    _ => {
                        world.settle();
                        world.stop();
                        world.writer.write(25);
                    }
                }
                // Nothing is written between its copy and its truncation: what is, no reader can have.
                if !logrotate(world, "copytruncate\ndelaycompress\ncompress") {
                    return world.skip();
                }
                world.writer.was_truncated();
                world.writer.write(20);
                if round % 3 == 2 {
                    world.start();
                }
            }
            world.expect_all();
        },
    );
}

#[test]
fn row_15_logrotate_create() {
    each_in(
        Stores::Only(StoreKind::Sqlite),
        "15",
        "real logrotate with create and compress, the writer late",
        FORMATS,
        |world| {
            world.writer.write(60);
            world.start();
            for round in 0..rounds(5, 60) {
                world.writer.write(15);
                let compress = if world.writer.format() == Format::Jsonlog {
                    ""
                } else {
                    "\ndelaycompress\ncompress"
                };
                let path = world.writer.path();
                if !logrotate(world, &format!("create 0644{compress}")) {
                    return world.skip();
                }
                world.writer.write(10 * (round % 3));
                world.writer.new_life(Vec::new());
                let life = world.writer.life();
                world.writer.go_on(&path, life);
                world.writer.write(15);
            }
            world.expect_all();
        },
    );
}

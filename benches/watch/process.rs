//! A `plantail` process, and what the kernel says it has used.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use super::stored::{SERVER, StoreAt};

/// A command of the built program that reads nobody's configuration.
pub(super) fn plantail(folder: &Path, store: &StoreAt, args: &[&str]) -> Command {
    let program = std::env::var_os("PLANTAIL_BENCH_PROGRAM");
    let mut command =
        Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_plantail").into()));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("PLANTAIL_") || name == "STATE_DIRECTORY" {
            command.env_remove(name.as_ref());
        }
    }
    command
        .env_remove("RUST_LOG")
        .env("XDG_STATE_HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .current_dir(folder)
        .args(args)
        .args(["--store", &store.url(folder)])
        .stdin(Stdio::null());
    command
}

/// A running daemon. Dropped, it is killed.
pub(super) struct Watch {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(super) started: Instant,
}

impl Watch {
    pub(super) fn start(folder: &Path, store: &StoreAt, logs: &Path) -> Self {
        let mut command = plantail(
            folder,
            store,
            &[
                "watch",
                "--no-api",
                "--server",
                SERVER,
                logs.to_str().unwrap(),
            ],
        );
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            stdout,
            started,
        }
    }

    /// Waits until everything that was there has been read.
    pub(super) fn catch_up(&mut self) {
        let mut line = String::new();
        while !line.starts_with("Tailing ") {
            line.clear();
            assert!(
                self.stdout.read_line(&mut line).unwrap() > 0,
                "plantail watch has ended"
            );
        }
    }

    pub(super) fn used(&self) -> Used {
        Used::by(&self.child)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end: wall seconds, and what it used.
pub(super) fn run(mut command: Command) -> (f64, Used) {
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut used = Used::by(&child);
    // A process that has ended keeps its times until it is waited for, and not its memory.
    loop {
        let now = Used::by(&child);
        used.cpu_s = now.cpu_s;
        if now.has_ended {
            break;
        }
        used = now;
        std::thread::sleep(Duration::from_millis(5));
    }
    let wall_s = began.elapsed().as_secs_f64();
    assert!(child.wait().unwrap().success());
    (wall_s, used)
}

/// See proc(5): `stat` and `status`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    /// In user and system mode, of all its threads.
    pub(super) cpu_s: f64,
    /// 10^6 bytes.
    pub(super) resident_mb: f64,
    /// The most that were resident, 10^6 bytes.
    pub(super) peak_mb: f64,
    has_ended: bool,
}

impl Used {
    fn by(child: &Child) -> Self {
        let read = |file| fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
        let (stat, status) = (read("stat"), read("status"));
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        let mb = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kib = line.map_or("0", |line| line.trim().trim_end_matches(" kB"));
            kib.parse::<f64>().unwrap() * 1024.0 / 1e6
        };
        Self {
            cpu_s: (ticks(11) + ticks(12)) / 100.0,
            resident_mb: mb("VmRSS:"),
            peak_mb: mb("VmHWM:"),
            has_ended: fields[0] == "Z",
        }
    }
}

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    oracle::{FORMATS, Writer},
    run::{StoreKind, Stores, World, each, each_in, rounds},
    store::Mount,
};
use crate::plantail::signal;

fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

/// Processor time of the daemon in ticks of 10 ms.
fn ticks(world: &World) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", world.process_id())).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn row_47_many_files() {
    each(
        "47",
        "thousands of files, 50 of them active",
        FORMATS,
        |world| {
            let count = rounds(250, 5000);
            let name = |world: &World, number: usize| {
                world.path(&format!(
                    "postgresql-{number:05}.{}",
                    world.writer.format().extension()
                ))
            };
            for number in 0..count {
                let path = name(world, number);
                world.writer.reopen(&path);
                world.writer.write(1);
            }
            world.start();
            world.settle();
            let descriptors = fs::read_dir(format!("/proc/{}/fd", world.process_id()))
                .unwrap()
                .count();
            let (most, within_s) = match world.store() {
                StoreKind::Sqlite => (120, 5),
                StoreKind::Postgres => (120, 30),
            };
            assert!(descriptors < most, "{descriptors} open files");
            let began = Instant::now();
            for number in count - 50..count {
                let path = name(world, number);
                world.writer.go_on(&path, number);
                world.writer.write(3);
            }
            world.settle();
            assert!(
                began.elapsed() < Duration::from_secs(within_s),
                "{:?}",
                began.elapsed()
            );
            world.expect_all();
        },
    );
}

#[test]
fn row_48_inotify_overflow() {
    each(
        "48",
        "more notifications than the system keeps",
        FORMATS,
        |world| {
            world.writer.write(50);
            world.start();
            world.settle();
            signal(world.process_id(), "STOP");
            for number in 0..17_000 {
                fs::write(world.path(&format!("x{number}.tmp")), "").unwrap();
            }
            world.rotate();
            world.writer.write(50);
            signal(world.process_id(), "CONT");
            world.settle();
            world.writer.write(50);
            world.expect_all();
        },
    );
}

#[test]
fn row_49_few_descriptors() {
    // Those that a store in PostgreSQL needs are gone then.
    let stores = Stores::Only(StoreKind::Sqlite);
    each_in(
        stores,
        "49",
        "30 file descriptors for 60 files",
        FORMATS,
        |world| {
            world.wrapped_in = ["sh", "-c", "ulimit -n 30; exec \"$0\" \"$@\""]
                .map(str::to_owned)
                .into();
            for number in 0..60 {
                let path = world.path(&format!(
                    "postgresql-{number:03}.{}",
                    world.writer.format().extension()
                ));
                world.writer.reopen(&path);
                world.writer.write(3);
            }
            world.start();
            world.settle();
            world.writer.write(30);
            world.expect_all();
        },
    );
}

#[test]
fn row_51_reading_rings_no_bell() {
    each(
        "51",
        "reading the log makes no notification that leads to reading",
        FORMATS,
        |world| {
            world.writer.write(500);
            world.start();
            world.settle();
            pause(300);
            let reads = |world: &World| -> u64 {
                let io = fs::read_to_string(format!("/proc/{}/io", world.process_id())).unwrap();
                let line = io.lines().find_map(|line| line.strip_prefix("syscr: "));
                line.unwrap().parse().unwrap()
            };
            let before = (reads(world), ticks(world));
            pause(1500);
            let after = (reads(world), ticks(world));
            // At 20 looks a second, that of the shortest tick, each reads the head and the bytes before the position.
            assert!(after.0 - before.0 < 300, "{before:?} {after:?}");
            assert!(after.1 - before.1 < 30, "{before:?} {after:?}");
            world.expect_all();
        },
    );
}

#[test]
fn row_52_overlay() {
    each(
        "52",
        "overlayfs: the log is copied up while it is read",
        FORMATS,
        |world| {
            let outside = tempfile::tempdir().unwrap();
            let base = outside.path().join("base");
            let Some(_base) = Mount::new(&base, &["-t", "tmpfs", "tmpfs"]) else {
                return world.skip();
            };
            let [lower, upper, work, merged] =
                ["lower", "upper", "work", "merged"].map(|name| base.join(name));
            for folder in [&lower, &upper, &work] {
                fs::create_dir(folder).unwrap();
            }
            let options = format!(
                "lowerdir={},upperdir={},workdir={}",
                lower.display(),
                upper.display(),
                work.display()
            );
            world.follow(&lower);
            world.writer.write(50);
            let other = Writer::new(world.writer.format(), PathBuf::new());
            let before = std::mem::replace(&mut world.writer, other);
            let Some(_merged) = Mount::new(&merged, &["-t", "overlay", "overlay", "-o", &options])
            else {
                return world.skip();
            };
            world.follow(&merged);
            world.writer.inherit(before);
            world.start();
            world.settle();
            world.writer.write(50);
            world.settle();
            world.rotate();
            world.writer.write(50);
            world.expect_all();
        },
    );
}

/// Runs the daemon as a user who may read only what it is let.
fn as_nobody(world: &mut World) -> bool {
    if !World::is_root() {
        return false;
    }
    let nobody = 65534;
    for path in [
        world.home.path(""),
        world.home.path("plantail.toml"),
        world.logs.clone(),
    ] {
        chown(&path, Some(nobody), Some(nobody)).unwrap();
    }
    // The folder of the build may be closed to others.
    let program = world.home.path("plantail");
    fs::copy(env!("CARGO_BIN_EXE_plantail"), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    for folder in world.logs.ancestors().skip(1).take(1) {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    let run = format!("shift; exec {} \"$@\"", program.display());
    world.wrapped_in = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "sh",
        "-c",
        &run,
        "sh",
    ]
    .map(str::to_owned)
    .into();
    true
}

#[test]
fn row_53_permission_lost_and_back() {
    each(
        "53",
        "no permission for the file, then for the folder, rotation meanwhile",
        FORMATS,
        |world| {
            if !as_nobody(world) {
                return world.skip();
            }
            let mode = |path: &Path, mode: u32| {
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap()
            };
            world.writer.write(50);
            world.start();
            world.settle();
            mode(&world.writer.path(), 0);
            world.writer.write(20);
            world.rotate();
            world.writer.write(20);
            mode(&world.writer.path(), 0);
            pause(rounds(1500, 30_000) as u64);
            let logs = world.logs.clone();
            mode(&logs, 0);
            world.writer.write(20);
            world.rotate();
            world.writer.write(20);
            pause(rounds(1500, 30_000) as u64);
            mode(&logs, 0o755);
            for entry in fs::read_dir(&logs).unwrap() {
                mode(&entry.unwrap().path(), 0o644);
            }
            world.settle();
            assert!(world.log().contains("can't be read"), "{}", world.log());
            world.expect_all();
        },
    );
}

/// A library that comes before libc: short and interrupted reads of logs, errors while a file is there, another time of day.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int is_log(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t len = readlink(link, path, sizeof path - 1);
  if (len < 0) return 0;
  path[len] = 0;
  return strstr(path, "/logs/") != NULL;
}
static __thread unsigned seed = 1;
static size_t fault(int fd, size_t count) {
  if (count == 0 || !is_log(fd)) return count;
  const char *broken = getenv("SHIM_EIO_WHILE");
  if (broken && access(broken, F_OK) == 0) { errno = EIO; return 0; }
  if (getenv("SHIM_SHORT")) {
    if (rand_r(&seed) % 5 == 0) { errno = EINTR; return 0; }
    size_t most = 1 + rand_r(&seed) % 300;
    return count < most ? count : most;
  }
  return count;
}
ssize_t pread64(int fd, void *buf, size_t count, off_t offset) {
  static ssize_t (*real)(int, void *, size_t, off_t);
  if (!real) real = dlsym(RTLD_NEXT, "pread64");
  size_t most = fault(fd, count);
  return most == 0 && count > 0 ? -1 : real(fd, buf, most, offset);
}
ssize_t read(int fd, void *buf, size_t count) {
  static ssize_t (*real)(int, void *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "read");
  size_t most = fault(fd, count);
  return most == 0 && count > 0 ? -1 : real(fd, buf, most);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  const char *path = getenv("SHIM_CLOCK");
  if (result == 0 && clock == CLOCK_REALTIME && path) {
    char text[32];
    ssize_t len = readlink(path, text, sizeof text - 1);
    if (len > 0) { text[len] = 0; now->tv_sec += atol(text); }
  }
  return result;
}
"#;

/// Compiles it; `None`, with a message, without a C compiler.
fn shim(world: &World) -> Option<PathBuf> {
    let source = world.home.path("shim.c");
    fs::write(&source, SHIM).unwrap();
    let library = world.home.path("shim.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no C compiler");
        return None;
    }
    Some(library)
}

fn preload(world: &mut World, library: &Path, name: &str, value: &str) {
    world.environment.push((
        "LD_PRELOAD".to_owned(),
        library.to_str().unwrap().to_owned(),
    ));
    world.environment.push((name.to_owned(), value.to_owned()));
}

#[test]
fn row_54_read_errors() {
    each(
        "54",
        "reading the log gives EIO for a while",
        FORMATS,
        |world| {
            let Some(library) = shim(world) else {
                return world.skip();
            };
            let broken = world.home.path("broken");
            preload(world, &library, "SHIM_EIO_WHILE", broken.to_str().unwrap());
            world.writer.write(50);
            world.start();
            world.settle();
            fs::write(&broken, "").unwrap();
            world.writer.write(50);
            world.rotate();
            world.writer.write(50);
            pause(rounds(1500, 20_000) as u64);
            assert_eq!(super::run::count_rows(&world.home), 50);
            assert!(!world.has_ended());
            fs::remove_file(&broken).unwrap();
            world.settle();
            assert!(world.log().contains("can't be read"), "{}", world.log());
            world.expect_all();
        },
    );
}

#[test]
fn row_55_short_reads() {
    each(
        "55",
        "reads that give less than asked for, or EINTR",
        FORMATS,
        |world| {
            let Some(library) = shim(world) else {
                return world.skip();
            };
            world.writer.write(50);
            preload(world, &library, "SHIM_SHORT", "1");
            world.start();
            for _ in 0..rounds(5, 50) {
                world.writer.write(60);
                pause(50);
                world.rotate();
            }
            world.writer.write(10);
            world.expect_all();
        },
    );
}

#[test]
fn row_56_clock_jumps() {
    each(
        "56",
        "the clock jumps by a day, forth and back",
        FORMATS,
        |world| {
            let Some(library) = shim(world) else {
                return world.skip();
            };
            let clock = world.home.path("clock");
            preload(world, &library, "SHIM_CLOCK", clock.to_str().unwrap());
            world.writer.write(50);
            world.start();
            for seconds in ["86400", "-86400", "3600", "-3600", "31536000"] {
                world.writer.write(20);
                world.settle();
                let _ = fs::remove_file(&clock);
                std::os::unix::fs::symlink(seconds, &clock).unwrap();
                world.writer.write(20);
                world.rotate();
                world.writer.write(20);
            }
            world.expect_all();
        },
    );
}

#[test]
fn row_39_volume_unmounted() {
    each(
        "39",
        "the log volume is unmounted and mounted again",
        FORMATS,
        |world| {
            let outside = tempfile::tempdir().unwrap();
            let image = outside.path().join("image");
            let at = outside.path().join("logs");
            fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
            let made = Command::new("mkfs.ext4")
                .args(["-q", "-F"])
                .arg(&image)
                .status();
            if !made.is_ok_and(|status| status.success()) {
                eprintln!("skipped: no mkfs.ext4");
                return world.skip();
            }
            let mount = || Mount::new(&at, &["-o", "loop", image.to_str().unwrap()]);
            let Some(mounted) = mount() else {
                return world.skip();
            };
            world.follow(&at);
            world.writer.write(50);
            world.start();
            world.settle();
            world.writer.write(20);
            let path = world.writer.path();
            let life = world.writer.life();
            world.writer.go_on(&path, life);
            drop(mounted);
            pause(1500);
            let Some(_mounted) = mount() else {
                return world.skip();
            };
            world.writer.write(50);
            world.expect_all();
        },
    );
}

#[test]
fn row_67_short_and_empty_files() {
    each(
        "67",
        "empty files, files of one byte, files shorter than a head",
        FORMATS,
        |world| {
            let extension = world.writer.format().extension();
            world.start();
            for name in ["empty1", "empty2"] {
                fs::write(world.path(&format!("{name}.{extension}")), "").unwrap();
            }
            pause(100);
            for round in 0..4 {
                let path = world.path(&format!("short{round}.{extension}"));
                world.writer.reopen(&path);
                let made = world.writer.make(10);
                world.write_in_pieces(made, &[1, 30], |_, _| pause(120));
            }
            world.expect_all();
        },
    );
}

#[test]
fn row_68_equal_files() {
    each("68", "two files with equal content", FORMATS, |world| {
        world.writer.write(80);
        let copy = world.path(&format!("copy.{}", world.writer.format().extension()));
        fs::copy(world.writer.path(), &copy).unwrap();
        world.start();
        world.settle();
        world.writer.write(20);
        fs::copy(world.writer.path(), &copy).unwrap();
        pause(200);
        world.expect_all();
    });
}

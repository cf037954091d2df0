use std::{thread, time::Duration};

use super::{
    oracle::{FORMATS, STDERR},
    run::{Stores, World, each, each_in, rounds},
};
use crate::plantail::signal;

/// Numbers that look random and are the same in each run.
pub(super) fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |sides| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    }
}

fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

#[test]
fn row_01_kill9_random() {
    each_in(
        Stores::Both,
        "1",
        "kill -9 at random moments, under rotation",
        FORMATS,
        |world| {
            let mut dice = dice(1);
            for round in 0..rounds(20, 200) {
                world.start();
                for _ in 0..dice(12) {
                    world.writer.write(rounds(30, 60));
                    pause(dice(25));
                }
                if round % 4 == 3 {
                    world.rotate();
                }
                world.kill();
            }
            world.expect_all();
        },
    );
}

#[cfg(feature = "failpoints")]
#[test]
fn row_02_kill9_each_failpoint() {
    for point in plantail::failpoint::POINTS {
        let fault = "kill at each point of reading, parsing and storing";
        // Those before and after something becomes lasting.
        let stores = match *point {
            "generation-noted" | "position-stored" | "before-commit" | "after-commit" => {
                Stores::Both
            }
            _ => Stores::Either,
        };
        each_in(stores, "2", fault, STDERR, |world| {
            world.writer.write(20);
            for hit in [1, 4] {
                let failpoints = format!("{point}=abort@{hit}");
                world.start_with(&failpoints);
                let mut turn = 0;
                while !world.has_ended() && turn < 400 {
                    world.writer.write(3);
                    if turn % 5 == 4 {
                        world.rotate();
                    }
                    // Longer than a last record waits for its continuation.
                    pause(if turn % 2 == 0 { 70 } else { 5 });
                    turn += 1;
                }
                world.aborts(&failpoints);
            }
            world.expect_all();
        });
    }
}

#[test]
fn row_03_kill9_in_multiline() {
    each(
        "3",
        "kill -9 between two writes of one record of 20 kB",
        FORMATS,
        |world| {
            world.writer.write(5);
            world.start();
            for round in 0..rounds(4, 40) {
                let made = world.writer.make(20_000);
                // The daemon sees the first part, maybe stores it as it is, and dies.
                world.write_in_pieces(made, &[4096, 16384], |world, piece| {
                    pause([30, 90, 150, 0][(round + piece) % 4]);
                    if piece == round % 2 {
                        world.kill();
                    }
                });
                world.start();
                world.writer.write(2);
            }
            world.expect_all();
        },
    );
}

#[test]
fn row_04_kill9_between_plan_and_duration() {
    each(
        "4",
        "kill -9 between a plan and its duration record",
        STDERR,
        |world| {
            world.writer.write(5);
            world.start();
            for _ in 0..rounds(3, 30) {
                let (mut written, bytes) = world.writer.make(20);
                let text = serde_json::to_string(&written.statement).unwrap();
                let plan = format!(
                    "2026-11-20 08:00:00.000 UTC [{}] app@shop LOG:  duration: {}.{:03} ms  plan:\n\t{{\n\t  \"Query Text\": {text},\n\t  \"Plan\": {{\"Node Type\": \"Result\"}}\n\t}}\n",
                    written.process_id,
                    written.number / 1000,
                    written.number % 1000,
                );
                world.writer.raw(plan.as_bytes());
                written.life = world.writer.life();
                written.start = world.writer.life_bytes() - plan.len() as u64;
                world.wait_for_rows(world.writer.written.len() + 1);
                world.kill();
                world.writer.raw(&bytes);
                written.end = world.writer.life_bytes();
                world.writer.written.push(written);
                world.start();
                world.writer.write(1);
                world.settle();
            }
            world.expect_all();
            let data = world.home.query("{ ingestHealth { executionsWithPlan } }");
            assert_eq!(
                data["ingestHealth"]["executionsWithPlan"],
                rounds(3, 30).to_string().as_str()
            );
        },
    );
}

#[test]
fn row_05_sigterm_under_load() {
    each("5", "SIGTERM under load", FORMATS, |world| {
        for _ in 0..rounds(2, 30) {
            world.writer.write(rounds(800, 4000));
            let before = super::run::count_rows(&world.home);
            world.start();
            world.wait_for_rows(before + 1);
            world.writer.write(100);
            world.stop();
        }
        world.expect_all();
    });
}

#[test]
fn row_06_sigstop_and_three_rotations() {
    each("6", "SIGSTOP, three rotations, SIGCONT", FORMATS, |world| {
        world.writer.write(100);
        world.start();
        for _ in 0..rounds(1, 3) {
            world.settle();
            signal(world.process_id(), "STOP");
            for _ in 0..3 {
                world.writer.write(100);
                world.rotate();
            }
            world.writer.write(100);
            thread::sleep(Duration::from_secs(rounds(1, 60) as u64));
            signal(world.process_id(), "CONT");
        }
        world.expect_all();
    });
}

#[cfg(feature = "failpoints")]
#[test]
fn row_07_commit_of_unknown_result() {
    each_in(
        Stores::Both,
        "7",
        "the store commits and says that it failed",
        FORMATS,
        |world| {
            world.writer.write(50);
            world.start_with("after-commit=error@1");
            world.settle();
            world.writer.write(50);
            world.settle();
            world.stop();
            world.start_with("after-commit=error@2");
            for _ in 0..4 {
                world.writer.write(20);
                world.settle();
            }
            world.expect_all();
        },
    );
}

#[cfg(feature = "failpoints")]
#[test]
fn row_09_store_slow() {
    each("9", "each commit takes 200 ms", FORMATS, |world| {
        world.start_with("before-commit=sleep(200)@1+");
        for _ in 0..rounds(5, 40) {
            world.writer.write(rounds(200, 500));
            pause(50);
        }
        world.settle();
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", world.process_id())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak_kb < 128 * 1024, "{peak_kb} kB");
        world.expect_all();
    });
}

#[cfg(feature = "failpoints")]
#[test]
fn row_16_three_rotations_while_busy() {
    each(
        "16",
        "three rotations while a batch is under way",
        FORMATS,
        |world| {
            world.writer.write(100);
            let held = world.home.path("held");
            world.start_with(&format!("chunk-parsed=pause({})@2", held.display()));
            world.settle();
            world.writer.write(50);
            world.wait_until("pause", || held.exists());
            for _ in 0..3 {
                world.writer.write(50);
                world.rotate();
            }
            world.writer.write(50);
            std::fs::remove_file(&held).unwrap();
            world.expect_all();
        },
    );
}

/// What a session of `World` needs beside starting and stopping.
impl World {
    /// As logrotate's `create`: the log is renamed, older ones are moved on, and the writer opens a new one.
    pub(super) fn rotate(&mut self) {
        let path = self.rename();
        self.writer.reopen(&path);
    }

    /// The same without telling the writer, who goes on in the renamed file.
    pub(super) fn rename(&mut self) -> std::path::PathBuf {
        let path = self.writer.path();
        let numbered = |number: usize| {
            let mut name = path.clone().into_os_string();
            name.push(format!(".{number}"));
            std::path::PathBuf::from(name)
        };
        let last = (1..).find(|number| !numbered(*number).exists()).unwrap();
        for number in (1..last).rev() {
            std::fs::rename(numbered(number), numbered(number + 1)).unwrap();
        }
        if path.exists() {
            std::fs::rename(&path, numbered(1)).unwrap();
        }
        path
    }
}

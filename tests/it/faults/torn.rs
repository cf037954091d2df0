use std::{thread, time::Duration};

use super::{
    crash::dice,
    oracle::{FORMATS, Format, STDERR},
    run::{World, each, rounds},
};

fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

#[test]
fn row_40_torn_writes() {
    each(
        "40",
        "each record in several writes, with silence in between",
        FORMATS,
        |world| {
            let mut dice = dice(40);
            world.writer.write(5);
            world.start();
            for _ in 0..rounds(40, 400) {
                let made = world.writer.make(400);
                let len = made.1.len();
                let mut cuts: Vec<usize> = (0..1 + dice(3))
                    .map(|_| 1 + usize::try_from(dice(len as u64 - 1)).unwrap())
                    .collect();
                cuts.sort();
                cuts.dedup();
                // Around the 50 ms after which a last record is stored as it is.
                let silence = [0, 20, 45, 55, 70][usize::try_from(dice(5)).unwrap()];
                world.write_in_pieces(made, &cuts, |_, _| pause(silence));
            }
            world.expect_all();
        },
    );
}

/// A newline at the end of a file doesn't end a record of stderr.
#[test]
fn row_41_newline_then_continuation() {
    each(
        "41",
        "a line, silence, then the record goes on",
        STDERR,
        |world| {
            world.writer.write(5);
            world.start();
            for round in 0..rounds(3, 30) {
                let made = loop {
                    let made = world.writer.make(30);
                    if made.0.statement.contains('\n') {
                        break made;
                    }
                    let cut = made.1.len() / 2;
                    world.write_in_pieces(made, &[cut], |_, _| ());
                };
                let line_end = made.1.iter().position(|b| *b == b'\n').unwrap() + 1;
                world.write_in_pieces(made, &[line_end], |world, _| {
                    world.wait_for_rows(world.writer.written.len() + 1);
                    pause(if round == 0 {
                        rounds(300, 5000) as u64
                    } else {
                        20
                    });
                });
            }
            world.expect_all();
        },
    );
}

#[test]
fn row_42_continuation_after_kill() {
    each(
        "42",
        "a line is stored, kill -9, then the record goes on",
        STDERR,
        |world| {
            world.writer.write(5);
            world.start();
            for _ in 0..rounds(3, 30) {
                let mut made = world.writer.make(30);
                while !made.0.statement.contains('\n') {
                    let cut = made.1.len() / 2;
                    world.write_in_pieces(made, &[cut], |_, _| ());
                    made = world.writer.make(30);
                }
                let line_end = made.1.iter().position(|b| *b == b'\n').unwrap() + 1;
                world.write_in_pieces(made, &[line_end], |world, _| {
                    world.wait_for_rows(world.writer.written.len() + 1);
                    world.kill();
                });
                world.start();
            }
            world.expect_all();
        },
    );
}

/// A quoted field that never ends: what follows must be read all the same.
#[test]
fn row_44_csv_quote_broken() {
    each(
        "44",
        "a csv record is cut inside of quotes, the next one is glued on",
        &[Format::Csvlog],
        |world| {
            world.writer.write(20);
            world.start();
            for round in 0..rounds(4, 40) {
                let (_, bytes) = world.writer.make(100);
                let cut = bytes.len() - 70 + round % 20;
                world.writer.raw(&bytes[..cut]);
                match round % 2 {
                    0 => world.writer.raw(b"\n"),
                    _ => world.glued(),
                }
                world.writer.write(10);
            }
            world.expect_all_but_torn();
        },
    );
}

#[test]
fn row_43_stderr_torn_and_glued() {
    each(
        "43",
        "the log volume is full: a record is cut and the next one glued on",
        FORMATS,
        |world| {
            world.writer.write(20);
            world.start();
            for round in 0..rounds(6, 60) {
                let (_, bytes) = world.writer.make(200);
                let cut = bytes.len() / 2 + round;
                world.writer.raw(&bytes[..cut]);
                pause([0, 70][round % 2]);
                world.glued();
                world.writer.write(10);
            }
            world.expect_all_but_torn();
        },
    );
}

#[test]
fn row_45_huge_line() {
    each(
        "45",
        "one line without end, memory stays bounded",
        STDERR,
        |world| {
            world.writer.write(20);
            world.start();
            world.settle();
            let piece = vec![b'x'; 1 << 20];
            world
                .writer
                .raw(b"2026-11-20 08:00:00.000 UTC [9] app@shop LOG:  ");
            for _ in 0..rounds(48, 1024) {
                world.writer.raw(&piece);
            }
            world.writer.raw(b"\n");
            world.writer.write(20);
            world.settle();
            let status =
                std::fs::read_to_string(format!("/proc/{}/status", world.process_id())).unwrap();
            let peak = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))
                .unwrap();
            let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
            assert!(peak_kb < 192 * 1024, "{peak_kb} kB");
            world.expect_all();
        },
    );
}

impl World {
    /// The next record is written behind the last byte of a torn one. In the middle of a statement a client could have written it.
    fn glued(&mut self) {
        let (written, bytes) = self.writer.make(20);
        self.may_lose.push(written.number);
        self.write_in_pieces((written, bytes), &[], |_, _| ());
    }
}

/// Bytes that are no text, around records that are.
#[test]
fn row_46_bytes_that_are_no_text() {
    each(
        "46",
        "NUL, invalid UTF-8, carriage returns and byte order marks between records",
        STDERR,
        |world| {
            let mut dice = dice(46);
            world.writer.write(20);
            world.start();
            for _ in 0..rounds(10, 100) {
                let byte = u8::try_from(dice(256)).unwrap();
                let junk = [
                    b"\0\0".as_slice(),
                    b"\xff\xfe",
                    b"\xef\xbb\xbf",
                    b"\r",
                    &[byte],
                    b"\xe9t\xe9",
                ];
                let mut line =
                    b"2026-11-20 08:00:00.000 UTC [9] app@shop LOG:  connection received: host="
                        .to_vec();
                for _ in 0..5 {
                    line.extend(junk[usize::try_from(dice(6)).unwrap()]);
                }
                line.retain(|b| *b != b'\n');
                line.push(b'\n');
                world.writer.raw(&line);
                world.writer.write(5);
            }
            world.expect_all();
        },
    );
}

#[test]
fn row_14_poison_records() {
    each("14", "records that no schema can hold", STDERR, |world| {
        world.writer.write(20);
        world.start();
        let poison = [
            "duration: 99999999999999999999999999999999999999999.000 ms",
            "duration: 1e400 ms",
            "duration: -1.000 ms",
            "duration: NaN ms",
            "duration: 0.001 ms  plan:\n\t{{{{{{{{",
        ];
        for message in poison {
            let line = format!("2026-11-20 08:00:00.000 UTC [9] app@shop LOG:  {message}\n");
            world.writer.raw(line.as_bytes());
            world.writer.write(5);
        }
        let deep = "(".repeat(200_000);
        let line = format!(
            "294276-12-31 23:59:59.999 UTC [99999999999] app@shop ERROR:  syntax error at or near \"{deep}\"\n"
        );
        world.writer.raw(line.as_bytes());
        world.writer.write(5);
        world.expect_all_but_torn();
    });
}

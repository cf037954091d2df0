use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    thread,
    time::Duration,
};

use super::{
    oracle::FORMATS,
    run::{Stores, World, each, each_in, rounds},
};
use crate::plantail::signal;

fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

#[test]
fn row_15_rename_and_create() {
    each_in(
        Stores::Both,
        "15",
        "rename and create every 50 ms during load",
        FORMATS,
        |world| {
            world.start();
            for _ in 0..rounds(25, 200) {
                world.writer.write(20);
                let path = world.rename();
                // The server goes on in the old file until it is told.
                world.writer.write(10);
                pause(50);
                world.writer.write(5);
                world.writer.reopen(&path);
            }
            world.writer.write(10);
            world.expect_all();
        },
    );
}

#[test]
fn row_17_moved_out_of_the_pattern() {
    each(
        "17",
        "the log is moved to another folder, unread",
        FORMATS,
        |world| {
            world.writer.write(50);
            world.start();
            world.settle();
            signal(world.process_id(), "STOP");
            world.writer.write(100);
            let away = world.home.path("away");
            fs::create_dir(&away).unwrap();
            let path = world.writer.path();
            fs::rename(&path, away.join("pg.log")).unwrap();
            world.writer.write(20);
            signal(world.process_id(), "CONT");
            world.writer.write(20);
            world.settle();
            world.writer.reopen(&path);
            world.writer.write(20);
            world.expect_all();
        },
    );
}

#[test]
fn row_18_copytruncate_all_read() {
    each("18", "copytruncate, everything read", FORMATS, |world| {
        world.writer.write(50);
        world.start();
        for round in 0..rounds(3, 20) {
            world.settle();
            let path = world.writer.path();
            fs::copy(
                &path,
                path.with_extension(format!(
                    "{}.{}",
                    world.writer.format().extension(),
                    20 - round
                )),
            )
            .unwrap();
            world.writer.truncate();
            world.writer.write(10 + 30 * (round % 3));
        }
        world.expect_all();
    });
}

#[test]
fn row_19_copytruncate_unread_rest() {
    each(
        "19",
        "copytruncate, a rest unread: it is in the copy",
        FORMATS,
        |world| {
            world.writer.write(50);
            world.start();
            world.settle();
            signal(world.process_id(), "STOP");
            world.writer.write(60);
            let path = world.writer.path();
            fs::copy(
                &path,
                path.with_extension(format!("{}.1", world.writer.format().extension())),
            )
            .unwrap();
            world.writer.truncate();
            world.writer.write(30);
            signal(world.process_id(), "CONT");
            world.expect_all();
        },
    );
}

/// Holds the daemon where it has seen what was written last and has not read it, while `act` happens.
#[cfg(feature = "failpoints")]
fn seen_and_not_read(world: &mut World, act: impl FnOnce(&mut World)) -> u64 {
    world.writer.write(50);
    let held = world.home.path("held");
    world.start_with(&format!("before-read=pause({})@2", held.display()));
    world.settle();
    let read = world.writer.life_bytes();
    world.writer.write(60);
    world.wait_until("pause", || held.exists());
    act(world);
    fs::remove_file(&held).unwrap();
    read
}

#[cfg(feature = "failpoints")]
#[test]
fn row_20_copytruncate_copy_removed() {
    each(
        "20",
        "copytruncate, a rest unread, the copy is gone",
        FORMATS,
        |world| {
            let read = seen_and_not_read(world, |world| {
                world.writer.truncate();
                world.writer.write(30);
            });
            world.expect(&[(0, Some(read), "truncated")]);
        },
    );
}

#[test]
fn row_21_truncate_and_regrow_while_running() {
    each(
        "21",
        "truncated and regrown past the offset within a millisecond",
        FORMATS,
        |world| {
            world.writer.write(50);
            world.start();
            for _ in 0..rounds(5, 50) {
                world.settle();
                let before = world.writer.life_bytes();
                world.writer.truncate();
                while world.writer.life_bytes() <= before {
                    world.writer.write(60);
                }
            }
            world.expect_all();
        },
    );
}

#[test]
fn row_22_truncate_and_regrow_while_down() {
    each_in(
        Stores::Both,
        "22",
        "the same while the daemon is down",
        FORMATS,
        |world| {
            world.writer.write(50);
            world.start();
            world.settle();
            world.stop();
            world.writer.write(20);
            let before = world.writer.life_bytes();
            world.writer.truncate();
            while world.writer.life_bytes() <= before {
                world.writer.write(60);
            }
            world.expect(&[(0, None, "truncated")]);
        },
    );
}

#[test]
fn row_23_same_head_other_body() {
    each(
        "23",
        "other content with the same first 4096 bytes, running and down",
        FORMATS,
        |world| {
            let head = head(world);
            world.writer.raw(&head);
            world.writer.write(50);
            world.start();
            world.settle();
            world.writer.truncate();
            world.writer.raw(&head);
            world.writer.write(120);
            world.settle();
            world.stop();
            world.writer.truncate();
            world.writer.raw(&head);
            world.writer.write(240);
            world.expect(&[(1, None, "truncated")]);
        },
    );
}

/// Records that are no executions, 5000 bytes at least, the same each time.
fn head(world: &World) -> Vec<u8> {
    use super::oracle::Format;
    let record = match world.writer.format() {
        Format::Stderr => "2026-11-20 07:59:59.000 UTC [1] LOG:  checkpoint starting: time\n",
        Format::Csvlog => {
            "2026-11-20 07:59:59.000 UTC,,,1,,6a3f.1,1,,2026-11-20 07:00:00 UTC,,0,LOG,00000,\"checkpoint starting: time\",,,,,,,,,\"\",\"checkpointer\",,0\n"
        }
        Format::Jsonlog => {
            "{\"timestamp\":\"2026-11-20 07:59:59.000 UTC\",\"pid\":1,\"session_id\":\"6a3f.1\",\"line_num\":1,\"session_start\":\"2026-11-20 07:00:00 UTC\",\"txid\":0,\"error_severity\":\"LOG\",\"message\":\"checkpoint starting: time\",\"backend_type\":\"checkpointer\",\"query_id\":0}\n"
        }
    };
    record.repeat(5000 / record.len() + 1).into_bytes()
}

#[cfg(feature = "failpoints")]
#[test]
fn row_24_truncated_between_check_and_read() {
    each(
        "24",
        "truncated and regrown between the check and the read",
        FORMATS,
        |world| {
            let read = seen_and_not_read(world, |world| {
                let before = world.writer.life_bytes();
                world.writer.truncate();
                while world.writer.life_bytes() <= before {
                    world.writer.write(60);
                }
            });
            world.expect(&[(0, Some(read), "truncated")]);
        },
    );
}

#[test]
fn row_26_hole() {
    each(
        "26",
        "truncated under a writer that doesn't append: a hole",
        FORMATS,
        |world| {
            world.writer.without_append();
            world.writer.write(50);
            world.start();
            world.settle();
            world.writer.truncate();
            world.writer.write(30);
            world.expect(&[(1, Some(0), "hole")]);
        },
    );
}

#[test]
fn row_28_inode_reuse() {
    each(
        "28",
        "deleted and created again with the same inode",
        FORMATS,
        |world| {
            world.writer.write(50);
            world.start();
            world.settle();
            world.stop();
            let path = world.writer.path();
            let inode = fs::metadata(&path).unwrap().ino();
            world.writer.reopen(&path);
            for _ in 0..200 {
                fs::remove_file(&path).unwrap();
                fs::write(&path, "").unwrap();
                if fs::metadata(&path).unwrap().ino() == inode {
                    break;
                }
            }
            if fs::metadata(&path).unwrap().ino() != inode {
                eprintln!("row 28: this file system didn't reuse the inode");
            }
            world.writer.new_life(Vec::new());
            world.writer.write(100);
            world.expect(&[(0, None, "truncated")]);
        },
    );
}

#[test]
fn row_29_hard_link_and_swap() {
    each("29", "hard link; two files swap names", FORMATS, |world| {
        world.writer.write(50);
        world.start();
        world.settle();
        let path = world.writer.path();
        let other = path.with_extension(format!("{}.1", world.writer.format().extension()));
        fs::hard_link(&path, &other).unwrap();
        world.writer.write(30);
        world.settle();
        fs::remove_file(&path).unwrap();
        world.writer.reopen(&path);
        world.writer.write(30);
        world.settle();
        // From here it can't be told from an exchange in one step.
        signal(world.process_id(), "STOP");
        let aside = world.home.path("aside");
        fs::rename(&path, &aside).unwrap();
        fs::rename(&other, &path).unwrap();
        fs::rename(&aside, &other).unwrap();
        world.writer.write(30);
        signal(world.process_id(), "CONT");
        world.expect_all();
    });
}

#[test]
fn row_30_symlink() {
    each(
        "30",
        "symlink to the log retargeted, dangling, in a loop",
        FORMATS,
        |world| {
            let extension = world.writer.format().extension();
            let real = world.home.path("real");
            fs::create_dir(&real).unwrap();
            let current = world.path(&format!("current.{extension}"));
            let point_to = |target: &std::path::Path, name: &std::path::Path| {
                let fresh = real.join("fresh");
                symlink(target, &fresh).unwrap();
                fs::rename(&fresh, name).unwrap();
            };
            let [a, b] = ["a", "b"].map(|name| real.join(format!("{name}.{extension}")));
            world.writer.reopen(&a);
            world.writer.write(30);
            point_to(&a, &current);
            world.start();
            world.settle();
            world.writer.write(30);
            world.writer.reopen(&b);
            world.writer.write(30);
            point_to(&b, &current);
            world.settle();
            point_to(&real.join("nowhere"), &current);
            world.writer.write(10);
            pause(200);
            point_to(&current, &current);
            pause(200);
            world.writer.write(10);
            point_to(&b, &current);
            world.expect_all();
        },
    );
}

#[cfg(feature = "failpoints")]
#[test]
fn row_36_deleted_while_reading() {
    each("36", "deleted with megabytes unread", FORMATS, |world| {
        world.writer.write(rounds(6_500, 60_000));
        let held = world.home.path("held");
        world.start_with(&format!("before-read=pause({})@2", held.display()));
        world.wait_until("pause", || held.exists());
        let path = world.writer.path();
        fs::remove_file(&path).unwrap();
        world.writer.reopen(&path);
        world.writer.write(20);
        fs::remove_file(&held).unwrap();
        world.expect_all();
    });
}

#[test]
fn row_37_deleted_while_down() {
    each("37", "deleted while the daemon is down", FORMATS, |world| {
        world.writer.write(50);
        world.start();
        world.settle();
        world.stop();
        world.writer.write(20);
        let path = world.writer.path();
        fs::remove_file(&path).unwrap();
        world
            .writer
            .reopen(&world.path(&format!("next.{}", world.writer.format().extension())));
        world.writer.write(20);
        world.expect(&[(0, None, "deleted")]);
    });
}

#[test]
fn row_38_directory_replaced() {
    each(
        "38",
        "the directory is moved away and made anew",
        FORMATS,
        |world| {
            world.writer.write(50);
            world.start();
            world.settle();
            for round in 0..2 {
                world.writer.write(20);
                let away = world.home.path(&format!("away{round}"));
                fs::rename(&world.logs, &away).unwrap();
                world.writer.write(20);
                pause(100 * round);
                fs::create_dir(&world.logs).unwrap();
                let path = world.writer.path();
                world.writer.reopen(&path);
                world.writer.write(20);
                world.settle();
            }
            world.expect_all();
        },
    );
}

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use super::{
    oracle::FORMATS,
    run::{Stores, World, each, each_in, rounds},
};

/// Compresses as two members or frames.
fn packed(extension: &str, content: &[u8]) -> Vec<u8> {
    let (one, two) = content.split_at(content.len() / 2);
    let parts = [one, two].map(|part| match extension {
        "gz" => {
            let level = flate2::Compression::fast();
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
            gzip.write_all(part).unwrap();
            gzip.finish().unwrap()
        }
        _ => zstd::encode_all(part, 1).unwrap(),
    });
    parts.concat()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The log is half read, the daemon is down, the log is renamed to `.1` and another one is begun.
fn half_read(world: &mut World) -> PathBuf {
    world.writer.write(rounds(300, 3000));
    world.start();
    world.settle();
    world.stop();
    world.writer.write(rounds(300, 3000));
    let rotated = with_suffix(&world.writer.path(), ".1");
    world.rotate();
    world.writer.write(30);
    rotated
}

/// Compressors give their file the time of the original: one that was written a moment ago is taken for unfinished.
fn age(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(120))
        .unwrap();
}

fn compress(rotated: &Path, extension: &str) -> PathBuf {
    let to = with_suffix(rotated, &format!(".{extension}"));
    fs::write(&to, packed(extension, &fs::read(rotated).unwrap())).unwrap();
    age(&to);
    to
}

#[test]
fn row_31_gzip_after_rotation_half_read() {
    each_in(
        Stores::Both,
        "31",
        "compressed by gzip while down, half read",
        FORMATS,
        |world| {
            let rotated = half_read(world);
            compress(&rotated, "gz");
            fs::remove_file(rotated).unwrap();
            world.expect_all();
        },
    );
}

#[test]
fn row_32_zstd_and_gzip_in_parts() {
    for extension in ["zst", "gz"] {
        each(
            "32",
            "several zstd frames, several gzip members",
            FORMATS,
            |world| {
                world.writer.write(100);
                world.start();
                for _ in 0..rounds(2, 10) {
                    world.writer.write(50);
                    let rotated = with_suffix(&world.writer.path(), ".1");
                    for number in (1..9).rev() {
                        let name = |number: usize| {
                            with_suffix(&world.writer.path(), &format!(".{number}.{extension}"))
                        };
                        if name(number).exists() {
                            fs::rename(name(number), name(number + 1)).unwrap();
                        }
                    }
                    fs::rename(world.writer.path(), &rotated).unwrap();
                    let path = world.writer.path();
                    world.writer.write(20);
                    world.writer.reopen(&path);
                    world.writer.write(20);
                    compress(&rotated, extension);
                    fs::remove_file(rotated).unwrap();
                }
                world.expect_all();
            },
        );
    }
}

#[test]
fn row_33_gzip_being_written() {
    each("33", "the compressor writes slowly", FORMATS, |world| {
        let rotated = half_read(world);
        let content = packed("gz", &fs::read(&rotated).unwrap());
        let to = with_suffix(&rotated, ".gz");
        world.start();
        let mut file = fs::File::create(&to).unwrap();
        for piece in content.chunks(content.len() / rounds(10, 60) + 1) {
            file.write_all(piece).unwrap();
            thread::sleep(Duration::from_millis(60));
        }
        drop(file);
        fs::remove_file(rotated).unwrap();
        world.expect_all();
        let complaints = world
            .log()
            .lines()
            .filter(|line| line.contains("can't be"))
            .count();
        assert!(complaints <= 1, "{}", world.log());
    });
}

#[test]
fn row_34_damaged_gzip() {
    each("34", "compressed while down, cut", FORMATS, |world| {
        let rotated = half_read(world);
        let to = compress(&rotated, "gz");
        fs::remove_file(rotated).unwrap();
        let content = fs::read(&to).unwrap();
        fs::write(&to, &content[..content.len() * 7 / 8]).unwrap();
        age(&to);
        // The record that the cut is in is stored as far as it came.
        world.may_be_damaged = true;
        world.expect(&[(0, None, "corrupt")]);
    });
    each(
        "34",
        "compressed while down, a byte flipped",
        FORMATS,
        |world| {
            let rotated = half_read(world);
            let to = compress(&rotated, "gz");
            fs::remove_file(rotated).unwrap();
            let mut content = fs::read(&to).unwrap();
            let at = content.len() * 7 / 8;
            content[at] ^= 0x55;
            fs::write(&to, content).unwrap();
            age(&to);
            // What stands between the flipped byte and where it is noticed is stored as it was decompressed.
            world.may_be_damaged = true;
            world.may_be_torn = true;
            world.may_lose = world
                .writer
                .written
                .iter()
                .filter(|written| written.life == 0)
                .map(|written| written.number)
                .collect();
            world.expect(&[(0, None, "corrupt")]);
        },
    );
}

#[test]
fn row_35_plain_and_gzip_both_there() {
    each(
        "35",
        "plain and compressed both there for a while",
        FORMATS,
        |world| {
            let rotated = half_read(world);
            compress(&rotated, "gz");
            world.start();
            world.settle();
            fs::remove_file(rotated).unwrap();
            world.writer.write(20);
            world.expect_all();
        },
    );
}

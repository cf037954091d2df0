//! Compressed logs: read on where the raw file was left, while they are written, and damaged.

use std::fs;

use super::folder::{Folder, gaps, half_read, lines, packed};
use crate::model::position::{Codec, GapReason};

#[test]
fn compressed_after_rotation_half_read() {
    // Several members, frames or streams in a file, as parallel compressors and log shippers write them.
    for extension in [".gz", ".zst", ".bz2", ".xz"] {
        let compress = |folder: &Folder, content: &[u8]| {
            let parts = content.chunks(5000).map(|part| packed(extension, part));
            let name = format!("x.log.1{extension}");
            fs::write(folder.file(&name), parts.collect::<Vec<_>>().concat()).unwrap();
            folder.age(&name);
        };
        let folder = Folder::new();
        let daemon = half_read(&folder, 400, 150);
        let content = fs::read(folder.file("x.log")).unwrap();
        folder.remove("x.log");
        compress(&folder, &content);
        folder.append("x.log", &lines(400, 10));
        let mut daemon = daemon.restart(folder.path());
        daemon.settle();
        assert_eq!(daemon.store.text(), lines(0, 410));
        assert_eq!((gaps(&daemon), daemon.store.rows.len()), (vec![], 2));
        // The place of a finished compressed file is remembered; it isn't read again.
        let moved = daemon
            .store
            .rows
            .values()
            .filter(|row| row.codec != Codec::Raw)
            .count();
        assert_eq!(moved, 1);
        let mut daemon = daemon.restart(folder.path());
        assert!(!{
            daemon.scan();
            daemon.read()
        });
    }
}

#[test]
fn compressed_file_that_is_being_written() {
    for extension in [".gz", ".zst", ".bz2", ".xz"] {
        let name = format!("x.log.1{extension}");
        let folder = Folder::new();
        let mut daemon = half_read(&folder, 400, 150).restart(folder.path());
        let whole = packed(extension, &fs::read(folder.file("x.log")).unwrap());
        folder.remove("x.log");
        fs::write(folder.file(&name), &whole[..whole.len() / 2]).unwrap();
        daemon.settle();
        assert_eq!(
            (daemon.store.text(), gaps(&daemon)),
            (lines(0, 150), vec![]),
            "{name}"
        );
        fs::write(folder.file(&name), &whole).unwrap();
        folder.age(&name);
        daemon.settle();
        assert_eq!(
            (daemon.store.text(), gaps(&daemon)),
            (lines(0, 400), vec![]),
            "{name}"
        );
    }
}

#[test]
fn damaged_compressed_files() {
    let content = lines(0, 20_000).into_bytes();
    for extension in [".gz", ".zst", ".bz2", ".xz"] {
        for cut in [true, false] {
            let name = format!("x.log.1{extension}");
            let folder = Folder::new();
            // The damage is in the second of two parts, at its beginning: what of a part is read before its damage shows differs.
            let (one, two) = content.split_at(content.len() / 2);
            let (mut whole, two) = (packed(extension, one), packed(extension, two));
            let border = whole.len();
            let half = border + two.len() / 2;
            whole.extend(two);
            match cut {
                true => whole.truncate(half),
                false => whole[border..border + 50].fill(0xa5),
            }
            fs::write(folder.file(&name), &whole).unwrap();
            folder.age(&name);
            let mut daemon = folder.daemon();
            daemon.settle();
            let read = daemon.store.text().len();
            assert!(
                content.starts_with(daemon.store.text().as_bytes()) && read > one.len() - 4096,
                "{name} {read}"
            );
            let lost = [(read as u64, None, GapReason::Corrupt)];
            assert_eq!(gaps(&daemon), lost, "{name} cut: {cut}");
            let mut daemon = daemon.restart(folder.path());
            daemon.settle();
            assert_eq!(
                (daemon.store.text().len(), daemon.store.gaps.len()),
                (read, 1)
            );
            assert_eq!(daemon.store.rows.len(), 1);
        }
    }
}

#[test]
fn memory_of_a_decoder_is_bounded() {
    let folder = Folder::new();
    let mut whole = packed(".xz", lines(0, 300).as_bytes());
    // After the stream header of 12 bytes the block's: its size, flags, the filter LZMA2 (0x21), one byte of properties, which is the size of the
    // dictionary, padding, checksum ("The .xz File Format", sections 3.1 and 5.3.1).
    assert_eq!(whole[14..16], [0x21, 0x01]);
    const DICTIONARY_OF_1536_MIB: u8 = 37;
    whole[16] = DICTIONARY_OF_1536_MIB;
    let mut checksum = flate2::Crc::new();
    checksum.update(&whole[12..20]);
    whole[20..24].copy_from_slice(&checksum.sum().to_le_bytes());
    fs::write(folder.file("x.log.1.xz"), &whole).unwrap();
    folder.age("x.log.1.xz");
    let mut daemon = folder.daemon();
    let told: Vec<String> = daemon
        .scan()
        .unreadable
        .into_iter()
        .map(|(_, error)| error.to_string())
        .collect();
    assert_eq!(told, ["memory limit reached"]);
}

#[test]
fn plain_and_compressed_both_present() {
    let folder = Folder::new();
    let mut daemon = half_read(&folder, 300, 100);
    folder.rename("x.log", "x.log.1");
    folder.gzip("x.log.1.gz", lines(0, 300).as_bytes());
    let scan = daemon.scan();
    assert_eq!(scan.copies.len(), 1);
    daemon.settle();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    folder.remove("x.log.1");
    daemon.settle();
    let mut daemon = daemon.restart(folder.path());
    daemon.settle();
    assert_eq!(
        (daemon.store.text(), gaps(&daemon)),
        (lines(0, 300), vec![])
    );
    assert_eq!(daemon.store.rows.len(), 1);
}

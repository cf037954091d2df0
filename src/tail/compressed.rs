//! gzip and zstd files as streams of the log bytes in them: which one a file is, its decoder, and what a decoder's error means.
//!
//! Known by magic bytes (RFC 1952, section 2.3.1; RFC 8878, section 3.1.1), never by extension. Several gzip members or zstd frames in a row are one
//! stream, as for the tools that make them.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

use flate2::bufread::MultiGzDecoder;

use crate::model::position::Codec;

/// How the bytes lie in a file that starts with `magic`.
pub(super) fn codec_of(magic: &[u8]) -> Codec {
    match magic {
        [0x1f, 0x8b, ..] => Codec::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
        _ => Codec::Raw,
    }
}

/// The log bytes of `file` from the first one on.
pub(super) fn decoder(file: &File, codec: Codec) -> io::Result<Box<dyn Read + Send>> {
    // A clone shares the file's position with the original; nobody else uses either's.
    let file = BufReader::with_capacity(1 << 16, file.try_clone()?);
    Ok(match codec {
        Codec::Raw => Box::new(file),
        Codec::Gzip => Box::new(MultiGzDecoder::new(file)),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
    })
}

/// How many log bytes a compressed file says it holds, where it says so: the last gzip member's ISIZE (modulo 2^32) or the first zstd frame's content
/// size. True for files of one member or frame.
pub(super) fn claimed_bytes(file: &File, codec: Codec, size_bytes: u64) -> Option<u64> {
    match codec {
        Codec::Raw => None,
        Codec::Gzip => {
            let mut trailer = [0; 4];
            file.read_exact_at(&mut trailer, size_bytes.checked_sub(4)?)
                .ok()?;
            Some(u64::from(u32::from_le_bytes(trailer)))
        }
        Codec::Zstd => {
            let mut header = [0; 18];
            let len = file.read_at(&mut header, 0).ok()?;
            zstd::zstd_safe::get_frame_content_size(header.get(..len)?)
                .ok()
                .flatten()
        }
    }
}

/// What an error of a decoder says about its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It stops in the middle: the compressor is still writing, or it was cut.
    Cut,
    /// Its content contradicts itself.
    Corrupt,
    /// The system could not read it; that says nothing about its content.
    System,
}

/// Tells a file's fault from the system's.
pub(super) fn fault_of(error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Fault::Cut
    } else if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted {
        Fault::System
    } else {
        Fault::Corrupt
    }
}

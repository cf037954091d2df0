//! gzip, zstd, bzip2 and xz files as streams of the log bytes in them: which one a file is, its decoder, and what a decoder's error means.
//!
//! Known by magic bytes (RFC 1952, section 2.3.1; RFC 8878, section 3.1.1; "The .xz File Format", section 2.1.1.1), never by extension. Several gzip
//! members, zstd frames, bzip2 or xz streams in a row are one stream, as for the tools that make them. A decoder's memory is bounded whatever the file
//! says: 32 kB for gzip, 4 MB for bzip2, [`XZ_MEMORY_BYTES`] for xz, 128 MB for zstd.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::stream::{Action, CONCATENATED, Status, Stream};

use crate::model::position::Codec;

/// Longest magic, that of xz.
pub const MAGIC_BYTES: usize = 6;

/// Twice what a file made with `xz -9` takes.
const XZ_MEMORY_BYTES: u64 = 128 << 20;

/// How the bytes lie in a file that starts with `magic`.
pub fn codec_of(magic: &[u8]) -> Codec {
    match magic {
        [0x1f, 0x8b, ..] => Codec::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Codec::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Codec::Xz,
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
        Codec::Bzip2 => Box::new(MultiBzDecoder::new(file)),
        Codec::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY_BYTES, CONCATENATED)?;
            Box::new(Xz {
                file,
                stream,
                failed: None,
            })
        }
    })
}

/// An xz file's decoder that gives what comes before damage; the library's own drops what it decoded together with that.
struct Xz {
    file: BufReader<File>,
    stream: Stream,
    /// What stopped it after the bytes that were returned.
    failed: Option<io::Error>,
}

impl Read for Xz {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            let input = self.file.fill_buf()?;
            let is_end = input.is_empty();
            let action = match is_end {
                true => Action::Finish,
                false => Action::Run,
            };
            let (in_before, out_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.process(input, buffer, action);
            let len = |before: u64, after: u64| {
                usize::try_from(after - before).expect("no more than the buffers hold")
            };
            self.file.consume(len(in_before, self.stream.total_in()));
            let decoded = len(out_before, self.stream.total_out());
            match status {
                Err(error) if decoded == 0 => return Err(error.into()),
                Err(error) => self.failed = Some(error.into()),
                Ok(_) if decoded > 0 || buffer.is_empty() => {}
                Ok(Status::StreamEnd) => {}
                Ok(_) if is_end => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Status::MemNeeded) => return Err(io::ErrorKind::InvalidData.into()),
                Ok(_) => continue,
            }
            return Ok(decoded);
        }
    }
}

/// How many log bytes a compressed file says it holds, where it says so: the last gzip member's ISIZE (modulo 2^32) or the first zstd frame's content
/// size. True for files of one member or frame.
pub(super) fn claimed_bytes(file: &File, codec: Codec, size_bytes: u64) -> Option<u64> {
    match codec {
        Codec::Raw | Codec::Bzip2 | Codec::Xz => None,
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

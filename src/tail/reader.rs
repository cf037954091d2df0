//! One open file: its first bytes, its bytes from an offset on, and whether it still holds what was read from it.
//!
//! Raw files are read by position, so that a look at the head never moves the reading; compressed ones are streams that only go on, and don't change
//! once they are whole. Every error of the system comes back as it is, and says nothing about content.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::compressed::{MAGIC_BYTES, claimed_bytes, codec_of, decoder};
use super::discovery::file_hint;
use super::generation::{Fingerprint, Likeness, WINDOW_BYTES, anchor_of, head_of, likeness};
use crate::model::position::{Anchor, Codec, FileHint, Head};

/// A file that was looked into and not yet said to hold anything.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) file: FileHint,
    pub(super) codec: Codec,
    /// The first log bytes, 4096 unless there are fewer.
    pub(super) sample: Vec<u8>,
    /// The compressed file stops within the sample.
    pub(super) cut: bool,
    head: Head,
    /// The file itself, where its name may be gone.
    held: Option<File>,
}

/// What a probe is to a generation.
pub(super) enum Resume {
    /// It holds the generation; the reader stands at its anchor, behind these bytes.
    At(Reader, Vec<u8>),
    Shorter(Anchor),
    Parted(Anchor),
    Other,
}

impl Probe {
    /// Looks into the file at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::of(&File::open(path)?, path)
    }

    /// Looks into a file that is open and has lost its name, which was `path`.
    pub(super) fn nameless(file: File, path: &Path) -> io::Result<Self> {
        let probe = Self::of(&file, path)?;
        Ok(Self {
            held: Some(file),
            ..probe
        })
    }

    fn of(file: &File, path: &Path) -> io::Result<Self> {
        let hint = file_hint(path.to_owned(), &file.metadata()?);
        let mut magic = [0; MAGIC_BYTES];
        let len = read_at_most(file, &mut magic, 0)?;
        let codec = codec_of(magic.get(..len).unwrap_or_default());
        let mut sample = Vec::with_capacity(WINDOW_BYTES);
        let mut cut = false;
        if codec == Codec::Raw {
            sample.resize(WINDOW_BYTES, 0);
            let len = read_at_most(file, &mut sample, 0)?;
            sample.truncate(len);
        } else {
            let read = decoder(file, codec)?
                .take(WINDOW_BYTES as u64)
                .read_to_end(&mut sample);
            match read {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => cut = true,
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            file: hint,
            codec,
            head: head_of(&sample),
            sample,
            cut,
            held: None,
        })
    }

    /// Whether the file has a name in the watched directories.
    pub(super) fn is_named(&self) -> bool {
        self.held.is_none()
    }

    /// Opens the file for reading from its first byte on.
    pub(super) fn reader(&self) -> io::Result<Reader> {
        match &self.held {
            Some(file) => Reader::of(file.try_clone()?, self.codec),
            None => Reader::of(File::open(&self.file.path)?, self.codec),
        }
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Whether the first bytes are those of a generation with `head`, and enough of them to say so.
    pub(super) fn starts_with(&self, head: Head) -> bool {
        self.hash_in_sample(head.len_bytes) == Some(head.hash)
    }

    /// Whether its first bytes, or all of them if they are fewer, can't be told from those of a generation with `head`.
    pub(super) fn may_start_with(&self, head: Head) -> bool {
        self.hash_in_sample(head.len_bytes)
            .is_none_or(|hash| hash == head.hash)
    }

    /// Whether it is a compressed file that starts as the content does and says to be as long as what was read of it.
    pub(super) fn claims_to_be_all_of(&self, content: Fingerprint<'_>) -> bool {
        self.starts_with(content.head)
            && File::open(&self.file.path)
                .ok()
                .and_then(|file| claimed_bytes(&file, self.codec, self.file.size_bytes))
                .is_some_and(|claimed| {
                    claimed == content.anchor.offset_bytes & 0xffff_ffff
                        || claimed == content.anchor.offset_bytes
                })
    }

    /// Looks whether the file holds `content`, and if so opens it behind that.
    pub(super) fn resume(&self, content: Fingerprint<'_>) -> io::Result<Resume> {
        let offset = content.anchor.offset_bytes;
        let sample_bytes = self.sample.len() as u64;
        // What the sample can tell needs no file.
        if self.sample.len() < WINDOW_BYTES || !self.may_start_with(content.head) {
            let hash_before = |at| Ok(self.hash_in_sample(at).unwrap_or_default());
            match likeness(content, sample_bytes, hash_before)? {
                Likeness::Same => {}
                Likeness::Shorter(rung) => return Ok(Resume::Shorter(rung)),
                Likeness::Parted(rung) => return Ok(Resume::Parted(rung)),
                Likeness::Other => return Ok(Resume::Other),
            }
        }
        let mut reader = self.reader()?;
        let (found, before) = if self.codec == Codec::Raw {
            // The size is asked again: the file may have grown or shrunk since it was probed.
            let len = reader.file.metadata()?.size();
            let hash_before = |at| Ok(anchor_of(&reader.before(at)?, at).hash);
            let found = likeness(content, len, hash_before)?;
            let before = match found {
                Likeness::Same => reader.before(offset)?,
                Likeness::Shorter(_) | Likeness::Parted(_) | Likeness::Other => Vec::new(),
            };
            (found, before)
        } else {
            let before = reader.skip(offset)?;
            let len = reader.streamed_bytes.max(sample_bytes);
            let hash_before = |at| {
                Ok(if at == offset {
                    anchor_of(&before, at).hash
                } else {
                    // A rung beyond the sample was passed by and can't be told any more: no match.
                    self.hash_in_sample(at).unwrap_or_default()
                })
            };
            (likeness(content, len, hash_before)?, before)
        };
        Ok(match found {
            Likeness::Same => Resume::At(reader, before),
            Likeness::Shorter(rung) => Resume::Shorter(rung),
            Likeness::Parted(rung) => Resume::Parted(rung),
            Likeness::Other => Resume::Other,
        })
    }

    /// Whether it and an open raw file that reaches to `reach_bytes` are equal as far as the shorter one goes, by the first and the last 4096 bytes
    /// up to there.
    pub(super) fn equals_so_far(&self, reader: &Reader, reach_bytes: u64) -> io::Result<bool> {
        let common = self.file.size_bytes.min(reach_bytes);
        if let Some(all) = usize::try_from(common)
            .ok()
            .and_then(|len| self.sample.get(..len))
        {
            return Ok(reader.before(common)? == all);
        }
        let other = self.reader()?;
        Ok(
            other.before(WINDOW_BYTES as u64)? == reader.before(WINDOW_BYTES as u64)?
                && other.before(common)? == reader.before(common)?,
        )
    }

    fn hash_in_sample(&self, len_bytes: u64) -> Option<u128> {
        if len_bytes == self.head.len_bytes {
            return Some(self.head.hash);
        }
        let len = usize::try_from(len_bytes).ok()?;
        Some(head_of(self.sample.get(..len)?).hash)
    }
}

/// An open file that is being read.
pub(super) struct Reader {
    file: File,
    codec: Codec,
    /// Size and modification time at opening: a compressed file that changes is another one.
    opened: (u64, i64),
    stream: Option<Box<dyn Read + Send>>,
    streamed_bytes: u64,
    /// What stopped the stream after the bytes that were returned.
    stopped: Option<io::Error>,
}

impl Reader {
    fn of(file: File, codec: Codec) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let stream = match codec {
            Codec::Raw => None,
            Codec::Gzip | Codec::Zstd | Codec::Bzip2 | Codec::Xz => Some(decoder(&file, codec)?),
        };
        Ok(Self {
            opened: (metadata.size(), metadata.mtime()),
            file,
            codec,
            stream,
            streamed_bytes: 0,
            stopped: None,
        })
    }

    /// Another reader of the same open raw file.
    pub(super) fn second(&self) -> io::Result<Self> {
        Self::of(self.file.try_clone()?, self.codec)
    }

    /// The open file, where its bytes lie as they are: it may be read from anywhere.
    pub(super) fn into_raw_file(self) -> Option<File> {
        (self.codec == Codec::Raw).then_some(self.file)
    }

    /// The file as it is at this moment, under the name that it was last known by.
    pub(super) fn hint(&self, path: &Path) -> io::Result<FileHint> {
        Ok(file_hint(path.to_owned(), &self.file.metadata()?))
    }

    /// Whether the file still holds what was read from it: the same head, the same bytes before the anchor. Answers with the head as far as it has
    /// grown, `None` if the content is another.
    pub(super) fn verify(&self, head: Head, anchor: Anchor) -> io::Result<Option<Head>> {
        if self.codec != Codec::Raw {
            let metadata = self.file.metadata()?;
            let same = self.opened == (metadata.size(), metadata.mtime());
            return Ok(same.then_some(head));
        }
        let mut first = [0; WINDOW_BYTES];
        let len = read_at_most(&self.file, &mut first, 0)?;
        let first = first.get(..len).unwrap_or_default();
        let known = usize::try_from(head.len_bytes)
            .ok()
            .and_then(|len| first.get(..len));
        let same = known.is_some_and(|known| head_of(known) == head)
            && anchor_of(&self.before(anchor.offset_bytes)?, anchor.offset_bytes) == anchor;
        Ok(same.then(|| head_of(first)))
    }

    /// Fills `buffer` from `offset_bytes` on as far as the file goes; 0 at its end. A stream stands at `offset_bytes` already.
    pub(super) fn read(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.stream else {
            return read_at_most(&self.file, buffer, offset_bytes);
        };
        if let Some(error) = self.stopped.take() {
            return Err(error);
        }
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match stream.read(rest) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if filled == 0 => return Err(error),
                Err(error) => {
                    self.stopped = Some(error);
                    break;
                }
            }
        }
        self.streamed_bytes += filled as u64;
        Ok(filled)
    }

    /// The last `min(4096, offset)` bytes before an offset of a raw file; fewer if it is shorter.
    pub(super) fn before(&self, offset_bytes: u64) -> io::Result<Vec<u8>> {
        let start = offset_bytes.saturating_sub(WINDOW_BYTES as u64);
        let len = usize::try_from(offset_bytes - start).expect("at most 4096 bytes");
        let mut window = vec![0; len];
        let len = read_at_most(&self.file, &mut window, start)?;
        window.truncate(len);
        Ok(window)
    }

    /// Up to `limit_bytes` of a raw file from an offset on.
    pub(super) fn at(&self, offset_bytes: u64, limit_bytes: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; limit_bytes];
        let len = read_at_most(&self.file, &mut bytes, offset_bytes)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// The last `min(4096, offset)` bytes before an offset of a file that wasn't read yet, fewer if it is shorter; a stream stands there then.
    pub(super) fn up_to(&mut self, offset_bytes: u64) -> io::Result<Vec<u8>> {
        match self.codec {
            Codec::Raw => self.before(offset_bytes),
            Codec::Gzip | Codec::Zstd | Codec::Bzip2 | Codec::Xz => self.skip(offset_bytes),
        }
    }

    /// Moves a stream that stands at its start to `offset_bytes`, or to its end if that comes first; the bytes before that place.
    fn skip(&mut self, offset_bytes: u64) -> io::Result<Vec<u8>> {
        let mut tail: Vec<u8> = Vec::new();
        let mut buffer = vec![0; 1 << 17];
        while self.streamed_bytes < offset_bytes {
            let wanted = usize::try_from(offset_bytes - self.streamed_bytes)
                .map_or(buffer.len(), |left| left.min(buffer.len()));
            let len = self.read(
                self.streamed_bytes,
                buffer.get_mut(..wanted).unwrap_or_default(),
            )?;
            if len == 0 {
                break;
            }
            tail.extend_from_slice(buffer.get(..len).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(WINDOW_BYTES));
        }
        Ok(tail)
    }

    /// Length of the run of NUL bytes at the start of a raw file.
    pub(super) fn leading_hole(&self) -> io::Result<u64> {
        let nul = vec![0; 1 << 20];
        let mut buffer = nul.clone();
        let mut hole = 0;
        loop {
            let len = read_at_most(&self.file, &mut buffer, hole)?;
            let read = buffer.get(..len).unwrap_or_default();
            if len == 0 {
                return Ok(hole);
            }
            // A comparison of two stretches takes a tenth of the time that a look at each byte takes.
            if Some(read) != nul.get(..len) {
                let run = read.iter().take_while(|byte| **byte == 0).count();
                return Ok(hole + run as u64);
            }
            hole += len as u64;
        }
    }
}

fn read_at_most(file: &File, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset_bytes + filled as u64) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

//! Content that may have been told already, though no position says how far: reading it aside, and moving the position behind what was told.
//!
//! Which of its records are in the store is for the caller to say, who knows records; bytes go out from the position on, an offset comes back.
//! Reading aside hands nothing out.

use std::io;

use super::generation::{advanced, anchor_of};
use super::reader::{Probe, Reader, Resume};
use super::server_tail::ServerTail;
use super::tracked::Tracked;
use crate::model::position::{Codec, GenerationId};

/// A generation that begins with what another one has told: the file of that one lost its end and may have grown again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retelling {
    pub generation: GenerationId,
    pub of: GenerationId,
    /// The other one told nothing from here on.
    pub until_bytes: u64,
}

/// The bytes of a generation from its position on.
pub struct Reread {
    reader: Reader,
    at_bytes: u64,
}

impl Reread {
    /// Where the next bytes begin.
    pub fn at_bytes(&self) -> u64 {
        self.at_bytes
    }

    /// Up to `limit_bytes` more; none at the end of the file.
    pub fn read(&mut self, limit_bytes: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; limit_bytes];
        let len = self.reader.read(self.at_bytes, &mut bytes)?;
        bytes.truncate(len);
        self.at_bytes += len as u64;
        Ok(bytes)
    }
}

impl ServerTail {
    /// What the file of a generation holds from its position on; `None` where none is known to hold it.
    pub fn reread(&self, generation: GenerationId) -> io::Result<Option<Reread>> {
        let tracked = self.tracked.iter().find(|t| t.row.id == generation);
        let Some(tracked) = tracked.filter(|t| t.placed) else {
            return Ok(None);
        };
        let Some(mut reader) = tracked.second_reader()? else {
            return Ok(None);
        };
        let at_bytes = tracked.taken_bytes();
        reader.up_to(at_bytes)?;
        Ok(Some(Reread { reader, at_bytes }))
    }

    /// Everything of the generation before `to_bytes`, a record boundary that was reached by reading it aside, has been told: its position stands there,
    /// unless its file is another one by now.
    pub fn told_until(&mut self, generation: GenerationId, to_bytes: u64) -> io::Result<()> {
        let Some(tracked) = self.tracked.iter_mut().find(|t| t.row.id == generation) else {
            return Ok(());
        };
        let Some(mut reader) = tracked.second_reader()? else {
            return Ok(());
        };
        let before = reader.up_to(to_bytes)?;
        let row = advanced(&tracked.row, anchor_of(&before, to_bytes), &before);
        tracked.passed_over(row, before);
        if tracked.row.codec != Codec::Raw {
            // Its stream stands elsewhere.
            tracked.reader = None;
        }
        Ok(())
    }
}

impl Tracked {
    /// Another reader of its file, at the start, if that holds it. A raw file that is open may have lost its name.
    fn second_reader(&self) -> io::Result<Option<Reader>> {
        let open = self.reader.as_ref();
        if let Some(reader) = open.filter(|_| self.row.codec == Codec::Raw) {
            let holds = reader.verify(self.row.head, self.taken)?.is_some();
            return holds.then(|| reader.second()).transpose();
        }
        let probe = match Probe::open(&self.row.file.path) {
            Ok(probe) => probe,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match probe.resume(self.fingerprint())? {
            Resume::At(..) => probe.reader().map(Some),
            Resume::Shorter(_) | Resume::Parted(_) | Resume::Other => Ok(None),
        }
    }
}

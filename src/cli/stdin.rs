//! Standard input as a log: put whole into a file that has no name, so that it can be read as often and from wherever the tail needs it.
//!
//! Takes the room of the input on disk, beside the store, and constant memory. The file is readable by nobody else and is gone with the process.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::Error;

/// The argument that stands for standard input.
pub(super) const NAME: &str = "-";

/// Whether a path stands for standard input.
pub(super) fn is_named(path: &Path) -> bool {
    path.as_os_str() == NAME
}

/// What came from standard input. Open as long as it is needed.
pub(super) struct Spool {
    file: File,
}

impl Spool {
    /// Reads standard input to its end into a file in `directory`.
    pub(super) fn fill(directory: &Path) -> Result<Self, Error> {
        let mut input = io::stdin().lock();
        if input.is_terminal() {
            return Err(Error::Usage(
                "standard input is a terminal: pipe a log into plantail import -, or name its file"
                    .to_owned(),
            ));
        }
        let failed = |source: io::Error| {
            Error::Failed(format!(
                "standard input can't be kept in {}: {source}; it needs the room of the input until the import is done",
                directory.display()
            ))
        };
        // A name that no process has left behind which was killed before the next two lines.
        let started = Timestamp::now().as_nanosecond();
        let path = directory.join(format!(".plantail-stdin-{}-{started}", std::process::id()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        fs::remove_file(&path).map_err(failed)?;
        io::copy(&mut input, &mut file).map_err(failed)?;
        Ok(Self { file })
    }

    /// A path by which this process can open it.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// The error as one about standard input.
    pub(super) fn name_in(&self, error: &Error) -> Error {
        let path = self.path();
        let text = error
            .to_string()
            .replace(&*path.to_string_lossy(), "standard input");
        match error.is_usage() {
            true => Error::Usage(text),
            false => Error::Failed(text),
        }
    }
}

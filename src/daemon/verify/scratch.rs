//! A place for the second reading, which nobody finds afterwards.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
};

use jiff::Timestamp;

use super::Error;
use crate::store::{self, Store, StoreUrl};

/// The folder in it that the store is in: opening a store locks its folder.
const SECOND: &str = "second";

/// A folder for the second reading, beside the store; gone when this is dropped. One that was killed is cleared by the next. Where the store is no
/// file it is one of its own among the temporary files.
pub(super) struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    pub(super) fn make(url: &StoreUrl) -> Result<Self, Error> {
        let beside = url.directory();
        let folder = match beside {
            Some(beside) => beside.join(".plantail-verify"),
            // Everybody may write there: a name that nobody has made ready, and an error if somebody has.
            None => std::env::temp_dir().join(format!(
                ".plantail-verify-{}-{}",
                std::process::id(),
                Timestamp::now().as_nanosecond()
            )),
        };
        let failed = |source| Error::Scratch {
            path: folder.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(beside.is_some())
            .mode(0o700)
            .create(&folder)
            .map_err(failed)?;
        let lock = File::open(&folder).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        match fs::remove_dir_all(folder.join(SECOND)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn store(&self) -> Result<Store, store::Error> {
        let path = self.folder.join(SECOND).join("plantail.db");
        Store::open(&StoreUrl::sqlite(&path).into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(path = %self.folder.display(), error = %error, "can't be removed");
        }
    }
}

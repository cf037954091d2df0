//! What has been said of files, so that it is said once of each.
//!
//! Paths come in, and whether they are news goes out. Logs come and go for as long as the daemon runs: paths of files that are gone are forgotten.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
};

/// So many paths are kept without a look at whether their files are there.
const KEPT: usize = 256;

#[derive(Debug)]
pub(super) struct Said {
    paths: HashSet<PathBuf>,
    /// When there are so many, those that are gone go.
    sweep_at: usize,
}

impl Default for Said {
    fn default() -> Self {
        Self {
            paths: HashSet::new(),
            sweep_at: KEPT,
        }
    }
}

impl Said {
    /// Whether nothing has been said of the file at `path`; from here on something has.
    pub(super) fn is_news(&mut self, path: &Path) -> bool {
        if self.paths.contains(path) {
            return false;
        }
        if self.paths.len() >= self.sweep_at {
            self.paths.retain(|path| is_there(path));
            self.sweep_at = KEPT.max(2 * self.paths.len());
        }
        self.paths.insert(path.to_owned())
    }
}

/// What can't be looked at may be there.
fn is_there(path: &Path) -> bool {
    let looked = path.symlink_metadata();
    !looked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::fs::File;

    use super::*;

    #[test]
    fn says_it_once_and_forgets_files_that_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut said = Said::default();
        File::create(path("live.log")).unwrap();
        assert!(said.is_news(&path("live.log")));
        for n in 0..10 * KEPT {
            let gone = path(&format!("{n}.log"));
            assert!(said.is_news(&gone));
            assert!(!said.is_news(&gone));
            assert!(said.paths.len() <= KEPT);
        }
        assert!(!said.is_news(&path("live.log")));
        let all_there = |n| path(&format!("there-{n}.log"));
        for n in 0..2 * KEPT {
            File::create(all_there(n)).unwrap();
            said.is_news(&all_there(n));
        }
        assert!((0..2 * KEPT).all(|n| !said.is_news(&all_there(n))));
    }
}

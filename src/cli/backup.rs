//! `plantail backup`: a copy of a SQLite store in one file, while the daemon runs.

use std::path::PathBuf;

use clap::Args;

use super::{Error, output};
use crate::{config::Settings, store};

/// Copy a SQLite store into a file while watch runs
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to write; must not be there
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(backup: &Backup, settings: &Settings) -> Result<(), Error> {
    let written = store::backup(&settings.daemon.store, &backup.file)?;
    Ok(output::line(&format!(
        "{}: {:.1} MB, checked and whole",
        backup.file.display(),
        written.size_bytes as f64 / 1e6
    ))?)
}

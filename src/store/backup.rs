//! A copy of a SQLite store in one file, while others read and write it.
//!
//! A file name comes in; the file is there afterwards, whole and looked through, or it isn't there. `VACUUM INTO` writes it: one snapshot, which
//! no writer has to wait for and none can spoil, where SQLite's backup interface begins again with every commit of another process. It leaves
//! out the room of deleted rows. A store of an older schema is copied as it is.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use diesel::{prelude::*, sql_types::Text};

use super::{
    Config, Error, StoreUrl,
    backend::{Connection, sqlite::Database},
    sql::Sql,
};

/// A backup that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub size_bytes: u64,
}

#[derive(QueryableByName)]
struct Checked {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// Copies the store into `file`, which must not be there. Only its owner may read it.
///
/// # Errors
///
/// [`Error::BackupExists`], [`Error::NotInAFile`] for a store in PostgreSQL, [`Error::BackupDamaged`] where the copy fails SQLite's integrity
/// check, which says that the store itself is damaged. `file` is not there after an error.
pub fn backup(config: &Config, file: &Path) -> Result<Backup, Error> {
    let StoreUrl::Sqlite(path) = &config.url else {
        return Err(Error::NotInAFile {
            store: config.url.to_string(),
        });
    };
    let database = Database::existing(path)?;
    let failed = |source| Error::Create {
        path: file.to_owned(),
        source,
    };
    let file = std::path::absolute(file).map_err(failed)?;
    refuse_existing(&file)?;
    let part = with_suffix(&file, ".part");
    // Who makes this file has the name to itself; what is left of a killed backup must be looked at and removed by somebody.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .map_err(|source| Error::Create {
            path: part.clone(),
            source,
        })?;
    let copied = copy(&database, &part).and_then(|()| {
        let copy = File::open(&part).map_err(failed)?;
        copy.sync_all().map_err(failed)?;
        let size_bytes = copy.metadata().map_err(failed)?.len();
        refuse_existing(&file)?;
        fs::rename(&part, &file).map_err(failed)?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(Backup { size_bytes })
    });
    if copied.is_err() {
        // The error says more than a file that can't be removed.
        let _ = fs::remove_file(&part);
    }
    copied
}

fn copy(database: &Database, part: &Path) -> Result<(), Error> {
    let name = part.to_str().ok_or_else(|| Error::Create {
        path: part.to_owned(),
        source: io::Error::other("the path is not UTF-8"),
    })?;
    Sql::new("VACUUM INTO ?", [name.into()])
        .execute(&mut Connection::Sqlite(database.copier()?))?;
    let mut copied = Connection::Sqlite(Database::existing(part)?.look()?);
    let found: Vec<Checked> = Sql::new("PRAGMA integrity_check", []).load(&mut copied)?;
    match found.first() {
        Some(first) if first.integrity_check != "ok" => Err(Error::BackupDamaged {
            found: first.integrity_check.clone(),
        }),
        _ => Ok(()),
    }
}

fn refuse_existing(file: &Path) -> Result<(), Error> {
    match file.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::BackupExists {
            path: file.to_owned(),
        }),
        Err(source) => Err(Error::Create {
            path: file.to_owned(),
            source,
        }),
    }
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::{
        ExecutionPage, Store,
        fixture::{Fixture, batch, execution},
    };

    fn fill(fixture: &Fixture, from: u64) {
        let mut batch = batch(fixture.server, from, from + 10);
        batch.executions = (from..from + 10)
            .map(|number| execution(fixture.server, "select $1", number, 1.0))
            .collect();
        fixture.ingest(&batch).unwrap();
    }

    fn config(path: &Path) -> Config {
        StoreUrl::sqlite(path).into()
    }

    #[test]
    fn a_backup_is_a_store_of_that_moment_that_nobody_else_may_read() {
        let fixture = Fixture::new();
        fill(&fixture, 0);
        let file = fixture.path().with_file_name("backup.db");
        // Readers and the writer have their connections open, and a snapshot is being read.
        let written = fixture
            .store
            .read(|reader| {
                reader.servers()?;
                backup(&config(fixture.path()), &file)
            })
            .unwrap();
        fill(&fixture, 10);
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(metadata.len(), written.size_bytes);
        let restored = Store::open_existing(&config(&file)).unwrap();
        let page = ExecutionPage {
            limit: 100,
            ..ExecutionPage::default()
        };
        let stored = |store: &Store| store.read(|reader| reader.executions(&page)).unwrap();
        assert_eq!(stored(&restored).len(), 10);
        assert_eq!(stored(&fixture.store).len(), 20);
        let offsets = restored.generations(fixture.server).unwrap();
        assert_eq!(offsets.first().unwrap().offset_bytes, 10);
        assert!(!with_suffix(&file, ".part").exists());
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_half_written_stays() {
        let fixture = Fixture::new();
        let file = fixture.path().with_file_name("backup.db");
        fs::write(&file, "precious").unwrap();
        let refused = backup(&config(fixture.path()), &file).unwrap_err();
        assert!(matches!(refused, Error::BackupExists { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");

        let damaged = fixture.path().with_file_name("damaged.db");
        fs::write(&damaged, "not a database ".repeat(1000)).unwrap();
        let file = fixture.path().with_file_name("other.db");
        assert!(backup(&config(&damaged), &file).is_err());
        assert!(!file.exists() && !with_suffix(&file, ".part").exists());

        let missing = fixture.path().with_file_name("missing.db");
        let refused = backup(&config(&missing), &file).unwrap_err();
        assert!(matches!(refused, Error::Missing { .. }), "{refused}");
        assert!(!missing.exists());
    }
}

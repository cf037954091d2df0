//! From what a user names (files, folders, globs) to the log files that are there, and to the servers that they belong to.
//!
//! Reads directories and names only, never a file's content. The listing that the tail lives on takes whatever trouble it meets as a value, because a
//! directory may be back at the next look; `log_files` and `servers_of` are for the command line and refuse what isn't right.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::names::{base_name, format_hint, glob_matches, is_log, is_rotated_form};
use super::{Error, Mode};
use crate::model::position::{FileHint, LogFormat};

/// One log file under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    pub file: FileHint,
    /// What the name says about the format; `None` for a name that says nothing.
    pub format_hint: Option<LogFormat>,
    /// The name is one that rotation or a compressor gives (`.1`, `-20261120`, `.gz`).
    pub rotated: bool,
}

/// The logs of one server as the user named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLogs {
    /// Name of the folder that holds them.
    pub name: String,
    pub paths: Vec<PathBuf>,
}

/// Log files behind `paths`, oldest first. A path that is missing, unreadable or without logs is an error.
pub fn log_files(paths: &[PathBuf]) -> Result<Vec<LogFile>, Error> {
    for path in paths {
        if !has_glob(path) && matches!(path.try_exists(), Ok(false)) {
            return Err(Error::Missing { path: path.clone() });
        }
        let listing = list(std::slice::from_ref(path), Mode::Finite);
        if let Some((path, source)) = listing.trouble.into_iter().next() {
            return Err(refused(path, source));
        }
        if listing.files.is_empty() {
            return Err(Error::NoLogs { path: path.clone() });
        }
        for found in listing.files {
            File::open(&found.file.path).map_err(|source| refused(found.file.path, source))?;
        }
    }
    Ok(list(paths, Mode::Finite).files)
}

/// Which servers `paths` hold: a folder is one server if it holds logs, and one for each subfolder that does; a file or glob belongs to the server
/// of its folder. Servers are named by their folder and come in the order of `paths`, subfolders by name; two folders of one name are two.
pub fn servers_of(paths: &[PathBuf]) -> Result<Vec<ServerLogs>, Error> {
    let mut servers: Vec<ServerLogs> = Vec::new();
    let mut folders_seen: Vec<PathBuf> = Vec::new();
    let mut add = |folder: &Path, path: &Path| {
        let known = folders_seen.iter().position(|seen| seen == folder);
        match known.and_then(|index| servers.get_mut(index)) {
            Some(server) => server.paths.push(path.to_owned()),
            None => {
                folders_seen.push(folder.to_owned());
                servers.push(ServerLogs {
                    name: folder_name(folder),
                    paths: vec![path.to_owned()],
                });
            }
        }
    };
    for path in paths {
        if !path.is_dir() {
            log_files(std::slice::from_ref(path))?;
            for place in places(std::slice::from_ref(path), &mut Vec::new()) {
                let named = place.named();
                if log_files(std::slice::from_ref(&named)).is_ok() {
                    add(&place.directory, &named);
                }
            }
            continue;
        }
        let mut folders = vec![path.clone()];
        folders.extend(subfolders(path).map_err(|source| refused(path.clone(), source))?);
        let mut empty = true;
        for folder in folders {
            match log_files(std::slice::from_ref(&folder)) {
                Ok(_) => {
                    empty = false;
                    add(&folder, &folder);
                }
                Err(Error::NoLogs { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if empty {
            return Err(Error::NoLogs { path: path.clone() });
        }
    }
    Ok(servers)
}

/// What is there at one moment.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Oldest first (modification time, then name). A file that two paths name is there once.
    pub(super) files: Vec<LogFile>,
    /// Directories that were looked into, with what tells whether they are still the same and unchanged.
    pub(super) directories: BTreeMap<PathBuf, FileHint>,
    /// What couldn't be looked at.
    pub(super) trouble: Vec<(PathBuf, io::Error)>,
}

/// The log files behind `paths`. In `Mode::Follow` a named file or glob stands for its rotated and compressed forms too, and needn't exist.
pub(super) fn list(paths: &[PathBuf], mode: Mode) -> Listing {
    let mut listing = Listing::default();
    let mut files = BTreeMap::new();
    for place in places(paths, &mut listing.trouble) {
        match list_place(&place, mode, &mut files, &mut listing.trouble) {
            Ok(hint) => {
                listing.directories.insert(place.directory, hint);
            }
            Err(source) => listing.trouble.push((place.directory, source)),
        }
    }
    if mode == Mode::Finite {
        for path in paths
            .iter()
            .filter_map(|path| std::path::absolute(path).ok())
        {
            let named_and_gone = !has_glob(&path)
                && !path.is_dir()
                && !files.contains_key(&path)
                && !listing.trouble.iter().any(|(place, _)| *place == path);
            if named_and_gone {
                listing.trouble.push((path, io::ErrorKind::NotFound.into()));
            }
        }
    }
    listing.files = files.into_values().collect();
    listing.files.sort_by(|a, b| {
        (a.file.modified_us, &a.file.path).cmp(&(b.file.modified_us, &b.file.path))
    });
    listing
}

/// Whether a listing of `paths` would show a file of that path, were it there.
pub(super) fn covers(paths: &[PathBuf], mode: Mode, path: &Path) -> bool {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return false;
    };
    places(paths, &mut Vec::new())
        .iter()
        .any(|place| place.directory == directory && place.names.hold(name, mode))
}

/// Device, inode, size and modification time of `metadata` under the name `path`.
pub(super) fn file_hint(path: PathBuf, metadata: &Metadata) -> FileHint {
    FileHint {
        path,
        device: metadata.dev(),
        inode: metadata.ino(),
        size_bytes: metadata.size(),
        modified_us: metadata
            .mtime()
            .saturating_mul(1_000_000)
            .saturating_add(metadata.mtime_nsec() / 1_000),
    }
}

/// One directory and which of its files are meant.
struct Place {
    directory: PathBuf,
    names: Names,
}

impl Place {
    /// The path that names this place and no other.
    fn named(&self) -> PathBuf {
        match &self.names {
            Names::Logs => self.directory.clone(),
            Names::File(name) | Names::Glob(name) => self.directory.join(name),
        }
    }
}

enum Names {
    Logs,
    File(String),
    Glob(String),
}

impl Names {
    fn hold(&self, name: &str, mode: Mode) -> bool {
        let follow = mode == Mode::Follow;
        match self {
            Self::Logs => is_log(name),
            Self::File(file) => name == file || follow && is_rotated_form(name, file),
            Self::Glob(glob) => {
                glob_matches(glob, name) || follow && glob_matches(glob, base_name(name))
            }
        }
    }
}

fn places(paths: &[PathBuf], trouble: &mut Vec<(PathBuf, io::Error)>) -> Vec<Place> {
    let mut places = Vec::new();
    for path in paths {
        let absolute = match std::path::absolute(path) {
            Ok(absolute) => absolute,
            Err(error) => {
                trouble.push((path.clone(), error));
                continue;
            }
        };
        let name = absolute.file_name().and_then(|name| name.to_str());
        match (name, absolute.parent()) {
            _ if absolute.is_dir() => places.push(Place {
                directory: absolute,
                names: Names::Logs,
            }),
            (Some(name), Some(parent)) if has_glob(&absolute) && !absolute.exists() => {
                places.extend(expand(&absolute).into_iter().map(|directory| Place {
                    directory,
                    names: Names::Logs,
                }));
                places.extend(expand(parent).into_iter().map(|directory| Place {
                    directory,
                    names: Names::Glob(name.to_owned()),
                }));
            }
            // A log that isn't there may be between two rotations; anything else that isn't there may be a directory.
            (Some(name), Some(parent)) if absolute.exists() || format_hint(name).is_some() => {
                places.push(Place {
                    directory: parent.to_owned(),
                    names: Names::File(name.to_owned()),
                });
            }
            _ => trouble.push((absolute, io::ErrorKind::NotFound.into())),
        }
    }
    places
}

fn has_glob(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|path| path.contains(['*', '?', '[']))
}

/// The existing directories that a path with patterns in its components stands for.
fn expand(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        found = match component {
            Component::Normal(name) if has_glob(Path::new(name)) => {
                let pattern = name.to_str().unwrap_or_default();
                let mut next: Vec<PathBuf> = found
                    .iter()
                    .flat_map(|base| subfolders(base).unwrap_or_default())
                    .filter(|folder| {
                        let name = folder.file_name().and_then(|name| name.to_str());
                        name.is_some_and(|name| glob_matches(pattern, name))
                    })
                    .collect();
                next.sort();
                next
            }
            other => found
                .iter()
                .map(|base| base.join(other))
                .filter(|folder| folder.is_dir())
                .collect(),
        };
    }
    found
}

fn list_place(
    place: &Place,
    mode: Mode,
    files: &mut BTreeMap<PathBuf, LogFile>,
    trouble: &mut Vec<(PathBuf, io::Error)>,
) -> io::Result<FileHint> {
    // The directory's state is taken first: a change during the listing shows as a change after it.
    let directory = file_hint(place.directory.clone(), &fs::metadata(&place.directory)?);
    for entry in fs::read_dir(&place.directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| place.names.hold(name, mode)) else {
            continue;
        };
        let path = entry.path();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                let found = LogFile {
                    file: file_hint(path.clone(), &metadata),
                    format_hint: format_hint(name),
                    rotated: base_name(name) != name,
                };
                files.insert(path, found);
            }
            Ok(_) => {}
            // Renamed or removed since it was listed, or a link to nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => trouble.push((path, error)),
        }
    }
    Ok(directory)
}

fn subfolders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn folder_name(folder: &Path) -> String {
    fs::canonicalize(folder)
        .unwrap_or_else(|_| folder.to_owned())
        .file_name()
        .map_or_else(
            || "/".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
}

fn refused(path: PathBuf, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { path },
        _ => Error::Unreadable { path, source },
    }
}

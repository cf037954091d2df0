//! Bytes on disk to chunks with positions: which files a server logs to, which content they hold, and what of it is new.
//!
//! In come the paths of one server and the generations that the store knows; out go chunks of decompressed bytes, each byte of a generation once,
//! and the rows to store with them. Identity is content (head, anchor, ladder), never name or inode. Nothing here knows a log format, the store
//! or a clock other than the files' own; the one ingest thread drives it: `scan`, then `next_chunk` until it has nothing, `checkpoint` before and
//! `committed` after each transaction.

mod compressed;
pub mod discovery;
mod formats;
mod generation;
mod handed_out;
mod names;
mod newcomers;
mod open_files;
mod places;
mod reader;
mod retelling;
mod rotation;
mod server_tail;
mod tracked;
mod watched;
mod watcher;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::position::{Gap, Generation, GenerationId, LogFormat};

pub use compressed::{MAGIC_BYTES, codec_of};
pub use generation::unread;
pub use retelling::{Reread, Retelling};
pub use rotation::ingested_format;
pub use server_tail::ServerTail;
pub use watcher::{Doorbell, Rang, Ring};

/// How files are looked at and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The tick: how long to wait for the doorbell before looking anyway, and how long a directory listing is good for.
    pub poll_interval: Duration,
    /// Most bytes in one chunk.
    pub read_bytes: usize,
    /// Whether file system notifications ring the doorbell. Nothing depends on them but latency.
    pub notify: bool,
    /// How long the format that is read must have been silent while another one is written until that is read instead.
    pub format_silence: Duration,
    /// How long a file that another one has followed must be silent until it is taken as finished.
    pub quiet_after: Duration,
    /// How far the position of a watched format may be behind what the read one has told as well, before it is moved: each move is a transaction.
    pub follow_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(1),
            read_bytes: 1 << 20,
            notify: true,
            format_silence: Duration::from_secs(60),
            quiet_after: Duration::from_secs(10),
            follow_bytes: 1 << 20,
        }
    }
}

/// Whether files are expected to grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Files grow, rotate and vanish; a named file stands for its rotated and compressed forms too.
    Follow,
    /// Finished logs: one scan, every file ends where it ends, nothing is missed that wasn't named.
    Finite,
}

/// What went wrong with a path or a call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: there is no such file or directory; check the path", path.display())]
    Missing { path: PathBuf },
    #[error("{}: cannot be read ({source}); give the user that runs plantail read access, e.g. by the group adm", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{}: holds no log files (*.log, *.csv, *.json, syslog* and their rotated or compressed forms); name the directory of log_directory or the files themselves",
        path.display()
    )]
    NoLogs { path: PathBuf },
    #[error("offset {offset_bytes} of generation {} was not handed out, or was committed before: a checkpoint stands between the last commit and the last chunk", generation.0)]
    NotHandedOut {
        generation: GenerationId,
        offset_bytes: u64,
    },
}

/// A stretch of one generation, in order: each starts where the one before ended, unless `first` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub generation: GenerationId,
    pub format: LogFormat,
    pub start_bytes: u64,
    /// Decompressed bytes; empty where only the end is told.
    pub bytes: Vec<u8>,
    /// Parsing starts afresh at `start_bytes`: the generation is new here, was rewound, or goes on after it had ended.
    pub first: bool,
    /// Nothing more comes: an unfinished record ends here. Such a chunk has no bytes.
    pub end_of_generation: bool,
    /// Bytes known to be lost, to be stored with the batch that this chunk ends up in: a hole before `start_bytes`, the rest after the end.
    pub gaps: Vec<Gap>,
}

/// What a look found. Copies and watched-only files are told by looks at the directories, not by those at open files in between.
#[derive(Debug, Default)]
pub struct Scan {
    /// Generations seen for the first time; the rows to store, so that a file which is gone at the next start is missed.
    pub new: Vec<Generation>,
    /// Generations whose file has another name or form; the rows to store, whenever convenient.
    pub moved: Vec<Generation>,
    /// Of the new ones those that begin with what another one has told.
    pub retellings: Vec<Retelling>,
    /// Files that hold what a generation holds already; not read.
    pub copies: Vec<(PathBuf, GenerationId)>,
    /// Files of a format that another one of the same server makes redundant; not read.
    pub watched_only: Vec<PathBuf>,
    /// Files and directories that could not be read in this look; they are tried again in each.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

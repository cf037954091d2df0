//! Where something stands in the logs: server, generation, offset; and where bytes are known to be lost.
//!
//! An offset counts the decompressed bytes of a generation from its first byte, so that a log file and its compressed copy share one number line.

use std::path::PathBuf;

use super::stable_id;

/// Stable 64-bit id of one monitored PostgreSQL cluster: the hash of its configured name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub i64);

/// One monitored PostgreSQL cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub id: ServerId,
    pub name: String,
}

impl Server {
    /// The server of that name; the same name gives the same id on every machine.
    pub fn named(name: &str) -> Self {
        Self {
            id: ServerId(stable_id(&[b"server", name.as_bytes()])),
            name: name.to_owned(),
        }
    }
}

/// Id of one generation: one life of content in one log file. Computed when the generation is first seen and kept with it in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GenerationId(pub i64);

/// First byte of a log record in its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub generation: GenerationId,
    pub offset_bytes: u64,
}

/// Length and XXH3-128 of the first bytes of a generation (at most 4096): which content it is, whatever its name.
/// No log bytes are kept, only their hash. The head grows while the file is shorter than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub len_bytes: u64,
    pub hash: u128,
}

/// XXH3-128 of the last `min(4096, offset_bytes)` bytes before `offset_bytes`: whether what was read is still what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    pub offset_bytes: u64,
    pub hash: u128,
}

/// What the file system says about a file. Hints to find a generation fast, never proof of identity: inodes are reused and truncated in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHint {
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    pub size_bytes: u64,
    pub modified_us: i64,
}

/// Which format a log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFormat {
    Stderr,
    Csvlog,
    Jsonlog,
    /// A log whose lines something else has put its own text around.
    Wrapped(Wrapper),
}

impl LogFormat {
    pub const ALL: [Self; 11] = [
        Self::Stderr,
        Self::Csvlog,
        Self::Jsonlog,
        Self::Wrapped(Wrapper::Syslog),
        Self::Wrapped(Wrapper::JournalExport),
        Self::Wrapped(Wrapper::JournalJson),
        Self::Wrapped(Wrapper::Docker),
        Self::Wrapped(Wrapper::Cri),
        Self::Wrapped(Wrapper::CloudLogging),
        Self::Wrapped(Wrapper::Azure),
        Self::Wrapped(Wrapper::CloudNativePg),
    ];

    /// The name by which it is given, shown and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Csvlog => "csvlog",
            Self::Jsonlog => "jsonlog",
            Self::Wrapped(wrapper) => wrapper.as_str(),
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// Which of the three formats of `log_destination` it stands for where a server writes several.
    pub fn unwrapped(self) -> Self {
        match self {
            Self::Wrapped(Wrapper::Azure | Wrapper::CloudNativePg) => Self::Jsonlog,
            Self::Wrapped(_) => Self::Stderr,
            plain => plain,
        }
    }
}

/// What has put its own text around the lines of a server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrapper {
    /// Files of a syslog daemon, lines like theirs (`journalctl -o short-iso`), and Heroku's logplex.
    Syslog,
    /// `journalctl -o export`
    JournalExport,
    /// `journalctl -o json`
    JournalJson,
    /// The json-file driver of Docker.
    Docker,
    /// Container logs of Kubernetes.
    Cri,
    /// Entries of Google's Cloud Logging as JSON lines: Cloud SQL, AlloyDB.
    CloudLogging,
    /// Diagnostic settings of Azure Database for PostgreSQL as JSON lines.
    Azure,
    /// Log of CloudNativePG's instance manager.
    CloudNativePg,
}

impl Wrapper {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::JournalExport => "journal-export",
            Self::JournalJson => "journal-json",
            Self::Docker => "docker",
            Self::Cri => "cri",
            Self::CloudLogging => "cloud-logging",
            Self::Azure => "azure",
            Self::CloudNativePg => "cloudnativepg",
        }
    }
}

/// How the bytes of a generation lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    Raw,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

/// Whether a generation can still grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GenerationState {
    /// The file is being written, or may be.
    Active,
    /// Read to its end and over: rotated away, truncated or finished by an import.
    Done,
    /// Over, with bytes that could not be read; a gap says which.
    Lost,
}

/// One life of content in one log file, and how far its records have been stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub id: GenerationId,
    pub server_id: ServerId,
    pub file: FileHint,
    pub format: LogFormat,
    pub codec: Codec,
    pub head: Head,
    pub state: GenerationState,
    /// First byte that is not yet covered by committed records. Stands on a record boundary.
    pub offset_bytes: u64,
    /// Hash of what lies before `offset_bytes`.
    pub anchor: Anchor,
    /// Anchors in the first 2048 bytes and older ones, each about a mebibyte apart, newest last, at most 13 (312 bytes): to recognise a file that was
    /// cut and may have grown again.
    pub ladder: Vec<Anchor>,
}

/// Why log bytes are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The file was cut or overwritten before its rest was read, and no copy was found.
    Truncated,
    /// The file is gone and no copy was found.
    Deleted,
    /// A run of NUL bytes where records should be: a truncation under a writer without O_APPEND.
    Hole,
    /// The compressed file ends early or its checksum is wrong.
    Corrupt,
}

/// Log bytes known to be lost. `to_bytes` is unknown where the daemon didn't see how far the file had grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub generation: GenerationId,
    pub from_bytes: u64,
    pub to_bytes: Option<u64>,
    pub reason: GapReason,
}

//! Which format and log_line_prefix a server's log has: given, remembered or detected from its first bytes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};

use super::ingest::ServerConfig;
use crate::{
    model::position::{Codec, Generation, LogFormat, Server},
    record::{self, Contents, Format, Layout, LinePrefix, contents, detect, wrapper_of},
    store::{self, Store},
    tail::{Chunk, Mode},
};

/// A first line that is longer is looked at before it is whole.
const FIRST_LINE_BYTES: usize = 1 << 16;

/// How many lines that should begin with the prefix and don't show that it was changed: of one that names no clients, and of one that does.
const CHANGED_LINES: usize = 3;
const CHANGED_LINES_CLIENTS: usize = 20;

/// No prefix is known that reads the log. May pass: more of the log, or another file of the server, may tell.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unexplained {
    #[error(
        "log_line_prefix {prefix:?} of server {server:?} explains none of the first {lines} lines of {path}; \
         give the server's own setting (SHOW log_line_prefix) with --log-line-prefix or in the configuration"
    )]
    WrongPrefix {
        prefix: String,
        server: String,
        path: PathBuf,
        lines: usize,
    },
    #[error(
        "the log_line_prefix of {path} can't be told: of its first lines {lines} hold a severity (LOG, ERROR ...), and no known prefix explains \
         most of them; give the server's own setting (SHOW log_line_prefix) with --log-line-prefix or in the configuration"
    )]
    UnknownPrefix { path: PathBuf, lines: usize },
}

/// Why a log can't be read as it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unexplained(#[from] Unexplained),
    #[error("server {server:?}: {source}")]
    Prefix {
        server: String,
        #[source]
        source: record::Error,
    },
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What is known of how a server's log is written, for reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogLayout {
    /// Names of the formats that were read.
    pub formats: BTreeSet<String>,
    /// The prefix that stderr logs are read with. `%*` stands in it for what the log alone didn't tell.
    pub log_line_prefix: Option<String>,
    /// csvlog's names of columns that the prefix may print and that stay empty, because the log alone doesn't tell which it is.
    pub disputed: Vec<&'static str>,
}

/// How the log of one server is written.
pub(super) struct Layouts {
    server: String,
    /// Given by the user, else remembered, else detected.
    prefix: Option<LinePrefix>,
    /// What the detected prefix doesn't tell.
    disputed: Vec<&'static str>,
    is_given: bool,
    /// Whether the prefix has explained any line yet.
    proven: bool,
    /// Whether the log that was begun last is wrapped.
    was_wrapped: bool,
    time_zone: Option<TimeZone>,
    /// PostgreSQL's default, for a log that says nothing so far.
    unknown_prefix: LinePrefix,
    /// Given by the user.
    format: Option<LogFormat>,
    syslog_ident: Option<String>,
    /// Names of the formats that were read.
    formats: BTreeSet<String>,
}

impl Layouts {
    /// `remembered` is the prefix that the store knows for the server.
    pub(super) fn new(server: &ServerConfig, remembered: Option<String>) -> Result<Self, Error> {
        let given = server.log_line_prefix.clone();
        let is_given = given.is_some();
        let prefix = given
            .or(remembered)
            .map(|prefix| LinePrefix::parse(&prefix))
            .transpose()
            .map_err(|source| Error::Prefix {
                server: server.name.clone(),
                source,
            })?;
        Ok(Self {
            server: server.name.clone(),
            prefix,
            disputed: Vec::new(),
            is_given,
            proven: false,
            was_wrapped: false,
            time_zone: server.time_zone.clone(),
            unknown_prefix: LinePrefix::parse("%m [%p] ").map_err(|source| Error::Prefix {
                server: server.name.clone(),
                source,
            })?,
            format: server.format,
            syslog_ident: server.syslog_ident.clone(),
            formats: BTreeSet::new(),
        })
    }

    /// For reports.
    pub(super) fn log_layout(&self) -> LogLayout {
        let prefix = self.prefix.as_ref().filter(|_| self.proven);
        LogLayout {
            formats: self.formats.clone(),
            log_line_prefix: prefix.map(|prefix| prefix.as_str().to_owned()),
            disputed: self.disputed.clone(),
        }
    }

    /// Whether the prefix is known and has explained a line.
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    /// The format of the log that `chunk` is of: given, else told by its content where that shows a wrapper, else by its name.
    pub(super) fn format_of(&self, chunk: &Chunk) -> LogFormat {
        match (self.format, chunk.format) {
            (Some(given), _) => given,
            (None, known @ LogFormat::Wrapped(_)) => known,
            (None, named) => wrapper_of(&chunk.bytes).map_or(named, LogFormat::Wrapped),
        }
    }

    /// How the generation that `chunk` begins is written, which lies in `file`. A prefix that is detected is kept in the store.
    pub(super) fn of(
        &mut self,
        chunk: &Chunk,
        row: &Generation,
        mode: Mode,
        store: &Store,
        server: &Server,
    ) -> Result<Layout, Error> {
        let file = &row.file;
        let may_go_on = mode == Mode::Follow
            && row.codec == Codec::Raw
            && !chunk.end_of_generation
            && chunk.bytes.len() < FIRST_LINE_BYTES
            && !chunk.bytes.contains(&b'\n');
        if may_go_on && (!self.proven || self.was_wrapped) {
            // Neither a wrapper nor a prefix shows in a line that is still being written.
            let path = file.path.clone();
            return Err(Unexplained::UnknownPrefix { path, lines: 0 }.into());
        }
        let syslog_ident = self.syslog_ident.clone();
        // A file that is being written can be older than its next line.
        let written_until = match mode {
            Mode::Finite => Timestamp::from_microsecond(file.modified_us).ok(),
            Mode::Follow => None,
        };
        let format = self.format_of(chunk);
        let contents = contents(format, syslog_ident.as_deref(), &chunk.bytes);
        let inner = match contents.format {
            LogFormat::Csvlog => Format::Csvlog,
            LogFormat::Jsonlog => Format::Jsonlog,
            LogFormat::Stderr | LogFormat::Wrapped(_) => {
                Format::Stderr(self.prefix_inside(&contents, &file.path, store, server)?)
            }
        };
        self.was_wrapped = !contents.wrappers.is_empty();
        self.formats.insert(contents.name());
        Ok(Layout {
            format: contents.wrap(inner, syslog_ident.as_deref(), written_until),
            time_zone: self.time_zone.clone(),
        })
    }

    /// Looks again at a log in which lines couldn't be read: before the first session a prefix with `%q` prints its beginning only. True where another
    /// prefix was found, with which everything that isn't committed is to be read again.
    ///
    /// A prefix that names clients stays: what they are named can look like another prefix.
    pub(super) fn amend(
        &mut self,
        chunk: &Chunk,
        store: &Store,
        server: &Server,
    ) -> Result<bool, Error> {
        let known = self.prefix.as_ref().unwrap_or(&self.unknown_prefix);
        if self.is_given || known.names_clients() {
            return Ok(false);
        }
        let format = self.format_of(chunk);
        let contents = contents(format, self.syslog_ident.as_deref(), &chunk.bytes);
        let bytes = &contents.bytes;
        let explained = detect::explained(known, bytes);
        if explained.explained_count == explained.line_count {
            return Ok(false);
        }
        let detected = detect::line_prefix(bytes);
        let Some(prefix) = detected.prefix else {
            return Ok(false);
        };
        if detect::explained(&prefix, bytes).explained_count <= explained.explained_count {
            return Ok(false);
        }
        self.keep(
            &prefix,
            detected.line_count,
            &detected.disputed,
            store,
            server,
        )?;
        Ok(true)
    }

    /// The prefix that explains `unread`, lines that the known one can't read and that no record came after: it has been changed since.
    ///
    /// Where the known one names clients it has to explain none of many lines and the other one nearly all: what clients are named can look like another
    /// prefix, but not while every line is without the head that is known.
    pub(super) fn changed(&self, chunk: &Chunk, unread: &[u8]) -> Option<detect::Detected> {
        let known = self.prefix.as_ref()?;
        if self.is_given {
            return None;
        }
        let contents = contents(self.format_of(chunk), self.syslog_ident.as_deref(), unread);
        let explained = detect::explained(known, &contents.bytes);
        let (lines, least) = match known.names_clients() {
            true => (explained.line_count, CHANGED_LINES_CLIENTS),
            false => (explained.line_count, CHANGED_LINES),
        };
        if lines < least || explained.explained_count > 0 {
            return None;
        }
        let detected = detect::line_prefix(&contents.bytes);
        let prefix = detected.prefix.as_ref()?;
        let explains = detect::explained(prefix, &contents.bytes).explained_count;
        (prefix != known && explains * 10 >= lines * 9).then_some(detected)
    }

    /// Reads the log with another prefix from here on.
    pub(super) fn change(
        &mut self,
        detected: &detect::Detected,
        store: &Store,
        server: &Server,
    ) -> Result<(), Error> {
        match &detected.prefix {
            Some(prefix) => self.keep(
                prefix,
                detected.line_count,
                &detected.disputed,
                store,
                server,
            ),
            None => Ok(()),
        }
    }

    /// The prefix of a stderr log, which may be wrapped. A log that others write to may hold nothing of the server for long: what comes later tells.
    fn prefix_inside(
        &mut self,
        contents: &Contents<'_>,
        path: &Path,
        store: &Store,
        server: &Server,
    ) -> Result<LinePrefix, Error> {
        let nothing_yet = !contents.wrappers.is_empty() && contents.bytes.is_empty();
        match &self.prefix {
            None if nothing_yet => Ok(self.unknown_prefix.clone()),
            _ => self.prefix_of(&contents.bytes, path, store, server),
        }
    }

    fn prefix_of(
        &mut self,
        bytes: &[u8],
        path: &Path,
        store: &Store,
        server: &Server,
    ) -> Result<LinePrefix, Error> {
        if let Some(prefix) = &self.prefix {
            if self.proven {
                return Ok(prefix.clone());
            }
            let looked = detect::explained(prefix, bytes);
            if looked.line_count == 0 || looked.explained_count > 0 {
                self.proven = looked.explained_count > 0;
                return Ok(prefix.clone());
            }
        }
        let detected = detect::line_prefix(bytes);
        // A remembered setting may have been changed since.
        if let Some(prefix) = detected.prefix.filter(|_| !self.is_given) {
            self.keep(
                &prefix,
                detected.line_count,
                &detected.disputed,
                store,
                server,
            )?;
            return Ok(prefix);
        }
        let (path, lines) = (path.to_owned(), detected.line_count);
        let unexplained = match &self.prefix {
            Some(prefix) => Unexplained::WrongPrefix {
                prefix: prefix.as_str().to_owned(),
                server: self.server.clone(),
                path,
                lines,
            },
            None => Unexplained::UnknownPrefix { path, lines },
        };
        Err(unexplained.into())
    }

    fn keep(
        &mut self,
        prefix: &LinePrefix,
        lines: usize,
        unknown: &[&'static str],
        store: &Store,
        server: &Server,
    ) -> Result<(), Error> {
        tracing::info!(
            server = %self.server, lines, "log_line_prefix {:?} detected{}", prefix.as_str(),
            if unknown.is_empty() { String::new() } else { format!("; it doesn't tell {}", unknown.join(", ")) },
        );
        store.set_log_line_prefix(server.id, prefix.as_str())?;
        self.prefix = Some(prefix.clone());
        self.disputed = unknown.to_vec();
        self.proven = true;
        Ok(())
    }
}

//! Which format and log_line_prefix a server's log has: given, remembered or detected from its first bytes.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::ingest::ServerConfig;
use crate::{
    model::position::{LogFormat, Server},
    record::{self, Format, Layout, LinePrefix, detect},
    store::{self, Store},
    tail::Chunk,
};

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

/// How the log of one server is written.
pub(super) struct Layouts {
    server: String,
    /// Given by the user, else remembered, else detected.
    prefix: Option<LinePrefix>,
    is_given: bool,
    /// Whether the prefix has explained any line yet.
    proven: bool,
    time_zone: Option<TimeZone>,
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
            is_given,
            proven: false,
            time_zone: server.time_zone.clone(),
        })
    }

    /// Whether the prefix is known and has explained a line.
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    /// How the generation that `chunk` begins is written. A prefix that is detected is kept in the store.
    pub(super) fn of(
        &mut self,
        chunk: &Chunk,
        path: &Path,
        store: &Store,
        server: &Server,
    ) -> Result<Layout, Error> {
        let format = match chunk.format {
            LogFormat::Csvlog => Format::Csvlog,
            LogFormat::Jsonlog => Format::Jsonlog,
            LogFormat::Stderr => {
                Format::Stderr(self.prefix_of(&chunk.bytes, path, store, server)?)
            }
        };
        Ok(Layout {
            format,
            time_zone: self.time_zone.clone(),
        })
    }

    /// Looks again at a log in which lines couldn't be read: before the first session a prefix with `%q` prints its beginning only. True where another
    /// prefix was found, with which everything that isn't committed is to be read again.
    ///
    /// A prefix that names clients stays: what they are named can look like another prefix.
    pub(super) fn amend(
        &mut self,
        bytes: &[u8],
        store: &Store,
        server: &Server,
    ) -> Result<bool, Error> {
        let Some(known) = &self.prefix else {
            return Ok(false);
        };
        if self.is_given || known.names_clients() {
            return Ok(false);
        }
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
        unknown: &[&str],
        store: &Store,
        server: &Server,
    ) -> Result<(), Error> {
        tracing::info!(
            server = %self.server, lines, "log_line_prefix {:?} detected{}", prefix.as_str(),
            if unknown.is_empty() { String::new() } else { format!("; it doesn't tell {}", unknown.join(", ")) },
        );
        store.set_log_line_prefix(server.id, prefix.as_str())?;
        self.prefix = Some(prefix.clone());
        self.proven = true;
        Ok(())
    }
}

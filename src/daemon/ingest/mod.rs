//! One server's way from its log files into the store: read, assemble, pair, analyse, commit.
//!
//! A batch is what one stretch of one generation gave. It is committed in one transaction with the position that it brings us to, the
//! state of the pairing among it; if that fails nothing has happened, and the same bytes are read again. `chunk` takes the stretches,
//! `last_record` those records that nothing has followed yet, `commit` stores.

mod chunk;
mod commit;
mod last_record;

use std::{collections::HashMap, io, path::PathBuf};

use jiff::Timestamp;

use self::last_record::Pending;
use super::{
    batch::Extent,
    layout::{self, Layouts, LogLayout, Unexplained},
};
use crate::{
    analysis,
    execution::{self, Events, Pairing},
    model::{
        accounting::Accounting,
        position::{Generation, GenerationId, LogFormat, Server},
        sampling::Sampling,
    },
    record::{self, Assembler, detect},
    store::{self, IngestClaim, Store},
    tail::{self, Mode, ServerTail},
};

/// One configured server: which files are its log and how they are written.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub name: String,
    pub paths: Vec<PathBuf>,
    /// `None`: detected from the log.
    pub format: Option<LogFormat>,
    /// `None`: detected from the log.
    pub log_line_prefix: Option<String>,
    /// The server's `syslog_ident`; `None`: PostgreSQL's default.
    pub syslog_ident: Option<String>,
    /// Zone for abbreviations that mean several; `None`: those are read as UTC and flagged.
    pub time_zone: Option<jiff::tz::TimeZone>,
    /// What is logged by chance; `None`: unknown.
    pub sampling: Option<Sampling>,
}

/// What the ingest of a server needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    pub tail: tail::Config,
    pub record: record::Config,
    pub analysis: analysis::Config,
    pub execution: execution::Config,
    /// How many queries a server may have.
    pub max_queries: u64,
    /// A newly opened breach asks for advice.
    pub advise: bool,
}

/// Why a server's log can't be taken in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Tail(#[from] tail::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Layout(#[from] layout::Error),
}

/// What a turn of the loop did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A batch was committed; more may be there.
    Committed,
    /// Everything that was there has been read.
    CaughtUp,
}

/// The ingest of one server.
pub struct ServerIngest {
    pub server: Server,
    /// What this run took in.
    pub accounting: Accounting,
    store: Store,
    claim: IngestClaim,
    config: Config,
    mode: Mode,
    sampling: Option<Sampling>,
    layouts: Layouts,
    tail: ServerTail,
    assemblers: HashMap<GenerationId, Assembler>,
    pairing: Pairing,
    committed: Pairing,
    /// Last records that wait for their continuation.
    pending: HashMap<GenerationId, Pending>,
    /// Why a file was set aside, while no file has told how the log is written.
    unexplained: Option<Unexplained>,
    /// Whether it has been said that most of a batch couldn't be read.
    unread_is_known: bool,
    /// The row of the newest commit.
    last: Option<Generation>,
}

impl ServerIngest {
    /// Opens a server's logs where the store left them.
    pub fn open(
        store: &Store,
        server: &ServerConfig,
        mode: Mode,
        config: &Config,
    ) -> Result<Self, Error> {
        let identity = Server::named(&server.name);
        let claim = store.claim_ingest(&identity)?;
        let state = store.server_state(identity.id)?;
        let pairing = match &state.pairing {
            Some(saved) => {
                let open = store.read(|reader| reader.open_executions(identity.id))?;
                Pairing::restore(identity.id, saved, open).unwrap_or_else(|error| {
                    tracing::warn!(server = %identity.name, error = %error, "executions that waited for their other half stay as they are");
                    Pairing::new(identity.id)
                })
            }
            None => Pairing::new(identity.id),
        };
        let pairing = pairing.with_config(config.execution.clone());
        let known = store.generations(identity.id)?;
        let tail = ServerTail::open(
            identity.id,
            server.paths.clone(),
            mode,
            known,
            detect::format,
            &config.tail,
        );
        let tail = match server.format {
            Some(format) => tail.with_format(format),
            None => tail,
        };
        Ok(Self {
            layouts: Layouts::new(server, state.log_line_prefix)?,
            server: identity,
            accounting: Accounting::default(),
            store: store.clone(),
            claim,
            config: config.clone(),
            mode,
            sampling: server.sampling,
            tail,
            assemblers: HashMap::new(),
            committed: pairing.clone(),
            pairing,
            pending: HashMap::new(),
            unexplained: None,
            unread_is_known: false,
            last: None,
        })
    }

    /// Looks at the directories again: new files, rotations, truncations. Where files live on, what was found of them is stored at once, so that one that
    /// vanishes before its first commit leaves a gap. Gives the paths that could not be read.
    pub fn scan(&mut self) -> Result<Vec<(PathBuf, io::Error)>, Error> {
        let scan = self.tail.scan();
        if self.mode == Mode::Follow {
            for found in scan.new.iter().chain(&scan.moved) {
                self.store.note_generation(self.claim.number(), found)?;
            }
        }
        Ok(scan.unreadable)
    }

    /// Directories whose changes matter.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.tail.directories()
    }

    /// Reads and commits the next stretch of log. `now` bounds the times that records may claim. While nothing tells how the log is written, that is an
    /// error once everything has been looked at.
    pub fn turn(&mut self, now: Timestamp) -> Result<Turn, Error> {
        let Some(chunk) = self.tail.next_chunk() else {
            self.preview(now)?;
            return match &self.unexplained {
                Some(unexplained) => Err(layout::Error::from(unexplained.clone()).into()),
                None => Ok(Turn::CaughtUp),
            };
        };
        self.take(&chunk, now)
            .inspect_err(|_| self.forget(chunk.generation))?;
        Ok(Turn::Committed)
    }

    /// The log is complete as it is: closes everything that waits for another half. For finished logs only.
    pub fn finish(&mut self) -> Result<(), Error> {
        let mut events = Events::default();
        self.pairing.finish(&mut events);
        match self.last.clone() {
            Some(row) => self.commit(row.offset_bytes, row, events, Extent::default()),
            None => Ok(()),
        }
    }

    /// How the server's log is written, as far as it has been read.
    pub fn log_layout(&self) -> LogLayout {
        self.layouts.log_layout()
    }

    /// Bytes that were seen and not read yet.
    pub fn unread_bytes(&self) -> u64 {
        self.tail.unread_bytes()
    }
}

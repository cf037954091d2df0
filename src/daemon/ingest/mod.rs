//! One server's way from its log files into the store: read, assemble, pair, analyse, commit.
//!
//! A batch is what one stretch of one generation gave. It is committed in one transaction with the position that it brings us to, the
//! state of the pairing among it; if that fails nothing has happened, and the same bytes are read again. `chunk` takes the stretches,
//! `last_record` those records that nothing has followed yet, `commit` stores.

mod bounds;
mod chunk;
mod commit;
mod last_record;
mod opened;
mod prefix;
mod retold;
mod told;

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
};

use jiff::Timestamp;

use self::{bounds::Bounds, last_record::Pending, prefix::Unread, retold::Retold};
pub(super) use self::{opened::Opened, told::Told};
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
    tail::{self, Mode, Scan, ServerTail},
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
    #[error("a log that was cut can't be read: {source}")]
    Reread {
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The store's error, where it is one.
    pub(super) fn of_store(&self) -> Option<&store::Error> {
        match self {
            Self::Store(error) | Self::Layout(layout::Error::Store(error)) => Some(error),
            Self::Tail(_) | Self::Layout(_) | Self::Reread { .. } => None,
        }
    }
}

/// What a turn of the loop did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A batch was committed, or looked at and found in the store; more may be there.
    Committed,
    /// Everything that was there has been read.
    CaughtUp,
}

/// The ingest of one server.
pub struct ServerIngest {
    pub server: Server,
    /// What this ingest took in.
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
    /// Generations that were found, or found elsewhere, and not noted in the store yet.
    unnoted: HashSet<GenerationId>,
    /// Last records that wait for their continuation.
    pending: HashMap<GenerationId, Pending>,
    /// Why a file was set aside, while no file has told how the log is written.
    unexplained: Option<Unexplained>,
    /// Lines that nobody can read, in a row.
    unread: Option<Unread>,
    /// Whether it has been said that most of a batch couldn't be read.
    unread_is_known: bool,
    /// The row of the newest commit.
    last: Option<Generation>,
    /// How many batches were committed.
    commits: u64,
    /// While watched formats are read to where they are, because a better one speaks again: from when on, where that can be told.
    speaks_again: Option<Option<Timestamp>>,
    /// How far to read, where that isn't to the end.
    bounds: Bounds,
    /// Generations that may begin with what the store has.
    retold: HashMap<GenerationId, Retold>,
}

/// A server's log files, of which nothing is known yet.
pub(super) fn tail_of(server: &ServerConfig, mode: Mode, config: &Config) -> ServerTail {
    let tail = ServerTail::open(
        Server::named(&server.name).id,
        server.paths.clone(),
        mode,
        Vec::new(),
        detect::format,
        &config.tail,
    );
    match server.format {
        Some(format) => tail.with_format(format),
        None => tail,
    }
}

impl ServerIngest {
    /// Opens a server's logs where the store left them.
    pub fn open(
        store: &Store,
        server: &ServerConfig,
        mode: Mode,
        config: &Config,
    ) -> Result<Self, Error> {
        let opened = Opened::load(store, server, config)?;
        let tail = tail_of(server, mode, config);
        Ok(Self::resume(store, opened, tail, server, mode, config))
    }

    /// Goes on where the store stands, with whatever files `tail` holds open.
    pub(super) fn resume(
        store: &Store,
        opened: Opened,
        mut tail: ServerTail,
        server: &ServerConfig,
        mode: Mode,
        config: &Config,
    ) -> Self {
        tail.reload(opened.known);
        Self {
            layouts: opened.layouts,
            server: Server::named(&server.name),
            accounting: Accounting::default(),
            store: match mode {
                Mode::Follow => store.impatient(),
                Mode::Finite => store.clone(),
            },
            claim: opened.claim,
            config: config.clone(),
            mode,
            sampling: server.sampling,
            tail,
            assemblers: HashMap::new(),
            committed: opened.pairing.clone(),
            pairing: opened.pairing,
            unnoted: HashSet::new(),
            pending: HashMap::new(),
            unexplained: None,
            unread: None,
            unread_is_known: false,
            last: None,
            bounds: Bounds::default(),
            retold: opened.retold,
            commits: 0,
            speaks_again: None,
        }
    }

    /// Gives the claim back and keeps the open files.
    pub(super) fn into_tail(self) -> ServerTail {
        self.tail
    }

    /// Looks at the directories again: new files, rotations, truncations. Needs no store.
    pub fn scan(&mut self) -> Scan {
        let scan = self.tail.scan();
        for retelling in &scan.retellings {
            let retold = Retold::of(retelling.of, retelling.until_bytes);
            self.retold.insert(retelling.generation, retold);
        }
        let found = scan.new.iter().chain(&scan.moved);
        // The rest of a file that was cut doesn't begin at 0, which is where a batch may begin a generation.
        let found = found.filter(|row| {
            let is_retold = self.retold.contains_key(&row.id);
            self.mode == Mode::Follow || row.offset_bytes > 0 || is_retold
        });
        self.unnoted.extend(found.map(|row| row.id));
        scan
    }

    /// Stores what was found of files that live on before anything is read of them, so that one that vanishes before its first commit leaves a gap.
    /// Whether that is done.
    fn note(&mut self, now: Timestamp) -> Result<bool, Error> {
        while let Some(generation) = self.unnoted.iter().next().copied() {
            // Before its position is in the store: a kill in between would leave it where it begins to tell again.
            if !self.skip_retold(generation, now)? {
                return Ok(false);
            }
            let committed_bytes = self.tail.committed_bytes(generation)?;
            let row = self.tail.checkpoint(generation, committed_bytes)?;
            self.store.note_generation(self.claim.number(), &row)?;
            self.unnoted.remove(&generation);
        }
        Ok(true)
    }

    /// How many batches were committed.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// Directories whose changes matter.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.tail.directories()
    }

    /// Reads and commits the next stretch of log. `now` bounds the times that records may claim. While nothing tells how the log is written, that is an
    /// error once everything has been looked at.
    pub fn turn(&mut self, now: Timestamp) -> Result<Turn, Error> {
        if !self.note(now)? {
            return Ok(Turn::Committed);
        }
        self.follow_watched(now)?;
        let Some(chunk) = self.next_chunk()? else {
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

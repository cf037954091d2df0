//! One server's way from its log files into the store: read, assemble, pair, analyse, commit.
//!
//! A batch is what one stretch of one generation gave. It is committed in one transaction with the position that it brings us to, the
//! state of the pairing among it; if that fails nothing has happened, and the same bytes are read again.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    batch::{Extent, clamp_time, judge},
    layout::{self, Layouts, Unexplained},
};
use crate::{
    analysis,
    execution::{self, Events, Pairing},
    model::{
        accounting::Accounting,
        breach::QueryHistory,
        position::{Generation, GenerationId, LogFormat, Server},
        sampling::Sampling,
    },
    record::{self, Assembler, detect},
    store::{self, Batch, IngestClaim, Store},
    tail::{self, Chunk, Mode, ServerTail},
};

/// Silence after which the last record of a file is stored as far as it has come.
const PREVIEW_AFTER: Duration = Duration::from_millis(50);

/// The same where more than [`FEW_RECORDS`] wait, as behind syslog on a busy server: each preview reads all of them again.
const PREVIEW_MANY_AFTER: Duration = Duration::from_secs(1);

const FEW_RECORDS: usize = 16;

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
    _claim: IngestClaim,
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

/// A generation's last record: where it begins, since when nothing has come, and whether it was stored as it is.
#[derive(Debug, Clone, Copy)]
struct Pending {
    settled_bytes: u64,
    since: Instant,
    preview_after: Duration,
    stored: bool,
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
        store.ensure_server(&identity)?;
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
            _claim: claim,
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
                self.store.note_generation(found)?;
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

    /// Names of the formats that were read.
    pub fn formats(&self) -> &BTreeSet<String> {
        &self.layouts.formats
    }

    /// Bytes that were seen and not read yet.
    pub fn unread_bytes(&self) -> u64 {
        self.tail.unread_bytes()
    }

    /// When the loop has to come back although nothing rang: a last record waits to be stored.
    pub fn wake_in(&self) -> Option<Duration> {
        let waiting = self.pending.values().filter(|pending| !pending.stored);
        waiting
            .map(|pending| {
                pending
                    .preview_after
                    .saturating_sub(pending.since.elapsed())
            })
            .min()
    }

    fn take(&mut self, chunk: &Chunk, now: Timestamp) -> Result<(), Error> {
        if chunk.first {
            self.assemblers.remove(&chunk.generation);
            self.close_others(chunk.generation, now)?;
        }
        let assembler = match self.assemblers.entry(chunk.generation) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let file = self
                    .tail
                    .checkpoint(chunk.generation, chunk.start_bytes)?
                    .file;
                let layout = self
                    .layouts
                    .of(chunk, &file, self.mode, &self.store, &self.server);
                let layout = match layout {
                    Ok(layout) => layout,
                    Err(layout::Error::Unexplained(unexplained)) => {
                        self.tail.set_aside(chunk.generation);
                        // A line that is still being written tells nothing yet.
                        if self.mode == Mode::Finite || chunk.bytes.contains(&b'\n') {
                            self.unexplained.get_or_insert(unexplained);
                        }
                        return Ok(());
                    }
                    Err(error) => return Err(error.into()),
                };
                if self.layouts.is_proven() {
                    self.unexplained = None;
                    self.tail.take_back();
                }
                self.tail
                    .found_format(chunk.generation, self.layouts.format_of(chunk));
                entry.insert(Assembler::new(
                    layout,
                    chunk.generation,
                    chunk.start_bytes,
                    &self.config.record,
                ))
            }
        };
        let from_bytes = self.tail.committed_bytes(chunk.generation)?;
        let mut events = Events::default();
        let mut extent = Extent {
            gaps: chunk.gaps.clone(),
            ..Extent::default()
        };
        let pairing = &mut self.pairing;
        let mut sink = |assembled| extent.take(assembled, now, pairing, &mut events);
        assembler.push(&chunk.bytes, now, &mut sink);
        if chunk.end_of_generation {
            assembler.finish(&mut sink);
        }
        let is_unread = extent.unparsed > 0 || assembler.ends_unparsed();
        if is_unread && self.layouts.amend(chunk, &self.store, &self.server)? {
            let begun: Vec<_> = self.assemblers.keys().copied().collect();
            begun.into_iter().for_each(|begun| self.forget(begun));
            return Ok(());
        }
        let settled_bytes = assembler.settled_bytes();
        if chunk.end_of_generation {
            self.assemblers.remove(&chunk.generation);
            self.pending.remove(&chunk.generation);
        } else {
            let pending = Pending {
                settled_bytes,
                since: Instant::now(),
                preview_after: match assembler.pending_count() <= FEW_RECORDS {
                    true => PREVIEW_AFTER,
                    false => PREVIEW_MANY_AFTER,
                },
                stored: false,
            };
            self.pending.insert(chunk.generation, pending);
        }
        if settled_bytes == from_bytes && chunk.gaps.is_empty() && !chunk.end_of_generation {
            return Ok(());
        }
        extent.withdrawn = self.pairing.take_provisional(chunk.generation);
        self.pairing.end_batch(&mut events);
        let row = self.tail.checkpoint(chunk.generation, settled_bytes)?;
        self.commit(from_bytes, row, events, extent)
    }

    /// Takes the last records of other files as they are, because `generation` goes on with the log: a rotation may part a plan from its statement.
    fn close_others(&mut self, generation: GenerationId, now: Timestamp) -> Result<(), Error> {
        let others: Vec<_> = self
            .assemblers
            .iter()
            .filter(|(other, assembler)| **other != generation && !assembler.pending().is_empty())
            .map(|(other, _)| *other)
            .collect();
        for other in others {
            self.close_record(other, now)
                .inspect_err(|_| self.forget(other))?;
        }
        Ok(())
    }

    fn close_record(&mut self, generation: GenerationId, now: Timestamp) -> Result<(), Error> {
        let Some(assembler) = self.assemblers.get_mut(&generation) else {
            return Ok(());
        };
        let mut events = Events::default();
        let mut extent = Extent::default();
        let pairing = &mut self.pairing;
        assembler.finish(&mut |assembled| extent.take(assembled, now, pairing, &mut events));
        let settled_bytes = assembler.settled_bytes();
        self.pending.remove(&generation);
        extent.withdrawn = self.pairing.take_provisional(generation);
        self.pairing.end_batch(&mut events);
        let from_bytes = self.tail.committed_bytes(generation)?;
        let row = self.tail.checkpoint(generation, settled_bytes)?;
        self.commit(from_bytes, row, events, extent)
    }

    /// Stores the last records of files that have fallen silent as far as they have come, so that they can be seen; their bytes stay uncommitted.
    fn preview(&mut self, now: Timestamp) -> Result<(), Error> {
        let due: Vec<_> = self
            .pending
            .iter_mut()
            .filter(|(_, pending)| {
                !pending.stored && pending.since.elapsed() >= pending.preview_after
            })
            .map(|(generation, pending)| {
                pending.stored = true;
                (*generation, pending.settled_bytes)
            })
            .collect();
        for (generation, settled_bytes) in due {
            let mut records = self
                .assemblers
                .get(&generation)
                .map(Assembler::pending)
                .unwrap_or_default();
            if records.is_empty() {
                continue;
            }
            let mut extent = Extent {
                withdrawn: self.pairing.take_provisional(generation),
                ..Extent::default()
            };
            for record in &mut records {
                clamp_time(record, now);
                extent.add(record.log_time);
            }
            let mut events = self.pairing.preview(generation, &records);
            events.accounting = Accounting::default();
            let row = self.tail.checkpoint(generation, settled_bytes)?;
            self.commit(settled_bytes, row, events, extent)
                .inspect_err(|_| self.forget(generation))?;
        }
        Ok(())
    }

    /// One transaction: rows, counts, pairing state, and the position that `row` holds.
    fn commit(
        &mut self,
        from_bytes: u64,
        row: Generation,
        mut events: Events,
        extent: Extent,
    ) -> Result<(), Error> {
        if let Some(sampling) = &self.sampling {
            for execution in &mut events.executions {
                execution.weight = Some(sampling.weight(execution));
            }
        }
        let (analyses, recommendations) = judge(&events, &self.config.analysis);
        let mut accounting = events.accounting;
        accounting.unparsed += extent.unparsed;
        accounting.torn += extent.torn;
        accounting.foreign += extent.foreign;
        accounting.gaps += extent.gaps.len() as u64;
        accounting.bytes += row.offset_bytes.saturating_sub(from_bytes);
        let batch = Batch {
            server: self.server.id,
            generation: row,
            from_bytes,
            executions: events.executions,
            plans: events.plans,
            analyses,
            recommendations,
            incidents: events.incidents,
            incident_executions: events.incident_executions,
            withdrawn: extent.withdrawn,
            gaps: extent.gaps,
            accounting,
            pairing: self.pairing.save(),
            newest: extent.newest,
            oldest: extent.oldest,
            slow_threshold_ms: self.config.analysis.slow_threshold_ms,
            max_queries: self.config.max_queries,
            enqueue_advice: self.config.advise,
        };
        let policy =
            |history: &QueryHistory| analysis::policy::breaches(history, &self.config.analysis);
        let ingested = self.store.ingest(&batch, &policy)?;
        for gap in &batch.gaps {
            let path = batch.generation.file.path.display();
            tracing::warn!(server = %self.server.name, path = %path, from_bytes = gap.from_bytes, reason = ?gap.reason, "log bytes are lost");
        }
        let (records, unparsed) = (batch.accounting.records_total, batch.accounting.unparsed);
        if unparsed > records && !self.unread_is_known {
            self.unread_is_known = true;
            tracing::warn!(
                server = %self.server.name, path = %batch.generation.file.path.display(), records, unparsed,
                "more lines than records can't be read: has log_line_prefix been changed? plantail check tells"
            );
        }
        self.accounting.merge(&batch.accounting);
        self.accounting.queries = (self.accounting.queries + ingested.new_queries)
            .saturating_sub(ingested.withdrawn_queries);
        self.tail.committed(batch.generation.clone());
        self.last = Some(batch.generation);
        self.committed = self.pairing.clone();
        Ok(())
    }

    /// Goes back to what the store holds: the next turn reads the same bytes again.
    fn forget(&mut self, generation: GenerationId) {
        self.pairing = self.committed.clone();
        self.assemblers.remove(&generation);
        self.tail.rewind(generation);
        self.pending.remove(&generation);
    }
}

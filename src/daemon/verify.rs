//! Holds the store against the logs that still exist: reads them again, as far as the store has read them, and compares.
//!
//! A server's logs and its store come in, what they differ in goes out; neither is changed. The logs are taken in by the stages that took them in
//! before, into a store of their own that is thrown away, because only a store holds any number of executions in constant memory; then both stores
//! are walked in the same order. What can't be told: an execution whose first half lies in a file that is gone is read without that half.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Error,
    ingest::{self, ServerConfig, ServerIngest, Turn},
};
use crate::{
    model::{
        accounting::Accounting,
        execution::ExecutionId,
        position::{Generation, GenerationId, Server, ServerId},
        stable_id,
    },
    record::detect,
    store::{self, ExecutionMark, Store, StoreUrl},
    tail::{self, Mode, ServerTail},
};

/// How many executions of each store are in memory.
const PAGE: u32 = 4096;

/// One server's logs against its store.
#[derive(Debug)]
pub struct VerifiedServer {
    pub server: Server,
    /// By path.
    pub generations: Vec<VerifiedGeneration>,
    /// What is counted for the whole server. `None` where a file of it is gone or has not been found.
    pub counts: Option<VerifiedCounts>,
}

/// Counts of the log and of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedCounts {
    pub records: (u64, u64),
    pub bytes: (u64, u64),
    pub duration_events: (u64, u64),
}

/// One generation, as far as the store has read it.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedGeneration {
    pub path: PathBuf,
    pub id: GenerationId,
    /// The store has read this content. Where it hasn't, everything in it is missing.
    pub is_stored: bool,
    /// The generation that was read under this path and isn't in it any more.
    pub replaces: Option<GenerationId>,
    /// How far the store has read it, and how far the log can be read up to there.
    pub stored_bytes: u64,
    pub log_bytes: u64,
    /// Executions in each that can be compared.
    pub in_log: Sums,
    pub in_store: Sums,
    /// Executions of the log that the store hasn't, and of the store that the log hasn't.
    pub missing: u64,
    pub surplus: u64,
    /// Executions that both have and that differ in duration, number of plans or failure.
    pub different: u64,
    /// Executions of the log that retention has removed.
    pub removed: u64,
    /// Executions whose other half may still come: not compared.
    pub open: u64,
}

/// Executions in any order: how many, their durations, and a sum of hashes that tells whether they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    pub executions: u64,
    pub total_ms: f64,
    pub checksum: u64,
}

impl VerifiedServer {
    pub fn differs(&self) -> bool {
        let differ = |(log, store): (u64, u64)| log != store;
        self.generations.iter().any(VerifiedGeneration::differs)
            || self.counts.is_some_and(|counts| {
                differ(counts.records) || differ(counts.bytes) || differ(counts.duration_events)
            })
    }
}

impl VerifiedGeneration {
    pub fn differs(&self) -> bool {
        !self.is_stored
            || self.stored_bytes != self.log_bytes
            || self.missing + self.surplus + self.different > 0
            || self.in_log.checksum != self.in_store.checksum
    }
}

impl Sums {
    fn add(&mut self, mark: &ExecutionMark) {
        let started_at = match mark.time_assumed {
            true => 0,
            false => mark.started_at.as_microsecond(),
        };
        let duration = mark.duration_ms.map_or(u64::MAX, f64::to_bits);
        let hash = stable_id(&[
            &mark.id.0.to_le_bytes(),
            &started_at.to_le_bytes(),
            &duration.to_le_bytes(),
            &mark.plan_count.to_le_bytes(),
            &[u8::from(mark.failed)],
        ]);
        self.executions += 1;
        self.total_ms += mark.duration_ms.unwrap_or_default();
        self.checksum = self.checksum.wrapping_add(hash.cast_unsigned());
    }
}

/// Reads the logs of `server` again and compares. `url` is where `store` is.
///
/// # Errors
///
/// A log that can't be read, and [`Error::Scratch`] where there is no room for the second reading.
pub fn verify(
    store: &Store,
    url: &StoreUrl,
    server: &ServerConfig,
    config: &ingest::Config,
    executions_days: u32,
) -> Result<VerifiedServer, Error> {
    let identity = Server::named(&server.name);
    let known = store.generations(identity.id)?;
    let state = store.server_state(identity.id)?;
    let found = found(&known, server, identity.id, config)?;
    let scratch = Scratch::make(url)?;
    let second = scratch.store()?;
    let claim = second.claim_ingest(&identity)?;
    if let Some(prefix) = &state.log_line_prefix {
        second.set_log_line_prefix(identity.id, prefix)?;
    }
    let mut until_bytes = HashMap::new();
    for row in &found {
        second.note_generation(claim.number(), &tail::unread(row))?;
        until_bytes.insert(row.id, row.offset_bytes);
    }
    drop(claim);
    let accounting = read_again(&second, server, config, until_bytes)?;
    let mut generations: BTreeMap<GenerationId, VerifiedGeneration> = second
        .generations(identity.id)?
        .iter()
        .map(|read| (read.id, unverified(read, &found, &known)))
        .collect();
    let removed_before = state.last_seen.and_then(|newest| {
        newest
            .checked_sub(SignedDuration::from_hours(24 * i64::from(executions_days)))
            .ok()
    });
    compare(
        &mut Walk::new(&second, identity.id),
        &mut Walk::new(store, identity.id),
        removed_before,
        &mut generations,
    )?;
    let mut generations: Vec<VerifiedGeneration> = generations.into_values().collect();
    generations.sort_by(|a, b| a.path.cmp(&b.path));
    let is_complete = known.len() == generations.len()
        && generations.iter().all(|generation| {
            generation.is_stored && generation.stored_bytes == generation.log_bytes
        });
    let stored = store
        .read(|reader| reader.accounting())?
        .remove(&identity.id);
    let counts = stored.filter(|_| is_complete).map(|stored| VerifiedCounts {
        records: (accounting.records_total, stored.records_total),
        bytes: (accounting.bytes, stored.bytes),
        duration_events: (accounting.durations.count, stored.durations.count),
    });
    Ok(VerifiedServer {
        server: identity,
        generations,
        counts,
    })
}

/// The generations of the store that are in the files: recognised by head and anchor, as always.
fn found(
    known: &[Generation],
    server: &ServerConfig,
    id: ServerId,
    config: &ingest::Config,
) -> Result<Vec<Generation>, Error> {
    let stored: HashSet<GenerationId> = known.iter().map(|row| row.id).collect();
    let tail = ServerTail::open(
        id,
        server.paths.clone(),
        Mode::Finite,
        known.to_vec(),
        detect::format,
        &config.tail,
    );
    let mut tail = match server.format {
        Some(format) => tail.with_format(format),
        None => tail,
    };
    let scan = tail.scan();
    refuse_unreadable(scan.unreadable)?;
    let found = tail.found();
    Ok(found
        .into_iter()
        .filter(|row| stored.contains(&row.id))
        .collect())
}

fn refuse_unreadable(unreadable: Vec<(PathBuf, io::Error)>) -> Result<(), Error> {
    match unreadable.into_iter().next() {
        Some((path, source)) => {
            Err(ingest::Error::from(tail::Error::Unreadable { path, source }).into())
        }
        None => Ok(()),
    }
}

/// Takes the logs in as far as they were taken in before.
fn read_again(
    second: &Store,
    server: &ServerConfig,
    config: &ingest::Config,
    until_bytes: HashMap<GenerationId, u64>,
) -> Result<Accounting, Error> {
    let config = ingest::Config {
        advise: false,
        ..config.clone()
    };
    let mut ingest = ServerIngest::open(second, server, Mode::Finite, &config)?;
    ingest.read_until(until_bytes);
    loop {
        refuse_unreadable(ingest.scan().unreadable)?;
        let mut has_read = false;
        while ingest.turn(Timestamp::now())? == Turn::Committed {
            has_read = true;
        }
        if !has_read {
            break;
        }
    }
    ingest.finish()?;
    Ok(ingest.accounting)
}

/// What the second reading has of a generation, before its executions are compared.
fn unverified(read: &Generation, found: &[Generation], known: &[Generation]) -> VerifiedGeneration {
    let stored = found.iter().find(|row| row.id == read.id);
    let replaced = known.iter().find(|row| {
        row.file.path == read.file.path && found.iter().all(|found| found.id != row.id)
    });
    VerifiedGeneration {
        path: read.file.path.clone(),
        id: read.id,
        is_stored: stored.is_some(),
        replaces: replaced.map(|row| row.id),
        stored_bytes: stored.map_or(0, |row| row.offset_bytes),
        log_bytes: read.offset_bytes,
        in_log: Sums::default(),
        in_store: Sums::default(),
        missing: 0,
        surplus: 0,
        different: 0,
        removed: 0,
        open: 0,
    }
}

/// Walks both stores, which give their executions in the same order.
fn compare(
    log: &mut Walk<'_>,
    stored: &mut Walk<'_>,
    removed_before: Option<Timestamp>,
    generations: &mut BTreeMap<GenerationId, VerifiedGeneration>,
) -> Result<(), Error> {
    loop {
        let (in_log, in_store) = (log.peek()?, stored.peek()?);
        let order = match (&in_log, &in_store) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => (a.started_at, a.id).cmp(&(b.started_at, b.id)),
        };
        let in_log = in_log.filter(|_| order.is_le());
        let in_store = in_store.filter(|_| order.is_ge());
        log.skip(in_log.is_some());
        stored.skip(in_store.is_some());
        let Some(mark) = in_log.or(in_store) else {
            break;
        };
        let Some(generation) = generations.get_mut(&mark.position.generation) else {
            continue;
        };
        let is_beyond =
            generation.is_stored && mark.position.offset_bytes >= generation.stored_bytes;
        if is_beyond {
            continue;
        }
        generation.take(in_log, in_store, removed_before);
    }
    for generation in generations.values_mut() {
        generation.count_unmatched();
    }
    Ok(())
}

impl VerifiedGeneration {
    /// One execution, as the log has it and as the store has it.
    fn take(
        &mut self,
        in_log: Option<ExecutionMark>,
        in_store: Option<ExecutionMark>,
        removed_before: Option<Timestamp>,
    ) {
        match (in_log, in_store) {
            (_, Some(stored)) if stored.open => self.open += 1,
            (Some(log), Some(stored)) => {
                self.in_log.add(&log);
                self.in_store.add(&stored);
                let same = log.duration_ms == stored.duration_ms
                    && log.plan_count == stored.plan_count
                    && log.failed == stored.failed;
                self.different += u64::from(!same);
            }
            (Some(log), None) if Some(log.started_at) < removed_before => self.removed += 1,
            (Some(log), None) => {
                self.in_log.add(&log);
                self.missing += u64::from(!log.time_assumed);
            }
            (None, Some(stored)) => {
                self.in_store.add(&stored);
                self.surplus += u64::from(!stored.time_assumed);
            }
            (None, None) => {}
        }
    }

    /// Executions of a log without times have other times in each reading, and are not found beside each other: their number tells.
    fn count_unmatched(&mut self) {
        let in_log = self.in_log.executions + self.surplus;
        let in_store = self.in_store.executions + self.missing;
        self.missing += in_log.saturating_sub(in_store);
        self.surplus += in_store.saturating_sub(in_log);
    }
}

/// The executions of one server in one store, oldest first, a page at a time.
struct Walk<'a> {
    store: &'a Store,
    server: ServerId,
    page: VecDeque<ExecutionMark>,
    after: Option<(Timestamp, ExecutionId)>,
    is_over: bool,
}

impl<'a> Walk<'a> {
    fn new(store: &'a Store, server: ServerId) -> Self {
        Self {
            store,
            server,
            page: VecDeque::new(),
            after: None,
            is_over: false,
        }
    }

    fn peek(&mut self) -> Result<Option<ExecutionMark>, store::Error> {
        if self.page.is_empty() && !self.is_over {
            let page = self
                .store
                .read(|reader| reader.execution_marks(self.server, self.after, PAGE))?;
            self.after = page.last().map(|mark| (mark.started_at, mark.id));
            self.is_over = page.is_empty();
            self.page = page.into();
        }
        Ok(self.page.front().copied())
    }

    fn skip(&mut self, one: bool) {
        if one {
            self.page.pop_front();
        }
    }
}

/// The folder in it that the store is in: opening a store locks its folder.
const SECOND: &str = "second";

/// A folder for the second reading, beside the store; gone when this is dropped. One that was killed is cleared by the next. Where the store is no
/// file it is one of its own among the temporary files.
struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    fn make(url: &StoreUrl) -> Result<Self, Error> {
        let beside = url.directory();
        let folder = match beside {
            Some(beside) => beside.join(".plantail-verify"),
            // Everybody may write there: a name that nobody has made ready, and an error if somebody has.
            None => std::env::temp_dir().join(format!(
                ".plantail-verify-{}-{}",
                std::process::id(),
                Timestamp::now().as_nanosecond()
            )),
        };
        let failed = |source| Error::Scratch {
            path: folder.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(beside.is_some())
            .mode(0o700)
            .create(&folder)
            .map_err(failed)?;
        let lock = File::open(&folder).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        match fs::remove_dir_all(folder.join(SECOND)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    fn store(&self) -> Result<Store, store::Error> {
        let path = self.folder.join(SECOND).join("plantail.db");
        Store::open(&StoreUrl::sqlite(&path).into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(path = %self.folder.display(), error = %error, "can't be removed");
        }
    }
}

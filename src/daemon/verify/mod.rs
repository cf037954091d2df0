//! Holds the store against the logs that still exist: reads them again, as far as the store has read them, and compares.
//!
//! A server's logs and its store come in, what they differ in goes out; neither is changed. The logs are taken in by the stages that took them in
//! before, into a store of their own that is thrown away, because only a store holds any number of executions in constant memory; then both stores
//! are walked in the same order. What can't be told: an execution whose first half lies in a file that is gone is read without that half.

mod compare;
mod reading;
mod scratch;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Range,
    path::PathBuf,
};

use jiff::SignedDuration;

use self::{
    reading::{read_again, read_now},
    scratch::Scratch,
    walk::{Walk, extents},
};
use super::{
    Error,
    ingest::{self, ServerConfig},
};
use crate::{
    model::position::{Generation, GenerationId, LogFormat, Server},
    store::{Store, StoreUrl},
    tail,
};

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
    /// Bytes that can't be read of which the store doesn't say so, and the other way round.
    pub gaps_missing: u64,
    pub gaps_surplus: u64,
    /// What is in it has been read from a file of another format: nothing of it is compared.
    pub is_watched: bool,
    /// Where executions begin that are compared.
    compared: Range<u64>,
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
        let differs = !self.is_stored
            || self.stored_bytes != self.log_bytes
            || self.missing + self.surplus + self.different > 0
            || self.gaps_missing + self.gaps_surplus > 0
            || self.in_log.checksum != self.in_store.checksum;
        differs && !self.is_watched
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
    let mut found = read_now(&known, server, identity.id, config)?;
    let others = other_formats(&known, &found, server);
    let mut aside = HashSet::new();
    for other in &others {
        let rows = read_now(&known, other, identity.id, config)?;
        aside.extend(rows.iter().map(|row| row.id));
        found.extend(rows);
    }
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
    // First what a better format would be taken to have told already.
    for other in &others {
        read_again(&second, other, config, until_bytes.clone())?;
    }
    let accounting = read_again(&second, server, config, until_bytes.clone())?;
    // A generation that lost its end in a power cut is in no file any more; the one that went on has its beginning too.
    let succeeds = |row: &Generation| {
        let is_gone = |old: &Generation| !until_bytes.contains_key(&old.id);
        known
            .iter()
            .any(|old| old.id != row.id && old.head == row.head && is_gone(old))
    };
    let extents = match aside.is_empty() && !found.iter().any(succeeds) {
        true => HashMap::new(),
        false => extents(store, identity.id)?,
    };
    let mut generations: BTreeMap<GenerationId, VerifiedGeneration> = BTreeMap::new();
    for read in second.generations(identity.id)? {
        let mut generation = unverified(&read, &found, &known);
        let extent = extents.get(&read.id);
        if succeeds(&read) {
            // What lies before was read as the generation that has lost its end.
            generation.compared.start = extent.map_or(generation.compared.end, |(first, _)| *first);
        }
        if aside.contains(&read.id) {
            // Before and after that another format told it; where this one told nothing, its position only followed.
            generation.is_watched = extent.is_none();
            generation.compared = extent.map_or(0..0, |(first, last)| *first..*last + 1);
        }
        generations.insert(read.id, generation);
    }
    let removed_before = state.last_seen.and_then(|newest| {
        newest
            .checked_sub(SignedDuration::from_hours(24 * i64::from(executions_days)))
            .ok()
    });
    compare::compare(
        &mut Walk::new(&second, identity.id),
        &mut Walk::new(store, identity.id),
        removed_before,
        &mut generations,
    )?;
    let gaps = |store: &Store| store.read(|reader| reader.gaps(identity.id));
    compare::compare_gaps(&gaps(&second)?, &gaps(store)?, &mut generations);
    let mut generations: Vec<VerifiedGeneration> = generations.into_values().collect();
    generations.sort_by(|a, b| a.path.cmp(&b.path));
    let is_complete = aside.is_empty()
        && known.len() == generations.len()
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

/// The server's logs in formats that are not read where a better one is there, as far as the store has read such: one configuration for each. Where the
/// server's `log_destination` was changed the store has read both, one after the other.
fn other_formats(
    known: &[Generation],
    found: &[Generation],
    server: &ServerConfig,
) -> Vec<ServerConfig> {
    let mut paths: Vec<(LogFormat, BTreeSet<PathBuf>)> = Vec::new();
    for row in known.iter().filter(|row| row.offset_bytes > 0) {
        let format = row.format.unwrapped();
        let is_read = found.iter().any(|found| found.format.unwrapped() == format);
        if is_read || server.format.is_some() || !row.file.path.exists() {
            continue;
        }
        let path = row.file.path.clone();
        match paths.iter_mut().find(|(other, _)| *other == format) {
            Some((_, paths)) => {
                paths.insert(path);
            }
            None => paths.push((format, BTreeSet::from([path]))),
        }
    }
    paths
        .into_iter()
        .map(|(_, paths)| ServerConfig {
            paths: paths.into_iter().collect(),
            ..server.clone()
        })
        .collect()
}

/// What the second reading has of a generation, before its executions are compared.
fn unverified(read: &Generation, found: &[Generation], known: &[Generation]) -> VerifiedGeneration {
    let stored = found.iter().find(|row| row.id == read.id);
    let replaced = known.iter().find(|row| {
        row.file.path == read.file.path && found.iter().all(|found| found.id != row.id)
    });
    let stored_bytes = stored.map_or(0, |row| row.offset_bytes);
    VerifiedGeneration {
        path: read.file.path.clone(),
        id: read.id,
        is_stored: stored.is_some(),
        replaces: replaced.map(|row| row.id),
        stored_bytes,
        log_bytes: read.offset_bytes,
        in_log: Sums::default(),
        in_store: Sums::default(),
        missing: 0,
        surplus: 0,
        different: 0,
        removed: 0,
        open: 0,
        gaps_missing: 0,
        gaps_surplus: 0,
        is_watched: false,
        compared: 0..stored_bytes,
    }
}

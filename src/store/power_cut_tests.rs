//! A power cut at any byte: copies of database and write-ahead log as a cut can leave them, opened again and gone on with.
//!
//! With `synchronous = NORMAL` the log is synced before its pages are copied into the database, and the database before the log is begun again. So a
//! cut leaves the database as it is and of the log what the disk has got of it: any part of it may be missing or torn. While pages are
//! copied it leaves the whole log and any mixture of old and new pages, torn ones too. What is opened then has to be the store after one of the
//! batches, and going on from the position that it names has to give the store that was never disturbed.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use diesel::{
    prelude::*,
    sql_types::{BigInt, Text},
};

use super::{
    Batch, Store, StoreUrl,
    fixture::{Fixture, analysis, batch, execution, finding, open, plan, slow},
    sql::Sql,
};
use crate::model::{
    finding::{Rule, Severity},
    position::{Server, ServerId},
};

/// As disks write it.
const SECTOR: usize = 512;
const BATCHES: u64 = 24;
/// After so many batches the log is copied into the database and begun again.
const CHECKPOINT_EVERY: u64 = 8;
const CUTS: u64 = 60;

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % (bound as u64).max(1)) as usize
    }
}

/// The files of a store at one moment.
#[derive(Clone)]
struct Image {
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Image {
    fn of(path: &Path) -> Self {
        Self {
            database: fs::read(path).unwrap(),
            log: fs::read(log_of(path)).unwrap_or_default(),
        }
    }

    fn put(&self, path: &Path) {
        fs::write(path, &self.database).unwrap();
        fs::write(log_of(path), &self.log).unwrap();
        // What readers and writers share is in memory, and gone.
        let _ = fs::remove_file(with_suffix(path, "-shm"));
    }
}

fn log_of(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// The batch of that number, with something of everything that a batch writes.
fn numbered(server: ServerId, number: u64) -> Batch {
    let mut batch = batch(server, number * 100, number * 100 + 100);
    batch.executions = (0..5)
        .map(|place| {
            let query = format!("select {} from t where a = $1", place % 3);
            let mut execution = execution(
                server,
                &query,
                number * 100 + place * 10,
                900.0 + place as f64 * 50.0,
            );
            execution.plan_count = 1;
            execution
        })
        .collect();
    for execution in &batch.executions {
        // Of several pages.
        let document = format!(
            "{{\"Plan\": \"{}\"}}",
            "abcdefgh".repeat(number as usize * 37 % 900)
        );
        batch.plans.push(plan(execution, 0, &document));
        let found = vec![finding(Rule::SeqScanFilter, Severity::Notice)];
        batch.analyses.push(analysis(execution, found));
    }
    batch.accounting.records_total = 5;
    batch.accounting.bytes = 100;
    batch.newest = batch
        .executions
        .last()
        .map(|execution| execution.started_at);
    batch.oldest = batch
        .executions
        .first()
        .map(|execution| execution.started_at);
    batch.pairing = number.to_le_bytes().to_vec();
    batch
}

fn go_on(store: &Store, server: ServerId, from: u64) {
    for number in from..BATCHES {
        store.ingest(&numbered(server, number), &slow).unwrap();
    }
}

/// Batches that the store holds, as its position says.
fn position(store: &Store, server: ServerId) -> u64 {
    let generations = store.generations(server).unwrap();
    generations.first().map_or(0, |row| row.offset_bytes / 100)
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn lines(store: &Store, sql: &str) -> Vec<String> {
    let mut reader = store.connections.reader().unwrap();
    let lines: Vec<Line> = Sql::new(sql, []).load(&mut reader).unwrap();
    lines.into_iter().map(|line| line.line).collect()
}

/// Every value of every table, but for what this machine's clock said.
fn content(store: &Store) -> Vec<String> {
    let tables = "SELECT name AS line FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '__diesel%' ORDER BY name";
    let mut all = Vec::new();
    for table in lines(store, tables) {
        let columns = format!(
            "SELECT 'quote(' || name || ')' AS line FROM pragma_table_info('{table}') \
             WHERE name NOT IN ('detected_at', 'created_us', 'run_after_us') ORDER BY cid"
        );
        let columns = lines(store, &columns).join(" || ',' || ");
        all.extend(lines(
            store,
            &format!("SELECT '{table}: ' || {columns} AS line FROM {table} ORDER BY line"),
        ));
    }
    all
}

fn integrity(store: &Store) -> Vec<String> {
    lines(
        store,
        "SELECT integrity_check AS line FROM pragma_integrity_check",
    )
}

/// What the disk has got of a log: cut at any byte, or of its whole length with sectors from some byte on that were not written.
fn torn(log: &[u8], random: &mut Random) -> Vec<u8> {
    let cut = random.below(log.len() + 1);
    if random.below(2) == 0 {
        return log[..cut].to_vec();
    }
    let mut torn = log.to_vec();
    for sector in torn.chunks_mut(SECTOR).skip(cut / SECTOR) {
        match random.below(3) {
            0 => sector.fill(0),
            1 => sector.fill(0xA5),
            _ => {}
        }
    }
    torn
}

/// A database into which part of the pages was copied.
fn half_copied(old: &[u8], new: &[u8], random: &mut Random) -> Vec<u8> {
    let mut half = old.to_vec();
    if random.below(2) == 0 {
        half.resize(new.len().max(old.len()), 0);
    }
    for (to, from) in half.chunks_mut(SECTOR).zip(new.chunks(SECTOR)) {
        if random.below(2) == 0 && to.len() == from.len() {
            to.copy_from_slice(from);
        }
    }
    half
}

#[test]
fn a_power_cut_at_any_byte_leaves_a_store_that_goes_on() {
    let fixture = Fixture::new();
    let server = fixture.server;
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut images = Vec::new();
    let mut states = vec![content(&fixture.store)];
    {
        let mut writer = fixture.store.connections.writer().unwrap();
        #[derive(QueryableByName)]
        struct Synchronous {
            #[diesel(sql_type = BigInt)]
            synchronous: i64,
        }
        let normal: Option<Synchronous> = Sql::new("PRAGMA synchronous", [])
            .first(&mut writer)
            .unwrap();
        assert_eq!(normal.unwrap().synchronous, 1, "what is modelled is NORMAL");
    }
    for number in 0..BATCHES {
        if number % CHECKPOINT_EVERY == 0 {
            let before = Image::of(fixture.path());
            checkpoint(&fixture.store);
            let after = Image::of(fixture.path());
            assert_eq!(after.log.len(), 0);
            for _ in 0..CUTS / 12 {
                let database = half_copied(&before.database, &after.database, &mut random);
                let log = before.log.clone();
                images.push((number, number, Image { database, log }));
            }
        }
        fixture.ingest(&numbered(server, number)).unwrap();
        states.push(content(&fixture.store));
        let whole = Image::of(fixture.path());
        let first = number / CHECKPOINT_EVERY * CHECKPOINT_EVERY;
        for _ in 0..CUTS.div_ceil(BATCHES) {
            let log = torn(&whole.log, &mut random);
            let database = whole.database.clone();
            images.push((first, number + 1, Image { database, log }));
        }
    }
    let undisturbed = states.last().unwrap();
    assert!(images.len() as u64 >= CUTS);
    let mut lost = 0;
    for (number, (first, last, image)) in images.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plantail.db");
        image.put(&path);
        let store = open(&StoreUrl::sqlite(&path)).unwrap();
        assert_eq!(integrity(&store), ["ok"], "cut {number}");
        let at = position(&store, server);
        assert!(
            (*first..=*last).contains(&at),
            "cut {number}: {first} {at} {last}"
        );
        assert_eq!(&content(&store), &states[at as usize], "cut {number}");
        lost += last - at;
        store.ensure_server(&Server::named("shop")).unwrap();
        go_on(&store, server, at);
        assert_eq!(&content(&store), undisturbed, "cut {number}");
        assert_eq!(integrity(&store), ["ok"], "cut {number}");
    }
    assert!(lost > CUTS, "the cuts have to cost commits: {lost}");
}

fn checkpoint(store: &Store) {
    #[derive(QueryableByName)]
    struct Checkpointed {
        #[diesel(sql_type = BigInt)]
        busy: i64,
    }
    let mut writer = store.connections.writer().unwrap();
    let done: Option<Checkpointed> = Sql::new("PRAGMA wal_checkpoint(TRUNCATE)", [])
        .first(&mut writer)
        .unwrap();
    assert_eq!(done.unwrap().busy, 0);
}

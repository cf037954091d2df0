//! Generations, how far each is stored, and the gaps in them.
//!
//! The position moves by compare-and-set in the transaction that stores the rows, so that of two that store the same bytes one fails.

use std::path::PathBuf;

use diesel::prelude::*;
use jiff::Timestamp;

use super::{
    Error, Store,
    backend::{Connection, each},
    claim::{self, ClaimNumber},
    column::{hash, hash_bytes, known, name_of, named, text},
    schema::{checkpoints, gaps, generations},
    sql::Sql,
};
use crate::failpoint;
use crate::model::position::{
    Anchor, Codec, FileHint, Gap, GapReason, Generation, GenerationId, GenerationState, Head,
    LogFormat, ServerId,
};

const CODECS: [(Codec, &str); 5] = [
    (Codec::Raw, "raw"),
    (Codec::Gzip, "gzip"),
    (Codec::Zstd, "zstd"),
    (Codec::Bzip2, "bzip2"),
    (Codec::Xz, "xz"),
];
const STATES: [(GenerationState, &str); 3] = [
    (GenerationState::Active, "active"),
    (GenerationState::Done, "done"),
    (GenerationState::Lost, "lost"),
];
pub(super) const REASONS: [(GapReason, &str); 4] = [
    (GapReason::Truncated, "truncated"),
    (GapReason::Deleted, "deleted"),
    (GapReason::Hole, "hole"),
    (GapReason::Corrupt, "corrupt"),
];

#[derive(Queryable, Insertable)]
#[diesel(table_name = generations)]
struct GenerationRow {
    server_id: i64,
    id: i64,
    path: String,
    device: i64,
    inode: i64,
    size_bytes: i64,
    modified_us: i64,
    format: String,
    codec: String,
    head_len_bytes: i64,
    head_hash: Vec<u8>,
    state: String,
}

#[derive(Queryable)]
struct CheckpointRow {
    offset_bytes: i64,
    anchor_hash: Vec<u8>,
    ladder: Vec<u8>,
}

impl Store {
    /// The server's generations with the positions up to which they are stored.
    pub fn generations(&self, id: ServerId) -> Result<Vec<Generation>, Error> {
        let stored = generations::table
            .inner_join(
                checkpoints::table.on(checkpoints::server_id
                    .eq(generations::server_id)
                    .and(checkpoints::generation_id.eq(generations::id))),
            )
            .filter(generations::server_id.eq(id.0))
            .order(generations::id)
            .select((
                generations::all_columns,
                (
                    checkpoints::offset_bytes,
                    checkpoints::anchor_hash,
                    checkpoints::ladder,
                ),
            ));
        let mut connection = self.connections.reader()?;
        let rows: Vec<(GenerationRow, CheckpointRow)> =
            each!(&mut *connection, c => stored.load(c))?;
        rows.into_iter().map(generation).collect()
    }

    /// The server's generations whose positions the store has lost, as by hand: each as if nothing of it had been read.
    pub fn generations_without_position(&self, id: ServerId) -> Result<Vec<Generation>, Error> {
        let lost = generations::table
            .left_join(
                checkpoints::table.on(checkpoints::server_id
                    .eq(generations::server_id)
                    .and(checkpoints::generation_id.eq(generations::id))),
            )
            .filter(generations::server_id.eq(id.0))
            .filter(checkpoints::generation_id.is_null())
            .order(generations::id)
            .select(generations::all_columns);
        let mut connection = self.connections.reader()?;
        let rows: Vec<GenerationRow> = each!(&mut *connection, c => lost.load(c))?;
        let unread = || CheckpointRow {
            offset_bytes: 0,
            anchor_hash: hash_bytes(0),
            ladder: Vec::new(),
        };
        rows.into_iter()
            .map(|row| generation((row, unread())))
            .collect()
    }

    /// Notes a generation that was found, or found under another name, without moving its position. One that isn't stored yet begins where `found`
    /// stands: what is before it belongs to the generation whose file lost its end. For the holder of the server's claim.
    pub fn note_generation(&self, claim: ClaimNumber, found: &Generation) -> Result<(), Error> {
        point("generation-found")?;
        let mut writer = self.connections.writer()?;
        writer.write_within(self.lock_wait, |connection| {
            claim::check(connection, found.server_id, claim)?;
            let at_bytes = found.offset_bytes;
            advance_or_begin(connection, found, at_bytes, at_bytes)
        })?;
        drop(writer);
        point("generation-noted")
    }
}

fn generation((row, checkpoint): (GenerationRow, CheckpointRow)) -> Result<Generation, Error> {
    let offset_bytes = checkpoint.offset_bytes.cast_unsigned();
    Ok(Generation {
        id: GenerationId(row.id),
        server_id: ServerId(row.server_id),
        file: FileHint {
            path: PathBuf::from(row.path),
            device: row.device.cast_unsigned(),
            inode: row.inode.cast_unsigned(),
            size_bytes: row.size_bytes.cast_unsigned(),
            modified_us: row.modified_us,
        },
        format: known(
            LogFormat::from_name(&row.format),
            "generations.format",
            &row.format,
        )?,
        codec: named(&CODECS, "generations.codec", &row.codec)?,
        head: Head {
            len_bytes: row.head_len_bytes.cast_unsigned(),
            hash: hash("generations.head_hash", &row.head_hash)?,
        },
        state: named(&STATES, "generations.state", &row.state)?,
        offset_bytes,
        anchor: Anchor {
            offset_bytes,
            hash: hash("checkpoints.anchor_hash", &checkpoint.anchor_hash)?,
        },
        ladder: ladder(&checkpoint.ladder)?,
    })
}

fn row(generation: &Generation) -> GenerationRow {
    let file = &generation.file;
    GenerationRow {
        server_id: generation.server_id.0,
        id: generation.id.0,
        path: text(&file.path.to_string_lossy()).into_owned(),
        device: file.device.cast_signed(),
        inode: file.inode.cast_signed(),
        size_bytes: file.size_bytes.cast_signed(),
        modified_us: file.modified_us,
        format: generation.format.as_str().to_owned(),
        codec: name_of(&CODECS, generation.codec).to_owned(),
        head_len_bytes: generation.head.len_bytes.cast_signed(),
        head_hash: hash_bytes(generation.head.hash),
        state: name_of(&STATES, generation.state).to_owned(),
    }
}

fn ladder_bytes(ladder: &[Anchor]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for anchor in ladder {
        bytes.extend(anchor.offset_bytes.to_be_bytes());
        bytes.extend(anchor.hash.to_be_bytes());
    }
    bytes
}

fn ladder(bytes: &[u8]) -> Result<Vec<Anchor>, Error> {
    let (anchors, rest) = bytes.as_chunks::<24>();
    known(
        rest.is_empty().then_some(()),
        "checkpoints.ladder",
        &format_args!("{} bytes", bytes.len()),
    )?;
    anchors
        .iter()
        .map(|anchor| {
            let (offset, hash_bytes) = anchor.split_at(8);
            let offset: [u8; 8] = offset.try_into().expect("24 = 8 + 16");
            Ok(Anchor {
                offset_bytes: u64::from_be_bytes(offset),
                hash: hash("checkpoints.ladder", hash_bytes)?,
            })
        })
        .collect()
}

/// Reaches a fail point of tests.
pub(super) fn point(name: &'static str) -> Result<(), Error> {
    failpoint::check(name)
        .map_err(|source| diesel::result::Error::QueryBuilderError(Box::new(source)).into())
}

/// Moves the position of `to` from `from_bytes` to where `to` says, together with everything else that is known of the generation.
/// A generation that isn't stored yet stands at 0.
pub(super) fn advance(
    connection: &mut Connection,
    to: &Generation,
    from_bytes: u64,
) -> Result<(), Error> {
    advance_or_begin(connection, to, from_bytes, 0)
}

fn advance_or_begin(
    connection: &mut Connection,
    to: &Generation,
    from_bytes: u64,
    begin_bytes: u64,
) -> Result<(), Error> {
    if !compare_and_set(connection, to, from_bytes)? {
        let key = (to.server_id.0, to.id.0);
        let stored = match position(connection, key)? {
            Some(stored) => stored,
            None => begin(connection, to, begin_bytes)?,
        };
        if stored.cast_unsigned() != from_bytes || !compare_and_set(connection, to, from_bytes)? {
            return Err(Error::Fenced {
                generation: to.id,
                expected_bytes: from_bytes,
                stored_bytes: stored.cast_unsigned(),
            });
        }
    }
    let row = row(to);
    Sql::new(
        "UPDATE generations \
         SET path = ?, device = ?, inode = ?, size_bytes = ?, modified_us = ?, format = ?, codec = ?, head_len_bytes = ?, head_hash = ?, \
             state = ? \
         WHERE server_id = ? AND id = ?",
        [
            row.path.into(),
            row.device.into(),
            row.inode.into(),
            row.size_bytes.into(),
            row.modified_us.into(),
            row.format.into(),
            row.codec.into(),
            row.head_len_bytes.into(),
            row.head_hash.into(),
            row.state.into(),
            row.server_id.into(),
            row.id.into(),
        ],
    )
    .execute(connection)?;
    Ok(())
}

/// Moves the position where it is stored and stands at `from_bytes`. The row stays locked until the end of the transaction.
fn compare_and_set(
    connection: &mut Connection,
    to: &Generation,
    from_bytes: u64,
) -> Result<bool, Error> {
    let moved = Sql::new(
        "UPDATE checkpoints SET offset_bytes = ?, anchor_hash = ?, ladder = ? \
         WHERE server_id = ? AND generation_id = ? AND offset_bytes = ?",
        [
            to.offset_bytes.cast_signed().into(),
            hash_bytes(to.anchor.hash).into(),
            ladder_bytes(&to.ladder).into(),
            to.server_id.0.into(),
            to.id.0.into(),
            from_bytes.cast_signed().into(),
        ],
    )
    .execute(connection)?;
    Ok(moved > 0)
}

/// Where the generation stands. On PostgreSQL its row stays locked until the end of the transaction: a position that is read without the lock
/// may be older than a commit whose outcome isn't known yet.
fn position(connection: &mut Connection, key: (i64, i64)) -> Result<Option<i64>, Error> {
    let stored = checkpoints::table
        .find(key)
        .select(checkpoints::offset_bytes);
    Ok(match connection {
        Connection::Sqlite(c) => stored.first(c).optional()?,
        Connection::Postgres(c) => stored.for_update().first(&mut **c).optional()?,
    })
}

/// Makes the rows of a generation that isn't stored yet.
fn begin(
    connection: &mut Connection,
    generation: &Generation,
    begin_bytes: u64,
) -> Result<i64, Error> {
    let row = row(generation);
    let generation_row = diesel::insert_into(generations::table)
        .values(&row)
        .on_conflict_do_nothing();
    each!(connection, c => generation_row.execute(c))?;
    let checkpoint = diesel::insert_into(checkpoints::table)
        .values((
            checkpoints::server_id.eq(generation.server_id.0),
            checkpoints::generation_id.eq(generation.id.0),
            checkpoints::offset_bytes.eq(begin_bytes.cast_signed()),
            checkpoints::anchor_hash.eq(hash_bytes(generation.anchor.hash)),
            checkpoints::ladder.eq(ladder_bytes(&generation.ladder)),
        ))
        .on_conflict_do_nothing();
    each!(connection, c => checkpoint.execute(c))?;
    let stored = position(connection, (generation.server_id.0, generation.id.0))?;
    Ok(stored.expect("it has just been made"))
}

/// Declares bytes lost. A gap that is known already stays as it is.
pub(super) fn declare_gaps(
    connection: &mut Connection,
    server: ServerId,
    declared: &[Gap],
    now: Timestamp,
) -> Result<(), Error> {
    for gap in declared {
        let gap = diesel::insert_into(gaps::table)
            .values((
                gaps::server_id.eq(server.0),
                gaps::generation_id.eq(gap.generation.0),
                gaps::from_bytes.eq(gap.from_bytes.cast_signed()),
                gaps::to_bytes.eq(gap.to_bytes.map(u64::cast_signed)),
                gaps::reason.eq(name_of(&REASONS, gap.reason)),
                gaps::detected_at.eq(now.as_microsecond()),
            ))
            .on_conflict_do_nothing();
        each!(connection, c => gap.execute(c))?;
    }
    Ok(())
}

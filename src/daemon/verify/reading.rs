//! Reads a server's logs a second time, by the stages that took them in before, each as far as the store has read it.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
};

use jiff::Timestamp;

use super::{
    super::ingest::{self, ServerConfig, ServerIngest, Turn},
    Error,
};
use crate::{
    model::{
        accounting::Accounting,
        position::{Generation, GenerationId, ServerId},
    },
    record::detect,
    store::Store,
    tail::{self, Mode, ServerTail},
};

/// The generations of the store that are in the files that would be read now: recognised by head and anchor, as always.
pub(super) fn read_now(
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
pub(super) fn read_again(
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

//! `plantail prune`: deletes what is past its time at once, or says what that would be.

use std::{collections::BTreeMap, ops::ControlFlow};

use clap::Args;
use jiff::Timestamp;

use super::{Error, output};
use crate::{
    config::Settings,
    model::visible::visible,
    store::{self, PRUNED_AT_ONCE, Past, Store, StoreUrl},
};

/// Delete what is older than store.retention says, as watch does every hour
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Delete nothing, say what would go
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(prune: &Prune, settings: &Settings) -> Result<(), Error> {
    let store = Store::open_existing(&settings.daemon.store)?;
    let retention = &settings.daemon.retention;
    let past = store.past_retention(retention)?;
    if past.is_empty() {
        return Ok(output::line("Nothing is older than store.retention says.")?);
    }
    let bytes = bytes(&store, &past)?;
    if prune.dry_run {
        output::line("Would be deleted (server, table, rows, size on disk, from, to in UTC):")?;
        return said(&past, &bytes, |past| past.rows);
    }
    // Who may only read is told so before anything is tried.
    let store = Store::open(&settings.daemon.store)?;
    store.prune(retention, PRUNED_AT_ONCE, |_| ControlFlow::Continue(()))?;
    // A partition that is dropped doesn't count its rows: what is left tells what went.
    let left: BTreeMap<_, u64> = store
        .past_retention(retention)?
        .into_iter()
        .map(|past| ((past.server.id, past.table), past.rows))
        .collect();
    output::line("Deleted (server, table, rows, size on disk, from, to in UTC):")?;
    said(&past, &bytes, |past| {
        let left = left.get(&(past.server.id, past.table));
        past.rows.saturating_sub(left.copied().unwrap_or_default())
    })?;
    Ok(output::line(match settings.daemon.store.url {
        StoreUrl::Sqlite(_) => {
            "Their room in the store is used again; plantail backup writes a copy without it."
        }
        StoreUrl::Postgres(_) => {
            "The room of whole partitions is given back, that of other rows is used again."
        }
    })?)
}

/// What the rows take on disk, as their share of their table.
fn bytes(store: &Store, past: &[Past]) -> Result<Vec<u64>, store::Error> {
    let mut sizes = BTreeMap::new();
    for past in past {
        if !sizes.contains_key(past.table) {
            sizes.insert(past.table, store.table_size(past.table)?);
        }
    }
    let share = |past: &Past| match sizes.get(past.table) {
        Some(size) if size.rows > 0 => {
            (size.bytes as f64 * past.rows as f64 / size.rows as f64) as u64
        }
        _ => 0,
    };
    Ok(past.iter().map(share).collect())
}

fn said(past: &[Past], bytes: &[u64], rows: impl Fn(&Past) -> u64) -> Result<(), Error> {
    let time = |time: Option<Timestamp>| {
        time.map_or_else(String::new, |t| t.strftime("%Y-%m-%d %H:%M").to_string())
    };
    for (past, bytes) in past.iter().zip(bytes) {
        output::line(&format!(
            "{}  {:<11}  {:>9}  {:>8.1} MB  {}  {}",
            visible(&past.server.name),
            past.table,
            rows(past),
            *bytes as f64 / 1e6,
            time(past.oldest),
            time(past.newest),
        ))?;
    }
    let rows: u64 = past.iter().map(rows).sum();
    let bytes: u64 = bytes.iter().sum();
    Ok(output::line(&format!(
        "{rows} rows, about {:.1} MB",
        bytes as f64 / 1e6
    ))?)
}

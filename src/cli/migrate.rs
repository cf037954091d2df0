//! `plantail migrate`: brings the store's schema up to date, or says whether it is.

use std::cmp::Ordering;

use clap::Args;

use super::{Error, output};
use crate::{
    config::Settings,
    store::{self, MigrationError, Store},
};

/// Bring the store's schema up to date, as every command that opens the store does if it may
#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Change nothing, say whether the schema is up to date (exit code 1 if not)
    #[arg(long)]
    check: bool,
}

pub(super) fn run(migrate: &Migrate, settings: &Settings) -> Result<(), Error> {
    let config = &settings.daemon.store;
    let versions = store::schema_versions(config)?;
    let (url, known) = (&config.url, &versions.known);
    let Some(stored) = versions.stored else {
        if migrate.check {
            return Err(Error::Failed(format!(
                "the store {url} has no schema yet: plantail migrate creates {known}"
            )));
        }
        Store::open(config)?;
        return Ok(output::line(&format!("{url}: created schema {known}"))?);
    };
    match (stored.cmp(known), migrate.check) {
        (Ordering::Equal, _) => Ok(output::line(&format!(
            "{url}: schema {known} is up to date"
        ))?),
        (Ordering::Less, true) => Err(Error::Failed(format!(
            "the store {url} has schema {stored}: plantail migrate, watch or import brings it to {known}"
        ))),
        (Ordering::Less, false) => {
            Store::open(config)?;
            Ok(output::line(&format!(
                "{url}: schema brought from {stored} to {known}"
            ))?)
        }
        (Ordering::Greater, _) => Err(store::Error::Migration {
            store: url.to_string(),
            source: MigrationError::Newer {
                store_version: stored,
                known_version: known.clone(),
            },
        }
        .into()),
    }
}

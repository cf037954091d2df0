//! `[store]`: where the history is and how many queries it has.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Error, value::within};
use crate::store;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStore {
    pub(super) url: Option<String>,
    pub(super) max_queries: Option<u64>,
}

/// The store at `given`, else in the state directory.
pub(super) fn read(given: Option<&String>) -> Result<store::Config, Error> {
    let url = match given {
        Some(url) => url.clone(),
        None => format!(
            "sqlite://{}",
            state_directory()?.join("plantail.db").display()
        ),
    };
    let parsed = url.parse();
    let refused = |error: store::Error| Error::value("store.url", &url, &error.to_string());
    Ok(store::Config {
        url: parsed.map_err(refused)?,
    })
}

/// The state directory of the service (systemd's StateDirectory), else that of the user (XDG Base Directory Specification).
fn state_directory() -> Result<PathBuf, Error> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("STATE_DIRECTORY")
        .or_else(|| variable("XDG_STATE_HOME").map(|state| state.join("plantail")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/plantail")))
        .ok_or(Error::NoStateDirectory)
}

/// Nobody looks through more queries than that, and a store with them is still quick.
const MAX_QUERIES: u64 = 50_000;

pub(super) fn max_queries(given: Option<u64>) -> Result<u64, Error> {
    let given = within(
        "store.max_queries",
        given,
        100..=10_000_000,
        "queries of a server",
    )?;
    Ok(given.unwrap_or(MAX_QUERIES))
}

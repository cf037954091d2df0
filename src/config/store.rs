//! `[store]`: where the history is, how many queries it has and how long it is kept.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Error, value::within};
use crate::store::{self, Retention};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStore {
    pub(super) url: Option<String>,
    pub(super) max_queries: Option<u64>,
    pub(super) partition_days: Option<u32>,
    pub(super) retention: RawRetention,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRetention {
    executions_days: Option<u32>,
    plans_days: Option<u32>,
    hours_days: Option<u32>,
    statistics_days: Option<u32>,
}

/// The store at `url`, else in the state directory.
pub(super) fn read(
    url: Option<&String>,
    partition_days: Option<u32>,
) -> Result<store::Config, Error> {
    let url = match url {
        Some(url) => url.clone(),
        None => format!(
            "sqlite://{}",
            state_directory()?.join("plantail.db").display()
        ),
    };
    let parsed = url.parse::<store::StoreUrl>();
    // Addresses of databases carry passwords, in whatever form they were meant.
    let shown = match url.split_once("://") {
        Some(("sqlite", _)) => url.clone(),
        Some((scheme, _)) => format!("{scheme}://…"),
        None if url.contains(['@', '=', ':']) => "…".to_owned(),
        None => url.clone(),
    };
    let refused = |error: store::Error| Error::value("store.url", &shown, &error.to_string());
    let defaults = store::Config::from(parsed.map_err(refused)?);
    let partition_days = within(
        "store.partition_days",
        partition_days,
        store::PARTITION_DAYS,
        "days",
    )?;
    Ok(store::Config {
        partition_days: partition_days.unwrap_or(defaults.partition_days),
        ..defaults
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

/// A century: for ever.
const DAYS_MAX: u32 = 36_500;

/// How long rows are kept.
pub(super) fn retention(raw: &RawRetention) -> Result<Retention, Error> {
    let defaults = Retention::default();
    let days = |setting, given: Option<u32>, default| {
        let given = within(setting, given, 1..=DAYS_MAX, "days")?;
        Ok::<u32, Error>(given.unwrap_or(default))
    };
    Ok(Retention {
        executions_days: days(
            "store.retention.executions_days",
            raw.executions_days,
            defaults.executions_days,
        )?,
        plans_days: days(
            "store.retention.plans_days",
            raw.plans_days,
            defaults.plans_days,
        )?,
        hours_days: days(
            "store.retention.hours_days",
            raw.hours_days,
            defaults.hours_days,
        )?,
        statistics_days: days(
            "store.retention.statistics_days",
            raw.statistics_days,
            defaults.statistics_days,
        )?,
    })
}

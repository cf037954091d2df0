//! `[tail]`: how the log files are watched, and how long a record may be.

use std::time::Duration;

use serde::Deserialize;

use super::{Error, value::within};
use crate::{record, tail};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTail {
    poll_interval_ms: Option<u64>,
    notify: Option<bool>,
    max_record_bytes: Option<usize>,
}

/// What of it the files are watched by.
pub(super) fn read(raw: &RawTail) -> Result<tail::Config, Error> {
    let defaults = tail::Config::default();
    let poll_interval_ms = within(
        "tail.poll_interval_ms",
        raw.poll_interval_ms,
        10..=60_000,
        "milliseconds",
    )?;
    Ok(tail::Config {
        poll_interval: poll_interval_ms.map_or(defaults.poll_interval, Duration::from_millis),
        notify: raw.notify.unwrap_or(defaults.notify),
        ..defaults
    })
}

/// What of it bounds a record.
pub(super) fn read_record(raw: &RawTail) -> Result<record::Config, Error> {
    let max_record_bytes = within(
        "tail.max_record_bytes",
        raw.max_record_bytes,
        4096..=1_073_741_824,
        "bytes",
    )?;
    let defaults = record::Config::default();
    Ok(record::Config {
        max_record_bytes: max_record_bytes.unwrap_or(defaults.max_record_bytes),
    })
}

//! How values of the model lie in columns: names for enumerations, microseconds for times, bytes for hashes.
//!
//! Writing cannot fail. Reading fails with the name of the column where the store holds what no version of plantail that may open it has
//! written.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::model::finding::Severity;

use super::Error;

/// The name of `value` in `names`, which lists every value.
pub(super) fn name_of<T: Copy + PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names
        .iter()
        .find(|(known, _)| *known == value)
        .map(|(_, name)| *name)
        .expect("the table lists every value")
}

/// The value of that name in `names`.
pub(super) fn named<T: Copy>(
    names: &[(T, &'static str)],
    column: &'static str,
    name: &str,
) -> Result<T, Error> {
    let found = names.iter().find(|(_, known)| *known == name);
    known(found.map(|(value, _)| *value), column, name)
}

/// `value`, or the error that says which column holds what cannot be read.
pub(super) fn known<T>(
    value: Option<T>,
    column: &'static str,
    stored: &(impl ToString + ?Sized),
) -> Result<T, Error> {
    value.ok_or_else(|| Error::Value {
        column,
        value: stored.to_string(),
    })
}

pub(super) fn time(column: &'static str, us: i64) -> Result<Timestamp, Error> {
    known(Timestamp::from_microsecond(us).ok(), column, &us)
}

pub(super) fn optional_time(
    column: &'static str,
    us: Option<i64>,
) -> Result<Option<Timestamp>, Error> {
    us.map(|us| time(column, us)).transpose()
}

/// Counts and ordinals; they are never negative in the store.
pub(super) fn count(column: &'static str, stored: i64) -> Result<u64, Error> {
    known(u64::try_from(stored).ok(), column, &stored)
}

pub(super) fn ordinal(column: &'static str, stored: i64) -> Result<u32, Error> {
    known(u32::try_from(stored).ok(), column, &stored)
}

const SEVERITIES: [Severity; 4] = [
    Severity::Info,
    Severity::Notice,
    Severity::Warning,
    Severity::Critical,
];

/// Severities are stored as numbers, so that the database can order them.
pub(super) fn severity_rank(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Notice => 1,
        Severity::Warning => 2,
        Severity::Critical => 3,
    }
}

pub(super) fn severity(column: &'static str, rank: i64) -> Result<Severity, Error> {
    let found = SEVERITIES
        .into_iter()
        .find(|severity| severity_rank(*severity) == rank);
    known(found, column, &rank)
}

pub(super) fn hash_bytes(hash: u128) -> Vec<u8> {
    hash.to_be_bytes().to_vec()
}

pub(super) fn hash(column: &'static str, bytes: &[u8]) -> Result<u128, Error> {
    let array = bytes.try_into().ok().map(u128::from_be_bytes);
    known(array, column, &format_args!("{} bytes", bytes.len()))
}

/// Text without U+0000, which PostgreSQL never has in its values, SQL functions stop at, and other stores refuse. The log can carry it all
/// the same (JSON writes it as `\u0000`); it becomes U+FFFD.
pub(super) fn text(value: &str) -> Cow<'_, str> {
    if value.contains('\0') {
        Cow::Owned(value.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(value)
    }
}

pub(super) fn optional_text(value: Option<&String>) -> Option<Cow<'_, str>> {
    value.map(|value| text(value))
}

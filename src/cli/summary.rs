//! `plantail summary`: the summary of new slow queries.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Error, output};
use crate::{config::Settings, digest, model::digest::Digest, store::Store};

/// Print the summary of new slow queries
#[derive(Debug, Args)]
pub(super) struct Summary {
    /// How far it looks back from the newest record of the store: 24h, 7d, 90m
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = parse_span)]
    since: Duration,
    /// How it is printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Markdown,
    Html,
    Json,
}

pub(super) fn run(summary: &Summary, settings: &Settings) -> Result<(), Error> {
    let store = Store::open_existing(&settings.daemon.store)?;
    let digest = build(&store, digest::Since::Before(summary.since), settings)?;
    let text = match summary.format {
        Format::Text => digest::text::render(&digest),
        Format::Markdown => digest::markdown::render(&digest),
        Format::Html => digest::html::render(&digest),
        Format::Json => digest::json::render(&digest),
    };
    Ok(output::line(&text)?)
}

/// The summary from `since` to the newest record of the store.
pub(super) fn build(
    store: &Store,
    since: digest::Since,
    settings: &Settings,
) -> Result<Digest, Error> {
    let window = digest::Window { since, until: None };
    Ok(store.read(|reader| digest::build(reader, &window, &settings.daemon.api.summary))?)
}

fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is no span of time; write a number with its unit: 90m, 24h, 7d");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    let span = number
        .checked_mul(seconds)
        .filter(|s| (1..=100 * 366 * 86400).contains(s))
        .ok_or_else(wrong)?;
    Ok(Duration::from_secs(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(
                parse_span(text).ok(),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        };
        check("90m", Some(5400));
        check("24h", Some(86400));
        check("7d", Some(604_800));
        check("0h", None);
        check("24", None);
        check("h", None);
        check("1w", None);
        check("99999999999999999999h", None);
        check("9999999999999999h", None);
    }
}

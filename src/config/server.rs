//! `[[servers]]`: which files are a server's log, how they are written, and what the server logs by chance.

use std::path::PathBuf;

use serde::Deserialize;

use super::Error;
use crate::{
    daemon,
    model::{position::LogFormat, sampling::Sampling},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) name: String,
    paths: Vec<PathBuf>,
    format: Option<String>,
    log_line_prefix: Option<String>,
    syslog_ident: Option<String>,
    time_zone: Option<String>,
    log_min_duration_statement: Option<f64>,
    log_statement_sample_rate: Option<f64>,
    log_transaction_sample_rate: Option<f64>,
    #[serde(rename = "auto_explain.sample_rate")]
    auto_explain_sample_rate: Option<f64>,
}

/// Reads one server's keys.
pub(super) fn read(raw: RawServer) -> Result<daemon::ServerConfig, Error> {
    if raw.name.trim().is_empty() {
        return Err(Error::value(
            "servers.name",
            &raw.name,
            "a server needs a name; it identifies its history for good",
        ));
    }
    if raw.paths.is_empty() {
        return Err(Error::value(
            "servers.paths",
            "[]",
            "name the log files, folders or globs of the server",
        ));
    }
    let sampling = sampling(&raw)?;
    let time_zone = raw
        .time_zone
        .map(|name| {
            jiff::tz::TimeZone::get(&name).map_err(|_| {
                Error::value(
                    "servers.time_zone",
                    &name,
                    "write an IANA name such as Europe/Berlin (SHOW log_timezone)",
                )
            })
        })
        .transpose()?;
    let format = raw
        .format
        .map(|name| {
            LogFormat::from_name(&name)
                .ok_or_else(|| Error::value("servers.format", &name, &one_of_formats()))
        })
        .transpose()?;
    Ok(daemon::ServerConfig {
        name: raw.name,
        paths: raw.paths,
        format,
        log_line_prefix: raw.log_line_prefix,
        syslog_ident: raw.syslog_ident,
        time_zone,
        sampling,
    })
}

/// What a format can be called, for a message.
pub fn one_of_formats() -> String {
    let names = LogFormat::ALL.map(LogFormat::as_str);
    format!(
        "write one of {}; without it the content tells",
        names.join(", ")
    )
}

/// What the server logs by chance; `None` where no rate is given.
fn sampling(raw: &RawServer) -> Result<Option<Sampling>, Error> {
    let sampling = Sampling {
        log_min_duration_statement_ms: raw.log_min_duration_statement.filter(|ms| *ms >= 0.0),
        log_statement_sample_rate: raw.log_statement_sample_rate,
        log_transaction_sample_rate: raw.log_transaction_sample_rate,
        auto_explain_sample_rate: raw.auto_explain_sample_rate,
    };
    if let Some(rate) = sampling.impossible_rate() {
        let remedy = "the server's setting, above 0 and at most 1; leave it out where it is 0";
        return Err(Error::value(
            "servers.*_sample_rate",
            &rate.to_string(),
            remedy,
        ));
    }
    Ok(Some(sampling).filter(Sampling::has_rate))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use figment::{
        Figment,
        providers::{Format, Toml},
    };

    use super::*;

    fn read_toml(keys: &str) -> Result<Option<Sampling>, String> {
        let text = format!("name = \"a\"\npaths = [\"b\"]\n{keys}");
        let raw = Figment::from(Toml::string(&text)).extract().unwrap();
        sampling(&raw).map_err(|error| error.to_string())
    }

    #[test]
    fn rates() {
        assert_eq!(read_toml(""), Ok(None));
        assert_eq!(read_toml("log_min_duration_statement = 20"), Ok(None));
        let sampling = Sampling {
            log_min_duration_statement_ms: Some(20.0),
            log_statement_sample_rate: Some(0.25),
            log_transaction_sample_rate: None,
            auto_explain_sample_rate: Some(0.5),
        };
        let keys = "log_min_duration_statement = 20\nlog_statement_sample_rate = 0.25\n\"auto_explain.sample_rate\" = 0.5";
        assert_eq!(read_toml(keys), Ok(Some(sampling)));
        let off = Sampling {
            log_min_duration_statement_ms: None,
            log_statement_sample_rate: None,
            ..sampling
        };
        let keys = "log_min_duration_statement = -1\n\"auto_explain.sample_rate\" = 0.5";
        assert_eq!(read_toml(keys), Ok(Some(off)));
        for rate in ["0", "-0.1", "1.01", "nan", "inf"] {
            let refused = read_toml(&format!("log_transaction_sample_rate = {rate}"));
            assert!(refused.unwrap_err().starts_with("servers.*_sample_rate = "));
        }
    }
}

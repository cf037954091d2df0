//! The configuration: defaults, then the file, then the environment, then the command line, each over the one before; turned once into the
//! [`daemon::Config`] that the stages own.
//!
//! The only place that knows figment, key names and environment variables (`PLANTAIL_`, levels separated by `__`). An unknown key is an error
//! that names it. Secrets are `SecretString` from here on. The keys of a table are read in the file of its name, the short tables here.

mod advice;
mod server;
mod store;
mod tail;
mod value;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    error::{Actual, Kind},
    providers::{Env, Format, Toml},
};
use serde::Deserialize;

pub use self::server::one_of_formats;
use self::{advice::RawAdvice, server::RawServer, store::RawStore, tail::RawTail, value::positive};
use crate::{analysis, api, daemon, digest, execution, telemetry};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("configuration file {path}: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("configuration: {}", in_its_own_words(.0))]
    Key(Box<figment::Error>),
    #[error("{setting} = {value:?}: {remedy}")]
    Value {
        setting: &'static str,
        value: String,
        remedy: String,
    },
    #[error(
        "no place for the store: neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set; \
         name one with --store sqlite://PATH or store.url"
    )]
    NoStateDirectory,
}

/// figment's message without its profiles, which plantail has no use for, and without what was given: a password or key that stands in the wrong
/// place would be shown, and so would the line of a file that is no TOML.
fn in_its_own_words(error: &figment::Error) -> String {
    let mut error = error.clone();
    error.kind = match error.kind {
        Kind::InvalidType(Actual::Str(_), expected) => Kind::InvalidType(text(), expected),
        Kind::InvalidValue(Actual::Str(_), expected) => Kind::InvalidValue(text(), expected),
        Kind::Message(message) => Kind::Message(without_source(&message)),
        kind => kind,
    };
    error
        .to_string()
        .replace("\"default.", "\"")
        .replace("TOML source string", "the configuration file")
}

fn text() -> Actual {
    Actual::Other("text".to_owned())
}

/// A message of the TOML parser in one line, without the line that it quotes between `|` and the mark under it.
fn without_source(message: &str) -> String {
    let is_quoted = |line: &&str| {
        line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit())
            .starts_with('|')
    };
    let told: Vec<&str> = message.lines().filter(|line| !is_quoted(line)).collect();
    told.join(", ")
}

/// What the command line says; it outranks file and environment.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub config_file: Option<PathBuf>,
    pub store_url: Option<String>,
    pub log_format: Option<telemetry::LogFormat>,
    pub listen: Option<String>,
}

/// Everything that the commands need of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    pub daemon: daemon::Config,
    pub log_format: telemetry::LogFormat,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawConfig {
    servers: Vec<RawServer>,
    store: RawStore,
    tail: RawTail,
    analysis: RawAnalysis,
    privacy: execution::Config,
    advice: RawAdvice,
    api: RawApi,
    log: RawLog,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawAnalysis {
    slow_threshold_ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawApi {
    listen: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawLog {
    format: Option<telemetry::LogFormat>,
}

/// Reads and validates the configuration.
pub fn load(overrides: &Overrides) -> Result<Settings, Error> {
    let raw = read(overrides.config_file.as_deref())?;
    let slow_threshold_ms = positive("analysis.slow_threshold_ms", raw.analysis.slow_threshold_ms)?;
    let analysis = analysis::Config {
        slow_threshold_ms: slow_threshold_ms
            .unwrap_or(analysis::Config::default().slow_threshold_ms),
        ..analysis::Config::default()
    };
    let advice = advice::read(raw.advice)?;
    let mut names = BTreeSet::new();
    if let Some(server) = raw
        .servers
        .iter()
        .find(|server| !names.insert(&server.name))
    {
        let remedy = "two servers have this name: list the paths of one server together, or give each a name";
        return Err(Error::value("servers.name", &server.name, remedy));
    }
    Ok(Settings {
        log_format: overrides.log_format.or(raw.log.format).unwrap_or_default(),
        daemon: daemon::Config {
            servers: raw
                .servers
                .into_iter()
                .map(server::read)
                .collect::<Result<_, _>>()?,
            store: store::read(
                overrides.store_url.as_ref().or(raw.store.url.as_ref()),
                raw.store.partition_days,
            )?,
            retention: store::retention(&raw.store.retention)?,
            api: api::Config {
                listen: listen(overrides.listen.as_ref().or(raw.api.listen.as_ref()))?,
                summary: digest::Config {
                    slow_threshold_ms: analysis.slow_threshold_ms,
                    ..digest::Config::default()
                },
                ..api::Config::default()
            },
            ingest: daemon::ingest::Config {
                tail: tail::read(&raw.tail)?,
                record: tail::read_record(&raw.tail)?,
                execution: raw.privacy,
                max_queries: store::max_queries(raw.store.max_queries)?,
                advise: advice.provider.is_some(),
                analysis,
            },
            advice,
        },
    })
}

fn read(file: Option<&Path>) -> Result<RawConfig, Error> {
    let mut layers = Figment::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        layers = layers.merge(Toml::string(&text));
    }
    layers
        .merge(Env::prefixed("PLANTAIL_").split("__"))
        .extract()
        .map_err(|error| Error::Key(Box::new(error)))
}

fn listen(given: Option<&String>) -> Result<SocketAddr, Error> {
    let Some(text) = given else {
        return Ok(api::Config::default().listen);
    };
    text.parse().map_err(|_| {
        Error::value(
            "api.listen",
            text,
            "write an address and a port, 127.0.0.1:8088 or [::1]:8088",
        )
    })
}

impl Error {
    fn value(setting: &'static str, value: &str, remedy: &str) -> Self {
        Self::Value {
            setting,
            value: value.to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn check(toml: &str, expected: &str) {
        let refused = Figment::from(Toml::string(toml)).extract::<RawConfig>();
        let error = Error::Key(Box::new(refused.err().unwrap()));
        assert_eq!(error.to_string(), format!("configuration: {expected}"));
    }

    #[test]
    fn what_was_given_is_in_no_message() {
        check(
            "[store]\nurl = postgres://me:secret@db/x\n",
            "TOML parse error at line 2, column 7, invalid string, expected `\"`, `'` in the configuration file",
        );
        check(
            "[store]\nurl = \"a\"\nurl = \"postgres://me:secret@db/x\"\n",
            "TOML parse error at line 3, column 1, duplicate key `url` in table `store` in the configuration file",
        );
        check(
            "store = \"postgres://me:secret@db/x\"\n",
            "invalid type: found text, expected struct RawStore for key \"store\" in the configuration file",
        );
        check(
            "[advice]\nsend_temperature = \"secret\"\n",
            "invalid type: found text, expected a boolean for key \"advice.send_temperature\" in the configuration file",
        );
    }

    #[test]
    fn of_a_store_url_only_a_path_is_shown() {
        let check = |url: &str, expected: &str| {
            let refused = store::read(Some(&url.to_owned()), None)
                .unwrap_err()
                .to_string();
            let (shown, _) = refused.split_once(": ").unwrap();
            assert_eq!(shown, format!("store.url = {expected:?}"));
        };
        check("plantail.db", "plantail.db");
        check("sqlite://", "sqlite://");
        check("postgres://me:secret@", "postgres://…");
        check("me:secret@db/x", "…");
        check("host=db password=secret", "…");
    }
}

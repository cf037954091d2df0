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

/// figment's message without its profiles, which plantail has no use for.
fn in_its_own_words(error: &figment::Error) -> String {
    error
        .to_string()
        .replace("\"default.", "\"")
        .replace("TOML source string", "the configuration file")
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
            store: store::read(overrides.store_url.as_ref().or(raw.store.url.as_ref()))?,
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

//! The configuration: defaults, then the file, then the environment, then the command line, each over the one before; turned once into the
//! [`daemon::Config`] that the stages own.
//!
//! The only place that knows figment, key names and environment variables (`PLANTAIL_`, levels separated by `__`). An unknown key is an error
//! that names it. Secrets are `SecretString` from here on.

use std::{
    collections::BTreeSet,
    fmt::Display,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    advice, analysis, api, daemon, digest, execution, model::position::LogFormat,
    model::sampling::Sampling, record, store, tail, telemetry,
};

/// Why a configuration can't be used. The message names the setting, the value and what would be right.
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    name: String,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawStore {
    url: Option<String>,
    max_queries: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawTail {
    poll_interval_ms: Option<u64>,
    notify: Option<bool>,
    max_record_bytes: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawAnalysis {
    slow_threshold_ms: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawAdvice {
    provider: Option<String>,
    endpoint: Option<String>,
    model: Option<String>,
    #[serde(deserialize_with = "secret")]
    api_key: Option<SecretString>,
    api_key_file: Option<PathBuf>,
    timeout_ms: Option<u64>,
    max_tokens: Option<u32>,
    response_format: Option<String>,
    token_limit_name: Option<String>,
    send_temperature: Option<bool>,
}

/// serde's own error for a number or boolean shows it.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    match String::deserialize(deserializer) {
        Ok(text) => Ok(Some(text.into())),
        Err(_) => Err(D::Error::custom("a secret has to be text, in quotes")),
    }
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
    let advice = advice(raw.advice)?;
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
                .map(server)
                .collect::<Result<_, _>>()?,
            store: store::Config {
                url: store_url(overrides.store_url.as_ref().or(raw.store.url.as_ref()))?,
            },
            api: api::Config {
                listen: listen(overrides.listen.as_ref().or(raw.api.listen.as_ref()))?,
                summary: digest::Config {
                    slow_threshold_ms: analysis.slow_threshold_ms,
                    ..digest::Config::default()
                },
                ..api::Config::default()
            },
            ingest: daemon::ingest::Config {
                tail: tail(&raw.tail)?,
                record: record(&raw.tail)?,
                execution: raw.privacy,
                max_queries: max_queries(raw.store.max_queries)?,
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

fn server(raw: RawServer) -> Result<daemon::ServerConfig, Error> {
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

fn store_url(given: Option<&String>) -> Result<store::StoreUrl, Error> {
    let url = match given {
        Some(url) => url.clone(),
        None => format!(
            "sqlite://{}",
            state_directory()?.join("plantail.db").display()
        ),
    };
    url.parse()
        .map_err(|error: store::Error| Error::value("store.url", &url, &error.to_string()))
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

fn tail(raw: &RawTail) -> Result<tail::Config, Error> {
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

fn record(raw: &RawTail) -> Result<record::Config, Error> {
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

/// Nobody looks through more queries than that, and a store with them is still quick.
const MAX_QUERIES: u64 = 50_000;

fn max_queries(given: Option<u64>) -> Result<u64, Error> {
    let given = within(
        "store.max_queries",
        given,
        100..=10_000_000,
        "queries of a server",
    )?;
    Ok(given.unwrap_or(MAX_QUERIES))
}

fn advice(raw: RawAdvice) -> Result<advice::Config, Error> {
    let defaults = advice::Config::default();
    let provider = choice(
        "advice.provider",
        raw.provider.as_deref(),
        &[("openai-compatible", advice::Provider::OpenAiCompatible)],
    )?;
    let response_format = choice(
        "advice.response_format",
        raw.response_format.as_deref(),
        &[
            ("json_schema", advice::ResponseFormat::JsonSchema),
            ("json_object", advice::ResponseFormat::JsonObject),
            ("none", advice::ResponseFormat::None),
        ],
    )?;
    let token_limit_name = choice(
        "advice.token_limit_name",
        raw.token_limit_name.as_deref(),
        &[
            ("max_tokens", advice::TokenLimitName::MaxTokens),
            (
                "max_completion_tokens",
                advice::TokenLimitName::MaxCompletionTokens,
            ),
        ],
    )?;
    let timeout_ms = within(
        "advice.timeout_ms",
        raw.timeout_ms,
        100..=600_000,
        "milliseconds",
    )?;
    Ok(advice::Config {
        provider,
        endpoint: raw.endpoint.unwrap_or_default(),
        model: raw.model.unwrap_or_default(),
        api_key: api_key(raw.api_key, raw.api_key_file)?,
        response_format: response_format.unwrap_or(defaults.response_format),
        token_limit_name: token_limit_name.unwrap_or(defaults.token_limit_name),
        max_tokens: raw.max_tokens.unwrap_or(defaults.max_tokens),
        temperature: defaults
            .temperature
            .filter(|_| raw.send_temperature.unwrap_or(true)),
        timeout: timeout_ms.map_or(defaults.timeout, Duration::from_millis),
        ..defaults
    })
}

fn api_key(
    key: Option<SecretString>,
    file: Option<PathBuf>,
) -> Result<Option<SecretString>, Error> {
    match (key, file) {
        (Some(_), Some(path)) => Err(Error::value(
            "advice.api_key_file",
            &path.display().to_string(),
            "give either api_key or api_key_file",
        )),
        (key, None) => Ok(key),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(SecretString::from(text.trim()))),
            Err(source) => Err(Error::File { path, source }),
        },
    }
}

/// The value that a word stands for.
fn choice<T: Copy>(
    setting: &'static str,
    given: Option<&str>,
    choices: &[(&str, T)],
) -> Result<Option<T>, Error> {
    let Some(given) = given else { return Ok(None) };
    match choices.iter().find(|(word, _)| *word == given) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let words: Vec<String> = choices
                .iter()
                .map(|(word, _)| format!("{word:?}"))
                .collect();
            let remedy = format!("write {}, or leave it out", words.join(" or "));
            Err(Error::value(setting, given, &remedy))
        }
    }
}

fn within<T: PartialOrd + Display>(
    setting: &'static str,
    given: Option<T>,
    range: RangeInclusive<T>,
    unit: &str,
) -> Result<Option<T>, Error> {
    match given {
        Some(value) if !range.contains(&value) => {
            let remedy = format!("{} to {} {unit}", range.start(), range.end());
            Err(Error::value(setting, &value.to_string(), &remedy))
        }
        given => Ok(given),
    }
}

fn positive(setting: &'static str, given: Option<f64>) -> Result<Option<f64>, Error> {
    match given {
        Some(value) if !(value > 0.0 && value.is_finite()) => Err(Error::value(
            setting,
            &value.to_string(),
            "a positive number of milliseconds",
        )),
        given => Ok(given),
    }
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

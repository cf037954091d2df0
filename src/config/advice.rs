//! `[advice]`: which model is asked, and how.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    Error,
    value::{choice, within},
};
use crate::advice;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAdvice {
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

pub(super) fn read(raw: RawAdvice) -> Result<advice::Config, Error> {
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

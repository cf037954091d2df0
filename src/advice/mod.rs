//! Advice of a language model on one slow execution: asked for after the rules have spoken, never trusted.
//!
//! In: a [`Case`] that the daemon fills from the store. Out: a recommendation whose command plantail wrote itself, or the reason why there is none.
//! The model fills in a form; what deviates from it is rejected whole. Must not know: the store, who shows the advice, when to ask again.

mod answer;
mod case;
mod client;
mod confidence;
mod form;
mod guard;
mod known;
mod plain_text;
mod prompt;
mod rejection;
mod rewrite;
mod secret;
mod sendable;
mod setting;

#[cfg(test)]
mod endpoint_tests;
#[cfg(test)]
mod test_cases;

use std::time::Duration;

use secrecy::SecretString;

use crate::model::recommendation::Recommendation;

pub use case::{Case, CasePlan};
pub use client::{Client, advise};
pub use form::SelfConfidence;
pub use rejection::Rejection;
pub use sendable::Nothing;

/// Which protocol the endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Chat completions, as OpenAI, vLLM, llama.cpp and Ollama serve them.
    OpenAiCompatible,
}

/// How the endpoint is asked to keep to the form. What comes back is checked the same way whatever is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFormat {
    JsonSchema,
    /// For endpoints that don't know schemas: any JSON object.
    JsonObject,
    /// For endpoints that refuse the field.
    None,
}

/// What the endpoint calls the limit of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLimitName {
    MaxTokens,
    /// What OpenAI's reasoning models want.
    MaxCompletionTokens,
}

/// Whom to ask, and within which bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// `None`: no model is asked.
    pub provider: Option<Provider>,
    /// Base address, to which `/chat/completions` is added: `https://api.openai.com/v1`, `http://127.0.0.1:8080/v1`.
    pub endpoint: String,
    pub model: String,
    /// Sent as a bearer token; over https, or to this machine, only.
    pub api_key: Option<SecretString>,
    pub response_format: ResponseFormat,
    pub token_limit_name: TokenLimitName,
    /// Tokens of an answer: the form's texts and their thinking, for models that count it.
    pub max_tokens: u32,
    /// `None` where the model refuses the field.
    pub temperature: Option<f64>,
    pub connect_timeout: Duration,
    /// From the request to the last byte of the answer.
    pub timeout: Duration,
    /// Bytes of a case, as it is sent, beyond which it isn't.
    pub max_case_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            provider: None,
            endpoint: String::new(),
            model: String::new(),
            api_key: None,
            response_format: ResponseFormat::JsonSchema,
            token_limit_name: TokenLimitName::MaxTokens,
            max_tokens: 4096,
            temperature: Some(0.0),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(120),
            max_case_bytes: 64 * 1024,
        }
    }
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Advice {
    Recommendation {
        recommendation: Box<Recommendation>,
        /// What the model says of itself: kept, never used.
        self_confidence: SelfConfidence,
    },
    Nothing(Nothing),
}

/// Why the model could not be asked or its answer not be used. No variant holds anything that the model or its server wrote, but
/// [`Error::Failed`]'s code, which is a word of lower case letters.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("advice.{setting} {problem}: {remedy}")]
    Config {
        setting: &'static str,
        problem: String,
        remedy: &'static str,
    },
    #[error("the HTTP client for the model can't be made")]
    Client(#[source] client::TransportError),
    /// Worth another try, `after` at the earliest where the server said so.
    #[error("the model didn't answer ({reason}); it is asked again later")]
    Retry {
        reason: RetryReason,
        after: Option<Duration>,
        #[source]
        source: Option<client::TransportError>,
    },
    /// Not worth another try before somebody has changed the configuration or paid.
    #[error("the model's server refused with status {status}{}; check advice.endpoint, advice.model and advice.api_key", code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Failed { status: u16, code: Option<String> },
    #[error("the model's answer was rejected: {}", .0.as_str())]
    Rejected(Rejection),
}

/// What kept the model from answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryReason {
    Timeout,
    /// No connection, or one that broke.
    Connection,
    Status(u16),
}

impl std::fmt::Display for RetryReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout => f.write_str("timeout"),
            Self::Connection => f.write_str("connection"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

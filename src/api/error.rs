//! The errors that a client sees: a message, and a code in `extensions` that programs can rely on. What went wrong inside stays in our log, under
//! an id that the answer names.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use juniper::{FieldError, graphql_value};
use serde_json::{Value, json};

use crate::model::stable_id;

/// `extensions.code` of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// The HTTP request isn't a GraphQL request.
    BadRequest,
    Forbidden,
    BodyTooLarge,
    /// The document isn't GraphQL, or is over the limits on depth, tokens or fields.
    ParseFailed,
    /// The document doesn't fit the schema.
    ValidationFailed,
    /// A value of an argument or variable is outside of what the schema says.
    BadUserInput,
    /// A cursor that this list didn't give out.
    BadCursor,
    /// The document asks for more rows than one answer may hold.
    TooExpensive,
    TimedOut,
    Internal,
}

impl Code {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::Forbidden => "FORBIDDEN",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::ParseFailed => "PARSE_FAILED",
            Self::ValidationFailed => "VALIDATION_FAILED",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::BadCursor => "BAD_CURSOR",
            Self::TooExpensive => "TOO_EXPENSIVE",
            Self::TimedOut => "TIMED_OUT",
            Self::Internal => "INTERNAL",
        }
    }
}

/// An error of one field.
pub(super) fn field_error(code: Code, message: impl fmt::Display) -> FieldError {
    FieldError::new(message, graphql_value!({ "code": (code.as_str()) }))
}

/// A resolver was asked for what wasn't loaded: the planner and the loader disagree. Never an empty list.
pub(super) fn not_loaded(what: &str) -> FieldError {
    let correlation_id = CorrelationId::next();
    tracing::error!(what, %correlation_id, "a resolver found nothing loaded");
    FieldError::new(
        "internal error",
        graphql_value!({ "code": (Code::Internal.as_str()), "correlationId": (correlation_id.to_string()) }),
    )
}

/// A whole answer that is one error.
pub(super) fn body(code: Code, message: &str) -> Value {
    json!({ "errors": [{ "message": message, "extensions": { "code": code.as_str() } }] })
}

/// A whole answer for a failure of ours; the failure itself is logged.
pub(super) fn internal_body(failure: &dyn fmt::Display) -> Value {
    let correlation_id = CorrelationId::next();
    tracing::error!(error = %failure, %correlation_id, "a request failed");
    json!({ "errors": [{
        "message": "internal error",
        "extensions": { "code": Code::Internal.as_str(), "correlationId": correlation_id.to_string() },
    }] })
}

/// Ties an answer to the line in our log that says what happened.
pub(super) struct CorrelationId(i64);

impl CorrelationId {
    fn next() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        Self(stable_id(&[&now.to_be_bytes(), &number.to_be_bytes()]))
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

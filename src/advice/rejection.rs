//! Why a model's answer is rejected: the words that are counted and kept.

/// Why an answer was rejected. The word is what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The response is over 256 kB or the form over 64 kB.
    TooLarge,
    /// The response is no chat completion with one choice.
    NotACompletion,
    Refused,
    /// The answer was cut by the token limit.
    Truncated,
    Filtered,
    /// The form isn't one JSON object.
    NotJson,
    /// A field is missing, unknown, there twice or of the wrong type.
    NotTheForm,
    /// A text or list is longer than the form allows, or empty.
    Limit,
    /// Control or bidirectional characters, links or markup in a text.
    NotPlainText,
    /// Fields are filled in that the kind has no use for, or those that it needs aren't.
    KindMismatch,
    UnknownFinding,
    UnknownTable,
    UnknownColumn,
    SettingNotAllowed,
    /// The rewrite isn't one statement of the same kind, or calls functions that the statement doesn't.
    RewriteNotAllowed,
}

impl Rejection {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::NotACompletion => "not-a-completion",
            Self::Refused => "refused",
            Self::Truncated => "truncated",
            Self::Filtered => "filtered",
            Self::NotJson => "not-json",
            Self::NotTheForm => "not-the-form",
            Self::Limit => "limit",
            Self::NotPlainText => "not-plain-text",
            Self::KindMismatch => "kind-mismatch",
            Self::UnknownFinding => "unknown-finding",
            Self::UnknownTable => "unknown-table",
            Self::UnknownColumn => "unknown-column",
            Self::SettingNotAllowed => "setting-not-allowed",
            Self::RewriteNotAllowed => "rewrite-not-allowed",
        }
    }
}

//! The few words of SQL that decide how a statement is normalized. Every other word is the same to plantail, keyword or name.

/// What a word does to the tokens after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Alter,
    Array,
    As,
    Atomic,
    Begin,
    By,
    Case,
    Cast,
    /// Begins a part of a query, and so ends an ORDER BY or GROUP BY list.
    Clause,
    /// TRUE, FALSE, NULL: constants that are kept.
    Constant,
    Default,
    End,
    Group,
    In,
    /// An expression comes after it.
    Operand,
    Order,
    Row,
    Set,
    /// ROLLUP, CUBE, GROUPING SETS.
    Sets,
    To,
    Values,
    /// Any other word.
    Other,
}

impl Keyword {
    pub(super) fn of(word: &str) -> Self {
        match &*Lowered::of(word) {
            b"alter" => Self::Alter,
            b"array" => Self::Array,
            b"as" => Self::As,
            b"atomic" => Self::Atomic,
            b"begin" => Self::Begin,
            b"by" => Self::By,
            b"case" => Self::Case,
            b"cast" => Self::Cast,
            b"except" | b"fetch" | b"for" | b"having" | b"intersect" | b"into" | b"limit"
            | b"offset" | b"returning" | b"select" | b"union" | b"where" | b"window" => {
                Self::Clause
            }
            b"true" | b"false" | b"null" => Self::Constant,
            b"default" => Self::Default,
            b"end" => Self::End,
            b"group" => Self::Group,
            b"in" => Self::In,
            b"absolute" | b"all" | b"and" | b"backward" | b"between" | b"check" | b"conflict"
            | b"distinct" | b"else" | b"exists" | b"filter" | b"forward" | b"from" | b"ilike"
            | b"increment" | b"is" | b"join" | b"key" | b"lateral" | b"like" | b"materialized"
            | b"maxvalue" | b"minvalue" | b"move" | b"not" | b"on" | b"only" | b"options"
            | b"or" | b"over" | b"relative" | b"similar" | b"then" | b"unique" | b"using"
            | b"when" | b"with" | b"zone" => Self::Operand,
            b"order" => Self::Order,
            b"row" => Self::Row,
            b"set" => Self::Set,
            b"cube" | b"rollup" | b"sets" => Self::Sets,
            b"to" => Self::To,
            b"values" => Self::Values,
            _ => Self::Other,
        }
    }

    /// A sign after it is no subtraction.
    pub(super) fn starts_expression(self) -> bool {
        matches!(
            self,
            Self::As | Self::By | Self::Case | Self::Clause | Self::In | Self::Operand | Self::To
        )
    }

    /// A parenthesis after it is not that of a function's arguments.
    pub(super) fn stands_apart(self) -> bool {
        self.starts_expression() || matches!(self, Self::Set | Self::Sets | Self::Values)
    }
}

/// A word in lower case, without an allocation; empty for a word that is too long to be looked for.
pub(super) struct Lowered {
    bytes: [u8; 12],
    len: usize,
}

impl Lowered {
    pub(super) fn of(word: &str) -> Self {
        let mut bytes = [0; 12];
        let mut len = 0;
        if let Some(lower) = bytes.get_mut(..word.len()) {
            lower.copy_from_slice(word.as_bytes());
            lower.make_ascii_lowercase();
            len = word.len();
        }
        Self { bytes, len }
    }
}

impl std::ops::Deref for Lowered {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

//! The few words of SQL that decide how a statement is normalized. Every other word is the same to plantail, keyword or name.

/// What a word does to the tokens after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Array,
    As,
    Atomic,
    Begin,
    By,
    Case,
    Cast,
    /// Begins a part of a query, and so ends an ORDER BY or GROUP BY list.
    Clause,
    /// AND, OR, THEN and the like: an expression comes after it, which may be a constant.
    Connective,
    /// TRUE, FALSE, NULL.
    Constant,
    Default,
    Distinct,
    /// The ON of DISTINCT ON, whose list may hold columns' numbers.
    DistinctOn,
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
    Uescape,
    Values,
    /// Any other word.
    Other,
}

impl Keyword {
    pub(super) fn of(word: &str) -> Self {
        match &*Lowered::of(word) {
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
            b"distinct" => Self::Distinct,
            b"end" => Self::End,
            b"group" => Self::Group,
            b"in" => Self::In,
            b"and" | b"between" | b"else" | b"ilike" | b"like" | b"or" | b"then" | b"when" => {
                Self::Connective
            }
            b"absolute" | b"all" | b"backward" | b"check" | b"conflict" | b"exists" | b"filter"
            | b"forward" | b"from" | b"increment" | b"is" | b"join" | b"key" | b"lateral"
            | b"materialized" | b"maxvalue" | b"minvalue" | b"move" | b"not" | b"on" | b"only"
            | b"options" | b"over" | b"relative" | b"similar" | b"unique" | b"using" | b"with"
            | b"zone" => Self::Operand,
            b"order" => Self::Order,
            b"row" => Self::Row,
            b"set" => Self::Set,
            b"cube" | b"rollup" | b"sets" => Self::Sets,
            b"to" => Self::To,
            b"uescape" => Self::Uescape,
            b"values" => Self::Values,
            _ => Self::Other,
        }
    }

    /// A sign after it is no subtraction.
    pub(super) fn starts_expression(self) -> bool {
        matches!(
            self,
            Self::As
                | Self::By
                | Self::Case
                | Self::Clause
                | Self::Connective
                | Self::Distinct
                | Self::DistinctOn
                | Self::In
                | Self::Operand
                | Self::To
        )
    }

    /// TRUE, FALSE or NULL after it is a value.
    pub(super) fn precedes_value(self) -> bool {
        matches!(self, Self::Case | Self::Clause | Self::Connective)
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

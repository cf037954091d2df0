//! Which parentheses hold type modifiers, `varchar(20)`, whose numbers are no literals.
//!
//! Fed with the tokens of a statement one after the other, without whitespace and comments.

use super::{
    keyword::Lowered,
    lexer::{Token, TokenKind},
};

/// Where the last token left us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum TypePosition {
    #[default]
    Elsewhere,
    /// A type's name must follow.
    Before,
    /// In a name after which parentheses hold modifiers.
    Name,
    /// In the name of a type that is also the name of a function: parentheses after it hold arguments.
    Callable,
    Modifiers,
}

impl TypePosition {
    /// The position after `token`.
    pub(super) fn after(self, token: &Token<'_>) -> Self {
        use TokenKind::{Cast, Number, Operator, QuotedIdentifier, Word};
        match (self, token.kind) {
            (_, Cast) => Self::Before,
            (Self::Modifiers, Number | Word | Operator) => self,
            (Self::Modifiers, _) if token.is(",") => self,
            (Self::Modifiers, _) if token.is(")") => Self::Name,
            (Self::Before, Word | QuotedIdentifier) => Self::Name,
            (Self::Name, _) if token.is("(") => Self::Modifiers,
            (Self::Name, _) if token.is(".") => Self::Before,
            (Self::Name | Self::Callable, _) if token.is("[") || token.is("]") => self,
            (Self::Name | Self::Callable, Word) if continues_name(token.text) => self,
            (_, Word) => starts_name(token.text),
            _ => Self::Elsewhere,
        }
    }
}

/// `double precision`, `character varying`, `timestamp (3) with time zone`
fn continues_name(word: &str) -> bool {
    matches!(
        &*Lowered::of(word),
        b"precision" | b"varying" | b"with" | b"without" | b"time" | b"zone"
    )
}

/// Manual, table 8.1 and appendix C: type names that are key words can't be called like functions, the others can.
fn starts_name(word: &str) -> TypePosition {
    match &*Lowered::of(word) {
        b"bit" | b"char" | b"character" | b"dec" | b"decimal" | b"float" | b"interval"
        | b"nchar" | b"numeric" | b"time" | b"timestamp" | b"varchar" => TypePosition::Name,
        b"bigint" | b"bool" | b"boolean" | b"bytea" | b"cidr" | b"date" | b"double" | b"float4"
        | b"float8" | b"inet" | b"int" | b"int2" | b"int4" | b"int8" | b"integer" | b"json"
        | b"jsonb" | b"macaddr" | b"money" | b"oid" | b"real" | b"regclass" | b"smallint"
        | b"text" | b"timestamptz" | b"uuid" | b"xml" => TypePosition::Callable,
        _ => TypePosition::Elsewhere,
    }
}

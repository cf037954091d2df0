//! Words of utility statements that are values: settings, passwords without quotes, and names that clients number.
//!
//! Fed with the tokens of one statement one after the other, without white space and comments; says of each whether it is written as it is,
//! as a parameter, or not at all. Quoted literals are no business of this: they are parameters wherever they stand.

use super::{
    keyword::Lowered,
    lexer::{Token, TokenKind},
};

/// What becomes of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// What it would be in any other statement.
    AsUsual,
    /// A parameter.
    Value,
    /// It belongs to the value before it.
    Dropped,
}

/// Where the tokens so far have led in the statement's grammar (manual, part VI "SQL Commands").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Utility {
    /// Before the first word.
    #[default]
    Start,
    /// Nothing more can come that is meant here.
    Other,
    /// `CREATE`: a role may follow.
    Create,
    /// `ALTER`: a role may follow, or a `SET`.
    Alter,
    /// `CREATE ROLE`: a password may follow.
    CreateRole,
    /// `ALTER ROLE`: a password or a `SET` may follow.
    AlterRole,
    /// `SET`: the name of a setting, then `=` or `TO`.
    Setting,
    /// A value follows, and with it the rest of the statement.
    Value,
    /// A password in parentheses follows: it alone is the value.
    Option,
    Rest,
    /// A savepoint, cursor or prepared statement follows. Drivers number these, so that each would make a query of its own.
    Name,
    /// `ROLLBACK`: a savepoint may follow after `TO`.
    Rollback,
    /// `FETCH` or `MOVE`: any word that is no direction is the cursor.
    Cursor,
}

impl Utility {
    /// Whether the statement's text is taken up by a value that goes on to its end.
    pub(super) fn is_masked(self) -> bool {
        self == Self::Rest
    }

    /// Takes the next token. `at_top_level`: it stands in no parenthesis.
    pub(super) fn take(&mut self, token: &Token<'_>, at_top_level: bool) -> Treatment {
        use Treatment::{AsUsual, Dropped, Value};
        let (next, treatment) = match self {
            Self::Other => return AsUsual,
            Self::Rest => return Dropped,
            Self::Value if is_word(token, &["default", "none"]) => (Self::Other, AsUsual),
            Self::Value => (Self::Rest, Value),
            Self::Option if token.is("=") => return AsUsual,
            Self::Option => (Self::Other, Value),
            Self::CreateRole | Self::AlterRole if is_word(token, &["password"]) => {
                let value = if at_top_level {
                    Self::Value
                } else {
                    Self::Option
                };
                (value, AsUsual)
            }
            _ if !at_top_level => return AsUsual,
            _ => self.at_top_level(token),
        };
        *self = next;
        treatment
    }

    fn at_top_level(self, token: &Token<'_>) -> (Self, Treatment) {
        let is_name = matches!(
            token.kind,
            TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::Parameter
        );
        let next = match self {
            Self::Start => first_word(token),
            Self::Create if is_word(token, &["role", "user", "group"]) => Self::CreateRole,
            Self::Alter if is_word(token, &["role", "user", "group"]) => Self::AlterRole,
            Self::Create => Self::Other,
            Self::Alter | Self::AlterRole if is_word(token, &["set"]) => Self::Setting,
            Self::Setting
                if token.is("=") || is_word(token, &["to", "role", "authorization", "zone"]) =>
            {
                Self::Value
            }
            Self::Rollback if is_word(token, &["to"]) => Self::Name,
            Self::Rollback if is_word(token, &["work", "transaction"]) => self,
            Self::Rollback => Self::Other,
            Self::Name if is_word(token, &["all", "transaction"]) => Self::Other,
            Self::Name if is_word(token, &["savepoint", "prepare"]) => self,
            Self::Name if is_name => return (Self::Other, Treatment::Value),
            Self::Name => Self::Other,
            Self::Cursor if is_name && !is_direction(token) => {
                return (Self::Other, Treatment::Value);
            }
            _ => self,
        };
        (next, Treatment::AsUsual)
    }
}

fn first_word(token: &Token<'_>) -> Utility {
    match &*Lowered::of(token.text) {
        b"alter" => Utility::Alter,
        b"close" | b"deallocate" | b"declare" | b"prepare" | b"release" | b"savepoint" => {
            Utility::Name
        }
        b"create" => Utility::Create,
        b"fetch" | b"move" => Utility::Cursor,
        b"rollback" => Utility::Rollback,
        b"set" => Utility::Setting,
        _ => Utility::Other,
    }
}

/// Manual, FETCH: the words between the command and the cursor's name.
fn is_direction(token: &Token<'_>) -> bool {
    is_word(
        token,
        &[
            "next", "prior", "first", "last", "absolute", "relative", "all", "forward", "backward",
            "from", "in",
        ],
    )
}

fn is_word(token: &Token<'_>, words: &[&str]) -> bool {
    token.kind == TokenKind::Word
        && words
            .iter()
            .any(|word| token.text.eq_ignore_ascii_case(word))
}

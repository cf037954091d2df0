//! Scalars that GraphQL doesn't have: 64-bit integers as strings, because JSON numbers lose digits over 2^53 in most clients. Times are juniper's
//! `DateTime` (RFC 3339, UTC).

use juniper::GraphQLScalar;

/// A 64-bit integer in decimal digits, as a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLScalar)]
#[graphql(
    to_output_with = Self::digits,
    from_input_with = Self::from_input,
    parse_token(String)
)]
pub(super) struct BigInt(i128);

impl BigInt {
    fn digits(&self) -> String {
        self.0.to_string()
    }

    fn from_input(text: &str) -> Result<Self, Box<str>> {
        text.parse()
            .map(Self)
            .map_err(|_| "a BigInt is decimal digits in a string".into())
    }
}

impl From<u64> for BigInt {
    fn from(number: u64) -> Self {
        Self(number.into())
    }
}

impl From<i64> for BigInt {
    fn from(number: i64) -> Self {
        Self(number.into())
    }
}

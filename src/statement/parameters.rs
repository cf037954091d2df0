//! The DETAIL of a statement's log record: the parameters of a bind or execute, or the prepared statement behind an SQL EXECUTE.
//!
//! A DETAIL text comes in; its parts go out, borrowed. The values are for counting and redaction only: they are literals.

use std::{fmt, sync::LazyLock};

use nom::{
    Finish, IResult, Parser,
    branch::alt,
    bytes::complete::tag,
    character::complete::{char, u32},
    combinator::{map, value},
    multi::separated_list0,
    sequence::{preceded, separated_pair},
};

use super::{
    catalog::{MESSAGES, Messages},
    template::Template,
};

/// What a DETAIL tells of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail<'a> {
    /// `parameters:` up to PostgreSQL 16, `Parameters:` from 17 on.
    Parameters(Vec<Parameter<'a>>),
    /// `prepare:` the PREPARE statement behind an EXECUTE.
    Prepare(&'a str),
}

/// A bound parameter as it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'a> {
    pub number: u32,
    /// Between the quotes, with quotes within still doubled; `None` for NULL. Ends in `...` where `log_parameter_max_length` cut it.
    pub value: Option<&'a str>,
}

/// As the server prints it.
impl fmt::Display for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(value) => write!(f, "${} = '{value}'", self.number),
            None => write!(f, "${} = NULL", self.number),
        }
    }
}

/// Reads a DETAIL, in any language; `None` where it is about something else or a parameter can't be read.
pub fn read(detail: &str) -> Option<Detail<'_>> {
    static PARAMETERS: LazyLock<Vec<Template>> = LazyLock::new(|| {
        let formats = MESSAGES.iter().flat_map(|language| {
            let printed = |format: &&str| Template::printed(format, language.encodings);
            language.parameters.iter().flat_map(printed)
        });
        formats.collect()
    });
    static PREPARE: LazyLock<Vec<Template>> = LazyLock::new(|| {
        let printed = |language: &Messages| Template::printed(language.prepare, language.encodings);
        MESSAGES.iter().flat_map(printed).collect()
    });
    let parameters = PARAMETERS.iter().find_map(|template| {
        let (left, list) = list(template.only_argument(detail)?).finish().ok()?;
        left.is_empty().then_some(Detail::Parameters(list))
    });
    parameters.or_else(|| {
        let statement = PREPARE
            .iter()
            .find_map(|template| template.only_argument(detail));
        statement.map(Detail::Prepare)
    })
}

type Parsed<'a, T> = IResult<&'a str, T, ()>;

/// parameter {`, ` parameter}; also the "Query Parameters" of a plan
fn list(input: &str) -> Parsed<'_, Vec<Parameter<'_>>> {
    separated_list0(tag(", "), parameter).parse(input)
}

/// `$N = 'VALUE'` or `$N = NULL`
fn parameter(input: &str) -> Parsed<'_, Parameter<'_>> {
    map(
        separated_pair(
            preceded(char('$'), u32),
            tag(" = "),
            alt((value(None, tag("NULL")), quoted)),
        ),
        |(number, value)| Parameter { number, value },
    )
    .parse(input)
}

/// `'…'`, quotes within doubled, backslashes and newlines as they are
fn quoted(input: &str) -> Parsed<'_, Option<&str>> {
    let (body, _) = char('\'').parse(input)?;
    let mut quotes = memchr::memchr_iter(b'\'', body.as_bytes()).peekable();
    while let Some(at) = quotes.next() {
        if quotes.next_if_eq(&(at + 1)).is_none() {
            let (inside, after) = body.split_at_checked(at).unwrap_or_default();
            return Ok((after.get(1..).unwrap_or_default(), Some(inside)));
        }
    }
    Err(nom::Err::Error(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(detail: &str, expected: &[(u32, Option<&str>)]) {
        let parameters = expected
            .iter()
            .map(|&(number, value)| Parameter { number, value })
            .collect();
        assert_eq!(
            read(detail),
            Some(Detail::Parameters(parameters)),
            "{detail}"
        );
    }

    #[test]
    fn parameters() {
        check(
            "parameters: $1 = '-5', $2 = NULL",
            &[(1, Some("-5")), (2, None)],
        );
        check(
            "Parameters: $1 = 'it''s', $2 = ''''",
            &[(1, Some("it''s")), (2, Some("''"))],
        );
        check(
            "Parameters: $1 = '$2 = ''x'', ', $2 = ''",
            &[(1, Some("$2 = ''x'', ")), (2, Some(""))],
        );
        check(
            "parameters: $1 = 'back\\', $2 = 'two\nlines...'",
            &[(1, Some("back\\")), (2, Some("two\nlines..."))],
        );
        check("parameters: $1 = '漢字'", &[(1, Some("漢字"))]);
        check("paramètres : $1 = '7'", &[(1, Some("7"))]);
        check("par\u{FFFD}metros: $1 = '7'", &[(1, Some("7"))]);
        check(
            "$1 = '7', $2 = NULL parametresi",
            &[(1, Some("7")), (2, None)],
        );
    }

    #[test]
    fn prepared_text() {
        assert_eq!(
            read("prepare: PREPARE p1(int) AS SELECT 'x'"),
            Some(Detail::Prepare("PREPARE p1(int) AS SELECT 'x'"))
        );
        assert_eq!(
            read("prepare:  prepare p1 as select 'x'"),
            Some(Detail::Prepare(" prepare p1 as select 'x'"))
        );
        assert_eq!(
            read("準備: prepare p1 as select 1"),
            Some(Detail::Prepare("prepare p1 as select 1"))
        );
    }

    #[test]
    fn other_details() {
        for detail in [
            "Key (id)=(1) already exists.",
            "parameters: $1 = 'open",
            "parameters: x",
            "",
        ] {
            assert_eq!(read(detail), None, "{detail}");
        }
    }
}

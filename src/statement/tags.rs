//! Tags that programs and frameworks write into a comment at the beginning or end of a statement: which page, job or route sent it.
//!
//! SQL text comes in, with the keys that may be kept; their values go out. What stands in a comment is as hostile as a literal: nothing is
//! kept that isn't asked for, and no more than a bounded number of short values.

use nom::{
    Finish, IResult, Parser,
    branch::alt,
    bytes::complete::{is_not, tag, take_while, take_while1},
    character::complete::{anychar, char, multispace0},
    combinator::{all_consuming, map, not, recognize},
    multi::{many0_count, separated_list1},
    sequence::{delimited, preceded, separated_pair},
};

use super::lexer::{Backslash, TokenKind, tokens_with};

/// Longer keys and values are no tags.
const KEY_BYTES: usize = 64;
const VALUE_BYTES: usize = 256;
/// How many comments are looked at on each side of a statement.
const COMMENTS: usize = 4;

/// The tags of `sql` whose keys are in `keys`, each key once, in the order written.
pub fn read(sql: &str, backslash: Backslash, keys: &[String]) -> Vec<(String, String)> {
    let mut tags: Vec<(String, String)> = Vec::new();
    if keys.is_empty() {
        return tags;
    }
    for comment in outer_comments(sql, backslash) {
        let Ok((_, pairs)) = all_consuming(pairs).parse(comment).finish() else {
            continue;
        };
        for (key, written) in pairs {
            let known = keys
                .iter()
                .any(|wanted| wanted == key && key.len() <= KEY_BYTES);
            if !known || tags.iter().any(|(earlier, _)| earlier == key) {
                continue;
            }
            if let Some(value) = decoded(written).filter(|value| value.len() <= VALUE_BYTES) {
                tags.push((key.to_owned(), value));
            }
        }
    }
    tags
}

/// What stands in the block comments before the first token and after the last.
fn outer_comments(sql: &str, backslash: Backslash) -> Vec<&str> {
    let mut leading = Vec::new();
    let mut trailing = Vec::new();
    let mut in_front = true;
    for token in tokens_with(sql, backslash) {
        match token.kind {
            TokenKind::Whitespace => {}
            TokenKind::Comment => {
                let comments = if in_front {
                    &mut leading
                } else {
                    &mut trailing
                };
                let inside = token
                    .text
                    .strip_prefix("/*")
                    .and_then(|text| text.strip_suffix("*/"));
                if comments.len() < COMMENTS {
                    comments.extend(inside);
                }
            }
            _ if token.is(";") => {}
            _ => {
                in_front = false;
                trailing.clear();
            }
        }
    }
    leading.append(&mut trailing);
    leading
}

type Parsed<'a, T> = IResult<&'a str, T, ()>;

/// A value as it is written.
#[derive(Clone, Copy)]
enum Written<'a> {
    /// sqlcommenter: URL-encoded, with quotes and backslashes behind a backslash.
    Quoted(&'a str),
    /// marginalia: as it is.
    Plain(&'a str),
}

/// pair {`,` pair}
fn pairs(input: &str) -> Parsed<'_, Vec<(&str, Written<'_>)>> {
    delimited(
        multispace0,
        separated_list1(delimited(multispace0, char(','), multispace0), pair),
        multispace0,
    )
    .parse(input)
}

/// key`='`value`'` (sqlcommenter's specification) or key`:`value (marginalia)
fn pair(input: &str) -> Parsed<'_, (&str, Written<'_>)> {
    alt((
        separated_pair(key, char('='), map(quoted, Written::Quoted)),
        separated_pair(
            key,
            char(':'),
            map(take_while(|c| c != ','), |value: &str| {
                Written::Plain(value.trim())
            }),
        ),
    ))
    .parse(input)
}

/// letters, digits, `_ - . %`
fn key(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| c.is_ascii_alphanumeric() || "_-.%".contains(c)).parse(input)
}

/// `'` {character except quote and backslash, or a backslash with the character after it} `'`
fn quoted(input: &str) -> Parsed<'_, &str> {
    let piece = alt((
        recognize(is_not("'\\")),
        recognize(preceded(char('\\'), anychar)),
    ));
    delimited(
        char('\''),
        recognize(many0_count(preceded(not(char('\'')), piece))),
        tag("'"),
    )
    .parse(input)
}

/// The value itself; `None` where it isn't text.
fn decoded(written: Written<'_>) -> Option<String> {
    let quoted = match written {
        Written::Plain(value) => return Some(value.to_owned()),
        Written::Quoted(quoted) => quoted,
    };
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'\\' => rest.next()?,
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(sql: &str, expected: &[(&str, &str)]) {
        let keys = ["application", "controller", "action", "route"].map(str::to_owned);
        let found = read(sql, Backslash::Plain, &keys);
        let found: Vec<_> = found
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, expected, "{sql}");
    }

    #[test]
    fn sqlcommenter() {
        check(
            "SELECT 1 /*action='%2Fparam*d',controller='index',traceparent='00-5bd66ef5-01'*/",
            &[("action", "/param*d"), ("controller", "index")],
        );
        check(
            r"SELECT 1; /* route='it\'s%20%C3%A9', application='a,b:c' */ ; -- x",
            &[("route", "it's é"), ("application", "a,b:c")],
        );
        check("SELECT 1 /*action=''*/", &[("action", "")]);
    }

    #[test]
    fn marginalia() {
        check(
            "/*application:Shop,controller:carts,action:show,line:/app/x.rb:7*/ SELECT 1",
            &[
                ("application", "Shop"),
                ("controller", "carts"),
                ("action", "show"),
            ],
        );
        check(
            "SELECT 1 /* application: Shop , action: */",
            &[("application", "Shop"), ("action", "")],
        );
    }

    #[test]
    fn what_is_no_tag() {
        for sql in [
            "SELECT /*action='x'*/ 1",
            "SELECT 1 /*action='x' and more*/",
            "SELECT 1 /*action='x",
            "SELECT '/*action=''x''*/'",
            "SELECT 1 -- action='x'",
            "SELECT 1 /*action='%zz'*/",
            "SELECT 1 /*action='%ff'*/",
            "SELECT 1 /*action=x*/",
            "SELECT 1 /*password='x',user:y*/",
            "SELECT 1 /*+ IndexScan(t) */",
        ] {
            check(sql, &[]);
        }
        check(
            &format!("SELECT 1 /*action='{}',route='r'*/", "x".repeat(257)),
            &[("route", "r")],
        );
        check("SELECT 1 /*action='a',action='b'*/", &[("action", "a")]);
        assert_eq!(read("SELECT 1 /*action='x'*/", Backslash::Plain, &[]), []);
    }

    proptest! {
        #[test]
        fn any_comment_is_read(comment in "(action|route|=|:|'|\\\\|%|4|,|/|\u{e9}| ){0,40}") {
            let keys = ["action".to_owned(), "route".to_owned()];
            let sql = format!("SELECT 1 /*{comment}*/");
            prop_assert!(read(&sql, Backslash::Plain, &keys).len() <= 2);
        }
    }
}

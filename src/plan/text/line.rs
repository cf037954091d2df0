//! Lines of a text plan, and the few things that stand on one: names, lists of expressions, labels.
//!
//! A literal or a quoted name may hold newlines, so a line ends at the first newline outside of quotes. PostgreSQL doubles the quotes in
//! what it quotes, and writes no single backslash before one, so that counting them is enough.

use std::borrow::Cow;

use memchr::memchr3;

use crate::plan::{Error, value::Json};

/// What the server prints as it is, unquoted: an apostrophe in it opens nothing.
const UNQUOTED: [&str; 7] = [
    "CTE ",
    "Conflict Arbiter Indexes: ",
    "Custom Scan (",
    "Foreign File: ",
    "Foreign Program: ",
    "Settings: ",
    "Trigger ",
];

/// One line: how many blanks it is indented by, and what follows them.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) indent: usize,
    pub(super) text: &'a str,
}

/// Takes the next line off `rest`; `None` at the end. An error where a quote stays open.
pub(super) fn next<'a>(rest: &mut Option<&'a str>) -> Option<Result<Line<'a>, Error>> {
    let input = (*rest)?;
    let unindented = input.trim_start_matches(' ');
    let indent = input.len() - unindented.len();
    let as_it_is = unindented.trim_start_matches("->  ");
    let end = if UNQUOTED.iter().any(|label| as_it_is.starts_with(label)) {
        Ok(unindented.find('\n').unwrap_or(unindented.len()))
    } else {
        end_outside_quotes(unindented)
    };
    let line = end.map(|end| {
        let (text, after) = unindented.split_at_checked(end).unwrap_or((unindented, ""));
        *rest = after.strip_prefix('\n');
        Line { indent, text }
    });
    if line.is_err() {
        *rest = None;
    }
    Some(line)
}

fn end_outside_quotes(text: &str) -> Result<usize, Error> {
    let mut open = None;
    let mut at = 0;
    while let Some(found) = text
        .as_bytes()
        .get(at..)
        .and_then(|rest| memchr3(b'\'', b'"', b'\n', rest))
    {
        let byte = text.as_bytes().get(at + found).copied();
        match open {
            None if byte == Some(b'\n') => return Ok(at + found),
            None => open = byte,
            Some(_) if open == byte => open = None,
            Some(_) => {}
        }
        at += found + 1;
    }
    match open {
        None => Ok(text.len()),
        Some(_) => Err(Error::Text),
    }
}

/// `Label: value`. Labels begin with a capital letter and hold no quotes.
pub(super) fn labelled(text: &str) -> Option<(&str, &str)> {
    let (label, value) = text.split_once(": ")?;
    let is_label = label.len() <= 64
        && label.starts_with(|c: char| c.is_ascii_uppercase())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" -/_.()".contains(&byte));
    is_label.then_some((label, value))
}

/// Expressions separated by `, ` outside of quotes and brackets.
pub(super) fn list(printed: &str) -> Json<'_> {
    let mut items = Vec::new();
    let (mut begin, mut depth, mut open) = (0, 0_usize, None);
    for (at, byte) in printed.bytes().enumerate() {
        match (open, byte) {
            (Some(quote), _) if byte == quote => open = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => open = Some(byte),
            (None, b'(' | b'[') => depth += 1,
            (None, b')' | b']') => depth = depth.saturating_sub(1),
            (None, b',') if depth == 0 => {
                items.push(Json::text(printed.get(begin..at).unwrap_or_default()));
                begin = at + ", ".len();
            }
            (None, _) => {}
        }
    }
    items.push(Json::text(printed.get(begin..).unwrap_or_default()));
    Json::List(items)
}

/// Takes a name off `rest` as PostgreSQL prints it (manual, 4.1.1): `orders`, or `"Or""ders"`.
pub(super) fn name<'a>(rest: &mut &'a str) -> Option<Cow<'a, str>> {
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([' ', '.', '"']).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end)?;
        *rest = after;
        return (!name.is_empty()).then_some(Cow::Borrowed(name));
    };
    let mut end = 0;
    loop {
        end += quoted.get(end..)?.find('"')?;
        if !quoted.get(end + 1..)?.starts_with('"') {
            break;
        }
        end += 2;
    }
    let (name, after) = quoted.split_at_checked(end)?;
    *rest = after.strip_prefix('"')?;
    Some(match name.contains('"') {
        true => name.replace("\"\"", "\"").into(),
        false => name.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_outside_of_quotes() {
        let mut rest = Some("  Filter: (a = 'x\n  ''y\"\n'::text)\n\"n\n\"\n    CTE it's\nend");
        let mut lines = Vec::new();
        while let Some(Ok(line)) = next(&mut rest) {
            lines.push((line.indent, line.text));
        }
        assert_eq!(
            lines,
            [
                (2, "Filter: (a = 'x\n  ''y\"\n'::text)"),
                (0, "\"n\n\""),
                (4, "CTE it's"),
                (0, "end"),
            ]
        );
        assert!(matches!(
            next(&mut Some("a = 'b\nc")),
            Some(Err(Error::Text))
        ));
    }

    #[test]
    fn labels() {
        let check = |text, expected| assert_eq!(labelled(text), expected, "{text}");
        check(
            "Sort Method: quicksort  Memory: 25kB",
            Some(("Sort Method", "quicksort  Memory: 25kB")),
        );
        check("I/O Timings: read=1", Some(("I/O Timings", "read=1")));
        check("filter: a", None);
        check("It's: a", None);
        check("Filter", None);
    }

    #[test]
    fn a_list_is_cut_outside_of_brackets_and_quotes() {
        let check = |printed, expected: &[&str]| {
            let expected = expected.iter().map(|item| Json::text(*item)).collect();
            assert_eq!(list(printed), Json::List(expected), "{printed}");
        };
        check("a", &["a"]);
        check(
            "a, f(b, c) DESC, '(, '::text, \"x, y\", ARRAY[1, 2], $1",
            &[
                "a",
                "f(b, c) DESC",
                "'(, '::text",
                "\"x, y\"",
                "ARRAY[1, 2]",
                "$1",
            ],
        );
    }

    #[test]
    fn names() {
        let check = |printed, expected: Option<&str>, left| {
            let mut rest = printed;
            assert_eq!(name(&mut rest).as_deref(), expected, "{printed}");
            assert_eq!(rest, left, "{printed}");
        };
        check("orders o", Some("orders"), " o");
        check("\"a \"\"b\"\".c\".\"d\"", Some("a \"b\".c"), ".\"d\"");
        check("é.b", Some("é"), ".b");
        check("", None, "");
        check("\"open", None, "\"open");
    }
}

//! The lines of a captured plan in JSON, as auto_explain prints them: which bytes are one, and which line can follow which.
//!
//! Lines come in without the tab of a continuation; what they are goes out. A record that is torn shows by lines that are none, or that
//! can't follow one another. What the plan says is not known here.

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while, take_while1};
use nom::character::complete::{anychar, char, one_of};
use nom::combinator::{all_consuming, eof, opt, recognize, value};
use nom::multi::{many0_count, separated_list0};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// One line of the plan's body: how far it is indented, and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlanLine {
    indent: usize,
    kind: Kind,
    has_comma: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `"Plan": {`, `[`: what it opens is on the lines to come.
    Opens,
    Closes,
    /// A value whole on its line.
    Whole,
}

impl PlanLine {
    /// `None` for bytes that are no line of a plan.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        all_consuming(plan_line).parse(line).ok().map(|(_, it)| it)
    }

    /// Whether `next` can be the line after this one: ExplainProperty and its kin indent each level by two.
    pub(super) fn can_precede(self, next: Self) -> bool {
        let closes = next.kind == Kind::Closes;
        match self.kind {
            Kind::Opens if closes => next.indent == self.indent,
            Kind::Opens => next.indent == self.indent + 2,
            _ if self.has_comma => !closes && next.indent == self.indent,
            _ => closes && next.indent + 2 == self.indent,
        }
    }

    /// Whether the plan ends with it.
    pub(super) fn ends_plan(self) -> bool {
        self.indent == 0 && self.kind == Kind::Closes
    }
}

/// Whether `beginning` can begin a line of a plan and ends where no text of a client stands: between values, in a key or in a number, but not
/// in a string value, which can hold a condition's literal or the statement.
pub(super) fn ends_outside_values(beginning: &[u8]) -> bool {
    let key_part = recognize((char('"'), take_while(|b| b != b'"' && b != b'\\')));
    let before_value = recognize((string, tag(":")));
    let number_part = recognize((key, opt(tag("-")), take_while(is_of_number)));
    let member = recognize((opt(key), value_of_line, opt(char(','))));
    let bracket = recognize((opt(key), one_of("{}[]"), opt(char(','))));
    preceded(
        blanks,
        alt((
            eof,
            all_consuming(key_part),
            all_consuming(before_value),
            all_consuming(number_part),
            all_consuming(member),
            all_consuming(bracket),
        )),
    )
    .parse(beginning)
    .is_ok()
}

/// `line = *" " ( ( "}" / "]" ) / [ key ] ( "{" / "[" / value ) ) [ "," ]`
fn plan_line(input: &[u8]) -> IResult<&[u8], PlanLine> {
    let closes = value(Kind::Closes, alt((char('}'), char(']'))));
    let opens = value(Kind::Opens, alt((char('{'), char('['))));
    let whole = value(Kind::Whole, value_of_line);
    // A list on one line is tried before the bracket that opens one of several.
    let rest = alt((closes, preceded(opt(key), alt((whole, opens)))));
    (blanks, rest, opt(char(',')))
        .map(|(indent, kind, comma): (&[u8], _, _)| PlanLine {
            indent: indent.len(),
            kind,
            has_comma: comma.is_some(),
        })
        .parse(input)
}

/// `key = string ":" " "`
fn key(input: &[u8]) -> IResult<&[u8], &[u8]> {
    recognize((string, tag(": "))).parse(input)
}

/// `value = string / number / "true" / "false" / "null" / list`
fn value_of_line(input: &[u8]) -> IResult<&[u8], &[u8]> {
    alt((string, scalar, list)).parse(input)
}

fn scalar(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let number = recognize((opt(char('-')), take_while1(is_of_number)));
    alt((number, tag("true"), tag("false"), tag("null"))).parse(input)
}

/// `list = "[" [ ( string / scalar ) *( ", " ( string / scalar ) ) ] "]"`
fn list(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let element = alt((string, scalar));
    recognize(delimited(
        char('['),
        separated_list0(tag(", "), element),
        char(']'),
    ))
    .parse(input)
}

/// `string = DQUOTE *( byte but DQUOTE and "\" / "\" byte ) DQUOTE`
fn string(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let escaped = recognize(preceded(char('\\'), anychar));
    recognize(delimited(
        char('"'),
        many0_count(alt((is_not("\"\\"), escaped))),
        char('"'),
    ))
    .parse(input)
}

fn blanks(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while(|b| b == b' ').parse(input)
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || b".eE+-".contains(&byte)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn lines_of_a_plan() {
        let check = |line: &str, expected: Option<(usize, Kind, bool)>| {
            let read = PlanLine::read(line.as_bytes());
            assert_eq!(
                read.map(|it| (it.indent, it.kind, it.has_comma)),
                expected,
                "{line}"
            );
        };
        check("{", Some((0, Kind::Opens, false)));
        check("  },", Some((2, Kind::Closes, true)));
        check("  \"Plan\": {", Some((2, Kind::Opens, false)));
        check("  \"Plans\": [", Some((2, Kind::Opens, false)));
        check("    \"Plan Rows\": 60000.00,", Some((4, Kind::Whole, true)));
        check("    \"Inner Unique\": false", Some((4, Kind::Whole, false)));
        check(
            r#"  "Output": ["a \"b\" {", "c"],"#,
            Some((2, Kind::Whole, true)),
        );
        check(r#"      ["a", "b"],"#, Some((6, Kind::Whole, true)));
        check(r#"  "Options": [],"#, Some((2, Kind::Whole, true)));
        check(r#"  "Query Text": "x\\","#, Some((2, Kind::Whole, true)));
        for none in [
            "",
            "plan:",
            "  \"Plan Rows\": 60000, 5",
            "  \"Plan",
            r#"  "Query Text": "x\","#,
            r#"  "Output": ["a" "b"],"#,
            "  } x",
        ] {
            check(none, None);
        }
    }

    #[test]
    fn which_line_follows_which() {
        let check = |before: &str, after: &str, expected| {
            let line = |text: &str| PlanLine::read(text.as_bytes()).unwrap();
            assert_eq!(
                line(before).can_precede(line(after)),
                expected,
                "{before} {after}"
            );
        };
        check("{", "  \"a\": 1,", true);
        check("{", "    \"a\": 1,", false);
        check("  \"Triggers\": [", "  ]", true);
        check("  \"a\": 1,", "  \"b\": {", true);
        check("  \"a\": 1,", "}", false);
        check("  \"a\": 1,", "    \"b\": 2", false);
        check("  \"a\": 1", "}", true);
        check("  \"a\": 1", "  \"b\": 1", false);
        check("    },", "    {", true);
        check("    }", "  ],", true);
    }

    #[test]
    fn beginnings_of_lines_without_text_of_clients() {
        let check = |beginning: &str, expected| {
            assert_eq!(
                ends_outside_values(beginning.as_bytes()),
                expected,
                "{beginning}"
            );
        };
        check("", true);
        check("      ", true);
        check("  \"Actual Star", true);
        check("  \"Actual Rows\"", true);
        check("  \"Actual Rows\": ", true);
        check("  \"Actual Rows\": 12.", true);
        check("  \"Output\": [\"a\", \"b\"],", true);
        check("  \"Query Text\": \"SELECT 1\"", true);
        check("  }", true);
        check("  \"Query Text\": \"SELECT ", false);
        check("  \"Output\": [\"a\", \"b", false);
        check("  \"Output\": [\"a\", ", false);
        check("no line", false);
    }
}

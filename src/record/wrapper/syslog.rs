//! Lines of syslog files: RFC 3164 as daemons write it, rsyslog's default with RFC 3339 times, RFC 5424; and what looks like them: Heroku's logplex,
//! `journalctl -o short-iso`.
//!
//! A line comes in, time, process and text of the server's messages go out. Hosts aren't told apart.

use std::borrow::Cow;

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take, take_till1, take_while_m_n};
use nom::combinator::{opt, recognize, rest, verify};
use nom::multi::{many0_count, many1_count};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};

use super::clock::{self, Clock, Printed};
use super::sequence::without_escapes;
use super::{Entry, Unwrapped};

/// What stands before a message.
struct Header<'a> {
    time: Printed,
    /// Program and, in brackets or a field of its own, process; `None` for what has neither, such as `last message repeated 3 times`.
    ident: Option<(&'a [u8], &'a [u8])>,
    text: &'a [u8],
}

/// The message of one line.
pub(super) fn entry<'a>(
    line: &'a [u8],
    clock: &Clock<'_>,
    syslog_ident: &[u8],
) -> Unwrapped<Entry<'a>> {
    let Ok((_, header)) = header(line) else {
        return Unwrapped::NotWrapped;
    };
    let Some((ident, process)) = header.ident else {
        return Unwrapped::Foreign;
    };
    // Heroku's `app[postgres.123]:` names the server where others have the process.
    let dot = process.iter().position(|byte| *byte == b'.');
    let (ident, process, text) = match dot.and_then(|at| process.split_at_checked(at)) {
        Some((name, number)) if ident == b"app" => (
            name,
            number.get(1..).unwrap_or_default(),
            without_database(header.text),
        ),
        _ => (ident, process, header.text),
    };
    if ident != syslog_ident {
        return Unwrapped::Foreign;
    }
    let (time, time_zone_assumed) = header.time.instant(clock);
    Unwrapped::Text(Entry {
        time,
        time_zone_assumed,
        process_id: std::str::from_utf8(process)
            .ok()
            .and_then(|id| id.parse().ok()),
        text: without_escapes(text).map_or(Cow::Borrowed(text), Cow::Owned),
    })
}

/// Whether a line has the header of a syslog message.
pub(super) fn is_message(line: &[u8]) -> bool {
    header(line).is_ok_and(|(_, header)| header.ident.is_some())
}

/// Heroku's `[DATABASE] ` before the numbers of the message.
fn without_database(text: &[u8]) -> &[u8] {
    let named = preceded(
        delimited(tag("["), is_not("]-"), tag("] ")),
        verify(rest, |text: &[u8]| text.starts_with(b"[")),
    );
    let parsed: IResult<&[u8], &[u8]> = { named }.parse(text);
    parsed.map_or(text, |(_, text)| text)
}

/// `[ "<" PRI ">" ] ( rfc5424 / rfc3164 )`
fn header(line: &[u8]) -> IResult<&[u8], Header<'_>> {
    preceded(
        opt(delimited(
            tag("<"),
            take_while_m_n(1, 3, |b: u8| b.is_ascii_digit()),
            tag(">"),
        )),
        alt((rfc5424, rfc3164)),
    )
    .parse(line)
}

/// As daemons write it: `time SP [ host SP ] ident [ "[" process "]" ] ":" [ SP ] text`
fn rfc3164(input: &[u8]) -> IResult<&[u8], Header<'_>> {
    let time = alt((terminated(clock::without_year, tag(" ")), clock::rfc3339));
    let host = terminated(word, tag(" "));
    let named = opt(alt((program, preceded(host, program))));
    (time, named, rest)
        .map(|(time, ident, text)| Header { time, ident, text })
        .parse(input)
}

/// `ident [ "[" process "]" ] ":" [ SP ]`
fn program(input: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    let ident = take_till1(|b: u8| b.is_ascii_whitespace() || b == b'[' || b == b':');
    let process = take_till1(|b: u8| b == b']' || b == b' ');
    (
        ident,
        opt(delimited(tag("["), process, tag("]"))),
        tag(":"),
        opt(tag(" ")),
    )
        .map(|(ident, process, _, _)| (ident, process.unwrap_or_default()))
        .parse(input)
}

/// RFC 5424, section 6: `"1" SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [ SP [ BOM ] MSG ]`
fn rfc5424(input: &[u8]) -> IResult<&[u8], Header<'_>> {
    let field = || terminated(word, tag(" "));
    let (text, (_, time, _host, ident, process, _message_id, _)) = (
        tag("1 "),
        clock::rfc3339,
        field(),
        field(),
        field(),
        field(),
        structured_data,
    )
        .parse(input)?;
    // rsyslog writes the blank before a message of RFC 3164 as a part of it, after its own.
    let text = text
        .strip_prefix(b"  ")
        .or_else(|| text.strip_prefix(b" "))
        .unwrap_or(text);
    let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
    let ident = Some((ident, process));
    Ok((&[], Header { time, ident, text }))
}

/// `STRUCTURED-DATA = "-" / 1*( "[" *( byte but "]" DQUOTE / string ) "]" )`
fn structured_data(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let inside = many1_count(alt((string, is_not("]\""))));
    alt((
        tag("-"),
        recognize(many1_count(delimited(tag("["), inside, tag("]")))),
    ))
    .parse(input)
}

/// `DQUOTE *( 1*byte but DQUOTE "\" / "\" byte ) DQUOTE`
fn string(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let escape = recognize((tag("\\"), take(1usize)));
    let inside = recognize(many0_count(alt((is_not("\"\\"), escape))));
    delimited(tag("\""), inside, tag("\"")).parse(input)
}

fn word(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_till1(|b: u8| b.is_ascii_whitespace()).parse(input)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    /// What a line is, as `TIME PROCESS TEXT`.
    fn check(line: &str, expected: &str) {
        let clock = Clock {
            zone: None,
            until: "2026-11-20T12:00:00Z".parse().unwrap(),
        };
        let shown = match entry(line.as_bytes(), &clock, b"postgres") {
            Unwrapped::Text(entry) => format!(
                "{} {:?} {}",
                entry.time,
                entry.process_id,
                String::from_utf8(entry.text.into_owned()).unwrap()
            ),
            Unwrapped::Foreign => "foreign".to_owned(),
            Unwrapped::Part => "part".to_owned(),
            Unwrapped::NotWrapped => "not wrapped".to_owned(),
        };
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn rfc_3164() {
        let expected = "2026-11-20T10:00:00Z Some(123) [7-1] LOG:  x";
        check("Nov 20 10:00:00 db1 postgres[123]: [7-1] LOG:  x", expected);
        check(
            "<134>Nov 20 10:00:00 db1 postgres[123]: [7-1] LOG:  x",
            expected,
        );
        check("Nov 20 10:00:00 postgres[123]: [7-1] LOG:  x", expected);
        check(
            "Nov 20 10:00:00 ::1 postgres[123]: [7-2] #011x",
            "2026-11-20T10:00:00Z Some(123) [7-2] \tx",
        );
        check(
            "Nov 20 10:00:00 db1 postgres: x",
            "2026-11-20T10:00:00Z None x",
        );
        check(
            "Nov 20 10:00:00 db1 postgres[123]:",
            "2026-11-20T10:00:00Z Some(123) ",
        );
        check("Nov 20 10:00:00 db1 sshd[123]: postgres[1]: x", "foreign");
        check("Nov 20 10:00:00 db1 postgres-b[123]: x", "foreign");
        check(
            "Nov 20 10:00:00 db1 last message repeated 3 times",
            "foreign",
        );
        check("Nov 20 10:00:00", "not wrapped");
        check("Nov 32 10:00:00 db1 postgres[123]: x", "not wrapped");
        check("", "not wrapped");
        check("\tpostgres[123]: x", "not wrapped");
    }

    #[test]
    fn times_of_rfc_3339() {
        let expected = "2026-11-20T09:00:00.5Z Some(123) [7-1] LOG:  x";
        check(
            "2026-11-20T10:00:00.500000+01:00 db1 postgres[123]: [7-1] LOG:  x",
            expected,
        );
        check(
            "2026-11-20T10:00:00.5+0100 db1 postgres[123]: [7-1] LOG:  x",
            expected,
        );
    }

    #[test]
    fn rfc_5424() {
        let expected = "2026-11-20T10:00:00.001Z Some(123) [7-1] LOG:  x";
        check(
            "<134>1 2026-11-20T10:00:00.001Z db1 postgres 123 - - [7-1] LOG:  x",
            expected,
        );
        check(
            "1 2026-11-20T10:00:00.001Z db1 postgres 123 - -  [7-1] LOG:  x",
            expected,
        );
        check(
            "<134>1 2026-11-20T10:00:00.001Z db1 postgres 123 - [a@1 b=\"]\\\"\"][c] \u{FEFF}[7-1] LOG:  x",
            expected,
        );
        check(
            "<134>1 2026-11-20T10:00:00.001Z db1 postgres 123 - -",
            "2026-11-20T10:00:00.001Z Some(123) ",
        );
        check(
            "<134>1 2026-11-20T10:00:00.001Z db1 sshd 123 - - x",
            "foreign",
        );
        check("<134>1 - db1 postgres 123 - - x", "not wrapped");
        check(
            "<134>1 2026-11-20T10:00:00.001Z db1 postgres 123 - [a x",
            "not wrapped",
        );
    }

    #[test]
    fn heroku() {
        check(
            "2026-11-20T10:00:00+00:00 app[postgres.123]: [DATABASE] [7-1]  sql_error_code = 00000 LOG:  x",
            "2026-11-20T10:00:00Z Some(123) [7-1]  sql_error_code = 00000 LOG:  x",
        );
        check(
            "<134>1 2026-11-20T10:00:00+00:00 host app postgres.123 - [GREEN] [7-1] x",
            "2026-11-20T10:00:00Z Some(123) [7-1] x",
        );
        check("2026-11-20T10:00:00+00:00 app[web.1]: x", "foreign");
        check("2026-11-20T10:00:00+00:00 heroku[router]: x", "foreign");
    }
}

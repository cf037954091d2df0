//! Times as the server prints them: `%m`, `%t`, `%s`, `%n` and the first column of csvlog and jsonlog, with the zone of `log_timezone`.
//!
//! Printed text comes in, an instant comes out, and whether a zone had to be assumed. Zones are abbreviations (`CET`) or numbers (`+0545`).
//! An abbreviation means what the server's configured zone says, else the one offset that it has in the time zone database, else UTC.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while_m_n, take_while1};
use nom::combinator::{all_consuming, map_opt, opt, recognize};
use nom::sequence::terminated;
use nom::{IResult, Parser};

/// A time as printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrintedTime<'a> {
    /// Wall clock and the name of its zone.
    Local { wall: DateTime, zone: &'a [u8] },
    /// Seconds and milliseconds since the epoch.
    Epoch(Timestamp),
}

/// `%t`, `%s`: `YYYY-MM-DD HH:MM:SS ZONE`
pub(super) fn with_seconds(input: &[u8]) -> IResult<&[u8], PrintedTime<'_>> {
    (terminated(wall_clock, tag(" ")), zone)
        .map(|(wall, zone)| PrintedTime::Local { wall, zone })
        .parse(input)
}

/// `%m`: `YYYY-MM-DD HH:MM:SS.mmm ZONE`
pub(super) fn with_milliseconds(input: &[u8]) -> IResult<&[u8], PrintedTime<'_>> {
    (
        terminated(wall_clock, tag(".")),
        terminated(three_digits, tag(" ")),
        zone,
    )
        .map(|(wall, milliseconds, zone)| PrintedTime::Local {
            wall: wall.saturating_add(SignedDuration::from_millis(milliseconds)),
            zone,
        })
        .parse(input)
}

/// `%n`: `SECONDS.mmm` since the epoch
pub(super) fn epoch(input: &[u8]) -> IResult<&[u8], PrintedTime<'_>> {
    map_opt(
        (terminated(digits(1, 12), tag(".")), three_digits),
        |(seconds, milliseconds)| {
            let milliseconds = number(seconds)?
                .checked_mul(1000)?
                .checked_add(milliseconds)?;
            Timestamp::from_millisecond(milliseconds)
                .ok()
                .map(PrintedTime::Epoch)
        },
    )
    .parse(input)
}

/// The first column of csvlog, the first key of jsonlog: as `%m`, nothing after it.
pub(super) fn whole(text: &[u8]) -> Option<PrintedTime<'_>> {
    all_consuming(alt((with_milliseconds, with_seconds)))
        .parse(text)
        .ok()
        .map(|(_, time)| time)
}

/// `YYYY-MM-DD HH:MM:SS`
fn wall_clock(input: &[u8]) -> IResult<&[u8], DateTime> {
    map_opt(take(19usize), |text: &[u8]| {
        let [
            y1,
            y2,
            y3,
            y4,
            b'-',
            o1,
            o2,
            b'-',
            d1,
            d2,
            b' ',
            h1,
            h2,
            b':',
            m1,
            m2,
            b':',
            s1,
            s2,
        ] = *text
        else {
            return None;
        };
        let digit = |byte: u8| byte.is_ascii_digit().then(|| (byte - b'0').cast_signed());
        let two = |tens, ones| Some(digit(tens)? * 10 + digit(ones)?);
        let year = i16::from(two(y1, y2)?) * 100 + i16::from(two(y3, y4)?);
        DateTime::new(
            year,
            two(o1, o2)?,
            two(d1, d2)?,
            two(h1, h2)?,
            two(m1, m2)?,
            two(s1, s2)?,
            0,
        )
        .ok()
    })
    .parse(input)
}

fn three_digits(input: &[u8]) -> IResult<&[u8], i64> {
    map_opt(digits(3, 3), number).parse(input)
}

/// An abbreviation of letters, or a sign with two, four or six digits. Each ends at the first byte that it can't hold, so that `%t-%c` and
/// `%t:%r` can be told apart.
fn zone(input: &[u8]) -> IResult<&[u8], &[u8]> {
    alt((
        take_while1(|b: u8| b.is_ascii_alphabetic()),
        recognize(numeric_zone),
    ))
    .parse(input)
}

/// `+HH`, `+HHMM`, `+HHMMSS`, or `-` for places west of Greenwich.
fn numeric_zone(input: &[u8]) -> IResult<&[u8], Offset> {
    map_opt(
        (
            alt((tag("+"), tag("-"))),
            digits(2, 2),
            opt((digits(2, 2), opt(digits(2, 2)))),
        ),
        |(sign, hours, rest)| {
            let (minutes, seconds) = rest.map_or((None, None), |(m, s)| (Some(m), s));
            let part = |text: Option<&[u8]>| text.map_or(Some(0), number);
            let total = number(hours)? * 3600 + part(minutes)? * 60 + part(seconds)?;
            let total = i32::try_from(total).ok()?;
            Offset::from_seconds(if sign == b"-" { -total } else { total }).ok()
        },
    )
    .parse(input)
}

fn digits<'a>(
    least: usize,
    most: usize,
) -> impl Parser<&'a [u8], Output = &'a [u8], Error = nom::error::Error<&'a [u8]>> {
    take_while_m_n(least, most, |b: u8| b.is_ascii_digit())
}

/// Decimal digits as a number.
fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The instant of a printed time, and whether its zone had to be assumed. `log_timezone` is the server's, if known.
pub(super) fn instant(
    printed: PrintedTime<'_>,
    log_timezone: Option<&TimeZone>,
) -> (Timestamp, bool) {
    let (wall, zone) = match printed {
        PrintedTime::Local { wall, zone } => (wall, zone),
        PrintedTime::Epoch(timestamp) => return (timestamp, false),
    };
    let known = match zone {
        b"UTC" | b"GMT" | b"UCT" | b"Z" => Some(Offset::UTC),
        _ => numeric_zone(zone)
            .ok()
            .map(|(_, offset)| offset)
            .or_else(|| offset_in(log_timezone?, wall, zone))
            .or_else(|| unambiguous(zone)),
    };
    let timestamp = known
        .unwrap_or(Offset::UTC)
        .to_timestamp(wall)
        .unwrap_or(if wall.year() > 0 {
            Timestamp::MAX
        } else {
            Timestamp::MIN
        });
    (timestamp, known.is_none())
}

/// The offset that `zone` abbreviates in the server's time zone at that wall clock time. `None` when the server calls it otherwise: then the
/// line was written under another setting.
fn offset_in(log_timezone: &TimeZone, wall: DateTime, zone: &[u8]) -> Option<Offset> {
    let candidates = match log_timezone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => [offset, offset],
        AmbiguousOffset::Gap { before, after } | AmbiguousOffset::Fold { before, after } => {
            [before, after]
        }
    };
    candidates.into_iter().find(|offset| {
        offset.to_timestamp(wall).is_ok_and(|timestamp| {
            log_timezone
                .to_offset_info(timestamp)
                .abbreviation()
                .as_bytes()
                == zone
        })
    })
}

/// Abbreviations with the one offset, in minutes, that they have wherever they are in use today.
const UNAMBIGUOUS: &[(&[u8], i32)] = &[
    (b"ACDT", 630),
    (b"ACST", 570),
    (b"ADT", -180),
    (b"AEDT", 660),
    (b"AEST", 600),
    (b"AKDT", -480),
    (b"AKST", -540),
    (b"AST", -240),
    (b"AWST", 480),
    (b"BST", 60),
    (b"CAT", 120),
    (b"CEST", 120),
    (b"CET", 60),
    (b"ChST", 600),
    (b"EAT", 180),
    (b"EDT", -240),
    (b"EEST", 180),
    (b"EET", 120),
    (b"EST", -300),
    (b"HDT", -540),
    (b"HKT", 480),
    (b"HST", -600),
    (b"IDT", 180),
    (b"JST", 540),
    (b"KST", 540),
    (b"MDT", -360),
    (b"MSK", 180),
    (b"MST", -420),
    (b"NDT", -150),
    (b"NST", -210),
    (b"NZDT", 780),
    (b"NZST", 720),
    (b"PDT", -420),
    (b"PKT", 300),
    (b"SAST", 120),
    (b"SST", -660),
    (b"WAT", 60),
    (b"WEST", 60),
    (b"WET", 0),
    (b"WIB", 420),
    (b"WIT", 540),
    (b"WITA", 480),
];

fn unambiguous(zone: &[u8]) -> Option<Offset> {
    let (_, minutes) = UNAMBIGUOUS.iter().find(|(name, _)| *name == zone)?;
    Offset::from_seconds(minutes * 60).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::collections::{BTreeMap, BTreeSet};

    use jiff::tz::TimeZoneDatabase;

    use super::*;

    /// The instant of a whole printed time in RFC 3339, with `?` when the zone was assumed.
    fn read(printed: &str, log_timezone: &str) -> String {
        let zone = (!log_timezone.is_empty()).then(|| TimeZone::get(log_timezone).unwrap());
        let printed = whole(printed.as_bytes())
            .or_else(|| Some(all_consuming(epoch).parse(printed.as_bytes()).ok()?.1));
        printed.map_or_else(
            || "none".to_owned(),
            |printed| {
                let (timestamp, assumed) = instant(printed, zone.as_ref());
                format!("{timestamp}{}", if assumed { "?" } else { "" })
            },
        )
    }

    #[test]
    fn printed_times() {
        let check = |printed, log_timezone, expected: &str| {
            assert_eq!(
                read(printed, log_timezone),
                expected,
                "{printed} in {log_timezone}"
            );
        };
        check(
            "2026-11-20 07:26:55.123 UTC",
            "",
            "2026-11-20T07:26:55.123Z",
        );
        check("2026-11-20 07:26:55 GMT", "", "2026-11-20T07:26:55Z");
        check("1795159573.219", "", "2026-11-20T07:26:13.219Z");
        check(
            "2026-11-20 07:26:55.123 -03",
            "",
            "2026-11-20T10:26:55.123Z",
        );
        check(
            "2026-11-20 07:26:55.123 +0545",
            "",
            "2026-11-20T01:41:55.123Z",
        );
        check(
            "2026-11-20 07:26:55.123 +1345",
            "",
            "2026-11-19T17:41:55.123Z",
        );
        check("2026-11-20 07:26:55.000 CET", "", "2026-11-20T06:26:55Z");
        check("2026-11-20 07:26:55.000 IST", "", "2026-11-20T07:26:55Z?");
        check(
            "2026-11-20 07:26:55.000 IST",
            "Asia/Kolkata",
            "2026-11-20T01:56:55Z",
        );
        check(
            "2026-07-20 07:26:55.000 IST",
            "Europe/Dublin",
            "2026-07-20T06:26:55Z",
        );
        check("2026-11-20 07:26:55.000 LAST", "", "2026-11-20T07:26:55Z?");
        // The hour that occurs twice: the abbreviation says which.
        check(
            "2026-10-25 02:30:00.000 CEST",
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
        );
        check(
            "2026-10-25 02:30:00.000 CET",
            "Europe/Berlin",
            "2026-10-25T01:30:00Z",
        );
        // Written before the server's setting was in force.
        check(
            "2026-11-20 07:26:55.000 CET",
            "Asia/Kolkata",
            "2026-11-20T06:26:55Z",
        );
        check(
            "2026-11-20 07:26:55.000 CST",
            "Asia/Kolkata",
            "2026-11-20T07:26:55Z?",
        );
        check(
            "9999-12-31 23:59:59.999 -12",
            "",
            &Timestamp::MAX.to_string(),
        );
        check("2026-02-30 07:26:55.000 UTC", "", "none");
        check("2026-11-20 07:26:55.12 UTC", "", "none");
        check("2026-11-20 07:26:55.123", "", "none");
        check("2026-11-20 07:26:55.123 UTC ", "", "none");
    }

    #[test]
    fn a_zone_ends_where_the_next_escape_begins() {
        let rest = |printed: &'static str| with_seconds(printed.as_bytes()).unwrap().0;
        assert_eq!(
            rest("2026-11-20 07:26:19 UTC-6afff61b.1956-"),
            b"-6afff61b.1956-"
        );
        assert_eq!(
            rest("2026-11-20 07:26:19 -03-6afff61b.1956-"),
            b"-6afff61b.1956-"
        );
        assert_eq!(
            rest("2026-11-20 07:26:19 +03:127.0.0.1(5)"),
            b":127.0.0.1(5)"
        );
    }

    #[test]
    fn unambiguous_abbreviations_have_one_offset_in_the_time_zone_database() {
        let database = TimeZoneDatabase::bundled();
        let mut offsets: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        for name in database.available() {
            let zone = database.get(name.as_str()).unwrap();
            for instant in ["2026-01-15T00:00:00Z", "2026-07-15T00:00:00Z"] {
                let info = zone.to_offset_info(instant.parse().unwrap());
                offsets
                    .entry(info.abbreviation().to_owned())
                    .or_default()
                    .insert(info.offset().seconds() / 60);
            }
        }
        for (name, minutes) in UNAMBIGUOUS {
            let name = std::str::from_utf8(name).unwrap();
            assert_eq!(
                offsets.get(name),
                Some(&BTreeSet::from([*minutes])),
                "{name}"
            );
        }
    }
}

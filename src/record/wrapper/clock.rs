//! The times of wrappers: RFC 3339, and the one of RFC 3164 that has neither year nor zone.
//!
//! Printed text comes in, an instant goes out, and whether a zone had to be assumed.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use nom::bytes::complete::{tag, take};
use nom::combinator::map_opt;
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

/// A clock that ran ahead by up to this doesn't make a time one of the year before.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// How many years back a day such as 29 February is looked for.
const YEARS_BACK: i16 = 8;

/// What tells the missing parts of a time.
pub(super) struct Clock<'a> {
    /// Zone of the machine that printed it; `None`: read as UTC.
    pub(super) zone: Option<&'a TimeZone>,
    /// The log was not written after this.
    pub(super) until: Timestamp,
}

/// A time as a wrapper prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Printed {
    Whole(Timestamp),
    /// Month, day, hour, minute, second.
    WithoutYear([i8; 5]),
}

impl Printed {
    /// The instant, and whether its zone was assumed. Of the years that a time without one may be of, the last that isn't after the clock's.
    pub(super) fn instant(self, clock: &Clock<'_>) -> (Timestamp, bool) {
        let [month, day, hour, minute, second] = match self {
            Self::Whole(timestamp) => return (timestamp, false),
            Self::WithoutYear(parts) => parts,
        };
        let zone = clock.zone.cloned().unwrap_or(TimeZone::UTC);
        let latest = clock.until.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
        let this_year = latest.to_zoned(zone.clone()).year();
        let found = (0..=YEARS_BACK)
            .filter_map(|back| {
                let wall = DateTime::new(
                    this_year.checked_sub(back)?,
                    month,
                    day,
                    hour,
                    minute,
                    // A leap second has no instant of its own.
                    second.min(59),
                    0,
                );
                zone.to_timestamp(wall.ok()?).ok()
            })
            .find(|timestamp| *timestamp <= latest);
        (found.unwrap_or(clock.until), clock.zone.is_none())
    }
}

/// RFC 3164, section 4.1.2: `TIMESTAMP = Mmm SP (SP / DIGIT) DIGIT SP HH ":" MM ":" SS`
pub(super) fn without_year(input: &[u8]) -> IResult<&[u8], Printed> {
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let two = |text: &[u8]| match *text {
        [b' ', ones] if ones.is_ascii_digit() => Some((ones - b'0').cast_signed()),
        [tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit() => {
            Some(((tens - b'0') * 10 + (ones - b'0')).cast_signed())
        }
        _ => None,
    };
    let month = map_opt(take(3usize), |text: &[u8]| {
        let at = MONTHS.iter().position(|name| *name == text)?;
        i8::try_from(at + 1).ok()
    });
    let number = |separator: &'static str| preceded(tag(separator), map_opt(take(2usize), two));
    map_opt(
        (month, number(" "), number(" "), number(":"), number(":")),
        |(month, day, hour, minute, second)| {
            let is_time = (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
            is_time.then_some(Printed::WithoutYear([month, day, hour, minute, second]))
        },
    )
    .parse(input)
}

/// RFC 3339, section 5.6, with a zone as numbers (`+0100` too) or `Z`; what follows is a blank.
pub(super) fn rfc3339(input: &[u8]) -> IResult<&[u8], Printed> {
    map_opt(
        terminated(nom::bytes::complete::take_till(|b| b == b' '), tag(" ")),
        |text| timestamp(std::str::from_utf8(text).ok()?).map(Printed::Whole),
    )
    .parse(input)
}

/// The whole of `text` as a time of RFC 3339.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    let begins_as_one = text.len() <= 40
        && text.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && text.as_bytes().get(10) == Some(&b'T');
    begins_as_one.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn the_year_is_the_last_that_is_not_ahead() {
        let check = |printed: &[u8], zone: Option<&str>, until: &str, expected: &str| {
            let zone = zone.map(|name| TimeZone::get(name).unwrap());
            let clock = Clock {
                zone: zone.as_ref(),
                until: until.parse().unwrap(),
            };
            let (rest, printed) = without_year(printed).unwrap();
            assert!(rest.is_empty());
            assert_eq!(
                printed.instant(&clock),
                (expected.parse().unwrap(), zone.is_none())
            );
        };
        let now = "2026-11-20T10:00:00Z";
        check(b"Nov 20 09:59:59", None, now, "2026-11-20T09:59:59Z");
        check(b"Nov 21 09:00:00", None, now, "2026-11-21T09:00:00Z");
        check(b"Nov 22 09:00:00", None, now, "2025-11-22T09:00:00Z");
        check(b"Jan  1 00:00:00", None, now, "2026-01-01T00:00:00Z");
        check(b"Feb 29 00:00:00", None, now, "2024-02-29T00:00:00Z");
        check(
            b"Dec 31 23:59:60",
            None,
            "2026-01-01T00:00:00Z",
            "2025-12-31T23:59:59Z",
        );
        check(
            b"Jan  1 00:30:00",
            None,
            "2025-12-31T23:50:00Z",
            "2026-01-01T00:30:00Z",
        );
        check(
            b"Nov 20 10:30:00",
            Some("Europe/Berlin"),
            now,
            "2026-11-20T09:30:00Z",
        );
    }

    #[test]
    fn times_of_rfc_3339() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                timestamp(text),
                expected.map(|time| time.parse().unwrap()),
                "{text}"
            );
        };
        check(
            "2026-11-20T10:00:00.123456+01:00",
            Some("2026-11-20T09:00:00.123456Z"),
        );
        check("2026-11-20T10:00:00+0100", Some("2026-11-20T09:00:00Z"));
        check(
            "2026-11-20T10:00:00.123456789Z",
            Some("2026-11-20T10:00:00.123456789Z"),
        );
        check("2026-11-20 10:00:00Z", None);
        check("2026-11-20T10:00:00", None);
        check("", None);
    }
}

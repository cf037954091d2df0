//! Spans of log time as the history can answer them: by whole hours and, where the hours of a day were dropped, by whole days.
//!
//! The days that lie in a span are read from the days; what is left at its two ends, from the hours.

use jiff::Timestamp;

/// Microseconds.
pub(super) const HOUR: i64 = 3_600_000_000;
pub(super) const DAY: i64 = 24 * HOUR;

fn floor(us: i64, unit: i64) -> i64 {
    us - us.rem_euclid(unit)
}

/// Later than everything, and a midnight: a span to there has no last day of which a part is outside.
fn end() -> i64 {
    floor(Timestamp::MAX.as_microsecond(), DAY)
}

/// First microsecond of the hour.
pub(super) fn hour_of(time: Timestamp) -> i64 {
    floor(time.as_microsecond(), HOUR)
}

/// First microsecond of the day, UTC.
pub(super) fn day_of(time: Timestamp) -> i64 {
    floor(time.as_microsecond(), DAY)
}

/// First microsecond of the day that the hour is in.
pub(super) fn day_of_hour(hour: i64) -> i64 {
    floor(hour, DAY)
}

/// Whole hours, from `since` to before `until`, in microseconds. Empty where they are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) since: i64,
    pub(super) until: i64,
}

impl Span {
    /// Both ends are inclusive and widened to their whole hour; without an end, everything from `since` on.
    pub(super) fn new(since: Timestamp, until: Option<Timestamp>) -> Self {
        let since = hour_of(since);
        let until = until.map_or_else(end, |until| hour_of(until) + HOUR);
        Self {
            since,
            until: until.max(since),
        }
    }

    /// Everything after `until`.
    pub(super) fn after(until: Timestamp) -> Self {
        Self {
            since: hour_of(until) + HOUR,
            until: end(),
        }
    }

    /// From days where they lie in it whole, from hours at both ends: no part of these is of two days.
    pub(super) fn parts(self) -> Parts {
        let begin = floor(self.since + DAY - 1, DAY).min(self.until);
        let days = Self {
            since: begin,
            until: floor(self.until, DAY).max(begin),
        };
        let before = Self {
            since: self.since,
            until: days.since,
        };
        let after = Self {
            since: days.until,
            until: self.until,
        };
        let ends = [before, after].into_iter();
        Parts {
            all: self,
            touched: self.touched(),
            days,
            hours: ends.filter(|span| !span.is_empty()).collect(),
        }
    }

    /// From hours.
    pub(super) fn hours(self) -> Parts {
        Parts {
            all: self,
            touched: self.touched(),
            days: Self { since: 0, until: 0 },
            hours: vec![self],
        }
    }

    /// From days, every one that it touches.
    pub(super) fn days(self) -> Parts {
        Parts {
            all: self,
            touched: self.touched(),
            days: self.touched(),
            hours: Vec::new(),
        }
    }

    pub(super) fn is_longer_than(self, us: i64) -> bool {
        self.until - self.since > us
    }

    fn is_empty(self) -> bool {
        self.since >= self.until
    }

    fn touched(self) -> Self {
        Self {
            since: floor(self.since, DAY),
            until: floor(self.until + DAY - 1, DAY),
        }
    }
}

/// Where a span is read from. None of these overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) all: Span,
    /// Every day that it touches. Those of them that have dropped their hours count whole.
    pub(super) touched: Span,
    /// Read from days in any case.
    pub(super) days: Span,
    /// Read from hours.
    pub(super) hours: Vec<Span>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn whole_days_and_what_is_left() {
        // In hours; 0 is a midnight.
        let check =
            |since: i64, until: i64, touched: [i64; 2], days: [i64; 2], ends: &[[i64; 2]]| {
                let at = |hour: i64| Timestamp::from_microsecond(hour * HOUR + 5).unwrap();
                let parts = Span::new(at(since), Some(at(until))).parts();
                let hours = |span: Span| [span.since / HOUR, span.until / HOUR];
                let left: Vec<_> = parts.hours.into_iter().map(hours).collect();
                assert_eq!(
                    (hours(parts.touched), hours(parts.days), left),
                    (touched, days, ends.to_vec()),
                    "{since} to {until}"
                );
            };
        check(0, 23, [0, 24], [0, 24], &[]);
        check(-24, 47, [-24, 48], [-24, 48], &[]);
        check(1, 23, [0, 24], [24, 24], &[[1, 24]]);
        check(2, 4, [0, 24], [5, 5], &[[2, 5]]);
        check(1, 30, [0, 48], [24, 24], &[[1, 24], [24, 31]]);
        check(23, 24, [0, 48], [24, 24], &[[23, 24], [24, 25]]);
        check(-30, 50, [-48, 72], [-24, 48], &[[-30, -24], [48, 51]]);
        check(-24, 50, [-24, 72], [-24, 48], &[[48, 51]]);
        check(5, 3, [0, 24], [5, 5], &[]);
    }
}

//! The pieces of time that partitions are made for, without any database: which one a day belongs to, its name, its bounds as PostgreSQL writes them.
//!
//! A day of UTC and the configured width come in, a [`Span`] goes out. However far in the past hostile times lie, their number stays bounded: days of
//! the last [`RECENT_DAYS`] have partitions of the configured width, older ones share partitions of [`COARSE_DAYS`], and what is older than
//! [`OLDEST`] shares one.

use std::fmt;

use jiff::{Timestamp, tz::TimeZone};

/// Longer ago retention has mostly dropped what there was.
const RECENT_DAYS: i64 = 400;
const COARSE_DAYS: i64 = 64;
/// 2000-01-01 as days since 1970-01-01: no PostgreSQL wrote logs before.
const OLDEST: i64 = 10_957;

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// From a microsecond since 1970-01-01 UTC up to another that doesn't belong to it. `i64::MIN` stands for the beginning of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub(super) from_us: i64,
    pub(super) to_us: i64,
}

impl Span {
    fn of_days(from: i64, to: i64) -> Self {
        Self {
            from_us: from.saturating_mul(DAY_US),
            to_us: to.saturating_mul(DAY_US),
        }
    }

    /// `FOR VALUES FROM ('…') TO ('…')`, as `pg_get_expr` shows the bounds of a partition.
    pub(super) fn parse(bounds: &str) -> Option<Self> {
        let (from, to) = bounds
            .strip_prefix("FOR VALUES FROM (")?
            .strip_suffix(')')?
            .split_once(") TO (")?;
        let bound = |text: &str| text.trim_matches('\'').parse().ok();
        Some(Self {
            from_us: match from {
                "MINVALUE" => i64::MIN,
                from => bound(from)?,
            },
            to_us: match to {
                "MAXVALUE" => i64::MAX,
                to => bound(to)?,
            },
        })
    }

    /// What of it no other covers, in order.
    pub(super) fn without(self, others: &[Self]) -> Vec<Self> {
        let mut others: Vec<_> = others.to_vec();
        others.sort_unstable();
        let mut gaps = Vec::new();
        let mut from_us = self.from_us;
        for other in others {
            if other.to_us <= from_us || other.from_us >= self.to_us {
                continue;
            }
            if other.from_us > from_us {
                gaps.push(Self {
                    from_us,
                    to_us: other.from_us,
                });
            }
            from_us = other.to_us;
        }
        if from_us < self.to_us {
            gaps.push(Self { from_us, ..self });
        }
        gaps
    }

    /// Of a table's partition, `executions_p20261120`.
    pub(super) fn name(self, table: &str) -> String {
        let (Ok(from), false) = (
            Timestamp::from_microsecond(self.from_us),
            self.from_us == i64::MIN,
        ) else {
            return format!("{table}_p_older");
        };
        let day = from.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string();
        match self.from_us.rem_euclid(DAY_US) {
            0 => format!("{table}_p{day}"),
            // Between partitions that somebody made by hand.
            us => format!("{table}_p{day}_{us}"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |us: i64| {
            Timestamp::from_microsecond(us)
                .map_or("the beginning".to_owned(), |time| time.to_string())
        };
        write!(f, "{} to {}", time(self.from_us), time(self.to_us))
    }
}

/// Days since 1970-01-01.
pub(super) fn day(time: Timestamp) -> i64 {
    time.as_microsecond().div_euclid(DAY_US)
}

/// The partition that a day belongs to when nothing is there yet.
pub(super) fn slot(day: i64, today: i64, width_days: i64) -> Span {
    let aligned = |width: i64| {
        let from = day.div_euclid(width) * width;
        Span::of_days(from.max(OLDEST), from + width)
    };
    if day < OLDEST {
        Span {
            from_us: i64::MIN,
            ..Span::of_days(0, OLDEST)
        }
    } else if day < today.saturating_sub(RECENT_DAYS) {
        aligned(COARSE_DAYS.max(width_days))
    } else {
        aligned(width_days)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::collections::BTreeSet;

    use super::*;

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn shown(time: &str, width_days: i64) -> String {
        let span = slot(day(at(time)), day(at(NOW)), width_days);
        format!("{} {span}", span.name("plans"))
    }

    #[test]
    fn days_of_utc_recent_ones_fine_old_ones_coarse() {
        let check = |time, width, expected: &str| assert_eq!(shown(time, width), expected);
        check(
            "2026-11-20T00:00:00Z",
            1,
            "plans_p20261120 2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z",
        );
        check(
            "2026-11-19T23:59:59.999999Z",
            1,
            "plans_p20261119 2026-11-19T00:00:00Z to 2026-11-20T00:00:00Z",
        );
        check(
            "2026-11-20T00:00:00Z",
            7,
            "plans_p20261119 2026-11-19T00:00:00Z to 2026-11-26T00:00:00Z",
        );
        check(
            "2025-10-16T00:00:00Z",
            1,
            "plans_p20251016 2025-10-16T00:00:00Z to 2025-10-17T00:00:00Z",
        );
        check(
            "2025-10-15T00:00:00Z",
            1,
            "plans_p20250921 2025-09-21T00:00:00Z to 2025-11-24T00:00:00Z",
        );
        check(
            "2025-10-15T00:00:00Z",
            366,
            "plans_p20250211 2025-02-11T00:00:00Z to 2026-02-12T00:00:00Z",
        );
        check(
            "1999-12-31T23:59:59Z",
            1,
            "plans_p_older the beginning to 2000-01-01T00:00:00Z",
        );
        check(
            "0001-01-01T00:00:00Z",
            1,
            "plans_p_older the beginning to 2000-01-01T00:00:00Z",
        );
    }

    #[test]
    fn hostile_times_make_a_bounded_number_of_partitions() {
        let today = day(at(NOW));
        let slots: BTreeSet<_> = (-800_000..=today + 31)
            .map(|day| slot(day, today, 1))
            .collect();
        assert!(slots.len() < 600, "{}", slots.len());
    }

    #[test]
    fn what_others_cover_is_left_out() {
        let days = |from, to| Span::of_days(from, to);
        let check = |others: &[Span], expected: &[Span]| {
            assert_eq!(days(10, 20).without(others), expected);
        };
        check(&[], &[days(10, 20)]);
        check(&[days(0, 10), days(20, 30)], &[days(10, 20)]);
        check(&[days(10, 20)], &[]);
        check(&[days(15, 40), days(5, 11)], &[days(11, 15)]);
        check(
            &[days(12, 13), days(14, 15)],
            &[days(10, 12), days(13, 14), days(15, 20)],
        );
    }

    #[test]
    fn bounds_are_read_as_they_are_shown() {
        let check = |bounds, from_us, to_us| {
            assert_eq!(Span::parse(bounds), Some(Span { from_us, to_us }));
        };
        check("FOR VALUES FROM ('-5') TO ('86400000000')", -5, DAY_US);
        check(
            "FOR VALUES FROM (MINVALUE) TO (MAXVALUE)",
            i64::MIN,
            i64::MAX,
        );
        for unknown in [
            "DEFAULT",
            "",
            "FOR VALUES FROM ('a') TO ('1')",
            "FOR VALUES IN (1)",
        ] {
            assert_eq!(Span::parse(unknown), None, "{unknown}");
        }
    }
}

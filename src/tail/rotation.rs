//! The decision table of rotation: what the state of a file means for the generation in it, and which format of a server is read.
//!
//! Pure: sightings in, verdicts out.

use crate::model::position::{GapReason, LogFormat};

/// What of a generation has been seen in its file and not yet been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    Nothing,
    Something,
    /// Not looked at since the start: it may have grown.
    Unknown,
}

/// How things stand with a generation that has not ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    /// A file, open or known, holds its content.
    pub(super) placed: bool,
    /// That file has a name in the watched directories; a deleted one that is open hasn't.
    pub(super) named: bool,
    pub(super) unread: Unread,
    /// The file has been silent for a while.
    pub(super) quiet: bool,
    /// Something newer is written to another file of the server.
    pub(super) superseded: bool,
    /// Something that can't be looked at now might hold it.
    pub(super) may_be_hidden: bool,
    /// How many looks in a row found no file for it. One proves nothing: a rename during the listing hides a file from it.
    pub(super) missing_looks: u32,
    /// Another content is at its path.
    pub(super) overwritten: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on, or has to wait.
    GoesOn,
    /// It is over; with a reason if some of it was or may have been lost.
    Over(Option<GapReason>),
}

pub(super) fn verdict(seen: Sighting) -> Verdict {
    let lost = match seen.overwritten {
        true => GapReason::Truncated,
        false => GapReason::Deleted,
    };
    match seen {
        Sighting {
            placed: true,
            unread: Unread::Nothing,
            quiet: true,
            superseded,
            named,
            ..
        } if superseded || !named => Verdict::Over(None),
        Sighting { placed: true, .. } => Verdict::GoesOn,
        Sighting {
            may_be_hidden: true,
            ..
        } => Verdict::GoesOn,
        // Said at once: whoever restarts before a second look couldn't say it any more. Should it be found again, it goes on.
        Sighting {
            unread: Unread::Nothing,
            ..
        } => Verdict::Over(None),
        Sighting {
            missing_looks: 0..2,
            ..
        } => Verdict::GoesOn,
        _ => Verdict::Over(Some(lost)),
    }
}

/// How much older than the newest of finished files the newest file of a better format may be. Long, because a collector that has nothing to say is
/// silent while the server's last words before a crash go to stderr; finite, because `log_destination` may have been changed.
const FORMAT_MEMORY_US: i64 = 24 * 3600 * 1_000_000;

/// The one format that is read of finished logs whose files have these formats and modification times: jsonlog before csvlog before stderr.
pub fn ingested_format(files: &[(LogFormat, i64)]) -> Option<LogFormat> {
    let newest = files.iter().map(|(_, modified_us)| *modified_us).max()?;
    [LogFormat::Jsonlog, LogFormat::Csvlog, LogFormat::Stderr]
        .into_iter()
        .find(|format| {
            files.iter().any(|(of, modified_us)| {
                of == format && newest.saturating_sub(*modified_us) <= FORMAT_MEMORY_US
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let live = Sighting {
            placed: true,
            named: true,
            unread: Unread::Nothing,
            quiet: false,
            superseded: false,
            may_be_hidden: false,
            missing_looks: 0,
            overwritten: false,
        };
        let rotated = Sighting {
            quiet: true,
            superseded: true,
            ..live
        };
        let gone = Sighting {
            placed: false,
            named: false,
            unread: Unread::Something,
            missing_looks: 2,
            ..live
        };
        let check = |seen, expected| assert_eq!(verdict(seen), expected, "{seen:?}");
        check(live, Verdict::GoesOn);
        check(
            Sighting {
                quiet: true,
                ..live
            },
            Verdict::GoesOn,
        );
        check(
            Sighting {
                superseded: true,
                ..live
            },
            Verdict::GoesOn,
        );
        check(rotated, Verdict::Over(None));
        check(
            Sighting {
                unread: Unread::Something,
                ..rotated
            },
            Verdict::GoesOn,
        );
        check(
            Sighting {
                quiet: true,
                named: false,
                ..live
            },
            Verdict::Over(None),
        );
        check(gone, Verdict::Over(Some(GapReason::Deleted)));
        check(
            Sighting {
                overwritten: true,
                ..gone
            },
            Verdict::Over(Some(GapReason::Truncated)),
        );
        check(
            Sighting {
                unread: Unread::Unknown,
                ..gone
            },
            Verdict::Over(Some(GapReason::Deleted)),
        );
        check(
            Sighting {
                unread: Unread::Nothing,
                ..gone
            },
            Verdict::Over(None),
        );
        check(
            Sighting {
                missing_looks: 1,
                ..gone
            },
            Verdict::GoesOn,
        );
        check(
            Sighting {
                unread: Unread::Nothing,
                missing_looks: 1,
                ..gone
            },
            Verdict::Over(None),
        );
        check(
            Sighting {
                may_be_hidden: true,
                ..gone
            },
            Verdict::GoesOn,
        );
    }

    #[test]
    fn formats() {
        use LogFormat::{Csvlog, Jsonlog, Stderr};
        let day = FORMAT_MEMORY_US;
        assert_eq!(ingested_format(&[]), None);
        assert_eq!(ingested_format(&[(Stderr, 5)]), Some(Stderr));
        assert_eq!(
            ingested_format(&[(Stderr, 5), (Csvlog, 5), (Jsonlog, 5)]),
            Some(Jsonlog)
        );
        assert_eq!(ingested_format(&[(Stderr, day), (Csvlog, 0)]), Some(Csvlog));
        assert_eq!(
            ingested_format(&[(Stderr, day + 1), (Csvlog, 0)]),
            Some(Stderr)
        );
        assert_eq!(ingested_format(&[(Csvlog, 0), (Stderr, -9)]), Some(Csvlog));
    }
}

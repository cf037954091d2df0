//! Trouble that may pass: what it is, since when, and when to try again.
//!
//! Errors' texts come in, and whether they are news goes out: the same trouble is said once, until it changes or is over. The pause between two tries
//! doubles up to a limit. Says and waits nothing itself.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Trouble(Option<Lasting>);

#[derive(Debug)]
struct Lasting {
    what: String,
    since: Instant,
    pause: Duration,
    retry_at: Instant,
}

impl Trouble {
    /// A try has failed. True if that is to be said: it is the first one, or failed otherwise than the one before.
    pub(super) fn met(&mut self, what: String, now: Instant) -> bool {
        let (is_news, since, pause) = match &self.0 {
            None => (true, now, FIRST_PAUSE),
            Some(before) => (
                before.what != what,
                before.since,
                (before.pause * 2).min(LONGEST_PAUSE),
            ),
        };
        self.0 = Some(Lasting {
            what,
            since,
            pause,
            retry_at: now + pause,
        });
        is_news
    }

    /// A try has succeeded: for how long none had.
    pub(super) fn over(&mut self, now: Instant) -> Option<Duration> {
        let before = self.0.take()?;
        Some(now.saturating_duration_since(before.since))
    }

    /// How long to wait until the next try; `None` where one may be made.
    pub(super) fn retry_in(&self, now: Instant) -> Option<Duration> {
        let left = self.0.as_ref()?.retry_at.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn what(&self) -> Option<&str> {
        self.0.as_ref().map(|lasting| lasting.what.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_once_and_waits_longer_each_time_up_to_a_limit() {
        let start = Instant::now();
        let mut now = start;
        let mut trouble = Trouble::default();
        assert_eq!((trouble.retry_in(now), trouble.what()), (None, None));
        let mut pauses = Vec::new();
        for what in ["locked", "locked", "full", "full", "full", "full", "full"] {
            let is_news = trouble.met(what.to_owned(), now);
            let pause = trouble.retry_in(now).unwrap_or_default();
            pauses.push((is_news, pause.as_millis()));
            now += pause;
            assert_eq!(trouble.retry_in(now), None);
        }
        assert_eq!(
            pauses,
            [
                (true, 250),
                (false, 500),
                (true, 1000),
                (false, 2000),
                (false, 4000),
                (false, 8000),
                (false, 10_000)
            ]
        );
        assert_eq!(trouble.what(), Some("full"));
        assert_eq!(trouble.over(now), Some(now - start));
        assert_eq!(trouble.over(now), None);
        assert!(trouble.met("full".to_owned(), now));
    }
}

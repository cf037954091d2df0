//! The durations of many executions in a few bytes: a DDSketch, from which percentiles are told with a bounded error.
//!
//! All sketches have the same bins, each 2.02 % wider than the one before, so that they can be merged: a percentile is at most 1 % away from
//! the duration of that rank, between 1 ns and 3 years; what is shorter counts as 0, and what is longer as 3 years. The bytes are the bins of
//! DDSketch's own binary form (index deltas and counts, as its other implementations write them), without its head: what the head says
//! stands in the row's columns or is the same for all.

use std::fmt;

use sketches_ddsketch::{Config, DDSketch};

use super::{Error, column::known};

/// A sketch has 2048 bins, which cover a ratio of 6 * 10^17: between these none is merged with its neighbours.
const SHORTEST_MS: f64 = 1e-6;
const LONGEST_MS: f64 = 1e11;

/// The bins of some durations.
#[derive(Clone)]
pub(super) struct Sketch(DDSketch);

impl Default for Sketch {
    fn default() -> Self {
        // 1 %; read back with the same, because the bytes don't say.
        Self(DDSketch::new(Config::defaults()))
    }
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.to_bytes())
    }
}

impl Sketch {
    /// What a row of the statistics tells of its durations. One or two are known by the shortest and the longest. A row that was stored
    /// before there were sketches knows less than its `timed_calls`, perhaps nothing.
    pub(super) fn of_row(
        timed_calls: u64,
        min_ms: Option<f64>,
        max_ms: Option<f64>,
        bytes: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let mut sketch = match bytes {
            Some(bytes) => return Self::from_bytes(bytes),
            None => Self::default(),
        };
        let known = match timed_calls {
            1 => [min_ms, None],
            2 => [min_ms, max_ms],
            _ => [None, None],
        };
        known.into_iter().flatten().for_each(|ms| sketch.add(ms));
        Ok(sketch)
    }

    /// The bytes for a row with so many timed calls; `None` where they would say nothing.
    pub(super) fn for_row(&self, timed_calls: u64) -> Option<Vec<u8>> {
        (timed_calls > 2 && self.count() > 0).then(|| self.to_bytes())
    }

    pub(super) fn add(&mut self, duration_ms: f64) {
        self.0.add(if duration_ms >= SHORTEST_MS {
            duration_ms.min(LONGEST_MS)
        } else {
            0.0
        });
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0
            .merge(&other.0)
            .expect("all sketches have the same bins");
    }

    pub(super) fn count(&self) -> u64 {
        self.0.count() as u64
    }

    /// The duration in milliseconds below or at which the share `q` of all is, at most 1 % off; `None` without any. `q` is from 0 to 1.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        self.0.quantile(q).expect("a share is from 0 to 1")
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.to_java_bytes();
        // The head ends in the mapping's flag, its gamma and its offset, which no head has twice: none of its other flags is in them.
        let mut mapping = vec![0x02];
        mapping.extend(Config::defaults().gamma.to_le_bytes());
        mapping.extend(0.0_f64.to_le_bytes());
        let head = bytes.windows(mapping.len()).position(|w| w == mapping);
        bytes.drain(..head.expect("every sketch has a mapping") + mapping.len());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let sketch = DDSketch::from_java_bytes(bytes).ok();
        let same_bins = sketch.filter(|sketch| {
            let mut empty = Self::default();
            empty.0.merge(sketch).is_ok()
        });
        known(
            same_bins.map(Self),
            "query_stats.sketch",
            &format_args!("{bytes:02x?}"),
        )
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn of(durations: impl IntoIterator<Item = f64>) -> Sketch {
        let mut sketch = Sketch::default();
        durations.into_iter().for_each(|ms| sketch.add(ms));
        sketch
    }

    #[test]
    fn percentiles_are_one_percent_off_at_most_however_they_were_merged() {
        // From a microsecond to eleven days, not in order.
        let durations: Vec<f64> = (0..5000_u32)
            .map(|n| 1e-3 * 10_f64.powf(f64::from(n * 1999 % 5000) / 5000.0 * 12.0))
            .collect();
        let mut merged = Sketch::default();
        for part in durations.chunks(7) {
            let bytes = of(part.iter().copied()).to_bytes();
            merged.merge(&Sketch::from_bytes(&bytes).unwrap());
        }
        assert_eq!(merged.count(), 5000);
        assert_eq!(merged.to_bytes(), of(durations.clone()).to_bytes());
        let mut sorted = durations;
        sorted.sort_by(f64::total_cmp);
        for q in [0.01, 0.5, 0.9, 0.95, 0.99] {
            let exact = sorted[(q * 4999.0) as usize];
            let told = merged.quantile(q).unwrap();
            assert!(
                (told / exact - 1.0).abs() <= 0.010_001,
                "{q}: {told} for {exact}"
            );
        }
    }

    /// Written by earlier versions too: these must be read for ever.
    #[test]
    fn bytes_hold_bins_and_nothing_else() {
        let check = |durations: &[f64], expected: &[u8]| {
            let bytes = of(durations.iter().copied()).to_bytes();
            assert_eq!(bytes, expected, "{durations:?}");
        };
        check(&[], &[]);
        check(&[42.0], &[0x05, 0x01, 0xf4, 0x02, 0x02]);
        check(&[1.0; 3], &[0x05, 0x01, 0x00, 0x04]);
        check(&[0.0, 42.0], &[0x04, 0x02, 0x05, 0x01, 0xf4, 0x02, 0x02]);
        // Three orders of magnitude apart: not one byte for the bins between.
        check(
            &[0.05, 42.0, 42_000.0],
            &[
                0x05, 0x03, 0xab, 0x02, 0x02, 0xa0, 0x05, 0x02, 0xb4, 0x05, 0x02,
            ],
        );
    }

    #[test]
    fn a_row_of_one_or_two_calls_needs_no_bytes() {
        for durations in [&[][..], &[5.0], &[5.0, 7000.0]] {
            let calls = durations.len() as u64;
            let all = of(durations.iter().copied());
            assert_eq!(all.for_row(calls), None);
            let (min, max) = (durations.first().copied(), durations.last().copied());
            let read = Sketch::of_row(calls, min, max, None).unwrap();
            assert_eq!(read.to_bytes(), all.to_bytes());
        }
        let three = of([1.0, 2.0, 3.0]);
        let bytes = three.for_row(3).unwrap();
        let read = Sketch::of_row(3, Some(1.0), Some(3.0), Some(&bytes)).unwrap();
        assert_eq!(read.to_bytes(), three.to_bytes());
    }

    #[test]
    fn nothing_that_a_log_can_say_breaks_a_sketch() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX];
        let mut sketch = of(odd);
        sketch.merge(&of([1e-300, 1e300]));
        assert_eq!(sketch.count(), 7);
        let longest = sketch.quantile(1.0 - f64::EPSILON).unwrap();
        assert!((longest / LONGEST_MS - 1.0).abs() < 0.02, "{longest}");
        assert_eq!(Sketch::from_bytes(&sketch.to_bytes()).unwrap().count(), 7);
        for bytes in [&[][..], &[0x05], &[0xff; 20], b"text"] {
            assert!(Sketch::from_bytes(bytes).is_err(), "{bytes:x?}");
        }
    }
}

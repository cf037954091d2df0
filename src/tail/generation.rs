//! Which content it is: the hashes by which a generation is recognised under any name, and what comparing them with a file says.
//!
//! Pure. Records of PostgreSQL carry their time, so that two generations share neither their first 4096 bytes nor the 4096 bytes before an offset,
//! while a rename, a copy, a compressor or a restart change nothing of them. An inode or a path is never asked here.

use std::io;

use xxhash_rust::xxh3::xxh3_128;

use crate::model::position::{Anchor, Generation, GenerationState, Head};

/// How many bytes a head or anchor covers at most.
pub(super) const WINDOW_BYTES: usize = 4096;

const RUNG_SPACING_BYTES: u64 = 1 << 20;
const RUNGS_MAX: usize = 8;

/// Rungs in the first bytes, for a file that is cut within its head. They needn't be record boundaries: they say only that the content begins alike.
const OPENINGS: [usize; 5] = [128, 256, 512, 1024, 2048];

/// The head of content that starts with `first_bytes`.
pub(super) fn head_of(first_bytes: &[u8]) -> Head {
    let window = first_bytes.get(..WINDOW_BYTES).unwrap_or(first_bytes);
    Head {
        len_bytes: window.len() as u64,
        hash: xxh3_128(window),
    }
}

/// The anchor at `offset_bytes`, which `before` ends at. `before` holds at least `min(4096, offset_bytes)` bytes.
pub(super) fn anchor_of(before: &[u8], offset_bytes: u64) -> Anchor {
    let start = before.len().saturating_sub(WINDOW_BYTES);
    Anchor {
        offset_bytes,
        hash: xxh3_128(before.get(start..).unwrap_or_default()),
    }
}

/// What identifies the content of a generation up to where it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fingerprint<'a> {
    pub(super) head: Head,
    pub(super) anchor: Anchor,
    pub(super) ladder: &'a [Anchor],
}

/// What the content of a file has to do with a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It holds the generation up to its offset at least.
    Same,
    /// It ends before the generation's offset, and holds the generation up to this rung at least; the rung at 0 where only the head says so.
    Shorter(Anchor),
    /// It goes on with other bytes somewhere behind this rung, as after it was cut and grew again; the rung at 0 where only its beginning is the same.
    Parted(Anchor),
    /// It is other content, or nothing can be said.
    Other,
}

/// Compares a file of `len_bytes` with a generation. `hash_before` gives the hash of the last `min(4096, offset)` bytes of the file before an
/// offset, which is never beyond `len_bytes`.
///
/// Content of nothing but NUL bytes is no evidence: every hole looks like it.
pub(super) fn likeness(
    content: Fingerprint<'_>,
    len_bytes: u64,
    mut hash_before: impl FnMut(u64) -> io::Result<u128>,
) -> io::Result<Likeness> {
    let anchor = content.anchor;
    // Of content up to 4096 bytes the head is the anchor at its length.
    let head = Anchor {
        offset_bytes: content.head.len_bytes,
        hash: content.head.hash,
    };
    let beginning = anchor_of(&[], 0);
    let mut holds = |rung: Anchor| Ok::<_, io::Error>(hash_before(rung.offset_bytes)? == rung.hash);
    let (mut opens_alike, mut goes_on_alike) = (false, false);
    for rung in content.ladder {
        if rung.offset_bytes < len_bytes.min(WINDOW_BYTES as u64) && !is_blank(*rung) {
            goes_on_alike = holds(*rung)?;
            opens_alike |= goes_on_alike;
        }
    }
    let opening = match opens_alike {
        true => Likeness::Parted(beginning),
        false => Likeness::Other,
    };
    let reaches_head = head.offset_bytes <= len_bytes;
    if reaches_head && !holds(head)? {
        return Ok(opening);
    }
    let head_holds = reaches_head && !is_blank(head);
    let is_shorter = anchor.offset_bytes > len_bytes;
    if !is_shorter && holds(anchor)? {
        return Ok(match head_holds || !is_blank(anchor) {
            true => Likeness::Same,
            false => Likeness::Other,
        });
    }
    let likeness = |rung| match is_shorter {
        true => Likeness::Shorter(rung),
        false => Likeness::Parted(rung),
    };
    // A crash of the machine may leave NUL bytes where the last writes were, and the server goes on behind them.
    let reach = WINDOW_BYTES as u64 + 1..anchor.offset_bytes.min(len_bytes + 1);
    for rung in content.ladder.iter().rev() {
        if reach.contains(&rung.offset_bytes) && !is_blank(*rung) && holds(*rung)? {
            return Ok(likeness(*rung));
        }
    }
    Ok(match (reaches_head, head_holds) {
        (true, true) => likeness(beginning),
        (true, false) => Likeness::Other,
        // Too short for the head: the same as far as most of it can be told.
        (false, _) if is_shorter && goes_on_alike => Likeness::Shorter(beginning),
        (false, _) => opening,
    })
}

/// The ladder after a commit that moved a generation to `anchor`: rungs in the first bytes, as far as `opening` shows those; the first committed anchor
/// behind them, which stays; the others a mebibyte apart, of which the oldest makes room.
pub(super) fn climbed(ladder: &[Anchor], anchor: Anchor, opening: &[u8]) -> Vec<Anchor> {
    let (mut openings, mut rungs): (Vec<Anchor>, Vec<Anchor>) = ladder
        .iter()
        .partition(|rung| rung.offset_bytes < WINDOW_BYTES as u64);
    if !opening.is_empty() {
        let shown = OPENINGS.iter().filter_map(|len| opening.get(..*len));
        openings = shown
            .map(|bytes| anchor_of(bytes, bytes.len() as u64))
            .filter(|rung| rung.offset_bytes <= anchor.offset_bytes)
            .collect();
    }
    let due = rungs.last().is_none_or(|last| {
        anchor.offset_bytes >= last.offset_bytes.saturating_add(RUNG_SPACING_BYTES)
    });
    if due && anchor.offset_bytes >= WINDOW_BYTES as u64 {
        if rungs.len() >= RUNGS_MAX {
            rungs.remove(1);
        }
        rungs.push(anchor);
    }
    openings.append(&mut rungs);
    openings
}

/// The row of a generation at a new offset, with the bytes before it as far as they are at hand.
pub(super) fn advanced(row: &Generation, anchor: Anchor, before: &[u8]) -> Generation {
    let opening = match before.len() as u64 == anchor.offset_bytes {
        true => before,
        false => &[],
    };
    Generation {
        offset_bytes: anchor.offset_bytes,
        anchor,
        ladder: climbed(&row.ladder, anchor, opening),
        ..row.clone()
    }
}

/// The generation as if nothing of it had been read: known by its head alone.
pub fn unread(row: &Generation) -> Generation {
    Generation {
        offset_bytes: 0,
        anchor: anchor_of(&[], 0),
        ladder: Vec::new(),
        state: GenerationState::Active,
        ..row.clone()
    }
}

fn is_blank(anchor: Anchor) -> bool {
    let len =
        usize::try_from(anchor.offset_bytes).map_or(WINDOW_BYTES, |len| len.min(WINDOW_BYTES));
    xxh3_128([0; WINDOW_BYTES].get(..len).unwrap_or_default()) == anchor.hash
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn at(content: &[u8], offset: usize) -> Anchor {
        anchor_of(&content[..offset], offset as u64)
    }

    /// What a file of `now` is to a generation whose file was `then`, read up to `offset`, with rungs at `rungs`.
    fn check(then: &[u8], offset: usize, rungs: &[usize], now: &[u8], expected: Likeness) {
        let ladder: Vec<Anchor> = rungs.iter().map(|rung| at(then, *rung)).collect();
        let found = likeness(
            Fingerprint {
                head: head_of(then),
                anchor: at(then, offset),
                ladder: &ladder,
            },
            now.len() as u64,
            |offset| Ok(at(now, usize::try_from(offset).unwrap()).hash),
        );
        assert_eq!(found.unwrap(), expected);
    }

    fn content(seed: u8, len: usize) -> Vec<u8> {
        (0..len)
            .map(|i| (i / 7) as u8 ^ (i % 251) as u8 ^ seed)
            .collect()
    }

    #[test]
    fn compares_content() {
        let long = content(1, 20_000);
        let other = content(2, 20_000);
        let other_body = [&long[..4096], &other[4096..]].concat();
        let nul = vec![0; 20_000];
        check(&long, 9000, &[], &long, Likeness::Same);
        check(&long, 9000, &[], &long[..9000], Likeness::Same);
        check(&long, 0, &[], &long, Likeness::Same);
        check(&long, 9000, &[], &other, Likeness::Other);
        check(
            &long,
            9000,
            &[],
            &other_body,
            Likeness::Parted(at(&long, 0)),
        );
        check(
            &long,
            9000,
            &[5000],
            &long[..8000],
            Likeness::Shorter(at(&long, 5000)),
        );
        check(
            &long,
            9000,
            &[5000],
            &other_body[..8000],
            Likeness::Shorter(at(&long, 0)),
        );
        check(
            &long,
            9000,
            &[300],
            &other_body[..8000],
            Likeness::Shorter(at(&long, 0)),
        );
        check(
            &long,
            9000,
            &[],
            &long[..8000],
            Likeness::Shorter(at(&long, 0)),
        );
        check(
            &long,
            9000,
            &[300],
            &long[..2000],
            Likeness::Shorter(at(&long, 0)),
        );
        let parted_early = [&long[..200], &other[..1500]].concat();
        check(
            &long,
            9000,
            &[128, 1024],
            &parted_early,
            Likeness::Parted(at(&long, 0)),
        );
        check(&long, 9000, &[], &long[..2000], Likeness::Other);
        // Cut within the head, grown again or not.
        let regrown = [&long[..1000], &other].concat();
        check(
            &long[..3000],
            3000,
            &[128, 512, 2048],
            &regrown,
            Likeness::Parted(at(&long, 0)),
        );
        check(&long[..3000], 3000, &[2048], &regrown, Likeness::Other);
        check(&long[..3000], 3000, &[128, 512], &other, Likeness::Other);
        // Cut behind a rung and grown beyond where it was read to.
        let regrown = [&long[..8000], &other].concat();
        check(
            &long,
            9000,
            &[300, 5000, 8500],
            &regrown,
            Likeness::Parted(at(&long, 5000)),
        );
        check(&long, 9000, &[], b"", Likeness::Other);
        // The head had grown beyond what was committed, the file was cut in between.
        check(&long[..300], 200, &[200], &long[..250], Likeness::Same);
        // What was read last is NUL bytes now, and something follows them.
        let nul_tail = [&long[..8500], &nul[..2000], &other[..3000]].concat();
        check(
            &long,
            9000,
            &[5000, 8000],
            &nul_tail,
            Likeness::Parted(at(&long, 8000)),
        );
        check(b"", 0, &[], &long, Likeness::Other);
        check(&nul, 0, &[], &nul, Likeness::Other);
        check(&nul, 9000, &[], &nul, Likeness::Other);
        let hole = [&nul[..8000], &long[..5000]].concat();
        check(&hole, 12_000, &[], &hole, Likeness::Same);
        check(&hole, 12_000, &[], &nul, Likeness::Other);
    }

    #[test]
    fn ladder_keeps_its_openings_and_its_first_rung() {
        let opening = content(1, 700);
        let mut ladder = climbed(&[], at(&opening, 300), &opening[..300]);
        let offsets = |ladder: &[Anchor]| -> Vec<u64> {
            ladder.iter().map(|rung| rung.offset_bytes).collect()
        };
        assert_eq!(ladder, [at(&opening, 128), at(&opening, 256)]);
        ladder = climbed(&ladder, at(&opening, 600), &opening);
        assert_eq!(offsets(&ladder), [128, 256, 512]);
        for mebibyte in 0..20_u64 {
            for part in [5000, 500_000] {
                let offset_bytes = (mebibyte << 20) + part;
                ladder = climbed(
                    &ladder,
                    Anchor {
                        offset_bytes,
                        hash: 0,
                    },
                    &[],
                );
            }
        }
        let expected: Vec<u64> = [0, 13, 14, 15, 16, 17, 18, 19]
            .iter()
            .map(|mebibyte: &u64| (mebibyte << 20) + 5000)
            .collect();
        assert_eq!(offsets(&ladder), [vec![128, 256, 512], expected].concat());
    }
}

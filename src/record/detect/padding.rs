//! Widths of padded values in heads: blanks that grow as the value shrinks.
//!
//! The table of the heads comes in; the padding of each slot that has one goes out.

use std::collections::BTreeMap;

use super::infer::{Slot, Table};

/// How a value is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Padding {
    /// As in the setting: blanks on the left if positive, on the right if negative.
    pub(super) width: i32,
    /// Blanks beside it that are the prefix's text.
    pub(super) blanks: usize,
}

/// The paddings by slot.
pub(super) fn all(table: &Table<'_>) -> BTreeMap<usize, Padding> {
    let is_escape = |slot: &usize| matches!(table.slots.get(*slot), Some(Some(Slot::Escape(_))));
    (0..table.slots.len())
        .filter(is_escape)
        .filter_map(|slot| {
            let left = slot.checked_sub(1).and_then(|at| {
                let outer = at
                    .checked_sub(1)
                    .and_then(|outer| table.separators.get(outer));
                of_slot(table, slot, at, outer.copied(), 1)
            });
            let right = || {
                of_slot(
                    table,
                    slot,
                    slot,
                    table.separators.get(slot + 1).copied(),
                    -1,
                )
            };
            Some((slot, left.or_else(right)?))
        })
        .collect()
}

/// The padding of a slot by the run of blanks `at` one side of it; `outer` is the separator beyond the run.
fn of_slot(
    table: &Table<'_>,
    slot: usize,
    at: usize,
    outer: Option<u8>,
    sign: i32,
) -> Option<Padding> {
    if table.separators.get(at) != Some(&b' ') {
        return None;
    }
    let sizes: Vec<(usize, usize)> = table
        .rows
        .iter()
        .filter_map(|row| {
            let value = row.slots.get(slot)?;
            Some((
                *row.widths.get(at)?,
                value.map_or(0, |value| value.text.len()),
            ))
        })
        .collect();
    let (first_width, _) = *sizes.first()?;
    let varies = sizes.iter().any(|(width, _)| *width != first_width);
    let is_wide = first_width > 1 && sizes.len() > 1;
    let sum = sizes.iter().map(|(width, len)| width + len).min()?;
    // A value that is longer than its width shows how many blanks are text.
    let overflown = sizes
        .iter()
        .filter(|(width, len)| width + len > sum)
        .map(|(width, _)| *width)
        .min();
    let fits = |(width, len): &&(usize, usize)| width + len == sum || Some(*width) == overflown;
    let fitting = sizes.iter().filter(fits).count();
    let in_width = sizes
        .iter()
        .filter(|(width, len)| width + len == sum)
        .count();
    let is_padded = varies || is_wide && sizes.iter().any(|(_, len)| *len > 0);
    if !is_padded || fitting * 10 < sizes.len() * 9 || in_width * 2 < sizes.len() {
        return None;
    }
    let blanks = overflown.unwrap_or(match outer {
        Some(b'[' | b']' | b'(' | b')' | b'|' | b',' | b'=' | b'"' | b'@' | b'<' | b'>')
            if sign < 0 =>
        {
            0
        }
        Some(b'[' | b'(' | b'|' | b',' | b'=' | b'"' | b'@' | b'<') | None if sign > 0 => 0,
        _ => 1,
    });
    let width = i32::try_from(sum.checked_sub(blanks)?).ok()?;
    Some(Padding {
        width: sign * width,
        blanks,
    })
}

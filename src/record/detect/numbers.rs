//! Which of the numbers in a head is which: told by how they change from line to line.
//!
//! The table of the heads comes in with what is known of it; it goes out with `%p`, `%l`, `%Q`, `%P` and `%x` set where the lines tell them.

use std::collections::{HashMap, HashSet};

use super::super::escape::Escape;
use super::infer::{Slot, Table};
use super::tokens::Look;

/// Lines of one process after one another that it takes to see a number count.
const MIN_STEPS: usize = 3;

pub(super) fn tell(table: &mut Table<'_>) {
    process_and_line(table);
    for slot in unknown(table) {
        let (mut zeros, mut greatest, mut is_signed) = (0_usize, 0_i64, false);
        let numbers = column(table, slot);
        let values: Vec<i64> = numbers.iter().copied().flatten().collect();
        for value in &values {
            zeros += usize::from(*value == 0);
            greatest = greatest.max(*value);
            is_signed |= *value < 0;
        }
        let processes: HashSet<i64> = slot_of(table, Escape::ProcessId)
            .map(|slot| column(table, slot).into_iter().flatten().collect())
            .unwrap_or_default();
        let escape = if is_signed || greatest > i64::from(u32::MAX) {
            Escape::QueryId
        } else if values.len() * 2 < numbers.len()
            && values.iter().all(|value| processes.contains(value))
        {
            Escape::LeaderPid
        } else if zeros * 5 >= values.len() && greatest > 0 {
            Escape::TransactionId
        } else {
            continue;
        };
        if !table.has(escape) {
            table.set(slot, escape);
        }
    }
}

/// `%p`: the second part of `%c`, else the number that stays while another counts, else the one in brackets, else the only one.
fn process_and_line(table: &mut Table<'_>) {
    if !table.has(Escape::ProcessId)
        && let Some(slot) = of_session_id(table)
    {
        table.set(slot, Escape::ProcessId);
    }
    let known = slot_of(table, Escape::ProcessId);
    let by_session = slot_of(table, Escape::SessionId);
    let processes = match known.or(by_session) {
        Some(slot) => vec![slot],
        None => unknown(table),
    };
    let best = processes
        .iter()
        .flat_map(|process| unknown(table).into_iter().map(move |line| (*process, line)))
        .filter(|(process, line)| process != line)
        .filter_map(|(process, line)| Some((steps(table, process, line)?, process, line)))
        .max_by_key(|(count, _, _)| *count);
    if let Some((_, process, line)) = best {
        if known.is_none() && Some(process) != by_session {
            table.set(process, Escape::ProcessId);
        }
        if !table.has(Escape::SessionLineNum) {
            table.set(line, Escape::SessionLineNum);
        }
    }
    if table.has(Escape::ProcessId) {
        return;
    }
    let whole: Vec<usize> = unknown(table)
        .into_iter()
        .filter(|slot| {
            let numbers = column(table, *slot);
            let values: HashSet<i64> = numbers.iter().copied().flatten().collect();
            numbers.iter().all(Option::is_some)
                && values.iter().all(|value| (1..=1 << 22).contains(value))
        })
        .collect();
    let in_brackets = |slot: &usize| {
        let before = slot.checked_sub(1).and_then(|at| table.separators.get(at));
        matches!(before, Some(b'[' | b'(' | b'<'))
    };
    let process = match whole.as_slice() {
        [one] => Some(*one),
        several => several.iter().copied().find(in_brackets),
    };
    if let Some(slot) = process {
        table.set(slot, Escape::ProcessId);
    }
}

fn unknown(table: &Table<'_>) -> Vec<usize> {
    table.unknown(|value| value.look == Look::Number)
}

fn slot_of(table: &Table<'_>, escape: Escape) -> Option<usize> {
    table
        .slots
        .iter()
        .position(|slot| *slot == Some(Slot::Escape(escape)))
}

/// One number for each line; `None` where it has none.
fn column(table: &Table<'_>, slot: usize) -> Vec<Option<i64>> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    table
        .rows
        .iter()
        .map(|row| number(row.slots.get(slot).copied().flatten()?.text))
        .collect()
}

/// The slot that repeats the second part of the session id.
fn of_session_id(table: &Table<'_>) -> Option<usize> {
    let session = slot_of(table, Escape::SessionId)?;
    let processes: Vec<Option<i64>> = table
        .rows
        .iter()
        .map(|row| {
            let text = std::str::from_utf8(row.slots.get(session).copied().flatten()?.text).ok()?;
            i64::from_str_radix(text.split_once('.')?.1, 16).ok()
        })
        .collect();
    unknown(table)
        .into_iter()
        .find(|slot| column(table, *slot) == processes)
}

/// How often the second number goes up by one from line to line of the same process or session; `None` if it mostly doesn't.
fn steps(table: &Table<'_>, process: usize, line: usize) -> Option<usize> {
    let mut last: HashMap<&[u8], i64> = HashMap::new();
    let (mut pairs, mut ups) = (0_usize, 0_usize);
    for (row, line) in table.rows.iter().zip(column(table, line)) {
        let (Some(process), Some(line)) = (row.slots.get(process).copied().flatten(), line) else {
            continue;
        };
        if let Some(before) = last.insert(process.text, line) {
            pairs += 1;
            ups += usize::from(line == before + 1);
        }
    }
    (ups >= MIN_STEPS && ups * 5 >= pairs * 4).then_some(ups)
}

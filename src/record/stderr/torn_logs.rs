//! Records of several sessions written through a pipe that is full, as Linux does it: one over 4096 bytes is written in pieces, of which the
//! first may be short and the others are multiples of 4096, and other sessions write between them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::VecDeque;

use jiff::Timestamp;
use proptest::prelude::*;

use crate::model::position::GenerationId;

use super::super::*;

/// One record to be written: its size, whether it is a plan, and blanks that move where it is torn.
type Size = (usize, bool, usize);

fn message(process_id: i32, (nodes, is_plan, blanks): Size) -> String {
    let blanks = " ".repeat(blanks);
    if !is_plan {
        return format!("duration: 1.000 ms  statement: SELECT {blanks}\n  s{process_id}, -- {{");
    }
    let nodes: String = (0..nodes)
        .map(|node| {
            format!("    \"Key {node}\": \"(x = 's{process_id}') {{\",\n    \"Rows\": {node},\n")
        })
        .collect();
    format!(
        "duration: 1.000 ms  plan:\n{{\n  \"Query Text\": \"SELECT {blanks}s{process_id}\",\n  \"Plan\": {{\n{nodes}    \"Loops\": 1\n  }}\n}}"
    )
}

fn printed(process_id: i32, message: &str) -> Vec<u8> {
    let message = message.replace('\n', "\n\t");
    format!("2026-11-20 07:26:04.284 UTC [{process_id}] LOG:  {message}\n").into_bytes()
}

fn pieces(process_id: i32, message: &str) -> Vec<Vec<u8>> {
    let bytes = printed(process_id, message);
    if bytes.len() <= 4096 {
        return vec![bytes];
    }
    let (first, rest) = bytes.split_at(bytes.len() % 4096);
    let first = [first].into_iter().filter(|piece| !piece.is_empty());
    first.chain(rest.chunks(4096)).map(<[u8]>::to_vec).collect()
}

fn read(log: &[u8]) -> Vec<Assembled> {
    let layout = Layout {
        format: Format::Stderr(LinePrefix::parse("%m [%p] ").unwrap()),
        time_zone: None,
    };
    let mut assembler = Assembler::new(layout, GenerationId(1), 0, &Config::default());
    let mut out = Vec::new();
    assembler.push(log, Timestamp::UNIX_EPOCH, &mut |item| out.push(item));
    assembler.finish(&mut |item| out.push(item));
    out
}

/// Whether a plan in JSON can be read; one that can't makes no execution.
fn is_readable(message: &str) -> bool {
    message
        .split_once("plan:\n")
        .is_none_or(|(_, plan)| serde_json::from_str::<serde::de::IgnoredAny>(plan).is_ok())
}

/// Whether these bytes of the log are one record as it was written, with nothing of other sessions in it but beginnings of a plan's first line.
fn holds_beginnings_only(
    pieces: &[(i32, Vec<u8>)],
    range: std::ops::Range<u64>,
    written: &[(i32, String)],
) -> bool {
    let first_line = printed(1, "duration: 1.000 ms  plan:");
    let own_bytes = |process_id: i32| -> Vec<u8> {
        let mut at_bytes = 0;
        let mut own = Vec::new();
        for (piece_process_id, piece) in pieces {
            let is_beginning = *piece_process_id != process_id && piece.len() < first_line.len();
            for byte in piece {
                if range.contains(&at_bytes) && !is_beginning {
                    own.push(*byte);
                }
                at_bytes += 1;
            }
        }
        own
    };
    written
        .iter()
        .any(|(process_id, message)| own_bytes(*process_id) == printed(*process_id, message))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No record that comes out without a flag holds anything of another session's, and none comes out that wasn't written.
    ///
    /// What no bytes tell is left out: a statement that is torn behind a line break looks whole, and its rest like more of whatever it follows;
    /// so do plans of more than two sessions torn at once, where pieces of them make a plan's line together; the first bytes of a plan's
    /// record, up to its first line's end, look like a client's text within a string and like digits within a number.
    #[test]
    fn records_through_a_full_pipe(
        sessions in proptest::collection::vec(
            proptest::collection::vec((0_usize..200, any::<bool>(), 0_usize..40), 1..5),
            1..5,
        ),
        order in proptest::collection::vec((0_usize..4, 1_usize..4), 200),
    ) {
        let mut written = Vec::new();
        let mut queues: Vec<VecDeque<(i32, Vec<u8>)>> = Vec::new();
        for (process_id, records) in (1_i32..).zip(&sessions) {
            let mut queue = VecDeque::new();
            for (nodes, is_plan, blanks) in records {
                let message = message(process_id, (*nodes, *is_plan && process_id <= 2, *blanks));
                queue.extend(pieces(process_id, &message).into_iter().map(|piece| (process_id, piece)));
                written.push((process_id, message));
            }
            queues.push(queue);
        }
        let mut order_written = Vec::new();
        for (session, count) in order {
            let at = session % queues.len();
            for _ in 0..count {
                order_written.extend(queues[at].pop_front());
            }
        }
        order_written.extend(queues.into_iter().flatten());
        let log: Vec<u8> = order_written.iter().flat_map(|(_, piece)| piece.clone()).collect();

        let mut covered_bytes = 0;
        let mut count = 0;
        for item in read(&log) {
            let (start, end) = real_logs::range(&item);
            prop_assert_eq!(start, covered_bytes);
            covered_bytes = end;
            let Assembled::Record(record) = item else {
                continue;
            };
            count += 1;
            let own = (record.process_id.unwrap(), record.message.clone());
            prop_assert!(
                record.flags.ambiguous
                    || !is_readable(&own.1)
                    || written.contains(&own)
                    || holds_beginnings_only(&order_written, start..end, &written),
                "{:?}", own
            );
        }
        prop_assert_eq!(covered_bytes, log.len() as u64);
        prop_assert!(count <= written.len());
    }
}

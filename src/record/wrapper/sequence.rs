//! The numbers that PostgreSQL puts before a message to syslog, and how it cuts long messages (`write_syslog` in the server's elog.c).
//!
//! With syslog_split_messages each line of a message is a chunk, a line of more than 900 bytes several; empty lines are left out. A chunk is cut before
//! the last white space within those 900 bytes, so that the next one begins with it, or at the end of them where there is none.

use memchr::memchr;
use nom::bytes::complete::{tag, take_while_m_n};
use nom::combinator::{map_opt, opt};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// PG_SYSLOG_LIMIT, less what isn't taken of a character of several bytes that lies across it.
const SHORTEST_FULL_CHUNK_BYTES: usize = 900 - 3;

/// Where a text stands among those of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequence {
    /// Neither `syslog_sequence_numbers` nor `syslog_split_messages`.
    None,
    /// `[n]`: the number of a message that isn't split, or of a chunk of one that has no number.
    Number(u64),
    /// `[n-m]`: chunk m of message n.
    Chunk { number: u64, chunk: u64 },
}

/// `[ "[" number [ "-" chunk ] "]" [ SP ] ] text`: where the text stands, and the text.
pub(super) fn sequence(input: &[u8]) -> (Sequence, &[u8]) {
    // The blanks that some daemons put before every message are none of PostgreSQL's.
    let blanks = input.iter().take_while(|byte| **byte == b' ').count();
    let unblanked = input.get(blanks..).unwrap_or_default();
    match numbers(unblanked) {
        Ok((text, (number, None))) => (Sequence::Number(number), text),
        Ok((text, (number, Some(chunk)))) => (Sequence::Chunk { number, chunk }, text),
        Err(_) => (Sequence::None, input),
    }
}

fn numbers(input: &[u8]) -> IResult<&[u8], (u64, Option<u64>)> {
    let bracketed = delimited(
        tag("["),
        (number, opt(preceded(tag("-"), number))),
        tag("]"),
    );
    let (rest, numbers) = { bracketed }.parse(input)?;
    match rest {
        [] => Ok((rest, numbers)),
        _ => tag(" ").map(|_| numbers).parse(rest),
    }
}

fn number(input: &[u8]) -> IResult<&[u8], u64> {
    map_opt(
        take_while_m_n(1, 19, |b: u8| b.is_ascii_digit()),
        |digits| std::str::from_utf8(digits).ok()?.parse().ok(),
    )
    .parse(input)
}

/// Whether a chunk of `before_bytes` may have been cut where `next` goes on; if not, there was a line break in between.
pub(super) fn may_be_cut(before_bytes: usize, next: &[u8]) -> bool {
    if before_bytes >= SHORTEST_FULL_CHUNK_BYTES {
        return true;
    }
    let Some((first, word)) = next.split_first() else {
        return false;
    };
    // The word after the white space didn't fit in.
    let missing = SHORTEST_FULL_CHUNK_BYTES - before_bytes;
    let word_bytes = word
        .iter()
        .position(|byte| is_space(*byte))
        .unwrap_or(word.len());
    is_space(*first) && word_bytes + 1 >= missing
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// rsyslog's escapes of control characters, `#` and three octal digits, undone. It escapes all of them: a text with a tab of its own has no escapes.
pub(super) fn without_escapes(text: &[u8]) -> Option<Vec<u8>> {
    let first = memchr(b'#', text)?;
    if text.iter().any(|byte| *byte < b' ') {
        return None;
    }
    let mut plain = text.get(..first)?.to_vec();
    let mut rest = text.get(first..)?;
    while !rest.is_empty() {
        let control = match *rest {
            [b'#', b'0', tens @ b'0'..=b'3', ones @ b'0'..=b'7', ..] => {
                Some((tens - b'0') * 8 + (ones - b'0'))
            }
            [b'#', b'1', b'7', b'7', ..] => Some(0x7f),
            _ => None,
        };
        let taken = match control {
            Some(control) => {
                plain.push(control);
                4
            }
            None => {
                let next = rest
                    .get(1..)
                    .and_then(|after| memchr(b'#', after))
                    .map_or(rest.len(), |at| at + 1);
                plain.extend_from_slice(rest.get(..next).unwrap_or_default());
                next
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_before_a_text() {
        let check = |text: &str, expected, rest: &str| {
            assert_eq!(
                sequence(text.as_bytes()),
                (expected, rest.as_bytes()),
                "{text}"
            );
        };
        check(
            "[7-12] LOG:  x",
            Sequence::Chunk {
                number: 7,
                chunk: 12,
            },
            "LOG:  x",
        );
        check(
            "[7-2] \tx",
            Sequence::Chunk {
                number: 7,
                chunk: 2,
            },
            "\tx",
        );
        check(
            "[7-2]  x",
            Sequence::Chunk {
                number: 7,
                chunk: 2,
            },
            " x",
        );
        check(
            "[7-2]",
            Sequence::Chunk {
                number: 7,
                chunk: 2,
            },
            "",
        );
        check(" [7] x", Sequence::Number(7), "x");
        check("  x", Sequence::None, "  x");
        check("[7]x", Sequence::None, "[7]x");
        check("[7-] x", Sequence::None, "[7-] x");
        check(
            "[99999999999999999999] x",
            Sequence::None,
            "[99999999999999999999] x",
        );
        check("", Sequence::None, "");
    }

    #[test]
    fn borders_of_chunks() {
        let check = |before_bytes, next: &str, expected| {
            assert_eq!(
                may_be_cut(before_bytes, next.as_bytes()),
                expected,
                "{before_bytes} {next}"
            );
        };
        check(900, "x", true);
        check(897, "", true);
        check(890, " word7890", true);
        check(890, " word7", false);
        check(890, " word7 words", false);
        check(890, "word7890", false);
        check(100, " a", false);
        check(0, "", false);
    }

    #[test]
    fn escapes_of_rsyslog() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                without_escapes(text.as_bytes()),
                expected.map(|text| text.as_bytes().to_vec()),
                "{text}"
            );
        };
        check("a#011b#012#011c", Some("a\tb\n\tc"));
        check("#7 #01 # #", Some("#7 #01 # #"));
        check("#177#200", Some("\u{7f}#200"));
        check("plain", None);
        check("\ta#011b", None);
    }
}

//! The head of a line as values and what separates them, without knowing the prefix.
//!
//! Bytes before a label come in; slots go out: what stands before the first separator, between each two, and behind the last. Separators are
//! punctuation and blanks; a value is a word, or one of the texts with punctuation that an escape prints: a time, an address, a session id.

use super::super::escape::Escape;
use super::super::time;

/// What a value looks like. Several escapes print some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Look {
    /// `%m`
    Milliseconds,
    /// `%t`, `%s`
    Seconds,
    /// `%n`
    Epoch,
    /// `%c`
    SessionId,
    /// `%v`
    VirtualTransactionId,
    /// `%r`, `%h`, `%L`
    Address,
    Number,
    Word,
}

/// One value as printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) look: Look,
    pub(super) text: &'a [u8],
}

/// A head taken apart. There is one slot more than there are separators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tokens<'a> {
    /// Empty where separators follow one another, and where a process has nothing to print.
    pub(super) slots: Vec<Option<Value<'a>>>,
    /// The separators; a run of blanks is one.
    pub(super) separators: Vec<u8>,
    /// How many bytes each of them has.
    pub(super) widths: Vec<usize>,
}

/// Texts of several words: `pg_stat_activity.backend_type` of PostgreSQL 13 to 18.
pub(super) const BACKEND_TYPES: &[&str] = &[
    "archiver",
    "autovacuum launcher",
    "autovacuum worker",
    "background worker",
    "background writer",
    "checkpointer",
    "client backend",
    "io worker",
    "logger",
    "logical replication apply worker",
    "logical replication launcher",
    "logical replication parallel worker",
    "logical replication tablesync worker",
    "logical replication worker",
    "not initialized",
    "parallel worker",
    "postmaster",
    "slotsync worker",
    "standalone backend",
    "startup",
    "walreceiver",
    "walsender",
    "walsummarizer",
    "walwriter",
];

pub(super) fn read(head: &[u8]) -> Tokens<'_> {
    let mut tokens = Tokens {
        slots: vec![None],
        separators: Vec::new(),
        widths: Vec::new(),
    };
    let mut rest = head;
    while let Some((first, after)) = rest.split_first() {
        let is_empty = tokens.slots.last().is_some_and(Option::is_none);
        if is_empty
            && let Some(value) = value(rest)
            && let Some((_, after)) = rest.split_at_checked(value.text.len())
        {
            tokens.slots.pop();
            tokens.slots.push(Some(value));
            rest = after;
            continue;
        }
        if *first == b' ' && tokens.separators.last() == Some(&b' ') && is_empty {
            if let Some(width) = tokens.widths.last_mut() {
                *width += 1;
            }
        } else {
            tokens.separators.push(*first);
            tokens.widths.push(1);
            tokens.slots.push(None);
        }
        rest = after;
    }
    tokens
}

/// The value that `input` begins with.
fn value(input: &[u8]) -> Option<Value<'_>> {
    let by_grammar = [
        (Look::Milliseconds, Escape::TimeMilliseconds),
        (Look::Seconds, Escape::TimeSeconds),
    ];
    for (look, escape) in by_grammar {
        if let Some(text) = printed_by(escape, input) {
            return Some(Value { look, text });
        }
    }
    if let Some(text) = printed_by(Escape::TimeEpoch, input).filter(|text| text.len() >= 14)
        && time::epoch(text).is_ok()
    {
        return Some(Value {
            look: Look::Epoch,
            text,
        });
    }
    let lens = [
        (Look::Address, address(input)),
        (Look::SessionId, session_id(input)),
        (Look::VirtualTransactionId, virtual_transaction_id(input)),
        (Look::Number, number(input)),
    ];
    for (look, len) in lens {
        let (text, after) = input.split_at_checked(len)?;
        if len > 0 && !after.first().is_some_and(|byte| is_of_word(*byte)) {
            return Some(Value { look, text });
        }
    }
    let len = words(input);
    let text = input.get(..len).filter(|text| !text.is_empty())?;
    Some(Value {
        look: Look::Word,
        text,
    })
}

fn printed_by(escape: Escape, input: &[u8]) -> Option<&[u8]> {
    escape.grammar()?(input).ok().map(|(_, text)| text)
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn digits(input: &[u8]) -> usize {
    input
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

fn number(input: &[u8]) -> usize {
    let sign = usize::from(input.first() == Some(&b'-'));
    match digits(input.get(sign..).unwrap_or_default()) {
        0 => 0,
        count => sign + count,
    }
}

/// `HEX.HEX`, the first part being the second when the session began: seven or eight digits.
fn session_id(input: &[u8]) -> usize {
    let hex = |input: &[u8]| {
        input
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count()
    };
    let first = hex(input);
    let rest = input.get(first..).unwrap_or_default();
    match rest.strip_prefix(b".").map(hex) {
        Some(second) if (7..=8).contains(&first) && second > 0 => first + 1 + second,
        _ => 0,
    }
}

/// `N/N`
fn virtual_transaction_id(input: &[u8]) -> usize {
    let first = digits(input);
    let rest = input.get(first..).unwrap_or_default();
    match rest.strip_prefix(b"/").map(digits) {
        Some(second) if first > 0 && second > 0 => first + 1 + second,
        _ => 0,
    }
}

/// `[local]`, `[none]`, four numbers with points, or an IPv6 address; a port in parentheses behind them.
fn address(input: &[u8]) -> usize {
    for known in [b"[local]".as_slice(), b"[none]"] {
        if input.starts_with(known) {
            return known.len();
        }
    }
    let host = input
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))
        .count();
    let text = input.get(..host).unwrap_or_default();
    let is_address =
        std::str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::IpAddr>().is_ok());
    if !is_address {
        return 0;
    }
    let rest = input.get(host..).unwrap_or_default();
    let port = rest.strip_prefix(b"(").map_or(0, digits);
    match rest.get(port + 1) {
        Some(b')') if port > 0 => host + port + 2,
        _ => host,
    }
}

/// One word, or several where they are one text: a backend type, a command tag, `[unknown]`.
fn words(input: &[u8]) -> usize {
    if input.starts_with(b"[unknown]") {
        return b"[unknown]".len();
    }
    let texts = ["idle in transaction (aborted)", "idle in transaction"];
    let known = BACKEND_TYPES
        .iter()
        .chain(&texts)
        .filter(|name| input.starts_with(name.as_bytes()))
        .map(|name| name.len())
        .max();
    let is_end = |len: usize| !input.get(len).is_some_and(|byte| is_of_word(*byte));
    if let Some(len) = known.filter(|len| is_end(*len)) {
        return len;
    }
    let word = input.iter().take_while(|byte| is_of_word(**byte)).count();
    let is_tag = |text: &[u8]| text.len() > 1 && text.iter().all(u8::is_ascii_uppercase);
    let mut len = word;
    while len > 0 && is_tag(input.get(..word).unwrap_or_default()) {
        let rest = input.get(len..).and_then(|rest| rest.strip_prefix(b" "));
        let next = rest.map_or(0, |rest| {
            rest.iter().take_while(|byte| is_of_word(**byte)).count()
        });
        if !is_tag(rest.and_then(|rest| rest.get(..next)).unwrap_or_default()) {
            break;
        }
        len += 1 + next;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_taken_apart() {
        let check = |head: &str, expected: &str| {
            let tokens = read(head.as_bytes());
            let mut shown = String::new();
            for (number, slot) in tokens.slots.iter().enumerate() {
                if let Some(Value { look, text }) = slot {
                    shown += &format!("<{look:?} {}>", String::from_utf8_lossy(text));
                }
                if let Some(separator) = tokens.separators.get(number) {
                    shown.push(char::from(*separator));
                    shown += &"'".repeat(tokens.widths[number] - 1);
                }
            }
            assert_eq!(shown, expected, "{head}");
        };
        check(
            "2026-11-20 07:26:04.276 UTC [50] al@my_db ",
            "<Milliseconds 2026-11-20 07:26:04.276 UTC> [<Number 50>] <Word al>@<Word my_db> ",
        );
        check(
            "2026-11-20 07:26:04 UTC::@:[50]:",
            "<Seconds 2026-11-20 07:26:04 UTC>::@:[<Number 50>]:",
        );
        check(
            "2026-11-20 07:26:04 UTC:127.0.0.1(42):[local]:::1(7):[none]",
            "<Seconds 2026-11-20 07:26:04 UTC>:<Address 127.0.0.1(42)>:<Address [local]>:<Address ::1(7)>:<Address [none]>",
        );
        check(
            "2026-11-20 07:26:19 UTC-6afff61b.1956-",
            "<Seconds 2026-11-20 07:26:19 UTC>-<SessionId 6afff61b.1956>-",
        );
        check(
            "1795159564.284|3/14|-9||CREATE TABLE|client backend|42P01|",
            "<Epoch 1795159564.284>|<VirtualTransactionId 3/14>|<Number -9>||<Word CREATE TABLE>|<Word client backend>|<Word 42P01>|",
        );
        check(
            "[7059    ]           @  ",
            "[<Number 7059> '''] ''''''''''@ '",
        );
        check("[50-3] ", "[<Number 50>-<Number 3>] ");
        check("user=[unknown],", "<Word user>=<Word [unknown]>,");
        check("100% ", "<Number 100>% ");
    }
}

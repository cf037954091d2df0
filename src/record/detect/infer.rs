//! A line prefix that nobody listed, from the lines that it printed.
//!
//! The heads of many lines come in; a `log_line_prefix` goes out that prints such heads. The separators that most lines share are its text.
//! What stands between them is told by how it looks, by the word before it (`user=`), and by how it changes: the number that counts up is
//! `%l`, the one that stays meanwhile is `%p`. What isn't told becomes `%*`. Lines that stop early are those of processes without a session.

use std::collections::HashMap;

use super::super::escape::Escape;
use super::numbers;
use super::padding::{self, Padding};
use super::tokens::{self, BACKEND_TYPES, Look, Tokens, Value};

/// A prefix that was made up from lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inferred {
    pub(super) log_line_prefix: String,
    /// csvlog's names of columns that may be what `%*` stands for.
    pub(super) untold: Vec<&'static str>,
}

/// What a slot of the heads is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Text of the prefix, or nothing.
    Text,
    Escape(Escape),
}

/// The slots of many heads with the same separators, one under the other, and what is known of them.
pub(super) struct Table<'a> {
    pub(super) rows: Vec<&'a Tokens<'a>>,
    pub(super) separators: &'a [u8],
    /// How many of the separators lines of processes without a session have.
    background: Option<usize>,
    pub(super) slots: Vec<Option<Slot>>,
}

/// Words in keys before a value (`user=`, `"db":`), and what the value is. The first that is in the key counts.
const KEYS: &[(&str, Escape)] = &[
    ("vxid", Escape::VirtualTransactionId),
    ("vtid", Escape::VirtualTransactionId),
    ("leader", Escape::LeaderPid),
    ("pid", Escape::ProcessId),
    ("proc", Escape::ProcessId),
    ("line", Escape::SessionLineNum),
    ("qid", Escape::QueryId),
    ("query", Escape::QueryId),
    ("xid", Escape::TransactionId),
    ("trx", Escape::TransactionId),
    ("tid", Escape::TransactionId),
    ("user", Escape::UserName),
    ("usr", Escape::UserName),
    ("role", Escape::UserName),
    ("db", Escape::DatabaseName),
    ("database", Escape::DatabaseName),
    ("app", Escape::ApplicationName),
    ("host", Escape::RemoteHostAndPort),
    ("client", Escape::RemoteHostAndPort),
    ("remote", Escape::RemoteHostAndPort),
    ("addr", Escape::RemoteHostAndPort),
    ("source", Escape::RemoteHostAndPort),
    ("cmd", Escape::CommandTag),
    ("command", Escape::CommandTag),
    ("tag", Escape::CommandTag),
];

/// First words of command tags, and what the server shows instead of one.
const COMMAND_TAGS: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "BEGIN",
    "START",
    "COMMIT",
    "ROLLBACK",
    "PARSE",
    "BIND",
    "EXECUTE",
    "FETCH",
    "CLOSE",
    "DECLARE",
    "SET",
    "SHOW",
    "CREATE",
    "ALTER",
    "DROP",
    "TRUNCATE",
    "COPY",
    "VACUUM",
    "ANALYZE",
    "CALL",
    "DO",
    "PREPARE",
    "DEALLOCATE",
    "SAVEPOINT",
    "RELEASE",
    "EXPLAIN",
    "GRANT",
    "REVOKE",
    "idle",
    "authentication",
];

/// Prefixes that may have printed `heads`: one for each of the most frequent sequences of separators.
pub(super) fn infer(heads: &[&[u8]]) -> Vec<Inferred> {
    const MAX_SHAPES: usize = 4;
    let all: Vec<Tokens<'_>> = heads.iter().map(|head| tokens::read(head)).collect();
    let mut counts: HashMap<&[u8], usize> = HashMap::new();
    for tokens in &all {
        *counts.entry(&tokens.separators).or_default() += 1;
    }
    let mut shapes: Vec<(&[u8], usize)> = counts.into_iter().collect();
    shapes.sort_by_key(|(separators, count)| (std::cmp::Reverse(*count), *separators));
    let inferred = |(session, _): &(&[u8], usize)| {
        let background = shapes.iter().map(|(shape, _)| *shape).find(|shape| {
            !shape.is_empty()
                && shape.len() < session.len()
                && session.starts_with(shape)
                && !are_blanks_of_empty_values(&all, shape, session)
        });
        of_shape(&all, session, background)
    };
    shapes
        .iter()
        .take(MAX_SHAPES)
        .filter_map(inferred)
        .collect()
}

/// Whether lines with few separators have as many blanks behind one another as others have between values: theirs are empty.
fn are_blanks_of_empty_values(all: &[Tokens<'_>], short: &[u8], long: &[u8]) -> bool {
    let last = short.len() - 1;
    let blanks = |shape: &[u8]| {
        let row = all.iter().find(|tokens| tokens.separators == shape)?;
        let from_last = row.separators.get(last..)?;
        let all_blank = from_last.iter().all(|separator| *separator == b' ');
        all_blank.then(|| row.widths.iter().skip(last).sum::<usize>())
    };
    blanks(short).is_some() && blanks(short) == blanks(long)
}

/// The prefix of lines with these separators, and of those that stop earlier.
fn of_shape(all: &[Tokens<'_>], session: &[u8], background: Option<&[u8]>) -> Option<Inferred> {
    let is_row = |tokens: &&Tokens<'_>| {
        tokens.separators == session || Some(tokens.separators.as_slice()) == background
    };
    let mut table = Table {
        rows: all.iter().filter(is_row).collect(),
        separators: session,
        background: background.map(<[u8]>::len),
        slots: vec![None; session.len() + 1],
    };
    table.tell();
    let is_anchor =
        |slot: &Option<Slot>| matches!(slot, Some(Slot::Escape(escape)) if escape.is_anchor());
    if !table.slots.iter().any(is_anchor) {
        return None;
    }
    Some(Inferred {
        log_line_prefix: table.setting()?,
        untold: table.untold(),
    })
}

impl<'a> Table<'a> {
    /// The values that lines have in a slot.
    pub(super) fn values(&self, slot: usize) -> impl Iterator<Item = Value<'a>> {
        self.rows
            .iter()
            .filter_map(move |row| *row.slots.get(slot)?)
    }

    pub(super) fn set(&mut self, slot: usize, escape: Escape) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Some(Slot::Escape(escape));
        }
    }

    pub(super) fn has(&self, escape: Escape) -> bool {
        self.slots.contains(&Some(Slot::Escape(escape)))
    }

    /// Slots of which nothing is known, where every value fits.
    pub(super) fn unknown(&self, fits: impl Fn(Value<'a>) -> bool) -> Vec<usize> {
        (0..self.slots.len())
            .filter(|slot| self.slots.get(*slot) == Some(&None))
            .filter(|slot| self.values(*slot).next().is_some() && self.values(*slot).all(&fits))
            .collect()
    }

    fn tell(&mut self) {
        for slot in 0..self.slots.len() {
            if let Some(told) = self.by_look(slot)
                && let Some(slot) = self.slots.get_mut(slot)
            {
                *slot = Some(told);
            }
        }
        self.times();
        for slot in 0..self.slots.len() {
            let Some(escape) = self.by_key(slot).filter(|escape| !self.has(*escape)) else {
                continue;
            };
            if self.slots.get(slot) == Some(&None) {
                self.set(slot, escape);
            }
        }
        self.addresses();
        numbers::tell(self);
        // Users are written before their databases.
        for (at, separator) in self.separators.iter().enumerate() {
            let is_open = |slot: usize| self.slots.get(slot) == Some(&None);
            if *separator == b'@' && is_open(at) && is_open(at + 1) {
                self.set(at, Escape::UserName);
                self.set(at + 1, Escape::DatabaseName);
                break;
            }
        }
        for slot in &mut self.slots {
            slot.get_or_insert(Slot::Escape(Escape::Unnamed));
        }
    }

    /// What the values alone tell.
    fn by_look(&self, slot: usize) -> Option<Slot> {
        let Some(first) = self.values(slot).next() else {
            return (!self.may_print(slot)).then_some(Slot::Text);
        };
        let all = |fits: &dyn Fn(Value<'a>) -> bool| self.values(slot).all(fits);
        let is_constant = all(&|value| value.text == first.text);
        if is_constant
            && first.look == Look::Word
            && (self.is_key(slot) || self.is_everywhere(slot))
        {
            return Some(Slot::Text);
        }
        let is_code = |value: Value<'_>| {
            let upper = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
            value.text.len() == 5 && value.text.iter().all(upper)
        };
        let begins_with_tag = |value: Value<'_>| {
            COMMAND_TAGS
                .iter()
                .any(|tag| value.text.starts_with(tag.as_bytes()))
        };
        let is_backend_type = |value: Value<'_>| {
            BACKEND_TYPES
                .iter()
                .any(|name| name.as_bytes() == value.text)
        };
        let tags = self
            .values(slot)
            .filter(|value| begins_with_tag(*value))
            .count();
        let escape = if all(&|value| value.look == Look::Epoch) {
            Escape::TimeEpoch
        } else if all(&|value| value.look == Look::SessionId) {
            Escape::SessionId
        } else if all(&|value| value.look == Look::VirtualTransactionId) {
            Escape::VirtualTransactionId
        } else if all(&is_backend_type) {
            Escape::BackendType
        } else if all(&is_code) && self.values(slot).any(|value| value.text == b"00000") {
            Escape::SqlStateCode
        } else if tags * 5 >= self.values(slot).count() * 4 {
            Escape::CommandTag
        } else {
            return None;
        };
        Some(Slot::Escape(escape))
    }

    /// Whether a slot that is empty in every line may be one of an escape that printed nothing so far, and not just nothing between separators.
    fn may_print(&self, slot: usize) -> bool {
        let Some((before, after)) = slot
            .checked_sub(1)
            .and_then(|at| self.separators.get(at))
            .zip(self.separators.get(slot))
        else {
            return false;
        };
        *before == b'=' || before == after && b"|,;:/\"'".contains(before)
    }

    /// Whether a word in the slot names the value that follows it: `word=`, `word:` or `"word":`.
    fn is_key(&self, slot: usize) -> bool {
        match self.separators.get(slot) {
            Some(b'=' | b':') => true,
            Some(b'"') => self.separators.get(slot + 1) == Some(&b':'),
            Some(b' ') => self.separators.get(slot + 1) == Some(&b'='),
            _ => false,
        }
    }

    /// Whether every line has a value in the slot, those of processes without a session too.
    fn is_everywhere(&self, slot: usize) -> bool {
        self.background.is_some_and(|background| slot < background)
            && self.values(slot).count() == self.rows.len()
    }

    /// What the word before the value tells.
    fn by_key(&self, slot: usize) -> Option<Escape> {
        let mut at = slot.checked_sub(1)?;
        let mut is_assigned = false;
        while b"=:\"' ".contains(self.separators.get(at)?) {
            is_assigned |= matches!(self.separators.get(at), Some(b'=' | b':'));
            if self.slots.get(at) == Some(&Some(Slot::Text))
                && let Some(word) = self.values(at).next()
            {
                let word = word.text.to_ascii_lowercase();
                let names = |key: &str| memchr::memmem::find(&word, key.as_bytes()).is_some();
                let (_, escape) = KEYS.iter().find(|(key, _)| names(key))?;
                let is_number = self.values(slot).all(|value| value.look == Look::Number);
                let fits = match escape {
                    Escape::ProcessId
                    | Escape::LeaderPid
                    | Escape::SessionLineNum
                    | Escape::QueryId
                    | Escape::TransactionId => is_number,
                    _ => true,
                };
                return Some(*escape).filter(|_| is_assigned && fits);
            }
            if self.values(at).next().is_some() {
                return None;
            }
            at = at.checked_sub(1)?;
        }
        None
    }

    /// `%m`, `%t` and `%s`: the time of the line goes on with the lines, that of the session's start stays.
    fn times(&mut self) {
        let milliseconds = self.unknown(|value| value.look == Look::Milliseconds);
        for slot in &milliseconds {
            self.set(*slot, Escape::TimeMilliseconds);
        }
        let mut has_time = !milliseconds.is_empty() || self.has(Escape::TimeEpoch);
        for slot in self.unknown(|value| value.look == Look::Seconds) {
            let goes_on = match milliseconds.first() {
                Some(log_time) => self.rows.iter().all(|row| {
                    let text = |slot: usize| row.slots.get(slot).copied().flatten();
                    let (Some(whole), Some(exact)) = (text(slot), text(*log_time)) else {
                        return true;
                    };
                    whole.text.get(..19) == exact.text.get(..19)
                }),
                None => {
                    let values: Vec<&[u8]> = self.values(slot).map(|value| value.text).collect();
                    let backwards = values.windows(2).filter(|pair| pair[0] > pair[1]).count();
                    backwards * 20 <= values.len()
                }
            };
            let is_log_time =
                goes_on && (!has_time || !milliseconds.is_empty() || self.has(Escape::TimeEpoch));
            has_time |= is_log_time;
            self.set(
                slot,
                if is_log_time {
                    Escape::TimeSeconds
                } else {
                    Escape::SessionStartTime
                },
            );
        }
    }

    /// `%r`, `%h` and `%L`: only `%r` has a port; only `%L` is there without a connection.
    fn addresses(&mut self) {
        for slot in self.unknown(|value| value.look == Look::Address || value.text == b"[unknown]")
        {
            let has =
                |fits: &dyn Fn(&[u8]) -> bool| self.values(slot).any(|value| fits(value.text));
            let escape = if has(&|text| text == b"[none]") {
                Escape::LocalAddress
            } else if has(&|text| text.ends_with(b")"))
                || !self.has(Escape::RemoteHostAndPort) && !has(&|text| text != b"[local]")
            {
                Escape::RemoteHostAndPort
            } else {
                Escape::RemoteHost
            };
            self.set(slot, escape);
        }
    }

    /// The setting: text, separators and escapes with their padding in their order.
    fn setting(&self) -> Option<String> {
        let paddings = padding::all(self);
        let mut setting = String::new();
        for (number, slot) in self.slots.iter().enumerate() {
            if self.background == Some(number) {
                setting.push_str("%q");
            }
            match slot {
                Some(Slot::Escape(escape)) => {
                    setting.push('%');
                    if let Some(padding) = paddings.get(&number) {
                        setting.push_str(&padding.width.to_string());
                    }
                    setting.push(char::from(escape.letter()));
                }
                Some(Slot::Text) | None => {
                    if let Some(value) = self.values(number).next() {
                        setting.push_str(std::str::from_utf8(value.text).ok()?);
                    }
                }
            }
            let Some(separator) = self.separators.get(number) else {
                continue;
            };
            let is_padded = |slot: usize, is_left: bool| {
                paddings
                    .get(&slot)
                    .filter(|padding| (padding.width > 0) == is_left)
            };
            let count = match (is_padded(number + 1, true), is_padded(number, false)) {
                (Some(Padding { blanks, .. }), _) | (_, Some(Padding { blanks, .. }))
                    if *separator == b' ' =>
                {
                    *blanks
                }
                _ => self
                    .rows
                    .first()
                    .and_then(|row| row.widths.get(number).copied())
                    .unwrap_or(1),
            };
            let text = match separator {
                b'%' => "%%".to_owned(),
                byte => char::from(*byte).to_string(),
            };
            setting.push_str(&text.repeat(count));
        }
        Some(setting)
    }

    fn untold(&self) -> Vec<&'static str> {
        const NAMES: &[(&str, Escape)] = &[
            ("user_name", Escape::UserName),
            ("database_name", Escape::DatabaseName),
            ("application_name", Escape::ApplicationName),
        ];
        const NUMBERS: &[(&str, Escape)] = &[
            ("process_id", Escape::ProcessId),
            ("session_line_num", Escape::SessionLineNum),
            ("leader_pid", Escape::LeaderPid),
            ("query_id", Escape::QueryId),
        ];
        let mut untold = Vec::new();
        for (number, slot) in self.slots.iter().enumerate() {
            let Some(Slot::Escape(Escape::Unnamed)) = slot else {
                continue;
            };
            let Some(first) = self.values(number).next() else {
                continue;
            };
            let columns = match first.look {
                Look::Number => NUMBERS,
                _ => NAMES,
            };
            for (name, escape) in columns {
                if !self.has(*escape) && !untold.contains(name) {
                    untold.push(*name);
                }
            }
        }
        untold
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    /// What a server prints for an escape in line `number` of its log: three sessions and a background process take turns.
    fn print(escape: &str, number: usize) -> String {
        let process = number * 7 % 4;
        let count = number / 4 + 3;
        let user = ["", "postgres", "bob", "a_rather_long_name"][process];
        let database = ["", "bench", "app", "shop"][process];
        let process_id = 5678 + process * 13;
        match escape {
            "m" => format!(
                "2026-11-20 07:26:{:02}.{:03} CET",
                number / 10 % 60,
                number % 10
            ),
            "t" => format!("2026-11-20 07:26:{:02} CET", number / 10 % 60),
            "n" => format!("17951595{:02}.{:03}", number / 10 % 60, number % 10),
            "s" => format!("2026-11-20 07:25:{:02} CET", process * 9),
            "p" => process_id.to_string(),
            "l" => count.to_string(),
            "c" => format!("6afff60{process}.{process_id:x}"),
            "u" => user.to_owned(),
            "d" => database.to_owned(),
            "a" => ["", "psql", "pgbench", "my app"][process].to_owned(),
            "r" => ["", "127.0.0.1(58892)", "[local]", "::1(7)"][process].to_owned(),
            "h" => ["", "127.0.0.1", "[local]", "::1"][process].to_owned(),
            "L" => ["[none]", "127.0.0.1", "[local]", "::1"][process].to_owned(),
            "v" if process > 0 => format!("{process}/{count}"),
            "v" | "P" => String::new(),
            "x" => {
                if !count.is_multiple_of(3) {
                    "0".to_owned()
                } else {
                    (700 + number).to_string()
                }
            }
            "e" => if number == 17 { "42P01" } else { "00000" }.to_owned(),
            "i" => ["", "SELECT", "INSERT", "idle in transaction"][process].to_owned(),
            "b" => if process > 0 {
                "client backend"
            } else {
                "autovacuum launcher"
            }
            .to_owned(),
            "Q" => (i64::try_from(process).unwrap()
                * if !count.is_multiple_of(2) {
                    5_877_437_949_371_788_125 / 7
                } else {
                    -9_877_437_949_371_788
                })
            .to_string(),
            other => panic!("{other}"),
        }
    }

    /// The heads that a server with this setting prints.
    fn heads(setting: &str, count: usize) -> Vec<String> {
        let head = |number: usize| {
            let is_background = (number * 7).is_multiple_of(4);
            let mut head = String::new();
            let mut rest = setting;
            while let Some((text, after)) = rest.split_once('%') {
                head += text;
                let letter = after
                    .find(|c: char| c.is_ascii_alphabetic() || c == '%')
                    .unwrap();
                let (width, after) = after.split_at(letter);
                let (escape, after) = after.split_at(1);
                rest = after;
                let width: i32 = width.parse().unwrap_or(0);
                let size = usize::try_from(width.unsigned_abs()).unwrap();
                match escape {
                    "q" if is_background => return head,
                    "q" => {}
                    "%" => head.push('%'),
                    escape if width > 0 => head += &format!("{:>size$}", print(escape, number)),
                    escape => head += &format!("{:size$}", print(escape, number)),
                }
            }
            head + rest
        };
        (0..count).map(head).collect()
    }

    #[test]
    fn prefixes_that_nobody_listed() {
        let check = |setting: &str, expected: &str, untold: &[&str]| {
            let heads = heads(setting, 120);
            let heads: Vec<&[u8]> = heads.iter().map(String::as_bytes).collect();
            let inferred: Vec<_> = infer(&heads)
                .into_iter()
                .map(|it| (it.log_line_prefix, it.untold))
                .collect();
            assert!(
                inferred.contains(&(expected.to_owned(), untold.to_vec())),
                "{setting} {inferred:?}"
            );
        };
        let told = |setting: &str| check(setting, setting, &[]);
        told("%m [%-8p] %10u@%-12d ");
        told(
            "{\"ts\":\"%m\",\"pid\":%p,\"user\":\"%u\",\"db\":\"%d\",\"sess\":\"%c\",\"line\":%l,\"qid\":%Q} ",
        );
        told("%t <%p> {%l} %e %q%u@%d: ");
        told("[%c-%l] %m ");
        told("%m %p %c %l ");
        told("%n|%p|%v|%x|%e|%b| ");
        told("%s %t [%p] ");
        told("%m [%p:%l] %r %i ");
        // Both are addresses; `%r` counts where both are there.
        check("%m [%p] %L %r ", "%m [%p] %h %r ", &[]);
        told("pid=%p line=%l time=%m usr=%u database=%d host=%r ");
        check(
            "%m|%n|%t|%p|%P|%l|%s|%c|%v|%x|%e|%i|%b|%Q|%u|%d|%r|%h|%a| ",
            "%m|%n|%t|%p|%*|%l|%s|%c|%v|%x|%e|%i|%b|%Q|%*|%*|%r|%h|%*| ",
            &["user_name", "database_name", "application_name"],
        );
        check(
            "%m 100%% [%p] %q%u ",
            "%m %*%% [%p] %q%* ",
            &[
                "session_line_num",
                "leader_pid",
                "query_id",
                "user_name",
                "database_name",
                "application_name",
            ],
        );
    }

    #[test]
    fn what_tells_no_process_and_no_time_is_no_prefix() {
        for heads in [
            vec![],
            vec![b"what is this ".as_slice()],
            vec![b"x ", b"y "],
        ] {
            assert_eq!(infer(&heads), []);
        }
    }
}

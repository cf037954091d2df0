//! The head of a stderr line: what the line prefix printed, up to the severity.
//!
//! A line and a [`LinePrefix`] come in, the [`Head`] with the label and the text after it goes out. Names are chosen by clients and may look
//! like anything, so the prefix is matched as a whole against what stands before each word that could be the label: a reading counts only if
//! every item of the prefix has its place. Of several readings the earliest label wins whose text the server could have written, but the
//! last one behind a name with a line break: only names hold those, and who writes them forges labels too.

use crate::model::record::SqlState;

use super::escape::Escape;
use super::line_prefix::{Item, LinePrefix};
use super::severity::{Label, labels};

/// What the escapes of a prefix printed, as bytes of the line. Empty texts are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head<'a> {
    /// `%m`, else `%n`, else `%t`, with which of them it is.
    pub(super) log_time: Option<(Escape, &'a [u8])>,
    pub(super) user_name: Option<&'a [u8]>,
    pub(super) database_name: Option<&'a [u8]>,
    pub(super) process_id: Option<&'a [u8]>,
    /// `%r`, else `%h`.
    pub(super) connection_from: Option<&'a [u8]>,
    pub(super) session_id: Option<&'a [u8]>,
    pub(super) session_line_num: Option<&'a [u8]>,
    pub(super) command_tag: Option<&'a [u8]>,
    pub(super) virtual_transaction_id: Option<&'a [u8]>,
    pub(super) sql_state_code: Option<&'a [u8]>,
    pub(super) application_name: Option<&'a [u8]>,
    pub(super) backend_type: Option<&'a [u8]>,
    pub(super) leader_pid: Option<&'a [u8]>,
    pub(super) query_id: Option<&'a [u8]>,
    /// Where in the line the first name begins that a client chose.
    pub(super) names_at: Option<usize>,
}

/// A line that begins a record or a labelled text of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeadLine<'a> {
    pub(super) head: Head<'a>,
    pub(super) label: Label,
    /// What stands before the label: the head and nothing else.
    pub(super) before: &'a [u8],
    /// What stands after `LABEL:  `.
    pub(super) text: &'a [u8],
    /// The line reads as the record of another session as well.
    pub(super) is_ambiguous: bool,
    /// It begins in the middle of a line, behind a record that is torn there.
    pub(super) is_glued: bool,
}

/// Reads the head of `line`; `None` if it has none of that prefix.
pub(super) fn read<'a>(prefix: &LinePrefix, line: &'a [u8]) -> Option<HeadLine<'a>> {
    let mut chosen: Option<HeadLine<'a>> = None;
    let mut implausible = None;
    for found in labels(line, prefix.max_head_bytes()) {
        let Some(head) = printed_by(prefix, found.before) else {
            continue;
        };
        let read = HeadLine {
            head,
            label: found.label,
            before: found.before,
            text: found.text,
            is_ambiguous: false,
            is_glued: false,
        };
        if !is_plausible(found.text) {
            implausible.get_or_insert(HeadLine {
                is_ambiguous: true,
                ..read
            });
        } else if let Some(chosen) = &mut chosen {
            let is_ambiguous = chosen.is_ambiguous || !chosen.head.is_of_session_of(&read.head);
            if chosen.before.contains(&b'\n') {
                *chosen = read;
            }
            chosen.is_ambiguous = is_ambiguous;
        } else {
            chosen = Some(read);
            if !prefix.names_clients() {
                break;
            }
        }
    }
    chosen.or(implausible)
}

/// What the prefix printed as `before`, all of it.
pub(super) fn printed_by<'a>(prefix: &LinePrefix, before: &'a [u8]) -> Option<Head<'a>> {
    let mut head = Head::default();
    let mut fits = |goal| Match::new(prefix, before, goal).run(&prefix.items, before, &mut head);
    (fits(Goal::Session) || fits(Goal::NoSession)).then_some(head)
}

/// The same with the shortest of all names, or with the longest: other readings, if there are several.
pub(super) fn printed_with_names<'a>(
    prefix: &LinePrefix,
    before: &'a [u8],
    longest_first: bool,
) -> Option<Head<'a>> {
    let mut head = Head::default();
    let mut attempt = Match::new(prefix, before, Goal::Session);
    attempt.longest_first = Some(longest_first);
    attempt
        .run(&prefix.items, before, &mut head)
        .then_some(head)
}

/// Whether `line` may be the first part of a head whose user or database name holds a line break: the prefix fits up to such a name and the
/// line ends within it. Only behind a time or a process id: a prefix that begins with a name would make a head of every line.
pub(super) fn may_go_on(prefix: &LinePrefix, line: &[u8]) -> bool {
    let is_name = |escape: Escape| matches!(escape, Escape::UserName | Escape::DatabaseName);
    let begins_with_anchor = prefix
        .items
        .iter()
        .find_map(|item| match item {
            Item::Escape { escape, .. } => {
                (is_name(*escape) || escape.is_anchor()).then(|| escape.is_anchor())
            }
            Item::Literal(_) | Item::SessionOnly => None,
        })
        .unwrap_or(false);
    begins_with_anchor
        && line.len() <= prefix.max_head_bytes()
        && Match::new(prefix, line, Goal::EndsInName).run(&prefix.items, line, &mut Head::default())
}

/// What postgres.c and auto_explain.c write behind a duration.
const AFTER_DURATION: [&str; 5] = [
    "statement: ",
    "execute ",
    "parse ",
    "bind ",
    "fastpath function call: ",
];

/// The server writes `duration: 1.234 ms` alone or goes on with two blanks and one of few words. An application name that holds `LOG:  duration: 7 ms` reads otherwise.
fn is_plausible(text: &[u8]) -> bool {
    let text = verbose_sql_state(text).map_or(text, |(_, text)| text);
    let Some(number) = text.strip_prefix(b"duration: ") else {
        return true;
    };
    let digits = number
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b'.')
        .count();
    number
        .get(digits..)
        .and_then(|rest| rest.strip_prefix(b" ms"))
        .is_some_and(|rest| {
            matches!(rest, [] | b"\r")
                || rest.strip_prefix(b"  ").is_some_and(|rest| {
                    matches!(rest, b"plan:" | b"plan:\r")
                        || AFTER_DURATION
                            .iter()
                            .any(|word| rest.starts_with(word.as_bytes()))
                })
        })
}

/// `SQLSTATE: text`, as after the severity under log_error_verbosity = verbose: the code and the text.
pub(super) fn verbose_sql_state(text: &[u8]) -> Option<(SqlState, &[u8])> {
    let (code, rest) = text.split_at_checked(5)?;
    let code = SqlState::new(std::str::from_utf8(code).ok()?)?;
    Some((code, rest.strip_prefix(b": ")?))
}

/// What a text has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Everything that the prefix prints for a session.
    Session,
    /// What it prints for a process without one: nothing from `%q` on, and no names before it.
    NoSession,
    /// Its beginning, up to somewhere in a user or database name.
    EndsInName,
}

/// One attempt to lay the items of a prefix over a text. Free texts are tried at every length; `failed` remembers which item failed at which
/// place, so that the work is bounded by items times bytes times the length of a name, whatever the names hold.
struct Match {
    goal: Goal,
    /// In which order the lengths of free texts are tried; `None`: as it is best for each.
    longest_first: Option<bool>,
    text_bytes: usize,
    item_count: usize,
    failed: Vec<bool>,
}

impl Match {
    fn new(prefix: &LinePrefix, text: &[u8], goal: Goal) -> Self {
        Self {
            goal,
            longest_first: None,
            text_bytes: text.len(),
            item_count: prefix.items.len(),
            failed: Vec::new(),
        }
    }

    /// Whether `items` can have printed `input`. The head is filled on the way back, so that it holds the successful reading only.
    fn run<'a>(&mut self, items: &[Item], input: &'a [u8], head: &mut Head<'a>) -> bool {
        let Some((item, items)) = items.split_first() else {
            return self.goal == Goal::Session && input.is_empty();
        };
        match item {
            Item::Literal(text) => input
                .strip_prefix(text.as_slice())
                .is_some_and(|rest| self.run(items, rest, head)),
            Item::SessionOnly if self.goal == Goal::NoSession => input.is_empty(),
            Item::SessionOnly => self.run(items, input, head),
            Item::Escape { escape, width } => match escape.grammar() {
                Some(grammar) => padded(input, *width, |input| Some(grammar(input).ok()?.0))
                    .is_some_and(|(value, rest)| {
                        let fits = self.run(items, rest, head);
                        if fits {
                            head.set(*escape, value);
                        }
                        fits
                    }),
                None => self.free_text(*escape, *width, items, input, head),
            },
        }
    }

    fn free_text<'a>(
        &mut self,
        escape: Escape,
        width: i32,
        items: &[Item],
        input: &'a [u8],
        head: &mut Head<'a>,
    ) -> bool {
        let least = width.unsigned_abs() as usize;
        let most = escape.max_bytes().max(least);
        let is_name = matches!(escape, Escape::UserName | Escape::DatabaseName);
        if self.goal == Goal::EndsInName && is_name && input.len() <= most {
            return escape.can_print(input);
        }
        let place = items.len() * (self.text_bytes + 1) + input.len();
        if self.failed.get(place) == Some(&true) {
            return false;
        }
        let next = match items.first() {
            Some(Item::Literal(text)) => text.as_slice(),
            _ => &[],
        };
        let most = most.min(input.len());
        let longest_first = self.longest_first.unwrap_or(escape.is_longest_first());
        for step in 0..=most.saturating_sub(least) {
            let len = if longest_first {
                most - step
            } else {
                least + step
            };
            let Some((text, rest)) = input.split_at_checked(len) else {
                break;
            };
            if !rest.starts_with(next) || (items.is_empty() && !rest.is_empty()) {
                continue;
            }
            let value = match width {
                0 => text,
                _ if len > least => text,
                1.. => text.trim_ascii_start(),
                _ => text.trim_ascii_end(),
            };
            let may_print = if self.goal == Goal::NoSession && escape.needs_session() {
                value.is_empty()
            } else {
                escape.can_print(value)
            };
            if may_print && self.run(items, rest, head) {
                head.set(escape, value);
                if escape.is_chosen_by_client() && !value.is_empty() {
                    head.names_at = Some(self.text_bytes - input.len());
                }
                return true;
            }
        }
        if self.failed.is_empty() {
            self.failed = vec![false; self.item_count * (self.text_bytes + 1)];
        }
        if let Some(failed) = self.failed.get_mut(place) {
            *failed = true;
        }
        false
    }
}

/// A value of an escape with a grammar, padded with blanks to `width` bytes, and the rest of the input.
fn padded<'a>(
    input: &'a [u8],
    width: i32,
    rest_after_value: impl Fn(&'a [u8]) -> Option<&'a [u8]>,
) -> Option<(&'a [u8], &'a [u8])> {
    let least = width.unsigned_abs() as usize;
    if let Some((field, rest)) = input.split_at_checked(least)
        && least > 0
    {
        let value = if width > 0 {
            field.trim_ascii_start()
        } else {
            field.trim_ascii_end()
        };
        let fits = value.is_empty() || rest_after_value(value).is_some_and(<[u8]>::is_empty);
        if fits && value.len() < field.len() {
            return Some((value, rest));
        }
    }
    let rest = rest_after_value(input)?;
    let value = input.get(..input.len() - rest.len())?;
    (value.len() >= least).then_some((value, rest))
}

impl<'a> Head<'a> {
    /// Whether both name the same process, session, user and database.
    fn is_of_session_of(&self, other: &Self) -> bool {
        self.process_id == other.process_id
            && self.session_id == other.session_id
            && self.user_name == other.user_name
            && self.database_name == other.database_name
    }

    /// Whether its time, process and session are those that `other` has.
    pub(super) fn is_anchored_as(&self, other: &Self) -> bool {
        (self.log_time, self.process_id, self.session_id)
            == (other.log_time, other.process_id, other.session_id)
    }

    /// `%p` as a number.
    pub(super) fn process_id(&self) -> Option<i32> {
        std::str::from_utf8(self.process_id?).ok()?.parse().ok()
    }

    fn set(&mut self, escape: Escape, value: &'a [u8]) {
        let value = Some(value).filter(|value| !value.is_empty());
        let name = value.filter(|value| *value != b"[unknown]");
        match escape {
            Escape::ApplicationName => self.application_name = name,
            Escape::UserName => self.user_name = name,
            Escape::DatabaseName => self.database_name = name,
            Escape::RemoteHostAndPort => self.connection_from = value,
            Escape::RemoteHost => self.connection_from = self.connection_from.or(value),
            Escape::BackendType => self.backend_type = value,
            Escape::ProcessId => self.process_id = value,
            Escape::LeaderPid => self.leader_pid = value,
            Escape::TimeMilliseconds => self.log_time = value.map(|value| (escape, value)),
            Escape::TimeEpoch => {
                if self
                    .log_time
                    .is_none_or(|(known, _)| known == Escape::TimeSeconds)
                {
                    self.log_time = value.map(|value| (escape, value));
                }
            }
            Escape::TimeSeconds => {
                self.log_time = self.log_time.or(value.map(|value| (escape, value)))
            }
            Escape::CommandTag => self.command_tag = value,
            Escape::SqlStateCode => self.sql_state_code = value,
            Escape::SessionId => self.session_id = value,
            Escape::SessionLineNum => self.session_line_num = value,
            Escape::VirtualTransactionId => self.virtual_transaction_id = value,
            Escape::QueryId => self.query_id = value,
            Escape::LocalAddress
            | Escape::SessionStartTime
            | Escape::TransactionId
            | Escape::Unnamed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;
    use crate::model::record::Severity;

    /// The fields of a head that are not empty, the label and the text.
    fn show(setting: &str, line: &str) -> String {
        let prefix = LinePrefix::parse(setting).unwrap();
        let Some(HeadLine {
            head, label, text, ..
        }) = read(&prefix, line.as_bytes())
        else {
            return "none".to_owned();
        };
        let fields = [
            ("time", head.log_time.map(|(_, printed)| printed)),
            ("user", head.user_name),
            ("db", head.database_name),
            ("pid", head.process_id),
            ("from", head.connection_from),
            ("session", head.session_id),
            ("line", head.session_line_num),
            ("tag", head.command_tag),
            ("vxid", head.virtual_transaction_id),
            ("code", head.sql_state_code),
            ("app", head.application_name),
            ("type", head.backend_type),
            ("leader", head.leader_pid),
            ("query_id", head.query_id),
        ];
        let mut shown = String::new();
        for (name, value) in fields {
            if let Some(value) = value {
                shown += &format!("{name}={} ", std::str::from_utf8(value).unwrap());
            }
        }
        let label = match label {
            Label::Severity(severity) => severity.as_str().to_owned(),
            other => format!("{other:?}"),
        };
        format!("{shown}{label}: {}", std::str::from_utf8(text).unwrap())
    }

    fn check(setting: &str, line: &str, expected: &str) {
        assert_eq!(show(setting, line), expected, "{setting:?} {line:?}");
    }

    #[test]
    fn heads_of_common_prefixes() {
        let debian = "%m [%p] %q%u@%d ";
        check(
            debian,
            "2026-11-20 07:25:54.423 UTC [50] LOG:  ready",
            "time=2026-11-20 07:25:54.423 UTC pid=50 LOG: ready",
        );
        check(
            debian,
            "2026-11-20 07:25:54.423 UTC [50] [unknown]@[unknown] LOG:  x",
            "time=2026-11-20 07:25:54.423 UTC pid=50 LOG: x",
        );
        check(
            debian,
            "2026-11-20 07:25:54.423 UTC [50] al@db DETAIL:  x",
            "time=2026-11-20 07:25:54.423 UTC user=al db=db pid=50 Detail: x",
        );
        let rds = "%t:%r:%u@%d:[%p]:";
        check(
            rds,
            "2026-11-20 07:25:57 UTC::@:[52]:LOG:  x",
            "time=2026-11-20 07:25:57 UTC pid=52 LOG: x",
        );
        check(
            rds,
            "2026-11-20 07:25:57 UTC:::1(42):a:b@d:[52]:LOG:  x",
            "time=2026-11-20 07:25:57 UTC user=a:b db=d pid=52 from=::1(42) LOG: x",
        );
        check(
            rds,
            "2026-11-20 07:25:57 UTC:[local]:a@d:[52]:LOG:  x",
            "time=2026-11-20 07:25:57 UTC user=a db=d pid=52 from=[local] LOG: x",
        );
        check(
            "%t-%c-",
            "2026-11-20 07:26:19 UTC-6afff61b.1956-LOG:  x",
            "time=2026-11-20 07:26:19 UTC session=6afff61b.1956 LOG: x",
        );
        check(
            "%m|%n|%t|%p|%P|%l|%s|%c|%v|%x|%e|%i|%b|%Q|%u|%d|%r|%h|%a| ",
            "2026-11-20 07:26:04.284 UTC|1795159564.284|2026-11-20 07:26:04 UTC|56|12|6|2026-11-20 07:26:04 UTC|6aff.16|3/1|0|42P01|SELECT|parallel worker|-9|u|d|10.0.0.1(5)|10.0.0.1|a b| ERROR:  x",
            "time=2026-11-20 07:26:04.284 UTC user=u db=d pid=56 from=10.0.0.1(5) session=6aff.16 line=6 tag=SELECT vxid=3/1 code=42P01 app=a b type=parallel worker leader=12 query_id=-9 ERROR: x",
        );
        check(
            "%m [%p] %L %r %u@%d ",
            "2026-11-20 07:34:32.642 UTC [28] [none]  @ LOG:  x",
            "time=2026-11-20 07:34:32.642 UTC pid=28 LOG: x",
        );
        check("", "LOG:  x", "LOG: x");
        check("", " LOG:  x", "none");
        check("[%p]", "[12]LOG:  x", "pid=12 LOG: x");
        check(
            "%n %p ",
            "1795159564.284 12 LOG:  x",
            "time=1795159564.284 pid=12 LOG: x",
        );
        check(
            "%t %n ",
            "2026-11-20 07:26:04 UTC 1795159564.284 LOG:  x",
            "time=1795159564.284 LOG: x",
        );
        check(
            "%m [%p]%*",
            "2026-11-20 07:34:32.642 UTC [28] [?] a@b LOG:  x",
            "time=2026-11-20 07:34:32.642 UTC pid=28 LOG: x",
        );
        check(
            debian,
            "2026-11-20 07:25:54.423 UTC [50] al@db LOG: x",
            "none",
        );
        check(
            debian,
            "2026-11-20 07:25:54.423 UTC [50] al LOG:  x",
            "none",
        );
        check(debian, "2026-13-20 07:25:54.423 UTC [50] LOG:  x", "none");
    }

    #[test]
    fn padding() {
        let setting = "[%-8p] %10u@%-12d ";
        check(
            setting,
            "[7059    ]           @             LOG:  x",
            "pid=7059 LOG: x",
        );
        check(
            setting,
            "[7059    ]        bob@my db        LOG:  x",
            "user=bob db=my db pid=7059 LOG: x",
        );
        check(
            setting,
            "[123456789] elevenchars@twelve chars! LOG:  x",
            "user=elevenchars db=twelve chars! pid=123456789 LOG: x",
        );
        check(setting, "[7059] bob@db LOG:  x", "none");
        check("%5P|%5l ", "     |    7 LOG:  x", "line=7 LOG: x");
    }

    #[test]
    fn names_that_look_like_something_else() {
        check(
            "%p %u@%d ",
            "1 bob o'neil@x y@app LOG:  x",
            "user=bob o'neil@x y db=app pid=1 LOG: x",
        );
        check(
            "%p %u@%d/%a ",
            "1 al@app/a/b LOG:  x",
            "user=al db=app pid=1 app=a/b LOG: x",
        );
        check(
            "%p: user=%u,db=%d,app=%a,client=%h ",
            "1: user=bob o'neil@x y,db=my db, \"x\",app=LOG:  a,client=b,client=::1 LOG:  x",
            "user=bob o'neil@x y db=my db, \"x\" pid=1 from=::1 app=LOG:  a,client=b LOG: x",
        );
        // The name of an application against the text of a statement.
        check(
            "%p %u@%d/%a ",
            "1 al@app/a?2026-01-01 [3] LOG:  duration: 7.000 ms LOG:  duration: 0.003 ms  plan:",
            "user=al db=app pid=1 app=a?2026-01-01 [3] LOG:  duration: 7.000 ms LOG: duration: 0.003 ms  plan:",
        );
        check(
            "%p %u@%d/%a ",
            "1 al@app/psql LOG:  duration: 7.000 ms  statement: SELECT ' LOG:  duration: 9.000 ms'",
            "user=al db=app pid=1 app=psql LOG: duration: 7.000 ms  statement: SELECT ' LOG:  duration: 9.000 ms'",
        );
        check(
            "%p %q%a ",
            "1 x LOG:  00000: duration: 7 ms LOG:  00000: duration: 0.003 ms  plan:",
            "pid=1 app=x LOG:  00000: duration: 7 ms LOG: 00000: duration: 0.003 ms  plan:",
        );
        check("%p %a ", &format!("1 {} LOG:  x", "a".repeat(64)), "none");
        let escaped = "\\xc3".repeat(63);
        check(
            "%p %a ",
            &format!("1 {escaped} LOG:  x"),
            &format!("pid=1 app={escaped} LOG: x"),
        );
    }

    #[test]
    fn heads_over_several_lines() {
        let goes_on = |setting: &str, line: &str| {
            may_go_on(&LinePrefix::parse(setting).unwrap(), line.as_bytes())
        };
        assert!(goes_on("%p %q%u@%d ", "1 x"));
        assert!(goes_on("%p %q%u@%d ", "1 "));
        assert!(goes_on("%p %q%u@%d ", "1 x\ny@z"));
        assert!(!goes_on("%p %q%u@%d ", &format!("1 {}", "x".repeat(64))));
        assert!(!goes_on("%p %q%u@%d ", "cp: cannot stat 'x'"));
        assert!(!goes_on("%u@%d %p ", "x"));
        assert!(!goes_on("%p %a ", "1 x"));
        check(
            "%p %u@%d ",
            "1 x\n1 y@z LOG:  a@b LOG:  c",
            "user=x\n1 y@z LOG:  a db=b pid=1 LOG: c",
        );
    }

    #[test]
    fn processes_without_a_session_have_no_names() {
        check("%p %u %q%d@%a ", "1  LOG:  x", "pid=1 LOG: x");
        check("%p %u %q%d@%a ", "1 al LOG:  x", "none");
    }

    /// Names made to be ambiguous take bounded work.
    #[test]
    fn hostile_names_end() {
        let blanks = " ".repeat(63);
        let line = format!("{blanks} {blanks} {blanks} {blanks}{blanks}{blanks}{blanks}x");
        let labels = "x LOG:  ".repeat(12);
        for setting in ["%u %d %a %i %b %p ", "%a %a %a %a %a %a %a %p "] {
            check(setting, &format!("{line}LOG:  x"), "none");
            check(setting, &labels, "none");
        }
    }

    #[derive(Debug, Clone)]
    struct Session {
        user: String,
        database: String,
        application: String,
        host: &'static str,
    }

    /// Prints an item as the server's log_status_format does. `None` is a process without a session.
    fn print(item: &str, width: i32, session: Option<&Session>, pid: i32, line: u32) -> String {
        let or_unknown = |text: &String| {
            if text.is_empty() {
                "[unknown]".to_owned()
            } else {
                text.clone()
            }
        };
        let value = match item {
            "u" => session.map(|s| or_unknown(&s.user)),
            "d" => session.map(|s| or_unknown(&s.database)),
            "a" => session.map(|s| or_unknown(&s.application)),
            "r" => session.map(|s| s.host.to_owned()),
            "p" => Some(pid.to_string()),
            "l" => Some(line.to_string()),
            "m" => Some("2026-11-20 07:26:04.284 CET".to_owned()),
            "c" => Some("6afff61b.1956".to_owned()),
            "e" => Some("42P01".to_owned()),
            "v" => session.map(|_| "3/14".to_owned()),
            "x" => Some("0".to_owned()),
            "Q" => Some("-5".to_owned()),
            "t" | "s" => Some("2026-11-20 07:26:04 +0545".to_owned()),
            "n" => Some("1795159564.284".to_owned()),
            "h" => session.map(|s| s.host.split('(').next().unwrap_or_default().to_owned()),
            "L" => Some(session.map_or("[none]", |_| "[local]").to_owned()),
            "i" => session.map(|_| "CREATE TABLE".to_owned()),
            "b" => Some(
                if session.is_some() {
                    "parallel worker"
                } else {
                    "checkpointer"
                }
                .to_owned(),
            ),
            "P" => session.map(|_| "4711".to_owned()),
            other => panic!("{other}"),
        }
        .unwrap_or_default();
        let blanks = " ".repeat((width.unsigned_abs() as usize).saturating_sub(value.len()));
        if width > 0 {
            blanks + &value
        } else {
            value + &blanks
        }
    }

    proptest! {
        /// Whatever a prefix is made of and the session is called, what was printed is read back, as long as no name holds a separator.
        #[test]
        fn printed_heads_are_read_back(
            items in proptest::sample::subsequence(vec!["m", "p", "u", "d", "a", "r", "l", "c", "e", "v", "x", "Q", "t", "s", "n", "h", "L", "i", "b", "P"], 1..20).prop_shuffle(),
            widths in proptest::collection::vec(-14_i32..14, 20),
            session_only_at in proptest::option::of(0_usize..20),
            separator in "[|;/]|~[%]~",
            user in "[a-z @.'\"\\[\\]:,=(){}\u{e9}]{0,20}",
            database in "[a-z @.'\"\\[\\]:,=\u{e9}]{0,20}",
            application in "[a-z @.'\"\\[\\]:,=]{0,20}|LOG:  duration: 1 ms",
            pid in 1_i32..4_194_304,
            line in 1_u32..,
            host in proptest::sample::select(vec!["[local]", "127.0.0.1(5432)", "::1(1)", "fe80::1%eth0(80)", "db-1.example.org(7)"]),
            is_session: bool,
            text in "[a-z: ]{0,30}",
        ) {
            let session = Session { user, database, application, host };
            let session = is_session.then_some(&session);
            let (mut setting, mut printed, mut read_items) = (String::new(), String::new(), Vec::new());
            for (number, (item, width)) in items.iter().zip(&widths).enumerate() {
                if session_only_at == Some(number) {
                    setting += "%q";
                    if !is_session {
                        break;
                    }
                }
                let width_text = if *width == 0 { String::new() } else { width.to_string() };
                setting += &format!("%{width_text}{item}{}", separator.replace('%', "%%"));
                printed += &print(item, *width, session, pid, line);
                printed += &separator;
                read_items.push(*item);
            }
            // Padding can't be told from blanks that a name begins or ends with.
            let name = |text: &str, printed: &str| {
                let at = read_items.iter().position(|item| *item == printed)?;
                let width = widths[at].unsigned_abs() as usize;
                let text = if text.len() > width { text } else if widths[at] > 0 { text.trim_start() } else if widths[at] < 0 { text.trim_end() } else { text };
                (!text.is_empty()).then(|| text.to_owned())
            };
            let line_text = format!("{printed}LOG:  {text}");
            let prefix = LinePrefix::parse(&setting).unwrap();
            let found = read(&prefix, line_text.as_bytes());
            prop_assert!(found.is_some(), "{setting:?} {line_text:?}");
            let HeadLine { head, label, text: read_text, is_ambiguous: found_is_ambiguous, .. } = found.unwrap();
            prop_assert_eq!(label, Label::Severity(Severity::Log));
            prop_assert_eq!(read_text, text.as_bytes());
            let as_text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
            let expected_name = |of: fn(&Session) -> &str, item| session.and_then(|s| name(of(s), item));
            prop_assert_eq!(as_text(head.user_name), expected_name(|s| &s.user, "u"));
            prop_assert_eq!(as_text(head.database_name), expected_name(|s| &s.database, "d"));
            prop_assert_eq!(as_text(head.application_name), expected_name(|s| &s.application, "a"));
            let printed_alone = |item| read_items.contains(&item).then(|| print(item, 0, session, pid, line)).filter(|text| !text.is_empty());
            prop_assert_eq!(as_text(head.connection_from), printed_alone("r").or(printed_alone("h")));
            prop_assert_eq!(as_text(head.log_time.map(|(_, text)| text)), printed_alone("m").or(printed_alone("n")).or(printed_alone("t")));
            prop_assert_eq!(as_text(head.session_id), printed_alone("c"));
            prop_assert_eq!(as_text(head.command_tag), printed_alone("i"));
            prop_assert_eq!(as_text(head.virtual_transaction_id), printed_alone("v"));
            prop_assert_eq!(as_text(head.sql_state_code), printed_alone("e"));
            prop_assert_eq!(as_text(head.backend_type), printed_alone("b"));
            prop_assert_eq!(as_text(head.leader_pid), printed_alone("P"));
            prop_assert_eq!(as_text(head.query_id), printed_alone("Q"));
            prop_assert!(!found_is_ambiguous);
            prop_assert_eq!(as_text(head.process_id), read_items.contains(&"p").then(|| pid.to_string()));
            prop_assert_eq!(as_text(head.session_line_num), read_items.contains(&"l").then(|| line.to_string()));
        }

        /// Whatever bytes a line holds: no panic, and what is called text is the line's end.
        #[test]
        fn any_line(line: Vec<u8>, setting in "(%[-0-9]{0,2}[a-zA-Z*]|[ -~]){0,8}", labelled: bool) {
            let prefix = LinePrefix::parse(&setting).unwrap();
            let line = if labelled { [line.as_slice(), b"LOG:  "].concat() } else { line };
            may_go_on(&prefix, &line);
            if let Some(found) = read(&prefix, &line) {
                prop_assert!(line.ends_with(found.text));
            }
        }
    }
}

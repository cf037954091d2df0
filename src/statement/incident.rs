//! Messages about incidents: temporary files, waits for locks, deadlocks, cancellations.
//!
//! Message, DETAIL and SQLSTATE of a record come in, in any language; the numbers in them go out. Paths, names and the statements in the
//! DETAIL of a deadlock stay here: they may hold literals.

use std::sync::LazyLock;

use encoding_rs::{EUC_JP, EUC_KR, Encoding, GBK};

use super::{
    catalog::{CYRILLIC, LATIN1, LATIN2, LATIN5},
    failure::without_position,
    incident_catalog::{CANCELLATIONS, DEADLOCK_WAIT, LOCK_HOLDERS, LOCKS, TEMPORARY_FILE},
    lock_catalog::LOCK_TAGS,
    template::{Arguments, Template},
};
use crate::model::incident::{IncidentFacts, IncidentKind, LOCK_MODES, LOCK_TYPES};

/// Reads what a record tells of an incident; `None` where it tells of none.
///
/// `is_error` tells errors from messages for the log: only an error cancels.
pub fn read(
    is_error: bool,
    sql_state: Option<&str>,
    message: &str,
    detail: Option<&str>,
) -> Option<IncidentFacts> {
    let message = without_position(message);
    if is_error {
        return cancelled(sql_state, message, detail);
    }
    let forms = &*FORMS;
    let by_first_byte = message
        .bytes()
        .next()
        .and_then(|first| forms.by_first_byte.get(usize::from(first)))?;
    by_first_byte.iter().find_map(|(kind, template)| {
        let arguments = template.read(message)?;
        match kind {
            IncidentKind::TemporaryFile => Some(IncidentFacts {
                size_bytes: Some(arguments[1].parse().ok()?),
                ..IncidentFacts::of(*kind)
            }),
            _ => lock(*kind, &arguments, detail),
        }
    })
}

/// The format strings by the first byte of their messages; digits stand for those that begin with a process id.
struct Forms {
    by_first_byte: Vec<Vec<(IncidentKind, Template)>>,
}

static FORMS: LazyLock<Forms> = LazyLock::new(|| {
    let mut forms = Forms {
        by_first_byte: (0..=u8::MAX).map(|_| Vec::new()).collect(),
    };
    let temporary_file = (IncidentKind::TemporaryFile, TEMPORARY_FILE);
    for (kind, formats) in [temporary_file].iter().chain(LOCKS) {
        for template in printed(formats) {
            let first = template
                .texts()
                .first()
                .and_then(|text| text.bytes().next());
            let bytes = first.map_or(b'0'..=b'9', |first| first..=first);
            for byte in bytes {
                if let Some(forms) = forms.by_first_byte.get_mut(usize::from(byte)) {
                    forms.push((*kind, template.clone()));
                }
            }
        }
    }
    forms
});

/// In every encoding that can write them.
fn printed(formats: &[&str]) -> Vec<Template> {
    let encodings: Vec<&'static Encoding> =
        [LATIN1, LATIN2, LATIN5, CYRILLIC, &[EUC_JP, EUC_KR, GBK]].concat();
    let mut templates: Vec<Template> = Vec::new();
    for format in formats {
        for template in Template::printed(format, &encodings) {
            if !templates.contains(&template) {
                templates.push(template);
            }
        }
    }
    templates
}

/// `process %d … %s on %s after %ld.%03d ms`, and in DETAIL `Process holding the lock: %s. Wait queue: %s.`
fn lock(
    kind: IncidentKind,
    arguments: &Arguments<'_>,
    detail: Option<&str>,
) -> Option<IncidentFacts> {
    static HOLDERS: LazyLock<Vec<Template>> = LazyLock::new(|| printed(LOCK_HOLDERS));
    let [process_id, mode, tag, milliseconds, microseconds, _] = arguments;
    let holders =
        detail.and_then(|detail| HOLDERS.iter().find_map(|template| template.read(detail)));
    let holder_pids = holders.map_or_else(Vec::new, |[pids, ..]| {
        pids.split(", ")
            .filter_map(|pid| pid.parse().ok())
            .collect()
    });
    Some(IncidentFacts {
        wait_ms: Some(format!("{milliseconds}.{microseconds}").parse().ok()?),
        lock_mode: lock_mode(mode),
        lock_type: lock_type(tag),
        waiting_pid: Some(process_id.parse().ok()?),
        holder_pids,
        ..IncidentFacts::of(kind)
    })
}

fn lock_mode(printed: &str) -> Option<&'static str> {
    LOCK_MODES.into_iter().find(|mode| *mode == printed)
}

fn lock_type(tag: &str) -> Option<&'static str> {
    static TAGS: LazyLock<Vec<(&str, Template)>> = LazyLock::new(|| {
        let printed = |(name, formats): &(&'static str, &[&str])| {
            printed(formats)
                .into_iter()
                .map(|template| (*name, template))
                .collect::<Vec<_>>()
        };
        LOCK_TAGS.iter().flat_map(printed).collect()
    });
    let (name, _) = TAGS
        .iter()
        .find(|(_, template)| template.read(tag).is_some())?;
    LOCK_TYPES.into_iter().find(|known| known == name)
}

/// An error that ended a statement from outside, by its message, else by its SQLSTATE (manual, appendix A).
fn cancelled(
    sql_state: Option<&str>,
    message: &str,
    detail: Option<&str>,
) -> Option<IncidentFacts> {
    static REASONS: LazyLock<Vec<(IncidentKind, Template)>> = LazyLock::new(|| {
        let mut reasons = Vec::new();
        for (kind, formats) in CANCELLATIONS {
            reasons.extend(
                printed(formats)
                    .into_iter()
                    .map(|template| (*kind, template)),
            );
        }
        reasons
    });
    let by_message = || {
        let (kind, _) = REASONS
            .iter()
            .find(|(_, template)| template.read(message).is_some())?;
        Some(*kind)
    };
    let kind = match sql_state {
        Some("40P01") => IncidentKind::Deadlock,
        Some("57014") => by_message().unwrap_or(IncidentKind::Canceled),
        Some("25P03") => IncidentKind::IdleInTransactionTimeout,
        Some("25P04") => IncidentKind::TransactionTimeout,
        // lock_not_available is NOWAIT's error too.
        Some("55P03") | None => by_message()?,
        Some(_) => return None,
    };
    let facts = IncidentFacts::of(kind);
    match detail {
        Some(detail) if kind == IncidentKind::Deadlock => Some(deadlock(facts, detail)),
        _ => Some(facts),
    }
}

/// The lines `Process %d waits for %s on %s; blocked by process %d.`, one for each process of the circle, the one that was cancelled first. The
/// statements that follow them are not looked at.
fn deadlock(mut facts: IncidentFacts, detail: &str) -> IncidentFacts {
    static WAITS: LazyLock<Vec<Template>> = LazyLock::new(|| printed(DEADLOCK_WAIT));
    for line in detail.lines() {
        let Some([waiting, mode, tag, ..]) = WAITS.iter().find_map(|template| template.read(line))
        else {
            break;
        };
        let waiting = waiting.parse().ok();
        if facts.waiting_pid.is_none() {
            facts.waiting_pid = waiting;
            facts.lock_mode = lock_mode(mode);
            facts.lock_type = lock_type(tag);
        } else {
            facts.holder_pids.extend(waiting);
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary_file(size_bytes: u64) -> Option<IncidentFacts> {
        Some(IncidentFacts {
            size_bytes: Some(size_bytes),
            ..IncidentFacts::of(IncidentKind::TemporaryFile)
        })
    }

    fn waits(
        kind: IncidentKind,
        mode: &'static str,
        lock_type: &'static str,
        holder_pids: &[i32],
    ) -> Option<IncidentFacts> {
        Some(IncidentFacts {
            wait_ms: Some(1000.072),
            lock_mode: Some(mode),
            lock_type: Some(lock_type),
            waiting_pid: Some(7),
            holder_pids: holder_pids.to_vec(),
            ..IncidentFacts::of(kind)
        })
    }

    #[test]
    fn messages_for_the_log() {
        let check = |message: &str, detail, expected| {
            assert_eq!(read(false, None, message, detail), expected, "{message}");
        };
        check(
            "temporary file: path \"base/pgsql_tmp/pgsql_tmp7.0\", size 14000000",
            None,
            temporary_file(14_000_000),
        );
        check(
            "temporäre Datei: Pfad »base/pgsql_tmp/x«, Größe 5",
            None,
            temporary_file(5),
        );
        check(
            "tempor\u{FFFD}re Datei: Pfad \u{FFFD}base/pgsql_tmp/x\u{FFFD}, Gr\u{FFFD}\u{FFFD}e 5",
            None,
            temporary_file(5),
        );
        check("临时文件: 路径 \"x\", 大小5", None, temporary_file(5));
        use IncidentKind::*;
        check(
            "process 7 still waiting for ShareLock on transaction 731 after 1000.072 ms",
            Some("Process holding the lock: 5. Wait queue: 7, 8."),
            waits(LockWait, "ShareLock", "transactionid", &[5]),
        );
        check(
            "process 7 acquired AccessExclusiveLock on relation 16384 of database 5 after 1000.072 ms",
            None,
            waits(LockAcquired, "AccessExclusiveLock", "relation", &[]),
        );
        check(
            "Prozess 7 wartet immer noch auf ExclusiveLock-Sperre auf Tupel (0, 1) von Relation 1 von Datenbank 5 nach 1000,072 ms",
            Some("Processes holding the lock: 5, 6. Wait queue: 7."),
            waits(LockWait, "ExclusiveLock", "tuple", &[5, 6]),
        );
        check(
            "プロセス7は1000.072 ms後にトランザクション 731上のShareLockを獲得しました",
            None,
            waits(LockAcquired, "ShareLock", "transactionid", &[]),
        );
        check(
            "7 PID 프로세스에서 여전히 ShareLock(트랜잭션 731) 작업을 기다리고 있음(1000.072ms 후)",
            None,
            waits(LockWait, "ShareLock", "transactionid", &[]),
        );
        check(
            "process 7 acquired ShareLock on transaction 731 after 1000.072 ms at character 22",
            None,
            waits(LockAcquired, "ShareLock", "transactionid", &[]),
        );
        check("process 7 still waiting", None, None);
        check("canceling statement due to user request", None, None);
        check("", None, None);
    }

    #[test]
    fn errors() {
        let check = |sql_state, message: &str, expected: Option<IncidentKind>| {
            let read = read(true, sql_state, message, None).map(|facts| facts.kind);
            assert_eq!(read, expected, "{sql_state:?} {message}");
        };
        use IncidentKind::*;
        check(
            Some("57014"),
            "canceling statement due to statement timeout",
            Some(StatementTimeout),
        );
        check(
            Some("57014"),
            "annulation de la requête à la demande de l'utilisateur",
            Some(UserRequest),
        );
        check(Some("57014"), "something else", Some(Canceled));
        check(
            None,
            "storniere Anfrage wegen Zeitüberschreitung einer Sperre",
            Some(LockTimeout),
        );
        check(
            Some("55P03"),
            "could not obtain lock on row in relation \"t\"",
            None,
        );
        check(
            Some("25P03"),
            "закрытие подключения из-за тайм-аута простоя в транзакции",
            Some(IdleInTransactionTimeout),
        );
        check(
            None,
            "ロックのタイムアウトのためステートメントをキャンセルしています(15文字目)",
            Some(LockTimeout),
        );
        check(None, "деление на ноль", None);
        check(
            Some("22012"),
            "canceling statement due to statement timeout",
            None,
        );
    }

    #[test]
    fn a_deadlock_without_its_statements() {
        let detail = "Process 7 waits for ShareLock on transaction 2; blocked by process 8.\n\
                      Process 8 waits for ShareLock on transaction 1; blocked by process 7.\n\
                      Process 7: update t set a = 'secret'\nProcess 9 waits for ShareLock on transaction 1; blocked by process 7.\n\
                      Process 8: update t set b = 1";
        let expected = IncidentFacts {
            lock_mode: Some("ShareLock"),
            lock_type: Some("transactionid"),
            waiting_pid: Some(7),
            holder_pids: vec![8],
            ..IncidentFacts::of(IncidentKind::Deadlock)
        };
        assert_eq!(
            read(true, Some("40P01"), "x", Some(detail)),
            Some(expected.clone())
        );
        let detail = "Процесс 7 ожидает в режиме ShareLock блокировку \"транзакция 2\"; заблокирован процессом 8.\n\
                      Процесс 8 ожидает в режиме ShareLock блокировку \"транзакция 1\"; заблокирован процессом 7.";
        assert_eq!(
            read(true, None, "обнаружена взаимоблокировка", Some(detail)),
            Some(expected)
        );
    }

    #[test]
    fn long_messages_take_no_time() {
        let message = format!(
            "process 7 still waiting for {} after 1",
            "a on ".repeat(1_000_000)
        );
        assert_eq!(read(false, None, &message, None), None);
    }
}

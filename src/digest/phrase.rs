//! The words and units that the forms for people share: how a duration, a share or a time is written, and the sentences that say why a query
//! is in the summary. Knows no markup: what comes out has to be escaped by the form that shows it.

use jiff::Timestamp;

use crate::model::{
    accounting::Accounting,
    digest::{Digest, Novelty, ServerDigest, SlowQuery},
    recommendation::{Recommendation, Source, Verification},
};

/// Milliseconds in the unit that suits them: `0.42 ms`, `870 ms`, `3.21 s`, `12 min 03 s`, `4 h 07 min`.
pub(super) fn duration(duration_ms: f64) -> String {
    let seconds = duration_ms / 1000.0;
    if duration_ms < 9.995 {
        format!("{duration_ms:.2} ms")
    } else if duration_ms < 999.5 {
        format!("{duration_ms:.0} ms")
    } else if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else if seconds < 3599.5 {
        let whole = seconds.round();
        format!("{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0)
    } else {
        let minutes = (seconds / 60.0).round();
        format!(
            "{:.0} h {:02.0} min",
            (minutes / 60.0).floor(),
            minutes % 60.0
        )
    }
}

/// A count with its thousands apart: `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut written = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// `1 call`, `12,345 calls`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A part of a whole in per cent; `None` where there is no whole.
pub(super) fn share(part: f64, whole: f64) -> Option<String> {
    if whole <= 0.0 {
        return None;
    }
    let percent = part / whole * 100.0;
    Some(if percent < 0.1 {
        "under 0.1 %".to_owned()
    } else if percent < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    })
}

/// Date and minute in UTC.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Title of the summary; `None` for a store without records.
pub(super) fn title(digest: &Digest) -> Option<String> {
    Some(format!("Slow queries as of {} UTC", time(digest.as_of?)))
}

/// Where the window begins, and what counts as slow in it.
pub(super) fn window(digest: &Digest) -> String {
    let slow = duration(digest.slow_threshold_ms);
    match digest.since {
        Some(since) => format!("From {} on. Slow is {slow} and more.", time(since)),
        None => format!("Slow is {slow} and more."),
    }
}

/// What is said of a store without records.
pub(super) const NO_RECORDS: &str = "The store holds no log records.";

/// A server's totals in one line.
pub(super) fn totals(server: &ServerDigest) -> String {
    let mut line = format!(
        "{} taking {}, {}",
        counted(server.executions, "logged execution", "logged executions"),
        duration(server.total_ms),
        counted(server.queries, "query", "queries"),
    );
    if server.failed > 0 {
        line.push_str(&format!(", {} failed", count(server.failed)));
    }
    line
}

/// What of a server's logs could not be read, since they are watched; `None` where everything could.
pub(super) fn unread(accounting: &Accounting) -> Option<String> {
    let parts: Vec<String> = [
        (accounting.torn, "torn record", "torn records"),
        (
            accounting.unparsed,
            "unreadable record",
            "unreadable records",
        ),
        (
            accounting.plans_unparsable,
            "unreadable plan",
            "unreadable plans",
        ),
        (accounting.gaps, "gap", "gaps"),
        (
            accounting.forged_duration_messages,
            "message raised by user code to look like a duration",
            "messages raised by user code to look like durations",
        ),
    ]
    .into_iter()
    .filter(|(number, ..)| *number > 0)
    .map(|(number, one, many)| counted(number, one, many))
    .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What stands where no rule has a finding that matters: waits for locks, many short calls and statements inside functions are not read yet.
pub(super) const NO_FINDING: &str = "No rule found a cause.";

/// Heading of the queries of one kind.
pub(super) fn heading(novelty: Novelty) -> &'static str {
    match novelty {
        Novelty::New => "New slow queries",
        Novelty::Regressed => "Slower than before",
        Novelty::FirstLook => "Slow queries (first look)",
        Novelty::Known => "Known slow queries",
    }
}

/// Share of time, calls, mean and longest of one query.
pub(super) fn measures(query: &SlowQuery, server: &ServerDigest) -> String {
    let mut line = String::new();
    if let Some(share) = share(query.total_ms, server.total_ms) {
        line.push_str(&format!("{share} of the logged time: "));
    }
    if query.calls == 1 {
        line.push_str(&format!("1 call of {}", duration(query.max_ms)));
    } else {
        line.push_str(&format!(
            "{} calls, mean {}, max {}",
            count(query.calls),
            duration(query.mean_ms),
            duration(query.max_ms)
        ));
    }
    if query.failed > 0 {
        line.push_str(&format!(", {} failed", count(query.failed)));
    }
    line
}

/// Why the query is in the summary, and how it was before.
pub(super) fn why(query: &SlowQuery) -> String {
    let first_seen = time(query.first_seen);
    match (query.novelty, query.mean_before_ms) {
        (Novelty::New, _) => format!("First seen {first_seen}, within this window."),
        (Novelty::FirstLook, _) => format!(
            "First seen {first_seen}. The server was known for less than a day then: nothing to compare with."
        ),
        (Novelty::Regressed, Some(before)) => format!(
            "Mean {} against {} over {} before. First seen {first_seen}.",
            duration(query.mean_ms),
            duration(before),
            counted(query.calls_before, "call", "calls"),
        ),
        (Novelty::Known, Some(before)) => format!(
            "Before: mean {} over {}. First seen {first_seen}.",
            duration(before),
            counted(query.calls_before, "call", "calls"),
        ),
        (Novelty::Regressed | Novelty::Known, None) => format!("First seen {first_seen}."),
    }
}

/// What a recommendation says, where it comes from and how sure it is.
pub(super) fn advice(recommendation: &Recommendation) -> String {
    let source = match recommendation.source {
        Source::Rule => "rule",
        Source::Model => "model",
    };
    let checked = match recommendation.verification {
        Verification::Names => "names occur in the plan",
        Verification::Plan => "fits the plan's numbers",
    };
    let confidence = match recommendation.confidence_score {
        Some(score) => format!("{score:.2}"),
        None => "unknown".to_owned(),
    };
    let summary = recommendation.summary.trim_end_matches('.');
    format!("{summary} ({source}, confidence {confidence}, {checked})")
}

/// The statement in at most `limit` characters: the select list goes first, because tables and conditions say more, then the end.
pub(super) fn shortened(sql: &str, limit: usize) -> String {
    if sql.chars().count() <= limit {
        return sql.to_owned();
    }
    let head = limit / 4;
    let without_list = match top_level_from(sql) {
        Some(from) if sql[..from].chars().count() > head + 2 => {
            let kept: String = sql.chars().take(head).collect();
            format!("{} … {}", kept.trim_end(), &sql[from..])
        }
        _ => sql.to_owned(),
    };
    if without_list.chars().count() <= limit {
        return without_list;
    }
    let kept: String = without_list.chars().take(limit.saturating_sub(2)).collect();
    format!("{} …", kept.trim_end())
}

/// Byte offset of the first `from` outside parentheses and quotes in a normalized statement that starts with `select`.
fn top_level_from(sql: &str) -> Option<usize> {
    if !sql.starts_with("select ") {
        return None;
    }
    let (mut depth, mut quote) = (0_u32, None);
    let mut after_blank = false;
    for (at, c) in sql.char_indices() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, 'f')
                if depth == 0
                    && after_blank
                    && sql.get(at..).is_some_and(|rest| rest.starts_with("from ")) =>
            {
                return Some(at);
            }
            _ => {}
        }
        after_blank = c == ' ';
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_suits_them() {
        for (duration_ms, written) in [
            (0.0, "0.00 ms"),
            (0.4249, "0.42 ms"),
            (9.999, "10 ms"),
            (870.4, "870 ms"),
            (999.6, "1.00 s"),
            (3210.0, "3.21 s"),
            (9999.0, "10.0 s"),
            (59_960.0, "1 min 00 s"),
            (723_000.0, "12 min 03 s"),
            (3_599_700.0, "1 h 00 min"),
            (14_820_000.0, "4 h 07 min"),
        ] {
            assert_eq!(duration(duration_ms), written, "{duration_ms}");
        }
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        for (number, written) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), written);
        }
    }

    #[test]
    fn a_share_needs_a_whole() {
        assert_eq!(share(1.0, 0.0), None);
        assert_eq!(share(0.5, 1000.0).as_deref(), Some("under 0.1 %"));
        assert_eq!(share(41.4, 100.0).as_deref(), Some("41 %"));
        assert_eq!(share(4.14, 100.0).as_deref(), Some("4.1 %"));
    }

    #[test]
    fn a_long_statement_loses_its_select_list_first() {
        for (sql, limit, shown) in [
            ("select 1", 8, "select 1"),
            (
                "select a, b, (select c from x), d, e, f, g, h from t where i = $1",
                48,
                "select a, b, … from t where i = $1",
            ),
            (
                "select \"a from b\", cccccccccccccccccccccccccc from t where i = $1 and j = $2",
                40,
                "select \"a … from t where i = $1 and j …",
            ),
            (
                "update t set aaaaaaaaaaaaaaaaaaaa = $1",
                20,
                "update t set aaaaa …",
            ),
            ("select 'ä from ü' ääääääääääää", 20, "select 'ä from ü' …"),
        ] {
            let short = shortened(sql, limit);
            assert_eq!(short, shown);
            assert!(short.chars().count() <= limit);
        }
    }
}

//! The words that the server prints after the line prefix: severities, and the labels of the lines that follow a message.
//!
//! They are data: `LABELS` holds what is known, one row per word as it stands before the colon. In comes the start of a line, out go the
//! places where its label may be; which of them is right only the line prefix can tell.

use memchr::memchr_iter;

use crate::model::record::Severity;

/// What the text after a label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Severity(Severity),
    Detail,
    Hint,
    InternalQuery,
    Context,
    Location,
    Backtrace,
    Statement,
}

/// The words of `send_message_to_server_log` in the server's elog.c, with the severities of the manual's table 20.2. Logs say `DEBUG`
/// without the level.
const LABELS: &[(&str, Label)] = &[
    ("LOG", Label::Severity(Severity::Log)),
    ("DETAIL", Label::Detail),
    ("CONTEXT", Label::Context),
    ("STATEMENT", Label::Statement),
    ("ERROR", Label::Severity(Severity::Error)),
    ("HINT", Label::Hint),
    ("LOCATION", Label::Location),
    ("WARNING", Label::Severity(Severity::Warning)),
    ("FATAL", Label::Severity(Severity::Fatal)),
    ("DEBUG", Label::Severity(Severity::Debug)),
    ("NOTICE", Label::Severity(Severity::Notice)),
    ("INFO", Label::Severity(Severity::Info)),
    ("PANIC", Label::Severity(Severity::Panic)),
    ("QUERY", Label::InternalQuery),
    ("BACKTRACE", Label::Backtrace),
];

/// Between the word and the text.
const AFTER_WORD: &[u8] = b":  ";

/// The severity of that word, as csvlog and jsonlog print it alone.
pub(super) fn named(word: &str) -> Option<Severity> {
    LABELS
        .iter()
        .find_map(|&(known, label)| match label {
            Label::Severity(severity) if known == word => Some(severity),
            _ => None,
        })
        .or_else(|| Severity::from_english(word))
}

/// A word of the table in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labelled<'a> {
    pub(super) label: Label,
    /// What stands before the word.
    pub(super) before: &'a [u8],
    /// What stands after the colon and its two blanks.
    pub(super) text: &'a [u8],
}

/// Every place of `line` where a label may be, its word beginning within the first `window_bytes`; earliest first.
pub(super) fn labels(line: &[u8], window_bytes: usize) -> impl Iterator<Item = Labelled<'_>> {
    const LONGEST_WORD_BYTES: usize = 16;
    let window = line
        .get(..window_bytes.saturating_add(LONGEST_WORD_BYTES))
        .unwrap_or(line);
    memchr_iter(b':', window).filter_map(move |colon| {
        let (head, tail) = line.split_at_checked(colon)?;
        let text = tail.strip_prefix(AFTER_WORD)?;
        LABELS.iter().find_map(|&(word, label)| {
            let before = head.strip_suffix(word.as_bytes())?;
            Some(Labelled {
                label,
                before,
                text,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn found(line: &str, window_bytes: usize) -> Vec<(Label, String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        labels(line.as_bytes(), window_bytes)
            .map(|l| (l.label, text(l.before), text(l.text)))
            .collect()
    }

    #[test]
    fn a_label_is_a_known_word_a_colon_and_two_blanks() {
        let log = Label::Severity(Severity::Log);
        assert_eq!(
            found("12:30 [7] LOG:  a LOG: b:  c", 100),
            [(log, "12:30 [7] ".into(), "a LOG: b:  c".into())]
        );
        assert_eq!(found("LOG:  ", 0), [(log, String::new(), String::new())]);
        assert_eq!(
            found("x LOG:  y STATEMENT:  z", 100),
            [
                (log, "x ".into(), "y STATEMENT:  z".into()),
                (Label::Statement, "x LOG:  y ".into(), "z".into()),
            ]
        );
        assert_eq!(found(&format!("{:60}LOG:  far", ""), 20), []);
        assert_eq!(found("LOGS:  no", 100), []);
    }

    #[test]
    fn severities_alone() {
        assert_eq!(named("PANIC"), Some(Severity::Panic));
        assert_eq!(named("DEBUG3"), Some(Severity::Debug));
        assert_eq!(named("DETAIL"), None);
        assert_eq!(named("log"), None);
    }
}

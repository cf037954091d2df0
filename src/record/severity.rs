//! The words that the server prints after the line prefix: severities, and the labels of the lines that follow a message.
//!
//! They are data: `catalog` holds them, a row per language. In comes the start of a line, out go the places where its label may be; which of
//! them is right only the line prefix can tell.

use std::cmp::Reverse;
use std::sync::LazyLock;

use memchr::memchr_iter;

use crate::model::record::Severity;

use super::catalog;

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

/// The order of a catalog row's severities. Logs say `DEBUG` without the level.
const SEVERITIES: [Severity; 8] = [
    Severity::Debug,
    Severity::Info,
    Severity::Notice,
    Severity::Warning,
    Severity::Error,
    Severity::Log,
    Severity::Fatal,
    Severity::Panic,
];

/// The order of a catalog row's labels.
const LABELS: [Label; 6] = [
    Label::Detail,
    Label::Hint,
    Label::InternalQuery,
    Label::Context,
    Label::Location,
    Label::Statement,
];

/// A word as it stands in a log, in one encoding.
struct Word {
    bytes: Vec<u8>,
    /// The byte before the last, which tells most words apart.
    next_to_last: u8,
    /// The colon and the blanks after it.
    after: &'static [u8],
    label: Label,
}

/// The words of `send_message_to_server_log` in the server's elog.c, in every language and encoding, by their last byte: most colons of a
/// line stand behind a digit and are none of a label. Longer ones come first, since some words end in another.
static WORDS_BY_LAST_BYTE: LazyLock<Vec<Vec<Word>>> = LazyLock::new(|| {
    let mut table: Vec<Vec<Word>> = (0..=u8::MAX).map(|_| Vec::new()).collect();
    let mut add = |bytes: &[u8], after: &'static str, label| {
        let Some(words) = bytes
            .last()
            .and_then(|last| table.get_mut(usize::from(*last)))
        else {
            return;
        };
        let after = after.as_bytes();
        let word = Word {
            bytes: bytes.to_vec(),
            next_to_last: bytes.iter().rev().nth(1).copied().unwrap_or_default(),
            after,
            label,
        };
        let same = words
            .iter_mut()
            .find(|known| known.bytes == bytes && known.after == after);
        match same {
            // Georgian has one word for NOTICE and WARNING: it is read as the latter, which comes later.
            Some(known) if known.label == Label::Severity(Severity::Notice) => *known = word,
            Some(known) if known.label == label => {}
            _ => words.push(word),
        }
    };
    for row in catalog::WORDS {
        let severities = row.severities.into_iter().map(|word| (word, ":  "));
        let severities = severities.zip(SEVERITIES.map(Label::Severity));
        let labels = row
            .labels
            .map(|printed| printed.split_at(printed.find(':').unwrap_or(printed.len())));
        for ((word, after), label) in severities.chain(labels.into_iter().zip(LABELS)) {
            add(word.as_bytes(), after, label);
            for encoding in row.encodings {
                let (bytes, _, has_unmappable) = encoding.encode(word);
                if !has_unmappable {
                    add(&bytes, after, label);
                }
            }
        }
    }
    // Translated nowhere.
    add(b"BACKTRACE", ":  ", Label::Backtrace);
    for words in &mut table {
        // English stays first: it is what most logs hold, and no word of it ends in another.
        words.sort_by_key(|word| match word.bytes.is_ascii() {
            true => Reverse(usize::MAX),
            false => Reverse(word.bytes.len()),
        });
    }
    table
});

/// The words that end in the last two bytes of `text`.
fn words_at_end(table: &'static [Vec<Word>], text: &[u8]) -> impl Iterator<Item = &'static Word> {
    let (words, next_to_last) = match *text {
        [.., next_to_last, last] => (table.get(usize::from(last)), next_to_last),
        _ => (None, 0),
    };
    let words = words.map_or(&[][..], Vec::as_slice);
    words
        .iter()
        .filter(move |word| word.next_to_last == next_to_last)
}

/// The severity of that word, as csvlog and jsonlog print it alone. csvlog's is translated, jsonlog's is not.
pub(super) fn named(word: &[u8]) -> Option<Severity> {
    let english = std::str::from_utf8(word)
        .ok()
        .and_then(Severity::from_english);
    english.or_else(|| {
        words_at_end(&WORDS_BY_LAST_BYTE, word).find_map(|known| match known.label {
            Label::Severity(severity) if known.bytes == word => Some(severity),
            _ => None,
        })
    })
}

/// A word of the table in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labelled<'a> {
    pub(super) label: Label,
    /// What stands before the word.
    pub(super) before: &'a [u8],
    /// What stands after the colon and its blanks.
    pub(super) text: &'a [u8],
}

/// Every place of `line` where a label may be, its word beginning within the first `window_bytes`; earliest first.
pub(super) fn labels(line: &[u8], window_bytes: usize) -> impl Iterator<Item = Labelled<'_>> {
    const LONGEST_WORD_BYTES: usize = 48;
    let window = line
        .get(..window_bytes.saturating_add(LONGEST_WORD_BYTES))
        .unwrap_or(line);
    let table: &'static [Vec<Word>] = &WORDS_BY_LAST_BYTE;
    memchr_iter(b':', window).flat_map(move |colon| {
        let (head, tail) = line.split_at_checked(colon).unwrap_or_default();
        words_at_end(table, head).filter_map(move |word| {
            let before = head.strip_suffix(word.bytes.as_slice())?;
            let text = tail.strip_prefix(word.after)?;
            (before.len() <= window_bytes).then_some(Labelled {
                label: word.label,
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
    fn labels_of_every_language_and_encoding() {
        let check = |line: &[u8], expected: Option<(Label, &[u8], &[u8])>| {
            let found = labels(line, 100).next();
            let found = found.map(|found| (found.label, found.before, found.text));
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(line));
        };
        let of = |label| Some((label, &b"[7] "[..], &b"x"[..]));
        let error = Label::Severity(Severity::Error);
        check("[7] FEHLER:  x".as_bytes(), of(error));
        check("[7] INSTRUCTION :  x".as_bytes(), of(Label::Statement));
        check("[7] AYRINTI:x".as_bytes(), of(Label::Detail));
        check("[7] ПОЛОЖЕНИЕ: x".as_bytes(), of(Label::Location));
        check("[7] INSTRUÇÂO:  x".as_bytes(), of(Label::Statement));
        check("[7] COMANDO:  x".as_bytes(), of(Label::Statement));
        check(b"[7] D\xc9TAIL:  x", of(Label::Detail));
        check(
            &encoding_rs::EUC_JP.encode("[7] 文:  x").0,
            of(Label::Statement),
        );
        // FATAL ends in the word for ERROR, which would need another prefix.
        check(
            "[7] 致命错误:  x".as_bytes(),
            of(Label::Severity(Severity::Fatal)),
        );
        check("[7] INSTRUCTION:  x".as_bytes(), None);
        check("[7] ОШИБКА: x".as_bytes(), None);
    }

    #[test]
    fn no_word_has_two_meanings_or_hides_one_that_ends_in_it() {
        for words in WORDS_BY_LAST_BYTE.iter() {
            for (place, word) in words.iter().enumerate() {
                for later in &words[place + 1..] {
                    let text = String::from_utf8_lossy(&later.bytes);
                    assert!(
                        later.bytes == word.bytes || !later.bytes.ends_with(&word.bytes),
                        "{text}"
                    );
                    assert!(
                        later.bytes != word.bytes || later.label == word.label,
                        "{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn severities_alone() {
        let check = |word: &[u8], expected| assert_eq!(named(word), expected, "{word:?}");
        check(b"PANIC", Some(Severity::Panic));
        check(b"DEBUG3", Some(Severity::Debug));
        check(b"DETAIL", None);
        check(b"log", None);
        check(b"", None);
        check("ОШИБКА".as_bytes(), Some(Severity::Error));
        check(
            &encoding_rs::KOI8_R.encode("СООБЩЕНИЕ").0,
            Some(Severity::Log),
        );
        check(
            &encoding_rs::KOI8_R.encode("ЗАМЕЧАНИЕ").0,
            Some(Severity::Notice),
        );
        check("გაფრთხილება".as_bytes(), Some(Severity::Warning));
    }
}

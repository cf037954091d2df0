//! What a model's texts may hold: words for a person to read, nothing that a terminal, browser or chat client would act on.

use crate::model::visible::acts_on_display;

use super::Rejection;

/// `text` is non-empty, of at most `max_chars` characters, without control, bidirectional or zero-width characters (line breaks apart), links and
/// markup.
pub(super) fn check(text: &str, max_chars: usize) -> Result<(), Rejection> {
    if text.trim().is_empty() || text.chars().count() > max_chars {
        return Err(Rejection::Limit);
    }
    let tag = text
        .match_indices('<')
        .filter_map(|(at, _)| text.get(at + 1..)?.chars().next())
        .any(|next| next.is_ascii_alphabetic() || ['/', '!'].contains(&next));
    let shown_as_written = text.chars().all(|c| c == '\n' || !acts_on_display(c));
    if tag || !shown_as_written || text.contains("://") || text.contains("](") {
        return Err(Rejection::NotPlainText);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_pass() {
        for (text, expected) in [
            ("reads 10 rows where a < b\nand more", Ok(())),
            ("", Err(Rejection::Limit)),
            (" \n", Err(Rejection::Limit)),
            (
                "äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüx",
                Err(Rejection::Limit),
            ),
            ("\u{1b}[31mred", Err(Rejection::NotPlainText)),
            ("a\u{202e}b", Err(Rejection::NotPlainText)),
            ("zero\u{200b}width", Err(Rejection::NotPlainText)),
            ("see https://example.org", Err(Rejection::NotPlainText)),
            ("[x](javascript:y)", Err(Rejection::NotPlainText)),
            ("<script>", Err(Rejection::NotPlainText)),
        ] {
            assert_eq!(check(text, 42), expected, "{text}");
        }
    }
}

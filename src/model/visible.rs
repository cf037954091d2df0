//! Text from a log, harmless where it is shown. Names, statements and messages come from whoever can connect to the server.
//!
//! Text comes in, text goes out that a terminal or a reader's eye takes for what it is. What markup makes of it is for each form that shows it.

use std::fmt::Write;

/// Characters that change how the text around them is shown, or are not shown at all: control characters, and the format characters of the
/// Unicode Bidirectional Algorithm (UAX #9) and of hidden text (UTS #39).
pub fn acts_on_display(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with `\u{…}` in place of each character that acts on the display: ANSI sequences, bidirectional overrides, invisible characters,
/// line separators. Newlines and tabs too: a name with a newline must not look like the next line.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts_on_display(c) {
            write!(shown, "{}", c.escape_unicode()).expect("writing to a string doesn't fail");
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The JSON document with `\uXXXX` in place of each such character: serde_json leaves those above U+001F as they are. They occur in strings
/// only, where both ways of writing mean the same (RFC 8259, section 7); the newlines between values stay.
pub fn visible_json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        if c != '\n' && acts_on_display(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(shown, "\\u{unit:04x}").expect("writing to a string doesn't fail");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_acts_on_the_display_is_replaced() {
        for (text, shown) in [
            ("select naïve — “x” 表 | `a`", "select naïve — “x” 表 | `a`"),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            (
                "a\u{202e}b\u{2066}c\u{200b}d",
                "a\\u{202e}b\\u{2066}c\\u{200b}d",
            ),
            (
                "a\nb\tc\r\u{85}\u{2028}",
                "a\\u{a}b\\u{9}c\\u{d}\\u{85}\\u{2028}",
            ),
            ("\u{e0041}\u{feff}", "\\u{e0041}\\u{feff}"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn a_json_document_reads_back() {
        let value = serde_json::json!({ "name": "\u{9b}31m\u{202e}\u{e0041}é" });
        let document = visible_json(&format!("{value:#}\n"));
        assert_eq!(
            document,
            "{\n  \"name\": \"\\u009b31m\\u202e\\udb40\\udc41é\"\n}\n"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&document).expect("valid JSON"),
            value
        );
    }
}

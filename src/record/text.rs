//! Bytes of a log to text: logs mix the encodings of their databases, stores hold UTF-8 without NUL.

use std::borrow::Cow;

use memchr::memchr;

/// The bytes as text, and whether any had to be replaced by U+FFFD: those that are not UTF-8, and NUL.
pub(super) fn text(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    let (text, replaced) = match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (
            Cow::Owned(String::from_utf8_lossy(bytes).into_owned()),
            true,
        ),
    };
    if memchr(0, bytes).is_none() {
        (text, replaced)
    } else {
        (Cow::Owned(text.replace('\0', "\u{FFFD}")), true)
    }
}

/// The first line of a log without the mark that editors on Windows put before it (RFC 3629, section 6).
pub(super) fn without_byte_order_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

/// The text of one field, setting `lossy` when bytes had to be replaced.
pub(super) fn owned(bytes: &[u8], lossy: &mut bool) -> String {
    let (text, replaced) = text(bytes);
    *lossy |= replaced;
    text.into_owned()
}

/// As [`owned`], without copying text that is clean.
pub(super) fn from_vec(bytes: Vec<u8>, lossy: &mut bool) -> String {
    match String::from_utf8(bytes) {
        Ok(text) if memchr(0, text.as_bytes()).is_none() => text,
        Ok(text) => owned(text.as_bytes(), lossy),
        Err(error) => owned(error.as_bytes(), lossy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf8_or_nul_is_replaced() {
        let check = |bytes: &[u8], expected: &str, replaced| {
            assert_eq!(text(bytes), (Cow::Borrowed(expected), replaced));
        };
        check("größe\r\n\t".as_bytes(), "größe\r\n\t", false);
        check(b"gr\xf6\xdfe", "gr\u{FFFD}\u{FFFD}e", true);
        check(b"a\0b", "a\u{FFFD}b", true);
        check(b"\xff\0", "\u{FFFD}\u{FFFD}", true);
    }
}

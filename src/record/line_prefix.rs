//! `log_line_prefix` (manual, section 20.8.3 "What to Log"): the setting's own grammar.
//!
//! The setting's text comes in; a [`LinePrefix`] goes out, a list of literal texts and escapes that `head` matches against lines. What an escape
//! prints is not known here.

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while, take_while1};
use nom::combinator::{map, opt};
use nom::multi::many0;
use nom::sequence::preceded;
use nom::{IResult, Parser};

use super::Error;
use super::escape::Escape;

/// A longer setting is no log_line_prefix; bounds the depth of matching.
const MAX_PREFIX_BYTES: usize = 1024;

/// A server's `log_line_prefix`, ready to read lines with.
///
/// Beside PostgreSQL's escapes it knows `%*`: any text on one line, without a name. PostgreSQL prints nothing for it; prefix detection writes
/// it where the log alone doesn't tell what a text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePrefix {
    setting: String,
    pub(super) items: Vec<Item>,
}

/// One piece of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Literal(Vec<u8>),
    Escape {
        escape: Escape,
        /// Least width in bytes, padded with blanks: on the left if positive, on the right if negative.
        width: i32,
    },
    /// `%q`: processes without a session print nothing from here on.
    SessionOnly,
}

impl LinePrefix {
    /// Reads the value of `log_line_prefix`. As in the server an unknown escape prints nothing, and so does a `%` at the end.
    ///
    /// # Errors
    /// A line break in the text, and a text over 1024 bytes.
    pub fn parse(log_line_prefix: &str) -> Result<Self, Error> {
        if log_line_prefix.len() > MAX_PREFIX_BYTES {
            return Err(Error::PrefixTooLong {
                len_bytes: log_line_prefix.len(),
                limit_bytes: MAX_PREFIX_BYTES,
            });
        }
        if log_line_prefix.contains('\n') {
            return Err(Error::LineBreakInPrefix {
                prefix: log_line_prefix.to_owned(),
            });
        }
        let (_, pieces) = many0(piece)
            .parse(log_line_prefix.as_bytes())
            .expect("many0 of complete parsers doesn't fail");
        let mut items: Vec<Item> = Vec::new();
        for piece in pieces.into_iter().flatten() {
            match (items.last_mut(), piece) {
                (Some(Item::Literal(before)), Item::Literal(text)) => before.extend(text),
                (_, piece) => items.push(piece),
            }
        }
        Ok(Self {
            setting: log_line_prefix.to_owned(),
            items,
        })
    }

    /// The setting that [`LinePrefix::parse`] was given.
    pub fn as_str(&self) -> &str {
        &self.setting
    }

    /// Whether it prints names that clients choose.
    pub fn names_clients(&self) -> bool {
        self.items
            .iter()
            .any(|item| matches!(item, Item::Escape { escape, .. } if escape.is_chosen_by_client()))
    }

    /// Whether it prints a time, a process or a session, and before it nothing that may be any text.
    pub(super) fn is_anchored(&self) -> bool {
        let escapes = self.items.iter().filter_map(|item| match item {
            Item::Escape { escape, .. } => Some(*escape),
            Item::Literal(_) | Item::SessionOnly => None,
        });
        escapes
            .take_while(|escape| escape.grammar().is_some())
            .any(|escape| escape.is_anchor())
    }

    /// The same prefix with `%*` in the place of some escapes.
    pub(super) fn with_unnamed(&self, unnamed: &[Escape]) -> Self {
        let mut setting = String::new();
        for item in &self.items {
            match item {
                Item::Literal(text) => {
                    setting.push_str(&String::from_utf8_lossy(text).replace('%', "%%"));
                }
                Item::SessionOnly => setting.push_str("%q"),
                Item::Escape { escape, width } => {
                    let escape = if unnamed.contains(escape) {
                        Escape::Unnamed
                    } else {
                        *escape
                    };
                    setting.push('%');
                    if *width != 0 {
                        setting.push_str(&width.to_string());
                    }
                    setting.push(char::from(escape.letter()));
                }
            }
        }
        Self::parse(&setting).expect("a prefix that was read can be written")
    }

    /// Whether a head begins like a continuation.
    pub(super) fn begins_with_tab(&self) -> bool {
        matches!(self.items.first(), Some(Item::Literal(text)) if text.starts_with(b"\t"))
    }

    /// More bytes than any head of a line has.
    pub(super) fn max_head_bytes(&self) -> usize {
        let of_item = |item: &Item| match item {
            Item::Literal(text) => text.len(),
            Item::Escape { escape, width } => escape.max_bytes().max(width.unsigned_abs() as usize),
            Item::SessionOnly => 0,
        };
        self.items
            .iter()
            .map(of_item)
            .fold(0, usize::saturating_add)
    }
}

/// `log_line_prefix = *( literal / "%%" / "%" [ "-" ] *DIGIT letter )`; `None` for what prints nothing.
fn piece(input: &[u8]) -> IResult<&[u8], Option<Item>> {
    alt((
        map(take_while1(|b| b != b'%'), |text: &[u8]| {
            Some(Item::Literal(text.to_vec()))
        }),
        map(tag("%%"), |_| Some(Item::Literal(b"%".to_vec()))),
        preceded(
            tag("%"),
            map((padding, opt(take(1usize))), |(width, letter)| {
                let escape = match letter? {
                    b"q" => return Some(Item::SessionOnly),
                    [letter] => Escape::of_letter(*letter)?,
                    _ => return None,
                };
                Some(Item::Escape { escape, width })
            }),
        ),
    ))
    .parse(input)
}

/// `[ "-" ] *DIGIT`, read as `process_log_prefix_padding` does: digits may be missing, then there is no padding.
fn padding(input: &[u8]) -> IResult<&[u8], i32> {
    // Bounds what has to be matched; nobody pads further.
    const MAX_WIDTH_BYTES: i32 = 1024;
    map(
        (opt(tag("-")), take_while(|b: u8| b.is_ascii_digit())),
        |(minus, digits): (Option<&[u8]>, &[u8])| {
            let width = digits.iter().fold(0_i32, |width, digit| {
                width
                    .saturating_mul(10)
                    .saturating_add(i32::from(digit - b'0'))
            });
            let width = width.min(MAX_WIDTH_BYTES);
            if minus.is_some() { -width } else { width }
        },
    )
    .parse(input)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn literal(text: &str) -> Item {
        Item::Literal(text.as_bytes().to_vec())
    }

    fn escape(escape: Escape, width: i32) -> Item {
        Item::Escape { escape, width }
    }

    #[test]
    fn settings_are_read_as_the_server_reads_them() {
        let check = |setting: &str, expected: &[Item]| {
            let prefix = LinePrefix::parse(setting).unwrap();
            assert_eq!(prefix.items, expected, "{setting}");
            assert_eq!(prefix.as_str(), setting);
        };
        check("", &[]);
        check("<x> ", &[literal("<x> ")]);
        check(
            "%m [%p] %q%u ",
            &[
                escape(Escape::TimeMilliseconds, 0),
                literal(" ["),
                escape(Escape::ProcessId, 0),
                literal("] "),
                Item::SessionOnly,
                escape(Escape::UserName, 0),
                literal(" "),
            ],
        );
        check(
            "%5p%-12a%010u",
            &[
                escape(Escape::ProcessId, 5),
                escape(Escape::ApplicationName, -12),
                escape(Escape::UserName, 10),
            ],
        );
        check("100%% %z[%Z%5%]", &[literal("100% []")]);
        check("a% b%", &[literal("ab")]);
        check("a%-", &[literal("a")]);
        check("%-q%7", &[Item::SessionOnly]);
        check(
            "größe %ü",
            &[Item::Literal(b"gr\xc3\xb6\xc3\x9fe \xbc".to_vec())],
        );
    }

    #[test]
    fn settings_that_cannot_be_read() {
        assert_eq!(
            LinePrefix::parse("%m\n").unwrap_err().to_string(),
            "log_line_prefix \"%m\\n\" contains a line break: such a log can't be read, use csvlog or jsonlog"
        );
        assert_eq!(
            LinePrefix::parse(&" ".repeat(1025)).unwrap_err(),
            Error::PrefixTooLong {
                len_bytes: 1025,
                limit_bytes: 1024
            }
        );
    }

    #[test]
    fn unnamed_escapes_keep_their_place() {
        let unnamed = LinePrefix::parse("%m 1%% %q%-5u@%d ")
            .unwrap()
            .with_unnamed(&[Escape::UserName]);
        assert_eq!(unnamed.as_str(), "%m 1%% %q%-5*@%d ");
    }
}

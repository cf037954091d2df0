//! The format strings of PostgreSQL's message catalogs, read backwards: a message comes in, the arguments that were printed into it go out.
//!
//! A format string is C's: `%s`, `%d`, `%u`, `%ld`, `%03d`, and `%2$s` where a language has another word order. Arguments that nothing
//! separates are read as one. What a message means is not known here.

use encoding_rs::Encoding;

/// The longest message that is tried: trying every place of several texts takes time by their product, and no name is that long.
const MESSAGE_MAX_BYTES: usize = 16 << 10;

/// A format string in one language and encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// An argument, counted from 0 in the order of the English message.
    Any(usize),
    Digits(usize),
}

/// The arguments of a message, in the order of the English one. What a language leaves out is empty.
pub(super) type Arguments<'a> = [&'a str; 6];

impl Template {
    /// The format string as it is printed in UTF-8 and, with U+FFFD for what isn't, in each of the other encodings.
    pub(super) fn printed(format: &str, encodings: &[&'static Encoding]) -> Vec<Self> {
        let template = Self::parse(format);
        let mut printed: Vec<Self> = encodings
            .iter()
            .filter_map(|encoding| template.decoded_lossily(encoding))
            .collect();
        printed.insert(0, template);
        printed.dedup();
        printed
    }

    /// `format = *( text / "%%" / "%" [ position "$" ] *( digit / "l" / "z" ) ( "s" / "d" / "u" ) )`
    fn parse(format: &str) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut parts = format.split('%');
        let first = parts.next().unwrap_or_default();
        if !first.is_empty() {
            pieces.push(Piece::Text(first.to_owned()));
        }
        for (count, part) in parts.enumerate() {
            let at = part.find(['s', 'd', 'u']).unwrap_or(part.len());
            let (flags, rest) = part.split_at_checked(at).unwrap_or_default();
            let position = flags
                .split_once('$')
                .and_then(|(n, _)| n.parse::<usize>().ok());
            let index = position.map_or(count, |position| position.saturating_sub(1));
            let is_text = rest.starts_with('s');
            match pieces.last() {
                Some(Piece::Any(_)) if is_text => {}
                _ if is_text => pieces.push(Piece::Any(index)),
                _ => pieces.push(Piece::Digits(index)),
            }
            if let Some(text) = rest.get(1..).filter(|text| !text.is_empty()) {
                pieces.push(Piece::Text(text.to_owned()));
            }
        }
        Self { pieces }
    }

    fn decoded_lossily(&self, encoding: &'static Encoding) -> Option<Self> {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => {
                let (bytes, _, has_unmappable) = encoding.encode(text);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                (!has_unmappable).then_some(Piece::Text(text))
            }
            argument => Some(argument.clone()),
        });
        pieces.collect::<Option<_>>().map(|pieces| Self { pieces })
    }

    /// What stands before, between and behind the arguments.
    pub(super) fn texts(&self) -> Vec<&str> {
        let mut texts = vec![""];
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    if let Some(last) = texts.last_mut() {
                        *last = text;
                    }
                }
                Piece::Any(_) | Piece::Digits(_) => texts.push(""),
            }
        }
        texts
    }

    /// The arguments of `message`, if it is all that this format string printed.
    pub(super) fn read<'a>(&self, message: &'a str) -> Option<Arguments<'a>> {
        let mut arguments = Arguments::default();
        let fits =
            message.len() <= MESSAGE_MAX_BYTES && fill(&self.pieces, message, &mut arguments);
        fits.then_some(arguments)
    }

    /// What stands before and behind the argument of a format string that has one.
    pub(super) fn around_argument(&self) -> Option<(&str, &str)> {
        match self.pieces.as_slice() {
            [Piece::Text(_)] | [_, Piece::Text(_), _] => None,
            [Piece::Text(before), _, Piece::Text(after)] => Some((before, after)),
            [Piece::Text(before), _] => Some((before, "")),
            [_, Piece::Text(after)] => Some(("", after)),
            [_] => Some(("", "")),
            _ => None,
        }
    }

    /// The argument of a format string that has one, however long it is.
    pub(super) fn only_argument<'a>(&self, message: &'a str) -> Option<&'a str> {
        let (before, after) = self.around_argument()?;
        message.strip_prefix(before)?.strip_suffix(after)
    }

    /// Whether `message` begins with what stands before the first argument.
    pub(super) fn begins_with_first_text(&self, message: &str) -> bool {
        match self.pieces.first() {
            Some(Piece::Text(text)) => message.starts_with(text.as_str()),
            _ => false,
        }
    }

    /// Whether `message` begins as this format string does; its last argument may go on over lines.
    pub(super) fn begins(&self, message: &str) -> bool {
        let mut rest = message;
        self.pieces.iter().enumerate().all(|(number, piece)| {
            let Piece::Text(text) = piece else {
                return true;
            };
            let after = match number {
                0 => rest.strip_prefix(text.as_str()),
                _ => rest.split_once(text.as_str()).map(|(_, after)| after),
            };
            rest = after.unwrap_or_default();
            after.is_some()
        })
    }
}

/// Lays the pieces over the message. Of the texts the first is as long as the rest allows, since names may hold anything, the others as short.
fn fill<'a>(pieces: &[Piece], message: &'a str, arguments: &mut Arguments<'a>) -> bool {
    let Some((piece, pieces)) = pieces.split_first() else {
        return message.is_empty();
    };
    let set = |arguments: &mut Arguments<'a>, index: usize, value| {
        if let Some(argument) = arguments.get_mut(index) {
            *argument = value;
        }
    };
    match piece {
        Piece::Text(text) => message
            .strip_prefix(text.as_str())
            .is_some_and(|rest| fill(pieces, rest, arguments)),
        Piece::Digits(index) => {
            let digits = message.bytes().take_while(u8::is_ascii_digit).count();
            let (value, rest) = message.split_at_checked(digits).unwrap_or_default();
            set(arguments, *index, value);
            digits > 0 && fill(pieces, rest, arguments)
        }
        Piece::Any(index) => {
            let Some(Piece::Text(next)) = pieces.first() else {
                set(arguments, *index, message);
                return pieces.is_empty();
            };
            let mut fits = |at: usize| {
                let (value, rest) = message.split_at_checked(at).unwrap_or_default();
                set(arguments, *index, value);
                fill(pieces, rest, arguments)
            };
            if *index == 0 {
                message
                    .rmatch_indices(next.as_str())
                    .any(|(at, _)| fits(at))
            } else {
                message.match_indices(next.as_str()).any(|(at, _)| fits(at))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, message: &str, expected: Option<&[&str]>) {
        let template = Template::parse(format);
        let read = template.read(message);
        let read = read
            .as_ref()
            .map(|arguments| &arguments[..expected.map_or(0, <[_]>::len)]);
        assert_eq!(read, expected, "{format} | {message}");
    }

    #[test]
    fn arguments_of_a_message() {
        check("duration: %s ms", "duration: 0.1 ms", Some(&["0.1"]));
        check("duration: %s ms", "duration: 0.1 ms ", None);
        check(
            "process %d at %s after %ld.%03d ms",
            "process 7 at a after b after 1.050 ms",
            Some(&["7", "a after b", "1", "050"]),
        );
        check("process %d at %s", "process x at a", None);
        check(
            "function %s line %d at %s",
            "function \"a line 1 at b\" line 2 at c",
            Some(&["\"a line 1 at b\"", "2", "c"]),
        );
        check(
            "进程%1$d在%4$ld.%5$03d ms后获取在%3$s上的%2$s",
            "进程7在1.050 ms后获取在t上的ShareLock",
            Some(&["7", "ShareLock", "t", "1", "050"]),
        );
        check(
            "bind %s%s%s: %s",
            "bind a/b: c",
            Some(&["a/b", "", "", "c"]),
        );
        check(
            "%s parametresi",
            "$1 = '5' parametresi",
            Some(&["$1 = '5'"]),
        );
    }

    #[test]
    fn texts_around_the_arguments() {
        let texts = |format| {
            Template::parse(format)
                .texts()
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            texts("duration: %s ms  bind %s%s%s: %s"),
            ["duration: ", " ms  bind ", ": ", ""]
        );
        assert_eq!(texts("%s %s"), ["", " ", ""]);
    }

    #[test]
    fn other_encodings_are_what_their_bytes_are_read_as() {
        let printed = Template::printed(
            "durée : %s ms",
            &[encoding_rs::WINDOWS_1252, encoding_rs::KOI8_R],
        );
        assert_eq!(printed.len(), 2);
        assert!(printed[1].read("dur\u{FFFD}e : 1 ms").is_some());
    }

    #[test]
    fn time_is_bounded() {
        let template = Template::parse("%s a %s a %s b");
        assert_eq!(template.read(&"a ".repeat(1_000_000)), None);
    }
}

//! SQL text to tokens, by the lexical rules of PostgreSQL (manual, section 4.1 "Lexical Structure").
//!
//! Any text comes in: a statement, a condition of a plan, half a statement, garbage. Out come tokens that cover every byte once, in time
//! linear in the text. There is no grammar above the tokens: the lexer doesn't know a keyword from a name.
//! A log doesn't show `standard_conforming_strings`: the caller says what a backslash in `'…'` is.

use memchr::{memchr, memchr2, memmem};
use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{tag, tag_no_case, take, take_while, take_while_m_n, take_while1},
    character::complete::{one_of, satisfy},
    combinator::{map, not, opt, peek, recognize, value},
    multi::many0_count,
    sequence::{pair, preceded, terminated},
};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    Whitespace,
    /// `-- …` up to the end of the line, or `/* … */`, nested.
    Comment,
    /// Keyword or unquoted identifier.
    Word,
    /// `"…"` or `U&"…"`.
    QuotedIdentifier,
    /// `'…'`, `E'…'`, `U&'…'`, `N'…'`, `B'…'` or `X'…'`.
    String,
    /// `$$…$$` or `$tag$…$tag$`.
    DollarString,
    Number,
    /// `$1`
    Parameter,
    Operator,
    /// `::`
    Cast,
    /// One of `( ) [ ] , ; :` or a run of dots.
    Punctuation,
    /// A character that SQL has no use for.
    Other,
}

/// A stretch of SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: TokenKind,
    pub text: &'a str,
    /// `false` for a quoted token or comment that the text ends in. Only the last token can be unterminated.
    pub terminated: bool,
}

impl Token<'_> {
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

/// What a backslash is in a string that no letter stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backslash {
    /// A character like any other, as in the SQL standard and in every PostgreSQL since 9.1.
    #[default]
    Plain,
    /// It takes the next character with it: the server runs with `standard_conforming_strings = off`.
    Escapes,
}

/// The tokens of `sql` as a server with standard strings reads them; their texts joined are `sql`.
pub fn tokens(sql: &str) -> impl Iterator<Item = Token<'_>> {
    tokens_with(sql, Backslash::Plain)
}

/// The tokens of `sql`; their texts joined are `sql`.
pub fn tokens_with(sql: &str, backslash: Backslash) -> impl Iterator<Item = Token<'_>> {
    let mut rest = sql;
    let mut continuation = Continuation::None;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let escapes = backslash == Backslash::Escapes || continuation == Continuation::Escapes;
        let (after, (kind, terminated)) =
            token(rest.as_bytes(), escapes).expect("a token begins at every byte");
        // Tokens end at ASCII bytes or at the end: every byte above 0x7F belongs to a word or to something quoted.
        let (text, tail) = rest.split_at(rest.len() - after.len());
        rest = tail;
        continuation = continuation.after(kind, text);
        Some(Token {
            kind,
            text,
            terminated,
        })
    })
}

/// Manual, 4.1.2.1 and 4.1.2.2: a string that stands on a later line after nothing but white space goes on with the one before it, so that
/// after `E'…'` its backslashes are escapes too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Continuation {
    None,
    /// An escape string has ended, on the same line.
    SameLine,
    /// A string that comes here goes on with the escape string.
    Escapes,
}

impl Continuation {
    fn after(self, kind: TokenKind, text: &str) -> Self {
        match kind {
            TokenKind::String if text.starts_with(['e', 'E']) || self == Self::Escapes => {
                Self::SameLine
            }
            TokenKind::Whitespace if self == Self::SameLine && text.contains(['\n', '\r']) => {
                Self::Escapes
            }
            TokenKind::Whitespace => self,
            TokenKind::Comment if text.starts_with("--") => self,
            _ => Self::None,
        }
    }
}

type Input<'a> = &'a [u8];
type Lexed<'a, T> = IResult<Input<'a>, T, ()>;

/// token := whitespace | comment | quoted | number | parameter | word | operator | punctuation | other
///
/// `escapes`: a backslash in a string without a letter before it takes the next character with it.
fn token(input: Input<'_>, escapes: bool) -> Lexed<'_, (TokenKind, bool)> {
    use TokenKind::*;
    let whole = |kind| (kind, true);
    let (Some(first), second) = (input.first(), input.get(1)) else {
        return Err(nom::Err::Error(()));
    };
    match (first, second) {
        (b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C, _) => {
            value(whole(Whitespace), take_while1(is_space)).parse(input)
        }
        (b'-', Some(b'-')) => value(whole(Comment), line_comment).parse(input),
        (b'/', Some(b'*')) => map(block_comment, |end| (Comment, end)).parse(input),
        (b'\'', _) if escapes => map(escape_quoted, |end| (String, end)).parse(input),
        (b'\'', _) => map(plain_quoted, |end| (String, end)).parse(input),
        (b'"', _) => map(plain_quoted, |end| (QuotedIdentifier, end)).parse(input),
        (b'e' | b'E', Some(b'\'')) => {
            map(preceded(take(1usize), escape_quoted), |end| (String, end)).parse(input)
        }
        (b'n' | b'N', Some(b'\'')) if escapes => {
            map(preceded(take(1usize), escape_quoted), |end| (String, end)).parse(input)
        }
        (b'n' | b'N' | b'b' | b'B' | b'x' | b'X', Some(b'\'')) => {
            map(preceded(take(1usize), plain_quoted), |end| (String, end)).parse(input)
        }
        (b'u' | b'U', Some(b'&')) => alt((unicode_quoted, value(whole(Word), word))).parse(input),
        (b'$', Some(b'0'..=b'9')) => value(whole(Parameter), parameter).parse(input),
        (b'$', _) => alt((
            map(dollar_string, |end| (DollarString, end)),
            value(whole(Other), take(1usize)),
        ))
        .parse(input),
        (b'0'..=b'9', _) | (b'.', Some(b'0'..=b'9')) => value(whole(Number), number).parse(input),
        (b':', Some(b':')) => value(whole(Cast), take(2usize)).parse(input),
        (b':', Some(b'=')) => value(whole(Operator), take(2usize)).parse(input),
        (b'.', _) => value(whole(Punctuation), take_while1(|b| b == b'.')).parse(input),
        (b'(' | b')' | b'[' | b']' | b',' | b';' | b':', _) => {
            value(whole(Punctuation), take(1usize)).parse(input)
        }
        (first, _) if is_word_start(*first) => value(whole(Word), word).parse(input),
        (first, _) if is_operator(*first) => value(whole(Operator), operator).parse(input),
        _ => value(whole(Other), take(1usize)).parse(input),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_tag(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit()
}

fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

/// 4.1.5: `--` to the end of the line
fn line_comment(input: Input<'_>) -> Lexed<'_, ()> {
    value((), take_while(|b| b != b'\n' && b != b'\r')).parse(input)
}

/// 4.1.5: `/* … */`, nested. Gives whether it ends.
fn block_comment(input: Input<'_>) -> Lexed<'_, bool> {
    let (mut rest, _) = tag("/*").parse(input)?;
    let mut depth = 1;
    while let Some(at) = memchr2(b'*', b'/', rest) {
        let here = rest.get(at..).unwrap_or_default();
        let step = match here {
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            _ => 1,
        };
        rest = here.get(step..).unwrap_or_default();
        if depth == 0 {
            return Ok((rest, true));
        }
    }
    Ok((&[], false))
}

/// 4.1.2.1 `'…'` and 4.1.1 `"…"`: the quote within is written twice. Gives whether it ends.
fn plain_quoted(input: Input<'_>) -> Lexed<'_, bool> {
    let (mut rest, quote) = one_of("'\"").parse(input)?;
    let quote = quote as u8;
    while let Some(at) = memchr(quote, rest) {
        rest = rest.get(at + 1..).unwrap_or_default();
        match rest.split_first() {
            Some((next, after)) if *next == quote => rest = after,
            _ => return Ok((rest, true)),
        }
    }
    Ok((&[], false))
}

/// 4.1.2.2: the `'…'` of `E'…'`, where a backslash takes the next character with it. Gives whether it ends.
fn escape_quoted(input: Input<'_>) -> Lexed<'_, bool> {
    let (mut rest, _) = tag("'").parse(input)?;
    while let Some(at) = memchr2(b'\'', b'\\', rest) {
        let here = rest.get(at..).unwrap_or_default();
        match here {
            [b'\\', ..] | [b'\'', b'\'', ..] => rest = here.get(2..).unwrap_or_default(),
            _ => return Ok((here.get(1..).unwrap_or_default(), true)),
        }
    }
    Ok((&[], false))
}

/// 4.1.2.3: `U&'…'`, and 4.1.1: `U&"…"`. Backslashes there are no quotes.
fn unicode_quoted(input: Input<'_>) -> Lexed<'_, (TokenKind, bool)> {
    let (quoted, _) = tag_no_case("u&").parse(input)?;
    let kind = if quoted.first() == Some(&b'"') {
        TokenKind::QuotedIdentifier
    } else {
        TokenKind::String
    };
    map(plain_quoted, |end| (kind, end)).parse(quoted)
}

/// 4.1.2.4: `$tag$ … $tag$`, the tag an identifier without `$`, or empty. Gives whether it ends.
fn dollar_string(input: Input<'_>) -> Lexed<'_, bool> {
    let (body, delimiter) = recognize((
        tag("$"),
        opt(pair(satisfy_byte(is_word_start), take_while(is_tag))),
        tag("$"),
    ))
    .parse(input)?;
    Ok(match memmem::find(body, delimiter) {
        Some(at) => (body.get(at + delimiter.len()..).unwrap_or_default(), true),
        None => (&[], false),
    })
}

fn satisfy_byte<'a>(
    accepts: fn(u8) -> bool,
) -> impl Parser<Input<'a>, Output = Input<'a>, Error = ()> {
    take_while_m_n(1, 1, accepts)
}

/// 4.1.2.6: `42`, `3.5`, `4.`, `.001`, `5e2`, `1.925e-3`, `0x1F`, `0o17`, `0b101`, `1_500_000`
fn number(input: Input<'_>) -> Lexed<'_, Input<'_>> {
    let radix = |prefix, digit: fn(u8) -> bool| {
        recognize(pair(
            tag_no_case(prefix),
            take_while1(move |b| digit(b) || b == b'_'),
        ))
    };
    alt((
        radix("0x", |b| b.is_ascii_hexdigit()),
        radix("0o", |b| b.is_ascii_digit()),
        radix("0b", |b| b.is_ascii_digit()),
        recognize((
            alt((
                recognize(pair(digits, opt(fraction))),
                recognize(pair(tag("."), digits)),
            )),
            opt(exponent),
        )),
    ))
    .parse(input)
}

/// digits, with single underscores between them
fn digits(input: Input<'_>) -> Lexed<'_, Input<'_>> {
    let run = || take_while1(|b: u8| b.is_ascii_digit());
    recognize(pair(run(), many0_count(preceded(tag("_"), run())))).parse(input)
}

/// a dot with or without digits, but not the two dots of a PL/pgSQL range
fn fraction(input: Input<'_>) -> Lexed<'_, Input<'_>> {
    recognize((terminated(tag("."), peek(not(tag(".")))), opt(digits))).parse(input)
}

/// `e` sign digits
fn exponent(input: Input<'_>) -> Lexed<'_, Input<'_>> {
    recognize((one_of("eE"), opt(one_of("+-")), digits)).parse(input)
}

/// 4.1.2: `$` digits
fn parameter(input: Input<'_>) -> Lexed<'_, Input<'_>> {
    recognize(pair(
        satisfy(|c| c == '$'),
        take_while1(|b: u8| b.is_ascii_digit()),
    ))
    .parse(input)
}

/// 4.1.1: letters, underscores, then also digits and `$`; anything outside ASCII is a letter
fn word(input: Input<'_>) -> Lexed<'_, Input<'_>> {
    take_while1(is_word).parse(input)
}

/// The longest operator name (NAMEDATALEN - 1). Longer runs are cut, which keeps a run of `+` linear: all but its first is given back.
const OPERATOR_BYTES: usize = 63;

/// 4.1.3: a run of operator characters without `--` or `/*`; it ends in `+` or `-` only if it also holds one of ``~ ! @ # % ^ & | ` ?``
fn operator(input: Input<'_>) -> Lexed<'_, Input<'_>> {
    let longest = input.get(..OPERATOR_BYTES).unwrap_or(input);
    let (_, run) = take_while1(is_operator).parse(longest)?;
    let comment = run.windows(2).position(|two| two == b"--" || two == b"/*");
    let run = comment.and_then(|at| run.get(..at)).unwrap_or(run);
    let mut len = run.len();
    if !run.iter().any(|byte| b"~!@#%^&|`?".contains(byte)) {
        let signs = run
            .iter()
            .rev()
            .take_while(|b| matches!(b, b'+' | b'-'))
            .count();
        len = (len - signs).max(1);
    }
    take(len).parse(input)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{TokenKind::*, *};
    use proptest::prelude::*;

    /// Kinds and texts without whitespace; `~` marks an unterminated token.
    fn check(sql: &str, expected: &[(TokenKind, &str)]) {
        let found: Vec<_> = tokens(sql)
            .filter(|token| token.kind != Whitespace)
            .map(|token| (token.kind, token.text, token.terminated))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(kind, text)| {
                text.strip_suffix('~')
                    .map_or((*kind, *text, true), |text| (*kind, text, false))
            })
            .collect();
        assert_eq!(found, expected, "{sql}");
    }

    #[test]
    fn strings() {
        check("'it''s' 'x", &[(String, "'it''s'"), (String, "'x~")]);
        check(
            r"E'it\'s \\' e'a''b\",
            &[(String, r"E'it\'s \\'"), (String, r"e'a''b\~")],
        );
        check(r"'back\'x", &[(String, r"'back\'"), (Word, "x")]);
        check(
            "B'101' x'1F' N'n'",
            &[(String, "B'101'"), (String, "x'1F'"), (String, "N'n'")],
        );
        check(
            r#"U&'\0041' u&"d\0061t" U&x"#,
            &[
                (String, r"U&'\0041'"),
                (QuotedIdentifier, r#"u&"d\0061t""#),
                (Word, "U"),
                (Operator, "&"),
                (Word, "x"),
            ],
        );
        check(
            r#""a""b" "c"#,
            &[(QuotedIdentifier, r#""a""b""#), (QuotedIdentifier, "\"c~")],
        );
    }

    #[test]
    fn strings_that_go_on_in_the_next_line() {
        check(
            "E'a' -- x\n'it\\'s' 'b\\'",
            &[
                (String, "E'a'"),
                (Comment, "-- x"),
                (String, r"'it\'s'"),
                (String, r"'b\'"),
            ],
        );
        check(
            "e'a'\n'b'\n'c\\''",
            &[(String, "e'a'"), (String, "'b'"), (String, r"'c\''")],
        );
        for sql in [
            "E'a' 'b\\'",
            "E'a'\n, 'b\\'",
            "'a'\n'b\\'",
            "E'a'\n/**/'b\\'",
        ] {
            assert!(tokens(sql).all(|token| token.terminated), "{sql}");
        }
    }

    #[test]
    fn strings_of_a_server_with_backslash_escapes() {
        for (sql, expected) in [
            (r"'it\'s' x", r"'it\'s'"),
            (r"N'it\'s' x", r"N'it\'s'"),
            (r"'it''s \\' x", r"'it''s \\'"),
            (r"B'1' '\''", "B'1'"),
        ] {
            let first = tokens_with(sql, Backslash::Escapes).next().unwrap();
            assert_eq!((first.kind, first.text), (String, expected));
        }
    }

    #[test]
    fn dollar_quotes() {
        check("$$it's$$", &[(DollarString, "$$it's$$")]);
        check(
            "$t$ $$ $T$ $t$x",
            &[(DollarString, "$t$ $$ $T$ $t$"), (Word, "x")],
        );
        check("$é1$x$é1$", &[(DollarString, "$é1$x$é1$")]);
        check(
            "a$b$c $1$ $1a$",
            &[
                (Word, "a$b$c"),
                (Parameter, "$1"),
                (Other, "$"),
                (Parameter, "$1"),
                (Word, "a$"),
            ],
        );
        check(
            "$a$ never ends $b$",
            &[(DollarString, "$a$ never ends $b$~")],
        );
    }

    #[test]
    fn comments() {
        check(
            "1--x\r\n2",
            &[(Number, "1"), (Comment, "--x"), (Number, "2")],
        );
        check(
            "/* a /* b */ c */d",
            &[(Comment, "/* a /* b */ c */"), (Word, "d")],
        );
        check("/* a /* b */", &[(Comment, "/* a /* b */~")]);
        check("/*/ */x", &[(Comment, "/*/ */"), (Word, "x")]);
        check("/*", &[(Comment, "/*~")]);
        check("a=--x", &[(Word, "a"), (Operator, "="), (Comment, "--x")]);
        check("*/*x*/", &[(Operator, "*"), (Comment, "/*x*/")]);
    }

    #[test]
    fn numbers() {
        for number in [
            "42",
            "3.5",
            "4.",
            ".001",
            "5e2",
            "1.925e-3",
            "1.5e10",
            "0x1F",
            "0o17",
            "0b101",
            "1_000",
            "1_000.5_0e1_0",
        ] {
            check(number, &[(Number, number)]);
        }
        check(
            "1..10",
            &[(Number, "1"), (Punctuation, ".."), (Number, "10")],
        );
        check(
            "1.e 2e+",
            &[
                (Number, "1."),
                (Word, "e"),
                (Number, "2"),
                (Word, "e"),
                (Operator, "+"),
            ],
        );
        check("12ab a12", &[(Number, "12"), (Word, "ab"), (Word, "a12")]);
        check("t.1", &[(Word, "t"), (Number, ".1")]);
    }

    #[test]
    fn operators() {
        check(
            "a=-5",
            &[(Word, "a"), (Operator, "="), (Operator, "-"), (Number, "5")],
        );
        check("@-5", &[(Operator, "@-"), (Number, "5")]);
        check(
            "x->>'k'",
            &[(Word, "x"), (Operator, "->>"), (String, "'k'")],
        );
        check(
            "a::int[1:2]",
            &[
                (Word, "a"),
                (Cast, "::"),
                (Word, "int"),
                (Punctuation, "["),
                (Number, "1"),
                (Punctuation, ":"),
                (Number, "2"),
                (Punctuation, "]"),
            ],
        );
        check(
            "a := 1 => \\",
            &[
                (Word, "a"),
                (Operator, ":="),
                (Number, "1"),
                (Operator, "=>"),
                (Other, "\\"),
            ],
        );
    }

    #[test]
    fn long_runs_take_linear_time() {
        for piece in [
            "+", "(", "$a", "$", "/*", "'", "é", "1", "$$x", "\"\"", "1.", ".", "*/", "E'\\",
        ] {
            let sql = piece.repeat(400_000);
            assert_eq!(tokens(&sql).map(|t| t.text.len()).sum::<usize>(), sql.len());
        }
    }

    proptest! {
        #[test]
        fn every_byte_is_in_one_token(sql in ".*|[-a-zA-Z0-9$'\"/*+.:;()eEuU&\\\\ \\n\u{e9}]*") {
            for backslash in [Backslash::Plain, Backslash::Escapes] {
                let tokens: Vec<_> = tokens_with(&sql, backslash).collect();
                let joined: std::string::String = tokens.iter().map(|token| token.text).collect();
                prop_assert_eq!(&joined, &sql);
                prop_assert!(tokens.iter().all(|token| !token.text.is_empty()));
            }
        }
    }
}

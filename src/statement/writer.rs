//! What becomes of each token of a statement that is normalized: literals, signs, lists, rows, ordinals, settings.
//!
//! Tokens come in one after the other and are written as they come; where a list turns out to be all constants when it closes, what was
//! written since its first element is taken back. So the work is linear and needs no tree.

use super::{
    keyword::Keyword,
    lexer::{Token, TokenKind},
    list::{Frame, Inside, Rows},
    normalize::parameter_number,
    output::{Last, Output},
    type_modifier::TypePosition,
    utility::{Treatment, Utility},
};

pub(super) struct Writer {
    pub(super) output: Output,
    /// Open parentheses and brackets; the first is the statement itself.
    pub(super) frames: Vec<Frame>,
    /// Open ones that are too deep to be looked into.
    pub(super) untracked_frames: usize,
    /// How many of the open frames are rows of VALUES.
    pub(super) open_rows: u32,
    pub(super) type_position: TypePosition,
    /// The last token may be the beginning of a longer one.
    end_is_missing: bool,
    statement_count: u32,
    /// The statement being written; `None` between statements.
    statement: Option<Statement>,
}

#[derive(Default)]
struct Statement {
    utility: Utility,
    /// `BEGIN ATOMIC` and `CASE` that wait for their END; semicolons in there don't end the statement.
    atomic_depth: u32,
}

impl Writer {
    pub(super) fn new(output: Output, end_is_missing: bool) -> Self {
        Self {
            output,
            frames: vec![Frame::new(Inside::Anything, false)],
            untracked_frames: 0,
            open_rows: 0,
            type_position: TypePosition::Elsewhere,
            end_is_missing,
            statement_count: 0,
            statement: None,
        }
    }

    /// The text, and the number of statements in it.
    pub(super) fn finish(mut self) -> (Output, u32) {
        self.end_rows();
        if self.frame().inside == Inside::List && self.frame().all_constant() {
            self.squash_list();
        }
        (self.output, self.statement_count)
    }

    /// A literal in place of the rest of a text whose quotes don't close.
    pub(super) fn open_literal(&mut self) {
        self.begin_statement();
        if !self.statement().utility.is_masked() {
            self.literal(Last::String);
        }
    }

    /// Writes one token that is neither blank nor comment; `next` is the one after it.
    pub(super) fn token(&mut self, token: &Token<'_>, next: Option<&Token<'_>>) {
        if token.is(";") && self.ends_statement() {
            self.end_rows();
            self.statement = None;
            return;
        }
        self.begin_statement();
        let at_top_level = self.at_top_level();
        match self.statement().utility.take(token, at_top_level) {
            Treatment::AsUsual => {}
            Treatment::Value if token.kind == TokenKind::Parameter => return self.parameter(token),
            Treatment::Value => return self.literal(Last::String),
            Treatment::Dropped => return,
        }
        self.type_position = self.type_position.after(token);
        let row_may_follow = token.is(",") || (token.is("(") && self.output.last() == Last::Comma);
        if !row_may_follow {
            self.end_rows();
        }
        match token.kind {
            TokenKind::Whitespace | TokenKind::Comment => {}
            TokenKind::Word => self.word(token, next),
            TokenKind::QuotedIdentifier if !may_be_name(token.text) => self.literal(Last::String),
            TokenKind::QuotedIdentifier => {
                self.not_constant_outside_type();
                self.put(token.text, Last::QuotedIdentifier);
            }
            // Strings with nothing but white space between them are one literal (manual, 4.1.2.1).
            TokenKind::String if self.output.last() == Last::String => {}
            TokenKind::String | TokenKind::DollarString => self.literal(Last::String),
            TokenKind::Number if self.keeps_number(token, next) => {
                self.put(token.text, Last::Value);
            }
            TokenKind::Number => self.literal(Last::Value),
            TokenKind::Parameter => self.parameter(token),
            TokenKind::Operator => self.operator(token, next),
            TokenKind::Cast => self.put(token.text, Last::Cast),
            TokenKind::Punctuation => self.punctuation(token.text),
            TokenKind::Other => {
                self.frame().constant = false;
                self.put(token.text, Last::Operator);
            }
        }
    }

    pub(super) fn frame(&mut self) -> &mut Frame {
        self.frames
            .last_mut()
            .expect("the statement's own frame is never closed")
    }

    fn statement(&mut self) -> &mut Statement {
        self.statement
            .as_mut()
            .expect("every token but the semicolon between statements is in one")
    }

    fn at_top_level(&self) -> bool {
        self.frames.len() == 1 && self.untracked_frames == 0
    }

    fn ends_statement(&self) -> bool {
        self.at_top_level() && self.statement.as_ref().is_none_or(|s| s.atomic_depth == 0)
    }

    fn begin_statement(&mut self) {
        if self.statement.is_some() {
            return;
        }
        self.output.begin_statement();
        self.statement_count = self.statement_count.saturating_add(1);
        self.type_position = TypePosition::Elsewhere;
        self.frames.clear();
        self.frames.push(Frame::new(Inside::Anything, false));
        self.statement = Some(Statement::default());
    }

    fn word(&mut self, token: &Token<'_>, next: Option<&Token<'_>>) {
        let keyword = match self.output.last() {
            Last::Word(Keyword::Distinct) if token.text.eq_ignore_ascii_case("on") => {
                Keyword::DistinctOn
            }
            _ => Keyword::of(token.text),
        };
        match keyword {
            // The escape character of the string before it is part of the literal (manual, 4.1.2.3).
            Keyword::Uescape if self.output.last() == Last::String => return,
            Keyword::Constant if self.is_value(next) => return self.literal(Last::Value),
            Keyword::By => {
                let lists = matches!(
                    self.output.last(),
                    Last::Word(Keyword::Order | Keyword::Group)
                );
                self.frame().ordinals = lists;
            }
            Keyword::Clause | Keyword::Order | Keyword::Group => self.frame().ordinals = false,
            Keyword::Values if next.is_some_and(|next| next.is("(")) => {
                self.frame().rows = Some(Rows::default());
            }
            Keyword::As if self.frame().inside == Inside::Cast => {
                self.type_position = TypePosition::Before;
            }
            Keyword::Atomic if self.output.last() == Last::Word(Keyword::Begin) => {
                self.statement().atomic_depth += 1;
            }
            Keyword::Case if self.statement().atomic_depth > 0 => {
                self.statement().atomic_depth += 1;
            }
            Keyword::End => {
                let statement = self.statement();
                statement.atomic_depth = statement.atomic_depth.saturating_sub(1);
            }
            _ => {}
        }
        match keyword {
            Keyword::Constant | Keyword::Default => self.frame().element = true,
            Keyword::Array | Keyword::Cast | Keyword::Row => {}
            _ => self.not_constant_outside_type(),
        }
        self.put_word(token.text, keyword);
    }

    /// Whether TRUE, FALSE or NULL is a value here, and not part of `IS NULL`, `NOT NULL`, `SET NULL`, `ON true`, `NULL ON NULL`,
    /// `HEADER true` or `NULL 'x'`.
    fn is_value(&self, next: Option<&Token<'_>>) -> bool {
        let follows_operand = match self.output.last() {
            Last::Word(keyword) => keyword.precedes_value(),
            Last::Operator | Last::Open | Last::OpenBracket | Last::Comma => true,
            _ => false,
        };
        let names_option = next.is_some_and(|next| {
            use TokenKind::{DollarString, Parameter, String};
            matches!(next.kind, String | DollarString | Parameter)
                || next.text.eq_ignore_ascii_case("on")
        });
        follows_operand && !names_option && self.type_position != TypePosition::Modifiers
    }

    fn not_constant_outside_type(&mut self) {
        if self.type_position == TypePosition::Elsewhere {
            self.frame().constant = false;
        }
    }

    /// Type modifiers are no literals, and an integer in an ORDER BY, GROUP BY or DISTINCT ON list is a column's number.
    fn keeps_number(&mut self, token: &Token<'_>, next: Option<&Token<'_>>) -> bool {
        if self.type_position == TypePosition::Modifiers {
            return true;
        }
        let begins_element = matches!(
            self.output.last(),
            Last::Word(Keyword::By) | Last::Comma | Last::Open
        );
        let ends_element = next.map_or(!self.end_is_missing, |next| {
            next.kind == TokenKind::Word || next.is(",") || next.is(")") || next.is(";")
        });
        self.frame().ordinals
            && begins_element
            && ends_element
            && token.text.len() <= ORDINAL_DIGITS
            && token.text.bytes().all(|byte| byte.is_ascii_digit())
    }

    fn operator(&mut self, token: &Token<'_>, next: Option<&Token<'_>>) {
        let modifier = self.type_position == TypePosition::Modifiers;
        if !modifier && is_sign(token) && self.output.last().starts_operand() {
            // The sign of a number is part of the literal.
            if next.is_some_and(|next| next.kind == TokenKind::Number) {
                return;
            }
        }
        if !modifier {
            self.frame().constant = false;
        }
        // One operator with two names (manual, 9.2 "Comparison Functions and Operators").
        let text = if token.is("!=") { "<>" } else { token.text };
        self.put(text, Last::Operator);
    }

    fn punctuation(&mut self, text: &str) {
        match text {
            "(" => self.open_parenthesis(),
            "[" => self.open_bracket(),
            ")" => self.close(text, Last::Close),
            "]" => self.close(text, Last::CloseBracket),
            "," => self.comma(),
            ":" => self.put(text, Last::Colon),
            ";" => self.put(text, Last::Semicolon),
            // The rest of a list that has been squashed before.
            "..." => {
                self.frame().element = true;
                self.put(text, Last::Rest);
            }
            _ => {
                self.not_constant_outside_type();
                self.put(text, Last::Dots);
            }
        }
    }

    pub(super) fn put(&mut self, text: &str, now: Last) {
        self.output.put(text, now);
        self.sign(text.as_bytes());
    }

    fn put_word(&mut self, word: &str, keyword: Keyword) {
        let word = self.output.put_word(word, keyword);
        if let (true, Some(frame)) = (self.open_rows > 0, self.frames.last_mut()) {
            let signed = match keyword {
                Keyword::Constant | Keyword::Default => CONSTANT,
                _ => word.as_bytes(),
            };
            frame.sign(signed);
        }
    }

    fn literal(&mut self, now: Last) {
        self.output.put_literal(now);
        self.constant_written();
    }

    fn parameter(&mut self, token: &Token<'_>) {
        self.output.put_parameter(parameter_number(token));
        self.constant_written();
    }

    fn constant_written(&mut self) {
        self.frame().element = true;
        self.sign(CONSTANT);
    }

    pub(super) fn sign(&mut self, bytes: &[u8]) {
        if self.open_rows > 0 {
            self.frame().sign(bytes);
        }
    }
}

/// What every constant looks like in a signature.
const CONSTANT: &[u8] = b"$";

/// A table has at most 1,600 columns; longer numbers are no ordinals that anybody wrote, and may be data.
const ORDINAL_DIGITS: usize = 3;

fn is_sign(token: &Token<'_>) -> bool {
    token.is("-") || token.is("+")
}

/// Whether a quoted identifier is taken for a name. A log that has lost lines can put a plan's JSON or YAML behind a statement, whose strings then
/// read as identifiers with somebody's literals in them: conditions in parentheses, comparisons, bare numbers, and what is longer than the server
/// keeps of a name (manual, 4.1.1: 63 bytes).
fn may_be_name(quoted: &str) -> bool {
    const NAME_BYTES: usize = 63;
    quoted.len() <= NAME_BYTES + "u&\"\"".len()
        && !quoted.contains(['\'', '=', '<', '>', '\n'])
        && !quoted.starts_with("\"(")
        && quoted.contains(char::is_alphabetic)
}

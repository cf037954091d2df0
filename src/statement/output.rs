//! The text of a normalized statement as it grows: spacing, the numbers of literals and parameters, and points to go back to.
//!
//! Tokens come in one by one; nothing here knows why they are written.

use std::{collections::HashMap, fmt::Write as _};

use super::keyword::Keyword;

pub(super) struct Output {
    text: String,
    last: Last,
    numbers: Numbers,
    /// Numbers given to literals, and with [`Numbers::Anew`] to parameters.
    numbers_given: u32,
    parameters_written: u32,
    dropped_parameters: bool,
}

/// What was written last, as far as it decides what may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Nothing,
    Word(Keyword),
    QuotedIdentifier,
    String,
    /// A number or parameter.
    Value,
    Operator,
    Cast,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    Dots,
    /// `...`, the rest of a squashed list.
    Rest,
    Colon,
    Semicolon,
}

enum Numbers {
    /// Parameters keep theirs, literals come after the highest.
    After(u32),
    /// Parameters are numbered with the literals in the order of their first appearance, which is kept to take them back.
    Anew(HashMap<u32, u32>, Vec<u32>),
}

/// A point to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    len: usize,
    last: Last,
    numbers_given: u32,
    parameters_written: u32,
    parameters_numbered: usize,
}

impl Output {
    /// `len` is about how long the text will be.
    pub(super) fn numbering_after(highest_parameter: u32, len: usize) -> Self {
        Self::new(Numbers::After(highest_parameter), len)
    }

    pub(super) fn numbering_anew(len: usize) -> Self {
        Self::new(Numbers::Anew(HashMap::new(), Vec::new()), len)
    }

    fn new(numbers: Numbers, len: usize) -> Self {
        Self {
            text: String::with_capacity(len + len / 4),
            last: Last::Nothing,
            numbers,
            numbers_given: 0,
            parameters_written: 0,
            dropped_parameters: false,
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn last(&self) -> Last {
        self.last
    }

    /// A parameter stood in what was taken back.
    pub(super) fn dropped_parameters(&self) -> bool {
        self.dropped_parameters
    }

    /// Another statement follows.
    pub(super) fn begin_statement(&mut self) {
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        self.last = Last::Nothing;
    }

    pub(super) fn put(&mut self, text: &str, now: Last) {
        self.space(now);
        self.text.push_str(text);
    }

    /// Writes an unquoted word; gives it back in lower case.
    pub(super) fn put_word(&mut self, word: &str, keyword: Keyword) -> &str {
        self.space(Last::Word(keyword));
        let start = self.text.len();
        self.text.push_str(word);
        let written = self.text.get_mut(start..).unwrap_or_default();
        written.make_ascii_lowercase();
        written
    }

    pub(super) fn put_literal(&mut self, now: Last) {
        let highest = match &self.numbers {
            Numbers::After(highest) => *highest,
            Numbers::Anew(..) => 0,
        };
        self.numbers_given += 1;
        self.put_number(highest.saturating_add(self.numbers_given), now);
    }

    pub(super) fn put_parameter(&mut self, number: u32) {
        self.parameters_written += 1;
        let number = match &mut self.numbers {
            Numbers::After(_) => number,
            Numbers::Anew(numbers, order) => *numbers.entry(number).or_insert_with(|| {
                order.push(number);
                self.numbers_given += 1;
                self.numbers_given
            }),
        };
        self.put_number(number, Last::Value);
    }

    fn put_number(&mut self, number: u32, now: Last) {
        self.space(now);
        write!(self.text, "${number}").expect("writing to a string doesn't fail");
    }

    /// `, ...`: more of the same was taken back.
    pub(super) fn put_rest(&mut self) {
        self.text.push_str(", ...");
        self.last = Last::Rest;
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            len: self.text.len(),
            last: self.last,
            numbers_given: self.numbers_given,
            parameters_written: self.parameters_written,
            parameters_numbered: match &self.numbers {
                Numbers::After(_) => 0,
                Numbers::Anew(_, order) => order.len(),
            },
        }
    }

    /// Takes back what was written since `mark`.
    pub(super) fn go_back(&mut self, mark: Mark) {
        self.dropped_parameters |= self.parameters_written > mark.parameters_written;
        self.text.truncate(mark.len);
        self.last = mark.last;
        self.numbers_given = mark.numbers_given;
        self.parameters_written = mark.parameters_written;
        if let Numbers::Anew(numbers, order) = &mut self.numbers {
            for number in order.drain(mark.parameters_numbered..) {
                numbers.remove(&number);
            }
        }
    }

    /// One blank between tokens, none where one reads better without.
    fn space(&mut self, now: Last) {
        let apart = match (self.last, now) {
            (Last::Nothing, _)
            | (_, Last::Comma | Last::Close | Last::CloseBracket | Last::Semicolon | Last::Cast) => {
                false
            }
            (Last::Comma, _) => true,
            (Last::Open | Last::OpenBracket | Last::Cast | Last::Dots | Last::Colon, _)
            | (_, Last::Dots) => false,
            (last, Last::Colon) => last == Last::Operator,
            (Last::Word(keyword), Last::Open) => keyword.stands_apart(),
            (Last::QuotedIdentifier, Last::Open) => false,
            (last, Last::OpenBracket) => last == Last::Operator,
            _ => true,
        };
        if apart {
            self.text.push(' ');
        }
        self.last = now;
    }
}

impl Last {
    /// An operand must come, so that a sign is no subtraction.
    pub(super) fn starts_operand(self) -> bool {
        match self {
            Self::Word(keyword) => keyword.starts_expression(),
            Self::Nothing
            | Self::Operator
            | Self::Open
            | Self::OpenBracket
            | Self::Comma
            | Self::Colon
            | Self::Semicolon => true,
            Self::QuotedIdentifier
            | Self::String
            | Self::Value
            | Self::Cast
            | Self::Close
            | Self::CloseBracket
            | Self::Dots
            | Self::Rest => false,
        }
    }
}

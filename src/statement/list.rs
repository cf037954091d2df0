//! Parentheses and brackets of a statement that is normalized: which are lists of constants, and what is left of these.
//!
//! `IN (1, 2, 3)` and `ARRAY[1, 2, 3]` keep their first element, `VALUES (1, 2), (3, 4)` its first row, however long they are.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    keyword::Keyword,
    output::{Last, Mark},
    type_modifier::TypePosition,
    writer::Writer,
};

/// Parentheses nested deeper than this are written without looking for lists in them. PostgreSQL's own stack gives up not far beyond.
const MAX_FRAMES: usize = 1000;

/// What may be inside a parenthesis or bracket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    /// Expressions, columns, a subquery, a statement.
    Anything,
    /// `IN (…)` or `ARRAY[…]`: squashed if it holds constants only.
    List,
    /// `CAST (… AS type)`
    Cast,
    /// A row of VALUES.
    Row,
    /// Belongs to the name of a type.
    Type,
}

pub(super) struct Frame {
    pub(super) inside: Inside,
    /// Nothing but constants and their types so far.
    pub(super) constant: bool,
    /// The current element holds a constant.
    pub(super) element: bool,
    /// Where the first of several elements ended.
    first_element: Option<Mark>,
    /// In an ORDER BY or GROUP BY list, where an integer is a column's number.
    pub(super) ordinals: bool,
    pub(super) rows: Option<Rows>,
    /// Hash of the tokens, constants all alike; kept only within rows.
    signature: u64,
}

/// The rows after VALUES.
#[derive(Clone, Copy, Default)]
pub(super) struct Rows {
    first_signature: Option<u64>,
    end: Option<Mark>,
    squashed: bool,
}

impl Frame {
    pub(super) fn new(inside: Inside, ordinals: bool) -> Self {
        Self {
            inside,
            constant: true,
            element: false,
            first_element: None,
            ordinals,
            rows: None,
            signature: 0,
        }
    }

    pub(super) fn all_constant(&self) -> bool {
        self.constant && self.element
    }

    pub(super) fn sign(&mut self, bytes: &[u8]) {
        self.signature = xxh3_64_with_seed(bytes, self.signature);
    }
}

impl Writer {
    pub(super) fn open_parenthesis(&mut self) {
        let rows = self.frame().rows.is_some();
        let inside = match self.output.last() {
            _ if self.type_position == TypePosition::Modifiers => Inside::Type,
            Last::Word(Keyword::In) => Inside::List,
            Last::Word(Keyword::Cast) => Inside::Cast,
            Last::Word(Keyword::Values) | Last::Comma if rows => Inside::Row,
            _ => Inside::Anything,
        };
        let ordinals = match self.output.last() {
            Last::Word(Keyword::DistinctOn) => true,
            Last::Word(Keyword::By | Keyword::Sets) | Last::Comma | Last::Open => {
                self.frame().ordinals
            }
            _ => false,
        };
        self.put("(", Last::Open);
        self.open(Frame::new(inside, ordinals));
    }

    pub(super) fn open_bracket(&mut self) {
        let in_list = self.frame().inside == Inside::List;
        let inside = match self.output.last() {
            Last::Word(Keyword::Array) => Inside::List,
            Last::OpenBracket | Last::Comma if in_list => Inside::List,
            _ if self.type_position != TypePosition::Elsewhere => Inside::Type,
            _ => Inside::Anything,
        };
        if inside == Inside::Anything {
            self.frame().constant = false;
        }
        self.put("[", Last::OpenBracket);
        self.open(Frame::new(inside, false));
    }

    fn open(&mut self, frame: Frame) {
        if self.frames.len() == MAX_FRAMES || self.untracked_frames > 0 {
            self.untracked_frames += 1;
            self.frame().constant = false;
            return;
        }
        self.open_rows += u32::from(frame.inside == Inside::Row);
        self.frames.push(frame);
    }

    pub(super) fn close(&mut self, text: &str, now: Last) {
        if self.untracked_frames > 0 {
            self.untracked_frames -= 1;
            return self.put(text, now);
        }
        if self.frames.len() == 1 {
            return self.put(text, now);
        }
        if self.frame().inside == Inside::List && self.frame().all_constant() {
            self.squash_list();
        }
        self.put(text, now);
        let frame = self
            .frames
            .pop()
            .expect("more frames than the statement's own");
        self.sign(&frame.signature.to_ne_bytes());
        match frame.inside {
            Inside::Type => {}
            _ if frame.all_constant() => self.frame().element = true,
            _ => self.frame().constant = false,
        }
        if frame.inside == Inside::Row {
            self.open_rows -= 1;
            self.end_row(frame.signature);
        }
    }

    pub(super) fn comma(&mut self) {
        let mark = self.output.mark();
        let frame = self.frame();
        if frame.inside != Inside::Type {
            frame.constant &= frame.element;
            frame.element = false;
            frame.first_element.get_or_insert(mark);
        }
        self.put(",", Last::Comma);
    }

    /// `1, 2, 3` is written as `$1, ...`, and so is `1` alone.
    pub(super) fn squash_list(&mut self) {
        if let Some(first_element) = self.frame().first_element {
            self.output.go_back(first_element);
        }
        self.frame().signature = 0;
        self.output.put_rest();
    }

    /// A row that differs from the first in its constants only is taken back.
    fn end_row(&mut self, signature: u64) {
        let mark = self.output.mark();
        let Some(mut rows) = self.frame().rows else {
            return;
        };
        match rows.end {
            Some(end) if rows.first_signature == Some(signature) => {
                self.output.go_back(end);
                rows.squashed = true;
            }
            _ => {
                rows.first_signature.get_or_insert(signature);
                rows.end = Some(mark);
            }
        }
        self.frame().rows = Some(rows);
    }

    /// No more rows follow.
    pub(super) fn end_rows(&mut self) {
        let ended = self.frame().rows.take_if(|rows| rows.end.is_some());
        if ended.is_some_and(|rows| rows.squashed) {
            self.output.put_rest();
        }
    }
}

//! What a scan's condition asks of the columns of its own relation, as far as a B-tree index could answer it.
//!
//! In: a redacted condition (`((customer_id = ?) AND (created_at > ?::timestamptz))`) and the name by which it calls the relation.
//! Out: one test per conjunct that compares a bare column with something known before the scan. Conjuncts with OR, subplans, functions or
//! casts of the column, and comparisons among the relation's own columns are left out: they narrow nothing through an index.

use super::expression::{Token, is_constant, tokens};

/// How a conjunct tests its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// `=` or `= ANY (array)`.
    Equal,
    /// `IS NULL`, a boolean column or its negation: an equality, though seldom one that narrows much.
    Flag,
    /// `<`, `<=`, `>`, `>=`.
    Range,
}

/// A column and how it is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnTest {
    pub(super) column: String,
    pub(super) test: Test,
    /// The column is written `(column)::text`. For varchar that is how PostgreSQL prints it, and an index on the column serves; for other types it
    /// is a conversion, and an index on the column doesn't.
    pub(super) as_text: bool,
}

/// What a condition asks of one relation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conjuncts {
    /// In the order written.
    pub(super) tests: Vec<ColumnTest>,
    /// Conjuncts that no index on a column answers. They may be the ones that throw the rows away.
    pub(super) others: usize,
}

/// Parentheses around one conjunct: PostgreSQL writes one or two.
const MAX_PARENTHESES: usize = 16;

/// Functions whose result is fixed before the scan starts, so that an index can be searched for it.
const STABLE_FUNCTIONS: [&str; 9] = [
    "now",
    "statement_timestamp",
    "transaction_timestamp",
    "date_trunc",
    "timezone",
    "make_interval",
    "to_timestamp",
    "lower",
    "upper",
];

/// Columns that every table has and that no index is made on.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"];

/// What `condition` asks of the relation that it calls `relation` (its alias, or its name without one). Nothing is known of a condition that
/// can't be read.
pub(super) fn conjuncts(condition: &str, relation: &str) -> Conjuncts {
    let mut found = Conjuncts::default();
    let Some(tokens) = tokens(condition) else {
        found.others = 1;
        return found;
    };
    let mut open = vec![tokens.as_slice()];
    while let Some(part) = open.pop() {
        let Some(part) = without_parentheses(part) else {
            found.others += 1;
            continue;
        };
        let parts = split(part, "AND");
        if parts.len() > 1 {
            open.extend(parts.into_iter().rev());
        } else {
            match conjunct(part, relation) {
                Some(test) => found.tests.push(test),
                None => found.others += 1,
            }
        }
    }
    found
}

/// `column`, `(NOT column)`, `(column IS NULL)`, `(column = value)`, `(value < column)`, `(column = ANY (array))`
fn conjunct(part: &[Token<'_>], relation: &str) -> Option<ColumnTest> {
    let flag = |part| {
        column(part, relation).map(|(column, as_text)| ColumnTest {
            column,
            test: Test::Flag,
            as_text,
        })
    };
    match part {
        [Token::Keyword("NOT"), negated @ ..] => return flag(negated),
        [tested @ .., Token::Keyword("IS"), Token::Keyword("NULL")] => return flag(tested),
        _ => {}
    }
    let Some(at) = top_level(part).find_map(|(at, token)| match token {
        Token::Operator(_) => Some(at),
        _ => None,
    }) else {
        return flag(part);
    };
    let (left, rest) = part.split_at_checked(at)?;
    let (Token::Operator(operator), right) = rest.split_first()? else {
        return None;
    };
    let test = match *operator {
        "=" => Test::Equal,
        "<" | "<=" | ">" | ">=" => Test::Range,
        _ => return None,
    };
    let tested = |(column, as_text)| ColumnTest {
        column,
        test,
        as_text,
    };
    if let [Token::Keyword("ANY"), array @ ..] = right {
        let known = test == Test::Equal && is_known(array, relation);
        return column(left, relation).filter(|_| known).map(tested);
    }
    match (column(left, relation), column(right, relation)) {
        (Some(found), _) if is_known(right, relation) => Some(tested(found)),
        (_, Some(found)) if is_known(left, relation) => Some(tested(found)),
        _ => None,
    }
}

/// `column`, `relation.column`, `(column)::text`: the column's name and whether it is written as text.
fn column(part: &[Token<'_>], relation: &str) -> Option<(String, bool)> {
    let (part, as_text) = match part {
        [inner @ .., Token::Cast("text")] if inner.first() == Some(&Token::Open) => (inner, true),
        _ => (part, false),
    };
    let name = match without_parentheses(part)? {
        [Token::Name(name)] if !is_constant(name) => name,
        [Token::Name(qualifier), Token::Dot, Token::Name(name)] if qualifier == relation => name,
        _ => return None,
    };
    (!SYSTEM_COLUMNS.contains(&&**name)).then(|| (name.to_string(), as_text))
}

/// Whether the value of `part` is known before the scan starts: constants, parameters, InitPlans, columns of other relations, and stable
/// functions of these.
fn is_known(part: &[Token<'_>], relation: &str) -> bool {
    part.iter().enumerate().all(|(at, token)| match token {
        Token::Name(name) => {
            let before = at.checked_sub(1).and_then(|at| part.get(at));
            match (before, part.get(at + 1)) {
                (_, Some(Token::Open)) => STABLE_FUNCTIONS.contains(&&**name),
                (_, Some(Token::Dot)) => name != relation,
                (Some(Token::Dot), _) => true,
                _ => is_constant(name),
            }
        }
        Token::Keyword(word) => {
            ["ARRAY", "InitPlan", "AT", "TIME", "ZONE"].contains(word)
                || word.starts_with("CURRENT_")
                || word.starts_with("LOCALTIME")
        }
        Token::Operator(operator) => ["+", "-", "*", "/", "||"].contains(operator),
        _ => true,
    })
}

/// `part` without the parentheses that enclose all of it; `None` for unbalanced ones and for more than anybody writes.
fn without_parentheses<'a, 't>(mut part: &'a [Token<'t>]) -> Option<&'a [Token<'t>]> {
    for _ in 0..MAX_PARENTHESES {
        let [Token::Open, inner @ .., Token::Close] = part else {
            return Some(part);
        };
        let mut depth = 0_usize;
        for token in inner {
            match token {
                Token::Open => depth += 1,
                // The first parenthesis is closed before the end: `(a) = (b)`.
                Token::Close if depth == 0 => return Some(part),
                Token::Close => depth -= 1,
                _ => {}
            }
        }
        if depth != 0 {
            return None;
        }
        part = inner;
    }
    None
}

/// The tokens outside of all parentheses, with their places.
fn top_level<'a, 't>(part: &'a [Token<'t>]) -> impl Iterator<Item = (usize, &'a Token<'t>)> {
    let mut depth = 0_i32;
    part.iter().enumerate().filter(move |(_, token)| {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// The parts of `part` between the top-level `keyword`s.
fn split<'a, 't>(part: &'a [Token<'t>], keyword: &str) -> Vec<&'a [Token<'t>]> {
    let places: Vec<usize> = top_level(part)
        .filter(|(_, token)| matches!(token, Token::Keyword(word) if *word == keyword))
        .map(|(at, _)| at)
        .collect();
    let mut parts = Vec::with_capacity(places.len() + 1);
    let mut start = 0;
    for at in places.into_iter().chain([part.len()]) {
        parts.extend(part.get(start..at));
        start = at + 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `column=`, `column<` and `column?` for an equality, range and flag; `~` follows a column that is written as text; `.` is a conjunct that no
    /// index answers.
    fn check(condition: &str, expected: &str) {
        let found = conjuncts(condition, "o");
        let mut got: Vec<String> = found
            .tests
            .into_iter()
            .map(|found| {
                let sign = match found.test {
                    Test::Equal => "=",
                    Test::Flag => "?",
                    Test::Range => "<",
                };
                let text = if found.as_text { "~" } else { "" };
                format!("{}{text}{sign}", found.column)
            })
            .collect();
        got.extend(vec![".".to_owned(); found.others]);
        assert_eq!(got.join(" "), expected, "{condition}");
    }

    #[test]
    fn conjuncts_are_read_in_order() {
        check("(email = ?)", "email=");
        check(
            "((customer_id = ?) AND ((status)::text = ?::text) AND (created_at > ?::timestamptz))",
            "customer_id= status~= created_at<",
        );
        check(
            "(active AND (NOT gone) AND (note IS NULL) AND (\"Weird Col\" = ANY (?::integer[])))",
            "active? gone? note? Weird Col=",
        );
        check("((a >= ?) AND (a <= $2))", "a< a<");
        check("(created_at > (now() - ?::interval))", "created_at<");
        check("((? = a) AND ($1 < b))", "a= b<");
        check("(a = ANY (ARRAY[$1, ($2)::integer]))", "a=");
        check("((status)::text = ANY (?::text[]))", "status~=");
        check("(a > $0)", "a<");
        check("((a > (InitPlan 1).col1) AND (b = (? + 1)))", "a< b=");
        check("(day = CURRENT_DATE)", "day=");
        check("(active = true)", "active=");
    }

    #[test]
    fn what_no_index_on_the_column_answers_is_left_out() {
        for condition in [
            "((a = ?) OR (b = ?))",
            "(lower(email) = ?)",
            "((created_at)::date = ?)",
            "((id)::numeric = ?)",
            "(a <> ?)",
            "(name ~~ ?)",
            "(note IS NOT NULL)",
            "(a = b)",
            "((a % ?) = ?)",
            "(NOT (hashed SubPlan 1))",
            "(a = (SubPlan 1))",
            "(ROW(a, b) > ROW(?, ?))",
            "(a <> ALL (?::integer[]))",
            "(a > random())",
            "(a = o.b)",
            "(ctid = ?)",
            "true",
            "?",
            "((a = ?)",
            "",
        ] {
            check(condition, ".");
        }
        check(&format!("{}a = ?{}", "(".repeat(64), ")".repeat(64)), ".");
    }

    #[test]
    fn columns_belong_to_the_relation_that_qualifies_them() {
        check("(o.customer_id = c.id)", "customer_id=");
        check("(c.id = o.customer_id)", "customer_id=");
        check("((c.id = c.other) AND (o.a > c.b))", "a< .");
        check("(o.a = (c.b + o.d))", ".");
    }
}

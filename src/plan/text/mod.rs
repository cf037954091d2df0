//! auto_explain.log_format = text: what psql's users know as an execution plan.
//!
//! Query text, parameters and plan come in as one text; the value that EXPLAIN's JSON would have gives goes out, with its keys in the same
//! order. The grammar is that of the manual's section 14.1 "Using EXPLAIN", and where the manual shows no example, of what PostgreSQL 13 to
//! 18 print (ExplainNode and what it calls).
//!
//! Where the plan begins isn't marked, and both the statement and the literals in the plan may hold lines that look like a plan's first.
//! It begins at the line from which on everything reads as one plan, and hardly ever is there a second: a plan has one line without an
//! arrow, and its quotes come in pairs. A quote that is open at the true first line, in a comment's made-up plan, therefore stays open to the
//! end; and a line within a literal is followed by one quote too many. Only names that the server prints unquoted (of CTEs, of triggers)
//! can break this. The last such line is taken: the statement, which anyone may fill with look-alikes, then costs and decides nothing.
//!
//! Text doesn't tell everything. A key whose value is false or zero isn't printed: it is put back where the rest of the plan says that
//! it was known ([`defaults`]), so that all that [`PlanNode`](crate::model::plan::PlanNode) holds is the same as from JSON. The others stay
//! out: `Async Capable`, `Disabled`, `Inner Unique`, `Single Copy`, `Subplans Removed`, WAL counts and times of I/O that are zero, and settings
//! or triggers where none is. The same is printed for a function and for the alias of several (`ROWS FROM`), unless log_verbose is on.

mod defaults;
mod footer;
mod line;
mod node_line;
mod nodes;
mod property;
mod usage;

use memchr::memmem;
use nom::{
    IResult, Parser as _,
    branch::alt,
    bytes::complete::{tag, take_until},
    character::complete::digit1,
    combinator::all_consuming,
    multi::fold_many0,
};

use super::{
    Error,
    value::{Json, Object},
};

/// How many places are tried where the plan may begin, the last ones: each costs reading to the end.
const MAX_BEGINNINGS: usize = 16;

/// Reads `Query Text: …`, then `Query Parameters: …`, then the plan.
pub(super) fn parse(body: &str) -> Result<Json<'_>, Error> {
    let body = body.trim_start_matches('\n').trim_end_matches('\n');
    let text_and_plan = body
        .strip_prefix("Query Text: ")
        .ok_or(Error::Missing("Query Text"))?;
    for at in beginnings(text_and_plan).take(MAX_BEGINNINGS) {
        let (head, plan) = text_and_plan.split_at_checked(at).ok_or(Error::Text)?;
        let mut value = Object::default();
        let query_text = without_parameters(head.strip_suffix('\n').unwrap_or(head));
        value.push("Query Text", Json::text(query_text));
        match nodes::read(plan, &mut value) {
            Ok(()) => return Ok(Json::Object(value)),
            Err(Error::TooDeep) => return Err(Error::TooDeep),
            Err(_) => {}
        }
    }
    Err(Error::Text)
}

/// Offsets of the lines that can be the first of a plan, the last one first. One that a newline in a table's name cuts in two isn't found.
fn beginnings(text_and_plan: &str) -> impl Iterator<Item = usize> {
    let mut end = text_and_plan.len() + 1;
    text_and_plan.rsplit('\n').filter_map(move |line| {
        end -= line.len() + 1;
        (line.starts_with(|c: char| c.is_ascii_uppercase()) && node_line::parse(line).is_some())
            .then_some(end)
    })
}

/// The query text of `head`, which is it with `Query Parameters: $1 = '…', $2 = NULL` after it or not. The last line that begins such a
/// list counts: within a parameter the list would end with a quote too many.
fn without_parameters(head: &str) -> &str {
    const LABEL: &str = "\nQuery Parameters: ";
    memmem::rfind_iter(head.as_bytes(), LABEL)
        .take(MAX_BEGINNINGS)
        .find_map(|at| {
            let (query_text, parameters) = head.split_at_checked(at)?;
            let parameters = parameters.get(LABEL.len()..)?;
            all_consuming(parameter_list)
                .parse(parameters)
                .is_ok()
                .then_some(query_text)
        })
        .unwrap_or(head)
}

/// `$1 = '…', $2 = NULL`
fn parameter_list(input: &str) -> IResult<&str, ()> {
    let (input, ()) = parameter(input)?;
    fold_many0((tag(", "), parameter), || (), |(), _| ()).parse(input)
}

fn parameter(input: &str) -> IResult<&str, ()> {
    (tag("$"), digit1, tag(" = "), alt((null, quoted)))
        .map(|_| ())
        .parse(input)
}

fn null(input: &str) -> IResult<&str, ()> {
    tag("NULL").map(|_| ()).parse(input)
}

/// `'it''s'`: one or more quoted parts with nothing between.
fn quoted(input: &str) -> IResult<&str, ()> {
    let part = || (tag("'"), take_until("'"), tag("'"));
    let (input, _) = part().parse(input)?;
    fold_many0(part(), || (), |(), _| ()).parse(input)
}

#[cfg(test)]
mod tests;

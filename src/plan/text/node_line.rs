//! The line that begins a node: what it does, on what, what it was expected to cost and what it did.
//!
//! `Parallel Index Scan Backward using idx on schema.table alias  (cost=0.29..8.31 rows=1 width=4) (actual time=0.030..0.031 rows=1 loops=1)`

use nom::{
    IResult, Parser as _,
    branch::alt,
    bytes::complete::tag,
    character::complete::{char, digit1},
    combinator::{all_consuming, opt, recognize},
    sequence::{delimited, preceded, separated_pair},
};

use super::line;
use crate::plan::value::{Json, Object};

/// Reads the line behind its `->  `. `None` where it is none.
pub(super) fn parse(text: &str) -> Option<Object<'_>> {
    let (description, numbers) = text.split_at_checked(text.rfind("  (cost=")?)?;
    let (_, (cost, actual)) = all_consuming((cost, opt(actual))).parse(numbers).ok()?;
    let mut node = Object::default();
    describe(description, &mut node)?;
    node.push("Startup Cost", Json::scalar(cost.startup));
    node.push("Total Cost", Json::scalar(cost.total));
    node.push("Plan Rows", Json::scalar(cost.rows));
    node.push("Plan Width", Json::scalar(cost.width));
    if let Some(actual) = actual {
        actual.write(&mut node);
    }
    Some(node)
}

struct Cost<'a> {
    startup: &'a str,
    total: &'a str,
    rows: &'a str,
    width: &'a str,
}

/// What a node or a worker did, on average per loop.
pub(super) struct Actual<'a> {
    /// Until its first and its last row.
    time_ms: Option<(&'a str, &'a str)>,
    rows: &'a str,
    loops: &'a str,
}

impl<'a> Actual<'a> {
    pub(super) fn write(self, object: &mut Object<'a>) {
        if let Some((startup, total)) = self.time_ms {
            object.push("Actual Startup Time", Json::scalar(startup));
            object.push("Actual Total Time", Json::scalar(total));
        }
        object.push("Actual Rows", Json::scalar(self.rows));
        object.push("Actual Loops", Json::scalar(self.loops));
    }
}

/// `  (cost=0.29..8.31 rows=1 width=4)`
fn cost(input: &str) -> IResult<&str, Cost<'_>> {
    let numbers = (
        separated_pair(number, tag(".."), number),
        preceded(tag(" rows="), number),
        preceded(tag(" width="), number),
    );
    delimited(tag("  (cost="), numbers, char(')'))
        .map(|((startup, total), rows, width)| Cost {
            startup,
            total,
            rows,
            width,
        })
        .parse(input)
}

/// ` (actual time=0.030..0.031 rows=1 loops=1)` or ` (never executed)`
fn actual(input: &str) -> IResult<&str, Actual<'_>> {
    let never = tag(" (never executed)").map(|_| Actual {
        time_ms: None,
        rows: "0",
        loops: "0",
    });
    alt((delimited(tag(" ("), actual_numbers, char(')')), never)).parse(input)
}

/// `actual time=0.030..0.031 rows=1 loops=1`; no time with log_timing off, rows with a fraction from 18 on.
pub(super) fn actual_numbers(input: &str) -> IResult<&str, Actual<'_>> {
    let time = delimited(
        tag("time="),
        separated_pair(number, tag(".."), number),
        char(' '),
    );
    (
        preceded(tag("actual "), opt(time)),
        preceded(tag("rows="), number),
        preceded(tag(" loops="), number),
    )
        .map(|(time_ms, rows, loops)| Actual {
            time_ms,
            rows,
            loops,
        })
        .parse(input)
}

/// `12` or `0.29`
fn number(input: &str) -> IResult<&str, &str> {
    recognize((digit1, opt((char('.'), digit1)))).parse(input)
}

/// Writes the keys from `Node Type` to `Join Type` or `Command`.
fn describe<'a>(description: &'a str, node: &mut Object<'a>) -> Option<()> {
    let (parallel, description) = without_prefix(description, "Parallel ");
    let (asynchronous, description) = without_prefix(description, "Async ");
    let kind = kind(description)?;
    node.push("Node Type", Json::text(kind.node_type));
    for (key, word) in [
        ("Strategy", kind.strategy),
        ("Partial Mode", kind.partial_mode),
        ("Operation", kind.operation),
        ("Custom Plan Provider", kind.provider),
    ] {
        if let Some(word) = word {
            node.push(key, Json::text(word));
        }
    }
    node.push("Parallel Aware", Json::Bool(parallel));
    if asynchronous {
        node.push("Async Capable", Json::Bool(true));
    }
    if let Some(target) = kind.target {
        write_target(kind.node_type, target, node)?;
    }
    if let Some(join_type) = kind.join_type {
        node.push("Join Type", Json::text(join_type));
    }
    if let Some(command) = kind.command {
        node.push("Command", Json::text(command));
    }
    Some(())
}

fn without_prefix<'a>(text: &'a str, prefix: &str) -> (bool, &'a str) {
    match text.strip_prefix(prefix) {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

#[derive(Default)]
struct Kind<'a> {
    node_type: &'a str,
    strategy: Option<&'a str>,
    partial_mode: Option<&'a str>,
    operation: Option<&'a str>,
    provider: Option<&'a str>,
    join_type: Option<&'a str>,
    command: Option<&'a str>,
    /// What stands behind the node type: ` using idx on t`.
    target: Option<&'a str>,
}

/// Text runs together what other formats have keys for: `HashAggregate` is an Aggregate with strategy Hashed.
fn kind(description: &str) -> Option<Kind<'_>> {
    if let Some(custom) = description.strip_prefix("Custom Scan (") {
        let (provider, target) = custom.split_once(')')?;
        return Some(Kind {
            node_type: "Custom Scan",
            provider: Some(provider),
            target: Some(target),
            ..Kind::default()
        });
    }
    [modify, foreign, join, aggregate, set_operation]
        .iter()
        .find_map(|read| read(description))
        .or_else(|| {
            let end = description
                .find(" using ")
                .or_else(|| description.find(" on "))
                .unwrap_or(description.len());
            let (node_type, target) = description.split_at_checked(end)?;
            let is_type = node_type.starts_with(|c: char| c.is_ascii_uppercase())
                && node_type
                    .bytes()
                    .all(|byte| byte.is_ascii_alphabetic() || byte == b' ');
            is_type.then_some(Kind {
                node_type,
                target: Some(target),
                ..Kind::default()
            })
        })
}

/// `Update on t`
fn modify(description: &str) -> Option<Kind<'_>> {
    ["Insert", "Update", "Delete", "Merge"]
        .into_iter()
        .find_map(|operation| {
            let target = description.strip_prefix(operation)?;
            target.starts_with(" on ").then_some(Kind {
                node_type: "ModifyTable",
                operation: Some(operation),
                target: Some(target),
                ..Kind::default()
            })
        })
}

/// `Foreign Scan on t`; `Foreign Update on t` changes rows where they are.
fn foreign(description: &str) -> Option<Kind<'_>> {
    let rest = description.strip_prefix("Foreign ")?;
    [
        ("Scan", "Select"),
        ("Insert", "Insert"),
        ("Update", "Update"),
        ("Delete", "Delete"),
    ]
    .into_iter()
    .find_map(|(printed, operation)| {
        Some(Kind {
            node_type: "Foreign Scan",
            operation: Some(operation),
            target: Some(rest.strip_prefix(printed)?),
            ..Kind::default()
        })
    })
}

/// `Nested Loop`, `Nested Loop Left Join`, `Hash Join`, `Merge Right Anti Join`
fn join(description: &str) -> Option<Kind<'_>> {
    let (node_type, join_type) = if let Some(rest) = description.strip_prefix("Nested Loop") {
        ("Nested Loop", rest)
    } else if let Some(rest) = description.strip_prefix("Hash") {
        ("Hash Join", rest.strip_suffix(" Join")?)
    } else {
        let rest = description.strip_prefix("Merge")?;
        ("Merge Join", rest.strip_suffix(" Join")?)
    };
    let join_type = join_type.strip_suffix(" Join").unwrap_or(join_type);
    Some(Kind {
        node_type,
        join_type: Some(match join_type {
            "" => "Inner",
            _ => join_type.strip_prefix(' ')?,
        }),
        ..Kind::default()
    })
}

/// `Partial HashAggregate`
fn aggregate(description: &str) -> Option<Kind<'_>> {
    let (partial_mode, printed) = ["Partial", "Finalize"]
        .into_iter()
        .find_map(|mode| Some((mode, description.strip_prefix(mode)?.strip_prefix(' ')?)))
        .unwrap_or(("Simple", description));
    let strategy = match printed {
        "Aggregate" => "Plain",
        "GroupAggregate" => "Sorted",
        "HashAggregate" => "Hashed",
        "MixedAggregate" => "Mixed",
        _ => return None,
    };
    Some(Kind {
        node_type: "Aggregate",
        strategy: Some(strategy),
        partial_mode: Some(partial_mode),
        ..Kind::default()
    })
}

/// `SetOp Except`, `HashSetOp Intersect All`
fn set_operation(description: &str) -> Option<Kind<'_>> {
    [("SetOp ", "Sorted"), ("HashSetOp ", "Hashed")]
        .into_iter()
        .find_map(|(printed, strategy)| {
            Some(Kind {
                node_type: "SetOp",
                strategy: Some(strategy),
                command: Some(description.strip_prefix(printed)?),
                ..Kind::default()
            })
        })
}

/// ` using idx on schema.table alias` of an index scan (` Backward using …` is the end of its node type), ` on idx` of a bitmap index scan,
/// ` on …` of what has a target, and nothing of what has none.
fn write_target<'a>(node_type: &'a str, target: &'a str, node: &mut Object<'a>) -> Option<()> {
    let mut rest = target;
    if let Some(index) = rest.strip_prefix(" using ") {
        let forward = node_type.strip_suffix(" Backward");
        if let (Some(forward), Some((_, value))) = (forward, node.0.first_mut()) {
            *value = Json::text(forward);
        }
        let direction = forward.map_or("Forward", |_| "Backward");
        node.push("Scan Direction", Json::text(direction));
        rest = index;
        node.push("Index Name", Json::Text(line::name(&mut rest)?));
    }
    let Some(named) = rest.strip_prefix(" on ") else {
        return rest.is_empty().then_some(());
    };
    write_names(node_type, named, node)
}

/// `schema.name alias`: the alias is printed where it isn't the name, and alone where there is no name.
pub(super) fn write_names<'a>(
    node_type: &str,
    named: &'a str,
    node: &mut Object<'a>,
) -> Option<()> {
    let mut rest = named;
    let mut name = line::name(&mut rest)?;
    if node_type == "Bitmap Index Scan" {
        node.push("Index Name", Json::Text(name));
        return rest.is_empty().then_some(());
    }
    let mut schema = None;
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        schema = Some(std::mem::replace(&mut name, line::name(&mut rest)?));
    }
    let alias = match rest.strip_prefix(' ') {
        Some(after) => {
            rest = after;
            line::name(&mut rest)?
        }
        None => name.clone(),
    };
    let key = match node_type {
        "Values Scan" | "Subquery Scan" => None,
        "Function Scan" => Some("Function Name"),
        "Table Function Scan" => Some("Table Function Name"),
        "CTE Scan" | "WorkTable Scan" => Some("CTE Name"),
        "Named Tuplestore Scan" => Some("Tuplestore Name"),
        _ => Some("Relation Name"),
    };
    if let Some(key) = key {
        node.push(key, Json::Text(name));
    }
    if let Some(schema) = schema {
        node.push("Schema", Json::Text(schema));
    }
    node.push("Alias", Json::Text(alias));
    rest.is_empty().then_some(())
}

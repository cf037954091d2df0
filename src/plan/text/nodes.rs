//! Indentation to a tree of nodes.
//!
//! A node's first line is `->  ` and what it does; the root has no arrow and no indentation. Its own lines stand six columns to the right of
//! its arrow (two of the root's line), and so do its children's arrows; a child with a name (`InitPlan 1`, `CTE x`) has the name there and
//! its arrow two further on. What workers did, tables that a statement changes, and grouping sets that are sorted first have lines of their
//! own, further to the right.

use super::{
    defaults, footer,
    line::{self, Line},
    node_line, property,
};
use crate::plan::{
    Error, MAX_DEPTH,
    value::{Json, Object},
};

/// A node whose last line hasn't been seen.
struct Open<'a> {
    /// Column of its own lines.
    indent: usize,
    node: Object<'a>,
    /// An aggregate's keys are of its grouping sets.
    aggregate: bool,
    children: Vec<Object<'a>>,
    /// `InitPlan 1`: the name of the child that comes next.
    next_name: Option<&'a str>,
    detail: Detail,
}

/// What lines further to the right than the node's own tell of: the last one of a list.
#[derive(Clone, Copy)]
enum Detail {
    None,
    Worker,
    TargetTable,
}

/// Reads a plan from its root's line to the end, into `plan`: `Plan`, then what stands below the tree.
pub(super) fn read<'a>(text: &'a str, plan: &mut Object<'a>) -> Result<(), Error> {
    let mut rest = Some(text);
    let root = line::next(&mut rest).ok_or(Error::Text)??;
    let mut open = vec![Open::new(
        2,
        node_line::parse(root.text).ok_or(Error::Text)?,
    )];
    while rest.is_some_and(|rest| rest.starts_with(' ')) {
        let Some(line) = line::next(&mut rest) else {
            break;
        };
        let line = line?;
        while open.len() > 1 && open.last().is_some_and(|node| node.indent > line.indent) {
            close(&mut open);
        }
        let Some(node) = open.last_mut() else {
            break;
        };
        let Some(described) = line.text.strip_prefix("->  ") else {
            node.add_line(&line);
            continue;
        };
        let Some(child) = node_line::parse(described) else {
            continue;
        };
        if 2 * open.len() >= MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        open.push(Open::new(line.indent + "->    ".len(), child));
    }
    while open.len() > 1 {
        close(&mut open);
    }
    let mut root = open.pop().ok_or(Error::Text)?.finish();
    defaults::fill(&mut root);
    plan.push("Plan", Json::Object(root));
    while let Some(line) = line::next(&mut rest) {
        footer::read(&line?, &mut rest, plan)?;
    }
    Ok(())
}

fn close(open: &mut Vec<Open<'_>>) {
    let child = open.pop().map(Open::finish);
    if let (Some(mut child), Some(parent)) = (child, open.last_mut()) {
        let name = parent.next_name.take();
        let relationship = match name {
            None => "",
            Some(name) if name.starts_with("SubPlan ") => "SubPlan",
            Some(_) => "InitPlan",
        };
        let at = child
            .0
            .iter()
            .position(|(key, _)| {
                !["Node Type", "Strategy", "Partial Mode", "Operation"].contains(&&**key)
            })
            .unwrap_or(child.0.len());
        let names = name.map(|name| ("Subplan Name".into(), Json::text(name)));
        let relationship = ("Parent Relationship".into(), Json::text(relationship));
        child
            .0
            .splice(at..at, std::iter::once(relationship).chain(names));
        parent.children.push(child);
    }
}

impl<'a> Open<'a> {
    fn new(indent: usize, node: Object<'a>) -> Self {
        let node_type = node.get("Node Type").and_then(Json::as_str);
        Self {
            indent,
            aggregate: node_type == Some("Aggregate"),
            node,
            children: Vec::new(),
            next_name: None,
            detail: Detail::None,
        }
    }

    fn add_line(&mut self, line: &Line<'a>) {
        let text = line.text;
        if line.indent > self.indent {
            self.add_detail(line.indent - self.indent, text);
            return;
        }
        self.detail = Detail::None;
        if ["InitPlan ", "SubPlan ", "CTE "]
            .iter()
            .any(|name| text.starts_with(name))
        {
            self.next_name = Some(text);
        } else if let Some((number, first)) = worker(text) {
            let mut worker = Object::default();
            worker.push("Worker Number", Json::scalar(number));
            add_to_worker(&mut worker, first);
            self.push("Workers", Json::Object(worker));
            self.detail = Detail::Worker;
        } else if let Some(table) = target_table(text) {
            self.push("Target Tables", Json::Object(table));
            self.detail = Detail::TargetTable;
        } else if !self.add_grouping(text, false) {
            property::write(&mut self.node, text);
        }
    }

    fn add_detail(&mut self, depth: usize, text: &'a str) {
        let key = match self.detail {
            Detail::None => {
                self.add_grouping(text, true);
                return;
            }
            Detail::Worker => "Workers",
            Detail::TargetTable => "Target Tables",
        };
        let Some((last, Json::List(list))) = self.node.0.last_mut() else {
            return;
        };
        let Some(Json::Object(object)) = list.last_mut().filter(|_| last == key) else {
            return;
        };
        match object.0.last_mut() {
            Some((last, Json::Object(jit))) if last == "JIT" && depth > 2 => {
                footer::write_jit(jit, text);
            }
            _ => add_to_worker(object, text),
        }
    }

    /// Appends to the list under `key`, which is the last of the node's keys or becomes it.
    fn push(&mut self, key: &'static str, value: Json<'a>) {
        match self.node.0.last_mut() {
            Some((last, Json::List(list))) if last == key => list.push(value),
            _ => self.node.push(key, Json::List(vec![value])),
        }
    }

    /// Keys of an aggregate: `Group Key: a, b`, `Hash Key: a`, `Sort Key: a` with `Group Key: a` below it. `false` where it is none.
    ///
    /// Each set that is hashed and each sort is a grouping set of its own; other keys that follow each other are of one.
    fn add_grouping(&mut self, text: &'a str, below_sort: bool) -> bool {
        let Some((label, value)) = line::labelled(text).filter(|_| self.aggregate) else {
            return false;
        };
        let keys = match label {
            "Group Key" => "Group Keys",
            "Hash Key" => "Hash Keys",
            "Sort Key" => {
                let set = Object(vec![("Sort Key".into(), line::list(value))]);
                self.push("Grouping Sets", Json::Object(set));
                return true;
            }
            _ => return false,
        };
        let key = match value {
            "()" => Json::List(Vec::new()),
            _ => line::list(value),
        };
        let sets = match self.node.0.last_mut() {
            Some((last, Json::List(sets))) if last == "Grouping Sets" => sets.as_mut_slice(),
            _ => &mut [],
        };
        if let Some(Json::Object(set)) = sets.last_mut() {
            let of_sort = set.get("Sort Key").is_some();
            match set.0.last_mut() {
                Some((last, Json::List(list)))
                    if last == "Group Keys" && last == keys && of_sort == below_sort =>
                {
                    list.push(key);
                    return true;
                }
                Some((last, _)) if last == "Sort Key" && below_sort => {
                    set.push(keys, Json::List(vec![key]));
                    return true;
                }
                _ => {}
            }
        }
        let set = Object(vec![(keys.into(), Json::List(vec![key]))]);
        self.push("Grouping Sets", Json::Object(set));
        true
    }

    fn finish(self) -> Object<'a> {
        let Self {
            mut node,
            mut children,
            ..
        } = self;
        for (key, value) in &mut node.0 {
            if key == "Grouping Sets"
                && let Some(keys) = only_group_key(value)
            {
                *key = "Group Key".into();
                *value = keys;
            }
        }
        relate(&node, &mut children);
        if !children.is_empty() {
            let children = children.into_iter().map(Json::Object).collect();
            node.push("Plans", Json::List(children));
        }
        node
    }
}

/// The keys of an aggregate without GROUPING SETS, which has one `Group Key`.
fn only_group_key<'a>(sets: &mut Json<'a>) -> Option<Json<'a>> {
    let Json::List(sets) = sets else { return None };
    let [Json::Object(set)] = sets.as_mut_slice() else {
        return None;
    };
    let [(key, Json::List(lists))] = set.0.as_mut_slice() else {
        return None;
    };
    match lists.as_mut_slice() {
        [Json::List(keys)] if key == "Group Keys" && !keys.is_empty() => {
            Some(Json::List(std::mem::take(keys)))
        }
        _ => None,
    }
}

/// `Parent Relationship` of the children without a name follows from what their parent is.
fn relate(parent: &Object<'_>, children: &mut [Object<'_>]) {
    let node_type = parent.get("Node Type").and_then(Json::as_str);
    let mut unnamed: Vec<_> = children
        .iter_mut()
        .flat_map(|child| &mut child.0)
        .filter(|(key, value)| key == "Parent Relationship" && value.as_str() == Some(""))
        .collect();
    let count = unnamed.len();
    for (number, (_, relationship)) in unnamed.iter_mut().enumerate() {
        *relationship = Json::text(match node_type {
            Some("Append" | "Merge Append" | "BitmapAnd" | "BitmapOr") => "Member",
            // PostgreSQL 13 has a child for each table.
            Some("ModifyTable") if count > 1 => "Member",
            Some("Subquery Scan") => "Subquery",
            Some("Custom Scan") if count == 1 => "child",
            Some("Custom Scan") => "children",
            _ if number == 0 => "Outer",
            _ => "Inner",
        });
    }
}

/// `Worker 0:  actual time=…`: the worker's number, and the first of its lines.
fn worker(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("Worker ")?.split_once(":  ")
}

fn add_to_worker<'a>(worker: &mut Object<'a>, text: &'a str) {
    if text == "JIT:" {
        worker.push("JIT", Json::Object(Object::default()));
    } else if let Ok(("", actual)) = node_line::actual_numbers(text) {
        actual.write(worker);
    } else {
        property::write(worker, text.trim_start_matches(' '));
    }
}

/// `Update on schema.table alias` below `Update on …`: a table of several, or of a partitioned one.
fn target_table(text: &str) -> Option<Object<'_>> {
    let changed = text.strip_prefix("Foreign ").unwrap_or(text);
    let named = ["Insert on ", "Update on ", "Delete on ", "Merge on "]
        .iter()
        .find_map(|operation| changed.strip_prefix(operation))?;
    let mut table = Object::default();
    node_line::write_names("ModifyTable", named, &mut table)?;
    Some(table)
}

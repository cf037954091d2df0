//! The same plan, printed in each format as EXPLAIN prints it, is read to the same tree, shape and document.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// A plan of the kinds that a literal, a list, a name or children can stand in.
#[derive(Debug, Clone)]
enum Node {
    Scan {
        relation: String,
        literal: String,
    },
    Sort {
        key: String,
        below: Box<Self>,
    },
    Join {
        literal: String,
        pair: Box<[Self; 2]>,
    },
    Append(Vec<Self>),
}

fn node() -> impl Strategy<Value = Node> {
    let text = "([a-z]|'|\"|\\\\|\n|,|\\(|:|<|&|é| |  ->  ){0,12}";
    let scan = (text, text).prop_map(|(relation, literal)| Node::Scan {
        // A newline in a name on the root's line is more than the reader of text looks for.
        relation: format!("t{}", relation.replace('\n', "")),
        literal,
    });
    scan.prop_recursive(6, 24, 3, move |below| {
        let pair = (below.clone(), below.clone());
        prop_oneof![
            (text, below.clone()).prop_map(|(key, below)| Node::Sort {
                key,
                below: Box::new(below)
            }),
            (text, pair).prop_map(|(literal, (outer, inner))| Node::Join {
                literal,
                pair: Box::new([outer, inner])
            }),
            proptest::collection::vec(below, 1..3).prop_map(Node::Append),
        ]
    })
}

fn quoted(text: &str, quote: &str) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &quote.repeat(2)))
}

/// A node with EXPLAIN's keys, and what text prints of it: its first line, the lines below, its children.
struct Printed<'a> {
    keys: Value,
    line: String,
    below: Vec<String>,
    children: Vec<&'a Node>,
}

fn print<'n>(node: &'n Node, relationship: Option<&str>) -> Printed<'n> {
    let (node_type, line, mut named, mut conditions, below, children) = match node {
        Node::Scan { relation, literal } => {
            let filter = format!("(a = {}::text)", quoted(literal, "'"));
            let named = json!({"Relation Name": relation, "Alias": relation});
            let line = format!("Seq Scan on {}", quoted(relation, "\""));
            let conditions = json!({"Output": ["a", filter], "Filter": filter});
            let below = vec![format!("Output: a, {filter}"), format!("Filter: {filter}")];
            ("Seq Scan", line, named, conditions, below, vec![])
        }
        Node::Sort { key, below } => {
            let key = quoted(key, "\"") + " DESC";
            let lines = vec![format!("Sort Key: a, {key}")];
            let conditions = json!({"Sort Key": ["a", key]});
            (
                "Sort",
                "Sort".to_owned(),
                json!({}),
                conditions,
                lines,
                vec![&**below],
            )
        }
        Node::Join { literal, pair } => {
            let filter = format!("(a <> {})", quoted(literal, "'"));
            let line = "Nested Loop Left Join".to_owned();
            let below = vec![format!("Join Filter: {filter}")];
            let conditions = json!({"Join Filter": filter});
            let children = pair.iter().collect();
            (
                "Nested Loop",
                line,
                json!({"Join Type": "Left"}),
                conditions,
                below,
                children,
            )
        }
        Node::Append(members) => {
            let children = members.iter().collect();
            (
                "Append",
                "Append".to_owned(),
                json!({}),
                json!({}),
                vec![],
                children,
            )
        }
    };
    let mut keys = json!({"Node Type": node_type});
    let mut add = |more: &mut Value| {
        keys.as_object_mut()
            .unwrap()
            .append(more.as_object_mut().unwrap());
    };
    if let Some(relationship) = relationship {
        add(&mut json!({"Parent Relationship": relationship}));
    }
    add(&mut json!({"Parallel Aware": false}));
    add(&mut named);
    add(&mut json!({"Startup Cost": 0.25, "Total Cost": 1.5, "Plan Rows": 3, "Plan Width": 4}));
    add(&mut conditions);
    let mut plans = Vec::new();
    for (number, child) in children.iter().enumerate() {
        let relationship = match (node_type, number) {
            ("Append", _) => "Member",
            (_, 0) => "Outer",
            _ => "Inner",
        };
        plans.push(print(child, Some(relationship)).keys);
    }
    if !plans.is_empty() {
        add(&mut json!({"Plans": plans}));
    }
    Printed {
        keys,
        line: line + "  (cost=0.25..1.50 rows=3 width=4)",
        below,
        children,
    }
}

fn text(node: &Node, indent: usize, printed: &mut String) {
    let node = print(node, None);
    let arrow = if indent == 0 { "" } else { "->  " };
    writeln!(printed, "{}{arrow}{}", " ".repeat(indent), node.line).unwrap();
    let inner = indent + arrow.len() + 2;
    for line in node.below {
        writeln!(printed, "{}{line}", " ".repeat(inner)).unwrap();
    }
    for child in node.children {
        text(child, inner, printed);
    }
}

fn xml(keys: &Map<String, Value>, printed: &mut String) {
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    for (key, value) in keys {
        let tag = key.replace(' ', "-");
        write!(printed, "<{tag}>").unwrap();
        match value {
            Value::String(text) => *printed += &escape(text),
            Value::Object(keys) => xml(keys, printed),
            Value::Array(items) => {
                for item in items {
                    *printed += "\n  ";
                    match item {
                        Value::Object(keys) => {
                            *printed += "<Plan>\n";
                            xml(keys, printed);
                            *printed += "</Plan>\n";
                        }
                        item => {
                            writeln!(printed, "<Item>{}</Item>", escape(item.as_str().unwrap()))
                                .unwrap();
                        }
                    }
                }
            }
            scalar => write!(printed, "{scalar}").unwrap(),
        }
        writeln!(printed, "</{tag}>").unwrap();
    }
}

fn yaml(keys: &Map<String, Value>, indent: usize, printed: &mut String) {
    for (number, (key, value)) in keys.iter().enumerate() {
        // The first key of an item stands behind its dash.
        if number > 0 || !printed.ends_with("- ") {
            *printed += &" ".repeat(indent);
        }
        write!(printed, "{key}: ").unwrap();
        match value {
            Value::Object(keys) => {
                *printed += "\n";
                yaml(keys, indent + 2, printed);
            }
            Value::Array(items) => {
                *printed += "\n";
                for item in items {
                    write!(printed, "{}- ", " ".repeat(indent + 2)).unwrap();
                    match item {
                        Value::Object(keys) => yaml(keys, indent + 4, printed),
                        item => writeln!(printed, "{item}").unwrap(),
                    }
                }
            }
            scalar => writeln!(printed, "{scalar}").unwrap(),
        }
    }
}

proptest! {
    #[test]
    fn formats_of_one_plan_agree(root in node(), query_text in "select ([a-z]|'|\"|\n|<|&|é| |Sort  \\(cost=0\\.00\\.\\.1\\.00 rows=1 width=1\\)){0,20}") {
        let value = json!({"Query Text": query_text, "Plan": print(&root, None).keys});
        let keys = value.as_object().unwrap();
        let mut in_text = format!("Query Text: {query_text}\n");
        text(&root, 0, &mut in_text);
        let mut in_xml = "<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n".to_owned();
        xml(keys, &mut in_xml);
        in_xml += "</explain>";
        let mut in_yaml = String::new();
        yaml(keys, 0, &mut in_yaml);

        let redact = |text: &str| text.to_owned();
        let expected = read(&value.to_string(), &redact).unwrap();
        prop_assert_eq!(&expected.query_text, &query_text);
        for (format, body) in [(PlanFormat::Text, in_text), (PlanFormat::Xml, in_xml), (PlanFormat::Yaml, in_yaml)] {
            let found = read(&body, &redact);
            prop_assert!(found.is_ok(), "{found:?}\n{body}");
            let expected = ReadPlan { format, ..expected.clone() };
            prop_assert_eq!(found.unwrap(), expected, "{}", body);
        }
    }
}

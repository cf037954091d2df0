//! What the plans of a case tell of tables and columns: the only names that a model's answer may use.
//!
//! In: plan documents. Out: tables with the columns that their conditions name, and for each scan its table and conditions. Names are compared
//! byte for byte, so that a look-alike of a table's name is unknown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::analysis::{
    ddl::Table,
    expression::{self, ColumnRef},
};

/// Keys of a plan node whose values are expressions, or lists of them.
pub(super) const EXPRESSION_KEYS: [&str; 13] = [
    "Filter",
    "Index Cond",
    "Recheck Cond",
    "Join Filter",
    "Hash Cond",
    "Merge Cond",
    "One-Time Filter",
    "TID Cond",
    "Order By",
    "Sort Key",
    "Presorted Key",
    "Group Key",
    "Cache Key",
];

/// The names in the plans of one case.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Columns by table: those that conditions, sort and group keys name.
    pub(super) tables: BTreeMap<Table, BTreeSet<String>>,
    /// Columns that nodes put out (auto_explain.log_verbose).
    outputs: BTreeMap<Table, BTreeSet<String>>,
    /// By plan ordinal and node path.
    scans: BTreeMap<(u32, String), Scan>,
}

/// A node that reads a table.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) table: Table,
    /// Columns of the table in the node's own conditions and those of the join above it.
    pub(super) columns: BTreeSet<String>,
}

struct Node<'a> {
    path: String,
    fields: &'a Map<String, Value>,
    parent: Option<usize>,
}

impl Known {
    /// Adds the names of one plan; `root` is its outermost node.
    pub(super) fn add(&mut self, ordinal: u32, root: &Map<String, Value>) {
        let nodes = flatten(root);
        let aliases: BTreeMap<&str, Table> = nodes
            .iter()
            .filter_map(|node| Some((alias(node.fields)?, table(node.fields)?)))
            .collect();
        let only_table = aliases.values().next().filter(|_| aliases.len() == 1);
        for table in aliases.values() {
            self.tables.entry(table.clone()).or_default();
        }
        for node in &nodes {
            let own = table(node.fields);
            let resolve = |column: ColumnRef| {
                let table = match &column.qualifier {
                    Some(alias) => aliases.get(alias.as_str()),
                    None => own.as_ref().or(only_table),
                };
                table.cloned().map(|table| (table, column.name))
            };
            let named: Vec<(Table, String)> = columns(node.fields, &EXPRESSION_KEYS)
                .filter_map(resolve)
                .collect();
            for (table, column) in columns(node.fields, &["Output"]).filter_map(resolve) {
                self.outputs.entry(table).or_default().insert(column);
            }
            if let Some(table) = own {
                let above = node.parent.and_then(|parent| nodes.get(parent));
                let above = above
                    .into_iter()
                    .flat_map(|node| columns(node.fields, &EXPRESSION_KEYS))
                    .filter(|column| column.qualifier.as_deref() == alias(node.fields))
                    .map(|column| column.name);
                let columns = named
                    .iter()
                    .filter(|(of, _)| *of == table)
                    .map(|(_, column)| column.clone())
                    .chain(above)
                    .collect();
                self.scans
                    .insert((ordinal, node.path.clone()), Scan { table, columns });
            }
            for (table, column) in named {
                self.tables.entry(table).or_default().insert(column);
            }
        }
    }

    /// The table that an answer means; its schema is the plan's where the answer leaves it out.
    pub(super) fn table(&self, schema: Option<&str>, name: &str) -> Option<&Table> {
        let mut tables = self.tables.keys().filter(|table| {
            table.name == name && (schema.is_none() || table.schema.as_deref() == schema)
        });
        let table = tables.next()?;
        tables.next().is_none().then_some(table)
    }

    /// Whether a condition, sort or group key names the column.
    pub(super) fn has_column(&self, table: &Table, column: &str) -> bool {
        self.tables
            .get(table)
            .is_some_and(|columns| columns.contains(column))
    }

    /// Whether the plan reads the column at all.
    pub(super) fn has_output(&self, table: &Table, column: &str) -> bool {
        self.has_column(table, column)
            || self
                .outputs
                .get(table)
                .is_some_and(|columns| columns.contains(column))
    }

    pub(super) fn scan(&self, ordinal: u32, path: &str) -> Option<&Scan> {
        self.scans.get(&(ordinal, path.to_owned()))
    }
}

fn flatten(root: &Map<String, Value>) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    let mut open = vec![("0".to_owned(), root, None)];
    while let Some((path, fields, parent)) = open.pop() {
        let children = fields.get("Plans").and_then(Value::as_array);
        for (number, child) in children.into_iter().flatten().enumerate() {
            if let Some(child) = child.as_object() {
                open.push((format!("{path}.{number}"), child, Some(nodes.len())));
            }
        }
        nodes.push(Node {
            path,
            fields,
            parent,
        });
    }
    nodes
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    fields.get(key).and_then(Value::as_str)
}

fn alias(fields: &Map<String, Value>) -> Option<&str> {
    text(fields, "Alias").or_else(|| text(fields, "Relation Name"))
}

fn table(fields: &Map<String, Value>) -> Option<Table> {
    Some(Table {
        schema: text(fields, "Schema").map(str::to_owned),
        name: text(fields, "Relation Name")?.to_owned(),
    })
}

/// The columns that the expressions under `keys` name.
fn columns(fields: &Map<String, Value>, keys: &[&str]) -> impl Iterator<Item = ColumnRef> {
    keys.iter()
        .filter_map(|key| fields.get(*key))
        .flat_map(expressions)
        .flat_map(expression::columns)
}

/// The expressions in a value: one, or a list of them.
pub(super) fn expressions(value: &Value) -> Vec<&str> {
    match value {
        Value::String(expression) => vec![expression],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use serde_json::json;

    use super::*;

    fn known(plan: &Value) -> Known {
        let mut known = Known::default();
        known.add(0, plan.as_object().unwrap());
        known
    }

    fn table(schema: Option<&str>, name: &str) -> Table {
        Table {
            schema: schema.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    #[test]
    fn columns_belong_to_the_table_behind_their_alias() {
        let known = known(&json!({
            "Node Type": "Nested Loop",
            "Join Filter": "(c.id = o.customer_id)",
            "Plans": [
                {"Node Type": "Seq Scan", "Relation Name": "customers", "Alias": "c", "Filter": "(name = ?)"},
                {
                    "Node Type": "Seq Scan", "Relation Name": "orders", "Alias": "o",
                    "Filter": "(x.gone IS NULL)", "Output": ["o.id", "o.total"]
                }
            ]
        }));
        let (customers, orders) = (table(None, "customers"), table(None, "orders"));
        let columns = |table| {
            known.tables[table]
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
        };
        assert_eq!(columns(&customers), ["id", "name"]);
        assert_eq!(columns(&orders), ["customer_id"]);
        assert!(known.has_output(&orders, "total") && !known.has_column(&orders, "total"));
        let scan = known.scan(0, "0.1").unwrap();
        assert_eq!(scan.table, orders);
        assert_eq!(scan.columns, BTreeSet::from(["customer_id".to_owned()]));
        assert!(known.scan(0, "0").is_none() && known.scan(1, "0.1").is_none());
    }

    #[test]
    fn a_table_is_meant_by_its_whole_name() {
        let scan = |schema| json!({"Relation Name": "orders", "Alias": schema, "Schema": schema});
        let known = known(&json!({"Plans": [scan("a"), scan("b")]}));
        assert_eq!(
            known.table(Some("a"), "orders"),
            Some(&table(Some("a"), "orders"))
        );
        assert_eq!(known.table(None, "orders"), None);
        assert_eq!(known.table(Some("a"), "orderz"), None);
        assert_eq!(known.table(Some("c"), "orders"), None);
    }
}

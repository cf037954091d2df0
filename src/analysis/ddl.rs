//! The one writer of commands that plantail shows: CREATE INDEX, ANALYZE, CREATE STATISTICS, SET. Nothing here is ever executed.
//!
//! In: names that occur in a plan, and checked values. Out: SQL text with every name quoted where PostgreSQL needs it. A name that can't be shown
//! safely (control or bidirectional characters, longer than PostgreSQL allows) gives no command at all. Must not know: who proposes it.

use crate::model::{stable_id, visible::acts_on_display};

/// A table as a command names it. The schema is known only where auto_explain.log_verbose is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    pub schema: Option<String>,
    pub name: String,
}

/// A key column of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexColumn {
    pub name: String,
    pub descending: bool,
}

/// A B-tree index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub table: Table,
    pub columns: Vec<IndexColumn>,
    pub include: Vec<String>,
}

/// A command, with the part of it that says what it is about: two proposals are the same when that part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub target: String,
    pub sql: String,
}

/// Bytes of a name in PostgreSQL (NAMEDATALEN - 1).
pub const MAX_NAME_BYTES: usize = 63;

/// `CREATE INDEX CONCURRENTLY ON table (columns) INCLUDE (columns)`; PostgreSQL chooses the name.
pub fn create_index(index: &Index) -> Option<Command> {
    let mut columns = Vec::with_capacity(index.columns.len());
    for column in &index.columns {
        let order = if column.descending { " DESC" } else { "" };
        columns.push(format!("{}{order}", identifier(&column.name)?));
    }
    if columns.is_empty() {
        return None;
    }
    let mut target = format!("{} ({})", table(&index.table)?, columns.join(", "));
    if !index.include.is_empty() {
        target.push_str(&format!(" INCLUDE ({})", names(&index.include)?));
    }
    let sql = format!("CREATE INDEX CONCURRENTLY ON {target}");
    Some(Command { target, sql })
}

/// `ANALYZE table` or `ANALYZE table (columns)`.
pub fn analyze(of: &Table, columns: &[String]) -> Option<Command> {
    let mut target = table(of)?;
    if !columns.is_empty() {
        target.push_str(&format!(" ({})", names(columns)?));
    }
    let sql = format!("ANALYZE {target}");
    Some(Command { target, sql })
}

/// `CREATE STATISTICS name ON columns FROM table`, and the ANALYZE that fills it. The name is made of table and columns, since PostgreSQL
/// asks for one up to version 15.
pub fn create_statistics(of: &Table, columns: &[String]) -> Option<Command> {
    if columns.len() < 2 {
        return None;
    }
    let table = table(of)?;
    let target = format!("{table} ({})", names(columns)?);
    let mut name = format!("{}_{}_stat", of.name, columns.join("_"));
    if name.len() > MAX_NAME_BYTES {
        name = format!("plantail_{:016x}_stat", stable_id(&[target.as_bytes()]));
    }
    let sql = format!(
        "CREATE STATISTICS {} ON {} FROM {table}; ANALYZE {table}",
        identifier(&name)?,
        names(columns)?
    );
    Some(Command { target, sql })
}

/// `SET name = 'value'` for the session. `name` is one of plantail's own allow-lists.
pub fn set(name: &'static str, value: &str) -> Option<Command> {
    if value.chars().any(acts_on_display) {
        return None;
    }
    Some(Command {
        target: name.to_owned(),
        sql: format!("SET {name} = '{}'", value.replace('\'', "''")),
    })
}

fn table(table: &Table) -> Option<String> {
    let name = identifier(&table.name)?;
    match &table.schema {
        Some(schema) => Some(format!("{}.{name}", identifier(schema)?)),
        None => Some(name),
    }
}

fn names(columns: &[String]) -> Option<String> {
    let quoted: Option<Vec<String>> = columns.iter().map(|column| identifier(column)).collect();
    Some(quoted?.join(", "))
}

/// A name as SQL needs it: bare where that is safe, else in double quotes (SQL Syntax, 4.1.1).
fn identifier(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(acts_on_display) {
        return None;
    }
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED_WORDS.split(' ').any(|word| word == name);
    Some(if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    })
}

/// Words that can't be a bare name somewhere in these commands: reserved, type or function name, and column name keywords (Appendix C,
/// PostgreSQL 13 to 18).
const RESERVED_WORDS: &str = "\
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case \
    cast char character check coalesce collate collation column concurrently constraint create cross \
    current_catalog current_date current_role current_schema current_time current_timestamp current_user dec \
    decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign \
    freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect \
    interval into is isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query \
    json_scalar json_serialize json_table json_value lateral leading least left like limit localtime \
    localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset on \
    only or order out outer overlaps overlay placing position precision primary real references returning right \
    row select session_user setof similar smallint some substring symmetric system_user table tablesample then \
    time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when where \
    window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot \
    xmlserialize xmltable";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(index: &[&str], expected: Option<&str>) {
        let [name, columns @ ..] = index else {
            panic!("a table first")
        };
        let (schema, name) = match name.split_once('/') {
            Some((schema, name)) => (Some(schema.to_owned()), name),
            None => (None, *name),
        };
        let index = Index {
            table: Table {
                schema,
                name: name.to_owned(),
            },
            columns: columns
                .iter()
                .map(|column| IndexColumn {
                    name: column.trim_end_matches('-').to_owned(),
                    descending: column.ends_with('-'),
                })
                .collect(),
            include: Vec::new(),
        };
        let command = create_index(&index).map(|command| command.sql);
        assert_eq!(command.as_deref(), expected);
    }

    #[test]
    fn names_are_quoted_where_needed() {
        check(
            &["orders", "customer_id", "created_at-"],
            Some("CREATE INDEX CONCURRENTLY ON orders (customer_id, created_at DESC)"),
        );
        check(
            &["Shop/Order", "user", "Weird \"Col\""],
            Some(
                "CREATE INDEX CONCURRENTLY ON \"Shop\".\"Order\" (\"user\", \"Weird \"\"Col\"\"\")",
            ),
        );
        check(
            &["t); drop table x; --", "a"],
            Some("CREATE INDEX CONCURRENTLY ON \"t); drop table x; --\" (a)"),
        );
        check(
            &["заказы", "a"],
            Some("CREATE INDEX CONCURRENTLY ON \"заказы\" (a)"),
        );
    }

    #[test]
    fn names_that_cannot_be_shown_give_no_command() {
        check(&["orders\u{202e}", "a"], None);
        check(&["orders", "a\u{200b}"], None);
        check(&["orders", "a\nb"], None);
        check(&["orders", ""], None);
        check(&["orders", &"a".repeat(64)], None);
        check(&["orders"], None);
    }

    #[test]
    fn the_other_commands_are_written_the_same_way() {
        let table = Table {
            schema: None,
            name: "orders".to_owned(),
        };
        let columns = ["city".to_owned(), "Zip".to_owned()];
        let sql = |command: Option<Command>| command.map(|command| command.sql);
        assert_eq!(
            sql(analyze(&table, &columns)).as_deref(),
            Some("ANALYZE orders (city, \"Zip\")")
        );
        assert_eq!(
            sql(create_statistics(&table, &columns)).as_deref(),
            Some(
                "CREATE STATISTICS \"orders_city_Zip_stat\" ON city, \"Zip\" FROM orders; ANALYZE orders"
            )
        );
        assert_eq!(
            sql(set("work_mem", "64MB")).as_deref(),
            Some("SET work_mem = '64MB'")
        );
    }
}

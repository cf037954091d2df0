//! Logs as PostgreSQL writes them to stderr with `log_line_prefix = '%m [%p] %q%u@%d '`.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use jiff::{SignedDuration, Timestamp};

/// The longest record that plantail takes whole, and how much of the log comes before the next one.
const LONG_BYTES: usize = 16 << 20;
const LONG_EVERY_BYTES: u64 = 128_000_000;

/// A statement of one of 40 queries by one of eight sessions.
pub(super) fn duration_line(number: u64, at: Timestamp) -> String {
    format!(
        "{} LOG:  duration: {}.{:03} ms  statement: {}\n",
        prefix(number, at),
        number % 5,
        number % 1000,
        statement(number)
    )
}

fn prefix(number: u64, at: Timestamp) -> String {
    let at = at.strftime("%Y-%m-%d %H:%M:%S.%3f");
    format!("{at} UTC [{}] app@shop", 4700 + number % 8)
}

fn statement(number: u64) -> String {
    let (query, id) = (number.wrapping_mul(2_654_435_761) % 40, number % 9973);
    format!(
        "select o.id, o.total, c.name from orders o join customers c on c.id = o.customer_id where o.region_{query} = {id} and o.state = 'open'"
    )
}

/// Writes a log of at least so many bytes: statements, every other one with a plan of auto_explain, 500 a second; some errors; now and then a
/// statement of 16 MiB.
pub(super) fn write(path: &Path, size_bytes: u64) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let begin: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    let (mut written, mut long_at) = (0, LONG_EVERY_BYTES / 2);
    let mut text = String::new();
    for number in 0.. {
        let at = begin + SignedDuration::from_millis(number as i64 * 2);
        text.clear();
        if number % 2 == 0 {
            plan(&mut text, number, at);
        }
        text.push_str(&duration_line(number, at));
        if number % 100 == 0 {
            let prefix = prefix(number, at);
            writeln!(
                text,
                "{prefix} ERROR:  relation \"nothing_{}\" does not exist at character 15",
                number % 7
            )
            .unwrap();
            writeln!(
                text,
                "{prefix} STATEMENT:  select 1 from nothing_{}",
                number % 7
            )
            .unwrap();
        }
        if written >= long_at {
            long_at += LONG_EVERY_BYTES;
            long_line(&mut text, number, at);
        }
        out.write_all(text.as_bytes()).unwrap();
        written += text.len() as u64;
        if written >= size_bytes {
            break;
        }
    }
    out.flush().unwrap();
}

fn long_line(text: &mut String, number: u64, at: Timestamp) {
    let begin = text.len();
    write!(
        text,
        "{} LOG:  duration: 900.000 ms  statement: insert into events values (0, 'a')",
        prefix(number, at)
    )
    .unwrap();
    for row in 0.. {
        let more = format!(", ({row}, 'an event''s payload of some length {row}')");
        if text.len() - begin + more.len() + 100 > LONG_BYTES {
            break;
        }
        text.push_str(&more);
    }
    text.push('\n');
}

fn plan(text: &mut String, number: u64, at: Timestamp) {
    let rows = number % 50;
    write!(
        text,
        "{prefix} LOG:  duration: {}.{:03} ms  plan:\n\t{{\n\t  \"Query Text\": \"{}\",\n\t  \"Plan\": {{\n",
        number % 5,
        number % 1000,
        statement(number),
        prefix = prefix(number, at),
    )
    .unwrap();
    let node = |text: &mut String, indent: &str, node: &str, relation: &str, last: &str| {
        writeln!(
            text,
            "\t{indent}\"Node Type\": \"{node}\",\n\t{indent}\"Parallel Aware\": false,\n\t{indent}\"Async Capable\": false,{relation}\n\
             \t{indent}\"Startup Cost\": 0.43,\n\t{indent}\"Total Cost\": {rows}84.31,\n\t{indent}\"Plan Rows\": {rows},\n\t{indent}\"Plan Width\": 44,\n\
             \t{indent}\"Actual Startup Time\": 0.012,\n\t{indent}\"Actual Total Time\": 0.240,\n\t{indent}\"Actual Rows\": {rows},\n\
             \t{indent}\"Actual Loops\": 1,\n\t{indent}\"Shared Hit Blocks\": 1{rows},\n\t{indent}\"Shared Read Blocks\": 0{last}"
        )
        .unwrap();
    };
    let table = |table: &str| {
        format!(
            "\n\t        \"Parent Relationship\": \"Outer\",\n\t        \"Index Name\": \"{table}_pkey\",\n\t        \"Relation Name\": \"{table}\",\n\
             \t        \"Alias\": \"{table}\",\n\t        \"Index Cond\": \"(id = 17)\","
        )
    };
    node(
        text,
        "    ",
        "Nested Loop",
        "",
        ",\n\t    \"Plans\": [\n\t      {",
    );
    node(text, "        ", "Index Scan", &table("orders"), "");
    text.push_str("\t      },\n\t      {\n");
    node(text, "        ", "Index Scan", &table("customers"), "");
    text.push_str("\t      }\n\t    ]\n\t  }\n\t}\n");
}

//! Which statements are one query: ours by normalized text against the server's own query identifier.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use plantail::statement::{
    lexer::{Backslash, TokenKind, tokens},
    message::{self, Message},
    normalize::normalize,
};
use serde_json::Value;

use crate::{plantail::corpus_case, postgres::Postgres};

/// Statements by the server's identity (database and query identifier), each with the texts that they were logged with.
type ByServer = BTreeMap<(String, i64), BTreeSet<String>>;

/// The statements of a jsonlog that carry a query identifier of their own: simple statements, executes, and plans with theirs in the body.
/// Strings of several statements are left out: the log tells one identifier for all of them.
fn statements(log: &str) -> ByServer {
    let mut found = ByServer::new();
    for line in log.lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let database = record["dbname"].as_str().unwrap_or_default().to_owned();
        let identifier = record["query_id"].as_i64().unwrap_or_default();
        let prepared = record["detail"]
            .as_str()
            .is_some_and(|detail| detail.starts_with("prepare: "));
        let raised = record["context"]
            .as_str()
            .is_some_and(|context| context.contains(" at RAISE"));
        if raised {
            continue;
        }
        let (identifier, text) = match message::read(record["message"].as_str().unwrap_or_default())
        {
            Some(Message::Plan { body, .. }) => {
                let Ok(plan) = serde_json::from_str::<Value>(body) else {
                    continue;
                };
                let identifier = plan["Query Identifier"].as_i64().unwrap_or_default();
                let text = plan["Query Text"].as_str().unwrap_or_default().to_owned();
                (identifier, text)
            }
            Some(Message::Duration {
                kind,
                text: Some(text),
                ..
            }) if !prepared => {
                if !["statement", "execute"].contains(&kind.as_str()) {
                    continue;
                }
                (identifier, text.to_owned())
            }
            _ => continue,
        };
        if identifier != 0 && normalize(&text, Backslash::Plain).statement_count == 1 {
            found
                .entry((database, identifier))
                .or_default()
                .insert(text);
        }
    }
    found
}

/// How our grouping differs: each split is the server's one query that is several of ours, each merge is one of ours that is several of
/// the server's.
#[derive(Debug, Default)]
struct Differences {
    server_queries: usize,
    our_queries: usize,
    splits: BTreeSet<Vec<String>>,
    merges: BTreeMap<String, BTreeSet<String>>,
}

fn compare(found: &ByServer) -> Differences {
    let mut ours: BTreeMap<(&str, String), BTreeMap<i64, &str>> = BTreeMap::new();
    let mut differences = Differences {
        server_queries: found.len(),
        ..Differences::default()
    };
    for ((database, identifier), texts) in found {
        let mut normalized = BTreeSet::new();
        for text in texts {
            let ours_text = normalize(text, Backslash::Plain).text;
            ours.entry((database, ours_text.clone()))
                .or_default()
                .insert(*identifier, text);
            normalized.insert(ours_text);
        }
        if normalized.len() > 1 {
            differences.splits.insert(normalized.into_iter().collect());
        }
    }
    differences.our_queries = ours.len();
    for ((_, text), server) in ours {
        if server.len() > 1 {
            let samples = server.values().map(|text| (*text).to_owned()).collect();
            differences.merges.insert(text, samples);
        }
    }
    differences
}

fn read(path: &Path) -> String {
    let mut bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_end(&mut unpacked)
            .unwrap();
        bytes = unpacked;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What makes the texts of one of the server's queries differ.
fn split_kind(texts: &[&str]) -> &'static str {
    let without_labels: BTreeSet<String> = texts.iter().map(|text| without_labels(text)).collect();
    match () {
        () if texts.iter().all(|text| text.starts_with("lock ")) => "words that say the default",
        () if is_utility(texts) => "a utility statement and the query in it",
        () if without_labels.len() == 1 => "labels of columns",
        () if texts.iter().all(|text| text.contains(" from ")) => "tables with the same alias",
        () => "unexplained",
    }
}

/// What makes the statements of one of our queries differ for the server.
fn merge_kind(statements: &[&str]) -> &'static str {
    let forms: BTreeSet<String> = statements.iter().map(|text| forms(text)).collect();
    let bound = forms.iter().filter(|forms| forms.contains('p')).count();
    let lengths: BTreeSet<usize> = forms.iter().map(String::len).collect();
    match () {
        () if is_utility(statements) => "a utility statement and the query in it",
        () if statements.iter().all(|text| text.starts_with("SET ")) => "values of a setting",
        () if bound > 0 && bound < forms.len() => "parameters and constants",
        () if lengths.len() > 1 => "lengths of lists",
        () if bound > 0 => "types of parameters",
        () if forms.len() > 1 => "types of constants",
        () => "unexplained",
    }
}

fn is_utility(texts: &[&str]) -> bool {
    texts.iter().any(|text| {
        let first = text.split([' ', '(', '\n']).next().unwrap_or_default();
        ["copy", "create", "declare", "explain", "prepare"]
            .iter()
            .any(|word| first.eq_ignore_ascii_case(word))
    })
}

/// Normalized text without `as LABEL`.
fn without_labels(text: &str) -> String {
    let mut words = text.split(' ');
    let mut kept = String::new();
    while let Some(word) = words.next() {
        if word == "as" {
            let label = words.next().unwrap_or_default();
            kept.extend(label.ends_with(',').then_some(','));
        } else {
            kept.push(' ');
            kept.push_str(word);
        }
    }
    kept
}

/// The constants and parameters of a statement in their order, a letter for each.
fn forms(text: &str) -> String {
    let letter = |kind| match kind {
        TokenKind::String | TokenKind::DollarString => Some('s'),
        TokenKind::Number => Some('n'),
        TokenKind::Parameter => Some('p'),
        _ => None,
    };
    tokens(text)
        .filter_map(|token| letter(token.kind))
        .collect()
}

/// How many queries there are by the server's identifiers and by our text, and how many splits and merges of each kind.
fn differences_in(logs: &[PathBuf]) -> (usize, usize, BTreeMap<String, usize>) {
    let (mut server_queries, mut our_queries) = (0, 0);
    let mut kinds = BTreeMap::new();
    for log in logs {
        let differences = compare(&statements(&read(log)));
        server_queries += differences.server_queries;
        our_queries += differences.our_queries;
        let mut count = |kind: String| *kinds.entry(kind).or_insert(0) += 1;
        for split in &differences.splits {
            let texts: Vec<&str> = split.iter().map(String::as_str).collect();
            count(format!("split: {}", split_kind(&texts)));
        }
        for merge in differences.merges.values() {
            let statements: Vec<&str> = merge.iter().map(String::as_str).collect();
            count(format!("merge: {}", merge_kind(&statements)));
        }
    }
    (server_queries, our_queries, kinds)
}

/// Logs of PostgreSQL 15 to 18: every difference is of a kind that docs/normalisation.md explains.
#[test]
fn grouping_of_real_logs_against_the_servers_identifiers() {
    let cases = [
        "v15-json-full",
        "v16-json-full",
        "v17-json-full",
        "v18-json-full",
        "nasty-v15",
        "nasty-v16",
        "nasty-v17",
        "nasty-v18",
    ];
    let logs: Option<Vec<_>> = cases
        .iter()
        .map(|case| Some(corpus_case(case)?.join("twin/postgresql.json.gz")))
        .collect();
    if let Some(logs) = logs {
        insta::assert_debug_snapshot!(differences_in(&logs));
    }
}

#[test]
fn grouping_of_the_sample_logs_against_the_servers_identifiers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs/shop-catalog");
    let mut logs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    logs.sort();
    insta::assert_debug_snapshot!(differences_in(&logs));
}

/// A server of our own, and every way of writing a statement that we know it to take differently.
#[test]
fn grouping_of_a_live_server_differs_as_documented() {
    let Some(server) = Postgres::start(
        "shared_preload_libraries = 'auto_explain, pg_stat_statements'\nlog_destination = 'jsonlog'\nauto_explain.log_min_duration = -1",
    ) else {
        return;
    };
    if server.psql(&["show server_version_num"]).get(..2) != Some("15") {
        eprintln!("skipped: what differs is written down for PostgreSQL 15");
        return;
    }
    let run: Vec<&str> = include_str!("grouping.sql")
        .lines()
        .filter(|line| !line.starts_with("-- "))
        .collect();
    server.psql(&run);
    for protocol in ["simple", "extended", "prepared"] {
        server.pgbench(
            protocol,
            "\\set a 5\nselect b as bench from t where a = :a;\n",
            3,
        );
    }
    let log = read(&server.log_directory().join("postgresql.json"));
    let found = statements(&log);
    let identifiers = server.psql(&[
        "create extension pg_stat_statements",
        "select queryid from pg_stat_statements",
    ]);
    let known: BTreeSet<i64> = identifiers
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    for ((_, identifier), texts) in &found {
        assert!(
            known.contains(identifier),
            "not in pg_stat_statements: {texts:?}"
        );
    }
    assert!(!log.contains("\"ERROR\""), "every statement runs: {log}");
    insta::assert_debug_snapshot!(compare(&found));
}

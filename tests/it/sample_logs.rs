use std::{collections::BTreeSet, fs, path::Path};

use crate::plantail::Home;

/// The query that the interface promises to answer as it stands.
const PROMISED: &str = "query { queries(limit: 5) { id normalizedSql totalExecutions
  analyses { executionTimeMs seqScanDetected } recommendations { severity confidenceScore summary } } }";

#[test]
fn a_visitor_sees_three_servers_and_what_is_slow_on_them() {
    let home = Home::new();
    let watch = home.watch(&["sample-logs"]);
    for server in ["shop-primary", "shop-reporting", "shop-catalog"] {
        assert!(
            watch.summary.contains(server),
            "{server}: {}",
            watch.summary
        );
    }
    for heading in ["New", "CREATE INDEX CONCURRENTLY"] {
        assert!(
            watch.summary.contains(heading),
            "{heading}: {}",
            watch.summary
        );
    }
    let data = watch.query(PROMISED);
    let queries = data["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 5);
    let rows = |name: &str| {
        queries
            .iter()
            .map(|query| query[name].as_array().unwrap().len())
            .sum::<usize>()
    };
    assert!(
        rows("analyses") > 0 && rows("recommendations") > 0,
        "{data}"
    );
    assert_eq!(watch.terminate().0, Some(0));
    assert_eq!(
        home.query(PROMISED),
        data,
        "the store answers the same without the daemon"
    );

    let again = home.watch(&["sample-logs"]);
    assert!(again.summary.contains("nothing new"), "{}", again.summary);
    assert_eq!(again.query(PROMISED), data);
}

/// Names and numbers of people that the workload was run with.
#[test]
fn no_literal_of_the_sample_logs_reaches_the_store() {
    let home = Home::new();
    home.import(&["sample-logs"]);
    let logs = files_of(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("sample-logs")
            .as_path(),
    );
    let mut literals = BTreeSet::new();
    for log in &logs {
        for word in log.split(|c: char| !(c.is_ascii_alphanumeric() || "@._-".contains(c))) {
            if word.contains("@example.") {
                literals.insert(word.to_owned());
            }
        }
    }
    assert!(
        literals.len() > 10,
        "the sample logs hold e-mail addresses: {literals:?}"
    );
    let dump = home.query(
        "{ queries(limit: 50) { normalizedSql executions(limit: 5) { plans { document } } analyses(limit: 2) { findings { message } }
           recommendations(limit: 5) { summary explanation command } } }",
    )
    .to_string();
    let store = fs::read(home.path("store.db")).unwrap();
    for literal in &literals {
        assert!(!dump.contains(literal.as_str()), "{literal}");
        assert!(
            memchr::memmem::find(&store, literal.as_bytes()).is_none(),
            "{literal}"
        );
    }
}

fn files_of(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(files_of(&path));
        } else if ["log", "csv", "json"]
            .iter()
            .any(|ending| path.extension().is_some_and(|e| e == *ending))
        {
            texts.push(String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned());
        }
    }
    texts
}

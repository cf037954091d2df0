//! Plans of real servers, PostgreSQL 13 to 18: every one is read, none keeps a literal, and a shape outlives an upgrade.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Read as _,
    path::PathBuf,
};

use plantail::{
    model::plan::{PlanNode, PlanShape},
    plan::{self, ReadPlan},
    statement::{
        lexer::{TokenKind, tokens},
        redact,
    },
};

const FULL_CASES: [&str; 6] = [
    "v13-json-full",
    "v14-json-full",
    "v15-json-full",
    "v16-json-full",
    "v17-json-full",
    "v18-json-full",
];

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn real_plans_of_13_to_18() {
    let mut shapes: HashMap<(String, String), BTreeMap<&str, Vec<PlanShape>>> = HashMap::new();
    for case in FULL_CASES {
        let Some(bodies) = corpus_plans(case) else {
            eprintln!("skipped: the logs of case {case} are not there");
            return;
        };
        let truth = fs::read_to_string(corpus_case(case).unwrap().join("truth.json")).unwrap();
        let truth: serde_json::Value = serde_json::from_str(&truth).unwrap();
        let mut by_root_node: BTreeMap<String, u64> = BTreeMap::new();
        for body in bodies {
            let found = plan::read(&body, &redact::expression)
                .unwrap_or_else(|error| panic!("{case}: {error}\n{body}"));
            *by_root_node
                .entry(found.plan.root.node_type.clone())
                .or_default() += 1;
            assert_no_literal(&found);
            shapes
                .entry((found.query_text, outline(&found.plan.root)))
                .or_default()
                .entry(case)
                .or_default()
                .push(found.plan.shape);
        }
        let expected = truth["plan_events"]["by_root_node"].clone();
        assert_eq!(
            serde_json::to_value(by_root_node).unwrap(),
            expected,
            "{case}"
        );
    }
    let mut compared = 0;
    for ((query_text, _), by_case) in shapes {
        let mut found: Vec<_> = by_case.values().flatten().collect();
        found.sort_unstable();
        found.dedup();
        compared += usize::from(by_case.len() > 1);
        assert_eq!(found.len(), 1, "{query_text}: {by_case:?}");
    }
    assert!(
        compared > 100,
        "only {compared} plans occur in several releases"
    );
}

/// Which plans of two releases must have one shape: those whose nodes, relations, indexes and number of sort keys are the same.
fn outline(root: &PlanNode) -> String {
    let mut outline = String::new();
    root.walk(&mut |path, node| {
        outline += &format!(
            "{path} {} {:?} {:?} {:?} {:?} {}",
            node.node_type,
            node.relation_name,
            node.alias,
            node.index_name,
            node.join_type,
            node.sort_key.len()
        );
    });
    outline
}

/// No string constant of the statement with more than three characters may be left in the document, other than as part of a longer name.
fn assert_no_literal(plan: &ReadPlan) {
    let document = &plan.plan.document;
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    for token in tokens(&plan.query_text) {
        let literal = match token.kind {
            TokenKind::String => token.text.trim_matches('\''),
            TokenKind::DollarString => token.text.trim_matches('$'),
            _ => continue,
        };
        let left = literal.chars().count() > 3
            && document.match_indices(literal).any(|(at, _)| {
                let before = document[..at].chars().next_back();
                let after = document[at + literal.len()..].chars().next();
                !before.is_some_and(in_name) && !after.is_some_and(in_name)
            });
        assert!(!left, "{literal} in {document}");
    }
}

/// The bodies of the plans in one case's stderr log; `None` where the logs aren't there.
pub(crate) fn corpus_plans(case: &str) -> Option<Vec<String>> {
    let folder = corpus_case(case)?.join("log");
    let mut bodies = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "gz") {
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice())
                .read_to_end(&mut unpacked)
                .unwrap();
            bytes = unpacked;
        }
        bodies.extend(plan_bodies(&String::from_utf8_lossy(&bytes)));
    }
    Some(bodies)
}

/// The bodies of the plan records of a stderr log, without the tabs of their lines.
pub(crate) fn plan_bodies(log: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut lines = log.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        if !line.contains("LOG:  duration: ") || !line.ends_with(" ms  plan:\n") {
            continue;
        }
        let mut body = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
            body.push_str(&line[1..]);
        }
        bodies.push(body);
    }
    bodies
}

pub(crate) fn corpus_case(case: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/corpus/cases")
        .join(case);
    folder.is_dir().then_some(folder)
}

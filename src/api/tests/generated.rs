//! Generated documents: what the planner loads for them answers as a load of everything would.

use juniper::{ValidatedOperation, Variables};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    api::{loaded::Loaded, loader::load, planner::plan, schema::SCHEMA},
    digest::{self, fixture::Fixture},
};

/// What is loaded for a document.
fn loaded_for(fixture: &Fixture, document: &str) -> Loaded {
    let plan = plan(document, None, &Variables::new(), &SCHEMA).unwrap();
    let summary = digest::Config::default();
    let loaded = fixture.store.read(|reader| load(reader, &plan, &summary));
    loaded.unwrap()
}

/// Data and errors of a document over what was loaded, for it or for another one.
fn resolve(loaded: &Loaded, document: &str) -> (Value, Value) {
    let operation = ValidatedOperation::new(document, None, &SCHEMA).unwrap();
    let (data, errors) = operation.execute_sync(&Variables::new(), loaded).unwrap();
    (json!(data), json!(errors))
}

/// Every field that needs loading, `levels` deep.
fn everything_of_query(levels: u32) -> String {
    if levels == 0 {
        return "id server { name } incidents(limit: 1000) { kind }".to_owned();
    }
    let query = everything_of_query(levels - 1);
    format!(
        "id server {{ name }} executions(limit: 1000) {{ id plans {{ id }} findings {{ rule }} incidents(limit: 1000) {{ kind }} query {{ {query} }} }}
         incidents(limit: 1000) {{ kind }} analyses(limit: 1000) {{ plans {{ id }} findings {{ rule }} query {{ {query} }} }}
         recommendations(limit: 1000) {{ id query {{ {query} }} }}"
    )
}

/// A selection of a query's fields; each byte decides one thing. Keys are made of name and limit, so that whatever has the same key can be
/// merged, and much has.
fn selection_of_query(
    bytes: &mut impl Iterator<Item = u8>,
    levels: u32,
    fragments: &mut Vec<String>,
) -> String {
    let mut fields = vec!["id".to_owned()];
    for _ in 0..bytes.next().unwrap_or(0) % 4 {
        let limit = bytes.next().unwrap_or(0) % 4 + 1;
        let field = match bytes.next().unwrap_or(0) % 5 {
            4 => format!("i{limit}: incidents(limit: {limit}) {{ kind }}"),
            0 => "server { name }".to_owned(),
            _ if levels == 0 => "normalizedSql".to_owned(),
            1 => {
                let below = selection_of_run(bytes, levels, fragments);
                format!("e{limit}: executions(limit: {limit}) {{ id {below} }}")
            }
            2 => {
                let below = selection_of_run(bytes, levels, fragments);
                format!("a{limit}: analyses(limit: {limit}) {{ executionTimeMs {below} }}")
            }
            _ => {
                let below = selection_of_query(bytes, levels - 1, fragments);
                format!("r{limit}: recommendations(limit: {limit}) {{ id query {{ {below} }} }}")
            }
        };
        fields.push(match bytes.next().unwrap_or(0) % 4 {
            0 => format!("... on LoggedQuery {{ {field} }}"),
            1 => {
                let name = format!("F{}", fragments.len());
                fragments.push(format!("fragment {name} on LoggedQuery {{ {field} }}"));
                format!("...{name}")
            }
            2 => format!("{field} ... @include(if: true) {{ {field} }}"),
            _ => field,
        });
    }
    fields.join(" ")
}

/// A selection of what executions and analyses have in common.
fn selection_of_run(
    bytes: &mut impl Iterator<Item = u8>,
    levels: u32,
    fragments: &mut Vec<String>,
) -> String {
    let mut fields = String::new();
    for _ in 0..bytes.next().unwrap_or(0) % 3 {
        fields.push_str(&match bytes.next().unwrap_or(0) % 3 {
            0 => "plans { id } ".to_owned(),
            1 => "findings { rule } ".to_owned(),
            _ => format!(
                "query {{ {} }} ",
                selection_of_query(bytes, levels - 1, fragments)
            ),
        });
    }
    fields
}

#[test]
fn a_planned_load_answers_as_a_load_of_everything() {
    let fixture = Fixture::three_servers(2);
    let everything = format!("{{ queries(limit: 7) {{ {} }} }}", everything_of_query(3));
    let everything = loaded_for(&fixture, &everything);
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(bytes in prop::collection::vec(any::<u8>(), 0..80))| {
        let mut bytes = bytes.into_iter();
        let mut fragments = Vec::new();
        let one = selection_of_query(&mut bytes, 3, &mut fragments);
        let other = selection_of_query(&mut bytes, 3, &mut fragments);
        let document = format!(
            "{{ queries(limit: 7) {{ {one} }} b: queries(limit: 7) {{ id }} queries(limit: 7) {{ {other} }} }} {}",
            fragments.join(" ")
        );
        let (data, errors) = resolve(&loaded_for(&fixture, &document), &document);
        prop_assert_eq!(&errors, &json!([]), "{}", document);
        prop_assert_eq!(data, resolve(&everything, &document).0, "{}", document);
    });
}

/// A resolver never takes what wasn't loaded for what isn't there.
#[test]
fn what_was_not_loaded_is_an_error() {
    let fixture = Fixture::three_servers(1);
    let loaded = loaded_for(&fixture, "{ queries { id executions(limit: 2) { id } } }");
    for document in [
        "{ servers { id } }",
        "{ queries(limit: 3) { id } }",
        "{ queries { analyses { executionTimeMs } } }",
        "{ queries { executions(limit: 3) { id } } }",
        "{ queries { executions(limit: 1) { plans { id } } } }",
        "{ queries { executions(limit: 1) { nestedExecutions { id } } } }",
        "{ queries { server { name } } }",
    ] {
        let (data, errors) = resolve(&loaded, document);
        assert_eq!(
            errors[0]["extensions"]["code"],
            json!("INTERNAL"),
            "{document}"
        );
        assert!(
            data.as_object().unwrap().values().all(Value::is_null),
            "{data}"
        );
    }
}

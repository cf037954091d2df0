//! auto_explain's plans: what was logged of one executed statement, as one tree.
//!
//! The body of a plan record comes in, in any auto_explain.log_format; JSON goes out as a plan tree, its shape and a document for the
//! store, all without literals. How a literal is taken out of a condition is the caller's: this stage knows plans and no SQL.

mod document;
#[cfg(test)]
mod format_tests;
mod json;
mod keys;
mod shape;
mod text;
mod tree;
mod value;
mod xml;
mod yaml;

use crate::model::plan::{Plan, PlanFormat};

/// How deep objects and arrays of a plan may nest: a join of 250 tables. What is deeper is an attack on the stack.
const MAX_DEPTH: usize = 600;

/// A plan that has been read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadPlan {
    pub format: PlanFormat,
    /// The statement as it was sent, for pairing. It holds literals and is never stored.
    pub query_text: String,
    pub plan: Plan,
}

/// Why a plan couldn't be read. Messages hold nothing of the plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a plan that nests deeper than {MAX_DEPTH} levels is not read")]
    TooDeep,
    #[error("the plan is not whole JSON; the log may be torn")]
    Json(#[source] serde_json::Error),
    #[error("the plan is not whole text; the log may be torn")]
    Text,
    #[error("the plan is not whole YAML; the log may be torn")]
    Yaml,
    #[error(
        "the plan is not well-formed XML: the log may be torn, or the statement holds control characters, which XML has no way to write; \
         with auto_explain.log_format = 'json' it would be read"
    )]
    Xml,
    #[error("the plan has no \"{0}\" where auto_explain writes one")]
    Missing(&'static str),
}

/// Reads the body of a plan record. `redact` takes the literals out of a condition, expression or statement.
pub fn read(body: &str, redact: &dyn Fn(&str) -> String) -> Result<ReadPlan, Error> {
    let format = format_of(body);
    let value = match format {
        PlanFormat::Json => json::parse(body),
        PlanFormat::Text => text::parse(body),
        PlanFormat::Xml => xml::parse(body),
        PlanFormat::Yaml => yaml::parse(body),
    }?;
    document::read(format, value, redact)
}

/// The auto_explain.log_format of a plan record's body. JSON, XML and YAML show by how they begin; what is none of them is text.
pub fn format_of(body: &str) -> PlanFormat {
    let body = body.trim_ascii_start();
    if body.starts_with('{') {
        PlanFormat::Json
    } else if body.starts_with("<explain") {
        PlanFormat::Xml
    } else if begins_as_yaml(body) {
        PlanFormat::Yaml
    } else {
        PlanFormat::Text
    }
}

/// `Query Text: "…"`, then `Query Parameters: "…"` or `Plan: `. The first line alone doesn't tell: the text of an assignment in PL/pgSQL
/// begins with its target, which may be quoted.
fn begins_as_yaml(body: &str) -> bool {
    let Some((statement, rest)) = body.split_once('\n') else {
        return false;
    };
    statement.starts_with("Query Text: \"")
        && (rest.starts_with("Plan:") || rest.starts_with("Query Parameters: \""))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::model::plan::PlanNode;
    use proptest::prelude::*;

    fn read_redacted(body: &str) -> Result<ReadPlan, Error> {
        read(body, &|text| {
            text.replace("'secret'", "?").replace("4711", "?")
        })
    }

    #[test]
    fn a_plan_of_18() {
        let body = r#"{
  "Query Text": "SELECT * FROM t WHERE a = 'secret' AND b = $1",
  "Query Parameters": "$1 = 'hidden'",
  "Plan": {
    "Node Type": "Seq Scan",
    "Relation Name": "t",
    "Actual Rows": 1.00,
    "Output": ["a", "'secret'::text", "(b + 4711)"],
    "Disabled": false,
    "Filter": "((a = 'secret'::text) AND (b = $1))",
    "Some New Cond": "(x = 'secret'::text)"
  },
  "Settings": {
    "work_mem": "256kB"
  },
  "Query Identifier": -7721152877027073047,
  "Triggers": [
  ]
}"#;
        let found = read_redacted(body).unwrap();
        let root = PlanNode {
            node_type: "Seq Scan".to_owned(),
            relation_name: Some("t".to_owned()),
            actual_rows: Some(1.0),
            filter: Some("((a = ?::text) AND (b = $1))".to_owned()),
            ..PlanNode::default()
        };
        let expected = ReadPlan {
            format: PlanFormat::Json,
            query_text: "SELECT * FROM t WHERE a = 'secret' AND b = $1".to_owned(),
            plan: Plan {
                shape: shape::of(&root),
                root,
                query_identifier: Some(-7_721_152_877_027_073_047),
                settings: Some(vec![("work_mem".to_owned(), "256kB".to_owned())]),
                document: concat!(
                    r#"{"Plan":{"Node Type":"Seq Scan","Relation Name":"t","Actual Rows":1.0,"Output":["a","?::text","(b + ?)"],"#,
                    r#""Disabled":false,"Filter":"((a = ?::text) AND (b = $1))","Some New Cond":"(x = ?::text)"},"#,
                    r#""Settings":{"work_mem":"256kB"},"Query Identifier":-7721152877027073047,"Triggers":[]}"#
                )
                .to_owned(),
            },
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn formats() {
        for (body, format) in [
            ("{\n  \"Query Text\": \"\"\n}", PlanFormat::Json),
            (
                "<explain xmlns=\"http://www.postgresql.org/2009/explain\">",
                PlanFormat::Xml,
            ),
            ("Query Text: \"select 1\"\nPlan: \n", PlanFormat::Yaml),
            (
                "Query Text: \"select $1\"\nQuery Parameters: \"$1 = '1'\"\nPlan: \n",
                PlanFormat::Yaml,
            ),
            (
                "Query Text: select 1\nResult  (cost=0.00..0.01 rows=1 width=4)",
                PlanFormat::Text,
            ),
            (
                "Query Text: \"Sum\" := $1\nQuery Parameters: $1 = '1'\nResult  (cost=0.00..0.01 rows=1 width=4)",
                PlanFormat::Text,
            ),
            (
                "Query Text: {\nResult  (cost=0.00..0.01 rows=1 width=4)",
                PlanFormat::Text,
            ),
            ("", PlanFormat::Text),
        ] {
            assert_eq!(format_of(body), format, "{body}");
        }
    }

    #[test]
    fn no_format_keeps_a_literal() {
        let document = concat!(
            r#"{"Plan":{"Node Type":"Foreign Scan","Operation":"Select","Parallel Aware":false,"Relation Name":"secret","Alias":"secret","#,
            r#""Startup Cost":0.0,"Total Cost":1.5,"Plan Rows":3,"Plan Width":4,"Output":["a","?::text"],"Filter":"(a = ?::text)","#,
            r#""Remote SQL":"SELECT a FROM t WHERE b = ?","Foreign Program":"?","New Cond":"?"},"Settings":{"work_mem":"4711"},"#,
            r#""Triggers":[{"Trigger Name":"'secret'","Constraint Name":"c","Relation":"t","Calls":1}]}"#,
        );
        let json = document
            .replace(r#""?::text""#, r#""'secret'::text""#)
            .replace("a = ?", "a = 'secret'")
            .replace("b = ?", "b = 'secret'")
            .replace(r#""?""#, r#""4711""#)
            .replacen(
                '{',
                r#"{"Query Text":"'secret'","Query Parameters":"$1 = 'secret'","#,
                1,
            );
        let text = "\
Query Text: 'secret'
Query Parameters: $1 = 'secret'
Foreign Scan on secret  (cost=0.00..1.50 rows=3 width=4)
  Output: a, 'secret'::text
  Filter: (a = 'secret'::text)
  Remote SQL: SELECT a FROM t WHERE b = 'secret'
  Foreign Program: 4711
  New Cond: 4711
Settings: work_mem = '4711'
Trigger 'secret' for constraint c on t: calls=1";
        let xml = "<explain><Query-Text>'secret'</Query-Text><Query-Parameters>$1 = 'secret'</Query-Parameters>\
             <Plan><Node-Type>Foreign Scan</Node-Type><Operation>Select</Operation><Parallel-Aware>false</Parallel-Aware>\
             <Relation-Name>secret</Relation-Name><Alias>secret</Alias><Startup-Cost>0.00</Startup-Cost><Total-Cost>1.50</Total-Cost>\
             <Plan-Rows>3</Plan-Rows><Plan-Width>4</Plan-Width><Output><Item>a</Item><Item>'secret'::text</Item></Output>\
             <Filter>(a = 'secret'::text)</Filter><Remote-SQL>SELECT a FROM t WHERE b = 'secret'</Remote-SQL>\
             <Foreign-Program>4711</Foreign-Program><New-Cond>4711</New-Cond></Plan><Settings><work_mem>4711</work_mem></Settings>\
             <Triggers><Trigger><Trigger-Name>'secret'</Trigger-Name><Constraint-Name>c</Constraint-Name><Relation>t</Relation>\
             <Calls>1</Calls></Trigger></Triggers></explain>";
        let yaml = r#"Query Text: "'secret'"
Query Parameters: "$1 = 'secret'"
Plan:
  Node Type: "Foreign Scan"
  Operation: "Select"
  Parallel Aware: false
  Relation Name: "secret"
  Alias: "secret"
  Startup Cost: 0.00
  Total Cost: 1.50
  Plan Rows: 3
  Plan Width: 4
  Output:
    - "a"
    - "'secret'::text"
  Filter: "(a = 'secret'::text)"
  Remote SQL: "SELECT a FROM t WHERE b = 'secret'"
  Foreign Program: "4711"
  New Cond: "4711"
Settings:
  work_mem: "4711"
Triggers:
  - Trigger Name: "'secret'"
    Constraint Name: "c"
    Relation: "t"
    Calls: 1"#;
        for body in [json.as_str(), text, xml, yaml] {
            assert_eq!(
                read_redacted(body).unwrap().plan.document,
                document,
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_no_plan_says_why() {
        for (body, message) in [
            (
                "{\"Plan\": {\"Node Type\": \"A\"}}",
                "the plan has no \"Query Text\" where auto_explain writes one",
            ),
            (
                "{\"Query Text\": \"secret\"}",
                "the plan has no \"Plan\" where auto_explain writes one",
            ),
            (
                "{\"Query Text\": \"secret\", \"Plan\": {",
                "the plan is not whole JSON; the log may be torn",
            ),
            (
                "Query Text: select 'secret'",
                "the plan is not whole text; the log may be torn",
            ),
            (
                "Query Text: \"secret\"\nPlan: \n  Node Type: A",
                "the plan is not whole YAML; the log may be torn",
            ),
            (
                "{\"Query Text\": \"\", \"Plan\": {\"Node Type\": \"A\"}} x",
                "the plan is not whole JSON; the log may be torn",
            ),
        ] {
            assert_eq!(
                read_redacted(body).unwrap_err().to_string(),
                message,
                "{body}"
            );
        }
    }

    /// A chain of `depth` nodes: two levels of JSON each, and one around them.
    fn chain(depth: usize) -> String {
        let mut body = r#"{"Query Text": "[[[[", "Plan": "#.to_owned();
        for _ in 1..depth {
            body.push_str(r#"{"Node Type": "Nested Loop", "Plans": ["#);
        }
        body.push_str(r#"{"Node Type": "Result"}"#);
        body.push_str(&"]}".repeat(depth - 1));
        body.push('}');
        body
    }

    #[test]
    fn deep_plans_are_read_and_deeper_ones_refused() {
        let mut nodes = 0;
        let deepest = read_redacted(&chain(MAX_DEPTH / 2)).unwrap();
        deepest.plan.root.walk(&mut |_, _| nodes += 1);
        assert_eq!(nodes, MAX_DEPTH / 2);
        for body in [
            chain(MAX_DEPTH / 2 + 1),
            chain(100_000),
            "{\"Plan\": ".to_owned() + &"[".repeat(100_000),
        ] {
            assert!(matches!(read_redacted(&body), Err(Error::TooDeep)));
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in "(\\{|\\}|\\[|\\]|\"Query Text\"|\"Plan\"|\"Node Type\"|\"Plans\"|:|,|1|\"a\"|null| ){0,40}") {
            let _ = read_redacted(&body);
        }
    }
}

use std::{fs, io::Write, process::Command, time::Duration};

use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::plantail::{Home, Watch, wait_for};

const CANARY: &str = "canary-7f3a@example.org";

/// A slow statement with its plan, as a server logs them, holding the canary wherever a literal can stand.
fn slow_statement(second: u32, table: &str) -> String {
    let at = format!("2026-11-20 08:00:{second:02}.000 UTC [7]");
    format!(
        "{at} LOG:  duration: 2400.000 ms  plan:\n\t{{\n\t  \"Query Text\": \"select id from {table} where email = '{CANARY}'\",\n\t  \"Plan\": {{\n\t    \
         \"Node Type\": \"Seq Scan\",\n\t    \"Relation Name\": \"{table}\",\n\t    \"Alias\": \"{table}\",\n\t    \"Startup Cost\": 0.00,\n\t    \
         \"Total Cost\": 18334.00,\n\t    \"Plan Rows\": 1,\n\t    \"Plan Width\": 4,\n\t    \"Actual Startup Time\": 1.000,\n\t    \"Actual Total Time\": 2399.000,\n\t    \
         \"Actual Rows\": 1,\n\t    \"Actual Loops\": 1,\n\t    \"Filter\": \"(email = '{CANARY}'::text)\",\n\t    \"Rows Removed by Filter\": 999999\n\t  }}\n\t}}\n\
         {at} LOG:  duration: 2401.000 ms  statement: select id from {table} where email = '{CANARY}'\n"
    )
}

pub(crate) fn answer(content: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": content.to_string() } }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 }
    }))
}

pub(crate) fn good_form() -> Value {
    json!({
        "findings": ["f1"], "kind": "create_index", "schema": null, "table": "customers",
        "columns": [{ "name": "email", "order": "asc" }], "include": [], "setting": null,
        "summary": "An index on email lets the lookup read one row.", "explanation": "The scan reads a million rows and keeps one.",
        "disproof": "EXPLAIN still shows a Seq Scan after the index was built.", "rewrite": null, "self_confidence": "high"
    })
}

struct Setup {
    home: Home,
    log: std::path::PathBuf,
    watch: Watch,
}

/// A `plantail` command that asks the model at `endpoint`.
pub(crate) fn with_model(home: &Home, endpoint: &str, args: &[&str]) -> Command {
    let mut command = home.command(args);
    command
        .env("PLANTAIL_ADVICE__PROVIDER", "openai-compatible")
        .env("PLANTAIL_ADVICE__ENDPOINT", endpoint)
        .env("PLANTAIL_ADVICE__MODEL", "test")
        .env("PLANTAIL_ADVICE__API_KEY", "sk-very-secret")
        .env("PLANTAIL_ADVICE__TIMEOUT_MS", "1500");
    command
}

fn watch_with_model(endpoint: &str) -> Setup {
    let home = Home::new();
    let log = home.path("pg.log");
    fs::write(
        &log,
        "2026-11-20 08:00:00.000 UTC [7] LOG:  checkpoint starting: time\n",
    )
    .unwrap();
    let path = log.to_str().unwrap();
    let args = ["watch", "--listen", "127.0.0.1:0", "--server", "shop", path];
    let watch = Watch::start(with_model(&home, endpoint, &args));
    Setup { home, log, watch }
}

impl Setup {
    fn append(&self, text: &str) {
        fs::OpenOptions::new()
            .append(true)
            .open(&self.log)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn model_recommendations(&self) -> Vec<Value> {
        let data = self.watch.query(
            "{ queries(limit: 10) { recommendations { source severity confidenceScore verification summary command } } }",
        );
        let queries = data["queries"].as_array().unwrap();
        let all = queries
            .iter()
            .flat_map(|query| query["recommendations"].as_array().unwrap().clone());
        all.filter(|recommendation| recommendation["source"] == "MODEL")
            .collect()
    }

    fn advice_counts(&self) -> Value {
        let data = self
            .watch
            .query("{ ingestHealth { adviceJobs { key count } } }");
        data["ingestHealth"]["adviceJobs"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_gives_one_redacted_request_and_a_checked_recommendation() {
    let model = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .respond_with(answer(&good_form()))
        .mount(&model)
        .await;
    let setup = watch_with_model(&format!("{}/v1", model.uri()));
    setup.append(&slow_statement(1, "customers"));
    let recommendations = wait_for(|| {
        let found = setup.model_recommendations();
        (!found.is_empty()).then_some(found)
    })
    .unwrap_or_else(|| panic!("{:?}", setup.watch.log()));
    setup.append(&slow_statement(2, "customers"));
    setup.append(&slow_statement(3, "customers"));
    wait_for(|| {
        let data = setup
            .watch
            .query("{ queries(limit: 10) { totalExecutions } }");
        (data["queries"][0]["totalExecutions"] == "3").then_some(())
    })
    .unwrap();

    assert_eq!(
        recommendations,
        [json!({
            "source": "MODEL", "severity": recommendations[0]["severity"], "confidenceScore": recommendations[0]["confidenceScore"],
            "verification": recommendations[0]["verification"],
            "summary": "An index on email lets the lookup read one row.", "command": "CREATE INDEX CONCURRENTLY ON customers (email)"
        })]
    );
    assert!(
        recommendations[0]["confidenceScore"].as_f64().unwrap() <= 0.5,
        "{recommendations:?}"
    );
    let requests = model.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1, "one breach, one request");
    let body = String::from_utf8(requests[0].body.clone()).unwrap();
    assert!(
        body.contains("customers") && body.contains("Seq Scan"),
        "{body}"
    );
    assert!(!body.contains("canary"), "{body}");
    assert_eq!(
        requests[0].headers["authorization"],
        "Bearer sk-very-secret"
    );
    for file in ["store.db", "store.db-wal"] {
        let bytes = fs::read(setup.home.path(file)).unwrap();
        assert!(
            !bytes.windows(6).any(|window| window == b"canary"),
            "{file} holds the canary"
        );
    }
    let log = setup.watch.log().join("\n");
    assert!(
        !log.contains("very-secret") && !log.contains("canary"),
        "{log}"
    );
}

/// What a broken model does is counted, and ingest doesn't notice.
async fn broken(response: ResponseTemplate, state: &str) {
    let model = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(response)
        .mount(&model)
        .await;
    let setup = watch_with_model(&format!("{}/v1", model.uri()));
    setup.append(&slow_statement(1, "customers"));
    for second in 2..8 {
        setup.append(&slow_statement(second, &format!("t{second}")));
    }
    // Six more breaches are stored while the model is asked about the first.
    wait_for(|| {
        (setup.watch.query("{ queries(limit: 10) { id } }")["queries"]
            .as_array()?
            .len()
            == 7)
            .then_some(())
    })
    .unwrap_or_else(|| panic!("ingest has stopped: {:?}", setup.watch.log()));
    wait_for(|| {
        setup
            .advice_counts()
            .as_array()?
            .iter()
            .find(|row| row["key"] == state && row["count"] != "0")
            .cloned()
    })
    .unwrap_or_else(|| {
        panic!(
            "no job is counted as {state}: {} {:?}",
            setup.advice_counts(),
            setup.watch.log()
        )
    });
    assert_eq!(setup.model_recommendations(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_answer_is_rejected_and_counted() {
    broken(
        answer(&json!({ "findings": ["f1"], "sql": "DROP TABLE customers" })),
        "rejected",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_counted() {
    broken(
        ResponseTemplate::new(401).set_body_json(json!({ "error": { "message": "no" } })),
        "failed",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_model_is_counted_and_tried_again_later() {
    broken(
        answer(&good_form()).set_delay(Duration::from_secs(60)),
        "queued",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_asks_only_when_told_to_and_waits_for_the_answers() {
    let model = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(answer(&good_form()))
        .mount(&model)
        .await;
    let endpoint = format!("{}/v1", model.uri());
    for (args, requests) in [(&["import"][..], 0), (&["import", "--advise"], 1)] {
        let home = Home::new();
        let log = home.path("pg.log");
        fs::write(&log, slow_statement(1, "customers")).unwrap();
        let output = with_model(&home, &endpoint, args)
            .arg(&log)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(model.received_requests().await.unwrap().len(), requests);
        let stored = home
            .query("{ recommendations { nodes { source } } }")
            .to_string();
        assert_eq!(stored.matches("MODEL").count(), requests, "{stored}");
    }
    let output = Home::new().run(&["import", "--advise", "sample-logs"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("advice.provider"));
}

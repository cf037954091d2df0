//! The whole of this stage against an endpoint that answers well, badly, slowly or not at all.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path},
};

use crate::model::{
    finding::{Rule, Severity},
    query::Query,
    recommendation::{RecommendationKind, Source, Verification},
};

use super::{
    Advice, Case, Client, Config, Error, Nothing, Provider, Rejection, ResponseFormat, RetryReason,
    SelfConfidence, advise,
    test_cases::{answer, case},
};

fn config(server: &MockServer) -> Config {
    Config {
        provider: Some(Provider::OpenAiCompatible),
        endpoint: format!("{}/v1", server.uri()),
        model: "small".to_owned(),
        api_key: Some("canary-key".into()),
        timeout: Duration::from_millis(500),
        ..Config::default()
    }
}

async fn server(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .and(header("authorization", "Bearer canary-key"))
        .respond_with(response)
        .mount(&server)
        .await;
    server
}

fn completion(content: &str) -> ResponseTemplate {
    let message = json!({"role": "assistant", "content": content, "refusal": null});
    ResponseTemplate::new(200).set_body_json(json!({
        "id": "x", "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"total_tokens": 1}
    }))
}

/// What comes of the good case where the endpoint answers with `response`.
async fn advised(response: ResponseTemplate) -> Result<Advice, Error> {
    let server = server(response).await;
    advise(&Client::new(&config(&server)).unwrap(), &case()).await
}

async fn check_rejected(response: ResponseTemplate, expected: Rejection) {
    match advised(response).await {
        Err(Error::Rejected(rejection)) => assert_eq!(rejection, expected),
        other => panic!("{expected:?} expected, got {other:?}"),
    }
}

async fn check_failed(response: ResponseTemplate, expected: (u16, Option<&str>)) {
    match advised(response).await {
        Err(Error::Failed { status, code }) => assert_eq!((status, code.as_deref()), expected),
        other => panic!("{expected:?} expected, got {other:?}"),
    }
}

async fn check_retried(response: ResponseTemplate, expected: (RetryReason, Option<u64>)) {
    match advised(response).await {
        Err(error @ Error::Retry { reason, after, .. }) => {
            assert_eq!(
                (reason, after),
                (expected.0, expected.1.map(Duration::from_secs))
            );
            assert!(!format!("{error:?}").contains("127.0.0.1"), "{error:?}");
        }
        other => panic!("{expected:?} expected, got {other:?}"),
    }
}

#[tokio::test]
async fn a_good_answer_becomes_a_recommendation() {
    let Ok(Advice::Recommendation {
        recommendation,
        self_confidence,
    }) = advised(completion(&answer().to_string())).await
    else {
        panic!("a recommendation expected")
    };
    assert_eq!(self_confidence, SelfConfidence::High);
    assert_eq!(recommendation.source, Source::Model);
    assert_eq!(recommendation.kind, RecommendationKind::CreateIndex);
    assert_eq!(recommendation.rules, [Rule::SeqScanFilter]);
    assert_eq!(recommendation.severity, Severity::Critical);
    assert_eq!(recommendation.verification, Verification::Plan);
    assert_eq!(recommendation.confidence_score, Some(0.5));
    assert_eq!(
        recommendation.command.as_deref(),
        Some("CREATE INDEX CONCURRENTLY ON orders (email)")
    );
}

#[tokio::test]
async fn the_request_holds_the_redacted_case_and_nothing_else() {
    let server = server(completion(&answer().to_string())).await;
    for (format, expected) in [
        (ResponseFormat::JsonSchema, json!("json_schema")),
        (ResponseFormat::JsonObject, json!("json_object")),
        (ResponseFormat::None, Value::Null),
    ] {
        let config = Config {
            response_format: format,
            ..config(&server)
        };
        let mut case = case();
        for finding in &mut case.findings {
            finding.message = "canary-message".to_owned();
        }
        advise(&Client::new(&config).unwrap(), &case).await.unwrap();
        let request = server.received_requests().await.unwrap().pop().unwrap();
        let body = String::from_utf8(request.body).unwrap();
        assert!(!body.contains("canary"), "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["response_format"]["type"], expected);
        assert_eq!(body["messages"].as_array().unwrap().len(), 2);
        let message: Value =
            serde_json::from_str(body["messages"][1]["content"].as_str().unwrap()).unwrap();
        assert_eq!(message["statement"], case.query.normalized_sql);
    }
}

#[tokio::test]
async fn what_may_not_leave_the_house_is_not_sent() {
    let server = server(completion(&answer().to_string())).await;
    let client = Client::new(&config(&server)).unwrap();
    let with_sql = |sql: String| Case {
        query: Query::new(case().query.server_id, "shop", sql),
        ..case()
    };
    for (case, expected) in [
        (
            Case {
                complete: false,
                ..case()
            },
            Nothing::Incomplete,
        ),
        (
            with_sql("alter role x password $1".to_owned()),
            Nothing::Utility,
        ),
        (
            with_sql("select * from t where name = 'ann'".to_owned()),
            Nothing::Literal,
        ),
        (
            with_sql(format!("select {}", "a, ".repeat(100_000))),
            Nothing::TooLarge,
        ),
    ] {
        let advice = advise(&client, &case).await.unwrap();
        assert_eq!(advice, Advice::Nothing(expected));
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_deviates_is_rejected_whole() {
    let good = answer().to_string();
    for (content, expected) in [
        ("{\"findings\":".to_owned(), Rejection::NotJson),
        (format!("```json\n{good}\n```"), Rejection::NotJson),
        (format!("{good}{good}"), Rejection::NotJson),
        (
            good.replace("\"setting\":null", "\"setting\":7E522"),
            Rejection::NotJson,
        ),
        (
            good.replace("\"kind\":", "\"confidence\":1.0,\"kind\":"),
            Rejection::NotTheForm,
        ),
        (
            good.replace("\"table\":", "\"table\":\"orders\",\"table\":"),
            Rejection::NotTheForm,
        ),
        (good.replace("\"f1\"", "\"f9\""), Rejection::UnknownFinding),
        (
            good.replace("\"orders\"", "\"users\""),
            Rejection::UnknownTable,
        ),
        (
            good.replace("\"email\"", "\"password\""),
            Rejection::UnknownColumn,
        ),
        ("x".repeat(70_000), Rejection::TooLarge),
        ("x".repeat(5_000_000), Rejection::TooLarge),
    ] {
        check_rejected(completion(&content), expected).await;
    }
    let choice =
        |choice: Value| ResponseTemplate::new(200).set_body_json(json!({"choices": [choice]}));
    check_rejected(
        choice(
            json!({"message": {"content": null, "refusal": "I can't"}, "finish_reason": "stop"}),
        ),
        Rejection::Refused,
    )
    .await;
    check_rejected(
        choice(json!({"message": {"content": "{"}, "finish_reason": "length"})),
        Rejection::Truncated,
    )
    .await;
    check_rejected(
        ResponseTemplate::new(200).set_body_string("<html>"),
        Rejection::NotACompletion,
    )
    .await;
}

#[tokio::test]
async fn refusals_of_the_server_are_told_from_passing_trouble() {
    let coded = |status: u16, code: &str| {
        ResponseTemplate::new(status)
            .set_body_json(json!({"error": {"code": code, "message": "m"}}))
    };
    check_failed(
        coded(401, "invalid_api_key"),
        (401, Some("invalid_api_key")),
    )
    .await;
    check_failed(ResponseTemplate::new(404), (404, None)).await;
    check_failed(
        coded(429, "insufficient_quota"),
        (429, Some("insufficient_quota")),
    )
    .await;
    check_failed(
        ResponseTemplate::new(307).insert_header("location", "http://127.0.0.1:1/"),
        (307, None),
    )
    .await;
    check_retried(
        ResponseTemplate::new(429).insert_header("retry-after", "7"),
        (RetryReason::Status(429), Some(7)),
    )
    .await;
    check_retried(
        ResponseTemplate::new(503).insert_header("retry-after", "999999999"),
        (RetryReason::Status(503), Some(3600)),
    )
    .await;
    check_retried(coded(500, "server_error"), (RetryReason::Status(500), None)).await;
    check_retried(
        completion("{}").set_delay(Duration::from_secs(30)),
        (RetryReason::Timeout, None),
    )
    .await;
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_passing_trouble() {
    let config = Config {
        provider: Some(Provider::OpenAiCompatible),
        endpoint: "http://127.0.0.1:1/v1".to_owned(),
        model: "small".to_owned(),
        ..Config::default()
    };
    let outcome = advise(&Client::new(&config).unwrap(), &case()).await;
    assert!(
        matches!(
            outcome,
            Err(Error::Retry {
                reason: RetryReason::Connection,
                ..
            })
        ),
        "{outcome:?}"
    );
}
